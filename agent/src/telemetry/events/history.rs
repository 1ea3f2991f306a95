//! Facts about the history, and what it tells of copies and exposures.

use super::{Metrics, StoreLabel, TableLabel};

/// How many copies of each store's tokens are known and not known to be gone.
#[derive(Clone, Copy, Debug)]
pub struct TokenCopies<'a> {
    /// Now.
    pub now: &'a [(String, i64)],
    /// When it was told last.
    pub before: &'a [(String, i64)],
}

impl TokenCopies<'_> {
    /// Sets the gauges; one whose last copy is gone stays, at zero.
    pub fn emit(&self, metrics: &Metrics) {
        let gone = self.before.iter().filter(|(store, _)| !self.now.iter().any(|(other, _)| other == store));
        for (store, count) in
            self.now.iter().map(|(store, count)| (store, *count)).chain(gone.map(|(store, _)| (store, 0)))
        {
            metrics.token_copies.get_or_create(&StoreLabel { store: metrics.bounded(store) }).set(count);
        }
    }
}

/// A token that findings were about has left its store.
#[derive(Clone, Copy, Debug)]
pub struct ExposureEnded<'a> {
    /// Id of the store.
    pub store: &'a str,
    /// From the first finding to then.
    pub seconds: f64,
}

impl ExposureEnded<'_> {
    /// Logs at info level, observes.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::info!(store = self.store, seconds = self.seconds, "a token that findings were about left its store");
        let labels = StoreLabel { store: metrics.bounded(self.store) };
        metrics.exposure.get_or_create(&labels).observe(self.seconds);
    }
}

/// Entries were not written to the history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLost(pub u64);

impl HistoryLost {
    /// Logs as a warning, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::warn!(count = self.0, "entries of the history were lost");
        metrics.history_lost.inc_by(self.0);
    }
}

/// Rows were taken out of the history because they were too old or too many.
#[derive(Clone, Copy, Debug)]
pub struct HistoryPruned {
    /// Of which table.
    pub table: &'static str,
    /// How many.
    pub count: u64,
}

impl HistoryPruned {
    /// Logs at debug level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::debug!(table = self.table, count = self.count, "the history was pruned");
        metrics.history_pruned.get_or_create(&TableLabel { table: self.table }).inc_by(self.count);
    }
}

/// How much of the disk the history takes.
#[derive(Clone, Copy, Debug)]
pub struct HistorySize(pub u64);

impl HistorySize {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.history_size.set(i64::try_from(self.0).unwrap_or(i64::MAX));
    }
}
