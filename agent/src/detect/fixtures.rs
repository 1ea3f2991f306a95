//! Made-up processes and accesses for tests.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokenhound_common::{
    process::ProcessKey,
    record::{FileFacts, FileId},
};

use super::{
    access::{Access, Target, Tier},
    judge::{Expectation, Judgement, StoreFacts},
};
use crate::{
    ingest::observation::{KernelTime, OpenMode, Way},
    lineage::actor::classify,
    lineage::model::{Chain, Executable, Origin, Process, Script, Writable},
};

/// Process `pid`, child of `parent`, running `path` (in a place that its user cannot write) for uid 1000.
pub(crate) fn process(pid: u32, parent: u32, path: &str) -> Process {
    // The file's id follows from its path, as on a disk.
    let inode = path.bytes().fold(7u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)) % 1_000_000);
    Process {
        key: ProcessKey::new(u64::from(pid) * 1000, pid),
        parent: (parent != 0).then(|| ProcessKey::new(u64::from(parent) * 1000, parent)),
        executable: Executable {
            path: PathBuf::from(path),
            path_truncated: false,
            id: FileId { inode, device: 8 << 20 | 1, generation: 0 },
            uid: 0,
            mode: 0o100_755,
            links: 1,
            writable: Writable::No,
        },
        script: None,
        args: vec![path.rsplit('/').next().unwrap_or(path).to_owned()],
        args_truncated: false,
        cwd: Some(PathBuf::from("/home/ann")),
        environment: Vec::new(),
        comm: "comm".to_owned(),
        uid: 1000,
        euid: 1000,
        gid: 1000,
        login_uid: Some(1000),
        audit_session: Some(3),
        session: 812,
        tty: None,
        mount_namespace: 1,
        pid_namespace: 1,
        cgroup: 1,
        container: None,
        unit: None,
        owners: None,
        since: KernelTime(1),
        exited: None,
        origin: Origin::Observed,
    }
}

/// `process` with arguments.
pub(crate) fn with_args(mut process: Process, line: &str) -> Process {
    process.args = line.split(' ').map(str::to_owned).collect();
    process
}

/// `process` running a script.
pub(crate) fn with_script(mut process: Process, path: &str, writable: Writable) -> Process {
    process.script = Some(Script::File { path: PathBuf::from(path), writable });
    process
}

/// systemd, which everything descends from.
pub(crate) fn init() -> Process {
    Process { uid: 0, euid: 0, login_uid: None, ..process(1, 0, "/usr/lib/systemd/systemd") }
}

/// `reader` below an interactive shell (pid 812) below sshd (pid 800) below pid 1.
pub(crate) fn under_shell(reader: Process) -> Chain {
    let shell = process(812, 800, "/usr/bin/bash");
    let login = Process { uid: 0, euid: 0, ..process(800, 1, "/usr/sbin/sshd") };
    Chain { processes: vec![reader, shell, login, init()], incomplete: false }
}

/// `chain` opens `path` for reading at `seconds`.
pub(crate) fn read_at(seconds: f64, chain: Chain, path: &str) -> Access {
    access_at(
        seconds,
        chain,
        Target::Store {
            stores: Vec::new(),
            path: PathBuf::from(path),
            known_as: None,
            file: FileFacts { uid: 1000, links: 1, mode: 0o100_600, size: 116, ..FileFacts::default() },
            mode: OpenMode { read: true, ..OpenMode::default() },
            way: Way::Open,
            path_in_root: None,
        },
    )
}

/// `chain` opens `target` at `seconds`.
pub(crate) fn access_at(seconds: f64, chain: Chain, target: Target) -> Access {
    let catalogue = crate::catalogue::tests::shipped_catalogue();
    let home = std::path::Path::new("/home/ann");
    let actor = classify(&chain, catalogue.actors(), catalogue.interpreters(), Some(home));
    let since_boot = Duration::from_secs_f64(1000.0 + seconds);
    Access {
        time: KernelTime(u64::try_from(since_boot.as_nanos()).unwrap()),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000) + Duration::from_secs_f64(seconds),
        target,
        chain,
        actor,
        runner: None,
        user_name: Some("ann".to_owned()),
        home: Some(PathBuf::from("/home/ann")),
        loaded: Vec::new(),
        reader_change: None,
        tier: Tier::Fentry,
    }
}

/// A store of the made-up catalogue.
pub(crate) fn store(id: &str, family: &str, tier: u8) -> StoreFacts {
    StoreFacts {
        id: id.to_owned(),
        title: format!("the {family} credentials file"),
        vendor: family.to_owned(),
        family: family.to_owned(),
        tier,
        kinds: vec!["api_key".to_owned(), "access_token".to_owned()],
        revoke: Some(format!("{family} revoke --all")),
        logout: None,
        broad: false,
        perhaps: false,
        decoy: false,
        paths: vec![format!("~/.{family}")],
    }
}

/// Nothing expects the reader at `store`.
pub(crate) fn unexpected(store: StoreFacts) -> Judgement {
    let why = vec!["the reader is not among those the catalogue lists".to_owned()];
    Judgement { store, expectation: Expectation::Unexpected { why, weak: false } }
}

/// The store belongs to the reader.
pub(crate) fn expected(store: StoreFacts) -> Judgement {
    Judgement { store, expectation: Expectation::Expected { role: "owner".to_owned(), why: "listed path".to_owned() } }
}

/// Policy lets it pass.
pub(crate) fn tolerated(store: StoreFacts) -> Judgement {
    let (rule, reason) = ("backup".to_owned(), "nightly backup".to_owned());
    Judgement { store, expectation: Expectation::Tolerated { rule, reason } }
}
