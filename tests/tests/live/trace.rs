//! Where a token went: written down while it happens, there again after the agent was killed, and followed until the token is
//! revoked and its copies are gone.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process::{self, Ended},
    stage::Stage,
    store::Store,
};

use crate::lifecycle::is_known;

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

#[test]
fn from_a_copy_over_a_kill_to_its_end() {
    let stage = Stage::new();
    let (ann, bob) = (stage.directory("homes/ann"), stage.directory("homes/bob"));
    let (store, other) = (Store::GhHosts.put(&stage, &ann), Store::GhHosts.put(&stage, &bob));
    let script = ann.join("deploy.sh");
    let name = script.display().to_string();
    let mut agent = Agent::start(&stage);
    shell(&ann, ":");
    shell(&bob, ":");
    agent.process.until("the tokens", || (is_known(&stage, &store) && is_known(&stage, &other)).then_some(()));
    // The first read of all: the hooks on closes come with it, and `cat` is done before.
    shell(&ann, &format!("cat \"$HOME/{}\" > \"$HOME/deploy.sh\"; :", Store::GhHosts.place()));
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
    let page = ask(&stage, &["trace", "gh-hosts", "--format", "html"]).out();
    assert!(page.contains("<svg") && page.contains("deploy.sh"));
    let told = ask(&stage, &["explain", uid.as_str().unwrap()]);
    assert!(told.code() == 0 && told.out().contains("token-copied"), "{}{}", told.out(), told.err());

    let mut agent = Agent::start(&stage);
    assert!(agent.metrics().contains("tokenhound_token_copies{store=\"gh-hosts\"} 1"), "it is known still");
    let plan = ask(&stage, &["revoke", "gh-hosts", "--dry-run"]);
    assert!(plan.code() == 0 && plan.out().contains("gh auth logout"), "{}{}", plan.out(), plan.err());
    assert_eq!(ask(&stage, &["revoke", "gh-hosts", "--wait", "0"]).code(), 3);
    // Both log out. Of bob's token there is no copy.
    fs::remove_file(&other).unwrap();
    fs::remove_file(&store).unwrap();
    agent.until("what remains", |all| about(all, "revocation-incomplete", &name).is_some());
    assert!(about(&agent.findings(""), "revocation-incomplete", "homes/bob").is_none());
    assert!(agent.metrics().contains("tokenhound_exposure_seconds_count{store=\"gh-hosts\"}"), "{}", agent.metrics());
    assert_eq!(ask(&stage, &["revoke", "gh-hosts", "--wait", "0"]).code(), 3, "the copy");
    // It waits until the last is gone.
    let mut waits = Command::new(process::tokenhound());
    let waits = waits.args(["revoke", "gh-hosts", "--wait", "60", "--state-dir"]).arg(stage.path("state"));
    let mut waits = waits.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    fs::remove_file(&script).unwrap();
    let ended = waits.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "nothing remains");
    let _ = agent.stop();
    for file in fs::read_dir(stage.path("state")).unwrap().flatten() {
        stage.search("the state", &fs::read(file.path()).unwrap());
    }
}
