//! Processes that were there before the agent, and single ones that no record explains, from `/proc`.
//!
//! What is found is marked [`Origin::Backfilled`]. Its arguments, and so its script, are what the process shows now: a
//! process can rewrite them, so they are a claim and no proof. The executable is the kernel's own word.
//!
//! The key's start is cut to a clock tick (`docs/design/process-key.md`). `/proc` must be that of the initial pid
//! namespace. Processes vanish while they are read; that is counted and normal.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use procfs::process::{Process as ProcProcess, Stat};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use thiserror::Error;
use tokenhound_common::{
    limits::{ARGS_BYTES, ENV_BYTES},
    process::ProcessKey,
    record::FileId,
};

use super::{
    container::{self, Membership},
    identity::{Facts, InterpreterRules, script},
    model::{Executable, Origin, Process, Writable},
    namespace,
};
use crate::ingest::{loading, observation::KernelTime, redact};

/// `PF_KTHREAD` in `/proc/<pid>/stat`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// Most bytes of an environment that are looked through.
const ENVIRON_BYTES: u64 = 128 << 10;

/// Why nothing could be backfilled.
#[derive(Debug, Error)]
pub enum BackfillError {
    /// The process directory cannot be listed.
    #[error("cannot list processes in {path}: {source}; mount procfs there")]
    List {
        /// Directory.
        path: PathBuf,
        /// Cause.
        source: procfs::ProcError,
    },
}

/// What a look at `/proc` gave.
#[derive(Debug, Default)]
pub struct Found {
    /// Processes of user space, alive.
    pub processes: Vec<Process>,
    /// Processes that ended while they were read.
    pub vanished: u64,
    /// Kernel threads left out.
    pub kernel_threads: u64,
}

/// Reads processes from `/proc`.
#[derive(Debug)]
pub struct Backfill {
    proc_root: PathBuf,
    tick_ns: u64,
    rules: InterpreterRules,
    /// Which environment variables to keep.
    keep: HashSet<String>,
    /// Where the unified cgroup hierarchy is mounted.
    cgroup_root: Option<PathBuf>,
}

/// Device of each mount, by mount id, for one mount namespace.
type Mounts = HashMap<u64, u32>;

/// One clock tick in nanoseconds, from `sysconf(_SC_CLK_TCK)`.
#[must_use]
pub fn tick_ns() -> u64 {
    1_000_000_000 / procfs::ticks_per_second().max(1)
}

/// Is the process `key` names still there, zombies excepted?
#[must_use]
pub fn is_alive(key: ProcessKey) -> bool {
    is_alive_below(Path::new("/proc"), tick_ns().max(1), key)
}

fn is_alive_below(proc_root: &Path, tick_ns: u64, key: ProcessKey) -> bool {
    ProcProcess::new_with_root(proc_root.join(key.tgid.to_string()))
        .and_then(|process| process.stat())
        .is_ok_and(|stat| stat.starttime == key.start_ns / tick_ns && is_living(&stat))
}

impl Backfill {
    /// Reads from `/proc`. `keep` says which environment variables are of interest, as the decoder does.
    #[must_use]
    pub fn new(rules: InterpreterRules, keep: HashSet<String>) -> Self {
        Self::with_root("/proc", tick_ns(), rules, keep)
    }

    /// Reads from another place; for tests.
    #[must_use]
    pub fn with_root(
        proc_root: impl Into<PathBuf>,
        tick_ns: u64,
        rules: InterpreterRules,
        keep: HashSet<String>,
    ) -> Self {
        let proc_root = proc_root.into();
        let cgroup_root = ProcProcess::new_with_root(proc_root.join("self"))
            .and_then(|own| own.mountinfo())
            .ok()
            .and_then(|mounts| mounts.0.into_iter().find(|mount| mount.fs_type == "cgroup2" && mount.root == "/"))
            .map(|mount| mount.mount_point);
        Self { proc_root, tick_ns: tick_ns.max(1), rules, keep, cgroup_root }
    }

    /// Every process of user space.
    ///
    /// # Errors
    /// The directory cannot be listed. Single processes never are an error.
    pub fn all(&self) -> Result<Found, BackfillError> {
        let list = procfs::process::all_processes_with_root(&self.proc_root)
            .map_err(|source| BackfillError::List { path: self.proc_root.clone(), source })?;
        let mut found = Found::default();
        let mut mounts = HashMap::new();
        for process in list {
            let stat = process.and_then(|process| process.stat().map(|stat| (process, stat)));
            match stat {
                Ok((_, stat)) if stat.flags & KERNEL_THREAD != 0 => found.kernel_threads += 1,
                Ok((process, stat)) => match self.read(&process, &stat, &mut mounts) {
                    Some(process) => found.processes.push(process),
                    None => found.vanished += 1,
                },
                Err(_) => found.vanished += 1,
            }
        }
        Ok(found)
    }

    /// Key of the process with this pid, or with a thread of this number, in the pid namespace with that inode number.
    /// `None` for another namespace than our own.
    #[must_use]
    pub fn find(&self, pid: u32, namespace: u32) -> Option<ProcessKey> {
        let own = ProcProcess::new_with_root(self.proc_root.join("self")).ok()?.namespaces().ok()?;
        let own = own.0.get(std::ffi::OsStr::new("pid"))?;
        if own.identifier != u64::from(namespace) {
            return None;
        }
        let thread = ProcProcess::new_with_root(self.proc_root.join(pid.to_string())).ok()?;
        self.key_of(thread.status().ok()?.tgid)
    }

    /// One process, if it is still the one that `key` names. The result carries exactly `key`.
    #[must_use]
    pub fn resolve(&self, key: ProcessKey) -> Option<Process> {
        let process = ProcProcess::new_with_root(self.proc_root.join(key.tgid.to_string())).ok()?;
        let stat = process.stat().ok()?;
        if stat.starttime != key.start_ns / self.tick_ns || stat.flags & KERNEL_THREAD != 0 {
            return None;
        }
        let found = self.read(&process, &stat, &mut HashMap::new())?;
        Some(Process { key, ..found })
    }

    /// Which container the process `key` names is in, if it is still there.
    #[must_use]
    pub fn membership(&self, key: ProcessKey) -> Option<Membership> {
        let process = ProcProcess::new_with_root(self.proc_root.join(key.tgid.to_string())).ok()?;
        let text = read_text(&process, "cgroup")?;
        // Asked for after the text was read: whose it is must still be true then.
        let start = process.stat().ok()?.starttime;
        (start == key.start_ns / self.tick_ns).then(|| Membership::of(&text))
    }

    /// Is the process `key` names still there, zombies excepted?
    #[must_use]
    pub fn is_alive(&self, key: ProcessKey) -> bool {
        is_alive_below(&self.proc_root, self.tick_ns, key)
    }

    /// The key of what has `pid` now.
    fn key_of(&self, pid: i32) -> Option<ProcessKey> {
        if pid == 0 {
            return Some(ProcessKey::new(0, 0));
        }
        let stat = ProcProcess::new_with_root(self.proc_root.join(pid.to_string())).ok()?.stat().ok()?;
        self.key(&stat)
    }

    fn key(&self, stat: &Stat) -> Option<ProcessKey> {
        Some(ProcessKey::new(stat.starttime.checked_mul(self.tick_ns)?, u32::try_from(stat.pid).ok()?))
    }

    fn read(&self, process: &ProcProcess, stat: &Stat, mounts: &mut HashMap<u32, Mounts>) -> Option<Process> {
        if !is_living(stat) {
            return None;
        }
        let key = self.key(stat)?;
        let status = process.status().ok()?;
        let mount_namespace = self.namespace(process, "mnt");
        let executable =
            self.executable(process, mounts.entry(mount_namespace).or_insert_with(|| mounts_of(process)))?;
        let (args, args_truncated) = read_args(process);
        let cwd = process.cwd().ok().filter(|cwd| cwd.is_absolute());
        let script = script(
            &self.rules,
            &Facts { path: &executable.path, args: &args, args_truncated, script: None, cwd: cwd.as_deref() },
        );
        let cgroup = read_text(process, "cgroup").unwrap_or_default();
        let (major, minor) = stat.tty_nr();
        let found = Process {
            key,
            parent: self.key_of(stat.ppid),
            executable,
            script,
            args,
            args_truncated,
            cwd,
            environment: self.read_environment(process),
            comm: stat.comm.clone(),
            uid: status.ruid,
            euid: status.euid,
            gid: status.rgid,
            login_uid: read_number(process, "loginuid"),
            audit_session: read_number(process, "sessionid"),
            session: u32::try_from(stat.session).unwrap_or(0),
            tty: (stat.tty_nr != 0).then_some((major.unsigned_abs(), minor.unsigned_abs())),
            // Ours is that whose paths we see.
            mount_namespace: namespace::here()
                .filter(|_| u32::try_from(stat.pid) == Ok(std::process::id()))
                .unwrap_or(mount_namespace),
            pid_namespace: self.namespace(process, "pid"),
            cgroup: self.cgroup_id(&cgroup),
            container: container::parse(&cgroup),
            unit: None,
            owners: None,
            since: KernelTime(key.start_ns),
            exited: None,
            origin: Origin::Backfilled,
        };
        // Everything above was read through a handle on the process, or by a path that another may have taken over.
        (self.key_of(stat.pid)? == key).then_some(found)
    }

    fn path(&self, process: &ProcProcess, name: &str) -> PathBuf {
        self.proc_root.join(process.pid.to_string()).join(name)
    }

    /// Inode number of a namespace, 0 where it cannot be read.
    fn namespace(&self, process: &ProcProcess, name: &str) -> u32 {
        let path = self.path(process, "ns").join(name);
        rustix::fs::stat(path).ok().and_then(|stat| u32::try_from(stat.st_ino).ok()).unwrap_or(0)
    }

    fn executable(&self, process: &ProcProcess, mounts: &Mounts) -> Option<Executable> {
        let link = process.exe().ok()?;
        let flags = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = statx(CWD, self.path(process, "exe"), AtFlags::empty(), flags).ok()?;
        let bytes = link.as_os_str().as_bytes();
        let path = match bytes.strip_suffix(b" (deleted)") {
            Some(path) if stat.stx_nlink == 0 => PathBuf::from(OsString::from_vec(path.to_vec())),
            _ => link,
        };
        // Not `stx_dev`: on btrfs and overlayfs that is not the superblock's.
        let device = mounts
            .get(&stat.stx_mnt_id)
            .copied()
            .unwrap_or_else(|| kernel_device(stat.stx_dev_major, stat.stx_dev_minor));
        Some(Executable {
            path,
            path_truncated: false,
            id: FileId { inode: stat.stx_ino, device, generation: 0 },
            uid: stat.stx_uid,
            mode: u32::from(stat.stx_mode),
            links: stat.stx_nlink,
            writable: Writable::Unknown,
        })
    }

    fn read_environment(&self, process: &ProcProcess) -> Vec<(String, OsString)> {
        let bytes = read_bytes(process, "environ", ENVIRON_BYTES).unwrap_or_default();
        let mut room = ENV_BYTES;
        let mut kept = Vec::new();
        for entry in bytes.split(|byte| *byte == 0) {
            let Some(sign) = entry.iter().position(|byte| *byte == b'=') else { continue };
            let Ok(name) = std::str::from_utf8(&entry[..sign]) else { continue };
            let value = if self.keep.contains(name) { loading::clean(name, &entry[sign + 1..]) } else { None };
            let Some(value) = value.filter(|value| name.len() + 1 + value.len() <= room) else { continue };
            room -= name.len() + 1 + value.len();
            kept.push((name.to_owned(), OsString::from_vec(value.into_owned())));
        }
        kept
    }

    /// Id of the cgroup in the unified hierarchy: the inode number of its directory.
    fn cgroup_id(&self, text: &str) -> u64 {
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let directory = self.cgroup_root.as_ref().zip(path).map(|(root, path)| root.join(path));
        directory.and_then(|directory| rustix::fs::stat(directory).ok()).map_or(0, |stat| stat.st_ino)
    }
}

fn is_living(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X' | 'x')
}

/// `MKDEV` of the kernel.
const fn kernel_device(major: u32, minor: u32) -> u32 {
    major << 20 | minor
}

fn mounts_of(process: &ProcProcess) -> Mounts {
    let Ok(mounts) = process.mountinfo() else { return Mounts::new() };
    let device = |text: &str| {
        let (major, minor) = text.split_once(':')?;
        Some(kernel_device(major.parse().ok()?, minor.parse().ok()?))
    };
    mounts.0.iter().filter_map(|mount| Some((u64::try_from(mount.mnt_id).ok()?, device(&mount.majmin)?))).collect()
}

fn read_bytes(process: &ProcProcess, name: &str, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    process.open_relative(Path::new(name)).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn read_text(process: &ProcProcess, name: &str) -> Option<String> {
    String::from_utf8(read_bytes(process, name, 64 << 10)?).ok()
}

/// A number that is `u32::MAX` where unset.
fn read_number(process: &ProcProcess, name: &str) -> Option<u32> {
    read_text(process, name)?.trim().parse().ok().filter(|number| *number != u32::MAX)
}

/// Arguments, redacted, and whether some are missing.
fn read_args(process: &ProcProcess) -> (Vec<String>, bool) {
    let Some(mut bytes) = read_bytes(process, "cmdline", ARGS_BYTES as u64 + 1) else {
        return (Vec::new(), true);
    };
    let cut = bytes.len() > ARGS_BYTES;
    bytes.truncate(ARGS_BYTES);
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return (Vec::new(), cut);
    }
    let args = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    (if cut { redact::redact_cut(args) } else { redact::redact(args) }, cut)
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod find_tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_thread_is_found_as_its_process() {
        let backfill = Backfill::new(InterpreterRules::default(), HashSet::new());
        let namespace = u32::try_from(std::fs::metadata("/proc/self/ns/pid").unwrap().ino()).unwrap();
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let found = backfill.find(thread, namespace).map(|key| key.tgid);
        assert_eq!(found, Some(std::process::id()));
        assert_eq!(backfill.find(thread, namespace + 1), None);
    }
}
