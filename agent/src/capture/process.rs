//! A process as captures hold it. Apart from [`Process`], so that a change there is a change of the format on purpose.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokenhound_common::{process::ProcessKey, record::FileId};

use crate::{
    ingest::observation::KernelTime,
    lineage::model::{Container, Executable, Origin, Process, Script, Writable},
};

/// (start, tgid).
pub(super) type Key = (u64, u32);

/// (inode, device, generation).
pub(super) type Id = (u64, u32, u32);

/// A path or a value: any bytes but NUL.
pub(super) type Bytes = Vec<u8>;

pub(super) const fn key(key: ProcessKey) -> Key {
    (key.start_ns, key.tgid)
}

pub(super) const fn process_key((start_ns, tgid): Key) -> ProcessKey {
    ProcessKey::new(start_ns, tgid)
}

pub(super) const fn id(id: FileId) -> Id {
    (id.inode, id.device, id.generation)
}

pub(super) const fn file_id((inode, device, generation): Id) -> FileId {
    FileId { inode, device, generation }
}

pub(super) fn bytes(path: &Path) -> Bytes {
    path.as_os_str().as_bytes().to_vec()
}

pub(super) fn path(bytes: Bytes) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// See [`Writable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WritableEntry {
    No,
    Yes,
    Unknown,
}

impl From<Writable> for WritableEntry {
    fn from(writable: Writable) -> Self {
        match writable {
            Writable::No => Self::No,
            Writable::Yes => Self::Yes,
            Writable::Unknown => Self::Unknown,
        }
    }
}

impl From<WritableEntry> for Writable {
    fn from(writable: WritableEntry) -> Self {
        match writable {
            WritableEntry::No => Self::No,
            WritableEntry::Yes => Self::Yes,
            WritableEntry::Unknown => Self::Unknown,
        }
    }
}

/// See [`Script`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ScriptEntry {
    File(Bytes, WritableEntry),
    Module(String),
    Inline,
}

impl From<Script> for ScriptEntry {
    fn from(script: Script) -> Self {
        match script {
            Script::File { path, writable } => Self::File(bytes(&path), writable.into()),
            Script::Module(name) => Self::Module(name),
            Script::Inline => Self::Inline,
        }
    }
}

impl From<ScriptEntry> for Script {
    fn from(script: ScriptEntry) -> Self {
        match script {
            ScriptEntry::File(place, writable) => Self::File { path: path(place), writable: writable.into() },
            ScriptEntry::Module(name) => Self::Module(name),
            ScriptEntry::Inline => Self::Inline,
        }
    }
}

/// See [`Container`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContainerEntry {
    id: String,
    runtime: String,
}

impl From<Container> for ContainerEntry {
    fn from(Container { id, runtime, .. }: Container) -> Self {
        Self { id, runtime }
    }
}

impl From<ContainerEntry> for Container {
    fn from(ContainerEntry { id, runtime }: ContainerEntry) -> Self {
        Self::new(id, runtime)
    }
}

/// See [`Executable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ExecutableEntry {
    path: Bytes,
    path_truncated: bool,
    id: Id,
    uid: u32,
    mode: u32,
    links: u32,
    writable: WritableEntry,
}

impl From<Executable> for ExecutableEntry {
    fn from(Executable { path, path_truncated, id: file, uid, mode, links, writable }: Executable) -> Self {
        Self { path: bytes(&path), path_truncated, id: id(file), uid, mode, links, writable: writable.into() }
    }
}

impl From<ExecutableEntry> for Executable {
    fn from(entry: ExecutableEntry) -> Self {
        let ExecutableEntry { path: place, path_truncated, id, uid, mode, links, writable } = entry;
        let (path, id) = (path(place), file_id(id));
        Self { path, path_truncated, id, uid, mode, links, writable: writable.into() }
    }
}

/// See [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum OriginEntry {
    Observed,
    Backfilled,
    Stub,
}

/// See [`Process`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEntry {
    key: Key,
    parent: Option<Key>,
    executable: ExecutableEntry,
    script: Option<ScriptEntry>,
    args: Vec<String>,
    args_truncated: bool,
    cwd: Option<Bytes>,
    environment: Vec<(String, Bytes)>,
    comm: String,
    uid: u32,
    euid: u32,
    gid: u32,
    login_uid: Option<u32>,
    audit_session: Option<u32>,
    session: u32,
    tty: Option<(u32, u32)>,
    mount_namespace: u32,
    pid_namespace: u32,
    cgroup: u64,
    container: Option<ContainerEntry>,
    since: u64,
    exited: Option<u64>,
    origin: OriginEntry,
}

impl From<Process> for ProcessEntry {
    fn from(process: Process) -> Self {
        Self {
            key: key(process.key),
            parent: process.parent.map(key),
            executable: process.executable.into(),
            script: process.script.map(Into::into),
            args: process.args,
            args_truncated: process.args_truncated,
            cwd: process.cwd.as_deref().map(bytes),
            environment: process.environment.into_iter().map(|(name, value)| (name, value.into_vec())).collect(),
            comm: process.comm,
            uid: process.uid,
            euid: process.euid,
            gid: process.gid,
            login_uid: process.login_uid,
            audit_session: process.audit_session,
            session: process.session,
            tty: process.tty,
            mount_namespace: process.mount_namespace,
            pid_namespace: process.pid_namespace,
            cgroup: process.cgroup,
            container: process.container.map(Into::into),
            since: process.since.0,
            exited: process.exited.map(|time| time.0),
            origin: match process.origin {
                Origin::Observed => OriginEntry::Observed,
                Origin::Backfilled => OriginEntry::Backfilled,
                Origin::Stub => OriginEntry::Stub,
            },
        }
    }
}

impl From<ProcessEntry> for Process {
    fn from(entry: ProcessEntry) -> Self {
        let environment = entry.environment.into_iter();
        Self {
            key: process_key(entry.key),
            parent: entry.parent.map(process_key),
            executable: entry.executable.into(),
            script: entry.script.map(Into::into),
            args: entry.args,
            args_truncated: entry.args_truncated,
            cwd: entry.cwd.map(path),
            environment: environment.map(|(name, value)| (name, OsString::from_vec(value))).collect(),
            comm: entry.comm,
            uid: entry.uid,
            euid: entry.euid,
            gid: entry.gid,
            login_uid: entry.login_uid,
            audit_session: entry.audit_session,
            session: entry.session,
            tty: entry.tty,
            mount_namespace: entry.mount_namespace,
            pid_namespace: entry.pid_namespace,
            cgroup: entry.cgroup,
            container: entry.container.map(Into::into),
            unit: None,
            owners: None,
            since: KernelTime(entry.since),
            exited: entry.exited.map(KernelTime),
            origin: match entry.origin {
                OriginEntry::Observed => Origin::Observed,
                OriginEntry::Backfilled => Origin::Backfilled,
                OriginEntry::Stub => Origin::Stub,
            },
        }
    }
}
