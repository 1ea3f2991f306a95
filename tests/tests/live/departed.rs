//! Tokens that have left their stores, over two kills of the agent: copies of them are recognised as before, nothing is told
//! twice, and what is told is closed.

use std::{fs, io::Write, path::Path, process::Command};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process,
    stage::{Stage, set_mode},
    store::Store,
};

use crate::lifecycle::is_known;

/// Each reads its store into a script. Of the first two the token leaves while the agent runs, of the third while none does.
const EDITED: Store = Store::GhHosts;
const UNTOUCHED: Store = Store::Npmrc;
const LATE: Store = Store::GitCredentials;

/// It stays where it is, and others may read it.
const EXPOSED: Store = Store::AwsCredentials;

fn shell(home: &Path, line: &str) {
    let ended = process::run(Command::new("dash").args(["-c", line]).env("HOME", home).current_dir("/"), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

fn script(home: &Path, store: Store) -> String {
    // Not called as the store is: what looks like a new version of it beside it is looked at once more first.
    home.join(format!("deploy-to-{}.sh", store.id().len())).display().to_string()
}

/// How often something was told about a text.
fn count(findings: &[Finding], detector: &str, texts: &[&str]) -> usize {
    let is = |finding: &&Finding| finding.detector() == detector && texts.iter().all(|text| finding.mentions(text));
    findings.iter().filter(is).count()
}

/// How often something was told of a file.
fn of_file(findings: &[Finding], detector: &str, path: &str) -> usize {
    findings.iter().filter(|finding| finding.detector() == detector && finding.path() == path).count()
}

/// How often it was told that a token was put into a file.
fn copied(findings: &[Finding], copy: &str) -> usize {
    count(findings, "token-copied", &[&format!("into {copy}, ")])
}

fn incomplete(findings: &[Finding], copy: &str, said: &str) -> usize {
    count(findings, "revocation-incomplete", &[copy, said])
}

fn append(file: &str, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

const PRESENT: &str = "is as it was when the token was found";
const CHANGED: &str = "was changed since";

#[test]
fn tokens_that_have_left_are_known_after_a_kill() {
    let stage = Stage::new();
    let home = stage.directory("homes/ann");
    let [edited, untouched, late, exposed] = [EDITED, UNTOUCHED, LATE, EXPOSED].map(|store| store.put(&stage, &home));
    stage.open_to_others();
    set_mode(&exposed, 0o644);
    let mut agent = Agent::start(&stage);
    shell(&home, ":");
    let all = [&edited, &untouched, &late, &exposed];
    agent.process.until("the tokens", || all.iter().all(|store| is_known(&stage, store)).then_some(()));
    let scripts = [EDITED, UNTOUCHED, LATE].map(|store| script(&home, store));
    let [edited_copy, untouched_copy, late_copy] = &scripts;
    for (store, script) in [EDITED, UNTOUCHED, LATE].iter().zip(&scripts) {
        let line = format!("cat \"$HOME/{}\" > '{script}'; :", store.place());
        // Again until it is told: the first read of all brings the hooks on closes.
        agent.provoke(&format!("into {script}, "), || shell(&home, &line));
    }
    let of_exposed = exposed.display().to_string();
    agent.until("the exposure", |all| of_file(all, "store-exposed", &of_exposed) > 0);
    fs::remove_file(&edited).unwrap();
    fs::remove_file(&untouched).unwrap();
    let remains =
        |all: &[Finding]| [edited_copy, untouched_copy].iter().all(|script| incomplete(all, script, PRESENT) > 0);
    agent.until("what remains", remains);
    // What was told is written down right after.
    agent.process.until("the end of the stores", || {
        [&edited, &untouched].iter().all(|store| !is_known(&stage, store)).then_some(())
    });
    let before = Finding::all(&agent.kill());

    // While no agent runs: one copy is edited, and another token is revoked and its copy edited.
    append(edited_copy, "# edited\n");
    append(late_copy, "# edited\n");
    fs::remove_file(&late).unwrap();
    let mut agent = Agent::start(&stage);
    for copy in [edited_copy, late_copy] {
        agent.until("the copy that was changed", |all| incomplete(all, copy, CHANGED) > 0);
        // That takes a look into the file, with what recognises the token.
        agent.until("the copy that is confirmed", |all| {
            incomplete(all, copy, PRESENT) > incomplete(&before, copy, PRESENT)
        });
    }
    // A new copy, by somebody who has read no store: histories are looked into. And its twin.
    let bob = stage.directory("homes/bob");
    let [history, twin] = [&home, &bob].map(|home| home.join(".bash_history").display().to_string());
    shell(&bob, "echo 'export NPM=npm_nobody' >> \"$HOME/.bash_history\"");
    let line = format!("cat '{untouched_copy}' >> \"$HOME/.bash_history\"");
    // Where a home is, is learnt from programs: again and again until it is known.
    agent.provoke(&format!("into {history}, "), || shell(&home, &line));
    let _ = agent.kill();

    // While no agent runs: all copies are cleaned.
    for copy in [edited_copy, late_copy, &history, untouched_copy] {
        fs::write(copy, "cleaned\n").unwrap();
    }
    let mut agent = Agent::start(&stage);
    let closed = |all: &[Finding]| {
        [&edited, &untouched, &late].iter().all(|store| {
            let lay = store.display().to_string();
            count(all, "revocation-incomplete", &["Nothing is left", &lay]) > 0
        })
    };
    agent.until("their end", closed);
    let found = agent.findings("");
    for copy in &scripts {
        let told = copied(&before, copy);
        assert_eq!(copied(&found, copy), told, "{copy}: not told again, over two kills");
    }
    let told = of_file(&before, "store-exposed", &of_exposed);
    assert_eq!(of_file(&found, "store-exposed", &of_exposed), told, "not told again, over two kills");
    assert_eq!(copied(&found, &twin), 0);
    let _ = agent.stop();
    for file in fs::read_dir(stage.path("state")).unwrap().flatten() {
        stage.search("the state", &fs::read(file.path()).unwrap());
    }
}
