//! Every technique of the evasion program, beside one agent for each tier that this kernel offers: what the agent says
//! is compared with what the technique says of itself, and with what is declared of it.
//!
//! One line comes out for each, to be read by `cargo xtask test`:
//! `CELL technique tier seen|unseen|wrong-reader|skipped expected|unexpected detail`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod cell;
mod judge;
mod play;
mod theatre;
mod told;

use std::{io::Write, path::Path, process::Command};

use tokenhound_tests::{
    agent::{self, Agent},
    evasion::{Declared, Start},
    process::{self, Ended},
    skip,
    stage::Stage,
};

use crate::{
    cell::Cell,
    play::{Play, Played},
    theatre::Theatre,
};

/// Best first.
const TIERS: [&str; 3] = ["lsm", "fentry", "tracepoint"];
/// Kernels on which it is known what they offer.
const KNOWN: [&str; 4] = ["5.10", "6.1", "6.12", "7.2"];

#[test]
fn lsm() {
    techniques_on("lsm");
}

#[test]
fn fentry() {
    techniques_on("fentry");
}

#[test]
fn tracepoint() {
    techniques_on("tracepoint");
}

/// The agent offers what this kernel is known to offer, and takes the best of it.
#[test]
fn tiers() {
    let stage = Stage::new();
    let answers = TIERS.map(|tier| (tier, refusal(&stage, tier)));
    let offered: Vec<&str> = answers.iter().filter(|(_, reason)| reason.is_none()).map(|(tier, _)| *tier).collect();
    let list = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let bpf = list.trim().split(',').any(|module| module == "bpf");
    for (tier, reason) in &answers {
        let (word, reason) = reason.as_deref().map_or(("offered", "-"), |reason| ("refused", reason));
        print(&format!("TIER {tier} {word} {reason}"));
    }
    assert!(!offered.is_empty(), "no tier works: {answers:?}");
    if KNOWN.contains(&series().as_str()) {
        let expected: Vec<&str> = TIERS.into_iter().filter(|tier| *tier != "lsm" || bpf).collect();
        assert_eq!(offered, expected, "{answers:?}");
    }
    let ended = doctor(&stage, None);
    let taken = ended.out().lines().find_map(|line| line.strip_prefix("tier ").map(str::to_owned));
    print(&format!("TIER {} taken -", taken.as_deref().unwrap_or("none")));
    assert_eq!(taken.as_deref(), offered.first().copied(), "{}{}", ended.out(), ended.err());
}

/// A limit that nobody can look up is none.
#[test]
fn limits_are_in_the_documentation() {
    let text = include_str!("../../../docs/limits.md");
    let listed = |declared: &&Declared| !declared.limits.is_empty() && !text.contains(&format!("`{}`", declared.name));
    let all = theatre::techniques();
    let missing: Vec<&str> = all.iter().filter(listed).map(|declared| declared.name.as_str()).collect();
    assert!(missing.is_empty(), "docs/limits.md does not name {missing:?}");
}

/// `6.12`.
fn series() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// A line for whoever runs the tests. Not captured: also a test that passes has something to say.
fn print(line: &str) {
    // The harness may have begun a line.
    let _ = std::io::stdout().write_all(format!("\n{line}\n").as_bytes());
}

fn doctor(stage: &Stage, tier: Option<&str>) -> Ended {
    let _alone = agent::alone();
    let mut command = Command::new(process::tokenhound());
    command.arg("doctor").args(tier.iter().flat_map(|tier| ["--tier", tier]));
    command.arg("--catalogue").arg(stage.path("catalogue.d")).arg("--policy").arg(stage.path("policy.d"));
    process::run(&mut command, b"")
}

/// Why a tier cannot be had here; `None` if it can.
fn refusal(stage: &Stage, tier: &str) -> Option<String> {
    let ended = doctor(stage, Some(tier));
    let last = |text: String| text.lines().last().unwrap_or_default().to_owned();
    match ended.code() {
        0 => None,
        77 if ended.out().contains("DEAD") => Some(format!("a probe does not work: {}", ended.out())),
        77 => Some(last(ended.err())),
        2 => Some("this version does not know it".into()),
        code => panic!("doctor ended with {code}:\n{}{}", ended.out(), ended.err()),
    }
}

fn techniques_on(tier: &str) {
    let stage = Stage::new();
    if let Some(reason) = refusal(&stage, tier) {
        // Whether it may be refused is asked by another test.
        return skip::skip(&format!("tier {tier}: {reason}"));
    }
    let theatre = Theatre::new(&stage);
    let wanted = std::env::var("TOKENHOUND_TECHNIQUES").unwrap_or_default();
    let mut list = theatre::techniques();
    list.retain(|one| wanted.is_empty() || wanted.split(',').any(|name| name == one.name));
    let (played, account) = perform(&stage, &theatre, tier, list);
    let cells: Vec<Cell> = played.iter().map(|one| judge::judge(one, tier, &series())).collect();
    cells.iter().for_each(|cell| print(&cell.to_string()));
    let wrong: Vec<String> = cells.iter().filter(|cell| !cell.expected).map(Cell::to_string).collect();
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} of {} are not as expected:\n{}\n{account}", cells.len(), wrong.join("\n"));
}

/// Plays all techniques beside one agent and collects what it says of each, and of itself.
fn perform(stage: &Stage, theatre: &Theatre, tier: &str, list: Vec<Declared>) -> (Vec<Played>, String) {
    let (before, now): (Vec<_>, Vec<_>) = list.into_iter().partition(|one| one.start == Start::Before);
    // The agent learns of the made-up home from this one.
    let resident = theatre.resident();
    let waiting: Vec<Play> = before.into_iter().map(|one| Play::start(theatre, one).until_held()).collect();
    let mut agent = Agent::start_on(stage, tier);
    let mut played: Vec<Played> = waiting.into_iter().map(|play| play.let_go().finish()).collect();
    for one in now {
        let held = one.start == Start::Held;
        let mut play = Play::start(theatre, one);
        if held {
            play = play.until_held();
            play.wait_for_word_of_holder(&agent);
        }
        played.push(play.let_go().finish());
        theatre.check(&played.last().unwrap().declared.name);
    }
    // What comes last is told last: by then all is told.
    let last = Play::start(theatre, theatre::plainest()).let_go().finish();
    let reader = last.told.reader().expect("the plainest technique reads").pid;
    agent.until("word of the last reader", |findings| findings.iter().any(|finding| finding.pid() == Some(reader)));
    let findings = agent.findings("");
    drop(resident);
    let metrics = agent.metrics();
    let account = account(&metrics, &agent.stop().err());
    for one in &mut played {
        one.findings = findings.iter().filter(|finding| finding.lineage_pids().contains(&one.root)).cloned().collect();
    }
    (played, account)
}

/// What may explain that something was not seen: the agent's counts, and its complaints.
fn account(metrics: &str, log: &str) -> String {
    let counts = ["tokenhound_records_", "tokenhound_table_", "tokenhound_findings_", "tokenhound_sink_"];
    let counts = metrics.lines().filter(|line| counts.iter().any(|count| line.starts_with(count)));
    let complaints = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
    counts.chain(complaints).map(|line| format!("  {line}\n")).collect()
}

/// The program under test beside this one, also in a guest.
fn program() -> std::path::PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_evasion"));
    if built.exists() { built.into() } else { std::env::current_exe().unwrap().with_file_name("evasion") }
}
