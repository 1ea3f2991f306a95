//! Reading configuration files: the thin edge, with the checks that need a file system.

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{Place, Problems};

/// Largest file read, in bytes.
pub const MAX_FILE_BYTES: u64 = 2 << 20;

/// Most files read from one directory.
pub const MAX_DIRECTORY_FILES: usize = 256;

/// How far a file must be trusted before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The agent runs by it: it must belong to root or to the user the agent runs as, and nobody else may write it or
    /// its directory.
    Trusted,
    /// It is only looked at (`check`).
    Looked,
}

/// Reads a whole file.
///
/// # Errors
/// The file cannot be read, is no regular file, is larger than [`MAX_FILE_BYTES`], is not UTF-8, or (for
/// [`Guard::Trusted`]) could have been written by somebody else.
pub fn read(file: &Path, guard: Guard) -> Result<String, Problems> {
    let mut problems = Problems::new();
    match attempt(file, guard, &mut problems) {
        Some(text) if !problems.has_errors() => Ok(text),
        _ => Err(problems),
    }
}

fn attempt(path: &Path, guard: Guard, problems: &mut Problems) -> Option<String> {
    let nowhere = Place::default();
    let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            problems.error(path, nowhere, format!("cannot be read: {error}"));
            return None;
        }
    };
    if !metadata.is_file() {
        problems.error(path, nowhere, "is no regular file");
        return None;
    }
    if metadata.len() > MAX_FILE_BYTES {
        problems.error(path, nowhere, format!("is larger than {} MiB", MAX_FILE_BYTES >> 20));
        return None;
    }
    if guard == Guard::Trusted {
        check_owner(path, &metadata, problems);
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
            && let Ok(metadata) = directory.metadata()
        {
            check_owner(directory, &metadata, problems);
        }
    }
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES).read_to_string(&mut text) {
        Ok(_) => Some(text),
        Err(error) => {
            problems.error(path, nowhere, format!("cannot be read as UTF-8 text: {error}"));
            None
        }
    }
}

fn check_owner(path: &Path, metadata: &std::fs::Metadata, problems: &mut Problems) {
    let own = rustix::process::geteuid().as_raw();
    let mode = metadata.permissions().mode();
    // The sticky bit keeps others from replacing entries of a shared directory such as /tmp.
    if mode & 0o002 != 0 && !(metadata.is_dir() && mode & 0o1000 != 0) {
        let message = format!(
            "dangerous permission {:04o}: everybody can write it; run: chmod o-w {}",
            mode & 0o7777,
            path.display()
        );
        problems.error(path, Place::default(), message);
    }
    if metadata.uid() != 0 && metadata.uid() != own && !(metadata.is_dir() && mode & 0o1000 != 0) {
        let message = format!(
            "dangerous permission: it belongs to user {}, not to root or user {own}; run: chown root {}",
            metadata.uid(),
            path.display()
        );
        problems.error(path, Place::default(), message);
    }
}

/// The `*.yaml` and `*.yml` files of a directory by name. A directory that does not exist has none.
///
/// # Errors
/// The directory cannot be listed or holds more than [`MAX_DIRECTORY_FILES`].
pub fn directory(path: &Path) -> Result<Vec<PathBuf>, Problems> {
    let mut problems = Problems::new();
    let entries = match path.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            problems.error(path, Place::default(), format!("cannot be listed: {error}"));
            return Err(problems);
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => files.push(entry.path()),
            Err(error) => problems.error(path, Place::default(), format!("cannot be listed: {error}")),
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    if files.len() > MAX_DIRECTORY_FILES {
        let message = format!("holds {} files; at most {MAX_DIRECTORY_FILES} are read", files.len());
        problems.error(path, Place::default(), message);
    }
    if problems.has_errors() {
        return Err(problems);
    }
    files.sort();
    Ok(files)
}
