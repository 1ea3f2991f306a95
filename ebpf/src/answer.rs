//! Answers that carriers receive from name servers: what the addresses are called that they connect to.
//!
//! Taken from where the receiver has them by the exit of the call. Nearly everything that is received is told apart by its first
//! twelve bytes.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_get_current_cgroup_id, bpf_probe_read_user},
    programs::TracePointContext,
};
use tokenhound_common::{
    limits::ANSWER_BYTES,
    loss::Reason,
    record::{Answer, Kind},
    watch::Address,
};

use crate::{
    access::{current, return_value},
    carriers, connect, descriptor,
    emit::{self, Ring, lost},
    kernel::{self, masked, user},
    scratch, seen, task,
};

/// Port of name servers, as it lies in memory.
const DOMAIN: u16 = 53u16.to_be();

/// Head of a message (RFC 1035, 4.1.1).
const HEAD_BYTES: i64 = 12;

/// A response, and its code.
const RESPONSE: u8 = 0x80;
const CODE: u8 = 0x0f;

/// `struct user_msghdr` (include/linux/socket.h): where the buffers are. `struct iovec` begins with the address of one.
const BUFFERS: u64 = 16;

/// What is remembered of an actor and an answer, with its length; see `connect.rs`, `carriers.rs`.
const ANSWERED: u32 = 1 << 19;

/// Bounds what is copied, in a way that the verifier sees.
const MASK: i32 = 2 * ANSWER_BYTES as i32 - 1;

/// Exit of `recvfrom(descriptor, buffer, length, flags, address, ...)`.
#[inline(always)]
pub fn received(ctx: &TracePointContext) -> u32 {
    let length = return_value(ctx);
    if carriers::armed() && length > HEAD_BYTES {
        let task = current();
        told(kernel::second_argument(task), length as u64, kernel::fifth_argument(task));
    }
    0
}

/// Exit of `recvmsg(descriptor, message, flags)`.
#[inline(always)]
pub fn message(ctx: &TracePointContext) -> u32 {
    let length = return_value(ctx);
    if carriers::armed() && length > HEAD_BYTES {
        first_buffer(kernel::second_argument(current()), length as u64);
    }
    0
}

/// Exit of `recvmmsg(descriptor, messages, count, ...)`. The first of them is looked at; it has its length behind it.
#[inline(always)]
pub fn messages(ctx: &TracePointContext) -> u32 {
    if carriers::armed() && return_value(ctx) > 0 {
        let message = kernel::second_argument(current());
        let length = user::<u32>(message.wrapping_add(56)).unwrap_or(0);
        if i64::from(length) > HEAD_BYTES {
            first_buffer(message, u64::from(length));
        }
    }
    0
}

#[inline(always)]
fn first_buffer(message: u64, length: u64) {
    let address = user(message).unwrap_or(0);
    let buffers = user(message.wrapping_add(BUFFERS)).unwrap_or(0);
    told(user(buffers).unwrap_or(0), length, address);
}

/// Tells of it if it is an answer. `from` is where the receiver has its sender's address, 0 where it did not ask.
#[inline(never)]
fn told(buffer: u64, length: u64, from: u64) -> u32 {
    let Some(head) = user::<[u8; HEAD_BYTES as usize]>(buffer) else { return 0 };
    let is_answer = head[2] & RESPONSE != 0 && head[3] & CODE == 0 && head[4] == 0 && head[5] == 1;
    // With one question, and something in it.
    if !is_answer || head[6] | head[7] == 0 {
        return 0;
    }
    let Some((server, port)) = sender(from) else { return 0 };
    if (port == DOMAIN || kernel::proving()) && carriers::acts() != 0 {
        record(buffer, length, &server, port);
    }
    0
}

#[inline(always)]
fn sender(from: u64) -> Option<(Address, u16)> {
    let sender = if from != 0 {
        connect::read(user(from)?, || user(from.wrapping_add(16)))
    } else {
        let task = current();
        let file = descriptor::copied(task, kernel::first_argument(task) as u32);
        if file.is_null() {
            return None;
        }
        connect::peer(connect::sock(file))
    };
    sender.map(|(address, port, _)| (address, port))
}

#[inline(never)]
fn record(buffer: u64, length: u64, server: &Address, port: u16) -> u32 {
    let task = task::acting(current());
    let actor = task::key(task);
    // The name that was asked for, or its beginning.
    let name = user::<[u64; 2]>(buffer.wrapping_add(HEAD_BYTES as u64)).unwrap_or([0; 2]);
    let what = ANSWERED | length as u32 & MASK as u32;
    if task::own(actor) || !seen::Key::address(actor, task, Address { words: name }, what).due() {
        return 0;
    }
    let Some(mut scratch) = scratch::trail() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let header = emit::header(&mut scratch, Kind::ANSWER);
    let bytes = scratch.bytes.as_mut_ptr();
    // SAFETY: larger than the head of the record and a message, aligned for it, any bytes are valid, and ours until `scratch`
    // is dropped.
    let record = unsafe { &mut *bytes.cast::<Answer>() };
    record.header = header;
    task::describe(task, &mut record.task);
    // SAFETY: helper without arguments.
    record.task.cgroup = unsafe { bpf_get_current_cgroup_id() };
    record.server = *server;
    record.port = port;
    record.reserved = 0;
    let length = masked::<MASK>(if length > ANSWER_BYTES as u64 { ANSWER_BYTES as u64 } else { length });
    // SAFETY: the buffer has room for more than the mask lets pass; the helper checks the user's address.
    let status = unsafe {
        bpf_probe_read_user(bytes.add(size_of::<Answer>()).cast::<c_void>(), length as u32, buffer as *const c_void)
    };
    // It has its number, and is told without the message where that has gone meanwhile.
    let length = if status == 0 { length } else { 0 };
    record.bytes_len = length as u16;
    // SAFETY: head and message, as written above.
    unsafe { emit::output(Ring::Trail, bytes, size_of::<Answer>() + length as usize) };
    0
}
