//! `tokenhound run --ci`: beside the steps of a job, from one step to a later one.
//!
//! It serves nothing and holds no lock: a machine may have several runners, and an agent of its own besides. Only what
//! belongs to the job that it was started in is told, as what others do is none of the job's business.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use tokio::signal::unix::SignalKind;

use super::{
    CliError, Exit, SensorOptions,
    ci::{self, Closing, FailOn, Reports, When},
    run,
    session::{self, Inputs, Session},
};
use crate::{pipeline::Scope, telemetry::metrics::Metrics};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct JobOptions {
    /// Watch only the CI job that this is started in; when told to stop, report all that it touched.
    #[arg(long)]
    pub(super) ci: bool,
    /// With --ci: exit with 3 if a finding is at or above this level.
    #[arg(long, value_name = "LEVEL", default_value = "high", value_parser = FailOn::parse)]
    fail_on: FailOn,
    /// With --ci: make this file once everything is watched.
    #[arg(long, value_name = "FILE")]
    ready: Option<PathBuf>,
    #[command(flatten)]
    reports: Reports,
}

impl JobOptions {
    /// Refuses what has no meaning without `--ci`.
    ///
    /// # Errors
    ///
    /// When there is such an option.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let Reports { summary, sarif, annotations } = &self.reports;
        let given =
            [("--ready", &self.ready), ("--summary", summary), ("--sarif", sarif), ("--annotations", annotations)];
        match given.into_iter().find(|(_, path)| !self.ci && path.is_some()) {
            Some((option, _)) => Err(CliError::usage(format!("{option} goes with --ci"))),
            None => Ok(()),
        }
    }
}

/// Runs until SIGTERM or SIGINT, then reports.
pub(super) fn execute(
    options: &SensorOptions,
    inputs: Inputs,
    findings: Option<&Path>,
    job: &JobOptions,
) -> Result<Exit, CliError> {
    // Files are opened before anything starts: a path that cannot be written is a mistake of the caller.
    let mut findings = findings.map(ci::create).transpose()?;
    let closing = Closing::open(&job.reports, When::Always, Arc::clone(&inputs.catalogue))?.of_later_step();
    let (sender, receiver) = mpsc::sync_channel(session::REPORTS);
    let session = Session::start(options, inputs, Scope::Job, Vec::new(), Metrics::new().0, Some(sender))?;
    for proof in session.proofs.iter().filter(|proof| proof.failure.is_some()) {
        tracing::error!(probe = proof.hook.label(), failure = proof.failure.as_deref(), "a probe is not live");
    }
    let collector = thread::Builder::new()
        .name("findings".into())
        .spawn(move || ci::collect(&receiver, findings.as_mut()))
        .map_err(|error| CliError::failure(format!("start a thread: {error}")))?;
    let stopped = session::runtime()?.block_on(stop(&session, job.ready.as_deref()));
    let ended = session.stop();
    let touched =
        collector.join().map_err(|_| CliError::failure("the findings thread panicked; please report this"))??;
    ci::report(&touched);
    closing.close(&touched)?;
    stopped.and(ended)?;
    Ok(if job.fail_on.is_reached(&touched) { Exit::Findings } else { Exit::Success })
}

/// Says that all is watched, and waits for the signal to stop.
async fn stop(session: &Session, ready: Option<&Path>) -> Result<(), CliError> {
    let (mut terminate, mut interrupt) = (run::listen(SignalKind::terminate())?, run::listen(SignalKind::interrupt())?);
    if let Some(path) = ready {
        let mut file = ci::create(path)?;
        file.write_all(b"ready\n").map_err(|error| CliError::failure(format!("write {}: {error}", path.display())))?;
    }
    tracing::info!(tier = session.plan.tier.name(), "watching the job");
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = run::died(session) => Err(CliError::failure("the pipeline has stopped by itself: what came after is not known")),
    }
}
