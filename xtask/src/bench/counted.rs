//! `cargo xtask bench ... --guest SERIES`: the same operations in a guest whose clock counts instructions.
//!
//! Repeatable to a tenth of a percent on a busy machine, and on kernels where the agent has better hooks than here. It
//! counts how long the code is, not what caches and traps cost. The guest has one processor, so what the agent does in
//! user space is part of every operation that it works on.

use anyhow::bail;

use crate::bench::native::{keep, results};
use crate::bench::study::Study;
use crate::bench::table::{self, Row};
use crate::bench::worker::{Sample, Workplace, parse};
use crate::place::Place;
use crate::test::GUEST_AGENT;
use crate::vm::{self, Boot, Machine, Step};

const WORKER: &str = "usr/bin/bench_worker";
const PORT: u16 = 9466;
/// Work in the background doubles every figure right after the boot.
const QUIET_S: u32 = 5;
/// Tiers that are measured where they are, unless others are asked for.
const TIERS: [&str; 2] = ["lsm", "fentry"];
/// The exit code of the agent where a kernel does not have what is asked for, and of a usage error.
const NOT_HERE: [i32; 2] = [77, 2];

pub(super) fn run(place: &Place, study: &Study, series: &str, rounds: u32, tiers: &[String]) -> anyhow::Result<()> {
    let workplace = Workplace::prepare(place)?;
    let programs =
        [(crate::build_agent(place)?, GUEST_AGENT.to_owned()), (workplace.program().to_path_buf(), WORKER.to_owned())];
    let asked: Vec<&str> = if tiers.is_empty() { TIERS.to_vec() } else { tiers.iter().map(String::as_str).collect() };
    let mut reader = Reader::default();
    let boot = Boot::with_all_tiers(series, Machine::Counted);
    let report = vm::boot(place, boot, &programs, &steps(study, rounds, &asked), |line| {
        if !reader.read(line) {
            eprintln!("{series}| {line}");
        }
    })?;
    if !report.done {
        bail!("guest {series} did not come to its end (see its serial log)");
    }
    let machine = format!("{}, one emulated CPU, {rounds} rounds, file /etc/hostname", reader.kernel);
    let rows = reader.rows(&asked, &report.steps);
    println!("\n{machine}\n{}", table::long("instructions", study.operations, study.counted, &rows));
    keep(&results(place)?.join(format!("{}-{series}.json", study.name)), &machine, "instructions", &rows)?;
    judge(study, &rows, &report.steps, !tiers.is_empty())
}

/// A tier that nobody asked for may be missing on a kernel; one that was asked for may not, and nor may all of them.
fn judge(study: &Study, rows: &[Row], ended: &[(String, i32)], asked: bool) -> anyhow::Result<()> {
    let mut kept = true;
    let mut measured = 0;
    for row in rows {
        if let Some(trouble) = &row.trouble {
            let step = format!("{}-with", row.name());
            let missing = ended.iter().any(|(name, code)| *name == step && NOT_HERE.contains(code));
            if asked || !missing {
                bail!("tier {} could not be measured: {trouble}", row.name());
            }
            continue;
        }
        measured += 1;
        kept &= table::verdicts(study.counted, row, None).1;
    }
    match (measured, kept) {
        (0, _) => bail!("no tier could be measured"),
        (_, true) => Ok(()),
        (_, false) => bail!("the agent is over its budget"),
    }
}

/// Bare and a tier in turn. The steps' names are `TIER-bare` and `TIER-with`.
fn steps(study: &Study, rounds: u32, tiers: &[&str]) -> Vec<Step> {
    // Two orders: the first one also pays for page faults.
    let order = study.operations.join(",");
    let measure =
        format!("printf '{order}\\n{order}\\n' | bench_worker measure /etc/hostname 0 /busybox/busybox | tail -n 1");
    let mut steps = vec![Step { name: "quiet".to_owned(), command: format!("sleep {QUIET_S}") }];
    for _ in 0..rounds {
        for tier in tiers {
            let with = format!(
                "tokenhound run --tier {tier} --listen 127.0.0.1:{PORT} --findings /tmp/findings >/tmp/log 2>&1 & pid=$!; tries=0; \
                 until /busybox/busybox wget -q -O /dev/null http://127.0.0.1:{PORT}/readyz 2>/dev/null; do \
                 tries=$((tries+1)); if ! kill -0 $pid; then wait $pid; code=$?; tail -n 3 /tmp/log; exit $code; fi; \
                 if [ $tries -gt 100 ]; then kill $pid; wait $pid; tokenhound doctor --tier {tier}; exit 1; fi; sleep 0.2; done; \
                 sleep {QUIET_S}; {measure}; kill $pid; wait $pid"
            );
            steps.push(Step { name: format!("{tier}-bare"), command: measure.clone() });
            steps.push(Step { name: format!("{tier}-with"), command: with });
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
    /// Takes in one line of the serial log. Returns whether it holds figures, which nobody wants to see one by one.
    fn read(&mut self, line: &str) -> bool {
        if let Some(kernel) = line.strip_prefix("GUEST kernel ") {
            self.kernel = format!("Linux {kernel}");
        } else if let Some(step) = line.strip_prefix("GUEST begin ") {
            step.clone_into(&mut self.step);
        } else if let Ok(sample) = parse(line) {
            self.samples.push((self.step.clone(), sample));
            return true;
        }
        false
    }

    fn rows(self, tiers: &[&str], ended: &[(String, i32)]) -> Vec<Row> {
        let row = |tier: &&str| {
            let of = |end: &str| {
                let wanted = format!("{tier}-{end}");
                self.samples.iter().filter(move |(step, _)| *step == wanted).map(|(_, sample)| sample.clone())
            };
            let mut row = Row::new(*tier, "tokenhound run, full catalogue");
            of("bare").zip(of("with")).for_each(|(bare, with)| row.add(bare, with));
            if of("with").next().is_none() {
                let code = ended.iter().find(|(step, _)| *step == format!("{tier}-with")).map(|(_, code)| *code);
                row.trouble = Some(code.map_or_else(
                    || "its step did not end".to_owned(),
                    |code| format!("its step ended with {code} (see the serial log)"),
                ));
            }
            row
        };
        tiers.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::study;

    fn read(lines: &[&str]) -> Reader {
        let mut reader = Reader::default();
        for line in lines {
            reader.read(line);
        }
        reader
    }

    #[test]
    fn pairs_each_measurement_with_the_bare_one_before_it() {
        let reader = read(&[
            "GUEST kernel 6.12.1",
            "GUEST begin fentry-bare",
            r#"{"open+close":[100.0]}"#,
            "GUEST begin fentry-with",
            "noise",
            r#"{"open+close":[105.0]}"#,
            "GUEST begin lsm-with",
        ]);
        let rows = reader.rows(&["fentry", "lsm"], &[("lsm-with".to_owned(), 1)]);
        assert!(rows[0].trouble.is_none());
        assert_eq!(rows[0].json()["rounds"][0]["with"]["open+close"][0], 105.0);
        assert!(rows[1].trouble.as_ref().unwrap().contains("ended with 1"));
    }

    #[test]
    fn a_tier_may_be_missing_where_nobody_asked_for_it() {
        let lines = [
            "GUEST begin fentry-bare",
            r#"{"pread 1 B":[100.0],"pread 64 KiB":[200.0]}"#,
            "GUEST begin fentry-with",
            r#"{"pread 1 B":[100.0],"pread 64 KiB":[200.0]}"#,
        ];
        for (code, asked, fine) in [(77, false, true), (2, false, true), (77, true, false), (1, false, false)] {
            let ended = [("lsm-with".to_owned(), code)];
            let rows = read(&lines).rows(&["fentry", "lsm"], &ended);
            assert_eq!(judge(&study::READ, &rows, &ended, asked).is_ok(), fine, "{code} {asked}");
            assert!(judge(&study::READ, &rows[1..], &ended, asked).is_err(), "nothing was measured");
        }
    }
}
