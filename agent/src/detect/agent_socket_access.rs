//! `agent-socket-access`: a program connected to the socket of an agent that keeps keys or tokens, or to an address that hands
//! them out, and does not belong there.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Service, Target},
    engine::Unexpected,
    judge::{Identity, StoreFacts, Verdict},
    repeats::Repeats,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::finding::{
    detector::DetectorId,
    model::{self, Evidence, Finding, Remediation, Salt},
    visible,
};

/// Most (process, store, program) triples remembered.
const LIMIT: usize = 4096;

/// State of the detector: what was reported within the window.
#[derive(Debug)]
pub struct AgentSocketAccess {
    reported: Repeats<(ProcessKey, String, Identity)>,
}

impl Default for AgentSocketAccess {
    fn default() -> Self {
        Self { reported: Repeats::new(LIMIT) }
    }
}

impl AgentSocketAccess {
    /// The finding for a connection, unless it repeats one of the window.
    pub(crate) fn connect(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let (user, store) = (access.chain.processes.first()?, read.stores.first()?);
        let key = (user.key, store.id.clone(), Identity::of(user));
        let repeated = self.reported.tell(&key, access.time)?;
        finding(salt, access, read, repeated)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.reported.evicted()
    }
}

fn finding(salt: &Salt, access: &Access, read: &Unexpected<'_>, repeated: u64) -> Option<Finding> {
    let (user, store) = (access.chain.processes.first()?, read.stores.first()?);
    let Target::Service { service, .. } = &access.target else { return None };
    let deed = Deed::Connect { store, weak: read.weak };
    let Assessment { severity, mut reasons } = severity::assess(deed, &access.actor, Manner::of(access));
    reasons.splice(1..1, read.why.iter().map(|why| visible::text(why)));
    let place = visible::text(&service.words());
    let mut evidence = vec![match service {
        Service::Address { .. } => Evidence::new("connect.address", &place),
        _ => Evidence::new("connect.socket", &place),
    }];
    if let Service::Socket { known_as: Some(known), .. } = service {
        evidence.push(Evidence::new("connect.known_as", format!("the same socket is {}", visible::path(known))));
    }
    if repeated > 0 {
        let text = format!("the same process connected {repeated} more times since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let stores: Vec<StoreFacts> = read.stores.iter().map(|store| (*store).clone()).collect();
    Some(Finding {
        uid: salt.uid(DetectorId::AgentSocketAccess, access.time, user.key, &format!("{} {place}", store.id)),
        detector: DetectorId::AgentSocketAccess,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} connected to {place} ({})", words::reader(user), visible::text(&store.title)),
        target: model::Target::Service(service.clone()),
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::AgentSocketAccess, &stores),
        stores,
        fingerprint: None,
    })
}
