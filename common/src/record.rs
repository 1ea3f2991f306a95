//! Records: what the kernel programs put into the two rings.
//!
//! A record is a fixed head followed by bytes whose lengths the head gives. All integers are native endian; kernel
//! and agent run on the same machine.

use crate::process::ProcessKey;

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
    /// A watched file or a procfs object of another process was opened ([`Open`]).
    pub const OPEN: Self = Self(4);
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
    /// CPU that wrote the record; sequence numbers count per CPU and ring.
    pub cpu: u32,
    /// Number of this record on its CPU and ring, counted from 1 and also when the record could not be written, so
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
    /// Always zero.
    pub reserved: [u16; 3],
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

/// What was opened.
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
}

/// Body of [`Kind::OPEN`], followed by the file's path.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Open {
    /// Common head; flags are `Open::*`.
    pub header: Header,
    /// Who opened.
    pub task: Task,
    /// Attributes of the opened file.
    pub file: FileFacts,
    /// For procfs objects: whose. Zero otherwise.
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
    /// Always zero.
    pub reserved: u16,
}

impl Open {
    /// The path is cut at its root end.
    pub const PATH_TRUNCATED: u16 = 1 << 0;
    /// The name is no longer (or was never) linked into a directory: `O_TMPFILE`, unlinked, opened by handle.
    pub const UNLINKED: u16 = 1 << 1;

    /// The file's id is watched.
    pub const MATCH_FILE_ID: u16 = 1 << 0;
    /// The id of its directory is watched.
    pub const MATCH_DIRECTORY_ID: u16 = 1 << 1;
    /// Its name, alone or with those above it, is watched.
    pub const MATCH_NAME: u16 = 1 << 2;
    /// The name of its directory, alone or with the one above it, is watched.
    pub const MATCH_DIRECTORY_NAME: u16 = 1 << 3;
    /// It is the file that the agent itself opens to prove a probe.
    pub const MATCH_CANARY: u16 = 1 << 4;
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
    assert!(size_of::<Open>() == 208);
};
