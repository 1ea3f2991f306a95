//! What findings about a token's life have in common: nobody reads anything at that moment, or what is read is in order.

use std::time::SystemTime;

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

use super::{Origin, Tracked};
use crate::{
    detect::{access::Access, judge::StoreFacts, severity::Assessment},
    finding::{
        detector::DetectorId,
        model::{Evidence, Finding, Remediation, Salt, Target},
        visible,
    },
    ingest::observation::{KernelTime, Way},
    token::model::Facts,
};

/// When something is told, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The kernel's time.
    pub(crate) time: KernelTime,
    /// The same on the wall clock.
    pub(crate) wall: SystemTime,
}

/// A finding about a token that was not read just now.
pub(crate) fn of_token(
    salt: &Salt,
    detector: DetectorId,
    token: &Tracked,
    store: &StoreFacts,
    moment: Moment,
    assessment: Assessment,
    headline: String,
) -> Finding {
    let Assessment { severity, reasons } = assessment;
    let stores = vec![store.clone()];
    let subject = format!("{} {} {}", store.id, visible::path(&token.known.path), token.known.fingerprint);
    Finding {
        uid: salt.uid(detector, moment.time, ProcessKey::default(), &subject),
        detector,
        severity,
        reasons,
        time: moment.time,
        wall: moment.wall,
        headline,
        target: file(&token.known.path),
        chain: None,
        actor: None,
        user_name: None,
        evidence: about(token),
        verdict: None,
        tier: None,
        latency: None,
        remediation: Remediation::of(detector, &stores),
        stores,
        fingerprint: Some(token.known.fingerprint.to_string()),
    }
}

/// Adds who reads it now.
pub(crate) fn with_reader(finding: Finding, access: &Access) -> Finding {
    Finding {
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        tier: Some(access.tier),
        target: Target::of(&access.target).unwrap_or(finding.target),
        ..finding
    }
}

/// A file as what was accessed.
pub(crate) fn file(path: &std::path::Path) -> Target {
    Target::File { path: path.to_owned(), known_as: None, way: Way::Open, path_in_root: None }
}

/// What is known of a token, in words. None of it is secret.
pub(crate) fn about(token: &Tracked) -> Vec<Evidence> {
    let mut evidence = vec![Evidence::new("token.facts", words(&token.known.facts))];
    if let Some(origin) = &token.origin {
        evidence.push(Evidence::new("token.origin", made(origin)));
        if let Some(session) = &origin.session {
            let over =
                token.session_over.map_or_else(|| "it goes on".to_owned(), |over| format!("it ended {}", at(over)));
            let text = format!("its session is that of {} (pid {}): {over}", session.program, session.leader.tgid);
            evidence.push(Evidence::new("token.session", text));
        }
    }
    for one in &token.uses {
        let text = format!("{} ({}) has read it since {}", visible::path(&one.program), one.actor, at(one.first));
        evidence.push(Evidence::new("token.use", text));
    }
    evidence
}

/// `refresh_token at /tokens/refresh_token, issued 2026-11-01 ..., without an end that is known`.
pub(crate) fn words(facts: &Facts) -> String {
    let mut text = match facts.field.as_str() {
        "*file*" => format!("{}, the whole file", facts.kind.name()),
        field => format!("{} at {field}", facts.kind.name()),
    };
    if let Some(issuer) = &facts.issuer {
        text.push_str(&format!(" of {issuer}"));
    }
    if let Some(issued) = facts.issued {
        text.push_str(&format!(", issued {}", at(issued)));
    }
    match facts.expires {
        Some(expires) => text.push_str(&format!(", good until {}", at(expires))),
        None => text.push_str(", without an end that is known"),
    }
    text
}

/// Who put a token where it is.
pub(crate) fn made(origin: &Origin) -> String {
    let user = origin.user.clone().unwrap_or_else(|| format!("uid {}", origin.uid));
    let program = visible::path(&origin.program);
    let how = if origin.seen { "was written by" } else { "changed right after it was read by" };
    format!("the store {how} {program} for {user} ({}) {}", origin.actor, at(origin.at))
}

/// A moment for people: to the second.
pub(crate) fn at(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A span for people, of one unit.
pub(crate) fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}
