//! What is written down of a token's way: plain facts, and no token. Pure.

// From `core`, where there are addresses and no way to use them.
use core::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use crate::{
    detect::{
        access::Called,
        judge::Verdict,
        lifecycle::{Change, Exposures},
        revocation_incomplete::{self, Departed},
    },
    finding::model::Finding,
    lineage::actor::Class,
    token::{fingerprint::Fingerprint, model::Known},
};

/// One thing to write down.
#[derive(Clone, Debug)]
pub enum Entry {
    /// What is known of a token has changed.
    Token(Change),
    /// Something was told.
    Finding(Box<Finding>),
    /// Somebody got at a token, expected or not.
    Access(Box<Accessed>),
    /// A token was found outside of its store.
    Copy(Box<Copied>),
    /// A carrier of a token has connected to another machine.
    Sent(Box<Sent>),
    /// A file with copies was looked at again.
    Standing(Box<Checked>),
    /// What is known and told of a token that has left its store has changed.
    Left(revocation_incomplete::Change),
    /// How a token is recognised, for after a restart.
    Needles(Box<Sealed>),
}

/// How a token is recognised in files, sealed: of no use without the fingerprint key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which token.
    pub fingerprint: Fingerprint,
    /// What [`crate::token::scan::Needles::seal`] made; some 1,300 bytes.
    pub needles: Vec<u8>,
    /// When it was written down: the longest ago goes first.
    pub at: Timestamp,
}

/// Most tokens that are recognised after they have left their stores, over restarts or not.
pub const MOST_LEFT: usize = 1024;

/// What was known before the agent started, beside tokens in their stores and copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Where tokens lay that can still be recognised.
    pub known: Vec<Known>,
    /// Tokens of which it is asked what remains, and what was told, the longest away first.
    pub left: Vec<Departed>,
    /// Processes that got at those and may still run.
    pub holders: Vec<Holding>,
    /// How others can get at files, as it was told.
    pub exposures: Vec<Exposures>,
}

/// A process that got at a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Which token.
    pub fingerprint: Fingerprint,
    /// Which process.
    #[serde(with = "crate::state::process_key")]
    pub process: ProcessKey,
    /// The same in words.
    pub name: String,
}

/// How somebody got at a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A file of its store was opened for reading.
    Read,
    /// Its store's own program was started to print it.
    Printed,
    /// A program was started with it on its command line or in its environment.
    Carried,
    /// Whoever keeps or hands it out was connected to.
    Connected,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Printed, Self::Carried, Self::Connected];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Printed => "printed",
            Self::Carried => "carried",
            Self::Connected => "connected",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// One access, by whom. Accesses that differ in time, process and lineage only are one row with a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accessed {
    /// How.
    pub way: Way,
    /// Id of the store.
    pub store: String,
    /// The file; the command, the place or the address where it is no file.
    pub what: PathBuf,
    /// What the engine says of it.
    pub verdict: Verdict,
    /// On whose behalf.
    pub actor: Class,
    /// Real user.
    pub uid: u32,
    /// The user's name.
    pub user: Option<String>,
    /// The reader's executable.
    pub program: PathBuf,
    /// What it interprets.
    pub script: Option<String>,
    /// The container it runs in: runtime and id.
    pub container: Option<String>,
    /// The reader's ancestors, nearest first; at most [`ANCESTORS`].
    pub lineage: Vec<Ancestor>,
    /// The reader.
    pub process: ProcessKey,
    /// When.
    pub time: Timestamp,
    /// Tokens that lay there then; at most [`TOKENS`].
    pub tokens: Vec<Fingerprint>,
}

/// Most ancestors that are kept of an access.
pub const ANCESTORS: usize = 8;

/// Most tokens of one file that an access is noted for.
pub const TOKENS: usize = 16;

/// A process above a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Its pid.
    pub pid: u32,
    /// Its program, or the script it runs. Visible text.
    pub program: String,
}

/// A token that was found by its fingerprint outside of its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Which token.
    pub fingerprint: Fingerprint,
    /// Its store.
    pub store: String,
    /// The file it was found in.
    #[serde(with = "crate::state::path")]
    pub path: PathBuf,
    /// What kind of place that is: `script`, `history`, `repository`.
    pub class: String,
    /// How it is written there: `plain`, `base64`.
    pub encoding: String,
    /// Bytes of the file.
    pub size: u64,
    /// Which file it was then. The history's thread fills it in.
    pub file: Option<FileMark>,
    /// Who wrote it, for display.
    pub writer: String,
    /// The process that had read the store: the writer, or one above it.
    #[serde(with = "crate::state::process_key")]
    pub carrier: ProcessKey,
    /// When it was found.
    pub time: Timestamp,
}

/// Somebody who carried a token connected to another machine. Those that differ in time and process only are one row with a
/// count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The store that had been read.
    pub store: String,
    /// The token, where the finding about the read names it.
    pub fingerprint: Option<Fingerprint>,
    /// The process that had read the store: who connected, or one of its lineage.
    pub reader: ProcessKey,
    /// The address and the port.
    pub peer: SocketAddr,
    /// What it is called, where that is known.
    pub called: Option<Called>,
    /// Real user of who connected.
    pub uid: u32,
    /// The user's name.
    pub user: Option<String>,
    /// The executable.
    pub program: PathBuf,
    /// What it interprets.
    pub script: Option<String>,
    /// The container it runs in: runtime and id.
    pub container: Option<String>,
    /// Who connected.
    pub process: ProcessKey,
    /// Id of the finding, where there is one.
    pub finding: Option<String>,
    /// When.
    pub time: Timestamp,
}

/// By what a file is known to be the same with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Device.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of its last change: seconds and nanoseconds.
    pub changed: (i64, u32),
}

/// What a look at a file with copies gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// The tokens of which something is said; all that were found in it where none is named.
    pub tokens: Vec<Fingerprint>,
    /// What became of their copies.
    pub state: Standing,
    /// When it was looked.
    pub at: Timestamp,
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The file is as it was when the token was found in it.
    Present,
    /// The file has changed since, and was not looked into again.
    Changed,
    /// The file is gone, or the token is not in it any more.
    Gone,
}

impl Standing {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Present, Self::Changed, Self::Gone].into_iter().find(|state| state.name() == name)
    }
}
