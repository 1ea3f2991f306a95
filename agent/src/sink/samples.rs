//! Made-up items for the tests of the sinks.

use jiff::Timestamp;
use serde_json::json;

use super::{Item, Kind};
use crate::finding::severity::Severity;

/// A finding of medium severity. Its title has what formats stumble over.
pub(crate) fn finding(id: i64) -> Item {
    let title = "\"npm\" <run> & ]co\\ read gh-hosts: caf\u{e9}";
    let body = json!({
        "activity_id": 1,
        "class_uid": 2004,
        "message": title,
        "device": {"hostname": "build-7"},
        "actor": {
            "process": {"pid": 42, "file": {"path": "/usr/bin/node"}, "ancestry": [{"pid": 1}]},
            "user": {"name": "kim"}
        },
        "finding_info": {"uid": format!("f-{id}"), "desc": "A reader that is not expected."},
        "remediation": {"desc": "Revoke it: gh auth logout"},
        "resources": [{"uid": "gh-hosts", "name": "/home/kim/.config/gh/hosts.yml"}],
        "evidences": [{"name": "store.path", "data": "x"}],
        "unmapped": {"tokenhound": {"actor": {"class": "package-script"}, "fingerprint": "th1:abc"}}
    });
    Item {
        id,
        kind: Kind::Finding,
        uid: format!("f-{id}"),
        time: "2026-11-30T09:00:00.123456789Z".parse::<Timestamp>().unwrap(),
        severity: Severity::Medium,
        detector: "unexpected-reader".to_owned(),
        title: title.to_owned(),
        body: body.to_string(),
    }
}

/// A notification of incident `i-7`, of high severity.
pub(crate) fn incident(id: i64, closed: bool) -> Item {
    let title = "npm (pid 42, user kim): read store gh-hosts; revoke: gh auth logout";
    let lead = if closed { "CLOSED (high, 3 findings in all)" } else { "HIGH" };
    let names = |name: &str| json!({"named": [{"name": name, "count": 3}], "other": 0});
    let body = json!({
        "activity_id": if closed { 3 } else { 2 },
        "class_uid": 2005,
        "message": format!("{lead} {title}"),
        "desc": "What happened: read <gh-hosts>.\nWhat to do: gh auth logout.\nMore: tokenhound explain i-7",
        "device": {"hostname": "build-7"},
        "actor": {"process": {"pid": 42, "name": "npm"}, "user": {"name": "kim"}},
        "unmapped": {"tokenhound": {
            "incident": "i-7",
            "actor": {"class": "package-script"},
            "commands": ["gh auth logout"],
            "stores": names("gh-hosts"),
            "paths": names("/home/kim/.config/gh/hosts.yml"),
            "readers": names("/usr/bin/node"),
            "tokens": names("th1:abc"),
        }}
    });
    Item {
        kind: Kind::Incident,
        uid: "i-7".to_owned(),
        severity: Severity::High,
        title: title.to_owned(),
        body: body.to_string(),
        ..finding(id)
    }
}
