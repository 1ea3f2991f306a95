//! Who reads what a process opens before it starts its program: the shell opens, `cat` reads.
//!
//! A process that was forked and has not started a program yet, or a shell, opens a store. It may be about to hand it to a
//! program (`cat < credentials`): then that program is the reader, and not the shell that it is still. So the open waits
//! until the process starts a program, ends, or goes on as it is for [`WAIT_NS`].

use std::collections::{HashMap, VecDeque};

use tokenhound_common::{process::ProcessKey, watch::FileKey};

use crate::ingest::observation::{Dump, Exit, KernelTime, Object, Observation, Open, Way};

/// How long an open waits, in nanoseconds of kernel time.
const WAIT_NS: u64 = 200_000_000;

/// How long after a start of a program its record of held files may come. They are written one after the other by two
/// programs on the same event, but a virtual processor can be taken away from us in between.
const EXEC_NS: u64 = 50_000_000;

/// Most processes remembered that have not started a program yet, and most opens that wait. Beyond, the oldest goes: it
/// is then judged by what it is.
const LIMIT: usize = 8192;

/// An open that waits.
#[derive(Debug)]
struct Waiting {
    open: Open,
    until: KernelTime,
}

/// Processes and opens.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// Forked and still running their parent's program, oldest first.
    fresh: HashMap<ProcessKey, ()>,
    order: VecDeque<ProcessKey>,
    waiting: VecDeque<Waiting>,
}

impl Handover {
    /// Takes in an observation; `shell` says that its process runs a shell. Returns the accesses that are to be judged now,
    /// in order.
    pub(super) fn observe(&mut self, observation: &Observation, shell: bool) -> Vec<Open> {
        match observation {
            Observation::Fork(fork) => {
                self.remember(fork.child);
                Vec::new()
            }
            Observation::Exec(exec) => {
                self.fresh.remove(&exec.task.key);
                let until = KernelTime(exec.time.0 + EXEC_NS);
                for waiting in self.waiting.iter_mut().filter(|waiting| waiting.open.task.key == exec.task.key) {
                    waiting.until = waiting.until.min(until);
                }
                Vec::new()
            }
            Observation::Exit(Exit { process, .. }) | Observation::Dump(Dump { process, .. }) => {
                self.fresh.remove(process);
                self.take(|waiting| waiting.open.task.key == *process)
            }
            Observation::Open(open) => self.open(open, shell),
            Observation::Change(_) => Vec::new(),
        }
    }

    fn open(&mut self, open: &Open, shell: bool) -> Vec<Open> {
        if open.way == Way::Exec {
            let key = open.task.key;
            let file = FileKey::of(open.file.id);
            let opened = self.take(|waiting| waiting.open.task.key == key && FileKey::of(waiting.open.file.id) == file);
            // The name by which it was opened is the name by which the program has it.
            let path = opened.into_iter().next_back().map(|opened| opened.path);
            return vec![Open { path: path.unwrap_or_else(|| open.path.clone()), ..open.clone() }];
        }
        let waits = open.way == Way::Open && open.object == Object::File && open.mode.read;
        if !waits || !(shell || self.fresh.contains_key(&open.task.key)) {
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

    fn remember(&mut self, child: ProcessKey) {
        if self.fresh.insert(child, ()).is_none() {
            self.order.push_back(child);
        }
        while self.order.len() > LIMIT {
            if let Some(oldest) = self.order.pop_front() {
                self.fresh.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokenhound_common::record::{FileFacts, FileId};

    use super::*;
    use crate::ingest::observation::{Exec, Fork, KernelPath, OpenMode, Task};

    const SHELL: ProcessKey = ProcessKey::new(1, 10);
    const CHILD: ProcessKey = ProcessKey::new(2, 11);

    fn fork() -> Observation {
        Observation::Fork(Fork { time: KernelTime(2), parent: SHELL, child: CHILD })
    }

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
            path: KernelPath::default(),
            cwd: KernelPath::default(),
            script: None,
            args: Vec::new(),
            args_truncated: false,
            environment: Vec::new(),
            environment_truncated: false,
        }))
    }

    #[test]
    fn the_program_that_is_started_with_it_is_the_reader() {
        let mut handover = Handover::default();
        for observation in [fork(), open(CHILD, 10, Way::Open), exec(20)] {
            assert!(handover.observe(&observation, false).is_empty());
        }
        let read = handover.observe(&open(CHILD, 21, Way::Exec), false);
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].way, read[0].path.path.to_str()), (Way::Exec, Some("/h/.aws/credentials")));
        assert!(!handover.is_waiting());
    }

    #[test]
    fn a_program_that_was_started_without_it_leaves_it_to_the_one_before() {
        let mut handover = Handover::default();
        for observation in [fork(), open(CHILD, 10, Way::Open), exec(20)] {
            handover.observe(&observation, false);
        }
        assert!(!handover.is_due(KernelTime(20)));
        assert_eq!(handover.due(KernelTime(20 + EXEC_NS)), [opened(CHILD, 10, Way::Open)]);
    }

    #[test]
    fn one_that_starts_none_is_the_reader_itself() {
        let mut handover = Handover::default();
        handover.observe(&fork(), false);
        handover.observe(&open(CHILD, 10, Way::Open), false);
        let exit = Observation::Exit(Exit { time: KernelTime(30), process: CHILD });
        assert_eq!(handover.observe(&exit, false), [opened(CHILD, 10, Way::Open)]);

        handover.observe(&open(CHILD, 40, Way::Open), false);
        handover.observe(&fork(), false);
        handover.observe(&open(CHILD, 50, Way::Open), false);
        assert_eq!(handover.due(KernelTime(50 + WAIT_NS)).len(), 1);
    }

    #[test]
    fn a_shell_may_become_the_program() {
        let mut handover = Handover::default();
        assert!(handover.observe(&open(CHILD, 10, Way::Open), true).is_empty());
        handover.observe(&exec(20), true);
        assert_eq!(handover.observe(&open(CHILD, 21, Way::Exec), false).len(), 1);
        assert!(!handover.is_waiting());
    }

    #[test]
    fn a_program_of_its_own_is_judged_at_once() {
        let mut handover = Handover::default();
        handover.observe(&fork(), false);
        handover.observe(&exec(5), false);
        assert_eq!(handover.observe(&open(CHILD, 10, Way::Open), false).len(), 1);
        assert_eq!(handover.observe(&open(SHELL, 10, Way::Open), false).len(), 1);
    }
}
