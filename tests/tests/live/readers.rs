//! Tools of a user's own: accepted at first use, remembered, and told of when they are another.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::Command,
    time::Instant,
};

use tokenhound_tests::{
    process, skip,
    stage::{Stage, set_mode},
    store::Store,
    watch::{Watch, Watched},
};

use crate::actor;

/// `nobody` runs the tool, which reads the store.
fn run(stage: &Stage, home: &Path) -> Watched {
    let watch = Watch::new(stage).env("HOME", home).arg("--fail-on").arg("none").arg("--user").arg("nobody");
    let store = home.join(Store::AwsCredentials.place());
    let watched = watch.arg("--state-dir").arg(stage.path("state")).run([
        "env".as_ref(),
        format!("STORE={}", store.display()).as_ref(),
        format!("HOME={}", home.display()).as_ref(),
        home.join(".local/bin/aws").as_os_str(),
    ]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    assert!(watched.reads(Store::AwsCredentials.id(), "aws", "expected") > 0, "{}", watched.story());
    watched
}

#[test]
fn a_tool_that_was_replaced_is_told_once_and_one_that_was_not_never() {
    if !skip::has(&["env"]) {
        return;
    }
    let stage = Stage::new();
    let home = stage.directory("homes/dev");
    Store::AwsCredentials.put(&stage, &home);
    let tool = home.join(".local/bin/aws");
    fs::create_dir_all(tool.parent().unwrap()).unwrap();
    fs::copy(actor(&stage, "actor"), &tool).unwrap();
    set_mode(&tool, 0o755);
    stage.open_to_others();
    Stage::give_to_nobody(&home);
    // What a file holds is not always known in time; then it is remembered at the next read.
    until(|| {
        let watched = run(&stage, &home);
        assert!(watched.findings.is_empty(), "{}", watched.story());
        listed(&stage).contains("/.local/bin/aws  since ")
    });
    assert!(run(&stage, &home).findings.is_empty(), "it is what it was");
    // What is behind its end an executable does not care for.
    OpenOptions::new().append(true).open(&tool).unwrap().write_all(b"changed").unwrap();
    let mut told = None;
    until(|| {
        told = run(&stage, &home).of("reader-changed").first().map(|finding| (*finding).clone());
        told.is_some()
    });
    let finding = told.unwrap();
    assert!(finding.reader().ends_with("/.local/bin/aws"), "{}", finding.brief());
    assert_eq!(finding.stores(), [Store::AwsCredentials.id()]);
    assert!(finding.mentions("is not what it was"), "{}", finding.0);
    assert!(run(&stage, &home).findings.is_empty(), "it was told");
    assert!(listed(&stage).contains("1 change before"), "{}", listed(&stage));
}

/// What is remembered.
fn listed(stage: &Stage) -> String {
    let mut list = Command::new(process::tokenhound());
    process::run(list.arg("readers").arg("--state-dir").arg(stage.path("state")), b"").out()
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + process::patience();
    while !done() {
        assert!(Instant::now() < deadline, "not in time");
    }
}
