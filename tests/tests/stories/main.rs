//! Where tokens go: each story beside its innocent twin, all through one agent as it comes out of the box.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod home;
mod load;
mod play;
mod story;
mod table;

use std::{collections::HashSet, process::Command};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process::{self, Background, patience},
    skip,
    stage::Stage,
};

use crate::{
    play::Played,
    story::{Outcome, Story},
};

/// Keeps to stories with these names, between commas.
const ONLY: &str = "TOKENHOUND_STORIES";

/// Detectors that say where a token went.
const WENT: [&str; 4] = ["token-copied", "secret-in-arguments", "token-egress", "container-exposure"];

/// Where GitHub's command line keeps its token.
const HOSTS: &str = ".config/gh/hosts.yml";

#[test]
fn where_tokens_go_is_told_and_twins_are_silent() {
    if !skip::native("what programs do does not depend on the kernel") || !skip::has(&["setsid", "bash", "sleep"]) {
        return;
    }
    let only = std::env::var(ONLY).unwrap_or_default();
    let stories: Vec<(String, Story)> = table::all().flat_map(story::Pair::stories).collect();
    let names: HashSet<&str> = stories.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), stories.len(), "two stories have the same name");
    let wanted = |story: &Story| only.is_empty() || only.split(',').any(|name| name == story.name);
    let (stories, absent): (Vec<_>, Vec<_>) =
        stories.into_iter().filter(|(_, story)| wanted(story)).partition(|(_, story)| play::missing(story).is_none());
    let stage = Stage::new();
    stage.program("typist", env!("CARGO_BIN_EXE_actor").as_ref());
    table::prepare(&stage);
    let homes: Vec<_> = stories.iter().map(|(name, _)| home::make(&stage, name)).collect();
    let residents: Vec<Background> = homes.iter().map(|home| play::resident(home)).collect();
    let mut agent = Agent::start(&stage);
    agent.process.until("the tokens of all homes", || known(&stage, stories.len()).then_some(()));
    let mut wrong = Vec::new();
    let mut played: Vec<(&str, &Story, Played)> = Vec::new();
    for (name, story) in &stories {
        let outcome = play::play(&stage, name, story);
        if outcome.code != 0 {
            wrong.push(format!("{name}: ended with {}: {}", outcome.code, outcome.said));
        }
        played.push((name, story, outcome));
    }
    wrong.extend(await_all(&mut agent, &played));
    let findings = agent.findings("");
    for (name, story, outcome) in &played {
        wrong.extend(judge(name, story, outcome, &findings));
    }
    println!("stories: {} played, {}", played.len(), latencies(&played, &findings));
    drop(residents);
    agent.stop();
    assert!(wrong.is_empty(), "{} are not as they should be:\n{}", wrong.len(), wrong.join("\n"));
    if !absent.is_empty() {
        let tell = |(name, story): &(String, Story)| format!("{name} ({})", play::missing(story).unwrap_or_default());
        skip::skip(&format!("some stories: {}", absent.iter().map(tell).collect::<Vec<_>>().join(", ")));
    }
}

/// Whether the agent knows the tokens of so many homes.
fn known(stage: &Stage, homes: usize) -> bool {
    let mut list = Command::new(process::tokenhound());
    let ended = process::run(list.arg("tokens").arg("--state-dir").arg(stage.path("state")), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    ended.out().lines().filter(|line| line.contains(HOSTS)).count() >= homes
}

/// Waits until all that must be found is. Returns what was not in time.
fn await_all(agent: &mut Agent<'_>, played: &[(&str, &Story, Played)]) -> Vec<String> {
    let left = |findings: &[Finding]| -> Vec<String> {
        let missing = played.iter().filter(|(name, story, outcome)| !is_told(name, story, outcome, findings));
        missing.map(|(name, ..)| (*name).to_owned()).collect()
    };
    let deadline = std::time::Instant::now() + patience();
    loop {
        let findings = agent.findings("");
        let left = left(&findings);
        if left.is_empty() {
            return Vec::new();
        }
        if std::time::Instant::now() > deadline || agent.process.ends_within(std::time::Duration::from_millis(100)) {
            let tell = |name: String| {
                let about =
                    played.iter().find(|(other, ..)| *other == name).map_or_else(Vec::new, |(_, _, outcome)| {
                        of(&name, outcome, &findings).map(Finding::brief).collect::<Vec<_>>()
                    });
                format!("{name}: not found; {about:?}")
            };
            return left.into_iter().map(tell).collect();
        }
    }
}

/// The findings about a story.
fn of<'f>(name: &str, played: &Played, findings: &'f [Finding]) -> impl Iterator<Item = &'f Finding> {
    let (home, root) = (format!("/homes/{name}/"), played.root);
    findings.iter().filter(move |finding| finding.lineage_pids().contains(&root) || finding.mentions(&home))
}

fn is_told(name: &str, story: &Story, played: &Played, findings: &[Finding]) -> bool {
    match story.outcome {
        Outcome::Silence => true,
        Outcome::Found(detector, mentions) => of(name, played, findings)
            .any(|finding| finding.detector() == detector && mentions.iter().all(|text| finding.mentions(text))),
    }
}

/// What is too much.
fn judge(name: &str, story: &Story, played: &Played, findings: &[Finding]) -> Vec<String> {
    if !matches!(story.outcome, Outcome::Silence) {
        return Vec::new();
    }
    let loud = |finding: &&Finding| WENT.contains(&finding.detector()) && finding.severity() != "Informational";
    of(name, played, findings)
        .filter(loud)
        .map(|finding| format!("{name}: found {}: {}", finding.brief(), finding.0["message"]))
        .collect()
}

/// How long it took from what happened to the finding, of those that say where a token went.
fn latencies(played: &[(&str, &Story, Played)], findings: &[Finding]) -> String {
    let mut all: Vec<(f64, String)> = played
        .iter()
        .flat_map(|(name, _, outcome)| of(name, outcome, findings).map(move |finding| (*name, finding)))
        .filter(|(_, finding)| WENT.contains(&finding.detector()))
        .filter_map(|(name, finding)| Some((finding.latency_ms()?, format!("{name}: {}", finding.brief()))))
        .collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    for (ms, name) in all.iter().rev().take(5) {
        println!("{name}: {ms:.0} ms");
    }
    let at = |share: f64| all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1)));
    let show = |share| at(share).map_or("-".to_owned(), |(ms, _)| format!("{ms:.0} ms"));
    format!("{} findings after {} (median), {} (99 of 100), at most {}", all.len(), show(0.5), show(0.99), show(1.0))
}
