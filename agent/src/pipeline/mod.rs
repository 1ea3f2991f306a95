//! Joins the parts: records in at one end, findings out at the other, on one thread.
//!
//! What is decided is pure and lies in [`core`]; this module is the edge that gives it the clock, the file system and the
//! kernel, and does what it asks for.

pub mod core;
mod cores;
mod edge;
mod holders;
mod parts;
mod tokens;
pub mod watchset;
mod world;

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use tokenhound_common::limits::MAX_FILE_IDS;

pub use self::{
    core::Scope,
    edge::Report,
    parts::{Ended, Follow, Order, Parts, PipelineError, Recording, WAKE_ORDER},
};
use self::{
    core::{Core, Input, Losses, Setup},
    cores::Cores,
    edge::Edge,
    holders::Holders,
    tokens::{Request, Tokens},
    watchset::{Looked, Update, Watchset},
    world::Live,
};
use crate::{
    capture::{
        header::Header,
        recorder::{Recorder, Trouble},
    },
    catalogue::{compile::WatchPlan, decoy::Decoy},
    finding::ocsf::Host,
    history::{self, Database},
    ingest::{
        clock::{self, Clock},
        decode::Decoder,
        observation::{KernelTime, Observation},
        ring::Drained,
        sequence::Ring,
    },
    lineage::backfill,
    probe::{
        keys::KeysError,
        load::Sensor,
        selftest::{self, Proof},
    },
    readers,
    telemetry::{events, metrics::Metrics},
};

/// How often losses, counters and lineage gauges are looked at.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The core with what answers it, and what writes down both.
struct Flow {
    core: Core,
    world: Live,
    decoder: Decoder,
    recorder: Option<Recorder>,
    /// Latest kernel time of a record, of hits and of process life.
    newest: [KernelTime; 2],
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

    /// Starts following tokens, from what was known of them.
    fn follow(&mut self, follow: Follow, metrics: &Metrics) -> io::Result<(Option<Tokens>, Option<history::Writer>)> {
        let Follow { key, history } = follow;
        let tokens = history.as_ref().map(Database::tokens).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was known of tokens is not");
            None
        });
        let looker = Tokens::start(Arc::clone(self.core.catalogue()), key, metrics.clone())?;
        let tokens = tokens.unwrap_or_default();
        // Also files that are not there any more, which no look at the stores would find.
        let (homes, overrides) = (self.core.homes(), self.core.overrides());
        let again = Request::again(&tokens, self.core.catalogue(), homes, overrides);
        again.into_iter().for_each(|request| looker.look(Some(request)));
        self.feed(Input::Tokens { time: clock::now(), tokens }, &mut |_| ());
        Ok((Some(looker), history.map(history::Writer::start).transpose()?))
    }

    /// A record as it came out of a ring. It only takes its place in the order: nothing comes of it yet.
    fn take(&mut self, ring: Ring, bytes: &[u8]) {
        let input = match self.decoder.decode(bytes) {
            Ok(decoded) => {
                let newest = &mut self.newest[usize::from(ring == Ring::Life)];
                *newest = (*newest).max(decoded.observation.time());
                let tokens = self.decoder.take_carried();
                if let (false, Observation::Exec(exec)) = (tokens.is_empty(), &decoded.observation) {
                    let (time, process) = (exec.time, exec.task.key);
                    self.feed(Input::Carried { time, process, tokens }, &mut |_| ());
                }
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
    /// Takes a loaded sensor, sets the watch keys, takes in the processes that run already and makes each probe prove
    /// itself with a canary in `canary_directory`.
    ///
    /// # Errors
    ///
    /// When keys cannot be set or a part cannot start. A probe that does not prove itself is no error here: see
    /// [`Pipeline::proofs`].
    pub fn start(mut sensor: Sensor, parts: Parts, canary_directory: &Path) -> Result<Self, PipelineError> {
        let keep: HashSet<String> = Core::variables(&parts.catalogue).into_iter().collect();
        let decoys = watchset::decoys(&parts.state).unwrap_or_default();
        let plan = parts.catalogue.with_decoys(&decoys).watch_plan();
        sensor.keys.watch_names(&plan.name_keys(), &plan.filter())?;
        let world = Live::new(keep.clone());
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
            homes: world.homes().into_iter().chain(parts.extra_homes).collect(),
            clock,
        };
        let recorder = parts.recording.map(|recording| record(recording, &setup, &parts.host)).transpose()?;
        let mut flow =
            Flow { core: Core::new(setup), world, decoder: Decoder::new(keep), recorder, newest: Default::default() };
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
        let (tokens, history) = match parts.follow {
            Some(follow) => flow.follow(follow, &parts.metrics).map_err(PipelineError::Tokens)?,
            None => (None, None),
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
        let proofs = selftest::prove(&mut sensor, canary_directory);
        let edge = Edge {
            watchset,
            catalogue: Arc::clone(flow.core.catalogue()),
            metrics: parts.metrics,
            findings: parts.findings,
            holders: Holders::default(),
            cores: Cores::default(),
            fresh: HashMap::new(),
            readers,
            unwritten: false,
            tokens,
            history,
            state: parts.state,
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

    /// Outcome of the self-test.
    #[must_use]
    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
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
            let looks = [self.edge.holders.left(now), self.edge.cores.left(now)];
            let timeout = looks.into_iter().flatten().fold(timeout, |timeout, look| timeout.min(look.max(window)));
            self.sensor.rings.wait(Some(wake), timeout).map_err(PipelineError::Poll)?;
            let stop = stops(wake).map_err(PipelineError::Poll)?;
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
            let [hits, life] = self.flow.newest;
            let read = |ring, newest| !drained.may_be_left(ring) || newest >= until;
            if drained.is_nothing() || (read(Ring::Hits, hits) && read(Ring::Life, life)) {
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
        self.apply_watchset(false);
        let now = clock::now();
        // A hit must not go on before the forks and execs before it, of which some may not have been read yet: a reader that
        // nobody saw start is a stranger.
        let [_, life] = self.flow.newest;
        let read = if drained.may_be_left(Ring::Life) { life.min(now) } else { now };
        if self.flow.core.is_due(read) {
            self.feed(Input::Time(read));
        }
        if self.edge.holders.due(now) {
            self.look_at_holders(now);
        }
        if let Some(known) = self.edge.known_tokens() {
            self.flow.decoder.know(known);
        }
        for input in self.edge.cores.look(now).into_iter().chain(self.edge.looked(now)) {
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
        let mut changed = Vec::new();
        flow.feed(input, &mut |output| {
            if let core::Output::Change(change) = &output {
                changed.push(change.path.clone());
            }
            edge.take(&mut sensor.keys, output);
        });
        for path in changed {
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

    /// Looks at what was lost since the last time.
    fn health(&mut self) {
        let before = self.clock;
        self.clock.resample();
        if self.clock != before {
            self.feed(Input::Clock(self.clock));
        }
        self.sensor.flush_log();
        let kernel = self
            .sensor
            .lost()
            .map(|lost| lost.into_iter().map(|(reason, _, total)| (reason, total)).collect())
            .inspect_err(|error| tracing::warn!(%error, "the kernel's loss counters could not be read"))
            .ok();
        let losses = Losses { time: clock::now(), kernel, busy: self.sensor.misses(), unwatched: self.edge.unwatched };
        self.feed(Input::Losses(losses));
        let evicted = self.flow.world.take_evicted();
        if evicted > 0 {
            events::TableEvicted { table: "packages", count: evicted }.emit(&self.edge.metrics);
        }
        events::ProcessesTracked(self.flow.core.tracked()).emit(&self.edge.metrics);
        events::TokenAges(&self.flow.core.token_ages(clock::now())).emit(&self.edge.metrics);
        if let Some(recorder) = &mut self.flow.recorder {
            recorder.flush();
        }
        self.watch_recorder();
    }

    fn watch_recorder(&mut self) {
        let Some(new) = self.flow.recorder.as_mut().and_then(Recorder::trouble) else { return };
        events::CaptureCut(&new).emit(&self.edge.metrics);
        let before = self.trouble.take();
        let (lost, failure) = before.map_or((0, None), |before| (before.lost, before.failure));
        self.trouble = Some(Trouble { lost: lost + new.lost, failure: failure.or(new.failure), ..new });
    }
}

fn record(recording: Recording, setup: &Setup, host: &Host) -> Result<Recorder, PipelineError> {
    let Recording { place, rules } = recording;
    Recorder::start(place, &Header::new(setup, host, rules)).map_err(PipelineError::Record)
}

/// Takes what was written to `wake`. Is it to end?
fn stops(wake: &OwnedFd) -> io::Result<bool> {
    let mut bytes = [0; 64];
    if !readable(wake)? {
        return Ok(false);
    }
    let count = rustix::io::read(wake, &mut bytes)?;
    Ok(count == 0 || bytes[..count].iter().any(|byte| *byte != WAKE_ORDER))
}

fn readable(wake: &OwnedFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(wake, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!fds[0].revents().is_empty())
}
