//! Every process the agent knows, with its ancestors, also after they have exited. Pure: records in, chains out.
//!
//! - A child has its parent's program until it calls exec. Who forked it is fixed at the fork; reparenting changes
//!   nothing.
//! - The last few programs of a process are kept with their times, so an ancestor is shown as it was when it forked the
//!   next in the chain, whatever it has become since.
//! - Records may come out of order (two rings): what a record proves is filed under its time.
//! - A record that contradicts the table (an open by a program nobody saw start) makes a stub: an unknown reader is
//!   better than the wrong one.
//!
//! How keys found in `/proc` meet the kernel's: `docs/design/process-key.md`.

use std::{path::Path, sync::Arc};

use tokenhound_common::process::ProcessKey;

pub use self::limits::{Change, Limits, Stats};
use self::{
    entry::{Entry, Generation, Standing, generation_of},
    slots::{At, Id, Place, Slots},
};
use super::{
    identity::InterpreterRules,
    model::{Chain, Origin, Process},
};
use crate::ingest::observation::{Exec, Exit, Fork, KernelTime, Observation, Task};

mod entry;
mod limits;
mod slots;
#[cfg(test)]
mod tests;

/// Expired processes forgotten per observation: more than one can add.
const EXPIRE_STEPS: usize = 64;
/// Steps of [`Table::is_descendant_of`].
const DESCENT_STEPS: usize = 4096;

/// The table.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    rules: InterpreterRules,
    slots: Slots,
    /// Bytes of all programs.
    bytes: usize,
    /// Latest record time seen.
    now: KernelTime,
    stats: Stats,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits, rules: InterpreterRules) -> Self {
        Self {
            limits: Limits { tick_ns: limits.tick_ns.max(1), generations: limits.generations.max(1), ..limits },
            rules,
            slots: Slots::default(),
            bytes: 0,
            now: KernelTime::default(),
            stats: Stats::default(),
        }
    }

    /// Number of processes, living and exited.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nothing known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// Bytes of program facts held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Files one record.
    pub fn observe(&mut self, observation: &Observation) -> Change {
        self.now = self.now.max(observation.time());
        self.expire();
        match observation {
            Observation::Fork(fork) => self.fork(fork),
            Observation::Exec(exec) => self.exec(exec),
            Observation::Exit(exit) => self.exit(exit),
            Observation::Open(open) => self.open(&open.task, open.time),
            Observation::Change(change) => self.open(&change.task, change.time),
            Observation::Connect(connect) => self.open(&connect.task, connect.time),
            Observation::Answer(answer) => self.open(&answer.task, answer.time),
            // At its end a process has no program any more.
            Observation::Written(written) if written.task.executable.inode == 0 => Change::None,
            Observation::Written(written) => self.open(&written.task, written.time),
            // The exit that follows ends it.
            Observation::Dump(_) => Change::None,
        }
    }

    /// Takes in a process found in `/proc`. What records have proved of it already stays; gaps are filled.
    pub fn adopt(&mut self, process: Process) -> Change {
        let (key, parent, exited) = (process.key, process.parent, process.exited);
        let found = generation_of(process);
        let Some(at) = self.settle(key) else {
            self.insert(key, parent, false, found);
            if let Some(time) = exited {
                self.end(key, time);
            }
            return Change::Added;
        };
        self.set_parent(at, parent, false);
        let Some(entry) = self.slots.get_mut(at) else { return Change::None };
        if entry.generations.iter().any(|generation| generation.origin != Origin::Stub) {
            return Change::None;
        }
        let Some(stub) = entry.generations.last_mut() else { return Change::None };
        if !stub.is_blank() && !stub.runs(found.program.id) {
            // It has started another program since the record.
            return Change::Unresolved;
        }
        let (before, since) = (freed(stub), stub.since);
        *stub = Generation { since, ..found };
        self.bytes = self.bytes.saturating_sub(before).saturating_add(stub.program.bytes());
        self.stats.stubs_completed += 1;
        self.fit(at);
        Change::Updated
    }

    /// The process as it is now, or was when it ended.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<Process> {
        Some(self.entry(key)?.process(KernelTime(u64::MAX), &self.rules))
    }

    fn entry(&self, key: ProcessKey) -> Option<&Entry> {
        self.slots.get(self.locate(key)?)
    }

    /// Path of what the process runs now; empty if it never was known.
    #[must_use]
    pub fn path(&self, key: ProcessKey) -> Option<&Path> {
        self.entry(key)?.generations.last().map(Generation::path)
    }

    /// Was the process forked before our eyes, without having started a program of its own since?
    #[must_use]
    pub fn is_fresh(&self, key: ProcessKey) -> bool {
        self.entry(key).is_some_and(|entry| entry.fresh && entry.exited.is_none())
    }

    /// Key of the process that had this pid at `at`, in the initial pid namespace; it may have ended since.
    #[must_use]
    pub fn by_pid(&self, tgid: u32, at: KernelTime) -> Option<ProcessKey> {
        self.slots.of_tgid(tgid).find(|(_, entry)| entry.id.start_ns <= at.0).map(|(_, entry)| entry.key)
    }

    /// The process as it was at `at`, then its parent as it was when it forked it, and so on.
    #[must_use]
    pub fn chain(&self, key: ProcessKey, at: KernelTime) -> Option<Chain> {
        let mut processes = Vec::new();
        let mut seen = Vec::new();
        let (mut slot, mut at) = (self.locate(key)?, at);
        loop {
            let entry = self.slots.get(slot)?;
            processes.push(entry.process(at, &self.rules));
            seen.push(slot);
            let Some(parent) = entry.parent else {
                return Some(Chain { processes, incomplete: entry.id.tgid > 1 });
            };
            at = self.created(entry.key);
            match self.locate(parent) {
                Some(next) if !seen.contains(&next) && seen.len() < self.limits.depth => slot = next,
                Some(_) => return Some(Chain { processes, incomplete: true }),
                // The idle task (0) and kthreadd (2) are where user space begins.
                None => return Some(Chain { processes, incomplete: parent.tgid != 0 && parent.tgid != 2 }),
            }
        }
    }

    /// Is `ancestor` the process itself or one of those it descends from?
    #[must_use]
    pub fn is_descendant_of(&self, key: ProcessKey, ancestor: ProcessKey) -> bool {
        let id = |key| self.entry(key).map_or(Id::of(key), |entry| entry.id);
        let wanted = id(ancestor);
        let mut next = Some(key);
        for _ in 0..DESCENT_STEPS {
            let Some(key) = next else { return false };
            if id(key) == wanted {
                return true;
            }
            next = self.entry(key).and_then(|entry| entry.parent);
        }
        false
    }

    /// Keys of the processes that have not ended, for a check against `/proc`.
    pub fn living(&self) -> impl Iterator<Item = ProcessKey> + '_ {
        self.slots.iter().filter(|entry| entry.exited.is_none()).map(|entry| entry.key)
    }

    /// Processes that were there at `since` or later, oldest last.
    pub fn since(&self, since: KernelTime) -> impl Iterator<Item = ProcessKey> + '_ {
        let there = move |entry: &&Entry| entry.exited.is_none_or(|exited| exited >= since);
        let mut keys: Vec<_> = self.slots.iter().filter(there).map(|entry| entry.key).collect();
        keys.sort_unstable_by(|one, other| other.cmp(one));
        keys.into_iter()
    }

    /// Marks a process as ended, as an exit record does.
    pub fn end(&mut self, key: ProcessKey, time: KernelTime) -> Change {
        let Some(at) = self.settle(key) else { return Change::None };
        if self.slots.get(at).is_none_or(|entry| entry.exited.is_some()) {
            return Change::None;
        }
        self.slots.end(at, time);
        Change::Updated
    }

    fn fork(&mut self, fork: &Fork) -> Change {
        if fork.child.tgid == fork.parent.tgid {
            return Change::None;
        }
        let parent = self.settle(fork.parent);
        let inherited = parent.and_then(|at| self.slots.get(at)).and_then(|entry| entry.at(fork.time)).cloned();
        let inherited = inherited.map(|generation| Generation { since: fork.time, ..generation });
        let known = inherited.as_ref().is_some_and(|generation| generation.origin != Origin::Stub);
        let Some(at) = self.settle(fork.child) else {
            let generation = inherited.unwrap_or_else(|| Generation::stub(None, fork.time));
            let at = self.insert(fork.child, Some(fork.parent), true, generation);
            if let Some(entry) = self.slots.get_mut(at) {
                entry.fresh = true;
            }
            return if known { Change::Added } else { Change::Unresolved };
        };
        // The record came after others of the child: what those proved stays.
        self.set_parent(at, Some(fork.parent), true);
        if let (true, Some(generation)) = (known, inherited) {
            self.precede(at, generation);
        }
        Change::Updated
    }

    /// Gives a process the program it was born with, learnt late.
    fn precede(&mut self, at: At, generation: Generation) {
        let Some(entry) = self.slots.get_mut(at) else { return };
        let Some(first) = entry.generations.first_mut() else { return };
        if first.origin == Origin::Stub && (first.is_blank() || generation.runs(first.program.id)) {
            self.bytes = self.bytes.saturating_sub(freed(first));
            self.stats.stubs_completed += 1;
            *first = generation;
        } else if generation.since < first.since {
            entry.generations.insert(0, generation);
            self.trim(at);
        }
    }

    fn exec(&mut self, exec: &Exec) -> Change {
        let key = exec.task.key;
        let at = self.settle(key);
        let entry = at.and_then(|at| self.slots.get_mut(at));
        let before = entry.and_then(|entry| {
            entry.fresh = false;
            entry.at(exec.time)
        });
        let generation = Generation::of_exec(exec, before);
        let Some(at) = at else {
            self.insert(key, Some(exec.task.parent), false, generation);
            return Change::Added;
        };
        self.set_parent(at, Some(exec.task.parent), false);
        self.push(at, generation);
        Change::Updated
    }

    fn exit(&mut self, exit: &Exit) -> Change {
        self.end(exit.process, exit.time)
    }

    fn open(&mut self, task: &Task, time: KernelTime) -> Change {
        let Some(at) = self.settle(task.key) else {
            self.stats.stubs += 1;
            let since = KernelTime(task.key.start_ns);
            self.insert(task.key, Some(task.parent), false, Generation::stub(Some(task), since));
            return Change::Unresolved;
        };
        self.set_parent(at, Some(task.parent), false);
        let Some(generation) = self.slots.get_mut(at).and_then(|entry| entry.at_mut(time)) else {
            return Change::None;
        };
        let blank = generation.is_blank();
        if generation.runs(task.executable) && !(blank && task.executable.inode != 0) {
            generation.standing = Standing::of_task(task, Some(&generation.standing));
            generation.comm = task.comm;
            return if generation.origin == Origin::Stub { Change::Unresolved } else { Change::None };
        }
        // An exec we have not been told of. Until we are, nothing but the file is known of what acts.
        self.stats.stubs += 1;
        self.stats.outdated += u64::from(!blank);
        self.push(at, Generation::stub(Some(task), time));
        Change::Unresolved
    }

    /// When a process was created: its start, or the end of the tick in which it started.
    fn created(&self, key: ProcessKey) -> KernelTime {
        let rest = if key.start_ns.is_multiple_of(self.limits.tick_ns) { self.limits.tick_ns - 1 } else { 0 };
        KernelTime(key.start_ns.saturating_add(rest))
    }

    /// Where `key` is kept. A start that is a whole number of ticks stands for any within that tick.
    fn locate(&self, key: ProcessKey) -> Option<At> {
        let mut all = self.slots.of_tgid(key.tgid);
        let (newest, entry) = all.next()?;
        if entry.id.start_ns == key.start_ns {
            return Some(newest);
        }
        let tick = self.limits.tick_ns;
        let first = key.start_ns - key.start_ns % tick;
        let rough = |key: ProcessKey| key.start_ns.is_multiple_of(tick);
        let mut found = None;
        for (at, entry) in std::iter::once((newest, entry)).chain(all) {
            if entry.id.start_ns == key.start_ns {
                return Some(at);
            }
            let within = entry.id.start_ns.checked_sub(first).is_some_and(|after| after < tick);
            if within && (entry.key == key || rough(entry.key) || rough(key)) {
                found = Some(at);
            }
        }
        found
    }

    /// [`Table::locate`], and the entry learns its exact key.
    fn settle(&mut self, key: ProcessKey) -> Option<At> {
        let at = self.locate(key)?;
        if let Some(entry) = self.slots.get_mut(at)
            && entry.key != key
            && entry.key.start_ns.is_multiple_of(self.limits.tick_ns)
        {
            entry.key = key;
        }
        Some(at)
    }

    fn insert(&mut self, key: ProcessKey, parent: Option<ProcessKey>, certain: bool, generation: Generation) -> At {
        // A program that is shared with the parent is counted already, and stays so if the parent is evicted now.
        let fresh = Arc::strong_count(&generation.program) == 1;
        while self.slots.len() >= self.limits.processes.max(1) && self.evict(None) {}
        let exited = self.displace(Id::of(key));
        if fresh {
            self.bytes = self.bytes.saturating_add(generation.program.bytes());
        }
        let at = self.slots.insert(Entry::new(key, generation, exited));
        self.set_parent(at, parent, certain);
        self.fit(at);
        at
    }

    /// A tgid is in use once: whoever had it before `id` has ended, and if somebody has it after, `id` has.
    fn displace(&mut self, id: Id) -> Option<KernelTime> {
        let mut missed = Vec::new();
        let mut ended = None;
        for (at, entry) in self.slots.of_tgid(id.tgid) {
            if entry.id > id {
                ended = Some(KernelTime(entry.id.start_ns));
            } else if entry.exited.is_none() {
                missed.push(at);
            }
        }
        for at in missed {
            self.stats.exits_missed += 1;
            self.slots.end(at, KernelTime(id.start_ns));
        }
        ended
    }

    fn set_parent(&mut self, at: At, parent: Option<ProcessKey>, certain: bool) {
        let Some(parent) = parent else { return };
        let Some(entry) = self.slots.get(at) else { return };
        if entry.parent_is_certain || (entry.parent.is_some() && !certain) {
            return;
        }
        let own = entry.id;
        let counted = self.entry(parent).map_or(Id::of(parent), |entry| entry.id);
        if counted == own {
            return;
        }
        if let Some(entry) = self.slots.get_mut(at) {
            (entry.parent, entry.parent_is_certain) = (Some(parent), certain);
        }
        self.slots.link(at, counted);
    }

    /// Files a generation under its time. An exec that explains stubs made from later opens takes their place.
    fn push(&mut self, at: At, generation: Generation) {
        let Some(entry) = self.slots.get_mut(at) else { return };
        self.bytes = self.bytes.saturating_add(generation.program.bytes());
        let file = generation.program.id;
        let mut freed = 0;
        let before = entry.generations.len();
        entry.generations.retain(|old| {
            let explained =
                old.origin == Origin::Stub && (old.is_blank() || (old.since >= generation.since && old.runs(file)));
            freed += if explained { self::freed(old) } else { 0 };
            !explained
        });
        if generation.origin == Origin::Observed {
            self.stats.stubs_completed += (before - entry.generations.len()) as u64;
        }
        self.bytes = self.bytes.saturating_sub(freed);
        let index = entry.generations.partition_point(|old| old.since <= generation.since);
        entry.generations.insert(index, generation);
        self.trim(at);
        self.fit(at);
    }

    /// Drops the oldest programs over the limit.
    fn trim(&mut self, at: At) {
        let Some(entry) = self.slots.get_mut(at) else { return };
        while entry.generations.len() > self.limits.generations {
            let old = entry.generations.remove(0);
            entry.forgotten = true;
            self.stats.generations_dropped += 1;
            self.bytes = self.bytes.saturating_sub(freed(&old));
        }
    }

    /// Evicts others until the programs fit.
    fn fit(&mut self, keep: At) {
        while self.bytes > self.limits.bytes && self.evict(Some(keep)) {}
    }

    fn expire(&mut self) {
        let grace = u64::try_from(self.limits.grace.as_nanos()).unwrap_or(u64::MAX);
        let limit = KernelTime(self.now.0.saturating_sub(grace));
        for _ in 0..EXPIRE_STEPS {
            let Some(at) = self.slots.expired(limit) else { return };
            self.remove(at);
            self.stats.expired += 1;
        }
    }

    fn evict(&mut self, keep: Option<At>) -> bool {
        let Some((place, at)) = self.slots.victim(keep) else { return false };
        match place {
            Place::ExitedLeaf => self.stats.evicted_exited += 1,
            Place::Ancestor => self.stats.evicted_ancestor += 1,
            Place::LiveLeaf | Place::Live => self.stats.evicted_alive += 1,
        }
        self.remove(at);
        true
    }

    fn remove(&mut self, at: At) {
        let Some(entry) = self.slots.remove(at) else { return };
        for generation in entry.generations {
            self.bytes = self.bytes.saturating_sub(freed(&generation));
        }
    }
}

/// Bytes that dropping a generation frees: none while another process shares its program.
fn freed(generation: &Generation) -> usize {
    if Arc::strong_count(&generation.program) == 1 { generation.program.bytes() } else { 0 }
}
