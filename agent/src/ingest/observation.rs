//! What the decoder makes of a record: owned, typed, complete, and without secrets.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, SocketAddr};
use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
};

use tokenhound_common::{
    process::ProcessKey,
    record::{FileFacts, Output},
};

use crate::ingest::texts::Texts;

/// Nanoseconds since boot, suspend included: the kernel's own time of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
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
    /// A process connected to a socket or an address.
    Connect(Box<Connect>),
    /// A watched file or another process was accessed.
    Open(Box<Open>),
    /// A watched file was changed otherwise than through a descriptor.
    Change(Box<Change>),
    /// The memory of a process was written to a file.
    Dump(Dump),
    /// A carrier writes a file.
    Written(Box<Written>),
    /// A name server has answered a carrier.
    Answer(Box<Answer>),
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
            Self::Change(change) => change.time,
            Self::Connect(connect) => connect.time,
            Self::Dump(dump) => dump.time,
            Self::Written(written) => written.time,
            Self::Answer(answer) => answer.time,
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

/// Name of a thread: up to 16 bytes, chosen by whoever runs in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm([u8; 16]);

impl Comm {
    /// The bytes up to the first NUL, and no more than fit.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut comm = [0; 16];
        let used = bytes.iter().take_while(|byte| **byte != 0);
        comm.iter_mut().zip(used).for_each(|(to, from)| *to = *from);
        Self(comm)
    }

    /// For display; what is no UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(self.0.get(..end).unwrap_or_default())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
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
    pub comm: Comm,
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
    /// Its path, the working directory, the name of the `#!` script, arguments with secrets replaced (see
    /// [`crate::ingest::redact`]), and those variables that relocate stores, mark an actor or load code (see [`crate::ingest::loading`]).
    pub texts: Texts,
    /// Components of the path nearest the root are missing.
    pub path_truncated: bool,
    /// The same of the working directory.
    pub cwd_truncated: bool,
    /// Arguments are missing at the end.
    pub args_truncated: bool,
    /// Variables may be missing.
    pub environment_truncated: bool,
    /// Where standard output goes.
    pub output: Stream,
}

/// Where an output goes, as far as the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stream {
    /// It was not looked at.
    #[default]
    Unknown,
    /// Nowhere: closed, or `/dev/null`.
    Nowhere,
    /// To the controlling terminal.
    Terminal,
    /// To another terminal.
    OtherTerminal,
    /// Into a regular file.
    File,
    /// Into a pipe.
    Pipe,
    /// Into a socket.
    Socket,
    /// Anywhere else.
    Other,
}

impl Stream {
    /// From the wire. A number that is not known is no reason to drop the record.
    #[must_use]
    pub const fn of(output: Output) -> Self {
        match output {
            Output::CLOSED | Output::NULL => Self::Nowhere,
            Output::TERMINAL => Self::Terminal,
            Output::OTHER_TERMINAL => Self::OtherTerminal,
            Output::FILE => Self::File,
            Output::PIPE => Self::Pipe,
            Output::SOCKET => Self::Socket,
            Output::OTHER => Self::Other,
            _ => Self::Unknown,
        }
    }

    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Nowhere => "nowhere",
            Self::Terminal => "terminal",
            Self::OtherTerminal => "other-terminal",
            Self::File => "file",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::Other => "other",
        }
    }
}

impl Exec {
    /// Working directory, where it is known whole.
    #[must_use]
    pub fn cwd(&self) -> Option<&Path> {
        let cwd = self.texts.cwd();
        (!self.cwd_truncated && !cwd.as_os_str().is_empty()).then_some(cwd)
    }
}

/// See [`tokenhound_common::record::Exit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When.
    pub time: KernelTime,
    /// The process that ended.
    pub process: ProcessKey,
}

/// See [`tokenhound_common::record::Connect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// When.
    pub time: KernelTime,
    /// Who.
    pub task: Task,
    /// To what.
    pub peer: Peer,
    /// It is the agent's own test.
    pub canary: bool,
    /// Nobody watches the peer: it is told because a carrier connects.
    pub carried: bool,
    /// Something was sent there, which takes no connection.
    pub sent: bool,
}

/// What was connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A socket with a name.
    Socket {
        /// Its path.
        path: KernelPath,
        /// Its file.
        file: FileFacts,
    },
    /// An address.
    Address {
        /// Of IPv4 also where it was reached as IPv6.
        address: IpAddr,
        /// The port.
        port: u16,
    },
}

/// See [`tokenhound_common::record::Answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub time: KernelTime,
    /// Who.
    pub task: Task,
    /// Who answered, as the receiver has it.
    pub server: SocketAddr,
    /// The name that was asked for, in the notation of zone files; empty where nothing was understood.
    pub name: String,
    /// Its addresses; at most [`crate::ingest::answer::ADDRESSES`].
    pub addresses: Vec<IpAddr>,
}

/// See [`tokenhound_common::record::Dump`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// When the process ended; the core was complete by then.
    pub time: KernelTime,
    /// The process that crashed.
    pub process: ProcessKey,
    /// Its working directory.
    pub cwd: KernelPath,
}

/// What was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A file that matched a watch key.
    File,
    /// Another process.
    Process(Inspection, Inspected),
}

/// How a process looked into another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inspection {
    /// It opened `/proc/<pid>/environ`.
    Environ,
    /// It opened `/proc/<pid>/mem`.
    Mem,
    /// It attached with ptrace.
    PtraceAttach,
    /// It read memory with ptrace.
    PtracePeek,
    /// It read memory with `process_vm_readv`.
    ProcessVmReadv,
    /// It took a descriptor with `pidfd_getfd`.
    PidfdGetfd,
    /// It read the core dump of a process that had read a store.
    CoreDump,
}

impl Inspection {
    /// Every way.
    pub const ALL: [Self; 7] = [
        Self::Environ,
        Self::Mem,
        Self::PtraceAttach,
        Self::PtracePeek,
        Self::ProcessVmReadv,
        Self::PidfdGetfd,
        Self::CoreDump,
    ];

    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environ => "environ",
            Self::Mem => "mem",
            Self::PtraceAttach => "ptrace-attach",
            Self::PtracePeek => "ptrace-peek",
            Self::ProcessVmReadv => "process-vm-readv",
            Self::PidfdGetfd => "pidfd-getfd",
            Self::CoreDump => "core-dump",
        }
    }
}

/// Whose process was looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inspected {
    /// This one.
    Key(ProcessKey),
    /// The one with this pid, or with a thread of this number, in the pid namespace of the caller.
    Pid(u32),
}

/// How a process came to a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Way {
    /// It opened the file.
    #[default]
    Open,
    /// The program started in a process that had the file open.
    Exec,
    /// It received a descriptor, over a socket or with `pidfd_getfd`.
    Receive,
    /// It read through a descriptor that another process opened, or that was open before the agent.
    Read,
    /// It mapped the file through such a descriptor.
    Map,
}

impl Way {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Exec => "exec",
            Self::Receive => "receive",
            Self::Read => "read",
            Self::Map => "map",
        }
    }
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
    /// The same as the process sees it, where it has another root (chroot).
    pub path_in_root: Option<PathBuf>,
    /// How it came to the content.
    pub way: Way,
    /// The file has no name any more (or never had).
    pub unlinked: bool,
    /// How.
    pub mode: OpenMode,
    /// It is the agent's own canary.
    pub canary: bool,
}

/// What was done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It got a further name.
    Link(Place),
    /// It was renamed.
    Rename(Place),
    /// Another file took a watched name, which is given here.
    Replace(Place),
    /// A symbolic link was made that holds this text.
    Symlink(PathBuf),
    /// A name of it was removed.
    Unlink,
    /// Permission bits were set.
    Mode(u32),
    /// Owner or group were set.
    Owner {
        /// New owner, where it was set.
        uid: Option<u32>,
        /// New group, where it was set.
        gid: Option<u32>,
    },
    /// It was cut or grown to this many bytes.
    Truncate(u64),
    /// It, or a directory above it, was mounted: what is there now.
    Mount(Place),
}

/// A path of a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// From the root of the mount namespace.
    Path(KernelPath),
    /// From the root of the file system that holds the file; where that is mounted the record does not say.
    InFileSystem(KernelPath),
    /// As the process gave it.
    Text(PathBuf),
}

impl Place {
    /// The path, whatever it starts from.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Path(path) | Self::InFileSystem(path) => &path.path,
            Self::Text(text) => text,
        }
    }
}

/// See [`tokenhound_common::record::Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub time: KernelTime,
    /// Who.
    pub task: Task,
    /// Attributes of the file before.
    pub file: FileFacts,
    /// The file, the link or the mount point.
    pub place: Place,
    /// What happened.
    pub what: What,
    /// It concerns the agent's own canary.
    pub canary: bool,
}

/// At which moment a carrier's file is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// It was opened for writing: what is written comes later.
    Opened,
    /// A descriptor was closed.
    Closed,
    /// The process ended and had it open.
    Ended,
}

/// See [`tokenhound_common::record::Written`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// When.
    pub time: KernelTime,
    /// Who. At its end a process has no executable any more.
    pub task: Task,
    /// Attributes of the file.
    pub file: FileFacts,
    /// Its name.
    pub path: KernelPath,
    /// The same as the process sees it, where it has another root (chroot).
    pub path_in_root: Option<PathBuf>,
    /// The file has no name any more (or never had).
    pub unlinked: bool,
    /// Who carries: the process itself or one above it.
    pub carrier: ProcessKey,
    /// At which moment.
    pub moment: Moment,
}
