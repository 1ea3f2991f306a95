//! Tokens on command lines: recognised by their fingerprint, and replaced before anything else sees them.

use std::{path::Path, process::Command};

use tokenhound_tests::{agent::Agent, process, skip, stage::Stage, store::Store, token};

use crate::lifecycle::is_known;

/// The AWS secret access key of a store with this content: of no shape that redaction knows by itself.
fn secret(content: &str) -> String {
    let line = content.lines().find_map(|line| line.strip_prefix("aws_secret_access_key"));
    line.expect("a secret access key").trim_start_matches([' ', '=']).trim().to_owned()
}

fn print(home: &Path, what: &str) {
    let ended = process::run(Command::new("/usr/bin/printf").args(["%s", what]).env("HOME", home), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

/// A script of its own session runs the program with these arguments: the agent tells one token of a session once.
fn run(stage: &Stage, home: &Path, program: &str, arguments: &str) {
    let script = stage.file("run.sh", format!("exec {program} {arguments}\n"));
    let ended = process::run(Command::new("setsid").args(["--wait", "sh"]).arg(script).env("HOME", home), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

#[test]
fn a_token_on_a_command_line() {
    if !skip::has(&["setsid", "sh", "base64", "/usr/bin/printf", "/usr/bin/echo"]) {
        return;
    }
    let stage = Stage::new();
    let home = stage.directory("homes/ann");
    let store = Store::AwsCredentials.put(&stage, &home);
    let secret = secret(&std::fs::read_to_string(&store).unwrap());
    let encoded = {
        let mut base64 = Command::new("base64");
        process::run(base64.arg("-w0"), format!("user:{secret}:rest").as_bytes()).out()
    };
    stage.hide(&encoded);
    let mut agent = Agent::start(&stage);
    print(&home, "");
    agent.process.until("the token", || is_known(&stage, &store).then_some(()));
    let named = |name: &str| stage.program(name, Path::new("/usr/bin/echo")).display().to_string();
    let (plain, coded, other) = (named("say-plain"), named("say-coded"), named("say-other"));
    // Another secret of the same length is none that is known.
    run(&stage, &home, &other, &token::plain("", secret.len()));
    let found = agent.provoke(&plain, || run(&stage, &home, &plain, &format!("--word 'key={secret};'")));
    assert_eq!(found.detector(), "secret-in-arguments", "{}", found.brief());
    for said in ["argument 2 of its command line", "th1:", "aws-credentials"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }
    let found = agent.provoke(&coded, || run(&stage, &home, &coded, &encoded));
    assert_eq!(found.detector(), "secret-in-arguments", "{}", found.brief());
    assert!(agent.findings(&other).is_empty(), "{:?}", agent.findings(&other));
    // It searches all that was written for the tokens.
    let _ = agent.stop();
}
