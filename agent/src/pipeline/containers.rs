//! Looks at containers: what their runtimes call them and what is mounted into them. On a thread of its own; what is found
//! goes to the core as [`Input::Container`]. Whoever must know a name at once waits for [`PATIENCE`] at most.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokenhound_common::process::ProcessKey;

use super::core::{
    Input,
    containers::{Entered, Wanted},
};
use crate::{
    container::{
        daemons,
        engine::Program,
        facts::{Facts, lookup::Places},
        model::{Look, Named, Source},
        mounts::{self, TEXT_BYTES},
    },
    ingest::clock,
    lineage::{backfill, model::Container},
    telemetry::{events, metrics::Metrics},
};

/// How long whoever asks for a name waits.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// How long a name that was not found is not looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// Most names kept; the oldest goes first.
const NAMES: usize = 4096;
/// Most looks that wait.
const WAITING: usize = 1024;
/// Most places of engines that are remembered.
const PLACES: usize = 64;

/// What is to be done.
enum Work {
    Look(Entered),
    Name(Container),
    Daemon(Program, Vec<String>),
    /// A home that may hold a storage of its user, and where a client was told to keep one.
    Client(Option<PathBuf>, Option<Places>),
}

/// What is known of a container's name.
#[derive(Debug)]
struct Known {
    named: Named,
    at: Instant,
    /// It was looked for. Otherwise somebody has waited for it, and nobody is to wait again so soon.
    looked: bool,
}

impl Known {
    /// There is a name, or it is too early to ask for it again.
    fn holds(&self) -> bool {
        !self.named.is_empty() || self.at.elapsed() < AGAIN
    }
}

/// Names that are known, shared with whoever asks.
#[derive(Debug, Default)]
struct State {
    names: HashMap<String, Known>,
    order: VecDeque<String>,
}

impl State {
    fn insert(&mut self, id: &str, named: Named, looked: bool) {
        let known = Known { named, at: Instant::now(), looked };
        if self.names.insert(id.to_owned(), known).is_none() {
            self.order.push_back(id.to_owned());
        }
        while self.names.len() > NAMES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.names.remove(&oldest);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, id: &str, named: Named) {
        self.lock().insert(id, named, true);
        self.news.notify_all();
    }

    fn named(&self, id: &str) -> Option<Named> {
        let state = self.lock();
        state.names.get(id).filter(|known| known.holds()).map(|known| known.named.clone())
    }

    /// Need it not be looked for (again)?
    fn is_looked(&self, id: &str) -> bool {
        self.lock().names.get(id).is_some_and(|known| known.looked && known.holds())
    }
}

/// Asks what containers are called.
#[derive(Clone)]
pub(super) struct Names {
    shared: Arc<Shared>,
    work: mpsc::SyncSender<Work>,
}

impl Names {
    /// What the runtime calls a container; nothing where that is not known in time.
    pub(super) fn of(&self, container: &Container) -> Named {
        if let Some(named) = self.shared.named(&container.id) {
            return named;
        }
        if self.work.try_send(Work::Name(container.clone())).is_err() {
            return Named::default();
        }
        let until = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        loop {
            if let Some(known) = state.names.get(&container.id).filter(|known| known.holds()) {
                return known.named.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The next who asks, perhaps for the same process, does not wait as well.
                state.insert(&container.id, Named::default(), false);
                return Named::default();
            }
            state = self.shared.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The thread, as the pipeline sees it.
pub(super) struct Containers {
    names: Names,
    looks: mpsc::Receiver<Look>,
    /// Looks that are not answered yet.
    waiting: usize,
}

impl Containers {
    /// Starts the thread. `homes` are those of all users.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(homes: Vec<PathBuf>, metrics: Metrics) -> io::Result<Self> {
        let (work, receive) = mpsc::sync_channel(WAITING);
        let (send, looks) = mpsc::sync_channel(WAITING);
        let shared = Arc::<Shared>::default();
        let mut looker = Looker {
            shared: Arc::clone(&shared),
            homes: homes.into_iter().collect(),
            places: BTreeSet::new(),
            tick_ns: backfill::tick_ns(),
            looks: send,
            metrics,
        };
        thread::Builder::new().name("containers".into()).spawn(move || {
            daemons::running().into_iter().for_each(|places| looker.add(places));
            while let Ok(work) = receive.recv() {
                if looker.work(work).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { names: Names { shared, work }, looks, waiting: 0 })
    }

    pub(super) fn names(&self) -> Names {
        self.names.clone()
    }

    /// Takes what the core wants to know. A full queue costs a look, which is counted.
    pub(super) fn want(&mut self, wanted: Wanted, metrics: &Metrics) {
        let (work, look) = match wanted {
            Wanted::Look(entered) => (Work::Look(entered), true),
            Wanted::Daemon(daemon, args) => (Work::Daemon(daemon, args), false),
            Wanted::Client(home, storage) => (Work::Client(home, storage), false),
            Wanted::Done(..) => return,
        };
        if self.names.work.try_send(work).is_err() {
            events::TableEvicted { table: "container_looks", count: 1 }.emit(metrics);
        } else {
            self.waiting += usize::from(look);
        }
    }

    /// Whether answers are on their way: then the pipeline does not sleep long.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// What was found since the last call.
    pub(super) fn found(&mut self) -> Vec<Input> {
        let looks: Vec<Look> = self.looks.try_iter().collect();
        self.waiting = self.waiting.saturating_sub(looks.len());
        let time = clock::now();
        looks.into_iter().map(|look| Input::Container { time, look: Box::new(look) }).collect()
    }
}

/// Nobody listens any more.
struct Ended;

struct Looker {
    shared: Arc<Shared>,
    homes: BTreeSet<PathBuf>,
    /// Where engines keep their files, beside the usual places.
    places: BTreeSet<Places>,
    tick_ns: u64,
    looks: mpsc::SyncSender<Look>,
    metrics: Metrics,
}

impl Looker {
    fn work(&mut self, work: Work) -> Result<(), Ended> {
        match work {
            Work::Look(entered) => {
                let look = self.look(&entered);
                self.shared.tell(&look.id, look.named.clone());
                self.looks.send(look).map_err(|_| Ended)
            }
            Work::Name(container) => {
                if !self.shared.is_looked(&container.id) {
                    let facts = self.facts(&container.id);
                    self.shared.tell(&container.id, facts.named);
                }
                Ok(())
            }
            Work::Daemon(daemon, args) => {
                daemons::of(daemon, &args).into_iter().for_each(|places| self.add(places));
                Ok(())
            }
            Work::Client(home, storage) => {
                if self.homes.len() < PLACES {
                    self.homes.extend(home);
                }
                storage.into_iter().for_each(|places| self.add(places));
                Ok(())
            }
        }
    }

    fn add(&mut self, places: Places) {
        let (engine, data) = (places.engine.name(), places.data.clone());
        if self.places.len() < PLACES && self.places.insert(places) {
            tracing::info!(engine, data = %data.display(), "a container engine keeps its files here");
        }
    }

    fn facts(&self, id: &str) -> Facts {
        let homes: Vec<PathBuf> = self.homes.iter().cloned().collect();
        let usual = Places::usual(&homes);
        let all = self.places.iter().chain(&usual);
        all.filter_map(|places| places.facts(id)).reduce(Facts::or).unwrap_or_default()
    }

    fn look(&mut self, entered: &Entered) -> Look {
        if let Some(home) = &entered.home
            && self.homes.len() < PLACES
        {
            self.homes.insert(home.clone());
        }
        let mounted = self.mountinfo(entered.process);
        let facts = self.facts(&entered.container.id);
        let (mounts, more, source) = match mounted {
            Some((mounts, more)) => (mounts, more, Source::Mountinfo),
            None if !facts.mounts.is_empty() => (facts.mounts, 0, Source::Runtime),
            None => (Vec::new(), 0, Source::Nothing),
        };
        events::ContainerSeen { id: &entered.container.id, source }.emit(&self.metrics);
        Look { process: entered.process, id: entered.container.id.clone(), named: facts.named, mounts, more, source }
    }

    /// Mounts of a process, if it is still there.
    fn mountinfo(&self, key: ProcessKey) -> Option<(Vec<crate::container::model::Mount>, u64)> {
        let directory = Path::new("/proc").join(key.tgid.to_string());
        let text = daemons::bounded(&directory.join("mountinfo"), TEXT_BYTES)?;
        let own = daemons::bounded(Path::new("/proc/self/mountinfo"), TEXT_BYTES)?;
        // Asked for after the text was read: whose it is must still be true then.
        let start = procfs::process::Process::new(i32::try_from(key.tgid).ok()?).ok()?.stat().ok()?.starttime;
        let same = start == key.start_ns / self.tick_ns.max(1);
        same.then(|| mounts::of(&String::from_utf8_lossy(&text), &String::from_utf8_lossy(&own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_in_vain_is_not_kept_waiting_again_and_the_answer_still_comes() {
        let (work, waiting) = mpsc::sync_channel(WAITING);
        let names = Names { shared: Arc::default(), work };
        let container = Container::new("c1", "docker");
        for _ in 0..2 {
            assert!(names.of(&container).is_empty());
        }
        assert_eq!(waiting.try_iter().count(), 1, "the second did not ask");
        assert!(!names.shared.is_looked("c1"), "it is still to be looked for");
        names.shared.tell("c1", Named { name: Some("dev".into()), ..Named::default() });
        assert!(names.shared.is_looked("c1"));
        assert_eq!(names.of(&container).name.as_deref(), Some("dev"));
    }
}
