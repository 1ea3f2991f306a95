//! Where records are put together before they are copied into a ring: too large for the stack, and as long as they
//! need to be.

use core::{
    arch::asm,
    ops::{Deref, DerefMut},
    ptr::write_volatile,
};

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tokenhound_common::{
    limits::{ARGS_BYTES, ENV_BYTES, SCRIPT_BYTES, TEXT_BYTES},
    record::{Access, Change, Exec, Written},
};

use crate::path;

/// Size of the buffer for process life: the largest record, an exec with every section at its longest.
pub const LIFE_BYTES: usize = size_of::<Exec>() + 2 * path::ROOM + SCRIPT_BYTES + ARGS_BYTES + ENV_BYTES;

/// Size of a buffer for hits: a change with two paths.
pub const HIT_BYTES: usize = size_of::<Change>() + 2 * path::ROOM + TEXT_BYTES;
const _: () = assert!(size_of::<Access>() + path::ROOM <= HIT_BYTES);

/// Buffers of each kind on each CPU. Programs on functions may be preempted since Linux 5.12, those on tracepoints since
/// their readers are protected by SRCU (7.0), and another task may then run one on the same CPU.
const SLOTS: u32 = 3;

/// `repr(C)`: the words come first, and the buffer is aligned for any record.
#[repr(C, align(8))]
pub struct Buffer<const BYTES: usize> {
    busy: u64,
    /// Number of the last record that was put together here.
    pub sequence: u64,
    /// See [`path::write`].
    pub cell: u64,
    /// The record.
    pub bytes: [u8; BYTES],
}

#[map]
static HIT_BUFFERS: PerCpuArray<Buffer<HIT_BYTES>> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Records of the trail are no larger.
#[map]
static TRAIL_BUFFERS: PerCpuArray<Buffer<HIT_BYTES>> = PerCpuArray::with_max_entries(SLOTS, 0);
const _: () = assert!(size_of::<Written>() + 2 * path::ROOM <= HIT_BYTES);

#[map]
static LIFE_BUFFERS: PerCpuArray<Buffer<LIFE_BYTES>> = PerCpuArray::with_max_entries(SLOTS, 0);

/// A buffer that nobody else uses until it is dropped.
pub struct Taken<const BYTES: usize> {
    buffer: *mut Buffer<BYTES>,
    /// Which of this CPU's buffers it is.
    pub slot: u32,
}

/// A free buffer of this CPU for a hit, if there is one.
#[inline(always)]
pub fn hit() -> Option<Taken<HIT_BYTES>> {
    take(&HIT_BUFFERS)
}

/// A free buffer of this CPU for what a carrier does, if there is one.
#[inline(always)]
pub fn trail() -> Option<Taken<HIT_BYTES>> {
    take(&TRAIL_BUFFERS)
}

/// A free buffer of this CPU for process life, if there is one.
#[inline(always)]
pub fn life() -> Option<Taken<LIFE_BYTES>> {
    take(&LIFE_BUFFERS)
}

#[inline(always)]
fn take<const BYTES: usize>(buffers: &PerCpuArray<Buffer<BYTES>>) -> Option<Taken<BYTES>> {
    for slot in 0..SLOTS {
        let buffer = buffers.get_ptr_mut(slot)?;
        let before: u64;
        // SAFETY: a slot of this CPU's array, whose first word is `busy`: set if it was 0. Before Linux 5.12 there is no
        // such instruction and no preemption: the agent puts in `r0 = 0`.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({buffer} + 0, r0, {one})",
                buffer = in(reg) buffer, one = in(reg) 1u64, inout("r0") 0u64 => before
            );
        }
        if before == 0 {
            return Some(Taken { buffer, slot });
        }
    }
    None
}

impl<const BYTES: usize> Deref for Taken<BYTES> {
    type Target = Buffer<BYTES>;

    #[inline(always)]
    fn deref(&self) -> &Buffer<BYTES> {
        // SAFETY: ours until dropped.
        unsafe { &*self.buffer }
    }
}

impl<const BYTES: usize> DerefMut for Taken<BYTES> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Buffer<BYTES> {
        // SAFETY: ours until dropped.
        unsafe { &mut *self.buffer }
    }
}

impl<const BYTES: usize> Drop for Taken<BYTES> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: ours until now. Volatile: it must not be left out.
        unsafe { write_volatile(&raw mut (*self.buffer).busy, 0) }
    }
}
