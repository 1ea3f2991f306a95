//! An inode's generation: tells a file from a later one that got the same inode number.
#![allow(unsafe_code)]

use std::{
    fs::OpenOptions,
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

/// `_IOR('v', 1, long)` (include/uapi/linux/fs.h); the kernel writes an `int` all the same.
const FS_IOC_GETVERSION: libc::c_ulong = 0x8008_7601;

/// `inode.i_generation` of the file or directory with that inode number; 0 where the file system does not tell (tmpfs,
/// overlayfs, procfs), and where the name leads to another file by now: that one's would hide this one.
///
/// Opens the file without following a link in its last component, without waiting for a pipe's other end, and without
/// touching its access time.
///
/// # Errors
///
/// When it cannot be opened.
pub fn of(path: &Path, inode: u64) -> io::Result<u32> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
    // Only the owner and root may leave the access time alone.
    let file = open(flags | libc::O_NOATIME).or_else(|_| open(flags))?;
    if file.metadata()?.ino() != inode {
        return Ok(0);
    }
    let mut generation = [0u8; 8];
    // C libraries differ in the type of a request.
    // SAFETY: the request writes at most eight bytes to the buffer, which lives longer than the call.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_GETVERSION as _, generation.as_mut_ptr()) };
    let [a, b, c, d, ..] = generation;
    Ok(if status == 0 { u32::from_ne_bytes([a, b, c, d]) } else { 0 })
}
