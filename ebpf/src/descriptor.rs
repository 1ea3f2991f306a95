//! From a descriptor to its file.

use core::arch::asm;

use tokenhound_common::patch::RDONLY_CAST;

use crate::kernel::{Copied, Direct, Load, Pointer, file_slot_id, offset};

/// The file behind `descriptor` of `task`, by copying each pointer on the way. Null if there is none.
#[inline(always)]
pub fn copied(task: Pointer, descriptor: u32) -> Pointer {
    let slot = slot::<Copied>(task, descriptor);
    if slot.is_null() { slot } else { Copied::at(slot, 0) }
}

/// The same as a typed pointer, so that it and everything behind it is loaded directly, several times cheaper than a
/// copy by helper for each hop.
///
/// The verifier knows no type for what `fdtable.fd` points to: it is an array of pointers. So the place in the array is
/// taken for a structure that has a pointer to a file, `struct kiocb`, and the file is loaded as its member `ki_filp`.
#[inline(always)]
pub fn typed(task: Pointer, descriptor: u32) -> Pointer {
    let slot = slot::<Direct>(task, descriptor);
    if slot.is_null() {
        return slot;
    }
    let member = offset!(kiocb_file);
    Direct::pointer(cast(slot.wrapping_sub(member.get() as usize)), member)
}

/// The descriptor table of `task`: its array of files and how many that has room for.
#[inline(always)]
pub fn table(task: Pointer) -> (Pointer, u32) {
    let files = Copied::pointer(task, offset!(task_files));
    let table = Copied::pointer(files, offset!(files_table));
    (Copied::pointer(table, offset!(table_array)), Copied::load(table, offset!(table_size)))
}

/// Address of the pointer to the file in the descriptor table; null for a descriptor beyond it.
#[inline(always)]
fn slot<L: Load>(task: Pointer, descriptor: u32) -> Pointer {
    let files = L::pointer(task, offset!(task_files));
    let table = L::pointer(files, offset!(files_table));
    if descriptor >= L::load::<u32, _>(table, offset!(table_size)) {
        return core::ptr::null();
    }
    L::pointer(table, offset!(table_array)).wrapping_add((descriptor as usize) << 3)
}

/// Gives an untyped pointer the type `struct kiocb`.
///
/// The kernel function `bpf_rdonly_cast` (Linux 6.2) compiles to nothing. The instruction that calls it is written
/// out, because neither rustc nor aya 0.14 know kernel functions; the agent puts in the function's number.
#[inline(always)]
fn cast(pointer: Pointer) -> Pointer {
    let typed: Pointer;
    // SAFETY: a call with two arguments that clobbers what a call clobbers. The result may be read, never written.
    unsafe {
        asm!(
            ".8byte {call}",
            call = const RDONLY_CAST as i64,
            in("r1") pointer,
            in("r2") file_slot_id(),
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
