//! Messages to an address that nobody uses, and from one. Nothing leaves this process.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::sockets::ADDRESS;

/// `discard`.
const PORT: u16 = 9;

/// Sends to [`ADDRESS`] by the system call `call`. That there may be no way to it does not matter.
///
/// # Errors
///
/// When no socket can be had, or `Unsupported` for a call that is not known here.
pub fn send(call: &str) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let to = SocketAddr::from((ADDRESS, PORT));
    match call {
        "sendto" => drop(socket.send_to(b".", to)),
        "sendmsg" => {
            let mut control = SendAncillaryBuffer::default();
            let vector = [IoSlice::new(b".")];
            let _ = rustix::net::sendmsg_addr(&socket, &to, &vector, &mut control, SendFlags::empty());
        }
        "sendmmsg" => with_message(&mut [b'.'], |message| {
            // SAFETY: one message whose buffers are live.
            unsafe { libc::sendmmsg(socket.as_raw_fd(), message, 1, 0) };
        }),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    Ok(())
}

/// Receives the answer of a name server by the system call that the program `answer_` with its name is for: over a pair of
/// sockets, of which the kernel tells no address, so that what we have put there stays.
///
/// # Errors
///
/// The system call's error, or `Unsupported` for a call that is not known here.
pub fn answer(call: &str) -> io::Result<()> {
    let (sender, receiver) = UnixDatagram::pair()?;
    sender.send(&message(call))?;
    let receiver: OwnedFd = receiver.into();
    let descriptor = receiver.as_raw_fd();
    let mut buffer = [0u8; 128];
    let mut failed = false;
    match call {
        "recvfrom" => {
            let mut address = address();
            let mut length = size_of_val(&address) as libc::socklen_t;
            let (bytes, room) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: buffer and address are live locals of these sizes.
            let count =
                unsafe { libc::recvfrom(descriptor, bytes, room, 0, (&raw mut address).cast(), &raw mut length) };
            failed = count < 0;
        }
        "recvmsg" => with_message(&mut buffer, |message| {
            // SAFETY: one message whose buffers are live.
            failed = unsafe { libc::recvmsg(descriptor, &raw mut (*message).msg_hdr, 0) } < 0;
        }),
        "recvmmsg" => with_message(&mut buffer, |message| {
            // SAFETY: as above.
            failed = unsafe { libc::recvmmsg(descriptor, message, 1, 0, std::ptr::null_mut()) } != 1;
        }),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a name server says of a name that begins as the call is called: each is another one.
fn message(call: &str) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in [call, "invalid"] {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    // A of the Internet; the same name once more, for a minute, four bytes.
    message.extend_from_slice(&[0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    message
}

fn address() -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ADDRESS.octets()) },
        sin_zero: [0; 8],
    }
}

/// Calls with a message of these bytes and that address.
fn with_message(bytes: &mut [u8], call: impl FnOnce(*mut libc::mmsghdr)) {
    let mut address = address();
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: any bytes are a message; the members that count are set below.
    let mut message: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_hdr.msg_name = (&raw mut address).cast();
    message.msg_hdr.msg_namelen = size_of_val(&address) as libc::socklen_t;
    message.msg_hdr.msg_iov = &raw mut vector;
    message.msg_hdr.msg_iovlen = 1;
    call(&raw mut message);
}
