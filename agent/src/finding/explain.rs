//! `tokenhound explain DETECTOR` and the pages in `docs/findings`, from one table ([`super::detector::Meta`]).

use std::fmt::Write;

use super::{
    detector::{DetectorId, Meta},
    standards::{AI_RISKS, ATTACK_VERSION, Entry, Technique},
};

/// What there is to say of a detector, for a terminal: lines of at most 100 columns.
#[must_use]
pub fn detector(id: DetectorId) -> String {
    let meta = id.meta();
    let mut out = format!("{}: {}\n", meta.name, meta.title);
    if !meta.built {
        out.push_str("(named in this version, built in a later one)\n");
    }
    paragraph(&mut out, "What it means", meta.meaning);
    if !meta.severity.is_empty() {
        paragraph(&mut out, "Severity", meta.severity);
    }
    if !meta.remediation.is_empty() {
        out.push_str("\nWhat to do\n");
        for step in meta.remediation {
            fill(&mut out, "  - ", "    ", step);
        }
    }
    out.push_str("\nStandards\n");
    for line in standards(meta) {
        fill(&mut out, "  - ", "    ", &line);
    }
    out
}

/// The page in `docs/findings` of a detector.
#[must_use]
pub fn page(id: DetectorId) -> String {
    let meta = id.meta();
    let mut out = format!(
        "<!-- Generated from agent/src/finding/detector.rs; TOKENHOUND_BLESS=1 writes it anew. -->\n# {}\n\n",
        meta.name
    );
    let _ =
        write!(out, "{}.\n\n## What it means\n\n{}\n\n## Severity\n\n{}\n", meta.title, meta.meaning, meta.severity);
    out.push_str("\n## What to do\n\n");
    for (index, step) in meta.remediation.iter().enumerate() {
        let _ = writeln!(out, "{}. {step}", index + 1);
    }
    out.push_str("\n## Standards\n\n");
    for line in standards(meta) {
        let _ = writeln!(out, "- {line}");
    }
    out
}

fn standards(meta: &Meta) -> Vec<String> {
    let attack = |technique: &Technique| match technique.parent {
        Some(parent) => format!("{} {parent}: {}", technique.uid, technique.name),
        None => format!("{} {}", technique.uid, technique.name),
    };
    let entry = |entry: &Entry| format!("{} {}", entry.uid, entry.name);
    let mut lines = vec![format!(
        "MITRE ATT&CK {ATTACK_VERSION}: {}",
        meta.attacks.iter().map(attack).collect::<Vec<_>>().join("; ")
    )];
    for (name, entries) in [("OWASP Non-Human Identities Top 10", meta.nhi), ("NIST CSF 2.0", meta.csf)] {
        if !entries.is_empty() {
            lines.push(format!("{name}: {}", entries.iter().map(entry).collect::<Vec<_>>().join("; ")));
        }
    }
    if meta.built && !meta.nhi.is_empty() {
        let risks = AI_RISKS.iter().map(entry).collect::<Vec<_>>().join("; ");
        lines.push(format!("NIST AI RMF 1.0, where an AI agent acts: {risks}"));
    }
    lines
}

fn paragraph(out: &mut String, title: &str, text: &str) {
    let _ = writeln!(out, "\n{title}");
    fill(out, "  ", "  ", text);
}

fn fill(out: &mut String, first: &str, rest: &str, text: &str) {
    for (index, line) in super::text::wrap(text, super::text::WIDTH - first.len()).into_iter().enumerate() {
        let _ = writeln!(out, "{}{line}", if index == 0 { first } else { rest });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::bless;

    #[test]
    fn every_detector_is_explained() {
        for id in DetectorId::ALL {
            let text = detector(*id);
            assert!(text.starts_with(&format!("{id}: ")) && text.contains("ATT&CK"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
    }

    #[test]
    fn pages_are_up_to_date() {
        for id in DetectorId::ALL.iter().filter(|id| id.meta().built) {
            bless::compare(&format!("docs/findings/{id}.md"), &page(*id));
        }
    }
}
