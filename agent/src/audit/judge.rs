//! What is wrong with a store, from what is known of its file and its tokens. Pure: now comes in as an input.

use jiff::{SignedDuration, Timestamp};

use super::model::{Finding, StoreFile};
use crate::{
    catalogue::{
        Catalogue,
        model::{Holds, Keyring, Kind, NotExtracted, Store},
    },
    detect::{severity::token as assess, stale_token},
    finding::{detector::DetectorId, severity::Severity, visible},
    policy::Policy,
    token::model::{Facts, Known, Lifetime, Protection},
};

const DAY: i64 = 24 * 60 * 60;

/// A token that ended this many days ago has been forgotten.
const FORGOTTEN_DAYS: i64 = 30;
/// Tokens that live no longer than this count as short-lived, in seconds.
const SHORT: u64 = 24 * 60 * 60;

/// What a store is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The stores.
    pub catalogue: &'a Catalogue,
    /// How old tokens may get.
    pub policy: &'a Policy,
    /// Now.
    pub now: Timestamp,
}

/// Everything that is wrong with one store.
#[must_use]
pub fn store(file: &StoreFile, rules: Rules<'_>) -> Vec<Finding> {
    let Rules { catalogue, now, .. } = rules;
    let mut findings = Vec::new();
    let entry = catalogue.store(&file.store);
    exposed(file, entry, &mut findings);
    for token in &file.tokens {
        let entry = catalogue.store(&token.store).or(entry);
        unprotected(file, token, entry, &mut findings);
        stale(file, token, entry, rules, &mut findings);
        long_lived(file, token, entry, catalogue, &mut findings);
    }
    forgotten(file, entry, now, &mut findings);
    findings
}

/// What the file itself says: it matters as much as what lies in it.
fn exposed(file: &StoreFile, entry: Option<&Store>, findings: &mut Vec<Finding>) {
    let why = entry.and_then(|entry| entry.not_extracted);
    let closed = matches!(why, Some(NotExtracted::Encrypted | NotExtracted::Unreadable));
    // There is nothing in it to take: it is empty, or was understood and holds none, at least not now.
    if file.tokens.is_empty() && (file.size == 0 || (file.problems.is_empty() && !closed)) {
        return;
    }
    let all_encrypted =
        !file.tokens.is_empty() && file.tokens.iter().all(|token| token.facts.protection == Protection::Encrypted);
    let encrypted = all_encrypted || (file.tokens.is_empty() && why == Some(NotExtracted::Encrypted));
    for exposure in &file.exposures {
        let mut severity = exposure.severity();
        if encrypted || (file.tokens.is_empty() && file.holds == Holds::Perhaps) {
            severity = severity.min(Severity::Low);
        }
        let mut evidence = vec![tokens(file)];
        evidence.extend(encrypted.then(|| "its tokens are encrypted".to_owned()));
        let mut steps = vec![exposure.remedy().to_owned()];
        steps.extend(revoke(entry));
        findings.push(Finding {
            detector: DetectorId::StoreExposed,
            rule: exposure.name(),
            severity,
            path: file.facts.path.clone(),
            line: None,
            store: Some(file.store.clone()),
            fingerprint: None,
            headline: exposure.sentence(),
            evidence,
            steps,
        });
    }
}

fn tokens(file: &StoreFile) -> String {
    match file.tokens.len() {
        0 => "what lies in it could not be told".to_owned(),
        1 => "1 token lies in it".to_owned(),
        many => format!("{many} tokens lie in it"),
    }
}

fn unprotected(file: &StoreFile, token: &Known, entry: Option<&Store>, findings: &mut Vec<Finding>) {
    if token.facts.protection == Protection::Encrypted {
        return;
    }
    // Keys of daemons must open without a person.
    let private = token.facts.kind == Kind::PrivateKey && file.facts.expected.home.is_some();
    let keyring = entry.is_some_and(|entry| entry.keyring == Keyring::Default);
    let (rule, severity, what, step) = if private {
        (
            "unencrypted-key",
            Severity::Medium,
            "a private key without a passphrase",
            "set a passphrase, or keep the key in hardware",
        )
    } else if keyring {
        (
            "not-in-keyring",
            Severity::Low,
            "a token that its tool keeps in a keyring elsewhere lies here in plain",
            "log in again where a keyring is unlocked",
        )
    } else {
        return;
    };
    let mut finding = of_token(file, token, DetectorId::StoreExposed, rule, severity, what.to_owned());
    finding.steps = vec![step.to_owned()];
    findings.push(finding);
}

/// Older than the policy allows, by the rule that the agent has.
fn stale(file: &StoreFile, token: &Known, entry: Option<&Store>, rules: Rules<'_>, findings: &mut Vec<Finding>) {
    let facts = &token.facts;
    // A file that was not written since holds nothing younger.
    let issued = facts.issued.map(|issued| (issued, "was issued"));
    let Some((since, how)) = issued.or(file.written.map(|written| (written, "was last written"))) else { return };
    let limits = rules.policy.token_limits(&token.store);
    let ended = facts.expires.is_some_and(|expires| expires < rules.now);
    let Some(until) = stale_token::of_facts(facts, since, limits).filter(|until| !ended && *until <= rules.now) else {
        return;
    };
    let days = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs() / DAY;
    let what = format!("{} is {} days old at least", words(facts), days(since, rules.now));
    let assessment = assess::stale(facts);
    let mut finding = of_token(file, token, DetectorId::StaleToken, "old", assessment.severity, what);
    finding.evidence.extend(assessment.reasons);
    let limit = days(since, until);
    finding.evidence.push(format!("it {how} {}; the policy allows {limit} days", date(since)));
    finding.steps = vec!["make a new token if it is still needed, and revoke this one".to_owned()];
    finding.steps.extend(revoke(entry));
    findings.push(finding);
}

/// Good until somebody revokes it, where the same tools offer what ends by itself.
fn long_lived(
    file: &StoreFile,
    token: &Known,
    entry: Option<&Store>,
    catalogue: &Catalogue,
    findings: &mut Vec<Finding>,
) {
    let facts = &token.facts;
    let wanted = matches!(facts.kind, Kind::AccessToken | Kind::ApiKey | Kind::ServiceAccountKey)
        && facts.lifetime == Lifetime::LongLived
        && facts.protection != Protection::Encrypted;
    let Some(entry) = entry.filter(|_| wanted) else { return };
    let short = |other: &&Store| {
        other.family == entry.family
            && other.id != entry.id
            && other.ttl_seconds.is_some_and(|ttl| ttl > 0 && ttl <= SHORT)
    };
    let Some(other) = catalogue.stores().iter().find(short) else { return };
    let what =
        format!("{} does not end by itself, though {} offers tokens that do", words(facts), visible::text(&other.tool));
    let mut finding = of_token(file, token, DetectorId::StaleToken, "long-lived", Severity::Low, what);
    finding.evidence.push(format!("tokens of `{}` end by themselves", other.id));
    finding.steps = vec![format!("log in with {} instead, and revoke this one", visible::text(&other.tool))];
    finding.steps.extend(revoke(Some(entry)));
    findings.push(finding);
}

/// All that lies in the file ended long ago.
fn forgotten(file: &StoreFile, entry: Option<&Store>, now: Timestamp, findings: &mut Vec<Finding>) {
    let ends: Option<Vec<Timestamp>> = file.tokens.iter().map(|token| token.facts.expires).collect();
    let Some(last) = ends.and_then(|ends| ends.into_iter().max()) else { return };
    if last.duration_until(now) <= SignedDuration::from_hours(24 * FORGOTTEN_DAYS) {
        return;
    }
    let days = now.duration_since(last).as_secs() / DAY;
    let headline = format!("{}: everything in it ended {days} days ago or earlier", visible::path(&file.facts.path));
    findings.push(Finding {
        detector: DetectorId::StaleToken,
        rule: "expired",
        severity: Severity::Informational,
        path: file.facts.path.clone(),
        line: None,
        store: Some(file.store.clone()),
        fingerprint: None,
        headline,
        evidence: vec![tokens(file)],
        steps: std::iter::once("log out, or remove the file".to_owned())
            .chain(
                entry
                    .and_then(|entry| entry.logout.clone())
                    .map(|logout| format!("to log out: {}", visible::text(&logout))),
            )
            .collect(),
    });
}

fn of_token(
    file: &StoreFile,
    token: &Known,
    detector: DetectorId,
    rule: &'static str,
    severity: Severity,
    what: String,
) -> Finding {
    Finding {
        detector,
        rule,
        severity,
        path: file.facts.path.clone(),
        line: None,
        store: Some(token.store.clone()),
        fingerprint: Some(token.fingerprint),
        headline: what,
        evidence: vec![format!("field {}", visible::text(&token.facts.field))],
        steps: Vec::new(),
    }
}

/// `the access token of example.invalid`.
fn words(facts: &Facts) -> String {
    let issuer = facts.issuer.as_ref().map(|issuer| format!(" of {}", visible::text(issuer))).unwrap_or_default();
    format!("{}{issuer}", facts.kind.name().replace('_', " "))
}

fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// How to make the store's tokens worthless.
fn revoke(entry: Option<&Store>) -> Option<String> {
    let command = entry.and_then(|entry| entry.revoke.as_ref().or(entry.logout.as_ref()))?;
    Some(format!("to revoke: {}", visible::text(command)))
}
