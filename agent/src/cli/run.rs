//! `tokenhound run`: the agent.

use std::{
    fs::{self, File, TryLockError},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    CliError, Exit, SensorOptions,
    run_ci::{self, JobOptions},
    session::{self, Inputs, Kept, Session},
};
use crate::{
    config::Config,
    history::{Database, bell::Bell},
    outbox::{self, Outbox},
    pipeline::Scope,
    privilege::files,
    sink::{
        self, Made,
        config::{Settings, SinkConfig},
        file, stdout,
    },
    telemetry::{
        events,
        http::{self, Readiness, door::Door},
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

/// Runs until SIGTERM or SIGINT; SIGHUP makes it read its policy, and which sinks there are, anew.
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
    let (tls, token) = (inputs.config.listen_tls.as_ref(), inputs.config.listen_token.as_ref());
    let door = Door::new(listen, tls, token).map_err(CliError::usage)?;
    // Before anything starts: a sink that can never work is a mistake of whoever configured it.
    let sinks = made(configured(&inputs.config, options.findings.as_deref())?)?;
    inputs.confine = Some(written(&sinks));
    let _lock = lock("use `tokenhound watch`")?;
    let (state, history) = open_history(&session::state(&options.sensor, &inputs.config))?;
    let delivery = Delivery { state, sinks, bell: Bell::default(), findings: options.findings };
    inputs.kept = Some(delivery.keep(history)?);
    inputs.record(options.record.as_deref())?;
    let runtime = session::runtime()?;
    let outcome = runtime.block_on(serve(&options.sensor, inputs, (listen, door), delivery));
    // Nothing that is still waiting for a client may hold us up.
    runtime.shutdown_background();
    outcome
}

/// What was made ready before anything starts.
struct Delivery {
    /// Where the history is.
    state: PathBuf,
    sinks: Vec<Made>,
    bell: Bell,
    /// The file of `--findings`.
    findings: Option<PathBuf>,
}

impl Delivery {
    /// The history, in which the sinks are noted: what is found from now on is for them.
    fn keep(&self, mut history: Database) -> Result<Kept, CliError> {
        let configured: Vec<SinkConfig> = self.sinks.iter().map(|(config, _)| config.clone()).collect();
        history.configure_sinks(&configured).map_err(CliError::failure)?;
        self.bell.committed(history.last_position().map_err(CliError::failure)?);
        Ok(Kept { history, bell: self.bell.clone() })
    }
}

/// Every sink: as configured, or text on standard output; and the file that findings are to go to, that of the command line or
/// else of the configuration.
fn configured(config: &Config, findings: Option<&Path>) -> Result<Vec<SinkConfig>, CliError> {
    let mut sinks = config.sinks.clone().unwrap_or_else(|| vec![stdout::default_sink()]);
    if let Some(path) = findings.or(config.findings.as_deref()) {
        let path =
            std::path::absolute(path).map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
        let sink = file::default_sink(path);
        if sinks.iter().any(|other| other.name == sink.name) {
            let said = format!("a sink is named \"{}\" already, which is that of --findings; rename it", sink.name);
            return Err(CliError::usage(said));
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

fn made(sinks: Vec<SinkConfig>) -> Result<Vec<Made>, CliError> {
    let host = session::host();
    let built = sinks.into_iter().map(|config| sink::build(&config, &host).map(|sink| (config, sink)));
    built.collect::<Result<_, _>>().map_err(CliError::usage)
}

/// SIGHUP: the sinks that are configured now. A mistake leaves all of them as they were.
fn renew(outbox: &mut Outbox, file: Option<&Path>, findings: Option<&Path>) {
    let read = || {
        let all = configured(&Config::load(file).map_err(CliError::usage)?, findings)?;
        let known: Vec<&SinkConfig> = outbox.configured().collect();
        let same = known.len() == all.len() && all.iter().all(|sink| known.contains(&sink));
        let new = made(all.iter().filter(|sink| !known.contains(sink)).cloned().collect())?;
        Ok::<_, CliError>((all, new, same))
    };
    match read() {
        Ok((_, _, true)) => outbox.reopen(),
        Ok((all, new, false)) => {
            let names: Vec<&str> = all.iter().map(|sink| sink.name.as_str()).collect();
            match outbox.change(&all, new) {
                Ok(()) => tracing::info!(sinks = names.join(", "), "the sinks are those that are configured now"),
                Err(error) => tracing::error!(%error, "not all sinks could be started; restart the agent"),
            }
        }
        Err(error) => {
            tracing::error!(error = error.message, "the sinks stay as they were");
            outbox.reopen();
        }
    }
}

/// The files that sinks write to.
fn written(sinks: &[Made]) -> Vec<PathBuf> {
    let path = |config: &SinkConfig| match &config.settings {
        Settings::File(file) => Some(file.path.clone()),
        _ => None,
    };
    sinks.iter().filter_map(|(config, _)| path(config)).collect()
}

/// The history in the state directory. Where that is full or damaged, one beside it in `/run`, and its directory: what is
/// found still goes out, and is kept until the machine is started again.
fn open_history(state: &Path) -> Result<(PathBuf, Database), CliError> {
    let error = match Database::open(state) {
        Ok(history) => return Ok((state.to_owned(), history)),
        Err(error) => error,
    };
    let beside = session::runtime_directory().join("state");
    tracing::error!(%error, instead = %beside.display(), "the history cannot be used; another one is");
    match Database::open(&beside) {
        Ok(history) => Ok((beside, history)),
        Err(_) => Err(CliError::failure(error)),
    }
}

async fn serve(
    options: &SensorOptions,
    inputs: Inputs,
    (address, door): (SocketAddr, Door),
    delivery: Delivery,
) -> Result<Exit, CliError> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        CliError::failure(format!("listen on {address}: {error}; choose another address with --listen"))
    })?;
    let (metrics, registry) = Metrics::new();
    let readiness = Readiness::new([]);
    // The server ends with the runtime; connections that are open then are cut.
    tokio::spawn(http::serve(listener, Arc::new(registry), readiness.clone(), door, std::future::pending()));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hangup = listen(SignalKind::hangup())?;
    let (directory, catalogue) = (inputs.policy_directory.clone(), Arc::clone(&inputs.catalogue));
    let mut session = Session::start(options, inputs, Scope::Host, Vec::new(), metrics.clone(), None)?;
    // This thread and those that it starts from here on, which are those of the sinks, look into no process.
    files::keep_to_own();
    let Delivery { state, sinks, bell, findings } = delivery;
    let mut outbox = Outbox::start(&state, sinks, &bell, &metrics).map_err(CliError::failure)?;
    for proof in &session.proofs {
        match &proof.failure {
            None => readiness.live(proof.hook.label()),
            Some(failure) => readiness.not_live(proof.hook.label(), failure),
        }
    }
    tracing::info!(tier = session.plan.tier.name(), listen = %address, "watching");
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                renew(&mut outbox, options.config.as_deref(), findings.as_deref());
                match session::read_policy(&directory, &catalogue) {
                    Ok(policy) => session.adopt(policy),
                    Err(problems) => events::PolicyRefused(&problems).emit(&metrics),
                }
            }
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
    match outbox.stop(outbox::GRACE) {
        Some(0) => {}
        Some(left) => tracing::warn!(left, "a sink has not taken everything; it goes out after the next start"),
        None => tracing::warn!("a sink does not answer; what it has not taken goes out after the next start"),
    }
    ended.map(|()| Exit::Success)
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
