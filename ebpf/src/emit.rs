//! The rings, the sequence numbers and the counters of what was lost.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{
    helpers::{
        bpf_get_smp_processor_id,
        generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_output},
    },
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tokenhound_common::{
    limits::{HITS_RING_BYTES, LANE_SHIFT, LIFE_RING_BYTES, TRAIL_RING_BYTES},
    loss::{REASONS, Reason},
    record::{Header, Kind},
};

use crate::scratch::Taken;

/// Accesses and changes. A ring of its own: a storm of forks cannot cost a hit.
#[map]
pub static HITS: RingBuf = RingBuf::with_byte_size(HITS_RING_BYTES, 0);

/// Forks, execs, exits.
#[map]
pub static LIFE: RingBuf = RingBuf::with_byte_size(LIFE_RING_BYTES, 0);

/// What carriers write and where they connect to. However much that is, it costs no hit and no lineage.
#[map]
pub static TRAIL: RingBuf = RingBuf::with_byte_size(TRAIL_RING_BYTES, 0);

/// Accesses on this CPU that were not told because the same was told a moment before.
#[map]
static REPEATED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Lost records on this CPU, by reason.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(REASONS, 0);

/// Which ring a record goes to.
#[derive(Clone, Copy)]
pub enum Ring {
    Hits,
    Life,
    Trail,
}

/// Counts a lost record.
#[inline(always)]
pub fn lost(reason: Reason) {
    if let Some(counter) = LOST.get_ptr_mut(reason.0) {
        count(counter);
    }
}

/// Counts an access that was not told again.
#[inline(always)]
pub fn repeated() {
    if let Some(counter) = REPEATED.get_ptr_mut(0) {
        count(counter);
    }
}

#[inline(always)]
fn count(counter: *mut u64) {
    // SAFETY: a slot of this CPU's array. Atomic, because programs may be preempted by others on the same CPU; Rust's own
    // atomics are not there for this target.
    unsafe { asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1u64) }
}

/// Head of the next record that is put together in `buffer`. The number is used up even when the record then finds no room:
/// the gap shows.
#[inline(always)]
pub fn header<const BYTES: usize>(buffer: &mut Taken<BYTES>, kind: Kind) -> Header {
    buffer.sequence = buffer.sequence.wrapping_add(1);
    Header {
        kind: kind.0,
        flags: 0,
        // SAFETY: helper without arguments.
        lane: unsafe { bpf_get_smp_processor_id() } << LANE_SHIFT | buffer.slot,
        sequence: buffer.sequence,
        // SAFETY: as above.
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
    }
}

/// Copies `len` bytes at `record` into a ring.
///
/// # Safety
///
/// `record` must point to at least `len` initialised bytes.
#[inline(always)]
pub unsafe fn output(ring: Ring, record: *const u8, len: usize) {
    let (map, reason) = match ring {
        Ring::Hits => (&raw const HITS, Reason::HITS_RING_FULL),
        Ring::Life => (&raw const LIFE, Reason::LIFE_RING_FULL),
        Ring::Trail => (&raw const TRAIL, Reason::TRAIL_RING_FULL),
    };
    // SAFETY: the caller vouches for the bytes; the verifier checks it.
    let status = unsafe {
        bpf_ringbuf_output(map.cast_mut().cast::<c_void>(), record.cast_mut().cast::<c_void>(), len as u64, 0)
    };
    if status != 0 {
        lost(reason);
    }
}
