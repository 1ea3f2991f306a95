//! The metrics of the agent and the registry that holds them. Facts change them through [`super::events`].
//!
//! Labels are bounded: ids of the catalogue, names from this program's own tables, never a path, pid or fingerprint.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// Most different values that a label may take when they come from the catalogue or the configuration; what goes
/// beyond is counted as `other`.
const LABEL_VALUES: usize = 512;

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_SECONDS: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReadLabels {
    pub(super) store: String,
    pub(super) verdict: &'static str,
    pub(super) actor: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ChangeLabels {
    pub(super) store: String,
    pub(super) change: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FindingLabels {
    pub(super) detector: &'static str,
    pub(super) severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StoreLabel {
    pub(super) store: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProbeLabels {
    pub(super) probe: String,
    pub(super) tier: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TableLabel {
    pub(super) table: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SinkLabel {
    pub(super) sink: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    arch: &'static str,
}

/// Handles on every metric. Clones share the values.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) store_reads: Family<ReadLabels, Counter>,
    pub(super) store_changes: Family<ChangeLabels, Counter>,
    pub(super) findings: Family<FindingLabels, Counter>,
    pub(super) records: Family<KindLabel, Counter>,
    pub(super) records_lost: Family<ReasonLabel, Counter>,
    pub(super) detection_latency: Histogram,
    pub(super) probe_live: Family<ProbeLabels, Gauge>,
    pub(super) processes_tracked: Gauge,
    pub(super) reads_watched: Gauge,
    pub(super) table_evictions: Family<TableLabel, Counter>,
    pub(super) readers_remembered: Family<OutcomeLabel, Counter>,
    pub(super) tokens_tracked: Family<StoreLabel, Gauge>,
    pub(super) token_age: Family<StoreLabel, Gauge>,
    pub(super) token_expiry: Family<StoreLabel, Gauge>,
    pub(super) token_problems: Family<StoreLabel, Counter>,
    pub(super) capture_lost: Counter,
    pub(super) policy_loads: Family<OutcomeLabel, Counter>,
    pub(super) policy_refused: Gauge,
    pub(super) sink_queue_length: Family<SinkLabel, Gauge>,
    pub(super) sink_delivered: Family<SinkLabel, Counter>,
    pub(super) sink_failed: Family<SinkLabel, Counter>,
    pub(super) sink_dropped: Family<SinkLabel, Counter>,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Metrics {
    /// New metrics, all at zero, and the registry to serve them from.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            store_reads: Family::default(),
            store_changes: Family::default(),
            findings: Family::default(),
            records: Family::default(),
            records_lost: Family::default(),
            detection_latency: Histogram::new(LATENCY_SECONDS),
            probe_live: Family::default(),
            processes_tracked: Gauge::default(),
            reads_watched: Gauge::default(),
            table_evictions: Family::default(),
            readers_remembered: Family::default(),
            tokens_tracked: Family::default(),
            token_age: Family::default(),
            token_expiry: Family::default(),
            token_problems: Family::default(),
            capture_lost: Counter::default(),
            policy_loads: Family::default(),
            policy_refused: Gauge::default(),
            sink_queue_length: Family::default(),
            sink_delivered: Family::default(),
            sink_failed: Family::default(),
            sink_dropped: Family::default(),
            seen: Arc::default(),
        };
        let mut registry = Registry::with_prefix("tokenhound");
        metrics.register_detection(&mut registry);
        metrics.register_sensor(&mut registry);
        metrics.register_tokens(&mut registry);
        metrics.register_sinks(&mut registry);
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION"), arch: std::env::consts::ARCH };
        registry.register("build", "Version and architecture of the agent", Info::new(build));
        (metrics, registry)
    }

    fn register_detection(&self, registry: &mut Registry) {
        registry.register(
            "store_reads",
            "Reads of a store, by what the engine says of the reader and by the class of what acts",
            self.store_reads.clone(),
        );
        registry.register(
            "store_changes",
            "Changes of a store's file: links, renames, permissions, owners, sizes, mounts, and closes after writing",
            self.store_changes.clone(),
        );
        registry.register("findings", "Findings, before any sink", self.findings.clone());
        registry.register_with_unit(
            "detection_latency",
            "Time from the kernel's record of an access to the finding",
            Unit::Seconds,
            self.detection_latency.clone(),
        );
    }

    fn register_sensor(&self, registry: &mut Registry) {
        registry.register("records", "Records decoded, by kind", self.records.clone());
        registry.register(
            "records_lost",
            "Records that did not reach the engine, by reason; each may have been a theft",
            self.records_lost.clone(),
        );
        registry.register(
            "probe_live",
            "1 when the probe has proved on a canary that it delivers, 0 when it has not",
            self.probe_live.clone(),
        );
        registry.register(
            "processes_tracked",
            "Processes in the lineage table, with those that ended lately",
            self.processes_tracked.clone(),
        );
        registry.register(
            "reads_watched",
            "1 while each read is looked at, because a process has a store open that is not expected to, 0 otherwise",
            self.reads_watched.clone(),
        );
        registry.register(
            "table_evictions",
            "Entries pushed out of a bounded table because it was full",
            self.table_evictions.clone(),
        );
        registry.register(
            "readers_remembered",
            "Expected readers at places that their user can write, seen for the first time (new) or with another content (changed)",
            self.readers_remembered.clone(),
        );
        registry.register(
            "capture_lost",
            "Entries that are missing from the capture that --record writes",
            self.capture_lost.clone(),
        );
        registry.register(
            "policy_loads",
            "Times that the policy was read, at the start and after SIGHUP: loaded or refused",
            self.policy_loads.clone(),
        );
        registry.register(
            "policy_refused",
            "1 while the policy's files are refused and the policy of before holds, 0 otherwise",
            self.policy_refused.clone(),
        );
    }

    fn register_tokens(&self, registry: &mut Registry) {
        registry.register(
            "tokens_tracked",
            "Tokens that lie in stores now and have not ended by themselves",
            self.tokens_tracked.clone(),
        );
        registry.register_with_unit(
            "token_age",
            "Age of the oldest of them: since it was issued, or since its file was written where nothing says when",
            Unit::Seconds,
            self.token_age.clone(),
        );
        registry.register_with_unit(
            "token_expiry",
            "Time until the first of them ends by itself, of those that do",
            Unit::Seconds,
            self.token_expiry.clone(),
        );
        registry.register(
            "token_problems",
            "Parts of stores that could not be understood when they were looked at for tokens",
            self.token_problems.clone(),
        );
    }

    fn register_sinks(&self, registry: &mut Registry) {
        registry.register("sink_queue_length", "Findings that wait for a sink", self.sink_queue_length.clone());
        registry.register("sink_delivered", "Findings that a sink has taken", self.sink_delivered.clone());
        registry.register(
            "sink_failed",
            "Attempts to deliver that failed; the finding is kept and tried again",
            self.sink_failed.clone(),
        );
        registry.register("sink_dropped", "Findings given up because a queue was full", self.sink_dropped.clone());
    }

    /// `value` as a label, or `other` once there are too many different ones.
    pub(super) fn bounded(&self, value: &str) -> String {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(value) {
            if seen.len() >= LABEL_VALUES {
                return "other".to_owned();
            }
            seen.insert(value.to_owned());
        }
        value.to_owned()
    }
}
