//! `cargo xtask bench idle`: memory and processor time of the agent when nothing happens, under a load that is none of
//! its business, and with many processes alive. Beside it the peers, without the last.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::bench::native::{host, must_be_root, results};
use crate::bench::peers::{Peer, Running, Scene};
use crate::bench::worker::Workplace;
use crate::cmd::{self, Background};
use crate::place::Place;

/// Opens and program starts a second of the load.
const OPENS: u32 = 50_000;
const FORKS: u32 = 200;
/// Processes alive at a time.
const CROWD: u32 = 20_000;
/// How long a start, or the end of a phase, may keep the agent busy.
const SETTLE: Duration = Duration::from_secs(5);
/// The agent's own promises: resident memory in MiB, and percent of one processor when idle.
const MOST_MIB: f64 = 50.0;
const MOST_IDLE: f64 = 0.5;

/// One line of the result.
struct Line {
    who: &'static str,
    when: String,
    resident_mib: f64,
    /// Without what is counted twice: the rings are mapped twice, and libraries are shared.
    proportional_mib: f64,
    anonymous_mib: f64,
    /// Of one processor.
    percent: f64,
}

pub(super) fn run(place: &Place, seconds: u64, tier: Option<&str>) -> anyhow::Result<()> {
    must_be_root()?;
    let agent = crate::build_agent(place)?;
    let workplace = Workplace::prepare(place)?;
    let dir = results(place)?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let scene = Scene::set(agent, tier, scratch.path())?;
    let time = Duration::from_secs(seconds);

    let mut lines = Vec::new();
    for peer in Peer::REAL.into_iter().filter(|peer| *peer == Peer::Agent || peer.is_rival()) {
        eprintln!("bench: {}", peer.name());
        match peer.start(&scene) {
            Ok(running) => {
                lines.extend(phases(peer, &running, &workplace, time)?);
                if let Some(metrics) = running.metrics() {
                    println!("{}", losses(&metrics));
                }
            }
            Err(failure) if peer == Peer::Agent => return Err(failure),
            Err(failure) => println!("{} was not measured: {failure:#}", peer.name()),
        }
    }
    println!("\n{}, {seconds} s each\n{}", host(), table(&lines));
    let file = dir.join("idle.json");
    fs::write(&file, serde_json::to_string_pretty(&json(&lines))?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    judge(&lines)
}

fn phases(peer: Peer, running: &Running, workplace: &Workplace, time: Duration) -> anyhow::Result<Vec<Line>> {
    let pid = running.pid().context("it has no process")?;
    let line = |when: &str, (before, took, after): (Usage, Duration, Usage)| Line {
        who: peer.name(),
        when: when.to_owned(),
        resident_mib: after.resident_mib,
        proportional_mib: after.proportional_mib,
        anonymous_mib: after.anonymous_mib,
        percent: 100.0 * (after.processor_s - before.processor_s) / took.as_secs_f64(),
    };
    let idle = || -> anyhow::Result<(Usage, Duration, Usage)> {
        sleep(SETTLE);
        let (before, start) = (Usage::of(pid)?, Instant::now());
        sleep(time);
        Ok((before, start.elapsed(), Usage::of(pid)?))
    };
    let mut lines = vec![line("idle", idle()?)];

    let (before, start) = (Usage::of(pid)?, Instant::now());
    let done = load(workplace, time)?;
    let took = start.elapsed();
    lines.push(line(&done, (before, took, Usage::of(pid)?)));
    if peer != Peer::Agent {
        return Ok(lines);
    }

    let crowd = crowd(workplace)?;
    lines.push(line(&format!("{CROWD} live processes"), idle()?));
    drop(crowd);
    lines.push(line("after their end", idle()?));
    Ok(lines)
}

/// Returns what was reached, in words.
fn load(workplace: &Workplace, time: Duration) -> anyhow::Result<String> {
    let mut command = Command::new(workplace.program());
    command.arg("load").arg(workplace.file()).arg(workplace.busybox());
    command.args([OPENS.to_string(), FORKS.to_string(), time.as_secs().to_string()]);
    let printed = cmd::output(&mut command)?;
    let mut counts = printed.split_whitespace().map(str::parse::<f64>);
    match (counts.next(), counts.next()) {
        (Some(Ok(opens)), Some(Ok(forks))) => {
            let rate = |count: f64| (count / time.as_secs_f64()).round();
            Ok(format!("{} opens/s, {} fork+exec/s", rate(opens), rate(forks)))
        }
        _ => bail!("the load did not say what it has done: {printed}"),
    }
}

/// They all end with the result.
fn crowd(workplace: &Workplace) -> anyhow::Result<Background> {
    let mut command = Command::new(workplace.program());
    command.arg("crowd").arg(workplace.busybox()).arg(CROWD.to_string());
    let mut process = Background::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut answer = String::new();
    BufReader::new(process.stdout().context("it has no output")?).read_line(&mut answer)?;
    if answer.trim() != "ready" {
        bail!("{CROWD} processes could not be started");
    }
    Ok(process)
}

/// What a process uses, from /proc.
struct Usage {
    resident_mib: f64,
    proportional_mib: f64,
    anonymous_mib: f64,
    /// Since its start.
    processor_s: f64,
}

impl Usage {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has it ended?"))
        };
        let (maps, stat) = (read("smaps_rollup")?, read("stat")?);
        let mib = |name: &str| {
            let line = maps.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let kib = line.trim().trim_end_matches(" kB").parse::<f64>();
            kib.map(|kib| kib / 1024.0).with_context(|| format!("/proc/{pid}/smaps_rollup has no {name}"))
        };
        Ok(Self {
            resident_mib: mib("Rss:")?,
            proportional_mib: mib("Pss:")?,
            anonymous_mib: mib("Anonymous:")?,
            processor_s: processor_s(&stat).context("/proc/<pid>/stat is not as expected")?,
        })
    }
}

/// Fields 14 and 15, in clock ticks; the second field may hold blanks and brackets.
fn processor_s(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// What the agent says it has lost meanwhile.
fn losses(metrics: &str) -> String {
    let lost: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("tokenhound_records_lost_total{") && !line.ends_with(" 0"))
        .collect();
    if lost.is_empty() { "The agent has lost nothing.".to_owned() } else { lost.join("\n") }
}

fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| | | resident | proportional | anonymous | of one processor |\n| --- | --- | --- | --- | --- | --- |",
    );
    for line in lines {
        text.push_str(&format!(
            "\n| {} | {} | {:.1} MiB | {:.1} MiB | {:.1} MiB | {:.2} % |",
            line.who, line.when, line.resident_mib, line.proportional_mib, line.anonymous_mib, line.percent
        ));
    }
    text
}

fn json(lines: &[Line]) -> serde_json::Value {
    let line = |line: &Line| {
        serde_json::json!({
            "who": line.who,
            "when": line.when,
            "resident_mib": line.resident_mib,
            "proportional_mib": line.proportional_mib,
            "anonymous_mib": line.anonymous_mib,
            "percent": line.percent,
        })
    };
    lines.iter().map(line).collect::<Vec<_>>().into()
}

fn judge(lines: &[Line]) -> anyhow::Result<()> {
    let ours = lines.iter().filter(|line| line.who == Peer::Agent.name());
    let largest = ours.clone().map(|line| line.resident_mib).fold(0.0, f64::max);
    let idle = ours.clone().find(|line| line.when == "idle").map_or(f64::INFINITY, |line| line.percent);
    let word = |kept: bool| if kept { "kept" } else { "broken" };
    println!("Budget: resident {largest:.1} MiB, at most {MOST_MIB}: {}", word(largest <= MOST_MIB));
    println!("Budget: idle {idle:.2} % of one processor, at most {MOST_IDLE}: {}", word(idle <= MOST_IDLE));
    if largest <= MOST_MIB && idle <= MOST_IDLE { Ok(()) } else { bail!("the agent is over its budget") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_processor_time_behind_an_odd_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 1 0 5";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(processor_s(stat), Some(400.0 / ticks));
        assert_eq!(processor_s("7 (a) S 1"), None);
    }

    #[test]
    fn finds_this_process() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_mib >= usage.anonymous_mib && usage.anonymous_mib > 0.0);
    }
}
