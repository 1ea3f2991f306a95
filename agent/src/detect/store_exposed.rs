//! `store-exposed`: others can get at a store that holds a token. Told once, when it becomes so or is first seen so.

use std::path::Path;

use tokenhound_common::process::ProcessKey;

use super::{
    judge::StoreFacts,
    lifecycle::{
        Exposed, Tracked,
        report::{Moment, file, words},
    },
    severity::{self, Assessment},
};
use crate::finding::{
    detector::DetectorId,
    model::{Evidence, Finding, Remediation, Salt},
    visible,
};

/// The finding for new ways of exposure of one file. `ways` is not empty.
pub(crate) fn finding(
    salt: &Salt,
    path: &Path,
    tokens: &[&Tracked],
    store: &StoreFacts,
    ways: &[Exposed],
    moment: Moment,
) -> Finding {
    let Assessment { severity, reasons } = severity::token::exposed(ways);
    let shown = visible::path(path);
    let mut evidence: Vec<Evidence> = ways.iter().map(|way| Evidence::new("store.exposure", &way.text)).collect();
    evidence.extend(tokens.iter().map(|token| Evidence::new("token.facts", words(&token.known.facts))));
    let names: Vec<&str> = ways.iter().map(|way| way.way.as_str()).collect();
    let stores = vec![store.clone()];
    Finding {
        uid: salt.uid(
            DetectorId::StoreExposed,
            moment.time,
            ProcessKey::default(),
            &format!("{} {shown} {}", store.id, names.join(",")),
        ),
        detector: DetectorId::StoreExposed,
        severity,
        reasons,
        time: moment.time,
        wall: moment.wall,
        headline: format!("Others can get at {shown} ({}): {}", store.id, ways.first().map_or("", |way| &way.text)),
        target: file(path),
        chain: None,
        actor: None,
        user_name: None,
        evidence,
        verdict: None,
        tier: None,
        latency: None,
        remediation: remediation(ways, &stores),
        stores,
        fingerprint: tokens.first().map(|token| token.known.fingerprint.to_string()),
    }
}

/// What to do about each way, the worst first.
fn remediation(ways: &[Exposed], stores: &[StoreFacts]) -> Remediation {
    let mut remediation = Remediation::of(DetectorId::StoreExposed, stores);
    let mut ways: Vec<&Exposed> = ways.iter().collect();
    ways.sort_by_key(|way| std::cmp::Reverse(way.severity));
    ways.dedup_by(|one, other| one.remedy == other.remedy);
    remediation.steps.splice(0..0, ways.iter().map(|way| way.remedy.clone()));
    remediation
}
