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
use tokenhound_common::loss::Reason;

use crate::finding::{detector::DetectorId, severity::Severity};

/// Most different values that a label may take when they come from the catalogue or the configuration; what goes
/// beyond is counted as `other`.
const LABEL_VALUES: usize = 512;

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_SECONDS: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// Reasons for loss that the agent finds out, beside those that the kernel counts.
const AGENT_REASONS: [&str; 5] = ["hits_unaccounted", "life_unaccounted", "malformed", "program_busy", "watch_keys"];

/// Upper bounds of the buckets for how long tokens were exposed: from a minute to a quarter of a year, in seconds.
const EXPOSURE_SECONDS: [f64; 8] = [60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 7_776_000.0];

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
pub(super) struct SeverityLabel {
    pub(super) severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DetectorLabel {
    pub(super) detector: &'static str,
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
    pub(super) sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceLabel {
    pub(super) source: &'static str,
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
    pub(super) containers_seen: Family<SourceLabel, Counter>,
    pub(super) layers_scanned: Family<OutcomeLabel, Counter>,
    pub(super) layer_bytes: Counter,
    pub(super) reads_watched: Gauge,
    pub(super) table_evictions: Family<TableLabel, Counter>,
    pub(super) readers_remembered: Family<OutcomeLabel, Counter>,
    pub(super) tokens_tracked: Family<StoreLabel, Gauge>,
    pub(super) token_age: Family<StoreLabel, Gauge>,
    pub(super) token_expiry: Family<StoreLabel, Gauge>,
    pub(super) token_problems: Family<StoreLabel, Counter>,
    pub(super) token_copies: Family<StoreLabel, Gauge>,
    pub(super) exposure: Family<StoreLabel, Histogram, fn() -> Histogram>,
    pub(super) history_lost: Counter,
    pub(super) history_pruned: Family<TableLabel, Counter>,
    pub(super) history_size: Gauge,
    pub(super) incidents_open: Gauge,
    pub(super) incidents: Family<SeverityLabel, Counter>,
    pub(super) findings_summarised: Family<DetectorLabel, Counter>,
    pub(super) notifications_suppressed: Counter,
    pub(super) files_scanned: Family<OutcomeLabel, Counter>,
    pub(super) files_to_scan: Gauge,
    pub(super) starts_read: Family<OutcomeLabel, Counter>,
    pub(super) capture_lost: Counter,
    pub(super) policy_loads: Family<OutcomeLabel, Counter>,
    pub(super) policy_refused: Gauge,
    pub(super) sink_queue_length: Family<SinkLabel, Gauge>,
    pub(super) sink_delivered: Family<SinkLabel, Counter>,
    pub(super) sink_failed: Family<SinkLabel, Counter>,
    pub(super) sink_set_aside: Family<SinkLabel, Counter>,
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
            containers_seen: Family::default(),
            layers_scanned: Family::default(),
            layer_bytes: Counter::default(),
            reads_watched: Gauge::default(),
            table_evictions: Family::default(),
            readers_remembered: Family::default(),
            tokens_tracked: Family::default(),
            token_age: Family::default(),
            token_expiry: Family::default(),
            token_problems: Family::default(),
            token_copies: Family::default(),
            exposure: Family::new_with_constructor(|| Histogram::new(EXPOSURE_SECONDS)),
            history_lost: Counter::default(),
            history_pruned: Family::default(),
            history_size: Gauge::default(),
            incidents_open: Gauge::default(),
            incidents: Family::default(),
            findings_summarised: Family::default(),
            notifications_suppressed: Counter::default(),
            files_scanned: Family::default(),
            starts_read: Family::default(),
            files_to_scan: Gauge::default(),
            capture_lost: Counter::default(),
            policy_loads: Family::default(),
            policy_refused: Gauge::default(),
            sink_queue_length: Family::default(),
            sink_delivered: Family::default(),
            sink_failed: Family::default(),
            sink_set_aside: Family::default(),
            sink_dropped: Family::default(),
            seen: Arc::default(),
        };
        metrics.begin_at_zero();
        let mut registry = Registry::with_prefix("tokenhound");
        metrics.register_detection(&mut registry);
        metrics.register_sensor(&mut registry);
        metrics.register_tokens(&mut registry);
        metrics.register_history(&mut registry);
        metrics.register_incidents(&mut registry);
        metrics.register_sinks(&mut registry);
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION"), arch: std::env::consts::ARCH };
        registry.register("build", "Version and architecture of the agent", Info::new(build));
        (metrics, registry)
    }

    /// Counters that alerts ask for exist before anything is counted: a counter that appears with the first finding has
    /// no value before it, and Prometheus sees no increase
    /// (<https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics>).
    fn begin_at_zero(&self) {
        for (detector, severity) in DetectorId::ALL.iter().flat_map(|id| Severity::ALL.map(|severity| (id, severity))) {
            let labels = FindingLabels { detector: detector.meta().name, severity: severity.name() };
            drop(self.findings.get_or_create(&labels));
        }
        for reason in Reason::ALL.iter().map(|(_, reason)| *reason).chain(AGENT_REASONS) {
            drop(self.records_lost.get_or_create(&ReasonLabel { reason }));
        }
        drop(self.sink_dropped.get_or_create(&SinkLabel { sink: "all".to_owned() }));
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
            "containers_seen",
            "Containers that were new, by what told what is mounted into them: the kernel (mountinfo), the runtime's files (runtime) or nothing",
            self.containers_seen.clone(),
        );
        registry.register(
            "layers_scanned",
            "Layers of images, caches of builds, volumes, and what containers have written, that were looked through for tokens: whole, or in part because of a bound or an error",
            self.layers_scanned.clone(),
        );
        registry.register_with_unit(
            "layer_scanned",
            "Bytes of layers that were looked through",
            Unit::Bytes,
            self.layer_bytes.clone(),
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
        registry.register(
            "files_scanned",
            "Files that may hold a token and were looked into, by what came of it: copies, clean, or why not",
            self.files_scanned.clone(),
        );
        registry.register("files_to_scan", "Files that wait for that", self.files_to_scan.clone());
        registry.register(
            "starts_read",
            "Programs with a longer command line or environment than a record holds, by what came of a look at the rest: found, \
             nothing, partly, or why not",
            self.starts_read.clone(),
        );
    }

    fn register_incidents(&self, registry: &mut Registry) {
        registry.register("incidents_open", "Incidents that are open", self.incidents_open.clone());
        registry.register(
            "incidents",
            "Incidents that opened with this severity, or rose to it; one that rises counts at each",
            self.incidents.clone(),
        );
        registry.register(
            "findings_summarised",
            "Findings that look like others of their incident: counted there, not stored or sent by themselves",
            self.findings_summarised.clone(),
        );
        registry.register(
            "notifications_suppressed",
            "Notifications of incidents that a suppression held back",
            self.notifications_suppressed.clone(),
        );
    }

    fn register_history(&self, registry: &mut Registry) {
        registry.register(
            "token_copies",
            "Files outside of stores in which a token was found and that are not known to be gone, by the token's store",
            self.token_copies.clone(),
        );
        registry.register_with_unit(
            "exposure",
            "From the first finding (above informational) about a token to its leaving the store, once for each token",
            Unit::Seconds,
            self.exposure.clone(),
        );
        registry.register(
            "history_lost",
            "Entries that were not written to the history: a full queue, or a disk that refused",
            self.history_lost.clone(),
        );
        registry.register(
            "history_pruned",
            "Rows taken out of the history because they were too old or too many",
            self.history_pruned.clone(),
        );
        registry.register_with_unit(
            "history_size",
            "Bytes of the history's file that are in use, looked at every ten minutes",
            Unit::Bytes,
            self.history_size.clone(),
        );
    }

    fn register_sinks(&self, registry: &mut Registry) {
        registry.register(
            "sink_queue_length",
            "Findings and notifications that a sink has not been past yet",
            self.sink_queue_length.clone(),
        );
        registry.register(
            "sink_delivered",
            "Findings and notifications that a sink has taken",
            self.sink_delivered.clone(),
        );
        registry.register(
            "sink_failed",
            "Attempts to deliver that failed; what was to be delivered is kept and tried again",
            self.sink_failed.clone(),
        );
        registry.register(
            "sink_set_aside",
            "Findings and notifications that a receiver has refused for good; `tokenhound doctor` lists them",
            self.sink_set_aside.clone(),
        );
        registry.register(
            "sink_dropped",
            "Findings and notifications that a sink will not get, because a bound was reached; all: for every sink, as they could not even be written down",
            self.sink_dropped.clone(),
        );
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
