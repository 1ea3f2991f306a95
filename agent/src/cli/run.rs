//! `tokenhound run`: the agent.

use std::{
    fs::{self, File, TryLockError},
    io::{self, IsTerminal},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    CliError, Exit, SensorOptions,
    run_ci::{self, JobOptions},
    session::{self, Inputs, Session},
};
use crate::{
    finding::text::Style,
    pipeline::{Report, Scope},
    sink::{
        file::FileSink,
        queue::{SinkHandle, Sinks},
        text::TextSink,
    },
    telemetry::{
        events,
        http::{self, Readiness},
        metrics::Metrics,
    },
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Append each finding to this file, as one OCSF object a line.
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// Serve /metrics, /healthz and /readyz here [default: 127.0.0.1:9466].
    #[arg(long, value_name = "ADDR", conflicts_with = "ci")]
    listen: Option<SocketAddr>,
    /// Record everything that findings are made of to this new file, without secrets, for `replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    job: JobOptions,
    #[command(flatten)]
    sensor: SensorOptions,
}

/// Where metrics are served unless something else is said.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9466);

/// Runs until SIGTERM or SIGINT; SIGHUP makes it read its policy anew.
pub(super) fn execute(options: Options) -> Result<Exit, CliError> {
    session::init_log();
    options.job.check()?;
    let mut inputs = Inputs::read(&options.sensor)?;
    if options.job.ci {
        let findings = options.findings.or_else(|| inputs.config.findings.clone());
        inputs.record(options.record.as_deref())?;
        return run_ci::execute(&options.sensor, inputs, findings.as_deref(), &options.job);
    }
    let listen = options.listen.or(inputs.config.listen).unwrap_or(LISTEN);
    if !listen.ip().is_loopback() {
        return Err(CliError::usage(format!(
            "listen on {listen}: only loopback addresses are served for now; put a proxy with TLS in front"
        )));
    }
    let findings = options.findings.clone().or_else(|| inputs.config.findings.clone());
    let mut sinks = Sinks::new().text(TextSink::new(io::stdout(), Style { colour: io::stdout().is_terminal() }));
    if let Some(path) = findings {
        sinks = sinks.file(FileSink::open(&path, session::host()).map_err(CliError::usage)?);
    }
    let _lock = lock("use `tokenhound watch`")?;
    inputs.follow = true;
    inputs.record(options.record.as_deref())?;
    let runtime = session::runtime()?;
    let outcome = runtime.block_on(serve(&options.sensor, inputs, listen, sinks));
    // Nothing that is still waiting for a client may hold us up.
    runtime.shutdown_background();
    outcome
}

async fn serve(options: &SensorOptions, inputs: Inputs, address: SocketAddr, sinks: Sinks) -> Result<Exit, CliError> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        CliError::failure(format!("listen on {address}: {error}; choose another address with --listen"))
    })?;
    let (metrics, registry) = Metrics::new();
    let readiness = Readiness::new([]);
    // The server ends with the runtime; connections that are open then are cut.
    tokio::spawn(http::serve(listener, Arc::new(registry), readiness.clone(), std::future::pending()));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hangup = listen(SignalKind::hangup())?;
    let (directory, catalogue) = (inputs.policy_directory.clone(), Arc::clone(&inputs.catalogue));
    let sinks = sinks.start(metrics.clone()).map_err(CliError::failure)?;
    let (sender, receiver) = mpsc::sync_channel(session::REPORTS);
    let mut session = Session::start(options, inputs, Scope::Host, Vec::new(), metrics.clone(), sender)?;
    let delivery = thread::Builder::new()
        .name("deliver".into())
        .spawn(move || deliver(receiver, sinks))
        .map_err(|error| CliError::failure(format!("start a thread: {error}")))?;
    for proof in &session.proofs {
        match &proof.failure {
            None => readiness.live(proof.hook.label()),
            Some(failure) => readiness.not_live(proof.hook.label(), failure),
        }
    }
    tracing::info!(tier = session.plan.tier.name(), listen = %address, "watching");
    loop {
        tokio::select! {
            _ = hangup.recv() => match session::read_policy(&directory, &catalogue) {
                Ok(policy) => session.adopt(policy),
                Err(problems) => events::PolicyRefused(&problems).emit(&metrics),
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = died(&session) => {
                tracing::error!("the pipeline has stopped by itself");
                break;
            }
        }
    }
    tracing::info!("stopping");
    let ended = session.stop();
    match delivery.join() {
        Ok(0) => {}
        Ok(left) => tracing::error!(left, "findings could not be written to the end"),
        Err(_) => tracing::error!("the delivery thread panicked"),
    }
    ended.map(|()| Exit::Success)
}

/// Hands findings to the sinks until the pipeline ends; returns how many were left undelivered.
fn deliver(reports: mpsc::Receiver<Report>, sinks: SinkHandle) -> usize {
    for report in reports {
        if let Report::Finding(finding) = report {
            // What does not fit is counted and logged there.
            sinks.send(Arc::from(finding));
        }
    }
    sinks.finish()
}

/// Returns when the pipeline has ended by itself, which it does only on errors.
pub(super) async fn died(session: &Session) {
    let mut look = tokio::time::interval(std::time::Duration::from_millis(500));
    while !session.ended() {
        look.tick().await;
    }
}

pub(super) fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, CliError> {
    signal(kind).map_err(|error| CliError::failure(format!("handle signals: {error}")))
}

/// One agent for a machine: a second one would report everything twice.
///
/// # Errors
/// When another runs, with what to do `instead`, or the lock cannot be had.
pub(super) fn lock(instead: &str) -> Result<File, CliError> {
    let path = session::runtime_directory().join("agent.lock");
    let file =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| {
            match error.kind() {
                io::ErrorKind::PermissionDenied => CliError::unsupported(format!(
                    "open {}: {error}; the agent must be started by root",
                    path.display()
                )),
                _ => CliError::failure(format!("open {}: {error}", path.display())),
            }
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::failure(format!(
            "another agent is running here (it holds {}); stop it first, or {instead}",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(CliError::failure(format!("lock {}: {error}", path.display()))),
    }
}
