//! What catalogue and policy say of one access, in the form the detectors take it. The edge fills it in; nothing here
//! knows where it came from.

use crate::lineage::model::{Process, Script};

/// What a detector needs to know of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFacts {
    /// Id in the catalogue.
    pub id: String,
    /// What to call it in a sentence: `AWS shared credentials file`.
    pub title: String,
    /// Who issued the token.
    pub vendor: String,
    /// Vendor family, the unit that a sweep counts: `aws`, `npm`, `ssh`.
    pub family: String,
    /// 1 (most dangerous) to 3.
    pub tier: u8,
    /// Kinds of secret, in the catalogue's words.
    pub kinds: Vec<String>,
    /// Command that makes the token worthless, if there is one.
    pub revoke: Option<String>,
    /// Command that removes it from this machine, if there is one.
    pub logout: Option<String>,
    /// Read by so many programs that a reader which is merely unknown says little (`.netrc`).
    pub broad: bool,
    /// This file of it holds a secret only at times (a project's `.npmrc`): a read alone says little.
    pub perhaps: bool,
    /// It is a decoy: it holds no token, and nobody has a reason to read it.
    pub decoy: bool,
    /// Its paths, for display: as the catalogue writes them; in a `credential-sweep` finding the one that was read.
    pub paths: Vec<String>,
}

/// What is thought of a reader at a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The store belongs to it.
    Expected {
        /// Role in the catalogue: `owner`, `consumer`, ...
        role: String,
        /// Why it counts as that reader.
        why: String,
    },
    /// A policy exception covers it.
    Tolerated {
        /// Name and place of the exception.
        rule: String,
        /// The reason its author gave.
        reason: String,
    },
    /// Neither.
    Unexpected {
        /// Why not, one clause for a reason: `the executable is in a place that ann can write`.
        why: Vec<String>,
        /// The doubt is small: a reader that looks right but cannot be proved, or an unknown one at a broad store.
        weak: bool,
    },
}

/// One store that the accessed path belongs to, with what is thought of the reader there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The store.
    pub store: StoreFacts,
    /// What is thought.
    pub expectation: Expectation,
}

/// What the engine says of one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The reader is one the store belongs to.
    Expected,
    /// A policy exception, or a rule built in, lets it pass.
    Tolerated,
    /// Neither.
    Unexpected,
}

impl Verdict {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Tolerated => "tolerated",
            Self::Unexpected => "unexpected",
        }
    }
}

/// Who a reader is, for telling readers apart: the executable file and what it interprets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    device: u32,
    inode: u64,
    generation: u32,
    script: Option<String>,
}

impl Identity {
    /// Identity of `process`.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        let id = process.executable.id;
        let script = match &process.script {
            None => None,
            Some(Script::File { path, .. }) => Some(format!("file {}", path.display())),
            Some(Script::Module(name)) => Some(format!("module {name}")),
            Some(Script::Inline) => Some("inline".to_owned()),
        };
        Self { device: id.device, inode: id.inode, generation: id.generation, script }
    }
}
