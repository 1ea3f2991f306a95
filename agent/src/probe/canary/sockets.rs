//! A socket of ours, and an address that nobody uses, to connect to.

use std::{
    fs, io,
    net::{Ipv4Addr, UdpSocket},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
};

use tokenhound_common::record::FileId;

use crate::kernel::file_id;

/// An address of the loopback network that no program listens on by habit.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 84, 72, 1);

/// A socket that listens and is removed when dropped.
pub struct Canary {
    path: PathBuf,
    id: FileId,
    _listener: UnixListener,
}

impl Canary {
    /// Creates it beside the canary file.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written.
    pub fn create(file: &Path) -> io::Result<Self> {
        let path = file.with_extension("socket");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let id = file_id::of(&path)?;
        Ok(Self { path, id, _listener: listener })
    }

    /// Which file it is.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// Connects to it.
    ///
    /// # Errors
    ///
    /// The system call's error.
    pub fn connect(&self) -> io::Result<()> {
        UnixStream::connect(&self.path).map(drop)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the canary socket could not be removed");
        }
    }
}

/// Connects to [`ADDRESS`] without sending anything. That there may be no way to it does not matter: the question comes first.
///
/// # Errors
///
/// When no socket can be had.
pub fn address() -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let _ = socket.connect((ADDRESS, 9));
    Ok(())
}
