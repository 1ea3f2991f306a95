//! What the hooks on closes came too late for.
//!
//! They are attached when a store is read and none was for a while. In the milliseconds until then, a process that had a file
//! open before (`cat store | tee file`) can write and close it, and nothing tells. So a moment later the files are looked into
//! that the arguments of those processes name, if they were written since.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use tokenhound_common::{
    limits::{CARRIES_NS, NAME_BYTES},
    process::ProcessKey,
};

use super::{Core, Output};
use crate::{
    copies::model::{Candidate, Why},
    ingest::observation::KernelTime,
    lineage::model::Process,
};

/// How long after a read it is looked, in nanoseconds: by then a pipeline of tools has written what it was given.
const WAIT_NS: u64 = 300_000_000;

/// How long after the first read the hooks may not be attached yet, in nanoseconds.
const LATE_NS: u64 = 100_000_000;

/// Most reads that wait.
const READS: usize = 64;

/// Most processes and arguments of each that are looked at.
const PROCESSES: usize = 64;
const ARGUMENTS: usize = 16;

/// The reads of which something may have been missed.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// The first read after a while without any, and the last one.
    first: Option<KernelTime>,
    last: Option<KernelTime>,
    waiting: VecDeque<(KernelTime, ProcessKey)>,
    dropped: u64,
}

impl Late {
    /// A store was read.
    pub(super) fn read(&mut self, process: ProcessKey, time: KernelTime) {
        if self.last.is_none_or(|last| time.0.saturating_sub(last.0) > CARRIES_NS) {
            self.first = Some(time);
        }
        self.last = self.last.max(Some(time));
        let late = self.first.is_some_and(|first| time.0.saturating_sub(first.0) < LATE_NS);
        if late && self.waiting.len() >= READS {
            self.dropped += 1;
        } else if late {
            self.waiting.push_back((time, process));
        }
    }

    /// Reads that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_due(&self, now: KernelTime) -> bool {
        self.waiting.front().is_some_and(|(time, _)| time.0.saturating_add(WAIT_NS) <= now.0)
    }

    fn due(&mut self, now: KernelTime) -> Option<(KernelTime, ProcessKey)> {
        if self.is_due(now) { self.waiting.pop_front() } else { None }
    }
}

impl Core {
    /// Looks for what was missed of reads that are long enough ago.
    pub(super) fn named_files(&mut self, now: KernelTime, out: &mut dyn FnMut(Output)) {
        while let Some((time, reader)) = self.late.due(now) {
            let parent = self.processes.get(reader).and_then(|reader| reader.parent);
            // What the first process has started has nothing in common.
            let Some(parent) = parent.filter(|parent| parent.tgid > 1 && parent.tgid != self.own) else { continue };
            for process in self.processes.below(parent, time, PROCESSES) {
                for path in named(&process) {
                    let why = Why::Named { carrier: reader };
                    self.wrote(Candidate::new(time, path, None, process.key, why), out);
                }
            }
        }
    }
}

/// The files that a process's arguments may name.
fn named(process: &Process) -> Vec<PathBuf> {
    let Some(cwd) = &process.cwd else { return Vec::new() };
    let word = |arg: &String| {
        let value = arg.split_once('=').map_or(arg.as_str(), |(_, value)| value);
        let fits = value.len() < 4096 && value.split('/').all(|part| part.len() <= NAME_BYTES);
        (fits && !value.is_empty() && !value.starts_with('-')).then(|| cwd.join(Path::new(value)))
    };
    process.args.iter().skip(1).filter_map(word).take(ARGUMENTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fixtures;

    #[test]
    fn only_what_is_read_before_the_hooks_are_there_is_late() {
        let (mut late, process) = (Late::default(), ProcessKey::new(1, 2));
        for (time, wanted) in [(1, true), (LATE_NS, true), (LATE_NS + 1, false), (LATE_NS + CARRIES_NS + 2, true)] {
            late.read(process, KernelTime(time));
            assert_eq!(late.is_waiting(), wanted, "{time}");
            assert_eq!(late.due(KernelTime(time + WAIT_NS - 1)), None);
            assert_eq!(late.due(KernelTime(time + WAIT_NS)).is_some(), wanted);
        }
    }

    #[test]
    fn files_are_named_by_words_and_behind_equals_signs() {
        let mut process = fixtures::process(7, 1, "/usr/bin/dd");
        process.cwd = Some("/srv".into());
        let message = "no file has a name as long as this message".repeat(10);
        process.args = ["dd", "if=in", "of=/tmp/out", "-v", "", &message, "x", "--output="].map(str::to_owned).to_vec();
        assert_eq!(named(&process), ["/srv/in", "/tmp/out", "/srv/x"].map(PathBuf::from));
        process.cwd = None;
        assert!(named(&process).is_empty());
    }
}
