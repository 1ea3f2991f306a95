//! `tokenhound run`: ready, one at a time, scraped by a real Prometheus, fresh about stores that come and go.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tokenhound_tests::{
    agent::{self, Agent},
    http, ocsf,
    process::{self, Background},
    skip,
    stage::Stage,
    store::Store,
};

use crate::actor;

fn run(program: &str, argument: &Path, home: &Path) {
    let status = Command::new(program).arg(argument).env("HOME", home).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{program}: {status}");
}

/// One agent, from its start to its end.
#[test]
fn it_watches_the_whole_machine() {
    let stage = Stage::new();
    let mut agent = Agent::start(&stage);
    assert_eq!(http::get(agent.port, "/healthz").map(|(status, _)| status), Some(200));
    let home = stage.directory("homes/victim");

    let store = Store::GhHosts.put(&stage, &home);
    let gh = actor(&stage, "gh");
    let own = Command::new(&gh).env("HOME", &home).env("STORE", &store).status().unwrap();
    assert!(own.success());
    run("cat", &store, &home);
    let found = agent.finding(&store.display().to_string());
    assert_eq!(found.detector(), "unexpected-reader", "{}", found.brief());
    assert_eq!(found.lineage()[0], "cat", "{}", found.brief());
    assert_eq!(agent.findings(&gh.display().to_string()).len(), 0, "the tool itself is silent");

    // A new file under the same name, and then another name for that one.
    let replaced = Store::AwsCredentials.put(&stage, &home);
    let next = Store::AwsCredentials.put_at(&stage, &stage.path("next"));
    fs::rename(next, &replaced).unwrap();
    run("cat", &replaced, &home);
    agent.finding(&replaced.display().to_string());
    let plain = stage.path("plain");
    fs::hard_link(&replaced, &plain).unwrap();
    run("cat", &plain, &home);
    let found = agent.finding(&plain.display().to_string());
    assert_eq!(found.known_as(), replaced.display().to_string(), "{}", found.brief());

    // A program that starts now keeps its store elsewhere: from then on that is a store.
    let moved = Store::GhHosts.put_at(&stage, &stage.path("elsewhere/hosts.yml"));
    let tool = Background::start(Command::new(&gh).arg("hold").env("GH_CONFIG_DIR", stage.path("elsewhere")));
    let found = agent.provoke(&moved.display().to_string(), || run("cat", &moved, &home));
    assert_eq!(found.stores(), ["gh-hosts"], "{}", found.brief());
    drop(tool);

    let metrics = agent.metrics();
    for series in [
        "tokenhound_build_info{",
        "tokenhound_store_reads_total{store=\"gh-hosts\",verdict=\"unexpected\"",
        "tokenhound_store_reads_total{store=\"gh-hosts\",verdict=\"expected\"",
        "tokenhound_findings_total{detector=\"unexpected-reader\",severity=\"high\"}",
        "tokenhound_records_total{kind=\"exec\"}",
        "tokenhound_detection_latency_seconds_bucket{",
        "tokenhound_probe_live{",
        "tokenhound_processes_tracked ",
        "tokenhound_sink_delivered_total{sink=\"findings\"}",
        "# EOF",
    ] {
        assert!(metrics.contains(series), "{series} is not in:\n{metrics}");
    }
    for path in [stage.path(""), home] {
        assert!(!metrics.contains(&path.display().to_string()), "a path in a metric:\n{metrics}");
    }
    a_second_one_is_refused(&stage);
    let ended = agent.stop();
    assert!(ended.out().contains("who did it"), "findings are told as text: {}", ended.out());
}

/// Called while one runs.
fn a_second_one_is_refused(stage: &Stage) {
    let port = http::free_port();
    let findings = stage.path("out/second");
    let ended = process::run(agent::command(stage, port).arg("--findings").arg(&findings), b"");
    assert_eq!(ended.code(), 1, "{}", ended.err());
    assert!(ended.err().contains("another agent"), "{}", ended.err());
    assert!(fs::read(findings).unwrap_or_default().is_empty(), "something was found");
    assert!(http::get(port, "/healthz").is_none(), "something was started");
}

/// Wherever findings are written in these tests they are checked; here is said when they cannot be.
#[test]
fn findings_are_checked_against_the_schema() {
    if ocsf::python().is_none() {
        return skip::skip("the OCSF validator is not here; no finding is checked");
    }
    let stage = Stage::new();
    let wrong = stage.file("wrong", "{\"class_uid\": 2004}\n");
    let mut check = Command::new(ocsf::python().unwrap());
    check.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("ocsf/check.py")).arg(wrong);
    assert_eq!(process::run(&mut check, b"").code(), 1, "the validator refuses what is wrong");
}

/// A full disk, or something in the way: it watches all the same, and says what it does without.
#[test]
fn without_a_state_directory_it_watches_all_the_same() {
    let stage = Stage::new();
    stage.file("state", "no directory");
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home);
    let mut agent = Agent::start(&stage);
    agent.provoke(&store.display().to_string(), || run("cat", &store, &home));
    let ended = agent.stop();
    assert!(ended.err().contains("tokens are not followed"), "{}", ended.err());
}
