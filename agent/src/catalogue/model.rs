//! What the catalogue says of a store: the shape of its YAML entries as plain data.

use std::{net::IpAddr, path::PathBuf};

use super::pattern::Pattern;
pub use super::vocabulary::{
    Format, Holds, Keyring, Kind, NotExtracted, Protection, ReaderMatch, ReaderRole, Role, Scope, SessionScope,
    Staleness, TimeEncoding, Verification, WritePattern,
};
use crate::{
    token::{
        selector::{Expression, Find},
        shape::Shape,
    },
    yaml::Place,
};

/// A place in a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// As it is written: see [`crate::token::selector`].
    pub selector: String,
    /// The same, parsed.
    pub find: Find,
    /// How the files are built that it is for.
    pub format: Format,
    /// Only files at one of these are meant; none: every file of the store.
    pub files: Vec<Pattern>,
    /// The kind of what is there, where its name does not tell.
    pub kind: Option<Kind>,
    /// How it is protected, where that is known of the tool.
    pub protection: Option<Protection>,
    /// Remark.
    pub note: Option<String>,
}

/// A time in a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeField {
    /// Where it is.
    pub field: Selector,
    /// How it is written.
    pub encoding: TimeEncoding,
    /// The secret fields it is about; none: every one beside or below it that is no refresh token or key.
    pub of: Vec<String>,
}

/// A group of programs that may read a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// What it has to do with the store.
    pub role: ReaderRole,
    /// Names of the executable; `*` is a wildcard.
    pub exe: Vec<String>,
    /// Where it is.
    pub paths: Vec<Pattern>,
    /// Packages of the distribution that bring it, instead of a place. The file must lie where its user cannot write, and
    /// be what the package brought.
    pub package: Vec<String>,
    /// For a script: the interpreters that may run it.
    pub interpreter: Vec<String>,
    /// The scripts.
    pub scripts: Vec<Pattern>,
    /// The modules (`python3 -m`).
    pub modules: Vec<String>,
    /// Parts of the command line; narrows, never suffices.
    pub cmdline_contains: Vec<String>,
    /// What a command line must not hold, or the program could send the file elsewhere: `-x` is a short option, also among
    /// others (`-vx`), `--long` the start of a long one, and all else any part. Narrows, never suffices.
    pub cmdline_never: Vec<String>,
    /// A generic program: never sufficient alone.
    pub weak: bool,
    /// Recognised by what surrounds it.
    pub matched: Option<ReaderMatch>,
    /// Remark.
    pub note: Option<String>,
    /// Where it stands in its file.
    pub place: Place,
}

/// A variable that moves a store, with what becomes of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVariable {
    /// The variable.
    pub name: String,
    /// Paths with `{}` for the value.
    pub templates: Vec<String>,
}

/// One entry of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its id, unique in the catalogue.
    pub id: String,
    /// The research entry it was split from, where several vendors shared one.
    pub split_from: Option<String>,
    /// The tool.
    pub tool: String,
    /// Who makes it.
    pub vendor: String,
    /// What it counts as for `credential-sweep`: stores of one family are one thing to a thief.
    pub family: String,
    /// What the entry is about.
    pub role: Role,
    /// 1 watch by default, 2 common, 3 niche.
    pub tier: u8,
    /// Kinds of secret.
    pub kind: Vec<Kind>,
    /// How sure it is that there is a secret.
    pub holds: Holds,
    /// Where it is.
    pub paths: Vec<Pattern>,
    /// Those of `paths` at which a secret is rather the exception: a project's `.npmrc`.
    pub perhaps_paths: Vec<Pattern>,
    /// What the globs of `paths` take in by mistake.
    pub exclude_paths: Vec<Pattern>,
    /// Paths readable by everybody or too broad to watch: for posture and content scans only.
    pub unwatched_paths: Vec<Pattern>,
    /// Variables that move it.
    pub path_env: Vec<PathVariable>,
    /// Exceptions to `path_env`.
    pub path_env_notes: Vec<(String, String)>,
    /// Journals, backups and temporary names that hold the secret too.
    pub sidecar_paths: Vec<Pattern>,
    /// Lock files: touched without reading a secret.
    pub lock_paths: Vec<Pattern>,
    /// Sockets beside the store.
    pub socket_paths: Vec<Pattern>,
    /// Network addresses that hand the secret out.
    pub addresses: Vec<IpAddr>,
    /// Where else the secret can be.
    pub non_file_locations: Vec<String>,
    /// Ids of stores at the very same path.
    pub shares_path_with: Vec<String>,
    /// Those of `paths` that another store has as well.
    pub shared_paths: Vec<Pattern>,
    /// A shared file belongs to this store if its content matches one of these.
    pub content_regex: Vec<Expression>,
    /// A secret field whose value matches one of these holds no secret.
    pub placeholder_regex: Vec<Expression>,
    /// Selectors that, when present, say that the secret is elsewhere.
    pub delegates: Vec<Selector>,
    /// Selectors whose value is the path of a file with the secret.
    pub points_to: Vec<Selector>,
    /// How the file is built.
    pub format: Format,
    /// Why no token is taken out of it.
    pub not_extracted: Option<NotExtracted>,
    /// Where in it the secrets are.
    pub secret_fields: Vec<Selector>,
    /// Where in it the expiry is.
    pub expiry_fields: Vec<TimeField>,
    /// Where in it the time of issue is.
    pub issued_fields: Vec<TimeField>,
    /// Documented shapes that its tokens have.
    pub token_shapes: Vec<&'static Shape>,
    /// Who may read it.
    pub readers: Vec<Reader>,
    /// What its own program is told to print the token: its name, then words in their order (`gh auth token`).
    pub prints: Vec<String>,
    /// How strong a signal an unknown reader is.
    pub reader_scope: Scope,
    /// Variables that carry the same secret.
    pub env_vars: Vec<String>,
    /// Remarks on them.
    pub env_vars_notes: Vec<String>,
    /// How long a token lives, in words.
    pub lifetime: Option<String>,
    /// The same in seconds.
    pub ttl_seconds: Option<u64>,
    /// An expired token is renewed without a person.
    pub refreshable: bool,
    /// How its age is told.
    pub staleness: Staleness,
    /// What ends its session.
    pub session_scope: SessionScope,
    /// How to remove it here.
    pub logout: Option<String>,
    /// How to make it worthless everywhere.
    pub revoke: Option<String>,
    /// Expected permission bits of the file.
    pub mode: Option<u32>,
    /// Remark on them.
    pub mode_note: Option<String>,
    /// Expected permission bits of its directory.
    pub dir_mode: Option<u32>,
    /// The mode was read in the tool's source.
    pub mode_verified: bool,
    /// How it is written.
    pub write_pattern: WritePattern,
    /// That was read in the tool's source.
    pub write_pattern_verified: bool,
    /// Can the token be in a keyring instead?
    pub keyring: Keyring,
    /// Remarks.
    pub notes: Option<String>,
    /// Where the facts come from.
    pub verification: Verification,
    /// The same in words.
    pub source: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// Where in that file.
    pub place: Place,
}

impl Store {
    /// Are reads of it watched?
    #[must_use]
    pub fn watched(&self) -> bool {
        matches!(self.role, Role::Store | Role::Decoy)
    }

    /// Is it a history or a log, which is looked at when it was written?
    #[must_use]
    pub const fn is_outlet(&self) -> bool {
        matches!(self.role, Role::History | Role::Log)
    }

    /// Every pattern of a history or log.
    pub fn outlet_paths(&self) -> impl Iterator<Item = &Pattern> {
        self.paths.iter().filter(|_| self.is_outlet())
    }

    /// Every pattern whose sockets are watched: an agent's own, and those beside a store.
    pub fn sockets(&self) -> impl Iterator<Item = &Pattern> {
        let own = self.paths.iter().filter(|_| self.role == Role::AgentSocket);
        own.chain(&self.socket_paths)
    }

    /// Every pattern whose files are watched: the store's own and its sidecars.
    pub fn watched_paths(&self) -> impl Iterator<Item = &Pattern> {
        self.paths.iter().chain(&self.sidecar_paths).filter(|_| self.watched())
    }

    /// Every pattern of a place that keeps tokens, watched or not; none for sinks, sockets, memory and decoys.
    pub fn kept_paths(&self) -> impl Iterator<Item = &Pattern> {
        let all = self.paths.iter().chain(&self.unwatched_paths).chain(&self.sidecar_paths);
        all.filter(|_| self.role == Role::Store)
    }
}
