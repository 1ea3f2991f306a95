//! Facts about delivery. The name of a sink is a label: there are at most 32.

use super::super::metrics::{Metrics, SinkLabel};

fn label(sink: &str) -> SinkLabel {
    SinkLabel { sink: sink.to_owned() }
}

/// A sink took entries.
#[derive(Clone, Copy, Debug)]
pub struct SinkDelivered<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// How many.
    pub count: usize,
}

impl SinkDelivered<'_> {
    /// Logs at debug level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::debug!(sink = self.sink, count = self.count, "delivered");
        metrics.sink_delivered.get_or_create(&label(self.sink)).inc_by(self.count as u64);
    }
}

/// A sink did not take an entry; it will be tried again.
#[derive(Clone, Copy, Debug)]
pub struct SinkFailed<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// Why.
    pub why: &'a str,
    /// It failed before, and that was logged: count only.
    pub known: bool,
}

impl SinkFailed<'_> {
    /// Logs as an error when the trouble is new, counts.
    pub fn emit(&self, metrics: &Metrics) {
        if !self.known {
            tracing::error!(sink = self.sink, error = self.why, "a sink fails; what is for it is kept and tried again");
        }
        metrics.sink_failed.get_or_create(&label(self.sink)).inc();
    }
}

/// A sink that failed works again.
#[derive(Clone, Copy, Debug)]
pub struct SinkRecovered<'a> {
    /// Which sink.
    pub sink: &'a str,
}

impl SinkRecovered<'_> {
    /// Logs at info level.
    pub fn emit(&self) {
        tracing::info!(sink = self.sink, "a sink takes findings again");
    }
}

/// A receiver refused an entry for good.
#[derive(Clone, Copy, Debug)]
pub struct SinkSetAside<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// Uid of the finding or incident.
    pub uid: &'a str,
    /// Why.
    pub why: &'a str,
}

impl SinkSetAside<'_> {
    /// Logs as an error, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::error!(
            sink = self.sink,
            uid = self.uid,
            error = self.why,
            "a finding is refused for good and set aside"
        );
        metrics.sink_set_aside.get_or_create(&label(self.sink)).inc();
    }
}

/// Findings were given up because a bound was reached.
#[derive(Clone, Copy, Debug)]
pub struct SinkDropped<'a> {
    /// Which sink; `all` where they were not written down yet.
    pub sink: &'a str,
    /// How many.
    pub count: u64,
}

impl SinkDropped<'_> {
    /// Logs as an error, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::error!(sink = self.sink, count = self.count, "findings are lost to a sink, as there is no more room");
        metrics.sink_dropped.get_or_create(&label(self.sink)).inc_by(self.count);
    }
}

/// How far a sink is behind.
#[derive(Clone, Copy, Debug)]
pub struct SinkQueue<'a> {
    /// Which sink.
    pub sink: &'a str,
    /// Entries of the outbox that it has not been past.
    pub length: i64,
}

impl SinkQueue<'_> {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.sink_queue_length.get_or_create(&label(self.sink)).set(self.length);
        // A queue is told of from the start on, and so its sink's counters begin at zero.
        let counters = [&metrics.sink_delivered, &metrics.sink_failed, &metrics.sink_set_aside, &metrics.sink_dropped];
        counters.into_iter().for_each(|counter| drop(counter.get_or_create(&label(self.sink))));
    }
}
