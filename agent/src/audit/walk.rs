//! Walking directories: hidden files and what git ignores as well, since that is where tokens lie; never through links;
//! not into the kernel's own file systems nor into those of other machines.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::{
    model::{Counts, Skipped},
    progress::Progress,
    scope::Scope,
};

/// Deepest level that is walked, in directories below where the walk begins.
const DEPTH: usize = 128;

/// What a thread does with the files it meets. What it has collected is handed over when it is dropped.
pub(super) trait Visitor: Send {
    /// A regular file (or, where `link`, a symbolic link) with this path inside the view.
    fn file(&mut self, path: &Path, entry: &DirEntry, link: bool);
    /// Something was not looked at.
    fn skipped(&mut self, why: Skipped);
}

/// Walks everything that the scope searches, in parallel.
pub(super) fn walk<'s, V: Visitor + 's>(
    scope: &'s Scope,
    progress: &'s Progress,
    counts: &Mutex<Counts>,
    make: impl Fn() -> V,
) {
    let starts: Vec<PathBuf> = scope
        .searched
        .iter()
        // A link at the start would be followed, and by the rules of this machine.
        .map(|start| scope.view.outside(&scope.view.real(start).unwrap_or_else(|_| start.clone())))
        .collect();
    let Some((first, rest)) = starts.split_first() else { return };
    let foreign = foreign_mounts(&starts);
    let omitted = std::sync::Arc::new(Mutex::new(Counts::default()));
    let mut builder = WalkBuilder::new(first);
    for start in rest {
        builder.add(start);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    builder.standard_filters(false).follow_links(false).max_depth(Some(DEPTH)).threads(threads);
    let tally = omitted.clone();
    builder.filter_entry(move |entry| {
        let why = omitted_because(entry, &foreign);
        if let (Some(why), Ok(mut tally)) = (why, tally.lock()) {
            tally.skip(why);
        }
        why.is_none()
    });
    builder.build_parallel().run(|| {
        let mut visitor = make();
        Box::new(move |entry| {
            match entry {
                Ok(entry) => visit(scope, progress, &entry, &mut visitor),
                Err(error) => visitor.skipped(error.io_error().map_or(Skipped::Failed, Skipped::from)),
            }
            WalkState::Continue
        })
    });
    if let (Ok(mut counts), Ok(omitted)) = (counts.lock(), omitted.lock()) {
        counts.add(&omitted);
    }
}

fn visit(scope: &Scope, progress: &Progress, entry: &DirEntry, visitor: &mut impl Visitor) {
    let Some(kind) = entry.file_type() else { return };
    if kind.is_dir() || !(kind.is_file() || kind.is_symlink()) {
        return;
    }
    if let Some(inside) = scope.view.inside(entry.path()) {
        progress.step();
        visitor.file(&inside, entry, kind.is_symlink());
    }
}

/// Why a directory is not walked.
fn omitted_because(entry: &DirEntry, foreign: &HashSet<PathBuf>) -> Option<Skipped> {
    if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return None;
    }
    if foreign.contains(entry.path()) {
        return Some(Skipped::OtherFileSystem);
    }
    let packed = entry.file_name() == "objects" && entry.path().parent().is_some_and(|parent| parent.ends_with(".git"));
    packed.then_some(Skipped::GitObjects)
}

/// Mount points below the starts that are not walked (proc_pid_mountinfo(5)).
fn foreign_mounts(starts: &[PathBuf]) -> HashSet<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = table.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let at = PathBuf::from(unescaped(mount.split(' ').nth(4)?));
        foreign(file_system.split(' ').next()?).then_some(at)
    });
    mounts.filter(|at| starts.iter().any(|start| at.starts_with(start))).collect()
}

/// File systems that the kernel makes up, and those of other machines.
fn foreign(kind: &str) -> bool {
    const KINDS: &[&str] = &[
        "9p",
        "afs",
        "autofs",
        "binfmt_misc",
        "bpf",
        "ceph",
        "cgroup",
        "cgroup2",
        "cifs",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "lustre",
        "mqueue",
        "nfs",
        "nfs4",
        "nfsd",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smb3",
        "smbfs",
        "sysfs",
        "tracefs",
    ];
    KINDS.contains(&kind) || kind.strip_prefix("fuse.").is_some_and(crate::posture::place::remote_fuse)
}

/// Octal escapes of the mount table.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_and_the_kernel_are_foreign() {
        for (kind, expected) in [
            ("ext4", false),
            ("tmpfs", false),
            ("nfs4", true),
            ("proc", true),
            ("fuse.sshfs", true),
            ("fuse.gocryptfs", false),
        ] {
            assert_eq!(foreign(kind), expected, "{kind}");
        }
        assert_eq!(unescaped("/mnt/a\\040b\\134040"), "/mnt/a b\\040");
    }
}
