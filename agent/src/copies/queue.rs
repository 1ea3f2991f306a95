//! Files that wait to be looked into: each once, however often it is written meanwhile. Pure: time comes in.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::{Duration, Instant},
};

use super::model::{Candidate, MOST_WRITERS, Writer};

/// How long after the last word of a file it is looked into: what writes in several goes is done by then, and what is renamed
/// into place has its name.
pub(super) const SOON: Duration = Duration::from_millis(20);

/// How long after the first word at most.
const AT_MOST: Duration = Duration::from_millis(100);

/// How long after the first look a file is looked into again.
pub(super) const AGAIN: Duration = Duration::from_millis(300);

/// Most files that wait, and most bytes of their names.
const FILES: usize = 16_384;
const NAMES: usize = 4 << 20;

/// A file that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) candidate: Candidate,
    /// Who wrote it before the candidate says.
    pub(super) others: Vec<Writer>,
    first: Instant,
    due: Instant,
}

/// What became of a candidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Waits,
    /// Its file waits already: one look is for both.
    Merged,
    /// There is no room for it.
    Full(Box<Candidate>),
}

/// The files, by when they are due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    files: HashMap<PathBuf, Waiting>,
    order: BTreeSet<(Instant, PathBuf)>,
    names: usize,
}

impl Queue {
    /// Takes a candidate in.
    pub(super) fn push(&mut self, candidate: Candidate, now: Instant) -> Pushed {
        let wait = if candidate.again { AGAIN } else { SOON };
        if let Some(waiting) = self.files.get_mut(&candidate.path) {
            self.order.remove(&(waiting.due, candidate.path.clone()));
            waiting.due = (now + wait).min(waiting.first + AT_MOST.max(wait));
            self.order.insert((waiting.due, candidate.path.clone()));
            // A second look must not hide who wrote it anew.
            let before = if candidate.again { return Pushed::Merged } else { &mut waiting.candidate };
            let other = Writer { time: before.time, key: before.writer };
            let known = waiting.others.iter().any(|known| known.key == other.key);
            if other.key != candidate.writer && !known && waiting.others.len() < MOST_WRITERS {
                waiting.others.push(other);
            }
            waiting.candidate = candidate;
            return Pushed::Merged;
        }
        let length = candidate.path.as_os_str().len();
        if self.files.len() >= FILES || self.names + length > NAMES {
            return Pushed::Full(Box::new(candidate));
        }
        self.names += length;
        let due = now + wait;
        self.order.insert((due, candidate.path.clone()));
        let path = candidate.path.clone();
        self.files.insert(path, Waiting { candidate, others: Vec::new(), first: now, due });
        Pushed::Waits
    }

    /// When the next file is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes out the file that has been due longest at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Waiting> {
        let (due, _) = self.order.first()?;
        if *due > now {
            return None;
        }
        let (_, path) = self.order.pop_first()?;
        let waiting = self.files.remove(&path)?;
        self.names -= path.as_os_str().len();
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use tokenhound_common::process::ProcessKey;

    use super::*;
    use crate::{copies::model::Why, ingest::observation::KernelTime};

    fn written(path: &str, by: u32) -> Candidate {
        let writer = ProcessKey::new(u64::from(by), by);
        Candidate::new(KernelTime(u64::from(by)), path.into(), None, writer, Why::Log)
    }

    #[test]
    fn a_file_that_is_written_often_is_looked_into_once_and_not_too_late() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(queue.push(written("/a", 1), at(0)), Pushed::Waits);
        assert_eq!(queue.push(written("/a", 2), at(15)), Pushed::Merged);
        assert!(queue.pop(at(34)).is_none(), "it was written anew");
        for step in 2..20 {
            assert_eq!(queue.push(written("/a", 3), at(step * 15)), Pushed::Merged);
        }
        let waiting = queue.pop(at(100)).unwrap();
        assert_eq!(waiting.candidate.writer.tgid, 3);
        assert_eq!(waiting.others.iter().map(|other| other.key.tgid).collect::<Vec<_>>(), [1, 2]);
        assert!(queue.pop(at(1000)).is_none() && queue.files.is_empty() && queue.names == 0);
    }

    #[test]
    fn what_finds_no_room_is_given_back() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for file in 0..FILES {
            assert_eq!(queue.push(written(&format!("/{file}"), 1), now), Pushed::Waits);
        }
        assert!(matches!(queue.push(written("/x", 1), now), Pushed::Full(candidate) if candidate.path.ends_with("x")));
        assert_eq!(queue.push(written("/7", 2), now), Pushed::Merged, "that one has room already");
        let mut queue = Queue::default();
        let long = "n".repeat(NAMES);
        assert!(matches!(queue.push(written(&long, 1), now), Pushed::Waits));
        assert!(matches!(queue.push(written("/x", 1), now), Pushed::Full(_)), "names take memory as well");
    }

    #[test]
    fn a_second_look_comes_later_and_hides_no_writer() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let again = Candidate { again: true, ..written("/a", 1) };
        queue.push(again.clone(), now);
        assert_eq!(queue.next(), Some(now + AGAIN));
        queue.push(written("/b", 2), now);
        queue.push(Candidate { path: "/b".into(), ..again }, now);
        let waiting =
            std::iter::from_fn(|| queue.pop(now + AGAIN)).find(|waiting| waiting.candidate.path.ends_with("b"));
        assert_eq!(waiting.unwrap().candidate.writer.tgid, 2);
    }
}
