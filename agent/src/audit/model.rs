//! What an audit says. None of it is a token or a part of one.

use std::{cmp::Ordering, collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;

use crate::{
    catalogue::model::Holds,
    finding::{detector::DetectorId, severity::Severity, visible},
    posture::{Exposure, FileFacts},
    token::{
        fingerprint::Fingerprint,
        model::{Known, Reference},
    },
};

/// Version of the JSON report. It grows when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// Most findings of tokens outside stores. Later ones are counted.
pub const MOST_FINDINGS: usize = 10_000;

/// Everything an audit found.
#[derive(Debug)]
pub struct Report {
    /// When it was made.
    pub time: Timestamp,
    /// What its fingerprints were made with.
    pub key: KeyKind,
    /// Whose files were looked at, in words.
    pub scope: String,
    /// The unpacked root, if it was not this machine.
    pub root: Option<PathBuf>,
    /// The homes. Like all paths: inside the root.
    pub homes: Vec<PathBuf>,
    /// Every file of a store.
    pub stores: Vec<StoreFile>,
    /// What is wrong, what to do first at the beginning.
    pub findings: Vec<Finding>,
    /// Tokens of stores that were not looked for in other files: too short, made of words, or too many.
    pub not_searched: u64,
    /// What was looked at, and what was not.
    pub counts: Counts,
}

/// Where the fingerprint key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// It is this machine's or its fleet's: fingerprints compare with those of the agent.
    Machine,
    /// It was made for this run: fingerprints compare within this report only.
    Ephemeral,
}

/// A file that belongs to a store.
#[derive(Debug)]
pub struct StoreFile {
    /// Id of the store it is named after.
    pub store: String,
    /// The tool.
    pub tool: String,
    /// Ids of the stores that it also belongs to.
    pub also: Vec<String>,
    /// How sure it is that it holds a secret.
    pub holds: Holds,
    /// What is known of the file.
    pub facts: FileFacts,
    /// Name of its owner.
    pub owner: Option<String>,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was last written.
    pub written: Option<Timestamp>,
    /// Tokens in it.
    pub tokens: Vec<Known>,
    /// Tokens that it names and that lie elsewhere.
    pub references: Vec<Reference>,
    /// Why it, or a part of it, could not be understood.
    pub problems: Vec<String>,
    /// How others can get at it.
    pub exposures: Vec<Exposure>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which detector.
    pub detector: DetectorId,
    /// Which of its rules; stable.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub path: PathBuf,
    /// Line in it, from 1.
    pub line: Option<u64>,
    /// The store concerned.
    pub store: Option<String>,
    /// The token concerned.
    pub fingerprint: Option<Fingerprint>,
    /// What is wrong, as the end of a sentence that begins with the file. Visible text.
    pub headline: String,
    /// Facts beside it, in words. Visible text.
    pub evidence: Vec<String>,
    /// What to do, in order.
    pub steps: Vec<String>,
}

impl Finding {
    /// What to do first comes first.
    #[must_use]
    pub fn first(&self, other: &Self) -> Ordering {
        let key = |finding: &Self| (finding.detector, finding.rule, finding.line, finding.fingerprint);
        let by_path = self.path.cmp(&other.path);
        other.severity.cmp(&self.severity).then(by_path).then_with(|| key(self).cmp(&key(other)))
    }

    /// Detector and rule in one word.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.detector, self.rule)
    }

    /// The same finding of another run has the same.
    #[must_use]
    pub fn uid(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 audit finding id");
        let store = self.store.as_deref().unwrap_or_default();
        let line = self.line.unwrap_or_default().to_string();
        for part in [&self.id(), store, &line, &visible::path(&self.path)] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// Why something was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// No permission.
    Denied,
    /// It went away, or leads nowhere.
    Gone,
    /// It is no regular file.
    Special,
    /// It could not be read for another reason.
    Failed,
    /// A file system that the kernel makes up, or one of another machine, below the one that was asked for.
    OtherFileSystem,
    /// What git keeps packed (`.git/objects`).
    GitObjects,
    /// A part of a file beyond the size up to which files are looked at.
    TooLarge,
    /// A binary file in which only known tokens were looked for.
    Binary,
    /// Part of a search that was longer than its limit.
    Cut,
    /// Beyond the most findings that are kept.
    TooMany,
    /// A planted decoy.
    Decoy,
}

impl Skipped {
    /// A stable word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Special => "special",
            Self::Failed => "failed",
            Self::OtherFileSystem => "other-file-system",
            Self::GitObjects => "git-objects",
            Self::TooLarge => "too-large",
            Self::Binary => "binary",
            Self::Cut => "cut",
            Self::TooMany => "too-many",
            Self::Decoy => "decoy",
        }
    }

    /// What it means, for `n` of them.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Denied => "without permission to read",
            Self::Gone => "gone while looking, or links to nowhere",
            Self::Special => "no regular files",
            Self::Failed => "not readable for another reason",
            Self::OtherFileSystem => "file systems of other machines or of the kernel",
            Self::GitObjects => "packed objects of git repositories",
            Self::TooLarge => "looked at in part, being large",
            Self::Binary => "binary: searched for known tokens only",
            Self::Cut => "searches cut at a limit",
            Self::TooMany => "findings beyond the most that are kept",
            Self::Decoy => "planted decoys, not touched",
        }
    }
}

impl From<&std::io::Error> for Skipped {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Gone,
            _ if error.raw_os_error() == Some(libc::ELOOP) => Self::Gone,
            ErrorKind::InvalidInput => Self::Special,
            _ => Self::Failed,
        }
    }
}

/// What was looked at, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files whose name was looked at.
    pub names: u64,
    /// Files whose content was looked at, beside stores.
    pub files: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// What was not, by reason.
    pub skipped: BTreeMap<Skipped, u64>,
}

impl Counts {
    /// Counts one that was not looked at.
    pub fn skip(&mut self, why: Skipped) {
        *self.skipped.entry(why).or_default() += 1;
    }

    /// Adds those of another thread.
    pub fn add(&mut self, other: &Self) {
        self.names += other.names;
        self.files += other.files;
        self.bytes += other.bytes;
        for (why, count) in &other.skipped {
            *self.skipped.entry(*why).or_default() += count;
        }
    }
}
