//! Where records are put together before they are copied into a ring: too large for the stack, and as long as they
//! need to be.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tokenhound_common::{
    limits::{ARGS_BYTES, ENV_BYTES, SCRIPT_BYTES},
    record::{Exec, Open},
};

use crate::path;

/// Size of a slot: the largest record, an exec with every section at its longest.
pub const BYTES: usize = size_of::<Exec>() + 2 * path::ROOM + SCRIPT_BYTES + ARGS_BYTES + ENV_BYTES;
const _: () = assert!(size_of::<Open>() + path::ROOM <= BYTES);

/// One buffer for each kind of program that may interrupt another on the same CPU.
///
/// Programs on scheduler tracepoints and on system call exits run with preemption off. `file_open` may be preempted,
/// but the kernel does not start it a second time on that CPU meanwhile (it counts that as a recursion miss).
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Slot {
    Hit = 0,
    Life = 1,
}

#[repr(C, align(8))]
struct Buffer([u8; BYTES]);

#[map]
static SCRATCH: PerCpuArray<Buffer> = PerCpuArray::with_max_entries(2, 0);

/// This CPU's buffer.
#[inline(always)]
pub fn bytes(slot: u32) -> Option<*mut u8> {
    SCRATCH.get_ptr_mut(slot).map(<*mut Buffer>::cast)
}
