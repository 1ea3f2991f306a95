//! The rings, the sequence numbers and the counters of what was lost.

use core::{ffi::c_void, ptr::read_volatile, ptr::write_volatile};

use aya_ebpf::{
    helpers::{
        bpf_get_smp_processor_id,
        generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_output},
    },
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tokenhound_common::{
    limits::{HITS_RING_BYTES, LIFE_RING_BYTES},
    loss::{REASONS, Reason},
    record::{Header, Kind},
};

/// Opens of watched files. A ring of its own: a storm of forks cannot cost a hit.
#[map]
pub static HITS: RingBuf = RingBuf::with_byte_size(HITS_RING_BYTES, 0);

/// Forks, execs, exits.
#[map]
pub static LIFE: RingBuf = RingBuf::with_byte_size(LIFE_RING_BYTES, 0);

/// Next sequence number on this CPU, by ring.
#[map]
static SEQUENCES: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// Lost records on this CPU, by reason.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(REASONS, 0);

/// Which ring a record goes to, as an index of [`SEQUENCES`].
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Ring {
    Hits = 0,
    Life = 1,
}

/// Counts a lost record.
#[inline(always)]
pub fn lost(reason: Reason) {
    if let Some(counter) = LOST.get_ptr_mut(reason.0) {
        // SAFETY: a slot of this CPU's array. Volatile: no read-modify-write may be moved across the program.
        unsafe { write_volatile(counter, read_volatile(counter).wrapping_add(1)) }
    }
}

/// Head of the next record on `ring`. The number is used up even when the record then finds no room: the gap shows.
#[inline(always)]
pub fn header(ring: Ring, kind: Kind) -> Header {
    let mut sequence = 0;
    if let Some(counter) = SEQUENCES.get_ptr_mut(ring as u32) {
        // SAFETY: a slot of this CPU's array; programs that write to one ring do not interrupt each other on a CPU.
        unsafe {
            sequence = read_volatile(counter).wrapping_add(1);
            write_volatile(counter, sequence);
        }
    }
    Header {
        kind: kind.0,
        flags: 0,
        // SAFETY: helpers without arguments.
        cpu: unsafe { bpf_get_smp_processor_id() },
        sequence,
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
    };
    // SAFETY: the caller vouches for the bytes; the verifier checks it.
    let status = unsafe {
        bpf_ringbuf_output(map.cast_mut().cast::<c_void>(), record.cast_mut().cast::<c_void>(), len as u64, 0)
    };
    if status != 0 {
        lost(reason);
    }
}
