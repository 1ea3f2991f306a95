//! `tokenhound watch`: run a command, then say what its process tree touched.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, mpsc},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    CliError, Exit, SensorOptions,
    child::{self, Identity},
    ci::{self, Closing, FailOn, Reports, When},
    session::{Inputs, Session},
};
use crate::{lineage::users::Users, pipeline::Scope, telemetry::metrics::Metrics};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Exit with 3 if a finding is at or above this level and the command itself succeeded.
    #[arg(long, value_name = "LEVEL", default_value = "high", value_parser = FailOn::parse)]
    fail_on: FailOn,
    /// Write each finding to this file, as one OCSF object a line.
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    #[command(flatten)]
    reports: Reports,
    /// Tell a CI system what it understands: the step's summary, annotations, every store that was touched.
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always"
    )]
    ci: When,
    /// Record everything that findings are made of to this new file, without secrets, for `replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Run the command as this user. Under sudo: the user who called sudo.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    sensor: SensorOptions,
    /// The command.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the command.
pub(super) fn execute(options: Options) -> Result<Exit, CliError> {
    let identity = identity(options.user.as_deref())?;
    let mut inputs = Inputs::read(&options.sensor)?;
    // Files are opened before anything starts: a path that cannot be written is a mistake of the caller.
    let mut findings_file = options.findings.as_deref().map(ci::create).transpose()?;
    let closing = Closing::open(&options.reports, options.ci, Arc::clone(&inputs.catalogue))?;
    inputs.record(options.record.as_deref())?;
    let (sender, receiver) = mpsc::sync_channel(super::session::REPORTS);
    let homes = identity.iter().map(|identity| identity.home.clone()).collect();
    let session = Session::start(&options.sensor, inputs, Scope::Descendants, homes, Metrics::new().0, Some(sender))?;
    for proof in session.proofs.iter().filter(|proof| proof.failure.is_some()) {
        eprintln!("tokenhound: probe {} is not live: {}", proof.hook.label(), proof.failure.as_deref().unwrap_or(""));
    }
    let collector = std::thread::Builder::new()
        .name("findings".into())
        .spawn(move || ci::collect(&receiver, findings_file.as_mut()))
        .map_err(|error| CliError::failure(format!("start a thread: {error}")))?;
    let status = run(&options.command, identity.as_ref());
    session.stop()?;
    let touched =
        collector.join().map_err(|_| CliError::failure("the findings thread panicked; please report this"))?;
    let touched = touched?;
    let status = status?;
    ci::report(&touched);
    closing.close(&touched)?;
    Ok(exit(status, options.fail_on.is_reached(&touched)))
}

fn exit(status: ExitStatus, failed: bool) -> Exit {
    match status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1) {
        0 if failed => Exit::Findings,
        0 => Exit::Success,
        code => Exit::Of(u8::try_from(code).unwrap_or(1)),
    }
}

/// Runs the command to its end. Signals of the terminal reach it directly; SIGTERM is passed on.
fn run(command: &[OsString], identity: Option<&Identity>) -> Result<ExitStatus, CliError> {
    let runtime = super::session::runtime()?;
    runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(|error| CliError::failure(format!("handle signals: {error}")));
        // Handled, not ignored: a handler is not inherited, and the command keeps its defaults.
        let (mut interrupt, mut quit) = (listen(SignalKind::interrupt())?, listen(SignalKind::quit())?);
        let mut terminate = listen(SignalKind::terminate())?;
        let mut ended = listen(SignalKind::child())?;
        let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut child = child::spawn(command, identity).map_err(|error| CliError {
            exit: Exit::Of(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }),
            message: format!("start `{name}`: {error}"),
        })?;
        loop {
            if let Some(status) =
                child.try_wait().map_err(|error| CliError::failure(format!("wait for `{name}`: {error}")))?
            {
                return Ok(status);
            }
            tokio::select! {
                _ = ended.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
                _ = terminate.recv() => {
                    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                        // It may have ended a moment ago.
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                    }
                }
            }
        }
    })
}

/// Whom to run the command as: `--user`, or who called sudo, or ourselves.
fn identity(user: Option<&str>) -> Result<Option<Identity>, CliError> {
    let root = rustix::process::geteuid().is_root();
    let mut users = Users::load().map_err(CliError::failure)?;
    let found = match (user, std::env::var("SUDO_UID")) {
        (Some(name), _) if !root => return Err(CliError::usage(format!("only root can run a command as `{name}`"))),
        (Some(name), _) => {
            users.named(name).cloned().ok_or_else(|| CliError::usage(format!("there is no user `{name}`")))?
        }
        (None, Ok(uid)) if root => {
            let uid = uid.parse().map_err(|_| CliError::usage(format!("SUDO_UID is not a number: `{uid}`")))?;
            users.look_up(uid).cloned().ok_or_else(|| CliError::usage(format!("SUDO_UID names no user: {uid}")))?
        }
        _ => return Ok(None),
    };
    let groups = users.groups(found.uid).into_iter().collect();
    Ok(Some(Identity { uid: found.uid, gid: found.gid, groups, name: found.name.clone(), home: found.home }))
}
