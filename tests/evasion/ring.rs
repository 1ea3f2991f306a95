//! io_uring: requests that are no system calls.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::io::Errno;

use crate::{
    place::{Place, got, open},
    stop::{At, Outcome, absent, fail},
    sys::{c_path, call, owned},
    technique::{Technique, Unseen},
};

/// The ring event before Linux 5.18 says neither what was opened nor what was read.
pub(crate) const OLD_RING: Unseen =
    Unseen(&["tracepoint"], &["5.10"], "before Linux 5.18 the event of io_uring does not carry the request");

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("uring-openat", "opened and read by a ring", |place| by_ring(place, OPENAT, 0))
        .unseen(&[OLD_RING]),
    Technique::opens("uring-openat2", "opened by a ring's openat2", |place| by_ring(place, OPENAT2, 0))
        .unseen(&[OLD_RING]),
    Technique::opens("uring-worker", "opened and read by a worker of the ring", |place| by_ring(place, OPENAT, ASYNC))
        .unseen(&[OLD_RING]),
    Technique::opens("uring-direct", "opened into the ring's own table of files, without a descriptor", direct)
        .by(&["open", "read"])
        .unseen(&[OLD_RING]),
    Technique::opens("uring-registered", "read through a registered file", registered),
    Technique::opens("uring-fixed-buffer", "read into a registered buffer", fixed_buffer),
    Technique::opens("uring-sqpoll", "opened and read by the thread that polls the ring", polled)
        .by(&["open", "read"])
        .unseen(&[OLD_RING]),
];

/// `IORING_OP_*`, `IOSQE_*`, `IORING_SETUP_*`, ... (include/uapi/linux/io_uring.h).
const READ_FIXED: u8 = 4;
const CONNECT: u8 = 16;
const OPENAT: u8 = 18;
const READ: u8 = 22;
const OPENAT2: u8 = 28;
const RECVMSG: u8 = 10;
const FIXED_FILE: u8 = 1;
const ASYNC: u8 = 1 << 4;
const SETUP_SQPOLL: u32 = 1 << 1;
const NEED_WAKEUP: u32 = 1;
const ENTER_GETEVENTS: u64 = 1;
const ENTER_SQ_WAKEUP: u64 = 2;
const REGISTER_BUFFERS: u64 = 0;
const REGISTER_FILES: u64 = 2;
const OFFSET_CQ: i64 = 0x800_0000;
const OFFSET_ENTRIES: i64 = 0x1000_0000;

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    operation_flags: u32,
    user_data: u64,
    buffer: u16,
    personality: u16,
    file_index: u32,
    more: [u64; 2],
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: u32,
    completions: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle: u32,
    features: u32,
    queue: u32,
    reserved: [u32; 3],
    /// head, tail, mask, entries, flags, dropped, array, reserved, user address (2).
    submit: [u32; 10],
    /// head, tail, mask, entries, overflow, completions, flags, reserved, user address (2).
    complete: [u32; 10],
}

const LEN: usize = 4096;

/// A ring for one request at a time.
pub(crate) struct Ring {
    fd: OwnedFd,
    parameters: Parameters,
    submit: *mut u8,
    complete: *mut u8,
    entries: *mut Entry,
}

impl Ring {
    pub(crate) fn new(flags: u32) -> Outcome<Self> {
        let mut parameters = Parameters { flags, thread_idle: 1000, ..Parameters::default() };
        // SAFETY: the parameters are written to.
        let fd = unsafe { call(libc::SYS_io_uring_setup, [4, (&raw mut parameters).addr() as u64, 0, 0, 0, 0]) };
        let fd = owned(fd.offered("io_uring_setup", &[Errno::NOSYS, Errno::PERM])?);
        let map = |offset| {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
            // SAFETY: a new mapping where the kernel has room.
            let start = unsafe { libc::mmap(ptr::null_mut(), LEN, access, flags, fd.as_raw_fd(), offset) };
            if start == libc::MAP_FAILED { Err(io::Error::last_os_error()).at("map the ring") } else { Ok(start) }
        };
        let (submit, complete, entries) = (map(0)?.cast(), map(OFFSET_CQ)?.cast(), map(OFFSET_ENTRIES)?.cast());
        Ok(Self { fd, parameters, submit, complete, entries })
    }

    fn word(start: *mut u8, offset: u32) -> &'static AtomicU32 {
        // SAFETY: a word in the mapped page, which stays mapped until this process ends.
        unsafe { &*start.add(offset as usize).cast::<AtomicU32>() }
    }

    /// Submits a request and waits for its result.
    fn run(&self, entry: Entry) -> Outcome<i32> {
        let [_, tail, mask, ..] = self.parameters.submit;
        let tail = Self::word(self.submit, tail);
        let slot = tail.load(Ordering::Relaxed) & Self::word(self.submit, mask).load(Ordering::Relaxed);
        // SAFETY: a slot of the mapped entries, which the kernel does not look at before the tail moves.
        unsafe { self.entries.add(slot as usize).write(entry) };
        Self::word(self.submit, self.parameters.submit[6] + 4 * slot).store(slot, Ordering::Relaxed);
        tail.fetch_add(1, Ordering::Release);
        let polled = self.parameters.flags & SETUP_SQPOLL != 0;
        let asleep = Self::word(self.submit, self.parameters.submit[4]).load(Ordering::SeqCst) & NEED_WAKEUP != 0;
        let wake = if polled && asleep { ENTER_SQ_WAKEUP } else { 0 };
        self.enter(u64::from(!polled), wake | ENTER_GETEVENTS)?;
        self.result()
    }

    fn enter(&self, count: u64, flags: u64) -> Outcome {
        let arguments = [self.fd.as_raw_fd() as u64, count, 1, flags, 0, 0];
        // SAFETY: no pointers.
        unsafe { call(libc::SYS_io_uring_enter, arguments) }.at("io_uring_enter").map(drop)
    }

    fn result(&self) -> Outcome<i32> {
        let [head, tail, mask, _, _, completions, ..] = self.parameters.complete;
        let head = Self::word(self.complete, head);
        let at = head.load(Ordering::Relaxed);
        if Self::word(self.complete, tail).load(Ordering::Acquire) == at {
            return fail("the ring has no result");
        }
        let index = at & Self::word(self.complete, mask).load(Ordering::Relaxed);
        // An entry is user data, result, flags.
        let result = Self::word(self.complete, completions + 16 * index + 8).load(Ordering::Relaxed) as i32;
        head.store(at + 1, Ordering::Release);
        if result < 0 {
            Err(Errno::from_raw_os_error(-result)).offered("a request", &[Errno::INVAL])
        } else {
            Ok(result)
        }
    }

    fn register(&self, what: u64, list: u64, count: u64) -> Outcome {
        // SAFETY: the list has as many members.
        unsafe { call(libc::SYS_io_uring_register, [self.fd.as_raw_fd() as u64, what, list, count, 0, 0]) }
            .at("io_uring_register")
            .map(drop)
    }

    fn register_files(&self, files: &[i32]) -> Outcome {
        self.register(REGISTER_FILES, files.as_ptr().addr() as u64, files.len() as u64)
    }

    fn open(&self, place: &Place, entry: Entry) -> Outcome<i32> {
        let path = c_path(&place.store)?;
        // `struct open_how`: flags, mode, resolve.
        let how = [0_u64; 3];
        let (len, offset) = if entry.opcode == OPENAT2 { (24, (&raw const how).addr() as u64) } else { (0, 0) };
        self.run(Entry { fd: libc::AT_FDCWD, address: path.as_ptr().addr() as u64, len, offset, ..entry })
    }

    /// Reads with this request, which names the file.
    fn read(&self, entry: Entry) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        if entry.opcode == READ_FIXED {
            let vector = [bytes.as_mut_ptr().addr() as u64, bytes.len() as u64];
            self.register(REGISTER_BUFFERS, (&raw const vector).addr() as u64, 1)?;
        }
        let count = self.run(Entry { address: bytes.as_mut_ptr().addr() as u64, len: 4096, ..entry })?;
        bytes.truncate(usize::try_from(count).unwrap_or(0));
        Ok(bytes)
    }

    /// Receives a message; `struct msghdr` is the caller's.
    /// Connects a socket of the process to a path.
    pub(crate) fn connect(&self, socket: &OwnedFd, path: &Path) -> Outcome {
        // SAFETY: any bytes are an address; the members that count are set below.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as u16;
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= address.sun_path.len() {
            return absent("the path is too long for an address");
        }
        for (to, from) in address.sun_path.iter_mut().zip(bytes) {
            *to = from.cast_signed();
        }
        let pointer = (&raw const address).addr() as u64;
        let length = size_of_val(&address) as u64;
        let entry =
            Entry { opcode: CONNECT, fd: socket.as_raw_fd(), address: pointer, offset: length, ..Entry::default() };
        self.run(entry).map(drop)
    }

    pub(crate) fn receive(&self, socket: i32, message: &mut libc::msghdr) -> Outcome<i32> {
        let address = ptr::from_mut(message).addr() as u64;
        self.run(Entry { opcode: RECVMSG, fd: socket, address, len: 1, ..Entry::default() })
    }
}

/// Reads through a descriptor by a ring.
pub(crate) fn by_uring(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    Ring::new(0)?.read(Entry { opcode: READ, fd: fd.as_raw_fd(), ..Entry::default() })
}

/// The same through a registered file.
pub(crate) fn by_registered(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let ring = Ring::new(0)?;
    ring.register_files(&[fd.as_raw_fd()])?;
    ring.read(Entry { opcode: READ, flags: FIXED_FILE, ..Entry::default() })
}

/// The same by the thread that polls the ring.
pub(crate) fn by_sqpoll(fd: &OwnedFd, _: &Place) -> Outcome<Vec<u8>> {
    let ring = Ring::new(SETUP_SQPOLL)?;
    ring.register_files(&[fd.as_raw_fd()])?;
    ring.read(Entry { opcode: READ, flags: FIXED_FILE, ..Entry::default() })
}

fn by_ring(place: &Place, opcode: u8, flags: u8) -> Outcome {
    let ring = Ring::new(0)?;
    let fd = ring.open(place, Entry { opcode, flags, ..Entry::default() })?;
    got(&ring.read(Entry { opcode: READ, fd, flags, ..Entry::default() })?)
}

fn direct(place: &Place) -> Outcome {
    let ring = Ring::new(0)?;
    ring.register_files(&[-1; 4])?;
    // Slots are counted from 1 here.
    let result = ring.open(place, Entry { opcode: OPENAT, file_index: 1, ..Entry::default() })?;
    if result != 0 {
        return absent("this kernel opens no direct descriptors");
    }
    got(&ring.read(Entry { opcode: READ, flags: FIXED_FILE, ..Entry::default() })?)
}

fn registered(place: &Place) -> Outcome {
    got(&by_registered(&open(&place.store)?, place)?)
}

fn fixed_buffer(place: &Place) -> Outcome {
    let fd = open(&place.store)?;
    got(&Ring::new(0)?.read(Entry { opcode: READ_FIXED, fd: fd.as_raw_fd(), ..Entry::default() })?)
}

/// Before Linux 5.11, and 5.10.162 with the rings of 5.15, such a ring reads registered files only, and opens none.
fn polled(place: &Place) -> Outcome {
    let ring = Ring::new(SETUP_SQPOLL)?;
    match ring.open(place, Entry { opcode: OPENAT, ..Entry::default() }) {
        Ok(fd) => got(&ring.read(Entry { opcode: READ, fd, ..Entry::default() })?),
        Err(_) => got(&by_sqpoll(&open(&place.store)?, place)?),
    }
}
