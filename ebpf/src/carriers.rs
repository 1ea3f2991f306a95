//! Processes that carry the content of a store: they have read it, or could have been given it by one that has. What they
//! write, and where they connect to, is told; whether a token is in it, the agent finds out.

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, macros::map, maps::LruHashMap};
use tokenhound_common::{
    limits::{CARRIER_DEPTH, CARRIER_DESCRIPTORS, CARRIER_PIPES, CARRIES_ANEW_NS, CARRIES_NS, MAX_CARRIERS},
    loss::Reason,
    process::ProcessKey,
    record::{FileFacts, Kind, Moment, Written},
    watch::Carrier,
};

use crate::{
    access::{FMODE_WRITE, current},
    descriptor,
    emit::{self, Ring, lost},
    filter,
    kernel::{Copied, Direct, Load, Pointer, difference, offset},
    path, scratch, seen, task,
};

/// By tgid. The agent adds itself while it proves its probes.
#[map]
static CARRIERS: LruHashMap<u32, Carrier> = LruHashMap::with_max_entries(MAX_CARRIERS, 0);

/// Not zero once there was a carrier. A section of its own, because the agent writes it as well.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.armed")]
static mut ARMED: u32 = 0;

/// `S_IFMT` and types (include/uapi/linux/stat.h).
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;

/// Standard output.
const OUTPUT: u32 = 1;

/// The descriptors below are what a process was started with.
const FIRST_OF_ITS_OWN: u32 = 3;

/// What is remembered of an actor and a file that it opened for writing; see `access.rs`, `connect.rs`.
const WRITES: u32 = 1 << 17;

/// Is there any carrier? One load.
#[inline(always)]
pub fn armed() -> bool {
    // SAFETY: a static. Volatile, because others change it.
    unsafe { core::ptr::read_volatile(&raw const ARMED) != 0 }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Until when the process counts; 0 if it does not.
#[inline(always)]
fn until(process: ProcessKey) -> u64 {
    // SAFETY: two words; one that is replaced under us yields the old or the new ones.
    match unsafe { CARRIERS.get(&process.tgid) } {
        Some(carrier) if carrier.start_ns == process.start_ns => carrier.until_ns,
        _ => 0,
    }
}

#[inline(always)]
fn mark(process: ProcessKey, until_ns: u64) {
    let _ = CARRIERS.insert(&process.tgid, &Carrier { start_ns: process.start_ns, until_ns }, 0);
}

/// `task` has come to the content of a store. Not zero if it had not lately.
///
/// It becomes a carrier. So does its parent, if it has a pipe to write to, for that may be read by the parent and by
/// anybody whom the parent starts; and so on, for the parent may be the subshell of `$(cat store | tr ...)`. No more than that: every program that tells of reads has this in it, and the verifier walks
/// all of it each time.
#[inline(never)]
pub fn read(task: Pointer) -> u32 {
    let process = task::key(task);
    let now = now();
    if armed() && until(process) > now + (CARRIES_NS - CARRIES_ANEW_NS) {
        return 0;
    }
    mark(process, now + CARRIES_NS);
    let mut task = task;
    for _ in 1..CARRIER_DEPTH {
        let (array, size) = descriptor::table(task);
        if hands_on(array, size) == 0 {
            break;
        }
        task = Copied::pointer(task, offset!(task_parent));
        let parent = task::key(task);
        // What the first process started has nothing in common.
        if parent.tgid <= 1 || task::own(parent) {
            break;
        }
        mark(parent, now + CARRIES_NS);
    }
    // Behind the marks: the agent takes it back where it finds none.
    // SAFETY: a static.
    unsafe { core::ptr::write_volatile(&raw mut ARMED, 1) };
    1
}

/// The regular file that the current task has its output in; null if there is none. `cat store >copy` was started with it, and
/// closes it before the hooks on closes are there.
#[inline(always)]
pub fn output() -> Pointer {
    let (array, size) = descriptor::table(task::acting(current()));
    if size > OUTPUT {
        let file: Pointer = Copied::at(array, OUTPUT << 3);
        if !file.is_null()
            && Copied::load::<u32, _>(file, offset!(file_mode)) & FMODE_WRITE != 0
            && kind(file) == S_IFREG
        {
            return file;
        }
    }
    core::ptr::null()
}

/// A child has what its parent has, also when that is not marked itself: it may outlive those above.
#[inline(always)]
pub fn fork(parent: Pointer, child: ProcessKey) {
    if armed() {
        let carrier = above(parent);
        // SAFETY: two words.
        if let Some(known) = unsafe { CARRIERS.get(&carrier) } {
            mark(child, known.until_ns);
        }
    }
}

/// The last thread of a process is on its way out: tells which files it has open for writing.
#[inline(always)]
pub fn exit(task: Pointer) -> i32 {
    if !armed() {
        return 0;
    }
    let signal = Copied::pointer(task, offset!(task_signal));
    if Copied::load::<u32, _>(signal, offset!(signal_live)) != 0 {
        return 0;
    }
    let carrier = above(task);
    if carrier != 0 {
        let (array, size) = descriptor::table(task);
        let first = written_to(array, size, 0);
        if !first.is_null() {
            written(first, task, carrier, Moment::ENDED.0);
            let other = written_to(array, size, FIRST_OF_ITS_OWN);
            if difference(other, first) != 0 && !other.is_null() {
                written(other, task, carrier, Moment::ENDED.0);
            }
        }
    }
    0
}

/// The file is opened for writing. Carriers are few, so it is asked here who does it.
#[inline(never)]
pub fn opened(file: Pointer) -> u32 {
    let task = task::acting(current());
    let carrier = above(task);
    if carrier != 0 {
        let id = task::file_id(Copied::pointer(file, offset!(file_inode)));
        if seen::Key::file(task::key(task), task, id, WRITES).due() {
            written(file, task, carrier, Moment::OPENED.0);
        }
    }
    0
}

/// Function `locks_remove_file(file)`, which every kernel calls when a file is closed for good (`__fput`).
/// Attached while there are carriers.
#[inline(always)]
pub fn released(file: Pointer) -> i32 {
    if Direct::load::<u32, _>(file, offset!(file_mode)) & FMODE_WRITE != 0 {
        closed(file);
    }
    0
}

/// The entry of a system call that closes its argument.
#[inline(always)]
pub fn closes(descriptor: u64) -> u32 {
    if descriptor as i32 >= 0 {
        let file = descriptor::copied(current(), descriptor as u32);
        if !file.is_null() && Copied::load::<u32, _>(file, offset!(file_mode)) & FMODE_WRITE != 0 {
            closed(file);
        }
    }
    0
}

#[inline(never)]
fn closed(file: Pointer) -> u32 {
    let task = current();
    let carrier = above(task);
    if carrier != 0 {
        written(file, task, carrier, Moment::CLOSED.0);
    }
    0
}

/// A carrier connects to somewhere.
#[inline(never)]
pub fn acts() -> u32 {
    above(task::acting(current()))
}

/// The nearest carrier from `task` upwards: its tgid, 0 for none.
#[inline(never)]
fn above(task: Pointer) -> u32 {
    let now = now();
    let mut task = task;
    for _ in 0..CARRIER_DEPTH {
        let process = task::key(task);
        if until(process) > now {
            return process.tgid;
        }
        task = Copied::pointer(task, offset!(task_parent));
    }
    0
}

/// The first regular file that is open for writing, from a descriptor on; null if there is none. See `holders::find`.
#[inline(never)]
fn written_to(array: Pointer, size: u32, from: u32) -> Pointer {
    for number in 0..CARRIER_DESCRIPTORS {
        if number >= size {
            break;
        }
        let file: Pointer = Copied::at(array, number << 3);
        if file.is_null() || number < from {
            continue;
        }
        if Copied::load::<u32, _>(file, offset!(file_mode)) & FMODE_WRITE != 0 && kind(file) == S_IFREG {
            return file;
        }
    }
    core::ptr::null()
}

/// Has it a pipe to write to, or a socket in place of its output?
#[inline(never)]
fn hands_on(array: Pointer, size: u32) -> u32 {
    for number in 0..CARRIER_PIPES {
        if number >= size {
            break;
        }
        let file: Pointer = Copied::at(array, number << 3);
        if file.is_null() {
            continue;
        }
        let kind = kind(file);
        if kind == S_IFIFO && Copied::load::<u32, _>(file, offset!(file_mode)) & FMODE_WRITE != 0 {
            return 1;
        }
        if kind == S_IFSOCK && number < FIRST_OF_ITS_OWN {
            return 1;
        }
    }
    0
}

#[inline(always)]
fn kind(file: Pointer) -> u16 {
    Copied::load::<u16, _>(Copied::pointer(file, offset!(file_inode)), offset!(inode_mode)) & S_IFMT
}

/// Writes the record.
#[inline(never)]
fn written(file: Pointer, task: Pointer, carrier: u32, moment: u16) -> u32 {
    let inode = Copied::pointer(file, offset!(file_inode));
    // Settings of the kernel and of control groups hold nothing.
    if !filter::holds_content(inode) || task::own(task::key(task)) {
        return 0;
    }
    let Some(mut buffer) = scratch::trail() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let header = emit::header(&mut buffer, Kind::WRITTEN);
    let (bytes, cell) = (buffer.bytes.as_mut_ptr(), &raw mut buffer.cell);
    // SAFETY: larger than the head of the record and two paths, aligned for it, any bytes are valid, and ours until
    // `buffer` is dropped.
    let record = unsafe { &mut *bytes.cast::<Written>() };
    record.header = header;
    task::describe(task, &mut record.task);
    // SAFETY: helper without arguments.
    record.task.cgroup = unsafe { aya_ebpf::helpers::generated::bpf_get_current_cgroup_id() };
    record.file = FileFacts::default();
    task::file_facts(inode, &mut record.file);
    // SAFETY: two words.
    let start = unsafe { CARRIERS.get(&carrier) }.map_or(0, |known| known.start_ns);
    record.carrier = ProcessKey::new(start, carrier);
    record.moment = moment;
    record.reserved = 0;
    if record.file.links == 0 {
        record.header.flags |= Written::UNLINKED;
    }
    let (dentry, mount) = (Copied::pointer(file, offset!(file_dentry)), Copied::pointer(file, offset!(file_mount)));
    // SAFETY: as above.
    let walk = unsafe { path::write(bytes.add(size_of::<Written>()), cell, dentry, mount) };
    record.path_len = walk.len() as u16;
    if walk.truncated() {
        record.header.flags |= Written::PATH_TRUNCATED;
    }
    if walk.detached() {
        record.header.flags |= Written::UNLINKED;
    }
    let fs = Copied::pointer(task, offset!(task_fs));
    let (dentry, mount) = (Copied::pointer(fs, offset!(fs_root_dentry)), Copied::pointer(fs, offset!(fs_root_mount)));
    // SAFETY: as above.
    let root = unsafe { path::write(bytes.add(size_of::<Written>() + walk.len()), cell, dentry, mount) };
    record.root_len = root.len() as u16;
    // SAFETY: head and paths, as written above.
    unsafe { emit::output(Ring::Trail, bytes, size_of::<Written>() + walk.len() + root.len()) };
    0
}
