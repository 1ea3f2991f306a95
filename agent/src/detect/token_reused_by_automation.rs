//! `token-reused-by-automation`: a person logged in, and now a machine acts as that person.
//!
//! The reader may well be the tool that the store belongs to: what is told is not who reads, but on whose behalf. Each
//! program of each kind of actor is told once for a token; what it does from then on is known.

use super::{
    access::Access,
    judge::{StoreFacts, Verdict},
    lifecycle::{
        Tracked,
        report::{Moment, made, of_token, with_reader},
    },
    severity, words,
};
use crate::finding::{
    detector::DetectorId,
    model::{Finding, Salt},
    visible,
};

/// The finding for the first read of a person's token by a program on behalf of a machine.
pub(crate) fn finding(
    salt: &Salt,
    token: &Tracked,
    store: &StoreFacts,
    access: &Access,
    verdict: Verdict,
) -> Option<Finding> {
    let reader = access.chain.processes.first()?;
    let origin = token.origin.as_ref()?;
    let path = visible::path(&token.known.path);
    let user = origin.user.clone().unwrap_or_else(|| format!("uid {}", origin.uid));
    let headline = format!(
        "{} uses the token in {path} ({}) for {}; {user} logged in by hand",
        words::reader(reader),
        store.id,
        access.actor.party.name,
    );
    let mut assessment = severity::token::reused(access.actor.class(), verdict);
    assessment.reasons.push(made(origin));
    let moment = Moment { time: access.time, wall: access.wall };
    let finding = of_token(salt, DetectorId::TokenReusedByAutomation, token, store, moment, assessment, headline);
    let mut finding = with_reader(finding, access);
    finding.uid = salt.uid(
        DetectorId::TokenReusedByAutomation,
        access.time,
        reader.key,
        &format!("{} {path} {}", store.id, token.known.fingerprint),
    );
    finding.verdict = Some(verdict);
    finding.evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    Some(finding)
}
