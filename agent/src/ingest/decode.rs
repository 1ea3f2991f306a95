//! From bytes to observations. Total: any bytes give an observation or an error, never a panic.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::{collections::HashSet, ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, sync::Arc};

use foldhash::fast::RandomState;
use tokenhound_common::{
    process::ProcessKey,
    record::{self, Header, Kind},
    watch::Address,
};
use zerocopy::FromBytes;

use crate::{
    ingest::{
        answer,
        carried::{self, Carried, Shaped},
        loading,
        observation::{
            Answer, Change, Comm, Connect, Dump, Exec, Exit, Fork, Inspected, Inspection, KernelPath, KernelTime,
            Moment, Object, Observation, Open, OpenMode, Peer, Place, Stream, Task, Way, What, Written,
        },
        redact,
        rest::Rest,
        texts::Writer,
    },
    token::scan::NeedleSet,
};

/// Why a record could not be decoded. Such records are counted, never dropped in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than its head, or than the lengths in its head say.
    #[error("record of kind {kind} is cut short: {len} bytes")]
    Short {
        /// Kind, 0 if even that is missing.
        kind: u16,
        /// Bytes there are.
        len: usize,
    },
    /// A kind of record this agent does not know.
    #[error("unknown kind of record {0}")]
    Kind(u16),
    /// An object this agent does not know.
    #[error("unknown object {0} in an access record")]
    Object(u16),
    /// A way this agent does not know.
    #[error("unknown way {0} in an access record")]
    Way(u16),
    /// A moment this agent does not know.
    #[error("unknown moment {0} in a record of a file that was written")]
    Moment(u16),
    /// A change this agent does not know.
    #[error("unknown change {0} in a change record")]
    What(u16),
}

/// A decoded record with its head.
#[derive(Debug)]
pub struct Decoded {
    /// CPU, sequence number, time.
    pub header: Header,
    /// What happened.
    pub observation: Observation,
}

/// Turns records into observations. Knows which environment variables may pass; all others are dropped here.
#[derive(Default)]
pub struct Decoder {
    keep: HashSet<String, RandomState>,
    /// Records come from a capture: secrets were taken out when it was made.
    clean: bool,
    /// For texts until their length is known.
    scratch: Vec<u8>,
    /// Tokens that are recognised in what programs are started with.
    known: Option<Arc<NeedleSet>>,
    /// Those that the last program was started with.
    carried: Vec<Carried>,
    /// What is built like others, on its command line.
    shaped: Vec<Shaped>,
    /// What of its texts the record had no room for.
    rest: Option<Rest>,
}

/// `FMODE_READ` and `FMODE_WRITE` (include/linux/fs.h).
const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;

impl Decoder {
    /// A decoder that lets the variables in `keep` pass.
    #[must_use]
    pub fn new(keep: HashSet<String>) -> Self {
        Self { keep: keep.into_iter().collect(), ..Self::default() }
    }

    /// A decoder for the records of a capture, which hold only what a decoder has let pass. Arguments are not looked at
    /// again: a replay must see what was seen.
    #[must_use]
    pub fn of_capture() -> Self {
        Self { clean: true, ..Self::default() }
    }

    /// Recognises these tokens from now on.
    pub fn know(&mut self, tokens: Arc<NeedleSet>) {
        self.known = Some(tokens).filter(|tokens| !tokens.is_empty());
    }

    /// The known tokens that the program of the last record was started with.
    pub fn take_carried(&mut self) -> Vec<Carried> {
        std::mem::take(&mut self.carried)
    }

    /// What is built like other tokens on the command line of the program of the last record.
    pub fn take_shaped(&mut self) -> Vec<Shaped> {
        std::mem::take(&mut self.shaped)
    }

    /// What the record of the last program had no room for.
    pub fn take_rest(&mut self) -> Option<Rest> {
        self.rest.take()
    }

    /// Decodes one record.
    ///
    /// # Errors
    ///
    /// When the bytes are no record of a known kind, or cut short.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let (header, _) = head::<Header>(bytes, 0)?;
        let observation = match Kind(header.kind) {
            Kind::FORK => {
                let (fork, _) = head::<record::Fork>(bytes, header.kind)?;
                Observation::Fork(Fork { time: KernelTime(header.time_ns), parent: fork.parent, child: fork.child })
            }
            Kind::EXEC => Observation::Exec(Box::new(self.exec(bytes)?)),
            Kind::EXIT => {
                let (exit, _) = head::<record::Exit>(bytes, header.kind)?;
                Observation::Exit(Exit { time: KernelTime(header.time_ns), process: exit.process })
            }
            Kind::ACCESS => Observation::Open(Box::new(open(bytes)?)),
            Kind::CHANGE => Observation::Change(Box::new(change(bytes)?)),
            Kind::CONNECT => Observation::Connect(Box::new(connect(bytes)?)),
            Kind::DUMP => Observation::Dump(dump(bytes)?),
            Kind::ANSWER => Observation::Answer(Box::new(answer(bytes)?)),
            Kind::WRITTEN => Observation::Written(Box::new(written(bytes)?)),
            Kind(other) => return Err(DecodeError::Kind(other)),
        };
        Ok(Decoded { header, observation })
    }

    fn exec(&mut self, bytes: &[u8]) -> Result<Exec, DecodeError> {
        let (exec, rest) = head::<record::Exec>(bytes, Kind::EXEC.0)?;
        let mut rest = Sections { rest, kind: Kind::EXEC.0, len: bytes.len() };
        let flag = |flag: u16| exec.header.flags & flag != 0;
        let path = rest.take(exec.path_len)?;
        let cwd = rest.take(exec.cwd_len)?;
        let script = rest.take(exec.script_len)?;
        let args = rest.take(exec.args_len)?;
        let environment = rest.take(exec.env_len)?;
        let (path_truncated, cwd_truncated) = (flag(record::Exec::PATH_TRUNCATED), flag(record::Exec::CWD_TRUNCATED));
        // A cut name would be that of another file. The interpreter's arguments have it as well, and more of it.
        let has_script = flag(record::Exec::SCRIPT) && !flag(record::Exec::SCRIPT_TRUNCATED);

        self.carried = self.known.as_ref().map(|known| carried::find(known, args, environment)).unwrap_or_default();
        self.shaped = if self.clean { Vec::new() } else { carried::find_shaped(args, &self.carried) };
        let args_truncated = flag(record::Exec::ARGS_TRUNCATED) || flag(record::Exec::ARGS_UNREADABLE);
        let environment_truncated = flag(record::Exec::ENV_TRUNCATED);
        if !self.clean {
            let cut = |bytes, truncated: bool| truncated.then_some(bytes);
            let (arguments, variables) = (cut(args, args_truncated), cut(environment, environment_truncated));
            self.rest = Rest::of(arguments, variables, (&self.carried, &self.shaped), self.known.as_ref());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut texts = Writer::begin(&mut scratch);
        join(path, path_truncated, texts.bytes());
        texts.end_section();
        join(cwd, cwd_truncated, texts.bytes());
        texts.end_section();
        texts.bytes().extend_from_slice(if has_script { until_nul(script) } else { &[] });
        texts.end_section();
        self.arguments(args, flag(record::Exec::ARGS_TRUNCATED), &mut texts);
        texts.end_section();
        self.environment(environment, environment_truncated, &mut texts);
        let texts = texts.finish(has_script);
        self.scratch = scratch;
        Ok(Exec {
            time: KernelTime(exec.header.time_ns),
            task: task(&exec.task),
            executable: exec.executable,
            texts,
            path_truncated,
            cwd_truncated,
            args_truncated,
            environment_truncated,
            output: Stream::of(record::Output(exec.output)),
        })
    }

    /// Arguments without secrets. Of one that was cut nothing can be told by its shape, so it is handled apart.
    fn arguments(&self, bytes: &[u8], truncated: bool, out: &mut Writer<'_>) {
        if self.clean {
            match std::str::from_utf8(bytes) {
                Ok(text) => {
                    out.bytes().extend_from_slice(text.as_bytes());
                    if !matches!(bytes.last(), None | Some(0)) {
                        out.bytes().push(0);
                    }
                }
                Err(_) => strings(bytes).for_each(|arg| out.close(&[String::from_utf8_lossy(arg).as_bytes()])),
            }
            return;
        }
        let cut = truncated && !bytes.ends_with(&[0]);
        let tokens = self.carried.iter().filter_map(|carried| match carried.place {
            carried::Place::Argument(number) => Some(number),
            carried::Place::Variable(_) => None,
        });
        let tokens: Vec<u16> = tokens.collect();
        let mut number = 0;
        redact::each(strings(bytes), cut, |arg| {
            // What is known to be a token need not look like one.
            let arg = if tokens.contains(&number) { redact::REDACTED } else { arg };
            out.close(&[arg.as_bytes()]);
            number = number.saturating_add(1);
        });
    }

    /// The variables that may pass. A last entry that was cut is dropped: its value would be wrong.
    fn environment(&self, bytes: &[u8], truncated: bool, out: &mut Writer<'_>) {
        let whole = if truncated { &bytes[..bytes.iter().rposition(|byte| *byte == 0).unwrap_or(0)] } else { bytes };
        for entry in strings(whole) {
            let sign = entry.iter().position(|byte| *byte == b'=');
            let Some((name, value)) = sign.and_then(|sign| entry.split_at_checked(sign)) else { continue };
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let value = value.get(1..).unwrap_or_default();
            if self.clean {
                out.close(&[entry]);
            } else if self.keep.contains(name)
                && let Some(value) = loading::clean(name, value)
            {
                out.close(&[name.as_bytes(), b"=", &value]);
            }
        }
    }
}

fn open(bytes: &[u8]) -> Result<Open, DecodeError> {
    let (open, rest) = head::<record::Access>(bytes, Kind::ACCESS.0)?;
    let mut rest = Sections { rest, kind: Kind::ACCESS.0, len: bytes.len() };
    let flag = |flag: u16| open.header.flags & flag != 0;
    let path = rest.take(open.path_len)?;
    let root = rest.take(open.root_len)?;
    // Components come leaf first: what lies below the root ends with it.
    let in_root = if root.is_empty() { None } else { path.strip_suffix(root) };
    Ok(Open {
        time: KernelTime(open.header.time_ns),
        task: task(&open.task),
        object: object(&open)?,
        file: open.file,
        path: kernel_path(path, flag(record::Access::PATH_TRUNCATED)),
        path_in_root: in_root.map(|in_root| kernel_path(in_root, false).path),
        way: match record::Way(open.way) {
            record::Way::OPEN => Way::Open,
            record::Way::EXEC => Way::Exec,
            record::Way::RECEIVE => Way::Receive,
            record::Way::READ => Way::Read,
            record::Way::MAP => Way::Map,
            record::Way(other) => return Err(DecodeError::Way(other)),
        },
        unlinked: flag(record::Access::UNLINKED),
        mode: OpenMode {
            read: open.open_mode & FMODE_READ != 0,
            write: open.open_mode & FMODE_WRITE != 0,
            truncate: open.open_flags & libc::O_TRUNC as u32 != 0,
        },
        canary: open.matched & record::Access::MATCH_CANARY != 0,
    })
}

fn object(open: &record::Access) -> Result<Object, DecodeError> {
    let inspection = match record::Object(open.object) {
        record::Object::FILE => return Ok(Object::File),
        record::Object::PROC_ENVIRON => Inspection::Environ,
        record::Object::PROC_MEM => Inspection::Mem,
        record::Object::PTRACE_ATTACH => Inspection::PtraceAttach,
        record::Object::PTRACE_PEEK => Inspection::PtracePeek,
        record::Object::VM_READ => Inspection::ProcessVmReadv,
        record::Object::PIDFD_GETFD => Inspection::PidfdGetfd,
        record::Object(other) => return Err(DecodeError::Object(other)),
    };
    let pid_only = open.header.flags & record::Access::TARGET_PID != 0;
    let inspected = if pid_only { Inspected::Pid(open.target.tgid) } else { Inspected::Key(open.target) };
    Ok(Object::Process(inspection, inspected))
}

fn connect(bytes: &[u8]) -> Result<Connect, DecodeError> {
    let (connect, rest) = head::<record::Connect>(bytes, Kind::CONNECT.0)?;
    let mut rest = Sections { rest, kind: Kind::CONNECT.0, len: bytes.len() };
    let truncated = connect.header.flags & record::Connect::PATH_TRUNCATED != 0;
    let path = rest.take(connect.path_len)?;
    let peer = if path.is_empty() {
        Peer::Address { address: address(connect.address), port: u16::from_be(connect.port) }
    } else {
        Peer::Socket { path: kernel_path(path, truncated), file: connect.file }
    };
    let canary = connect.matched & record::Access::MATCH_CANARY != 0;
    let carried = connect.matched & record::Access::MATCH_CARRIER != 0;
    let sent = connect.header.flags & record::Connect::SENT != 0;
    Ok(Connect { time: KernelTime(connect.header.time_ns), task: task(&connect.task), peer, canary, carried, sent })
}

fn address(address: Address) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(address.bytes())).to_canonical()
}

fn answer(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let (answer, rest) = head::<record::Answer>(bytes, Kind::ANSWER.0)?;
    let mut rest = Sections { rest, kind: Kind::ANSWER.0, len: bytes.len() };
    let (name, addresses) = answer::parse(rest.take(answer.bytes_len)?).unwrap_or_default();
    Ok(Answer {
        time: KernelTime(answer.header.time_ns),
        task: task(&answer.task),
        server: SocketAddr::new(address(answer.server), u16::from_be(answer.port)),
        name,
        addresses,
    })
}

fn written(bytes: &[u8]) -> Result<Written, DecodeError> {
    let (written, rest) = head::<record::Written>(bytes, Kind::WRITTEN.0)?;
    let mut rest = Sections { rest, kind: Kind::WRITTEN.0, len: bytes.len() };
    let flag = |flag: u16| written.header.flags & flag != 0;
    let path = rest.take(written.path_len)?;
    let root = rest.take(written.root_len)?;
    let in_root = if root.is_empty() { None } else { path.strip_suffix(root) };
    Ok(Written {
        time: KernelTime(written.header.time_ns),
        task: task(&written.task),
        file: written.file,
        path: kernel_path(path, flag(record::Written::PATH_TRUNCATED)),
        path_in_root: in_root.map(|in_root| kernel_path(in_root, false).path),
        unlinked: flag(record::Written::UNLINKED),
        carrier: written.carrier,
        moment: match record::Moment(written.moment) {
            record::Moment::OPENED => Moment::Opened,
            record::Moment::CLOSED => Moment::Closed,
            record::Moment::ENDED => Moment::Ended,
            record::Moment(other) => return Err(DecodeError::Moment(other)),
        },
    })
}

fn dump(bytes: &[u8]) -> Result<Dump, DecodeError> {
    let (dump, rest) = head::<record::Dump>(bytes, Kind::DUMP.0)?;
    let mut rest = Sections { rest, kind: Kind::DUMP.0, len: bytes.len() };
    let truncated = dump.header.flags & record::Dump::CWD_TRUNCATED != 0;
    let cwd = kernel_path(rest.take(dump.cwd_len)?, truncated);
    Ok(Dump { time: KernelTime(dump.header.time_ns), process: dump.process, cwd })
}

fn change(bytes: &[u8]) -> Result<Change, DecodeError> {
    let (change, rest) = head::<record::Change>(bytes, Kind::CHANGE.0)?;
    let mut rest = Sections { rest, kind: Kind::CHANGE.0, len: bytes.len() };
    let flag = |flag: u16| change.header.flags & flag != 0;
    let place = |bytes: &[u8], truncated: u16, in_file_system: u16| {
        let path = kernel_path(bytes, flag(truncated));
        if flag(in_file_system) { Place::InFileSystem(path) } else { Place::Path(path) }
    };
    let path = rest.take(change.path_len)?;
    let other = rest.take(change.other_len)?;
    let text = || PathBuf::from(OsString::from_vec(until_nul(other).to_vec()));
    let other = || {
        if flag(record::Change::OTHER_IS_TEXT) {
            Place::Text(text())
        } else {
            place(other, record::Change::OTHER_TRUNCATED, record::Change::OTHER_IN_FILE_SYSTEM)
        }
    };
    let set = |id: u32| (id != u32::MAX).then_some(id);
    Ok(Change {
        time: KernelTime(change.header.time_ns),
        task: task(&change.task),
        file: change.file,
        place: place(path, record::Change::PATH_TRUNCATED, record::Change::PATH_IN_FILE_SYSTEM),
        what: match record::What(change.what) {
            record::What::LINK => What::Link(other()),
            record::What::RENAME => What::Rename(other()),
            record::What::REPLACE => What::Replace(other()),
            record::What::SYMLINK => What::Symlink(text()),
            record::What::UNLINK => What::Unlink,
            record::What::MODE => What::Mode(change.detail as u32),
            record::What::OWNER => {
                What::Owner { uid: set((change.detail >> 32) as u32), gid: set(change.detail as u32) }
            }
            record::What::TRUNCATE => What::Truncate(change.detail),
            record::What::MOUNT => What::Mount(other()),
            record::What(other) => return Err(DecodeError::What(other)),
        },
        canary: change.matched & record::Access::MATCH_CANARY != 0,
    })
}

fn task(task: &record::Task) -> Task {
    Task {
        key: task.key,
        parent: if task.parent.tgid == 0 { ProcessKey::default() } else { task.parent },
        tid: task.tid,
        uid: task.uid,
        euid: task.euid,
        gid: task.gid,
        login_uid: (task.login_uid != u32::MAX).then_some(task.login_uid),
        audit_session: (task.audit_session != u32::MAX).then_some(task.audit_session),
        session: task.session,
        tty: (task.tty != 0).then_some((task.tty >> 20, task.tty & 0xf_ffff)),
        mount_namespace: task.mount_namespace,
        pid_namespace: task.pid_namespace,
        cgroup: task.cgroup,
        executable: task.executable,
        comm: Comm::new(&task.comm),
    }
}

/// Reads the fixed head of a record.
fn head<T: FromBytes>(bytes: &[u8], kind: u16) -> Result<(T, &[u8]), DecodeError> {
    T::read_from_prefix(bytes).map_err(|_| DecodeError::Short { kind, len: bytes.len() })
}

/// The variable part of a record.
struct Sections<'a> {
    rest: &'a [u8],
    kind: u16,
    len: usize,
}

impl<'a> Sections<'a> {
    fn take(&mut self, len: u16) -> Result<&'a [u8], DecodeError> {
        let (section, rest) = self
            .rest
            .split_at_checked(usize::from(len))
            .ok_or(DecodeError::Short { kind: self.kind, len: self.len })?;
        self.rest = rest;
        Ok(section)
    }
}

/// Joins components that come leaf first.
///
/// File names hold no `/`, but what is no file may be called anything: a memfd by its maker, the root of a tree that
/// hangs nowhere `/`. The latter is left out, and in all others a `/` becomes U+FFFD, so that no name can pose as a
/// path.
fn kernel_path(components: &[u8], truncated: bool) -> KernelPath {
    let mut path = Vec::with_capacity(components.len() + 1);
    join(components, truncated, &mut path);
    KernelPath { path: PathBuf::from(OsString::from_vec(path)), truncated }
}

/// [`kernel_path`], added to `out`.
fn join(components: &[u8], truncated: bool, out: &mut Vec<u8>) {
    let begin = out.len();
    for name in strings(components).filter(|name| !matches!(name, [] | [b'/'])).rev() {
        if out.len() > begin || !truncated {
            out.push(b'/');
        }
        for (part, bytes) in name.split(|byte| *byte == b'/').enumerate() {
            if part > 0 {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
            out.extend_from_slice(bytes);
        }
    }
    if out.len() == begin && !truncated {
        out.push(b'/');
    }
}

/// NUL-closed strings; a last one without its NUL counts.
fn strings(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let some = (!bytes.is_empty()).then(|| bytes.strip_suffix(&[0]).unwrap_or(bytes));
    some.into_iter().flat_map(|bytes| bytes.split(|byte| *byte == 0))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
