//! The command line: one file per subcommand. What it promises is in DESIGN and in `tokenhound help`.

mod audit;
mod catalogue;
mod child;
mod ci;
mod decoy;
mod demo;
mod doctor;
mod explain;
mod incidents;
mod load;
mod pages;
mod policy;
mod private;
mod readers;
#[cfg(test)]
mod reference;
mod replay;
mod revoke;
mod run;
mod run_ci;
mod scan;
mod session;
mod tokens;
mod trace;
mod watch;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{detect::access::Tier, finding::visible, lineage::names, privilege::check, probe::canary};

/// Runtime token-misuse monitor: who touched our tokens, was that the program the token was issued to, and where did
/// the token go next?
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    /// Take this directory for the root of the file system: that of the host, in a container that has it mounted there.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Watch the whole machine until told to stop. SIGHUP makes it read its policy and its sinks anew.
    Run(run::Options),
    /// Run a command and report what its process tree touches.
    Watch(watch::Options),
    /// Make the findings of a recording again.
    Replay(replay::Options),
    /// Look at the stores there are: what tokens they hold, who else can get at them, and where else these tokens lie.
    Audit(audit::Options),
    /// Say what this kernel offers and whether every probe works, with a remedy for what does not.
    Doctor(doctor::Options),
    /// Look into the catalogue of credential stores.
    #[command(subcommand)]
    Catalogue(catalogue::Subcommands),
    /// Check the rules by which expectations of the catalogue are added to, tolerated around or taken back.
    #[command(subcommand)]
    Policy(policy::Subcommands),
    /// Plant made-up stores that nobody has a reason to read, and tell who does.
    #[command(subcommand)]
    Decoy(decoy::Subcommands),
    /// List the readers that lie where their user can write, with what their files held.
    Readers(readers::Options),
    /// List the tokens that lie in stores, who put them there and who has used them since, as the agent has seen it.
    Tokens(tokens::Options),
    /// Show where a token went: who got at it, where else it was found, and what was told of that.
    Trace(trace::Options),
    /// Say what to do to make the tokens of a store worthless, and whether it has worked.
    Revoke(revoke::Options),
    /// List incidents, show one, keep quiet about what is known, close what is over.
    #[command(subcommand)]
    Incidents(incidents::Subcommands),
    /// Explain a detector (what it fires on, why it matters, what to do), or a finding or an incident with all that is stored
    /// of it.
    Explain(explain::Options),
    /// Steal a made-up token before your eyes, and leave nothing behind.
    Demo(demo::Options),
    /// Waits for the end of its input: what the self-test looks into.
    #[command(hide = true, name = canary::child::SUBCOMMAND)]
    Canary,
    /// Writes manual pages and completions of shells, for packages.
    #[command(hide = true)]
    Pages {
        /// Where to.
        directory: PathBuf,
    },
    /// Asks name services for an agent that has given up its rights.
    #[command(hide = true, name = names::SUBCOMMAND)]
    Names,
    /// Gives up rights as the agent does, and tries what it may not do.
    #[command(hide = true, name = check::SUBCOMMAND)]
    Confined {
        /// Where it may write.
        place: PathBuf,
    },
    /// Works on a made-up load, for measuring.
    #[command(hide = true)]
    Load(load::Options),
    /// Looks for made-up tokens, for measuring.
    #[command(hide = true)]
    Scan(scan::Options),
    /// Plays a part in the demo.
    #[command(hide = true)]
    DemoActor(demo::ActorOptions),
}

/// How the sensor is set up; the same for every command that starts it.
#[derive(Clone, Debug, clap::Args)]
pub struct SensorOptions {
    /// Kernel mechanism to use instead of the best one that works.
    #[arg(long, value_enum)]
    pub tier: Option<TierName>,
    /// Directory with further catalogue files [default: /etc/tokenhound/catalogue.d].
    #[arg(long, value_name = "DIR")]
    pub catalogue: Option<PathBuf>,
    /// Directory with policy files [default: /etc/tokenhound/policy.d].
    #[arg(long, value_name = "DIR")]
    pub policy: Option<PathBuf>,
    /// Directory for state, such as the record of decoys [default: /var/lib/tokenhound].
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Configuration file [default: /etc/tokenhound/tokenhound.yaml if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A tier on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TierName {
    /// Hooks of the security modules.
    Lsm,
    /// Function entry.
    Fentry,
    /// System call tracepoints.
    Tracepoint,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Lsm => Self::Lsm,
            TierName::Fentry => Self::Fentry,
            TierName::Tracepoint => Self::Tracepoint,
        }
    }
}

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Fine.
    Success,
    /// It failed.
    Failure,
    /// Usage or configuration; nothing was started.
    Usage,
    /// Findings at or above the level asked for.
    Findings,
    /// This kernel or these rights do not allow it.
    Unsupported,
    /// The exit code of the watched command.
    Of(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Findings => 3,
            Exit::Unsupported => 77,
            Exit::Of(code) => code,
        })
    }
}

/// An error for the user, with the exit code it means.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
}

impl CliError {
    /// Something is wrong with what the user gave us.
    pub fn usage(message: impl Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// Something failed.
    pub fn failure(message: impl Display) -> Self {
        Self { exit: Exit::Failure, message: message.to_string() }
    }

    /// The kernel or our rights do not allow it.
    pub fn unsupported(message: impl Display) -> Self {
        Self { exit: Exit::Unsupported, message: message.to_string() }
    }
}

/// Does what was asked and says how it went.
#[must_use]
pub fn execute(arguments: Arguments) -> ExitCode {
    let root = arguments.root.as_deref().map_or(Ok(()), enter);
    match root.and_then(|()| private_memory(&arguments.command)).and_then(|()| carry_out(arguments.command)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Names of files and commands are in it: none may become a command of a CI system.
            eprint!("{}", visible::inert(&format!("tokenhound: {}\n", error.message)));
            error.exit.into()
        }
    }
}

/// Every path is one below `root` from here on. Programs of its own are started by what the kernel knows of them, not by name.
fn enter(root: &Path) -> Result<(), CliError> {
    rustix::process::chroot(root).and_then(|()| rustix::process::chdir("/")).map_err(|error| {
        CliError::usage(format!("take {} for the root: {error}; it takes CAP_SYS_CHROOT", root.display()))
    })
}

/// Whatever may come to hold a token keeps its memory to itself. Not those that are there to be looked into.
fn private_memory(command: &Subcommands) -> Result<(), CliError> {
    match command {
        Subcommands::Canary | Subcommands::Names | Subcommands::DemoActor(_) => Ok(()),
        Subcommands::Run(_) | Subcommands::Audit(_) | Subcommands::Revoke(_) => {
            private::memory().and_then(|()| private::cores())
        }
        _ => private::memory(),
    }
}

fn carry_out(command: Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Run(options) => run::execute(options),
        Subcommands::Watch(options) => watch::execute(options),
        Subcommands::Replay(options) => replay::execute(&options),
        Subcommands::Audit(options) => audit::execute(&options),
        Subcommands::Doctor(options) => doctor::execute(&options),
        Subcommands::Catalogue(command) => catalogue::execute(&command),
        Subcommands::Policy(command) => policy::execute(command),
        Subcommands::Decoy(command) => decoy::execute(&command),
        Subcommands::Readers(options) => readers::execute(&options),
        Subcommands::Tokens(options) => tokens::execute(&options),
        Subcommands::Trace(options) => trace::execute(&options),
        Subcommands::Revoke(options) => revoke::execute(&options),
        Subcommands::Incidents(command) => incidents::execute(&command),
        Subcommands::Explain(options) => explain::execute(&options),
        Subcommands::Demo(options) => demo::execute(&options),
        Subcommands::Canary => canary::child::wait_for_end()
            .map(|()| Exit::Success)
            .map_err(|error| CliError::failure(format!("read standard input: {error}"))),
        Subcommands::Pages { directory } => pages::write(&directory),
        Subcommands::Names => {
            names::serve().map_err(|error| CliError::failure(format!("answer questions for names: {error}")))?;
            Ok(Exit::Success)
        }
        Subcommands::Confined { place } => check::run(&place, &mut std::io::stdout().lock())
            .map(|()| Exit::Success)
            .map_err(|error| CliError::failure(format!("give up rights and try: {error}"))),
        Subcommands::Load(options) => load::execute(&options),
        Subcommands::Scan(options) => scan::execute(&options),
        Subcommands::DemoActor(options) => demo::act(&options),
    }
}

/// Prints the outcome of a check; a refused file is the user's mistake.
fn outcome(outcome: &crate::yaml::Outcome) -> Result<Exit, CliError> {
    print(&format!("{}\n", outcome.text))?;
    Ok(if outcome.passed { Exit::Success } else { Exit::Usage })
}

/// Prints to stdout; a closed pipe (`| head`) is the reader's wish and no error.
fn print(text: &str) -> Result<(), CliError> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::failure(format!("write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
