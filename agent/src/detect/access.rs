//! The engine's input: one access with every fact about it. Facts are gathered at the edge; rules follow in `detect`.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, SocketAddr};
use std::{path::PathBuf, time::SystemTime};

use tokenhound_common::record::FileFacts;

use super::secret_in_arguments::foreign::Foreign;
use crate::{
    copies::{
        model::{Copy, PlaceFacts, Why},
        place::Place,
    },
    ingest::carried,
    ingest::observation::{Inspection, KernelTime, OpenMode, Stream, Way},
    lineage::{
        actor::Actor,
        loaded::Loaded,
        model::{Chain, Process},
        package::Digest,
    },
    token::{fingerprint::Fingerprint, shape::Shape},
};

/// What was accessed.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A store's file.
    Store {
        /// Ids of the stores that this path belongs to; several where stores share a file (`.netrc`).
        stores: Vec<String>,
        /// The name it was opened by.
        path: PathBuf,
        /// The name the store is known by, where the file was reached by another one (hard link, bind mount).
        known_as: Option<PathBuf>,
        /// Attributes of the file.
        file: FileFacts,
        /// How it was opened.
        mode: OpenMode,
        /// How the reader came to it.
        way: Way,
        /// The path as the reader sees it, where it has another root.
        path_in_root: Option<PathBuf>,
    },
    /// Another process; `None` where it could not be resolved. For a core dump also the file, by the name it was opened by.
    Process(Inspection, Option<Box<Process>>, Option<PathBuf>),
    /// A token, or its use, was asked of whoever keeps it; no store was opened by the reader.
    Service {
        /// Ids of the stores concerned.
        stores: Vec<String>,
        /// What was asked.
        service: Service,
    },
    /// A file was written in which tokens were found that belong elsewhere. The reader of the access is whoever wrote it.
    Copy {
        /// Ids of the stores that the tokens belong to.
        stores: Vec<String>,
        /// The file, and what was found.
        copied: Box<Copied>,
    },
}

/// A file with copies of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where it lies.
    pub path: PathBuf,
    /// What kind of file it is.
    pub place: Place,
    /// Facts about it.
    pub facts: PlaceFacts,
    /// The copies, with the files that the tokens belong to.
    pub copies: Vec<(Copy, Vec<PathBuf>)>,
    /// Copies that are not told one by one.
    pub more: u64,
    /// It is a project's file that holds a token only at times, and went along with the project.
    pub along: bool,
    /// It lies beside a store that holds the token and is named after it, as editors' copies are.
    pub beside: bool,
    /// Why it was looked into.
    pub why: Why,
    /// Who was the first of its lineage to have a token, where that is another.
    pub carrier: Option<String>,
    /// Others who wrote it at the same time.
    pub others: Vec<String>,
}

/// How a token, or its use, was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// The store's own program was started to print it. The reader of the access is that program; who gets the token is an
    /// ancestor.
    Print {
        /// What it was told, as the catalogue writes it: `gh auth token`.
        command: String,
        /// Where its output goes.
        output: Stream,
    },
    /// A program was started with the token itself: the reader of the access.
    Start {
        /// Where the token stands.
        place: carried::Place,
        /// Which token.
        token: Carrying,
        /// In a variable: why the program has no business with it, and where it has it from.
        inherited: Option<Inherited>,
    },
    /// A connection to the socket of whoever keeps it.
    Socket {
        /// Its path.
        path: PathBuf,
        /// The name it is known by, where it was reached by another one.
        known_as: Option<PathBuf>,
    },
    /// A connection to another machine, or something sent there, by a process that carries one.
    Egress {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// What it is called, where that is known.
        name: Option<Called>,
        /// Something was sent there, which takes no connection.
        sent: bool,
    },
    /// A connection to an address that hands it out.
    Address {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
}

/// What a destination is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The name, as it was found.
    pub name: String,
    /// Where.
    pub by: Namer,
}

/// Where a name of an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Namer {
    /// `/etc/hosts`.
    Hosts,
    /// A name server, asked by its lineage.
    Dns,
}

impl Namer {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hosts, Self::Dns];

    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Dns => "dns",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|namer| namer.name() == name)
    }

    /// In words, behind the name.
    #[must_use]
    pub const fn origin(self) -> &'static str {
        match self {
            Self::Hosts => "as /etc/hosts has it",
            Self::Dns => "as a name server told it",
        }
    }

    /// In words, before the name.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Hosts => "/etc/hosts calls it",
            Self::Dns => "it was asked for as",
        }
    }
}

/// A token that a program was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrying {
    /// One of a store.
    Known(Fingerprint),
    /// Something that is built like one, and lies in no store that is known.
    Shaped(&'static Shape),
}

/// A token in the environment of a program that has no business with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Why it has none.
    pub by: Foreign,
    /// Where it has the token from, in words.
    pub from: String,
}

impl Service {
    /// In few words, for display.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Start { place, .. } => place.words(),
            Self::Print { command, output } => format!("`{command}` to {}", output.name()),
            Self::Socket { path, .. } => path.display().to_string(),
            Self::Egress { address, port, .. } | Self::Address { address, port } => {
                SocketAddr::new(*address, *port).to_string()
            }
        }
    }
}

/// One access.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Kernel time of the open.
    pub time: KernelTime,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
    /// What.
    pub target: Target,
    /// The reader and its ancestors. Never empty.
    pub chain: Chain,
    /// On whose behalf.
    pub actor: Actor,
    /// What to call the CI runner that is looked into, if it is one.
    pub runner: Option<String>,
    /// Name of the reader's user, where the user database has one.
    pub user_name: Option<String>,
    /// Home of the reader's user.
    pub home: Option<PathBuf>,
    /// What its variables make the reader load. Known of expected readers only.
    pub loaded: Vec<Loaded>,
    /// How the reader, which is expected, is another than when it read last.
    pub reader_change: Option<ReaderChange>,
    /// Kernel mechanism that saw it: `lsm`, `fentry` or `tracepoint`.
    pub tier: Tier,
}

/// An expected reader is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderChange {
    /// Its executable or script.
    pub path: PathBuf,
    /// What that held when it read last.
    pub before: Digest,
    /// What it holds now.
    pub now: Digest,
}

/// Which kernel mechanism the sensor runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// BPF LSM.
    Lsm,
    /// Function entry on `security_file_open`.
    Fentry,
    /// System call tracepoints.
    Tracepoint,
}

impl Tier {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
        }
    }
}
