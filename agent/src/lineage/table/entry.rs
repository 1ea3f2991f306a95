//! What the table stores of one process. Programs are shared: a child that never calls exec points at its parent's.

use std::{path::Path, sync::Arc};

use smallvec::SmallVec;
use tokenhound_common::{process::ProcessKey, record::FileId};

use super::slots::{At, Id};
use crate::{
    ingest::{
        observation::{Comm, Exec, KernelTime, Task},
        texts::Texts,
    },
    lineage::{
        identity::{Facts, InterpreterRules, script},
        model::{Container, Executable, Origin, Process, Script, Writable},
    },
};

/// What an exec sets.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) id: FileId,
    uid: u32,
    mode: u32,
    links: u32,
    writable: Writable,
    path_truncated: bool,
    args_truncated: bool,
    cwd_known: bool,
    texts: Texts,
    /// `None` where it follows from the rest, which is looked at when somebody asks.
    script: Option<Box<Option<Script>>>,
}

impl Program {
    pub(super) fn of_exec(exec: &Exec) -> Self {
        Self {
            id: exec.executable.id,
            uid: exec.executable.uid,
            mode: exec.executable.mode,
            links: exec.executable.links,
            writable: Writable::Unknown,
            path_truncated: exec.path_truncated,
            args_truncated: exec.args_truncated,
            cwd_known: exec.cwd().is_some(),
            texts: exec.texts.clone(),
            script: None,
        }
    }

    /// A program of which only the file is known.
    pub(super) fn stub(id: FileId) -> Self {
        Self {
            id,
            uid: 0,
            mode: 0,
            links: 0,
            writable: Writable::Unknown,
            path_truncated: false,
            args_truncated: true,
            cwd_known: false,
            texts: Texts::default(),
            script: Some(Box::new(None)),
        }
    }

    /// Bytes it occupies, roughly.
    pub(super) fn bytes(&self) -> usize {
        let script = match self.script.as_deref() {
            Some(Some(Script::File { path, .. })) => size_of::<Script>() + path.as_os_str().len(),
            Some(Some(Script::Module(name))) => size_of::<Script>() + name.len(),
            Some(_) => size_of::<Script>(),
            None => 0,
        };
        size_of::<Self>() + self.texts.len() + script
    }

    fn cwd(&self) -> Option<&Path> {
        self.cwd_known.then(|| self.texts.cwd())
    }

    fn script(&self, rules: &InterpreterRules, args: &[String]) -> Option<Script> {
        if let Some(told) = &self.script {
            return (**told).clone();
        }
        let (args_truncated, script_name) = (self.args_truncated, self.texts.script());
        script(rules, &Facts { path: self.texts.path(), args, args_truncated, script: script_name, cwd: self.cwd() })
    }
}

/// What a task can change without an exec, but its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
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
    container: Option<Box<Container>>,
}

impl Standing {
    /// As a record tells it; `before` itself where nothing is different. The container is not in records: it stays while
    /// the cgroup does.
    pub(super) fn of_task(task: &Task, before: Option<&Arc<Self>>) -> Arc<Self> {
        let told = Self {
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
            container: None,
        };
        let Some(before) = before else { return Arc::new(told) };
        let container = before.container.as_ref().filter(|_| before.cgroup == task.cgroup);
        let same = Self { container: None, ..told.clone() } == Self { container: None, ..(**before).clone() };
        if same { Arc::clone(before) } else { Arc::new(Self { container: container.cloned(), ..told }) }
    }
}

/// One program in the life of a process.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) program: Arc<Program>,
    pub(super) standing: Arc<Standing>,
    pub(super) comm: Comm,
    /// When it began.
    pub(super) since: KernelTime,
    pub(super) origin: Origin,
}

impl Generation {
    pub(super) fn stub(task: Option<&Task>, since: KernelTime) -> Self {
        Self {
            program: Arc::new(Program::stub(task.map_or_else(FileId::default, |task| task.executable))),
            standing: task.map_or_else(Arc::default, |task| Standing::of_task(task, None)),
            comm: task.map_or_else(Comm::default, |task| task.comm),
            since,
            origin: Origin::Stub,
        }
    }

    pub(super) fn of_exec(exec: &Exec, before: Option<&Self>) -> Self {
        Self {
            program: Arc::new(Program::of_exec(exec)),
            standing: Standing::of_task(&exec.task, before.map(|before| &before.standing)),
            comm: exec.task.comm,
            since: exec.time,
            origin: Origin::Observed,
        }
    }

    /// Path of what it runs; empty if it never was known.
    pub(super) fn path(&self) -> &Path {
        self.program.texts.path()
    }

    /// Not even the file is known.
    pub(super) fn is_blank(&self) -> bool {
        self.program.id.inode == 0
    }

    /// Is `id` the program it runs? A generation number of 0 and an inode of 0 mean not known.
    pub(super) fn runs(&self, id: FileId) -> bool {
        let own = self.program.id;
        let generation = own.generation == id.generation || own.generation == 0 || id.generation == 0;
        id.inode == 0 || (own.inode == id.inode && own.device == id.device && generation)
    }
}

/// One process. `generations` is never empty and sorted by `since`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Id,
    /// Its key with the kernel's exact start, once a record has told it.
    pub(super) key: ProcessKey,
    pub(super) parent: Option<ProcessKey>,
    /// The parent comes from a fork record, which alone knows who forked.
    pub(super) parent_is_certain: bool,
    /// Forked before our eyes, and no program has been started since.
    pub(super) fresh: bool,
    /// It stands in the queue of live leaves, whatever it is now.
    pub(super) queued: bool,
    /// Early generations were dropped.
    pub(super) forgotten: bool,
    /// Under which id the parent counts this process as a child, and where it was then.
    pub(super) counted: Option<(Id, Option<At>)>,
    /// Children of it in the table.
    pub(super) children: u32,
    /// The process that had its tgid before.
    pub(super) older: Option<At>,
    /// Most processes are forked, start one program and end.
    pub(super) generations: SmallVec<[Generation; 2]>,
    pub(super) exited: Option<KernelTime>,
}

impl Entry {
    pub(super) fn new(key: ProcessKey, generation: Generation, exited: Option<KernelTime>) -> Self {
        Self {
            id: Id::of(key),
            key,
            parent: None,
            parent_is_certain: false,
            fresh: false,
            queued: false,
            forgotten: false,
            counted: None,
            children: 0,
            older: None,
            generations: SmallVec::from_iter([generation]),
            exited,
        }
    }

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
    pub(super) fn process(&self, at: KernelTime, rules: &InterpreterRules) -> Process {
        let forgotten;
        let generation = match self.at(at) {
            Some(generation) => generation,
            None => {
                forgotten = Generation::stub(None, KernelTime(self.key.start_ns));
                &forgotten
            }
        };
        let Generation { program, standing, comm, since, origin } = generation;
        let args: Vec<String> = program.texts.args().map(str::to_owned).collect();
        let variables = program.texts.environment();
        Process {
            key: self.key,
            parent: self.parent,
            executable: Executable {
                path: program.texts.path().to_owned(),
                path_truncated: program.path_truncated,
                id: program.id,
                uid: program.uid,
                mode: program.mode,
                links: program.links,
                writable: program.writable,
            },
            script: program.script(rules, &args),
            args,
            args_truncated: program.args_truncated,
            cwd: program.cwd().map(Path::to_owned),
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            comm: comm.text().into_owned(),
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
            container: standing.container.as_deref().cloned(),
            unit: None,
            owners: None,
            since: *since,
            exited: self.exited,
            origin: *origin,
        }
    }
}

/// Takes a process apart into what the table stores.
pub(super) fn generation_of(process: Process) -> Generation {
    let variables = process.environment.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
    let cwd = process.cwd.as_deref();
    let texts = Texts::new(
        &process.executable.path,
        cwd.unwrap_or(Path::new("")),
        None,
        process.args.iter().map(String::as_str),
        variables,
    );
    Generation {
        program: Arc::new(Program {
            id: process.executable.id,
            uid: process.executable.uid,
            mode: process.executable.mode,
            links: process.executable.links,
            writable: process.executable.writable,
            path_truncated: process.executable.path_truncated,
            args_truncated: process.args_truncated,
            cwd_known: cwd.is_some(),
            texts,
            script: Some(Box::new(process.script)),
        }),
        standing: Arc::new(Standing {
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
            container: process.container.map(Box::new),
        }),
        comm: Comm::new(process.comm.as_bytes()),
        since: process.since,
        origin: process.origin,
    }
}
