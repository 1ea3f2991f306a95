//! Joins the parts: records in at one end, findings out at the other, on one thread.
//!
//! What the parts decide is pure; this module is the edge that gives them the clock, the file system and the kernel.

mod health;
pub mod judge;
pub mod process;
pub mod watchset;

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use tokenhound_common::{process::ProcessKey, watch::FileWatch};

use self::{
    process::Processes,
    watchset::{Command, Update, Watchset},
};
use crate::{
    catalogue::{Catalogue, homes::EnvOverrides},
    detect::{
        access::{Access, Target},
        engine::{Engine, Outcome},
        judge::Verdict,
        process_inspection,
    },
    finding::model::{Finding, Salt},
    ingest::{
        clock::{self, Clock},
        decode::{DecodeError, Decoder},
        observation::{Inspected, KernelTime, Object, Observation, Open},
        reorder::Reorder,
        sequence::{Ring, Sequences},
    },
    policy::Policy,
    probe::{
        keys::KeysError,
        load::Sensor,
        selftest::{self, Proof},
    },
    telemetry::{events, metrics::Metrics},
};

/// How long an observation waits for those of other CPUs that may come before it. A program runs for microseconds; the
/// margin is for one that is preempted or interrupted between taking its time and its place in the ring.
const REORDER_WINDOW: Duration = Duration::from_millis(2);

/// Most observations that wait.
const REORDER_LIMIT: usize = 65_536;

/// How often losses, counters and lineage gauges are looked at.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Whose accesses are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    Host,
    /// Only those of processes that this agent started, and of what descends from them.
    Descendants,
}

/// What comes out.
#[derive(Debug)]
pub enum Report {
    /// Something to tell.
    Finding(Box<Finding>),
    /// A store was read; for summaries.
    Read {
        /// Id of the store.
        store: String,
        /// What is thought of it.
        verdict: Verdict,
        /// The reader's name, for display.
        reader: String,
    },
}

/// What a pipeline is made of.
pub struct Parts {
    /// The stores.
    pub catalogue: Arc<Catalogue>,
    /// The exceptions.
    pub policy: Policy,
    /// Whose accesses are reported.
    pub scope: Scope,
    /// Homes that the user database does not know.
    pub extra_homes: Vec<PathBuf>,
    /// Makes finding ids unique to this host and boot.
    pub salt: Salt,
    /// Counters.
    pub metrics: Metrics,
    /// Takes the findings.
    pub findings: mpsc::SyncSender<Report>,
}

/// Why the pipeline stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Watch keys could not be set.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The rings could not be polled.
    #[error("poll the ring buffers: {0}")]
    Poll(io::Error),
    /// The watcher of stores could not start.
    #[error("start the watcher of stores: {0}")]
    Watchset(io::Error),
}

/// The running whole.
pub struct Pipeline {
    sensor: Sensor,
    proofs: Vec<Proof>,
    decoder: Decoder,
    sequences: Sequences,
    reorder: Reorder,
    clock: Clock,
    processes: Processes,
    watchset: Watchset,
    catalogue: Arc<Catalogue>,
    policy: Policy,
    engine: Engine,
    scope: Scope,
    metrics: Metrics,
    findings: mpsc::SyncSender<Report>,
    next_health: KernelTime,
    lost: HashMap<&'static str, u64>,
    evicted: HashMap<&'static str, u64>,
    malformed: u64,
    unwatched: u64,
    exits_lost: bool,
    late: u64,
    /// Our own thread-group id: what we open ourselves is not an access.
    own: u32,
    newest: KernelTime,
}

impl Pipeline {
    /// Takes a loaded sensor, sets the watch keys, takes in the processes that run already and makes each probe prove
    /// itself with a canary in `canary_directory`.
    ///
    /// # Errors
    ///
    /// When keys cannot be set or a part cannot start. A probe that does not prove itself is no error here: see
    /// [`Pipeline::proofs`].
    pub fn start(mut sensor: Sensor, parts: Parts, canary_directory: &std::path::Path) -> Result<Self, PipelineError> {
        let moving: HashSet<String> = parts.catalogue.environment_variables().into_iter().collect();
        let mut keep = moving.clone();
        keep.extend(process_inspection::PERSONALITY.iter().map(|name| (*name).to_owned()));
        let mut plan = parts.catalogue.watch_plan();
        sensor.keys.watch_names(&plan.name_keys(), &plan.filter())?;
        // Process life is attached already: what starts from here on is seen, what ran before is found in /proc.
        let mut processes = Processes::new(keep.clone(), moving, parts.extra_homes);
        processes.backfill();
        // Variables of what runs already have moved stores too.
        plan.merge(parts.catalogue.watch_plan_of(processes.overrides()));
        sensor.keys.watch_names(&plan.name_keys(), &plan.filter())?;
        let (homes, overrides) = (processes.homes().clone(), processes.overrides().clone());
        let watchset = Watchset::start(&parts.catalogue, plan, homes, overrides).map_err(PipelineError::Watchset)?;
        let proofs = selftest::prove(&mut sensor, canary_directory);
        let clock = Clock::sample();
        let mut pipeline = Self {
            decoder: Decoder::new(keep),
            sequences: Sequences::default(),
            reorder: Reorder::new(REORDER_WINDOW.as_nanos() as u64, REORDER_LIMIT),
            clock,
            own: std::process::id(),
            processes,
            watchset,
            catalogue: parts.catalogue,
            policy: parts.policy,
            engine: Engine::new(parts.salt),
            scope: parts.scope,
            metrics: parts.metrics,
            findings: parts.findings,
            next_health: KernelTime(0),
            lost: HashMap::new(),
            evicted: HashMap::new(),
            malformed: 0,
            unwatched: 0,
            exits_lost: false,
            late: 0,
            newest: KernelTime(0),
            sensor,
            proofs,
        };
        pipeline.report_probes();
        // The first scan is waited for: a store that exists is watched by its id from the start.
        pipeline.apply_watchset(true);
        for (ring, bytes) in std::mem::take(&mut pipeline.sensor.early) {
            pipeline.take(ring, &bytes);
        }
        Ok(pipeline)
    }

    /// Outcome of the self-test.
    #[must_use]
    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    /// Works until `wake` becomes readable, then takes in what is still on its way and returns.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to poll or to take watch keys.
    pub fn run(&mut self, wake: &OwnedFd) -> Result<(), PipelineError> {
        loop {
            let timeout = if self.reorder.is_empty() { HEALTH_INTERVAL } else { REORDER_WINDOW };
            self.sensor.rings.wait(Some(wake), timeout).map_err(PipelineError::Poll)?;
            let stop = readable(wake).map_err(PipelineError::Poll)?;
            self.turn();
            if stop {
                self.finish();
                return Ok(());
            }
        }
    }

    /// Takes in everything that the kernel had reported before this call.
    fn finish(&mut self) {
        let until = now();
        while self.newest < until && self.drain() > 0 {}
        while let Some(observation) = self.reorder.pop(KernelTime(u64::MAX)) {
            self.observe(&observation);
        }
        self.health();
    }

    fn turn(&mut self) {
        self.drain();
        self.apply_watchset(false);
        let now = now();
        while let Some(observation) = self.reorder.pop(now) {
            self.observe(&observation);
        }
        if now >= self.next_health {
            self.next_health = KernelTime(now.0 + HEALTH_INTERVAL.as_nanos() as u64);
            self.health();
        }
    }

    fn drain(&mut self) -> usize {
        let mut batch = Vec::new();
        let count = self.sensor.rings.drain(|ring, bytes| batch.push((ring, self.decoder.decode(bytes))));
        for (ring, decoded) in batch {
            self.accept(ring, decoded);
        }
        count
    }

    fn take(&mut self, ring: Ring, bytes: &[u8]) {
        let decoded = self.decoder.decode(bytes);
        self.accept(ring, decoded);
    }

    fn accept(&mut self, ring: Ring, decoded: Result<crate::ingest::decode::Decoded, DecodeError>) {
        match decoded {
            Ok(decoded) => {
                self.sequences.note(ring, &decoded.header);
                self.newest = self.newest.max(decoded.observation.time());
                events::RecordsRead { kind: kind(&decoded.observation), count: 1 }.emit(&self.metrics);
                self.reorder.push(decoded.observation);
            }
            Err(error) => {
                tracing::warn!(%error, "a record could not be decoded; agent and kernel object do not match");
                self.malformed += 1;
            }
        }
    }

    fn observe(&mut self, observation: &Observation) {
        let learnt = self.processes.observe(observation);
        if let Some(home) = learnt.home {
            self.watchset.send(Command::Home(home));
        }
        if let Some(overrides) = learnt.overrides {
            self.watch_overrides(&overrides);
        }
        if let Observation::Open(open) = observation
            && !open.canary
        {
            self.opened(open);
        }
    }

    /// A variable of a process that has just started moves a store: watch the new place as well.
    fn watch_overrides(&mut self, overrides: &EnvOverrides) {
        let plan = self.catalogue.watch_plan_of(overrides);
        self.watchset.send(Command::Overrides(plan.clone(), overrides.clone()));
        self.watchset.merge_names(plan);
        let names = self.watchset.names();
        let outcome = self.sensor.keys.watch_names(&names.name_keys(), &names.filter());
        self.watched(outcome);
    }

    /// A key that the kernel did not take is no reason to stop: what is watched already stays watched, and the gap is
    /// reported with the losses.
    fn watched<T>(&mut self, outcome: Result<T, KeysError>) {
        if let Err(error) = outcome {
            tracing::warn!(%error, "something is not watched that should be");
            self.unwatched += 1;
        }
    }

    fn opened(&mut self, open: &Open) {
        let Some(target) = self.target(open) else {
            events::RecordsRead { kind: "open_unmatched", count: 1 }.emit(&self.metrics);
            return;
        };
        let Some(chain) = self.processes.chain(open) else { return };
        if open.task.key.tgid == self.own || !self.in_scope(open.task.key) {
            return;
        }
        let Some(reader) = chain.processes.first() else { return };
        let name = reader.name().to_owned();
        let home = self.processes.home(reader);
        let judgements = match &target {
            Target::Store { stores, path, known_as, .. } => {
                let path = known_as.as_ref().unwrap_or(path);
                judge::judge(&self.catalogue, stores, path, self.processes.homes(), reader, home.as_deref())
            }
            Target::Process(..) => Vec::new(),
        };
        let access = Access {
            time: open.time,
            wall: self.clock.wall(open.time),
            user_name: self.processes.user_name(reader.uid),
            home,
            tier: self.sensor.plan.tier,
            target,
            chain,
        };
        let Some(judgements) = judge::tolerate(&self.policy, &access, judgements) else { return };
        let outcome = self.engine.access(&access, &judgements);
        for (store, verdict) in &outcome.verdicts {
            // For summaries only; a full queue costs a line there, never a finding.
            let read = Report::Read { store: store.clone(), verdict: *verdict, reader: name.clone() };
            let _ = self.findings.try_send(read);
        }
        self.deliver(outcome);
    }

    fn in_scope(&self, key: ProcessKey) -> bool {
        match self.scope {
            Scope::Host => true,
            Scope::Descendants => self.processes.own().is_some_and(|own| self.processes.descends(key, own)),
        }
    }

    /// What was opened, in terms of the catalogue; `None` where the kernel matched more than is wanted.
    fn target(&mut self, open: &Open) -> Option<Target> {
        match open.object {
            Object::Process(how, Inspected::Key(key)) => {
                Some(Target::Process(how, self.processes.get(key).map(Box::new)))
            }
            Object::Process(how, Inspected::Pid(pid)) => {
                Some(Target::Process(how, self.processes.by_pid(pid, open.task.pid_namespace).map(Box::new)))
            }
            Object::File => {
                let overrides = self.processes.overrides();
                let homes = self.processes.homes();
                let mut stores = if open.path.truncated {
                    self.catalogue.stores_for_truncated(&open.path.path)
                } else {
                    self.catalogue.stores_for(&open.path.path, homes, overrides)
                };
                let mut known_as = None;
                if stores.is_empty() {
                    let known = self.watchset.known_as(open.file.id)?;
                    stores = self.catalogue.stores_for(&known, homes, overrides);
                    known_as = Some(known);
                }
                if stores.is_empty() {
                    return None;
                }
                let stores = stores.into_iter().map(|store| store.id.clone()).collect();
                if known_as.is_none() && !open.unlinked {
                    // From now on it is watched whatever name leads to it.
                    let outcome = self.sensor.keys.watch(open.file.id, FileWatch::ITSELF);
                    self.watched(outcome);
                    self.watchset.remember(open.file.id, &open.path.path);
                }
                let path = open.path.path.clone();
                let (mode, way, path_in_root) = (open.mode, open.way, open.path_in_root.clone());
                Some(Target::Store { stores, path, known_as, file: open.file, mode, way, path_in_root })
            }
        }
    }

    fn deliver(&mut self, outcome: Outcome) {
        let now = now();
        for (store, verdict) in outcome.verdicts {
            events::StoreRead { store: &store, verdict, actor: "unknown" }.emit(&self.metrics);
        }
        for mut finding in outcome.findings {
            finding.latency = Some(Duration::from_nanos(now.0.saturating_sub(finding.time.0)));
            events::FindingMade(&finding).emit(&self.metrics);
            // The receiver lives as long as the process; without it there is nobody left to tell.
            let _ = self.findings.send(Report::Finding(Box::new(finding)));
        }
    }

    fn apply_watchset(&mut self, wait: bool) {
        while let Some(update) = self.watchset.receive(wait && !self.watchset.complete()) {
            let outcome = match update {
                Update::All(files, directories) => {
                    self.sensor.keys.watch_directories(&directories);
                    self.sensor.keys.replace(&files)
                }
                Update::One(id, flags) => self.sensor.keys.watch(id, flags).map(drop),
            };
            self.watched(outcome);
        }
    }
}

fn now() -> KernelTime {
    clock::now()
}

fn kind(observation: &Observation) -> &'static str {
    match observation {
        Observation::Fork(_) => "fork",
        Observation::Exec(_) => "exec",
        Observation::Exit(_) => "exit",
        Observation::Open(open) => match open.object {
            Object::File => open.way.name(),
            Object::Process(..) => "inspection",
        },
        Observation::Change(_) => "change",
    }
}

fn readable(wake: &OwnedFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(wake, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!fds[0].revents().is_empty())
}
