//! The work that `cargo xtask bench` measures, as a process of its own so that it is optimised and does nothing else.
//!
//! `bench_worker measure FILE CPU PROGRAM`: pins itself to the CPU; for each line on standard input does the operations
//! that the line names, separated by commas, and prints one line of JSON, `{"open+close": [...], ...}`, nanoseconds per
//! operation of each run. FILE is one that nothing watches, PROGRAM a busybox without shared libraries.
//!
//! `bench_worker load FILE PROGRAM OPENS FORKS SECONDS`: so many opens and starts of a program a second, spread evenly;
//! prints how many of each it has done.
//!
//! `bench_worker crowd PROGRAM COUNT`: so many processes that do nothing, until its standard input ends.

use std::io::{BufRead as _, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::fs::{Mode, OFlags};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", file, cpu, program] => measure(file, cpu.parse()?, program),
        ["load", file, program, opens, forks, seconds] => {
            load(file, program, opens.parse()?, forks.parse()?, seconds.parse()?)
        }
        ["crowd", program, count] => crowd(program, count.parse()?),
        _ => bail!(
            "usage: bench_worker measure FILE CPU PROGRAM | load FILE PROGRAM OPENS FORKS SECONDS | crowd PROGRAM COUNT"
        ),
    }
}

fn measure(file: &str, cpu: usize, program: &str) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))?;
    let work = Work { file, program, held: open(file)?, own: open("/proc/self/exe")? };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let mut results = serde_json::Map::new();
        for operation in line?.split(',') {
            results.insert(operation.to_owned(), work.runs(operation)?.into());
        }
        writeln!(out, "{}", serde_json::Value::Object(results))?;
        out.flush()?;
    }
    Ok(())
}

/// What the operations work on.
struct Work<'a> {
    file: &'a str,
    program: &'a str,
    held: OwnedFd,
    /// This program: a file of more than 64 KiB that is everywhere.
    own: OwnedFd,
}

impl Work<'_> {
    fn runs(&self, operation: &str) -> anyhow::Result<Vec<f64>> {
        match operation {
            "open+close" => many(250, || open(self.file).map(drop)),
            "open ENOENT" => many(250, || {
                if open("/etc/no-such-file").is_ok() {
                    bail!("/etc/no-such-file is there");
                }
                Ok(())
            }),
            "pread 1 B" => many(1_500, || Ok(rustix::io::pread(&self.held, &mut [0_u8; 1], 0).map(drop)?)),
            "pread 64 KiB" => {
                let mut buffer = vec![0_u8; 64 << 10];
                let whole = buffer.len();
                many(150, || match rustix::io::pread(&self.own, &mut buffer[..], 0)? {
                    count if count == whole => Ok(()),
                    count => bail!("only {count} bytes of this program could be read"),
                })
            }
            "getppid" => many(3_000, || {
                std::hint::black_box(rustix::process::getppid());
                Ok(())
            }),
            "fork+exec+wait" => time(ClockId::Monotonic, 31, 20, || start(self.program)),
            other => bail!("{other} is no operation"),
        }
    }
}

fn open(file: &str) -> anyhow::Result<OwnedFd> {
    rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open {file}"))
}

/// vfork, execve, exit, wait.
fn start(program: &str) -> anyhow::Result<()> {
    let status = Command::new(program).arg("true").env_clear().status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{program} true: {status}");
    }
    Ok(())
}

/// Many short runs in this thread's own processor time, so that what others do meanwhile is not counted. The shortest
/// tells the cost, the others how noisy the machine is; a long one is always disturbed.
fn many(count: u32, operation: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    time(ClockId::ThreadCPUTime, 101, count, operation)
}

/// Nanoseconds of the clock per operation, for each run.
fn time(
    clock: ClockId,
    runs: u32,
    count: u32,
    mut operation: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    (0..count).try_for_each(|_| operation())?;
    (0..runs)
        .map(|_| {
            let start = nanoseconds(clock);
            (0..count).try_for_each(|_| operation())?;
            Ok((nanoseconds(clock) - start) as f64 / f64::from(count))
        })
        .collect()
}

fn nanoseconds(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Does what is due every millisecond.
fn load(file: &str, program: &str, opens: u64, forks: u64, seconds: u64) -> anyhow::Result<()> {
    const STEP: Duration = Duration::from_millis(1);
    let begin = Instant::now();
    let (mut opened, mut forked) = (0_u64, 0_u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let due = |rate: u64| (begin.elapsed().as_secs_f64() * rate as f64) as u64;
        while opened < due(opens) && begin.elapsed() < Duration::from_secs(seconds) {
            open(file)?;
            opened += 1;
        }
        if forked < due(forks) {
            start(program)?;
            forked += 1;
        } else {
            std::thread::sleep(STEP);
        }
    }
    println!("{opened} {forked}");
    Ok(())
}

/// Processes that wait on one pipe, so that all of them end when this one does, however it ends.
fn crowd(program: &str, count: u32) -> anyhow::Result<()> {
    let (wait, hold) = std::io::pipe().context("cannot create a pipe")?;
    let mut children = Vec::new();
    for _ in 0..count {
        let child = Command::new(program).arg("cat").stdin(wait.try_clone()?).stdout(Stdio::null()).spawn();
        children.push(child.with_context(|| format!("cannot start {program} for the {}th time", children.len() + 1))?);
    }
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(hold);
    for mut child in children {
        child.wait()?;
    }
    Ok(())
}
