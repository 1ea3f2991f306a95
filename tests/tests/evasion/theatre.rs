//! Where the techniques are played: a made-up home with the store, and a directory for each technique.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokenhound_tests::{
    evasion::{Declared, VICTIM_TOKEN},
    process::{self, Background},
    stage::{Stage, set_mode},
    store::Store,
};

/// Names another place for it: a file system of blocks, which techniques need.
const PLACE: &str = "TOKENHOUND_EVASION_DIR";

pub(crate) struct Theatre {
    directory: TempDir,
    pub(crate) home: PathBuf,
    pub(crate) store: PathBuf,
    /// Inode number and size of the store.
    facts: (u64, u64),
}

impl Theatre {
    pub(crate) fn new(stage: &Stage) -> Self {
        let named = std::env::var_os(PLACE).map(PathBuf::from);
        let parent = named.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        fs::create_dir_all(&parent).expect("make a directory");
        let directory = tempfile::Builder::new().prefix("evasion-").tempdir_in(parent).expect("make a directory");
        let home = directory.path().join("home");
        let store = home.join(Store::AwsCredentials.place());
        fs::create_dir_all(store.parent().unwrap()).expect("make a directory");
        // A block device is made of whole blocks.
        let mut content = Store::AwsCredentials.content(stage).into_bytes();
        content.resize(1024, b'#');
        fs::write(&store, content).expect("write the store");
        set_mode(&store, 0o600);
        stage.hide(VICTIM_TOKEN);
        let facts = facts(&store);
        Self { directory, home, store, facts }
    }

    /// A directory of its own for a technique.
    pub(crate) fn room(&self, name: &str) -> PathBuf {
        let room = self.directory.path().join("rooms").join(name);
        // A technique that is played twice starts with nothing.
        let _ = fs::remove_dir_all(&room);
        fs::create_dir_all(&room).expect("make a directory");
        room
    }

    /// A process that lives in this home.
    pub(crate) fn resident(&self) -> Background {
        let mut command = Command::new(crate::program());
        Background::start(command.args(["role", "wait"]).env("HOME", &self.home))
    }

    /// A technique puts back what it moves, or all that follow prove nothing.
    pub(crate) fn check(&self, name: &str) {
        assert!(self.store.exists(), "{name} did not put the store back");
        assert_eq!(facts(&self.store), self.facts, "{name} changed the store");
    }
}

fn facts(store: &Path) -> (u64, u64) {
    let facts = fs::metadata(store).expect("ask about the store");
    (facts.ino(), facts.len())
}

/// What the program declares.
pub(crate) fn techniques() -> Vec<Declared> {
    let ended = process::run(Command::new(crate::program()).arg("list"), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let parse = |line: &str| Declared::parse(line).unwrap_or_else(|| panic!("{line}"));
    ended.out().lines().map(parse).collect()
}

/// The one that any agent must see.
pub(crate) fn plainest() -> Declared {
    techniques().into_iter().find(|one| one.name == "openat").expect("openat is a technique")
}
