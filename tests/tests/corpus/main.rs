//! Everyday commands, of which nothing is to be said, and attacks, each of which is to be found: all beside one agent as it
//! comes out of the box. What came of them is the table in `docs/corpus.md`; `cargo xtask bless corpus` makes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod attacks;
mod entry;
mod everyday;
mod home;
mod play;
mod table;
mod tricks;

use std::{
    collections::HashSet,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process::patience,
    skip,
    stage::{Stage, set_mode},
};

use crate::{
    entry::{Context, Entry},
    home::Pattern,
    play::Played,
    table::Row,
};

/// Keeps to entries with these names, between commas.
const ONLY: &str = "TOKENHOUND_CORPUS";

#[test]
fn everyday_commands_are_silent_and_attacks_are_found() {
    if !skip::native("what programs do does not depend on the kernel") || !skip::has(&["tini", "login", "dash", "bash"])
    {
        return;
    }
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted = |entry: &&Entry| only.is_empty() || only.split(',').any(|name| name == entry.name);
    let entries: Vec<&Entry> = everyday::all().chain(attacks::all()).chain(tricks::all()).filter(wanted).collect();
    let names: HashSet<&str> = entries.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), entries.len(), "two entries have the same name");
    let (entries, absent): (Vec<&Entry>, Vec<_>) =
        entries.into_iter().partition(|entry| play::missing(entry).is_none());
    let rows = perform(&entries);
    let wrong: Vec<String> = rows.iter().flat_map(Row::wrong).collect();
    assert!(wrong.is_empty(), "{} are not as they should be:\n{}", wrong.len(), wrong.join("\n"));
    if !absent.is_empty() {
        let absent: Vec<String> = absent
            .iter()
            .map(|entry| format!("{} ({})", entry.name, play::missing(entry).unwrap_or_default()))
            .collect();
        return skip::skip(&format!("some of the corpus: {}", absent.join(", ")));
    }
    if only.is_empty() {
        table::compare(&rows);
    }
}

/// Plays all of them beside one agent.
fn perform(entries: &[&Entry]) -> Vec<Row> {
    let stage = Stage::new();
    let pattern = Pattern::new(&stage);
    for entry in entries {
        let script = stage.file(&format!("scripts/{}.sh", entry.name), format!("{}\n", entry.script));
        set_mode(&script, 0o644);
        for context in entry.contexts {
            let home = pattern.home(&stage, &play::home_name(*context, entry));
            let out = stage.directory(&format!("homes/{}.out", play::home_name(*context, entry)));
            if entry.is_trick() {
                [home, out].iter().for_each(|directory| Stage::give_to_nobody(directory));
            }
        }
    }
    stage.open_to_others();
    play::stand_ins(&stage);
    let residents: Vec<Child> = entries.iter().flat_map(|entry| residents(&stage, entry)).collect();
    let mut agent = Agent::start(&stage);
    let played: Vec<(Context, Played)> = std::thread::scope(|scope| {
        let play = |context: Context| {
            let some: Vec<&Entry> = entries.iter().copied().filter(|entry| entry.contexts.contains(&context)).collect();
            let stage = &stage;
            scope.spawn(move || (context, play::play(stage, context, &some)))
        };
        let threads: Vec<_> = Context::ALL.map(play).into();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    // What comes last is told last: what a shell opens waits longest.
    let last = pattern.home(&stage, "last");
    let mut read = Command::new("bash");
    home::run(read.args(["-c", "read -r line <.aws/credentials"]).env("HOME", &last).current_dir(&last));
    // Its path: what made the home is told as well, and names it.
    let store = last.join(".aws/credentials").display().to_string();
    agent.until("the last read", |all| all.iter().any(|finding| finding.path() == store));
    let rows = await_all(&mut agent, entries, &played);
    for mut resident in residents {
        resident.kill().and_then(|()| resident.wait()).expect("it waits to be ended");
    }
    agent.stop();
    rows
}

/// What came of each, as soon as all is found that must be, or after long enough: not every detector tells at once.
fn await_all(agent: &mut Agent<'_>, entries: &[&Entry], played: &[(Context, Played)]) -> Vec<Row> {
    let deadline = Instant::now() + patience();
    loop {
        let rows = rows(entries, played, agent.findings(""));
        let enough = rows.iter().all(Row::is_told) || Instant::now() > deadline;
        if enough || agent.process.ends_within(Duration::from_millis(100)) {
            return rows;
        }
    }
}

fn rows(entries: &[&Entry], played: &[(Context, Played)], findings: Vec<Finding>) -> Vec<Row> {
    // Others may test here at the same time.
    let own = u64::from(std::process::id());
    let findings: Vec<Finding> = findings.into_iter().filter(|finding| finding.lineage_pids().contains(&own)).collect();
    let row = |entry: &&Entry| {
        let mut row = Row::new(entry);
        for (context, played) in played.iter().filter(|(context, _)| entry.contexts.contains(context)) {
            let root = played.roots.get(entry.name).copied();
            let home = format!("/homes/{}/", play::home_name(*context, entry));
            // All homes have the same key: a copy of it is told with all places where the token lies.
            let of_it = |finding: &&Finding| {
                let by_it = root.is_some_and(|root| finding.lineage_pids().contains(&root));
                by_it || (finding.detector() != "token-copied" && finding.mentions(&home))
            };
            let of_it = findings.iter().filter(of_it).cloned().collect();
            row.add(*context, played.codes.get(entry.name).copied(), of_it);
        }
        row
    };
    entries.iter().map(row).collect()
}

/// Somebody who lives in the home of an attack or a trick: the agent knows it before it happens, as it knows those of all users.
fn residents(stage: &Stage, entry: &Entry) -> Vec<Child> {
    let contexts = entry.contexts.iter().filter(|_| !entry.is_everyday());
    let start = |context: &Context| {
        let home = stage.path(&format!("homes/{}", play::home_name(*context, entry)));
        Command::new("sleep").arg("3600").env("HOME", home).stdout(Stdio::null()).spawn().expect("start sleep")
    };
    contexts.map(start).collect()
}
