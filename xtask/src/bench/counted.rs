//! `cargo xtask bench open --guest SERIES`: the same operations in a guest whose clock counts instructions.
//!
//! Repeatable to a tenth of a percent on a busy machine, and on kernels where the agent has better hooks than here. It
//! counts how long the code is, not what caches and traps cost.

use std::fs;

use anyhow::{Context as _, bail};

use crate::bench::open::conclude;
use crate::bench::peers::Peer;
use crate::bench::table::Row;
use crate::bench::worker::{Sample, Workplace, parse};
use crate::place::Place;
use crate::test::GUEST_AGENT;
use crate::vm::{self, Machine, Step};

const WORKER: &str = "usr/bin/bench_worker";
/// Two orders: the first one also pays for page faults.
const MEASURE: &str = "printf 'm\\nm\\n' | bench_worker /etc/hostname 0 | tail -n 1";
const PORT: u16 = 9466;
/// Work in the background doubles every figure right after the boot.
const QUIET_S: u32 = 5;

pub(super) fn run(place: &Place, series: &str, rounds: u32) -> anyhow::Result<()> {
    let workplace = Workplace::prepare(place)?;
    let programs =
        [(crate::build_agent(place)?, GUEST_AGENT.to_owned()), (workplace.program().to_path_buf(), WORKER.to_owned())];
    let steps = steps(rounds);
    let mut reader = Reader::default();
    let report = vm::run(place, series, Machine::Counted, &programs, &steps, |line| {
        eprintln!("{series}| {line}");
        reader.read(line);
    })?;
    if !report.done {
        bail!("guest {series} did not come to its end (see its serial log)");
    }
    let dir = place.target.join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let machine = format!("{}, one emulated CPU, {rounds} rounds, file /etc/hostname", reader.kernel);
    conclude(&dir.join(format!("open-{series}.json")), &machine, "instr.", &reader.rows(&report.steps))
}

/// Bare and a peer in turn. The steps' names are `PEER-bare` and `PEER-with`.
fn steps(rounds: u32) -> Vec<Step> {
    let mut steps = vec![Step { name: "quiet".to_owned(), command: format!("sleep {QUIET_S}") }];
    let agent = format!(
        "tokenhound run --listen 127.0.0.1:{PORT} --findings /tmp/findings >/tmp/log 2>&1 & pid=$!; \
         tries=0; until /busybox/busybox wget -q -O /dev/null http://127.0.0.1:{PORT}/readyz; do \
         tries=$((tries+1)); if [ $tries -gt 100 ] || ! kill -0 $pid; then tail -n 3 /tmp/log; exit 1; fi; sleep 0.2; done; \
         {MEASURE}; kill $pid; wait $pid"
    );
    let switch = "/sys/kernel/tracing/events/syscalls/sys_exit_acct/enable";
    let slow_path = format!("echo 1 >{switch} || exit 1; {MEASURE}; echo 0 >{switch}");
    for _ in 0..rounds {
        for (name, command) in [("agent", &agent), ("slow", &slow_path)] {
            steps.push(Step { name: format!("{name}-bare"), command: MEASURE.to_owned() });
            steps.push(Step { name: format!("{name}-with"), command: command.clone() });
        }
    }
    steps
}

/// Collects what the worker printed, by step.
#[derive(Default)]
struct Reader {
    kernel: String,
    step: String,
    samples: Vec<(String, Sample)>,
}

impl Reader {
    fn read(&mut self, line: &str) {
        if let Some(kernel) = line.strip_prefix("GUEST kernel ") {
            self.kernel = format!("Linux {kernel}");
        } else if let Some(step) = line.strip_prefix("GUEST begin ") {
            step.clone_into(&mut self.step);
        } else if let Ok(sample) = parse(line) {
            self.samples.push((self.step.clone(), sample));
        }
    }

    fn rows(self, ended: &[(String, i32)]) -> Vec<Row> {
        [("agent", Peer::Agent), ("slow", Peer::SlowPath)]
            .into_iter()
            .map(|(name, peer)| {
                let of = |end: &str| {
                    let wanted = format!("{name}-{end}");
                    self.samples.iter().filter(move |(step, _)| *step == wanted).map(|(_, sample)| sample.clone())
                };
                let mut row = Row::new(peer.name(), peer.what());
                of("bare").zip(of("with")).for_each(|(bare, with)| row.add(bare, with));
                if of("with").next().is_none() {
                    let code = ended.iter().find(|(step, _)| *step == format!("{name}-with")).map(|(_, code)| *code);
                    row.trouble = Some(code.map_or_else(
                        || "its step did not end".to_owned(),
                        |code| format!("its step ended with {code} (see the serial log)"),
                    ));
                }
                row
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_each_measurement_with_the_bare_one_before_it() {
        let mut reader = Reader::default();
        for line in [
            "GUEST kernel 6.12.1",
            "GUEST begin agent-bare",
            r#"{"open+close":[100.0]}"#,
            "GUEST begin agent-with",
            "noise",
            r#"{"open+close":[105.0]}"#,
            "GUEST begin slow-with",
        ] {
            reader.read(line);
        }
        let rows = reader.rows(&[("slow-with".to_owned(), 1)]);
        assert!(rows[0].trouble.is_none());
        assert_eq!(rows[0].json()["rounds"][0]["with"]["open+close"][0], 105.0);
        assert!(rows[1].trouble.as_ref().unwrap().contains("ended with 1"));
    }
}
