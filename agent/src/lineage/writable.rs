//! Could the user on whose behalf a program runs have changed it? From the file system, at the time of asking.
//!
//! A path is trusted as far as its weakest part: every directory on the way, every symbolic link and the place it lies
//! in, and the file. A part is writable for a user who owns it, through the bits for one of their groups or for others,
//! or through a POSIX ACL. For root a part is sound when only root (user or group) can write it.
//!
//! In a sticky directory like `/tmp` a user cannot replace what others own, but can put a hard link there under a name
//! of their choice: a file or link that lies directly in one counts as writable, a directory in it does not.
//!
//! For a process in another mount namespace the path is followed below `/proc/<pid>/root`, while it lives. Where nobody
//! lives there any more, an executable that lies here under the same path, by its identity, is judged here; otherwise the
//! answer is [`Writable::Unknown`].
//!
//! If the executable was replaced since it was started (a package upgrade), its directories are judged as they are, and
//! the file by the owner and mode that the kernel recorded at the exec.
//!
//! Nothing is cached: an answer must hold for now, checking that would cost the same calls, and they are made only for
//! hits.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Component, Path, PathBuf},
};

use rustix::{fs::getxattr, io::Errno};
use tokenhound_common::process::ProcessKey;

use super::{
    model::{Chain, Executable, Process, Script, Writable},
    users::Users,
};
use crate::kernel::file_id::Mounts;

mod acl;
mod place;
#[cfg(test)]
pub(crate) mod tests;

/// Links followed for one path; the kernel follows as many.
const LINKS: usize = 40;
/// Path components examined for one path.
const STEPS: usize = 512;
/// Largest access list that is read.
const ACL_BYTES: usize = 8192;

const S_IFMT: u32 = 0o170_000;
const S_ISVTX: u32 = 0o1000;

/// Whose writing counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id in the initial user namespace.
    pub uid: u32,
    /// All groups.
    pub gids: BTreeSet<u32>,
}

/// The answer for one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Could the account have changed what the path leads to?
    pub writable: Writable,
    /// The path with links in its directories, `.` and `..` resolved; its last component is left as it is.
    pub place: Option<PathBuf>,
}

/// Answers for whole chains.
#[derive(Debug)]
pub struct Writables {
    proc_root: PathBuf,
    tick_ns: u64,
    mount_namespace: u32,
}

impl Writables {
    /// For the mount namespace that the agent is in; `tick_ns` as in [`super::table::Limits`].
    #[must_use]
    pub fn new(tick_ns: u64) -> Self {
        let here = super::namespace::here().unwrap_or(0);
        Self { proc_root: PathBuf::from("/proc"), tick_ns: tick_ns.max(1), mount_namespace: here }
    }

    /// Does the process see the same files as the agent?
    #[must_use]
    pub fn is_here(&self, process: &Process) -> bool {
        process.mount_namespace == self.mount_namespace && self.mount_namespace != 0
    }

    /// Fills in what is [`Writable::Unknown`] in a chain, and resolves scripts that were named with `..`.
    pub fn fill(&self, chain: &mut Chain, users: &Users) {
        let roots: Vec<Option<PathBuf>> =
            chain.processes.iter().map(|process| self.root_of(process, &chain.processes)).collect();
        for (process, root) in chain.processes.iter_mut().zip(roots) {
            let account = place::account(process, users);
            if process.executable.writable == Writable::Unknown {
                process.executable.writable = judged(root.as_deref(), &process.executable, &account);
            }
            let Some(root) = root else { continue };
            if let Some(Script::File { path, writable }) = &mut process.script
                && *writable == Writable::Unknown
            {
                let answer = writable_by(&root, path, &account);
                *writable = answer.writable;
                if path.components().any(|part| part == Component::ParentDir)
                    && let Some(place) = answer.place
                {
                    *path = place;
                }
            }
        }
    }

    /// Could the process's user have written this file, for a process that [is here](Self::is_here)?
    #[must_use]
    pub fn writable(process: &Process, path: &Path, users: &Users) -> Writable {
        writable_by(Path::new("/"), path, &place::account(process, users)).writable
    }

    /// Where the paths of a process begin. Any living process of the chain in the same namespace shows it.
    fn root_of(&self, process: &Process, chain: &[Process]) -> Option<PathBuf> {
        if process.mount_namespace == self.mount_namespace {
            return Some(PathBuf::from("/"));
        }
        let same = |other: &&Process| other.mount_namespace == process.mount_namespace && process.mount_namespace != 0;
        std::iter::once(process).chain(chain.iter().filter(same)).find_map(|it| self.root_below(it.key))
    }

    fn root_below(&self, key: ProcessKey) -> Option<PathBuf> {
        let directory = self.proc_root.join(key.tgid.to_string());
        let process = procfs::process::Process::new_with_root(directory.clone()).ok()?;
        let stat = process.stat().ok()?;
        let alive = stat.starttime == key.start_ns / self.tick_ns && !matches!(stat.state, 'Z' | 'X' | 'x');
        alive.then(|| directory.join("root"))
    }
}

/// Below `root`, and where nobody lives there, or no longer does once it was asked, here if it is the same file.
fn judged(root: Option<&Path>, executable: &Executable, account: &Account) -> Writable {
    let here = Path::new("/");
    let judged = root.map_or(Writable::Unknown, |root| executable_writable(root, executable, account));
    if judged == Writable::Unknown && root != Some(here) && is_ours(executable) {
        return executable_writable(here, executable, account);
    }
    judged
}

/// Is it the very file that lies under its path in the agent's own view? A namespace that is gone may have had it elsewhere
/// too: what was mounted there needed the rights that changing the machine's own takes, or a user namespace, in which
/// nobody gains any.
fn is_ours(executable: &Executable) -> bool {
    !executable.path_truncated
        && Mounts::read().and_then(|mounts| mounts.identify(&executable.path)).is_ok_and(|found| found == executable.id)
}

/// Could `account` have changed what `path` leads to? `path` is followed below `root`.
#[must_use]
pub fn writable_by(root: &Path, path: &Path, account: &Account) -> Answer {
    Walk { root, account, recorded: None, worst: Writable::No }.run(path)
}

/// The same for an executable of which the kernel recorded owner and mode.
#[must_use]
pub fn executable_writable(root: &Path, executable: &Executable, account: &Account) -> Writable {
    if executable.path.as_os_str().as_bytes().starts_with(b"/memfd:") {
        return Writable::Yes;
    }
    if executable.path_truncated || executable.path.as_os_str().is_empty() {
        return Writable::Unknown;
    }
    Walk { root, account, recorded: Some(executable), worst: Writable::No }.run(&executable.path).writable
}

struct Walk<'a> {
    root: &'a Path,
    account: &'a Account,
    recorded: Option<&'a Executable>,
    worst: Writable,
}

/// How far a directory is open to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    None,
    /// Entries can be made, those of others cannot be replaced.
    Sticky,
    Full,
    Unknown,
}

impl Walk<'_> {
    fn run(mut self, path: &Path) -> Answer {
        let place = if path.is_absolute() { self.follow(path) } else { None };
        // A part that is open decides, even if the rest cannot be seen.
        if place.is_none() && self.worst != Writable::Yes {
            self.worst = Writable::Unknown;
        }
        Answer { writable: self.worst, place }
    }

    fn note(&mut self, grant: Grant, is_leaf: bool) {
        let found = match grant {
            Grant::None => Writable::No,
            Grant::Sticky if !is_leaf => Writable::No,
            Grant::Sticky | Grant::Full => Writable::Yes,
            Grant::Unknown => Writable::Unknown,
        };
        self.worst = match (self.worst, found) {
            (Writable::Yes, _) | (_, Writable::Yes) => Writable::Yes,
            (Writable::Unknown, _) | (_, Writable::Unknown) => Writable::Unknown,
            (Writable::No, Writable::No) => Writable::No,
        };
    }

    /// Walks the path part by part. `None` if a part cannot be examined.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let mut todo: VecDeque<OsString> = path.components().map(|part| part.as_os_str().to_owned()).collect();
        let mut current = PathBuf::from("/");
        let mut place = None;
        let mut links = 0;
        for _ in 0..STEPS {
            let Some(part) = todo.pop_front() else { return place };
            if part == "/" {
                current = PathBuf::from("/");
                let grant = self.grant_of(&current);
                self.note(grant, false);
                continue;
            }
            if part == ".." {
                current.pop();
                continue;
            }
            if part == "." {
                continue;
            }
            let next = current.join(&part);
            let last = todo.is_empty();
            if last && place.is_none() {
                place = Some(next.clone());
            }
            let Some(metadata) = self.stat(&next) else {
                return self.replaced(&current, last).then_some(place).flatten();
            };
            if metadata.is_symlink() {
                links += 1;
                let grant = self.grant_of(&current);
                self.note(grant, true);
                let target = fs::read_link(self.below(&next)).ok().filter(|_| links <= LINKS)?;
                for part in target.components().rev() {
                    todo.push_front(part.as_os_str().to_owned());
                }
            } else if last {
                self.leaf(&current, &next, &metadata);
            } else {
                let grant = self.grant(&next, &metadata);
                self.note(grant, false);
                current = next;
            }
        }
        None
    }

    fn leaf(&mut self, directory: &Path, path: &Path, metadata: &Metadata) {
        if let Some(recorded) = self.recorded
            && recorded.id.inode != metadata.ino()
        {
            self.replaced(directory, true);
            return;
        }
        let place = self.grant_of(directory);
        self.note(place, true);
        let grant = match self.grant(path, metadata) {
            // The sticky bit means nothing on a file.
            Grant::Sticky => Grant::Full,
            grant => grant,
        };
        self.note(grant, true);
    }

    /// The file is gone or another: what was recorded of it counts, and its place. False if nothing was recorded.
    fn replaced(&mut self, directory: &Path, last: bool) -> bool {
        let Some(recorded) = self.recorded.filter(|_| last) else { return false };
        let place = self.grant_of(directory);
        self.note(place, true);
        // The group was not recorded, so its bit counts for everybody.
        let open = owns(self.account, recorded.uid) || recorded.mode & 0o022 != 0;
        self.note(if open { Grant::Full } else { Grant::None }, true);
        true
    }

    fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn stat(&self, path: &Path) -> Option<Metadata> {
        fs::symlink_metadata(self.below(path)).ok()
    }

    fn grant_of(&self, directory: &Path) -> Grant {
        // `/proc/<pid>/root` is itself a link.
        let metadata = if directory == Path::new("/") { fs::metadata(self.root).ok() } else { self.stat(directory) };
        metadata.map_or(Grant::Unknown, |metadata| self.grant(directory, &metadata))
    }

    fn grant(&self, path: &Path, metadata: &Metadata) -> Grant {
        let account = self.account;
        let mode = metadata.mode();
        if owns(account, metadata.uid()) {
            return Grant::Full;
        }
        let group = mode & 0o020 != 0 && in_group(account, metadata.gid());
        let acl = match self.access_list(path) {
            Ok(list) => acl::grants_write(&list, account),
            Err(()) => return Grant::Unknown,
        };
        let open = mode & 0o002 != 0 || group || acl;
        match (open, mode & S_ISVTX != 0) {
            (false, _) => Grant::None,
            (true, true) if mode & S_IFMT != 0o100_000 => Grant::Sticky,
            (true, _) => Grant::Full,
        }
    }

    /// The POSIX access list, empty where there is none.
    fn access_list(&self, path: &Path) -> Result<Vec<u8>, ()> {
        let mut buffer = vec![0; ACL_BYTES];
        match getxattr(self.below(path), "system.posix_acl_access", buffer.as_mut_slice()) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(buffer)
            }
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(Vec::new()),
            Err(_) => Err(()),
        }
    }
}

/// An owner can always open a file to themselves. For root, any other owner is one too many.
const fn owns(account: &Account, owner: u32) -> bool {
    if account.uid == 0 { owner != 0 } else { owner == account.uid }
}

fn in_group(account: &Account, gid: u32) -> bool {
    if account.uid == 0 { gid != 0 } else { account.gids.contains(&gid) }
}
