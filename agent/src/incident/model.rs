//! What is known of an incident: counts that are exact, and names as far as they find room. No token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use super::{notice::Told, place::Place, severity::Kinds};
use crate::{
    detect::words,
    finding::{detector::DetectorId, severity::Severity},
    lineage::model::Process,
};

/// Most names that one tally keeps; the rest is a number.
pub const NAMES: usize = 24;

/// Most findings that are named in a notification.
pub const SAMPLES: usize = 16;

/// Most processes besides the first that one incident takes the findings of.
pub const ROOTS: usize = 16;

/// Most commands that are told to make tokens worthless.
pub const COMMANDS: usize = 8;

/// How often which names occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Each with how often, in the order they came; at most [`NAMES`].
    pub named: Vec<(String, u64)>,
    /// How often others occurred.
    pub other: u64,
}

impl Tally {
    /// Counts `name`. True when it is a new one that found room.
    pub fn add(&mut self, name: &str) -> bool {
        if let Some((_, count)) = self.named.iter_mut().find(|(known, _)| known == name) {
            *count += 1;
            return false;
        }
        if self.named.len() >= NAMES {
            self.other += 1;
            return false;
        }
        self.named.push((name.to_owned(), 1));
        true
    }

    /// How often `name` occurred; 0 where it found no room.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.named.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count)
    }

    /// Does it name `name`?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.of(name) > 0
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|(name, _)| name.as_str())
    }

    /// How many different there are: `4`, or `more than 24`.
    #[must_use]
    pub fn different(&self) -> String {
        if self.other > 0 { format!("more than {}", self.named.len()) } else { self.named.len().to_string() }
    }

    /// All of it together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.named.iter().map(|(_, count)| count).sum::<u64>() + self.other
    }
}

/// Who did it, for display. Visible text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// `npm, running postinstall of package left-pad`; empty where no process acted.
    pub name: String,
    /// The process that all of it descends from, or the reader where there is none.
    pub pid: Option<u32>,
    /// Name of the user, or the number.
    pub user: Option<String>,
    /// Class of the actor.
    pub class: Option<String>,
    /// `docker container web`.
    pub container: Option<String>,
}

/// One finding of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its id.
    pub uid: String,
    /// Of which detector.
    pub detector: String,
    /// How much it matters by itself.
    pub severity: Severity,
    /// What happened.
    pub headline: String,
    /// When.
    pub time: Timestamp,
}

/// Findings that look the same, of which not all are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// What is the same: detector, severity, stores, reader.
    pub same: u64,
    /// How many there were.
    pub count: u64,
    /// When one was stored last.
    pub stored: Timestamp,
}

/// Why an incident is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// Nothing more came.
    Quiet,
    /// It was open for as long as one may be; what comes is another.
    Long,
    /// Somebody closed it.
    Ordered,
    /// There was no room for more open ones, and it was quiet for longest.
    NoRoom,
}

impl Over {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Quiet => "nothing more came for 30 minutes",
            Self::Long => "it was open for a day; what comes from now on is a new incident",
            Self::Ordered => "closed by hand",
            Self::NoRoom => "closed early to make room: too many incidents are open at once",
        }
    }
}

/// Which findings an incident takes, besides those of its process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// Those of a process and what descends from it.
    #[serde(with = "crate::state::process_key")]
    Process(ProcessKey),
    /// Those of one store by a process under which unrelated things run.
    #[serde(with = "process_and_store")]
    Ground(ProcessKey, String),
    /// Those of a detector that no process is behind.
    Detector(String),
    /// All of others: too many incidents opened at once.
    Many,
}

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// 32 hex digits, from the id of its first finding.
    pub uid: String,
    /// What it takes.
    pub key: Key,
    /// Where in the tree of processes it began.
    pub place: Place,
    /// Other processes that it takes the findings of, the latest [`ROOTS`].
    #[serde(with = "keys")]
    pub roots: Vec<ProcessKey>,
    /// Time of its first finding.
    pub opened: Timestamp,
    /// Time of its last one.
    pub last: Timestamp,
    /// When it was closed, and why.
    pub closed: Option<(Timestamp, Over)>,
    /// How much all of it together matters.
    pub severity: Severity,
    /// Why, one clause each.
    pub reasons: Vec<String>,
    /// The most severe of its findings.
    pub worst: Sample,
    /// What was done, by findings that count for more together.
    pub kinds: Kinds,
    /// Who did it.
    pub who: Who,
    /// How many findings there are.
    pub findings: u64,
    /// How many of them are only counted here.
    pub summarised: u64,
    /// How many were suppressed.
    pub covered: u64,
    /// By detector.
    pub detectors: Tally,
    /// Those that are only counted here, by detector.
    pub summarised_by: Tally,
    /// By store.
    pub stores: Tally,
    /// By store, those that were read, printed or asked for.
    pub read: Tally,
    /// By program, and what it interprets.
    pub readers: Tally,
    /// By file, process or address.
    pub paths: Tally,
    /// By file that a token was copied to.
    pub copies: Tally,
    /// By fingerprint of what was copied.
    pub copied: Tally,
    /// By address that was connected to.
    pub destinations: Tally,
    /// By fingerprint.
    pub tokens: Tally,
    /// Commands that make its tokens worthless; at most [`COMMANDS`].
    pub commands: Vec<String>,
    /// Some of its findings; at most [`SAMPLES`], of different kinds as far as they come.
    pub samples: Vec<Sample>,
    /// Findings that look the same.
    pub alike: Vec<Alike>,
    /// What was told of it.
    pub told: Told,
}

impl Incident {
    /// Is it still open?
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Its detectors, as far as this version knows them.
    pub fn detector_ids(&self) -> impl Iterator<Item = DetectorId> {
        self.detectors.names().filter_map(|name| name.parse().ok())
    }
}

/// Most characters of a name.
const LONGEST: usize = 160;

/// A text that is not too long to be one of many.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A reader by name: its executable, and what it interprets.
pub(super) fn reader(process: &Process) -> String {
    short(&words::reader(process))
}

/// A process that may be missing.
pub mod maybe_key {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tokenhound_common::process::ProcessKey;

    /// Start and thread group.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(key: &Option<ProcessKey>, to: S) -> Result<S::Ok, S::Error> {
        key.map(|key| (key.start_ns, key.tgid)).serialize(to)
    }

    /// The key again.
    ///
    /// # Errors
    /// When it was not written by [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ProcessKey>, D::Error> {
        let key = Option::<(u64, u32)>::deserialize(from)?;
        Ok(key.map(|(start_ns, tgid)| ProcessKey::new(start_ns, tgid)))
    }
}

/// Several processes.
mod keys {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tokenhound_common::process::ProcessKey;

    pub(super) fn serialize<S: Serializer>(keys: &[ProcessKey], to: S) -> Result<S::Ok, S::Error> {
        keys.iter().map(|key| (key.start_ns, key.tgid)).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ProcessKey>, D::Error> {
        let keys = Vec::<(u64, u32)>::deserialize(from)?;
        Ok(keys.into_iter().map(|(start_ns, tgid)| ProcessKey::new(start_ns, tgid)).collect())
    }
}

/// A process and the id of a store.
mod process_and_store {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tokenhound_common::process::ProcessKey;

    pub(super) fn serialize<S: Serializer>(key: &ProcessKey, store: &str, to: S) -> Result<S::Ok, S::Error> {
        (key.start_ns, key.tgid, store).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<(ProcessKey, String), D::Error> {
        let (start_ns, tgid, store) = <(u64, u32, String)>::deserialize(from)?;
        Ok((ProcessKey::new(start_ns, tgid), store))
    }
}
