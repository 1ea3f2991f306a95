//! Making and removing the files of decoys. The directories may belong to a user while root works here, so no link is ever
//! followed: each component is opened by itself.

use std::{
    fs::{File, Metadata},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timestamps, Uid};

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Which file it is, as `stat` says, and when its content changed: inode numbers are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// In seconds since the epoch.
    pub changed_at: i64,
}

impl Identity {
    /// Of the file at that path itself, if there is one.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::symlink_metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), changed_at: metadata.mtime() }
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The file.
    pub file: Identity,
    /// Directories that were made for it, outermost first.
    pub directories: Vec<PathBuf>,
}

/// Why a file could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// There is something already.
    #[error("plant a decoy at {}: there is a file already, which is left as it is", .0.display())]
    Exists(PathBuf),
    /// A component is a link, or no directory.
    #[error("go to {}: it is a link or no directory; name the real path", .0.display())]
    NoDirectory(PathBuf),
    /// It is another file than the one that was planted.
    #[error("remove {}: it is not the file that was planted, or was changed since; look at it, and remove it by hand", .0.display())]
    Other(PathBuf),
    /// Something else went wrong.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn failed<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { operation, path, source: source.into() }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes a file with this content that only its owner can read, last changed at `changed` (seconds since the epoch), and the
/// directories to it. Never touches a file that exists.
///
/// # Errors
/// See [`PlaceError`]; what was made until then is removed again.
pub fn make(path: &Path, content: &str, owner: Option<Owner>, changed: i64) -> Result<Made, PlaceError> {
    let mut directories = Vec::new();
    let made = make_in(path, content, owner, changed, &mut directories);
    match made {
        Ok(file) => Ok(Made { file, directories }),
        Err(error) => {
            remove_directories(&directories);
            Err(error)
        }
    }
}

fn make_in(
    path: &Path,
    content: &str,
    owner: Option<Owner>,
    changed: i64,
    made: &mut Vec<PathBuf>,
) -> Result<Identity, PlaceError> {
    let (parent, name) = parts(path)?;
    let directory = walk(parent, |at, name, path| {
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o700)).map_err(failed("make", path))?;
        made.push(path.to_owned());
        let new = open_directory(at, name, path)?;
        give(&new, owner, path)?;
        Ok(new)
    })?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&directory, name, flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::EXIST) => return Err(PlaceError::Exists(path.to_owned())),
        Err(error) => return Err(failed("make", path)(error)),
    };
    match fill(&file, content, owner, changed, path) {
        Ok(id) => Ok(id),
        Err(error) => {
            // Half a decoy is none.
            let _ = rustix::fs::unlinkat(&directory, name, AtFlags::empty());
            Err(error)
        }
    }
}

fn fill(
    mut file: &File,
    content: &str,
    owner: Option<Owner>,
    changed: i64,
    path: &Path,
) -> Result<Identity, PlaceError> {
    file.write_all(content.as_bytes()).map_err(failed("write", path))?;
    give(file, owner, path)?;
    let time = rustix::fs::Timespec { tv_sec: changed, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(file, &times).map_err(failed("set the times of", path))?;
    let metadata = file.metadata().map_err(failed("look at", path))?;
    Ok(Identity::of(&metadata))
}

fn give(file: impl AsFd, owner: Option<Owner>, path: &Path) -> Result<(), PlaceError> {
    let Some(Owner { uid, gid }) = owner else { return Ok(()) };
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed("give away", path))
}

/// Removes the file if it is still `planted`, unchanged. It is not read. A file that is gone already is no error.
///
/// # Errors
/// See [`PlaceError`].
pub fn remove(path: &Path, planted: Identity) -> Result<(), PlaceError> {
    let (parent, name) = parts(path)?;
    let missing = |at: &OwnedFd, _: &Path, path: &Path| Err(missing(at, path));
    match walk(parent, missing).and_then(|directory| remove_from(&directory, name, path, planted)) {
        Err(PlaceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn missing(_: &OwnedFd, path: &Path) -> PlaceError {
    PlaceError::Io { operation: "go to", path: path.to_owned(), source: io::ErrorKind::NotFound.into() }
}

fn remove_from(directory: &OwnedFd, name: &Path, path: &Path, planted: Identity) -> Result<(), PlaceError> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("look at", path))?;
    let now = Identity { device: stat.st_dev, inode: stat.st_ino, changed_at: stat.st_mtime };
    if now != planted {
        return Err(PlaceError::Other(path.to_owned()));
    }
    rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(failed("remove", path))
}

/// Removes directories, in the order in which they were made. Those that others put something into stay.
pub fn remove_directories(directories: &[PathBuf]) {
    for path in directories.iter().rev() {
        let Ok((parent, name)) = parts(path) else { continue };
        if let Ok(at) = walk(parent, |at, _, path| Err(missing(at, path))) {
            let _ = rustix::fs::unlinkat(&at, name, AtFlags::REMOVEDIR);
        }
    }
}

fn parts(path: &Path) -> Result<(&Path, &Path), PlaceError> {
    let none = || PlaceError::NoDirectory(path.to_owned());
    Ok((path.parent().ok_or_else(none)?, path.file_name().map(Path::new).ok_or_else(none)?))
}

/// Opens a directory by its absolute path, link by link refused; one that does not exist is what `absent` makes of it.
fn walk(
    path: &Path,
    mut absent: impl FnMut(&OwnedFd, &Path, &Path) -> Result<OwnedFd, PlaceError>,
) -> Result<OwnedFd, PlaceError> {
    let root = rustix::fs::open("/", DIRECTORY, Mode::empty()).map_err(failed("open", Path::new("/")))?;
    let (mut directory, mut so_far) = (root, PathBuf::from("/"));
    for component in path.components().filter(|component| *component != Component::RootDir) {
        so_far.push(component);
        let name = Path::new(component.as_os_str());
        directory = match open_directory(&directory, name, &so_far) {
            Err(PlaceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                absent(&directory, name, &so_far)?
            }
            other => other?,
        };
    }
    Ok(directory)
}

fn open_directory(at: &OwnedFd, name: &Path, path: &Path) -> Result<OwnedFd, PlaceError> {
    match rustix::fs::openat(at, name, DIRECTORY, Mode::empty()) {
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => Err(PlaceError::NoDirectory(path.to_owned())),
        other => other.map_err(failed("open", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap();
        (directory, real)
    }

    #[test]
    fn it_is_made_with_its_directories_and_goes_with_them() {
        let (_guard, home) = place();
        let path = home.join("old/.aws/credentials");
        let made = make(&path, "made up\n", None, 1_700_000_000).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.mtime()), (0o600, 1_700_000_000));
        assert_eq!(made.directories, [home.join("old"), home.join("old/.aws")]);
        assert!(matches!(make(&path, "other\n", None, 0), Err(PlaceError::Exists(_))), "it refuses to overwrite");
        assert_eq!(fs::read_to_string(&path).unwrap(), "made up\n");
        fs::write(home.join("old/mine"), "mine").unwrap();
        remove(&path, made.file).unwrap();
        remove_directories(&made.directories);
        assert!(!home.join("old/.aws").exists() && home.join("old/mine").exists());
        remove(&path, made.file).expect("gone already");
    }

    #[test]
    fn another_file_at_its_place_stays() {
        let (_guard, home) = place();
        let path = home.join("credentials");
        let made = make(&path, "made up\n", None, 0).unwrap();
        fs::write(home.join("new"), "mine").unwrap();
        fs::rename(home.join("new"), &path).unwrap();
        assert!(matches!(remove(&path, made.file), Err(PlaceError::Other(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn links_are_not_followed() {
        let (_guard, home) = place();
        fs::create_dir(home.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(home.join("elsewhere"), home.join("old")).unwrap();
        let refused = make(&home.join("old/.aws/credentials"), "x", None, 0);
        assert!(matches!(refused, Err(PlaceError::NoDirectory(_))), "{refused:?}");
        assert_eq!(fs::read_dir(home.join("elsewhere")).unwrap().count(), 0);
    }
}
