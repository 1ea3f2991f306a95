//! An item as an alert of Alertmanager's API v2 (`postableAlert`). Pure.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use crate::sink::{
    Item, Kind,
    facts::{Facts, short, value},
};

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// What tells it from others and what it is routed by. Each is a word of ours or a name of bounded length: never a
    /// path or a process id.
    pub labels: BTreeMap<&'static str, String>,
    /// For people.
    pub annotations: BTreeMap<&'static str, String>,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it is over unless told again.
    pub ends_at: Timestamp,
    /// Incident or finding that it is about.
    #[serde(skip)]
    pub key: String,
}

/// The alert of an item at `now`.
#[must_use]
pub fn alert(item: &Item, now: Timestamp, hold: Duration) -> Alert {
    let facts = Facts::of(item);
    let mut labels = BTreeMap::new();
    let name = match item.kind {
        Kind::Incident => "TokenhoundIncident",
        Kind::Finding => "TokenhoundFinding",
    };
    labels.insert("alertname", name.to_owned());
    // As the alerts of the shipped rules, so that the shipped route takes these as well.
    labels.insert("kind", "finding".to_owned());
    labels.insert("detector", item.detector.clone());
    labels.insert("severity", item.severity.name().to_owned());
    labels.insert("uid", value(facts.key(item)));
    // Alertmanager takes an empty label for none.
    for (label, text) in [("store", &facts.store), ("actor", &facts.actor), ("instance", &facts.host)] {
        if let Some(text) = text {
            labels.insert(label, value(text));
        }
    }
    if facts.store.as_deref().is_some_and(|store| store.starts_with('/')) {
        // A finding without a store names what was looked into, which is a path.
        labels.remove("store");
    }
    let mut annotations = BTreeMap::new();
    annotations.insert("summary", short(&facts.title, 500));
    for (annotation, text) in [
        ("description", &facts.meaning),
        ("what_to_do", &facts.remedy),
        ("path", &facts.path),
        ("reader", &facts.reader),
        ("user", &facts.user),
        ("fingerprint", &facts.fingerprint),
    ] {
        if let Some(text) = text {
            annotations.insert(annotation, short(text, 2000));
        }
    }
    let ends_at = if facts.closed { now } else { after(now, hold) };
    // A start after the end is refused, and clocks differ.
    Alert { labels, annotations, starts_at: item.time.min(ends_at), ends_at, key: facts.key(item).to_owned() }
}

/// A time ahead.
#[must_use]
pub fn after(now: Timestamp, hold: Duration) -> Timestamp {
    now.checked_add(hold).unwrap_or(Timestamp::MAX)
}

/// The body of a call.
#[must_use]
pub fn body(alerts: &[Alert]) -> String {
    serde_json::to_string(alerts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    #[test]
    fn an_alert_byte_by_byte() {
        let now = "2026-11-30T10:00:00Z".parse().unwrap();
        let mut item = samples::incident(1, false);
        item.time = "2026-11-30T09:00:00Z".parse().unwrap();
        let expected = concat!(
            r#"[{"labels":{"actor":"package-script","alertname":"TokenhoundIncident","detector":"unexpected-reader","#,
            r#""instance":"build-7","kind":"finding","severity":"high","store":"gh-hosts","uid":"i-7"},"#,
            r#""annotations":{"description":"What happened: read <gh-hosts>.\nWhat to do: gh auth logout.\n"#,
            r#"More: tokenhound explain i-7","fingerprint":"th1:abc","path":"/home/kim/.config/gh/hosts.yml","#,
            r#""reader":"/usr/bin/node","summary":"HIGH npm (pid 42, user kim): read store gh-hosts; revoke: "#,
            r#"gh auth logout","user":"kim","what_to_do":"gh auth logout"},"#,
            r#""startsAt":"2026-11-30T09:00:00Z","endsAt":"2026-11-30T10:05:00Z"}]"#,
        );
        assert_eq!(body(&[alert(&item, now, Duration::from_secs(300))]), expected);
    }

    #[test]
    fn a_closed_incident_ends_now_under_the_same_labels() {
        let now = "2026-11-30T10:00:00Z".parse().unwrap();
        let open = alert(&samples::incident(1, false), now, Duration::from_secs(300));
        let closed = alert(&samples::incident(2, true), now, Duration::from_secs(300));
        assert_eq!((closed.ends_at, &closed.labels), (now, &open.labels));
    }

    #[test]
    fn labels_hold_no_path_and_no_process() {
        let mut item = samples::finding(1);
        item.body = item.body.replace("\"uid\":\"gh-hosts\"", "\"uid\":\"/home/kim/x\"");
        let labels = alert(&item, Timestamp::now(), Duration::from_secs(300)).labels;
        assert!(labels.values().all(|value| !value.contains('/') && value != "42"), "{labels:?}");
    }
}
