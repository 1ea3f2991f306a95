//! Where the table keeps its processes: in slots that are used again, found by tgid, and queued for being forgotten.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use tokenhound_common::process::ProcessKey;

use super::entry::Entry;
use crate::ingest::{observation::KernelTime, ordered::Ordered};

/// Under what a process is kept: (tgid, start). For a process found in `/proc` the start is cut to a clock tick and
/// stays so here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) tgid: u32,
    pub(super) start_ns: u64,
}

impl Id {
    pub(super) const fn of(key: ProcessKey) -> Self {
        Self { tgid: key.tgid, start_ns: key.start_ns }
    }
}

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At(u32);

/// How a process stands for being forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ended, and no child of it is in the table.
    ExitedLeaf,
    /// Ended, but an ancestor of something in the table.
    Ancestor,
    /// Alive, and no child of it is in the table.
    LiveLeaf,
    /// Alive with children.
    Live,
}

/// In a queue: since when, who, and where. It may say what is no longer so: whoever takes it out looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Queued {
    since: u64,
    id: Id,
    at: At,
}

/// Queued ones that may be out of date besides one for each process, before a queue is swept.
const STALE: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Slots {
    entries: Vec<Option<Entry>>,
    free: Vec<At>,
    /// The latest process of each tgid; each names the one before it. Pids are chosen by whoever starts processes, hence a
    /// hash with a seed of its own.
    newest: HashMap<u32, At, RandomState>,
    /// Children in the table of processes that are not.
    orphans: BTreeMap<Id, u32>,
    /// By end.
    exited_leaves: Ordered<Queued>,
    /// By end.
    ancestors: Ordered<Queued>,
    /// By start.
    live_leaves: Ordered<Queued>,
}

/// The slot, if it is in use.
fn entry(entries: &[Option<Entry>], At(at): At) -> Option<&Entry> {
    entries.get(at as usize)?.as_ref()
}

fn place(entry: &Entry) -> Place {
    match (entry.exited, entry.children) {
        (Some(_), 0) => Place::ExitedLeaf,
        (Some(_), _) => Place::Ancestor,
        (None, 0) => Place::LiveLeaf,
        (None, _) => Place::Live,
    }
}

fn since(entry: &Entry) -> u64 {
    entry.exited.map_or(entry.id.start_ns, |time| time.0)
}

/// Is it still as the queue says?
fn holds(entries: &[Option<Entry>], wanted: Place, queued: &Queued) -> bool {
    entry(entries, queued.at)
        .is_some_and(|entry| entry.id == queued.id && place(entry) == wanted && since(entry) == queued.since)
}

/// What the queue said of a process is no longer so, and it has been taken out.
fn out_of_queue(entries: &mut [Option<Entry>], of: Place, queued: &Queued) {
    let entry = entries.get_mut(queued.at.0 as usize).and_then(Option::as_mut);
    if let Some(entry) = entry.filter(|entry| of == Place::LiveLeaf && entry.id == queued.id) {
        entry.queued = false;
    }
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn get(&self, at: At) -> Option<&Entry> {
        entry(&self.entries, at)
    }

    pub(super) fn get_mut(&mut self, At(at): At) -> Option<&mut Entry> {
        self.entries.get_mut(at as usize)?.as_mut()
    }

    /// Every process.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// All that ever had a tgid, the latest first.
    pub(super) fn of_tgid(&self, tgid: u32) -> impl Iterator<Item = (At, &Entry)> {
        let mut next = self.newest.get(&tgid).copied();
        std::iter::from_fn(move || {
            let at = next?;
            let entry = self.get(at)?;
            next = entry.older;
            Some((at, entry))
        })
    }

    pub(super) fn find(&self, id: Id) -> Option<At> {
        self.of_tgid(id.tgid).find(|(_, entry)| entry.id == id).map(|(at, _)| at)
    }

    /// Takes in a process that is not here yet.
    pub(super) fn insert(&mut self, mut new: Entry) -> At {
        let at = self.free.pop().unwrap_or(At(self.entries.len() as u32));
        if !self.orphans.is_empty() {
            new.children = self.orphans.remove(&new.id).unwrap_or(0);
        }
        let id = new.id;
        match self.of_tgid(id.tgid).take_while(|(_, other)| other.id > id).last().map(|(at, _)| at) {
            None => new.older = self.newest.insert(id.tgid, at),
            Some(later) => {
                let later = self.get_mut(later).and_then(|later| later.older.replace(at));
                new.older = later;
            }
        }
        match self.entries.get_mut(at.0 as usize) {
            Some(slot) => *slot = Some(new),
            None => self.entries.push(Some(new)),
        }
        self.queue(at);
        at
    }

    /// Takes a process out. Its children stay.
    pub(super) fn remove(&mut self, at: At) -> Option<Entry> {
        let entry = self.entries.get_mut(at.0 as usize)?.take()?;
        self.free.push(at);
        // The slot is empty already: whoever comes before it in its chain is found from the front.
        match self.newest.get(&entry.id.tgid) {
            Some(newest) if *newest == at => {
                match entry.older {
                    Some(older) => self.newest.insert(entry.id.tgid, older),
                    None => self.newest.remove(&entry.id.tgid),
                };
            }
            _ => {
                let later = self.of_tgid(entry.id.tgid).find(|(_, later)| later.older == Some(at));
                if let Some(later) = later.map(|(at, _)| at).and_then(|at| self.get_mut(at)) {
                    later.older = entry.older;
                }
            }
        }
        if entry.children > 0 {
            self.orphans.insert(entry.id, entry.children);
        }
        if let Some(parent) = entry.counted {
            self.unlink(parent);
        }
        Some(entry)
    }

    /// A process has ended.
    pub(super) fn end(&mut self, at: At, time: KernelTime) {
        if let Some(entry) = self.get_mut(at) {
            entry.exited = Some(time);
            self.queue(at);
        }
    }

    /// `child` counts as a child of `parent` from now on, and of nobody else.
    pub(super) fn link(&mut self, child: At, parent: Id) {
        let at = self.find(parent);
        let Some(entry) = self.get_mut(child) else { return };
        if let Some(old) = entry.counted.replace((parent, at)) {
            self.unlink(old);
        }
        match at.and_then(|at| self.get_mut(at)) {
            Some(entry) => {
                entry.children += 1;
                if entry.children == 1
                    && let Some(at) = at
                {
                    self.queue(at);
                }
            }
            None => *self.orphans.entry(parent).or_insert(0) += 1,
        }
    }

    /// A child of `parent`, which was then found at `at`, has left the table.
    fn unlink(&mut self, (parent, at): (Id, Option<At>)) {
        let still = at.filter(|at| self.get(*at).is_some_and(|entry| entry.id == parent));
        match still.or_else(|| self.find(parent)) {
            Some(at) => {
                let Some(entry) = self.get_mut(at) else { return };
                entry.children = entry.children.saturating_sub(1);
                if entry.children == 0 {
                    self.queue(at);
                }
            }
            None => {
                if let Some(count) = self.orphans.get_mut(&parent) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.orphans.remove(&parent);
                    }
                }
            }
        }
    }

    /// Queues a process as it stands now.
    fn queue(&mut self, at: At) {
        let room = 2 * self.entries.len() + STALE;
        let Some(entry) = self.entries.get_mut(at.0 as usize).and_then(Option::as_mut) else { return };
        let place = place(entry);
        let queue = match place {
            Place::ExitedLeaf => &mut self.exited_leaves,
            Place::Ancestor => &mut self.ancestors,
            // It gets and loses children all its life: once in the queue is enough.
            Place::LiveLeaf if std::mem::replace(&mut entry.queued, true) => return,
            Place::LiveLeaf => &mut self.live_leaves,
            Place::Live => return,
        };
        queue.push(Queued { since: since(entry), id: entry.id, at });
        if queue.len() > room {
            let mut all = std::mem::take(queue);
            let mut last = None;
            // Sorted on the way out, so the same one twice is seen.
            while let Some(queued) = all.pop() {
                if last.replace(queued) == Some(queued) {
                    continue;
                }
                if holds(&self.entries, place, &queued) {
                    queue.push(queued);
                } else {
                    out_of_queue(&mut self.entries, place, &queued);
                }
            }
        }
    }

    /// The first in a queue that is not `keep` and still stands there.
    fn first(
        queue: &mut Ordered<Queued>,
        entries: &mut [Option<Entry>],
        wanted: Place,
        keep: Option<At>,
    ) -> Option<At> {
        let mut kept = None;
        let found = loop {
            let Some(queued) = queue.first().copied() else { break None };
            if !holds(entries, wanted, &queued) {
                queue.pop();
                out_of_queue(entries, wanted, &queued);
            } else if Some(queued.at) == keep {
                kept = queue.pop();
            } else {
                break Some(queued.at);
            }
        };
        if let Some(kept) = kept {
            queue.push(kept);
        }
        found
    }

    /// The process that ended first and has no child left, if it ended before `limit`.
    pub(super) fn expired(&mut self, limit: KernelTime) -> Option<At> {
        if self.exited_leaves.first()?.since >= limit.0 {
            return None;
        }
        let at = Self::first(&mut self.exited_leaves, &mut self.entries, Place::ExitedLeaf, None)?;
        entry(&self.entries, at).and_then(|entry| entry.exited).filter(|time| *time < limit).map(|_| at)
    }

    /// Who goes when there is no room: the oldest exited without children, then the oldest exited ancestor, then the
    /// oldest live process without children. A flood of short processes so evicts itself, not the lineage of others.
    pub(super) fn victim(&mut self, keep: Option<At>) -> Option<(Place, At)> {
        let Self { entries, exited_leaves, ancestors, live_leaves, .. } = self;
        let mut pick = |queue, place| Some((place, Self::first(queue, entries, place, keep)?));
        pick(exited_leaves, Place::ExitedLeaf)
            .or_else(|| pick(ancestors, Place::Ancestor))
            .or_else(|| pick(live_leaves, Place::LiveLeaf))
            .or_else(|| {
                let used = (0u32..).map(At).zip(entries.iter()).filter(|(_, slot)| slot.is_some());
                used.map(|(at, _)| at).find(|at| Some(*at) != keep).map(|at| (Place::Live, at))
            })
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.len() == 0 && self.newest.is_empty() && self.orphans.is_empty()
    }
}
