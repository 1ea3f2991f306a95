//! The core: from decoded records to findings, with all state in between. Pure: no clock, no file system, no thread.
//!
//! What happens is an [`Input`]; what is missing is asked of a [`World`]; what comes of it is an [`Output`]. The same
//! inputs and answers in the same order give the same outputs, bit for bit: live, in a replay and in tests.
//!
//! A new kind of observation needs an arm in [`Core::observe`].

mod carried;
mod changes;
mod counts;
mod dumps;
mod handover;
mod health;
pub mod input;
mod job;
pub mod judge;
mod loaded;
mod names;
pub mod processes;
mod readers;
mod service;
mod tokens;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokenhound_common::{process::ProcessKey, record::FileId};

pub use self::input::{Dumped, Holder, Input, Losses, Output, User, World};
use self::{
    carried::CarriedBy,
    counts::{Counts, kind},
    dumps::Dumps,
    handover::Handover,
    health::Health,
    names::Names,
    processes::Processes,
    readers::Readers,
};
use crate::{
    catalogue::{
        Catalogue,
        homes::{EnvOverrides, Homes},
    },
    detect::{
        access::{Access, Target, Tier},
        change::StoreChange,
        engine::{Engine, Outcome},
        judge::{Expectation, Judgement},
        lifecycle::Lifecycle,
        process_inspection, words,
    },
    finding::model::Salt,
    ingest::{
        clock::Clock,
        loading,
        observation::{Inspected, Inspection, KernelTime, Object, Observation, Open, Way},
        reorder::Reorder,
        sequence::Sequences,
    },
    lineage::{actor::classify, model::Process},
    policy::Policy,
};

/// How long an observation waits for those of other CPUs that may come before it, in nanoseconds. A program runs for
/// microseconds; the margin is for one that is preempted or interrupted between taking its time and its place in the
/// ring.
pub const REORDER_WINDOW_NS: u64 = 2_000_000;

/// Most observations that wait.
const REORDER_LIMIT: usize = 65_536;

/// Whose accesses are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    Host,
    /// Only those of processes that this agent started, and of what descends from them.
    Descendants,
    /// Those of the CI job that the agent was started in; everybody's where it is in none.
    Job,
}

/// What a core is made of.
pub struct Setup {
    /// The stores.
    pub catalogue: Arc<Catalogue>,
    /// The exceptions.
    pub policy: Policy,
    /// Whose accesses are reported.
    pub scope: Scope,
    /// Name of the machine: some rules are for some machines only.
    pub host: String,
    /// Makes finding ids unique to this host and boot.
    pub salt: Salt,
    /// Kernel mechanism that the records come from.
    pub tier: Tier,
    /// One clock tick of `/proc/<pid>/stat` in nanoseconds.
    pub tick_ns: u64,
    /// Thread-group id of the agent: what it opens itself is not an access.
    pub own: u32,
    /// Homes that are known from the start.
    pub homes: Vec<PathBuf>,
    /// The wall clock at the start.
    pub clock: Clock,
}

/// The state between records and findings.
pub struct Core {
    catalogue: Arc<Catalogue>,
    policy: Policy,
    host: String,
    scope: Scope,
    tier: Tier,
    own: u32,
    clock: Clock,
    sequences: Sequences,
    reorder: Reorder,
    processes: Processes,
    names: Names,
    handover: Handover,
    dumps: Dumps,
    readers: Readers,
    lifecycle: Lifecycle,
    carried: CarriedBy,
    /// When the agent started: what was written before was there before.
    started: Timestamp,
    engine: Engine,
    health: Health,
    counts: Counts,
    /// A rule speaks of packages: they must be known before it is judged.
    asks_packages: bool,
    /// Our own job, once it was asked for.
    job: Option<job::Job>,
}

impl Core {
    /// A core that has seen nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let moving = setup.catalogue.environment_variables().into_iter().collect();
        let policy = setup.policy.on_host(&setup.host);
        let asks_packages = setup.catalogue.names_packages() || policy.names_packages();
        Self {
            processes: Processes::new(setup.tick_ns, moving, setup.homes, setup.own),
            catalogue: setup.catalogue,
            policy,
            host: setup.host,
            scope: setup.scope,
            tier: setup.tier,
            own: setup.own,
            clock: setup.clock,
            sequences: Sequences::default(),
            reorder: Reorder::new(REORDER_WINDOW_NS, REORDER_LIMIT),
            names: Names::default(),
            handover: Handover::default(),
            dumps: Dumps::default(),
            readers: Readers::default(),
            lifecycle: Lifecycle::default(),
            carried: CarriedBy::default(),
            started: Timestamp::MAX,
            engine: Engine::new(setup.salt),
            health: Health::default(),
            counts: Counts::default(),
            asks_packages,
            job: None,
        }
    }

    /// The environment variables that records must carry for this catalogue.
    #[must_use]
    pub fn variables(catalogue: &Catalogue) -> Vec<String> {
        let personality = process_inspection::PERSONALITY.iter().map(|name| (*name).to_owned());
        let actors = catalogue.actors().variables();
        let moving = catalogue.environment_variables().into_iter();
        moving.chain(actors).chain(personality).chain(loading::names()).collect()
    }

    /// Works on one input.
    pub fn feed(&mut self, input: Input, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        match input {
            Input::Record(ring, decoded) => {
                self.sequences.note(ring, &decoded.header);
                self.counts.add(kind(&decoded.observation), 1);
                self.reorder.push(decoded.observation);
            }
            Input::Malformed => self.health.malformed(),
            Input::Found(process) => self.processes.adopt(*process, out),
            Input::Time(now) => self.release(now, world, out),
            Input::Drain => self.release(KernelTime(u64::MAX), world, out),
            Input::Written { file, by } => self.written(file, by, out),
            Input::Holds(holder) => self.holds(holder, world, out),
            Input::Core { time, process, file } => self.found_core(process, file, time, out),
            Input::Clock(clock) => self.clock = clock,
            Input::Names { all, names } => self.names.learn(all, names),
            Input::Probe { time, probe, failure } => self.probe(time, probe, failure, world, out),
            Input::Losses(losses) => {
                self.losses(&losses, world, out);
                self.tokens_due(losses.time, world, out);
            }
            Input::Readers(readers) => self.readers.learn(readers),
            Input::Decoys(decoys) => self.catalogue = Arc::new(self.catalogue.with_decoys(&decoys)),
            Input::Policy(policy) => self.adopt(*policy),
            Input::Tokens { time, tokens } => self.restore(time, tokens),
            Input::Carried { time, process, tokens } => self.carried.note(process, time, tokens),
            Input::Looked { time, look } => self.looked(time, &look, out),
        }
    }

    /// Whether records wait for their order.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.reorder.is_empty() || self.handover.is_waiting()
    }

    /// Whether [`Input::Time`] with this time would release a record.
    #[must_use]
    pub fn is_due(&self, now: KernelTime) -> bool {
        self.reorder.is_due(now) || self.handover.is_due(now)
    }

    /// Processes in the table.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.processes.len()
    }

    /// Processes that count as living.
    #[must_use]
    pub fn living(&self) -> Vec<ProcessKey> {
        self.processes.living()
    }

    /// Homes of all users.
    #[must_use]
    pub fn homes(&self) -> &Homes {
        self.processes.homes()
    }

    /// Where variables have moved stores, for any process seen so far.
    #[must_use]
    pub fn overrides(&self) -> &EnvOverrides {
        self.processes.overrides()
    }

    /// The stores, decoys included.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Records taken in since the last call, by kind.
    pub fn counted(&mut self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut self.counts.0)
    }

    fn adopt(&mut self, policy: Policy) {
        self.policy = policy.on_host(&self.host);
        self.asks_packages = self.catalogue.names_packages() || self.policy.names_packages();
        self.lifecycle.changed();
    }

    fn release(&mut self, now: KernelTime, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        while let Some(mut observation) = self.reorder.pop(now) {
            self.complete(&mut observation, world);
            self.observe(&observation, world, out);
        }
        for open in self.handover.due(now) {
            self.opened(&open, world, out);
        }
    }

    fn observe(&mut self, observation: &Observation, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        self.processes.observe(observation, world, out);
        if let Observation::Change(change) = observation {
            self.changed(change, world, out);
        }
        let of_store = self.is_of_store(observation);
        self.dumps.observe(observation, of_store);
        if let Observation::Open(open) = observation
            && of_store
        {
            // At once, and not when it is judged: others may read through the descriptor meanwhile.
            out(Output::Held { process: open.task.key, file: open.file.id, writes: open.mode.write });
        }
        let may_start = matches!(observation, Observation::Open(open) if self.processes.may_start(open.task.key));
        for open in self.handover.observe(observation, may_start) {
            if !open.canary {
                self.opened(&open, world, out);
            }
        }
        match observation {
            Observation::Dump(dump) => self.dumped(dump, out),
            Observation::Exec(exec) => {
                self.started(exec, world, out);
                self.carries(exec, world, out);
            }
            Observation::Exit(exit) => self.session_ended(exit.process, exit.time, out),
            Observation::Connect(connect) if !connect.canary => self.connected(connect, world, out),
            _ => {}
        }
    }

    /// A file that was open for writing is closed: what it holds may be another thing now.
    fn written(&mut self, file: FileId, by: ProcessKey, out: &mut dyn FnMut(Output)) {
        let Some(path) = self.names.name_of(file) else { return };
        let stores = self.catalogue.stores_for(&path, self.processes.homes(), self.processes.overrides());
        let actor =
            self.processes.get(by).map_or_else(|| format!("pid {}", by.tgid), |process| process.name().to_owned());
        for store in stores {
            let (store, actor) = (store.id.clone(), actor.clone());
            out(Output::Change(StoreChange { store, what: "written", path: path.clone(), other: None, actor }));
        }
    }

    /// A process has a file open. Whether it may read it decides whether reads are worth watching.
    fn holds(&mut self, holder: Holder, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let expected = self.expects(&holder, world);
        out(Output::Holder { holder, expected });
    }

    /// Is the process one that may read the file, by the catalogue?
    fn expects(&mut self, holder: &Holder, world: &mut dyn World) -> bool {
        let Some(path) = self.names.name_of(holder.file) else { return true };
        let Some(mut chain) = self.processes.chain(holder.process, holder.time, world) else { return false };
        let Some(reader) = chain.processes.first_mut() else { return false };
        if self.asks_packages {
            ask_owners(reader, world);
        }
        let stores = self.catalogue.stores_for(&path, self.processes.homes(), self.processes.overrides());
        let stores: Vec<String> = stores.into_iter().map(|store| store.id.clone()).collect();
        let user = world.user(reader.uid);
        let home = processes::home(reader, user.as_ref());
        let judgements = judge::judge(&self.catalogue, &stores, &path, self.processes.homes(), reader, home.as_deref());
        judgements.iter().any(|judgement| matches!(judgement.expectation, Expectation::Expected { .. }))
    }

    fn opened(&mut self, open: &Open, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let Some(target) = self.target(open, world, out) else {
            self.counts.add("open_unmatched", 1);
            return;
        };
        let Some(access) = self.access(open.task.key, open.time, target, world) else { return };
        self.token_written(&access);
        let judgements = match (&access.target, access.chain.processes.first()) {
            (Target::Store { stores, path, known_as, .. }, Some(reader)) => {
                let (path, homes) = (known_as.as_ref().unwrap_or(path), self.processes.homes());
                judge::judge(&self.catalogue, stores, path, homes, reader, access.home.as_deref())
            }
            _ => Vec::new(),
        };
        self.judged(access, judgements, world, out);
    }

    /// What a process did, with who it is; `None` where that is not known, or nobody asks about it.
    fn access(&mut self, key: ProcessKey, time: KernelTime, target: Target, world: &mut dyn World) -> Option<Access> {
        let mut chain = self.processes.chain(key, time, world)?;
        if key.tgid == self.own || !self.in_scope(key) {
            return None;
        }
        let reader = chain.processes.first_mut()?;
        if self.asks_packages {
            ask_owners(reader, world);
        }
        let user = world.user(reader.uid);
        let home = processes::home(reader, user.as_ref());
        let actor = classify(&chain, self.catalogue.actors(), self.catalogue.interpreters(), home.as_deref());
        let access = Access {
            runner: job::runner(&self.catalogue, &target),
            actor,
            time,
            wall: self.clock.wall(time),
            user_name: user.map(|user| user.name),
            tier: self.tier,
            target,
            loaded: Vec::new(),
            reader_change: None,
            home,
            chain,
        };
        let wanted = self.scope != Scope::Job || self.is_of_job(&access, world);
        wanted.then_some(access)
    }

    /// What policy and detectors say of it.
    fn judged(
        &mut self,
        mut access: Access,
        judgements: Vec<Judgement>,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        let judgements = judge::expect(&self.policy, &access, judgements);
        if matches!(access.target, Target::Store { .. }) {
            access.loaded = loaded::loaded(&access.chain, access.home.as_deref(), &judgements, world);
        }
        access.reader_change = self.remember_reader(&mut access, &judgements, world, out);
        let injected = self.engine.is_injected(&access);
        let Some(judgements) = judge::apply(&self.policy, &access, judgements, injected) else { return };
        let mut outcome = self.engine.access(&access, &judgements);
        self.token_read(&access, &mut outcome, out);
        for (store, verdict) in &outcome.verdicts {
            let reader = access.chain.processes.first().map_or_else(String::new, |reader| reader.name().to_owned());
            let (store, actor, ci) = (store.clone(), access.actor.class(), access.actor.ci.clone());
            out(Output::Read { store, verdict: *verdict, actor, reader, ci });
        }
        deliver(outcome, world, out);
    }

    fn in_scope(&self, key: ProcessKey) -> bool {
        match self.scope {
            // Of a job it is known when the actor is.
            Scope::Host | Scope::Job => true,
            Scope::Descendants => self.processes.own().is_some_and(|own| self.processes.descends(key, own)),
        }
    }

    /// What was opened, in terms of the catalogue; `None` where the kernel matched more than is wanted.
    fn target(&mut self, open: &Open, world: &mut dyn World, out: &mut dyn FnMut(Output)) -> Option<Target> {
        match open.object {
            Object::Process(how, Inspected::Key(key)) => {
                Some(Target::Process(how, self.processes.get(key).map(Box::new), None))
            }
            Object::Process(how, Inspected::Pid(pid)) => {
                // It may have ended; a thread's number only /proc knows.
                let namespace = open.task.pid_namespace;
                let key = self.processes.by_pid(pid, namespace, open.time).or_else(|| world.find(pid, namespace));
                let process = key.and_then(|key| self.processes.get(key));
                Some(Target::Process(how, process.map(Box::new), None))
            }
            Object::File => {
                if let Some(process) = self.dumps.core(open.file.id) {
                    let (process, core) = (process.clone().map(Box::new), open.path.path.clone());
                    return open.mode.read.then_some(Target::Process(Inspection::CoreDump, process, Some(core)));
                }
                let overrides = self.processes.overrides();
                let homes = self.processes.homes();
                // Of what a program was started with the record has no name.
                let nameless = open.way == Way::Exec && open.path.path == std::path::Path::new("/");
                let known = if nameless { self.names.known_as(open.file.id, world) } else { None };
                let seen = known.as_ref().unwrap_or(&open.path.path);
                let mut stores = if open.path.truncated {
                    self.catalogue.stores_for_truncated(&open.path.path)
                } else {
                    self.catalogue.stores_for(seen, homes, overrides)
                };
                let mut known_as = None;
                if stores.is_empty() {
                    let known = self.names.known_as(open.file.id, world)?;
                    stores = self.catalogue.stores_for(&known, homes, overrides);
                    known_as = Some(known);
                }
                if stores.is_empty() {
                    return None;
                }
                let stores = stores.into_iter().map(|store| store.id.clone()).collect();
                if known_as.is_none() && !open.unlinked {
                    // From now on it is watched whatever name leads to it.
                    out(Output::Watch(open.file.id));
                    self.names.remember(open.file.id, seen);
                }
                // Again: of a store that was new its id is watched from here on only.
                out(Output::Held { process: open.task.key, file: open.file.id, writes: open.mode.write });
                let path = seen.clone();
                let (mode, way, path_in_root) = (open.mode, open.way, open.path_in_root.clone());
                Some(Target::Store { stores, path, known_as, file: open.file, mode, way, path_in_root })
            }
        }
    }
}

fn deliver(outcome: Outcome, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
    for mut finding in outcome.findings {
        if let Some(reader) = finding.chain.as_mut().and_then(|chain| chain.processes.first_mut()) {
            ask_owners(reader, world);
            finding.evidence.extend(words::owners(reader));
        }
        let waited = world.now().0.saturating_sub(finding.time.0);
        finding.latency = Some(std::time::Duration::from_nanos(waited));
        out(Output::Finding(Box::new(finding)));
    }
}

fn ask_owners(reader: &mut Process, world: &mut dyn World) {
    if reader.owners.is_none() {
        reader.owners = world.owners(reader).map(Box::new);
    }
}
