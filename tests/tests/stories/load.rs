//! More than an agent likes: ten thousand files, files of two gigabytes, and its own sudden end.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process::{self, Background},
    skip,
    stage::Stage,
};

use crate::{home, play};

/// How much more memory the agent may have needed at most, in KiB, after ten thousand files.
const MORE: u64 = 96 << 10;

/// A stage with one home whose tokens the agent knows.
fn begin<'s>(stage: &'s Stage) -> (Agent<'s>, Background) {
    let home = home::make(stage, "load");
    let resident = play::resident(&home);
    (start(stage), resident)
}

fn start(stage: &Stage) -> Agent<'_> {
    let mut agent = Agent::start(stage);
    agent.process.until("the tokens of the home", || crate::known(stage, 1).then_some(()));
    agent
}

/// Runs a script in the home.
fn run(stage: &Stage, script: &str) {
    let home = stage.path("homes/load");
    let ended = process::run(Command::new("bash").args(["-ec", script]).env("HOME", &home).current_dir(&home), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

/// How much of something the metrics count.
fn counted(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, |all, one| all + one)
}

fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Files that were looked into or counted, and those that were only counted.
fn looked_into(metrics: &str) -> (f64, f64) {
    (
        counted(metrics, "tokenhound_files_scanned_total"),
        counted(metrics, "tokenhound_files_scanned_total{outcome=\"queue_full\"}")
            + counted(metrics, "tokenhound_records_lost_total"),
    )
}

/// Waits until no file waits any more. The last ones may not have come to the queue when one that was written before is found.
fn settle(agent: &mut Agent<'_>, least: f64) {
    let port = agent.port;
    let now = || {
        let (_, text) = tokenhound_tests::http::get(port, "/metrics")?;
        Some((counted(&text, "tokenhound_files_to_scan"), looked_into(&text)))
    };
    let settled = || now().filter(|(waiting, (all, dropped))| *waiting == 0.0 && all + dropped >= least);
    let instead = || format!(": files that wait, and those that do not: {:?}", now());
    agent.process.until_or("end of the queue", settled, instead);
}

#[test]
fn ten_thousand_files_of_a_carrier_are_looked_into_or_counted() {
    if !skip::native("what programs do does not depend on the kernel") || !skip::has(&["perl", "bash"]) {
        return;
    }
    let stage = Stage::new();
    let (mut agent, resident) = begin(&stage);
    let before = most_memory(agent.process.pid());
    run(
        &stage,
        r#"mkdir many; perl -e '
open(my $in, "<", ".config/gh/hosts.yml"); my $token = join "", <$in>;
for my $n (1 .. 10000) { open(my $out, ">", "many/$n"); print $out $n == 9999 ? $token : "nothing of interest\n"; }'"#,
    );
    let found = agent.finding("homes/load/many/9999");
    assert_eq!(found.detector(), "token-copied", "{}", found.brief());
    settle(&mut agent, 10_000.0);
    let metrics = agent.metrics();
    let (all, dropped) = looked_into(&metrics);
    println!("ten thousand files: {all} looked into or counted, {dropped} of them only counted");
    assert!(all + dropped >= 10_000.0, "{all} and {dropped} are not all of them:\n{metrics}");
    let more = most_memory(agent.process.pid()).saturating_sub(before);
    assert!(more < MORE, "{more} KiB more than before");
    drop(resident);
    agent.stop();
}

#[test]
fn two_gigabytes_neither_stall_the_agent_nor_are_passed_over_in_silence() {
    if !skip::native("what programs do does not depend on the kernel") || !skip::has(&["bash", "head"]) {
        return;
    }
    let stage = Stage::new();
    let (mut agent, resident) = begin(&stage);
    // One of holes, and one that really has that much.
    run(&stage, "truncate -s 2G holes; cat .config/gh/hosts.yml >>holes");
    run(&stage, "{ head -c 2G /dev/zero; cat .config/gh/hosts.yml; } >whole");
    // What comes behind them does not wait for them.
    run(&stage, "cp .config/gh/hosts.yml small");
    for file in ["small", "holes", "whole"] {
        let mentioned = format!("homes/load/{file}");
        let port = agent.port;
        let late = agent.process.until(file, || {
            let (_, text) = tokenhound_tests::http::get(port, "/metrics")?;
            let gave_up = counted(&text, "tokenhound_files_scanned_total{outcome=\"timed_out\"}") > 0.0;
            let found = fs::read_to_string(stage.path("out/agent-findings")).unwrap_or_default().contains(&mentioned);
            (found || (gave_up && file != "small")).then_some(!found)
        });
        println!("{file}: {}", if late { "given up, and counted" } else { "found" });
    }
    drop(resident);
    agent.stop();
}

#[test]
fn what_was_confirmed_outlives_a_sudden_end() {
    if !skip::native("what programs do does not depend on the kernel") || !skip::has(&["bash", "cp"]) {
        return;
    }
    let stage = Stage::new();
    let (mut agent, resident) = begin(&stage);
    let home = stage.path("homes/load");
    // It writes some copies a second until it is told to stop, also while nobody looks; not for ever if nobody does.
    let stop = home.join("stop");
    let script = "n=0; while [ ! -e stop ] && [ $n -lt 3000 ]; do n=$((n + 1)); cp .config/gh/hosts.yml copy-$n; sleep 0.1; done";
    let mut writer = Background::start(Command::new("bash").args(["-c", script]).env("HOME", &home).current_dir(&home));
    let copied = |one: &Finding| one.detector() == "token-copied" && one.mentions("homes/load/copy-1,");
    agent.until("the first copy", |all| all.iter().any(copied));
    let before = agent.kill();
    assert!(before.lines().any(|line| line.contains("homes/load/copy-1")));
    let again = start(&stage);
    File::create(&stop).and_then(|mut file| file.write_all(b"x")).expect("write a file");
    assert!(writer.ends_within(process::patience()));
    trace(&stage, &home);
    drop(resident);
    again.stop();
}

/// The history opens, and what was told before is in it.
fn trace(stage: &Stage, home: &Path) {
    let mut command = Command::new(process::tokenhound());
    command.args(["trace", "gh-hosts", "--format", "json", "--state-dir"]).arg(stage.path("state"));
    let ended = process::run(&mut command, b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
    stage.search("a trace", &ended.stdout);
    let copy = home.join("copy-1").display().to_string();
    assert!(ended.out().contains(&copy), "{copy}: {}", ended.out());
}
