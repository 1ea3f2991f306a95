//! One core for all tiers: a file was opened; is it worth a record, and what does the record say?

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_task, bpf_get_current_task_btf, generated::bpf_get_current_cgroup_id},
    programs::TracePointContext,
};
use tokenhound_common::{
    loss::Reason,
    process::ProcessKey,
    record::{Kind, Object, Open},
};

use crate::{
    descriptor,
    emit::{self, Ring, lost},
    filter::{self, Interest},
    kernel::{Copied, Direct, Load, Pointer, agent_tgid, file_slot_id, offset},
    path,
    scratch::{self, Slot},
    task,
};

/// `FMODE_PATH` (include/linux/fs.h): the descriptor gives no access to content.
const FMODE_PATH: u32 = 1 << 14;

/// Highest number that a system call returns for an error, negated (`MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;

/// `security_file_open`: the file is typed.
#[inline(always)]
pub fn opened(file: Pointer) -> i32 {
    if filter::may_match::<Direct>(file) {
        report(file);
    }
    0
}

/// The exit of a system call that returns a descriptor.
#[inline(always)]
pub fn returned(ctx: &TracePointContext) -> u32 {
    // SAFETY: `ret` of every `sys_exit_*` event; the agent checks the event's format before it attaches.
    let descriptor: i64 = unsafe { *ctx.as_ptr().cast::<u8>().add(16).cast::<i64>() };
    if (-MAX_ERRNO..0).contains(&descriptor) {
        return 0;
    }
    if file_slot_id() != 0 {
        // SAFETY: helper without arguments; the agent has found it and the cast to exist.
        let task = unsafe { bpf_get_current_task_btf() as Pointer };
        return examine::<Direct>(descriptor::typed(task, descriptor as u32));
    }
    examine::<Copied>(descriptor::copied(current(), descriptor as u32))
}

#[inline(always)]
fn examine<L: Load>(file: Pointer) -> u32 {
    if file.is_null() {
        // Another thread closed it already, or the table was replaced under us.
        lost(Reason::DESCRIPTOR);
        return 0;
    }
    if L::load::<u32, _>(file, offset!(file_mode)) & FMODE_PATH != 0 {
        return 0;
    }
    if filter::may_match::<L>(file) {
        report(file);
    }
    0
}

#[inline(always)]
fn current() -> Pointer {
    // SAFETY: helper without arguments.
    unsafe { bpf_get_current_task() as Pointer }
}

/// Decides exactly and writes the record.
#[inline(never)]
fn report(file: Pointer) -> u32 {
    let task = current();
    let (object, matched, target) = match filter::interest(file) {
        Interest::None => return 0,
        Interest::ProcEnviron => (Object::PROC_ENVIRON, 0, target(file)),
        Interest::ProcMem => (Object::PROC_MEM, 0, target(file)),
        Interest::File => (Object::FILE, filter::exact(file), ProcessKey::new(0, 0)),
    };
    let tgid: u32 = Copied::load(task, offset!(task_tgid));
    if object == Object::FILE {
        if matched == 0 || (tgid == agent_tgid() && matched & Open::MATCH_CANARY == 0) {
            return 0;
        }
    } else if target.tgid == tgid || tgid == agent_tgid() {
        return 0;
    }
    write(file, task, object, matched, target);
    0
}

#[inline(never)]
fn write(file: Pointer, task: Pointer, object: Object, matched: u16, target: ProcessKey) -> u32 {
    let header = emit::header(Ring::Hits, Kind::OPEN);
    let Some(record) = scratch::bytes(Slot::Hit as u32) else {
        lost(Reason::SCRATCH);
        return 0;
    };
    // SAFETY: this CPU's slot, which is larger than the head of the record and aligned for it.
    let open = unsafe { &mut *record.cast::<Open>() };
    open.header = header;
    task::describe(task, &mut open.task);
    // SAFETY: helper without arguments.
    open.task.cgroup = unsafe { bpf_get_current_cgroup_id() };
    task::file_facts(Copied::pointer(file, offset!(file_inode)), &mut open.file);
    open.target = target;
    open.open_flags = Copied::load(file, offset!(file_flags));
    open.open_mode = Copied::load(file, offset!(file_mode));
    open.object = object.0;
    open.matched = matched;
    open.reserved = 0;
    let walk = path::write(
        Slot::Hit,
        size_of::<Open>(),
        Copied::pointer(file, offset!(file_dentry)),
        Copied::pointer(file, offset!(file_mount)),
    );
    open.path_len = walk.len() as u16;
    if walk.truncated() {
        open.header.flags |= Open::PATH_TRUNCATED;
    }
    if walk.detached() || open.file.links == 0 {
        open.header.flags |= Open::UNLINKED;
    }
    // SAFETY: head and path, as written above.
    unsafe { emit::output(Ring::Hits, record, size_of::<Open>() + walk.len()) };
    0
}

/// The process behind a procfs inode: `proc_inode.pid`, through the task that carries it.
#[inline(always)]
fn target(file: Pointer) -> ProcessKey {
    let inode = Copied::pointer(file, offset!(file_inode));
    let proc_inode = inode.wrapping_sub(offset!(proc_inode_inode).get() as usize);
    let pid = Copied::pointer(proc_inode, offset!(proc_inode_pid));
    // `pid.tasks[PIDTYPE_PID]` heads the list of `task_struct.pid_links[PIDTYPE_PID]`; type 0 comes first in both.
    let link = Copied::pointer(pid, offset!(pid_tasks));
    if link.is_null() {
        lost(Reason::PROC_TARGET);
        return ProcessKey::new(0, 0);
    }
    task::key(link.wrapping_sub(offset!(task_pid_links).get() as usize))
}
