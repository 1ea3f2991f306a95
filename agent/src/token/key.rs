//! The file that the fingerprint key is kept in. As text: 64 hexadecimal digits and a line end, so that it can be read
//! out, compared and handed to a fleet.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use super::fingerprint::{KEY_BYTES, Key};

/// Name of the key's file in the state directory.
pub const FILE: &str = "fingerprint.key";

/// Letters of a key's text.
const DIGITS: usize = 2 * KEY_BYTES;

/// Longest file that is read: the digits and white space around them, in bytes.
const LARGEST: u64 = DIGITS as u64 + 64;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system did not do what was asked.
    #[error("{operation} {}: {source}; {remedy}", path.display())]
    System {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// What was answered.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// It is not a regular file.
    #[error("the fingerprint key {} is not a regular file; put the key there as a file of its own", .0.display())]
    NoFile(PathBuf),
    /// Somebody else owns it.
    #[error(
        "the fingerprint key {} belongs to user {owner}, who could replace it; make it a new key, or chown it to {}",
        path.display(),
        if *expected == 0 { "root".to_owned() } else { format!("root or user {expected}") }
    )]
    Owner {
        /// The key's file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it may be, beside root's.
        expected: u32,
    },
    /// Others can read it.
    #[error(
        "the fingerprint key {} has mode {mode:04o}, so others may have read it: who has it can try guesses against \
         fingerprints; put a new key there with mode 0600",
        path.display()
    )]
    Mode {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its content is no key.
    #[error(
        "the fingerprint key {} does not hold {DIGITS} hexadecimal digits and nothing else; restore it, or remove it to \
         start anew with fingerprints that do not compare with the old ones",
        .0.display()
    )]
    Content(PathBuf),
}

/// What to do about a key that cannot be read.
const READABLE: &str = "run as the user the key belongs to, or name another with fingerprint_key in the configuration";

impl KeyError {
    fn system(operation: &'static str, path: &Path, remedy: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::System { operation, path, source, remedy }
    }
}

/// The key that the configuration names (`fingerprint_key`), or else that of this machine.
///
/// # Errors
/// Those of [`load`] and [`load_or_create`].
pub fn given_or_own(given: Option<&Path>, state_dir: &Path) -> Result<Key, KeyError> {
    given.map_or_else(|| load_or_create(state_dir), load)
}

/// The key of this machine, out of the state directory. It is made where there is none; of several who start at once
/// one makes it and all get the same.
///
/// # Errors
/// When it cannot be read or made; when it is not its owner's alone; when it is no key. A bad key is never replaced:
/// fingerprints that are on record would mean nothing.
pub fn load_or_create(state_dir: &Path) -> Result<Key, KeyError> {
    let path = state_dir.join(FILE);
    match load(&path) {
        Err(KeyError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    create(state_dir, &path)?;
    load(&path)
}

/// The key in a file: that of this machine, or one that the fleet gave. It must be a regular file of root's or the
/// agent's own user, without any permission for others.
///
/// # Errors
/// When it cannot be read; when it is not its owner's alone; when it is no key.
pub fn load(path: &Path) -> Result<Key, KeyError> {
    // Without waiting for the other end, should it be a pipe.
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(KeyError::system("open the fingerprint key", path, READABLE))?;
    let facts = file.metadata().map_err(KeyError::system("look at the fingerprint key", path, READABLE))?;
    check(path, &facts)?;
    let mut text = Zeroizing::new(Vec::with_capacity(LARGEST as usize + 1));
    Read::by_ref(&mut file).take(LARGEST + 1).read_to_end(&mut text).map_err(KeyError::system(
        "read the fingerprint key",
        path,
        READABLE,
    ))?;
    parse(&text).ok_or_else(|| KeyError::Content(path.to_owned()))
}

/// The permission bits of a key's file that can be used. None where there is none.
///
/// # Errors
/// Why it cannot be used.
pub fn look(path: &Path) -> Result<Option<u32>, KeyError> {
    match load(path) {
        Err(KeyError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map(drop)?,
    }
    let facts = fs::symlink_metadata(path).map_err(KeyError::system("look at the fingerprint key", path, READABLE))?;
    Ok(Some(facts.permissions().mode() & 0o7777))
}

/// Whose the file is and who else may read it, before anything of it is read.
fn check(path: &Path, facts: &fs::Metadata) -> Result<(), KeyError> {
    if !facts.is_file() {
        return Err(KeyError::NoFile(path.to_owned()));
    }
    let own = rustix::process::geteuid().as_raw();
    if facts.uid() != 0 && facts.uid() != own {
        return Err(KeyError::Owner { path: path.to_owned(), owner: facts.uid(), expected: own });
    }
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Mode { path: path.to_owned(), mode }) }
}

fn parse(text: &[u8]) -> Option<Key> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let digits = text.trim_ascii();
    if digits.len() != DIGITS {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *bytes).ok()?;
    Some(Key::new(*bytes))
}

/// Makes a key and gives it its name, unless another has that by then.
fn create(state_dir: &Path, path: &Path) -> Result<(), KeyError> {
    let remedy = "run as root, or name another state directory";
    fs::DirBuilder::new().mode(0o700).recursive(true).create(state_dir).map_err(KeyError::system(
        "make the state directory",
        state_dir,
        remedy,
    ))?;
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())
        .ok()
        .filter(|length| *length == KEY_BYTES)
        .ok_or_else(|| io::Error::other("no random bytes"))
        .map_err(KeyError::system("make the fingerprint key", path, "this kernel has no getrandom"))?;

    static MADE: AtomicU32 = AtomicU32::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let new = path.with_extension(format!("key.new-{}-{made}", std::process::id()));
    let done = write_new(&new, &bytes).and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    // The key has its name, or is of no use.
    let removed = fs::remove_file(&new);
    done.and(removed).and_then(|()| fs::File::open(state_dir)?.sync_all()).map_err(KeyError::system(
        "write the fingerprint key",
        path,
        remedy,
    ))
}

/// On disk as a whole before it gets its name: after a crash there is a key or none.
fn write_new(new: &Path, bytes: &[u8; KEY_BYTES]) -> io::Result<()> {
    let mut text = Zeroizing::new([b'\n'; DIGITS + 1]);
    HEXLOWER.encode_mut(bytes, &mut text[..DIGITS]);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(&*text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Barrier};

    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("var/lib/tokenhound");
        let key = load_or_create(&state).unwrap();
        assert_eq!(load_or_create(&state).unwrap().expose(), key.expose());
        assert_eq!(look(&state.join(FILE)).unwrap(), Some(0o600));
        assert_eq!(look(&dir.path().join(FILE)).unwrap(), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "nothing else is left");
        assert_ne!(load_or_create(&dir.path().join("other")).unwrap().expose(), key.expose());
    }

    #[test]
    fn all_who_start_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let state = dir.path().join(round.to_string());
            let together = Barrier::new(8);
            let keys: HashSet<[u8; KEY_BYTES]> = std::thread::scope(|scope| {
                let start = || {
                    together.wait();
                    *load_or_create(&state).unwrap().expose()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(keys.len(), 1);
        }
    }

    #[test]
    fn what_others_can_read_or_is_no_key_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let good = format!("{}\n", "0aB1".repeat(16));
        let put = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            load_or_create(dir.path())
        };
        assert_eq!(put(&good, 0o400).unwrap().expose()[..2], [0x0a, 0xb1]);
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let said = put(&good, mode).unwrap_err().to_string();
            assert!(said.contains(&format!("{mode:04o}")) && said.contains("0600"), "{said}");
        }
        for text in ["", "short", &good[1..], &format!("{good}{good}"), &good.replace('B', "x"), &"a".repeat(4096)] {
            let error = put(text, 0o600).unwrap_err();
            assert!(matches!(error, KeyError::Content(_)), "{error}");
            assert!(!error.to_string().contains("0aB1"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn it_is_a_file_and_no_link_directory_or_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link, pipe) = (dir.path().join("real"), dir.path().join("link"), dir.path().join("pipe"));
        load_or_create(&real).unwrap();
        std::os::unix::fs::symlink(real.join(FILE), &link).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(given_or_own(Some(&dir.path().join("absent")), &real).is_err(), "the fleet's key is not made here");
        assert!(matches!(load(&link), Err(KeyError::System { .. })));
        assert!(matches!(load(&pipe), Err(KeyError::NoFile(_))));
        assert!(matches!(load(&real), Err(KeyError::NoFile(_))));
    }

    #[test]
    fn a_key_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
            assert!(matches!(load(&path), Err(KeyError::Owner { owner: 12345, .. })));
        }
    }
}
