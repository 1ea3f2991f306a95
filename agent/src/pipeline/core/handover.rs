//! Who reads what a process opens before it starts its program: the shell opens, `cat` reads.
//!
//! A process that was forked and has not started a program yet, or a shell, opens a store. It may be about to hand it to a
//! program (`cat < credentials`): then that program is the reader, and not the shell that it is still. So the open waits
//! until the process starts a program, ends, or goes on as it is for [`WAIT_NS`].

use std::collections::VecDeque;

use tokenhound_common::watch::FileKey;

use crate::ingest::observation::{Dump, Exit, KernelTime, Object, Observation, Open, Way};

/// How long an open waits, in nanoseconds of kernel time.
const WAIT_NS: u64 = 200_000_000;

/// How long after a start of a program its record of held files may come. They are written one after the other by two
/// programs on the same event, but a virtual processor can be taken away from us in between.
const EXEC_NS: u64 = 50_000_000;

/// Most opens that wait. Beyond, the oldest is judged by what its process is.
const LIMIT: usize = 8192;

/// An open that waits.
#[derive(Debug)]
struct Waiting {
    open: Open,
    until: KernelTime,
}

/// The opens that wait.
#[derive(Debug, Default)]
pub(super) struct Handover {
    waiting: VecDeque<Waiting>,
}

impl Handover {
    /// Takes in an observation; `may_start` says that its process runs a shell, or no program of its own yet. Returns the
    /// accesses that are to be judged now, in order.
    pub(super) fn observe(&mut self, observation: &Observation, may_start: bool) -> Vec<Open> {
        match observation {
            Observation::Exec(exec) => {
                let until = KernelTime(exec.time.0 + EXEC_NS);
                for waiting in self.waiting.iter_mut().filter(|waiting| waiting.open.task.key == exec.task.key) {
                    waiting.until = waiting.until.min(until);
                }
                Vec::new()
            }
            Observation::Exit(Exit { process, .. }) | Observation::Dump(Dump { process, .. }) => {
                self.take(|waiting| waiting.open.task.key == *process)
            }
            Observation::Open(open) => self.open(open, may_start),
            Observation::Fork(_)
            | Observation::Change(_)
            | Observation::Connect(_)
            | Observation::Written(_)
            | Observation::Answer(_) => Vec::new(),
        }
    }

    fn open(&mut self, open: &Open, may_start: bool) -> Vec<Open> {
        if open.way == Way::Exec {
            let key = open.task.key;
            let file = FileKey::of(open.file.id);
            let opened = self.take(|waiting| waiting.open.task.key == key && FileKey::of(waiting.open.file.id) == file);
            // The name by which it was opened is the name by which the program has it.
            let path = opened.into_iter().next_back().map(|opened| opened.path);
            return vec![Open { path: path.unwrap_or_else(|| open.path.clone()), ..open.clone() }];
        }
        let waits = open.way == Way::Open && open.object == Object::File && open.mode.read;
        if !waits || !may_start {
            return vec![open.clone()];
        }
        self.waiting.push_back(Waiting { open: open.clone(), until: KernelTime(open.time.0 + WAIT_NS) });
        if self.waiting.len() > LIMIT {
            self.waiting.pop_front().map(|oldest| oldest.open).into_iter().collect()
        } else {
            Vec::new()
        }
    }

    /// Those that have waited long enough by `now`.
    pub(super) fn due(&mut self, now: KernelTime) -> Vec<Open> {
        self.take(|waiting| waiting.until <= now)
    }

    /// Whether anything waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether [`Handover::due`] would give something.
    pub(super) fn is_due(&self, now: KernelTime) -> bool {
        self.waiting.iter().any(|waiting| waiting.until <= now)
    }

    fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Open> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let (taken, kept) = std::mem::take(&mut self.waiting).into_iter().partition::<VecDeque<_>, _>(wanted);
        self.waiting = kept;
        taken.into_iter().map(|waiting| waiting.open).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokenhound_common::{
        process::ProcessKey,
        record::{FileFacts, FileId},
    };

    use super::*;
    use crate::ingest::{
        observation::{Exec, KernelPath, OpenMode, Stream, Task},
        texts::Texts,
    };

    const CHILD: ProcessKey = ProcessKey::new(2, 11);

    fn opened(key: ProcessKey, time: u64, way: Way) -> Open {
        Open {
            time: KernelTime(time),
            task: Task { key, ..Task::default() },
            object: Object::File,
            file: FileFacts { id: FileId { inode: 7, ..FileId::default() }, ..FileFacts::default() },
            path: KernelPath {
                path: if way == Way::Exec { "/" } else { "/h/.aws/credentials" }.into(),
                truncated: false,
            },
            path_in_root: None,
            way,
            unlinked: false,
            mode: OpenMode { read: true, ..OpenMode::default() },
            canary: false,
        }
    }

    fn open(key: ProcessKey, time: u64, way: Way) -> Observation {
        Observation::Open(Box::new(opened(key, time, way)))
    }

    fn exec(time: u64) -> Observation {
        Observation::Exec(Box::new(Exec {
            time: KernelTime(time),
            task: Task { key: CHILD, ..Task::default() },
            executable: FileFacts::default(),
            texts: Texts::default(),
            path_truncated: false,
            cwd_truncated: false,
            args_truncated: false,
            environment_truncated: false,
            output: Stream::default(),
        }))
    }

    #[test]
    fn the_program_that_is_started_with_it_is_the_reader() {
        let mut handover = Handover::default();
        for observation in [open(CHILD, 10, Way::Open), exec(20)] {
            assert!(handover.observe(&observation, true).is_empty());
        }
        let read = handover.observe(&open(CHILD, 21, Way::Exec), false);
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].way, read[0].path.path.to_str()), (Way::Exec, Some("/h/.aws/credentials")));
        assert!(!handover.is_waiting());
    }

    #[test]
    fn a_program_that_was_started_without_it_leaves_it_to_the_one_before() {
        let mut handover = Handover::default();
        for observation in [open(CHILD, 10, Way::Open), exec(20)] {
            handover.observe(&observation, true);
        }
        assert!(!handover.is_due(KernelTime(20)));
        assert_eq!(handover.due(KernelTime(20 + EXEC_NS)), [opened(CHILD, 10, Way::Open)]);
    }

    #[test]
    fn one_that_starts_none_is_the_reader_itself() {
        let mut handover = Handover::default();
        handover.observe(&open(CHILD, 10, Way::Open), true);
        let exit = Observation::Exit(Exit { time: KernelTime(30), process: CHILD });
        assert_eq!(handover.observe(&exit, true), [opened(CHILD, 10, Way::Open)]);

        handover.observe(&open(CHILD, 50, Way::Open), true);
        assert_eq!(handover.due(KernelTime(50 + WAIT_NS)).len(), 1);
    }

    #[test]
    fn a_program_of_its_own_is_judged_at_once() {
        let mut handover = Handover::default();
        assert_eq!(handover.observe(&open(CHILD, 10, Way::Open), false).len(), 1);
        assert!(!handover.is_waiting());
    }

    #[test]
    fn beyond_the_limit_the_oldest_goes_on() {
        let mut handover = Handover::default();
        for time in 0..LIMIT as u64 {
            assert!(handover.observe(&open(CHILD, time, Way::Open), true).is_empty());
        }
        assert_eq!(handover.observe(&open(CHILD, 10_000, Way::Open), true), [opened(CHILD, 0, Way::Open)]);
    }
}
