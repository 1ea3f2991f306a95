//! Which process may be forgotten next.

use std::collections::{BTreeMap, BTreeSet};

use tokenhound_common::process::ProcessKey;

use crate::ingest::observation::KernelTime;

/// Where a process is kept: (tgid, start), so that all that ever had a tgid are neighbours. For a process found in
/// `/proc` the start is cut to a clock tick and stays so here.
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

/// How a process stands in [`Order`].
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

/// The queues of eviction, and how many children each process has in the table.
#[derive(Debug, Default)]
pub(super) struct Order {
    children: BTreeMap<Id, u32>,
    exited_leaves: BTreeSet<(KernelTime, Id)>,
    ancestors: BTreeSet<(KernelTime, Id)>,
    /// By start: the oldest first.
    live_leaves: BTreeSet<(u64, Id)>,
}

impl Order {
    fn place(&self, id: Id, exited: Option<KernelTime>) -> Place {
        match (exited, self.children.contains_key(&id)) {
            (Some(_), false) => Place::ExitedLeaf,
            (Some(_), true) => Place::Ancestor,
            (None, false) => Place::LiveLeaf,
            (None, true) => Place::Live,
        }
    }

    pub(super) fn add(&mut self, id: Id, exited: Option<KernelTime>) {
        let time = exited.unwrap_or_default();
        match self.place(id, exited) {
            Place::ExitedLeaf => self.exited_leaves.insert((time, id)),
            Place::Ancestor => self.ancestors.insert((time, id)),
            Place::LiveLeaf => self.live_leaves.insert((id.start_ns, id)),
            Place::Live => false,
        };
    }

    pub(super) fn remove(&mut self, id: Id, exited: Option<KernelTime>) {
        let time = exited.unwrap_or_default();
        match self.place(id, exited) {
            Place::ExitedLeaf => self.exited_leaves.remove(&(time, id)),
            Place::Ancestor => self.ancestors.remove(&(time, id)),
            Place::LiveLeaf => self.live_leaves.remove(&(id.start_ns, id)),
            Place::Live => false,
        };
    }

    /// `parent` got a child. `parent_exited` is given when the parent is in the table.
    pub(super) fn link(&mut self, parent: Id, parent_exited: Option<Option<KernelTime>>) {
        if let Some(exited) = parent_exited {
            self.remove(parent, exited);
        }
        *self.children.entry(parent).or_insert(0) += 1;
        if let Some(exited) = parent_exited {
            self.add(parent, exited);
        }
    }

    /// A child of `parent` left the table.
    pub(super) fn unlink(&mut self, parent: Id, parent_exited: Option<Option<KernelTime>>) {
        if let Some(exited) = parent_exited {
            self.remove(parent, exited);
        }
        if let Some(count) = self.children.get_mut(&parent) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.children.remove(&parent);
            }
        }
        if let Some(exited) = parent_exited {
            self.add(parent, exited);
        }
    }

    /// The process that ended first and has no child left, if it ended before `limit`.
    pub(super) fn expired(&self, limit: KernelTime) -> Option<Id> {
        self.exited_leaves.first().filter(|(exited, _)| *exited < limit).map(|(_, id)| *id)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.exited_leaves.is_empty()
            && self.ancestors.is_empty()
            && self.live_leaves.is_empty()
    }

    /// Who goes when there is no room: the oldest exited without children, then the oldest exited ancestor, then the
    /// oldest live process without children. A flood of short processes so evicts itself, not the lineage of others.
    pub(super) fn victim(&self, keep: Option<Id>) -> Option<(Place, Id)> {
        let pick = |set: &BTreeSet<(KernelTime, Id)>| set.iter().map(|(_, id)| *id).find(|id| Some(*id) != keep);
        let live = || self.live_leaves.iter().map(|(_, id)| *id).find(|id| Some(*id) != keep);
        pick(&self.exited_leaves)
            .map(|id| (Place::ExitedLeaf, id))
            .or_else(|| pick(&self.ancestors).map(|id| (Place::Ancestor, id)))
            .or_else(|| live().map(|id| (Place::LiveLeaf, id)))
    }
}
