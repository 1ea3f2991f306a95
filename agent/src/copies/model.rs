//! What is to be looked into, and what was found there. It travels through captures as it stands here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokenhound_common::{process::ProcessKey, record::FileId};

use crate::{
    ingest::observation::KernelTime,
    token::{fingerprint::Fingerprint, scan::Encoding},
};

/// A file that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// When it was written.
    pub time: KernelTime,
    /// Its name, from the host's root.
    #[serde(with = "crate::state::path")]
    pub path: PathBuf,
    /// Which file had that name; `None` where that is not known.
    #[serde(with = "crate::state::file_id")]
    pub file: Option<FileId>,
    /// Who wrote it.
    #[serde(with = "crate::state::process_key")]
    pub writer: ProcessKey,
    /// Why it may hold a token.
    pub why: Why,
    /// The home that it lies in. The core fills it in.
    #[serde(with = "crate::state::maybe_path")]
    pub home: Option<PathBuf>,
    /// It was looked into already, and is so once more after a moment: it may have been on its way to another name.
    pub again: bool,
}

impl Candidate {
    /// One that was not looked into yet.
    #[must_use]
    pub const fn new(time: KernelTime, path: PathBuf, file: Option<FileId>, writer: ProcessKey, why: Why) -> Self {
        Self { time, path, file, writer, why, home: None, again: false }
    }
}

/// Why a file may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Its writer may have had one: it descends from a process that has read a store, or was handed what such a process wrote.
    Marked {
        /// That process.
        #[serde(with = "crate::state::process_key")]
        carrier: ProcessKey,
    },
    /// Its writer descends from whoever started a process that has read a store, and names it on its command line. Only if it
    /// was written since.
    Named {
        /// The process that has read.
        #[serde(with = "crate::state::process_key")]
        carrier: ProcessKey,
    },
    /// It is the history of a shell.
    History,
    /// It is a log.
    Log,
    /// It belongs to a container or an image, of that name.
    Container(String),
    /// A token was found in it before.
    Held,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// When it was done.
    pub time: KernelTime,
    /// Which.
    pub candidate: Candidate,
    /// Others who wrote the same file while it waited, at most [`MOST_WRITERS`].
    pub others: Vec<Writer>,
    /// What was found.
    pub outcome: Outcome,
}

#[cfg(test)]
impl Scanned {
    /// For tests: a file that `cp` has written, with this outcome.
    pub(crate) fn sample(outcome: Outcome) -> Self {
        let writer = ProcessKey::new(4_242_000, 4242);
        let why = Why::Marked { carrier: writer };
        let candidate = Candidate::new(KernelTime(5), "/home/ann/deploy.sh".into(), None, writer, why);
        Self { time: KernelTime(6), candidate, others: Vec::new(), outcome }
    }
}

/// Most further writers of one file that are told of.
pub const MOST_WRITERS: usize = 4;

/// Who wrote a file as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// When.
    pub time: KernelTime,
    /// Who.
    #[serde(with = "crate::state::process_key")]
    pub key: ProcessKey,
}

/// What a look into a file gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was looked into.
    Looked(Box<Looked>),
    /// It was not.
    Skipped(Skipped),
}

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Where it really lies, if it has another name by now.
    #[serde(with = "crate::state::maybe_path")]
    pub moved: Option<PathBuf>,
    /// Copies of tokens, one for each token and member of an archive; at most [`MOST_COPIES`].
    pub copies: Vec<Copy>,
    /// Copies that found no room there.
    pub more: u64,
    /// What was not looked into of it, and why.
    pub unseen: Option<Skipped>,
    /// Facts about its place. Of a file without copies only what costs nothing.
    pub place: PlaceFacts,
    /// Only what was added to it since the last look was looked into.
    pub appended: bool,
}

/// Most copies that are told of one file.
pub const MOST_COPIES: usize = 64;

/// A copy of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Which token.
    pub fingerprint: Fingerprint,
    /// How it is written there.
    pub encoding: Encoding,
    /// How often it is there.
    pub times: u64,
    /// Line of the first, from 1, where what was looked into is a text and was read from its beginning.
    pub line: Option<u64>,
    /// The member of an archive that it lies in, or how the file is compressed.
    pub member: Option<String>,
}

/// Facts about where a file lies, as far as they were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceFacts {
    /// Size in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// It begins with `#!` or is a program.
    pub program: bool,
    /// The kind of its file system, if that is one of another machine.
    pub network: Option<String>,
    /// It lies on a medium that can be taken out.
    pub removable: bool,
    /// What carries its directory to other machines.
    pub synced: Option<String>,
    /// What git knows of it.
    pub git: Git,
    /// The engine in whose storage of containers it lies.
    pub layer: Option<String>,
}

/// What git knows of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Git {
    /// It lies in no work tree, or it was not asked.
    #[default]
    Outside,
    /// It is in the index: it was, or will be, committed.
    Tracked,
    /// It is not, but nothing keeps it out.
    Untracked,
    /// An ignore file keeps it out.
    Ignored,
}

/// Why a file, or a part of it, was not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Skipped {
    /// It has no name any more.
    Gone,
    /// Its name leads to another file by now, and it was not found beside it.
    Replaced,
    /// It is no regular file.
    NotRegular,
    /// It may not be opened.
    Denied,
    /// It cannot be read.
    Failed,
    /// Too many files waited.
    QueueFull,
    /// It did not answer in time, as a network does that is away.
    Hangs,
    /// It takes longer than a file may.
    TimedOut,
    /// It expands to more than is looked into.
    Expands,
    /// It is packed deeper than is looked into.
    Deep,
    /// It is packed or encrypted in a way that is not unpacked here.
    Unsupported,
    /// It is packed, and broken.
    Broken,
    /// Its name is cut at the root: too many directories, or too long.
    Nameless,
    /// It was not changed since the read of which it is suspected ([`Why::Named`]).
    Older,
}

impl Skipped {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Gone,
        Self::Replaced,
        Self::NotRegular,
        Self::Denied,
        Self::Failed,
        Self::QueueFull,
        Self::Hangs,
        Self::TimedOut,
        Self::Expands,
        Self::Deep,
        Self::Unsupported,
        Self::Broken,
        Self::Nameless,
        Self::Older,
    ];

    /// Its name in metrics and findings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Replaced => "replaced",
            Self::NotRegular => "not_regular",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::QueueFull => "queue_full",
            Self::Hangs => "hangs",
            Self::TimedOut => "timed_out",
            Self::Expands => "expands",
            Self::Deep => "deep",
            Self::Unsupported => "unsupported",
            Self::Broken => "broken",
            Self::Nameless => "nameless",
            Self::Older => "older",
        }
    }

    /// Whether a copy may be there all the same, of which nobody knows.
    #[must_use]
    pub const fn is_gap(self) -> bool {
        !matches!(self, Self::Gone | Self::Replaced | Self::NotRegular | Self::Unsupported | Self::Broken | Self::Older)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::token::fingerprint::Key;

    #[test]
    fn what_was_found_survives_a_capture() {
        let path = PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff, b'a']));
        let file = Some(FileId { inode: 7, device: 8 << 20, generation: 3 });
        let why = Why::Marked { carrier: ProcessKey::new(1, 2) };
        let mut candidate = Candidate::new(KernelTime(5), path.clone(), file, ProcessKey::new(3, 4), why);
        candidate.home = Some("/home/ann".into());
        let copy = Copy {
            fingerprint: Key::new([1; 32]).fingerprint_of(b"made-up"),
            encoding: Encoding::Base64,
            times: 2,
            line: Some(3),
            member: Some("home/.netrc".to_owned()),
        };
        let looked = Looked { moved: Some(path), copies: vec![copy], more: 1, ..Looked::default() };
        for outcome in [Outcome::Looked(Box::new(looked)), Outcome::Skipped(Skipped::Hangs)] {
            let others = vec![Writer { time: KernelTime(6), key: ProcessKey::new(5, 6) }];
            let scanned = Scanned { time: KernelTime(9), candidate: candidate.clone(), others, outcome };
            let bytes = postcard::to_stdvec(&scanned).unwrap();
            assert_eq!(postcard::from_bytes::<Scanned>(&bytes).unwrap(), scanned);
            let text = serde_json::to_string(&scanned).unwrap();
            assert_eq!(serde_json::from_str::<Scanned>(&text).unwrap(), scanned);
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Skipped::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Skipped::ALL.len());
    }
}
