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
    record::{Access, Change, Exec},
};

use crate::path;

/// Size of the buffer for process life: the largest record, an exec with every section at its longest.
pub const LIFE_BYTES: usize = size_of::<Exec>() + 2 * path::ROOM + SCRIPT_BYTES + ARGS_BYTES + ENV_BYTES;

/// Size of a buffer for hits: a change with two paths.
pub const HIT_BYTES: usize = size_of::<Change>() + 2 * path::ROOM + TEXT_BYTES;
const _: () = assert!(size_of::<Access>() + path::ROOM <= HIT_BYTES);

/// Buffers for hits on each CPU. Programs on functions may be preempted (Linux 5.12 and later), and another task may
/// then run one on the same CPU.
pub const HITS: u32 = 3;

/// `repr(C)`: the words come first, and the buffer is aligned for any record.
#[repr(C, align(8))]
pub struct Hit {
    busy: u64,
    /// Number of the last record that was put together here.
    pub sequence: u64,
    /// See [`path::write`].
    pub cell: u64,
    /// The record.
    pub bytes: [u8; HIT_BYTES],
}

#[repr(C, align(8))]
pub struct Life {
    /// See [`path::write`].
    pub cell: u64,
    /// The record.
    pub bytes: [u8; LIFE_BYTES],
}

#[map]
static HIT_BUFFERS: PerCpuArray<Hit> = PerCpuArray::with_max_entries(HITS, 0);

/// Programs on scheduler tracepoints run with preemption off: one buffer is enough.
#[map]
static LIFE_BUFFER: PerCpuArray<Life> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's buffer for process life.
#[inline(always)]
pub fn life() -> Option<&'static mut Life> {
    // SAFETY: this CPU's, and only one program at a time uses it.
    LIFE_BUFFER.get_ptr_mut(0).map(|life| unsafe { &mut *life })
}

/// A buffer that nobody else uses until it is dropped.
pub struct Taken {
    hit: *mut Hit,
    /// Which of this CPU's buffers it is.
    pub slot: u32,
}

/// A free buffer of this CPU, if there is one.
#[inline(always)]
pub fn take() -> Option<Taken> {
    for slot in 0..HITS {
        let hit = HIT_BUFFERS.get_ptr_mut(slot)?;
        let before: u64;
        // SAFETY: a slot of this CPU's array, whose first word is `busy`: set if it was 0. Before Linux 5.12 there is no
        // such instruction and no preemption: the agent puts in `r0 = 0`.
        unsafe {
            asm!("r0 = cmpxchg_64({hit} + 0, r0, {one})", hit = in(reg) hit, one = in(reg) 1u64, inout("r0") 0u64 => before);
        }
        if before == 0 {
            return Some(Taken { hit, slot });
        }
    }
    None
}

impl Deref for Taken {
    type Target = Hit;

    #[inline(always)]
    fn deref(&self) -> &Hit {
        // SAFETY: ours until dropped.
        unsafe { &*self.hit }
    }
}

impl DerefMut for Taken {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Hit {
        // SAFETY: ours until dropped.
        unsafe { &mut *self.hit }
    }
}

impl Drop for Taken {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: ours until now. Volatile: it must not be left out.
        unsafe { write_volatile(&raw mut (*self.hit).busy, 0) }
    }
}
