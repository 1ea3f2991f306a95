//! What the decoder makes of a record: owned, typed, complete, and without secrets.

use std::{ffi::OsString, path::PathBuf};

use tokenhound_common::{process::ProcessKey, record::FileFacts};

/// Nanoseconds since boot, suspend included: the kernel's own time of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelTime(pub u64);

/// One decoded record.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A process was created.
    Fork(Fork),
    /// A process replaced its program.
    Exec(Box<Exec>),
    /// A process ended.
    Exit(Exit),
    /// A watched file or another process's procfs object was opened.
    Open(Box<Open>),
}

impl Observation {
    /// When the kernel saw it.
    #[must_use]
    pub fn time(&self) -> KernelTime {
        match self {
            Self::Fork(fork) => fork.time,
            Self::Exec(exec) => exec.time,
            Self::Exit(exit) => exit.time,
            Self::Open(open) => open.time,
        }
    }
}

/// A path as the kernel walked it, in the mount namespace of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KernelPath {
    /// Absolute, unless `truncated`.
    pub path: PathBuf,
    /// Components nearest the root are missing; `path` then starts below them and is relative.
    pub truncated: bool,
}

/// Who acted, at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The process.
    pub key: ProcessKey,
    /// Its parent.
    pub parent: ProcessKey,
    /// The thread.
    pub tid: u32,
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Real group.
    pub gid: u32,
    /// Login user of the audit subsystem, where set.
    pub login_uid: Option<u32>,
    /// Session of the audit subsystem, where set.
    pub audit_session: Option<u32>,
    /// Session leader (pid in the initial namespace), 0 where unknown.
    pub session: u32,
    /// Controlling terminal (major, minor).
    pub tty: Option<(u32, u32)>,
    /// Inode number of the mount namespace.
    pub mount_namespace: u32,
    /// Inode number of the pid namespace.
    pub pid_namespace: u32,
    /// Id of the cgroup (inode number in cgroup2fs).
    pub cgroup: u64,
    /// The executable it runs.
    pub executable: tokenhound_common::record::FileId,
    /// Thread name. Chosen by the process: for display only.
    pub comm: String,
}

/// See [`tokenhound_common::record::Fork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// When.
    pub time: KernelTime,
    /// Who forked.
    pub parent: ProcessKey,
    /// The new process.
    pub child: ProcessKey,
}

/// See [`tokenhound_common::record::Exec`].
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// When.
    pub time: KernelTime,
    /// The process after the exec.
    pub task: Task,
    /// Attributes of the executable.
    pub executable: FileFacts,
    /// Its path.
    pub path: KernelPath,
    /// Working directory.
    pub cwd: KernelPath,
    /// Name of the `#!` script that the executable interprets, as given to execve (may be relative to `cwd`).
    pub script: Option<OsString>,
    /// Arguments with secrets replaced (see [`crate::ingest::redact`]).
    pub args: Vec<String>,
    /// Arguments are missing at the end.
    pub args_truncated: bool,
    /// The variables that relocate stores or mark an actor; all others are dropped in the decoder.
    pub environment: Vec<(String, OsString)>,
    /// Variables may be missing.
    pub environment_truncated: bool,
}

/// See [`tokenhound_common::record::Exit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When.
    pub time: KernelTime,
    /// The process that ended.
    pub process: ProcessKey,
}

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A file that matched a watch key.
    File,
    /// `/proc/<pid>/environ` of another process.
    ProcEnviron(ProcessKey),
    /// `/proc/<pid>/mem` of another process.
    ProcMem(ProcessKey),
}

/// How a file was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenMode {
    /// May read.
    pub read: bool,
    /// May write.
    pub write: bool,
    /// Cut to nothing on open.
    pub truncate: bool,
}

/// See [`tokenhound_common::record::Open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// When.
    pub time: KernelTime,
    /// Who.
    pub task: Task,
    /// What.
    pub object: Object,
    /// Attributes of the file.
    pub file: FileFacts,
    /// The name it was opened by.
    pub path: KernelPath,
    /// The file has no name any more (or never had).
    pub unlinked: bool,
    /// How.
    pub mode: OpenMode,
    /// It is the agent's own canary.
    pub canary: bool,
}
