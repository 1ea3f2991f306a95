//! A report as SARIF 2.1.0 (OASIS), for code-scanning views.

use serde_json::{Value, json};

use crate::{
    audit::model::{Finding, Report},
    finding::sarif::{level, log, uri},
};

/// The report as one SARIF log. Rules are `detector/rule`; paths are absolute.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut rules: Vec<(String, &Finding)> = report.findings.iter().map(|finding| (finding.id(), finding)).collect();
    rules.sort_by(|a, b| a.0.cmp(&b.0));
    rules.dedup_by(|a, b| a.0 == b.0);
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|(id, finding)| json!({ "id": id, "shortDescription": { "text": finding.detector.meta().title } }))
        .collect();
    let results: Vec<Value> = report.findings.iter().map(|finding| result(finding, report)).collect();
    log(&rules, &results)
}

fn result(finding: &Finding, report: &Report) -> Value {
    let mut location = json!({ "artifactLocation": { "uri": uri(outside(finding, report)) } });
    if let Some(line) = finding.line {
        location["region"] = json!({ "startLine": line });
    }
    let facts: String = finding.evidence.iter().map(|fact| format!("; {fact}")).collect();
    let steps: String = finding.steps.iter().map(|step| format!(" {step}.")).collect();
    json!({
        "ruleId": finding.id(),
        "level": level(finding.severity),
        "message": { "text": format!("{}{facts}.{steps}", finding.headline) },
        "locations": [{ "physicalLocation": location }],
        "partialFingerprints": { "tokenhound/audit/v1": finding.uid() },
        "properties": {
            "severity": finding.severity.name(),
            "store": finding.store,
            "fingerprint": finding.fingerprint.map(|fingerprint| fingerprint.to_string()),
        },
    })
}

/// Where the file lies on this machine: what opens the report looks for it there.
fn outside(finding: &Finding, report: &Report) -> std::path::PathBuf {
    let root = report.root.as_deref().unwrap_or(std::path::Path::new("/"));
    root.join(finding.path.strip_prefix("/").unwrap_or(&finding.path))
}
