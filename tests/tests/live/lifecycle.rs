//! The life of a token, from a login at a terminal to its removal: told when it outlives its session, when automation takes
//! it, and when others can get at it. Each with its innocent twin.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process, skip,
    stage::{Stage, set_mode},
    store::Store,
    token,
};

use crate::{actor, innocents::in_venv};

/// A session may be over for a second. Of other stores nothing is said here: the machine has its own.
const POLICY: &str = "tokens:\n  - reason: this test has no time\n    store: aws-credentials\n    session_grace: 1s\n";

/// Logs in as root at a terminal, types these lines and logs out.
fn log_in(stage: &Stage, home: &Path, lines: &[String]) {
    let mut command = Command::new(actor(stage, "typist"));
    command.args(["type", "unset HISTFILE"]).arg(format!("export HOME='{}'; cd", home.display()));
    command.args(lines).args(["--", "login", "-f", "root"]);
    let ended = process::run(&mut command, b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
}

/// The real AWS CLI asks for a key and stores it.
fn configure(stage: &Stage, aws: &Path) -> String {
    let (id, secret) = (token::aws_key_id(), token::plain("", 40));
    stage.hide(&id);
    stage.hide(&secret);
    let answers = stage.file("answers", format!("{id}\n{secret}\neu-central-1\njson\n"));
    format!("{} configure < {} >/dev/null", aws.display(), answers.display())
}

/// A job of something that is called and installed like cron runs the AWS CLI, which reads its store.
fn by_cron(stage: &Stage, home: &Path, aws: &Path) {
    let dash = fs::canonicalize(skip::program("dash").unwrap()).unwrap();
    let cron = stage.program("cron", &dash);
    set_mode(&cron, 0o755);
    let job = format!("setsid --wait dash -c '{} configure get aws_access_key_id >/dev/null; :'; :", aws.display());
    let ended = process::run(Command::new(cron).args(["-c", &job]).env("HOME", home), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

fn about<'f>(findings: &'f [Finding], detector: &str, path: &Path) -> Option<&'f Finding> {
    findings.iter().find(|finding| finding.detector() == detector && finding.path() == path.display().to_string())
}

fn tools() -> Option<PathBuf> {
    let aws = in_venv("aws").filter(|_| skip::has(&["login", "bash", "setsid", "dash"]));
    if aws.is_none() {
        skip::skip("the AWS CLI is not here");
    }
    aws
}

#[test]
fn from_login_to_removal() {
    let Some(aws) = tools() else { return };
    let stage = Stage::new();
    let home = stage.directory("homes/ann");
    let store = home.join(Store::AwsCredentials.place());
    stage.file("policy.d/tokens.yaml", POLICY);
    let mut agent = Agent::start(&stage);
    log_in(&stage, &home, &[configure(&stage, &aws)]);

    agent.until("a token that outlived its session", |all| about(all, "token-outlived-session", &store).is_some());
    let found = agent.findings(&store.display().to_string());
    let outlived = about(&found, "token-outlived-session", &store).unwrap();
    for said in ["/aws for root (interactive)", "th1:", "aws_secret_access_key", "its session is that of login"] {
        assert!(outlived.mentions(said), "{said}: {}", outlived.0);
    }

    by_cron(&stage, &home, &aws);
    agent.until("its reuse", |all| about(all, "token-reused-by-automation", &store).is_some());
    let found = agent.findings(&store.display().to_string());
    let reused = about(&found, "token-reused-by-automation", &store).unwrap();
    assert_eq!(reused.actor(), "automation", "{}", reused.brief());
    for said in ["cron", "root logged in by hand", "/aws for root (interactive)"] {
        assert!(reused.mentions(said), "{said}: {}", reused.0);
    }
    assert!(about(&found, "unexpected-reader", &store).is_none(), "the tool itself is expected: {found:?}");

    assert!(agent.metrics().contains("tokenhound_token_age_seconds{store=\"aws-credentials\"}"));
    fs::remove_file(&store).unwrap();
    agent.process.until("its end", || (!is_known(&stage, &store)).then_some(()));
    let _ = agent.stop();
    let history = fs::read(stage.path("state/history.db")).unwrap();
    stage.search("the history", &history);
}

/// Stores that were there before the agent are nobody's login, and a session that goes on is none that was outlived.
#[test]
fn what_was_there_before_is_no_login() {
    let Some(aws) = tools() else { return };
    let stage = Stage::new();
    let home = stage.directory("homes/bob");
    let store = Store::AwsCredentials.put(&stage, &home);
    stage.file("policy.d/tokens.yaml", POLICY);
    let mut agent = Agent::start(&stage);
    let look = format!("{} configure list >/dev/null", aws.display());
    log_in(&stage, &home, &[look]);
    by_cron(&stage, &home, &aws);
    // The control comes last: what comes before it would have been told by then.
    let control = stage.directory("homes/control");
    log_in(&stage, &control, &[configure(&stage, &aws)]);
    let controlled = control.join(Store::AwsCredentials.place());
    agent.until("the control", |all| about(all, "token-outlived-session", &controlled).is_some());
    let found = agent.findings(&store.display().to_string());
    for detector in ["token-outlived-session", "token-reused-by-automation", "stale-token"] {
        assert!(about(&found, detector, &store).is_none(), "{found:?}");
    }
    let _ = agent.stop();
}

/// What was known goes on: the session ends while no agent runs.
#[test]
fn a_session_that_ends_while_no_agent_runs() {
    let Some(aws) = tools() else { return };
    let stage = Stage::new();
    let home = stage.directory("homes/cid");
    let store = home.join(Store::AwsCredentials.place());
    let policy = stage.file("policy.d/tokens.yaml", POLICY.replace("1s", "1h"));
    let mut agent = Agent::start(&stage);
    log_in(&stage, &home, &[configure(&stage, &aws)]);
    agent.process.until("the token", || is_known(&stage, &store).then_some(()));
    let _ = agent.stop();
    fs::write(policy, POLICY).unwrap();
    let mut agent = Agent::start(&stage);
    agent.until("what it knew before", |all| about(all, "token-outlived-session", &store).is_some());
    let _ = agent.stop();
    // Removed while none runs: its state closes.
    fs::remove_file(&store).unwrap();
    assert!(is_known(&stage, &store));
    let mut agent = Agent::start(&stage);
    agent.process.until("the end of what it knew", || (!is_known(&stage, &store)).then_some(()));
    let _ = agent.stop();
}

#[test]
fn a_store_that_is_opened_to_others() {
    let stage = Stage::new();
    let home = stage.directory("homes/dan");
    let (open, closed) = (Store::AwsCredentials.put(&stage, &home), Store::GhHosts.put(&stage, &home));
    for path in [&open, &closed] {
        set_mode(path, 0o600);
    }
    stage.open_to_others();
    set_mode(closed.parent().unwrap(), 0o700);
    let mut agent = Agent::start(&stage);
    // Where a home is, is learnt from programs.
    process::run(Command::new("/bin/true").env("HOME", &home), b"");
    agent.process.until("the tokens", || [&open, &closed].iter().all(|store| is_known(&stage, store)).then_some(()));
    set_mode(&open, 0o644);
    agent.until("the exposure", |all| about(all, "store-exposed", &open).is_some());
    let found = agent.findings(&home.display().to_string());
    let exposed = about(&found, "store-exposed", &open).unwrap();
    assert!(exposed.mentions("every user may read it (mode 0644"), "{}", exposed.0);
    assert!(about(&found, "store-exposed", &closed).is_none(), "{found:?}");
    let _ = agent.stop();
}

/// Does the agent know of a token there? It writes down what it knows soon after.
pub(crate) fn is_known(stage: &Stage, store: &Path) -> bool {
    let mut list = Command::new(process::tokenhound());
    let ended = process::run(list.arg("tokens").arg("--state-dir").arg(stage.path("state")), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    stage.search("the list of tokens", &ended.stdout);
    ended.out().lines().any(|line| line.starts_with(&format!("{} ", store.display())))
}
