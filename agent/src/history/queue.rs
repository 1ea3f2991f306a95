//! What waits to be written down. Putting something in never waits for the disk. When there is no room the oldest of what
//! matters least goes.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::model::Entry;
use crate::finding::severity::Severity;

/// How much an entry matters when there is no room for all: accesses, connections and looks at copies, which
/// come in storms; everything
/// else; critical findings.
const RANKS: usize = 3;

fn rank(entry: &Entry) -> usize {
    match entry {
        Entry::Access(_) | Entry::Sent(_) | Entry::Standing(_) => 0,
        Entry::Finding(finding) if finding.severity == Severity::Critical => 2,
        _ => 1,
    }
}

/// An entry with its place in the order.
pub(super) type Numbered = (u64, Entry);

/// What went because there was no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shed {
    /// Entries.
    pub(super) entries: u64,
    /// How many of them are findings.
    pub(super) findings: u64,
}

impl Shed {
    /// One more.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.findings += u64::from(matches!(entry, Entry::Finding(_)));
    }
}

#[derive(Debug, Default)]
struct Inner {
    ranks: [VecDeque<Numbered>; RANKS],
    next: u64,
    closed: bool,
}

impl Inner {
    fn len(&self) -> usize {
        self.ranks.iter().map(VecDeque::len).sum()
    }

    fn shed(&mut self, most: usize) -> Shed {
        let mut shed = Shed::default();
        while self.len() > most {
            let least = self.ranks.iter_mut().find(|rank| !rank.is_empty());
            let Some((_, entry)) = least.and_then(VecDeque::pop_front) else { break };
            shed.add(&entry);
        }
        shed
    }

    /// The oldest of all.
    fn pop(&mut self) -> Option<Numbered> {
        let oldest = self.ranks.iter_mut().filter(|rank| !rank.is_empty());
        oldest.min_by_key(|rank| rank.front().map(|(number, _)| *number))?.pop_front()
    }
}

/// Shared by the pipeline and the thread that writes.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    shared: Arc<(Mutex<Inner>, Condvar)>,
    most: usize,
}

impl Queue {
    /// With room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most }
    }

    /// Puts it at the end.
    pub(super) fn push(&self, entry: Entry) -> Shed {
        self.with(|inner| {
            let number = inner.next;
            inner.next += 1;
            inner.ranks[rank(&entry)].push_back((number, entry));
            inner.shed(self.most)
        })
    }

    /// Puts back what was taken and not written, in its place.
    pub(super) fn give_back(&self, entries: Vec<Numbered>) -> Shed {
        self.with(|inner| {
            for numbered in entries.into_iter().rev() {
                inner.ranks[rank(&numbered.1)].push_front(numbered);
            }
            inner.shed(self.most)
        })
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.with(|inner| inner.closed = true);
    }

    /// The oldest, at most that many; waits for the first. Nothing when the time is over; `None` when nothing will come.
    pub(super) fn take(&self, most: usize, wait: Duration) -> Option<Vec<Numbered>> {
        let until = Instant::now() + wait;
        let mut inner = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.len() == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if inner.closed {
                return None;
            }
            if left.is_zero() {
                return Some(Vec::new());
            }
            inner = self.shared.1.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(std::iter::from_fn(|| inner.pop()).take(most).collect())
    }

    /// Waits so long, or until nothing more will come, and returns whether that is so.
    pub(super) fn rest(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut inner = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if inner.closed || left.is_zero() {
                return inner.closed;
            }
            inner = self.shared.1.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives up all that is left.
    pub(super) fn abandon(&self) -> Shed {
        self.with(|inner| inner.shed(0))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let out = change(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.1.notify_all();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::{model::Finding, samples},
        history::tests::accessed,
    };

    fn finding(number: u32, severity: Severity) -> Entry {
        let uid = number.to_string();
        Entry::Finding(Box::new(Finding { uid, severity, ..samples::unexpected_reader() }))
    }

    fn uids(queue: &Queue) -> Vec<String> {
        let name = |(_, entry)| match entry {
            Entry::Finding(finding) => Some(finding.uid),
            _ => None,
        };
        queue.take(100, Duration::ZERO).unwrap_or_default().into_iter().filter_map(name).collect()
    }

    #[test]
    fn the_oldest_of_what_matters_least_goes_first() {
        let queue = Queue::new(4);
        assert_eq!(queue.push(finding(0, Severity::Critical)), Shed::default());
        for number in 1..=2 {
            queue.push(finding(number, Severity::High));
        }
        queue.push(Entry::Access(Box::new(accessed(1, "/usr/bin/cat"))));
        assert_eq!(queue.push(finding(3, Severity::Low)), Shed { entries: 1, findings: 0 }, "the access");
        assert_eq!(queue.push(finding(4, Severity::Low)), Shed { entries: 1, findings: 1 });
        assert_eq!(uids(&queue), ["0", "2", "3", "4"], "the oldest that is not critical has gone, the order is kept");
    }

    #[test]
    fn what_is_given_back_keeps_its_place() {
        let queue = Queue::new(3);
        for number in 0..3 {
            queue.push(finding(number, Severity::High));
        }
        let taken = queue.take(2, Duration::ZERO).unwrap();
        queue.push(finding(3, Severity::High));
        assert_eq!(queue.give_back(taken), Shed { entries: 1, findings: 1 });
        assert_eq!(uids(&queue), ["1", "2", "3"]);
        queue.close();
        assert!(queue.rest(Duration::from_secs(3600)) && queue.take(1, Duration::from_secs(3600)).is_none());
    }
}
