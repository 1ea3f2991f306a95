//! Connections: to sockets behind which somebody keeps tokens, and to addresses that hand them out.
//!
//! A socket is known by its file, as a store is. Addresses are few and stand in a map of their own.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC, helpers::generated::bpf_get_current_cgroup_id, macros::map, maps::HashMap,
    programs::TracePointContext,
};
use tokenhound_common::{
    limits::{MAX_ADDRESSES, REPEAT_NS, SENDS_NS, SENT_MESSAGES},
    loss::Reason,
    record::{Access, Connect, FileFacts, Kind},
    watch::Address,
};

use crate::{
    access::{current, return_value},
    carriers, descriptor,
    emit::{self, Ring, lost, repeated},
    filter,
    kernel::{self, Copied, Direct, Load, Pointer, offset, present, user},
    path, scratch, seen, task,
};

/// Watched addresses, with `FileWatch::CANARY` for the one that proves the probe.
#[map]
static ADDRESSES: HashMap<Address, u32> = HashMap::with_max_entries(MAX_ADDRESSES, BPF_F_NO_PREALLOC);

/// Families (include/linux/socket.h).
const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `S_IFMT` and `S_IFSOCK` (include/uapi/linux/stat.h).
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// The connection is being made (include/uapi/asm-generic/errno.h).
const EINPROGRESS: i64 = 115;

/// `struct mmsghdr` (include/linux/socket.h).
const MESSAGE_BYTES: u64 = 64;

/// What is remembered of an actor and a socket; files have smaller numbers.
const CONNECT: u32 = 1 << 16;

/// Of something that is sent, in one word with its address.
const SENDS: u64 = 1;

/// The same of a carrier, with the port.
const CARRIED: u32 = 1 << 18;

/// `unix_stream_connect(socket, peer, new)`: the peer listens, and carries the path that it is bound to.
#[inline(always)]
pub fn unix(peer: Pointer) -> i32 {
    named(peer);
    0
}

/// `socket_connect(socket, address, length)`: the address is the kernel's own copy.
#[inline(always)]
pub fn address(address: Pointer) -> i32 {
    if let Some((peer, port, family)) = read(Copied::at(address, 0), || Some(Copied::at(address, 16))) {
        known(peer, port, family, 0);
    }
    0
}

/// `socket_sendmsg(socket, message, size)`, attached while there are carriers: something is sent to where the socket need not
/// be connected to. The address is the kernel's own copy.
#[inline(always)]
pub fn sends(message: Pointer) -> i32 {
    let name = Direct::pointer(message, offset!(message_name));
    if !name.is_null()
        && let Some((peer, port, family)) = read(inet(Copied::at(name, 0)), || Some(Copied::at(name, 16)))
    {
        known(peer, port, family, SENDS);
    }
    0
}

/// Exit of `sendto(descriptor, bytes, length, flags, address, ...)`, attached while there are carriers.
#[inline(always)]
pub fn sent(ctx: &TracePointContext) -> u32 {
    if has_left(return_value(ctx)) {
        sent_to(kernel::fifth_argument(current()));
    }
    0
}

/// Exit of `sendmsg(descriptor, message, flags)`, likewise. `struct user_msghdr` begins with the address.
#[inline(always)]
pub fn sent_message(ctx: &TracePointContext) -> u32 {
    if has_left(return_value(ctx)) {
        sent_to(user(kernel::second_argument(current())).unwrap_or(0));
    }
    0
}

/// Exit of `sendmmsg(descriptor, messages, count, flags)`, likewise, which returns how many have left.
#[inline(always)]
pub fn sent_messages(ctx: &TracePointContext) -> u32 {
    let first = kernel::second_argument(current());
    // As in `has_left`.
    let count = if kernel::proving() { 1 } else { return_value(ctx) };
    for number in 0..SENT_MESSAGES {
        if i64::from(number) >= count {
            break;
        }
        sent_to(user(first.wrapping_add(u64::from(number) * MESSAGE_BYTES)).unwrap_or(0));
    }
    0
}

/// Of TCP fast open nothing may have left yet but the question for a connection. The agent proves the probe with an address to
/// which there may be no way.
#[inline(always)]
fn has_left(result: i64) -> bool {
    result >= 0 || result == -EINPROGRESS || kernel::proving()
}

/// An address in the memory of the process; 0 where it gave none. It may have changed it since.
#[inline(never)]
fn sent_to(address: u64) -> u32 {
    if address != 0
        && let Some(head) = user(address)
        && let Some((peer, port, family)) = read(inet(head), || user(address.wrapping_add(16)))
    {
        known(peer, port, family, SENDS);
    }
    0
}

/// The first 16 bytes of an address to send to: UDP takes one without a family for one of IPv4 (net/ipv4/udp.c).
#[inline(always)]
fn inet(head: [u64; 2]) -> [u64; 2] {
    if head[0] as u16 == AF_UNSPEC { [head[0] | AF_INET as u64, head[1]] } else { head }
}

/// Address, port and family of a `struct sockaddr_in` or `sockaddr_in6` (include/uapi/linux/in.h, in6.h) by its first 16 bytes;
/// `rest` are the 8 behind them, which only the latter has.
#[inline(always)]
pub fn read(head: [u64; 2], rest: impl FnOnce() -> Option<u64>) -> Option<(Address, u16, u16)> {
    let port = (head[0] >> 16) as u16;
    match head[0] as u16 {
        AF_INET => Some((Address::v4((head[0] >> 32) as u32), port, AF_INET)),
        AF_INET6 => Some((Address { words: [head[1], rest()?] }, port, AF_INET6)),
        _ => None,
    }
}

/// Exit of `connect(descriptor, ...)`. To whom, the socket itself tells, not what the caller gave.
#[inline(always)]
pub fn returned(ctx: &TracePointContext) -> u32 {
    let result = return_value(ctx);
    if result != 0 && result != -EINPROGRESS {
        return 0;
    }
    let task = current();
    let file = descriptor::copied(task, kernel::first_argument(task) as u32);
    if file.is_null() {
        lost(Reason::DESCRIPTOR);
        return 0;
    }
    let sock = sock(file);
    if sock.is_null() {
        return 0;
    }
    if Copied::load::<u16, _>(sock, offset!(sock_family)) == AF_UNIX {
        named(Copied::pointer(sock, offset!(unix_peer)));
    } else if let Some((peer, port, family)) = peer(sock) {
        known(peer, port, family, 0);
    }
    0
}

/// What the kernel knows of the socket behind a file; null if it is none: another thread may have put something else there.
#[inline(always)]
pub fn sock(file: Pointer) -> Pointer {
    let mode: u16 = Copied::load(Copied::pointer(file, offset!(file_inode)), offset!(inode_mode));
    if mode & S_IFMT != S_IFSOCK {
        return core::ptr::null();
    }
    Copied::pointer(Copied::pointer(file, offset!(file_private)), offset!(socket_sock))
}

/// Address, port and family that a socket is connected to.
#[inline(always)]
pub fn peer(sock: Pointer) -> Option<(Address, u16, u16)> {
    let port = Copied::load(sock, offset!(sock_port));
    match Copied::load::<u16, _>(sock, offset!(sock_family)) {
        AF_INET => Some((Address::v4(Copied::load(sock, offset!(sock_address))), port, AF_INET)),
        AF_INET6 if present(offset!(sock_address_v6)) => {
            Some((Address { words: Copied::load(sock, offset!(sock_address_v6)) }, port, AF_INET6))
        }
        _ => None,
    }
}

/// Is the socket bound to a watched path?
#[inline(never)]
fn named(peer: Pointer) -> u32 {
    let dentry = Copied::pointer(peer, offset!(unix_dentry));
    // Bound to no file: unnamed, or in the abstract namespace.
    if dentry.is_null() || !filter::dentry_may_match::<Copied>(dentry) {
        return 0;
    }
    let inode = Copied::pointer(dentry, offset!(dentry_inode));
    let matched = filter::exact(inode, dentry);
    if matched == 0 {
        return 0;
    }
    let task = task::acting(current());
    let actor = task::key(task);
    if task::own(actor) {
        return 0;
    }
    if matched & Access::MATCH_CANARY == 0 && !seen::Key::file(actor, task, task::file_id(inode), CONNECT).due() {
        repeated();
        return 0;
    }
    let Some(mut buffer) = scratch::hit() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let header = emit::header(&mut buffer, Kind::CONNECT);
    let (bytes, cell) = (buffer.bytes.as_mut_ptr(), &raw mut buffer.cell);
    // SAFETY: larger than the head of the record and a path, aligned for it, any bytes are valid, and ours until `buffer`
    // is dropped.
    let record = unsafe { &mut *bytes.cast::<Connect>() };
    record.header = header;
    describe(record, task, matched);
    task::file_facts(inode, &mut record.file);
    record.family = AF_UNIX;
    // SAFETY: as above.
    let walk = unsafe {
        path::write(bytes.add(size_of::<Connect>()), cell, dentry, Copied::pointer(peer, offset!(unix_mount)))
    };
    record.path_len = walk.len() as u16;
    if walk.truncated() {
        record.header.flags |= Connect::PATH_TRUNCATED;
    }
    // SAFETY: head and path, as written above.
    unsafe { emit::output(Ring::Hits, bytes, size_of::<Connect>() + walk.len()) };
    0
}

/// Is the address watched? The port is big endian, as on the network; `how` is 0 or [`SENDS`].
#[inline(always)]
fn known(address: Address, port: u16, family: u16, how: u64) {
    let about = u64::from(port) << 32 | u64::from(family) << 16;
    // SAFETY: one word.
    if let Some(flags) = (unsafe { ADDRESSES.get(&address) }).copied() {
        told(&address, about | u64::from(flags & u32::from(u16::MAX)));
    } else if carriers::armed() && carriers::acts() != 0 {
        trail(&address, about | how);
    }
}

/// `about`: port, family and flags in one word, because a function takes five at most.
#[inline(never)]
fn told(address: &Address, about: u64) -> u32 {
    let task = task::acting(current());
    let actor = task::key(task);
    if task::own(actor) {
        return 0;
    }
    let canary = about & u64::from(tokenhound_common::watch::FileWatch::CANARY) != 0;
    if !canary && !seen::Key::address(actor, task, *address, CONNECT).due() {
        repeated();
        return 0;
    }
    let Some(mut buffer) = scratch::hit() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let header = emit::header(&mut buffer, Kind::CONNECT);
    let bytes = buffer.bytes.as_mut_ptr();
    // SAFETY: as in `named`.
    let record = unsafe { &mut *bytes.cast::<Connect>() };
    record.header = header;
    describe(record, task, if canary { Access::MATCH_CANARY } else { Access::MATCH_NAME });
    record.file = FileFacts::default();
    record.address = *address;
    record.port = (about >> 32) as u16;
    record.family = (about >> 16) as u16;
    // SAFETY: the head, as written above.
    unsafe { emit::output(Ring::Hits, bytes, size_of::<Connect>()) };
    0
}

/// A carrier connects, or sends, to an address that nobody watches.
#[inline(never)]
fn trail(address: &Address, about: u64) -> u32 {
    let task = task::acting(current());
    let actor = task::key(task);
    let port = (about >> 32) as u16;
    let pause = if about & SENDS != 0 { SENDS_NS } else { REPEAT_NS };
    if task::own(actor) || !seen::Key::address(actor, task, *address, CARRIED | u32::from(port)).due_after(pause) {
        return 0;
    }
    let Some(mut buffer) = scratch::trail() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let header = emit::header(&mut buffer, Kind::CONNECT);
    let bytes = buffer.bytes.as_mut_ptr();
    // SAFETY: as in `named`.
    let record = unsafe { &mut *bytes.cast::<Connect>() };
    record.header = header;
    describe(record, task, Access::MATCH_CARRIER);
    record.file = FileFacts::default();
    record.address = *address;
    record.port = port;
    record.family = (about >> 16) as u16;
    if about & SENDS != 0 {
        record.header.flags |= Connect::SENT;
    }
    // SAFETY: the head, as written above.
    unsafe { emit::output(Ring::Trail, bytes, size_of::<Connect>()) };
    0
}

#[inline(always)]
fn describe(record: &mut Connect, task: Pointer, matched: u16) {
    task::describe(task, &mut record.task);
    // SAFETY: helper without arguments.
    record.task.cgroup = unsafe { bpf_get_current_cgroup_id() };
    record.address = Address { words: [0; 2] };
    record.port = 0;
    record.matched = matched;
    record.path_len = 0;
}
