//! What is known of processes, with the look-ups in `/proc`, the user database and the file system that go with it.

use std::{collections::HashSet, path::PathBuf};

use tokenhound_common::process::ProcessKey;

use crate::{
    catalogue::homes::{EnvOverrides, Homes},
    ingest::observation::{KernelTime, Observation, Open},
    lineage::{
        backfill::{self, Backfill},
        container::Containers,
        identity::InterpreterRules,
        model::{Chain, Process},
        table::{Change, Limits, Stats, Table},
        users::Users,
        writable::Writables,
    },
};

/// What a started process teaches: both are `None` for nearly every process.
#[derive(Debug, Default)]
pub struct Learnt {
    /// Variables that move stores, not seen before.
    pub overrides: Option<EnvOverrides>,
    /// A home, not seen before.
    pub home: Option<PathBuf>,
}

/// Processes and their users.
pub struct Processes {
    table: Table,
    backfill: Backfill,
    containers: Containers,
    writables: Writables,
    users: Option<Users>,
    homes: Homes,
    overrides: EnvOverrides,
    moving: HashSet<String>,
    own: Option<ProcessKey>,
}

impl Processes {
    /// Nothing known yet. `keep` are the variables that records carry, `moving` those of them that move stores or homes,
    /// `extra_homes` the homes that no database knows.
    #[must_use]
    pub fn new(keep: HashSet<String>, mut moving: HashSet<String>, extra_homes: Vec<PathBuf>) -> Self {
        let tick_ns = backfill::tick_ns();
        let users = Users::load().inspect_err(|error| tracing::warn!(%error, "users stay numbers")).ok();
        let database = users.iter().flat_map(|users| users.homes()).map(|home| home.path);
        let homes = Homes::new(database.chain(extra_homes));
        let rules = InterpreterRules::default();
        moving.remove("HOME");
        Self {
            table: Table::new(Limits { tick_ns, ..Limits::default() }, rules.clone()),
            backfill: Backfill::new(rules, keep),
            containers: Containers::new("/proc", tick_ns),
            writables: Writables::new(tick_ns),
            users,
            homes,
            overrides: EnvOverrides::new(),
            moving,
            own: None,
        }
    }

    /// Takes in what runs already.
    pub fn backfill(&mut self) {
        match self.backfill.all() {
            Ok(found) => {
                for process in found.processes {
                    self.learn(&process);
                    if process.key.tgid == std::process::id() {
                        self.own = Some(process.key);
                    }
                    self.table.adopt(process);
                }
            }
            Err(error) => tracing::warn!(%error, "processes that run already are not known"),
        }
    }

    /// Files a record.
    pub fn observe(&mut self, observation: &Observation) -> Learnt {
        let change = self.table.observe(observation);
        let key = match observation {
            Observation::Exec(exec) => exec.task.key,
            Observation::Open(open) => open.task.key,
            Observation::Change(change) => change.task.key,
            Observation::Fork(_) | Observation::Exit(_) => return Learnt::default(),
        };
        if change == Change::Unresolved
            && let Some(process) = self.backfill.resolve(key)
        {
            self.table.adopt(process);
        }
        let Observation::Exec(exec) = observation else { return Learnt::default() };
        // Read while the process lives; by the time of a hit it may be gone.
        self.containers.of(exec.task.cgroup, key);
        if exec.environment.is_empty() {
            return Learnt::default();
        }
        self.table.get(key).map(|process| self.learn(&process)).unwrap_or_default()
    }

    fn learn(&mut self, process: &Process) -> Learnt {
        let home =
            self.users.as_mut().and_then(|users| users.learn_home(process).then(|| home_variable(process))).flatten();
        if let Some(home) = &home {
            self.homes.insert(home);
        }
        let moved: Vec<_> =
            process.environment.iter().filter(|(name, _)| self.moving.contains(name)).cloned().collect();
        let own = EnvOverrides::of(&moved, process.cwd.as_deref());
        let before = self.overrides.clone();
        self.overrides.merge(&own);
        // Values beyond the bound were not taken, and move nothing.
        let new = self.overrides.without(&before);
        Learnt { overrides: (new != EnvOverrides::new()).then_some(new), home }
    }

    /// Ends the processes that are gone although no record said so. To be called when records of process life were lost:
    /// it asks `/proc` for every process that counts as living.
    pub fn reconcile(&mut self, time: KernelTime) {
        let gone: Vec<_> = self.table.living().filter(|key| !self.backfill.is_alive(*key)).collect();
        for key in gone {
            self.table.end(key, time);
        }
    }

    /// The reader of an open with its ancestors, as they were at that moment, with every fact that the edge can add.
    pub fn chain(&mut self, open: &Open) -> Option<Chain> {
        let mut chain = self.table.chain(open.task.key, open.time)?;
        self.containers.fill(&mut chain);
        if let Some(users) = &self.users {
            self.writables.fill(&mut chain, users);
        }
        Some(chain)
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

    /// The process with that pid, or with a thread of that number, in the pid namespace with that inode number. Only the
    /// initial one is known here.
    #[must_use]
    pub fn by_pid(&self, pid: u32, namespace: u32) -> Option<Process> {
        self.table.get(self.backfill.find(pid, namespace)?)
    }

    /// Whether `key` is `ancestor` or descends from it.
    #[must_use]
    pub fn descends(&self, key: ProcessKey, ancestor: ProcessKey) -> bool {
        self.table.is_descendant_of(key, ancestor)
    }

    /// The home of a reader: what its environment says, otherwise what the user database says.
    pub fn home(&mut self, reader: &Process) -> Option<PathBuf> {
        home_variable(reader).or_else(|| Some(self.users.as_mut()?.look_up(reader.uid)?.home.clone()))
    }

    /// Name of a user.
    pub fn user_name(&mut self, uid: u32) -> Option<String> {
        Some(self.users.as_mut()?.look_up(uid)?.name.clone())
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

fn home_variable(process: &Process) -> Option<PathBuf> {
    let (_, value) = process.environment.iter().find(|(name, _)| name == "HOME")?;
    let home = PathBuf::from(value);
    (home.is_absolute() && home.parent().is_some()).then_some(home)
}
