//! Cores of processes that had read a store: their memory, written to a file, holds the token.

use std::path::PathBuf;

use tokenhound_common::{process::ProcessKey, record::FileId, watch::FileKey};

use super::{Core, Dumped, Output};
use crate::{
    detect::recent::Recent,
    ingest::observation::{Dump, KernelTime, Object, Observation, Way},
    lineage::model::Process,
};

/// Most processes remembered that have read a store, and most cores.
const READERS: usize = 16_384;
const CORES: usize = 1024;

/// Who has read a store, and whose cores are known.
#[derive(Debug)]
pub(super) struct Dumps {
    readers: Recent<ProcessKey, ()>,
    cores: Recent<FileKey, Option<Process>>,
}

impl Default for Dumps {
    fn default() -> Self {
        Self { readers: Recent::new(READERS), cores: Recent::new(CORES) }
    }
}

impl Dumps {
    /// Notes whose memory holds what is in stores. `of_store`: what was opened is one.
    pub(super) fn observe(&mut self, observation: &Observation, of_store: bool) {
        match observation {
            Observation::Open(open) if of_store && (open.mode.read || open.way != Way::Open) => {
                self.readers.touch(&open.task.key, open.time, || ());
            }
            Observation::Fork(fork) if self.readers.get(&fork.parent).is_some() => {
                self.readers.touch(&fork.child, fork.time, || ());
            }
            // A new program has new memory. What it was started with open comes as a record of its own.
            Observation::Exec(exec) => self.readers.forget(&exec.task.key),
            Observation::Exit(exit) => self.readers.forget(&exit.process),
            _ => {}
        }
    }

    /// The process whose memory a file holds (within: it may be unknown); `None` if it is no core that matters.
    pub(super) fn core(&self, file: FileId) -> Option<&Option<Process>> {
        self.cores.get(&FileKey::of(file))
    }

    /// Entries pushed out because a table was full, by table.
    pub(super) fn evictions(&self) -> [(&'static str, u64); 2] {
        [("dump_readers", self.readers.evicted()), ("dump_cores", self.cores.evicted())]
    }
}

impl Core {
    /// Whether an observation is of the file of a store, by the name it is known by or the one it was opened by.
    pub(super) fn is_of_store(&self, observation: &Observation) -> bool {
        let Observation::Open(open) = observation else { return false };
        if open.object != Object::File || open.canary {
            return false;
        }
        let (homes, overrides) = (self.processes.homes(), self.processes.overrides());
        let known = self.names.name_of(open.file.id);
        known.is_some_and(|path| !self.catalogue.stores_for(&path, homes, overrides).is_empty())
            || !self.catalogue.stores_for(&open.path.path, homes, overrides).is_empty()
    }

    /// A core was written. If its process had read a store, the file has to be found.
    pub(super) fn dumped(&mut self, dump: &Dump, out: &mut dyn FnMut(Output)) {
        if self.dumps.readers.get(&dump.process).is_none() || dump.process.tgid == self.own {
            return;
        }
        let process = self.processes.get(dump.process);
        let uid = process.as_ref().map_or(0, |process| process.uid);
        let cwd = if dump.cwd.truncated { PathBuf::new() } else { dump.cwd.path.clone() };
        out(Output::Dumped(Dumped { time: dump.time, process: dump.process, uid, cwd }));
    }

    /// The core was found: whoever reads it looks into the process.
    pub(super) fn found_core(
        &mut self,
        process: ProcessKey,
        file: FileId,
        time: KernelTime,
        out: &mut dyn FnMut(Output),
    ) {
        let of = self.processes.get(process);
        *self.dumps.cores.touch(&FileKey::of(file), time, || None) = of;
        out(Output::WatchCore(file));
    }
}

#[cfg(test)]
mod tests {
    use tokenhound_common::record::FileFacts;

    use super::*;
    use crate::ingest::observation::{Exit, Fork, KernelPath, Open, OpenMode, Task};

    const READER: ProcessKey = ProcessKey::new(1, 10);
    const CHILD: ProcessKey = ProcessKey::new(2, 11);

    fn open(read: bool) -> Observation {
        Observation::Open(Box::new(Open {
            time: KernelTime(1),
            task: Task { key: READER, ..Task::default() },
            object: Object::File,
            file: FileFacts::default(),
            path: KernelPath::default(),
            path_in_root: None,
            way: Way::Open,
            unlinked: false,
            mode: OpenMode { read, ..OpenMode::default() },
            canary: false,
        }))
    }

    #[test]
    fn memory_goes_on_to_children_and_ends_with_the_process() {
        let mut dumps = Dumps::default();
        dumps.observe(&Observation::Fork(Fork { time: KernelTime(0), parent: READER, child: CHILD }), false);
        dumps.observe(&open(false), true);
        dumps.observe(&open(true), false);
        assert!(dumps.readers.is_empty(), "nothing was read, or no store");
        dumps.observe(&open(true), true);
        dumps.observe(&Observation::Fork(Fork { time: KernelTime(2), parent: READER, child: CHILD }), false);
        dumps.observe(&Observation::Exit(Exit { time: KernelTime(3), process: READER }), false);
        assert!(dumps.readers.get(&READER).is_none() && dumps.readers.get(&CHILD).is_some());
    }
}
