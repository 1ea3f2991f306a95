//! Asks the kernel whether events may be opened, in the way that attaching does.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};

/// `PERF_TYPE_SOFTWARE`, `PERF_COUNT_SW_DUMMY`, `PERF_ATTR_SIZE_VER0` and `PERF_FLAG_FD_CLOEXEC` (include/uapi/linux/perf_event.h): counts nothing.
const SOFTWARE: u32 = 1;
const DUMMY: u64 = 9;
const SIZE: u32 = 64;
const CLOEXEC: libc::c_ulong = 8;

/// `struct perf_event_attr`, as far as its first version goes.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    others: [u64; 6],
}

/// May this thread open an event of the whole system?
#[must_use]
pub(super) fn can_attach() -> bool {
    let attributes = Attributes { kind: SOFTWARE, size: SIZE, config: DUMMY, ..Attributes::default() };
    let (all, first, no_group, flags) = (-1i32, 0i32, -1i32, CLOEXEC);
    // SAFETY: the kernel reads `size` bytes of a struct that has as many and lives until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attributes, all, first, no_group, flags) };
    let Ok(fd @ 0..) = i32::try_from(fd) else { return false };
    // SAFETY: the call has just opened it, and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_has_the_size_that_it_says() {
        assert_eq!(size_of::<super::Attributes>(), super::SIZE as usize);
    }
}
