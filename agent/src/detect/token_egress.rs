//! `token-egress`: after an unexpected read of a store, or after its own tool was made to print the token for somebody, the
//! lineage connected to another machine.
//!
//! The lineage is the reader, what it started, and whoever it may have handed the token to: the process that started it and
//! what that starts, because a shell joins the reader and the sender (`cat credentials | curl`). The kernel tells only
//! connections of processes that carry (`ebpf/src/carriers.rs`). What an expected reader connects to is its own business.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, SocketAddr};

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Called, Service, Target},
    judge::{StoreFacts, Verdict},
    recent::Recent,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        severity::Severity,
        visible,
    },
    ingest::observation::{KernelTime, Stream},
};

/// How long after a read its lineage's connections count, in nanoseconds: as long as the kernel follows carriers.
const AFTER_NS: u64 = 600_000_000_000;

/// Most processes remembered that have read, or may have been handed what was read.
const READERS: usize = 2048;

/// Most (reader, destination) pairs remembered.
const TOLD: usize = 4096;

/// Most programs of which is remembered where their output went.
const STARTED: usize = 4096;

/// Most destinations that are told of one read. Beyond, they are counted as evictions are.
const DESTINATIONS: u32 = 16;

/// How many processes from the one that connects upwards may be the one that was handed the token.
const HANDED: usize = 4;

/// Port of name resolution: whoever connects anywhere by name asks there first.
const DOMAIN: u16 = 53;

/// An unexpected read.
#[derive(Clone, Debug)]
struct Read {
    time: KernelTime,
    reader: ProcessKey,
    /// In words.
    by: String,
    stores: Vec<StoreFacts>,
    fingerprint: Option<String>,
    severity: Severity,
    /// Id of the finding about it.
    finding: String,
    /// The process that started the reader was not the reader itself: this is its entry.
    handed: bool,
    /// Destinations that were told.
    told: u32,
}

/// Somebody of the lineage of a reader connected to another machine.
#[derive(Clone, Debug)]
pub struct Egress {
    /// The reader.
    pub reader: ProcessKey,
    /// What it had read.
    pub stores: Vec<StoreFacts>,
    /// The token, where the finding about the read names it.
    pub fingerprint: Option<String>,
    /// The finding; `None` where this destination was told before.
    pub finding: Option<Finding>,
}

/// State of the detector.
#[derive(Debug)]
pub struct TokenEgress {
    reads: Recent<ProcessKey, Read>,
    /// Processes that are expected readers of something: what they connect to has that reason.
    expected: Recent<ProcessKey, ()>,
    /// Whether it was told, or was one too many.
    told: Recent<(ProcessKey, IpAddr, u16), bool>,
    /// Whether the output of each program leads to another process, as it was started.
    hands_on: Recent<ProcessKey, bool>,
    /// Destinations beyond the limit.
    beyond: u64,
    /// A read was noted since [`TokenEgress::take_fresh`].
    fresh: bool,
}

impl Default for TokenEgress {
    fn default() -> Self {
        Self {
            reads: Recent::new(READERS),
            expected: Recent::new(READERS),
            told: Recent::new(TOLD),
            hands_on: Recent::new(STARTED),
            beyond: 0,
            fresh: false,
        }
    }
}

impl TokenEgress {
    /// A program was started. What it reads whoever started it gets only through a pipe or a socket.
    pub(crate) fn started(&mut self, process: ProcessKey, output: Stream, time: KernelTime) {
        *self.hands_on.touch(&process, time, || false) =
            matches!(output, Stream::Pipe | Stream::Socket | Stream::Unknown);
    }

    /// Notes what findings say of an access: an unexpected read, or a print. A person who looks at their own token sends it
    /// nowhere.
    pub(crate) fn note(&mut self, access: &Access, findings: &[Finding], verdicts: &[(String, Verdict)]) {
        let Some(reader) = access.chain.processes.first() else { return };
        if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Expected) {
            self.expected.touch(&reader.key, access.time, || ());
        }
        let is_read = |finding: &&Finding| {
            matches!(finding.detector, DetectorId::UnexpectedReader | DetectorId::TokenPrinted)
                && finding.severity > Severity::Informational
        };
        let Some(finding) = findings.iter().find(is_read) else { return };
        self.fresh = true;
        let read = Read {
            time: access.time,
            reader: reader.key,
            by: words::reader(reader),
            stores: finding.stores.clone(),
            fingerprint: finding.fingerprint.clone(),
            severity: finding.severity,
            finding: finding.uid.clone(),
            handed: false,
            told: 0,
        };
        // Everything descends from the first process of the system.
        let hands_on = self.hands_on.get(&reader.key).copied().unwrap_or(true);
        let parent = reader.parent.filter(|parent| parent.tgid > 1 && hands_on);
        for (key, handed) in [(Some(reader.key), false), (parent, true)] {
            if let Some(key) = key {
                *self.reads.touch(&key, access.time, || read.clone()) = Read { handed, ..read.clone() };
            }
        }
    }

    /// Whether an unexpected read is remembered.
    pub(crate) fn is_awake(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Whether a read was noted since the last call.
    pub(crate) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// A process connected to an address. `None` if it is not of the lineage of a reader, or
    /// one destination too many.
    pub(crate) fn connect(&mut self, salt: &Salt, access: &Access) -> Option<Egress> {
        let Target::Service { service: Service::Egress { address, port, .. }, .. } = &access.target else {
            return None;
        };
        if !leaves(*address, *port) {
            return None;
        }
        self.reads.expire(access.time, AFTER_NS);
        let holder = self.read_of(access)?;
        let read = self.reads.get(&holder).cloned()?;
        let destination = (read.reader, *address, *port);
        let fits = read.told < DESTINATIONS;
        let before = self.told.get(&destination).copied();
        let told = *self.told.touch(&destination, access.time, || fits);
        let mut found = None;
        if before.is_none() && fits {
            self.reads.touch(&holder, read.time, || read.clone()).told += 1;
            found = finding(salt, access, &read);
        } else if before.is_none() {
            self.beyond += 1;
        }
        let Read { reader, stores, fingerprint, .. } = read;
        told.then_some(Egress { reader, stores, fingerprint, finding: found })
    }

    /// The process in the lineage of whoever connects that read a store, or was handed what was read.
    fn read_of(&self, access: &Access) -> Option<ProcessKey> {
        let processes = &access.chain.processes;
        let own = processes.iter().map(|process| process.key);
        let reader =
            |key: &ProcessKey| self.reads.get(key).is_some_and(|read| !read.handed && read.time <= access.time);
        if let Some(found) = own.clone().find(reader) {
            return Some(found);
        }
        // Its own store, its own business: that another program below the same shell read one is no reason.
        if processes.first().is_some_and(|process| self.expected.get(&process.key).is_some()) {
            return None;
        }
        own.take(HANDED).find(|key| self.reads.get(key).is_some_and(|read| read.time <= access.time))
    }

    /// Entries pushed out because a table was full, and destinations beyond the limit.
    pub(crate) fn evicted(&self) -> u64 {
        self.reads.evicted() + self.expected.evicted() + self.told.evicted() + self.beyond
    }
}

/// Does it lead to another machine? Name resolution is no sending by itself.
fn leaves(address: IpAddr, port: u16) -> bool {
    // An UDP socket that is connected to no port is only asked which way a packet would take.
    !(address.is_loopback() || address.is_unspecified() || port == DOMAIN || port == 0)
}

/// Adds what the destination is called, and which name server said so.
pub(crate) fn named(finding: &mut Finding, called: Called, server: Option<SocketAddr>) {
    if let Some(server) = server {
        finding.evidence.insert(1, Evidence::new("egress.server", format!("{server} answered so")));
    }
    let words = format!("{} {}", called.by.words(), visible::text(&called.name));
    finding.evidence.insert(1, Evidence::new("egress.name", words));
    if let model::Target::Service(Service::Egress { name, .. }) = &mut finding.target {
        *name = Some(called);
    }
}

fn finding(salt: &Salt, access: &Access, read: &Read) -> Option<Finding> {
    let sender = access.chain.processes.first()?;
    let store = read.stores.first()?;
    let Target::Service { service, .. } = &access.target else { return None };
    let Service::Egress { address, port, sent, .. } = service else { return None };
    let deed = if *sent { "sent something to" } else { "connected to" };
    let Assessment { severity, reasons } =
        severity::assess(Deed::Egress { store, read: read.severity }, &access.actor, Manner::of(access));
    let place = SocketAddr::new(*address, *port).to_string();
    let waited = access.time.0.saturating_sub(read.time.0) / 1_000_000;
    let mut evidence = vec![
        Evidence::new("egress.address", place.as_str()),
        Evidence::new(
            "egress.after",
            format!("{} read {} {waited} ms before (finding {})", read.by, store.id, read.finding),
        ),
    ];
    if read.reader != sender.key {
        let how = if access.chain.processes.iter().any(|process| process.key == read.reader) {
            "the reader started what connected"
        } else {
            "the reader could have handed it what it read: the same process started both, or stands above"
        };
        evidence.push(Evidence::new("egress.lineage", how));
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    Some(Finding {
        uid: salt.uid(DetectorId::TokenEgress, access.time, sender.key, &format!("{} {place}", read.finding)),
        detector: DetectorId::TokenEgress,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} {deed} {place} after {} was read by {}", words::reader(sender), store.id, read.by),
        target: model::Target::Service(service.clone()),
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::TokenEgress, &read.stores),
        stores: read.stores.clone(),
        fingerprint: read.fingerprint.clone(),
    })
}

#[cfg(test)]
mod tests;
