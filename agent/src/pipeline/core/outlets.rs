//! Histories and logs: looked into when they were written, whoever wrote them.

use std::path::{Path, PathBuf};

use tokenhound_common::{process::ProcessKey, record::FileId, watch::FileKey};

use super::{Core, Output};
use crate::{
    catalogue::{homes::EnvOverrides, model::Role},
    copies::model::{Candidate, Why},
    detect::recent::Recent,
    ingest::observation::{Change, Exec, KernelTime, Object, Open, Way},
};

/// Most files that are open for writing at once.
const LIMIT: usize = 4096;

/// Histories and logs that somebody has opened for writing.
#[derive(Debug)]
pub(super) struct Outlets {
    open: Recent<FileKey, (PathBuf, Why)>,
    /// Where variables have moved some, as far as that was seen.
    moved: Recent<PathBuf, ()>,
    /// Who was the first to be told so.
    first: Recent<ProcessKey, Vec<PathBuf>>,
}

impl Default for Outlets {
    fn default() -> Self {
        Self { open: Recent::new(LIMIT), moved: Recent::new(LIMIT), first: Recent::new(LIMIT) }
    }
}

impl Outlets {
    pub(super) fn evicted(&self) -> u64 {
        self.open.evicted() + self.moved.evicted() + self.first.evicted()
    }
}

impl Core {
    /// Why a file of that name is looked into when it was written; `None` where it is no history or log.
    pub(super) fn outlet(&self, path: &Path) -> Option<Why> {
        let outlet = self.catalogue.outlet_for(path, self.processes.homes(), self.processes.overrides())?;
        Some(if outlet.role == Role::Log { Why::Log } else { Why::History })
    }

    /// A file was opened. Is it a history or a log, and is it to be written?
    pub(super) fn outlet_opened(&mut self, open: &Open, out: &mut dyn FnMut(Output)) {
        let (process, file) = (open.task.key, open.file.id);
        let writes = open.mode.write && open.way == Way::Open && open.object == Object::File;
        if !writes || open.canary || open.unlinked || open.path.truncated || process.tgid == self.own {
            return;
        }
        let Some(why) = self.outlet(&open.path.path) else { return };
        if !self.in_scope(process) {
            return;
        }
        *self.outlets.open.touch(&FileKey::of(file), open.time, || (PathBuf::new(), Why::Log)) =
            (open.path.path.clone(), why);
        out(Output::Writes { process, file });
    }

    /// A file took the name of another: that of a history, which shells write anew beside the old one?
    pub(super) fn outlet_renamed(&mut self, change: &Change, path: &Path, out: &mut dyn FnMut(Output)) {
        if let Some(why) = self.outlet(path)
            && self.in_scope(change.task.key)
        {
            let (file, writer) = (Some(change.file.id), change.task.key);
            self.wrote(Candidate::new(change.time, path.to_owned(), file, writer, why), out);
        }
    }

    /// It was written, and perhaps closed.
    pub(super) fn appended(&mut self, time: KernelTime, file: FileId, by: ProcessKey, out: &mut dyn FnMut(Output)) {
        let Some((path, why)) = self.outlets.open.get(&FileKey::of(file)).cloned() else { return };
        // Whatever has that name now: zsh opens its history, and then puts another one in its place.
        self.wrote(Candidate::new(time, path, None, by, why), out);
    }

    /// A program has started with a variable that moves a log or a history to where none was before (`TF_LOG_PATH`). It may
    /// have written there before the new name is watched: then it is looked into when it ends.
    pub(super) fn outlet_moved(&mut self, exec: &Exec) {
        for (name, value) in exec.texts.environment().filter(|(name, _)| self.catalogue.moves_outlets(name)) {
            let mut moved = EnvOverrides::new();
            moved.learn(name, value, exec.cwd());
            for (_, path) in moved.iter() {
                let path = path.to_owned();
                let known = self.outlets.moved.get(&path).is_some();
                self.outlets.moved.touch(&path, exec.time, || ());
                if !known {
                    self.outlets.first.touch(&exec.task.key, exec.time, Vec::new).push(path);
                }
            }
        }
    }

    /// A process has ended.
    pub(super) fn outlet_writer_ended(&mut self, process: ProcessKey, time: KernelTime, out: &mut dyn FnMut(Output)) {
        let Some(paths) = self.outlets.first.get(&process).cloned() else { return };
        self.outlets.first.forget(&process);
        for path in paths {
            if let Some(why) = self.outlet(&path) {
                self.wrote(Candidate::new(time, path, None, process, why), out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokenhound_common::record::{FileFacts, Header};

    use super::*;
    use crate::{
        capture::synthetic::{self, Machine},
        catalogue::Catalogue,
        ingest::{
            decode::Decoded,
            observation::{KernelPath, Observation, OpenMode, Place, Task, What},
            sequence::Ring,
        },
        pipeline::core::Input,
    };

    const WRITER: ProcessKey = ProcessKey::new(20, 200);

    fn core() -> Core {
        Core::new(synthetic::setup(Arc::new(Catalogue::embedded().unwrap())))
    }

    fn kernel_path(path: &str) -> KernelPath {
        KernelPath { path: path.into(), truncated: false }
    }

    fn file(inode: u64) -> FileId {
        FileId { inode, ..FileId::default() }
    }

    fn opened(path: &str, inode: u64, write: bool) -> Observation {
        Observation::Open(Box::new(Open {
            time: KernelTime(1),
            task: Task { key: WRITER, ..Task::default() },
            object: Object::File,
            file: FileFacts { id: file(inode), ..FileFacts::default() },
            path: kernel_path(path),
            path_in_root: None,
            way: Way::Open,
            unlinked: false,
            mode: OpenMode { read: true, write, truncate: false },
            canary: false,
        }))
    }

    fn feed(core: &mut Core, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        core.feed(input, &mut Machine::default(), &mut |output| outputs.push(output));
        outputs
    }

    fn observe(core: &mut Core, observation: Observation) -> Vec<Output> {
        feed(core, Input::Record(Ring::Hits, Decoded { header: Header::default(), observation }));
        feed(core, Input::Drain)
    }

    fn scans(outputs: Vec<Output>) -> Vec<(String, Why)> {
        let scan = |output| match output {
            Output::Scan(candidate) => Some((candidate.path.display().to_string(), candidate.why)),
            _ => None,
        };
        outputs.into_iter().filter_map(scan).collect()
    }

    #[test]
    fn a_history_is_looked_into_when_it_was_written_and_not_when_it_was_read() {
        for (path, why) in [
            ("/home/user/.bash_history", Some(Why::History)),
            ("/home/user/.npm/_logs/a-debug-0.log", Some(Why::Log)),
            ("/home/user/notes/.bash_history", None),
            ("/home/user/notes", None),
        ] {
            let mut core = core();
            let read = observe(&mut core, opened(path, 5, false));
            assert!(!read.iter().any(|output| matches!(output, Output::Writes { .. })), "{path}");
            let written = observe(&mut core, opened(path, 5, true));
            let writes = |output: &Output| matches!(output, Output::Writes { process: WRITER, file: found } if *found == file(5));
            assert_eq!(written.iter().any(writes), why.is_some(), "{path}");
            assert_eq!(scans(written), [], "it is not written yet");
            let input = |inode| Input::Appended { time: KernelTime(9), file: file(inode), by: WRITER };
            let wanted: Vec<_> = why.map(|why| (path.to_owned(), why)).into_iter().collect();
            assert_eq!(scans(feed(&mut core, input(5))), wanted, "{path}");
            assert_eq!(scans(feed(&mut core, input(6))), [], "another file");
        }
    }

    #[test]
    fn a_log_that_a_variable_has_just_moved_is_looked_into_when_the_first_ends_that_was_told_so() {
        use crate::ingest::{
            observation::{Exit, Stream},
            texts::Texts,
        };
        let program = |key, variable: (&'static str, &'static str)| {
            let variables = [(variable.0, std::ffi::OsStr::new(variable.1))];
            let path = Path::new("/usr/bin/terraform");
            Observation::Exec(Box::new(Exec {
                time: KernelTime(3),
                task: Task { key, ..Task::default() },
                executable: FileFacts::default(),
                texts: Texts::new(path, Path::new("/"), None, ["terraform"], variables),
                path_truncated: false,
                cwd_truncated: false,
                args_truncated: false,
                environment_truncated: false,
                output: Stream::Unknown,
            }))
        };
        let ended = |process| Observation::Exit(Exit { time: KernelTime(4), process });
        let other = ProcessKey::new(30, 300);
        let mut core = core();
        observe(&mut core, program(WRITER, ("TF_LOG_PATH", "/w/tf.log")));
        observe(&mut core, program(other, ("TF_LOG_PATH", "/w/tf.log")));
        assert_eq!(scans(observe(&mut core, ended(other))), [], "by then the name is watched");
        assert_eq!(scans(observe(&mut core, ended(WRITER))), [("/w/tf.log".to_owned(), Why::Log)]);
        observe(&mut core, program(other, ("KUBECONFIG", "/w/config")));
        assert_eq!(scans(observe(&mut core, ended(other))), [], "a store");
    }

    #[test]
    fn so_is_one_that_was_written_beside_it_and_took_its_name() {
        for (name, why) in [("/home/user/.zsh_history", Some(Why::History)), ("/home/user/.zsh_other", None)] {
            let change = Change {
                time: KernelTime(1),
                task: Task { key: WRITER, ..Task::default() },
                file: FileFacts { id: file(7), ..FileFacts::default() },
                place: Place::Path(kernel_path("/home/user/.zsh_history.new")),
                what: What::Replace(Place::Path(kernel_path(name))),
                canary: false,
            };
            let wanted: Vec<_> = why.map(|why| (name.to_owned(), why)).into_iter().collect();
            assert_eq!(scans(observe(&mut core(), Observation::Change(Box::new(change)))), wanted);
        }
    }
}
