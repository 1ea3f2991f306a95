//! io_uring on the tracepoint tier: no system call says what it opens and reads, but each request ends with an event.

use aya_ebpf::programs::BtfTracePointContext;
use tokenhound_common::record::Way;

use crate::{
    access::{report, through},
    filter,
    kernel::{Copied, Load, Pointer, offset, present, ring_arguments},
};

/// `IORING_OP_*` (include/uapi/linux/io_uring.h).
const READV: u8 = 1;
const READ_FIXED: u8 = 4;
const OPENAT: u8 = 18;
const READ: u8 = 22;
const OPENAT2: u8 = 28;
const SPLICE: u8 = 30;
const TEE: u8 = 33;
const READ_MULTISHOT: u8 = 49;

/// `io_uring_complete(context, request, ...)`, in the task that the request belongs to or a worker that shares its
/// descriptors.
#[inline(always)]
pub fn completed(ctx: &BtfTracePointContext) -> i32 {
    if !present(offset!(ring_request_opcode)) || !present(offset!(ring_request_file)) {
        return 0;
    }
    let request: Pointer = ctx.arg(1);
    // Context, request, and the entry that the result stands in; before that the result itself came fourth.
    let result = if ring_arguments() == 3 {
        let entry: Pointer = ctx.arg(2);
        Copied::load::<i32, _>(entry, offset!(ring_entry_result))
    } else {
        ctx.arg::<i32>(3)
    };
    if request.is_null() || result < 0 {
        return 0;
    }
    match Copied::load::<u8, _>(request, offset!(ring_request_opcode)) {
        // Opened into the ring's own table the result is 0; then the first read tells.
        OPENAT | OPENAT2 => through(result as u32, Way::OPEN),
        READV | READ | READ_FIXED | READ_MULTISHOT | SPLICE | TEE => {
            let file = Copied::pointer(request, offset!(ring_request_file));
            if !file.is_null() && filter::may_be_known::<Copied>(Copied::pointer(file, offset!(file_inode))) {
                report(file, Way::READ);
            }
        }
        _ => {}
    }
    0
}
