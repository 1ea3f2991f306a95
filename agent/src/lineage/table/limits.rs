//! Bounds of the table, and what it reports of itself.

use std::time::Duration;

/// Bounds of a [`super::Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most processes, living and exited.
    pub processes: usize,
    /// Most bytes of program facts (paths, arguments), shared ones counted once.
    pub bytes: usize,
    /// Most programs remembered per process.
    pub generations: usize,
    /// Longest chain.
    pub depth: usize,
    /// How long an exited process stays, in record time. It stays longer while a descendant is in the table.
    pub grace: Duration,
    /// One clock tick of `/proc/<pid>/stat` in nanoseconds (1 s / `sysconf(_SC_CLK_TCK)`).
    pub tick_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 32_768,
            bytes: 32 << 20,
            generations: 4,
            depth: 128,
            grace: Duration::from_secs(60),
            tick_ns: 10_000_000,
        }
    }
}

/// What an observation meant for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing new.
    None,
    /// A process was added, with an identity.
    Added,
    /// A known process has a new program, parent or end.
    Updated,
    /// The process is in the table but what it runs is not known. [`crate::lineage::backfill::Backfill::resolve`] may still
    /// find it, for [`super::Table::adopt`].
    Unresolved,
}

/// What happened to a table since it was made. Evictions are by reason; all but `expired` are losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Forgotten after the grace: not a loss.
    pub expired: u64,
    /// Exited, forgotten before its grace was over for want of room.
    pub evicted_exited: u64,
    /// Exited ancestor of a process in the table, forgotten for want of room: a chain became incomplete.
    pub evicted_ancestor: u64,
    /// Living, forgotten for want of room.
    pub evicted_alive: u64,
    /// Processes or programs that only a record of their own named.
    pub stubs: u64,
    /// Stubs that were completed later.
    pub stubs_completed: u64,
    /// Opens by another program than the table knew for the process: an exec record is late or lost.
    pub outdated: u64,
    /// Processes whose tgid came back before their end was seen: an exit record was lost.
    pub exits_missed: u64,
    /// Programs dropped because a process had more than [`Limits::generations`].
    pub generations_dropped: u64,
}
