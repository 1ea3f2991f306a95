//! `tokenhound watch`: run a command, then say what its process tree touched.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs,
    io::{IsTerminal, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    sync::mpsc,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    CliError, Exit, SensorOptions,
    child::{self, Identity},
    session::{Inputs, Session},
};
use crate::{
    detect::judge::Verdict,
    finding::{model::Finding, ocsf, sarif, severity::Severity, text},
    lineage::users::Users,
    pipeline::{Report, Scope},
    telemetry::metrics::Metrics,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Exit with 3 if a finding is at or above this level and the command itself succeeded.
    #[arg(long, value_name = "LEVEL", default_value = "high", value_parser = parse_level)]
    fail_on: FailOn,
    /// Write each finding to this file, as one OCSF object a line.
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// Write what the command touched to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write the findings to this file, as SARIF 2.1.0.
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Run the command as this user. Under sudo: the user who called sudo.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    sensor: SensorOptions,
    /// The command.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// From which level on findings make `watch` fail; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FailOn(Option<Severity>);

fn parse_level(text: &str) -> Result<FailOn, String> {
    if text == "none" {
        return Ok(FailOn(None));
    }
    text.parse()
        .map(|level| FailOn(Some(level)))
        .map_err(|_| "expected one of: none, informational, low, medium, high, critical".to_owned())
}

/// Runs the command.
pub(super) fn execute(options: Options) -> Result<Exit, CliError> {
    let identity = identity(options.user.as_deref())?;
    let inputs = Inputs::read(&options.sensor)?;
    // Files are opened before anything starts: a path that cannot be written is a mistake of the caller.
    let mut findings_file = options.findings.as_deref().map(create).transpose()?;
    let summary_file = options.summary.as_deref().map(create).transpose()?;
    let sarif_file = options.sarif.as_deref().map(create).transpose()?;
    let (sender, receiver) = mpsc::sync_channel(super::session::REPORTS);
    let homes = identity.iter().map(|identity| identity.home.clone()).collect();
    let session = Session::start(&options.sensor, inputs, Scope::Descendants, homes, Metrics::new().0, sender)?;
    for proof in session.proofs.iter().filter(|proof| proof.failure.is_some()) {
        eprintln!("tokenhound: probe {} is not live: {}", proof.hook.label(), proof.failure.as_deref().unwrap_or(""));
    }
    let collector = std::thread::Builder::new()
        .name("findings".into())
        .spawn(move || collect(&receiver, findings_file.as_mut()))
        .map_err(|error| CliError::failure(format!("start a thread: {error}")))?;
    let status = run(&options.command, identity.as_ref());
    session.stop()?;
    let touched =
        collector.join().map_err(|_| CliError::failure("the findings thread panicked; please report this"))?;
    let touched = touched?;
    let status = status?;
    report(&touched);
    if let Some(mut file) = summary_file {
        write_all(&mut file, options.summary.as_deref(), touched.markdown().as_bytes())?;
    }
    if let Some(mut file) = sarif_file {
        write_all(&mut file, options.sarif.as_deref(), sarif::document(&touched.findings).as_bytes())?;
    }
    Ok(exit(status, options.fail_on, &touched.findings))
}

fn exit(status: ExitStatus, fail_on: FailOn, findings: &[Finding]) -> Exit {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    if code != 0 {
        return Exit::Of(u8::try_from(code).unwrap_or(1));
    }
    match fail_on.0 {
        Some(level) if findings.iter().any(|finding| finding.severity >= level) => Exit::Findings,
        _ => Exit::Success,
    }
}

/// Everything a command touched.
#[derive(Debug, Default)]
struct Touched {
    findings: Vec<Finding>,
    reads: BTreeMap<(String, Verdict, String), u64>,
}

impl Touched {
    fn markdown(&self) -> String {
        let mut text = String::from("## tokenhound\n\n");
        if self.findings.is_empty() {
            text.push_str("No findings.\n");
        }
        for finding in &self.findings {
            let _ = writeln!(text, "- **{}** `{}`: {}", finding.severity, finding.detector.name(), finding.headline);
        }
        if !self.reads.is_empty() {
            text.push_str("\n| store | reader | verdict | reads |\n| --- | --- | --- | --- |\n");
            for ((store, verdict, reader), count) in &self.reads {
                let _ = writeln!(text, "| {store} | {reader} | {} | {count} |", verdict.name());
            }
        }
        text
    }
}

fn collect(reports: &mpsc::Receiver<Report>, mut file: Option<&mut fs::File>) -> Result<Touched, CliError> {
    let mut touched = Touched::default();
    let host = super::session::host();
    for report in reports {
        match report {
            Report::Finding(finding) => {
                if let Some(file) = &mut file {
                    writeln!(file, "{}", ocsf::line(&finding, &host))
                        .map_err(|error| CliError::failure(format!("write the findings file: {error}")))?;
                }
                touched.findings.push(*finding);
            }
            Report::Read { store, verdict, reader } => *touched.reads.entry((store, verdict, reader)).or_default() += 1,
        }
    }
    Ok(touched)
}

fn report(touched: &Touched) {
    let colour = std::io::stderr().is_terminal();
    let mut out = String::new();
    for finding in &touched.findings {
        out.push_str(&text::render(finding, text::Style { colour }));
        out.push('\n');
    }
    let expected: u64 = touched
        .reads
        .iter()
        .filter(|((_, verdict, _), _)| *verdict != Verdict::Unexpected)
        .map(|(_, count)| count)
        .sum();
    let _ = writeln!(
        out,
        "tokenhound: {} finding{}; {expected} expected read{} of credential stores",
        touched.findings.len(),
        if touched.findings.len() == 1 { "" } else { "s" },
        if expected == 1 { "" } else { "s" },
    );
    // Standard error may be closed; the exit code still tells.
    let _ = std::io::stderr().lock().write_all(out.as_bytes());
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

fn create(path: &std::path::Path) -> Result<fs::File, CliError> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| CliError::usage(format!("create {}: {error}", path.display())))
}

fn write_all(file: &mut fs::File, path: Option<&std::path::Path>, bytes: &[u8]) -> Result<(), CliError> {
    file.write_all(bytes).map_err(|error| {
        CliError::failure(format!("write {}: {error}", path.unwrap_or(std::path::Path::new("")).display()))
    })
}
