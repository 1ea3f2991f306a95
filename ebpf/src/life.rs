//! Process life: fork, exec and exit.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_probe_read_kernel_str, bpf_probe_read_user};
use tokenhound_common::{
    limits::{ARGS_BYTES, ENV_BYTES, SCRIPT_BYTES},
    loss::Reason,
    record::{Dump, Exec, Exit, Fork, Kind, Output},
};

use crate::{
    carriers, descriptor,
    emit::{self, Ring},
    holders,
    kernel::{Copied, Load, Pointer, offset},
    path, scratch, task,
};

/// A process was created. Threads are of no interest.
#[inline(always)]
pub fn fork(parent: Pointer, child: Pointer) -> i32 {
    let tgid: u32 = Copied::load(child, offset!(task_tgid));
    if Copied::load::<u32, _>(child, offset!(task_tid)) != tgid {
        return 0;
    }
    carriers::fork(parent, task::key(child));
    let (parent, child) = (task::key(parent), task::key(child));
    if let Some(mut buffer) = scratch::life() {
        let record = Fork { header: emit::header(&mut buffer, Kind::FORK), parent, child };
        // SAFETY: a local without padding.
        unsafe { emit::output(Ring::Life, (&raw const record).cast::<u8>(), size_of::<Fork>()) };
    } else {
        emit::lost(Reason::SCRATCH);
    }
    holders::fork(parent, child);
    0
}

/// A core was written (`coredump_finish`, fs/coredump.c; wait(2) tells it as `WCOREDUMP`).
const CORE_DUMPED: u32 = 0x80;

/// The last thread of a process is on its way out.
#[inline(always)]
pub fn exit(task: Pointer) -> i32 {
    let signal = Copied::pointer(task, offset!(task_signal));
    if Copied::load::<u32, _>(signal, offset!(signal_live)) != 0 {
        return 0;
    }
    if Copied::load::<u32, _>(signal, offset!(signal_exit_code)) & CORE_DUMPED != 0 && dump(task).is_none() {
        emit::lost(Reason::SCRATCH);
    }
    let process = task::key(task);
    if let Some(mut buffer) = scratch::life() {
        let record = Exit { header: emit::header(&mut buffer, Kind::EXIT), process };
        // SAFETY: a local without padding.
        unsafe { emit::output(Ring::Life, (&raw const record).cast::<u8>(), size_of::<Exit>()) };
    } else {
        emit::lost(Reason::SCRATCH);
    }
    holders::exit(process.tgid);
    0
}

#[inline(always)]
fn dump(task: Pointer) -> Option<()> {
    let mut buffer = scratch::life()?;
    let header = emit::header(&mut buffer, Kind::DUMP);
    let (record, cell) = (buffer.bytes.as_mut_ptr(), &raw mut buffer.cell);
    // SAFETY: this CPU's slot, which is larger than the head of the record and aligned for it.
    let dump = unsafe { &mut *record.cast::<Dump>() };
    dump.header = header;
    dump.process = task::key(task);
    dump.reserved = [0; 3];
    // SAFETY: the slot has room for the head and a path.
    let walk = unsafe { directory(record.add(size_of::<Dump>()), cell, task) };
    dump.cwd_len = walk.len() as u16;
    if walk.truncated() {
        dump.header.flags |= Dump::CWD_TRUNCATED;
    }
    // SAFETY: head and path, as written above.
    unsafe { emit::output(Ring::Life, record, size_of::<Dump>() + walk.len()) };
    Some(())
}

/// A process replaced its program.
#[inline(always)]
pub fn exec(task: Pointer, binprm: Pointer) -> Result<(), Reason> {
    let mut buffer = scratch::life().ok_or(Reason::SCRATCH)?;
    let header = emit::header(&mut buffer, Kind::EXEC);
    let (record, cell) = (buffer.bytes.as_mut_ptr(), &raw mut buffer.cell);
    // SAFETY: this CPU's slot, which is larger than the head of the record and aligned for it.
    let exec = unsafe { &mut *record.cast::<Exec>() };
    exec.header = header;
    task::describe(task, &mut exec.task);
    // SAFETY: helper without arguments.
    exec.task.cgroup = unsafe { bpf_get_current_cgroup_id() };
    exec.output = output(task, exec.task.tty);
    exec.reserved = [0; 2];
    let mm = Copied::pointer(task, offset!(task_mm));
    let file = Copied::pointer(mm, offset!(mm_executable));
    task::file_facts(Copied::pointer(file, offset!(file_inode)), &mut exec.executable);

    let mut at = size_of::<Exec>();
    // SAFETY: the sections follow each other; their largest sizes add up to the size of the slot.
    unsafe {
        at += executable_path(exec, record.add(at), cell, file);
        at += working_directory(exec, record.add(at), cell, task);
        at += script(exec, record.add(at), binprm);
        at += arguments(exec, record.add(at), mm);
        at += environment(exec, record.add(at), mm);
        emit::output(Ring::Life, record, at);
    }
    Ok(())
}

/// `S_IFMT` and the types (include/uapi/linux/stat.h).
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const S_IFSOCK: u16 = 0o140_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFCHR: u16 = 0o020_000;

/// Devices as the kernel writes them, major << 20 | minor: `/dev/null`, and the majors of terminals
/// (Documentation/admin-guide/devices.txt): consoles, `/dev/tty`, serial lines, pseudo terminals.
const NULL: u32 = 1 << 20 | 3;
const CONSOLES: u32 = 4;
const TTY: u32 = 5;
const FIRST_PTY: u32 = 136;
const LAST_PTY: u32 = 143;

/// What standard output is, for a process with that controlling terminal.
#[inline(always)]
fn output(task: Pointer, terminal: u32) -> u16 {
    let file = descriptor::copied(task, 1);
    if file.is_null() {
        return Output::CLOSED.0;
    }
    let inode = Copied::pointer(file, offset!(file_inode));
    let output = match Copied::load::<u16, _>(inode, offset!(inode_mode)) & S_IFMT {
        S_IFREG => Output::FILE,
        S_IFIFO => Output::PIPE,
        S_IFSOCK => Output::SOCKET,
        S_IFCHR => device(Copied::load(inode, offset!(inode_rdev)), terminal),
        _ => Output::OTHER,
    };
    output.0
}

#[inline(always)]
fn device(device: u32, terminal: u32) -> Output {
    match device >> 20 {
        _ if device == NULL => Output::NULL,
        _ if device == terminal => Output::TERMINAL,
        // `/dev/tty` itself is the controlling one.
        TTY if terminal != 0 => Output::TERMINAL,
        CONSOLES | TTY | FIRST_PTY..=LAST_PTY => Output::OTHER_TERMINAL,
        _ => Output::OTHER,
    }
}

/// Writes the path of the working directory.
#[inline(always)]
unsafe fn directory(at: *mut u8, cell: *mut u64, task: Pointer) -> path::Walk {
    let fs = Copied::pointer(task, offset!(task_fs));
    let (dentry, mount) = (Copied::pointer(fs, offset!(fs_cwd_dentry)), Copied::pointer(fs, offset!(fs_cwd_mount)));
    // SAFETY: the caller's.
    unsafe { path::write(at, cell, dentry, mount) }
}

#[inline(always)]
unsafe fn executable_path(exec: &mut Exec, at: *mut u8, cell: *mut u64, file: Pointer) -> usize {
    let (dentry, mount) = (Copied::pointer(file, offset!(file_dentry)), Copied::pointer(file, offset!(file_mount)));
    // SAFETY: see `exec`.
    let walk = unsafe { path::write(at, cell, dentry, mount) };
    exec.path_len = walk.len() as u16;
    if walk.truncated() {
        exec.header.flags |= Exec::PATH_TRUNCATED;
    }
    walk.len()
}

#[inline(always)]
unsafe fn working_directory(exec: &mut Exec, at: *mut u8, cell: *mut u64, task: Pointer) -> usize {
    // SAFETY: see `exec`.
    let walk = unsafe { directory(at, cell, task) };
    exec.cwd_len = walk.len() as u16;
    if walk.truncated() {
        exec.header.flags |= Exec::CWD_TRUNCATED;
    }
    walk.len()
}

/// For `#!` scripts: the kernel loads the interpreter and keeps the script's name in `filename`.
#[inline(always)]
unsafe fn script(exec: &mut Exec, at: *mut u8, binprm: Pointer) -> usize {
    exec.script_len = 0;
    let filename = Copied::pointer(binprm, offset!(binprm_filename));
    if filename == Copied::pointer(binprm, offset!(binprm_interpreter)) {
        return 0;
    }
    // SAFETY: see `exec`.
    let written =
        unsafe { bpf_probe_read_kernel_str(at.cast::<c_void>(), SCRIPT_BYTES as u32, filename.cast::<c_void>()) };
    if written <= 0 || written > SCRIPT_BYTES as i64 {
        return 0;
    }
    exec.header.flags |= Exec::SCRIPT;
    if written == SCRIPT_BYTES as i64 {
        exec.header.flags |= Exec::SCRIPT_TRUNCATED;
    }
    exec.script_len = written as u16;
    written as usize
}

#[inline(always)]
unsafe fn arguments(exec: &mut Exec, at: *mut u8, mm: Pointer) -> usize {
    let start: u64 = Copied::load(mm, offset!(mm_arg_start));
    let end: u64 = Copied::load(mm, offset!(mm_arg_end));
    let mut len = end.wrapping_sub(start);
    if len > ARGS_BYTES as u64 {
        len = ARGS_BYTES as u64;
        exec.header.flags |= Exec::ARGS_TRUNCATED;
    }
    // SAFETY: see `exec`; the helper checks the user's address.
    if unsafe { bpf_probe_read_user(at.cast::<c_void>(), len as u32, start as *const c_void) } != 0 {
        exec.header.flags |= Exec::ARGS_UNREADABLE;
        len = 0;
    }
    exec.args_len = len as u16;
    len as usize
}

#[inline(always)]
unsafe fn environment(exec: &mut Exec, at: *mut u8, mm: Pointer) -> usize {
    let start: u64 = Copied::load(mm, offset!(mm_env_start));
    let end: u64 = Copied::load(mm, offset!(mm_env_end));
    let mut len = end.wrapping_sub(start);
    if len > ENV_BYTES as u64 {
        len = ENV_BYTES as u64;
        exec.header.flags |= Exec::ENV_TRUNCATED;
    }
    // SAFETY: see `exec`; the helper checks the user's address.
    if unsafe { bpf_probe_read_user(at.cast::<c_void>(), len as u32, start as *const c_void) } != 0 {
        exec.header.flags |= Exec::ENV_TRUNCATED;
        len = 0;
    }
    exec.env_len = len as u16;
    len as usize
}
