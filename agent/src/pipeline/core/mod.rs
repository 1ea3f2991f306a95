//! The core: from decoded records to findings, with all state in between. Pure: no clock, no file system, no thread.
//!
//! What happens is an [`Input`]; what is missing is asked of a [`World`]; what comes of it is an [`Output`]. The same
//! inputs and answers in the same order give the same outputs, bit for bit: live, in a replay and in tests.
//!
//! A new kind of observation needs an arm in [`Core::observe`].

mod carried;
mod changes;
pub mod containers;
mod copies;
mod counts;
mod dumps;
mod egress;
mod handover;
mod health;
mod held;
mod images;
pub mod input;
mod job;
pub mod judge;
mod loaded;
mod named;
mod names;
mod outlets;
pub mod processes;
mod readers;
mod resolved;
mod revocation;
mod service;
mod target;
mod tokens;
mod trail;
mod written;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

pub use self::input::{Dumped, Holder, Input, Losses, Output, User, World};
use self::{
    carried::CarriedBy,
    containers::Containers,
    copies::Copies,
    counts::{Counts, kind},
    dumps::Dumps,
    egress::Egress,
    handover::Handover,
    health::Health,
    loaded::Cut,
    named::Late,
    names::Names,
    outlets::Outlets,
    processes::Processes,
    readers::Readers,
    resolved::Resolved,
    revocation::Provenance,
    written::Writing,
};
use crate::{
    catalogue::{
        Catalogue,
        homes::{EnvOverrides, Homes},
    },
    detect::{
        access::{Access, Target, Tier},
        engine::{Engine, Outcome},
        judge::Judgement,
        lifecycle::Lifecycle,
        process_inspection, words,
    },
    finding::model::Salt,
    ingest::{
        clock::Clock,
        loading,
        observation::{KernelTime, Observation, Open},
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
    provenance: Provenance,
    carried: CarriedBy,
    cut: Cut,
    writing: Writing,
    late: Late,
    outlets: Outlets,
    egress: Egress,
    resolved: Resolved,
    containers: Containers,
    copies: Copies,
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
            provenance: Provenance::default(),
            carried: CarriedBy::default(),
            cut: Cut::default(),
            writing: Writing::default(),
            late: Late::default(),
            outlets: Outlets::default(),
            egress: Egress::default(),
            resolved: Resolved::default(),
            containers: Containers::default(),
            copies: Copies::default(),
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
            Input::Appended { time, file, by } => self.appended(time, file, by, out),
            Input::Holds(holder) => self.holds(holder, world, out),
            Input::Core { time, process, file } => self.found_core(process, file, time, out),
            Input::Clock(clock) => self.clock = clock,
            Input::Names { all, names } => self.names.learn(all, names),
            Input::Probe { time, probe, failure } => self.probe(time, probe, failure, world, out),
            Input::Losses(losses) => {
                self.losses(&losses, world, out);
                self.tokens_due(losses.time, world, out);
                self.revocations_due(losses.time, out);
                self.containers_found(losses.time, world, out);
            }
            Input::Undelivered { time, sinks } => self.undelivered(sinks, time, world, out),
            Input::Readers(readers) => self.readers.learn(readers),
            Input::Decoys(decoys) => self.catalogue = Arc::new(self.catalogue.with_decoys(&decoys)),
            Input::Policy(policy) => self.adopt(*policy),
            Input::Tokens { time, tokens } => self.restore(time, tokens),
            Input::Carried { time, process, tokens } => self.carried.note(process, time, tokens),
            Input::Shaped { time, process, tokens } => self.carried.note_shaped(process, time, tokens),
            Input::More { time, process, more } => self.carries_more(time, process, more, world, out),
            Input::Looked { time, look } => self.looked(time, &look, out),
            Input::Copies { time, copies } => self.restore_copies(time, copies),
            Input::Before { time, before } => self.restore_left(time, *before),
            Input::Searched { time, tokens } => self.provenance.search(time, &tokens),
            Input::Remaining { time, fingerprint, remaining } => self.remaining(time, fingerprint, remaining, out),
            Input::Scanned(scanned) => self.scanned(&scanned, world, out),
            Input::Exposed { time, found } => self.exposed_in_image(time, &found, world, out),
            Input::Container { time, look } => self.container_looked(time, *look, world, out),
        }
    }

    /// Whether records wait for their order.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let waiting = [self.handover.is_waiting(), self.late.is_waiting(), self.egress.is_waiting()];
        !self.reorder.is_empty() || waiting.contains(&true)
    }

    /// Whether [`Input::Time`] with this time would release a record.
    #[must_use]
    pub fn is_due(&self, now: KernelTime) -> bool {
        let due = [self.handover.is_due(now), self.late.is_due(now), self.egress.is_due(now)];
        self.reorder.is_due(now) || due.contains(&true)
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
        if self.engine.has_new_read() {
            self.judge_again(world, out);
        }
        self.judge_waiting(now, world, out);
        self.named_files(now, out);
        self.told_late(world, out);
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
        if let Observation::Open(open) = observation {
            self.outlet_opened(open, out);
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
                self.engine.started(exec.task.key, exec.output, exec.time);
                self.cut.started(exec);
                self.outlet_moved(exec);
                self.container_started(exec, world, out);
                self.started(exec, world, out);
                self.carries(exec, world, out);
            }
            Observation::Exit(exit) => {
                self.cut.ended(exit.process);
                self.client_ended(exit.process, out);
                self.session_ended(exit.process, exit.time, out);
                self.writer_ended(exit.process, exit.time, out);
                self.outlet_writer_ended(exit.process, exit.time, out);
            }
            Observation::Written(written) => self.written_by_carrier(written, out),
            Observation::Answer(answer) => self.answered(answer),
            Observation::Connect(connect) if connect.carried => self.connected_out(connect, world, out),
            Observation::Connect(connect) if !connect.canary => self.connected(connect, world, out),
            _ => {}
        }
    }

    fn opened(&mut self, open: &Open, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let Some(target) = self.target(open, world, out) else {
            self.counts.add("open_unmatched", 1);
            return;
        };
        let Some(access) = self.access(open.task.key, open.time, target, world) else { return };
        self.token_written(&access);
        if open.mode.read {
            self.late.read(open.task.key, open.time);
        }
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
        self.name_containers(&mut chain, world);
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
            self.cut.complete(&mut access, &judgements, world);
            access.loaded = loaded::loaded(&access.chain, access.home.as_deref(), &judgements, world);
        }
        access.reader_change = self.remember_reader(&mut access, &judgements, world, out);
        let injected = self.engine.is_injected(&access);
        let Some(judgements) = judge::apply(&self.policy, &access, judgements, injected) else { return };
        let mut outcome = self.engine.access(&access, &judgements);
        // Before any finding of it: the history refers from there to here.
        self.note_access(&access, &judgements, &outcome.verdicts, out);
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
