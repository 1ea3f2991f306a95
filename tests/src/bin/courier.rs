//! Hands made-up entries to one sink, as the agent does, without a kernel: `courier CONFIG CURSOR COUNT KIND`.
//!
//! CONFIG is a configuration of tokenhound with one sink. CURSOR is the file in which it notes how far it is, so that it can
//! be killed and started again. Says each refusal in a line, `done` when everything is handed over, and then stays until
//! its input ends: connections stay open as those of the agent do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokenhound::{
    config::Config,
    finding::{ocsf::Host, severity::Severity},
    sink::{Item, Kind, Refused, build},
};

/// How soon a sink that refused is tried again: sooner than the agent does, so that tests are quick.
const AGAIN: Duration = Duration::from_millis(50);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, cursor, count, kind] = arguments.as_slice() else { panic!("courier CONFIG CURSOR COUNT KIND") };
    let kind = if kind == "incident" { Kind::Incident } else { Kind::Finding };
    let items: Vec<Item> = (1..=count.parse().unwrap()).map(|id| item(id, kind)).collect();
    let sinks = Config::load(Some(Path::new(config))).unwrap_or_else(|problems| panic!("{problems}")).sinks.unwrap();
    let host = Host { hostname: Some("build-7".to_owned()), ..Host::default() };
    let mut sink = build(&sinks[0], &host).unwrap_or_else(|error| panic!("{error}"));
    let mut at: usize = fs::read_to_string(cursor).map_or(0, |text| text.trim().parse().unwrap());
    let mut from = at;
    let pace = Instant::now();
    while at < items.len() {
        let some = sink.batch().min(items.len() - at);
        match sink.deliver(&items[at..at + some]) {
            Ok(taken) => at += taken,
            Err(Refused::ForGood { why }) => {
                println!("aside {}: {why}", items[at].uid);
                at += 1;
            }
            Err(Refused::Later { why, after }) => {
                println!("later: {why} {after:?}");
                thread::park_timeout(after.unwrap_or(AGAIN).min(Duration::from_secs(2)));
            }
        }
        if at > from {
            fs::write(format!("{cursor}.new"), at.to_string()).unwrap();
            fs::rename(format!("{cursor}.new"), cursor).unwrap();
            from = at;
        }
    }
    println!("done after {} ms", pace.elapsed().as_millis());
    // As the agent, which is idle when nothing waits.
    loop {
        let wait = sink.idle().unwrap_or(Duration::from_secs(3600));
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let stdin = std::io::stdin();
        if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0) {
            return;
        }
    }
}

/// An entry as the outbox gives it out; `f-000001` and so on.
fn item(id: i64, kind: Kind) -> Item {
    let title = format!("number {id}: \"npm\" read gh-hosts, caf\u{e9}");
    let uid = format!("{}-{id:06}", if kind == Kind::Incident { "i" } else { "f" });
    let (class, activity) = if kind == Kind::Incident { (2005, 2) } else { (2004, 1) };
    let names = |name: &str| format!(r#"{{"named":[{{"name":"{name}","count":1}}],"other":0}}"#);
    let body = format!(
        r#"{{"class_uid":{class},"activity_id":{activity},"metadata":{{"uid":"{uid}"}},"message":{},"device":{{"hostname":"build-7"}},"resources":[{{"uid":"gh-hosts","name":"/home/kim/.config/gh/hosts.yml"}}],"unmapped":{{"tokenhound":{{"stores":{},"commands":["gh auth logout"]}}}}}}"#,
        serde_json::Value::from(title.clone()),
        names("gh-hosts"),
    );
    Item {
        id,
        kind,
        uid,
        time: "2026-11-30T09:00:00.123Z".parse().unwrap(),
        severity: Severity::High,
        detector: "unexpected-reader".to_owned(),
        title,
        body,
    }
}
