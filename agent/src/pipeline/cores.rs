//! Finds the cores of processes that crashed after they had read a store.
//!
//! Where a core goes is said by `/proc/sys/kernel/core_pattern` (core(5)): a file, or a program that gets it through a pipe
//! and puts it somewhere. The kernel does not tell which file it was, so it is looked for by name, owner and age.

use std::{
    collections::VecDeque,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokenhound_common::record::FileId;

use super::core::{Dumped, Input};
use crate::{ingest::observation::KernelTime, kernel::file_id::Mounts};

/// How long after the crash it is looked. The kernel's own file is there at once; a program behind a pipe takes its time
/// to compress.
const LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(3),
    Duration::from_secs(20),
];

/// How long before the process ended its core may have been changed last: writing is the last that is done, but file systems
/// keep time coarsely, and the wall clock may be set.
const MARGIN: Duration = Duration::from_secs(5);

/// Where programs behind a pipe put cores: systemd-coredump(8), Ubuntu's and Debian's apport.
const ARCHIVES: [&str; 3] = ["/var/lib/systemd/coredump", "/var/lib/apport/coredump", "/var/crash"];

/// Most crashes that are looked after at once; the oldest goes first.
const LIMIT: usize = 256;

/// Most entries of a directory that are looked at.
const ENTRIES: usize = 16_384;

/// Where cores go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// A directory (relative to that of the process unless absolute) and the name of the file.
    File(PathBuf, Vec<Part>),
    /// A program, or a socket.
    Pipe,
}

/// A part of a core's name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// `%p` or `%P`.
    Pid,
    /// Any other specifier.
    Any,
}

/// Crashes whose cores are not found yet.
#[derive(Debug, Default)]
pub(super) struct Cores {
    waiting: VecDeque<(Dumped, usize)>,
}

impl Cores {
    /// A process has crashed. Returns whether an older one had to be given up for it.
    pub(super) fn dumped(&mut self, dumped: Dumped) -> bool {
        self.waiting.push_back((dumped, 0));
        self.waiting.len() > LIMIT && self.waiting.pop_front().is_some()
    }

    /// How long until it is time to look.
    pub(super) fn left(&self, now: KernelTime) -> Option<Duration> {
        self.waiting.iter().map(|(dumped, look)| due(dumped, *look).saturating_sub(Duration::from_nanos(now.0))).min()
    }

    /// Looks for the cores that are due. What is found is for the core of the agent to name.
    pub(super) fn look(&mut self, now: KernelTime) -> Vec<Input> {
        let at = Duration::from_nanos(now.0);
        if self.waiting.iter().all(|(dumped, look)| due(dumped, *look) > at) {
            return Vec::new();
        }
        let pattern = pattern();
        let mut found = Vec::new();
        for (dumped, look) in std::mem::take(&mut self.waiting) {
            if due(&dumped, look) > at {
                self.waiting.push_back((dumped, look));
                continue;
            }
            let ago = at.saturating_sub(Duration::from_nanos(dumped.time.0)) + MARGIN;
            let files = find(&pattern, &dumped, SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH));
            let process = dumped.process;
            found.extend(files.iter().map(|file| Input::Core { time: now, process, file: *file }));
            if files.is_empty() && look + 1 < LOOKS.len() {
                self.waiting.push_back((dumped, look + 1));
            } else if files.is_empty() {
                tracing::warn!(pid = process.tgid, "the core of a process that had read a store was not found");
            }
        }
        found
    }
}

fn due(dumped: &Dumped, look: usize) -> Duration {
    Duration::from_nanos(dumped.time.0) + LOOKS.get(look).copied().unwrap_or_default()
}

fn pattern() -> Pattern {
    let text = fs::read("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let with_pid = fs::read("/proc/sys/kernel/core_uses_pid").is_ok_and(|text| text.first() != Some(&b'0'));
    parse(text.trim_ascii_end(), with_pid)
}

/// Reads a pattern as `format_corename` (fs/coredump.c) does. `with_pid`: the pid is appended where the pattern lacks it.
fn parse(text: &[u8], with_pid: bool) -> Pattern {
    if matches!(text.first(), Some(b'|' | b'@')) {
        return Pattern::Pipe;
    }
    let (directory, name) = match text.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&text[..at.max(1)], &text[at + 1..]),
        None => (&b""[..], text),
    };
    let mut parts = Vec::new();
    let mut bytes = name.iter().copied();
    while let Some(byte) = bytes.next() {
        let next = if byte == b'%' { bytes.next() } else { None };
        match (byte, next) {
            (b'%', Some(b'%')) => put(&mut parts, b'%'),
            (b'%', Some(b'p' | b'P')) => parts.push(Part::Pid),
            (b'%', Some(_)) => parts.push(Part::Any),
            (b'%', None) => {}
            (byte, _) => put(&mut parts, byte),
        }
    }
    if with_pid && !parts.contains(&Part::Pid) {
        put(&mut parts, b'.');
        parts.push(Part::Pid);
    }
    Pattern::File(PathBuf::from(std::ffi::OsStr::from_bytes(directory)), parts)
}

fn put(parts: &mut Vec<Part>, byte: u8) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(byte),
        _ => parts.push(Part::Text(vec![byte])),
    }
}

/// Whether a name is made of these parts. In a pid namespace of its own a process has another number: any number counts.
///
/// Who crashes chooses the names in its directory, so this takes one step for each byte and part, whatever they are.
fn fits(name: &[u8], parts: &[Part]) -> bool {
    // Where in the name the parts so far can end.
    let mut ends = vec![false; name.len() + 1];
    ends[0] = true;
    for part in parts {
        let mut next = vec![false; name.len() + 1];
        let mut inside = false;
        for at in 0..=name.len() {
            match part {
                Part::Text(text) if ends[at] && name[at..].starts_with(text) => next[at + text.len()] = true,
                Part::Text(_) => {}
                Part::Pid => {
                    inside = (ends[at] || inside) && name.get(at).is_some_and(u8::is_ascii_digit);
                    if inside {
                        next[at + 1] = true;
                    }
                }
                Part::Any => {
                    inside |= ends[at];
                    next[at] = inside;
                }
            }
        }
        ends = next;
    }
    ends[name.len()]
}

/// Cores that were written after `since`: an older one is that of another process, maybe of the same number.
fn find(pattern: &Pattern, dumped: &Dumped, since: SystemTime) -> Vec<FileId> {
    let entries = |directory: &Path, named: &dyn Fn(&[u8]) -> bool| entries(directory, (dumped.uid, since), named);
    match pattern {
        Pattern::File(directory, parts) => newest(entries(&dumped.cwd.join(directory), &|name| fits(name, parts))),
        Pattern::Pipe => {
            let pid = dumped.process.tgid.to_string();
            let named = |name: &[u8]| name.split(|byte| !byte.is_ascii_digit()).any(|part| part == pid.as_bytes());
            ARCHIVES.iter().flat_map(|archive| entries(Path::new(archive), &named)).map(|(_, id)| id).collect()
        }
    }
}

/// A name that is the same for every core is that of the last one.
fn newest(found: Vec<(SystemTime, FileId)>) -> Vec<FileId> {
    found.into_iter().max_by_key(|(changed, _)| *changed).map(|(_, id)| id).into_iter().collect()
}

/// Regular files of that user or of root that were last changed after that moment, with when it was.
fn entries(
    directory: &Path,
    (uid, since): (u32, SystemTime),
    named: &dyn Fn(&[u8]) -> bool,
) -> Vec<(SystemTime, FileId)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let Ok(mounts) = Mounts::read() else { return Vec::new() };
    let candidates = entries.take(ENTRIES).flatten().filter(|entry| named(entry.file_name().as_bytes()));
    let file = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).ok()?;
        let changed = metadata.modified().ok().filter(|changed| *changed >= since)?;
        let its_own = metadata.is_file() && (metadata.uid() == uid || metadata.uid() == 0);
        its_own.then(|| mounts.identify(&path).ok().map(|id| (changed, id)))?
    };
    candidates.filter_map(|entry| file(entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use tokenhound_common::process::ProcessKey;

    use super::*;

    fn name_fits(pattern: &str, with_pid: bool, name: &str) -> bool {
        match parse(pattern.as_bytes(), with_pid) {
            Pattern::File(_, parts) => fits(name.as_bytes(), &parts),
            Pattern::Pipe => panic!("{pattern} is no pipe"),
        }
    }

    #[test]
    fn names_follow_the_pattern() {
        assert!(name_fits("core", false, "core") && !name_fits("core", false, "core.7"));
        assert!(name_fits("core", true, "core.7") && !name_fits("core", true, "core"));
        assert!(name_fits("core.%p", true, "core.7") && !name_fits("core.%p", true, "core.x"));
        assert!(name_fits("%e-%t.%p.core", false, "node-1700000000.77.core"));
        assert!(name_fits("100%%", false, "100%"));
        assert!(!name_fits("%e.core", false, "core"));
        assert!(name_fits("%p%p", false, "12") && !name_fits("%p%p", false, "1"));
        let (pattern, name) = ("%e.".repeat(40), ".".repeat(255));
        assert!(!name_fits(&pattern, false, &format!("{name}x")), "and that in no time");
    }

    #[test]
    fn the_directory_may_be_the_processs_own() {
        let directory = |pattern: &str| match parse(pattern.as_bytes(), false) {
            Pattern::File(directory, _) => directory,
            Pattern::Pipe => PathBuf::from("|"),
        };
        assert_eq!(directory("core"), Path::new(""));
        assert_eq!(directory("/cores/%e"), Path::new("/cores"));
        assert_eq!(directory("/core"), Path::new("/"));
        assert_eq!(directory("|/usr/lib/systemd/systemd-coredump %P"), Path::new("|"));
    }

    #[test]
    fn the_core_is_found_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let uid = fs::metadata(home.path()).unwrap().uid();
        let dumped = Dumped { time: KernelTime(0), process: ProcessKey::new(1, 77), uid, cwd: home.path().to_owned() };
        let pattern = parse(b"core.%p", false);
        let since = SystemTime::now() - MARGIN;
        assert!(find(&pattern, &dumped, since).is_empty());
        fs::write(home.path().join("core.c"), "").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", home.path().join("core.78")).unwrap();
        fs::write(home.path().join("core.77"), "memory").unwrap();
        let found = find(&pattern, &dumped, since);
        assert_eq!(found.len(), 1);
        assert!(find(&pattern, &dumped, SystemTime::now() + MARGIN).is_empty(), "the core of an earlier one");
        assert_eq!(found[0].inode, fs::metadata(home.path().join("core.77")).unwrap().ino());
    }

    #[test]
    fn it_is_looked_for_until_it_is_given_up() {
        let mut cores = Cores::default();
        let dumped = Dumped {
            time: KernelTime(0),
            process: ProcessKey::new(1, 1),
            uid: 0,
            cwd: PathBuf::from("/nonexistent/directory"),
        };
        cores.dumped(dumped);
        for look in LOOKS {
            assert_eq!(cores.left(KernelTime(0)), Some(look));
            assert!(cores.look(KernelTime(look.as_nanos() as u64)).is_empty());
        }
        assert_eq!(cores.left(KernelTime(0)), None);
    }
}
