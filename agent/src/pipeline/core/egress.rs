//! Connections of processes that carry a token.

// From `core`, where there are addresses and no way to use them.
use core::net::SocketAddr;
use std::collections::VecDeque;

use jiff::Timestamp;

use super::{Core, Output, World, deliver, trail};
use crate::{
    detect::{
        access::{Access, Called, Namer, Service, Target},
        engine::Outcome,
        token_egress::{self, Egress as OfReader},
    },
    history::model::Sent,
    ingest::observation::{Connect, KernelTime, Peer},
};

/// How long a connection waits that is of no known reader's lineage: a read through a shell (`curl -d @- < credentials`) is
/// judged later than the connection that follows it.
const WAIT_NS: u64 = 300_000_000;

/// Most connections that wait. Beyond, the oldest is judged at once.
const LIMIT: usize = 1024;

/// Connections that wait.
#[derive(Debug, Default)]
pub(super) struct Egress {
    waiting: VecDeque<Connect>,
}

impl Egress {
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_due(&self, now: KernelTime) -> bool {
        self.waiting.front().is_some_and(|connect| connect.time.0.saturating_add(WAIT_NS) <= now.0)
    }
}

impl Core {
    /// A carrier has connected to an address.
    pub(super) fn connected_out(&mut self, connect: &Connect, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        if self.judge_egress(connect, world, out) {
            return;
        }
        self.egress.waiting.push_back(connect.clone());
        if self.egress.waiting.len() > LIMIT
            && let Some(oldest) = self.egress.waiting.pop_front()
        {
            self.judge_egress(&oldest, world, out);
        }
    }

    /// Judges all that wait once more: a read or a print of a token has just been told, and it may be theirs.
    pub(super) fn judge_again(&mut self, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        for connect in std::mem::take(&mut self.egress.waiting) {
            if !self.judge_egress(&connect, world, out) {
                self.egress.waiting.push_back(connect);
            }
        }
    }

    /// Judges those that have waited long enough.
    pub(super) fn judge_waiting(&mut self, now: KernelTime, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        while self.egress.is_due(now) {
            let Some(connect) = self.egress.waiting.pop_front() else { return };
            self.judge_egress(&connect, world, out);
        }
    }

    /// Returns whether it is of the lineage of a reader.
    fn judge_egress(&mut self, connect: &Connect, world: &mut dyn World, out: &mut dyn FnMut(Output)) -> bool {
        let Peer::Address { address, port } = connect.peer else { return false };
        // On a day like any other there is no unexpected read, and nothing is asked.
        if address.is_loopback() || !self.engine.may_be_egress() {
            return false;
        }
        let service = Service::Egress { address, port, name: None, sent: connect.sent };
        let target = Target::Service { stores: Vec::new(), service };
        let Some(access) = self.access(connect.task.key, connect.time, target, world) else { return false };
        let Some(mut egress) = self.engine.egress(&access) else { return false };
        let asked = self.resolved.name(&access, address);
        let server = asked.as_ref().map(|(_, server)| *server);
        let called = match asked {
            Some((name, _)) => Some(Called { name, by: Namer::Dns }),
            None => world.host(address).map(|name| Called { name, by: Namer::Hosts }),
        };
        if let (Some(finding), Some(called)) = (&mut egress.finding, &called) {
            token_egress::named(finding, called.clone(), server);
        }
        note(&access, SocketAddr::new(address, port), called, &egress, out);
        if let Some(finding) = egress.finding {
            deliver(Outcome { findings: vec![finding], verdicts: Vec::new() }, world, out);
        }
        true
    }
}

/// Has it written down. What was read is known there by the reader.
fn note(access: &Access, peer: SocketAddr, called: Option<Called>, egress: &OfReader, out: &mut dyn FnMut(Output)) {
    let (Some(sender), Some(store)) = (access.chain.processes.first(), egress.stores.first()) else { return };
    out(Output::Sent(Box::new(Sent {
        store: store.id.clone(),
        fingerprint: egress.fingerprint.as_ref().and_then(|fingerprint| fingerprint.parse().ok()),
        reader: egress.reader,
        peer,
        called,
        uid: sender.uid,
        user: access.user_name.clone(),
        program: sender.executable.path.clone(),
        script: trail::script(sender),
        container: trail::container(sender),
        process: sender.key,
        finding: egress.finding.as_ref().map(|finding| finding.uid.clone()),
        time: Timestamp::try_from(access.wall).unwrap_or(Timestamp::UNIX_EPOCH),
    })));
}
