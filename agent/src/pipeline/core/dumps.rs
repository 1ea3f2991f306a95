//! Cores of processes that had read a store: their memory, written to a file, holds the token.

use std::path::PathBuf;

use tokenhound_common::{process::ProcessKey, record::FileId, watch::FileKey};

use super::{Core, Dumped, Names, Output};
use crate::{
    catalogue::Catalogue,
    detect::recent::Recent,
    ingest::observation::{Dump, KernelTime, Object, Observation, Open, Way},
    lineage::model::Process,
};

use super::processes::Processes;

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
    /// Notes whose memory holds what is in stores. `of_store` says of an open file whether it is one.
    pub(super) fn observe(&mut self, observation: &Observation, of_store: impl Fn(&Open) -> bool) {
        match observation {
            Observation::Open(open) if open.object == Object::File && !open.canary => {
                let reads = open.mode.read || open.way != Way::Open;
                if reads && of_store(open) {
                    self.readers.touch(&open.task.key, open.time, || ());
                }
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

/// Whether the file of an open is a store's, by the name it is known by or the one it was opened by.
pub(super) fn of_store(catalogue: &Catalogue, names: &Names, processes: &Processes, open: &Open) -> bool {
    let stores = |path: &std::path::Path| catalogue.stores_for(path, processes.homes(), processes.overrides());
    names.name_of(open.file.id).is_some_and(|path| !stores(&path).is_empty()) || !stores(&open.path.path).is_empty()
}

impl Core {
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
    use crate::ingest::observation::{Exit, Fork, KernelPath, OpenMode, Task};

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
        dumps.observe(&Observation::Fork(Fork { time: KernelTime(0), parent: READER, child: CHILD }), |_| true);
        dumps.observe(&open(false), |_| true);
        dumps.observe(&open(true), |_| false);
        assert!(dumps.readers.is_empty(), "nothing was read, or no store");
        dumps.observe(&open(true), |_| true);
        dumps.observe(&Observation::Fork(Fork { time: KernelTime(2), parent: READER, child: CHILD }), |_| true);
        dumps.observe(&Observation::Exit(Exit { time: KernelTime(3), process: READER }), |_| true);
        assert!(dumps.readers.get(&READER).is_none() && dumps.readers.get(&CHILD).is_some());
    }
}
