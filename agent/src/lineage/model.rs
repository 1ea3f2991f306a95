//! Processes and what is known of them: the plain data that lineage produces and everything later reads.

use std::path::{Path, PathBuf};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::package::Owners;
use crate::{container::model::Named, ingest::observation::KernelTime};

/// Whether the user on whose behalf a program runs could have changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writable {
    /// Neither the file nor any directory above it can be written by that user (or, for root, by anyone but root).
    No,
    /// The file or a directory above it can be written by that user.
    Yes,
    /// The file could not be examined (gone, another mount namespace, a path that was cut).
    Unknown,
}

/// An executable file: who a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Full path at the time of exec, in the mount namespace of the process. Empty if it never was known.
    pub path: PathBuf,
    /// Components near the root are missing from `path`.
    pub path_truncated: bool,
    /// Which file, whatever its name.
    pub id: FileId,
    /// Owner.
    pub uid: u32,
    /// `S_IFMT` and permission bits.
    pub mode: u32,
    /// Number of names it has; 0 for memfd and deleted files.
    pub links: u32,
    /// Could the process's user have changed it?
    pub writable: Writable,
}

/// What an interpreter was told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// A file, made absolute and with symbolic links left as they were.
    File {
        /// The script.
        path: PathBuf,
        /// Could the process's user have changed it?
        writable: Writable,
    },
    /// A module by name (`python3 -m pip`).
    Module(String),
    /// Code on the command line, from standard input or from a descriptor: never an expected reader.
    Inline,
}

/// Why a process's facts may be incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Seen from its fork or exec on.
    Observed,
    /// Found in `/proc` when the agent started (or when a record named a process nobody had seen).
    Backfilled,
    /// Only named by a record of its own; nothing else is known.
    Stub,
}

/// A container, from the cgroup path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Full id (64 hex digits) or, for runtimes that use names, the name.
    pub id: String,
    /// `docker`, `containerd`, `crio`, `podman`, `lxc`, `kubernetes`, `unknown`.
    pub runtime: String,
    /// What its runtime calls it. Known of a reader and its ancestors, where the runtime's files tell.
    pub named: Named,
}

impl Container {
    /// One of which no more is known.
    #[must_use]
    pub fn new(id: impl Into<String>, runtime: impl Into<String>) -> Self {
        Self { id: id.into(), runtime: runtime.into(), named: Named::default() }
    }
}

/// One process, as lineage knows it at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its key.
    pub key: ProcessKey,
    /// Who created it, at fork time: unaffected by later reparenting.
    pub parent: Option<ProcessKey>,
    /// The program file it runs.
    pub executable: Executable,
    /// For interpreters, what they run.
    pub script: Option<Script>,
    /// Arguments, redacted; display and rules on subcommands only.
    pub args: Vec<String>,
    /// Arguments are missing at the end.
    pub args_truncated: bool,
    /// Working directory at exec.
    pub cwd: Option<PathBuf>,
    /// Environment variables of interest (see `ingest::observation::Exec::environment`).
    pub environment: Vec<(String, std::ffi::OsString)>,
    /// Thread name, for display only.
    pub comm: String,
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Real group.
    pub gid: u32,
    /// Login user, where set.
    pub login_uid: Option<u32>,
    /// Audit session, where set.
    pub audit_session: Option<u32>,
    /// Session leader's pid.
    pub session: u32,
    /// Controlling terminal (major, minor).
    pub tty: Option<(u32, u32)>,
    /// Mount namespace.
    pub mount_namespace: u32,
    /// Pid namespace.
    pub pid_namespace: u32,
    /// Cgroup id.
    pub cgroup: u64,
    /// Container it runs in.
    pub container: Option<Container>,
    /// The systemd unit of its cgroup: `cron.service`, `session-3.scope`. Known of a reader and its ancestors, and only on the host.
    pub unit: Option<String>,
    /// Whose program and script are, by the packages of the host. Known of a reader, once it was asked for.
    pub owners: Option<Box<Owners>>,
    /// When this program started (exec), or the process if it never exec'ed.
    pub since: KernelTime,
    /// When it ended, if it has.
    pub exited: Option<KernelTime>,
    /// How it became known.
    pub origin: Origin,
}

impl Process {
    /// Last component of the executable's path, for display.
    #[must_use]
    pub fn name(&self) -> &str {
        self.executable.path.file_name().and_then(|name| name.to_str()).unwrap_or(&self.comm)
    }

    /// The script's path, if it runs one from a file.
    #[must_use]
    pub fn script_path(&self) -> Option<&Path> {
        match &self.script {
            Some(Script::File { path, .. }) => Some(path),
            _ => None,
        }
    }
}

/// A process with its ancestors, each with the identity it had when its child was created or acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The process that acts first, then its parent, and so on to the oldest known.
    pub processes: Vec<Process>,
    /// Ancestors are missing between the last one listed and pid 1.
    pub incomplete: bool,
}
