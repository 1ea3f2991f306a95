//! What the table stores of one process. Programs are shared: a child that never calls exec points at its parent's.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::order::Id;
use crate::{
    ingest::observation::{Exec, KernelTime, Task},
    lineage::{
        identity::{Facts, InterpreterRules, script},
        model::{Container, Executable, Origin, Process, Script, Writable},
    },
};

/// Arguments in one piece, each closed by NUL: a command line has many, and most are short.
#[derive(Debug, Default)]
struct Packed(Box<str>);

impl Packed {
    fn new(args: &[String]) -> Self {
        let mut packed = String::with_capacity(args.iter().map(|arg| arg.len() + 1).sum());
        for arg in args {
            // An argument has no NUL by nature.
            packed.extend(arg.chars().filter(|c| *c != '\0'));
            packed.push('\0');
        }
        Self(packed.into())
    }

    fn unpack(&self) -> Vec<String> {
        self.0.split_terminator('\0').map(str::to_owned).collect()
    }
}

/// What an exec sets.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) executable: Executable,
    script: Option<Script>,
    args: Packed,
    args_truncated: bool,
    cwd: Option<PathBuf>,
    environment: Vec<(String, OsString)>,
}

impl Program {
    pub(super) fn of_exec(exec: &Exec, rules: &InterpreterRules) -> Self {
        let cwd = (!exec.cwd.truncated && !exec.cwd.path.as_os_str().is_empty()).then(|| exec.cwd.path.clone());
        let script = script(
            rules,
            &Facts {
                path: &exec.path.path,
                args: &exec.args,
                args_truncated: exec.args_truncated,
                script: exec.script.as_deref(),
                cwd: cwd.as_deref(),
            },
        );
        Self {
            executable: Executable {
                path: exec.path.path.clone(),
                path_truncated: exec.path.truncated,
                id: exec.executable.id,
                uid: exec.executable.uid,
                mode: exec.executable.mode,
                links: exec.executable.links,
                writable: Writable::Unknown,
            },
            script,
            args: Packed::new(&exec.args),
            args_truncated: exec.args_truncated,
            cwd,
            environment: exec.environment.clone(),
        }
    }

    /// A program of which only the file is known.
    pub(super) fn stub(id: FileId) -> Self {
        Self {
            executable: Executable {
                path: PathBuf::new(),
                path_truncated: false,
                id,
                uid: 0,
                mode: 0,
                links: 0,
                writable: Writable::Unknown,
            },
            script: None,
            args: Packed::default(),
            args_truncated: true,
            cwd: None,
            environment: Vec::new(),
        }
    }

    /// Bytes it occupies, roughly.
    pub(super) fn bytes(&self) -> usize {
        let environment: usize =
            self.environment.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>()).sum();
        let script = match &self.script {
            Some(Script::File { path, .. }) => path.as_os_str().len(),
            Some(Script::Module(name)) => name.len(),
            Some(Script::Inline) | None => 0,
        };
        let cwd = self.cwd.as_ref().map_or(0, |cwd| cwd.as_os_str().len());
        size_of::<Self>() + self.executable.path.as_os_str().len() + self.args.0.len() + environment + script + cwd
    }
}

/// What a task can change without an exec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    comm: String,
    uid: u32,
    euid: u32,
    gid: u32,
    login_uid: Option<u32>,
    audit_session: Option<u32>,
    session: u32,
    tty: Option<(u32, u32)>,
    mount_namespace: u32,
    pid_namespace: u32,
    cgroup: u64,
    container: Option<Container>,
}

impl Standing {
    /// As a record tells it. The container is not in records: it stays while the cgroup does.
    pub(super) fn of_task(task: &Task, before: Option<&Self>) -> Self {
        let container =
            before.filter(|before| before.cgroup == task.cgroup).and_then(|before| before.container.clone());
        Self {
            comm: task.comm.clone(),
            uid: task.uid,
            euid: task.euid,
            gid: task.gid,
            login_uid: task.login_uid,
            audit_session: task.audit_session,
            session: task.session,
            tty: task.tty,
            mount_namespace: task.mount_namespace,
            pid_namespace: task.pid_namespace,
            cgroup: task.cgroup,
            container,
        }
    }
}

/// One program in the life of a process.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) program: Arc<Program>,
    pub(super) standing: Arc<Standing>,
    /// When it began.
    pub(super) since: KernelTime,
    pub(super) origin: Origin,
}

impl Generation {
    pub(super) fn stub(task: Option<&Task>, since: KernelTime) -> Self {
        Self {
            program: Arc::new(Program::stub(task.map_or_else(FileId::default, |task| task.executable))),
            standing: Arc::new(task.map_or_else(Standing::default, |task| Standing::of_task(task, None))),
            since,
            origin: Origin::Stub,
        }
    }

    /// Not even the file is known.
    pub(super) fn is_blank(&self) -> bool {
        self.program.executable.id.inode == 0
    }

    /// Is `id` the program it runs? A generation number of 0 and an inode of 0 mean not known.
    pub(super) fn runs(&self, id: FileId) -> bool {
        let own = self.program.executable.id;
        let generation = own.generation == id.generation || own.generation == 0 || id.generation == 0;
        id.inode == 0 || (own.inode == id.inode && own.device == id.device && generation)
    }
}

/// One process. `generations` is never empty and sorted by `since`.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its key with the kernel's exact start, once a record has told it.
    pub(super) key: ProcessKey,
    pub(super) parent: Option<ProcessKey>,
    /// The parent comes from a fork record, which alone knows who forked.
    pub(super) parent_is_certain: bool,
    /// Under which id the parent counts this process as a child.
    pub(super) counted: Option<Id>,
    pub(super) generations: Vec<Generation>,
    /// Early generations were dropped.
    pub(super) forgotten: bool,
    pub(super) exited: Option<KernelTime>,
}

impl Entry {
    /// Index of the generation at `at`: the last one begun by then. Before the first, that is the first, unless an
    /// earlier one was dropped: a later program must not stand for one that is forgotten.
    fn index_at(&self, at: KernelTime) -> Option<usize> {
        let begun = self.generations.iter().rposition(|generation| generation.since <= at);
        begun.or_else(|| (!self.forgotten).then_some(0))
    }

    pub(super) fn at(&self, at: KernelTime) -> Option<&Generation> {
        self.generations.get(self.index_at(at)?)
    }

    pub(super) fn at_mut(&mut self, at: KernelTime) -> Option<&mut Generation> {
        let index = self.index_at(at)?;
        self.generations.get_mut(index)
    }

    /// The process as it was at `at`; a stub if that is forgotten.
    pub(super) fn process(&self, at: KernelTime) -> Process {
        let forgotten;
        let generation = match self.at(at) {
            Some(generation) => generation,
            None => {
                forgotten = Generation::stub(None, KernelTime(self.key.start_ns));
                &forgotten
            }
        };
        let Generation { program, standing, since, origin } = generation;
        Process {
            key: self.key,
            parent: self.parent,
            executable: program.executable.clone(),
            script: program.script.clone(),
            args: program.args.unpack(),
            args_truncated: program.args_truncated,
            cwd: program.cwd.clone(),
            environment: program.environment.clone(),
            comm: standing.comm.clone(),
            uid: standing.uid,
            euid: standing.euid,
            gid: standing.gid,
            login_uid: standing.login_uid,
            audit_session: standing.audit_session,
            session: standing.session,
            tty: standing.tty,
            mount_namespace: standing.mount_namespace,
            pid_namespace: standing.pid_namespace,
            cgroup: standing.cgroup,
            container: standing.container.clone(),
            unit: None,
            since: *since,
            exited: self.exited,
            origin: *origin,
        }
    }
}

/// Takes a process apart into what the table stores.
pub(super) fn generation_of(process: Process) -> Generation {
    Generation {
        program: Arc::new(Program {
            executable: process.executable,
            script: process.script,
            args: Packed::new(&process.args),
            args_truncated: process.args_truncated,
            cwd: process.cwd,
            environment: process.environment,
        }),
        standing: Arc::new(Standing {
            comm: process.comm,
            uid: process.uid,
            euid: process.euid,
            gid: process.gid,
            login_uid: process.login_uid,
            audit_session: process.audit_session,
            session: process.session,
            tty: process.tty,
            mount_namespace: process.mount_namespace,
            pid_namespace: process.pid_namespace,
            cgroup: process.cgroup,
            container: process.container,
        }),
        since: process.since,
        origin: process.origin,
    }
}
