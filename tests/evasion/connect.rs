//! Connections to an agent's socket, which lies where gpg-agent has it in the home.

use std::{
    env, fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::symlink,
            net::{SocketAddr, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::OFlags,
    mount::mount_bind,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

use crate::{
    place::{Place, Undo, open_with},
    ring::Ring,
    stop::{At, Outcome},
    sys::own_mounts,
    technique::{Technique, Unseen},
    tell,
};

const NO_CALL: Unseen =
    Unseen(&["tracepoint"], &[], "no call of the process connects, and no event carries the socket");

pub(crate) const TABLE: &[Technique] = &[
    Technique::connects("connect", "connect(2) by the socket's path", |place| asked(place, plain)),
    Technique::connects("connect-relative", "from its directory", |place| {
        asked(place, |socket| {
            env::set_current_dir(socket.parent().unwrap_or(Path::new("/"))).at("change the directory")?;
            plain(Path::new("S.gpg-agent"))
        })
    }),
    Technique::connects("connect-symlink", "through a symbolic link", |place| {
        asked(place, |socket| {
            symlink(socket, place.at("link")).at("link")?;
            plain(&place.at("link"))
        })
    }),
    Technique::connects("connect-hard-link", "by another name of the socket", |place| {
        asked(place, |socket| {
            fs::hard_link(socket, place.at("name")).at("link")?;
            plain(&place.at("name"))
        })
    }),
    Technique::connects("connect-bind", "through a bind mount of the socket", |place| {
        asked(place, |socket| {
            own_mounts()?;
            fs::write(place.at("mount"), "").at("make a file")?;
            mount_bind(socket, place.at("mount")).at("bind")?;
            plain(&place.at("mount"))
        })
    }),
    Technique::connects("connect-descriptor", "through a descriptor of the socket's file", |place| {
        asked(place, |socket| {
            let file = open_with(socket, OFlags::PATH | OFlags::CLOEXEC)?;
            plain(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
        })
    }),
    Technique::connects("connect-nonblocking", "without waiting", |place| {
        asked(place, |socket| {
            let address = SocketAddrUnix::new(socket).at("make an address")?;
            connect(&unconnected(SocketFlags::NONBLOCK)?, &address).at("connect")
        })
    }),
    Technique::connects("connect-uring", "by a request of io_uring", |place| {
        asked(place, |socket| Ring::new(0)?.connect(&unconnected(SocketFlags::CLOEXEC)?, socket))
    })
    .unseen(&[NO_CALL]),
    Technique::innocent("connect-namesake", "connects to a socket of the same name elsewhere", |place| {
        let socket = place.directory("elsewhere")?.join("S.gpg-agent");
        let _listener = UnixListener::bind(&socket).at("bind")?;
        plain(&socket)
    }),
    Technique::innocent(
        "connect-abstract",
        "connects to an abstract socket that is called like the agent's",
        |place| {
            let name = SocketAddr::from_abstract_name(agent(place).as_os_str().as_bytes()).at("make an address")?;
            let _listener = UnixListener::bind_addr(&name).at("bind")?;
            UnixStream::connect_addr(&name).at("connect").map(drop)
        },
    ),
    Technique::innocent("socket-stat", "looks at the agent's socket and does not connect", |place| {
        let (socket, _listener) = listen(place)?;
        let _gone = removed(&socket);
        fs::metadata(&socket).at("stat").map(drop)
    }),
];

fn agent(place: &Place) -> PathBuf {
    place.home().join(".gnupg/S.gpg-agent")
}

fn listen(place: &Place) -> Outcome<(PathBuf, UnixListener)> {
    let socket = agent(place);
    fs::create_dir_all(socket.parent().unwrap_or(Path::new("/"))).at("make a directory")?;
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).at("bind")?;
    Ok((socket, listener))
}

fn removed(socket: &Path) -> Undo<impl FnMut()> {
    let socket = socket.to_owned();
    Undo(move || drop(fs::remove_file(&socket)))
}

/// Connects to an agent that this process plays itself.
fn asked(place: &Place, connect: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let (socket, _listener) = listen(place)?;
    let _gone = removed(&socket);
    connect(&socket)?;
    tell::reader();
    Ok(())
}

fn plain(socket: &Path) -> Outcome {
    UnixStream::connect(socket).at("connect").map(drop)
}

fn unconnected(flags: SocketFlags) -> Outcome<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).at("socket")
}
