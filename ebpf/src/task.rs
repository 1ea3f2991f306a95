//! Facts about a task. Everything here runs for records only, so fields are copied: that works on every kernel and in
//! every kind of program.

use tokenhound_common::{
    process::ProcessKey,
    record::{FileFacts, FileId, Task},
};

use crate::kernel::{Copied, Load, Pointer, agent_tgid, offset, present, proving};

/// `enum pid_type`: `PIDTYPE_SID` (include/linux/pid_types.h since 4.19).
const PIDTYPE_SID: u32 = 3;

/// Key of the process that `task` is a thread of.
#[inline(always)]
pub fn key(task: Pointer) -> ProcessKey {
    let leader = Copied::pointer(task, offset!(task_leader));
    ProcessKey::new(Copied::load(leader, offset!(task_start)), Copied::load(task, offset!(task_tgid)))
}

/// `PF_KTHREAD` (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// The task on whose behalf `task` acts: before Linux 5.12 the workers of io_uring are kernel threads with the memory of
/// the process they work for.
#[inline(always)]
pub fn acting(task: Pointer) -> Pointer {
    if Copied::load::<u32, _>(task, offset!(task_flags)) & PF_KTHREAD == 0 || !present(offset!(mm_owner)) {
        return task;
    }
    let owner = Copied::pointer(Copied::pointer(task, offset!(task_mm)), offset!(mm_owner));
    if owner.is_null() { task } else { owner }
}

/// Whether it is the agent, whose own doings are told only while it proves its probes.
#[inline(always)]
pub fn own(process: ProcessKey) -> bool {
    process.tgid == agent_tgid() && !proving()
}

/// Fills `out` with what is known of `task`.
#[inline(always)]
pub fn describe(task: Pointer, out: &mut Task) {
    out.key = key(task);
    out.parent = key(Copied::pointer(task, offset!(task_parent)));
    out.tid = Copied::load(task, offset!(task_tid));
    let cred = Copied::pointer(task, offset!(task_cred));
    out.uid = Copied::load(cred, offset!(cred_uid));
    out.euid = Copied::load(cred, offset!(cred_euid));
    out.gid = Copied::load(cred, offset!(cred_gid));
    out.login_uid = u32::MAX;
    if present(offset!(task_login_uid)) {
        out.login_uid = Copied::load(task, offset!(task_login_uid));
    }
    out.audit_session = u32::MAX;
    if present(offset!(task_audit_session)) {
        out.audit_session = Copied::load(task, offset!(task_audit_session));
    }
    let signal = Copied::pointer(task, offset!(task_signal));
    let session: Pointer = Copied::at(signal, offset!(signal_pids).get() + PIDTYPE_SID * 8);
    out.session = Copied::at(session, offset!(pid_numbers).get() + offset!(upid_number).get());
    out.tty = terminal(signal);
    namespaces(task, out);
    let mm = Copied::pointer(task, offset!(task_mm));
    let executable = Copied::pointer(mm, offset!(mm_executable));
    out.executable = file_id(Copied::pointer(executable, offset!(file_inode)));
    out.comm = Copied::load(task, offset!(task_comm));
}

/// Controlling terminal as major << 20 | minor, 0 for none.
#[inline(always)]
fn terminal(signal: Pointer) -> u32 {
    let tty = Copied::pointer(signal, offset!(signal_tty));
    if tty.is_null() {
        return 0;
    }
    let driver = Copied::pointer(tty, offset!(tty_driver));
    let major: u32 = Copied::load(driver, offset!(tty_driver_major));
    let first: u32 = Copied::load(driver, offset!(tty_driver_minor));
    let index: u32 = Copied::load(tty, offset!(tty_index));
    major << 20 | (first.wrapping_add(index) & 0xf_ffff)
}

#[inline(always)]
fn namespaces(task: Pointer, out: &mut Task) {
    let proxy = Copied::pointer(task, offset!(task_nsproxy));
    let mounts = Copied::pointer(proxy, offset!(nsproxy_mount));
    out.mount_namespace = Copied::load(mounts, offset!(mount_namespace_inum));
    let pid = Copied::pointer(task, offset!(task_pid));
    let level: u32 = Copied::load(pid, offset!(pid_level));
    // `struct upid { int nr; struct pid_namespace *ns; }`: the namespace pointer closes the struct.
    let numbers = offset!(pid_numbers).get() + (level & 0x1f) * (offset!(upid_namespace).get() + 8);
    let namespace: Pointer = Copied::at(pid, numbers + offset!(upid_namespace).get());
    out.pid_namespace = Copied::load(namespace, offset!(pid_namespace_inum));
}

/// Identity of an inode; zeroes for a null pointer.
#[inline(always)]
pub fn file_id(inode: Pointer) -> FileId {
    let super_block = Copied::pointer(inode, offset!(inode_super));
    FileId {
        inode: Copied::load(inode, offset!(inode_number)),
        device: Copied::load(super_block, offset!(super_device)),
        generation: Copied::load(inode, offset!(inode_generation)),
    }
}

/// Attributes of an inode.
#[inline(always)]
pub fn file_facts(inode: Pointer, out: &mut FileFacts) {
    out.id = file_id(inode);
    out.size = Copied::load(inode, offset!(inode_size));
    out.uid = Copied::load(inode, offset!(inode_uid));
    out.links = Copied::load(inode, offset!(inode_links));
    out.mode = u32::from(Copied::load::<u16, _>(inode, offset!(inode_mode)));
    out.reserved = 0;
}
