//! Descriptors that arrive over a socket, on the tracepoint tier: by what the receiver finds in its control messages.
//!
//! The kernel has filled them in by the exit of the call; another thread of the receiver could change them before they
//! are read here (`docs/limits.md`).

use aya_ebpf::programs::TracePointContext;
use tokenhound_common::{limits::SCM_DESCRIPTORS, record::Way};

use crate::{
    access::{current, report, return_value},
    descriptor, filter,
    kernel::{self, Copied, Load, Pointer, offset, user},
};

/// `struct user_msghdr` (include/linux/socket.h): where its control messages are, and how many bytes of them.
const CONTROL: u64 = 32;
/// `struct mmsghdr`: a `user_msghdr` and the length of the message.
const MESSAGE_BYTES: u64 = 64;
/// Messages of one `recvmmsg` that are looked at.
const MESSAGES: i64 = 2;
/// Control messages of one message that are looked at: credentials, a security label and a time may come before.
const CONTROL_MESSAGES: u32 = 3;
const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;

#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    messages: u64,
    bytes: u64,
}

/// `struct cmsghdr` (include/linux/socket.h).
#[derive(Clone, Copy)]
#[repr(C)]
struct Head {
    bytes: u64,
    level: u32,
    kind: u32,
}

/// Descriptors in user memory.
#[derive(Clone, Copy)]
struct Descriptors {
    first: u64,
    bytes: u64,
}

/// Exit of `recvmsg(descriptor, message, flags)`. One watched file of a message is told.
#[inline(always)]
pub fn message(ctx: &TracePointContext) -> u32 {
    if return_value(ctx) < 0 {
        return 0;
    }
    let file = find(descriptors(kernel::second_argument(current())));
    if !file.is_null() {
        report(file, Way::RECEIVE);
    }
    0
}

/// Exit of `recvmmsg(descriptor, messages, count, ...)`, which returns how many came. One file of them is told.
#[inline(always)]
pub fn messages(ctx: &TracePointContext) -> u32 {
    let (count, first) = (return_value(ctx), kernel::second_argument(current()));
    let mut found: Pointer = core::ptr::null();
    for number in 0..MESSAGES {
        if number >= count || !found.is_null() {
            break;
        }
        found = find(descriptors(first.wrapping_add(number as u64 * MESSAGE_BYTES)));
    }
    if !found.is_null() {
        report(found, Way::RECEIVE);
    }
    0
}

/// The descriptors that a message brought; none if it brought none.
#[inline(always)]
fn descriptors(message: u64) -> Descriptors {
    let none = Descriptors { first: 0, bytes: 0 };
    let Some(control) = user::<Control>(message.wrapping_add(CONTROL)) else { return none };
    let mut at = 0;
    for _ in 0..CONTROL_MESSAGES {
        // Nearly always: nothing was sent along.
        if control.bytes < at + size_of::<Head>() as u64 {
            break;
        }
        let Some(head) = user::<Head>(control.messages.wrapping_add(at)) else { break };
        if head.bytes < size_of::<Head>() as u64 || head.bytes > control.bytes {
            break;
        }
        if head.level == SOL_SOCKET && head.kind == SCM_RIGHTS {
            let first = control.messages.wrapping_add(at + size_of::<Head>() as u64);
            return Descriptors { first, bytes: head.bytes - size_of::<Head>() as u64 };
        }
        at += head.bytes.wrapping_add(7) & !7;
    }
    none
}

/// The first of these files that could be watched; null if there is none. Files are told by
/// their ids alone: the agent has heard of them when they were opened. Small for the verifier, see `holders::find`.
#[inline(always)]
fn find(Descriptors { first, bytes }: Descriptors) -> Pointer {
    let (array, size) = descriptor::table(current());
    for number in 0..SCM_DESCRIPTORS {
        let at = u64::from(number) * 4;
        if at >= bytes {
            break;
        }
        let descriptor = user::<u32>(first.wrapping_add(at)).unwrap_or(u32::MAX);
        if descriptor >= size {
            continue;
        }
        let file: Pointer = Copied::at(array.wrapping_add((descriptor as usize) << 3), 0);
        if !file.is_null() && filter::may_be_known::<Copied>(Copied::pointer(file, offset!(file_inode))) {
            return file;
        }
    }
    core::ptr::null()
}
