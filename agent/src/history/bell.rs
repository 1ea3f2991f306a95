//! Wakes the threads of the sinks: something was committed, files are to be opened anew, it is time to stop.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

/// What the threads go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// The last position of the outbox that is committed.
    pub last: i64,
    /// How often files were to be opened anew.
    pub reopen: u64,
    /// Nothing more will come; whatever is not done by then is left for the next start.
    pub stop: Option<Instant>,
}

/// Shared by the writer, who rings, and the threads, who wait.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<(Mutex<Signals>, Condvar)>);

impl Bell {
    /// The outbox is committed up to there.
    pub fn committed(&self, last: i64) {
        self.change(|signals| signals.last = signals.last.max(last));
    }

    /// SIGHUP.
    pub fn reopen(&self) {
        self.change(|signals| signals.reopen += 1);
    }

    /// Deliver what there is, until `by`.
    pub fn stop(&self, by: Instant) {
        self.change(|signals| signals.stop = Some(by));
    }

    /// As they are now.
    #[must_use]
    pub fn now(&self) -> Signals {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until they are others than `seen`, or until then.
    #[must_use]
    pub fn wait(&self, seen: Signals, until: Option<Instant>) -> Signals {
        let mut signals = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *signals == seen {
            let Some(until) = until else {
                signals = self.0.1.wait(signals).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            signals = self.0.1.wait_timeout(signals, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *signals
    }

    fn change(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }
}
