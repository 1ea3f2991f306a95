//! Writes to the history, on a thread of its own, so that no disk ever holds up the rings. What it is given within a moment
//! is one transaction; then the sinks are woken. A disk that is full or cannot be written to makes it wait and try again; what
//! finds no room in the queue meanwhile is lost and counted, what matters least first.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::ErrorCode;

use super::{
    Database, HistoryError,
    bell::Bell,
    model::Entry,
    prune::{self, Bounds, Pruned},
    queue::{Numbered, Queue, Shed},
    write,
};
use crate::{
    finding::ocsf::Host,
    incident::table::Incidents,
    privilege::files,
    telemetry::{events, metrics::Metrics},
};

/// Most entries that wait for the disk. Beyond, the oldest of what matters least is lost, which is counted.
const QUEUE: usize = 16_384;

/// Most entries in one transaction.
const BATCH: usize = 512;

/// Most after one that was refused: a small one may find room where a large one has none.
const FEW: usize = 64;

/// How long after a refusal it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is looked for what is too old.
const PRUNE: Duration = Duration::from_secs(600);

/// How often it is looked for what is due or ordered of incidents, while some are open.
const TICK: Duration = Duration::from_secs(2);

/// Findings that sinks will not get, since the start.
#[derive(Clone, Debug, Default)]
struct Lost(Arc<Mutex<BTreeMap<String, u64>>>);

impl Lost {
    fn add(&self, sink: &str, count: u64) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as there are sinks, configured or not yet forgotten.
        *lost.entry(sink.to_owned()).or_default() += count;
    }

    fn totals(&self) -> Vec<(String, u64)> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.iter().map(|(sink, count)| (sink.clone(), *count)).collect()
    }
}

/// What the thread is told at its start.
pub struct Setup {
    /// What findings say of the machine.
    pub host: Host,
    /// How much is kept.
    pub bounds: Bounds,
    /// Counters.
    pub metrics: Metrics,
    /// Wakes the sinks.
    pub bell: Bell,
}

/// The thread, as the pipeline sees it.
pub struct Writer {
    queue: Queue,
    thread: Option<thread::JoinHandle<()>>,
    metrics: Metrics,
    lost: Lost,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(database: Database, setup: Setup) -> io::Result<Self> {
        let (queue, metrics, lost) = (Queue::new(QUEUE), setup.metrics.clone(), Lost::default());
        let incidents = database.open_incidents(setup.bounds).unwrap_or_else(|error| {
            tracing::warn!(%error, "which incidents were open is not known");
            Incidents::restored([], setup.bounds.alike)
        });
        let mut work = Work {
            incidents,
            database,
            setup,
            queue: queue.clone(),
            lost: lost.clone(),
            failing: false,
            room: false,
            copies: Vec::new(),
            pruned: None,
        };
        let work = move || {
            files::keep_to_own();
            work.run();
        };
        let thread = thread::Builder::new().name("history".into()).spawn(work)?;
        Ok(Self { queue, thread: Some(thread), metrics, lost })
    }

    /// Hands over an entry, without waiting for the disk. A full queue loses what matters least, which is counted.
    pub fn send(&mut self, entry: Entry) {
        lose(self.queue.push(entry), &self.metrics, &self.lost);
    }

    /// How many findings had to go since the start before a sink had them, by sink; `all` are those that were not even
    /// written down.
    #[must_use]
    pub fn undelivered(&self) -> Vec<(String, u64)> {
        self.lost.totals()
    }
}

impl Drop for Writer {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lose(shed: Shed, metrics: &Metrics, lost: &Lost) {
    if shed.entries > 0 {
        events::HistoryLost(shed.entries).emit(metrics);
    }
    if shed.findings > 0 {
        events::SinkDropped { sink: "all", count: shed.findings }.emit(metrics);
        lost.add("all", shed.findings);
    }
}

struct Work {
    /// As they are written down.
    incidents: Incidents,
    database: Database,
    setup: Setup,
    queue: Queue,
    lost: Lost,
    /// The last attempt failed, and that has been logged.
    failing: bool,
    /// There is room now that was not there then.
    room: bool,
    /// Copies of each store's tokens, as they were told last.
    copies: Vec<(String, i64)>,
    /// When it was looked last for what is too old.
    pruned: Option<Instant>,
}

impl Work {
    fn run(&mut self) {
        self.tell_copies();
        loop {
            // Whatever is still too much goes as soon as nothing else is to be done.
            let wait = if self.prune() { Duration::ZERO } else { self.pause() };
            // The queue keeps what comes: the disk has to come back first. The end wakes us, and is the last attempt.
            let last = self.failing && !std::mem::take(&mut self.room) && self.queue.rest(RETRY);
            let Some(batch) = self.queue.take(if self.failing { FEW } else { BATCH }, wait) else { break };
            if (!batch.is_empty() || self.is_due()) && !self.flush(batch) && last {
                break;
            }
        }
        lose(self.queue.abandon(), &self.setup.metrics, &self.lost);
    }

    /// How long is waited for an entry.
    fn pause(&self) -> Duration {
        if self.incidents.is_empty() { PRUNE } else { TICK }
    }

    /// Is something to be told of incidents, or ordered?
    fn is_due(&self) -> bool {
        self.incidents.next().is_some_and(|next| next <= Timestamp::now())
            || (!self.incidents.is_empty() && self.database.is_ordered().unwrap_or(false))
    }

    /// Writes a batch; false where it has to be tried again.
    fn flush(&mut self, batch: Vec<Numbered>) -> bool {
        let (numbers, entries): (Vec<u64>, Vec<Entry>) = batch.into_iter().unzip();
        // They are shared until they change; what is not written has not happened.
        let mut incidents = self.incidents.clone();
        match self.database.write(&entries, &self.setup.host, &mut incidents) {
            Ok(done) => {
                self.incidents = incidents;
                if self.failing {
                    tracing::info!("the history is written again");
                }
                self.failing = false;
                if let Some(last) = done.last {
                    self.setup.bell.committed(last);
                }
                self.tell(&done);
                true
            }
            Err(error) if may_pass(&error) => {
                if !self.failing {
                    tracing::error!(%error, "the history cannot be written; the agent goes on and tries again");
                }
                self.failing = true;
                self.room = is_full(&error) && self.make_room();
                let shed = self.queue.give_back(numbers.into_iter().zip(entries).collect());
                lose(shed, &self.setup.metrics, &self.lost);
                false
            }
            Err(error) => {
                tracing::error!(%error, entries = entries.len(), "the history refuses entries for good");
                let mut refused = Shed::default();
                entries.iter().for_each(|entry| refused.add(entry));
                lose(refused, &self.setup.metrics, &self.lost);
                true
            }
        }
    }

    fn tell(&mut self, done: &write::Done) {
        events::IncidentsOpen(self.incidents.len()).emit(&self.setup.metrics);
        events::IncidentsChanged(&self.incidents.take_facts()).emit(&self.setup.metrics);
        for left in &done.left {
            match self.database.exposed_since(left) {
                Ok(Some((first, gone))) => {
                    let seconds = (gone - first).max(0) as f64 / 1000.0;
                    events::ExposureEnded { store: &left.store, seconds }.emit(&self.setup.metrics);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "how long a token was exposed is not known"),
            }
        }
        if done.needles > 0 {
            events::HistoryPruned { table: "needles", count: done.needles }.emit(&self.setup.metrics);
        }
        if done.copies {
            self.tell_copies();
        }
    }

    fn tell_copies(&mut self) {
        match self.database.copies_by_store() {
            Ok(now) => {
                let before = std::mem::replace(&mut self.copies, now);
                events::TokenCopies { now: &self.copies, before: &before }.emit(&self.setup.metrics);
            }
            Err(error) => tracing::warn!(%error, "how many copies there are is not known"),
        }
    }

    /// A full disk does not stop what fits into the file as it is.
    fn reserve(&mut self) {
        if let Err(error) = prune::reserve(&mut self.database, self.setup.bounds) {
            tracing::debug!(%error, "the history has no room in advance");
        }
    }

    /// Gives up the oldest of what matters least; false where that does not help.
    fn make_room(&mut self) -> bool {
        prune::make_room(&mut self.database).is_ok_and(|pruned| {
            self.tell_pruned(&pruned);
            pruned.any()
        })
    }

    /// Keeps the bounds: how much, after each batch; how old, every ten minutes. Returns whether there is still too much.
    fn prune(&mut self) -> bool {
        let whole = self.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE);
        let outcome = if whole {
            self.pruned = Some(Instant::now());
            self.reserve();
            prune::prune(&mut self.database, self.setup.bounds).map(Some)
        } else {
            prune::by_size(&mut self.database, self.setup.bounds)
        };
        match outcome {
            Ok(pruned) => pruned.is_some_and(|pruned| {
                self.tell_pruned(&pruned);
                pruned.bytes > self.setup.bounds.max_bytes && pruned.any()
            }),
            Err(error) => {
                // Once in ten minutes: that a disk refuses everything has been logged.
                if whole {
                    tracing::warn!(%error, "what is too old or too much stays in the history for now");
                }
                false
            }
        }
    }

    fn tell_pruned(&self, pruned: &Pruned) {
        let metrics = &self.setup.metrics;
        for (table, count) in &pruned.rows {
            events::HistoryPruned { table, count: *count }.emit(metrics);
        }
        for (sink, count) in &pruned.shed {
            events::SinkDropped { sink, count: *count }.emit(metrics);
            self.lost.add(sink, *count);
        }
        events::HistorySize(pruned.bytes).emit(metrics);
    }
}

/// May it work later? A full disk, one that cannot be written to, another process that holds the database.
fn may_pass(error: &HistoryError) -> bool {
    let HistoryError::Database { source: rusqlite::Error::SqliteFailure(failure, _), .. } = error else { return false };
    matches!(
        failure.code,
        ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
    )
}

/// Is there no more room?
fn is_full(error: &HistoryError) -> bool {
    let HistoryError::Database { source: rusqlite::Error::SqliteFailure(failure, _), .. } = error else { return false };
    failure.code == ErrorCode::DiskFull
}

/// How often the same was done in a batch, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) count: i64,
    pub(super) last: Option<Timestamp>,
}

/// Reads by the same process of the same thing are one entry with a count: a storm is a few rows.
pub(super) fn gathered(entries: &[Entry]) -> Vec<(&Entry, Times)> {
    let mut out: Vec<(&Entry, Times)> = Vec::with_capacity(entries.len());
    let mut seen: HashMap<_, usize> = HashMap::new();
    for entry in entries {
        let mut times = Times { count: 1, last: None };
        if let Entry::Access(access) = entry {
            times.last = Some(access.time);
            // The first keeps its place, before what refers to it.
            let at = *seen.entry((access.process, write::same(access), &access.tokens)).or_insert(out.len());
            if let Some((_, held)) = out.get_mut(at) {
                *held = Times { count: held.count + 1, last: times.last.max(held.last) };
                continue;
            }
        }
        out.push((entry, times));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{finding, setup};

    #[test]
    fn findings_that_a_disk_did_not_take_are_told_of() {
        let state = tempfile::tempdir().unwrap();
        let database = Database::open(state.path()).unwrap();
        database.connection.pragma_update(None, "query_only", 1).unwrap();
        let mut writer = Writer::start(database, setup()).unwrap();
        let lost = writer.lost.clone();
        (0..3).for_each(|number| writer.send(Entry::Finding(Box::new(finding(number)))));
        drop(writer);
        assert_eq!(lost.totals(), [("all".to_owned(), 3)]);
        lost.add("soc", 500);
        lost.add("soc", 12);
        assert_eq!(lost.totals(), [("all".to_owned(), 3), ("soc".to_owned(), 512)]);
    }
}
