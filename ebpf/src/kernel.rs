//! Reading kernel memory: field offsets and the two ways to load a field.

use core::{ffi::c_void, mem::MaybeUninit, ptr::read_volatile};

use aya_ebpf::helpers::{
    bpf_get_current_task_btf,
    generated::{bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs},
};
use tokenhound_common::{
    fields::{ABSENT, Offsets},
    patch,
    watch::{LONG_NAME, SHORT_FACTOR},
};

/// Set by the agent before load and frozen; the verifier sees constants.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

/// Thread-group id of the agent, whose own opens are not reported.
#[unsafe(no_mangle)]
static AGENT_TGID: u32 = 0;

/// Not zero while the agent proves its probes. A section of its own, because the agent writes it at run time.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.proving")]
static mut PROVING: u32 = 0;

/// Not zero where the kernel has `bpf_task_pt_regs` (Linux 5.15).
#[unsafe(no_mangle)]
static HAS_TASK_REGISTERS: u32 = 0;

/// Number of the dentry among the arguments of `security_inode_setattr` (0, or 1 since an id mapping comes first).
#[unsafe(no_mangle)]
static SETATTR_DENTRY: u32 = 0;

/// The same for the hook of that name.
#[unsafe(no_mangle)]
static SETATTR_DENTRY_LSM: u32 = 0;

/// Arguments of the `io_uring_complete` event: 4 before Linux 5.18, 3 where they are context, request and entry.
#[unsafe(no_mangle)]
static RING_ARGUMENTS: u32 = 0;

/// BTF id of `struct kiocb` where tracepoint programs can cast to it (see `descriptor::typed`), otherwise 0.
#[unsafe(no_mangle)]
static FILE_SLOT_ID: u32 = 0;

/// A pointer into kernel memory.
pub type Pointer = *const u8;

/// One field, by where its offset stands in [`OFFSETS`].
#[derive(Clone, Copy)]
pub struct Field<const AT: usize>;

impl<const AT: usize> Field<AT> {
    /// Its offset.
    #[inline(always)]
    pub fn get(self) -> u32 {
        // SAFETY: `AT` is the offset of a member, and all members are `u32`. Volatile, because the agent replaces the
        // value at load time.
        unsafe { read_volatile((&raw const OFFSETS).cast::<u32>().byte_add(AT)) }
    }
}

/// The field of that name.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::Field::<{ core::mem::offset_of!(tokenhound_common::fields::Offsets, $field) }>
    };
}
pub(crate) use offset;

/// Whether an optional field exists on this kernel.
#[inline(always)]
pub fn present<const AT: usize>(field: Field<AT>) -> bool {
    field.get() != ABSENT
}

/// The agent's thread-group id.
#[inline(always)]
pub fn agent_tgid() -> u32 {
    // SAFETY: a static; volatile as above.
    unsafe { read_volatile(&raw const AGENT_TGID) }
}

/// Whether the agent proves its probes.
#[inline(always)]
pub fn proving() -> bool {
    // SAFETY: a static; volatile, because the agent changes it.
    unsafe { read_volatile(&raw const PROVING) != 0 }
}

/// Which argument of `inode_setattr` is the dentry, for a program on the hook or on the function.
#[inline(always)]
pub fn setattr_dentry(lsm: bool) -> u32 {
    // SAFETY: statics; volatile as above.
    unsafe { read_volatile(if lsm { &raw const SETATTR_DENTRY_LSM } else { &raw const SETATTR_DENTRY }) }
}

/// Arguments of `io_uring_complete`.
#[inline(always)]
pub fn ring_arguments() -> u32 {
    // SAFETY: a static; volatile as above.
    unsafe { read_volatile(&raw const RING_ARGUMENTS) }
}

/// Numbers of system calls (arch/x86/entry/syscalls), those of 32-bit programs apart. None of them means anything else
/// where they are asked for.
pub const PROCESS_VM_READV: u64 = 310;
pub const PROCESS_VM_WRITEV: u64 = 311;
pub const PIDFD_GETFD: u64 = 438;
pub const COMPAT_PROCESS_VM_READV: u64 = 347;
pub const COMPAT_PROCESS_VM_WRITEV: u64 = 348;

/// `struct pt_regs` of x86-64 (arch/x86/include/asm/ptrace.h).
const REGISTERS_BYTES: usize = 21 * 8;
const ORIGINAL_AX: u32 = 15 * 8;
const SECOND_ARGUMENT: u32 = 13 * 8;
const FIRST_ARGUMENT: u32 = 14 * 8;
const FIFTH_ARGUMENT: u32 = 9 * 8;
const FIRST_STACK_BYTE_ABOVE: usize = 16 << 10;

/// User registers of the current task, as they were on entry to the kernel. Before Linux 5.15 from where they lie at the
/// top of the stack (`task_pt_regs`, arch/x86/include/asm/processor.h; without KASAN 16 KiB).
#[inline(always)]
fn registers(task: Pointer) -> Pointer {
    if has_task_registers() {
        // SAFETY: the typed current task; the agent has found the helper to exist.
        return unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as Pointer;
    }
    Copied::pointer(task, offset!(task_stack)).wrapping_add(FIRST_STACK_BYTE_ABOVE - REGISTERS_BYTES)
}

#[inline(always)]
fn has_task_registers() -> bool {
    // SAFETY: a static; volatile as above.
    unsafe { read_volatile(&raw const HAS_TASK_REGISTERS) != 0 }
}

/// Number of the system call that the current task is in.
#[inline(always)]
pub fn system_call(task: Pointer) -> u64 {
    Copied::at(registers(task), ORIGINAL_AX)
}

/// Its first argument; the kernel keeps it until the call returns.
#[inline(always)]
pub fn first_argument(task: Pointer) -> u64 {
    Copied::at(registers(task), FIRST_ARGUMENT)
}

/// Its second argument, likewise.
#[inline(always)]
pub fn second_argument(task: Pointer) -> u64 {
    Copied::at(registers(task), SECOND_ARGUMENT)
}

/// Its fifth argument, likewise.
#[inline(always)]
pub fn fifth_argument(task: Pointer) -> u64 {
    Copied::at(registers(task), FIFTH_ARGUMENT)
}

/// A copy from the memory of the current process.
#[inline(always)]
pub fn user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is a live local of that size; the helper checks the user's address.
    let status = unsafe {
        bpf_probe_read_user(value.as_mut_ptr().cast::<c_void>(), size_of::<T>() as u32, address as *const c_void)
    };
    // SAFETY: any bytes are valid for the integers that are read here.
    (status == 0).then(|| unsafe { value.assume_init() })
}

/// BTF id of `struct kiocb`, 0 where there is no cast. The verifier drops the branches that cannot be taken.
#[inline(always)]
pub fn file_slot_id() -> u32 {
    // SAFETY: a static; volatile as above.
    unsafe { read_volatile(&raw const FILE_SLOT_ID) }
}

/// A way to load a field.
pub trait Load {
    /// Loads the field of the structure at `base`; zero where the memory cannot be read.
    fn load<T: Copy, const AT: usize>(base: Pointer, field: Field<AT>) -> T;

    /// Loads a `u32` as the 64 bits that all arithmetic of these programs has: the compiler would clear them again.
    fn wide<const AT: usize>(base: Pointer, field: Field<AT>) -> u64;

    /// Loads a pointer.
    #[inline(always)]
    fn pointer<const AT: usize>(base: Pointer, field: Field<AT>) -> Pointer {
        Self::load::<Pointer, AT>(base, field)
    }
}

/// A plain load instruction: only where the verifier knows the type behind the pointer.
pub struct Direct;

/// `T` loaded by one instruction whose offset the agent fills in: three instructions less than with an offset from
/// memory, for each field of each open.
macro_rules! load_instruction {
    ($size:literal, $base:ident, $at:ident) => {{
        let value: u64;
        // SAFETY: a typed pointer plus the offset of a field of its type. The kernel turns a fault into zero.
        unsafe {
            core::arch::asm!(
                concat!("{value} = *(", $size, " *)({base} + {at})"),
                value = lateout(reg) value,
                base = in(reg) $base,
                at = const patch::field($at / 4),
                options(nostack, readonly),
            );
        }
        value
    }};
}

impl Load for Direct {
    #[inline(always)]
    fn load<T: Copy, const AT: usize>(base: Pointer, _field: Field<AT>) -> T {
        const { assert!(matches!(size_of::<T>(), 2 | 4 | 8)) };
        let value = match size_of::<T>() {
            2 => load_instruction!("u16", base, AT),
            4 => load_instruction!("u32", base, AT),
            _ => load_instruction!("u64", base, AT),
        };
        // SAFETY: the low bytes of the register, as many as `T` has; the machine is little endian.
        unsafe { core::mem::transmute_copy::<u64, T>(&value) }
    }

    #[inline(always)]
    fn wide<const AT: usize>(base: Pointer, _field: Field<AT>) -> u64 {
        load_instruction!("u32", base, AT)
    }
}

/// A copy through the helper: anywhere.
pub struct Copied;

impl Copied {
    /// Loads a `T` at `base + offset`.
    #[inline(always)]
    pub fn at<T: Copy>(base: Pointer, offset: u32) -> T {
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

impl Load for Copied {
    #[inline(always)]
    fn load<T: Copy, const AT: usize>(base: Pointer, field: Field<AT>) -> T {
        Self::at(base, field.get())
    }

    #[inline(always)]
    fn wide<const AT: usize>(base: Pointer, field: Field<AT>) -> u64 {
        u64::from(Self::at::<u32>(base, field.get()))
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

/// Head of a name (see `tokenhound_common::watch::name_head`) whose first eight bytes in the dentry are `word`, with its
/// length mixed in. Of a long name it is any number.
///
/// In instructions of its own, because the compiler would shift longer names too, and most are. The length is in `r4`, which is
/// `rcx` of x86-64: from another register a shift takes three instructions more before Linux 6.2
/// (`do_jit`, arch/x86/net/bpf_jit_comp.c).
#[inline(always)]
pub fn mixed_head(word: u64, len: u64) -> u64 {
    let mut word = word;
    // SAFETY: arithmetic on registers; the jump leads to the last instruction. Shifting goes by the number's last six bits
    // (RFC 9669, 4.1).
    unsafe {
        core::arch::asm!(
            "if r4 > 7 goto +2",
            "r4 *= {factor}",
            "{word} <<= r4",
            "{word} ^= r4",
            inout("r4") len => _,
            word = inout(reg) word,
            factor = const SHORT_FACTOR as i32,
            options(pure, nomem, nostack),
        );
    }
    word
}

/// The same, but of a long name its length.
#[inline(always)]
pub fn mixed_head_or_length(word: u64, len: u64) -> u64 {
    let mut word = word;
    // SAFETY: as above. What is short is negative when it is compared.
    unsafe {
        core::arch::asm!(
            "if r4 > 7 goto +2",
            "r4 *= {factor}",
            "{word} <<= r4",
            "if r4 s< {long} goto +1",
            "{word} = 0",
            "{word} ^= r4",
            inout("r4") len => _,
            word = inout(reg) word,
            factor = const SHORT_FACTOR as i32,
            long = const LONG_NAME as i32,
            options(pure, nomem, nostack),
        );
    }
    word
}

/// The byte at `index` of a table that lies `AT` bytes from `base`. In instructions of its own: the compiler would work out the
/// table's address first.
///
/// # Safety
///
/// The table must be larger than `index`.
#[inline(always)]
pub unsafe fn byte_of<const AT: i16>(base: *const u8, index: u64) -> u64 {
    let mut slot = index;
    // SAFETY: the caller's. Not pure: the agent replaces the table at run time.
    unsafe {
        if AT < 0 {
            core::arch::asm!(
                "{slot} += {base}", "{slot} = *(u8 *)({slot} - {back})",
                slot = inout(reg) slot, base = in(reg) base, back = const -(AT as i32), options(nostack, readonly),
            );
        } else {
            core::arch::asm!(
                "{slot} += {base}", "{slot} = *(u8 *)({slot} + {at})",
                slot = inout(reg) slot, base = in(reg) base, at = const AT, options(nostack, readonly),
            );
        }
    }
    slot
}

/// An address and `BYTES` more, added here and now.
#[inline(always)]
pub fn behind<const BYTES: i32>(address: *const u8) -> *const u8 {
    let mut address = address;
    // SAFETY: adds to a register.
    unsafe {
        core::arch::asm!("{value} += {bytes}", value = inout(reg) address, bytes = const BYTES, options(nostack))
    };
    address
}

/// An index and `BYTES` more, added here and now.
#[inline(always)]
pub fn further<const BYTES: i32>(index: u64) -> u64 {
    let mut index = index;
    // SAFETY: adds to a register.
    unsafe { core::arch::asm!("{value} += {bytes}", value = inout(reg) index, bytes = const BYTES, options(nostack)) };
    index
}

/// Zero for equal pointers. In an instruction that the compiler does not turn into a comparison: the verifier would take
/// both for one from there on, and know no state again.
#[inline(always)]
pub fn difference(a: Pointer, b: Pointer) -> u64 {
    let mut difference = a as u64;
    // SAFETY: arithmetic on registers.
    unsafe {
        core::arch::asm!("{a} ^= {b}", a = inout(reg) difference, b = in(reg) b, options(pure, nomem, nostack));
    }
    difference
}
