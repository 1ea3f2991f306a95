//! Who has files of stores open: decides whether reads are watched, and notices when a file that was open for writing is
//! closed.
//!
//! The kernel marks each process that opened such a file, was given it or inherited it. Here `/proc` is asked which of them
//! still have it open: soon after the access, then from time to time as long as somebody does.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    time::Duration,
};

use tokenhound_common::{process::ProcessKey, record::FileId, watch::FileKey};

use super::core::{Holder, Input};
use crate::{
    ingest::observation::KernelTime,
    kernel::file_id,
    probe::{holders::Holders as Marks, keys::Keys},
};

/// How long after an access it is looked: most files are closed again by then.
const SOON: Duration = Duration::from_millis(20);

/// How often it is looked while reads are watched.
const OFTEN: Duration = Duration::from_secs(1);

/// How often it is looked while only expected readers hold files: a browser has its store open all day.
const SELDOM: Duration = Duration::from_secs(30);

/// Most descriptors of one process that are looked at.
const DESCRIPTORS: usize = 4096;

/// What is known of the processes that the kernel has marked.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Looked at, and nothing was open. Until the next access of theirs.
    clean: HashSet<ProcessKey>,
    /// Those that have something open, and whether all of it may be read by them.
    holding: HashMap<ProcessKey, bool>,
    /// Open for writing.
    writing: HashSet<(ProcessKey, FileId)>,
    next: Option<KernelTime>,
}

impl Holders {
    /// An access was told of.
    pub(super) fn accessed(&mut self, process: ProcessKey, file: FileId, writes: bool, now: KernelTime) {
        self.clean.remove(&process);
        if writes {
            self.writing.insert((process, file));
        }
        self.look_at(now, SOON);
    }

    /// It has had something open since before the agent started.
    pub(super) fn present(&mut self, process: ProcessKey, now: KernelTime) {
        self.clean.remove(&process);
        self.look_at(now, Duration::ZERO);
    }

    /// What the core thinks of a holder.
    pub(super) fn judged(&mut self, holder: &Holder, expected: bool) {
        self.holding.entry(holder.process).and_modify(|all| *all &= expected).or_insert(expected);
    }

    /// Whether it is time to look.
    pub(super) fn due(&self, now: KernelTime) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// How long until it is time to look.
    pub(super) fn left(&self, now: KernelTime) -> Option<Duration> {
        self.next.map(|next| Duration::from_nanos(next.0.saturating_sub(now.0)))
    }

    /// Whether reads are to be watched: somebody holds a file who is not expected to.
    pub(super) fn reads_matter(&self) -> bool {
        self.holding.values().any(|expected| !expected)
    }

    /// Looks at the marked processes. What is found is for the core to judge.
    pub(super) fn look(&mut self, marks: &Marks, keys: &Keys, now: KernelTime) -> Vec<Input> {
        let marked: HashSet<ProcessKey> = marks.marked().collect();
        self.clean.retain(|process| marked.contains(process));
        self.holding.clear();
        let mut found = Vec::new();
        for process in marked.iter().filter(|process| process.tgid != std::process::id()) {
            if self.clean.contains(process) {
                continue;
            }
            let open = open_files(process.tgid, keys);
            if open.is_empty() {
                self.clean.insert(*process);
            }
            found.extend(open.iter().map(|file| Input::Holds(Holder { time: now, process: *process, file: *file })));
        }
        let closed: Vec<_> =
            self.writing.iter().copied().filter(|(process, file)| !holds(process.tgid, *file)).collect();
        for (by, file) in closed {
            self.writing.remove(&(by, file));
            found.push(Input::Written { file, by });
        }
        self.next = None;
        found
    }

    /// Sets the next look, after what was found has been judged.
    pub(super) fn plan(&mut self, now: KernelTime) {
        if self.reads_matter() || !self.writing.is_empty() {
            self.look_at(now, OFTEN);
        } else if !self.holding.is_empty() {
            self.look_at(now, SELDOM);
        }
    }

    fn look_at(&mut self, now: KernelTime, after: Duration) {
        let at = KernelTime(now.0 + u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// Marks every process that has a watched file open already.
pub(super) fn mark_present(
    marks: &mut Marks,
    keys: &Keys,
    living: impl Iterator<Item = ProcessKey>,
) -> Vec<ProcessKey> {
    let holders: Vec<_> = living
        .filter(|process| process.tgid != std::process::id() && !open_files(process.tgid, keys).is_empty())
        .collect();
    for process in &holders {
        if let Err(error) = marks.mark(*process) {
            tracing::warn!(pid = process.tgid, %error, "a process that has a store open could not be marked");
        }
    }
    holders
}

/// Identity of what a descriptor leads to, as far as `stat` tells.
fn identify(path: &std::path::Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    Some(FileId { inode: metadata.ino(), device: file_id::encode(major, minor), generation: 0 })
}

fn descriptors(tgid: u32) -> impl Iterator<Item = FileId> {
    let entries = fs::read_dir(format!("/proc/{tgid}/fd")).into_iter().flatten().flatten();
    entries.take(DESCRIPTORS).filter_map(|entry| identify(&entry.path()))
}

fn open_files(tgid: u32, keys: &Keys) -> Vec<FileId> {
    descriptors(tgid).filter(|file| keys.watches(FileKey::of(*file))).collect()
}

fn holds(tgid: u32, file: FileId) -> bool {
    descriptors(tgid).any(|open| open.inode == file.inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: ProcessKey = ProcessKey::new(5, 50);

    fn holder() -> Holder {
        Holder { time: KernelTime(0), process: PROCESS, file: FileId::default() }
    }

    #[test]
    fn reads_matter_while_somebody_holds_who_should_not() {
        let mut holders = Holders::default();
        holders.judged(&holder(), true);
        assert!(!holders.reads_matter());
        holders.judged(&holder(), false);
        assert!(holders.reads_matter());
        holders.judged(&holder(), true);
        assert!(holders.reads_matter(), "one of its files is not its own");
    }

    #[test]
    fn looks_soon_after_an_access_and_then_only_while_something_is_held() {
        let mut holders = Holders::default();
        assert!(!holders.due(KernelTime(u64::MAX)));
        holders.accessed(PROCESS, FileId::default(), false, KernelTime(0));
        assert!(!holders.due(KernelTime(0)) && holders.due(KernelTime(20_000_000)));
        holders.next = None;
        holders.plan(KernelTime(0));
        assert_eq!(holders.left(KernelTime(0)), None);
        holders.judged(&holder(), true);
        holders.plan(KernelTime(0));
        assert_eq!(holders.left(KernelTime(0)), Some(SELDOM));
    }

    #[test]
    fn finds_an_open_file_by_its_inode() {
        let file = tempfile::tempfile().unwrap();
        let id = file_id::of_open(&file).unwrap();
        assert!(holds(std::process::id(), id));
        drop(file);
        assert!(!holds(std::process::id(), id));
    }
}
