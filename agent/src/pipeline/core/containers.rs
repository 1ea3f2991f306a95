//! Containers: when one is first seen, what is mounted into it and what of that are stores, and who asked for it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokenhound_common::process::ProcessKey;

use super::{Core, Output, World, deliver, judge};
use crate::{
    catalogue::model::{Holds, Role},
    container::{
        engine::{self, Program, Task},
        facts::lookup::Places,
        model::{Look, Mount, Named},
    },
    detect::{
        access::{Access, Target},
        container_exposure::{self, Entry, Mounted},
        engine::Outcome,
        judge::{StoreFacts, Verdict},
        recent::Recent,
    },
    ingest::observation::{Exec, KernelTime, OpenMode, Way},
    lineage::{
        actor::classify,
        model::{Chain, Container},
    },
};

/// Most containers remembered, and most clients of engines.
const CONTAINERS: usize = 4096;
const CLIENTS: usize = 256;
/// How long before a container was seen its client may have been started, in nanoseconds: an image may have to be fetched.
const FETCH_NS: u64 = 300_000_000_000;

/// A container that may have stores mounted into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// When it was seen.
    pub time: KernelTime,
    /// A process in it.
    pub process: ProcessKey,
    /// Which container.
    pub container: Container,
    /// Home of its user on the host: some runtimes keep their files there.
    pub home: Option<PathBuf>,
}

/// What is asked of whoever looks at containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A look at a container.
    Look(Entered),
    /// A daemon of an engine was started with these arguments, its own name first.
    Daemon(Program, Vec<String>),
    /// A client of an engine was started: its user's home on the host, and where it was told to keep its files.
    Client(Option<PathBuf>, Option<Places>),
    /// A client that was started then has ended: it was told to build or to copy.
    Done(KernelTime, Task),
}

/// A client of an engine.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) time: KernelTime,
    pub(super) key: ProcessKey,
    task: Task,
    /// Its arguments, redacted: they name containers, images and mounts.
    args: Vec<String>,
    /// With its ancestors: by the time of the container it may be forgotten.
    chain: Chain,
}

/// What is known of containers.
#[derive(Debug)]
pub(super) struct Containers {
    seen: Recent<String, Option<Look>>,
    clients: Recent<ProcessKey, Client>,
    /// Which container has a mount namespace.
    spaces: Recent<u32, String>,
}

impl Default for Containers {
    fn default() -> Self {
        Self { seen: Recent::new(CONTAINERS), clients: Recent::new(CLIENTS), spaces: Recent::new(CONTAINERS) }
    }
}

impl Containers {
    /// What a container is called, if it was looked at.
    fn named(&self, id: &str) -> Option<&Named> {
        self.seen.get(&id.to_owned())?.as_ref().map(|look| &look.named)
    }

    /// What the host calls a file of a container with that mount namespace, and whether the container's own changes lie
    /// there: then the file has another identity. `None` where that is not known (yet).
    pub(super) fn outside(&self, namespace: u32, path: &Path) -> Option<(PathBuf, bool)> {
        let look = self.seen.get(self.spaces.get(&namespace)?)?.as_ref()?;
        // The innermost mount is the last, but the root comes first.
        let inner = look.mounts.iter().rev().filter(|mount| !mount.upper);
        let upper = look.mounts.iter().filter(|mount| mount.upper);
        inner.chain(upper).find_map(|mount| Some((mount.outside(path)?, mount.upper)))
    }

    /// In whose storage a file lies: in what a container has changed, or in a volume that an engine keeps.
    pub(super) fn storage(&self, path: &Path) -> Option<String> {
        let volume =
            |mount: &Mount| mount.source.ends_with("_data") && mount.source.iter().any(|part| part == "volumes");
        let holds = |mount: &Mount| (mount.upper || volume(mount)) && path.starts_with(&mount.source);
        let look = self.seen.values().flatten().find(|look| look.mounts.iter().any(holds))?;
        Some(look.named.name.clone().unwrap_or_else(|| look.id.clone()))
    }

    pub(super) fn evictions(&self) -> [(&'static str, u64); 2] {
        [("containers", self.seen.evicted()), ("container_clients", self.clients.evicted())]
    }

    /// The last client that was told to do one of these, of those that were started within `age_ns` before `time`; rather one
    /// whose arguments name what it is `about`.
    pub(super) fn last(&self, tasks: &[Task], about: Option<&str>, time: KernelTime, age_ns: u64) -> Option<Client> {
        let done =
            |client: &&Client| tasks.contains(&client.task) && client.time <= time && time.0 - client.time.0 <= age_ns;
        let names = |client: &Client| {
            let mut words = client.args.iter().flat_map(|arg| arg.split([':', '=', ',']));
            about.is_some_and(|about| words.any(|word| word == about))
        };
        self.clients.values().filter(done).max_by_key(|client| (names(client), client.time)).cloned()
    }

    /// Who asked for a container: of the clients that may have, the last whose arguments name it, its image or something
    /// that is mounted into it; otherwise nobody.
    fn starter(&self, look: &Look, time: KernelTime) -> Option<&Client> {
        let named = [look.named.name.as_deref(), look.named.image.as_deref(), Some(look.id.as_str())];
        let names: Vec<&str> = named.into_iter().flatten().collect();
        let sources = || look.mounts.iter().filter(|mount| !mount.upper).filter_map(|mount| mount.source.to_str());
        let speaks = |client: &&Client| {
            client.args.iter().any(|arg| {
                names.contains(&arg.as_str())
                    || look.id.starts_with(arg.as_str()) && arg.len() >= 4
                    || sources().any(|source| source.len() > 1 && arg.contains(source))
            })
        };
        let recent =
            |client: &&Client| client.task == Task::Run && client.time <= time && time.0 - client.time.0 <= FETCH_NS;
        self.clients.values().filter(recent).filter(speaks).max_by_key(|client| client.time)
    }
}

impl Core {
    /// A program has started: in a container that was not seen before, or one that has to do with containers?
    pub(super) fn container_started(&mut self, exec: &Exec, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let name = exec.texts.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(program) = Program::named(name) {
            self.engine_program(program, exec, world, out);
        }
        // Without a namespace of its own a process has the mounts of the host.
        if !self.processes.is_foreign(exec.task.mount_namespace) {
            return;
        }
        let Some(container) = self.processes.container(&exec.task, exec.time, world) else { return };
        self.containers.spaces.touch(&exec.task.mount_namespace, exec.time, String::new).clone_from(&container.id);
        if self.containers.seen.get(&container.id).is_none() {
            let (time, process) = (exec.time, exec.task.key);
            self.enter(Entered { time, process, container, home: None }, exec.task.uid, world, out);
        }
    }

    fn enter(&mut self, entered: Entered, uid: u32, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        self.containers.seen.touch(&entered.container.id, entered.time, || None);
        let home = world.user(uid).map(|user| user.home);
        out(Output::Container(Wanted::Look(Entered { home, ..entered })));
    }

    fn engine_program(&mut self, program: Program, exec: &Exec, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let args: Vec<String> = exec.texts.args().map(str::to_owned).collect();
        if program != Program::Client {
            out(Output::Container(Wanted::Daemon(program, args)));
            return;
        }
        let Some(task) = Task::of(&args) else { return };
        let home = world.user(exec.task.uid).map(|user| user.home);
        // There is room for few: whoever is root is not to be kept out of it by others.
        let storage = (exec.task.uid == 0).then(|| engine::storage(&args)).flatten();
        out(Output::Container(Wanted::Client(home, storage)));
        let Some(chain) = self.processes.chain(exec.task.key, exec.time, world) else { return };
        let client = Client { time: exec.time, key: exec.task.key, task, args, chain };
        self.containers.clients.touch(&exec.task.key, exec.time, || client);
    }

    /// A process has ended: what it had an engine do is done.
    pub(super) fn client_ended(&mut self, process: ProcessKey, out: &mut dyn FnMut(Output)) {
        if let Some(client) = self.containers.clients.get(&process)
            && client.task != Task::Run
        {
            out(Output::Container(Wanted::Done(client.time, client.task)));
        }
    }

    /// Processes that ran in containers when the agent started: those are looked at as well.
    pub(super) fn containers_found(&mut self, time: KernelTime, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        for (process, uid, container) in self.processes.take_contained() {
            if self.containers.seen.get(&container.id).is_none() {
                self.enter(Entered { time, process, container, home: None }, uid, world, out);
            }
        }
    }

    /// Fills in what the containers of a chain are called.
    pub(super) fn name_containers(&mut self, chain: &mut Chain, world: &mut dyn World) {
        name_each(chain, |container| match self.containers.named(&container.id) {
            Some(named) => named.clone(),
            None => world.named(container),
        });
    }

    /// A container was looked at: are stores among what is mounted?
    pub(super) fn container_looked(
        &mut self,
        time: KernelTime,
        look: Look,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        *self.containers.seen.touch(&look.id, time, || None) = Some(look.clone());
        let mut mounted = self.mounted_stores(&look.mounts);
        let Some(first) = mounted.first() else { return };
        let target = Target::Store {
            stores: Vec::new(),
            path: first.outside.clone(),
            known_as: None,
            file: tokenhound_common::record::FileFacts::default(),
            mode: OpenMode { read: true, ..OpenMode::default() },
            way: Way::Open,
            path_in_root: Some(first.inside.clone()),
        };
        let Some(mut access) = self.access(look.process, time, target, world) else { return };
        let starter = self.containers.starter(&look, time).map(|client| client.chain.clone());
        if let Some(chain) = &starter {
            // Whoever had it started is on whose behalf the store is there.
            access.actor = classify(chain, self.catalogue.actors(), self.catalogue.interpreters(), None);
        }
        mounted.retain(|one| !self.tolerates_mount(&access, &one.store));
        if mounted.is_empty() {
            return;
        }
        let engine = look.mounts.iter().find(|mount| mount.engine).map(|mount| mount.target.clone());
        let entry = Entry { access: &access, mounted: &mounted, engine, starter: starter.as_ref() };
        let finding = container_exposure::mounted(self.engine.salt(), &entry, Verdict::Unexpected);
        deliver(Outcome { findings: finding.into_iter().collect(), verdicts: Vec::new() }, world, out);
    }

    /// Do expectations or exceptions of the policy cover this store in this container?
    pub(super) fn tolerates_mount(&self, access: &Access, store: &StoreFacts) -> bool {
        let mut access = access.clone();
        if let Target::Store { stores, .. } = &mut access.target {
            *stores = vec![store.id.clone()];
        }
        self.policy.expects(&access, &store.id).is_some() || self.policy.tolerates(&access).is_some()
    }

    /// The files of stores in these mounts, worst first.
    fn mounted_stores(&self, mounts: &[Mount]) -> Vec<Mounted> {
        let mounts: Vec<&Mount> = mounts.iter().filter(|mount| !mount.upper && !mount.engine).collect();
        let mut found: Vec<Mounted> = Vec::new();
        for outside in self.names.paths() {
            // Of several the last is the innermost.
            let place = mounts.iter().rev().find_map(|mount| Some((mount, mount.inside(outside)?)));
            let Some((mount, inside)) = place else { continue };
            let Some(store) = self.store_of(outside) else { continue };
            let fingerprint = self.lifecycle.below(outside).next().map(|token| token.known.fingerprint);
            let outside = outside.to_owned();
            found.push(Mounted { store, outside, inside, read_only: mount.read_only, fingerprint });
        }
        found.sort_by(|a, b| (a.store.tier, &a.outside).cmp(&(b.store.tier, &b.outside)));
        // One file can have several names there that are known.
        found.dedup_by(|a, b| a.outside == b.outside);
        found
    }

    /// The most dangerous store that a file of the host is, if there is a token in it, or it is there to hold one.
    fn store_of(&self, path: &Path) -> Option<StoreFacts> {
        let (homes, overrides) = (self.processes.homes(), self.processes.overrides());
        let stores = self.catalogue.stores_for(path, homes, overrides).into_iter();
        let known = self.lifecycle.below(path).next().is_some();
        let holding = stores.filter(|store| {
            store.role == Role::Store && (known || self.catalogue.holds(store, path, homes) == Holds::Secret)
        });
        holding.min_by_key(|store| store.tier).map(judge::facts)
    }
}

/// Asks once for each container of a chain: an answer may take its time.
fn name_each(chain: &mut Chain, mut ask: impl FnMut(&Container) -> Named) {
    let mut asked: BTreeMap<String, Named> = BTreeMap::new();
    let containers = chain.processes.iter_mut().filter_map(|process| process.container.as_mut());
    for container in containers.filter(|container| container.named.is_empty()) {
        container.named = match asked.get(&container.id) {
            Some(named) => named.clone(),
            None => {
                let named = ask(container);
                asked.insert(container.id.clone(), named.clone());
                named
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::fixtures::{init, process},
        lineage::model::Process,
    };

    #[test]
    fn each_container_of_a_chain_is_asked_for_once() {
        let inside =
            |pid, id: &str| Process { container: Some(Container::new(id, "docker")), ..process(pid, 1, "/bin/sh") };
        let processes = vec![inside(5, "a"), inside(4, "a"), inside(3, "b"), init()];
        let mut chain = Chain { processes, incomplete: false };
        let mut asked = Vec::new();
        name_each(&mut chain, |container| {
            asked.push(container.id.clone());
            Named { name: Some(container.id.to_uppercase()), ..Named::default() }
        });
        assert_eq!(asked, ["a", "b"]);
        let named = |process: &Process| process.container.as_ref().and_then(|container| container.named.name.clone());
        let names: Vec<_> = chain.processes.iter().map(named).collect();
        assert_eq!(names, [Some("A".into()), Some("A".into()), Some("B".into()), None]);
    }
}
