//! Keeps the set of watched files fresh: finds what exists, sees what is created or renamed into place, and remembers
//! by which name a file is known.
//!
//! Names are watched by the kernel itself; ids are what catches a store that is reached by another name. A thread of its
//! own walks the homes and listens to the directories of stores, so that no walk ever holds up the rings.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};
use tokenhound_common::{
    limits::MAX_FILE_IDS,
    record::FileId,
    watch::{FileKey, FileWatch},
};

use crate::{
    catalogue::{
        Catalogue,
        compile::WatchPlan,
        homes::{EnvOverrides, Homes},
        scan::{self, TargetKind},
    },
    kernel::file_id::Mounts,
};

/// How often everything is looked for again: what inotify cannot tell (more directories than it may watch, network file
/// systems, files that appear deep in a tree) is found then.
const RESCAN: Duration = Duration::from_secs(60);

/// One look in so many also searches whole homes for files that can be anywhere (`*.kdbx`): by far the dearest part.
const SEARCH_EVERY: u32 = 60;

/// How long the thread waits for changes before it looks whether it has been given work.
const IDLE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Most files remembered whose name is gone: a store that was moved away is still the same store.
const MAX_GONE: usize = 4096;

/// Most directories listened to. The kernel's own limit (`fs.inotify.max_user_watches`) may be lower.
const MAX_DIRECTORIES: usize = 8192;

/// Work for the thread.
#[derive(Debug)]
pub enum Command {
    /// Variables of a running process have moved stores: look there as well.
    Overrides(WatchPlan, EnvOverrides),
    /// Another home has become known.
    Home(PathBuf),
}

/// What the thread has found.
#[derive(Debug)]
pub enum Update {
    /// Everything there is.
    All(HashMap<FileKey, FileWatch>),
    /// One more file.
    One(FileId, u32),
}

/// A message of the thread.
struct Message {
    update: Update,
    names: Vec<(FileKey, PathBuf)>,
    all: bool,
}

/// The set, as the pipeline sees it.
pub struct Watchset {
    commands: mpsc::SyncSender<Command>,
    messages: mpsc::Receiver<Message>,
    names: WatchPlan,
    known: HashMap<FileKey, PathBuf>,
    complete: bool,
}

impl Watchset {
    /// Starts the thread, which begins with a full look.
    ///
    /// # Errors
    ///
    /// When inotify or the thread cannot be had.
    pub fn start(
        catalogue: &Arc<Catalogue>,
        plan: WatchPlan,
        homes: Homes,
        overrides: EnvOverrides,
    ) -> io::Result<Self> {
        let (commands, receive) = mpsc::sync_channel(1024);
        let (send, messages) = mpsc::sync_channel(1024);
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let mut looker = Looker {
            catalogue: Arc::clone(catalogue),
            plan: plan.clone(),
            homes,
            overrides,
            inotify,
            directories: HashMap::new(),
            seen: HashMap::new(),
            gone: VecDeque::new(),
            commands: receive,
            messages: send,
        };
        thread::Builder::new().name("watchset".into()).spawn(move || looker.run())?;
        Ok(Self { commands, messages, names: plan, known: HashMap::new(), complete: false })
    }

    /// Gives the thread work. A full queue means that it is busy looking anyway.
    pub fn send(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("the watcher of stores is busy; it will look again within a minute");
        }
    }

    /// The next thing found; waits for it if asked to.
    pub fn receive(&mut self, wait: bool) -> Option<Update> {
        let message = if wait { self.messages.recv().ok() } else { self.messages.try_recv().ok() }?;
        if message.all {
            self.known.clear();
            self.complete = true;
        }
        for (key, path) in message.names {
            self.insert(key, path);
        }
        Some(message.update)
    }

    /// Whether the first full look has arrived.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.complete
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

    /// Notes by which name a file is known.
    pub fn remember(&mut self, id: FileId, path: &Path) {
        self.insert(FileKey::of(id), path.to_owned());
    }

    fn insert(&mut self, key: FileKey, path: PathBuf) {
        if self.known.len() < MAX_FILE_IDS as usize || self.known.contains_key(&key) {
            self.known.insert(key, path);
        }
    }

    /// The name by which a file is known, if that is still true of this very file or if the name is gone (the store was
    /// moved). `None` if the name now belongs to another file: the inode number was used again.
    #[must_use]
    pub fn known_as(&self, id: FileId) -> Option<PathBuf> {
        let known = self.known.get(&FileKey::of(id))?;
        match crate::kernel::file_id::of(known) {
            Ok(now) if FileKey::of(now) != FileKey::of(id) => None,
            _ => Some(known.clone()),
        }
    }
}

/// The thread's side.
struct Looker {
    catalogue: Arc<Catalogue>,
    plan: WatchPlan,
    homes: Homes,
    overrides: EnvOverrides,
    inotify: rustix::fd::OwnedFd,
    directories: HashMap<i32, PathBuf>,
    seen: HashMap<FileKey, (FileWatch, PathBuf)>,
    gone: VecDeque<(FileKey, FileWatch, PathBuf)>,
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
            match self.take_commands() {
                Ok(true) => next = Instant::now(),
                Ok(false) => {}
                Err(Gone) => return,
            }
            if self.listen().is_err() {
                return;
            }
        }
    }

    /// Returns whether everything has to be looked at again.
    fn take_commands(&mut self) -> Result<bool, Gone> {
        let mut again = false;
        loop {
            match self.commands.try_recv() {
                Ok(Command::Overrides(plan, overrides)) => {
                    self.plan.merge(plan);
                    self.overrides.merge(&overrides);
                    again = true;
                }
                Ok(Command::Home(home)) => again |= self.homes.insert(&home),
                Err(mpsc::TryRecvError::Empty) => return Ok(again),
                Err(mpsc::TryRecvError::Disconnected) => return Err(Gone),
            }
        }
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
        for target in scanned.targets {
            let Ok(id) = mounts.identify(&target.path) else { continue };
            let directory = target.kind == TargetKind::Entries;
            let watch = files.entry(FileKey::of(id)).or_insert(FileWatch { generation: id.generation, flags: 0 });
            watch.flags |= if directory { FileWatch::ENTRIES } else { FileWatch::ITSELF };
            self.listen_to(if directory { Some(&target.path) } else { target.path.parent() });
            if !directory {
                seen.insert(FileKey::of(id), (*watch, target.known_as));
            }
        }
        self.remember_gone(&seen, &mut files);
        let names = self.gone.iter().map(|(key, _, path)| (*key, path.clone()));
        let names = names.chain(seen.iter().map(|(key, (_, path))| (*key, path.clone()))).collect();
        self.seen = seen;
        self.messages.send(Message { update: Update::All(files), names, all: true }).map_err(|_| Gone)
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

    fn listen_to(&mut self, directory: Option<&Path>) {
        let Some(directory) = directory else { return };
        if self.directories.len() >= MAX_DIRECTORIES {
            return;
        }
        let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, directory, events) {
            Ok(watch) => {
                self.directories.insert(watch, directory.to_owned());
            }
            Err(error) => tracing::debug!(directory = %directory.display(), %error, "cannot listen to a directory"),
        }
    }

    /// Waits for changes, and reports files that are stores.
    fn listen(&mut self) -> Result<(), Gone> {
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&IDLE)), Ok(ready) if ready > 0) {
            return Ok(());
        }
        let mut buffer = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        let mut changed = Vec::new();
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            use std::os::unix::ffi::OsStrExt;
            let directory = self.directories.get(&event.wd());
            if event.events().contains(inotify::ReadFlags::IGNORED) {
                self.directories.remove(&event.wd());
            } else if let (Some(directory), Some(name)) = (directory, event.file_name()) {
                changed.push(directory.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
            }
        }
        let mounts = Mounts::read().unwrap_or_default();
        for path in changed {
            if self.catalogue.stores_for(&path, &self.homes, &self.overrides).is_empty() {
                continue;
            }
            let Ok(id) = mounts.identify(&path) else { continue };
            let watch = FileWatch { generation: id.generation, flags: FileWatch::ITSELF };
            self.seen.insert(FileKey::of(id), (watch, path.clone()));
            let names = vec![(FileKey::of(id), path)];
            let update = Update::One(id, FileWatch::ITSELF);
            self.messages.send(Message { update, names, all: false }).map_err(|_| Gone)?;
        }
        Ok(())
    }
}

/// The pipeline has ended.
struct Gone;
