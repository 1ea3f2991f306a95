//! One core for all tiers: a process came to a file's content; is it worth a record, and what does the record say?

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_task, bpf_get_current_task_btf, generated::bpf_get_current_cgroup_id},
    programs::TracePointContext,
};
use tokenhound_common::{
    loss::Reason,
    process::ProcessKey,
    record::{Access, Kind, Object, Way},
};

use crate::{
    carriers, descriptor,
    emit::{self, Ring, lost, repeated},
    filter::{self, Interest},
    holders,
    kernel::{Copied, Direct, Load, Pointer, file_slot_id, offset},
    path,
    scratch::{self, HIT_BYTES, Taken},
    seen, task,
};

/// `FMODE_READ`, `FMODE_WRITE` and `FMODE_PATH` (include/linux/fs.h). A descriptor with the last gives no access to content.
const FMODE_READ: u32 = 1;
pub const FMODE_WRITE: u32 = 2;
const FMODE_PATH: u32 = 1 << 14;

/// `MAY_READ` (include/linux/fs.h).
const MAY_READ: u32 = 4;

/// Highest number that a system call returns for an error, negated (`MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;

/// `file_open`: the file is typed.
#[inline(always)]
pub fn opened(file: Pointer) -> i32 {
    let may_match = filter::may_match::<Direct>(file);
    if may_match | carriers::armed() {
        tell_of_open(file, may_match);
    }
    0
}

/// Apart from the question, so that an open of no interest saves no registers for what comes behind it.
#[inline(never)]
fn tell_of_open(file: Pointer, may_match: bool) {
    let carries = may_match && report(file, Way::OPEN) != 0;
    written::<Direct>(file, carries);
}

/// `file_permission`, attached while somebody holds a watched file.
#[inline(always)]
pub fn permitted(file: Pointer, mask: u32) -> i32 {
    if mask & MAY_READ != 0 {
        used(file, Way::READ);
    }
    0
}

/// `mmap_file`, attached while somebody holds a watched file. Anonymous memory has no file.
#[inline(always)]
pub fn mapped(file: Pointer) -> i32 {
    if !file.is_null() {
        used(file, Way::MAP);
    }
    0
}

#[inline(always)]
fn used(file: Pointer, way: Way) {
    if filter::may_be_known::<Direct>(Direct::pointer(file, offset!(file_inode))) {
        report(file, way);
    }
}

/// `file_receive`: a descriptor arrives over a socket, by `pidfd_getfd` or the like.
#[inline(always)]
pub fn received(file: Pointer) -> i32 {
    used(file, Way::RECEIVE);
    0
}

/// The exit of a system call that returns a descriptor.
#[inline(always)]
pub fn returned(ctx: &TracePointContext, way: Way) -> u32 {
    let descriptor = return_value(ctx);
    if !(-MAX_ERRNO..0).contains(&descriptor) {
        through(descriptor as u32, way);
    }
    0
}

/// The entry of a system call that reads from the descriptor that is its argument number `ARGUMENT`.
#[inline(always)]
pub fn reads<const ARGUMENT: usize>(ctx: &TracePointContext, way: Way) -> u32 {
    let descriptor: u64 = argument::<ARGUMENT>(ctx);
    // Anonymous memory is mapped with -1.
    if descriptor as i32 >= 0 {
        through(descriptor as u32, way);
    }
    0
}

/// `ret` of every `sys_exit_*` event.
#[inline(always)]
pub fn return_value(ctx: &TracePointContext) -> i64 {
    // SAFETY: the agent checks the event's format before it attaches.
    unsafe { *ctx.as_ptr().cast::<u8>().add(16).cast::<i64>() }
}

/// An argument of every `sys_enter_*` event.
#[inline(always)]
pub fn argument<const NUMBER: usize>(ctx: &TracePointContext) -> u64 {
    // SAFETY: as above.
    unsafe { *ctx.as_ptr().cast::<u8>().add(16 + 8 * NUMBER).cast::<u64>() }
}

/// A file of the current task by its descriptor.
#[inline(always)]
pub fn through(descriptor: u32, way: Way) {
    if file_slot_id() != 0 {
        // SAFETY: helper without arguments; the agent has found it and the cast to exist.
        let task = unsafe { bpf_get_current_task_btf() as Pointer };
        return examine::<Direct>(descriptor::typed(task, descriptor), way);
    }
    examine::<Copied>(descriptor::copied(current(), descriptor), way);
}

#[inline(always)]
fn examine<L: Load>(file: Pointer, way: Way) {
    if file.is_null() {
        // Another thread closed it already, or the table was replaced under us. A read of it fails as well.
        if way == Way::OPEN || way == Way::RECEIVE {
            lost(Reason::DESCRIPTOR);
        }
        return;
    }
    if way != Way::OPEN {
        if filter::may_be_known::<L>(L::pointer(file, offset!(file_inode))) {
            report(file, way);
        }
        return;
    }
    let mode: u32 = L::load(file, offset!(file_mode));
    let carries = mode & FMODE_PATH == 0 && filter::may_match::<L>(file) && report(file, way) != 0;
    written::<L>(file, carries);
}

/// Tells of the file if a carrier has opened it to write to it. Of one that has just become a carrier by opening it, tells where
/// its output goes: in one place, because the verifier walks all of it for each. Most of the time there is no carrier, and how the
/// file is opened is not asked.
#[inline(always)]
fn written<L: Load>(file: Pointer, carries: bool) {
    let file = if carries {
        carriers::output()
    } else if carriers::armed() && L::load::<u32, _>(file, offset!(file_mode)) & FMODE_WRITE != 0 {
        file
    } else {
        return;
    };
    if !file.is_null() {
        carriers::opened(file);
    }
}

#[inline(always)]
pub fn current() -> Pointer {
    // SAFETY: helper without arguments.
    unsafe { bpf_get_current_task() as Pointer }
}

/// Decides exactly and writes the record. Not zero if whoever reads has become a carrier by it.
#[inline(never)]
pub fn report(file: Pointer, way: Way) -> u32 {
    let inode = Copied::pointer(file, offset!(file_inode));
    let (object, matched, target) = match filter::interest(file) {
        Interest::None => return 0,
        Interest::ProcEnviron => (Object::PROC_ENVIRON, 0, target(inode)),
        Interest::ProcMem => (Object::PROC_MEM, 0, target(inode)),
        // Names count when a file is opened; from then on its id is known.
        Interest::File if way == Way::OPEN => {
            (Object::FILE, filter::exact(inode, Copied::pointer(file, offset!(file_dentry))), ProcessKey::new(0, 0))
        }
        Interest::File => (Object::FILE, filter::by_id(inode), ProcessKey::new(0, 0)),
    };
    let mut mode: u32 = Copied::load(file, offset!(file_mode));
    if matched == Access::MATCH_OUTLET {
        if mode & FMODE_WRITE == 0 {
            return 0;
        }
        // Every shell reads its history: nobody is marked for that.
        mode &= !FMODE_READ;
    }
    if (object == Object::FILE && matched == 0) || (way != Way::OPEN && mode & FMODE_READ == 0) {
        return 0;
    }
    let task = task::acting(current());
    let actor = task::key(task);
    if task::own(actor) || actor == target {
        return 0;
    }
    let mut carries = 0;
    if matched & Access::MATCH_CANARY != 0 {
        holders::mark(actor);
    } else if object == Object::FILE && !news(task, actor, inode, way, mode) {
        return 0;
    } else if mode & FMODE_READ != 0 && way != Way::EXEC {
        // A program that starts with it open has the mark of whoever opened it.
        carries = carriers::read(task);
    }
    write(file, task, &Found { object, matched, target }, way);
    carries
}

/// Whether this is to be told, or was told already.
#[inline(always)]
fn news(task: Pointer, actor: ProcessKey, inode: Pointer, way: Way, mode: u32) -> bool {
    let file = task::file_id(inode);
    let read = seen::Key::file(actor, task, file, READ);
    if way == Way::READ || way == Way::MAP {
        return read.once();
    }
    let told = if way == Way::OPEN {
        // Opening to write is another thing than opening to read.
        seen::Key::file(actor, task, file, OPEN | mode & 3).due()
    } else {
        true
    };
    if mode & FMODE_READ != 0 {
        holders::mark(actor);
        // What it reads now through this descriptor is no news.
        let _ = read.once();
    }
    if !told {
        repeated();
    }
    told
}

/// What is remembered of an actor and a file.
const READ: u32 = 1;
const OPEN: u32 = 4;

/// What [`report`] found out.
struct Found {
    object: Object,
    matched: u16,
    target: ProcessKey,
}

#[inline(never)]
fn write(file: Pointer, task: Pointer, found: &Found, way: Way) -> u32 {
    let Some(mut buffer) = scratch::hit() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let record = begin(&mut buffer, task);
    record.object = found.object.0;
    record.matched = found.matched;
    record.target = found.target;
    record.way = way.0;
    task::file_facts(Copied::pointer(file, offset!(file_inode)), &mut record.file);
    record.open_flags = Copied::load(file, offset!(file_flags));
    record.open_mode = Copied::load(file, offset!(file_mode));
    if found.matched == Access::MATCH_OUTLET {
        // As in `report`: it is no read of a store.
        record.open_mode &= !FMODE_READ;
    }
    let mut len = size_of::<Access>();
    if way != Way::EXEC {
        len += paths(record, &raw mut buffer.cell, file, task);
    }
    if record.file.links == 0 {
        record.header.flags |= Access::UNLINKED;
    }
    // SAFETY: head and paths, as written above.
    unsafe { emit::output(Ring::Hits, buffer.bytes.as_ptr(), len) };
    0
}

/// Writes the path of the file and that of the process's root behind the head of `record`. Returns their length.
#[inline(always)]
fn paths(record: &mut Access, cell: *mut u64, file: Pointer, task: Pointer) -> usize {
    let (dentry, mount) = (Copied::pointer(file, offset!(file_dentry)), Copied::pointer(file, offset!(file_mount)));
    // SAFETY: the buffer has room for the head of a record and two paths.
    let at = unsafe { (&raw mut *record).cast::<u8>().add(size_of::<Access>()) };
    // SAFETY: as above.
    let path = unsafe { path::write(at, cell, dentry, mount) };
    record.path_len = path.len() as u16;
    if path.truncated() {
        record.header.flags |= Access::PATH_TRUNCATED;
    }
    if path.detached() {
        record.header.flags |= Access::UNLINKED;
    }
    let fs = Copied::pointer(task, offset!(task_fs));
    let (dentry, mount) = (Copied::pointer(fs, offset!(fs_root_dentry)), Copied::pointer(fs, offset!(fs_root_mount)));
    // SAFETY: as above.
    let root = unsafe { path::write(at.add(path.len()), cell, dentry, mount) };
    record.root_len = root.len() as u16;
    path.len() + root.len()
}

/// An access in `buffer` that says who, and nothing else yet.
#[inline(always)]
fn begin(buffer: &mut Taken<HIT_BYTES>, task: Pointer) -> &'static mut Access {
    let header = emit::header(buffer, Kind::ACCESS);
    // SAFETY: larger than the head of the record, aligned for it, any bytes are valid, and ours until `buffer` is
    // dropped, which is after the last use.
    let record = unsafe { &mut *buffer.bytes.as_mut_ptr().cast::<Access>() };
    record.header = header;
    task::describe(task, &mut record.task);
    // SAFETY: helper without arguments.
    record.task.cgroup = unsafe { bpf_get_current_cgroup_id() };
    record.path_len = 0;
    record.root_len = 0;
    record.reserved = [0; 3];
    record
}

/// Another process was accessed without a file. With `flags` `TARGET_PID` the target is only a number.
#[inline(never)]
pub fn inspected(object: Object, target: &ProcessKey, flags: u16) -> u32 {
    let task = current();
    let actor = task::key(task);
    if task::own(actor) || actor == *target {
        return 0;
    }
    if !seen::Key::process(actor, task, *target, u32::from(object.0) << 8).due() {
        repeated();
        return 0;
    }
    let Some(mut buffer) = scratch::hit() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let record = begin(&mut buffer, task);
    record.header.flags = flags;
    record.object = object.0;
    record.target = *target;
    record.matched = 0;
    record.way = Way::OPEN.0;
    record.file = Default::default();
    record.open_flags = 0;
    record.open_mode = FMODE_READ;
    // SAFETY: the head, as written above.
    unsafe { emit::output(Ring::Hits, buffer.bytes.as_ptr(), size_of::<Access>()) };
    0
}

/// The process behind a procfs inode: `proc_inode.pid`, through the task that carries it.
#[inline(always)]
fn target(inode: Pointer) -> ProcessKey {
    let proc_inode = inode.wrapping_sub(offset!(proc_inode_inode).get() as usize);
    process_of(Copied::pointer(proc_inode, offset!(proc_inode_pid)))
}

/// The process that a `struct pid` stands for.
#[inline(always)]
pub fn process_of(pid: Pointer) -> ProcessKey {
    // `pid.tasks[PIDTYPE_PID]` heads the list of `task_struct.pid_links[PIDTYPE_PID]`; type 0 comes first in both.
    let link = Copied::pointer(pid, offset!(pid_tasks));
    if link.is_null() {
        lost(Reason::PROC_TARGET);
        return ProcessKey::new(0, 0);
    }
    task::key(link.wrapping_sub(offset!(task_pid_links).get() as usize))
}
