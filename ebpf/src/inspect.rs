//! Looking into other processes without a file: ptrace, `process_vm_readv`, `pidfd_getfd`.

use tokenhound_common::{
    process::ProcessKey,
    record::{Access, Object},
};

use crate::{
    access::{current, inspected, process_of},
    descriptor,
    kernel::{self, Copied, Load, Pointer, offset},
    task,
};

/// `PTRACE_MODE_ATTACH` and `PTRACE_MODE_REALCREDS` (include/linux/ptrace.h). Procfs asks with the credentials of the
/// file system; its `mem` and `environ` are seen as files.
const ATTACH: u32 = 0x02;
const REALCREDS: u32 = 0x10;

/// `FOLL_WRITE` (include/linux/mm_types.h, before 6.3 include/linux/mm.h).
const FOLL_WRITE: u32 = 1;

/// `PTRACE_*` requests (include/uapi/linux/ptrace.h).
const PEEKTEXT: u64 = 1;
const PEEKDATA: u64 = 2;
const ATTACH_REQUEST: u64 = 16;
const SEIZE: u64 = 0x4206;

/// `ptrace_access_check(child, mode)`: which of the calls that ask it, the number of the system call tells.
#[inline(always)]
pub fn checked(child: Pointer, mode: u32) -> i32 {
    if mode & (ATTACH | REALCREDS) != ATTACH | REALCREDS {
        return 0;
    }
    let object = match kernel::system_call(current()) {
        kernel::PROCESS_VM_READV | kernel::COMPAT_PROCESS_VM_READV => Object::VM_READ,
        kernel::PROCESS_VM_WRITEV | kernel::COMPAT_PROCESS_VM_WRITEV => return 0,
        kernel::PIDFD_GETFD => Object::PIDFD_GETFD,
        _ => Object::PTRACE_ATTACH,
    };
    inspected(object, &task::key(child), 0);
    0
}

/// `ptrace_access_vm(child, address, buffer, length, flags)`: memory of a traced process is read or written.
#[inline(always)]
pub fn peeked(child: Pointer, flags: u32) -> i32 {
    if flags & FOLL_WRITE == 0 {
        inspected(Object::PTRACE_PEEK, &task::key(child), 0);
    }
    0
}

/// Exit of `ptrace(request, pid, ...)`. Attempts count: what was asked for says enough. Not its entry, nor that of the others:
/// with no event on entries, the kernel passes all system calls by that side of its slow path.
#[inline(always)]
pub fn ptrace() -> u32 {
    let task = current();
    let object = match kernel::first_argument(task) {
        PEEKTEXT | PEEKDATA => Object::PTRACE_PEEK,
        ATTACH_REQUEST | SEIZE => Object::PTRACE_ATTACH,
        _ => return 0,
    };
    inspected(object, &ProcessKey::new(0, kernel::second_argument(task) as u32), Access::TARGET_PID)
}

/// Exit of `process_vm_readv(pid, ...)`.
#[inline(always)]
pub fn vm_read() -> u32 {
    inspected(Object::VM_READ, &ProcessKey::new(0, kernel::first_argument(current()) as u32), Access::TARGET_PID)
}

/// Exit of `pidfd_getfd(pidfd, descriptor, flags)`: a pidfd's file carries the `struct pid`, since Linux 6.9 (pidfs) its
/// inode does.
#[inline(always)]
pub fn pidfd_getfd() -> u32 {
    let task = current();
    let pidfd = descriptor::copied(task, kernel::first_argument(task) as u32);
    if pidfd.is_null() {
        return 0;
    }
    let mut pid = Copied::pointer(pidfd, offset!(file_private));
    if pid.is_null() {
        pid = Copied::pointer(Copied::pointer(pidfd, offset!(file_inode)), offset!(inode_private));
    }
    inspected(Object::PIDFD_GETFD, &process_of(pid), 0)
}
