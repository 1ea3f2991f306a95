//! `tokenhound run`: the agent.

use std::{
    fs::{self, File, TryLockError},
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    CliError, Exit, SensorOptions,
    session::{self, Inputs, Session},
};
use crate::{
    finding::text::Style,
    pipeline::{Report, Scope},
    sink::{file::FileSink, queue::Sinks, text::TextSink},
    telemetry::{
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
    /// Serve /metrics, /healthz and /readyz here.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9466")]
    listen: SocketAddr,
    #[command(flatten)]
    sensor: SensorOptions,
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn execute(options: Options) -> Result<Exit, CliError> {
    session::init_log();
    let inputs = Inputs::read(&options.sensor)?;
    if !options.listen.ip().is_loopback() {
        return Err(CliError::usage(format!(
            "--listen {}: only loopback addresses are served for now; put a proxy with TLS in front",
            options.listen
        )));
    }
    let _lock = lock()?;
    let runtime = session::runtime()?;
    let outcome = runtime.block_on(serve(options, inputs));
    // Nothing that is still waiting for a client may hold us up.
    runtime.shutdown_background();
    outcome
}

async fn serve(options: Options, inputs: Inputs) -> Result<Exit, CliError> {
    let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(|error| {
        CliError::failure(format!("listen on {}: {error}; choose another address with --listen", options.listen))
    })?;
    let (metrics, registry) = Metrics::new();
    let colour = std::io::stdout().is_terminal();
    let mut sinks = Sinks::new().text(TextSink::new(std::io::stdout(), Style { colour }));
    if let Some(path) = &options.findings {
        sinks = sinks.file(FileSink::open(path, session::host()).map_err(CliError::usage)?);
    }
    let sinks = sinks.start(metrics.clone()).map_err(CliError::failure)?;
    let readiness = Readiness::new([]);
    let (stop_http, stopped) = tokio::sync::oneshot::channel::<()>();
    let told_to_stop = async {
        // Dropping the sender means the same.
        let _ = stopped.await;
    };
    let server = tokio::spawn(http::serve(listener, Arc::new(registry), readiness.clone(), told_to_stop));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::sync_channel(session::REPORTS);
    let session = Session::start(&options.sensor, inputs, Scope::Host, Vec::new(), metrics, sender)?;
    let deliver = std::thread::Builder::new()
        .name("deliver".into())
        .spawn(move || {
            for report in receiver {
                if let Report::Finding(finding) = report {
                    sinks.send(Arc::from(finding));
                }
            }
            sinks.finish()
        })
        .map_err(|error| CliError::failure(format!("start a thread: {error}")))?;
    for proof in &session.proofs {
        match &proof.failure {
            None => readiness.live(proof.hook.program()),
            Some(failure) => readiness.not_live(proof.hook.program(), failure),
        }
    }
    tracing::info!(tier = session.plan.tier.name(), listen = %options.listen, "watching");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = died(&session) => tracing::error!("the pipeline has stopped by itself"),
    }
    tracing::info!("stopping");
    let ended = session.stop();
    match deliver.join() {
        Ok(0) => {}
        Ok(left) => tracing::error!(left, "findings could not be written to the end"),
        Err(_) => tracing::error!("the delivery thread panicked"),
    }
    drop(stop_http);
    // The server ends with the runtime; its own errors were logged.
    drop(server);
    ended.map(|()| Exit::Success)
}

/// Returns when the pipeline has ended by itself, which it does only on errors.
async fn died(session: &Session) {
    let mut look = tokio::time::interval(std::time::Duration::from_millis(500));
    while !session.ended() {
        look.tick().await;
    }
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, CliError> {
    signal(kind).map_err(|error| CliError::failure(format!("handle signals: {error}")))
}

/// One agent for a machine: a second one would report everything twice.
fn lock() -> Result<File, CliError> {
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
            "another agent is running here (it holds {}); stop it first, or use `tokenhound watch`",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(CliError::failure(format!("lock {}: {error}", path.display()))),
    }
}
