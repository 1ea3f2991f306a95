//! What each tier sees and does not see: the one table of it, for `docs/tiers.md` and `tokenhound doctor`. Pure.

use crate::detect::access::Tier;

/// Whether a tier sees something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Always.
    Yes,
    /// Under this condition.
    If(&'static str),
    /// Never, for this reason.
    No(&'static str),
}

/// One thing that can be done to a store or a process.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What.
    pub what: &'static str,
    /// On tier `lsm`.
    pub lsm: Sees,
    /// On tier `fentry`.
    pub fentry: Sees,
    /// On tier `tracepoint`.
    pub tracepoint: Sees,
}

impl Row {
    const fn all(what: &'static str, sees: Sees) -> Self {
        Self { what, lsm: sees, fentry: sees, tracepoint: sees }
    }

    const fn but_tracepoint(what: &'static str, tracepoint: Sees) -> Self {
        Self { what, lsm: Sees::Yes, fentry: Sees::Yes, tracepoint }
    }

    /// What `tier` sees of it.
    #[must_use]
    pub const fn on(&self, tier: Tier) -> Sees {
        match tier {
            Tier::Lsm => self.lsm,
            Tier::Fentry => self.fentry,
            Tier::Tracepoint => self.tracepoint,
        }
    }
}

const NO_PLACE: Sees = Sees::No("no event in the kernel carries the file");
const HELD: Sees = Sees::If("read hooks are attached, which they are within about 20 ms after somebody holds the file");

const CARRIES: Sees = Sees::If(
    "within ten minutes of the read; when it opens the file, when it opens the store to read with its output in the file, and when it ends with it open (two files), always; when it closes it, once the hooks on closes are attached: some milliseconds after the first read in ten minutes",
);

/// The table.
pub const ROWS: &[Row] = &[
    Row::all("open, openat, openat2, creat by 64-bit programs, whatever name leads to the file", Sees::Yes),
    Row::all("open_by_handle_at", Sees::Yes),
    Row::but_tracepoint("opens of 32-bit programs", Sees::No("the kernel hides their system calls from these events")),
    Row::but_tracepoint(
        "io_uring: open and read",
        Sees::If("Linux 5.18 and later; of a file that is opened straight into the ring's own table, the first read"),
    ),
    Row {
        what: "an open that fails, or is refused later",
        lsm: Sees::If("no other security module refused it first"),
        fentry: Sees::Yes,
        tracepoint: Sees::No("only what succeeds returns a descriptor"),
    },
    Row::all(
        "a program that starts with the file open (`cat < file`)",
        Sees::If("it is among the first 1,024 descriptors; two files for each start"),
    ),
    Row::but_tracepoint(
        "a descriptor received over a socket",
        Sees::If(
            "recvmsg, or the first two messages of recvmmsg, among the first 64 of a message, and no other thread changes the message meanwhile; one file a message",
        ),
    ),
    Row::all("a descriptor taken with pidfd_getfd", Sees::Yes),
    Row::all("a descriptor open before the agent started, or passed on by fork: read and mmap", HELD),
    Row::all(
        "a mapping made before the agent started, or inherited by fork",
        Sees::No("nothing is asked of the kernel any more"),
    ),
    Row::all("/proc/<pid>/environ and mem on any procfs", Sees::Yes),
    Row::but_tracepoint(
        "ptrace: attach and peek; process_vm_readv",
        Sees::If("attempts count too; the other process is named only from the initial pid namespace"),
    ),
    Row::all("pidfd_getfd as a look into another process", Sees::Yes),
    Row::all("PTRACE_TRACEME", Sees::If("memory is then read: the reading is what is seen")),
    Row::but_tracepoint("link, rename, unlink, symlink, chmod, chown, truncate, bind mount of a store", NO_PLACE),
    Row::all(
        "the close of a store that was open for writing",
        Sees::If("within a second; in between it is looked at from outside"),
    ),
    Row::all("a file that a process writes which has read a store, or could have been given what was read", CARRIES),
    Row::all("a connection of such a process", Sees::If("within ten minutes of the read; as below")),
    Row::all(
        "connect to the socket of an agent, whatever name leads to it; to a metadata address, over TCP or a connected UDP socket",
        Sees::Yes,
    ),
    Row::but_tracepoint(
        "connect by a request of io_uring, or by a 32-bit program",
        Sees::No("no call of the process connects, and no event carries the socket"),
    ),
    Row {
        what: "a connect that fails",
        lsm: Sees::If("it is to a metadata address, and no other security module refused it first"),
        fentry: Sees::If("it is to a metadata address"),
        tracepoint: Sees::No("the socket tells whom it is connected to"),
    },
    Row::all(
        "what such a process sends to an address without a connection, and what name servers answer it",
        Sees::If(
            "the hooks for it are attached: some milliseconds after the first read in ten minutes; answers by `recvfrom`, `recvmsg` and `recvmmsg`",
        ),
    ),
    Row::all(
        "data sent to a metadata address without connect, while nobody carries a token; sockets without a file (abstract names), datagram sockets; a connection that another process made and passed on",
        Sees::No("nothing is asked of the kernel that names a file or a watched address"),
    ),
    Row::all("below the file system: block devices, snapshots, swap", Sees::No("the store is not opened")),
];

/// What `tier` does not see, or only at times.
pub fn gaps(tier: Tier) -> impl Iterator<Item = (&'static str, &'static str)> {
    ROWS.iter().filter_map(move |row| match row.on(tier) {
        Sees::Yes => None,
        Sees::If(condition) => Some((row.what, condition)),
        Sees::No(reason) => Some((row.what, reason)),
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::telemetry::bless;

    fn cell(sees: Sees) -> String {
        match sees {
            Sees::Yes => "yes".into(),
            Sees::If(condition) => format!("if {condition}"),
            Sees::No(reason) => format!("**no**: {reason}"),
        }
    }

    #[test]
    fn page_is_up_to_date() {
        let mut page = "<!-- Generated from agent/src/probe/coverage.rs; TOKENHOUND_BLESS=1 writes it anew. -->\n# Tiers\n\n\
            The best tier that works is taken: `lsm` where `bpf` is among the active security modules and its hooks really\n\
            fire, otherwise `fentry`, otherwise `tracepoint`. `--tier` asks for one. `tokenhound doctor` says which was taken\n\
            and why, whether each probe is live, and what this tier does not see.\n\n\
            | | lsm | fentry | tracepoint |\n| --- | --- | --- | --- |\n"
            .to_owned();
        for row in ROWS {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} |",
                row.what.replace('<', "&lt;").replace('>', "&gt;"),
                cell(row.lsm),
                cell(row.fentry),
                cell(row.tracepoint)
            );
        }
        bless::compare("docs/tiers.md", &page);
    }

    #[test]
    fn the_lesser_tier_sees_less() {
        let count = |tier| gaps(tier).count();
        assert!(count(Tier::Fentry) <= count(Tier::Lsm) && count(Tier::Lsm) < count(Tier::Tracepoint));
    }
}
