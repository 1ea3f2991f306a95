//! The facts. Each has one struct, and `emit` writes its log line and changes its metric, so that the two never
//! disagree.

use std::{path::Path, time::Duration};

use super::metrics::{
    ChangeLabels, FindingLabels, KindLabel, Metrics, OutcomeLabel, ProbeLabels, ReadLabels, ReasonLabel, SinkLabel,
    StoreLabel, TableLabel,
};
use crate::{
    capture::recorder::Trouble,
    detect::{access::Tier, change::StoreChange, judge::Verdict, lifecycle::TokenAge},
    finding::{model::Finding, visible},
    policy::Policy,
    token::model::Extraction,
    yaml::Problems,
};

/// A store was read.
#[derive(Clone, Copy, Debug)]
pub struct StoreRead<'a> {
    /// Id of the store.
    pub store: &'a str,
    /// What the engine says of the reader.
    pub verdict: Verdict,
    /// Class of what acts.
    pub actor: &'static str,
}

impl StoreRead<'_> {
    /// Logs at debug level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { store, verdict, actor } = self;
        tracing::debug!(store, verdict = verdict.name(), actor, "a store was read");
        let labels = ReadLabels { store: metrics.bounded(store), verdict: verdict.name(), actor };
        metrics.store_reads.get_or_create(&labels).inc();
    }
}

/// A store was changed otherwise than by writing to it, or was closed after writing.
#[derive(Clone, Copy, Debug)]
pub struct StoreChanged<'a>(pub &'a StoreChange);

impl StoreChanged<'_> {
    /// Logs at info level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        let StoreChange { store, what, path, other, actor } = self.0;
        let other = other.as_deref().map(visible::path);
        tracing::info!(
            store,
            change = what,
            path = visible::path(path),
            other,
            by = visible::text(actor),
            "a store was changed"
        );
        let labels = ChangeLabels { store: metrics.bounded(store), change: what };
        metrics.store_changes.get_or_create(&labels).inc();
    }
}

/// A store was looked at for tokens.
#[derive(Clone, Copy, Debug)]
pub struct StoreExtracted<'a> {
    /// Id of the store.
    pub store: &'a str,
    /// What was found in it.
    pub extraction: &'a Extraction,
}

impl StoreExtracted<'_> {
    /// Logs at debug level, counts what could not be understood.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { store, extraction } = self;
        let (tokens, references) = (extraction.tokens.len(), extraction.references.len());
        let problems = extraction.problems.len() as u64;
        tracing::debug!(store, tokens, references, problems = ?extraction.problems, "a store was looked at");
        if problems > 0 {
            let labels = StoreLabel { store: metrics.bounded(store) };
            metrics.token_problems.get_or_create(&labels).inc_by(problems);
        }
    }
}

/// How many tokens lie in the stores, how old they are and when they end.
#[derive(Clone, Copy, Debug)]
pub struct TokenAges<'a>(pub &'a [TokenAge]);

impl TokenAges<'_> {
    /// Sets the gauges; stores without a token have none.
    pub fn emit(&self, metrics: &Metrics) {
        for family in [&metrics.tokens_tracked, &metrics.token_age, &metrics.token_expiry] {
            family.clear();
        }
        for TokenAge { store, count, oldest, expires } in self.0 {
            let labels = StoreLabel { store: metrics.bounded(store) };
            metrics.tokens_tracked.get_or_create(&labels).set(*count);
            metrics.token_age.get_or_create(&labels).set(*oldest);
            if let Some(expires) = expires {
                metrics.token_expiry.get_or_create(&labels).set(*expires);
            }
        }
    }
}

/// A detector made a finding. The sinks carry it; the log names it only.
#[derive(Clone, Copy, Debug)]
pub struct FindingMade<'a>(pub &'a Finding);

impl FindingMade<'_> {
    /// Logs at info level, counts, and observes the latency where the edge has set it.
    pub fn emit(&self, metrics: &Metrics) {
        let finding = self.0;
        let labels = FindingLabels { detector: finding.detector.name(), severity: finding.severity.name() };
        tracing::info!(uid = finding.uid, detector = labels.detector, severity = labels.severity, "finding");
        metrics.findings.get_or_create(&labels).inc();
        if let Some(latency) = finding.latency {
            metrics.detection_latency.observe(latency.as_secs_f64());
        }
    }
}

/// Records were decoded.
#[derive(Clone, Copy, Debug)]
pub struct RecordsRead {
    /// `fork`, `exec`, `exit`, `open`.
    pub kind: &'static str,
    /// How many more.
    pub count: u64,
}

impl RecordsRead {
    /// Logs at trace level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::trace!(kind = self.kind, count = self.count, "records read");
        metrics.records.get_or_create(&KindLabel { kind: self.kind }).inc_by(self.count);
    }
}

/// Records were lost.
#[derive(Clone, Copy, Debug)]
pub struct RecordsLost {
    /// Label of the reason: those of the kernel's counters, or the agent's own.
    pub reason: &'static str,
    /// How many more.
    pub count: u64,
}

impl RecordsLost {
    /// Logs as a warning unless there is none, counts. A count of zero only makes the metric appear.
    pub fn emit(&self, metrics: &Metrics) {
        if self.count > 0 {
            tracing::warn!(reason = self.reason, count = self.count, "records were lost");
        }
        metrics.records_lost.get_or_create(&ReasonLabel { reason: self.reason }).inc_by(self.count);
    }
}

/// A probe has proved itself, or has not.
#[derive(Clone, Copy, Debug)]
pub struct ProbeState<'a> {
    /// Name of the probe.
    pub probe: &'a str,
    /// Its tier.
    pub tier: Tier,
    /// Does it deliver?
    pub live: bool,
}

impl ProbeState<'_> {
    /// Logs at info level or as a warning, sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { probe, tier, live } = self;
        if *live {
            tracing::info!(probe, tier = tier.name(), "probe is live");
        } else {
            tracing::warn!(probe, tier = tier.name(), "probe does not deliver");
        }
        let labels = ProbeLabels { probe: metrics.bounded(probe), tier: tier.name() };
        metrics.probe_live.get_or_create(&labels).set(i64::from(*live));
    }
}

/// Size of the lineage table.
#[derive(Clone, Copy, Debug)]
pub struct ProcessesTracked(pub usize);

impl ProcessesTracked {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.processes_tracked.set(i64::try_from(self.0).unwrap_or(i64::MAX));
    }
}

/// Whether reads are watched now.
#[derive(Clone, Copy, Debug)]
pub struct ReadsWatched(pub bool);

impl ReadsWatched {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reads_watched.set(i64::from(self.0));
    }
}

/// A bounded table was full.
#[derive(Clone, Copy, Debug)]
pub struct TableEvicted {
    /// Which.
    pub table: &'static str,
    /// How many more entries were pushed out.
    pub count: u64,
}

impl TableEvicted {
    /// Logs as a warning unless there is none, counts.
    pub fn emit(&self, metrics: &Metrics) {
        if self.count > 0 {
            tracing::warn!(table = self.table, count = self.count, "a table was full, its oldest entries were dropped");
        }
        metrics.table_evictions.get_or_create(&TableLabel { table: self.table }).inc_by(self.count);
    }
}

/// An expected reader at a place that its user can write was seen for the first time, or anew.
#[derive(Clone, Copy, Debug)]
pub struct ReaderRemembered<'a> {
    /// Its executable or script.
    pub path: &'a Path,
    /// It was something else before.
    pub changed: bool,
}

impl ReaderRemembered<'_> {
    /// Logs at info level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        let outcome = if self.changed { "changed" } else { "new" };
        tracing::info!(path = visible::path(self.path), outcome, "a reader is remembered");
        metrics.readers_remembered.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// Entries are missing from a capture.
#[derive(Clone, Copy, Debug)]
pub struct CaptureCut<'a>(pub &'a Trouble);

impl CaptureCut<'_> {
    /// Logs as an error, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::error!(lost = self.0.lost, "{}; the agent goes on", self.0);
        metrics.capture_lost.inc_by(self.0.lost);
    }
}

/// A policy holds from now on.
#[derive(Clone, Copy, Debug)]
pub struct PolicyLoaded<'a>(pub &'a Policy);

impl PolicyLoaded<'_> {
    /// Logs at info level, counts, and says that nothing is refused.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::info!(rules = self.0.holds(), "the policy holds");
        metrics.policy_loads.get_or_create(&OutcomeLabel { outcome: "loaded" }).inc();
        metrics.policy_refused.set(0);
    }
}

/// The policy's files were read anew and are wrong: the policy of before goes on holding.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRefused<'a>(pub &'a Problems);

impl PolicyRefused<'_> {
    /// Logs each problem and the outcome as errors, counts, and says that the files are refused.
    pub fn emit(&self, metrics: &Metrics) {
        for problem in self.0.sorted() {
            tracing::error!("{problem}");
        }
        tracing::error!("the policy is refused, the one of before holds; correct the files and send SIGHUP again");
        metrics.policy_loads.get_or_create(&OutcomeLabel { outcome: "refused" }).inc();
        metrics.policy_refused.set(1);
    }
}

/// A sink took a finding.
#[derive(Clone, Copy, Debug)]
pub struct SinkDelivered {
    /// Which sink.
    pub sink: &'static str,
}

impl SinkDelivered {
    /// Logs at debug level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::debug!(sink = self.sink, "finding delivered");
        metrics.sink_delivered.get_or_create(&SinkLabel { sink: self.sink }).inc();
    }
}

/// A sink did not take a finding; it will be tried again.
#[derive(Clone, Copy, Debug)]
pub struct SinkFailed<'a> {
    /// Which sink.
    pub sink: &'static str,
    /// Why.
    pub error: &'a dyn std::error::Error,
    /// The same trouble was logged already: count only.
    pub known: bool,
}

impl SinkFailed<'_> {
    /// Logs as an error when the trouble is new, counts.
    pub fn emit(&self, metrics: &Metrics) {
        if !self.known {
            tracing::error!(sink = self.sink, error = %self.error, "a sink failed; findings are kept and tried again");
        }
        metrics.sink_failed.get_or_create(&SinkLabel { sink: self.sink }).inc();
    }
}

/// A finding was given up because a queue was full.
#[derive(Clone, Copy, Debug)]
pub struct SinkDropped<'a> {
    /// Which sink; `all` for the queue in front of them.
    pub sink: &'static str,
    /// Id of the finding that is gone.
    pub uid: &'a str,
}

impl SinkDropped<'_> {
    /// Logs as an error, counts.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::error!(sink = self.sink, uid = self.uid, "a queue was full, a finding is lost");
        metrics.sink_dropped.get_or_create(&SinkLabel { sink: self.sink }).inc();
    }
}

/// How many findings wait for a sink.
#[derive(Clone, Copy, Debug)]
pub struct SinkQueue {
    /// Which sink.
    pub sink: &'static str,
    /// How many.
    pub length: usize,
}

impl SinkQueue {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        let length = i64::try_from(self.length).unwrap_or(i64::MAX);
        metrics.sink_queue_length.get_or_create(&SinkLabel { sink: self.sink }).set(length);
    }
}

/// Time from the kernel's record to now, for [`Finding::latency`]. Both on `CLOCK_BOOTTIME`, in nanoseconds.
#[must_use]
pub fn latency(kernel_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(kernel_ns))
}
