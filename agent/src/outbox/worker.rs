//! One sink: takes what comes next, hands it over, writes down how far it is.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::backoff::Backoff;
use crate::{
    history::{
        HistoryError,
        bell::{Bell, Signals},
        outbox::Cursor,
    },
    sink::{Item, Refused, Sink},
    telemetry::{events, metrics::Metrics},
};

/// A sink that takes little is moved on in the database only every so many entries that are not for it.
const LAZY: i64 = 256;

/// Attempts that may fail when the agent stops: one that was waiting for its time, and one more.
const CHANCES: u32 = 2;

/// The thread of a sink.
pub(super) struct Worker {
    name: String,
    cursor: Cursor,
    sink: Box<dyn Sink>,
    bell: Bell,
    metrics: Metrics,
    pub(super) backoff: Backoff,
    /// It is to end after the call that it is in.
    pub(super) leave: Arc<AtomicBool>,
    /// What is to be delivered next.
    queue: VecDeque<Item>,
    /// Everything up to there was delivered, set aside or is not for this sink.
    at: i64,
    /// Up to there everything was read into `queue`.
    through: i64,
    /// As it is in the database: how far it is, and where the next agent begins. Unknown at first.
    written: Option<(i64, i64)>,
    /// Attempts in a row that failed.
    failures: u32,
    /// Attempts that may fail once it is time to stop.
    chances: u32,
    /// The database says that this sink fails.
    told: bool,
    /// What the bell said last.
    signals: Signals,
    /// Writing down fails, and that was logged.
    unwritten: bool,
}

impl Worker {
    /// A sink at its place.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub(super) fn new(
        name: String,
        cursor: Cursor,
        sink: Box<dyn Sink>,
        bell: Bell,
        metrics: Metrics,
    ) -> Result<Self, HistoryError> {
        let at = cursor.at()?;
        let signals = bell.now();
        Ok(Self {
            name,
            cursor,
            sink,
            bell,
            metrics,
            backoff: Backoff::default(),
            leave: Arc::default(),
            queue: VecDeque::new(),
            at,
            through: at,
            written: None,
            failures: 0,
            chances: CHANCES,
            // What an earlier run wrote down need not hold any more.
            told: true,
            signals,
            unwritten: false,
        })
    }

    /// Somebody else was at the cursor until now.
    pub(super) fn look_again(&mut self) {
        match self.cursor.at() {
            Ok(at) => (self.at, self.through, self.written) = (at, at, None),
            // What it has not seen moved comes twice, and nothing is missing.
            Err(error) => self.trouble(&error),
        }
    }

    /// Delivers until it is told to stop. Returns how many entries it has not been past.
    pub(super) fn run(&mut self) -> i64 {
        loop {
            self.signals = self.heard(self.bell.now());
            let again = self.fill().err();
            self.measure();
            if self.is_over() {
                break;
            }
            if self.queue.is_empty() {
                self.pause(again);
            } else if let Err(again) = self.deliver() {
                self.pause(Some(again));
            }
        }
        self.write_down();
        self.signals.last.max(self.through) - self.at
    }

    /// Stopping, and nothing is left; or what is left fails; or there is no more time. Or it is to leave at once.
    fn is_over(&self) -> bool {
        if self.leave.load(Ordering::Acquire) {
            return true;
        }
        let Some(by) = self.signals.stop else { return false };
        self.queue.is_empty() || self.chances == 0 || Instant::now() >= by
    }

    /// Reads on when everything was delivered. Where that fails, when it is to be tried again.
    fn fill(&mut self) -> Result<(), Instant> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        match self.cursor.next(self.through, self.sink.batch().max(1)) {
            Ok(next) => {
                self.queue = next.items.into();
                self.through = next.through;
                if self.queue.is_empty() {
                    self.at = self.through;
                }
            }
            Err(error) => {
                self.trouble(&error);
                return Err(Instant::now() + self.backoff.most);
            }
        }
        if self.written.is_none_or(|(at, _)| self.at - at >= LAZY) {
            self.write_down();
        }
        Ok(())
    }

    /// Hands over what is next. Where it has to be tried again, when.
    fn deliver(&mut self) -> Result<(), Instant> {
        match self.sink.deliver(self.queue.make_contiguous()) {
            Ok(taken) => {
                let taken = taken.clamp(1, self.queue.len());
                let last = self.queue.drain(..taken).next_back();
                events::SinkDelivered { sink: &self.name, count: taken }.emit(&self.metrics);
                self.recovered();
                self.pass(last.map_or(self.at, |item| item.id));
                Ok(())
            }
            Err(Refused::ForGood { why }) => {
                if let Some(item) = self.queue.pop_front() {
                    events::SinkSetAside { sink: &self.name, uid: &item.uid, why: &why }.emit(&self.metrics);
                    if let Err(error) = self.cursor.set_aside(&item, &why) {
                        self.trouble(&error);
                    }
                    // The receiver works: it has answered.
                    self.recovered();
                    self.pass(item.id);
                }
                Ok(())
            }
            Err(Refused::Later { why, after }) => {
                events::SinkFailed { sink: &self.name, why: &why, known: self.failures > 0 }.emit(&self.metrics);
                if let Err(error) = self.cursor.failing(Some(&why)) {
                    self.trouble(&error);
                }
                self.told = true;
                self.failures = self.failures.saturating_add(1);
                if self.signals.stop.is_some() {
                    self.chances = self.chances.saturating_sub(1);
                }
                Err(Instant::now() + self.backoff.wait(self.failures, after, random()))
            }
        }
    }

    /// The sink is past that entry, and past what comes before the next one.
    fn pass(&mut self, id: i64) {
        self.at = if self.queue.is_empty() { self.through } else { id };
        self.write_down();
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            events::SinkRecovered { sink: &self.name }.emit();
        }
        self.failures = 0;
        if std::mem::take(&mut self.told)
            && let Err(error) = self.cursor.failing(None)
        {
            self.trouble(&error);
        }
    }

    /// A disk that does not take it costs nothing but duplicates after the next start.
    fn write_down(&mut self) {
        let now = (self.at, self.again());
        if self.written == Some(now) {
            return;
        }
        match self.cursor.advance(now.0, now.1) {
            Ok(()) => (self.written, self.unwritten) = (Some(now), false),
            Err(error) => self.trouble(&error),
        }
    }

    /// Where the next agent begins. At first that is where this one began, which may be before what was delivered then.
    fn again(&self) -> i64 {
        self.sink.unsure().map_or(self.at, |unsure| unsure.min(self.at))
    }

    fn trouble(&mut self, error: &HistoryError) {
        if !std::mem::replace(&mut self.unwritten, true) {
            tracing::error!(sink = self.name, %error, "how far a sink is cannot be read or written down; it is tried again");
        }
    }

    /// Waits for the bell; where something failed, until it is time to try again, unless files are opened anew or it is time
    /// to stop.
    fn pause(&mut self, again: Option<Instant>) {
        // Nothing waits: the sink may have something to do of its own, now and later.
        let idle = again.is_none() && self.signals.stop.is_none();
        let due = if idle { self.sink.idle().map(|wait| Instant::now() + wait) } else { None };
        if self.written.is_some_and(|(_, again)| again != self.again()) {
            self.write_down();
        }
        let until = [again, due, self.signals.stop].into_iter().flatten().min();
        loop {
            let before = self.signals;
            let now = self.bell.wait(before, until);
            self.signals = self.heard(now);
            let only_more = now.reopen == before.reopen && now.stop == before.stop;
            if again.is_none() || !only_more || now == before {
                return;
            }
            self.measure();
        }
    }

    /// Opens files anew if that is what the bell says.
    fn heard(&mut self, now: Signals) -> Signals {
        if now.reopen != self.signals.reopen {
            self.sink.reopen();
        }
        now
    }

    fn measure(&self) {
        let length = self.signals.last.max(self.through) - self.at;
        events::SinkQueue { sink: &self.name, length }.emit(&self.metrics);
    }
}

/// Not for secrets: only so that agents do not act in step.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
