//! The life of a token in its place, as far as it was seen.
//!
//! It is written down as it stands here, in captures and in the history: a change is one of their formats.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use crate::{finding::severity::Severity, lineage::actor::Class, posture::Exposure, token::model::Known};

/// Most different users of a token that are remembered. Beyond, a new one is told each time.
pub const MOST_USES: usize = 16;

/// What a look at a file of a store found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// By which name the file is known.
    #[serde(with = "crate::state::path")]
    pub path: PathBuf,
    /// The stores it belongs to.
    pub stores: Vec<String>,
    /// What lies in it now.
    pub tokens: Vec<Known>,
    /// When it was written last; `None` where there is no file any more.
    pub written: Option<Timestamp>,
    /// In which ways others can get at it.
    pub exposures: Vec<Exposed>,
}

/// One way in which others can get at a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// Stable name of the way.
    pub way: String,
    /// In words.
    pub text: String,
    /// How much it matters.
    pub severity: Severity,
    /// What to do about it.
    pub remedy: String,
}

/// How others can get at a file, as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposures {
    /// The file.
    #[serde(with = "crate::state::path")]
    pub path: PathBuf,
    /// In which ways.
    pub ways: Vec<Exposed>,
}

impl From<&Exposure> for Exposed {
    fn from(exposure: &Exposure) -> Self {
        Self {
            way: exposure.name().to_owned(),
            text: exposure.sentence(),
            severity: exposure.severity(),
            remedy: exposure.remedy().to_owned(),
        }
    }
}

/// A token in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Which, and what it tells.
    pub known: Known,
    /// When it was first seen there.
    pub since: Timestamp,
    /// When the file was written with it, as far as is known.
    pub written: Timestamp,
    /// Who put it there. `None`: it was there before, or nobody was seen.
    pub origin: Option<Origin>,
    /// When the session ended in which it was put there.
    pub session_over: Option<Timestamp>,
    /// Who has read it since, each once.
    pub uses: Vec<Use>,
    /// What was told of it.
    pub told: Told,
}

/// What was told of a token, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// That it outlived its session.
    pub outlived: bool,
    /// That it is stale.
    pub stale: bool,
}

/// Who put a token where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// When.
    pub at: Timestamp,
    /// The user.
    pub uid: u32,
    /// The user's name.
    pub user: Option<String>,
    /// The program, or the script it runs.
    #[serde(with = "crate::state::path")]
    pub program: PathBuf,
    /// On whose behalf.
    pub actor: Class,
    /// The login or terminal session it ran in.
    pub session: Option<Session>,
    /// It was seen to write. Otherwise it is only who read the store right before.
    pub seen: bool,
}

/// A login or terminal session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The process that leads it: it is over when that ends.
    #[serde(with = "crate::state::process_key")]
    pub leader: ProcessKey,
    /// The leader's program, for display.
    pub program: String,
    /// Controlling terminal (major, minor).
    pub tty: Option<(u32, u32)>,
}

/// Who has read a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// On whose behalf.
    pub actor: Class,
    /// The program, or the script it runs.
    #[serde(with = "crate::state::path")]
    pub program: PathBuf,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}
