//! How much it matters what becomes of a token: no stranger reads it, so who acts counts for little.

use super::{Assessment, Manner, Spot};
use crate::{
    copies::{model::Git, place::Place},
    detect::{
        judge::{StoreFacts, Verdict},
        lifecycle::Exposed,
    },
    finding::severity::Severity,
    lineage::actor::{Actor, Class},
    token::model::{Facts, Lifetime, Protection},
};

/// A copy of a token. Who made it counts for less than where it lies: from there anybody takes it.
pub(super) fn copied(spot: Spot, actor: &Actor, manner: Manner, assessment: &mut Assessment) {
    let person = actor.at_prompt && !(manner.hidden || manner.inline);
    if spot.along && !matches!(actor.class(), Class::PackageScript | Class::AiAgent) {
        let reason = "a file of a project went along with the project: what matters is that a token lies in it at all";
        assessment.severity = Severity::Informational;
        assessment.reasons.push(reason.to_owned());
        return;
    }
    if person && spot.beside {
        let reason = "a person's editor keeps a copy beside the store";
        assessment.severity = Severity::Informational;
        assessment.reasons.push(reason.to_owned());
        return;
    }
    if person {
        let reason = "a person did it at the prompt of their own terminal: it is careless, and no theft";
        assessment.step(-1, reason.to_owned());
    }
    if spot.open {
        let reason = "everybody on this machine may read the file".to_owned();
        assessment.at_least(Severity::High, reason);
    }
    match spot.git {
        Git::Tracked => {
            let reason = "git has the file: the next commit takes the token into the history".to_owned();
            assessment.at_least(Severity::High, reason);
        }
        Git::Untracked if spot.place != Place::WorkTree => {
            let reason = "it lies in a git repository, and nothing keeps it from being committed".to_owned();
            assessment.at_least(Severity::Medium, reason);
        }
        _ => {}
    }
    super::up(actor, manner, assessment);
}

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

/// Copies of a token that has left its store; `over` once they are gone.
#[must_use]
pub fn incomplete(facts: &Facts, store: &StoreFacts, over: bool) -> Assessment {
    let (severity, reason) = match (facts.protection, facts.lifetime) {
        _ if over => (Severity::Informational, "no copy that is known is left"),
        (Protection::Encrypted, _) => (Severity::Low, "it takes a passphrase or a keyring as well"),
        (_, Lifetime::Ephemeral | Lifetime::Limited) => {
            (Severity::Medium, "whoever has a copy acts as its owner until it ends by itself")
        }
        _ if store.tier <= 1 => {
            (Severity::High, "unless its issuer has taken it back, whoever has a copy acts as its owner")
        }
        _ => (Severity::Medium, "unless its issuer has taken it back, it is as good in the copy as it was"),
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
