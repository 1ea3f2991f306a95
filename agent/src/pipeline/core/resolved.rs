//! What name servers have told carriers of addresses.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, SocketAddr};

use tokenhound_common::process::ProcessKey;

use super::Core;
use crate::{
    detect::{access::Access, recent::Recent},
    ingest::observation::Answer,
};

/// Most addresses of which it is remembered who was told what.
const LIMIT: usize = 4096;

/// How long, in nanoseconds: as long as the kernel follows carriers. Programs connect to what they have once asked for, however
/// long it was to be true.
const AFTER_NS: u64 = 600_000_000_000;

/// How many processes from the one that connects upwards are looked at.
const ABOVE: usize = 4;

/// Port of name servers.
const DOMAIN: u16 = 53;

/// Names by who was told them, or has started who was (`dig` in a script), and address.
#[derive(Debug)]
pub(super) struct Resolved {
    names: Recent<(ProcessKey, IpAddr), (String, SocketAddr)>,
}

impl Default for Resolved {
    fn default() -> Self {
        Self { names: Recent::new(LIMIT) }
    }
}

impl Resolved {
    fn learn(&mut self, answer: &Answer) {
        self.names.expire(answer.time, AFTER_NS);
        // Everything descends from the first process of the system.
        let parent = Some(answer.task.parent).filter(|parent| parent.tgid > 1);
        for process in [Some(answer.task.key), parent].into_iter().flatten() {
            for address in &answer.addresses {
                let at = (process, *address);
                // The latest counts.
                self.names.forget(&at);
                self.names.touch(&at, answer.time, || (answer.name.clone(), answer.server));
            }
        }
    }

    /// The name by which the address was asked for, in the lineage of who connects to it, and who answered.
    pub(super) fn name(&self, access: &Access, address: IpAddr) -> Option<(String, SocketAddr)> {
        let own = access.chain.processes.iter().take(ABOVE);
        own.filter_map(|process| self.names.get(&(process.key, address))).next().cloned()
    }

    /// Entries pushed out because the table was full.
    pub(super) fn evicted(&self) -> u64 {
        self.names.evicted()
    }
}

impl Core {
    /// A carrier was told of an address.
    pub(super) fn answered(&mut self, answer: &Answer) {
        if answer.server.port() == DOMAIN && answer.task.key.tgid != self.own {
            self.resolved.learn(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::{
            access::{Service, Target},
            fixtures::{access_at, process, under_shell},
        },
        ingest::observation::{KernelTime, Task},
    };

    fn answer(seconds: u64, (key, parent): (u32, u32), name: &str, address: &str) -> Answer {
        let key_of = |pid: u32| ProcessKey::new(u64::from(pid) * 1000, pid);
        Answer {
            time: KernelTime(seconds * 1_000_000_000),
            task: Task { key: key_of(key), parent: key_of(parent), ..Task::default() },
            server: "192.0.2.53:53".parse().unwrap(),
            name: name.into(),
            addresses: vec![address.parse().unwrap()],
        }
    }

    /// As `pid` below the shell (812) knows it.
    fn name(resolved: &Resolved, pid: u32, address: &str) -> Option<String> {
        let target = Target::Service {
            stores: Vec::new(),
            service: Service::Address { address: address.parse().unwrap(), port: 443 },
        };
        let access = access_at(1.0, under_shell(process(pid, 812, "/usr/bin/curl")), target);
        resolved.name(&access, address.parse().unwrap()).map(|(name, _)| name)
    }

    #[test]
    fn a_name_is_known_to_who_was_told_it_and_to_what_the_same_process_starts() {
        let mut resolved = Resolved::default();
        resolved.learn(&answer(0, (4242, 812), "collector.invalid", "203.0.113.7"));
        resolved.learn(&answer(0, (5000, 1), "elsewhere.invalid", "203.0.113.8"));
        assert_eq!(name(&resolved, 4242, "203.0.113.7").as_deref(), Some("collector.invalid"));
        assert_eq!(name(&resolved, 4300, "203.0.113.7").as_deref(), Some("collector.invalid"), "`dig` before it");
        assert_eq!(name(&resolved, 4242, "203.0.113.8"), None, "others were told");
        resolved.learn(&answer(1, (4242, 812), "other.invalid", "203.0.113.7"));
        assert_eq!(name(&resolved, 4242, "203.0.113.7").as_deref(), Some("other.invalid"), "the latest counts");
        resolved.learn(&answer(700, (6000, 1), "late.invalid", "203.0.113.9"));
        assert_eq!(name(&resolved, 4242, "203.0.113.7"), None, "it is long ago");
    }

    #[test]
    fn it_is_bounded() {
        let mut resolved = Resolved::default();
        for pid in 0..LIMIT as u32 {
            resolved.learn(&answer(1, (10_000 + pid, 1), "a.invalid", "203.0.113.7"));
        }
        assert_eq!(resolved.evicted(), 0);
        resolved.learn(&answer(1, (9_000, 812), "a.invalid", "203.0.113.7"));
        assert_eq!(resolved.evicted(), 2);
    }
}
