//! `decoy-read`: a planted decoy was read. Nothing has a reason to; only what the policy tolerates may.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Target},
    engine::{Unexpected, WINDOW_NS},
    judge::{Identity, Verdict},
    recent::Recent,
    severity::{self, Assessment, Deed, Manner},
    unexpected_reader::{evidence, verb},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Finding, Remediation, Salt},
        visible,
    },
    ingest::observation::KernelTime,
};

/// Most (process, decoy, reader) triples remembered.
const LIMIT: usize = 1024;

/// A read that was reported, and how often it was repeated since.
#[derive(Debug, Default)]
struct Reported {
    at: Option<KernelTime>,
    repeated: u64,
}

/// State of the detector: what was reported within the window.
#[derive(Debug)]
pub struct DecoyRead {
    reported: Recent<(ProcessKey, String, Identity), Reported>,
}

impl Default for DecoyRead {
    fn default() -> Self {
        Self { reported: Recent::new(LIMIT) }
    }
}

impl DecoyRead {
    /// The finding for a read of decoys, unless it repeats one of the last [`WINDOW_NS`].
    pub(crate) fn read(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let reader = access.chain.processes.first()?;
        let decoy = read.stores.first()?;
        self.reported.expire(access.time, WINDOW_NS);
        let key = (reader.key, decoy.id.clone(), Identity::of(reader));
        let entry = self.reported.touch(&key, access.time, Reported::default);
        if entry.at.is_some_and(|at| access.time.0.saturating_sub(at.0) <= WINDOW_NS) {
            entry.repeated += 1;
            return None;
        }
        let before = std::mem::replace(entry, Reported { at: Some(access.time), repeated: 0 });
        finding(salt, access, read, before.repeated)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.reported.evicted()
    }
}

fn finding(salt: &Salt, access: &Access, read: &Unexpected<'_>, repeated: u64) -> Option<Finding> {
    let reader = access.chain.processes.first()?;
    let decoy = read.stores.first()?;
    let Target::Store { path, way, .. } = &access.target else { return None };
    let shown = visible::path(path);
    let Assessment { severity, reasons } = severity::assess(Deed::Decoy, &access.actor, Manner::of(access));
    let stores: Vec<_> = read.stores.iter().map(|store| (*store).clone()).collect();
    Some(Finding {
        uid: salt.uid(DetectorId::DecoyRead, access.time, reader.key, &format!("{} {shown}", decoy.id)),
        detector: DetectorId::DecoyRead,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} {} {shown} ({})", words::reader(reader), verb(*way), visible::text(&decoy.title)),
        target: model::Target::of(&access.target)?,
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence: evidence(access, repeated),
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        // Nothing is to be revoked: the token was made up.
        remediation: Remediation::of(DetectorId::DecoyRead, &[]),
        stores,
        fingerprint: None,
    })
}
