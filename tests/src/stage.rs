//! A directory of its own for each test, and the tokens that lie in it.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use crate::token;

/// Uid and gid of `nobody`.
pub const NOBODY: u32 = 65534;

/// Where stages lie whose names do not change.
const STORIES: &str = "/run/tokenhound-story";

/// The directory, removed at the end.
pub struct Stage {
    directory: PathBuf,
    tokens: Mutex<Vec<String>>,
    /// Held while a name that does not change is ours.
    _lock: Option<File>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left tells of nothing but made-up tokens.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Stage {
    /// An empty one. It lies in `/run`, where nobody but root can write: what lies there is as sound as an installed
    /// program.
    ///
    /// # Panics
    /// When there is no room.
    #[must_use]
    pub fn new() -> Self {
        let parent = if Path::new("/run").is_dir() { PathBuf::from("/run") } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("th-test-").tempdir_in(parent).expect("make a directory");
        Self::at(directory.keep(), None)
    }

    /// An empty one with the same name each time, for what is kept under version control.
    ///
    /// # Panics
    /// When there is no room.
    #[must_use]
    pub fn of_story(name: &str) -> Self {
        let stories = Path::new(STORIES);
        fs::create_dir_all(stories).expect("make a directory");
        set_mode(stories, 0o711);
        let lock = File::create(stories.join(format!("{name}.lock"))).expect("make a file");
        lock.lock().expect("wait for others who play this story");
        let directory = stories.join(name);
        // Left by one that was killed.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("make a directory");
        set_mode(&directory, 0o700);
        Self::at(directory, Some(lock))
    }

    fn at(directory: PathBuf, lock: Option<File>) -> Self {
        let stage = Self { directory, tokens: Mutex::default(), _lock: lock };
        for name in ["bin", "homes", "out", "catalogue.d", "policy.d"] {
            stage.directory(name);
        }
        stage
    }

    /// A path on it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A directory on it, made with its parents if it is not there.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("make a directory");
        path
    }

    /// A file with this content, only for its owner.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the stage")).expect("make a directory");
        fs::write(&path, content).expect("write a file");
        set_mode(&path, 0o600);
        path
    }

    /// A program, copied to `bin/NAME`.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn program(&self, name: &str, from: &Path) -> PathBuf {
        let path = self.path("bin").join(name);
        copy_executable(from, &path);
        path
    }

    /// A file that can be executed.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn executable(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let written = self.file(&format!("{name}.written"), content);
        let path = self.path(name);
        copy_executable(&written, &path);
        fs::remove_file(written).expect("remove a file");
        path
    }

    /// Lets others through to what they may read.
    pub fn open_to_others(&self) {
        set_mode(&self.directory, 0o711);
        for name in ["bin", "homes"] {
            set_mode(&self.path(name), 0o755);
        }
        set_mode(&self.path("out"), 0o1777);
    }

    /// Gives a tree to `nobody`.
    ///
    /// # Panics
    /// When that fails.
    pub fn give_to_nobody(path: &Path) {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("change an owner");
        if path.is_dir() && !path.is_symlink() {
            for entry in fs::read_dir(path).expect("list a directory") {
                Self::give_to_nobody(&entry.expect("list a directory").path());
            }
        }
    }

    /// Remembers a token, which from now on must not be seen.
    ///
    /// # Panics
    /// When another thread panicked.
    pub fn hide(&self, token: &str) {
        self.tokens.lock().expect("no panic before").push(token.to_owned());
    }

    /// Fails the test if `bytes`, which tokenhound wrote as `what`, hold a token or a part of one.
    ///
    /// # Panics
    /// When they do.
    pub fn search(&self, what: &str, bytes: &[u8]) {
        let tokens = self.tokens.lock().expect("no panic before");
        if let Some((token, at)) = token::find(&tokens, bytes) {
            let around = &bytes[at.saturating_sub(80)..bytes.len().min(at + 80)];
            panic!("{what} holds a part of the token {token}:\n...{}...", String::from_utf8_lossy(around));
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets the mode of a file.
///
/// # Panics
/// When that fails.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set a mode");
}

/// By a process of its own. A file that this one has open for writing stays open in what another thread starts meanwhile, and
/// cannot be executed for as long (`ETXTBSY`, execve(2)).
fn copy_executable(from: &Path, to: &Path) {
    let ended = Command::new("cp").arg("--").args([from, to]).status().expect("start cp");
    assert!(ended.success(), "copy {} to {}", from.display(), to.display());
    set_mode(to, 0o755);
}
