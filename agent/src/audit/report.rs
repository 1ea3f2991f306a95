//! The forms of a report. No token or part of one is in any: what the model holds are facts and fingerprints.

mod chart;
pub mod clean;
pub mod html;
pub mod json;
pub mod sarif;
pub mod text;

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

use super::model::{Finding, Report, StoreFile};
use crate::finding::severity::Severity;

const DAY: i64 = 24 * 60 * 60;

/// Findings by severity, worst first, those that there are.
fn by_severity(report: &Report) -> Vec<(Severity, usize)> {
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| (severity, count(severity)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// What is wrong with one file.
struct File<'a> {
    path: &'a Path,
    /// The worst first; never empty.
    findings: Vec<&'a Finding>,
}

impl File<'_> {
    fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Informational)
    }

    /// Stores concerned, each once.
    fn stores(&self) -> Vec<&str> {
        unique(self.findings.iter().filter_map(|finding| finding.store.as_deref()))
    }

    /// What to do, each step once, those against the worst first.
    fn steps(&self) -> Vec<&str> {
        unique(self.findings.iter().flat_map(|finding| finding.steps.iter().map(String::as_str)))
    }
}

fn unique<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once = Vec::new();
    for word in words {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    once
}

/// The files with findings: what to do first, first.
fn by_file(report: &Report) -> Vec<File<'_>> {
    let mut files: BTreeMap<&Path, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        files.entry(&finding.path).or_default().push(finding);
    }
    let mut files: Vec<File<'_>> = files.into_iter().map(|(path, findings)| File { path, findings }).collect();
    // Stable: by path between equals.
    files.sort_by_key(|file| std::cmp::Reverse((file.severity(), file.findings.len())));
    files
}

/// `3 high, 1 low`, or `none`.
fn tally(report: &Report) -> String {
    let counts: Vec<String> =
        by_severity(report).into_iter().map(|(severity, count)| format!("{count} {severity}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// `1 store`, `2 stores`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How old the tokens of a file are at least, in whole days: since the first was issued, else since the file was written.
fn age_days(store: &StoreFile, now: Timestamp) -> Option<i64> {
    let issued = store.tokens.iter().filter_map(|token| token.facts.issued).min();
    issued.or(store.written).map(|since| now.duration_since(since).as_secs() / DAY)
}

fn tokens(report: &Report) -> u64 {
    report.stores.iter().map(|store| store.tokens.len() as u64).sum()
}
