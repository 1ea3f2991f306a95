//! A report for programs. Documented in `docs/audit.md`; `version` grows when a field changes its meaning or goes.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::by_severity;
use crate::{
    audit::model::{Finding, KeyKind, Report, StoreFile, VERSION},
    catalogue::model::Holds,
    finding::visible,
    token::model::{Known, Lifetime, Protection, Reference, ReferenceTo, Subject},
};

/// The report as one JSON object.
#[must_use]
pub fn render(report: &Report) -> String {
    let severities: serde_json::Map<String, Value> =
        by_severity(report).into_iter().map(|(severity, count)| (severity.name().to_owned(), json!(count))).collect();
    let skipped: serde_json::Map<String, Value> =
        report.counts.skipped.iter().map(|(why, count)| (why.name().to_owned(), json!(count))).collect();
    let document = json!({
        "version": VERSION,
        "tool": { "name": "tokenhound", "version": env!("CARGO_PKG_VERSION") },
        "time": report.time.to_string(),
        "scope": report.scope,
        "root": report.root.as_deref().map(path),
        "homes": report.homes.iter().map(|home| path(home)).collect::<Vec<_>>(),
        "fingerprint_key": match report.key { KeyKind::Machine => "machine", KeyKind::Ephemeral => "ephemeral" },
        "summary": {
            "stores": report.stores.len(),
            "tokens": super::tokens(report),
            "findings": severities,
        },
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "stores": report.stores.iter().map(store).collect::<Vec<_>>(),
        "looked_at": {
            "names": report.counts.names,
            "files": report.counts.files,
            "bytes": report.counts.bytes,
            "tokens_not_searched": report.not_searched,
            "skipped": skipped,
        },
    });
    format!("{document:#}\n")
}

fn finding(finding: &Finding) -> Value {
    json!({
        "uid": finding.uid(),
        "detector": finding.detector.name(),
        "rule": finding.rule,
        "severity": finding.severity.name(),
        "headline": finding.headline,
        "path": path(&finding.path),
        "line": finding.line,
        "store": finding.store,
        "fingerprint": finding.fingerprint.map(|fingerprint| fingerprint.to_string()),
        "evidence": finding.evidence,
        "steps": finding.steps,
    })
}

fn store(store: &StoreFile) -> Value {
    let facts = &store.facts;
    let exposures: Vec<Value> = store
        .exposures
        .iter()
        .map(|exposure| json!({ "name": exposure.name(), "words": exposure.sentence() }))
        .collect();
    json!({
        "store": store.store,
        "tool": store.tool,
        "also": store.also,
        "holds": match store.holds { Holds::Secret => "secret", Holds::Perhaps => "perhaps" },
        "path": path(&facts.path),
        "leads_to": facts.leads_to.as_deref().map(path),
        "mode": format!("{:04o}", facts.mode),
        "uid": facts.uid,
        "gid": facts.gid,
        "owner": store.owner,
        "size": store.size,
        "written": time(store.written),
        "tokens": store.tokens.iter().map(token).collect::<Vec<_>>(),
        "kept_elsewhere": store.references.iter().map(reference).collect::<Vec<_>>(),
        "problems": store.problems,
        "exposures": exposures,
    })
}

fn token(token: &Known) -> Value {
    let facts = &token.facts;
    json!({
        "fingerprint": token.fingerprint.to_string(),
        "store": token.store,
        "kind": facts.kind.name(),
        "field": facts.field,
        "issuer": facts.issuer,
        "subject": match facts.subject {
            Subject::Person => Some("person"),
            Subject::Machine => Some("machine"),
            Subject::Unknown => None,
        },
        "scopes": facts.scopes,
        "issued": time(facts.issued),
        "expires": time(facts.expires),
        "lifetime": match facts.lifetime {
            Lifetime::Ephemeral => Some("ephemeral"),
            Lifetime::Limited => Some("limited"),
            Lifetime::LongLived => Some("long-lived"),
            Lifetime::Unknown => None,
        },
        "protection": match facts.protection {
            Protection::Plain => "plain",
            Protection::Obfuscated => "obfuscated",
            Protection::Encrypted => "encrypted",
        },
    })
}

fn reference(reference: &Reference) -> Value {
    let (to, file) = match &reference.to {
        ReferenceTo::Helper => ("helper", None),
        ReferenceTo::Environment => ("environment", None),
        ReferenceTo::File(file) => ("file", Some(path(file))),
    };
    json!({ "field": reference.field, "to": to, "path": file })
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

fn path(path: &Path) -> String {
    visible::lossless(path)
}
