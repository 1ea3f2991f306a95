//! `stale-token`: a token is older than the policy allows.

use jiff::Timestamp;

use super::{
    judge::StoreFacts,
    lifecycle::{
        Limits, Tracked, after,
        report::{Moment, of_token, span},
    },
    severity,
};
use crate::{
    catalogue::model::Kind,
    finding::{
        detector::DetectorId,
        model::{Finding, Salt},
        visible,
    },
    token::model::{Facts, Protection},
};

/// How much older keys may get that no server hands out and that are changed by hand on both sides.
const KEYS: i64 = 4;

/// When a token becomes stale; `None` where it never does: what takes a passphrase as well is not as good as lying about.
#[must_use]
pub fn when(token: &Tracked, limits: Limits) -> Option<Timestamp> {
    of_facts(&token.known.facts, born(token), limits)
}

/// The same of a token of which these facts are known and that was issued, or written, at `born`.
#[must_use]
pub fn of_facts(facts: &Facts, born: Timestamp, limits: Limits) -> Option<Timestamp> {
    let secret =
        !matches!(facts.kind, Kind::Metadata | Kind::PasswordHash | Kind::EncryptedVault | Kind::ConfigWithHelper);
    if !secret || facts.protection == Protection::Encrypted {
        return None;
    }
    let times = if facts.kind == Kind::PrivateKey { KEYS } else { 1 };
    Some(after(born, limits.stale_after.saturating_mul(times)))
}

/// When it was issued; where that is not known, when its file was written.
pub(super) fn born(token: &Tracked) -> Timestamp {
    token.known.facts.issued.unwrap_or(token.written)
}

/// The finding for a token that has become stale by `now`.
pub(crate) fn finding(salt: &Salt, token: &Tracked, store: &StoreFacts, moment: Moment, now: Timestamp) -> Finding {
    let age = now.as_second() - born(token).as_second();
    let path = visible::path(&token.known.path);
    let headline = format!("The token in {path} ({}) is {} old", store.id, span(age));
    let assessment = severity::token::stale(&token.known.facts);
    of_token(salt, DetectorId::StaleToken, token, store, moment, assessment, headline)
}
