//! Records: what the kernel programs put into the two rings.
//!
//! A record is a fixed head followed by bytes whose lengths the head gives. All integers are native endian; kernel
//! and agent run on the same machine.

use crate::{process::ProcessKey, watch::Address};

/// What a record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kind(pub u16);

impl Kind {
    /// A process was created ([`Fork`]).
    pub const FORK: Self = Self(1);
    /// A process replaced its program ([`Exec`]).
    pub const EXEC: Self = Self(2);
    /// The last thread of a process ended ([`Exit`]).
    pub const EXIT: Self = Self(3);
    /// A watched file or another process was accessed ([`Access`]).
    pub const ACCESS: Self = Self(4);
    /// A watched file got another name, lost one, or was changed otherwise than through a descriptor ([`Change`]).
    pub const CHANGE: Self = Self(5);
    /// The kernel has written the memory of a process to a file ([`Dump`]).
    pub const DUMP: Self = Self(6);
    /// A process connected to a watched socket or address, or a carrier connected, or sent, to any address
    /// ([`Connect`]).
    pub const CONNECT: Self = Self(7);
    /// A carrier writes a file ([`Written`]).
    pub const WRITTEN: Self = Self(8);
    /// A carrier has received an answer of a name server ([`Answer`]).
    pub const ANSWER: Self = Self(9);
}

/// First in every record.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Header {
    /// A [`Kind`].
    pub kind: u16,
    /// Flags of this kind of record.
    pub flags: u16,
    /// Where the record was put together: CPU and buffer (see [`crate::limits::LANE_SHIFT`]). Only one program at a time
    /// uses a lane.
    pub lane: u32,
    /// Number of this record in its lane and ring, counted from 1 and also when the record could not be written, so
    /// that a gap is a loss.
    pub sequence: u64,
    /// `CLOCK_BOOTTIME` in nanoseconds at the moment of the event.
    pub time_ns: u64,
}

/// A file as the kernel knows it, whatever name led to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct FileId {
    /// `inode.i_ino`.
    pub inode: u64,
    /// `super_block.s_dev` in the kernel's encoding (major << 20 | minor). On btrfs and overlayfs this is not what
    /// `stat` returns; `/proc/self/mountinfo` has it.
    pub device: u32,
    /// `inode.i_generation`, or 0 where it is not known.
    pub generation: u32,
}

/// Who acts: the same facts in every record that has an actor.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Task {
    /// The process.
    pub key: ProcessKey,
    /// Its parent (`real_parent`, as thread-group leader) at that moment.
    pub parent: ProcessKey,
    /// Thread that acted, in the initial pid namespace.
    pub tid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Login user id of the audit subsystem, `u32::MAX` where unset or unknown.
    pub login_uid: u32,
    /// Session id of the audit subsystem, `u32::MAX` where unset or unknown.
    pub audit_session: u32,
    /// Session leader (`getsid`) in the initial pid namespace, 0 where unknown.
    pub session: u32,
    /// Controlling terminal: major << 20 | minor, 0 for none.
    pub tty: u32,
    /// Inode number of the mount namespace.
    pub mount_namespace: u32,
    /// Inode number of the pid namespace.
    pub pid_namespace: u32,
    /// Id of the cgroup in the unified hierarchy (inode number in cgroup2fs).
    pub cgroup: u64,
    /// The executable (`mm.exe_file`).
    pub executable: FileId,
    /// Thread name. Chosen by the process: for display only.
    pub comm: [u8; 16],
}

/// Attributes of a file that decide how far it can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct FileFacts {
    /// Which file.
    pub id: FileId,
    /// Size in bytes.
    pub size: u64,
    /// Owner in the initial user namespace.
    pub uid: u32,
    /// Number of hard links.
    pub links: u32,
    /// Type and permission bits (`S_IFMT` and lower).
    pub mode: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Body of [`Kind::FORK`].
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Fork {
    /// Common head.
    pub header: Header,
    /// Who forked.
    pub parent: ProcessKey,
    /// The new process.
    pub child: ProcessKey,
}

/// Body of [`Kind::EXEC`], followed by the program's path, the working directory, the name the program was started
/// by, its arguments and its environment, in this order.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Exec {
    /// Common head; flags are `Exec::*`.
    pub header: Header,
    /// The process after the exec.
    pub task: Task,
    /// Attributes of the executable.
    pub executable: FileFacts,
    /// Bytes of the executable's path (see [`crate::limits::PATH_BYTES`]).
    pub path_len: u16,
    /// Bytes of the working directory's path, same encoding.
    pub cwd_len: u16,
    /// Bytes of the name given to execve; for a `#!` script the script's name. Zero unless it differs from the
    /// interpreter.
    pub script_len: u16,
    /// Bytes of the arguments, each closed by NUL.
    pub args_len: u16,
    /// Bytes of the environment, each entry closed by NUL.
    pub env_len: u16,
    /// An [`Output`].
    pub output: u16,
    /// Always zero.
    pub reserved: [u16; 2],
}

/// What standard output is when a program starts. Zero where it was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Output(pub u16);

impl Output {
    /// It is closed.
    pub const CLOSED: Self = Self(1);
    /// The controlling terminal.
    pub const TERMINAL: Self = Self(2);
    /// Another terminal.
    pub const OTHER_TERMINAL: Self = Self(3);
    /// `/dev/null`.
    pub const NULL: Self = Self(4);
    /// A regular file.
    pub const FILE: Self = Self(5);
    /// A pipe.
    pub const PIPE: Self = Self(6);
    /// A socket.
    pub const SOCKET: Self = Self(7);
    /// Anything else.
    pub const OTHER: Self = Self(8);
}

impl Exec {
    /// The path is cut at its root end.
    pub const PATH_TRUNCATED: u16 = 1 << 0;
    /// The working directory is cut at its root end.
    pub const CWD_TRUNCATED: u16 = 1 << 1;
    /// The arguments are cut at their end.
    pub const ARGS_TRUNCATED: u16 = 1 << 2;
    /// The environment is cut at its end.
    pub const ENV_TRUNCATED: u16 = 1 << 3;
    /// An interpreter was started for a `#!` script; the script's name is in the record.
    pub const SCRIPT: u16 = 1 << 4;
    /// The name of the script is cut at its end.
    pub const SCRIPT_TRUNCATED: u16 = 1 << 5;
    /// Arguments could not be read from the process.
    pub const ARGS_UNREADABLE: u16 = 1 << 6;
}

/// Body of [`Kind::EXIT`].
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Exit {
    /// Common head.
    pub header: Header,
    /// The process that ended.
    pub process: ProcessKey,
}

/// Body of [`Kind::DUMP`], followed by the path of the working directory, from which relative names of cores count. It comes
/// right before the [`Exit`] of the process.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Dump {
    /// Common head; flags are `Dump::*`.
    pub header: Header,
    /// The process that crashed.
    pub process: ProcessKey,
    /// Bytes of the working directory's path (see [`crate::limits::PATH_BYTES`]).
    pub cwd_len: u16,
    /// Always zero.
    pub reserved: [u16; 3],
}

impl Dump {
    /// The working directory is cut at its root end.
    pub const CWD_TRUNCATED: u16 = 1 << 0;
}

/// What was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Object(pub u16);

impl Object {
    /// A file that matched a watch key.
    pub const FILE: Self = Self(1);
    /// `/proc/<pid>/environ` of another process, by whatever path.
    pub const PROC_ENVIRON: Self = Self(2);
    /// `/proc/<pid>/mem` of another process, by whatever path.
    pub const PROC_MEM: Self = Self(3);
    /// Another process was attached to with ptrace.
    pub const PTRACE_ATTACH: Self = Self(4);
    /// Memory of another process was read with ptrace.
    pub const PTRACE_PEEK: Self = Self(5);
    /// Memory of another process was read with `process_vm_readv`.
    pub const VM_READ: Self = Self(6);
    /// A descriptor was taken from another process with `pidfd_getfd`.
    pub const PIDFD_GETFD: Self = Self(7);
}

/// How a process came to a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Way(pub u16);

impl Way {
    /// It opened the file.
    pub const OPEN: Self = Self(1);
    /// A program was started that has the file open: its predecessor in the process opened it or was given it.
    pub const EXEC: Self = Self(2);
    /// It received a descriptor: over a socket, or with `pidfd_getfd`.
    pub const RECEIVE: Self = Self(3);
    /// It read through a descriptor that it has not opened itself, or had open before the agent started.
    pub const READ: Self = Self(4);
    /// The same for a mapping.
    pub const MAP: Self = Self(5);
}

/// Body of [`Kind::ACCESS`], followed by the file's path, which is left out for [`Way::EXEC`] (the agent knows it from
/// when the file was opened), and that of the process's root.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Access {
    /// Common head; flags are `Access::*`.
    pub header: Header,
    /// Who.
    pub task: Task,
    /// Attributes of the file. Zero where a process is accessed without one.
    pub file: FileFacts,
    /// The process that is accessed. Zero for files. With [`Access::TARGET_PID`] only its pid is known.
    pub target: ProcessKey,
    /// `file.f_flags` (`O_*`).
    pub open_flags: u32,
    /// `file.f_mode` (`FMODE_*`).
    pub open_mode: u32,
    /// An [`Object`].
    pub object: u16,
    /// Which keys matched: `MATCH_*`.
    pub matched: u16,
    /// Bytes of the path.
    pub path_len: u16,
    /// Bytes of the path of the process's root, which follows; 0 where it has not changed its root.
    pub root_len: u16,
    /// A [`Way`].
    pub way: u16,
    /// Always zero.
    pub reserved: [u16; 3],
}

impl Access {
    /// The path is cut at its root end.
    pub const PATH_TRUNCATED: u16 = 1 << 0;
    /// The name is no longer (or was never) linked into a directory: `O_TMPFILE`, unlinked, opened by handle.
    pub const UNLINKED: u16 = 1 << 1;
    /// `target.tgid` is the number that the caller gave, in its own pid namespace; it may be a thread's.
    pub const TARGET_PID: u16 = 1 << 2;

    /// The file's id is watched.
    pub const MATCH_FILE_ID: u16 = 1 << 0;
    /// The id of its directory is watched.
    pub const MATCH_DIRECTORY_ID: u16 = 1 << 1;
    /// Its name, alone or with those above it, is watched.
    pub const MATCH_NAME: u16 = 1 << 2;
    /// The name of its directory, alone or with the one above it, is watched.
    pub const MATCH_DIRECTORY_NAME: u16 = 1 << 3;
    /// It is the file that the agent itself uses to prove a probe.
    pub const MATCH_CANARY: u16 = 1 << 4;
    /// Nothing about the object: it is told because a carrier acts (see [`crate::watch::Carrier`]).
    pub const MATCH_CARRIER: u16 = 1 << 5;
    /// A name of a history or log.
    pub const MATCH_OUTLET: u16 = 1 << 6;
}

/// What was done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct What(pub u16);

impl What {
    /// It got a further name (hard link): `other` is the new one.
    pub const LINK: Self = Self(1);
    /// It was renamed: `other` is the new name.
    pub const RENAME: Self = Self(2);
    /// Another file was renamed to a watched name: `path` is its old name, `other` the watched one.
    pub const REPLACE: Self = Self(3);
    /// A symbolic link was made: `path` is the link, `other` the text it holds.
    pub const SYMLINK: Self = Self(4);
    /// The name was removed.
    pub const UNLINK: Self = Self(5);
    /// Permission bits were set; `detail` holds them.
    pub const MODE: Self = Self(6);
    /// Owner or group were set; `detail` holds uid << 32 | gid, `u32::MAX` for one that stays.
    pub const OWNER: Self = Self(7);
    /// It was cut or grown to a size, which `detail` holds.
    pub const TRUNCATE: Self = Self(8);
    /// It, or a directory above it, was mounted elsewhere: `path` is the place, `other` what is mounted there.
    pub const MOUNT: Self = Self(9);
}

/// Body of [`Kind::CHANGE`], followed by two paths.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Change {
    /// Common head; flags are `Change::*`.
    pub header: Header,
    /// Who.
    pub task: Task,
    /// Attributes of the file before the change. Zero for a mount.
    pub file: FileFacts,
    /// Depends on `what`.
    pub detail: u64,
    /// A [`What`].
    pub what: u16,
    /// Which keys matched: `Access::MATCH_*`.
    pub matched: u16,
    /// Bytes of the first path.
    pub path_len: u16,
    /// Bytes of the second.
    pub other_len: u16,
}

impl Change {
    /// The first path is cut at its root end.
    pub const PATH_TRUNCATED: u16 = 1 << 0;
    /// The second path is cut.
    pub const OTHER_TRUNCATED: u16 = 1 << 1;
    /// The first path starts at the root of its file system: the hook does not say where that is mounted.
    pub const PATH_IN_FILE_SYSTEM: u16 = 1 << 2;
    /// The same of the second.
    pub const OTHER_IN_FILE_SYSTEM: u16 = 1 << 3;
    /// The second path is text as the process gave it, not components.
    pub const OTHER_IS_TEXT: u16 = 1 << 4;
}

/// Body of [`Kind::CONNECT`], followed by the path of the socket, where it has one.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Connect {
    /// Common head; flags are `Connect::*`.
    pub header: Header,
    /// Who.
    pub task: Task,
    /// Attributes of the socket's file. Zero for an address.
    pub file: FileFacts,
    /// The address. Zero for a file.
    pub address: Address,
    /// The port, big endian. Zero for a file.
    pub port: u16,
    /// Address family, `AF_*`.
    pub family: u16,
    /// Which keys matched: `Access::MATCH_*`.
    pub matched: u16,
    /// Bytes of the path.
    pub path_len: u16,
}

impl Connect {
    /// The path is cut at its root end.
    pub const PATH_TRUNCATED: u16 = 1 << 0;
    /// Something was sent to the address without a connection to it.
    pub const SENT: u16 = 1 << 1;
}

/// At which moment a carrier's file is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Moment(pub u16);

impl Moment {
    /// It is opened for writing: what is written comes later.
    pub const OPENED: Self = Self(1);
    /// A descriptor is closed.
    pub const CLOSED: Self = Self(2);
    /// The process ends and has it open.
    pub const ENDED: Self = Self(3);
}

/// Body of [`Kind::WRITTEN`], followed by the file's path and that of the process's root.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Written {
    /// Common head; flags are `Written::*`.
    pub header: Header,
    /// Who. At its end a process has no executable any more.
    pub task: Task,
    /// Attributes of the file.
    pub file: FileFacts,
    /// Who carries: the process itself or one above it.
    pub carrier: ProcessKey,
    /// Bytes of the path.
    pub path_len: u16,
    /// Bytes of the path of the process's root, which follows; 0 where it has not changed its root.
    pub root_len: u16,
    /// A [`Moment`].
    pub moment: u16,
    /// Always zero.
    pub reserved: u16,
}

impl Written {
    /// The path is cut at its root end.
    pub const PATH_TRUNCATED: u16 = 1 << 0;
    /// The file has no name any more.
    pub const UNLINKED: u16 = 1 << 1;
}

/// Body of [`Kind::ANSWER`], followed by the first bytes of the message (RFC 1035, 4.1), at most
/// [`crate::limits::ANSWER_BYTES`].
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Answer {
    /// Common head; no flags.
    pub header: Header,
    /// Who.
    pub task: Task,
    /// Whose answer it is.
    pub server: Address,
    /// Its port, big endian.
    pub port: u16,
    /// Bytes of the message that follow.
    pub bytes_len: u16,
    /// Always zero.
    pub reserved: u32,
}

/// Sizes are part of the wire: a change must be made on purpose, on both sides.
const _: () = {
    assert!(size_of::<Header>() == 24);
    assert!(size_of::<ProcessKey>() == 16);
    assert!(size_of::<FileId>() == 16);
    assert!(size_of::<Task>() == 112);
    assert!(size_of::<FileFacts>() == 40);
    assert!(size_of::<Fork>() == 56);
    assert!(size_of::<Exec>() == 192);
    assert!(size_of::<Exit>() == 40);
    assert!(size_of::<Access>() == 216);
    assert!(size_of::<Change>() == 192);
    assert!(size_of::<Connect>() == 200);
    assert!(size_of::<Written>() == 200);
    assert!(size_of::<Answer>() == 160);
};
