//! The policy of a running agent: read anew without a gap, and kept where the new one is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tokenhound_tests::{
    agent::{self, Agent},
    process::{self, Background},
    skip,
    stage::{NOBODY, Stage, set_mode},
    store::Store,
    watch::{self, Watch},
};

/// The agent, asked to read its policy anew.
fn hang_up(agent: &Agent<'_>) {
    let pid = rustix::process::Pid::from_child(&agent.process.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}

/// All reads of the store, and those with this verdict.
fn of(metrics: &str, verdict: &str) -> (u64, u64) {
    let lines = metrics.lines().filter(|line| line.starts_with("tokenhound_store_reads_total{"));
    let of_store: Vec<&str> = lines.filter(|line| line.contains(&format!("store=\"{STORE}\""))).collect();
    let sum = |with: &str| {
        let lines = of_store.iter().filter(|line| line.contains(with));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    (sum(""), sum(&format!("verdict=\"{verdict}\"")))
}

fn reads(agent: &Agent<'_>, verdict: &str) -> (u64, u64) {
    of(&agent.metrics(), verdict)
}

struct Rules {
    file: PathBuf,
    loads: u64,
}

impl Rules {
    /// As an editor does it: the file is never half there.
    fn write(&self, text: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    /// Writes the file, and waits until the agent has read it.
    fn change(&mut self, agent: &mut Agent<'_>, text: &str, outcome: &str) {
        self.write(text);
        self.loads += u64::from(outcome == "loaded");
        hang_up(agent);
        let (loads, refused) = (self.loads, u64::from(outcome == "refused"));
        let port = agent.port;
        agent.process.until(&format!("a policy that is {outcome}"), || {
            let (_, metrics) = tokenhound_tests::http::get(port, "/metrics")?;
            let is = |series: &str, value: u64| metrics.lines().any(|line| line == format!("{series} {value}"));
            let counted = is("tokenhound_policy_loads_total{outcome=\"loaded\"}", loads);
            (counted && is("tokenhound_policy_refused", refused)).then_some(())
        });
    }
}

fn read(program: &Path, store: &Path, home: &Path) {
    let mut command = Command::new(program);
    let status = command.arg(store).env("HOME", home).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{}: {status}", program.display());
}

/// A store that nobody else on this machine has, so that its reads can be counted.
const STORE: &str = "story-of-the-policy";

fn catalogue(stage: &Stage) -> PathBuf {
    let path = stage.path("vault/credentials");
    let text = format!(
        "stores:\n  - {{id: {STORE}, tool: a tool, vendor: nobody, family: story, role: store, tier: 1, kind: [access_token],\n     \
         paths: ['{}'], format: plain, readers: [{{role: owner, exe: [nobody-at-all]}}], reader_scope: narrow,\n     \
         session_scope: cli_login, staleness: none, verification: unverified, source: this test}}\n",
        path.display()
    );
    stage.file("catalogue.d/story.yaml", text);
    path
}

#[test]
fn it_is_read_anew_without_a_gap() {
    let stage = Stage::new();
    let reader = stage.program("story-backup", Path::new("/usr/bin/head"));
    let vault = catalogue(&stage);
    let store = Store::Netrc.put_at(&stage, &vault);
    let home = stage.directory("homes/victim");
    let capture = stage.path("out/capture");
    let mut rules = Rules { file: stage.file("policy.d/rules.yaml", ""), loads: 1 };
    let mut agent = Agent::start_with(&stage, |command| {
        command.arg("--record").arg(&capture);
    });
    let exception = format!(
        "exceptions:\n  - reason: the backup of this test\n    store: {STORE}\n    reader: {}\n",
        reader.display()
    );
    let mut count = 0;
    let mut read_by = |agent: &mut Agent<'_>, program: &Path, verdict: &str| {
        count += 1;
        let (_, before) = reads(agent, verdict);
        read(program, &store, &home);
        let port = agent.port;
        agent.process.until(&format!("a read that is {verdict}"), || {
            let (_, metrics) = tokenhound_tests::http::get(port, "/metrics")?;
            (of(&metrics, verdict).1 > before).then_some(())
        });
        count
    };

    read_by(&mut agent, &reader, "unexpected");
    rules.change(&mut agent, &exception, "loaded");
    read_by(&mut agent, &reader, "tolerated");
    // The thief is another program at the same store.
    read_by(&mut agent, Path::new("/usr/bin/head"), "unexpected");
    // A bad one changes nothing, and says so.
    rules.change(&mut agent, &exception.replace("store:", "stroe:"), "refused");
    read_by(&mut agent, &reader, "tolerated");
    rules.change(&mut agent, "# nothing\n", "loaded");
    let so_far = read_by(&mut agent, &reader, "unexpected");

    // While it changes again and again, each read is judged once, by one of the two.
    const READS: u64 = 60;
    for at in 0..READS {
        let text = if at % 2 == 0 { exception.as_str() } else { "# nothing\n" };
        rules.write(text);
        hang_up(&agent);
        read(&reader, &store, &home);
    }
    let port = agent.port;
    agent.process.until("each of the reads", || {
        let (_, metrics) = tokenhound_tests::http::get(port, "/metrics")?;
        (of(&metrics, "tolerated").0 >= so_far + READS).then_some(())
    });
    assert_eq!(reads(&agent, "tolerated").0, so_far + READS);

    ended(&stage, agent, &rules, &capture);
}

/// What it said of the bad file, and what it recorded.
fn ended(stage: &Stage, agent: Agent<'_>, rules: &Rules, capture: &Path) {
    let findings = stage.path("out/agent-findings");
    let ended = agent.stop();
    for said in ["did you mean \\\"store\\\"?", "the one of before holds"] {
        assert!(ended.err().contains(said), "{said}: {}", ended.err());
    }
    // The capture knows which policy held when. At the start the file was empty.
    rules.write("");
    let (replayed, said) = watch::replay(stage, capture);
    // Which incidents they belong to is the agent's to say.
    let alone = |line: &str| {
        let mut finding: Value = serde_json::from_str(line).unwrap();
        for (at, key) in [("/metadata", "correlation_uid"), ("/unmapped/tokenhound", "incident")] {
            finding.pointer_mut(at).and_then(Value::as_object_mut).unwrap().remove(key);
        }
        finding
    };
    let told: Vec<Value> = fs::read_to_string(findings).unwrap().lines().map(alone).collect();
    let again: Vec<Value> = replayed.lines().map(alone).collect();
    assert!(again == told, "a replay gives {} findings, told were {}, or others; {said}", again.len(), told.len());
    assert!(!said.contains("another") && !said.contains("read anew"), "{said}");
}

/// `tokenhound policy ...` with the stage's catalogue.
fn policy(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(process::tokenhound());
    command.arg("policy").args(arguments).arg("--catalogue").arg(stage.path("catalogue.d"));
    command
}

/// Watches while `act` is done, and returns the policy that was learnt.
fn learn(stage: &Stage, name: &str, act: impl FnOnce()) -> String {
    let file = stage.path(&format!("out/{name}.yaml"));
    let mut command = policy(stage, &["learn", "--for", "1h"]);
    command.arg("--out").arg(&file).arg("--policy").arg(stage.path("policy.d"));
    // There is one agent at a time, and this is one.
    let _one = agent::alone();
    let mut learning = Background::start(&mut command);
    learning
        .until("a policy that is being learnt", || fs::metadata(&file).is_ok_and(|file| file.len() > 0).then_some(()));
    act();
    let ended = learning.stop();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let text = fs::read_to_string(&file).unwrap();
    stage.search("the policy", text.as_bytes());
    stage.search("standard error", &ended.stderr);
    text
}

/// The policy that is learnt of what a script does.
fn learn_from(stage: &Stage, home: &Path, name: &str, script: &str) -> String {
    let watch = Watch::new(stage).env("HOME", home).arg("--fail-on").arg("none");
    // What the command prints is passed through, and would be a token here.
    let watched = watch.run(["dash", "-c", &format!("exec >/dev/null; {script}")]);
    let file = stage.path(&format!("out/{name}.yaml"));
    let mut command = policy(stage, &["learn"]);
    let ended = process::run(command.arg("--captures").arg(&watched.capture).arg("--out").arg(&file), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    fs::read_to_string(&file).unwrap()
}

/// Of the whole machine. Other tests steal beside this one, so that what is theirs may make a sweep of it.
#[test]
fn it_is_learnt_while_it_happens() {
    let stage = Stage::new();
    let store = Store::Netrc.put_at(&stage, &catalogue(&stage));
    let backup = stage.program("story-backup", Path::new("/usr/bin/head"));
    let text = learn(&stage, "learnt", || alone(Command::new(&backup).arg(&store)));
    let proposed = text.contains(&format!("    reader: {}\n", backup.display()));
    let beside = text.contains(&format!("# - {} at {STORE} (1): it, or what ran beside it", backup.display()));
    assert!(proposed || beside, "{text}");
    let file = stage.file("policy.d/learnt.yaml", &text);
    let checked = process::run(policy(&stage, &["check"]).arg(&file), b"");
    assert_eq!(checked.code(), 0, "{}", checked.out());
    // A policy that is there is left alone.
    let mut again = policy(&stage, &["learn", "--for", "1s"]);
    let ended = process::run(again.arg("--out").arg(&file), b"");
    assert!(ended.code() == 2 && ended.err().contains("create "), "{}", ended.err());
}

fn refused(text: &str, program: &Path, why: &str) {
    let line = text.lines().find(|line| line.starts_with(&format!("# - {} ", program.display())) && line.contains(why));
    assert!(line.is_some(), "{}: {why} is not in\n{text}", program.display());
}

#[test]
fn it_is_learnt_and_thefts_are_not() {
    let stage = Stage::new();
    stage.open_to_others();
    let vault = catalogue(&stage);
    let home = stage.directory("homes/victim");
    let store = Store::Netrc.put_at(&stage, &vault);
    let backup = stage.program("story-backup", Path::new("/usr/bin/head"));
    // The same program where its user can put another one in its place.
    let own = stage.directory("homes/nobody");
    let theirs = own.join("story-backup");
    fs::copy(&backup, &theirs).unwrap();
    Stage::give_to_nobody(&own);
    set_mode(&store, 0o644);
    let (sweeper, gh) = (stage.program("story-sweep", Path::new("/usr/bin/head")), Store::GhHosts.put(&stage, &home));
    let (aws, docker) = (Store::AwsCredentials.put(&stage, &home), Store::DockerConfig.put(&stage, &home));
    let quoted = |path: &Path| format!("'{}'", path.display());
    let (vault, tool) = (quoted(&store), quoted(&backup));
    let script = format!(
        "{tool} {vault}; {tool} {vault}; sh -c 'read -r line < \"$0\"' {vault}; \
         setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {} {vault}; exit 0",
        quoted(&theirs)
    );
    let text = learn_from(&stage, &home, "learnt", &script);
    let reader = format!("    reader: {}\n", backup.display());
    assert!(text.contains(&reader) && text.contains(&format!("    store: {STORE}\n")), "{text}");
    // Two processes: two findings.
    assert!(text.contains("  # 2 findings, "), "{text}");
    refused(&text, &theirs, "its user can write it");
    refused(&text, Path::new("/usr/bin/dash"), "typed or piped in");
    assert!(!text.contains(&format!("reader: {}\n", theirs.display())), "{text}");
    // A sweep, and what runs beside it.
    let files = [&gh, &aws, &docker].map(|path| quoted(path)).join(" ");
    let script = format!("{tool} {vault}; {} {files}; exit 0", quoted(&sweeper));
    let swept = learn_from(&stage, &home, "swept", &script);
    for program in [&sweeper, &backup] {
        refused(&swept, program, "touched three or more");
        assert!(!swept.contains(&format!("reader: {}\n", program.display())), "{swept}");
    }

    // What was learnt is right, and says what it says.
    let file = stage.file("policy.d/learnt.yaml", &text);
    let checked = process::run(policy(&stage, &["check", "--strict"]).arg(&file), b"");
    assert_eq!(checked.code(), 0, "{}", checked.out());
    in_force(&stage, &file, &backup, &store);
}

/// The file that was learnt, in force and tried.
fn in_force(stage: &Stage, file: &Path, backup: &Path, store: &Path) {
    let capture = stage.path("out/capture");
    let mut agent = Agent::start_with(stage, |command| {
        command.arg("--record").arg(&capture);
    });
    alone(Command::new(backup).arg(store));
    agent.process.until("a read that is tolerated", || (reads_at(agent.port, "tolerated").1 > 0).then_some(()));
    alone(Command::new("/usr/bin/tail").arg(store));
    agent.finding(&store.display().to_string());
    agent.stop();

    // Without the file there is one more.
    let mut test = policy(stage, &["test"]);
    let tested = process::run(test.arg(file).arg("--captures").arg(&capture), b"");
    assert_eq!(tested.code(), 0, "{}{}", tested.out(), tested.err());
    let line =
        |what: &str, program: &str| tested.out().lines().any(|line| line.contains(what) && line.contains(program));
    assert!(line("vanishes", &format!("{} read {}", backup.display(), store.display())), "{}", tested.out());
    assert!(line("stays", &format!("/usr/bin/tail read {}", store.display())), "{}", tested.out());
    let strict = process::run(test.arg("--none-vanish"), b"");
    assert_eq!(strict.code(), 3, "{}", strict.err());
}

fn reads_at(port: u16, verdict: &str) -> (u64, u64) {
    let metrics = tokenhound_tests::http::get(port, "/metrics").map(|(_, metrics)| metrics).unwrap_or_default();
    of(&metrics, verdict)
}

/// Runs it in a session of its own, below nothing that others run below, and waits for it.
fn alone(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// The policy that is shipped: backup by cron as root is let be, and the same program run by anybody else is not.
#[test]
fn a_backup_by_cron_is_no_thief() {
    if !skip::has(&["restic", "dash", "setsid"]) {
        return;
    }
    let stage = Stage::new();
    let dash = fs::canonicalize(skip::program("dash").unwrap()).unwrap();
    let play = |name: &str| {
        let home = stage.directory(&format!("homes/{name}"));
        for store in [Store::GhHosts, Store::Netrc, Store::DockerConfig] {
            store.put(&stage, &home);
        }
        let cron = stage.program(name, &dash);
        let repository = stage.path(&format!("repository-{name}"));
        let run = format!("restic --no-cache --quiet --repo '{}'", repository.display());
        let job = format!("{run} init && setsid --wait dash -c '{run} backup \"$HOME\"; exit $?'; exit $?");
        let watch =
            Watch::new(&stage).env("HOME", &home).env("RESTIC_PASSWORD", "made-up").arg("--fail-on").arg("none");
        watch.run([cron.as_os_str(), "-c".as_ref(), job.as_ref()])
    };
    let watched = play("cron");
    assert_eq!(watched.ended.code(), 0, "{}", watched.story());
    for store in [Store::GhHosts, Store::Netrc, Store::DockerConfig] {
        assert!(watched.reads(store.id(), "restic", "tolerated") > 0, "{}", watched.story());
    }
    assert!(watched.findings.is_empty(), "{}", watched.story());
    let watched = play("corn");
    assert_eq!(watched.of("credential-sweep").len(), 1, "{}", watched.story());
    assert!(watched.reads(Store::GhHosts.id(), "restic", "unexpected") > 0, "{}", watched.story());
}
