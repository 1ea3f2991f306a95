//! Keeps the set of watched files fresh: finds what exists and what is created or renamed into place, and remembers
//! by which name a file is known.
//!
//! Names are watched by the kernel itself; ids are what catches a store that is reached by another name. A thread of its
//! own walks the homes and looks at the directories of stores, so that no walk ever holds up the rings.
//!
//! It looks at change times instead of listening with inotify: one inotify watch makes the kernel look for listeners on
//! each open and read of that file system, which costs everybody more than our own programs do (`docs/benchmarks.md`).

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs, io,
    os::unix::fs::DirEntryExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokenhound_common::watch::{FileKey, FileWatch};

use crate::{
    catalogue::{
        Catalogue,
        compile::WatchPlan,
        decoy::Decoy,
        homes::{EnvOverrides, Homes},
        scan::{self, TargetKind},
    },
    decoy::record::{self, Record},
    kernel::file_id::Mounts,
    readers,
};

/// How often everything is looked for again: files that appear deep in a tree, or in directories that are new.
const RESCAN: Duration = Duration::from_secs(60);

/// One look in so many also searches whole homes for files that can be anywhere (`*.kdbx`): by far the dearest part.
const SEARCH_EVERY: u32 = 60;

/// How often the directories of stores are looked at for entries that have come or were renamed into place.
const LOOK: Duration = Duration::from_secs(1);

/// Most files remembered whose name is gone: a store that was moved away is still the same store.
const MAX_GONE: usize = 4096;

/// Most directories looked at.
const MAX_DIRECTORIES: usize = 8192;

/// Most entries of a changed directory that are looked at; the rest is left to the next full look.
const MAX_ENTRIES: usize = 4096;

/// Work for the thread.
#[derive(Debug)]
pub enum Command {
    /// Variables of a running process have moved stores: look there as well.
    Overrides(WatchPlan, EnvOverrides),
    /// Another home has become known.
    Home(PathBuf),
    /// Write down which readers are remembered.
    Readers(readers::Record),
    /// There are other stores now.
    Stores(Arc<Catalogue>, WatchPlan),
}

/// What the thread has found.
#[derive(Debug)]
pub enum Update {
    /// Everything there is, and the names of the directories among it.
    All(HashMap<FileKey, FileWatch>, HashSet<Vec<u8>>),
    /// These as well.
    More(HashMap<FileKey, FileWatch>, HashSet<Vec<u8>>),
    /// These decoys are planted now.
    Decoys(Vec<Decoy>),
}

/// A message of the thread.
#[derive(Debug)]
pub struct Message {
    /// What to watch.
    pub update: Update,
    /// By which names files are known.
    pub names: Vec<(FileKey, PathBuf)>,
    /// These are all names.
    pub all: bool,
}

/// The set, as the pipeline sees it.
pub struct Watchset {
    commands: mpsc::SyncSender<Command>,
    messages: mpsc::Receiver<Message>,
    names: WatchPlan,
    complete: bool,
}

impl Watchset {
    /// Starts the thread, which begins with a full look.
    ///
    /// # Errors
    ///
    /// When the thread cannot be had.
    pub fn start(looked: Looked) -> io::Result<Self> {
        let Looked { catalogue, plan, homes, overrides, state } = looked;
        let (commands, receive) = mpsc::sync_channel(1024);
        let (send, messages) = mpsc::sync_channel(1024);
        let mut looker = Looker {
            catalogue,
            plan: plan.clone(),
            homes,
            overrides,
            planted: changed(&state.join(record::FILE)),
            state,
            directories: HashMap::new(),
            seen: HashMap::new(),
            gone: VecDeque::new(),
            commands: receive,
            messages: send,
        };
        thread::Builder::new().name("watchset".into()).spawn(move || looker.run())?;
        Ok(Self { commands, messages, names: plan, complete: false })
    }

    /// Gives the thread work. A full queue means that it is busy looking anyway.
    pub fn send(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("the watcher of stores is busy; it will look again within a minute");
        }
    }

    /// There are other stores now.
    pub fn replace(&mut self, catalogue: Arc<Catalogue>, plan: WatchPlan) {
        self.names = plan.clone();
        self.send(Command::Stores(catalogue, plan));
    }

    /// The next thing found. Waits for the first full look if asked to.
    pub fn receive(&mut self, wait: bool) -> Option<Message> {
        let wait = wait && !self.complete;
        let message = if wait { self.messages.recv().ok() } else { self.messages.try_recv().ok() }?;
        self.complete |= message.all;
        Some(message)
    }

    /// Adds names to watch.
    pub fn merge_names(&mut self, plan: WatchPlan) {
        self.names.merge(plan);
    }

    /// All names to watch.
    #[must_use]
    pub fn names(&self) -> &WatchPlan {
        &self.names
    }
}

/// What is looked at from the start.
pub struct Looked {
    /// The stores.
    pub catalogue: Arc<Catalogue>,
    /// What to watch of them.
    pub plan: WatchPlan,
    /// Homes known so far.
    pub homes: Homes,
    /// Where variables have moved stores.
    pub overrides: EnvOverrides,
    /// State directory with the record of decoys.
    pub state: PathBuf,
}

/// The decoys that are planted. A record that cannot be used is said, and `None`: what was watched stays watched.
#[must_use]
pub fn decoys(state: &Path) -> Option<Vec<Decoy>> {
    let record = Record::load(state).inspect_err(|error| tracing::warn!(%error, "decoys are not watched"));
    record.ok().map(|record| record.decoys())
}

/// The thread's side.
struct Looker {
    catalogue: Arc<Catalogue>,
    plan: WatchPlan,
    homes: Homes,
    overrides: EnvOverrides,
    /// Change time of each directory when it was last looked at, in nanoseconds.
    directories: HashMap<PathBuf, i128>,
    seen: HashMap<FileKey, (FileWatch, PathBuf)>,
    gone: VecDeque<(FileKey, FileWatch, PathBuf)>,
    state: PathBuf,
    /// Change time of the record of decoys when it was last looked at.
    planted: Option<i128>,
    commands: mpsc::Receiver<Command>,
    messages: mpsc::SyncSender<Message>,
}

impl Looker {
    /// Works until nobody listens any more.
    fn run(&mut self) {
        let mut next = Instant::now();
        let mut looks = 0u32;
        loop {
            if Instant::now() >= next {
                // The first look is waited for and does not search; the second one does.
                let search = looks % SEARCH_EVERY == 1;
                if self.look_everywhere(search).is_err() {
                    return;
                }
                next = if looks == 0 { Instant::now() } else { Instant::now() + RESCAN };
                looks += 1;
            }
            match self.commands.recv_timeout(LOOK) {
                Ok(command) => {
                    let mut new = Vec::new();
                    let mut everything = self.obey(command, &mut new);
                    while let Ok(command) = self.commands.try_recv() {
                        everything |= self.obey(command, &mut new);
                    }
                    if everything {
                        next = Instant::now();
                    } else if !new.is_empty() && self.look_into(&Homes::new(new)).is_err() {
                        return;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if self.look_at_decoys().is_err() || self.look_at_directories().is_err() {
                        return;
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Returns whether everything has to be looked at again. Homes that are new are added to `new`.
    fn obey(&mut self, command: Command, new: &mut Vec<PathBuf>) -> bool {
        match command {
            Command::Overrides(plan, overrides) => {
                self.plan.merge(plan);
                self.overrides.merge(&overrides);
                true
            }
            Command::Home(home) => {
                if self.homes.insert(&home) {
                    new.push(home);
                }
                false
            }
            Command::Readers(readers) => {
                if let Err(error) = readers.save(&self.state) {
                    tracing::warn!(%error, "readers are remembered until the agent ends only");
                }
                false
            }
            Command::Stores(catalogue, plan) => {
                (self.catalogue, self.plan) = (catalogue, plan);
                true
            }
        }
    }

    /// Reports the decoys if they have changed since the last look.
    fn look_at_decoys(&mut self) -> Result<(), Gone> {
        let now = changed(&self.state.join(record::FILE));
        if now == self.planted {
            return Ok(());
        }
        self.planted = now;
        let Some(decoys) = decoys(&self.state) else { return Ok(()) };
        self.messages.send(Message { update: Update::Decoys(decoys), names: Vec::new(), all: false }).map_err(|_| Gone)
    }

    fn look_everywhere(&mut self, search: bool) -> Result<(), Gone> {
        let mounts = Mounts::read().unwrap_or_default();
        let limits = scan::Limits { search, ..scan::Limits::default() };
        let scanned = self.catalogue.scan(&self.plan, &self.homes, &self.overrides, limits);
        if scanned.cut > 0 {
            tracing::warn!(
                cut = scanned.cut,
                "more files than the search for stores may look at; some are watched by name only"
            );
        }
        let mut files = HashMap::new();
        let mut seen = HashMap::new();
        let mut directories = HashSet::new();
        for target in scanned.targets {
            let Ok(id) = mounts.identify(&target.path) else { continue };
            let directory = target.kind == TargetKind::Entries;
            let watch = files.entry(FileKey::of(id)).or_insert(FileWatch { generation: id.generation, flags: 0 });
            watch.flags |= if directory { FileWatch::ENTRIES } else { FileWatch::ITSELF };
            self.remember_directory(if directory { Some(&target.path) } else { target.path.parent() });
            if directory {
                directories.extend(kernel_names(&target.path));
            } else {
                seen.insert(FileKey::of(id), (*watch, target.known_as));
            }
        }
        self.remember_gone(&seen, &mut files);
        let names = self.gone.iter().map(|(key, _, path)| (*key, path.clone()));
        let names = names.chain(seen.iter().map(|(key, (_, path))| (*key, path.clone()))).collect();
        self.seen = seen;
        self.messages.send(Message { update: Update::All(files, directories), names, all: true }).map_err(|_| Gone)
    }

    /// Finds what there is in new homes. A machine can have many: each is looked at once, and not all for each of them.
    fn look_into(&mut self, homes: &Homes) -> Result<(), Gone> {
        let mounts = Mounts::read().unwrap_or_default();
        let limits = scan::Limits { search: false, homes_only: true, ..scan::Limits::default() };
        let scanned = self.catalogue.scan(&self.plan, homes, &self.overrides, limits);
        let (mut files, mut directories, mut names) = (HashMap::new(), HashSet::new(), Vec::new());
        for target in scanned.targets {
            let Ok(id) = mounts.identify(&target.path) else { continue };
            let directory = target.kind == TargetKind::Entries;
            let flags = if directory { FileWatch::ENTRIES } else { FileWatch::ITSELF };
            let watch = FileWatch { generation: id.generation, flags };
            files.insert(FileKey::of(id), watch);
            self.remember_directory(if directory { Some(&target.path) } else { target.path.parent() });
            if directory {
                directories.extend(kernel_names(&target.path));
            } else {
                self.seen.insert(FileKey::of(id), (watch, target.known_as.clone()));
                names.push((FileKey::of(id), target.known_as));
            }
        }
        self.messages.send(Message { update: Update::More(files, directories), names, all: false }).map_err(|_| Gone)
    }

    /// Files that were there the last time and are no longer found under their names stay watched by id. If they were
    /// deleted that costs nothing: their generation does not come back.
    fn remember_gone(
        &mut self,
        seen: &HashMap<FileKey, (FileWatch, PathBuf)>,
        files: &mut HashMap<FileKey, FileWatch>,
    ) {
        self.gone.retain(|(key, ..)| !files.contains_key(key));
        for (key, (watch, path)) in std::mem::take(&mut self.seen) {
            if !seen.contains_key(&key) && !files.contains_key(&key) {
                self.gone.push_back((key, watch, path));
            }
        }
        while self.gone.len() > MAX_GONE {
            self.gone.pop_front();
        }
        files.extend(self.gone.iter().map(|(key, watch, _)| (*key, *watch)));
    }

    fn remember_directory(&mut self, directory: Option<&Path>) {
        let Some(directory) = directory else { return };
        if self.directories.len() < MAX_DIRECTORIES && !self.directories.contains_key(directory) {
            // Zero: the next look lists it whole, so that nothing falls between the scan and now.
            self.directories.insert(directory.to_owned(), 0);
        }
    }

    /// Reports files of stores that have come into directories since the last look.
    fn look_at_directories(&mut self) -> Result<(), Gone> {
        let mut new = Vec::new();
        self.directories.retain(|directory, known| {
            let Some(now) = changed(directory) else { return false };
            if now != *known {
                *known = now;
                new.push(directory.clone());
            }
            true
        });
        if new.is_empty() {
            return Ok(());
        }
        let mounts = Mounts::read().unwrap_or_default();
        let inodes: HashSet<u64> = self.seen.keys().map(|key| key.inode).collect();
        let (mut files, mut names) = (HashMap::new(), Vec::new());
        for path in new.iter().flat_map(|directory| entries(directory, &inodes)) {
            let (homes, overrides) = (&self.homes, &self.overrides);
            let stores = self.catalogue.stores_for(&path, homes, overrides);
            if stores.is_empty() && self.catalogue.sockets_for(&path, homes, overrides).is_empty() {
                continue;
            }
            let Ok(id) = mounts.identify(&path) else { continue };
            let watch = FileWatch { generation: id.generation, flags: FileWatch::ITSELF };
            self.seen.insert(FileKey::of(id), (watch, path.clone()));
            files.insert(FileKey::of(id), watch);
            names.push((FileKey::of(id), path));
        }
        if files.is_empty() {
            return Ok(());
        }
        let update = Update::More(files, HashSet::new());
        self.messages.send(Message { update, names, all: false }).map_err(|_| Gone)
    }
}

/// What the kernel may call a directory: its name, and `/` in case that it is the top of a file system.
fn kernel_names(directory: &Path) -> impl Iterator<Item = Vec<u8>> {
    use std::os::unix::{ffi::OsStrExt, fs::MetadataExt};
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let top = directory.parent().is_none_or(|above| device(above) != device(directory));
    let name = directory.file_name().map(|name| name.as_bytes().to_vec());
    name.into_iter().chain(top.then(|| b"/".to_vec()))
}

/// When a file, or a directory's entries, last changed, in nanoseconds since the epoch; `None` if it is gone.
fn changed(directory: &Path) -> Option<i128> {
    let stat = rustix::fs::stat(directory).ok()?;
    Some(i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec))
}

/// Entries of a directory whose inodes are not known.
fn entries(directory: &Path, known: &HashSet<u64>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let new = entries.take(MAX_ENTRIES).flatten().filter(|entry| !known.contains(&entry.ino()));
    new.map(|entry| entry.path()).collect()
}

/// The pipeline has ended.
struct Gone;
