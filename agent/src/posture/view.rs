//! A machine's files as seen from one directory: `/`, or where an image or a backup was unpacked. Links are resolved
//! inside it by the kernel (`RESOLVE_IN_ROOT` of openat2(2), Linux 5.6), so that none leads out, whatever changes
//! meanwhile.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, readlinkat},
    io::Errno,
};

/// How often a resolution is tried again that a rename anywhere has disturbed (openat2(2), `EAGAIN`).
const TRIES: u32 = 16;

/// The directory that everything is seen from.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    at: PathBuf,
}

/// A root cannot be looked into.
#[derive(Debug, thiserror::Error)]
#[error("open the root directory {at}: {error}; name a directory that you may read")]
pub struct ViewError {
    at: String,
    error: io::Error,
}

impl View {
    /// Everything below `at`.
    ///
    /// # Errors
    /// It is no directory, or may not be opened.
    pub fn open(at: &Path) -> Result<Self, ViewError> {
        let failed = |error: io::Error| ViewError { at: crate::finding::visible::path(at), error };
        let absolute = std::fs::canonicalize(at).map_err(failed)?;
        let root = open(&absolute, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Ok(Self { root: root.map_err(|error| failed(error.into()))?, at: absolute })
    }

    /// Everything below `directory`, which is below `top` with no link on the way there: whoever can write in `top` does not
    /// lead us elsewhere. Links in the path of `top` itself are followed.
    ///
    /// # Errors
    /// It is not below `top`, is no directory, a link is on the way, or it may not be opened.
    pub fn below(top: &Path, directory: &Path) -> Result<Self, ViewError> {
        let failed = |error: io::Error| ViewError { at: crate::finding::visible::path(directory), error };
        let outer = Self::open(top)?;
        let rest = directory.strip_prefix(top).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = outer.resolve(rest, flags, ResolveFlags::NO_SYMLINKS).map_err(failed)?;
        Ok(Self { root, at: outer.at.join(rest) })
    }

    /// Where it is, on this machine.
    #[must_use]
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Is it this machine itself?
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.at == Path::new("/")
    }

    /// Where a path inside lies on this machine. Links are as they are.
    #[must_use]
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.at.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The path inside of a path on this machine. `None` if it is not inside.
    #[must_use]
    pub fn inside(&self, outside: &Path) -> Option<PathBuf> {
        outside.strip_prefix(&self.at).ok().map(|rest| Path::new("/").join(rest))
    }

    fn resolve(&self, path: &Path, flags: OFlags, more: ResolveFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        let mut tries = 0;
        loop {
            match openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if tries < TRIES => tries += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// What a path names; of a link itself if `follow` is not set.
    ///
    /// # Errors
    /// Those of openat2(2) and fstat(2).
    pub fn stat(&self, path: &Path, follow: bool) -> io::Result<Stat> {
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        Ok(fstat(self.resolve(path, flags, ResolveFlags::empty())?)?)
    }

    /// Where a path leads to in the end, inside.
    ///
    /// # Errors
    /// It leads nowhere, or `/proc` is not there to ask.
    pub fn real(&self, path: &Path) -> io::Result<PathBuf> {
        use std::os::fd::AsRawFd;
        let file = self.resolve(path, OFlags::PATH, ResolveFlags::empty())?;
        let name = readlinkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new())?;
        let outside = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        self.inside(outside).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens a regular file for reading; anything else is refused before it is opened, so that no device acts and no
    /// pipe blocks. `links` tells whether links on the way are followed, inside.
    ///
    /// # Errors
    /// It is no regular file (`InvalidInput`), or those of openat2(2).
    pub fn file(&self, path: &Path, links: bool) -> io::Result<File> {
        let more = if links { ResolveFlags::empty() } else { ResolveFlags::NO_SYMLINKS };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        if links {
            regular(&fstat(self.resolve(path, OFlags::PATH, more)?)?)?;
        }
        let file = File::from(self.resolve(path, flags, more)?);
        regular(&fstat(&file)?)?;
        Ok(file)
    }

    /// The first `most` bytes of a regular file.
    ///
    /// # Errors
    /// As [`View::file`].
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(path, true)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Entries of a directory, at most `most`, sorted.
    ///
    /// # Errors
    /// It cannot be opened or listed.
    pub fn list(&self, path: &Path, most: usize) -> io::Result<Vec<(OsString, FileType)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let mut entries = Vec::new();
        for entry in Dir::new(self.resolve(path, flags, ResolveFlags::empty())?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if entries.len() >= most {
                break;
            }
            entries.push((std::ffi::OsStr::from_bytes(name).to_owned(), entry.file_type()));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }
}

fn regular(stat: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn no_link_leads_out() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("secret"), "outside").unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/secret"), "inside").unwrap();
        symlink("/etc/secret", root.join("absolute")).unwrap();
        symlink("../../../etc/secret", root.join("etc/above")).unwrap();
        symlink(outer.path().join("secret"), root.join("out")).unwrap();
        let view = View::open(&root).unwrap();
        for path in ["/absolute", "/etc/above"] {
            assert_eq!(view.read(Path::new(path), 100).unwrap(), b"inside", "{path}");
            assert_eq!(view.real(Path::new(path)).unwrap(), Path::new("/etc/secret"), "{path}");
        }
        assert_eq!(view.read(Path::new("/out"), 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(view.file(Path::new("/absolute"), false).is_err(), "a link where none is wanted");
    }

    #[test]
    fn no_link_leads_to_another_directory() {
        let outer = tempfile::tempdir().unwrap();
        let top = outer.path().join("storage");
        fs::create_dir_all(top.join("overlay/one/diff")).unwrap();
        fs::write(top.join("overlay/one/diff/file"), "inside").unwrap();
        fs::create_dir_all(top.join("overlay/two")).unwrap();
        symlink("../one/diff", top.join("overlay/two/diff")).unwrap();
        symlink("one", top.join("overlay/three")).unwrap();
        symlink(&top, outer.path().join("moved")).unwrap();
        for top in [top.clone(), outer.path().join("moved")] {
            let view = View::below(&top, &top.join("overlay/one/diff")).unwrap();
            assert_eq!(view.read(Path::new("/file"), 100).unwrap(), b"inside");
            for other in ["overlay/two/diff", "overlay/three/diff", "overlay/one/diff/file"] {
                assert!(View::below(&top, &top.join(other)).is_err(), "{other}");
            }
        }
        assert!(View::below(&top, outer.path()).is_err(), "not below it");
    }

    #[test]
    fn only_regular_files_are_opened() {
        let root = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(CWD, root.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let view = View::open(root.path()).unwrap();
        assert_eq!(view.file(Path::new("/pipe"), true).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(view.file(Path::new("/pipe"), false).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(view.list(Path::new("/"), 10).unwrap().len(), 1);
    }
}
