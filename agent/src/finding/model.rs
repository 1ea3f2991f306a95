//! A finding: what a detector reports, with everything needed to show it, send it and act on it.

use std::time::{Duration, SystemTime};

use tokenhound_common::process::ProcessKey;

use super::{
    detector::DetectorId,
    severity::Severity,
    standards::{self, Entry, Technique},
};
use crate::{
    detect::access,
    detect::{
        access::{Service, Tier},
        judge::{StoreFacts, Verdict},
    },
    ingest::observation::{Inspection, KernelTime, Way},
    lineage::{
        actor::{Actor, Class},
        ci::Ci,
        model::{Chain, Process},
    },
};

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// 32 hex digits; see [`Salt::uid`].
    pub uid: String,
    /// Which detector.
    pub detector: DetectorId,
    /// How much it matters.
    pub severity: Severity,
    /// Why it matters that much, one clause each. Visible text (see [`super::visible`]).
    pub reasons: Vec<String>,
    /// Kernel time of the access.
    pub time: KernelTime,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
    /// What happened, in one sentence without a full stop. Visible text.
    pub headline: String,
    /// Stores concerned, the most dangerous first.
    pub stores: Vec<StoreFacts>,
    /// What was accessed.
    pub target: Target,
    /// The reader and its ancestors, reader first. `None` where no process acted.
    pub chain: Option<Chain>,
    /// On whose behalf it was done. `None` where no process acted.
    pub actor: Option<Actor>,
    /// Name of the reader's user.
    pub user_name: Option<String>,
    /// Facts, in words.
    pub evidence: Vec<Evidence>,
    /// What the engine says of the access.
    pub verdict: Option<Verdict>,
    /// Kernel mechanism that saw it.
    pub tier: Option<Tier>,
    /// From the kernel's record to the finding. The edge sets it: the engine has no clock.
    pub latency: Option<Duration>,
    /// What to do.
    pub remediation: Remediation,
    /// Fingerprint of the token (`th1:...`), where it was taken.
    pub fingerprint: Option<String>,
}

/// What was accessed.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A file.
    File {
        /// The name it was opened by.
        path: std::path::PathBuf,
        /// The name the store is known by, where that is another.
        known_as: Option<std::path::PathBuf>,
        /// How the reader came to the content.
        way: Way,
        /// The path as the reader sees it, where it has another root.
        path_in_root: Option<std::path::PathBuf>,
    },
    /// Another process.
    Process {
        /// How it was looked into.
        how: Inspection,
        /// Which; `None` when it could not be resolved.
        process: Option<Box<Process>>,
    },
    /// Whoever keeps the token.
    Service(Service),
    /// The sensor itself.
    Sensor,
}

impl Target {
    /// The file of an access; `None` where it is no file.
    #[must_use]
    pub fn of(target: &access::Target) -> Option<Self> {
        let access::Target::Store { path, known_as, way, path_in_root, .. } = target else { return None };
        let (path, known_as) = (path.clone(), known_as.clone());
        Some(Self::File { path, known_as, way: *way, path_in_root: path_in_root.clone() })
    }
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Stable key: `reader.executable`.
    pub key: &'static str,
    /// The fact in words. Visible text.
    pub text: String,
}

impl Evidence {
    /// The fact `text` under `key`; what would act on a terminal is escaped.
    #[must_use]
    pub fn new(key: &'static str, text: impl AsRef<str>) -> Self {
        Self { key, text: super::visible::text(text.as_ref()) }
    }
}

/// What to do about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remediation {
    /// Steps in words, in order.
    pub steps: Vec<String>,
    /// Commands of the stores concerned that make the token worthless.
    pub commands: Vec<String>,
}

impl Remediation {
    /// The detector's steps with the stores' own commands: revoke where there is one, else logout.
    #[must_use]
    pub fn of(detector: DetectorId, stores: &[StoreFacts]) -> Self {
        let mut commands: Vec<String> = Vec::new();
        for store in stores {
            if let Some(command) = store.revoke.as_ref().or(store.logout.as_ref())
                && !commands.contains(command)
            {
                commands.push(command.clone());
            }
        }
        Self { steps: detector.meta().remediation.iter().map(|step| (*step).to_owned()).collect(), commands }
    }
}

impl Finding {
    /// The process that acted.
    #[must_use]
    pub fn reader(&self) -> Option<&Process> {
        self.chain.as_ref().and_then(|chain| chain.processes.first())
    }

    /// The job and step of a CI system that the reader ran in.
    #[must_use]
    pub fn ci(&self) -> Option<&Ci> {
        self.actor.as_ref()?.ci.as_deref()
    }

    /// What of NIST's AI Risk Management Framework it speaks to: where an AI agent acts, or had it done.
    #[must_use]
    pub fn ai_risks(&self) -> &'static [Entry] {
        let agent = self.actor.as_ref().is_some_and(|actor| actor.involves(Class::AiAgent));
        if agent { standards::AI_RISKS } else { &[] }
    }

    /// ATT&CK techniques this finding shows: for a finding about stores those their kinds of secret call for, after
    /// the detector's first; for others all of the detector's.
    #[must_use]
    pub fn attacks(&self) -> Vec<Technique> {
        let all = self.detector.meta().attacks;
        if self.stores.is_empty() {
            return all.to_vec();
        }
        let kinds = self.stores.iter().flat_map(|store| &store.kinds).filter_map(|kind| standards::of_kind(kind));
        let general = all.iter().copied().filter(|technique| {
            *technique == standards::CREDENTIALS_IN_FILES || *technique == standards::AUTOMATED_COLLECTION
        });
        let mut techniques: Vec<Technique> = Vec::new();
        for technique in general.chain(kinds) {
            if !techniques.contains(&technique) {
                techniques.push(technique);
            }
        }
        techniques
    }
}

/// What makes the ids of findings differ between machines and boots, and agree between runs over the same records.
#[derive(Clone, Debug)]
pub struct Salt([u8; 32]);

impl Salt {
    /// From the boot id and whatever names the host. A recording carries both, so a replay gives the same ids.
    #[must_use]
    pub fn new(host: &str, boot_id: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2025 finding id");
        for part in [host, boot_id] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// What a recording keeps of it. Neither host nor boot can be learnt from it.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The salt of a recording.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Id of the finding that `detector` makes of what `process` did to `target` at `time`.
    #[must_use]
    pub fn uid(&self, detector: DetectorId, time: KernelTime, process: ProcessKey, target: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&time.0.to_le_bytes());
        hasher.update(&process.start_ns.to_le_bytes());
        hasher.update(&process.tgid.to_le_bytes());
        for part in [detector.name(), target] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_agree_for_equal_facts_and_differ_for_each_fact() {
        let salt = Salt::new("host", "boot");
        let key = ProcessKey::new(1, 2);
        let uid = salt.uid(DetectorId::UnexpectedReader, KernelTime(3), key, "a");
        assert_eq!(uid.len(), 32);
        assert_eq!(uid, Salt::new("host", "boot").uid(DetectorId::UnexpectedReader, KernelTime(3), key, "a"));
        for other in [
            Salt::new("hostb", "oot").uid(DetectorId::UnexpectedReader, KernelTime(3), key, "a"),
            salt.uid(DetectorId::CredentialSweep, KernelTime(3), key, "a"),
            salt.uid(DetectorId::UnexpectedReader, KernelTime(4), key, "a"),
            salt.uid(DetectorId::UnexpectedReader, KernelTime(3), ProcessKey::new(2, 2), "a"),
            salt.uid(DetectorId::UnexpectedReader, KernelTime(3), ProcessKey::new(1, 3), "a"),
            salt.uid(DetectorId::UnexpectedReader, KernelTime(3), key, "b"),
        ] {
            assert_ne!(uid, other);
        }
    }
}
