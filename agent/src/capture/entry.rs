//! Inputs and answers as captures hold them. A new one goes to the end of its enum; every other change raises
//! [`super::FORMAT`].

// From `core`, where there are addresses and no way to use them.
use core::net::IpAddr;
use std::{path::PathBuf, time::SystemTime};

use serde::{Deserialize, Serialize};
use tokenhound_common::{loss::Reason, process::ProcessKey, record::FileId, watch::FileKey};

use super::owners::OwnersEntry;
use super::place::{LinkageEntry, PlaceEntry};
use super::process::{
    Bytes, ContainerEntry, Id, Key, ProcessEntry, WritableEntry, bytes, file_id, id, key, path, process_key,
};
use crate::{
    catalogue::{
        Catalogue,
        decoy::{Decoy, DecoyKind},
    },
    container::model::{Found, Look as ContainerLook, Named},
    copies::model::Scanned,
    detect::{
        lifecycle::{Look, Tracked},
        revocation_incomplete::Remaining,
    },
    history::model::Before,
    ingest::{
        carried::{Carried, Shaped},
        clock::Clock,
        observation::KernelTime,
        rest::More,
    },
    lineage::{
        container::Membership,
        model::{Chain, Process, Script, Writable},
        package::Digest,
    },
    pipeline::core::{Holder, Input, Losses, User},
    policy::{Policy, Source},
    token::fingerprint::Fingerprint,
};

/// Names in one entry; more are written as several.
const NAMES: usize = 1024;

/// An [`Input`] that is no record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum InputEntry {
    /// See [`Input::Malformed`].
    Malformed,
    /// See [`Input::Found`].
    Found(Box<ProcessEntry>),
    /// See [`Input::Time`].
    Time(u64),
    /// See [`Input::Written`].
    Written(Id, Key),
    /// See [`Input::Holds`]: when, who, which file.
    Holds(u64, Key, Id),
    /// See [`Input::Drain`].
    Drain,
    /// See [`Input::Clock`]: offset and error.
    Clock(i128, u64),
    /// See [`Input::Names`]: whether these are all, then inode, device and name of each file.
    Names(bool, Vec<(u64, u32, Bytes)>),
    /// See [`Input::Probe`].
    Probe(u64, String, Option<String>),
    /// See [`Input::Losses`].
    Losses {
        /// When it was looked.
        time: u64,
        /// Numbers of reasons and totals.
        kernel: Option<Vec<(u32, u64)>>,
        /// Programs not started.
        busy: u64,
        /// Keys not taken.
        unwatched: u64,
    },
    /// See [`Input::Core`]: when, whose, which file.
    Core(u64, Key, Id),
    /// See [`Input::Decoys`]: id, kind and path of each.
    Decoys(Vec<(String, String, Bytes)>),
    /// See [`Input::Readers`].
    Readers(Vec<(Bytes, [u8; 32])>),
    /// See [`Input::Policy`]: names and texts of its files.
    Policy(Vec<(Bytes, String)>),
    /// See [`Input::Tokens`].
    Tokens(u64, Vec<Tracked>),
    /// See [`Input::Looked`].
    Looked(u64, Box<Look>),
    /// See [`Input::Carried`].
    Carried(u64, Key, Vec<Carried>),
    /// See [`Input::Scanned`].
    Scanned(Box<Scanned>),
    /// See [`Input::Appended`]: when, which file, who.
    Appended(u64, Id, Key),
    /// See [`Input::Shaped`].
    Shaped(u64, Key, Vec<Shaped>),
    /// See [`Input::Container`].
    Container(u64, Box<ContainerLook>),
    /// See [`Input::Exposed`].
    Exposed(u64, Box<Found>),
    /// See [`Input::Copies`].
    Copies(u64, Vec<(Bytes, Vec<Fingerprint>)>),
    /// See [`Input::Remaining`].
    Remaining(u64, Fingerprint, Vec<Remaining>),
    /// See [`Input::Searched`].
    Searched(u64, Vec<Fingerprint>),
    /// See [`Input::Undelivered`]: when, and how many for which sink.
    Undelivered(u64, Vec<(String, u64)>),
    /// See [`Input::Before`].
    Before(u64, Box<Before>),
    /// See [`Input::More`].
    More(u64, Key, Vec<Carried>, Vec<Shaped>),
}

impl InputEntry {
    /// The entries for an input; none for a record, which is written as it is.
    #[must_use]
    pub fn of(input: &Input) -> Vec<Self> {
        let entry = match input {
            Input::Record(..) => return Vec::new(),
            Input::Malformed => Self::Malformed,
            Input::Found(process) => Self::Found(Box::new((**process).clone().into())),
            Input::Time(time) => Self::Time(time.0),
            Input::Written { file, by } => Self::Written(id(*file), key(*by)),
            Input::Appended { time, file, by } => Self::Appended(time.0, id(*file), key(*by)),
            Input::Holds(Holder { time, process, file }) => Self::Holds(time.0, key(*process), id(*file)),
            Input::Core { time, process, file } => Self::Core(time.0, key(*process), id(*file)),
            Input::Policy(policy) => {
                let source = |source: &Source| (bytes(&source.file), source.text.clone());
                Self::Policy(policy.sources().iter().map(source).collect())
            }
            Input::Tokens { time, tokens } => Self::Tokens(time.0, tokens.clone()),
            Input::Carried { time, process, tokens } => Self::Carried(time.0, key(*process), tokens.clone()),
            Input::Shaped { time, process, tokens } => Self::Shaped(time.0, key(*process), tokens.clone()),
            Input::Looked { time, look } => Self::Looked(time.0, look.clone()),
            Input::Copies { time, copies } => {
                Self::Copies(time.0, copies.iter().map(|(path, tokens)| (bytes(path), tokens.clone())).collect())
            }
            Input::Remaining { time, fingerprint, remaining } => {
                Self::Remaining(time.0, *fingerprint, remaining.clone())
            }
            Input::More { time, process, more } => {
                Self::More(time.0, key(*process), more.carried.clone(), more.shaped.clone())
            }
            Input::Before { time, before } => Self::Before(time.0, before.clone()),
            Input::Searched { time, tokens } => Self::Searched(time.0, tokens.clone()),
            Input::Undelivered { time, sinks } => Self::Undelivered(time.0, sinks.clone()),
            Input::Scanned(scanned) => Self::Scanned(scanned.clone()),
            Input::Exposed { time, found } => Self::Exposed(time.0, found.clone()),
            Input::Container { time, look } => Self::Container(time.0, look.clone()),
            Input::Drain => Self::Drain,
            Input::Clock(clock) => Self::Clock(clock.offset_ns(), clock.error_ns()),
            Input::Names { all, names } => return Self::names(*all, names),
            Input::Probe { time, probe, failure } => Self::Probe(time.0, probe.clone(), failure.clone()),
            Input::Losses(Losses { time, kernel, busy, unwatched }) => Self::Losses {
                time: time.0,
                kernel: kernel.as_ref().map(|all| all.iter().map(|(reason, total)| (reason.0, *total)).collect()),
                busy: *busy,
                unwatched: *unwatched,
            },
            Input::Readers(readers) => {
                Self::Readers(readers.iter().map(|(path, digest)| (bytes(path), digest.0)).collect())
            }
            Input::Decoys(decoys) => Self::Decoys(decoys.iter().map(decoy_entry).collect()),
        };
        vec![entry]
    }

    fn names(all: bool, names: &[(FileKey, PathBuf)]) -> Vec<Self> {
        let entry = |(at, part): (usize, &[(FileKey, PathBuf)])| {
            let part = part.iter().map(|(key, path)| (key.inode, key.device, bytes(path)));
            Self::Names(all && at == 0, part.collect())
        };
        if names.is_empty() {
            return vec![Self::Names(all, Vec::new())];
        }
        names.chunks(NAMES).enumerate().map(entry).collect()
    }
}

impl InputEntry {
    /// The input again. `None` for a policy that does not go with this catalogue.
    #[must_use]
    pub fn input(self, catalogue: &Catalogue) -> Option<Input> {
        Some(match self {
            Self::Policy(files) => {
                let sources = files.into_iter().map(|(file, text)| Source { file: path(file), text }).collect();
                let loaded = Policy::of_sources(sources, catalogue, SystemTime::UNIX_EPOCH).ok()?;
                Input::Policy(Box::new(loaded.policy))
            }
            Self::Malformed => Input::Malformed,
            Self::Found(process) => Input::Found(Box::new((*process).into())),
            Self::Time(time) => Input::Time(KernelTime(time)),
            Self::Written(file, by) => Input::Written { file: file_id(file), by: process_key(by) },
            Self::Appended(time, file, by) => {
                Input::Appended { time: KernelTime(time), file: file_id(file), by: process_key(by) }
            }
            Self::Holds(time, process, file) => {
                let (process, file) = (process_key(process), file_id(file));
                Input::Holds(Holder { time: KernelTime(time), process, file })
            }
            Self::Core(time, process, file) => {
                Input::Core { time: KernelTime(time), process: process_key(process), file: file_id(file) }
            }
            Self::Tokens(time, tokens) => Input::Tokens { time: KernelTime(time), tokens },
            Self::Carried(time, process, tokens) => {
                Input::Carried { time: KernelTime(time), process: process_key(process), tokens }
            }
            Self::Shaped(time, process, tokens) => {
                Input::Shaped { time: KernelTime(time), process: process_key(process), tokens }
            }
            Self::Looked(time, look) => Input::Looked { time: KernelTime(time), look },
            Self::Copies(time, copies) => {
                let copies = copies.into_iter().map(|(of, tokens)| (path(of), tokens)).collect();
                Input::Copies { time: KernelTime(time), copies }
            }
            Self::Remaining(time, fingerprint, remaining) => {
                Input::Remaining { time: KernelTime(time), fingerprint, remaining }
            }
            Self::More(time, process, carried, shaped) => {
                let more = More { carried, shaped };
                Input::More { time: KernelTime(time), process: process_key(process), more }
            }
            Self::Before(time, before) => Input::Before { time: KernelTime(time), before },
            Self::Searched(time, tokens) => Input::Searched { time: KernelTime(time), tokens },
            Self::Undelivered(time, sinks) => Input::Undelivered { time: KernelTime(time), sinks },
            Self::Scanned(scanned) => Input::Scanned(scanned),
            Self::Exposed(time, found) => Input::Exposed { time: KernelTime(time), found },
            Self::Container(time, look) => Input::Container { time: KernelTime(time), look },
            Self::Drain => Input::Drain,
            Self::Clock(offset, error) => Input::Clock(Clock::new(offset, error)),
            Self::Names(all, names) => {
                let name = |(inode, device, name)| (FileKey { inode, device, reserved: 0 }, path(name));
                Input::Names { all, names: names.into_iter().map(name).collect() }
            }
            Self::Probe(time, probe, failure) => Input::Probe { time: KernelTime(time), probe, failure },
            Self::Losses { time, kernel, busy, unwatched } => {
                let kernel = kernel.map(|all| all.into_iter().map(|(reason, total)| (Reason(reason), total)).collect());
                Input::Losses(Losses { time: KernelTime(time), kernel, busy, unwatched })
            }
            Self::Readers(readers) => {
                Input::Readers(readers.into_iter().map(|(of, digest)| (path(of), Digest(digest))).collect())
            }
            Self::Decoys(decoys) => Input::Decoys(decoys.into_iter().filter_map(decoy).collect()),
        })
    }
}

fn decoy_entry(decoy: &Decoy) -> (String, String, Bytes) {
    (decoy.id.clone(), decoy.kind.name().to_owned(), bytes(&decoy.path))
}

/// One of a kind that this version does not know was made by a later one.
fn decoy((id, kind, place): (String, String, Bytes)) -> Option<Decoy> {
    let kind = DecoyKind::ALL.iter().copied().find(|known| known.name() == kind)?;
    Some(Decoy { id, kind, path: path(place) })
}

/// What the world said to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To `World::resolve`.
    Resolve(Key, Option<Box<ProcessEntry>>),
    /// To `World::find`: pid, namespace.
    Find(u32, u32, Option<Key>),
    /// To `World::membership`.
    Membership(Key, Option<MembershipEntry>),
    /// To `World::gone`: those that are.
    Gone(Vec<Key>),
    /// To `World::fill_writable`: of every process of the chain.
    Writable(Vec<ProgramEntry>),
    /// To `World::user`.
    User(u32, Option<UserEntry>),
    /// To `World::mount_point`.
    MountPoint(u32, Option<Bytes>),
    /// To `World::file`.
    File(Bytes, Option<Id>),
    /// To `World::now`.
    Now(u64),
    /// To `World::place`.
    Place(Bytes, PlaceEntry),
    /// To `World::linkage`.
    Linkage(LinkageEntry),
    /// To `World::owners`.
    Owners(Key, Option<OwnersEntry>),
    /// To `World::host`.
    Host(IpAddr, Option<String>),
    /// To `World::named`: the container's id.
    Named(String, Named),
}

/// See [`Membership`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipEntry {
    container: Option<ContainerEntry>,
    unit: Option<String>,
    telling: bool,
}

/// See [`User`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    name: String,
    home: Bytes,
}

/// Who could have changed what a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramEntry {
    key: Key,
    executable: WritableEntry,
    /// The script, as the file system resolved it; nothing where it is no file.
    script: Option<(Bytes, WritableEntry)>,
}

impl ProgramEntry {
    fn of(process: &Process) -> Self {
        let script = match &process.script {
            Some(Script::File { path, writable }) => Some((bytes(path), (*writable).into())),
            Some(Script::Module(_) | Script::Inline) | None => None,
        };
        Self { key: key(process.key), executable: process.executable.writable.into(), script }
    }

    fn fill(self, process: &mut Process) {
        if process.executable.writable == Writable::Unknown {
            process.executable.writable = self.executable.into();
        }
        if let (Some(Script::File { path: place, writable }), Some((found, answer))) =
            (&mut process.script, self.script)
        {
            (*place, *writable) = (path(found), answer.into());
        }
    }
}

impl Answer {
    pub(super) fn resolve(asked: ProcessKey, answer: Option<&Process>) -> Self {
        Self::Resolve(key(asked), answer.map(|process| Box::new(process.clone().into())))
    }

    pub(super) fn find(pid: u32, namespace: u32, answer: Option<ProcessKey>) -> Self {
        Self::Find(pid, namespace, answer.map(key))
    }

    pub(super) fn membership(asked: ProcessKey, answer: Option<&Membership>) -> Self {
        let entry = |Membership { container, unit, telling }: &Membership| MembershipEntry {
            container: container.clone().map(Into::into),
            unit: unit.clone(),
            telling: *telling,
        };
        Self::Membership(key(asked), answer.map(entry))
    }

    pub(super) fn gone(answer: &[ProcessKey]) -> Self {
        Self::Gone(answer.iter().copied().map(key).collect())
    }

    pub(super) fn writable(chain: &Chain) -> Self {
        Self::Writable(chain.processes.iter().map(ProgramEntry::of).collect())
    }

    pub(super) fn user(uid: u32, answer: Option<&User>) -> Self {
        Self::User(uid, answer.map(|User { name, home }| UserEntry { name: name.clone(), home: bytes(home) }))
    }

    pub(super) fn mount_point(device: u32, answer: Option<&std::path::Path>) -> Self {
        Self::MountPoint(device, answer.map(bytes))
    }

    pub(super) fn file(asked: &std::path::Path, answer: Option<FileId>) -> Self {
        Self::File(bytes(asked), answer.map(id))
    }
}

/// The same question, asked again: what was answered then. `None` where the answer is one to another question.
impl Answer {
    pub(super) fn to_resolve(&self, asked: ProcessKey) -> Option<Option<Process>> {
        let Self::Resolve(of, answer) = self else { return None };
        (*of == key(asked)).then(|| answer.as_deref().cloned().map(Into::into))
    }

    pub(super) fn to_find(&self, pid: u32, namespace: u32) -> Option<Option<ProcessKey>> {
        let Self::Find(of, within, answer) = self else { return None };
        ((*of, *within) == (pid, namespace)).then(|| answer.map(process_key))
    }

    pub(super) fn to_membership(&self, asked: ProcessKey) -> Option<Option<Membership>> {
        let Self::Membership(of, answer) = self else { return None };
        let membership = |MembershipEntry { container, unit, telling }| Membership {
            container: container.map(Into::into),
            unit,
            telling,
        };
        (*of == key(asked)).then(|| answer.clone().map(membership))
    }

    /// Who was asked about, and the answer, if there was one.
    pub(super) fn membership_of(&self) -> Option<(ProcessKey, Membership)> {
        let Self::Membership(of, Some(_)) = self else { return None };
        let asked = process_key(*of);
        Some((asked, self.to_membership(asked)??))
    }

    /// Takes out what was said of processes that `keep` does not hold.
    pub(super) fn cut(&mut self, keep: impl Fn(ProcessKey) -> bool) {
        if let Self::Writable(programs) = self {
            programs.retain(|program| keep(process_key(program.key)));
        }
    }

    pub(super) fn to_gone(&self) -> Option<Vec<ProcessKey>> {
        let Self::Gone(answer) = self else { return None };
        Some(answer.iter().copied().map(process_key).collect())
    }

    /// Fills the chain if the answer was about these processes.
    pub(super) fn to_writable(&self, chain: &mut Chain) -> Option<()> {
        let Self::Writable(answer) = self else { return None };
        let same = answer.len() == chain.processes.len()
            && answer.iter().zip(&chain.processes).all(|(program, process)| program.key == key(process.key));
        if !same {
            return None;
        }
        for (program, process) in answer.iter().zip(&mut chain.processes) {
            program.clone().fill(process);
        }
        Some(())
    }

    pub(super) fn to_host(&self, address: IpAddr) -> Option<Option<String>> {
        let Self::Host(of, answer) = self else { return None };
        (*of == address).then(|| answer.clone())
    }

    pub(super) fn to_user(&self, uid: u32) -> Option<Option<User>> {
        let Self::User(of, answer) = self else { return None };
        let user = |UserEntry { name, home }| User { name, home: path(home) };
        (*of == uid).then(|| answer.clone().map(user))
    }

    pub(super) fn to_mount_point(&self, device: u32) -> Option<Option<PathBuf>> {
        let Self::MountPoint(of, answer) = self else { return None };
        (*of == device).then(|| answer.clone().map(path))
    }

    pub(super) fn to_file(&self, asked: &std::path::Path) -> Option<Option<FileId>> {
        let Self::File(of, answer) = self else { return None };
        (*of == bytes(asked)).then(|| answer.map(file_id))
    }

    pub(super) fn to_named(&self, id: &str) -> Option<Named> {
        let Self::Named(of, answer) = self else { return None };
        (of == id).then(|| answer.clone())
    }

    pub(super) fn to_now(&self) -> Option<KernelTime> {
        let Self::Now(time) = self else { return None };
        Some(KernelTime(*time))
    }
}
