//! The work that `cargo xtask bench open` measures, as a process of its own so that it is optimised and does nothing else.
//!
//! `bench_worker FILE CPU`: pins itself to the CPU; for each line on standard input does every operation and prints one line of
//! JSON, `{"open+close": [...], "pread 1 B": [...], "getppid": [...]}`, nanoseconds per operation of each run. FILE is a
//! file that nothing watches.

use std::io::{BufRead as _, Write as _};
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};

/// Runs of each operation for one line of input. The shortest tells the cost, the others how noisy the machine is. Many
/// short ones: on a busy machine a long one is always disturbed.
const RUNS: usize = 101;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("usage: bench_worker FILE CPU")?;
    let cpu: usize = arguments.next().context("usage: bench_worker FILE CPU")?.parse()?;
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))?;

    let held = open(&file)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        line?;
        let results = serde_json::json!({
            "open+close": time(250, || open(&file).map(drop))?,
            "pread 1 B": time(1_500, || Ok(rustix::io::pread(&held, &mut [0_u8; 1], 0).map(drop)?))?,
            "getppid": time(3_000, || {
                std::hint::black_box(rustix::process::getppid());
                Ok(())
            })?,
        });
        writeln!(out, "{results}")?;
        out.flush()?;
    }
    Ok(())
}

fn open(file: &str) -> anyhow::Result<OwnedFd> {
    rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open {file}"))
}

/// Nanoseconds of this thread's own processor time per operation, for each run: what others do meanwhile is not counted.
fn time(count: u32, mut operation: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    (0..count).try_for_each(|_| operation())?;
    (0..RUNS)
        .map(|_| {
            let start = processor_time_ns();
            (0..count).try_for_each(|_| operation())?;
            Ok((processor_time_ns() - start) as f64 / f64::from(count))
        })
        .collect()
}

fn processor_time_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
