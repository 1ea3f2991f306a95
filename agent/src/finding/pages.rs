//! Pages about all detectors at once: `docs/standards.md` and the index of `docs/findings`.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    detector::DetectorId,
    standards::{AI_RISKS, ATTACK_VERSION, Entry, Technique, of_kind},
};

const HEAD: &str = "<!-- Generated from agent/src/finding; TOKENHOUND_BLESS=1 writes it anew. -->\n";

/// Kinds of secrets in the catalogue that have a technique of their own.
const KINDS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "session_token",
    "kube_sa_token",
    "session_cookie",
    "private_key",
    "encrypted_vault",
    "password_hash",
    "leak_sink",
];

fn built() -> impl Iterator<Item = DetectorId> {
    DetectorId::ALL.iter().copied().filter(|id| id.meta().built)
}

fn link(id: DetectorId) -> String {
    format!("[`{id}`](findings/{id}.md)")
}

fn full(technique: &Technique) -> String {
    let parent = technique.parent.map(|parent| format!("{parent}: ")).unwrap_or_default();
    format!("{} {parent}{}", technique.uid, technique.name)
}

fn uids(entries: &[Entry]) -> String {
    entries.iter().map(|entry| entry.uid).collect::<Vec<_>>().join(", ")
}

fn standards() -> String {
    let mut out = format!(
        "{HEAD}# Standards\n\nWhich public standards each finding speaks to, and where a finding says so: \
         `finding_info.attacks[]` (MITRE ATT&CK) and `finding_info.tags[]` (the others; [ocsf.md](ocsf.md)). ATT&CK ids are \
         those of release {ATTACK_VERSION}. What a detector may show is listed; a finding shows what applies to it: the \
         technique of the kind of token that was taken, and the NIST AI RMF only where an AI agent acts.\n\n\
         ## By detector\n\n| detector | MITRE ATT&CK | OWASP NHI 2025 | NIST CSF 2.0 |\n| --- | --- | --- | --- |\n"
    );
    for id in built() {
        let meta = id.meta();
        let attacks = meta.attacks.iter().map(|one| one.uid).collect::<Vec<_>>().join(", ");
        let nhi = uids(meta.nhi).replace(":2025", "");
        let _ = writeln!(out, "| {} | {attacks} | {nhi} | {} |", link(id), uids(meta.csf));
    }
    by_technique(&mut out);
    let _ = write!(out, "\nThe kind of token that is taken decides as well:\n\n| kind | technique |\n| --- | --- |\n");
    for kind in KINDS {
        let technique = of_kind(kind).map(|one| full(&one)).unwrap_or_default();
        let _ = writeln!(out, "| `{kind}` | {technique} |");
    }
    by_entry(&mut out, "OWASP Non-Human Identities Top 10 (2025)", |id| id.meta().nhi);
    by_entry(&mut out, "NIST Cybersecurity Framework 2.0", |id| id.meta().csf);
    let _ = write!(
        out,
        "\n## NIST AI Risk Management Framework 1.0\n\nOf every finding that has entries of OWASP NHI and in which an AI \
         agent acts.\n\n| subcategory | about |\n| --- | --- |\n"
    );
    for risk in AI_RISKS {
        let _ = writeln!(out, "| {} | {} |", risk.uid, risk.name);
    }
    out
}

fn by_technique(out: &mut String) {
    let mut techniques: BTreeMap<&str, (Technique, Vec<String>)> = BTreeMap::new();
    for id in built() {
        for technique in id.meta().attacks {
            techniques.entry(technique.uid).or_insert_with(|| (*technique, Vec::new())).1.push(link(id));
        }
    }
    let _ = write!(out, "\n## MITRE ATT&CK\n\n| technique | tactic | detectors |\n| --- | --- | --- |\n");
    for (technique, detectors) in techniques.values() {
        let tactic = technique.tactic;
        let _ = writeln!(out, "| {} | {} {} | {} |", full(technique), tactic.uid, tactic.name, detectors.join(", "));
    }
}

fn by_entry(out: &mut String, title: &str, of: impl Fn(DetectorId) -> &'static [Entry]) {
    let mut entries: BTreeMap<&str, (&Entry, Vec<String>)> = BTreeMap::new();
    for id in built() {
        for entry in of(id) {
            entries.entry(entry.uid).or_insert_with(|| (entry, Vec::new())).1.push(link(id));
        }
    }
    let _ = write!(out, "\n## {title}\n\n| entry | about | detectors |\n| --- | --- | --- |\n");
    for (entry, detectors) in entries.values() {
        let _ = writeln!(out, "| {} | {} | {} |", entry.uid, entry.name, detectors.join(", "));
    }
}

fn index() -> String {
    let mut out = format!(
        "{HEAD}# Findings\n\nOne page for each detector: when it fires, how much it matters, what to do, the standards it \
         speaks to. `tokenhound explain DETECTOR` prints the same.\n\n| detector | what happened |\n| --- | --- |\n"
    );
    for id in built() {
        let _ = writeln!(out, "| [`{id}`]({id}.md) | {} |", id.meta().title);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::bless;

    #[test]
    fn page_of_standards_is_up_to_date() {
        bless::compare("docs/standards.md", &standards());
    }

    #[test]
    fn index_of_findings_is_up_to_date() {
        bless::compare("docs/findings/README.md", &index());
    }
}
