//! A notification as OCSF 1.8.0 Incident Finding (class 2005), one JSON object. The counts, for which the class has no
//! place, are in `unmapped.tokenhound`. See `docs/ocsf.md`.

use core::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::{
    model::{Incident, Sample, Tally},
    notice::{Activity, Notice},
    text,
};
use crate::finding::{
    detector::DetectorId,
    ocsf::{Host, VERSION, attack, device, put, put_some, severity_id},
    standards::Technique,
};

const CLASS: u32 = 2005;

/// The notification as one JSON object, without a newline.
#[must_use]
pub fn line(notice: &Notice, host: &Host) -> String {
    object(notice, host).to_string()
}

/// The notification as a JSON object.
#[must_use]
pub fn object(notice: &Notice, host: &Host) -> Value {
    let incident = &notice.incident;
    let (activity, name) = match notice.activity {
        Activity::Opened => (1, "Create"),
        Activity::Updated => (2, "Update"),
        Activity::Closed => (3, "Close"),
    };
    let (status, status_name) = match notice.activity {
        Activity::Opened => (1, "New"),
        Activity::Updated => (2, "In Progress"),
        Activity::Closed => (5, "Closed"),
    };
    let severity = severity_id(incident.severity);
    let mut event = Map::new();
    put(&mut event, "activity_id", json!(activity));
    put(&mut event, "activity_name", json!(name));
    put(&mut event, "category_name", json!("Findings"));
    put(&mut event, "category_uid", json!(2));
    put(&mut event, "class_name", json!("Incident Finding"));
    put(&mut event, "class_uid", json!(CLASS));
    put(&mut event, "type_name", json!(format!("Incident Finding: {name}")));
    put(&mut event, "type_uid", json!(CLASS * 100 + activity));
    put(&mut event, "severity", json!(severity.1));
    put(&mut event, "severity_id", json!(severity.0));
    put(&mut event, "status", json!(status_name));
    put(&mut event, "status_id", json!(status));
    put_some(&mut event, "status_detail", incident.closed.map(|(_, why)| why.words()));
    // The class asks for one: who that is, is decided where the incident is received.
    put(&mut event, "assignee_group", json!({"name": "unassigned"}));
    put(
        &mut event,
        "is_suspected_breach",
        json!(incident.kinds.sent && (incident.kinds.read || incident.kinds.copied)),
    );
    put(&mut event, "time", json!(notice.time.as_millisecond()));
    put(&mut event, "start_time", json!(incident.opened.as_millisecond()));
    put(&mut event, "end_time", json!(incident.last.as_millisecond()));
    put(&mut event, "duration", json!(incident.last.duration_since(incident.opened).as_millis().max(0)));
    put(&mut event, "count", json!(incident.findings));
    put(&mut event, "message", json!(text::message(notice)));
    put(&mut event, "desc", json!(text::describe(incident)));
    put(&mut event, "metadata", metadata(notice));
    put(&mut event, "device", device(host));
    put_some(&mut event, "actor", actor(incident));
    put(&mut event, "attacks", attacks(incident).iter().map(attack).collect());
    put(&mut event, "finding_info_list", incident.samples.iter().map(sample).collect());
    put(&mut event, "observables", observables(incident));
    put(&mut event, "unmapped", json!({"tokenhound": unmapped(notice)}));
    Value::Object(event)
}

/// `uid` differs for each notification, `correlation_uid` is the incident's.
fn metadata(notice: &Notice) -> Value {
    let incident = &notice.incident;
    json!({
        "uid": format!("{}-{}", incident.uid, incident.told.sent.times),
        "correlation_uid": incident.uid,
        "version": VERSION,
        "profiles": ["host", "incident"],
        "log_name": "incidents",
        "product": {"name": "tokenhound", "vendor_name": "tokenhound", "version": env!("CARGO_PKG_VERSION")},
    })
}

fn actor(incident: &Incident) -> Option<Value> {
    let who = &incident.who;
    let mut process = Map::new();
    put_some(&mut process, "pid", who.pid);
    put(&mut process, "name", json!(who.name));
    let mut actor = Map::new();
    who.pid?;
    put(&mut actor, "process", Value::Object(process));
    put_some(&mut actor, "user", who.user.as_ref().map(|user| json!({"name": user})));
    Some(Value::Object(actor))
}

/// Of all its detectors, each once.
fn attacks(incident: &Incident) -> Vec<Technique> {
    let mut all: Vec<Technique> = Vec::new();
    for technique in incident.detector_ids().flat_map(|id| id.meta().attacks) {
        if !all.contains(technique) {
            all.push(*technique);
        }
    }
    all
}

fn sample(sample: &Sample) -> Value {
    let mut info = Map::new();
    put(&mut info, "uid", json!(sample.uid));
    put(&mut info, "title", json!(sample.headline));
    put(&mut info, "created_time", json!(sample.time.as_millisecond()));
    if let Ok(id) = sample.detector.parse::<DetectorId>() {
        let meta = id.meta();
        put(&mut info, "analytic", json!({"uid": meta.name, "name": meta.title, "type": "Rule", "type_id": 1}));
    }
    Value::Object(info)
}

fn observables(incident: &Incident) -> Value {
    let mut all = Vec::new();
    let mut add = |name: &str, kind: &str, id: u32, value: &str| {
        all.push(json!({"name": name, "type": kind, "type_id": id, "value": value}));
    };
    for store in incident.stores.names() {
        add("unmapped.tokenhound.stores", "Resource UID", 10, store);
    }
    for token in incident.tokens.names() {
        add("unmapped.tokenhound.tokens", "Fingerprint", 30, token);
    }
    for path in incident.copies.names() {
        add("unmapped.tokenhound.copies", "File Path", 45, path);
    }
    let address = |place: &str| place.split(' ').next()?.parse::<SocketAddr>().ok();
    for place in incident.destinations.names().filter_map(address) {
        add("unmapped.tokenhound.destinations", "IP Address", 2, &place.ip().to_string());
    }
    if let Some(user) = &incident.who.user {
        add("actor.user.name", "User Name", 4, user);
    }
    json!(all)
}

fn unmapped(notice: &Notice) -> Value {
    let incident = &notice.incident;
    let mut map = Map::new();
    put(&mut map, "incident", json!(incident.uid));
    put(&mut map, "activity", json!(notice.activity.name()));
    put(&mut map, "notification", json!(incident.told.sent.times));
    put(&mut map, "title", json!(text::title(incident)));
    put(&mut map, "reasons", json!(incident.reasons));
    put(&mut map, "findings", json!(incident.findings));
    put(&mut map, "new_findings", json!(notice.new));
    put(&mut map, "summarised", json!(incident.summarised));
    put(&mut map, "suppressed", json!(incident.covered));
    put(&mut map, "commands", json!(incident.commands));
    put_some(&mut map, "actor", incident.who.class.as_ref().map(|class| json!({"class": class})));
    put_some(&mut map, "container", incident.who.container.clone());
    for (name, tally) in [
        ("detectors", &incident.detectors),
        ("summarised_detectors", &incident.summarised_by),
        ("stores", &incident.stores),
        ("readers", &incident.readers),
        ("paths", &incident.paths),
        ("copies", &incident.copies),
        ("copied_tokens", &incident.copied),
        ("destinations", &incident.destinations),
        ("tokens", &incident.tokens),
    ] {
        if !tally.named.is_empty() {
            put(&mut map, name, counts(tally));
        }
    }
    Value::Object(map)
}

/// Each name with its count, and how many others there are.
fn counts(tally: &Tally) -> Value {
    let named: Vec<_> = tally.named.iter().map(|(name, count)| json!({"name": name, "count": count})).collect();
    json!({"named": named, "other": tally.other})
}
