//! Joins the parts: records in at one end, findings out at the other, on one thread.
//!
//! What is decided is pure and lies in [`core`]; this module is the edge that gives it the clock, the file system and the
//! kernel, and does what it asks for.

mod containers;
pub mod core;
mod cores;
mod edge;
mod follow;
mod health;
mod holders;
mod hosts;
mod images;
mod parts;
mod remains;
mod starts;
mod tokens;
mod wake;
pub mod watchset;
mod world;
mod writers;

use std::{
    collections::{HashMap, HashSet},
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    time::Duration,
};

use tokenhound_common::limits::MAX_FILE_IDS;

use self::{
    containers::Containers,
    core::{Core, Input, Setup},
    cores::Cores,
    edge::Edge,
    holders::Holders,
    images::Images,
    starts::{Started, Starts},
    watchset::{Looked, Update, Watchset},
    world::Live,
    writers::Writers,
};
pub use self::{
    core::Scope,
    edge::Report,
    parts::{Ended, Follow, Order, Parts, PipelineError, Recording, WAKE_ORDER},
};
use crate::{
    capture::{
        header::Header,
        recorder::{Recorder, Trouble},
    },
    catalogue::{compile::WatchPlan, decoy::Decoy},
    copies::Copies,
    finding::ocsf::Host,
    ingest::{
        clock::{self, Clock},
        decode::Decoder,
        observation::{KernelTime, Observation},
        ring::Drained,
        sequence::Ring,
    },
    lineage::{backfill, users::Users},
    probe::{keys::KeysError, load::Sensor, selftest::Proof},
    readers,
    telemetry::events,
};

/// How often losses, counters and lineage gauges are looked at.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the pipeline sleeps while a container is being looked at.
const LOOKING: Duration = Duration::from_millis(5);

/// The core with what answers it, and what writes down both.
struct Flow {
    core: Core,
    world: Live,
    decoder: Decoder,
    recorder: Option<Recorder>,
    /// Latest kernel time of a record, by ring.
    newest: [KernelTime; 3],
    /// There are carriers since the last turn.
    carriers: bool,
    /// Programs whose records were cut, since the last turn.
    cut: Vec<Started>,
}

impl Flow {
    fn feed(&mut self, input: Input, out: &mut dyn FnMut(core::Output)) {
        match &mut self.recorder {
            Some(recorder) => recorder.feed(&mut self.core, input, &mut self.world, out),
            None => self.core.feed(input, &mut self.world, out),
        }
    }

    /// What is to be watched, as far as is known by now.
    fn plan(&self) -> WatchPlan {
        let catalogue = self.core.catalogue();
        let mut plan = catalogue.watch_plan();
        plan.merge(catalogue.watch_plan_of(self.core.overrides()));
        plan
    }

    /// The tokens that a program was started with. The record itself does not hold them.
    fn carried(&mut self, observation: &Observation) {
        let (tokens, shaped) = (self.decoder.take_carried(), self.decoder.take_shaped());
        let rest = self.decoder.take_rest();
        let Observation::Exec(exec) = observation else { return };
        let (time, process) = (exec.time, exec.task.key);
        if process.tgid != std::process::id() {
            self.cut.extend(rest.map(|rest| Started { time, process, rest }));
        }
        if !tokens.is_empty() {
            self.feed(Input::Carried { time, process, tokens }, &mut |_| ());
        }
        if !shaped.is_empty() {
            self.feed(Input::Shaped { time, process, tokens: shaped }, &mut |_| ());
        }
    }

    /// Has the kernel marked a process for it?
    fn makes_carrier(&self, observation: &Observation) -> bool {
        let Observation::Open(open) = observation else { return false };
        open.mode.read && !open.canary && open.task.key.tgid != std::process::id()
    }

    /// A record as it came out of a ring. It only takes its place in the order: nothing comes of it yet.
    fn take(&mut self, ring: Ring, bytes: &[u8]) {
        let input = match self.decoder.decode(bytes) {
            Ok(decoded) => {
                let newest = &mut self.newest[ring as usize];
                *newest = (*newest).max(decoded.observation.time());
                self.carried(&decoded.observation);
                self.carriers |= self.makes_carrier(&decoded.observation);
                if let Some(recorder) = &mut self.recorder {
                    recorder.record(ring, bytes, &decoded);
                }
                Input::Record(ring, decoded)
            }
            Err(error) => {
                tracing::warn!(%error, "a record could not be decoded; agent and kernel object do not match");
                Input::Malformed
            }
        };
        self.feed(input, &mut |_| ());
    }
}

/// The running whole.
pub struct Pipeline {
    sensor: Sensor,
    proofs: Vec<Proof>,
    flow: Flow,
    edge: Edge,
    orders: mpsc::Receiver<Order>,
    clock: Clock,
    next_health: KernelTime,
    /// What is missing from the capture so far.
    trouble: Option<Trouble>,
}

impl Pipeline {
    /// Takes a loaded sensor whose probes have proved themselves or not, sets the watch keys, and takes in the processes that
    /// run already. Needs no right that a running agent does not need.
    ///
    /// # Errors
    ///
    /// When keys cannot be set or a part cannot start. A probe that has not proved itself is no error.
    pub fn start(mut sensor: Sensor, proofs: Vec<Proof>, parts: Parts) -> Result<Self, PipelineError> {
        let keep: HashSet<String> = Core::variables(&parts.catalogue).into_iter().collect();
        let decoys = watchset::decoys(&parts.state).unwrap_or_default();
        let plan = parts.catalogue.with_decoys(&decoys).watch_plan();
        sensor.keys.watch_names(&plan.name_keys(), &plan.filter())?;
        let users = Users::asking(parts.names).inspect_err(|error| tracing::warn!(%error, "users stay numbers")).ok();
        let homes: Vec<_> = users.iter().flat_map(Users::homes).map(|home| home.path).collect();
        let containers = Containers::start(homes.clone(), parts.metrics.clone()).map_err(PipelineError::Containers)?;
        let keyed = parts.follow.as_ref().is_some_and(|follow| follow.key.is_some());
        let images = keyed.then(|| Images::start(homes.clone(), parts.metrics.clone()));
        let images = images.transpose().map_err(PipelineError::Containers)?;
        let world = Live::new(keep.clone(), containers.names(), users);
        let clock = Clock::sample();
        let loaded = parts.policy.clone();
        let setup = Setup {
            catalogue: Arc::clone(&parts.catalogue),
            policy: parts.policy,
            scope: parts.scope,
            host: parts.host.hostname.clone().unwrap_or_default(),
            salt: parts.salt,
            tier: sensor.plan.tier,
            tick_ns: backfill::tick_ns(),
            own: std::process::id(),
            homes: homes.into_iter().chain(parts.extra_homes).collect(),
            clock,
        };
        let recorder = parts.recording.map(|recording| record(recording, &setup, &parts.host)).transpose()?;
        let mut flow = Flow {
            core: Core::new(setup),
            world,
            decoder: Decoder::new(keep),
            recorder,
            newest: Default::default(),
            carriers: false,
            cut: Vec::new(),
        };
        if !decoys.is_empty() {
            flow.feed(Input::Decoys(decoys), &mut |_| ());
        }
        let readers = readers::Record::load(&parts.state).unwrap_or_else(|error| {
            tracing::warn!(%error, "readers are remembered anew");
            readers::Record::default()
        });
        if !readers.readers.is_empty() {
            flow.feed(Input::Readers(readers.digests()), &mut |_| ());
        }
        // Process life is attached already: what starts from here on is seen, what ran before is found in /proc. The
        // homes and variables that it teaches are asked for below, all at once.
        for process in flow.world.running() {
            flow.feed(Input::Found(Box::new(process)), &mut |_| ());
        }
        let (tokens, history, remains) = match parts.follow {
            Some(follow) => {
                flow.follow(follow, parts.host.clone(), &parts.state, &parts.metrics).map_err(PipelineError::Tokens)?
            }
            None => (None, None, None),
        };
        let plan = flow.plan();
        sensor.keys.watch_names(&plan.name_keys(), &plan.filter())?;
        for address in flow.core.catalogue().addresses() {
            sensor.keys.watch_address(address, 0)?;
        }
        let (homes, overrides) = (flow.core.homes().clone(), flow.core.overrides().clone());
        let looked =
            Looked { catalogue: Arc::clone(flow.core.catalogue()), plan, homes, overrides, state: parts.state.clone() };
        let watchset = Watchset::start(looked).map_err(PipelineError::Watchset)?;
        let edge = Edge {
            watchset,
            catalogue: Arc::clone(flow.core.catalogue()),
            metrics: parts.metrics.clone(),
            findings: parts.findings,
            holders: Holders::default(),
            writers: Writers::default(),
            cores: Cores::default(),
            containers,
            fresh: HashMap::new(),
            readers,
            unwritten: false,
            images,
            copies: tokens.is_some().then(Copies::start).transpose().map_err(PipelineError::Tokens)?,
            refused: Vec::new(),
            tokens,
            history,
            remains,
            starts: Starts::start(parts.metrics.clone()).map_err(PipelineError::Starts)?,
            ages: Vec::new(),
            state: std::fs::canonicalize(&parts.state).unwrap_or(parts.state),
            unwatched: 0,
        };
        events::PolicyLoaded(&loaded).emit(&edge.metrics);
        let orders = parts.orders;
        let mut pipeline =
            Self { sensor, proofs, flow, edge, orders, clock, next_health: KernelTime(0), trouble: None };
        pipeline.report_probes();
        // The first scan is waited for: a store that exists is watched by its id from the start.
        pipeline.apply_watchset(true);
        for (ring, bytes) in std::mem::take(&mut pipeline.sensor.early) {
            pipeline.flow.take(ring, &bytes);
        }
        pipeline.find_holders();
        Ok(pipeline)
    }

    /// Works until something but [`WAKE_ORDER`] is written to `wake`, then takes in what is still on its way and returns.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to poll or to take watch keys.
    pub fn run(&mut self, wake: &OwnedFd) -> Result<Ended, PipelineError> {
        loop {
            let window = Duration::from_nanos(core::REORDER_WINDOW_NS);
            let timeout = if self.flow.core.is_waiting() { window } else { HEALTH_INTERVAL };
            let now = clock::now();
            let copies = self.edge.copies.as_ref().and_then(Copies::left);
            let looks = [self.edge.holders.left(now), self.edge.cores.left(now), self.edge.writers.left(now), copies];
            let timeout = looks.into_iter().flatten().fold(timeout, |timeout, look| timeout.min(look.max(window)));
            let timeout = if self.edge.containers.is_waiting() { timeout.min(LOOKING) } else { timeout };
            self.sensor.rings.wait(Some(wake), timeout).map_err(PipelineError::Poll)?;
            let stop = wake::stops(wake).map_err(PipelineError::Poll)?;
            self.obey();
            self.turn();
            if stop {
                return Ok(self.finish());
            }
        }
    }

    /// What is judged before this is judged by the policy of before, the rest by the new one: nothing goes unjudged.
    fn obey(&mut self) {
        while let Ok(Order::Policy(policy)) = self.orders.try_recv() {
            let loaded = policy.clone();
            self.feed(Input::Policy(policy));
            events::PolicyLoaded(&loaded).emit(&self.edge.metrics);
        }
    }

    /// Takes in everything that the kernel had reported before this call.
    fn finish(&mut self) -> Ended {
        let until = clock::now();
        loop {
            let drained = self.drain();
            let newest = self.flow.newest;
            let read = |ring: Ring| !drained.may_be_left(ring) || newest[ring as usize] >= until;
            if drained.is_nothing() || [Ring::Hits, Ring::Life, Ring::Trail].into_iter().all(read) {
                break;
            }
        }
        self.feed(Input::Drain);
        self.edge.write_readers();
        self.health();
        if let Some(recorder) = &mut self.flow.recorder {
            recorder.finish();
        }
        self.watch_recorder();
        Ended { capture: self.trouble.take() }
    }

    fn turn(&mut self) {
        let drained = self.drain();
        // First of all: what a carrier closes before that is told at its end only.
        if std::mem::take(&mut self.flow.carriers) {
            self.watch_writes(true);
        }
        // Many a program ends soon.
        self.edge.starts.look(self.flow.cut.drain(..));
        self.apply_watchset(false);
        let now = clock::now();
        // A hit must not go on before the forks and execs before it, of which some may not have been read yet: a reader that
        // nobody saw start is a stranger.
        let life = self.flow.newest[Ring::Life as usize];
        let read = if drained.may_be_left(Ring::Life) { life.min(now) } else { now };
        if self.flow.core.is_due(read) {
            self.feed(Input::Time(read));
        }
        if self.edge.holders.due(now) {
            self.look_at_holders(now);
        }
        if let Some(known) = self.edge.known_tokens() {
            if let Some(images) = &self.edge.images {
                images.know(Arc::clone(&known));
            }
            if let Some(copies) = &self.edge.copies {
                copies.know(Arc::clone(&known));
            }
            let tokens = known.fingerprints().to_vec();
            self.flow.decoder.know(known);
            self.feed(Input::Searched { time: now, tokens });
        }
        let written = self.edge.writers.look(now);
        // What is known of tokens comes before what was found of them.
        let looked = self.edge.looked(now).into_iter().chain(self.edge.scanned());
        let found = self.edge.cores.look(now).into_iter().chain(looked).chain(written);
        let found = found.chain(self.edge.contained());
        let mut found: Vec<Input> = found.chain(self.edge.remaining(now)).collect();
        found.extend(self.edge.starts.found());
        for input in found {
            self.feed(input);
        }
        for (kind, count) in self.flow.core.counted() {
            events::RecordsRead { kind, count }.emit(&self.edge.metrics);
        }
        if now >= self.next_health {
            self.next_health = KernelTime(now.0 + HEALTH_INTERVAL.as_nanos() as u64);
            self.health();
        }
    }

    /// Sees who has files of stores open, and watches reads while somebody does who should not.
    fn look_at_holders(&mut self, now: KernelTime) {
        for input in self.edge.holders.look(&self.sensor.holders, &self.sensor.keys, now) {
            self.feed(input);
        }
        self.edge.holders.plan(now);
        for gap in self.sensor.watch_reads(self.edge.holders.reads_matter()) {
            tracing::warn!(probe = gap.hook.label(), reason = gap.reason, "reads are not watched in one of their ways");
        }
        events::ReadsWatched(self.sensor.watches_reads()).emit(&self.edge.metrics);
    }

    /// Watches closes, or no longer.
    fn watch_writes(&mut self, wanted: bool) {
        for gap in self.sensor.watch_writes(wanted) {
            tracing::warn!(
                probe = gap.hook.label(),
                reason = gap.reason,
                "closes are not watched in one of their ways"
            );
        }
    }

    /// Files of stores that were open before the agent started.
    fn find_holders(&mut self) {
        let living = self.flow.core.living();
        let now = clock::now();
        for process in holders::mark_present(&mut self.sensor.holders, &self.sensor.keys, living.into_iter()) {
            self.edge.holders.present(process, now);
        }
        if self.edge.holders.due(now) {
            self.look_at_holders(now);
        }
    }

    fn drain(&mut self) -> Drained {
        let Self { sensor, flow, .. } = self;
        sensor.rings.drain(|ring, bytes| flow.take(ring, bytes))
    }

    fn feed(&mut self, input: Input) {
        let Self { sensor, flow, edge, .. } = self;
        let mut to_look_at = Vec::new();
        flow.feed(input, &mut |output| {
            match &output {
                core::Output::Change(change) => to_look_at.push(change.path.clone()),
                core::Output::Met(path) => to_look_at.push(path.clone()),
                _ => {}
            }
            edge.take(&mut sensor.keys, output);
        });
        for path in to_look_at {
            edge.look(&path, flow.core.homes(), flow.core.overrides());
        }
    }

    fn apply_watchset(&mut self, wait: bool) {
        while let Some(message) = self.edge.watchset.receive(wait) {
            let outcome = match message.update {
                Update::All(mut files, directories) => {
                    let room = (MAX_FILE_IDS as usize).saturating_sub(files.len());
                    for (key, watch) in self.edge.fresh.drain().take(room) {
                        files.entry(key).or_insert(watch);
                    }
                    self.sensor.keys.watch_directories(&directories);
                    self.sensor.keys.replace(&files)
                }
                Update::More(files, directories) => {
                    self.sensor.keys.watch_directories(&directories);
                    self.sensor.keys.add(&files)
                }
                Update::Decoys(decoys) => self.plant(decoys),
            };
            self.edge.watched(outcome);
            for (_, path) in &message.names {
                self.edge.look(path, self.flow.core.homes(), self.flow.core.overrides());
            }
            self.feed(Input::Names { all: message.all, names: message.names });
        }
    }

    /// Decoys have come or gone.
    fn plant(&mut self, decoys: Vec<Decoy>) -> Result<(), KeysError> {
        self.feed(Input::Decoys(decoys));
        let (catalogue, plan) = (Arc::clone(self.flow.core.catalogue()), self.flow.plan());
        self.edge.catalogue = Arc::clone(&catalogue);
        self.edge.watchset.replace(catalogue, plan.clone());
        self.sensor.keys.watch_names(&plan.name_keys(), &plan.filter())
    }

    fn report_probes(&mut self) {
        let tier = self.sensor.plan.tier;
        for proof in self.proofs.clone() {
            let probe = proof.hook.label();
            events::ProbeState { probe, tier, live: proof.failure.is_none() }.emit(&self.edge.metrics);
            self.feed(Input::Probe { time: clock::now(), probe: probe.to_owned(), failure: proof.failure });
        }
    }
}

fn record(recording: Recording, setup: &Setup, host: &Host) -> Result<Recorder, PipelineError> {
    let Recording { place, rules } = recording;
    Recorder::start(place, &Header::new(setup, host, rules)).map_err(PipelineError::Record)
}
