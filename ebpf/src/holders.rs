//! Processes that have a watched file open. Children inherit the mark, and a program that starts with it is looked at:
//! the shell opens, `cat` reads.

use aya_ebpf::{macros::map, maps::HashMap, bindings::BPF_F_NO_PREALLOC};
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
    kernel::{Copied, Pointer},
};

/// Most files that are told of one exec. Power of two.
const MOST: usize = 4;

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

/// A program has been started by `process`: tells which watched files it has open for reading. Descriptors with
/// close-on-exec are closed by now (`begin_new_exec` in fs/exec.c).
#[inline(always)]
pub fn exec(task: Pointer, process: ProcessKey) {
    if !marked(process) {
        return;
    }
    let (array, size) = descriptor::table(task);
    // Two loops: the verifier follows each round of a loop, and telling is long.
    let mut found = [core::ptr::null(); MOST];
    let mut count = 0;
    for number in 0..EXEC_DESCRIPTORS {
        if number >= size || count >= MOST {
            break;
        }
        let file: Pointer = Copied::at(array, number << 3);
        if !file.is_null() && filter::may_match::<Copied>(file) {
            found[count & (MOST - 1)] = file;
            count += 1;
        }
    }
    for file in found {
        if !file.is_null() {
            access::report(file, Way::EXEC);
        }
    }
    if count >= MOST || size > EXEC_DESCRIPTORS {
        lost(Reason::DESCRIPTORS);
    } else if count == 0 {
        exit(process.tgid);
    }
}
