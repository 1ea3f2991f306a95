//! `tokenhound policy learn`.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::signal::unix::SignalKind;

use super::super::{
    CliError, Exit, SensorOptions, print,
    run::{died, listen, lock},
    session::{self, Inputs, Session},
};
use crate::{
    catalogue::Catalogue,
    pipeline::{Report, Scope},
    policy::{Policy, learn::Learner, times},
    telemetry::metrics::Metrics,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Options {
    /// How long to watch: 90s, 30m, 8h, 7d. SIGINT and SIGTERM end it earlier, with what was learnt so far.
    #[arg(long = "for", value_name = "DURATION", default_value = "24h", value_parser = times::duration)]
    time: Duration,
    /// Write the policy to this new file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Learn from captures, or directories of them (`*.capture`), instead of watching.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    captures: Vec<PathBuf>,
    #[command(flatten)]
    sensor: SensorOptions,
}

pub(super) fn execute(options: Options) -> Result<Exit, CliError> {
    let mut out = options.out.as_deref().map(Out::create).transpose()?;
    let (learner, host) = if options.captures.is_empty() {
        session::init_log();
        watched(&options, out.as_mut())?
    } else {
        replayed(&options)?
    };
    let learnt = learner.finish(&host);
    match &mut out {
        Some(out) => out.write(&learnt.text)?,
        None => print(&learnt.text)?,
    }
    eprintln!("tokenhound: {} exceptions proposed, {} readers refused", learnt.exceptions, learnt.refused);
    Ok(Exit::Success)
}

fn replayed(options: &Options) -> Result<(Learner, String), CliError> {
    let catalogue = Arc::new(super::catalogue(options.sensor.catalogue.as_deref())?);
    let policy = Policy::trial(options.sensor.policy.as_deref(), None, &catalogue).map_err(CliError::usage)?;
    let (mut learner, mut host) = (Learner::default(), String::new());
    for path in super::captures(&options.captures)? {
        let mut take = |finding: &_| learner.take(finding, catalogue.interpreters());
        host = super::findings(&path, &catalogue, policy.clone(), &mut take)?;
    }
    Ok((learner, host))
}

/// Watches this machine.
fn watched(options: &Options, out: Option<&mut Out>) -> Result<(Learner, String), CliError> {
    let inputs = Inputs::read(&options.sensor)?;
    // Each would take the other for a thief.
    let _lock = lock("learn from what it records (`run --record`) with --captures")?;
    let catalogue = Arc::clone(&inputs.catalogue);
    let (sender, receiver) = mpsc::sync_channel(session::REPORTS);
    let session = Session::start(&options.sensor, inputs, Scope::Host, Vec::new(), Metrics::new().0, Some(sender))?;
    for proof in session.proofs.iter().filter(|proof| proof.failure.is_some()) {
        tracing::warn!(probe = proof.hook.label(), "is not live: what it sees is not learnt");
    }
    let learning = std::thread::Builder::new()
        .name("learn".into())
        .spawn(move || learn(&receiver, &catalogue))
        .map_err(|error| CliError::failure(format!("start a thread: {error}")))?;
    if let Some(out) = out {
        out.write("# `tokenhound policy learn` is still watching.\n")?;
    }
    tracing::info!(tier = session.plan.tier.name(), seconds = options.time.as_secs(), "watching, to learn");
    session::runtime()?.block_on(async {
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        tokio::select! {
            () = tokio::time::sleep(options.time) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = died(&session) => tracing::error!("the pipeline has stopped by itself"),
        }
        Ok(())
    })?;
    session.stop()?;
    let learner = learning.join().map_err(|_| CliError::failure("the learning thread panicked; please report this"))?;
    Ok((learner, session::host().hostname.unwrap_or_default()))
}

fn learn(reports: &mpsc::Receiver<Report>, catalogue: &Catalogue) -> Learner {
    let mut learner = Learner::default();
    for report in reports {
        if let Report::Finding(finding) = report {
            learner.take(&finding, catalogue.interpreters());
        }
    }
    learner
}

/// The file that the policy is written to. Made before anything is watched: a path that cannot be written is told at once.
struct Out {
    path: PathBuf,
    file: File,
}

impl Out {
    /// A policy that is there is left alone: somebody may have reviewed it.
    fn create(path: &Path) -> Result<Self, CliError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| CliError::usage(format!("create {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Replaces what it holds.
    fn write(&mut self, text: &str) -> Result<(), CliError> {
        let written =
            self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(text.as_bytes()));
        let failed =
            |error| CliError::failure(format!("write {}: {error}; check the space left there", self.path.display()));
        written.map_err(failed)
    }
}
