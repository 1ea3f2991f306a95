//! One look at a candidate: opens it, reads it past the scanner, and says where it lies.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::fs::Stat;

use super::{
    model::{Candidate, Git, Looked, Outcome, PlaceFacts, Skipped, Why},
    open::{Opened, open_candidate, why_not_read},
    read::{Reading, Seen, read},
    search::Limits,
};
use crate::{
    ingest::{clock, observation::KernelTime},
    posture::{Expected, gather::Gatherer, git, view::View},
    token::{scan::NeedleSet, secret::clean_stack},
};

/// Most files of which it is remembered how far they were looked into.
const SEEN: usize = 4096;

/// Longest file that is looked into at once, in bytes. Others wait for those that are as long.
const SMALL: u64 = 16 << 20;

/// Where media are mounted that can be taken out, by udisks and by hand.
const MEDIA: &[&str] = &["/media", "/run/media", "/mnt/usb"];

/// What one look may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    /// Longest file.
    pub(super) size: u64,
    /// Most bytes that it may expand to.
    pub(super) expanded: u64,
    /// Longest time.
    pub(super) time: Duration,
    /// Longest time for a file over [`SHORT`]: others wait behind it.
    pub(super) long: Duration,
}

/// Files up to so many bytes are done in a moment, unless the machine is busy with something else.
const SHORT: i64 = 1 << 20;

/// For files that are looked into at once.
pub(super) const AT_ONCE: Lane =
    Lane { size: SMALL, expanded: 32 << 20, time: Duration::from_millis(500), long: Duration::from_millis(100) };

/// For the others. In the time, a processor reads some ten gigabytes.
pub(super) const BACKGROUND: Lane =
    Lane { size: u64::MAX, expanded: 8 << 30, time: Duration::from_secs(120), long: Duration::from_secs(120) };

/// Files of which it is known how far they were looked into, by device and inode.
pub(super) type Memory = Arc<Mutex<HashMap<(u64, u64), Seen>>>;

/// What is looked for.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) set: Arc<NeedleSet>,
    /// Which set: another one has another number.
    pub(super) number: u64,
}

/// Looks into a file. `None`: it takes more than this lane has.
pub(super) fn look(candidate: &Candidate, known: &Known, lane: Lane, memory: &Memory) -> Option<Outcome> {
    let opened = match open_candidate(&candidate.path, candidate.file) {
        Ok(opened) => opened,
        Err(why) => return Some(Outcome::Skipped(why)),
    };
    if matches!(candidate.why, Why::Named { .. }) && is_older(&opened.stat, candidate.time) {
        return Some(Outcome::Skipped(Skipped::Older));
    }
    let file = (opened.stat.st_dev, opened.stat.st_ino);
    let before = memory.lock().unwrap_or_else(PoisonError::into_inner).get(&file).cloned();
    let time = if opened.stat.st_size > SHORT { lane.long } else { lane.time };
    let limits = Limits { expanded: lane.expanded, size: lane.size, deadline: Instant::now() + time };
    let reading = read((&opened.file, &opened.stat), (&known.set, known.number), limits, before.as_ref());
    clean_stack();
    let reading = match reading {
        Ok(reading) => reading?,
        Err(error) => return Some(Outcome::Skipped(why_not_read(&error))),
    };
    if matches!(reading.unseen, Some(Skipped::TimedOut | Skipped::Expands)) && lane.size == AT_ONCE.size {
        return None;
    }
    remember(memory, file, reading.seen.clone());
    let place = place(candidate, &opened, &reading);
    let Reading { copies, more, unseen, appended, .. } = reading;
    Some(Outcome::Looked(Box::new(Looked { moved: opened.moved, copies, more, unseen, place, appended })))
}

/// How far the wall clock of a file system, which goes in ticks of the kernel, may be behind.
const TICK: Duration = Duration::from_millis(20);

/// Was the file last changed before that time?
fn is_older(stat: &Stat, time: KernelTime) -> bool {
    let since = Duration::from_nanos(clock::now().0.saturating_sub(time.0)) + TICK;
    let nanoseconds = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
    let changed = Duration::new(u64::try_from(stat.st_ctime).unwrap_or(0), nanoseconds);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(changed) > since
}

fn remember(memory: &Memory, file: (u64, u64), seen: Option<Seen>) {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    match seen {
        Some(seen) => {
            // Whichever goes is looked into as a whole the next time.
            if memory.len() >= SEEN
                && !memory.contains_key(&file)
                && let Some(oldest) = memory.iter().min_by_key(|(_, seen)| seen.whole()).map(|(file, _)| *file)
            {
                memory.remove(&oldest);
            }
            memory.insert(file, seen);
        }
        None => {
            memory.remove(&file);
        }
    }
}

/// Where it lies. What takes asking is asked only where a token was found.
fn place(candidate: &Candidate, opened: &Opened, reading: &Reading) -> PlaceFacts {
    let Stat { st_mode, st_uid, st_size, st_dev, .. } = opened.stat;
    let facts = PlaceFacts {
        size: u64::try_from(st_size).unwrap_or(0),
        mode: st_mode & 0o7777,
        uid: st_uid,
        program: reading.program,
        ..PlaceFacts::default()
    };
    let path = opened.moved.as_deref().unwrap_or(&candidate.path);
    let Some(view) = View::open(Path::new("/")).ok().filter(|_| !reading.copies.is_empty()) else { return facts };
    let expected = Expected { home: candidate.home.clone(), ..Expected::default() };
    let Ok(gathered) = Gatherer::new(&view).facts(path, expected) else { return facts };
    PlaceFacts {
        network: gathered.network,
        removable: MEDIA.iter().any(|media| path.starts_with(media)) || is_removable(st_dev),
        synced: gathered.synced,
        git: match gathered.git {
            git::State::Tracked { .. } => Git::Tracked,
            git::State::Untracked { .. } => Git::Untracked,
            git::State::Ignored => Git::Ignored,
            git::State::Outside | git::State::Unknown => Git::Outside,
        },
        layer: gathered.layer,
        ..facts
    }
}

/// Can the disk be taken out, by what the kernel says of it (sysfs, `removable`)? Of a partition its disk is asked.
fn is_removable(device: u64) -> bool {
    let entry = format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let Ok(entry) = fs::canonicalize(entry) else { return false };
    let says = |at: &Path| fs::read_to_string(at.join("removable")).is_ok_and(|text| text.trim() == "1");
    says(&entry) || entry.parent().is_some_and(says)
}
