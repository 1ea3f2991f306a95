//! From a descriptor to its file.

use core::arch::asm;

use tokenhound_common::kfunc::RDONLY_CAST;

use crate::kernel::{Copied, Load, Pointer, offset, struct_file_id};

/// The file behind `descriptor` of `task`. Null if there is none.
#[inline(always)]
pub fn file<L: Load>(task: Pointer, descriptor: u32) -> Pointer {
    let files = L::pointer(task, offset!(task_files));
    let table = L::pointer(files, offset!(files_table));
    if descriptor >= L::load::<u32>(table, offset!(table_size)) {
        return core::ptr::null();
    }
    let array = L::pointer(table, offset!(table_array));
    // The array's memory has no type, whatever the type of the pointer to it.
    Copied::pointer(array, descriptor << 3)
}

/// Gives an untyped pointer the type `struct file`, so that what lies behind it can be loaded directly, several times
/// cheaper than a copy by helper for each hop.
///
/// The kernel function `bpf_rdonly_cast` (Linux 6.2) compiles to nothing. The instruction that calls it is written
/// out, because neither rustc nor aya 0.14 know kernel functions; the agent puts in the function's number.
#[inline(always)]
pub fn typed(file: Pointer) -> Pointer {
    let typed: Pointer;
    // SAFETY: a call with two arguments that clobbers what a call clobbers. The result may be read, never written.
    unsafe {
        asm!(
            ".8byte {call}",
            call = const RDONLY_CAST as i64,
            in("r1") file,
            in("r2") struct_file_id(),
            lateout("r0") typed,
            lateout("r1") _,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
        );
    }
    typed
}
