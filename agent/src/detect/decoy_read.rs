//! `decoy-read`: a planted decoy was read. Nothing has a reason to; only what the policy tolerates may.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Target},
    engine::Unexpected,
    judge::{Identity, Verdict},
    repeats::Repeats,
    severity::{self, Assessment, Deed, Manner},
    unexpected_reader::{evidence, verb},
    words,
};
use crate::finding::{
    detector::DetectorId,
    model::{self, Finding, Remediation, Salt},
    visible,
};

/// Most (process, decoy, reader) triples remembered.
const LIMIT: usize = 1024;

/// State of the detector: what was reported within the window.
#[derive(Debug)]
pub struct DecoyRead {
    reported: Repeats<(ProcessKey, String, Identity)>,
}

impl Default for DecoyRead {
    fn default() -> Self {
        Self { reported: Repeats::new(LIMIT) }
    }
}

impl DecoyRead {
    /// The finding for a read of decoys, unless it repeats one of the window.
    pub(crate) fn read(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let reader = access.chain.processes.first()?;
        let decoy = read.stores.first()?;
        let key = (reader.key, decoy.id.clone(), Identity::of(reader));
        let repeated = self.reported.tell(&key, access.time)?;
        finding(salt, access, read, repeated)
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
