//! Where a token went: written down while it happens, there again after the agent was killed, and followed until the token is
//! revoked and its copies are gone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    http,
    process::{self, Background, Ended, patience},
    stage::Stage,
    token,
};

use crate::lifecycle::is_known;

/// A store that no other test has: that nothing remains of it is said of the whole machine.
const STORE: &str = "travis-cli";
const PLACE: &str = ".travis/config.yml";

/// Puts one into a home.
fn put(stage: &Stage, home: &str) -> PathBuf {
    let token = token::plain("", 22);
    stage.hide(&token);
    let text = format!("endpoints:\n  https://api.travis-ci.invalid/:\n    access_token: {token}\n");
    stage.file(&format!("homes/{home}/{PLACE}"), text)
}

/// A command of ours that reads the state of the stage. What it says holds no token.
fn ask(stage: &Stage, arguments: &[&str]) -> Ended {
    let mut command = Command::new(process::tokenhound());
    let ended = process::run(command.args(arguments).arg("--state-dir").arg(stage.path("state")), b"");
    stage.search(arguments[0], &ended.stdout);
    stage.search(arguments[0], &ended.stderr);
    ended
}

fn shell(home: &Path, line: &str) {
    let ended = process::run(Command::new("dash").args(["-c", line]).env("HOME", home).current_dir("/"), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

fn about<'f>(findings: &'f [Finding], detector: &str, text: &str) -> Option<&'f Finding> {
    findings.iter().find(|finding| finding.detector() == detector && finding.mentions(text))
}

/// Waits until the metrics say this. The thread of the history tells them, and not before the agent is ready.
fn shows(agent: &mut Agent<'_>, what: &str) {
    let port = agent.port;
    let metrics = || http::get(port, "/metrics").filter(|(_, metrics)| metrics.contains(what)).map(drop);
    agent.process.until(what, metrics);
}

#[test]
fn from_a_copy_over_a_kill_to_its_end() {
    let stage = Stage::new();
    let (ann, bob) = (stage.directory("homes/ann"), stage.directory("homes/bob"));
    let (store, other) = (put(&stage, "ann"), put(&stage, "bob"));
    let script = ann.join("deploy.sh");
    let name = script.display().to_string();
    let mut agent = Agent::start(&stage);
    shell(&ann, ":");
    shell(&bob, ":");
    agent.process.until("the tokens", || (is_known(&stage, &store) && is_known(&stage, &other)).then_some(()));
    // The first read of all: the hooks on closes come with it, and `cat` is done before.
    shell(&ann, &format!("cat \"$HOME/{PLACE}\" > \"$HOME/deploy.sh\"; :"));
    agent.until("the copy", |all| about(all, "token-copied", &name).is_some());
    let of_store = store.display().to_string();
    agent.process.until("the copy in the history", || {
        ask(&stage, &["trace", &of_store]).out().contains("copy in").then_some(())
    });
    let found = agent.findings(&name);
    let uid = about(&found, "token-copied", &name).unwrap().0.pointer("/finding_info/uid").cloned().unwrap();
    // In the middle of whatever it is at.
    let _ = agent.kill();

    let trail = ask(&stage, &["trace", &of_store]);
    // Lines are broken where they are too long.
    let words: String = trail.out().chars().filter(|character| !character.is_whitespace()).collect();
    for part in [of_store.as_str(), "/cat", "read it once, unexpected", "copy in", "deploy.sh", "token-copied", "th1:"]
    {
        let part: String = part.chars().filter(|character| !character.is_whitespace()).collect();
        assert!(words.contains(&part), "{part}\n{}", trail.out());
    }
    assert!(!trail.out().contains("homes/bob"), "{}", trail.out());
    let json: serde_json::Value =
        serde_json::from_slice(&ask(&stage, &["trace", &name, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["copies"][0]["path"], name.as_str(), "{json:#}");
    assert_eq!(json["copies"][0]["state"], "present");
    let page = ask(&stage, &["trace", STORE, "--format", "html"]).out();
    assert!(page.contains("<svg") && page.contains("deploy.sh"));
    let told = ask(&stage, &["explain", uid.as_str().unwrap()]);
    assert!(told.code() == 0 && told.out().contains("token-copied"), "{}{}", told.out(), told.err());

    let mut agent = Agent::start(&stage);
    shows(&mut agent, &format!("tokenhound_token_copies{{store=\"{STORE}\"}} 1\n"));
    let plan = ask(&stage, &["revoke", STORE, "--dry-run"]);
    assert!(plan.code() == 0 && plan.out().contains("travis logout"), "{}{}", plan.out(), plan.err());
    assert_eq!(ask(&stage, &["revoke", STORE, "--wait", "0"]).code(), 3);
    // Both log out. Of bob's token there is no copy.
    fs::remove_file(&other).unwrap();
    fs::remove_file(&store).unwrap();
    agent.until("what remains", |all| about(all, "revocation-incomplete", &name).is_some());
    assert!(about(&agent.findings(""), "revocation-incomplete", "homes/bob").is_none());
    shows(&mut agent, &format!("tokenhound_exposure_seconds_count{{store=\"{STORE}\"}}"));
    assert_eq!(ask(&stage, &["revoke", STORE, "--wait", "0"]).code(), 3, "the copy");
    // It waits until the last is gone.
    let mut waits = Command::new(process::tokenhound());
    let most = (patience().as_secs() / 2).to_string();
    waits.args(["revoke", STORE, "--wait", &most, "--state-dir"]).arg(stage.path("state"));
    let mut waits = Background::start(&mut waits);
    fs::remove_file(&script).unwrap();
    let ended = waits.wait();
    assert_eq!(ended.code(), 0, "nothing remains: {}{}", ended.out(), ended.err());
    let _ = agent.stop();
    for file in fs::read_dir(stage.path("state")).unwrap().flatten() {
        stage.search("the state", &fs::read(file.path()).unwrap());
    }
}
