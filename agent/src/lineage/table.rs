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

use std::{collections::BTreeMap, sync::Arc};

use tokenhound_common::process::ProcessKey;

pub use self::limits::{Change, Limits, Stats};
use self::{
    entry::{Entry, Generation, Program, Standing, generation_of},
    order::{Id, Order, Place},
};
use super::{
    identity::InterpreterRules,
    model::{Chain, Origin, Process},
};
use crate::ingest::observation::{Exec, Exit, Fork, KernelTime, Observation, Task};

mod entry;
mod limits;
mod order;
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
    entries: BTreeMap<Id, Entry>,
    order: Order,
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
            entries: BTreeMap::new(),
            order: Order::default(),
            bytes: 0,
            now: KernelTime::default(),
            stats: Stats::default(),
        }
    }

    /// Replaces the interpreter rules for programs that start from now on.
    pub fn set_rules(&mut self, rules: InterpreterRules) {
        self.rules = rules;
    }

    /// Number of processes, living and exited.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
            // The exit that follows ends it.
            Observation::Dump(_) => Change::None,
        }
    }

    /// Takes in a process found in `/proc`. What records have proved of it already stays; gaps are filled.
    pub fn adopt(&mut self, process: Process) -> Change {
        let (key, parent, exited) = (process.key, process.parent, process.exited);
        let found = generation_of(process);
        let Some(id) = self.settle(key) else {
            self.insert(key, parent, false, found);
            if let Some(time) = exited {
                self.end(key, time);
            }
            return Change::Added;
        };
        self.set_parent(id, parent, false);
        let Some(entry) = self.entries.get_mut(&id) else { return Change::None };
        if entry.generations.iter().any(|generation| generation.origin != Origin::Stub) {
            return Change::None;
        }
        let Some(stub) = entry.generations.last_mut() else { return Change::None };
        if !stub.is_blank() && !stub.runs(found.program.executable.id) {
            // It has started another program since the record.
            return Change::Unresolved;
        }
        let (before, since) = (freed(stub), stub.since);
        *stub = Generation { since, ..found };
        self.bytes = self.bytes.saturating_sub(before).saturating_add(stub.program.bytes());
        self.stats.stubs_completed += 1;
        self.fit(id);
        Change::Updated
    }

    /// The process as it is now, or was when it ended.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<Process> {
        Some(self.entries.get(&self.locate(key)?)?.process(KernelTime(u64::MAX)))
    }

    /// Key of the process that had this pid at `at`, in the initial pid namespace; it may have ended since.
    #[must_use]
    pub fn by_pid(&self, tgid: u32, at: KernelTime) -> Option<ProcessKey> {
        let (first, last) = (Id { tgid, start_ns: 0 }, Id { tgid, start_ns: at.0 });
        self.entries.range(first..=last).next_back().map(|(_, entry)| entry.key)
    }

    /// The process as it was at `at`, then its parent as it was when it forked it, and so on.
    #[must_use]
    pub fn chain(&self, key: ProcessKey, at: KernelTime) -> Option<Chain> {
        let mut processes = Vec::new();
        let mut ids = Vec::new();
        let (mut id, mut at) = (self.locate(key)?, at);
        loop {
            let entry = self.entries.get(&id)?;
            processes.push(entry.process(at));
            ids.push(id);
            let Some(parent) = entry.parent else {
                return Some(Chain { processes, incomplete: id.tgid > 1 });
            };
            at = self.created(entry.key);
            match self.locate(parent) {
                Some(next) if !ids.contains(&next) && ids.len() < self.limits.depth => id = next,
                Some(_) => return Some(Chain { processes, incomplete: true }),
                // The idle task (0) and kthreadd (2) are where user space begins.
                None => return Some(Chain { processes, incomplete: parent.tgid != 0 && parent.tgid != 2 }),
            }
        }
    }

    /// Is `ancestor` the process itself or one of those it descends from?
    #[must_use]
    pub fn is_descendant_of(&self, key: ProcessKey, ancestor: ProcessKey) -> bool {
        let wanted = self.locate(ancestor).unwrap_or(Id::of(ancestor));
        let mut next = Some(key);
        for _ in 0..DESCENT_STEPS {
            let Some(key) = next else { return false };
            let id = self.locate(key).unwrap_or(Id::of(key));
            if id == wanted {
                return true;
            }
            next = self.entries.get(&id).and_then(|entry| entry.parent);
        }
        false
    }

    /// Keys of the processes that have not ended, for a check against `/proc`.
    pub fn living(&self) -> impl Iterator<Item = ProcessKey> + '_ {
        self.entries.values().filter(|entry| entry.exited.is_none()).map(|entry| entry.key)
    }

    /// Marks a process as ended, as an exit record does.
    pub fn end(&mut self, key: ProcessKey, time: KernelTime) -> Change {
        let Some(id) = self.settle(key) else { return Change::None };
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.exited.is_none()) else {
            return Change::None;
        };
        entry.exited = Some(time);
        self.order.remove(id, None);
        self.order.add(id, Some(time));
        Change::Updated
    }

    fn fork(&mut self, fork: &Fork) -> Change {
        if fork.child.tgid == fork.parent.tgid {
            return Change::None;
        }
        let parent = self.settle(fork.parent);
        let inherited = parent.and_then(|id| self.entries.get(&id)).and_then(|entry| entry.at(fork.time)).cloned();
        let inherited = inherited.map(|generation| Generation { since: fork.time, ..generation });
        let known = inherited.as_ref().is_some_and(|generation| generation.origin != Origin::Stub);
        let Some(id) = self.settle(fork.child) else {
            let generation = inherited.unwrap_or_else(|| Generation::stub(None, fork.time));
            self.insert(fork.child, Some(fork.parent), true, generation);
            return if known { Change::Added } else { Change::Unresolved };
        };
        // The record came after others of the child: what those proved stays.
        self.set_parent(id, Some(fork.parent), true);
        if let (true, Some(generation)) = (known, inherited) {
            self.precede(id, generation);
        }
        Change::Updated
    }

    /// Gives a process the program it was born with, learnt late.
    fn precede(&mut self, id: Id, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(first) = entry.generations.first_mut() else { return };
        if first.origin == Origin::Stub && (first.is_blank() || generation.runs(first.program.executable.id)) {
            self.bytes = self.bytes.saturating_sub(freed(first));
            self.stats.stubs_completed += 1;
            *first = generation;
        } else if generation.since < first.since {
            entry.generations.insert(0, generation);
            self.trim(id);
        }
    }

    fn exec(&mut self, exec: &Exec) -> Change {
        let key = exec.task.key;
        let id = self.settle(key);
        let program = Arc::new(Program::of_exec(exec, &self.rules));
        let before = id.and_then(|id| self.entries.get(&id)).and_then(|entry| entry.at(exec.time));
        let standing = Standing::of_task(&exec.task, before.map(|generation| &*generation.standing));
        let generation =
            Generation { program, standing: Arc::new(standing), since: exec.time, origin: Origin::Observed };
        let Some(id) = id else {
            self.insert(key, Some(exec.task.parent), false, generation);
            return Change::Added;
        };
        self.set_parent(id, Some(exec.task.parent), false);
        self.push(id, generation);
        Change::Updated
    }

    fn exit(&mut self, exit: &Exit) -> Change {
        self.end(exit.process, exit.time)
    }

    fn open(&mut self, task: &Task, time: KernelTime) -> Change {
        let Some(id) = self.settle(task.key) else {
            self.stats.stubs += 1;
            let since = KernelTime(task.key.start_ns);
            self.insert(task.key, Some(task.parent), false, Generation::stub(Some(task), since));
            return Change::Unresolved;
        };
        self.set_parent(id, Some(task.parent), false);
        let Some(generation) = self.entries.get_mut(&id).and_then(|entry| entry.at_mut(time)) else {
            return Change::None;
        };
        let blank = generation.is_blank();
        if generation.runs(task.executable) && !(blank && task.executable.inode != 0) {
            let standing = Standing::of_task(task, Some(&generation.standing));
            if *generation.standing != standing {
                generation.standing = Arc::new(standing);
            }
            return if generation.origin == Origin::Stub { Change::Unresolved } else { Change::None };
        }
        // An exec we have not been told of. Until we are, nothing but the file is known of what acts.
        self.stats.stubs += 1;
        self.stats.outdated += u64::from(!blank);
        self.push(id, Generation::stub(Some(task), time));
        Change::Unresolved
    }

    /// When a process was created: its start, or the end of the tick in which it started.
    fn created(&self, key: ProcessKey) -> KernelTime {
        let rest = if key.start_ns.is_multiple_of(self.limits.tick_ns) { self.limits.tick_ns - 1 } else { 0 };
        KernelTime(key.start_ns.saturating_add(rest))
    }

    /// Where `key` is kept. A start that is a whole number of ticks stands for any within that tick.
    fn locate(&self, key: ProcessKey) -> Option<Id> {
        let exact = Id::of(key);
        if self.entries.contains_key(&exact) {
            return Some(exact);
        }
        let tick = self.limits.tick_ns;
        let first = Id { tgid: key.tgid, start_ns: key.start_ns - key.start_ns % tick };
        let last = Id { start_ns: first.start_ns.saturating_add(tick - 1), ..first };
        let rough = |key: ProcessKey| key.start_ns.is_multiple_of(tick);
        let matches = |entry: &Entry| entry.key == key || rough(entry.key) || rough(key);
        self.entries.range(first..=last).find(|(_, entry)| matches(entry)).map(|(id, _)| *id)
    }

    /// [`Table::locate`], and the entry learns its exact key.
    fn settle(&mut self, key: ProcessKey) -> Option<Id> {
        let id = self.locate(key)?;
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.key.start_ns.is_multiple_of(self.limits.tick_ns)
        {
            entry.key = key;
        }
        Some(id)
    }

    fn insert(&mut self, key: ProcessKey, parent: Option<ProcessKey>, certain: bool, generation: Generation) {
        // A program that is shared with the parent is counted already, and stays so if the parent is evicted now.
        let fresh = Arc::strong_count(&generation.program) == 1;
        while self.entries.len() >= self.limits.processes.max(1) && self.evict(None) {}
        let id = Id::of(key);
        let exited = self.displace(id);
        if fresh {
            self.bytes = self.bytes.saturating_add(generation.program.bytes());
        }
        let entry = Entry {
            key,
            parent: None,
            parent_is_certain: false,
            counted: None,
            generations: vec![generation],
            forgotten: false,
            exited,
        };
        self.entries.insert(id, entry);
        self.order.add(id, exited);
        self.set_parent(id, parent, certain);
        self.fit(id);
    }

    /// A tgid is in use once: whoever had it before `id` has ended, and if somebody has it after, `id` has.
    fn displace(&mut self, id: Id) -> Option<KernelTime> {
        let range = Id { tgid: id.tgid, start_ns: 0 }..=Id { tgid: id.tgid, start_ns: u64::MAX };
        let mut missed = Vec::new();
        let mut ended = None;
        for (other, entry) in self.entries.range(range) {
            if *other > id {
                ended = ended.or(Some(KernelTime(other.start_ns)));
            } else if entry.exited.is_none() {
                missed.push(entry.key);
            }
        }
        for key in missed {
            self.stats.exits_missed += 1;
            self.end(key, KernelTime(id.start_ns));
        }
        ended
    }

    fn set_parent(&mut self, id: Id, parent: Option<ProcessKey>, certain: bool) {
        let Some(parent) = parent else { return };
        let counted = self.locate(parent).unwrap_or(Id::of(parent));
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if counted == id || entry.parent_is_certain || (entry.parent.is_some() && !certain) {
            return;
        }
        entry.parent = Some(parent);
        entry.parent_is_certain = certain;
        if let Some(old) = entry.counted.replace(counted) {
            self.order.unlink(old, self.exited(old));
        }
        self.order.link(counted, self.exited(counted));
    }

    /// `None` for a process that is not in the table.
    fn exited(&self, id: Id) -> Option<Option<KernelTime>> {
        self.entries.get(&id).map(|entry| entry.exited)
    }

    /// Files a generation under its time. An exec that explains stubs made from later opens takes their place.
    fn push(&mut self, id: Id, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.bytes = self.bytes.saturating_add(generation.program.bytes());
        let file = generation.program.executable.id;
        let mut freed = 0;
        let before = entry.generations.len();
        entry.generations.retain(|old| {
            let explained =
                old.origin == Origin::Stub && (old.is_blank() || (old.since >= generation.since && old.runs(file)));
            freed += if explained && Arc::strong_count(&old.program) == 1 { old.program.bytes() } else { 0 };
            !explained
        });
        if generation.origin == Origin::Observed {
            self.stats.stubs_completed += (before - entry.generations.len()) as u64;
        }
        self.bytes = self.bytes.saturating_sub(freed);
        let at = entry.generations.partition_point(|old| old.since <= generation.since);
        entry.generations.insert(at, generation);
        self.trim(id);
        self.fit(id);
    }

    /// Drops the oldest programs over the limit.
    fn trim(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        while entry.generations.len() > self.limits.generations {
            let old = entry.generations.remove(0);
            entry.forgotten = true;
            self.stats.generations_dropped += 1;
            self.bytes = self.bytes.saturating_sub(freed(&old));
        }
    }

    /// Evicts others until the programs fit.
    fn fit(&mut self, keep: Id) {
        while self.bytes > self.limits.bytes && self.evict(Some(keep)) {}
    }

    fn expire(&mut self) {
        let grace = u64::try_from(self.limits.grace.as_nanos()).unwrap_or(u64::MAX);
        let limit = KernelTime(self.now.0.saturating_sub(grace));
        for _ in 0..EXPIRE_STEPS {
            let Some(id) = self.order.expired(limit) else { return };
            self.remove(id);
            self.stats.expired += 1;
        }
    }

    fn evict(&mut self, keep: Option<Id>) -> bool {
        let any = || self.entries.keys().find(|id| Some(**id) != keep).map(|id| (Place::Live, *id));
        let Some((place, id)) = self.order.victim(keep).or_else(any) else { return false };
        match place {
            Place::ExitedLeaf => self.stats.evicted_exited += 1,
            Place::Ancestor => self.stats.evicted_ancestor += 1,
            Place::LiveLeaf | Place::Live => self.stats.evicted_alive += 1,
        }
        self.remove(id);
        true
    }

    fn remove(&mut self, id: Id) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.order.remove(id, entry.exited);
        for generation in entry.generations {
            self.bytes = self.bytes.saturating_sub(freed(&generation));
        }
        if let Some(parent) = entry.counted {
            self.order.unlink(parent, self.exited(parent));
        }
    }
}

/// Bytes that dropping a generation frees: none while another process shares its program.
fn freed(generation: &Generation) -> usize {
    if Arc::strong_count(&generation.program) == 1 { generation.program.bytes() } else { 0 }
}
