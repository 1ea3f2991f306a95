//! Reads a store's file, and the write-ahead log beside it, into memory that is overwritten.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{extract::limits::MAX_BYTES, secret::Secret};

/// A file as it was read.
#[derive(Debug)]
pub struct StoreFile {
    /// Its content.
    pub bytes: Secret,
    /// The content of the `-wal` file beside it.
    pub wal: Option<Secret>,
    /// When it was last written.
    pub written: Option<Timestamp>,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is a directory, a pipe, a device or a socket.
    #[error("{} is no regular file", .0.display())]
    NotRegular(PathBuf),
    /// It is larger than what is taken apart.
    #[error("{} is larger than {} MiB, the most that is taken apart", path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a store's file. Links are followed; a pipe or device is not waited for.
///
/// A file that grows while it is read is cut at [`MAX_BYTES`] and refused. A log that cannot be read, or is too large,
/// is left out: the database is then as it was at its last checkpoint.
///
/// # Errors
/// See [`ReadError`].
pub fn read(path: &Path) -> Result<StoreFile, ReadError> {
    let (bytes, written) = contents(path)?;
    let wal = bytes.expose().starts_with(b"SQLite format 3\0").then(|| {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        contents(Path::new(&name)).ok().map(|(bytes, _)| bytes)
    });
    Ok(StoreFile { bytes, wal: wal.flatten().filter(|wal| !wal.is_empty()), written })
}

fn contents(path: &Path) -> Result<(Secret, Option<Timestamp>), ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ReadError::NotRegular(path.to_owned()));
    }
    let too_large = || ReadError::TooLarge { path: path.to_owned() };
    let length = usize::try_from(metadata.len()).ok().filter(|length| *length <= MAX_BYTES).ok_or_else(too_large)?;
    // Room for one byte more than there is, so that reading to the end does not move what was read.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    let mut rest = (&file).take(MAX_BYTES as u64 + 1);
    let mut piece = Zeroizing::new([0; 4096]);
    loop {
        match rest.read(&mut piece[..]) {
            Ok(0) => break,
            Ok(read) => grow(&mut bytes, &piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if bytes.len() > MAX_BYTES {
        return Err(too_large());
    }
    let written = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok((Secret::new(std::mem::take(&mut *bytes)), written))
}

/// Appends; if there is no room, into new memory, and the old is overwritten.
fn grow(bytes: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    if bytes.capacity() - bytes.len() < piece.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * (bytes.len() + piece.len())));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_and_the_log_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        fs::write(&path, b"SQLite format 3\0rest").unwrap();
        assert!(read(&path).unwrap().wal.is_none());
        fs::write(directory.path().join("x.db-wal"), b"log").unwrap();
        let file = read(&path).unwrap();
        assert_eq!(file.bytes.expose(), b"SQLite format 3\0rest");
        assert_eq!(file.wal.unwrap().expose(), b"log");
        assert!(file.written.is_some());
        fs::write(&path, b"other").unwrap();
        assert!(read(&path).unwrap().wal.is_none());
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_read_whole() {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1));
        for piece in [&b"abc"[..], b"", b"defgh"] {
            grow(&mut bytes, piece);
        }
        assert_eq!(&bytes[..], b"abcdefgh");
        // Without a length, as in /proc.
        assert!(!read(Path::new("/proc/self/status")).unwrap().bytes.is_empty());
    }

    #[test]
    fn only_regular_files_of_a_fair_size() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path()), Err(ReadError::NotRegular(_))));
        assert!(matches!(read(Path::new("/dev/zero")), Err(ReadError::NotRegular(_))));
        assert!(matches!(read(&directory.path().join("none")), Err(ReadError::Io { .. })));
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(matches!(read(&pipe), Err(ReadError::NotRegular(_))));
        let large = directory.path().join("large");
        fs::File::create(&large).unwrap().set_len(MAX_BYTES as u64 + 1).unwrap();
        assert!(matches!(read(&large), Err(ReadError::TooLarge { .. })));
    }
}
