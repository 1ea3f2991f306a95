//! Processes that have a watched file open. Children inherit the mark, and a program that starts with it is looked at:
//! the shell opens, `cat` reads.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, macros::map, maps::HashMap};
use tokenhound_common::{
    limits::{EXEC_DESCRIPTORS, MAX_HOLDERS},
    loss::Reason,
    process::ProcessKey,
    record::Way,
};

use crate::{
    access, descriptor,
    emit::lost,
    filter,
    kernel::{Copied, Load, Pointer, difference, offset},
    task,
};

/// Start time of each marked process, by tgid. The agent marks those that had a file open before it started.
#[map]
static HOLDERS: HashMap<u32, u64> = HashMap::with_max_entries(MAX_HOLDERS, BPF_F_NO_PREALLOC);

/// Marks a process.
#[inline(always)]
pub fn mark(process: ProcessKey) {
    if HOLDERS.insert(&process.tgid, &process.start_ns, 0).is_err() {
        lost(Reason::HOLDERS);
    }
}

#[inline(always)]
fn marked(process: ProcessKey) -> bool {
    // SAFETY: one word.
    unsafe { HOLDERS.get(&process.tgid) }.is_some_and(|start| *start == process.start_ns)
}

/// A child has its parent's descriptors.
#[inline(always)]
pub fn fork(parent: ProcessKey, child: ProcessKey) {
    if marked(parent) {
        mark(child);
    }
}

#[inline(always)]
pub fn exit(tgid: u32) {
    let _ = HOLDERS.remove(&tgid);
}

/// A program has been started: tells which watched files it has open for reading. Descriptors with
/// close-on-exec are closed by now (`begin_new_exec` in fs/exec.c).
#[inline(always)]
pub fn exec(task: Pointer) -> i32 {
    if !marked(task::key(task)) {
        return 0;
    }
    let (array, size) = descriptor::table(task);
    let first = find(array, size, core::ptr::null());
    if !first.is_null() {
        access::report(first, Way::EXEC);
        let second = find(array, size, first);
        if !second.is_null() {
            access::report(second, Way::EXEC);
        }
    }
    if size > EXEC_DESCRIPTORS {
        lost(Reason::DESCRIPTORS);
    }
    0
}

/// The first open file, other than `besides`, that could be watched; null if there is none. Files are told by their ids
/// alone: the agent has heard of them when they were opened.
///
/// Small, because the verifier follows each round, and without a number in its answer, because it would follow each of
/// them too.
#[inline(never)]
fn find(array: Pointer, size: u32, besides: Pointer) -> Pointer {
    for number in 0..EXEC_DESCRIPTORS {
        if number >= size {
            break;
        }
        let file: Pointer = Copied::at(array, number << 3);
        if file.is_null() || difference(file, besides) == 0 {
            continue;
        }
        if filter::may_be_known::<Copied>(Copied::pointer(file, offset!(file_inode))) {
            return file;
        }
    }
    core::ptr::null()
}
