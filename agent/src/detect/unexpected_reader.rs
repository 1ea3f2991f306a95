//! `unexpected-reader`: a store was read by a reader that neither catalogue nor policy expects. One read is enough.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Target},
    engine::Unexpected,
    judge::{Identity, StoreFacts, Verdict},
    repeats::Repeats,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::observation::Way,
};

/// Most (process, store, reader) triples remembered.
const LIMIT: usize = 8192;

/// State of the detector: what was reported within the window.
#[derive(Debug)]
pub struct UnexpectedReader {
    reported: Repeats<(ProcessKey, String, Identity)>,
}

impl Default for UnexpectedReader {
    fn default() -> Self {
        Self { reported: Repeats::new(LIMIT) }
    }
}

impl UnexpectedReader {
    /// The finding for an unexpected read, unless it repeats one of the window.
    pub(crate) fn read(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let reader = access.chain.processes.first()?;
        let stores = read.stores.iter().map(|store| store.id.as_str()).collect::<Vec<_>>().join(" ");
        let key = (reader.key, stores, Identity::of(reader));
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
    let store = read.stores.first()?;
    let Target::Store { path, way, .. } = &access.target else { return None };
    let stores: Vec<StoreFacts> = read.stores.iter().map(|store| (*store).clone()).collect();
    let shown = visible::path(path);
    let Assessment { severity, reasons } = assess(access, store, read);
    Some(Finding {
        uid: salt.uid(DetectorId::UnexpectedReader, access.time, reader.key, &format!("{} {shown}", store.id)),
        detector: DetectorId::UnexpectedReader,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} {} {shown} ({})", words::reader(reader), verb(*way), visible::text(&store.title)),
        target: model::Target::of(&access.target)?,
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence: evidence(access, repeated),
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::UnexpectedReader, &stores),
        stores,
        fingerprint: None,
    })
}

/// What the reader did, before the path.
pub(super) const fn verb(way: Way) -> &'static str {
    match way {
        Way::Open | Way::Read => "read",
        Way::Exec => "was started with an open descriptor of",
        Way::Receive => "received a descriptor of",
        Way::Map => "mapped",
    }
}

/// How the reader came to the content, where it did not open the file itself.
const fn detour(way: Way) -> Option<&'static str> {
    match way {
        Way::Open => None,
        Way::Exec => Some("the process opened it, or was given it open, before it started this program"),
        Way::Receive => Some("another process passed it on: over a socket, or taken with pidfd_getfd"),
        Way::Read | Way::Map => Some("another process opened it, or it was open before the agent started"),
    }
}

fn assess(access: &Access, store: &StoreFacts, read: &Unexpected<'_>) -> Assessment {
    let deed = Deed::Read { store, weak: read.weak };
    let mut assessment = severity::assess(deed, &access.actor, Manner::of(access));
    let mut why: Vec<String> = read.why.iter().map(|why| visible::text(why)).collect();
    if store.broad {
        why.push(format!("many programs read {}: an unknown reader says less here than elsewhere", store.id));
    }
    if read.weak {
        why.push("the doubt is small: it may well be an expected reader, but that cannot be proved".to_owned());
    }
    assessment.reasons.splice(1..1, why);
    assessment
}

/// Facts about the file, how it was come to, and the reader.
pub(super) fn evidence(access: &Access, repeated: u64) -> Vec<Evidence> {
    let mut evidence = words::reader_evidence(&access.chain, access.user_name.as_deref());
    if let Target::Store { path, known_as, file, mode, way, path_in_root, .. } = &access.target {
        let how = if mode.write { "for reading and writing" } else { "for reading" };
        evidence.push(Evidence::new(
            "store.file",
            format!("{} opened {how}; owner uid {}, mode {:04o}", visible::path(path), file.uid, file.mode & 0o7777),
        ));
        if let Some(known) = known_as {
            evidence.push(Evidence::new("store.known_as", format!("the same file is {}", visible::path(known))));
        }
        if let Some(detour) = detour(*way) {
            evidence.push(Evidence::new("store.way", detour));
        }
        if let Some(path) = path_in_root {
            evidence.push(Evidence::new(
                "store.path_in_root",
                format!("the reader has another root and sees it as {}", visible::path(path)),
            ));
        }
        if file.links > 1 {
            evidence.push(Evidence::new("store.links", format!("the file has {} names (hard links)", file.links)));
        }
    }
    if repeated > 0 {
        let text = format!("the same process read it {repeated} more times since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence
}
