//! How much an incident matters: as much as the worst of its findings, and more where evidence joins. One pure function,
//! in the table of `docs/incidents.md`.

use serde::{Deserialize, Serialize};

use crate::finding::{detector::DetectorId, severity::Severity};

/// From which severity on a finding joins with others. What a person does at their own prompt is below.
pub const JOINS: Severity = Severity::Medium;

/// What was done, as far as findings at or above [`JOINS`] say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// A token was read, printed, asked for or taken from another process.
    pub read: bool,
    /// A token was put into another file.
    pub copied: bool,
    /// The lineage connected to another machine afterwards.
    pub sent: bool,
}

impl Kinds {
    /// Takes in a finding of `detector` with `severity`.
    pub fn add(&mut self, detector: DetectorId, severity: Severity) {
        if severity < JOINS {
            return;
        }
        self.read |= is_read(detector);
        self.copied |= detector == DetectorId::TokenCopied;
        self.sent |= detector == DetectorId::TokenEgress;
    }
}

/// Is it about somebody who got at a token?
#[must_use]
pub const fn is_read(detector: DetectorId) -> bool {
    matches!(
        detector,
        DetectorId::UnexpectedReader
            | DetectorId::CredentialSweep
            | DetectorId::ProcessInspection
            | DetectorId::TokenPrinted
            | DetectorId::AgentSocketAccess
            | DetectorId::InjectedReader
            | DetectorId::ReaderChanged
            | DetectorId::DecoyRead
    )
}

/// How much it matters, and why.
///
/// | evidence, each at least `medium` | severity at least |
/// | --- | --- |
/// | read and copied | `high` |
/// | read and then connected to another machine | `high` |
/// | copied and then connected to another machine | `high` |
/// | read, copied and connected to another machine | `critical` |
#[must_use]
pub fn assess(worst: Severity, detector: &str, kinds: Kinds) -> (Severity, Vec<String>) {
    let mut reasons = vec![format!("its most severe finding is {worst} ({detector})")];
    let (least, why) = match (kinds.read, kinds.copied, kinds.sent) {
        (true, true, true) => {
            (Severity::Critical, "the same lineage read a token, copied it, and then connected to another machine")
        }
        (true, true, false) => (Severity::High, "the same lineage read a token and copied it"),
        (true, false, true) => (Severity::High, "the same lineage read a token and then connected to another machine"),
        (false, true, true) => (Severity::High, "the same lineage copied a token and connected to another machine"),
        _ => return (worst, reasons),
    };
    let raised = if least > worst { format!(": at least {least}") } else { String::new() };
    reasons.push(format!("{why}{raised}"));
    (worst.max(least), reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_evidence_raises_and_never_lowers() {
        use Severity::{Critical, High, Informational, Low, Medium};
        let kinds = |read, copied, sent| Kinds { read, copied, sent };
        for (kinds, worst, wanted) in [
            (kinds(false, false, false), Low, Low),
            (kinds(true, false, false), Medium, Medium),
            (kinds(false, true, false), Medium, Medium),
            (kinds(true, true, false), Medium, High),
            (kinds(true, false, true), Medium, High),
            (kinds(false, true, true), Medium, High),
            (kinds(true, true, false), Critical, Critical),
            (kinds(true, true, true), Medium, Critical),
            (kinds(true, true, true), High, Critical),
        ] {
            let (severity, reasons) = assess(worst, "unexpected-reader", kinds);
            assert_eq!(severity, wanted, "{kinds:?} {worst}");
            assert_eq!(reasons.iter().any(|reason| reason.contains("at least")), wanted > worst, "{reasons:?}");
        }
        let mut person = Kinds::default();
        for detector in [DetectorId::UnexpectedReader, DetectorId::TokenCopied, DetectorId::TokenEgress] {
            person.add(detector, Low);
            person.add(detector, Informational);
        }
        assert_eq!(person, Kinds::default(), "a person at their own prompt joins nothing");
    }
}
