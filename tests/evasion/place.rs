//! Where a technique acts.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::{
    stop::{At, Outcome, fail},
    tell,
    victim::Victim,
};

/// How the store's content begins.
pub(crate) const START: &[u8] = b"[default]\naws_access_key_id = AKIA";

/// The store, and room beside it.
pub(crate) struct Place {
    /// The store's own name.
    pub(crate) store: PathBuf,
    /// A directory of this technique's own, on the same file system.
    dir: PathBuf,
    /// A process to look into, where the technique asked for one.
    pub(crate) victim: Option<Victim>,
}

impl Place {
    pub(crate) fn new(store: &Path, dir: &Path) -> Outcome<Self> {
        let store = fs::canonicalize(store).at("find the store")?;
        let dir = fs::canonicalize(dir).at("find the working directory")?;
        Ok(Self { store, dir, victim: None })
    }

    /// The directory that the store lies in.
    pub(crate) fn parent(&self) -> &Path {
        self.store.parent().unwrap_or(Path::new("/"))
    }

    /// The home that that one lies in.
    pub(crate) fn home(&self) -> &Path {
        self.parent().parent().unwrap_or(Path::new("/"))
    }

    /// The store's name in its directory.
    pub(crate) fn name(&self) -> &Path {
        Path::new(self.store.file_name().unwrap_or_default())
    }

    /// A path in the working directory.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A new directory there.
    pub(crate) fn directory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.at(name);
        fs::create_dir_all(&path).at("make a directory")?;
        Ok(path)
    }

    pub(crate) fn victim(&self) -> Outcome<&Victim> {
        self.victim.as_ref().map_or_else(|| fail("no victim was started"), Ok)
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Outcome<OwnedFd> {
    open_with(path, OFlags::RDONLY | OFlags::CLOEXEC)
}

pub(crate) fn open_with(path: &Path, flags: OFlags) -> Outcome<OwnedFd> {
    openat(CWD, path, flags, Mode::empty()).at(&format!("open {}", path.display()))
}

/// Reads a descriptor to its end.
pub(crate) fn read(fd: OwnedFd) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes).at("read")?;
    Ok(bytes)
}

/// The caller has these bytes and is the reader, if they are the content of the store.
pub(crate) fn got(bytes: &[u8]) -> Outcome {
    check(bytes)?;
    tell::reader();
    Ok(())
}

/// Whether these bytes are the content, or its beginning.
pub(crate) fn check(bytes: &[u8]) -> Outcome {
    let common = bytes.len().min(START.len());
    if common < 8 || bytes[..common] != START[..common] {
        return fail(format!("{} bytes that are not the store's", bytes.len()));
    }
    Ok(())
}

/// Opens by name, reads, and checks.
pub(crate) fn take(path: &Path) -> Outcome {
    got(&read(open(path)?)?)
}

/// Does something when it goes out of scope: puts back what a technique moved.
pub(crate) struct Undo<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
