//! Reading kernel memory: field offsets and the two ways to load a field.

use core::{ffi::c_void, mem::MaybeUninit, ptr::read_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tokenhound_common::fields::{ABSENT, Offsets};

/// Set by the agent before load and frozen; the verifier sees constants.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

/// Thread-group id of the agent, whose own opens are not reported.
#[unsafe(no_mangle)]
static AGENT_TGID: u32 = 0;

/// BTF id of `struct kiocb` where tracepoint programs can cast to it (see `descriptor::typed`), otherwise 0.
#[unsafe(no_mangle)]
static FILE_SLOT_ID: u32 = 0;

/// A pointer into kernel memory.
pub type Pointer = *const u8;

/// Offset of one field.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::offset_at::<{ core::mem::offset_of!(tokenhound_common::fields::Offsets, $field) }>()
    };
}
pub(crate) use offset;

/// The frozen offset that lies `AT` bytes into [`OFFSETS`].
#[inline(always)]
pub fn offset_at<const AT: usize>() -> u32 {
    // SAFETY: `AT` is the offset of a member, and all members are `u32`. Volatile, because the agent replaces the value
    // at load time.
    unsafe { read_volatile((&raw const OFFSETS).cast::<u32>().byte_add(AT)) }
}

/// Whether an optional field exists on this kernel.
#[inline(always)]
pub fn present(offset: u32) -> bool {
    offset != ABSENT
}

/// The agent's thread-group id.
#[inline(always)]
pub fn agent_tgid() -> u32 {
    // SAFETY: a static; volatile as above.
    unsafe { read_volatile(&raw const AGENT_TGID) }
}

/// BTF id of `struct kiocb`, 0 where there is no cast. The verifier drops the branches that cannot be taken.
#[inline(always)]
pub fn file_slot_id() -> u32 {
    // SAFETY: a static; volatile as above.
    unsafe { read_volatile(&raw const FILE_SLOT_ID) }
}

/// A way to load a field.
pub trait Load {
    /// Loads a `T` at `base + offset`; zero where the memory cannot be read.
    fn load<T: Copy>(base: Pointer, offset: u32) -> T;

    /// Loads a pointer.
    #[inline(always)]
    fn pointer(base: Pointer, offset: u32) -> Pointer {
        Self::load::<Pointer>(base, offset)
    }
}

/// A plain load instruction: only where the verifier knows the type behind the pointer.
pub struct Direct;

impl Load for Direct {
    #[inline(always)]
    fn load<T: Copy>(base: Pointer, offset: u32) -> T {
        // SAFETY: a typed pointer plus the offset of a field of its type. The kernel turns a fault into zero.
        unsafe { read_volatile(base.wrapping_add(offset as usize).cast::<T>()) }
    }
}

/// A copy through the helper: anywhere.
pub struct Copied;

impl Load for Copied {
    #[inline(always)]
    fn load<T: Copy>(base: Pointer, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the destination is a live local of that size; the helper checks the source and zeroes on a fault.
        unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast::<c_void>(),
                size_of::<T>() as u32,
                base.wrapping_add(offset as usize).cast::<c_void>(),
            );
            value.assume_init()
        }
    }
}

/// `value & MASK`, in words that the verifier understands and the compiler cannot see through: the compiler drops a mask
/// that it can prove useless, and with it the bound that the verifier needs.
#[inline(always)]
pub fn masked<const MASK: i32>(value: u64) -> u64 {
    let mut value = value;
    // SAFETY: masks a register.
    unsafe {
        core::arch::asm!("{value} &= {mask}", value = inout(reg) value, mask = const MASK, options(pure, nomem, nostack));
    }
    value
}
