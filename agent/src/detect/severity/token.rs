//! How much it matters what becomes of a token: no stranger reads it, so who acts counts for little.

use super::Assessment;
use crate::{
    detect::{
        judge::{StoreFacts, Verdict},
        lifecycle::Exposed,
    },
    finding::severity::Severity,
    lineage::actor::Class,
    token::model::{Facts, Lifetime, Protection},
};

/// A token whose session is over.
#[must_use]
pub fn outlived(facts: &Facts, store: &StoreFacts) -> Assessment {
    let (severity, reason) = match (facts.protection, facts.lifetime) {
        (Protection::Encrypted, _) => (Severity::Informational, "it takes a passphrase or a keyring as well"),
        (_, Lifetime::Ephemeral) => (Severity::Low, "it ends by itself within a day or so"),
        (_, Lifetime::Limited) => (Severity::Low, "it ends by itself"),
        _ if store.tier <= 1 => (Severity::Medium, "whoever reads it acts as its owner, until somebody revokes it"),
        _ => (Severity::Low, "it is good until somebody revokes it"),
    };
    Assessment { severity, reasons: vec![reason.to_owned()] }
}

/// A person's token in the hands of a machine.
#[must_use]
pub fn reused(actor: Class, verdict: Verdict) -> Assessment {
    let (severity, reason) = match (actor, verdict) {
        (Class::PackageScript, _) => (Severity::High, "code of a package acts as that person"),
        (Class::AiAgent, Verdict::Expected | Verdict::Tolerated) => {
            (Severity::Low, "an AI agent acts as that person, with the tool the token is for")
        }
        (Class::AiAgent, Verdict::Unexpected) => (Severity::High, "an AI agent acts as that person"),
        (_, Verdict::Unexpected) => (Severity::High, "nobody is asked any more, and the reader is not the tool"),
        _ => (Severity::Medium, "what one person approved once acts for them unasked, with all that they may do"),
    };
    Assessment { severity, reasons: vec![reason.to_owned()] }
}

/// A token older than it may be.
#[must_use]
pub fn stale(facts: &Facts) -> Assessment {
    let (severity, reason) = match facts.lifetime {
        Lifetime::Ephemeral | Lifetime::Limited => {
            (Severity::Informational, "it will end by itself; nobody has renewed it for long")
        }
        Lifetime::LongLived | Lifetime::Unknown => {
            (Severity::Low, "the longer a token lives, the more places it may have got to")
        }
    };
    Assessment { severity, reasons: vec![reason.to_owned()] }
}

/// A store that others can get at, in these ways.
#[must_use]
pub fn exposed(ways: &[Exposed]) -> Assessment {
    let severity = ways.iter().map(|way| way.severity).max().unwrap_or(Severity::Informational);
    Assessment {
        severity,
        reasons: ways.iter().filter(|way| way.severity == severity).map(|way| way.text.clone()).collect(),
    }
}
