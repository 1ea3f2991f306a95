//! Descriptors of the canary: passed on, and read through in every way.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::ReadWriteFlags,
    mm::{MapFlags, ProtFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType,
    },
    pipe::SpliceFlags,
    process::{PidfdFlags, PidfdGetfdFlags},
};

/// A file without a name that can be opened again through `/proc/self/fd`.
///
/// # Errors
///
/// When the kernel gives none.
pub fn nameless() -> io::Result<File> {
    Ok(memfd_create("tokenhound-canary", MemfdFlags::CLOEXEC)?.into())
}

/// Receives `file` from ourselves by the system call `call`.
///
/// # Errors
///
/// The system call's error, or `Unsupported` for a call that is not known here.
pub fn receive(file: &File, call: &str) -> io::Result<()> {
    match call {
        "pidfd_getfd" => {
            let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
            rustix::process::pidfd_getfd(own, file.as_raw_fd(), PidfdGetfdFlags::empty())?;
            Ok(())
        }
        "recvmsg" => {
            let receiver = send(file)?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            rustix::net::recvmsg(&receiver, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            Ok(())
        }
        "recvmmsg" => receive_many(&send(file)?),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Sends the descriptor along with one byte; the other end of the connection.
fn send(file: &File) -> io::Result<OwnedFd> {
    let (sender, receiver) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&files));
    rustix::net::sendmsg(&sender, &[IoSlice::new(b".")], &mut control, SendFlags::empty())?;
    Ok(receiver)
}

fn receive_many(receiver: &OwnedFd) -> io::Result<()> {
    let (mut byte, mut control) = ([0u8], [0u64; 8]);
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: any bytes are a message; the members that count are set below.
    let mut message: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_hdr.msg_iov = &raw mut vector;
    message.msg_hdr.msg_iovlen = 1;
    message.msg_hdr.msg_control = control.as_mut_ptr().cast();
    // C libraries differ in the type of this, and of the flags.
    message.msg_hdr.msg_controllen = size_of_val(&control) as _;
    // SAFETY: one message whose buffers are live locals. The descriptor that comes is the canary's and stays open until
    // we end, which is once.
    let count = unsafe {
        libc::recvmmsg(receiver.as_raw_fd(), &raw mut message, 1, libc::MSG_CMSG_CLOEXEC as _, std::ptr::null_mut())
    };
    if count == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads through `file` by the system call `call`. That the call then fails for this kind of file does not matter.
///
/// # Errors
///
/// When what the call needs cannot be had, or `Unsupported` for a call that is not known here.
pub fn read(file: &File, call: &str) -> io::Result<()> {
    let mut byte = [0];
    let mut vector = [IoSliceMut::new(&mut byte)];
    // Each result is dropped: the probe sits before the call does its work.
    match call {
        "read" => drop(rustix::io::read(file, &mut byte)),
        "pread64" => drop(rustix::io::pread(file, &mut byte, 0)),
        "readv" => drop(rustix::io::readv(file, &mut vector)),
        "preadv" => drop(rustix::io::preadv(file, &mut vector, 0)),
        "preadv2" => drop(rustix::io::preadv2(file, &mut vector, 0, ReadWriteFlags::empty())),
        "mmap" => map(file.as_fd())?,
        "sendfile64" => drop(rustix::fs::sendfile(nameless()?, file, None, 1)),
        "copy_file_range" => drop(rustix::fs::copy_file_range(file, None, nameless()?, None, 1)),
        "splice" => drop(rustix::pipe::splice(file, None, rustix::pipe::pipe()?.1, None, 1, SpliceFlags::empty())),
        "tee" => drop(rustix::pipe::tee(file, rustix::pipe::pipe()?.1, 1, SpliceFlags::empty())),
        "io_uring" => through_ring(file)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    Ok(())
}

/// Closes `file` by the system call `call`, if only at the end.
///
/// # Errors
///
/// When what the call needs cannot be had, or `Unsupported` for a call that is not known here.
pub fn close(file: File, call: &str) -> io::Result<()> {
    match call {
        "close" | "locks_remove_file" => {}
        "dup2" | "dup3" => {
            let mut place: OwnedFd = file.try_clone()?.into();
            let other = nameless()?;
            if call == "dup2" {
                rustix::io::dup2(&other, &mut place)?;
            } else {
                rustix::io::dup3(&other, &mut place, rustix::io::DupFlags::CLOEXEC)?;
            }
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    drop(file);
    Ok(())
}

fn map(file: BorrowedFd<'_>) -> io::Result<()> {
    const PAGE: usize = 4096;
    // SAFETY: a new private mapping, of which nothing is read, and which is taken away again.
    unsafe {
        let address = rustix::mm::mmap(std::ptr::null_mut(), PAGE, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        rustix::mm::munmap(address, PAGE)?;
    }
    Ok(())
}

/// On a thread of its own: the kernel may start a worker for it, a thread of this process that goes with the one that asked,
/// and not with the ring (Linux 5.12, `io_uring_clean_tctx`).
fn through_ring(file: &File) -> io::Result<()> {
    let read = std::thread::scope(|scope| scope.spawn(|| read_through_ring(file)).join());
    read.unwrap_or_else(|_| Err(io::Error::other("the thread that reads through a ring panicked")))
}

fn read_through_ring(file: &File) -> io::Result<()> {
    let mut ring = io_uring::IoUring::new(2)?;
    let mut byte = [0u8];
    let read = io_uring::opcode::Read::new(io_uring::types::Fd(file.as_raw_fd()), byte.as_mut_ptr(), 1).build();
    // SAFETY: buffer and descriptor outlive the request, which is waited for.
    unsafe { ring.submission().push(&read) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    Ok(())
}
