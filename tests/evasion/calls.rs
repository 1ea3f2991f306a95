//! Ways to get at the content once the file is open. All are seen when it is opened; with a descriptor of another
//! process (`handover.rs`) the call itself has to be seen.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    ptr,
};

use rustix::{
    fs::{CWD, Mode, OFlags, copy_file_range, ioctl_ficlone, openat},
    io::{Errno, IoSliceMut, ReadWriteFlags, pread, preadv, preadv2, readv},
    pipe::{SpliceFlags, pipe, splice, tee},
};

use crate::{
    place::{Place, check, got, open, read},
    stop::{At, Outcome, fail},
    sys::{call, in_child},
    technique::Technique,
    tell,
};

/// Gets the content through an open descriptor; the directory is for copies.
pub(crate) type Call = fn(&OwnedFd, &Place) -> Outcome<Vec<u8>>;

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("read", "read(2)", |place| opened(place, by_read)),
    Technique::opens("pread", "pread64(2)", |place| opened(place, by_pread)),
    Technique::opens("readv", "readv(2)", |place| opened(place, by_readv)),
    Technique::opens("preadv", "preadv(2)", |place| opened(place, by_preadv)),
    Technique::opens("preadv2", "preadv2(2)", |place| opened(place, by_preadv2)),
    Technique::opens("aio", "io_submit(2)", |place| opened(place, by_aio)),
    Technique::opens("mmap-private", "mmap(2), private", |place| opened(place, by_private_map)),
    Technique::opens("mmap-shared", "mmap(2), shared", |place| opened(place, by_shared_map)),
    Technique::opens("mmap-fork", "mapped, closed, and then looked at by a child", map_and_fork),
    Technique::opens("sendfile", "sendfile(2)", |place| opened(place, by_sendfile)),
    Technique::opens("splice", "splice(2) through a pipe", |place| opened(place, by_splice)),
    Technique::opens("tee", "splice(2) to a pipe and tee(2) to another", |place| opened(place, by_tee)),
    Technique::opens("copy-file-range", "copy_file_range(2)", |place| opened(place, by_copy)),
    Technique::opens("reflink", "FICLONE, on file systems that share blocks", |place| opened(place, by_reflink)),
    Technique::opens("byte-by-byte", "a hundred reads of one byte", |place| opened(place, by_bytes)),
];

fn opened(place: &Place, call: Call) -> Outcome {
    got(&call(&open(&place.store)?, place)?)
}

const ROOM: usize = 4096;

fn cut(mut bytes: Vec<u8>, count: usize) -> Vec<u8> {
    bytes.truncate(count);
    bytes
}

pub(crate) fn by_read(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; ROOM];
    let count = rustix::io::read(fd, &mut bytes).at("read")?;
    Ok(cut(bytes, count))
}

pub(crate) fn by_pread(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; ROOM];
    let count = pread(fd, &mut bytes, 0).at("pread")?;
    Ok(cut(bytes, count))
}

pub(crate) fn by_readv(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; ROOM];
    let count = readv(fd, &mut [IoSliceMut::new(&mut bytes)]).at("readv")?;
    Ok(cut(bytes, count))
}

pub(crate) fn by_preadv(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; ROOM];
    let count = preadv(fd, &mut [IoSliceMut::new(&mut bytes)], 0).at("preadv")?;
    Ok(cut(bytes, count))
}

pub(crate) fn by_preadv2(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; ROOM];
    let count = preadv2(fd, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::HIPRI).at("preadv2")?;
    Ok(cut(bytes, count))
}

/// `struct iocb` and `struct io_event` (include/uapi/linux/aio_abi.h).
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key: u32,
    flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    more_flags: u32,
    event_fd: u32,
}

pub(crate) fn by_aio(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0_u8; ROOM];
    let mut context = 0_u64;
    // SAFETY: the context is written to.
    unsafe { call(libc::SYS_io_setup, [1, (&raw mut context).addr() as u64, 0, 0, 0, 0]) }
        .offered("io_setup", &[Errno::NOSYS])?;
    let request = Request {
        // IOCB_CMD_PREAD is 0.
        fd: fd.as_raw_fd().unsigned_abs(),
        buffer: bytes.as_mut_ptr().addr() as u64,
        bytes: ROOM as u64,
        ..Request::default()
    };
    let list = [&raw const request];
    // SAFETY: one request, whose buffer has the room it says.
    unsafe { call(libc::SYS_io_submit, [context, 1, list.as_ptr().addr() as u64, 0, 0, 0]) }.at("io_submit")?;
    // data, obj, res, res2.
    let mut event = [0_i64; 4];
    // SAFETY: room for one event.
    unsafe { call(libc::SYS_io_getevents, [context, 1, 1, (&raw mut event).addr() as u64, 0, 0]) }
        .at("io_getevents")?;
    let count = usize::try_from(event[2]).or_else(|_| fail(format!("the request ended with {}", event[2])))?;
    Ok(cut(bytes, count))
}

pub(crate) fn by_private_map(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    Ok(Map::new(fd, false)?.bytes().to_vec())
}

pub(crate) fn by_shared_map(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    Ok(Map::new(fd, true)?.bytes().to_vec())
}

/// Memory that was mapped before a fork is read without the kernel.
fn map_and_fork(place: &Place) -> Outcome {
    let fd = open(&place.store)?;
    let map = Map::new(&fd, false)?;
    drop(fd);
    in_child(|| check(map.bytes()))?;
    tell::reader();
    Ok(())
}

pub(crate) fn by_sendfile(fd: &OwnedFd, place: &Place) -> Outcome<Vec<u8>> {
    let copy = copy(place)?;
    rustix::fs::sendfile(&copy, fd, Some(&mut 0), ROOM).at("sendfile")?;
    content(copy)
}

pub(crate) fn by_splice(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let (out, into) = pipe().at("make a pipe")?;
    splice(fd, Some(&mut 0), &into, None, ROOM, SpliceFlags::empty()).at("splice")?;
    drop(into);
    read(out)
}

pub(crate) fn by_tee(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let ((out, into), (end, next)) = (pipe().at("make a pipe")?, pipe().at("make a pipe")?);
    splice(fd, Some(&mut 0), &into, None, ROOM, SpliceFlags::empty()).at("splice")?;
    tee(&out, &next, ROOM, SpliceFlags::empty()).at("tee")?;
    drop(next);
    read(end)
}

pub(crate) fn by_copy(fd: &OwnedFd, place: &Place) -> Outcome<Vec<u8>> {
    let copy = copy(place)?;
    copy_file_range(fd, Some(&mut 0), &copy, None, ROOM).at("copy_file_range")?;
    content(copy)
}

pub(crate) fn by_reflink(fd: &OwnedFd, place: &Place) -> Outcome<Vec<u8>> {
    let copy = copy(place)?;
    ioctl_ficlone(&copy, fd).offered("FICLONE", &[Errno::OPNOTSUPP, Errno::INVAL, Errno::XDEV])?;
    content(copy)
}

pub(crate) fn by_bytes(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    for at in 0..100 {
        pread(fd, &mut byte, at).at("pread")?;
        bytes.extend(byte);
    }
    Ok(bytes)
}

/// A file for a copy.
fn copy(place: &Place) -> Outcome<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::TRUNC;
    openat(CWD, place.at("copy"), flags, Mode::RUSR | Mode::WUSR).at("make a file")
}

/// What the copy holds.
fn content(copy: OwnedFd) -> Outcome<Vec<u8>> {
    let mut copy = File::from(copy);
    let mut bytes = Vec::new();
    copy.rewind().and_then(|()| copy.read_to_end(&mut bytes)).at("read the copy")?;
    Ok(bytes)
}

/// Smallest piece of memory that can be mapped.
pub(crate) const PAGE: usize = 4096;

/// One mapped page.
pub(crate) struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// The first page of a file. What lies behind its end is left out.
    pub(crate) fn new(fd: &OwnedFd, shared: bool) -> Outcome<Self> {
        let sharing = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let len = fs::metadata(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd()))).at("ask for the size")?.len();
        let mut map = Self::make(libc::PROT_READ, sharing, fd.as_raw_fd())?;
        map.len = PAGE.min(len as usize);
        Ok(map)
    }

    /// A page of memory below 4 GiB.
    pub(crate) fn low() -> Outcome<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        Self::make(libc::PROT_READ | libc::PROT_WRITE, flags, -1)
    }

    fn make(protection: i32, flags: i32, fd: i32) -> Outcome<Self> {
        // SAFETY: a new mapping where the kernel has room.
        let start = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).at("mmap");
        }
        Ok(Self { start: start.cast(), len: PAGE })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped readable until this is dropped; the file is not truncated meanwhile.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Only for [`Map::low`]. Written to by system calls as well, so that both halves are looked at apart.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped writable, and borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: our mapping, which nobody borrows any more.
        unsafe { libc::munmap(self.start.cast(), PAGE) };
    }
}
