//! Asks the package database of this machine, on a thread of its own and with a deadline: whoever asks waits for
//! [`PATIENCE`] at most, and what is not known by then is unknown. The next who asks finds the answer.
//!
//! All packages are read at the start, and again when the database has changed. Sums of files are kept by path, inode and
//! change time.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::{
    Digest, Integrity, Owner,
    database::{Database, Holder, Stamp, stamp},
    index::Index,
    installed, pip,
    sum::{Sum, Summing},
};

/// How long whoever asks waits, and all who ask within one [`WINDOW`] together: findings wait behind each other.
pub const PATIENCE: Duration = Duration::from_millis(50);
/// How long waiting counts.
const WINDOW: Duration = Duration::from_secs(1);
/// Most answers kept.
const ANSWERS: usize = 4096;
/// Most files that wait for an answer.
const WAITING: usize = 256;
/// Largest file whose sum is taken.
const FILE_BYTES: u64 = 1 << 30;
/// Bytes between two looks at who else asks.
const CHUNK: usize = 1 << 20;

/// A file to ask about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Its inode number, where it must be that very file.
    pub inode: Option<u64>,
}

/// Of whom no more is known.
const NOBODY: Owner = Owner::Nobody { digest: None, installed: None };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    path: PathBuf,
    file: Stamp,
    database: Stamp,
}

#[derive(Debug, Default)]
struct State {
    /// An answer, and whether more of it is to come.
    answers: HashMap<Key, (Owner, bool)>,
    order: VecDeque<Key>,
    waiting: VecDeque<Key>,
    evicted: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something new is in `state`.
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, key: Key, owner: Owner, more: bool) {
        let mut state = self.lock();
        state.keep(key, owner, more);
        drop(state);
        self.news.notify_all();
    }
}

impl State {
    fn keep(&mut self, key: Key, owner: Owner, more: bool) {
        if self.answers.insert(key.clone(), (owner, more)).is_none() {
            self.order.push_back(key);
        }
        while self.answers.len() > ANSWERS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.answers.remove(&oldest);
            self.evicted += 1;
        }
    }
}

/// The packages of this machine.
#[derive(Debug)]
pub struct Packages {
    root: PathBuf,
    shared: Arc<Shared>,
    started: bool,
    waited: Waited,
}

/// How long was waited since when.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    since: Option<Instant>,
    spent: Duration,
}

impl Waited {
    /// What is left of the patience.
    fn left(&mut self, now: Instant) -> Duration {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            *self = Self { since: Some(now), spent: Duration::ZERO };
        }
        PATIENCE.saturating_sub(self.spent)
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.news.notify_all();
    }
}

impl Packages {
    /// Of the system below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), shared: Arc::default(), started: false, waited: Waited::default() }
    }

    /// Reads the lists now, so that the first who asks does not wait for them.
    pub fn prepare(&mut self) {
        self.start();
    }

    /// Whose these files are, in their order. `None` where there is no database.
    pub fn owners(&mut self, files: &[Asked<'_>]) -> Option<Vec<Owner>> {
        let begin = Instant::now();
        let patience = self.waited.left(begin);
        let owners = self.owners_within(files, patience);
        self.waited.spent += begin.elapsed();
        owners
    }

    /// Answers pushed out because there were too many, since the last call.
    pub fn take_evicted(&self) -> u64 {
        std::mem::take(&mut self.shared.lock().evicted)
    }

    fn owners_within(&mut self, files: &[Asked<'_>], patience: Duration) -> Option<Vec<Owner>> {
        let deadline = Instant::now() + patience;
        let database = Database::find(&self.root)?.stamp;
        let keys: Vec<Option<Key>> = files.iter().map(|file| self.key(file, database)).collect();
        if !self.start() {
            return Some(vec![Owner::Unknown; files.len()]);
        }
        let mut state = self.shared.lock();
        for key in keys.iter().flatten() {
            if !state.answers.contains_key(key) && state.waiting.len() < WAITING {
                state.keep(key.clone(), Owner::Unknown, true);
                state.waiting.push_back(key.clone());
            }
        }
        self.shared.news.notify_all();
        let more =
            |state: &State| keys.iter().flatten().any(|key| state.answers.get(key).is_some_and(|(_, more)| *more));
        while more(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                break;
            };
            state = self.shared.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let owner = |key: &Option<Key>| {
            let known = key.as_ref().and_then(|key| state.answers.get(key));
            known.map_or(Owner::Unknown, |(owner, _)| owner.clone())
        };
        Some(keys.iter().map(owner).collect())
    }

    fn key(&self, asked: &Asked<'_>, database: Stamp) -> Option<Key> {
        let found = fs::canonicalize(self.root.join(asked.path.strip_prefix("/").ok()?)).ok()?;
        let metadata = fs::metadata(&found).ok().filter(Metadata::is_file)?;
        if asked.inode.is_some_and(|inode| inode != metadata.ino()) {
            return None;
        }
        let path = Path::new("/").join(found.strip_prefix(&self.root).ok()?);
        Some(Key { path, file: stamp(&metadata), database })
    }

    fn start(&mut self) -> bool {
        if !self.started {
            let worker = Worker { root: self.root.clone(), shared: Arc::clone(&self.shared), index: None };
            let spawned = thread::Builder::new().name("packages".to_owned()).spawn(move || worker.run());
            self.started =
                spawned.inspect_err(|error| tracing::warn!(%error, "packages of programs are not known")).is_ok();
        }
        self.started
    }
}

/// A file to be read whole.
struct Check {
    key: Key,
    what: Wanted,
}

/// What is to be known of its content.
enum Wanted {
    /// Whether it is what the package brought, by the sum that this recorded.
    Integrity { package: String, sum: Sum },
    /// What it is.
    Digest,
    /// Whether an ecosystem's record lists it. A step of its own, so that its digest is known without waiting for it.
    Installed { digest: Option<Digest>, sum: Option<String> },
}

struct Worker {
    root: PathBuf,
    shared: Arc<Shared>,
    index: Option<(Database, Index)>,
}

impl Worker {
    fn run(mut self) {
        self.index = Database::find(&self.root).map(|database| (database.clone(), database.index()));
        let mut checks = VecDeque::new();
        loop {
            let mut state = self.shared.lock();
            while state.waiting.is_empty() && checks.is_empty() && !state.closed {
                state = self.shared.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return;
            }
            drop(state);
            self.look_up(&mut checks);
            if let Some(check) = checks.pop_front() {
                self.check(check, &mut checks);
            }
        }
    }

    /// Answers whoever waits, but for sums.
    fn look_up(&mut self, checks: &mut VecDeque<Check>) {
        loop {
            let Some(key) = self.shared.lock().waiting.pop_front() else { return };
            let (owner, more) = match self.holder(&key) {
                Holder::Package(name, Some(sum)) => {
                    let what = Wanted::Integrity { package: name.clone(), sum };
                    checks.push_back(Check { key: key.clone(), what });
                    (Owner::Package { name, integrity: Integrity::Unknown }, true)
                }
                Holder::Package(name, None) => (Owner::Package { name, integrity: Integrity::Unrecorded }, false),
                Holder::Nobody => {
                    checks.push_back(Check { key: key.clone(), what: Wanted::Digest });
                    (NOBODY, true)
                }
                Holder::Unknown => (Owner::Unknown, false),
            };
            self.shared.tell(key, owner, more);
        }
    }

    fn holder(&mut self, key: &Key) -> Holder {
        // What has changed since is asked with the next key.
        let Some(database) = Database::find(&self.root).filter(|found| found.stamp == key.database) else {
            return Holder::Unknown;
        };
        if self.index.as_ref().is_none_or(|(of, _)| *of != database) {
            self.index = Some((database.clone(), database.index()));
        }
        let Some((_, index)) = &self.index else { return Holder::Unknown };
        let holder = database.holder(index, key.path.as_os_str().as_bytes());
        // It was read while somebody may have written.
        let same = Database::find(&self.root).is_some_and(|now| now.stamp == key.database);
        if same { holder } else { Holder::Unknown }
    }

    fn check(&mut self, check: Check, checks: &mut VecDeque<Check>) {
        let mut more = false;
        let owner = match check.what {
            Wanted::Integrity { package, sum } => {
                let mut summing = Summing::like(&sum);
                let integrity = match self.content(&check.key, checks, |chunk| summing.update(chunk)) {
                    Ok(true) if summing.is(&sum) => Integrity::Intact,
                    Ok(true) => Integrity::Changed,
                    Ok(false) | Err(_) => Integrity::Unknown,
                };
                Owner::Package { name: package, integrity }
            }
            Wanted::Digest => {
                let (digest, sum) = self.digest(&check.key, checks);
                checks.push_back(Check { key: check.key.clone(), what: Wanted::Installed { digest, sum } });
                more = true;
                Owner::Nobody { digest, installed: None }
            }
            Wanted::Installed { digest, sum } => {
                let installed = installed::find(&self.root, &check.key.path, sum.as_deref());
                Owner::Nobody { digest, installed }
            }
        };
        self.shared.tell(check.key, owner, more);
    }

    /// What a file holds, and its sum as pip has it where pip may have brought it.
    fn digest(&mut self, key: &Key, checks: &mut VecDeque<Check>) -> (Option<Digest>, Option<String>) {
        let mut hasher = blake3::Hasher::new();
        let mut sha256 = installed::wants_sum(&key.path).then(Sha256::new);
        let whole = self.content(key, checks, |chunk| {
            hasher.update(chunk);
            if let Some(sha256) = &mut sha256 {
                sha256.update(chunk);
            }
        });
        if !whole.unwrap_or(false) {
            return (None, None);
        }
        (Some(Digest(*hasher.finalize().as_bytes())), sha256.map(|sha256| pip::sum(&sha256.finalize())))
    }

    /// Hands all of a file to `take`. Whether it was still the one that was asked about when it had been read.
    fn content(&mut self, key: &Key, checks: &mut VecDeque<Check>, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut file = File::open(self.root.join(key.path.strip_prefix("/").unwrap_or(&key.path)))?;
        let same = |file: &File| -> io::Result<bool> { Ok(stamp(&file.metadata()?) == key.file) };
        if !same(&file)? || file.metadata()?.len() > FILE_BYTES {
            return Ok(false);
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return same(&file);
            }
            take(chunk.get(..read).unwrap_or_default());
            // A large file must not keep others from their answer.
            self.look_up(checks);
            if self.shared.lock().closed {
                return Ok(false);
            }
        }
    }
}

#[cfg(test)]
mod tests;
