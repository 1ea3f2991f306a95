//! The process key: one name for a process that every observer computes alike, before and after a restart.

/// (start of the thread-group leader, tgid). Unique for the life of a boot: a pid can come back, but not with
/// the same start time.
///
/// The source is `task_struct.group_leader.start_boottime`; `/proc/<pid>/stat` field 22 is the same instant in
/// clock ticks (proc_pid_stat(5)), so the agent compares with the resolution of a tick where it must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct ProcessKey {
    /// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub start_ns: u64,
    /// Thread-group id in the initial pid namespace.
    pub tgid: u32,
    /// Always zero; keeps the struct free of padding.
    pub reserved: u32,
}

impl ProcessKey {
    /// The key of the process that started `start_ns` nanoseconds after boot as `tgid`.
    #[must_use]
    pub const fn new(start_ns: u64, tgid: u32) -> Self {
        Self { start_ns, tgid, reserved: 0 }
    }
}
