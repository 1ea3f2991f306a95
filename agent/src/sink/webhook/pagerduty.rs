//! An event for PagerDuty's Events API v2. Pure.
//!
//! `trigger` opens an alert or adds to the one with the same `dedup_key`, `resolve` closes it. The key is the incident's
//! uid, so forty findings of one incident page once. PagerDuty takes 512 KB an event and 1024 characters of summary.

use serde_json::json;

use crate::{
    finding::severity::Severity,
    sink::{
        Item,
        facts::{Facts, short},
    },
};

/// Where events go unless `url` says otherwise.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

const SUMMARY: usize = 1024;

/// PagerDuty's four words.
#[must_use]
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium | Severity::Low => "warning",
        Severity::Informational => "info",
    }
}

/// The body of one event.
#[must_use]
pub fn body(item: &Item, routing_key: &str) -> String {
    let facts = Facts::of(item);
    let key = short(facts.key(item), 255);
    if facts.closed {
        return json!({"routing_key": routing_key, "event_action": "resolve", "dedup_key": key}).to_string();
    }
    let details = json!({
        "detector": item.detector,
        "severity": item.severity.name(),
        "uid": item.uid,
        "store": facts.store,
        "path": facts.path,
        "actor": facts.actor,
        "reader": facts.reader,
        "user": facts.user,
        "fingerprint": facts.fingerprint,
        "description": facts.meaning.as_deref().map(|meaning| short(meaning, 8000)),
        "what_to_do": facts.remedy.as_deref().map(|remedy| short(remedy, 4000)),
    });
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "client": "tokenhound",
        "payload": {
            "summary": short(&facts.title, SUMMARY),
            "source": facts.host.as_deref().unwrap_or("unknown"),
            "severity": severity(item.severity),
            "timestamp": item.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "component": facts.store,
            "group": facts.actor,
            "class": item.detector,
            "custom_details": details,
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sink::samples;

    #[test]
    fn an_incident_triggers_and_resolves_under_one_key() {
        let opened: Value = serde_json::from_str(&body(&samples::incident(1, false), "made-up")).unwrap();
        assert_eq!((&opened["event_action"], &opened["dedup_key"]), (&json!("trigger"), &json!("i-7")));
        assert_eq!(opened["payload"]["severity"], "error");
        assert_eq!(opened["payload"]["source"], "build-7");
        assert_eq!(opened["payload"]["timestamp"], "2026-11-30T09:00:00.123Z");
        assert_eq!(opened["payload"]["custom_details"]["what_to_do"], "gh auth logout");
        let closed = body(&samples::incident(2, true), "made-up");
        assert_eq!(closed, r#"{"dedup_key":"i-7","event_action":"resolve","routing_key":"made-up"}"#);
    }

    #[test]
    fn a_finding_goes_under_its_own_key_and_a_summary_is_bounded() {
        let mut item = samples::finding(3);
        item.body = item.body.replace("caf\u{e9}", &"x".repeat(4000));
        let event: Value = serde_json::from_str(&body(&item, "made-up")).unwrap();
        assert_eq!(event["dedup_key"], "f-3");
        assert_eq!(event["payload"]["summary"].as_str().unwrap().chars().count(), SUMMARY);
    }
}
