//! `tokenhound demo`: a harmless theft of a made-up token, caught live.
//!
//! Everything happens in a directory of its own, which is removed at the end: a home with four stores, a stand-in for
//! one of their tools, and a package script that steals.

use std::{
    fmt::Write as _,
    fs,
    io::{self, IsTerminal, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
};

use super::{
    CliError, Exit, SensorOptions, print,
    session::{self, Inputs, Session},
};
use crate::{
    detect::judge::Verdict,
    finding::{detector::DetectorId, model::Finding, text},
    pipeline::{Report, Scope},
    telemetry::metrics::Metrics,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    sensor: SensorOptions,
}

/// Parts that our own binary plays.
#[derive(Debug, clap::Args)]
pub(super) struct ActorOptions {
    /// The part.
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Open and read a file, as a tool does with its own store.
    Read {
        /// The file.
        file: PathBuf,
    },
    /// Hold an environment until standard input closes.
    Hold,
}

/// Made-up tokens: right in shape, issued by nobody.
const STORES: [(&str, &str); 4] = [
    (
        ".config/gh/hosts.yml",
        "github.com:\n    user: demo\n    oauth_token: gho_000000000000000000000000000000000000\n",
    ),
    (
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIA2222222222222222\naws_secret_access_key = 0000000000000000000000000000000000000000\n",
    ),
    (".npmrc", "//registry.example.invalid/:_authToken=npm_000000000000000000000000000000000000\n"),
    (".docker/config.json", "{\"auths\":{\"registry.example.invalid\":{\"auth\":\"ZGVtbzpkZW1v\"}}}\n"),
];

/// What `npm install` would run: a script nobody read.
const SCRIPT: &str = "#!/bin/sh\n\
    # the token of the GitHub CLI\n\
    cat \"$HOME/.config/gh/hosts.yml\" > /dev/null\n\
    # and whatever else lies around\n\
    for file in .aws/credentials .npmrc .docker/config.json; do cat \"$HOME/$file\" > /dev/null; done\n\
    # and what a neighbour was started with\n\
    cat \"/proc/$1/environ\" > /dev/null\n";

/// Runs it and shows what was caught. Succeeds only if everything was.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let inputs = Inputs::read(&options.sensor)?;
    let stage = Stage::set()?;
    let (sender, receiver) = mpsc::sync_channel(session::REPORTS);
    let session = Session::start(
        &options.sensor,
        inputs,
        Scope::Descendants,
        vec![stage.home()],
        Metrics::new().0,
        Some(sender),
    )?;
    let tier = session.plan.tier.name();
    print(&format!("tokenhound watches this kernel through the `{tier}` tier.\n\n"))?;
    let played = stage.play();
    session.stop()?;
    played?;
    let reports: Vec<Report> = receiver.into_iter().collect();
    let (text, complete) = show(&reports);
    print(&text)?;
    Ok(if complete { Exit::Success } else { Exit::Failure })
}

/// Plays one part.
pub(super) fn act(options: &ActorOptions) -> Result<Exit, CliError> {
    match &options.part {
        Part::Read { file } => fs::read(file).map(|_| Exit::Success),
        Part::Hold => io::stdin().read_to_end(&mut Vec::new()).map(|_| Exit::Success),
    }
    .map_err(CliError::failure)
}

/// The directory where it happens.
struct Stage {
    directory: PathBuf,
}

impl Stage {
    fn set() -> Result<Self, CliError> {
        let directory = session::runtime_directory().join(format!("demo-{}", std::process::id()));
        let stage = Self { directory };
        stage.build().map_err(|error| CliError::failure(format!("set up {}: {error}", stage.directory.display())))?;
        Ok(stage)
    }

    fn build(&self) -> io::Result<()> {
        let mut make = fs::DirBuilder::new();
        make.recursive(true).mode(0o700);
        for (name, content) in STORES {
            let path = self.home().join(name);
            make.create(path.parent().unwrap_or(&path))?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            io::Write::write_all(&mut file, content.as_bytes())?;
        }
        make.create(self.directory.join("bin"))?;
        fs::copy("/proc/self/exe", self.tool())?;
        fs::set_permissions(self.tool(), fs::Permissions::from_mode(0o755))?;
        let mut script = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(self.script())?;
        io::Write::write_all(&mut script, SCRIPT.as_bytes())
    }

    fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    fn tool(&self) -> PathBuf {
        self.directory.join("bin/gh")
    }

    fn script(&self) -> PathBuf {
        self.directory.join("postinstall.sh")
    }

    /// First the right program, then the thief.
    fn play(&self) -> Result<(), CliError> {
        print("1. `gh` reads its own token, as it should.\n")?;
        let hosts = self.home().join(STORES[0].0);
        self.run(Command::new(self.tool()).args(["demo-actor", "read"]).arg(hosts))?;
        print(
            "2. A package's postinstall script reads it too, then three more stores, then a neighbour's environment.\n\n",
        )?;
        let mut neighbour = Command::new(self.tool())
            .args(["demo-actor", "hold"])
            .env("DEMO_TOKEN", "made-up")
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| CliError::failure(format!("start the neighbour: {error}")))?;
        let stolen = self.run(Command::new(self.script()).arg(neighbour.id().to_string()));
        drop(neighbour.stdin.take());
        neighbour.wait().map_err(|error| CliError::failure(format!("wait for the neighbour: {error}")))?;
        stolen
    }

    fn run(&self, command: &mut Command) -> Result<(), CliError> {
        let program = Path::new(command.get_program()).to_owned();
        let status = command
            .env("HOME", self.home())
            .stdin(Stdio::null())
            .status()
            .map_err(|error| CliError::failure(format!("start {}: {error}", program.display())))?;
        if status.success() {
            return Ok(());
        }
        Err(CliError::failure(format!("{} ended with {status}", program.display())))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("tokenhound: remove {}: {error}", self.directory.display());
        }
    }
}

/// What was caught, and whether that is all that should have been.
fn show(reports: &[Report]) -> (String, bool) {
    let findings: Vec<&Finding> = reports
        .iter()
        .filter_map(|report| match report {
            Report::Finding(finding) => Some(finding.as_ref()),
            Report::Read { .. } => None,
        })
        .collect();
    let colour = io::stdout().is_terminal();
    let mut text = String::new();
    for finding in &findings {
        text.push_str(&text::render(finding, text::Style { colour }));
        text.push('\n');
    }
    let silent = reports
        .iter()
        .any(|report| matches!(report, Report::Read { store, verdict: Verdict::Expected, .. } if store == "gh-hosts"));
    let caught = |detector: DetectorId| findings.iter().filter(|finding| finding.detector == detector).count();
    let rows = [
        (silent, "gh read its own store: expected, no finding".to_owned()),
        (
            caught(DetectorId::UnexpectedReader) >= STORES.len(),
            format!("unexpected-reader: {} findings", caught(DetectorId::UnexpectedReader)),
        ),
        (
            caught(DetectorId::CredentialSweep) >= 1,
            format!("credential-sweep: {}", caught(DetectorId::CredentialSweep)),
        ),
        (
            caught(DetectorId::ProcessInspection) >= 1,
            format!("process-inspection: {}", caught(DetectorId::ProcessInspection)),
        ),
    ];
    text.push_str("Summary\n");
    for (good, row) in &rows {
        let _ = writeln!(text, "  {}  {row}", if *good { "ok    " } else { "MISSED" });
    }
    (text, rows.iter().all(|(good, _)| *good))
}
