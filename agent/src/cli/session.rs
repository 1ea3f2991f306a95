//! What `run`, `watch` and `demo` share: sensor, pipeline thread, sinks and their end.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use super::{CliError, SensorOptions};
use crate::{
    capture::{recorder::Place, rules::Rules},
    catalogue::{self, Catalogue},
    config::Config,
    finding::{model::Salt, ocsf::Host},
    history::{Database, bell::Bell},
    lineage::names::{Helper, Service},
    pipeline::{Ended, Follow, Order, Parts, Pipeline, PipelineError, Recording, Report, Scope, WAKE_ORDER},
    policy::{self, Policy},
    privilege,
    probe::{
        load::{LoadError, Sensor},
        plan::PlanError,
        selftest::{self, Proof},
    },
    state,
    telemetry::metrics::Metrics,
    token::{fingerprint::Key, key},
    yaml::Problems,
};

/// Most findings that wait for the thread that writes them; beyond that the pipeline waits, and the kernel counts what
/// it cannot keep.
pub(super) const REPORTS: usize = 8192;

/// Catalogue and policy, read and checked before anything is started.
pub(super) struct Inputs {
    /// The stores.
    pub(super) catalogue: Arc<Catalogue>,
    /// The rules.
    pub(super) policy: Policy,
    /// Where they were read.
    pub(super) policy_directory: PathBuf,
    /// The configuration file.
    pub(super) config: Config,
    /// What identifies both.
    pub(super) rules: Rules,
    /// Where to record, if anywhere.
    pub(super) place: Option<Place>,
    /// Where what is found is kept and goes out from; tokens are followed then: what lies in stores, and what becomes of it.
    pub(super) kept: Option<Kept>,
    /// Rights are given up once the probes are attached and proved; these files may be written beside the agent's own.
    pub(super) confine: Option<Vec<PathBuf>>,
}

impl Inputs {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// Every mistake of every file, at once.
    pub(super) fn read(options: &SensorOptions) -> Result<Self, CliError> {
        let config = Config::load(options.config.as_deref()).map_err(CliError::usage)?;
        Self::of(options.catalogue.as_deref(), options.policy.as_deref(), config)
    }

    /// Reads both, from these directories or those of the configuration.
    ///
    /// # Errors
    ///
    /// Every mistake of every file, at once.
    pub(super) fn of(catalogue: Option<&Path>, policy: Option<&Path>, config: Config) -> Result<Self, CliError> {
        let directory = catalogue.or(config.catalogue.as_deref());
        let directory = directory.unwrap_or(Path::new(catalogue::DIRECTORY));
        let loaded = Catalogue::load(directory).map_err(CliError::usage)?;
        for note in loaded.notes.sorted() {
            tracing::warn!("{note}");
        }
        let policy_directory = policy.or(config.policy.as_deref()).unwrap_or(Path::new(policy::DIRECTORY));
        let rules = Rules::of(directory, policy_directory);
        let policy = read_policy(policy_directory, &loaded.catalogue).map_err(CliError::usage)?;
        let policy_directory = policy_directory.to_owned();
        Ok(Self {
            catalogue: Arc::new(loaded.catalogue),
            policy,
            policy_directory,
            config,
            rules,
            place: None,
            kept: None,
            confine: None,
        })
    }
}

/// Reads the policy and logs what its author should be told.
pub(super) fn read_policy(directory: &Path, catalogue: &Catalogue) -> Result<Policy, Problems> {
    let loaded = Policy::load(directory, &[], catalogue)?;
    for note in loaded.notes.sorted() {
        tracing::warn!("{note}");
    }
    Ok(loaded.policy)
}

/// The history, opened, and who is woken by it.
pub(super) struct Kept {
    /// The history.
    pub(super) history: Database,
    /// Wakes the sinks.
    pub(super) bell: Bell,
}

/// The state directory.
pub(super) fn state(options: &SensorOptions, config: &Config) -> PathBuf {
    options.state_dir.clone().or_else(|| config.state_dir.clone()).unwrap_or_else(|| state::DIRECTORY.into())
}

/// The key of fingerprints. A full disk or a damaged file is no reason not to watch: without a key no token is followed.
fn fingerprint_key(state: &Path, given: Option<Key>) -> Option<Key> {
    let own = || key::load_or_create(state).inspect_err(|error| tracing::error!(%error, "tokens are not followed"));
    given.or_else(|| own().ok())
}

impl Inputs {
    /// Records to this file, which is made at once: a path that cannot be written is a mistake of the caller.
    ///
    /// # Errors
    ///
    /// When it exists or cannot be made.
    pub(super) fn record(&mut self, path: Option<&Path>) -> Result<(), CliError> {
        self.place = path.map(Place::create).transpose().map_err(CliError::usage)?;
        Ok(())
    }
}

/// A running sensor and pipeline.
pub(super) struct Session {
    wake: fs::File,
    orders: mpsc::SyncSender<Order>,
    worker: JoinHandle<Result<Ended, PipelineError>>,
    /// Outcome of the self-test.
    pub(super) proofs: Vec<Proof>,
    /// What was attached.
    pub(super) plan: crate::probe::plan::Plan,
}

impl Session {
    /// Starts sensor and pipeline. Findings go to the history, if there is one, and to `findings`.
    ///
    /// # Errors
    ///
    /// When kernel or rights do not allow it (exit code 77), or something fails.
    pub(super) fn start(
        options: &SensorOptions,
        inputs: Inputs,
        scope: Scope,
        extra_homes: Vec<PathBuf>,
        metrics: Metrics,
        findings: Option<mpsc::SyncSender<Report>>,
    ) -> Result<Self, CliError> {
        // A key that the fleet gave and that cannot be used is a mistake of whoever configured it: it is told before anything starts.
        let given = inputs.config.fingerprint_key.as_deref().filter(|_| inputs.kept.is_some());
        let given = given.map(key::load).transpose().map_err(CliError::usage)?;
        let mut sensor = Sensor::start(options.tier.map(Into::into).or(inputs.config.tier)).map_err(load_error)?;
        let plan = sensor.plan.clone();
        for missing in &sensor.missing {
            tracing::warn!("this kernel does not tell the {missing}");
        }
        let state = state(options, &inputs.config);
        let bounds = inputs.config.history.unwrap_or_default();
        let follow = inputs.kept.map(|Kept { history, bell }| {
            let key = fingerprint_key(&state, given);
            Follow { key, history, bounds, bell }
        });
        let directory = runtime_directory();
        let proofs = selftest::prove(&mut sensor, &directory);
        let names = match &inputs.confine {
            None => Service::Program,
            Some(files) => {
                // No thread may be left that keeps its rights.
                sensor.settle();
                confine(files, &state, directory)?
            }
        };
        let (orders, taken) = mpsc::sync_channel(1);
        let parts = Parts {
            orders: taken,
            catalogue: inputs.catalogue,
            policy: inputs.policy,
            names,
            scope,
            host: host(),
            extra_homes,
            salt: salt(),
            metrics,
            findings,
            recording: inputs.place.map(|place| Recording { place, rules: inputs.rules }),
            state,
            follow,
        };
        let (reader, wake) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| CliError::failure(format!("create a pipe: {error}")))?;
        let mut pipeline = Pipeline::start(sensor, proofs.clone(), parts).map_err(CliError::failure)?;
        let worker = thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || pipeline.run(&reader))
            .map_err(|error| CliError::failure(format!("start the pipeline thread: {error}")))?;
        Ok(Self { wake: wake.into(), orders, worker, proofs, plan })
    }

    /// Whether the pipeline has stopped by itself, which it never should.
    #[must_use]
    pub(super) fn ended(&self) -> bool {
        self.worker.is_finished()
    }

    /// Goes by this policy from now on; waits while the one before it has not been taken. Without effect on a pipeline that has ended, which is told elsewhere.
    pub(super) fn adopt(&mut self, policy: Policy) {
        if self.orders.send(Order::Policy(Box::new(policy))).is_ok() {
            let _ = self.wake.write_all(&[WAKE_ORDER]);
        }
    }

    /// Takes in what the kernel has reported so far, then ends.
    ///
    /// # Errors
    ///
    /// What made the pipeline stop.
    pub(super) fn stop(mut self) -> Result<(), CliError> {
        // If it has ended already there is nobody to wake.
        let _ = self.wake.write_all(b".");
        let ended = match self.worker.join() {
            Ok(outcome) => outcome.map_err(CliError::failure)?,
            Err(_) => return Err(CliError::failure("the pipeline thread panicked; please report this")),
        };
        if let Some(trouble) = ended.capture {
            eprintln!("tokenhound: {trouble}");
        }
        Ok(())
    }
}

/// Gives up all rights but those of a running agent. Programs cannot be started afterwards: who asks name services does so in
/// a process of its own.
fn confine(files: &[PathBuf], state: &Path, runtime: PathBuf) -> Result<Service, CliError> {
    let names = match Helper::start() {
        Ok(helper) => Service::Helper(helper),
        Err(error) => {
            tracing::warn!(%error, "users who are not in /etc/passwd stay numbers");
            Service::Program
        }
    };
    let parents = files.iter().filter_map(|file| file.parent()).map(Path::to_owned);
    let places: Vec<PathBuf> = parents.chain([state.to_owned(), runtime]).collect();
    let given = privilege::give_up(&places).map_err(CliError::failure)?;
    let privilege::Given { capabilities, calls, files } = &given;
    tracing::info!(%capabilities, %calls, %files, "rights were given up");
    Ok(names)
}

fn load_error(error: LoadError) -> CliError {
    match error {
        LoadError::Plan(
            PlanError::NoRights(_) | PlanError::NoBtf(_) | PlanError::Nothing(_) | PlanError::Unavailable { .. },
        )
        | LoadError::Offsets(_) => CliError::unsupported(error),
        other => CliError::failure(other),
    }
}

/// A runtime for signals and HTTP; the pipeline has its own thread.
///
/// # Errors
///
/// When the system gives no event queue.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failure(format!("start the runtime: {error}")))
}

/// Logs: human text on a terminal, JSON otherwise. `TOKENHOUND_LOG` sets the level (`info`, `tokenhound=debug`).
pub(super) fn init_log() {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TOKENHOUND_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only when a log exists already, which is then the one to use.
    let _ = if std::io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
}

/// What a finding says of this machine.
#[must_use]
pub(super) fn host() -> Host {
    let uname = rustix::system::uname();
    Host {
        hostname: Some(uname.nodename().to_string_lossy().into_owned()),
        kernel_release: Some(uname.release().to_string_lossy().into_owned()),
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned()),
    }
}

/// Where the canary is put: our own directory in `/run`, or the directory for temporary files where there is no `/run`.
pub(super) fn runtime_directory() -> PathBuf {
    use std::os::unix::fs::DirBuilderExt;
    let directory = Path::new("/run/tokenhound");
    match fs::DirBuilder::new().mode(0o700).recursive(true).create(directory) {
        Ok(()) => directory.to_owned(),
        Err(_) => std::env::temp_dir(),
    }
}

/// Finding ids differ between hosts and boots and are the same in a replay.
fn salt() -> Salt {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let host = match read("/etc/machine-id") {
        id if id.is_empty() => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        id => id,
    };
    Salt::new(&host, &read("/proc/sys/kernel/random/boot_id"))
}
