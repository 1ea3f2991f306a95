//! What `run`, `watch` and `demo` share: sensor, pipeline thread, sinks and their end.

use std::{
    fs,
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use super::{CliError, SensorOptions};
use crate::{
    catalogue::Catalogue,
    finding::model::{Finding, Salt},
    pipeline::{Parts, Pipeline, PipelineError, Scope},
    policy::Policy,
    probe::{
        load::{LoadError, Sensor},
        plan::PlanError,
        selftest::Proof,
    },
    telemetry::Metrics,
};

/// Catalogue and policy, read and checked before anything is started.
pub struct Inputs {
    /// The stores.
    pub catalogue: Arc<Catalogue>,
    /// The exceptions.
    pub policy: Policy,
}

impl Inputs {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// Every mistake of every file, at once.
    pub fn read(options: &SensorOptions) -> Result<Self, CliError> {
        let loaded = Catalogue::load(&options.catalogue).map_err(CliError::usage)?;
        for note in loaded.notes.iter() {
            tracing::warn!("{note}");
        }
        let loaded_policy = Policy::load(&options.policy, &loaded.catalogue).map_err(CliError::usage)?;
        for note in loaded_policy.notes.iter() {
            tracing::warn!("{note}");
        }
        Ok(Self { catalogue: Arc::new(loaded.catalogue), policy: loaded_policy.policy })
    }
}

/// A running sensor and pipeline.
pub struct Session {
    wake: OwnedFd,
    worker: JoinHandle<Result<(), PipelineError>>,
    /// Outcome of the self-test.
    pub proofs: Vec<Proof>,
    /// What was attached.
    pub plan: crate::probe::plan::Plan,
}

impl Session {
    /// Starts sensor and pipeline. Findings go to `findings`.
    ///
    /// # Errors
    ///
    /// When kernel or rights do not allow it (exit code 77), or something fails.
    pub fn start(
        options: &SensorOptions,
        inputs: Inputs,
        scope: Scope,
        extra_homes: Vec<PathBuf>,
        metrics: Arc<Metrics>,
        findings: mpsc::Sender<Finding>,
    ) -> Result<Self, CliError> {
        let sensor = Sensor::start(options.tier.map(Into::into)).map_err(load_error)?;
        let plan = sensor.plan.clone();
        for missing in &sensor.missing {
            tracing::warn!("this kernel does not tell the {missing}");
        }
        let parts = Parts {
            catalogue: inputs.catalogue,
            policy: inputs.policy,
            scope,
            extra_homes,
            salt: salt(),
            metrics,
            findings,
        };
        let (reader, wake) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| CliError::failure(format!("create a pipe: {error}")))?;
        let directory = runtime_directory();
        let mut pipeline = Pipeline::start(sensor, parts, &directory).map_err(CliError::failure)?;
        let proofs = pipeline.proofs().to_vec();
        let worker = thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || pipeline.run(&reader))
            .map_err(|error| CliError::failure(format!("start the pipeline thread: {error}")))?;
        Ok(Self { wake, worker, proofs, plan })
    }

    /// Whether the pipeline has stopped by itself, which it never should.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.worker.is_finished()
    }

    /// Takes in what the kernel has reported so far, then ends.
    ///
    /// # Errors
    ///
    /// What made the pipeline stop.
    pub fn stop(self) -> Result<(), CliError> {
        let mut wake = fs::File::from(self.wake);
        // If it has ended already there is nobody to wake.
        let _ = wake.write_all(b".");
        match self.worker.join() {
            Ok(outcome) => outcome.map_err(CliError::failure),
            Err(_) => Err(CliError::failure("the pipeline thread panicked; please report this")),
        }
    }
}

fn load_error(error: LoadError) -> CliError {
    match error {
        LoadError::Plan(PlanError::NoRights(_) | PlanError::NoBtf(_) | PlanError::Nothing(_) | PlanError::Unavailable { .. })
        | LoadError::Offsets(_) => CliError::unsupported(error),
        other => CliError::failure(other),
    }
}

/// Where the canary is put: our own directory in `/run`, or the directory for temporary files where there is no `/run`.
pub fn runtime_directory() -> PathBuf {
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
