//! Looks at what lies in stores: which tokens, and who else can get at the file. On a thread of its own, so that no file ever
//! holds up the rings; what is found goes to the core as [`Input::Looked`]. The tokens themselves never leave this thread.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    catalogue::{
        Catalogue,
        homes::{EnvOverrides, Homes},
        model::Role,
    },
    detect::lifecycle::{Exposed, Look, Tracked},
    history::model::{MOST_LEFT, Sealed},
    posture::{self, Expected, gather::Gatherer, view::View},
    telemetry::{events, metrics::Metrics},
    token::{
        extract::{Content, extract_all},
        fingerprint::{Fingerprint, Key},
        read,
        scan::{NONCE, NeedleSet, Needles},
        secret::Secret,
    },
};

/// Most files that are followed. Beyond, a new one is not, which is counted.
const FILES: usize = 16_384;

/// How long after word of a change it is looked: most tools have written and closed the file by then.
const SOON: Duration = Duration::from_millis(100);

/// How long after it is looked again at a file that was empty: a tool that writes in place empties it first.
const EMPTY: Duration = Duration::from_millis(500);

/// How often all files are looked at for changes of which no probe told. More files, less often: see [`interval`].
const LOOK: Duration = Duration::from_secs(5);

/// Files for which [`LOOK`] is enough.
const FEW: u32 = 1000;

/// A file of stores, as it is asked about.
#[derive(Debug)]
pub(super) struct Request {
    path: PathBuf,
    stores: Vec<String>,
    home: Option<PathBuf>,
}

impl Request {
    /// The requests for the files with tokens that were known before the agent started. Where a home is not known yet they
    /// are of the stores of then.
    pub(super) fn again(
        tokens: &[Tracked],
        catalogue: &Catalogue,
        homes: &Homes,
        overrides: &EnvOverrides,
    ) -> Vec<Self> {
        let mut files: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
        for token in tokens {
            files.entry(&token.known.path).or_default().push(token.known.store.clone());
        }
        let request = |(path, mut stores): (&Path, Vec<String>)| {
            stores.dedup();
            let then = || Self { path: path.to_owned(), stores, home: None };
            Self::of(path, catalogue, homes, overrides).unwrap_or_else(then)
        };
        files.into_iter().map(request).collect()
    }

    /// The request for a file with that name; `None` where that is no store with tokens in it.
    pub(super) fn of(path: &Path, catalogue: &Catalogue, homes: &Homes, overrides: &EnvOverrides) -> Option<Self> {
        let stores = catalogue.stores_for(path, homes, overrides);
        let stores: Vec<String> =
            stores.iter().filter(|store| store.role == Role::Store).map(|store| store.id.clone()).collect();
        let home = homes.split(path).map(|(home, _)| home.to_owned()).last();
        (!stores.is_empty()).then(|| Self { path: path.to_owned(), stores, home })
    }
}

/// What the thread is asked for.
enum Asked {
    /// What lies in this file?
    Look(Request),
    /// Have it written down how this token is recognised: copies of it are known.
    Keep(Fingerprint),
}

/// The thread, as the pipeline sees it.
pub(super) struct Tokens {
    requests: mpsc::SyncSender<Asked>,
    looks: mpsc::Receiver<Look>,
    known: mpsc::Receiver<Arc<NeedleSet>>,
    sealed: mpsc::Receiver<Sealed>,
}

impl Tokens {
    /// Starts the thread; `left` is how tokens were recognised before, the longest ago first.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(catalogue: Arc<Catalogue>, key: Key, left: Vec<Needles>, metrics: Metrics) -> io::Result<Self> {
        let (requests, receive) = mpsc::sync_channel(FILES);
        let (send, looks) = mpsc::sync_channel(1024);
        let (tell, known) = mpsc::channel();
        let (seal, sealed) = mpsc::sync_channel(MOST_LEFT);
        let looker = Looker {
            catalogue,
            key,
            metrics,
            files: HashMap::new(),
            due: BTreeMap::new(),
            needles: HashMap::new(),
            changed: !left.is_empty(),
            kept: left.iter().map(|needles| needles.fingerprint).collect(),
            left: left.into(),
            looks: send,
            known: tell,
            sealed: seal,
        };
        thread::Builder::new().name("tokens".into()).spawn(move || looker.run(&receive))?;
        Ok(Self { requests, looks, known, sealed })
    }

    /// Has it written down how a token is recognised: a copy of it is known. A full queue leaves it to the next copy.
    pub(super) fn keep(&self, token: Fingerprint) {
        if self.requests.try_send(Asked::Keep(token)).is_err() {
            tracing::debug!("how a token is recognised is written down with its next copy");
        }
    }

    /// What is to be written down since the last call.
    pub(super) fn sealed(&self) -> impl Iterator<Item = Sealed> {
        self.sealed.try_iter()
    }

    /// Has a file looked at. A full queue leaves it to the next look at all names.
    pub(super) fn look(&self, request: Option<Request>) {
        if let Some(request) = request
            && self.requests.try_send(Asked::Look(request)).is_err()
        {
            tracing::debug!("too many stores wait to be looked at; the next look at all names takes them in");
        }
    }

    /// How to recognise all tokens that lie in stores, if they are others than at the last call.
    pub(super) fn known(&self) -> Option<Arc<NeedleSet>> {
        self.known.try_iter().last()
    }

    /// What was found since the last call.
    pub(super) fn found(&self) -> impl Iterator<Item = Look> {
        self.looks.try_iter()
    }
}

/// What is known of a file that was looked at.
struct File {
    stores: Vec<String>,
    home: Option<PathBuf>,
    stat: Option<Stat>,
    /// It was looked at, if only to see that it is not there.
    looked: bool,
}

/// By what a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    inode: u64,
    size: u64,
    links: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stat {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            inode: found.ino(),
            size: found.size(),
            links: found.nlink(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

struct Looker {
    catalogue: Arc<Catalogue>,
    key: Key,
    metrics: Metrics,
    files: HashMap<PathBuf, File>,
    /// When which file is to be looked at.
    due: BTreeMap<(Instant, PathBuf), ()>,
    /// How to recognise the tokens of each file.
    needles: HashMap<PathBuf, Vec<Needles>>,
    /// The same of tokens that lie in no store any more, the latest last: copies of them may be good for long after.
    left: VecDeque<Needles>,
    /// Those of which it is written down, or cannot be. Begun anew where there are too many: then some are written once more.
    kept: HashSet<Fingerprint>,
    /// The tokens that are looked for are others than was told.
    changed: bool,
    looks: mpsc::SyncSender<Look>,
    known: mpsc::Sender<Arc<NeedleSet>>,
    sealed: mpsc::SyncSender<Sealed>,
}

impl Looker {
    /// Works until nobody asks any more.
    fn run(mut self, requests: &mpsc::Receiver<Asked>) {
        let mut next = Instant::now() + LOOK;
        loop {
            let now = Instant::now();
            let due = self.due.first_key_value().map_or(next, |((at, _), ())| next.min(*at));
            let asked = match requests.recv_timeout(due.saturating_duration_since(now)) {
                Ok(asked) => Some(asked),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            for asked in asked.into_iter().chain(requests.try_iter()) {
                match asked {
                    Asked::Look(request) => self.take(request),
                    Asked::Keep(token) if self.keep(token).is_err() => return,
                    Asked::Keep(_) => {}
                }
            }
            if Instant::now() >= next {
                self.look_at_all();
                next = Instant::now() + interval(self.files.len());
            }
            if self.look_at_due().is_err() {
                return;
            }
        }
    }

    fn take(&mut self, request: Request) {
        let Request { path, stores, home } = request;
        if !self.files.contains_key(&path) && self.files.len() >= FILES {
            events::TableEvicted { table: "token_files", count: 1 }.emit(&self.metrics);
            return;
        }
        let new = File { stores: Vec::new(), home: None, stat: None, looked: false };
        let file = self.files.entry(path.clone()).or_insert(new);
        file.looked &= file.stores == stores;
        (file.stores, file.home) = (stores, home);
        if !file.looked || file.stat != Stat::of(&path) {
            self.due.insert((Instant::now() + SOON, path), ());
        }
    }

    /// Whatever has changed meanwhile.
    fn look_at_all(&mut self) {
        let changed = self.files.iter().filter(|(path, file)| Stat::of(path) != file.stat);
        let changed: Vec<PathBuf> = changed.map(|(path, _)| path.clone()).collect();
        let now = Instant::now();
        self.due.extend(changed.into_iter().map(|path| ((now, path), ())));
    }

    fn look_at_due(&mut self) -> Result<(), Ended> {
        let view = View::open(Path::new("/")).ok();
        let mut gatherer = view.as_ref().map(Gatherer::new);
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > Instant::now() {
                break;
            }
            let ((_, path), ()) = entry.remove_entry();
            let before = Stat::of(&path);
            let Some(file) = self.files.get_mut(&path) else { continue };
            // One file can be due several times.
            if file.looked && file.stat == before {
                continue;
            }
            if before.is_some_and(|stat| stat.size == 0) && file.stat.is_some_and(|stat| stat.size > 0) {
                // Looked at once more; if it is still empty then, that is what it is.
                file.stat = before.map(|stat| Stat { changed: (0, 0), ..stat });
                self.due.insert((Instant::now() + EMPTY, path), ());
                continue;
            }
            (file.stat, file.looked) = (before, true);
            let gone = before.is_none();
            let (look, needles) = self.look(&path, gatherer.as_mut());
            if gone {
                self.files.remove(&path);
            }
            let before = if needles.is_empty() {
                self.needles.remove(&path)
            } else {
                self.needles.insert(path, needles.clone())
            };
            let before = before.unwrap_or_default();
            self.changed |= before != needles;
            for before in before {
                self.leave(before)?;
            }
            self.looks.send(look).map_err(|_| Ended)?;
        }
        if std::mem::take(&mut self.changed) {
            // Those that lie in stores first: where there are too many, the others are left out.
            let known = NeedleSet::new(&self.key, self.needles.values().flatten().chain(&self.left));
            self.known.send(Arc::new(known)).map_err(|_| Ended)?;
        }
        Ok(())
    }

    /// A token may have left its store.
    fn leave(&mut self, needles: Needles) -> Result<(), Ended> {
        let same = |known: &Needles| known.fingerprint == needles.fingerprint;
        if self.needles.values().flatten().any(same) {
            return Ok(());
        }
        self.left.retain(|known| !same(known));
        if self.left.len() >= MOST_LEFT {
            self.left.pop_front();
            events::TableEvicted { table: "tokens_left", count: 1 }.emit(&self.metrics);
        }
        // Also where it was before: of those that are written down the longest ago goes first.
        self.seal(&needles)?;
        self.left.push_back(needles);
        Ok(())
    }

    /// Copies of a token are known: it has to be recognised also when it leaves its store while no agent runs.
    fn keep(&mut self, token: Fingerprint) -> Result<(), Ended> {
        if self.kept.contains(&token) {
            return Ok(());
        }
        let known = self.needles.values().flatten().chain(&self.left).find(|known| known.fingerprint == token);
        known.cloned().map_or(Ok(()), |needles| self.seal(&needles))
    }

    fn seal(&mut self, needles: &Needles) -> Result<(), Ended> {
        if self.kept.len() >= MOST_LEFT {
            self.kept.clear();
        }
        let fingerprint = needles.fingerprint;
        self.kept.insert(fingerprint);
        let mut nonce = [0; NONCE];
        let random = rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty());
        let sealed = random.ok().filter(|length| *length == NONCE).and_then(|_| needles.seal(&self.key, nonce));
        let Some(needles) = sealed else { return Ok(()) };
        self.sealed.send(Sealed { fingerprint, needles, at: Timestamp::now() }).map_err(|_| Ended)
    }

    /// What lies in a file now, and how to recognise it elsewhere.
    fn look(&self, path: &Path, gatherer: Option<&mut Gatherer<'_>>) -> (Look, Vec<Needles>) {
        let Some(file) = self.files.get(path) else { return (gone(path), Vec::new()) };
        let read = match read::read(path) {
            Ok(read) => read,
            Err(error) => {
                if path.exists() {
                    tracing::debug!(%error, "a store could not be looked at");
                }
                return (gone(path), Vec::new());
            }
        };
        let stores: Vec<_> = file.stores.iter().filter_map(|id| self.catalogue.store(id)).collect();
        let wal = read.wal.as_ref().map(Secret::expose);
        let content = Content { path, bytes: read.bytes.expose(), wal, written: read.written };
        let (mut tokens, mut needles) = (Vec::new(), Vec::new());
        for (store, extraction) in extract_all(&stores, &content) {
            events::StoreExtracted { store: &store.id, extraction: &extraction }.emit(&self.metrics);
            // Of what is too short or too plain nothing can be recognised.
            needles.extend(extraction.tokens.iter().filter_map(|token| Needles::of(&self.key, &token.secret).ok()));
            tokens.extend(extraction.known(&self.key, &store.id, path));
        }
        let exposures = match (gatherer, tokens.is_empty()) {
            (Some(gatherer), false) => self.exposures(path, file, gatherer),
            _ => Vec::new(),
        };
        let written = read.written.or(Some(Timestamp::UNIX_EPOCH));
        (Look { path: path.to_owned(), stores: file.stores.clone(), tokens, written, exposures }, needles)
    }

    fn exposures(&self, path: &Path, file: &File, gatherer: &mut Gatherer<'_>) -> Vec<Exposed> {
        let store = file.stores.iter().find_map(|id| self.catalogue.store(id));
        let owner = file.home.as_ref().and_then(|home| fs::metadata(home).ok()).map(|home| home.uid());
        let expected = Expected {
            mode: store.and_then(|store| store.mode),
            dir_mode: store.and_then(|store| store.dir_mode),
            owner,
            home: file.home.clone(),
        };
        let facts = gatherer.facts(path, expected).ok();
        facts.map_or_else(Vec::new, |facts| posture::exposures(&facts).iter().map(Exposed::from).collect())
    }
}

fn gone(path: &Path) -> Look {
    Look { path: path.to_owned(), stores: Vec::new(), tokens: Vec::new(), written: None, exposures: Vec::new() }
}

/// How often so many files are looked at: a `stat` takes some microseconds, and an idle agent none.
fn interval(files: usize) -> Duration {
    LOOK * (u32::try_from(files).unwrap_or(u32::MAX) / FEW + 1)
}

/// The pipeline has ended.
struct Ended;
