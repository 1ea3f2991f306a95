//! Who has histories and logs open for writing: notices when one was written and closed, or has grown meanwhile.
//!
//! `/proc` is asked soon after the open, because a shell appends to its history and is done with it, then less and less
//! often: a log can be open all day.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt, time::Duration};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::core::Input;
use crate::ingest::observation::KernelTime;

/// How long after an open it is looked.
const SOON: Duration = Duration::from_millis(20);

/// Longest time between two looks: what is written into an open log is found that much later.
const SELDOM: Duration = Duration::from_secs(30);

/// Most that are followed at once. The one whose turn was next goes for a new one, and is counted.
const LIMIT: usize = 1024;

/// Most descriptors of one process that are looked at.
const DESCRIPTORS: usize = 4096;

/// A file that is open for writing.
#[derive(Debug)]
struct Writing {
    /// When it is looked next, and how long after the last time.
    next: KernelTime,
    after: Duration,
    /// What it was when it was looked last.
    stat: Option<Stat>,
}

/// By what it is told that a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    size: u64,
    written: (i64, i64),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Writers {
    writing: HashMap<(ProcessKey, FileId), Writing>,
    evicted: u64,
}

impl Writers {
    /// A process has opened a history or log for writing.
    pub(super) fn opened(&mut self, process: ProcessKey, file: FileId, now: KernelTime) {
        let key = (process, file);
        if self.writing.len() >= LIMIT && !self.writing.contains_key(&key) {
            let Some(oldest) = self.writing.iter().min_by_key(|(_, writing)| writing.next).map(|(key, _)| *key) else {
                return;
            };
            self.writing.remove(&oldest);
            self.evicted += 1;
        }
        self.writing.insert(key, Writing { next: later(now, SOON), after: SOON, stat: None });
    }

    /// How long until it is time to look.
    pub(super) fn left(&self, now: KernelTime) -> Option<Duration> {
        let next = self.writing.values().map(|writing| writing.next).min()?;
        Some(Duration::from_nanos(next.0.saturating_sub(now.0)))
    }

    /// Looks at those whose time has come: which were written?
    pub(super) fn look(&mut self, now: KernelTime) -> Vec<Input> {
        let mut written = Vec::new();
        self.writing.retain(|(by, file), writing| {
            if writing.next > now {
                return true;
            }
            let stat = stat_of_open(by.tgid, *file);
            // Of one that is still open it is not known what was written before the first look: it counts as something.
            if stat.is_none() || writing.stat != stat {
                written.push(Input::Appended { time: now, file: *file, by: *by });
            }
            writing.stat = stat;
            writing.after = (writing.after * 2).min(SELDOM);
            writing.next = later(now, writing.after);
            stat.is_some()
        });
        written
    }

    /// Files that found no room since the last call.
    pub(super) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }
}

fn later(now: KernelTime, after: Duration) -> KernelTime {
    KernelTime(now.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
}

/// The file as the process has it open; `None` when it has closed it.
fn stat_of_open(tgid: u32, file: FileId) -> Option<Stat> {
    let entries = fs::read_dir(format!("/proc/{tgid}/fd")).into_iter().flatten().flatten();
    let mut files = entries.take(DESCRIPTORS).filter_map(|entry| fs::metadata(entry.path()).ok());
    let open = files.find(|open| open.is_file() && open.ino() == file.inode)?;
    Some(Stat { size: open.size(), written: (open.mtime(), open.mtime_nsec()) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::kernel::file_id;

    const SELF: fn() -> ProcessKey = || ProcessKey::new(1, std::process::id());

    fn at(millis: u64) -> KernelTime {
        KernelTime(millis * 1_000_000)
    }

    #[test]
    fn what_grows_is_told_and_what_is_closed_is_told_and_forgotten() {
        let mut file = tempfile::tempfile().unwrap();
        let id = file_id::of_open(&file).unwrap();
        let mut writers = Writers::default();
        writers.opened(SELF(), id, at(0));
        assert_eq!(writers.look(at(19)).len(), 0, "it is too early");
        assert_eq!(writers.look(at(20)).len(), 1, "what was written so far");
        assert_eq!(writers.look(at(100)).len(), 0, "nothing since");
        file.write_all(b"made-up").unwrap();
        assert_eq!(writers.look(at(300)).len(), 1, "it has grown");
        drop(file);
        assert!(matches!(writers.look(at(900))[..], [Input::Appended { file, .. }] if file == id));
        assert_eq!((writers.look(at(9000)).len(), writers.left(at(9000))), (0, None));
    }

    #[test]
    fn it_is_looked_less_and_less_often() {
        let file = tempfile::tempfile().unwrap();
        let mut writers = Writers::default();
        writers.opened(SELF(), file_id::of_open(&file).unwrap(), at(0));
        let mut now = 0;
        let mut looks = 0;
        while now < 3_600_000 {
            now += u64::try_from(writers.left(at(now)).unwrap().as_millis()).unwrap();
            writers.look(at(now));
            looks += 1;
        }
        assert!(looks < 140, "{looks} in an hour");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut writers = Writers::default();
        for inode in 0..LIMIT as u64 + 3 {
            writers.opened(SELF(), FileId { inode, ..FileId::default() }, at(inode));
        }
        assert_eq!((writers.writing.len(), writers.take_evicted(), writers.take_evicted()), (LIMIT, 3, 0));
    }
}
