//! What is wrong with a token outside of stores. Pure: what is known of its file comes in.

use jiff::Timestamp;

use super::{
    content::{Copy, OfShape},
    model::Finding,
};
use crate::{
    catalogue::{Catalogue, model::Kind},
    copies::place::{self, Place},
    finding::{detector::DetectorId, severity::Severity, visible},
    posture::{FileFacts, git},
    token::{
        model::{Known, Protection},
        scan::Encoding,
    },
};

/// The finding of one token in one file. `stores` are the tokens that this fingerprint has in stores.
#[must_use]
pub(super) fn finding(
    copy: &Copy,
    facts: &FileFacts,
    stores: &[&Known],
    catalogue: &Catalogue,
    now: Timestamp,
) -> Finding {
    let place = place::of(&copy.path, facts.expected.home.as_deref());
    let mut evidence = Vec::new();
    let (rule, mut severity, what, revoke) = match (&copy.shape, stores.first()) {
        (Some(shape), _) => of_shape(copy, shape, place, facts, now, &mut evidence),
        (None, known) => of_store(known.copied(), place, stores, catalogue),
    };
    let tracked = matches!(facts.git, git::State::Tracked { .. });
    if tracked && place != Place::Package && severity > Severity::Informational {
        severity = severity.max(Severity::High);
    }
    match &facts.git {
        git::State::Tracked { .. } => evidence.push("the file is part of a git repository".to_owned()),
        git::State::Untracked { .. } => evidence.push("git does not ignore the file".to_owned()),
        _ => {}
    }
    if facts.mode & 0o004 != 0 {
        evidence.push(format!("the file has mode {:04o}", facts.mode));
    }
    if copy.encoding != Encoding::Raw {
        evidence.push(format!("written as {}", copy.encoding.name()));
    }
    if copy.times > 1 {
        evidence.push(format!("{} times", copy.times));
    }
    let mut steps = vec![if tracked { place::TRACKED } else { place.advice() }.to_owned()];
    steps.extend(revoke.map(|revoke| format!("to revoke: {}", visible::text(&revoke))));
    Finding {
        detector: DetectorId::TokenCopied,
        rule,
        severity,
        path: copy.path.clone(),
        line: Some(copy.line),
        store: stores.first().map(|known| known.store.clone()),
        fingerprint: Some(copy.fingerprint),
        headline: format!("{} holds {what}", place.words()),
        evidence,
        steps,
    }
}

type Judged = (&'static str, Severity, String, Option<String>);

fn of_store(known: Option<&Known>, place: Place, stores: &[&Known], catalogue: &Catalogue) -> Judged {
    let mut files: Vec<String> = stores.iter().map(|known| visible::path(&known.path)).collect();
    files.dedup();
    let kind = known.map_or_else(|| "token".to_owned(), |known| kind(known.facts.kind));
    let entry = known.and_then(|known| catalogue.store(&known.store));
    let revoke = entry.and_then(|entry| entry.revoke.clone().or_else(|| entry.logout.clone()));
    // A tool's own configuration of another place, beside what a person did without thinking.
    let severity = if place == Place::Package { Severity::Medium } else { Severity::High };
    ("known-token", severity, format!("the {kind} of {}", files.join(" and ")), revoke)
}

fn of_shape(
    copy: &Copy,
    shape: &OfShape,
    place: Place,
    facts: &FileFacts,
    now: Timestamp,
    evidence: &mut Vec<String>,
) -> Judged {
    let key = shape.facts.kind == Kind::PrivateKey;
    let ended = shape.facts.expires.is_some_and(|expires| expires < now);
    let encrypted = shape.facts.protection == Protection::Encrypted;
    // A file that is a key and that only its owner reads is how keys are kept.
    let kept = key && copy.at_start && facts.mode & 0o077 == 0;
    let severity = if ended || encrypted {
        Severity::Informational
    } else if place == Place::Package || kept {
        Severity::Low
    } else {
        Severity::Medium
    };
    evidence.extend(
        shape.checked.then(|| if key { "it was parsed" } else { "its checksum or structure holds" }.to_owned()),
    );
    evidence.extend(ended.then(|| "it has ended".to_owned()));
    evidence.extend(encrypted.then(|| "it needs a passphrase".to_owned()));
    let rule = if key { "private-key" } else { "token-shape" };
    let revoke = Some(shape.revoke.to_owned()).filter(|revoke| !revoke.is_empty() && place != Place::Package);
    (rule, severity, format!("{} ({})", visible::text(shape.what), visible::text(shape.issuer)), revoke)
}

fn kind(kind: Kind) -> String {
    kind.name().replace('_', " ")
}
