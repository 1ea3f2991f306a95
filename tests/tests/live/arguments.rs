//! Tokens on command lines: recognised by their fingerprint, and replaced before anything else sees them.

use std::{fs, path::Path, process::Command};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process::{self, Background},
    skip,
    stage::Stage,
    store::Store,
    token,
};

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
    let secret = secret(&fs::read_to_string(&store).unwrap());
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

/// A program with this name, far from where programs are installed, that waits for its end.
fn waiting(directory: &Path, name: &str) -> Command {
    let program = directory.join(name);
    // By another program. What this one has open for writing is open for a moment in whatever other tests start, and
    // cannot be executed until then.
    let copied = process::run(Command::new("cp").arg("/usr/bin/dash").arg(&program), b"");
    assert_eq!(copied.code(), 0, "{}", copied.err());
    let mut command = Command::new(program);
    command.args(["-c", "read line; :"]);
    command
}

/// Of a long command line and a large environment the kernel hands over the beginning only.
#[test]
fn a_token_behind_padding() {
    if !skip::has(&["/usr/bin/dash"]) {
        return;
    }
    let stage = Stage::new();
    let home = stage.directory("homes/ann");
    let store = Store::AwsCredentials.put(&stage, &home);
    let secret = secret(&fs::read_to_string(&store).unwrap());
    let (other, padding) = (token::plain("", secret.len()), "x".repeat(10 << 10));
    let temporary = tempfile::tempdir_in("/tmp").unwrap();
    let mut agent = Agent::start(&stage);
    print(&home, "");
    agent.process.until("the token", || is_known(&stage, &store).then_some(()));
    let start = |name: &str, secret: &str| {
        let mut arguments = waiting(temporary.path(), &format!("{name}-arguments"));
        arguments.args(["--data", &padding, &format!("key={secret};")]);
        let mut environment = waiting(temporary.path(), &format!("{name}-environment"));
        environment.env("A_PADDING", &padding).env("Z_TOKEN", secret);
        [arguments, environment].map(|mut command| Background::start(&mut command))
    };
    // The twins first: what is found of the others is found later.
    let twins = start("twin", &other);
    let thieves = start("thief", &secret);
    for (name, said) in
        [("thief-arguments", "argument 5 of its command line"), ("thief-environment", "variable Z_TOKEN")]
    {
        let found = agent.finding(&format!("{}/{name}", temporary.path().display()));
        assert_eq!(found.detector(), "secret-in-arguments", "{}", found.brief());
        for said in [said, "th1:", "aws-credentials"] {
            assert!(found.mentions(said), "{said}: {}", found.0);
        }
    }
    assert!(agent.metrics().contains("tokenhound_starts_read_total{outcome=\"found\"}"), "{}", agent.metrics());
    let of_twins = agent.findings(&format!("{}/twin-", temporary.path().display()));
    assert!(of_twins.is_empty(), "{:?}", of_twins.iter().map(Finding::brief).collect::<Vec<_>>());
    for mut process in twins.into_iter().chain(thieves) {
        let _ = process.stop();
    }
    let _ = agent.stop();
}
