//! Connections: to sockets behind which somebody keeps tokens, and to addresses that hand them out.
//!
//! A socket is known by its file, as a store is. Addresses are few and stand in a map of their own.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC, helpers::generated::bpf_get_current_cgroup_id, macros::map, maps::HashMap,
    programs::TracePointContext,
};
use tokenhound_common::{
    limits::MAX_ADDRESSES,
    loss::Reason,
    record::{Access, Connect, FileFacts, Kind},
    watch::Address,
};

use crate::{
    access::{current, return_value},
    descriptor,
    emit::{self, Ring, lost, repeated},
    filter,
    kernel::{self, Copied, Load, Pointer, offset, present},
    path, scratch, seen, task,
};

/// Watched addresses, with `FileWatch::CANARY` for the one that proves the probe.
#[map]
static ADDRESSES: HashMap<Address, u32> = HashMap::with_max_entries(MAX_ADDRESSES, BPF_F_NO_PREALLOC);

/// Families (include/linux/socket.h).
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `S_IFMT` and `S_IFSOCK` (include/uapi/linux/stat.h).
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// The connection is being made (include/uapi/asm-generic/errno.h).
const EINPROGRESS: i64 = 115;

/// What is remembered of an actor and a socket; files have smaller numbers.
const CONNECT: u32 = 1 << 16;

/// `unix_stream_connect(socket, peer, new)`: the peer listens, and carries the path that it is bound to.
#[inline(always)]
pub fn unix(peer: Pointer) -> i32 {
    named(peer);
    0
}

/// `socket_connect(socket, address, length)`: the address is the kernel's own copy.
#[inline(always)]
pub fn address(address: Pointer) -> i32 {
    match Copied::at::<u16>(address, 0) {
        // `struct sockaddr_in` and `sockaddr_in6` (include/uapi/linux/in.h, in6.h).
        AF_INET => known(Address::v4(Copied::at(address, 4)), Copied::at(address, 2), AF_INET),
        AF_INET6 => {
            let words = [Copied::at(address, 8), Copied::at(address, 16)];
            known(Address { words }, Copied::at(address, 2), AF_INET6);
        }
        _ => {}
    }
    0
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
    // Another thread may have put something else there.
    let mode: u16 = Copied::load(Copied::pointer(file, offset!(file_inode)), offset!(inode_mode));
    if mode & S_IFMT != S_IFSOCK {
        return 0;
    }
    let sock = Copied::pointer(Copied::pointer(file, offset!(file_private)), offset!(socket_sock));
    match Copied::load::<u16, _>(sock, offset!(sock_family)) {
        AF_UNIX => {
            named(Copied::pointer(sock, offset!(unix_peer)));
        }
        AF_INET => {
            let port = Copied::load(sock, offset!(sock_port));
            known(Address::v4(Copied::load(sock, offset!(sock_address))), port, AF_INET);
        }
        AF_INET6 if present(offset!(sock_address_v6)) => {
            let words = Copied::load(sock, offset!(sock_address_v6));
            known(Address { words }, Copied::load(sock, offset!(sock_port)), AF_INET6);
        }
        _ => {}
    }
    0
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
    let task = current();
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

/// Is the address watched? The port is big endian, as on the network.
#[inline(always)]
fn known(address: Address, port: u16, family: u16) {
    // SAFETY: one word.
    let Some(flags) = (unsafe { ADDRESSES.get(&address) }).copied() else { return };
    told(&address, u64::from(port) << 32 | u64::from(family) << 16 | u64::from(flags & u32::from(u16::MAX)));
}

/// `about`: port, family and flags in one word, because a function takes five at most.
#[inline(never)]
fn told(address: &Address, about: u64) -> u32 {
    let task = current();
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
