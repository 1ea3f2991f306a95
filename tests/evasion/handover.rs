//! Descriptors that somebody else opened: inherited, shared, sent, taken, or open since before the agent.

use std::{
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::Command,
};

use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, pidfd_getfd, pidfd_open, setrlimit},
};
use tokenhound_tests::evasion::Start;

use crate::{
    calls::{self, Call, Map},
    identity,
    place::{Place, check, got, open},
    ring,
    stop::{At, Outcome, fail},
    sys::{self, call, finish, fork, hold, hold_for, in_child, keep_over_exec, owned, partner, role},
    technique::{Technique, Unseen},
    tell,
};

const AS_EXEC: &[&str] = &["exec", "read"];
const AS_READ: &[&str] = &["read"];
const AS_MAP: &[&str] = &["map"];

/// A child reads what its parent has had open for a while.
const fn by_child(name: &'static str, what: &'static str, act: fn(&Place) -> Outcome) -> Technique {
    Technique::opens(name, what, act).by(AS_READ).started(Start::Held)
}

/// A process reads what it has had open since before the agent.
const fn before(name: &'static str, what: &'static str, act: fn(&Place) -> Outcome) -> Technique {
    Technique::opens(name, what, act).by(AS_READ).started(Start::Before)
}

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("exec-inherited", "opened, and read by the program that a child starts", exec_inherited)
        .by(AS_EXEC),
    Technique::opens("vfork-exec", "opened, and read by a program that was started with vfork", vfork_exec).by(AS_EXEC),
    Technique::opens("exec-map", "opened, and mapped by the program that a child starts", exec_map)
        .by(&["exec", "map"]),
    Technique::opens("exec-self", "opened, and read by the program that the same process becomes", exec_self)
        .by(AS_EXEC),
    Technique::opens("shell-redirect", "a shell opens, cat reads", redirect).by(AS_EXEC),
    Technique::opens("high-descriptor", "kept over an exec as descriptor 900", high).by(AS_EXEC).started(Start::Held),
    Technique::opens("fork-at-once", "opened, and read at once by a child", |place| {
        child_reads(place, calls::by_read, no_wait)
    })
    .by(AS_READ)
    .sometimes_unseen(&[Unseen(
        &[],
        &[],
        "the hooks on reads are attached when the opener's record is worked on, a few milliseconds later",
    )]),
    by_child("fork-read", "read(2) by a child", |place| child_reads(place, calls::by_read, hold)),
    by_child("fork-pread", "pread64(2) by a child", |place| child_reads(place, calls::by_pread, hold)),
    by_child("fork-readv", "readv(2) by a child", |place| child_reads(place, calls::by_readv, hold)),
    by_child("fork-preadv", "preadv(2) by a child", |place| child_reads(place, calls::by_preadv, hold)),
    by_child("fork-preadv2", "preadv2(2) by a child", |place| child_reads(place, calls::by_preadv2, hold)),
    by_child("fork-aio", "io_submit(2) by a child", |place| child_reads(place, calls::by_aio, hold)).unseen(&[Unseen(
        &["tracepoint"],
        &[],
        "which descriptor a request of io_submit reads stands in memory of the process",
    )]),
    by_child("fork-mmap", "mmap(2) by a child", |place| child_reads(place, calls::by_private_map, hold)).by(AS_MAP),
    by_child("fork-sendfile", "sendfile(2) by a child", |place| child_reads(place, calls::by_sendfile, hold)),
    by_child("fork-splice", "splice(2) by a child", |place| child_reads(place, calls::by_splice, hold)),
    by_child("fork-copy-file-range", "copy_file_range(2) by a child", |place| child_reads(place, calls::by_copy, hold)),
    by_child("fork-reflink", "FICLONE by a child", |place| child_reads(place, calls::by_reflink, hold)),
    by_child("fork-uring", "a ring's read by a child", |place| child_reads(place, ring::by_uring, hold))
        .unseen(&[ring::OLD_RING]),
    by_child("fork-uring-registered", "a child's read through a registered file", |place| {
        child_reads(place, ring::by_registered, hold)
    })
    .unseen(&[ring::OLD_RING]),
    by_child("fork-uring-sqpoll", "a read by the polling thread of a child's ring", |place| {
        child_reads(place, ring::by_sqpoll, hold)
    })
    .unseen(&[ring::OLD_RING]),
    by_child("shared-table", "read where another process with the same descriptors opened it", shared_table)
        .sometimes_unseen(&[Unseen(
            &[],
            &[],
            "the hooks on reads are attached when the opener's record is worked on, a few milliseconds later",
        )]),
    Technique::opens("scm-rights", "sent over a socket, received with recvmsg", |place| sent(place, by_recvmsg))
        .by(&["receive"]),
    Technique::opens("scm-recvmmsg", "sent over a socket, received with recvmmsg", |place| sent(place, by_recvmmsg))
        .by(&["receive"]),
    Technique::opens("scm-uring", "sent over a socket, received by a ring", |place| sent(place, by_ring_message))
        .by(&["receive", "read"])
        .started(Start::Held),
    Technique::opens("pidfd-getfd", "taken with pidfd_getfd", taken).by(&["receive"]).and_inspects("pidfd-getfd"),
    before("preopened", "open since before the agent, read(2)", |place| preopened(place, calls::by_read)),
    before("preopened-sendfile", "open since before the agent, sendfile(2)", |place| {
        preopened(place, calls::by_sendfile)
    }),
    before("preopened-mmap", "open since before the agent, mapped now", |place| {
        preopened(place, calls::by_private_map)
    })
    .by(AS_MAP),
    before("preopened-uring", "open since before the agent, read by a ring", |place| preopened(place, ring::by_uring))
        .unseen(&[ring::OLD_RING]),
    before("preopened-sent", "open since before the agent, then sent over a socket", preopened_sent).by(&["receive"]),
    before("premapped", "mapped since before the agent", premapped).unseen(&[Unseen(
        &[],
        &[],
        "memory that was mapped before is read without the kernel",
    )]),
];

fn no_wait() {
    tell::helper();
}

fn child_reads(place: &Place, call: Call, wait: fn()) -> Outcome {
    let fd = open(&place.store)?;
    wait();
    in_child(|| got(&call(&fd, place)?))
}

/// A command that has the store open, as the last argument says.
fn inheriting(place: &Place, part: &str) -> Outcome<(Command, OwnedFd)> {
    let fd = open(&place.store)?;
    tell::helper();
    keep_over_exec(&fd)?;
    let mut command = role(part)?;
    command.arg(fd.as_raw_fd().to_string());
    Ok((command, fd))
}

fn exec_inherited(place: &Place) -> Outcome {
    let (mut command, _fd) = inheriting(place, "read-fd")?;
    in_child(|| Err(command.exec()).at("exec"))
}

/// The C library starts programs with `CLONE_VM | CLONE_VFORK`.
fn vfork_exec(place: &Place) -> Outcome {
    let (mut command, _fd) = inheriting(place, "read-fd")?;
    finish(&mut command)
}

fn exec_map(place: &Place) -> Outcome {
    let (mut command, _fd) = inheriting(place, "map-fd")?;
    finish(&mut command)
}

fn exec_self(place: &Place) -> Outcome {
    let (mut command, _fd) = inheriting(place, "read-fd")?;
    Err(command.exec()).at("exec")
}

fn redirect(place: &Place) -> Outcome {
    let (shell, cat) = (identity::program("sh")?, identity::program("cat")?);
    let mut command = Command::new(shell);
    command.args(["-c", "exec \"$0\" <\"$1\""]).arg(&cat).arg(&place.store);
    identity::output_of(command, &cat)
}

fn high(place: &Place) -> Outcome {
    const NUMBER: i32 = 900;
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1024) }).at("allow many descriptors")?;
    let fd = open(&place.store)?;
    // SAFETY: nothing else has that number.
    unsafe { call(libc::SYS_dup2, [fd.as_raw_fd() as u64, NUMBER as u64, 0, 0, 0, 0]) }.at("dup2")?;
    drop(fd);
    hold();
    finish(role("read-fd")?.arg(NUMBER.to_string()))
}

/// A process that shares the table of descriptors opens the store, and is gone.
fn shared_table(place: &Place) -> Outcome {
    // SAFETY: without CLONE_VM this is a fork of a process with one thread.
    let pid = unsafe { call(libc::SYS_clone, [(libc::CLONE_FILES | libc::SIGCHLD) as u64, 0, 0, 0, 0, 0]) };
    let pid = pid.at("clone")?;
    if pid == 0 {
        tell::helper();
        let number = open(&place.store).map_or(0, IntoRawFd::into_raw_fd);
        // SAFETY: ends the child; the descriptor stays with the parent.
        unsafe { libc::_exit(number) };
    }
    let child = sys::child(pid as i32)?;
    let Some(number @ 3..) = child.code()? else { return fail("the child did not open it") };
    hold_for(child.pid());
    got(&calls::by_read(&owned(number.into()), place)?)
}

/// How a descriptor is taken out of a socket.
type Receive = fn(&UnixStream, &mut Letter) -> Outcome;

fn sent(place: &Place, receive: Receive) -> Outcome {
    let (from, to) = UnixStream::pair().at("make a pair of sockets")?;
    let child = fork(|| received(place, &to, receive))?;
    let fd = open(&place.store)?;
    hold();
    send(&from, &fd)?;
    child.wait()
}

fn send(socket: &UnixStream, fd: &OwnedFd) -> Outcome {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    let list = [fd.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&list));
    sendmsg(socket, &[io::IoSlice::new(b".")], &mut ancillary, SendFlags::empty()).at("sendmsg")?;
    Ok(())
}

fn received(place: &Place, socket: &UnixStream, receive: Receive) -> Outcome {
    let mut letter = Letter::default();
    receive(socket, &mut letter)?;
    got(&calls::by_read(&letter.descriptor()?, place)?)
}

/// Room for a message with one descriptor.
#[derive(Default)]
struct Letter {
    byte: [u8; 1],
    /// `struct cmsghdr`, the descriptor, and padding.
    control: [u64; 3],
}

impl Letter {
    /// Lets `receive` fill it.
    fn filled(&mut self, receive: impl FnOnce(&mut libc::msghdr) -> Outcome) -> Outcome {
        let mut part = libc::iovec { iov_base: self.byte.as_mut_ptr().cast(), iov_len: self.byte.len() };
        // SAFETY: all zeros is an empty message.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = self.control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&self.control);
        receive(&mut message)
    }

    fn descriptor(&self) -> Outcome<OwnedFd> {
        let head = u64::from(libc::SOL_SOCKET as u32) | u64::from(libc::SCM_RIGHTS as u32) << 32;
        if self.control[1] != head {
            return fail("no descriptor came");
        }
        Ok(owned(i64::from(self.control[2] as u32)))
    }
}

fn by_recvmsg(socket: &UnixStream, letter: &mut Letter) -> Outcome {
    letter.filled(|message| {
        // SAFETY: the message's parts have the room that it says.
        let count = unsafe { libc::recvmsg(socket.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC) };
        if count < 0 { Err(io::Error::last_os_error()).at("recvmsg") } else { Ok(()) }
    })
}

fn by_recvmmsg(socket: &UnixStream, letter: &mut Letter) -> Outcome {
    letter.filled(|message| {
        let mut list = [libc::mmsghdr { msg_hdr: *message, msg_len: 0 }];
        // SAFETY: one message, whose parts have the room that it says.
        let count = unsafe { libc::recvmmsg(socket.as_raw_fd(), list.as_mut_ptr(), 1, 0, std::ptr::null_mut()) };
        if count < 0 { Err(io::Error::last_os_error()).at("recvmmsg") } else { Ok(()) }
    })
}

fn by_ring_message(socket: &UnixStream, letter: &mut Letter) -> Outcome {
    let ring = ring::Ring::new(0)?;
    letter.filled(|message| ring.receive(socket.as_raw_fd(), message).map(drop))
}

fn taken(place: &Place) -> Outcome {
    let other = partner(|| {
        tell::helper();
        let fd = open(&place.store)?;
        Ok((fd.as_raw_fd().to_string(), fd))
    })?;
    let Ok(number) = other.said.parse() else { return fail("the partner said no number") };
    let Some(pid) = Pid::from_raw(other.pid() as i32) else { return fail("no pid") };
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).at("pidfd_open")?;
    let fd = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).offered("pidfd_getfd", &[Errno::NOSYS])?;
    tell::target(other.pid());
    got(&calls::by_read(&fd, place)?)
}

fn preopened(place: &Place, call: Call) -> Outcome {
    let fd = open(&place.store)?;
    hold();
    got(&call(&fd, place)?)
}

fn preopened_sent(place: &Place) -> Outcome {
    sent(place, by_recvmsg)
}

fn premapped(place: &Place) -> Outcome {
    let map = Map::new(&open(&place.store)?, false)?;
    hold();
    check(map.bytes())?;
    tell::reader();
    Ok(())
}
