//! The engine: one access in, findings and verdicts out. Pure: no clock, no file system; time is the record's.

use std::{path::Path, time::SystemTime};

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Copied, Service, Target},
    agent_socket_access::AgentSocketAccess,
    container_exposure::ContainerExposure,
    credential_sweep::CredentialSweep,
    decoy_read::DecoyRead,
    injected_reader::InjectedReader,
    judge::{Expectation, Judgement, StoreFacts, Verdict},
    lifecycle::report::Moment,
    process_inspection::ProcessInspection,
    reader_changed,
    secret_in_arguments::SecretInArguments,
    sensor_degraded::{Degradation, SensorDegraded},
    token_copied::TokenCopied,
    token_egress::{Egress, TokenEgress},
    token_printed::TokenPrinted,
    unexpected_reader::UnexpectedReader,
};
use crate::{
    finding::model::{Finding, Salt},
    ingest::observation::{KernelTime, Stream},
    token::fingerprint::Fingerprint,
};

/// How long, on record time, the same thing is counted instead of reported, and how long a sweep may take.
pub const WINDOW_NS: u64 = 60_000_000_000;

/// What the engine makes of one access.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Findings, in the order of the detectors.
    pub findings: Vec<Finding>,
    /// Verdict for each store that the read counts for. Empty for writes and for procfs objects.
    pub verdicts: Vec<(String, Verdict)>,
}

/// Every detector with its state.
#[derive(Debug)]
pub struct Engine {
    salt: Salt,
    unexpected: UnexpectedReader,
    sweep: CredentialSweep,
    decoy: DecoyRead,
    printed: TokenPrinted,
    arguments: SecretInArguments,
    egress: TokenEgress,
    agents: AgentSocketAccess,
    copied: TokenCopied,
    inspection: ProcessInspection,
    injected: InjectedReader,
    container: ContainerExposure,
    degraded: SensorDegraded,
}

/// An unexpected read of a store, as the detectors take it.
pub(crate) struct Unexpected<'a> {
    /// The stores that the path belongs to, most dangerous first. Never empty.
    pub(crate) stores: Vec<&'a StoreFacts>,
    /// Why the reader is not expected, over all of them.
    pub(crate) why: Vec<&'a str>,
    /// The doubt is small at every one of them.
    pub(crate) weak: bool,
}

impl Engine {
    /// An engine whose finding ids are made with `salt`.
    #[must_use]
    pub fn new(salt: Salt) -> Self {
        Self {
            salt,
            unexpected: UnexpectedReader::default(),
            sweep: CredentialSweep::default(),
            decoy: DecoyRead::default(),
            printed: TokenPrinted::default(),
            arguments: SecretInArguments::default(),
            egress: TokenEgress::default(),
            agents: AgentSocketAccess::default(),
            copied: TokenCopied::default(),
            inspection: ProcessInspection::default(),
            injected: InjectedReader::default(),
            container: ContainerExposure::default(),
            degraded: SensorDegraded::default(),
        }
    }

    /// What `access` amounts to, given what is thought of its reader at each store that the path belongs to.
    pub fn access(&mut self, access: &Access, judgements: &[Judgement]) -> Outcome {
        match &access.target {
            Target::Store { mode, .. } => {
                if !mode.read || judgements.is_empty() || access.chain.processes.is_empty() {
                    return Outcome::default();
                }
                let outcome = self.read(access, judgements);
                self.egress.note(access, &outcome.findings, &outcome.verdicts);
                outcome
            }
            Target::Process(..) => {
                self.injected.inspected(access);
                Outcome {
                    findings: self.inspection.access(&self.salt, access).into_iter().collect(),
                    verdicts: Vec::new(),
                }
            }
            Target::Service { service, .. } => self.service(access, service, judgements),
            Target::Copy { copied, .. } => self.copy(access, copied, judgements),
        }
    }

    /// One exception is enough: a backup takes all stores.
    fn copy(&mut self, access: &Access, copied: &Copied, judgements: &[Judgement]) -> Outcome {
        let tolerated = judgements.iter().any(|judgement| verdict_of(&judgement.expectation) != Verdict::Unexpected);
        if tolerated || judgements.is_empty() {
            return Outcome::default();
        }
        let stores: Vec<StoreFacts> = judgements.iter().map(|judgement| judgement.store.clone()).collect();
        let moment = Moment { time: access.time, wall: access.wall };
        let finding = self.copied.copied(&self.salt, copied, &stores, Some(access), moment);
        Outcome { findings: finding.into_iter().collect(), verdicts: Vec::new() }
    }

    /// The finding for copies of which nobody knows who made them.
    pub(crate) fn copied(&mut self, copied: &Copied, stores: &[StoreFacts], moment: Moment) -> Option<Finding> {
        self.copied.copied(&self.salt, copied, stores, None, moment)
    }

    /// These copies were told before the agent started.
    pub(crate) fn restore_copies(&mut self, path: &Path, tokens: &[Fingerprint], time: KernelTime) {
        self.copied.restore(path, tokens, time);
    }

    /// A file was looked into as a whole, and holds these tokens.
    pub(crate) fn holds(&mut self, path: &Path, tokens: &[Fingerprint]) {
        self.copied.holds(path, tokens);
    }

    /// Only what is unexpected at all of the stores concerned is worth a word.
    fn service(&mut self, access: &Access, service: &Service, judgements: &[Judgement]) -> Outcome {
        let known = judgements.iter().any(|judgement| verdict_of(&judgement.expectation) != Verdict::Unexpected);
        if known || judgements.is_empty() || access.chain.processes.is_empty() {
            return Outcome::default();
        }
        let read = unexpected(judgements);
        let finding = match service {
            Service::Start { .. } => self.arguments.start(&self.salt, access, &read),
            Service::Print { .. } => self.printed.print(&self.salt, access, &read),
            Service::Socket { .. } | Service::Address { .. } => self.agents.connect(&self.salt, access, &read),
            Service::Egress { .. } => None,
        };
        let findings: Vec<Finding> = finding.into_iter().collect();
        self.egress.note(access, &findings, &[]);
        Outcome { findings, verdicts: Vec::new() }
    }

    /// A file that several stores share is in order when one of them expects the reader: the read is then theirs.
    fn read(&mut self, access: &Access, judgements: &[Judgement]) -> Outcome {
        if judgements.iter().any(|judgement| judgement.store.decoy) {
            return self.decoy(access, judgements);
        }
        for verdict in [Verdict::Expected, Verdict::Tolerated] {
            let verdicts: Vec<_> = judgements
                .iter()
                .filter(|judgement| verdict_of(&judgement.expectation) == verdict)
                .map(|judgement| (judgement.store.id.clone(), verdict))
                .collect();
            if verdicts.is_empty() {
                continue;
            }
            let stores = judgements.iter().filter(|judgement| verdict_of(&judgement.expectation) == verdict);
            let stores: Vec<_> = stores.map(|judgement| &judgement.store).collect();
            let mut findings = Vec::new();
            if verdict == Verdict::Expected {
                findings.extend(self.injected.read(&self.salt, access, &stores));
                findings.extend(reader_changed::read(&self.salt, access, &stores));
                findings.extend(self.container.read(&self.salt, access, &stores, verdict));
            }
            return Outcome { findings, verdicts };
        }
        let read = unexpected(judgements);
        let mut findings = Vec::new();
        findings.extend(self.unexpected.read(&self.salt, access, &read));
        if read.stores.iter().any(|store| !store.perhaps) {
            findings.extend(self.sweep.read(&self.salt, access, &read));
            findings.extend(self.container.read(&self.salt, access, &read.stores, Verdict::Unexpected));
        }
        let verdicts = judgements.iter().map(|judgement| (judgement.store.id.clone(), Verdict::Unexpected)).collect();
        Outcome { findings, verdicts }
    }

    /// A decoy counts whatever else lies at its path: only policy lets its reads pass.
    fn decoy(&mut self, access: &Access, judgements: &[Judgement]) -> Outcome {
        let decoys: Vec<Judgement> = judgements.iter().filter(|judgement| judgement.store.decoy).cloned().collect();
        let verdicts = decoys.iter().map(|decoy| verdict_of(&decoy.expectation));
        let verdict = verdicts.max().unwrap_or(Verdict::Unexpected);
        let mut findings = Vec::new();
        if verdict == Verdict::Unexpected {
            let read = unexpected(&decoys);
            findings.extend(self.decoy.read(&self.salt, access, &read));
            findings.extend(self.sweep.read(&self.salt, access, &read));
        }
        let verdicts = decoys.into_iter().map(|decoy| (decoy.store.id, verdict)).collect();
        Outcome { findings, verdicts }
    }

    /// A program was started, with its output there.
    pub fn started(&mut self, process: ProcessKey, output: Stream, time: KernelTime) {
        self.egress.started(process, output, time);
    }

    /// Whether there was a read lately after which a connection matters.
    #[must_use]
    pub fn may_be_egress(&self) -> bool {
        self.egress.is_awake()
    }

    /// Whether there was one since the last call: what connected meanwhile may be of its lineage.
    pub fn has_new_read(&mut self) -> bool {
        self.egress.take_fresh()
    }

    /// A process that carries a token connected to another machine. `None` where it is of no reader's lineage, or one
    /// destination too many.
    pub fn egress(&mut self, access: &Access) -> Option<Egress> {
        self.egress.connect(&self.salt, access)
    }

    /// Does foreign code run in the reader of this access, as far as is known?
    #[must_use]
    pub fn is_injected(&self, access: &Access) -> bool {
        matches!(access.target, Target::Store { .. }) && self.injected.is_injected(access)
    }

    /// What finding ids are made with.
    #[must_use]
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// What a loss or a silent probe amounts to at that moment.
    pub fn degraded(&mut self, degradation: &Degradation, time: KernelTime, wall: SystemTime) -> Option<Finding> {
        self.degraded.report(&self.salt, degradation, time, wall)
    }

    /// Entries pushed out of each detector's table because it was full, since the start.
    #[must_use]
    pub fn evictions(&self) -> [(&'static str, u64); 12] {
        [
            ("unexpected_reader", self.unexpected.evicted()),
            ("credential_sweep", self.sweep.evicted()),
            ("decoy_read", self.decoy.evicted()),
            ("token_printed", self.printed.evicted()),
            ("secret_in_arguments", self.arguments.evicted()),
            ("agent_socket_access", self.agents.evicted()),
            ("token_egress", self.egress.evicted()),
            ("token_copied", self.copied.evicted()),
            ("process_inspection", self.inspection.evicted()),
            ("injected_reader", self.injected.evicted()),
            ("container_exposure", self.container.evicted()),
            ("sensor_degraded", self.degraded.evicted()),
        ]
    }
}

fn verdict_of(expectation: &Expectation) -> Verdict {
    match expectation {
        Expectation::Expected { .. } => Verdict::Expected,
        Expectation::Tolerated { .. } => Verdict::Tolerated,
        Expectation::Unexpected { .. } => Verdict::Unexpected,
    }
}

fn unexpected(judgements: &[Judgement]) -> Unexpected<'_> {
    let mut stores: Vec<_> = judgements.iter().map(|judgement| &judgement.store).collect();
    stores.sort_by(|a, b| (a.perhaps, a.tier, &a.id).cmp(&(b.perhaps, b.tier, &b.id)));
    let mut why = Vec::new();
    let mut all_weak = true;
    for judgement in judgements {
        if let Expectation::Unexpected { why: reasons, weak } = &judgement.expectation {
            all_weak &= weak;
            for reason in reasons {
                if !why.contains(&reason.as_str()) {
                    why.push(reason.as_str());
                }
            }
        }
    }
    Unexpected { stores, why, weak: all_weak }
}

#[cfg(test)]
mod tests;
