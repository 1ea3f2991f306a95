//! The head of a capture: what findings say of the machine, and what a core is set up with.

use serde::{Deserialize, Serialize};
use tokenhound_common::record;

use super::{
    WIRE,
    process::{Bytes, bytes, path},
    rules::Rules,
};
use crate::{
    detect::access::Tier,
    finding::{model::Salt, ocsf::Host},
    ingest::clock::Clock,
    pipeline::core::{Scope, Setup},
};

/// The head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`WIRE`] of the agent that recorded it.
    pub wire: u16,
    /// Kinds of records and the sizes of their heads.
    pub heads: Vec<(u16, u16)>,
    /// Version of that agent.
    pub agent: String,
    /// Catalogue and policy.
    pub rules: Rules,
    tier: TierEntry,
    scope: ScopeEntry,
    salt: [u8; 32],
    hostname: Option<String>,
    kernel_release: Option<String>,
    boot_id: Option<String>,
    tick_ns: u64,
    own: u32,
    homes: Vec<Bytes>,
    clock: (i128, u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum TierEntry {
    Lsm,
    Fentry,
    #[default]
    Tracepoint,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum ScopeEntry {
    #[default]
    Host,
    Descendants,
    Job,
}

/// Kinds of records this agent writes, with the sizes of their heads.
#[must_use]
pub fn heads() -> Vec<(u16, u16)> {
    let heads = [
        (record::Kind::FORK, size_of::<record::Fork>()),
        (record::Kind::EXEC, size_of::<record::Exec>()),
        (record::Kind::EXIT, size_of::<record::Exit>()),
        (record::Kind::ACCESS, size_of::<record::Access>()),
        (record::Kind::CHANGE, size_of::<record::Change>()),
        (record::Kind::DUMP, size_of::<record::Dump>()),
        (record::Kind::CONNECT, size_of::<record::Connect>()),
        (record::Kind::WRITTEN, size_of::<record::Written>()),
        (record::Kind::ANSWER, size_of::<record::Answer>()),
    ];
    heads.map(|(kind, size)| (kind.0, size as u16)).to_vec()
}

impl Header {
    /// The head for what a core with this setup consumes, on this machine and under these rules.
    #[must_use]
    pub fn new(setup: &Setup, host: &Host, rules: Rules) -> Self {
        Self {
            wire: WIRE,
            heads: heads(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            rules,
            tier: match setup.tier {
                Tier::Lsm => TierEntry::Lsm,
                Tier::Fentry => TierEntry::Fentry,
                Tier::Tracepoint => TierEntry::Tracepoint,
            },
            scope: match setup.scope {
                Scope::Host => ScopeEntry::Host,
                Scope::Descendants => ScopeEntry::Descendants,
                Scope::Job => ScopeEntry::Job,
            },
            salt: *setup.salt.bytes(),
            hostname: host.hostname.clone(),
            kernel_release: host.kernel_release.clone(),
            boot_id: host.boot_id.clone(),
            tick_ns: setup.tick_ns,
            own: setup.own,
            homes: setup.homes.iter().map(|home| bytes(home)).collect(),
            clock: (setup.clock.offset_ns(), setup.clock.error_ns()),
        }
    }

    /// Whose accesses were reported.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.scope {
            ScopeEntry::Host => Scope::Host,
            ScopeEntry::Descendants => Scope::Descendants,
            ScopeEntry::Job => Scope::Job,
        }
    }

    /// Thread-group id of the agent.
    #[must_use]
    pub fn own(&self) -> u32 {
        self.own
    }

    /// What findings say of the machine.
    #[must_use]
    pub fn host(&self) -> Host {
        Host {
            hostname: self.hostname.clone(),
            kernel_release: self.kernel_release.clone(),
            boot_id: self.boot_id.clone(),
        }
    }

    /// What to set up a core with that makes the same findings.
    #[must_use]
    pub fn setup(
        &self,
        catalogue: std::sync::Arc<crate::catalogue::Catalogue>,
        policy: crate::policy::Policy,
    ) -> Setup {
        let (offset, error) = self.clock;
        Setup {
            catalogue,
            policy,
            scope: self.scope(),
            host: self.hostname.clone().unwrap_or_default(),
            salt: Salt::from_bytes(self.salt),
            tier: match self.tier {
                TierEntry::Lsm => Tier::Lsm,
                TierEntry::Fentry => Tier::Fentry,
                TierEntry::Tracepoint => Tier::Tracepoint,
            },
            tick_ns: self.tick_ns,
            own: self.own,
            homes: self.homes.iter().cloned().map(path).collect(),
            clock: Clock::new(offset, error),
        }
    }

    /// What of its records this agent would read wrong, if anything.
    #[must_use]
    pub fn unreadable(&self) -> Option<String> {
        if self.wire != WIRE {
            return Some(format!("version {}, not {WIRE}", self.wire));
        }
        let known = heads();
        let other = self.heads.iter().find(|head| !known.contains(head))?;
        Some(format!("kind {} with {} bytes", other.0, other.1))
    }
}
