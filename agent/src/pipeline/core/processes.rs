//! What is known of processes: lineage, where their homes are and where variables have moved stores. What only `/proc`
//! and the file system know is asked of the [`World`].

use std::{
    collections::HashSet,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use tokenhound_common::process::ProcessKey;

use super::input::{Output, User, World};
use crate::{
    catalogue::homes::{EnvOverrides, Homes},
    ingest::{
        observation::{Exec, KernelTime, Observation, Task},
        texts::Texts,
    },
    lineage::{
        container::{self, Containers},
        identity::InterpreterRules,
        model::{Chain, Container, Process},
        table::{Change, Limits, Stats, Table},
    },
};

/// What stands in the user database for "no home".
const NO_HOME: [&str; 2] = ["/nonexistent", "/dev/null"];

/// Processes and their homes.
#[derive(Debug)]
pub struct Processes {
    table: Table,
    containers: Containers,
    homes: Homes,
    overrides: EnvOverrides,
    /// Variables that move stores.
    moving: HashSet<String>,
    /// Of the last program whose variables were looked at: most are started in the environment of the one before.
    taught: Texts,
    own_tgid: u32,
    own: Option<ProcessKey>,
    /// Our mount namespace; 0 until it is known.
    own_mounts: u32,
    /// One process of each container that was found running, with its user.
    contained: Vec<(ProcessKey, u32, Container)>,
}

/// Most containers that were found running and wait to be looked at.
const CONTAINED: usize = 1024;

/// Programs that open files for those they start. That an access of theirs waits is all that follows from the name.
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "busybox", "rbash"];

/// Is it called like a shell?
pub(super) fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
}

impl Processes {
    /// The process that had this pid at that time, in the pid namespace with that inode number: ours, or none.
    #[must_use]
    pub fn by_pid(&self, pid: u32, namespace: u32, at: KernelTime) -> Option<ProcessKey> {
        let own = self.own.and_then(|own| self.table.get(own))?;
        (own.pid_namespace == namespace).then(|| self.table.by_pid(pid, at)).flatten()
    }

    /// Whether a program may be about to start in the process: it runs a shell, or none of its own yet.
    #[must_use]
    pub fn may_start(&self, key: ProcessKey) -> bool {
        let name = || self.program(key)?.file_name()?.to_str();
        self.table.is_fresh(key) || name().is_some_and(is_shell)
    }

    /// Path of the program that a process runs.
    #[must_use]
    pub fn program(&self, key: ProcessKey) -> Option<&Path> {
        self.table.path(key)
    }

    /// Those that count as living.
    #[must_use]
    pub fn living(&self) -> Vec<ProcessKey> {
        self.table.living().collect()
    }

    /// Nothing known yet but the homes of the user database. `moving` are the variables that move stores or homes;
    /// `own` is the agent's own thread-group id.
    #[must_use]
    pub fn new(tick_ns: u64, mut moving: HashSet<String>, homes: Vec<PathBuf>, own: u32) -> Self {
        moving.remove("HOME");
        Self {
            table: Table::new(Limits { tick_ns, ..Limits::default() }, InterpreterRules::default()),
            containers: Containers::default(),
            homes: Homes::new(homes),
            overrides: EnvOverrides::new(),
            moving,
            taught: Texts::default(),
            own_tgid: own,
            own: None,
            own_mounts: 0,
            contained: Vec::new(),
        }
    }

    /// Takes in a process that runs already.
    pub fn adopt(&mut self, process: Process, out: &mut dyn FnMut(Output)) {
        let variables = process.environment.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
        self.learn(variables, process.cwd.as_deref(), out);
        if process.key.tgid == self.own_tgid {
            self.own = Some(process.key);
            self.own_mounts = process.mount_namespace;
        }
        if let Some(container) = &process.container
            && self.contained.len() < CONTAINED
            && !self.contained.iter().any(|(_, _, known)| known.id == container.id)
        {
            self.contained.push((process.key, process.uid, container.clone()));
        }
        self.table.adopt(process);
    }

    /// Files a record.
    pub fn observe(&mut self, observation: &Observation, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let change = self.table.observe(observation);
        let key = match observation {
            Observation::Exec(exec) => exec.task.key,
            Observation::Open(open) => open.task.key,
            Observation::Change(change) => change.task.key,
            Observation::Connect(connect) => connect.task.key,
            Observation::Written(written) => written.task.key,
            Observation::Answer(answer) => answer.task.key,
            Observation::Fork(_) | Observation::Exit(_) | Observation::Dump(_) => return,
        };
        if change == Change::Unresolved
            && let Some(process) = world.resolve(key)
        {
            self.table.adopt(process);
        }
        if let Observation::Exec(exec) = observation {
            self.started(exec, world, out);
        }
    }

    fn started(&mut self, exec: &Exec, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        // Asked while the process lives; by the time of a hit it may be gone.
        self.containers.note(exec.task.cgroup, || world.membership(exec.task.key));
        if self.taught.environment_bytes() == exec.texts.environment_bytes() && self.taught.cwd() == exec.texts.cwd() {
            return;
        }
        self.taught = exec.texts.clone();
        self.learn(exec.texts.environment(), exec.cwd(), out);
    }

    fn learn<'a>(
        &mut self,
        environment: impl Iterator<Item = (&'a str, &'a OsStr)> + Clone,
        cwd: Option<&Path>,
        out: &mut dyn FnMut(Output),
    ) {
        if let Some(home) = home_variable(environment.clone())
            && !NO_HOME.iter().any(|none| home == Path::new(none))
            && self.homes.insert(home)
        {
            out(Output::Home(home.to_owned()));
        }
        let mut moved = EnvOverrides::new();
        for (name, value) in environment.filter(|(name, _)| self.moving.contains(*name)) {
            moved.learn(name, value, cwd);
        }
        if moved.without(&self.overrides) == EnvOverrides::new() {
            return;
        }
        let before = self.overrides.clone();
        self.overrides.merge(&moved);
        // Values beyond the bound were not taken, and move nothing.
        let new = self.overrides.without(&before);
        if new != EnvOverrides::new() {
            out(Output::Overrides(new));
        }
    }

    /// Ends the processes that are gone although no record said so. To be called when records of process life were lost.
    pub fn reconcile(&mut self, time: KernelTime, world: &mut dyn World) {
        let living: Vec<_> = self.table.living().collect();
        for key in world.gone(&living) {
            self.table.end(key, time);
        }
    }

    /// A process that acted, with its ancestors, as they were at that moment, with every fact that the world can add.
    pub fn chain(&mut self, key: ProcessKey, at: KernelTime, world: &mut dyn World) -> Option<Chain> {
        let mut chain = self.table.chain(key, at)?;
        for process in chain.processes.iter_mut().filter(|process| process.container.is_none()) {
            let membership = self.containers.of(process.cgroup, || world.membership(process.key));
            (process.container, process.unit) = membership.map_or((None, None), |found| (found.container, found.unit));
        }
        for at in 0..chain.processes.len() {
            let process = &chain.processes[at];
            if process.container.is_none() && self.is_foreign(process.mount_namespace) {
                let container = container::of_lineage(&chain.processes[at..]);
                chain.processes[at].container = container;
            }
        }
        world.fill_writable(&mut chain);
        Some(chain)
    }

    /// The container of a process that has just acted.
    pub fn container(&mut self, task: &Task, at: KernelTime, world: &mut dyn World) -> Option<Container> {
        let membership = self.containers.of(task.cgroup, || world.membership(task.key));
        let told = membership.and_then(|membership| membership.container);
        // Not every runtime names its containers so that a cgroup tells.
        told.or_else(|| container::of_lineage(&self.table.chain(task.key, at)?.processes))
    }

    /// Has that mount namespace other mounts than ours?
    #[must_use]
    pub fn is_foreign(&self, mount_namespace: u32) -> bool {
        self.own_mounts != 0 && mount_namespace != 0 && mount_namespace != self.own_mounts
    }

    /// One process of each container that was found running, each told once.
    pub fn take_contained(&mut self) -> Vec<(ProcessKey, u32, Container)> {
        std::mem::take(&mut self.contained)
    }

    /// Our own process.
    #[must_use]
    pub fn own(&self) -> Option<ProcessKey> {
        self.own
    }

    /// A process as it is now.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<Process> {
        self.table.get(key)
    }

    /// Whether `key` is `ancestor` or descends from it.
    #[must_use]
    pub fn descends(&self, key: ProcessKey, ancestor: ProcessKey) -> bool {
        self.table.is_descendant_of(key, ancestor)
    }

    /// At most `limit` of the processes that descend from `ancestor` and were there at `since` or later.
    #[must_use]
    pub fn below(&self, ancestor: ProcessKey, since: KernelTime, limit: usize) -> Vec<Process> {
        let keys =
            self.table.since(since).filter(|key| *key != ancestor && self.table.is_descendant_of(*key, ancestor));
        keys.take(limit).filter_map(|key| self.table.get(key)).collect()
    }

    /// The highest of the processes from `key` upwards that are in that mount namespace.
    #[must_use]
    pub fn first_in_namespace(&self, key: ProcessKey, namespace: u32, at: KernelTime) -> Option<ProcessKey> {
        let chain = self.table.chain(key, at)?.processes;
        chain.iter().take_while(|process| process.mount_namespace == namespace).last().map(|process| process.key)
    }

    /// Homes of all users.
    #[must_use]
    pub fn homes(&self) -> &Homes {
        &self.homes
    }

    /// Where variables have moved stores, for any process seen so far.
    #[must_use]
    pub fn overrides(&self) -> &EnvOverrides {
        &self.overrides
    }

    /// Processes in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The table's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.table.stats()
    }
}

/// The home of a reader: what its environment says, otherwise what the user database says.
#[must_use]
pub fn home(reader: &Process, user: Option<&User>) -> Option<PathBuf> {
    let variables = reader.environment.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
    home_variable(variables).map(Path::to_owned).or_else(|| user.map(|user| user.home.clone()))
}

fn home_variable<'a>(mut environment: impl Iterator<Item = (&'a str, &'a OsStr)>) -> Option<&'a Path> {
    let (_, value) = environment.find(|(name, _)| *name == "HOME")?;
    let home = Path::new(value);
    (home.is_absolute() && home.parent().is_some()).then_some(home)
}
