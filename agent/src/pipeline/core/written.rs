//! Files that carriers write: where they lie, and when they are worth a look.

use std::path::{Path, PathBuf};

use tokenhound_common::{process::ProcessKey, record::FileId, watch::FileKey};

use super::{Core, Output};
use crate::{
    copies::model::{Candidate, Skipped, Why},
    detect::recent::Recent,
    ingest::observation::{KernelTime, Moment, Written},
};

/// Most processes whose open files are remembered.
const WRITERS: usize = 512;

/// Most files of one process that are remembered. With the longest of names they all take some 30 MiB.
const FILES: usize = 32;

/// Files that were opened for writing, and of which no end was told yet. Before the hooks on closes are attached, the end of
/// the process is when they are closed at the latest.
#[derive(Debug)]
pub(super) struct Writing {
    open: Recent<ProcessKey, Vec<Candidate>>,
    dropped: u64,
}

impl Default for Writing {
    fn default() -> Self {
        Self { open: Recent::new(WRITERS), dropped: 0 }
    }
}

impl Writing {
    fn opened(&mut self, candidate: &Candidate) {
        let files = self.open.touch(&candidate.writer, candidate.time, Vec::new);
        files.retain(|known| known.path != candidate.path);
        if files.len() >= FILES {
            files.remove(0);
            self.dropped += 1;
        }
        files.push(candidate.clone());
    }

    fn closed(&mut self, candidate: &Candidate) {
        let Some(files) = self.open.get(&candidate.writer) else { return };
        let same = |known: &Candidate| match (known.file, candidate.file) {
            (Some(known), Some(closed)) => FileKey::of(known) == FileKey::of(closed),
            _ => known.path == candidate.path,
        };
        let left: Vec<_> = files.iter().filter(|known| !same(known)).cloned().collect();
        if left.is_empty() {
            self.open.forget(&candidate.writer);
        } else {
            *self.open.touch(&candidate.writer, candidate.time, Vec::new) = left;
        }
    }

    fn ended(&mut self, process: ProcessKey) -> Vec<Candidate> {
        let files = self.open.get(&process).cloned().unwrap_or_default();
        self.open.forget(&process);
        files
    }

    pub(super) fn evicted(&self) -> u64 {
        self.open.evicted() + self.dropped
    }
}

impl Core {
    /// A carrier has opened a file for writing, or closed it.
    pub(super) fn written_by_carrier(&mut self, written: &Written, out: &mut dyn FnMut(Output)) {
        let Written { time, task, file, carrier, .. } = written;
        if task.key.tgid == self.own || !self.in_scope(task.key) {
            return;
        }
        // A name that is cut at its root leads nowhere.
        if written.path.truncated || written.unlinked {
            if !written.unlinked {
                self.missed(Skipped::Nameless, Path::new("a path of too many directories"));
            }
            let what = if written.unlinked { "written_unlinked" } else { "written_truncated" };
            return self.counts.add(what, 1);
        }
        let (path, same) = match self.containers.outside(task.mount_namespace, &written.path.path) {
            Some((path, upper)) => (path, !upper),
            None => (self.host_path(task.key, task.mount_namespace, &written.path.path, *time), true),
        };
        let file = same.then_some(file.id);
        let candidate = Candidate::new(*time, path, file, task.key, Why::Marked { carrier: *carrier });
        match written.moment {
            Moment::Opened => self.writing.opened(&candidate),
            Moment::Closed | Moment::Ended => {
                self.writing.closed(&candidate);
                if let Some(file) = candidate.file {
                    self.may_be_store(&candidate.path, file, task.key, out);
                }
            }
        }
        self.wrote(candidate, out);
    }

    /// Tools that read their store often keep what they got for it in another (`~/.aws/cli/cache`), in a directory that may be
    /// as new as the file: nobody has looked there yet, and the kernel does not know it. Many write another file first, and
    /// rename it.
    pub(super) fn may_be_store(&mut self, path: &Path, file: FileId, by: ProcessKey, out: &mut dyn FnMut(Output)) {
        let known = self.names.name_of(file).is_some_and(|known| known == path);
        if known || self.catalogue.stores_for(path, self.processes.homes(), self.processes.overrides()).is_empty() {
            return;
        }
        out(Output::Watch(file));
        self.names.remember(file, path);
        self.written(file, by, out);
    }

    /// A process has ended: what it had opened for writing is closed now.
    pub(super) fn writer_ended(&mut self, process: ProcessKey, time: KernelTime, out: &mut dyn FnMut(Output)) {
        for candidate in self.writing.ended(process) {
            self.wrote(Candidate { time, ..candidate }, out);
        }
    }

    /// What the host calls a file that is named through the root of a process in a container (see [`Core::host_path`]).
    pub(super) fn through_root(&self, writer: ProcessKey, path: &Path) -> Option<PathBuf> {
        let mut parts = path.strip_prefix("/proc").ok()?.components();
        let root = parts.nth(1)?.as_os_str() == "root";
        let inside = Path::new("/").join(parts.as_path());
        let writer = self.processes.get(writer).filter(|_| root)?;
        self.containers.outside(writer.mount_namespace, &inside).map(|(outside, _)| outside)
    }

    /// A path of another mount namespace, through the root of the first process there that the writer descends from: that one
    /// lives longest.
    fn host_path(&self, writer: ProcessKey, namespace: u32, path: &Path, at: KernelTime) -> PathBuf {
        if !self.processes.is_foreign(namespace) {
            return path.to_owned();
        }
        let first = self.processes.first_in_namespace(writer, namespace, at).unwrap_or(writer);
        Path::new("/proc").join(first.tgid.to_string()).join("root").join(path.strip_prefix("/").unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokenhound_common::record::FileFacts;

    use super::*;
    use crate::{
        capture::synthetic,
        catalogue::Catalogue,
        ingest::observation::{KernelPath, Task},
        lineage::{model::Process, writable::tests::process},
    };

    const TOOL: ProcessKey = ProcessKey::new(20, 200);

    fn closes(core: &mut Core, path: &str, inode: u64) -> Vec<Output> {
        let written = Written {
            time: KernelTime(1),
            task: Task { key: TOOL, ..Task::default() },
            file: FileFacts { id: FileId { inode, ..FileId::default() }, ..FileFacts::default() },
            path: KernelPath { path: path.into(), truncated: false },
            path_in_root: None,
            unlinked: false,
            carrier: TOOL,
            moment: Moment::Closed,
        };
        let mut outputs = Vec::new();
        core.written_by_carrier(&written, &mut |output| outputs.push(output));
        outputs
    }

    #[test]
    fn a_store_in_a_new_directory_is_watched_and_looked_at_when_its_tool_has_written_it() {
        let mut core = Core::new(synthetic::setup(Arc::new(Catalogue::embedded().unwrap())));
        let stores = |outputs: Vec<Output>| -> Vec<String> {
            let store = |output| if let Output::Change(change) = output { Some(change.store) } else { None };
            outputs.into_iter().filter_map(store).collect()
        };
        let first = closes(&mut core, "/home/user/.aws/cli/cache/1.json", 7);
        assert!(first.iter().any(|output| matches!(output, Output::Watch(id) if id.inode == 7)));
        assert_eq!(stores(first), ["aws-cli-cache"]);
        // From then on its closes are seen as those of any store.
        assert!(stores(closes(&mut core, "/home/user/.aws/cli/cache/1.json", 7)).is_empty());
        assert!(stores(closes(&mut core, "/home/user/notes.json", 8)).is_empty());
    }

    /// A unit of systemd gives the agent a copy of everybody's mounts. Its records have the copy's number, and its paths are
    /// everybody's.
    #[test]
    fn what_everybody_sees_is_no_other_root_for_an_agent_with_a_copy_of_it() {
        const EVERYBODY: u32 = 1;
        const COPY: u32 = 2;
        const CONTAINER: u32 = 3;
        let mut core = Core::new(synthetic::setup(Arc::new(Catalogue::embedded().unwrap())));
        for mount_namespace in [COPY, EVERYBODY] {
            let key = ProcessKey::new(100, core.own);
            let own = Process { key, mount_namespace, ..process("/usr/bin/tokenhound", 0) };
            core.processes.adopt(own, &mut |_| ());
        }
        let host_path = |namespace| core.host_path(TOOL, namespace, Path::new("/opt/copy"), KernelTime(1));
        assert_eq!(host_path(EVERYBODY), Path::new("/opt/copy"));
        assert_eq!(host_path(CONTAINER), Path::new("/proc/200/root/opt/copy"));
    }
}
