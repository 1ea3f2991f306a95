//! Findings as SARIF 2.1.0 (OASIS), for code-scanning views of CI systems.

use std::{os::unix::ffi::OsStrExt, path::Path};

use serde_json::{Value, json};

use super::{
    model::{Finding, Target},
    ocsf,
    severity::Severity,
    text, visible,
};

/// One SARIF log with one run, as JSON text.
#[must_use]
pub fn document(findings: &[Finding]) -> String {
    let mut rules: Vec<&str> = findings.iter().map(|finding| finding.detector.name()).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({ "id": id })).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    log(&rules, &results)
}

/// One SARIF log with one run of these results.
pub(crate) fn log(rules: &[Value], results: &[Value]) -> String {
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "tokenhound", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn result(finding: &Finding) -> Value {
    let mut result = json!({
        "ruleId": finding.detector.name(),
        "level": level(finding.severity),
        "message": { "text": message(finding) },
        "partialFingerprints": { "tokenhound/v1": finding.uid },
    });
    if let Target::File { path, .. } = &finding.target {
        let uri = uri(path);
        result["locations"] = json!([{ "physicalLocation": { "artifactLocation": { "uri": uri } } }]);
    } else {
        result["locations"] =
            json!([{ "logicalLocations": [{ "fullyQualifiedName": text::target(&finding.target) }] }]);
    }
    if let Some(ci) = finding.ci() {
        result["properties"] = json!({ "ci": ocsf::job(ci) });
    }
    result
}

fn message(finding: &Finding) -> String {
    let place = finding.ci().map(|ci| format!(" (in {})", visible::text(&ci.to_string()))).unwrap_or_default();
    format!("{}{place}. {}", finding.headline, finding.reasons.join("; "))
}

/// SARIF 2.1.0, section 3.27.10.
pub(crate) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "note",
        Severity::Low | Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

/// An absolute path as a `file` URI (RFC 8089), everything but unreserved characters and slashes encoded.
pub(crate) fn uri(path: impl AsRef<Path>) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_ref().as_os_str().as_bytes().iter().copied() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("/home/a b/.aws/credentials"), "file:///home/a%20b/.aws/credentials");
    }

    #[test]
    fn a_result_tells_the_step() {
        let log: Value = serde_json::from_str(&document(&[crate::finding::samples::in_ci()])).unwrap();
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["properties"]["ci"]["job"], "build");
        let said = result["message"]["text"].as_str().unwrap();
        assert!(said.contains("(in step x::error::|\\u{202e}<b>, job build, repository o/r, run 77)."), "{said}");
    }

    #[test]
    fn an_empty_run_is_a_document() {
        let log: Value = serde_json::from_str(&document(&[])).unwrap();
        assert_eq!(log["version"], "2.1.0");
        assert_eq!(log["runs"][0]["results"], json!([]));
    }
}
