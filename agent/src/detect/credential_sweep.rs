//! `credential-sweep`: one lineage touches three or more store families within a minute.
//!
//! A sweep may use another process for each file (`find -exec`, a shell loop), so breadth is not counted per process.
//! Each unexpected read counts for its reader and for every ancestor of it, up to the first one under which everything
//! runs: pid 1, a service manager, a login daemon, a terminal multiplexer, a container runtime. Session leaders do
//! count: the shell that runs the loop is usually one, and `setsid` before each read would otherwise split a sweep.
//! The nearest ancestor that reaches three is named. A read below an ancestor whose sweep is already reported
//! belongs to that sweep.
//!
//! A file that several stores share counts as one family: it takes one read.

use std::sync::Arc;

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Target},
    engine::{Unexpected, WINDOW_NS},
    judge::{StoreFacts, Verdict},
    recent::Recent,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::observation::KernelTime,
    lineage::model::Process,
};

/// Families that make a sweep.
const FAMILIES: usize = 3;

/// Most processes counted for at a time. Each holds at most [`FAMILIES`] reads.
const LIMIT: usize = 8192;

/// Most ancestors that one read counts for.
const DEPTH: usize = 64;

/// Programs under which unrelated things run. Only from places that their user cannot write, so that nobody can hide a
/// sweep behind a program of that name.
const BOUNDARIES: &[&str] = &[
    // Service managers.
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-executor",
    "/sbin/init",
    "/usr/sbin/init",
    "/usr/bin/dumb-init",
    "/usr/bin/tini",
    "/usr/bin/runsvdir",
    "/usr/bin/supervisord",
    // Logins.
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-session",
    "/usr/bin/login",
    "/bin/login",
    "/usr/sbin/gdm3",
    "/usr/libexec/gdm-session-worker",
    "/usr/bin/sddm",
    "/usr/sbin/lightdm",
    // Desktops and terminals, which hold many sessions.
    "/usr/bin/gnome-shell",
    "/usr/libexec/gnome-terminal-server",
    "/usr/bin/plasmashell",
    "/usr/bin/konsole",
    "/usr/bin/tmux",
    "/usr/bin/screen",
    // Schedulers.
    "/usr/sbin/cron",
    "/usr/sbin/crond",
    "/usr/sbin/atd",
    // Container runtimes.
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/bin/containerd",
    "/usr/bin/containerd-shim",
    "/usr/bin/containerd-shim-runc-v2",
    "/usr/bin/conmon",
    "/usr/libexec/podman/conmon",
];

/// One unexpected read, shared by all ancestors it counts for.
#[derive(Debug)]
struct Touch {
    time: KernelTime,
    families: Vec<String>,
    store: StoreFacts,
    path: String,
    reader: String,
    /// A person looked at their own.
    viewing: bool,
}

#[derive(Debug, Default)]
struct Count {
    touches: Vec<Arc<Touch>>,
    /// Last read of a sweep that has been reported.
    swept: Option<KernelTime>,
}

impl Count {
    fn in_sweep(&self, now: KernelTime) -> bool {
        self.swept.is_some_and(|at| now.0.saturating_sub(at.0) <= WINDOW_NS)
    }

    /// Adds a read and says how many families there are now.
    fn add(&mut self, touch: &Arc<Touch>) -> usize {
        self.touches.retain(|old| {
            touch.time.0.saturating_sub(old.time.0) <= WINDOW_NS
                && !old.families.iter().any(|family| touch.families.contains(family))
        });
        self.touches.push(Arc::clone(touch));
        self.touches.len()
    }
}

/// State of the detector: reads of the last minute by process.
#[derive(Debug)]
pub struct CredentialSweep {
    counts: Recent<ProcessKey, Count>,
}

impl Default for CredentialSweep {
    fn default() -> Self {
        Self { counts: Recent::new(LIMIT) }
    }
}

impl CredentialSweep {
    /// The finding, when this unexpected read makes the sweep.
    pub(crate) fn read(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        self.counts.expire(access.time, WINDOW_NS);
        let lineage = counted(&access.chain.processes);
        let touch = Arc::new(touch(access, read)?);
        let mut in_sweep = false;
        for process in lineage {
            in_sweep |= self.counts.touch(&process.key, access.time, Count::default).in_sweep(access.time);
        }
        let mut found = None;
        for process in lineage {
            let count = self.counts.touch(&process.key, access.time, Count::default);
            if in_sweep {
                count.swept = Some(access.time);
                continue;
            }
            if count.add(&touch) >= FAMILIES && found.is_none() {
                found = Some((process, count.touches.clone()));
            }
            if found.is_some() {
                *count = Count { touches: Vec::new(), swept: Some(access.time) };
            }
        }
        let (ancestor, touches) = found?;
        finding(salt, access, ancestor, &touches)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.counts.evicted()
    }
}

/// The processes that a read counts for: the reader, and its ancestors below the first boundary.
pub(crate) fn counted(processes: &[Process]) -> &[Process] {
    let end = processes
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, process)| is_boundary(process))
        .map_or(processes.len(), |(index, _)| index);
    &processes[..end.min(DEPTH)]
}

/// Is it one under which everything runs?
pub(crate) fn is_boundary(process: &Process) -> bool {
    process.key.tgid <= 1 || words::is_program(process, BOUNDARIES)
}

fn touch(access: &Access, read: &Unexpected<'_>) -> Option<Touch> {
    let Target::Store { path, .. } = &access.target else { return None };
    let mut families: Vec<String> = read.stores.iter().map(|store| store.family.clone()).collect();
    families.sort();
    families.dedup();
    Some(Touch {
        time: access.time,
        families,
        store: (*read.stores.first()?).clone(),
        path: visible::path(path),
        reader: words::reader(access.chain.processes.first()?),
        viewing: access.actor.at_prompt && Manner::of(access).viewing,
    })
}

fn finding(salt: &Salt, access: &Access, ancestor: &Process, touches: &[Arc<Touch>]) -> Option<Finding> {
    let target = model::Target::of(&access.target)?;
    let reader = access.chain.processes.first()?;
    // Of each store the path that was read, not those it could have.
    let read = |touch: &Arc<Touch>| StoreFacts { paths: vec![touch.path.clone()], ..touch.store.clone() };
    let mut stores: Vec<StoreFacts> = touches.iter().map(read).collect();
    stores.sort_by(|a, b| (a.tier, &a.id).cmp(&(b.tier, &b.id)));
    let names = stores.iter().map(|store| store.id.as_str()).collect::<Vec<_>>().join(", ");
    let first = touches.iter().map(|touch| touch.time.0).min()?;
    let seconds = access.time.0.saturating_sub(first) as f64 / 1e9;
    let who = if ancestor.key == reader.key {
        words::reader(reader)
    } else {
        format!("programs under {}", words::short(ancestor))
    };
    let mut evidence: Vec<Evidence> = touches
        .iter()
        .map(|touch| {
            Evidence::new("sweep.read", format!("{} ({}) read by {}", touch.path, touch.store.id, touch.reader))
        })
        .collect();
    evidence.push(Evidence::new(
        "sweep.ancestor",
        format!("common ancestor: {}, pid {}", words::reader(ancestor), ancestor.key.tgid),
    ));
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let mut reasons =
        vec![format!("{} store families within {seconds:.1} s under one ancestor: {names}", touches.len())];
    let manner = Manner { viewing: touches.iter().all(|touch| touch.viewing), ..Manner::of(access) };
    let tier_one = stores.iter().any(|store| store.tier <= 1);
    let Assessment { severity, reasons: more } = severity::assess(Deed::Sweep { tier_one }, &access.actor, manner);
    reasons.extend(more);
    reasons.push("none of the reads is expected by catalogue or policy".to_owned());
    Some(Finding {
        uid: salt.uid(DetectorId::CredentialSweep, access.time, ancestor.key, &names),
        detector: DetectorId::CredentialSweep,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{who} read {} kinds of token within {seconds:.1} s: {names}", touches.len()),
        target,
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::CredentialSweep, &stores),
        stores,
        fingerprint: None,
    })
}
