//! Delivery: one thread for each sink, from its own cursor in the outbox. What is committed to the history goes to every
//! sink, in order, at least once; a sink that is slow or down holds up nobody else (`docs/delivery.md`).

mod backoff;
mod worker;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use self::{backoff::Backoff, worker::Worker};
use crate::{
    history::{Database, HistoryError, bell::Bell, outbox::Cursor},
    sink::{Made, config::SinkConfig},
    telemetry::metrics::Metrics,
};

/// How long sinks have to deliver what is left when the agent stops. What they do not take goes out after the next start.
pub const GRACE: Duration = Duration::from_secs(5);

/// How much longer is waited for a sink that is in the middle of a call.
const LATE: Duration = Duration::from_secs(1);

/// Delivery could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where a sink is cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The system gives no thread.
    #[error("start the thread of a sink: {0}; check the limit on threads")]
    Thread(#[from] io::Error),
}

/// All sinks at work.
pub struct Outbox {
    state: PathBuf,
    bell: Bell,
    metrics: Metrics,
    backoff: Backoff,
    running: Vec<Running>,
    /// Those that were told to leave, by name, and may still be in a call.
    leaving: HashMap<String, thread::JoinHandle<()>>,
    over: mpsc::Sender<Ended>,
    ended: mpsc::Receiver<Ended>,
    /// Threads started so far.
    started: u64,
}

/// A sink at work.
struct Running {
    config: SinkConfig,
    /// Which of all threads.
    number: u64,
    /// It is to end after the call that it is in.
    leave: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

/// A sink's thread is over.
#[derive(Debug)]
struct Ended {
    number: u64,
    /// Entries that are left for the next start.
    left: i64,
}

impl Outbox {
    /// Starts a thread for each sink; all have been noted in the database of that state directory, whose writer rings `bell`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(state: &Path, sinks: Vec<Made>, bell: &Bell, metrics: &Metrics) -> Result<Self, StartError> {
        Self::start_with(state, sinks, bell, metrics, Backoff::default())
    }

    fn start_with(
        state: &Path,
        sinks: Vec<Made>,
        bell: &Bell,
        metrics: &Metrics,
        backoff: Backoff,
    ) -> Result<Self, StartError> {
        let (over, ended) = mpsc::channel();
        let (state, bell, metrics) = (state.to_owned(), bell.clone(), metrics.clone());
        let mut outbox = Self {
            state,
            bell,
            metrics,
            backoff,
            running: Vec::new(),
            leaving: HashMap::new(),
            over,
            ended,
            started: 0,
        };
        for made in sinks {
            outbox.add(made)?;
        }
        Ok(outbox)
    }

    /// Starts the thread of a sink, which begins when the one before it is over: there is one at a cursor at any time.
    fn add(&mut self, (config, sink): Made) -> Result<(), StartError> {
        let number = self.started;
        let leave = Arc::new(AtomicBool::new(false));
        let cursor = Cursor::open(&self.state, &config)?;
        let mut worker = Worker::new(config.name.clone(), cursor, sink, self.bell.clone(), self.metrics.clone())?;
        (worker.backoff, worker.leave) = (self.backoff, Arc::clone(&leave));
        let (over, before) = (self.over.clone(), self.leaving.remove(&config.name));
        let work = move || {
            if let Some(before) = before {
                // One that panicked has ended as well.
                let _ = before.join();
                worker.look_again();
            }
            let left = worker.run();
            let _ = over.send(Ended { number, left });
        };
        // A name of a thread has room for 15 bytes.
        let thread = thread::Builder::new().name("sink".into()).spawn(work)?;
        self.started += 1;
        self.running.push(Running { config, number, leave, thread });
        Ok(())
    }

    /// SIGHUP: sinks open their files and read their secrets anew.
    pub fn reopen(&self) {
        self.bell.reopen();
    }

    /// The sinks as they are configured.
    pub fn configured(&self) -> impl Iterator<Item = &SinkConfig> {
        self.running.iter().map(|running| &running.config)
    }

    /// Goes on with `all` of these sinks: those that stay as they are go on, `new` ones are the others, made. Those that are not
    /// among them end after the call that they are in, and keep their place for seven days.
    ///
    /// # Errors
    /// See [`StartError`]. What had not changed goes on then; the others may have ended.
    pub fn change(&mut self, all: &[SinkConfig], new: Vec<Made>) -> Result<(), StartError> {
        Database::open(&self.state)?.configure_sinks(all)?;
        let (stay, go): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|running| all.contains(&running.config));
        self.running = stay;
        go.iter().for_each(|running| running.leave.store(true, Ordering::Release));
        // Also wakes those that are to end.
        self.bell.reopen();
        self.leaving.retain(|_, thread| !thread.is_finished());
        self.leaving.extend(go.into_iter().map(|running| (running.config.name, running.thread)));
        new.into_iter().try_for_each(|made| self.add(made))
    }

    /// Delivers what is committed, for at most [`GRACE`] and a second, and ends. Returns how many entries sinks have not been
    /// past, the largest number of any sink; `None` where one is still in a call that takes too long.
    #[must_use]
    pub fn stop(self, grace: Duration) -> Option<i64> {
        let by = Instant::now() + grace;
        self.bell.stop(by);
        let mut waiting: BTreeSet<u64> = self.running.iter().map(|running| running.number).collect();
        let mut left = 0;
        while !waiting.is_empty() {
            let wait = (by + LATE).saturating_duration_since(Instant::now());
            let ended = self.ended.recv_timeout(wait).ok()?;
            // One that was taken out of the configuration before is nobody's concern.
            if waiting.remove(&ended.number) {
                left = left.max(ended.left);
            }
        }
        Some(left)
    }
}

#[cfg(test)]
mod tests;
