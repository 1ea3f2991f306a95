//! The facts. Each has one struct, and `emit` writes its log line and changes its metric, so that the two never
//! disagree.

mod history;
mod incidents;
mod sinks;

use std::{path::Path, time::Duration};

pub use self::{
    history::{ExposureEnded, HistoryLost, HistoryPruned, HistorySize, TokenCopies},
    incidents::{IncidentsChanged, IncidentsOpen},
    sinks::{SinkDelivered, SinkDropped, SinkFailed, SinkQueue, SinkRecovered, SinkSetAside},
};

use super::metrics::{
    ChangeLabels, DetectorLabel, FindingLabels, KindLabel, Metrics, OutcomeLabel, ProbeLabels, ReadLabels, ReasonLabel,
    SeverityLabel, SourceLabel, StoreLabel, TableLabel,
};
use crate::{
    capture::recorder::Trouble,
    container::{images::scan, model::Source},
    copies::model::{Outcome, Scanned, Skipped},
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

/// A container was seen for the first time.
#[derive(Clone, Copy, Debug)]
pub struct ContainerSeen<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where it was learnt from what is mounted into it.
    pub source: Source,
}

impl ContainerSeen<'_> {
    /// Logs at info level, counts.
    pub fn emit(&self, metrics: &Metrics) {
        let source = self.source.name();
        tracing::info!(container = visible::text(self.id), source, "a container was seen");
        metrics.containers_seen.get_or_create(&SourceLabel { source }).inc();
    }
}

/// A layer of an image, or what a container has written, was looked through.
#[derive(Clone, Copy, Debug)]
pub struct LayerScanned<'a> {
    /// Digest of the layer, id of the container, or name of the volume or of the part of a cache.
    pub layer: &'a str,
    /// What was found.
    pub found: &'a scan::Found,
}

impl LayerScanned<'_> {
    /// Logs at info level, or as a warning where not everything was looked through; counts.
    pub fn emit(&self, metrics: &Metrics) {
        let scan::Found { looked, bytes, expanded, missed, files } = self.found;
        let (layer, tokens) = (visible::text(self.layer), files.len());
        if *missed > 0 {
            tracing::warn!(
                layer,
                files = looked,
                bytes,
                expanded,
                missed,
                tokens,
                "a layer was looked through in part"
            );
        } else {
            tracing::info!(layer, files = looked, bytes, expanded, tokens, "a layer was looked through");
        }
        let outcome = if *missed > 0 { "part" } else { "whole" };
        metrics.layers_scanned.get_or_create(&OutcomeLabel { outcome }).inc();
        metrics.layer_bytes.inc_by(*bytes);
    }
}

/// How many tokens lie in the stores, how old they are and when they end.
#[derive(Clone, Copy, Debug)]
pub struct TokenAges<'a> {
    /// Now.
    pub now: &'a [TokenAge],
    /// When it was told last.
    pub before: &'a [TokenAge],
}

impl TokenAges<'_> {
    /// Sets the gauges; stores without a token have none.
    pub fn emit(&self, metrics: &Metrics) {
        // Only what is gone is taken out: who asks meanwhile must find the rest.
        let has = |store: &str, with: fn(&TokenAge) -> bool| self.now.iter().any(|age| age.store == store && with(age));
        for TokenAge { store, .. } in self.before {
            let labels = StoreLabel { store: metrics.bounded(store) };
            if !has(store, |_| true) {
                metrics.tokens_tracked.remove(&labels);
                metrics.token_age.remove(&labels);
            }
            if !has(store, |age| age.expires.is_some()) {
                metrics.token_expiry.remove(&labels);
            }
        }
        for TokenAge { store, count, oldest, expires } in self.now {
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

/// A file was looked into for copies of tokens, or not.
#[derive(Clone, Copy, Debug)]
pub struct FileScanned<'a>(pub &'a Scanned);

impl FileScanned<'_> {
    /// Logs at debug level, and what was not looked into at warn level; counts by outcome.
    pub fn emit(&self, metrics: &Metrics) {
        let Scanned { candidate, outcome, .. } = self.0;
        let (outcome, missed) = match outcome {
            Outcome::Skipped(why) => (why.name(), Some(*why)),
            Outcome::Looked(looked) if looked.copies.is_empty() => ("clean", looked.unseen),
            Outcome::Looked(looked) => ("copies", looked.unseen),
        };
        let path = visible::path(&candidate.path);
        match missed {
            Some(why) if why.is_gap() => {
                tracing::warn!(
                    path,
                    why = why.name(),
                    "a file that may hold a token was not looked into, or not wholly"
                );
            }
            _ => tracing::debug!(path, outcome, missed = missed.map(Skipped::name), "a file was looked into"),
        }
        metrics.files_scanned.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// It was looked what a program was started with beyond its record; the outcome's label.
#[derive(Clone, Copy, Debug)]
pub struct StartRead(pub &'static str);

impl StartRead {
    /// Logs at debug level, counts by outcome.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::debug!(outcome = self.0, "a program with a long command line or environment was looked at");
        metrics.starts_read.get_or_create(&OutcomeLabel { outcome: self.0 }).inc();
    }
}

/// How many files wait to be looked into.
#[derive(Clone, Copy, Debug)]
pub struct CopiesPending(pub [usize; 2]);

impl CopiesPending {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        let waiting: usize = self.0.iter().sum();
        metrics.files_to_scan.set(i64::try_from(waiting).unwrap_or(i64::MAX));
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

/// Time from the kernel's record to now, for [`Finding::latency`]. Both on `CLOCK_BOOTTIME`, in nanoseconds.
#[must_use]
pub fn latency(kernel_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(kernel_ns))
}
