//! The agent itself, behind its own filter of system calls, with few capabilities and Landlock, and three sinks over TLS and
//! gRPC: what it finds reaches each of them, over its own death and theirs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tokenhound_tests::{agent::Agent, finding::Finding, http, process::run, skip, stage::Stage, store::Store};
use tonic::Code;

use crate::{
    certificates::Certificates,
    otlp::{Logs, Running, Say},
    syslog::Rsyslog,
    web::{Act, Web},
    webhook,
};

/// Stolen while every receiver works, while one stands still and the others answer with errors, while all are gone, and
/// after the agent was killed. Each is another store: another token, another finding.
const STOLEN: [Store; 4] = [Store::GhHosts, Store::AwsCredentials, Store::Npmrc, Store::DockerConfig];

/// The three receivers, and what each has.
struct Receivers {
    web: Web,
    rsyslog: Rsyslog,
    logs: Logs,
    port: u16,
    running: Option<Running>,
}

impl Receivers {
    fn start(certificates: &Certificates, directory: &Path) -> Self {
        let (logs, port) = (Logs::default(), http::free_port());
        Self {
            web: Web::start(Some(webhook::tls(certificates))),
            rsyslog: Rsyslog::start(directory),
            running: Some(logs.serve(port)),
            logs,
            port,
        }
    }

    /// The configuration of an agent that sends to all three.
    fn config(&self, certificates: &Certificates) -> String {
        let file = |name: &str| certificates.path(name).display().to_string();
        let keys =
            format!("ca: {}, certificate: {}, key_file: {}", file("ca.pem"), file("client.pem"), file("client.key"));
        format!(
            "history: {{alike: 1000000}}\nsinks:\n\
             - {{name: web, type: webhook, url: 'https://localhost:{}/in', timeout: 1s, {keys}}}\n\
             - {{name: log, type: syslog, transport: tls, address: 'localhost:{}', timeout: 2s, {keys}}}\n\
             - {{name: otlp, type: otlp, protocol: grpc, url: 'http://127.0.0.1:{}', timeout: 1s}}\n",
            self.web.port, self.rsyslog.tls, self.port
        )
    }

    /// The uids that each has taken, those that came twice once.
    fn have(&self) -> [BTreeSet<String>; 3] {
        let all = [webhook::uids(&self.web.taken()), self.rsyslog.uids(), self.logs.taken()];
        all.map(|uids| uids.into_iter().collect())
    }

    /// The webhook and OTLP answer with errors and not at all, rsyslog stands still.
    fn trouble(&self) {
        self.web.then([Act::Answer(503, ""), Act::Stall]);
        self.logs.then([Say::No(Code::Unavailable), Say::Nothing]);
        self.rsyslog.signal(Signal::STOP);
    }

    /// All of them go away; rsyslog dies with what it has not read.
    fn stop(&mut self) {
        self.rsyslog.kill();
        self.web.stop();
        drop(self.running.take());
    }

    fn restart(&mut self) {
        self.web.restart();
        self.rsyslog.restart();
        self.running = Some(self.logs.serve(self.port));
    }
}

/// Uid and store's path of each finding so far.
fn found(agent: &Agent<'_>) -> BTreeSet<(String, String)> {
    let uid = |finding: &Finding| finding.0.pointer("/metadata/uid").unwrap().as_str().unwrap().to_owned();
    agent.findings("").iter().map(|finding| (uid(finding), finding.path().to_owned())).collect()
}

fn uids(found: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    found.iter().map(|(uid, _)| uid.clone()).collect()
}

fn steal(agent: &mut Agent<'_>, home: &Path, store: &Path) {
    agent.provoke(&store.display().to_string(), || {
        assert_eq!(run(Command::new("cat").arg(store).env("HOME", home), b"").code(), 0);
    });
}

/// Waits until every receiver has what the agent has found until now.
fn all_there(agent: &mut Agent<'_>, receivers: &Receivers) {
    let wanted = uids(&found(agent));
    agent.process.until("findings at every receiver", || {
        receivers.have().iter().all(|have| have.is_superset(&wanted)).then_some(())
    });
}

/// A number of a sink in the agent's metrics.
fn number(metrics: &str, name: &str, sink: &str) -> u64 {
    let label = format!("tokenhound_sink_{name}{{sink=\"{sink}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&label)).map_or(0, |value| value.parse().unwrap())
}

fn is_confined(agent: &Agent<'_>) {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.pid())).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "no {line} in {status}");
    }
}

#[test]
fn what_a_confined_agent_finds_reaches_every_sink() {
    if !skip::native("the kernel makes no difference to sinks") || !skip::has(&["rsyslogd", "openssl"]) {
        return;
    }
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let stores: Vec<PathBuf> = STOLEN.iter().map(|store| store.put(&stage, &home)).collect();
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path());
    let mut receivers = Receivers::start(&certificates, directory.path());
    let config = stage.file("etc/tokenhound.yaml", receivers.config(&certificates));
    let start = || {
        Agent::start_with(&stage, |command| {
            command.arg("--config").arg(&config);
        })
    };

    let mut agent = start();
    is_confined(&agent);
    steal(&mut agent, &home, &stores[0]);
    all_there(&mut agent, &receivers);
    receivers.trouble();
    steal(&mut agent, &home, &stores[1]);
    agent.process.until("a failure of each", || {
        let metrics = http::get(agent.port, "/metrics")?.1;
        ["web", "otlp"].iter().all(|sink| number(&metrics, "failed_total", sink) > 0).then_some(())
    });
    receivers.stop();
    steal(&mut agent, &home, &stores[2]);
    let before = found(&agent);
    drop(agent.kill());

    let mut agent = start();
    receivers.restart();
    steal(&mut agent, &home, &stores[3]);
    all_there(&mut agent, &receivers);
    let all = found(&agent);
    assert!(all.is_superset(&before), "the agent's own file has lost {:?}", before.difference(&all));
    for store in &stores {
        assert!(all.iter().any(|(_, path)| Path::new(path) == store), "{} is in no finding", store.display());
    }
    // A receiver has it before the agent has its answer.
    agent.process.until("deliveries to each", || {
        let metrics = http::get(agent.port, "/metrics")?.1;
        ["web", "log", "otlp"].iter().all(|sink| number(&metrics, "delivered_total", sink) > 0).then_some(())
    });
    let metrics = agent.metrics();
    for sink in ["web", "log", "otlp"] {
        assert_eq!(number(&metrics, "set_aside_total", sink) + number(&metrics, "dropped_total", sink), 0, "{sink}");
    }
    let ended = agent.stop();
    assert!(ended.err().contains("rights were given up"), "{}", ended.err());
}
