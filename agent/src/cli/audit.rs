//! `tokenhound audit`: one pass over the stores of a user, of all users or of an unpacked root.

use std::{
    collections::HashSet,
    ffi::OsString,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use jiff::Timestamp;

use super::{CliError, Exit, ci, session::Inputs};
use crate::{
    audit::{
        self,
        model::{KeyKind, Report},
        progress::Progress,
        report,
        scope::{Scope, Whose},
    },
    catalogue::{Catalogue, homes::EnvOverrides},
    config::Config,
    decoy::record::Record,
    lineage::users::{User, Users},
    state,
    token::{
        fingerprint::{KEY_BYTES, Key},
        key,
        scan::NeedleSet,
    },
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Look at this user's stores. Without any of these three: at one's own; under sudo, at those of the user who called
    /// sudo.
    #[arg(long, value_name = "USER", group = "whose")]
    user: Option<String>,
    /// Look at the stores of all users, and at those of the system.
    #[arg(long, group = "whose")]
    all_users: bool,
    /// Look at an unpacked image or backup. No link leads out of it.
    #[arg(long, value_name = "DIR", group = "whose")]
    root: Option<PathBuf>,
    /// How to write the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the report to this file, with mode 0600, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 3 if a finding is at or above this level.
    #[arg(long, value_name = "LEVEL", default_value = "none", value_parser = ci::FailOn::parse)]
    fail_on: ci::FailOn,
    /// Look at stores only, not for their tokens in other files.
    #[arg(long)]
    stores_only: bool,
    /// Directory with the machine's fingerprint key, which is made there if there is none [default: /var/lib/tokenhound].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Configuration file, which may name the fleet's fingerprint key and the directories [default, as root:
    /// /etc/tokenhound/tokenhound.yaml if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with further catalogue files [default: /etc/tokenhound/catalogue.d].
    #[arg(long, value_name = "DIR")]
    catalogue: Option<PathBuf>,
    /// Directory with policy files, which say how old tokens may get [default: /etc/tokenhound/policy.d].
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal: short.
    Text,
    /// For programs: everything.
    Json,
    /// For code-scanning views: SARIF 2.1.0.
    Sarif,
    /// For people: one page that needs nothing else.
    Html,
}

/// Looks at it all and reports.
///
/// # Errors
/// When nobody can be looked at, or the report cannot be written.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let inputs = Inputs::of(options.catalogue.as_deref(), options.policy.as_deref(), config(options)?)?;
    let catalogue = &*inputs.catalogue;
    let (whose, environment) = whose(options, catalogue)?;
    // Before the work: a place that cannot be written is a mistake of the caller.
    let output = options.output.as_deref().map(ci::create).transpose()?;
    let scope = Scope::new(&whose, environment).map_err(CliError::usage)?;
    let state = options.state_dir.clone().or_else(|| inputs.config.state_dir.clone());
    let state = state.unwrap_or_else(|| state::DIRECTORY.into());
    let (key, key_kind) = key(inputs.config.fingerprint_key.as_deref(), &state)?;
    let decoys = decoys(&state, &scope)?;
    let inputs = audit::Inputs {
        catalogue,
        policy: &inputs.policy,
        key: &key,
        key_kind,
        time: Timestamp::now(),
        content: !options.stores_only,
        decoys: &decoys,
    };
    let (report, needles) = audit::audit(&scope, &inputs, &Progress::on_terminal());
    write(options, &report, &needles, output)?;
    let reached = options.fail_on.0.is_some_and(|level| report.findings.iter().any(|it| it.severity >= level));
    Ok(if reached { Exit::Findings } else { Exit::Success })
}

fn write(
    options: &Options,
    report: &Report,
    needles: &NeedleSet,
    output: Option<std::fs::File>,
) -> Result<(), CliError> {
    let colour = output.is_none() && std::io::stdout().is_terminal();
    let text = match options.format {
        Format::Text => report::text::render(report, report::text::Style { colour }),
        Format::Json => report::json::render(report),
        Format::Sarif => report::sarif::render(report),
        Format::Html => report::html::render(report),
    };
    let text = report::clean::clean(text, needles);
    let Some(mut file) = output else { return super::print(&text) };
    file.write_all(text.as_bytes()).map_err(|error| {
        let path = options.output.as_deref().unwrap_or(Path::new("the report")).display();
        CliError::failure(format!("write the report to {path}: {error}; check the space left there"))
    })
}

/// Whose files to look at, and where that user's variables have moved stores, as far as they are known.
fn whose(options: &Options, catalogue: &Catalogue) -> Result<(Whose, EnvOverrides), CliError> {
    let nothing = EnvOverrides::new;
    if let Some(root) = &options.root {
        return Ok((Whose::Root(root.clone()), nothing()));
    }
    let own = rustix::process::geteuid();
    if options.all_users {
        return if own.is_root() {
            Ok((Whose::All, nothing()))
        } else {
            Err(CliError::unsupported(
                "only root can look at the stores of all users; run it as root, or without --all-users",
            ))
        };
    }
    let mut users = Users::load().map_err(CliError::failure)?;
    let sudo = || std::env::var("SUDO_UID").ok().filter(|_| own.is_root());
    if let Some(name) = &options.user {
        let user = users.named(name).cloned();
        let user = user.ok_or_else(|| CliError::usage(format!("there is no user `{name}`")))?;
        return if own.is_root() || user.uid == own.as_raw() {
            Ok((Whose::User(user), nothing()))
        } else {
            Err(CliError::unsupported(format!(
                "only root can look at the stores of `{name}`; run it as root or as that user"
            )))
        };
    }
    if let Some(uid) = sudo() {
        let uid = uid.parse().map_err(|_| CliError::usage(format!("SUDO_UID is not a number: `{uid}`")))?;
        let user = users.look_up(uid).cloned();
        let user = user.ok_or_else(|| CliError::usage(format!("SUDO_UID names no user: {uid}")))?;
        return Ok((Whose::User(user), nothing()));
    }
    let known = users.look_up(own.as_raw()).cloned();
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = home.or_else(|| known.as_ref().map(|user| user.home.clone()));
    let home = home.ok_or_else(|| CliError::usage("HOME is not set and the user has no home; name one with --user"))?;
    let name = known.map_or_else(|| own.as_raw().to_string(), |user| user.name);
    let gid = rustix::process::getegid().as_raw();
    Ok((Whose::User(User { name, uid: own.as_raw(), gid, home }), overrides(catalogue)))
}

/// Where our own variables have moved stores.
fn overrides(catalogue: &Catalogue) -> EnvOverrides {
    let values: Vec<(String, OsString)> = catalogue
        .environment_variables()
        .into_iter()
        .filter(|name| name != "HOME")
        .filter_map(|name| std::env::var_os(&name).map(|value| (name, value)))
        .collect();
    EnvOverrides::of(&values, std::env::current_dir().ok().as_deref())
}

/// The configuration: that of the machine is root's, and a user need not be able to read it.
fn config(options: &Options) -> Result<Config, CliError> {
    if options.config.is_none() && !rustix::process::geteuid().is_root() {
        return Ok(Config::default());
    }
    Config::load(options.config.as_deref()).map_err(CliError::usage)
}

/// What fingerprints are made with: the fleet's key or the machine's, which are root's, or one for this run.
fn key(given: Option<&Path>, state: &Path) -> Result<(Key, KeyKind), CliError> {
    if rustix::process::geteuid().is_root() {
        let key = key::given_or_own(given, state).map_err(CliError::usage)?;
        return Ok((key, KeyKind::Machine));
    }
    let mut bytes = [0; KEY_BYTES];
    let mut filled = 0;
    while filled < KEY_BYTES {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)
            .map_err(|error| CliError::failure(format!("get random bytes for a key: {error}")))?;
    }
    Ok((Key::new(bytes), KeyKind::Ephemeral))
}

/// The decoys that were planted on this machine. Only root can know them.
fn decoys(state: &Path, scope: &Scope) -> Result<HashSet<PathBuf>, CliError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(HashSet::new());
    }
    let record = Record::load(state).map_err(CliError::failure)?;
    Ok(record.planted.into_iter().filter_map(|planted| scope.view.inside(&planted.path)).collect())
}
