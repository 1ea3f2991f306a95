//! Everything that crosses the border of the core: inputs, questions and their answers, outputs.

// From `core`, where there are addresses and no way to use them.
use core::net::IpAddr;
use std::path::{Path, PathBuf};

use tokenhound_common::{loss::Reason, process::ProcessKey, record::FileId, watch::FileKey};

use super::containers::Wanted;
use crate::{
    catalogue::{decoy::Decoy, homes::EnvOverrides},
    container::model::{Found, Look as ContainerLook, Named},
    copies::model::{Candidate, Scanned},
    detect::{
        change::StoreChange,
        judge::Verdict,
        lifecycle::{self, Look, Tracked},
        revocation_incomplete::{self, Remaining},
    },
    finding::model::Finding,
    history::model::{Accessed, Before, Checked, Copied, Sent},
    ingest::{
        carried::{Carried, Shaped},
        clock::Clock,
        decode::Decoded,
        observation::KernelTime,
        rest::More,
        sequence::Ring,
    },
    lineage::{
        actor::Class,
        ci::Ci,
        container::Membership,
        loaded::{Linkage, Place},
        model::{Chain, Container, Process},
        package::{Digest, Owners},
    },
    policy::Policy,
    token::fingerprint::Fingerprint,
};

/// One thing that happens to the core. What is decided follows from the inputs in their order, and from the answers of
/// the [`World`], alone.
#[derive(Debug)]
pub enum Input {
    /// A record came out of a ring.
    Record(Ring, Decoded),
    /// A record could not be decoded.
    Malformed,
    /// A process was found in `/proc` that runs already.
    Found(Box<Process>),
    /// It is that late: what waits for its order and is old enough goes on.
    Time(KernelTime),
    /// A process has closed a file that it had open for writing.
    Written {
        /// Which file.
        file: FileId,
        /// Who.
        by: ProcessKey,
    },
    /// A process has written to a history or log that it had opened for writing, and perhaps closed it.
    Appended {
        /// When it was noticed.
        time: KernelTime,
        /// Which file.
        file: FileId,
        /// Who.
        by: ProcessKey,
    },
    /// A process was found to have a file of a store open.
    Holds(Holder),
    /// The core of a process was found ([`Output::Dumped`]).
    Core {
        /// When it was found.
        time: KernelTime,
        /// Whose memory it is.
        process: ProcessKey,
        /// The file.
        file: FileId,
    },
    /// Nothing more will come: all that waits goes on.
    Drain,
    /// The wall clock, as kernel time shows it from now on.
    Clock(Clock),
    /// Files by which names stores are known.
    Names {
        /// These are all; those of before are forgotten.
        all: bool,
        /// File and name.
        names: Vec<(FileKey, PathBuf)>,
    },
    /// What a probe's self-test gave.
    Probe {
        /// When.
        time: KernelTime,
        /// Name of the probe.
        probe: String,
        /// What is wrong; `None` when it is live.
        failure: Option<String>,
    },
    /// What was lost since the start, looked at once a second.
    Losses(Losses),
    /// Findings had to go before sinks had them.
    Undelivered {
        /// When it was noticed.
        time: KernelTime,
        /// How many since the start, by sink; `all` where they were not even written down.
        sinks: Vec<(String, u64)>,
    },
    /// Readers that were remembered, with what they held.
    Readers(Vec<(PathBuf, Digest)>),
    /// The decoys that are planted now; those of before are forgotten.
    Decoys(Vec<Decoy>),
    /// The policy was read anew. What is judged from here on is judged by it, also what happened before and waited.
    Policy(Box<Policy>),
    /// The agent has started, and this was known of tokens before.
    Tokens {
        /// When it started.
        time: KernelTime,
        /// What was known.
        tokens: Vec<Tracked>,
    },
    /// The next record of process life is of a program that was started with known tokens.
    Carried {
        /// When.
        time: KernelTime,
        /// By which process.
        process: ProcessKey,
        /// Which, and where they stand.
        tokens: Vec<Carried>,
    },
    /// The next record of process life is of a program with something on its command line that is built like a token, and is
    /// none that is known.
    Shaped {
        /// When.
        time: KernelTime,
        /// By which process.
        process: ProcessKey,
        /// Which shapes, and where they stand.
        tokens: Vec<Shaped>,
    },
    /// A program that was started at that time has more tokens than its record had room for.
    More {
        /// When it was started.
        time: KernelTime,
        /// By which process.
        process: ProcessKey,
        /// Those that were not in the record.
        more: More,
    },
    /// A file of stores was looked at (see `pipeline/tokens.rs`).
    Looked {
        /// When.
        time: KernelTime,
        /// What was found.
        look: Box<Look>,
    },
    /// Files in which tokens were found before the agent started.
    Copies {
        /// When it started.
        time: KernelTime,
        /// Which, and which tokens.
        copies: Vec<(PathBuf, Vec<Fingerprint>)>,
    },
    /// What was known of tokens that had left their stores before the agent started, and told of those that had not.
    Before {
        /// When it started.
        time: KernelTime,
        /// What was known.
        before: Box<Before>,
    },
    /// From now on these tokens are looked for in files, and no others.
    Searched {
        /// When.
        time: KernelTime,
        /// Which; at most [`crate::token::scan::MOST_TOKENS`].
        tokens: Vec<Fingerprint>,
    },
    /// It was looked what remains of a token that has left its store ([`Output::Remaining`]).
    Remaining {
        /// When.
        time: KernelTime,
        /// Which token.
        fingerprint: Fingerprint,
        /// Copies that are not known to be gone.
        remaining: Vec<Remaining>,
    },
    /// A file was looked into for copies of tokens ([`Output::Scan`]).
    Scanned(Box<Scanned>),
    /// A token was found in an image, or in what a container has written.
    Exposed {
        /// When.
        time: KernelTime,
        /// Which, and where.
        found: Box<Found>,
    },
    /// A container was looked at ([`Output::Container`]).
    Container {
        /// When.
        time: KernelTime,
        /// What was found.
        look: Box<ContainerLook>,
    },
}

/// A process that has a file of a store open for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// When it was found.
    pub time: KernelTime,
    /// Which process.
    pub process: ProcessKey,
    /// Which file.
    pub file: FileId,
}

/// A process whose memory was written to a file somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// When it ended.
    pub time: KernelTime,
    /// Which process.
    pub process: ProcessKey,
    /// Its user, who owns the core unless root does.
    pub uid: u32,
    /// Its working directory; empty where it is not known.
    pub cwd: PathBuf,
}

/// Totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// When it was looked.
    pub time: KernelTime,
    /// What the kernel programs counted; `None` where their counters could not be read.
    pub kernel: Option<Vec<(Reason, u64)>>,
    /// Times that the kernel did not start a program because it was running on that CPU already.
    pub busy: u64,
    /// Watch keys that the kernel did not take.
    pub unwatched: u64,
}

/// What the core asks for while it works on an input. Live, `/proc` and the file system answer; in a replay the
/// recording does. Each question is about now, and may find nothing.
pub trait World {
    /// The process with this key, if it still runs.
    fn resolve(&mut self, key: ProcessKey) -> Option<Process>;

    /// The process with this pid, or with a thread of this number, in the pid namespace with that inode number. Only the
    /// initial one is known here.
    fn find(&mut self, pid: u32, pid_namespace: u32) -> Option<ProcessKey>;

    /// Which container a process is in; `None` if it is gone.
    fn membership(&mut self, key: ProcessKey) -> Option<Membership>;

    /// Which of these no longer run.
    fn gone(&mut self, keys: &[ProcessKey]) -> Vec<ProcessKey>;

    /// Fills in who could have changed the programs and scripts of a chain, and resolves scripts that were named with
    /// `..`.
    fn fill_writable(&mut self, chain: &mut Chain);

    /// A user of the user database.
    fn user(&mut self, uid: u32) -> Option<User>;

    /// Where a file system is mounted, by its device in the kernel's encoding; its top, if it is mounted several times the
    /// first.
    fn mount_point(&mut self, device: u32) -> Option<PathBuf>;

    /// What `/etc/hosts` calls an address.
    fn host(&mut self, address: IpAddr) -> Option<String>;

    /// What a path leads to; a link in its last component is not followed.
    fn file(&mut self, path: &Path) -> Option<FileId>;

    /// What lies at a path that a variable of the first process of `chain` names, for that process.
    fn place(&mut self, chain: &Chain, path: &Path) -> Place;

    /// How the program of the first process of `chain` is linked.
    fn linkage(&mut self, chain: &Chain) -> Linkage;

    /// Whose the program and script of a process are. `None` where no package manager is known. Waits for
    /// [`crate::lineage::package::lookup::PATIENCE`] at most.
    fn owners(&mut self, process: &Process) -> Option<Owners>;

    /// What a container's runtime calls it. Waits for 50 ms at most.
    fn named(&mut self, container: &Container) -> Named;

    /// Kernel time, for the latency of a finding. Nothing is decided by it.
    fn now(&mut self) -> KernelTime;
}

/// What findings say of a user, and where their stores are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
}

/// One thing that the core gives out.
#[derive(Debug)]
pub enum Output {
    /// Something to tell.
    Finding(Box<Finding>),
    /// A store was read.
    Read {
        /// Id of the store.
        store: String,
        /// What is thought of it.
        verdict: Verdict,
        /// What acts.
        actor: Class,
        /// The reader's name, for display.
        reader: String,
        /// The job of a CI system that it ran in.
        ci: Option<Box<Ci>>,
    },
    /// Somebody got at a token, expected or not: for the history.
    Access(Box<Accessed>),
    /// A token was found where it does not belong: for the history.
    Copied(Box<Copied>),
    /// A carrier has connected to another machine: for the history.
    Sent(Box<Sent>),
    /// A file with copies was looked at again: for the history.
    Standing(Box<Checked>),
    /// Look what remains of these tokens, which have left their stores.
    Remaining(Vec<Fingerprint>),
    /// A home that was not known before: look for stores there.
    Home(PathBuf),
    /// Variables of a running process have moved stores: look there, and watch the names.
    Overrides(EnvOverrides),
    /// A process has opened, or was given, a file of a store.
    Held {
        /// Which process.
        process: ProcessKey,
        /// Which file.
        file: FileId,
        /// For writing (too).
        writes: bool,
    },
    /// A process has opened a history or log for writing.
    Writes {
        /// Which process.
        process: ProcessKey,
        /// Which file.
        file: FileId,
    },
    /// What is thought of a holder.
    Holder {
        /// Who.
        holder: Holder,
        /// The catalogue expects it to read the file.
        expected: bool,
    },
    /// An expected reader at a place that its user can write is this, for the first time or anew.
    ReaderIs {
        /// The executable, or the script.
        path: PathBuf,
        /// What it holds.
        digest: Digest,
        /// It was something else before.
        changed: bool,
    },
    /// A process that had read a store was dumped: look for its core.
    Dumped(Dumped),
    /// A store was changed otherwise than through a descriptor.
    Change(StoreChange),
    /// What is known of a token has changed.
    Token(lifecycle::Change),
    /// What is known and told of a token that has left its store has changed.
    Left(revocation_incomplete::Change),
    /// A file that may hold a token: look into it.
    Scan(Box<Candidate>),
    /// Something is to be learnt of containers.
    Container(Wanted),
    /// A file of a store: watch it whatever name leads to it.
    Watch(FileId),
    /// A file of a store was opened that no look at directories had found, deep in a tree: what lies in it?
    Met(PathBuf),
    /// The core of a process that had read a store: watch it.
    WatchCore(FileId),
    /// Records were lost.
    Lost {
        /// Label of the reason.
        reason: &'static str,
        /// How many more.
        count: u64,
    },
    /// A bounded table gave up entries.
    Evicted {
        /// Which.
        table: &'static str,
        /// How many more.
        count: u64,
    },
}
