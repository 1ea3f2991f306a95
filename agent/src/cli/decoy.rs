//! `tokenhound decoy`.

use std::{
    fmt::Write,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;

use super::{CliError, Exit, print};
use crate::{
    catalogue::{
        self, Catalogue,
        decoy::{Decoy, DecoyKind},
        homes::Homes,
    },
    config::Config,
    decoy::{
        DIRECTORY, choose, content, file_of,
        place::{self, Identity, Owner},
        record::{Planted, Record},
    },
    finding::visible,
    lineage::users::{User, Users},
    state,
};

/// What to do with them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subcommands {
    /// Make files that look like stores, with made-up tokens. Any read of one is a finding.
    Plant(Plant),
    /// One line for each that is planted.
    List {
        #[command(flatten)]
        state: State,
    },
    /// Remove decoys, if they are still the files that were planted.
    Remove {
        /// Ids or paths.
        #[arg(value_name = "ID", required_unless_present = "all")]
        which: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with = "which")]
        all: bool,
        #[command(flatten)]
        state: State,
    },
}

/// Where the record is.
#[derive(Debug, clap::Args)]
pub(super) struct State {
    /// Directory for state [default: /var/lib/tokenhound].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Configuration file [default: /etc/tokenhound/tokenhound.yaml if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What to plant, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Plant {
    /// What it looks like [default: all kinds].
    #[arg(value_enum, value_name = "KIND")]
    kinds: Vec<DecoyKind>,
    /// Whose home it goes to, and who owns it. Under sudo: the user who called sudo.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Directory to plant in [default: old-laptop in the home].
    #[arg(long, value_name = "DIR")]
    under: Option<PathBuf>,
    /// The path itself, for one kind.
    #[arg(long, value_name = "PATH", conflicts_with = "under")]
    at: Option<PathBuf>,
    /// Also where a real tool keeps its token: that tool raises the alarm then, too.
    #[arg(long)]
    in_place: bool,
    #[command(flatten)]
    state: State,
}

impl ValueEnum for DecoyKind {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl State {
    /// Where the state is.
    pub(super) fn directory(&self) -> Result<PathBuf, CliError> {
        Ok(self.read()?.1)
    }

    /// The configuration, and where the state is.
    pub(super) fn read(&self) -> Result<(Config, PathBuf), CliError> {
        let config = Config::load(self.config.as_deref()).map_err(CliError::usage)?;
        let state = self.state_dir.clone().or_else(|| config.state_dir.clone());
        Ok((config, state.unwrap_or_else(|| state::DIRECTORY.into())))
    }
}

pub(super) fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Plant(options) => plant(options),
        Subcommands::List { state } => list(&Record::load(&state.directory()?).map_err(CliError::failure)?),
        Subcommands::Remove { which, all, state } => remove(which, *all, &state.directory()?),
    }
}

fn plant(options: &Plant) -> Result<Exit, CliError> {
    let state = options.state.directory()?;
    let mut record = Record::load(&state).map_err(CliError::failure)?;
    // Before anything is planted: what cannot be recorded could not be removed.
    record.save(&state).map_err(CliError::failure)?;
    let user = user(options.user.as_deref())?;
    let kinds = if options.kinds.is_empty() { DecoyKind::ALL } else { &options.kinds };
    if options.at.is_some() && options.kinds.len() != 1 {
        return Err(CliError::usage("--at is the path of one decoy: name one kind"));
    }
    // Links in the way to the home are the system's; below it none is followed.
    let home =
        user.home.canonicalize().map_err(|error| CliError::usage(format!("go to {}: {error}", user.home.display())))?;
    let directory = options.under.clone().unwrap_or_else(|| home.join(DIRECTORY));
    let loaded = Catalogue::load(catalogue::DIRECTORY.as_ref()).map_err(CliError::usage)?;
    let homes = Homes::new([home, user.home.clone()]);
    for kind in kinds {
        let path = options.at.clone().unwrap_or_else(|| directory.join(file_of(*kind)));
        let known = (&loaded.catalogue, &homes);
        let decoy = choose(*kind, &path, known, &record, options.in_place).map_err(CliError::usage)?;
        let planted = make(&decoy, &user)?;
        record.planted.push(planted);
        if let Err(error) = record.save(&state) {
            take_back(&record);
            return Err(CliError::failure(error));
        }
        print(&format!("{}  {}\n", decoy.id, visible::path(&decoy.path)))?;
    }
    print(
        "An agent that runs here watches them within a few seconds. Programs that read everything (backups, indexers)\nneed a policy exception for `decoy-*`.\n",
    )?;
    Ok(Exit::Success)
}

fn make(decoy: &Decoy, user: &User) -> Result<Planted, CliError> {
    let seed = seed()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    // As if it had been left there some time ago: 90 to 345 days.
    let age = 86_400 * (90 + i64::from(seed[0]));
    let owner = rustix::process::geteuid().is_root().then_some(Owner { uid: user.uid, gid: user.gid });
    let text = content::of(decoy.kind, &user.name, &seed);
    let made = place::make(&decoy.path, &text, owner, now - age).map_err(CliError::failure)?;
    Ok(Planted {
        id: decoy.id.clone(),
        kind: decoy.kind.name().to_owned(),
        path: decoy.path.clone(),
        device: made.file.device,
        inode: made.file.inode,
        changed_at: made.file.changed_at,
        planted_at: now,
        directories: made.directories,
    })
}

/// The last one, which is not on record.
fn take_back(record: &Record) {
    let Some(last) = record.planted.last() else { return };
    match place::remove(&last.path, last.identity()) {
        Ok(()) => place::remove_directories(&last.directories),
        Err(error) => eprintln!("tokenhound: {error}"),
    }
}

fn seed() -> Result<[u8; 32], CliError> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut seed))
        .map_err(|error| CliError::failure(format!("read /dev/urandom: {error}")))?;
    Ok(seed)
}

fn user(name: Option<&str>) -> Result<User, CliError> {
    let mut users = Users::load().map_err(CliError::failure)?;
    if let Some(name) = name {
        return users.named(name).cloned().ok_or_else(|| CliError::usage(format!("there is no user `{name}`")));
    }
    let own = rustix::process::getuid();
    let uid = match std::env::var("SUDO_UID") {
        Ok(uid) if own.is_root() => {
            uid.parse().map_err(|_| CliError::usage(format!("SUDO_UID is not a number: `{uid}`")))?
        }
        _ => own.as_raw(),
    };
    users
        .look_up(uid)
        .cloned()
        .ok_or_else(|| CliError::usage(format!("the user database has no user {uid}; use --user")))
}

fn list(record: &Record) -> Result<Exit, CliError> {
    let mut text = String::new();
    for planted in &record.planted {
        let state = match Identity::at(&planted.path) {
            Some(file) if file == planted.identity() => "in place",
            Some(_) => "changed, or another file",
            None => "gone",
        };
        let at = jiff::Timestamp::from_second(planted.planted_at).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}  {at}  {state}", planted.id, visible::path(&planted.path));
    }
    print(if text.is_empty() { "no decoys are planted\n" } else { &text })?;
    Ok(Exit::Success)
}

fn remove(which: &[String], all: bool, state: &Path) -> Result<Exit, CliError> {
    let mut record = Record::load(state).map_err(CliError::failure)?;
    let wanted =
        |planted: &Planted| all || which.iter().any(|word| *word == planted.id || Path::new(word) == planted.path);
    if let Some(unknown) = which
        .iter()
        .find(|word| !record.planted.iter().any(|planted| **word == planted.id || Path::new(word) == planted.path))
    {
        let unknown = visible::text(unknown);
        return Err(CliError::usage(format!("no decoy `{unknown}`; `tokenhound decoy list` shows all")));
    }
    let mut exit = Exit::Success;
    let (mut kept, mut directories) = (Vec::new(), Vec::new());
    for planted in std::mem::take(&mut record.planted) {
        if !wanted(&planted) {
            kept.push(planted);
            continue;
        }
        match place::remove(&planted.path, planted.identity()) {
            Ok(()) => {
                directories.extend(planted.directories);
                print(&format!("removed {}  {}\n", planted.id, visible::path(&planted.path)))?;
            }
            Err(error) => {
                eprintln!("tokenhound: {error}");
                exit = Exit::Failure;
                kept.push(planted);
            }
        }
    }
    record.planted = kept;
    place::remove_directories(&record.inherit(directories));
    record.save(state).map_err(CliError::failure)?;
    Ok(exit)
}
