use std::collections::HashSet;
use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::{Child, Command, Stdio},
};

use tokenhound_common::process::ProcessKey;

use super::{Backfill, kernel_device, tick_ns};
use crate::{
    ingest::observation::{Fork, KernelTime, Observation},
    lineage::{
        identity::InterpreterRules,
        model::{Origin, Script},
        table::{Change, Limits, Table},
    },
};

/// A line of `/proc/<pid>/stat`.
pub(crate) fn stat_line(pid: u32, ppid: u32, start: u64, flags: u32) -> String {
    format!(
        "{pid} (a (b) c) S {ppid} {pid} {pid} 34816 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0 0 0 0 0 0 0 0 0 0 0 \
         0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    )
}

const STATUS: &str = "Name:\tx\nState:\tS (sleeping)\nTgid:\t100\nPid:\t100\nPPid:\t1\nTracerPid:\t0\n\
    Uid:\t1000\t1001\t1000\t1000\nGid:\t50\t51\t50\t50\nFDSize:\t64\nGroups:\t50\nThreads:\t1\nSigQ:\t0/100\n\
    SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n\
    SigCgt:\t0000000000000000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n";

struct FakeProc(tempfile::TempDir);

impl FakeProc {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, pid: u32, ppid: u32, start: u64, flags: u32, cmdline: &[u8]) {
        let directory = self.0.path().join(pid.to_string());
        fs::create_dir(&directory).unwrap();
        let write = |name: &str, content: &[u8]| fs::write(directory.join(name), content).unwrap();
        write("stat", stat_line(pid, ppid, start, flags).as_bytes());
        write("status", STATUS.as_bytes());
        write("cmdline", cmdline);
        write("environ", b"HOME=/home/u\0TOKEN=ghp_never\0GH_CONFIG_DIR=/x\0broken\0");
        write("loginuid", b"1000");
        write("sessionid", b"4294967295");
        write("cgroup", b"0::/lxc.payload.box\n");
        symlink("/bin/sh", directory.join("exe")).unwrap();
        symlink("/srv/work", directory.join("cwd")).unwrap();
    }

    fn backfill(&self) -> Backfill {
        let keep = ["HOME", "GH_CONFIG_DIR"].map(str::to_owned).into();
        Backfill::with_root(self.0.path(), 10_000_000, InterpreterRules::default(), keep)
    }
}

#[test]
fn a_process_as_proc_shows_it() {
    let proc = FakeProc::new();
    proc.add(1, 0, 0, 0, b"init\0");
    proc.add(2, 0, 0, super::KERNEL_THREAD, b"");
    proc.add(100, 1, 12_345, 0, b"sh\0-x\0run.sh\0--password\0hunter-zwei\0");
    // Vanished halfway: only part of it is there.
    fs::create_dir(proc.0.path().join("101")).unwrap();
    fs::write(proc.0.path().join("101/stat"), stat_line(101, 1, 5, 0)).unwrap();
    let found = proc.backfill().all().unwrap();
    assert_eq!((found.processes.len(), found.vanished, found.kernel_threads), (2, 1, 1));
    let shell = found.processes.into_iter().find(|process| process.key.tgid == 100).unwrap();
    assert_eq!(shell.key, ProcessKey::new(123_450_000_000, 100));
    assert_eq!(shell.parent, Some(ProcessKey::new(0, 1)));
    assert_eq!(shell.executable.path, Path::new("/bin/sh"));
    assert_eq!(shell.executable.id.inode, fs::metadata("/bin/sh").unwrap().ino());
    assert_eq!(shell.args, ["sh", "-x", "run.sh", "--password", "<redacted>"]);
    assert_eq!((shell.uid, shell.euid, shell.gid), (1000, 1001, 50));
    assert_eq!((shell.login_uid, shell.audit_session, shell.tty), (Some(1000), None, Some((136, 0))));
    assert_eq!((shell.comm.as_str(), shell.session, shell.origin), ("a (b) c", 100, Origin::Backfilled));
    let names: Vec<_> = shell.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["HOME", "GH_CONFIG_DIR"]);
    assert_eq!(shell.container.unwrap().id, "box");
}

#[test]
fn one_process_by_its_exact_key() {
    let proc = FakeProc::new();
    proc.add(100, 1, 12_345, 0, b"cat\0");
    let backfill = proc.backfill();
    let exact = ProcessKey::new(123_456_789_012, 100);
    assert_eq!(backfill.resolve(exact).unwrap().key, exact);
    assert!(backfill.is_alive(exact));
    for other in [ProcessKey::new(123_449_999_999, 100), ProcessKey::new(123_460_000_000, 100), ProcessKey::new(1, 3)] {
        assert!(backfill.resolve(other).is_none() && !backfill.is_alive(other));
    }
}

#[test]
fn a_missing_proc_is_an_error_that_says_what_to_do() {
    let backfill = Backfill::with_root("/nowhere", 1, InterpreterRules::default(), HashSet::new());
    let error = backfill.all().unwrap_err().to_string();
    assert!(error.starts_with("cannot list processes in /nowhere") && error.ends_with("mount procfs there"), "{error}");
}

/// Kills its process when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_live_child_is_found_and_meets_its_own_records() {
    let running =
        Running(Command::new("sh").args(["-c", "read line; exit 0", "x"]).stdin(Stdio::piped()).spawn().unwrap());
    let pid = running.0.id();
    let backfill = Backfill::new(InterpreterRules::default(), ["PATH".to_owned()].into());
    let find = || backfill.all().unwrap().processes.into_iter().find(|process| process.key.tgid == pid).unwrap();
    let child = find();
    let own = backfill.all().unwrap().processes.into_iter().find(|it| it.key.tgid == std::process::id()).unwrap();
    assert_eq!(child.key, find().key, "the same in every backfill");
    assert_eq!(child.parent, Some(own.key));
    assert_eq!(child.executable.path, fs::canonicalize("/bin/sh").unwrap());
    assert_eq!(child.script, Some(Script::Inline));
    assert_eq!(child.uid, own.uid);
    assert_ne!(child.mount_namespace, 0);
    assert!(child.environment.iter().any(|(name, _)| name == "PATH"));
    let device = fs::metadata("/bin/sh").unwrap().dev();
    let plain = kernel_device(rustix::fs::major(device), rustix::fs::minor(device));
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let listed = text.lines().any(|line| {
        line.contains(&format!(" {}:{} ", child.executable.id.device >> 20, child.executable.id.device & 0xf_ffff))
    });
    assert!(listed, "the device is one that a mount has; stat says {plain:#x}");

    let mut table = Table::new(Limits { tick_ns: tick_ns(), ..Limits::default() }, InterpreterRules::default());
    for process in backfill.all().unwrap().processes {
        table.adopt(process);
    }
    // A record of the child carries the exact start, somewhere within the tick.
    let exact = ProcessKey::new(child.key.start_ns + 1_234_567, pid);
    let grandchild = ProcessKey::new(exact.start_ns + 5_000_000_000, 4_000_000);
    let fork = Fork { time: KernelTime(grandchild.start_ns), parent: exact, child: grandchild };
    assert_eq!(table.observe(&Observation::Fork(fork)), Change::Added);
    assert_eq!(table.get(child.key).unwrap().key, exact);
    assert!(table.is_descendant_of(grandchild, own.key));
    let chain = table.chain(grandchild, KernelTime(grandchild.start_ns)).unwrap();
    assert_eq!(chain.processes[0].executable.path, child.executable.path);
    assert_eq!(chain.processes[2].key, own.key);
    assert_eq!(backfill.resolve(exact).unwrap().executable, child.executable);
    assert!(backfill.is_alive(exact));
    drop(running);
    assert!(!backfill.is_alive(exact) && backfill.resolve(exact).is_none());
}

#[test]
fn a_container_is_only_told_of_the_process_that_is_meant() {
    let proc = FakeProc::new();
    proc.add(77, 1, 500, 0, b"x\0");
    let backfill = proc.backfill();
    assert_eq!(backfill.membership(ProcessKey::new(4_990_000_000, 77)), None, "another process with this pid");
    let found = backfill.membership(ProcessKey::new(5_001_234_567, 77)).unwrap();
    assert_eq!((found.container.unwrap().id.as_str(), found.telling), ("box", true));
}
