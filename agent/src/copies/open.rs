//! Opens a candidate: the very file that was written, and nothing that acts or blocks when it is opened.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2},
    io::Errno,
};
use tokenhound_common::record::FileId;

use super::model::Skipped;

/// Most entries of a directory in which a file is looked for that was renamed.
const ENTRIES: usize = 8192;

/// An open candidate.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stat: Stat,
    /// Where it lies now, if that is elsewhere.
    pub(super) moved: Option<PathBuf>,
}

/// Opens the file at `path`, which is to be `wanted` where that is known. One that has another name by now is looked for in its
/// directory: editors, git and many tools write to a name of their own and then rename.
///
/// # Errors
/// Why it is not looked into.
pub(super) fn open_candidate(path: &Path, wanted: Option<FileId>) -> Result<Opened, Skipped> {
    let found = at(path);
    let inode = wanted.map(|id| id.inode).filter(|inode| *inode != 0);
    match (found, inode) {
        (Ok((file, stat)), Some(inode)) if stat.st_ino != inode => {
            drop(file);
            beside(path, inode).ok_or(Skipped::Replaced)
        }
        (Ok((file, stat)), _) => Ok(Opened { file, stat, moved: None }),
        (Err(Skipped::Gone | Skipped::NotRegular), Some(inode)) => beside(path, inode).ok_or(Skipped::Gone),
        (Err(why), _) => Err(why),
    }
}

/// Opens what a path names. Devices, pipes and links are refused before they are opened for reading.
fn at(path: &Path) -> Result<(File, Stat), Skipped> {
    let seen = find(path).map_err(why)?;
    if !is_regular(&fstat(&seen).map_err(why)?) {
        return Err(Skipped::NotRegular);
    }
    // The very file that was looked at, whatever has its name by now.
    let path = format!("/proc/self/fd/{}", seen.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    // A look is no access that others should see. Not every file system allows that.
    let file = match open(&path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM | Errno::INVAL) => open(&path, flags, Mode::empty()),
        outcome => outcome,
    };
    let file = File::from(file.map_err(why)?);
    let stat = fstat(&file).map_err(why)?;
    if is_regular(&stat) { Ok((file, stat)) } else { Err(Skipped::NotRegular) }
}

/// The file itself, not yet opened for reading. Links of a container lead nowhere outside of its root.
fn find(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parts = path.strip_prefix("/proc").unwrap_or(Path::new("")).components();
    let (process, root) = (parts.next(), parts.next());
    let (Some(process), Some("root")) = (process, root.and_then(|root| root.as_os_str().to_str())) else {
        return open(path, flags, Mode::empty());
    };
    let root = Path::new("/proc").join(process).join("root");
    let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, parts.as_path(), flags, Mode::empty(), confined)
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// The file with that inode in the same directory.
fn beside(path: &Path, inode: u64) -> Option<Opened> {
    let directory = path.parent()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let entries = Dir::new(open(directory, flags, Mode::empty()).ok()?).ok()?;
    let name = entries
        .take(ENTRIES)
        .flatten()
        .find(|entry| entry.ino() == inode)
        .map(|entry| std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())?;
    let now = directory.join(name);
    let (file, stat) = at(&now).ok().filter(|(_, stat)| stat.st_ino == inode)?;
    Some(Opened { file, stat, moved: Some(now).filter(|now| now != path) })
}

fn why(error: Errno) -> Skipped {
    match error {
        Errno::NOENT | Errno::NOTDIR => Skipped::Gone,
        Errno::LOOP | Errno::NXIO => Skipped::NotRegular,
        Errno::ACCESS | Errno::PERM => Skipped::Denied,
        _ => Skipped::Failed,
    }
}

/// Why reading failed.
pub(super) fn why_not_read(error: &io::Error) -> Skipped {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Skipped::Denied,
        _ => Skipped::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use rustix::fs::CWD;

    use super::*;

    fn id(path: &Path) -> Option<FileId> {
        Some(FileId { inode: fs::metadata(path).unwrap().ino(), ..FileId::default() })
    }

    #[test]
    fn the_very_file_is_opened_also_under_its_new_name() {
        let directory = tempfile::tempdir().unwrap();
        let (written, place) = (directory.path().join("tmp_1"), directory.path().join("place"));
        fs::write(&written, "new").unwrap();
        fs::write(&place, "old").unwrap();
        let wanted = id(&written);
        assert_eq!(open_candidate(&written, wanted).unwrap().moved, None);
        fs::rename(&written, &place).unwrap();
        assert_eq!(open_candidate(&written, wanted).unwrap().moved.as_deref(), Some(&*place));
        fs::write(&written, "another").unwrap();
        assert_eq!(
            open_candidate(&written, wanted).unwrap().moved.as_deref(),
            Some(&*place),
            "its name was used again"
        );
        fs::remove_file(&place).unwrap();
        assert_eq!(open_candidate(&written, wanted).unwrap_err(), Skipped::Replaced);
        assert_eq!(open_candidate(&place, wanted).unwrap_err(), Skipped::Gone);
        assert!(open_candidate(&written, None).is_ok(), "whatever is there");
    }

    #[test]
    fn nothing_but_regular_files_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        for name in ["pipe", "link", "."] {
            assert_eq!(open_candidate(&path(name), None).unwrap_err(), Skipped::NotRegular, "{name}");
        }
        assert_eq!(open_candidate(Path::new("/dev/null"), None).unwrap_err(), Skipped::NotRegular);
    }

    #[test]
    fn through_a_root_no_link_leads_out_of_it() {
        let root = format!("/proc/{}/root", std::process::id());
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "x").unwrap();
        // Our root is the host's: what lies below it is found, also by a link.
        std::os::unix::fs::symlink(directory.path(), directory.path().join("link")).unwrap();
        let inside = |name: &str| Path::new(&root).join(directory.path().join(name).strip_prefix("/").unwrap());
        assert!(open_candidate(&inside("file"), None).is_ok());
        assert!(open_candidate(&inside("link/file"), None).is_ok());
        assert_eq!(open_candidate(&inside("../../../../../none"), None).unwrap_err(), Skipped::Gone);
        // A magic link would.
        let magic = Path::new(&root).join("proc/self/cwd/Cargo.toml");
        assert!(open_candidate(&magic, None).is_err());
    }
}
