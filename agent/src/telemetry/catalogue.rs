//! The page of metrics (`docs/metrics.md`), from what the registry itself says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use prometheus_client::{encoding::text, registry::Registry};

/// One metric as the registry describes it.
#[derive(Debug, Default)]
struct Described {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// A table of every metric in `registry` that has a value, as Markdown.
///
/// # Errors
/// When the registry cannot be encoded.
pub fn markdown(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut encoded = String::new();
    text::encode(&mut encoded, registry)?;
    let mut out = String::from(
        "<!-- Generated from agent/src/telemetry; TOKENHOUND_BLESS=1 writes it anew. -->\n# Metrics\n\n\
         OpenMetrics text on `/metrics` (default `127.0.0.1:9466`). No label ever holds a path, a pid or a fingerprint.\n\n\
         | metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for (name, metric) in describe(&encoded) {
        let suffix = match metric.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(out, "| `{name}{suffix}` | {} | {} | {} |", metric.kind, labels.join(", "), metric.help)?;
    }
    Ok(out)
}

/// Reads the descriptors and the label names out of the exposition.
fn describe(encoded: &str) -> BTreeMap<String, Described> {
    let mut metrics: BTreeMap<String, Described> = BTreeMap::new();
    for line in encoded.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            metrics.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            metrics.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((sample, rest)) = line.split_once('{') {
            let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
            let family = metrics.iter_mut().rev().find(|(name, _)| sample.starts_with(name.as_str()));
            if let Some((_, metric)) = family {
                let names =
                    labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
                metric.labels.extend(names.filter(|name| name != "le"));
            }
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::recorder::Trouble,
        container::{images::scan, model::Source},
        copies::model::{Outcome, Scanned, Skipped},
        detect::{access::Tier, change::StoreChange, judge::Verdict, lifecycle::TokenAge},
        finding::{detector::DetectorId, samples, severity::Severity},
        incident::table::Facts,
        telemetry::{bless, events, metrics::Metrics},
        token::model::Extraction,
    };

    /// One of every fact, so that every metric has a value.
    fn everything() -> Registry {
        let (metrics, registry) = Metrics::new();
        events::StoreRead { store: "aws-credentials", verdict: Verdict::Unexpected, actor: "unknown" }.emit(&metrics);
        let link = StoreChange {
            store: "aws-credentials".into(),
            what: "link",
            path: "/c".into(),
            other: None,
            actor: String::new(),
        };
        events::StoreChanged(&link).emit(&metrics);
        events::ReaderRemembered { path: "/c".as_ref(), changed: false }.emit(&metrics);
        events::FindingMade(&samples::all()[0]).emit(&metrics);
        events::RecordsRead { kind: "open", count: 1 }.emit(&metrics);
        events::RecordsLost { reason: "hits_ring_full", count: 2 }.emit(&metrics);
        events::PolicyLoaded(&crate::policy::Policy::default()).emit(&metrics);
        events::PolicyRefused(&crate::yaml::Problems::new()).emit(&metrics);
        events::ProbeState { probe: "file_open", tier: Tier::Fentry, live: true }.emit(&metrics);
        events::ProcessesTracked(7).emit(&metrics);
        events::ContainerSeen { id: "0", source: Source::Mountinfo }.emit(&metrics);
        let found = scan::Found { looked: 1, bytes: 5, ..scan::Found::default() };
        events::LayerScanned { layer: "sha256:0", found: &found }.emit(&metrics);
        events::ReadsWatched(true).emit(&metrics);
        events::TableEvicted { table: "lineage", count: 3 }.emit(&metrics);
        let age = TokenAge { store: "aws-credentials".into(), count: 2, oldest: 300, expires: Some(60) };
        let gone = TokenAge { store: "npmrc".into(), ..age.clone() };
        events::TokenAges { now: &[age.clone(), gone.clone()], before: &[] }.emit(&metrics);
        events::TokenAges { now: std::slice::from_ref(&age), before: &[age.clone(), gone] }.emit(&metrics);
        let extraction = Extraction { problems: vec!["no JSON".into()], ..Extraction::default() };
        events::StoreExtracted { store: "aws-credentials", extraction: &extraction }.emit(&metrics);
        let copies = [("aws-credentials".to_owned(), 3), ("gh-hosts".to_owned(), 1)];
        events::TokenCopies { now: &copies, before: &[] }.emit(&metrics);
        events::TokenCopies { now: &copies[..1], before: &copies }.emit(&metrics);
        events::ExposureEnded { store: "aws-credentials", seconds: 90.0 }.emit(&metrics);
        events::HistoryLost(6).emit(&metrics);
        events::HistoryPruned { table: "findings", count: 7 }.emit(&metrics);
        events::HistorySize(4096).emit(&metrics);
        events::IncidentsOpen(2).emit(&metrics);
        let facts = Facts {
            reached: vec![(Severity::Critical, 1)],
            summarised: vec![(DetectorId::TokenCopied, 1950)],
            suppressed: 3,
            evicted: 4,
        };
        events::IncidentsChanged(&facts).emit(&metrics);
        for outcome in [Outcome::Looked(Box::default()), Outcome::Skipped(Skipped::QueueFull)] {
            events::FileScanned(&Scanned::sample(outcome)).emit(&metrics);
        }
        events::StartRead("gone").emit(&metrics);
        events::CopiesPending([3, 1]).emit(&metrics);
        let trouble = Trouble { path: "/c".into(), lost: 5, failure: None };
        events::CaptureCut(&trouble).emit(&metrics);
        events::SinkQueue { sink: "file", length: 4 }.emit(&metrics);
        events::SinkDelivered { sink: "file", count: 3 }.emit(&metrics);
        events::SinkFailed { sink: "file", why: "no space", known: false }.emit(&metrics);
        events::SinkRecovered { sink: "file" }.emit();
        events::SinkSetAside { sink: "file", uid: "0", why: "too long" }.emit(&metrics);
        events::SinkDropped { sink: "file", count: 2 }.emit(&metrics);
        registry
    }

    #[test]
    fn each_fact_changes_its_metric() {
        let mut text = String::new();
        text::encode(&mut text, &everything()).unwrap();
        for line in [
            "tokenhound_store_reads_total{store=\"aws-credentials\",verdict=\"unexpected\",actor=\"unknown\"} 1",
            "tokenhound_findings_total{detector=\"unexpected-reader\",severity=\"high\"} 1",
            "tokenhound_findings_total{detector=\"decoy-read\",severity=\"critical\"} 0",
            "tokenhound_store_changes_total{store=\"aws-credentials\",change=\"link\"} 1",
            "tokenhound_readers_remembered_total{outcome=\"new\"} 1",
            "tokenhound_records_lost_total{reason=\"malformed\"} 0",
            "tokenhound_records_total{kind=\"open\"} 1",
            "tokenhound_records_lost_total{reason=\"hits_ring_full\"} 2",
            "tokenhound_detection_latency_seconds_count 1",
            "tokenhound_detection_latency_seconds_bucket{le=\"0.0025\"} 1",
            "tokenhound_probe_live{probe=\"file_open\",tier=\"fentry\"} 1",
            "tokenhound_processes_tracked 7",
            "tokenhound_layers_scanned_total{outcome=\"whole\"} 1",
            "tokenhound_layer_scanned_bytes_total 5",
            "tokenhound_containers_seen_total{source=\"mountinfo\"} 1",
            "tokenhound_table_evictions_total{table=\"lineage\"} 3",
            "tokenhound_tokens_tracked{store=\"aws-credentials\"} 2",
            "tokenhound_token_age_seconds{store=\"aws-credentials\"} 300",
            "tokenhound_token_expiry_seconds{store=\"aws-credentials\"} 60",
            "tokenhound_token_problems_total{store=\"aws-credentials\"} 1",
            "tokenhound_token_copies{store=\"aws-credentials\"} 3",
            "tokenhound_token_copies{store=\"gh-hosts\"} 0",
            "tokenhound_exposure_seconds_bucket{le=\"600.0\",store=\"aws-credentials\"} 1",
            "tokenhound_history_lost_total 6",
            "tokenhound_history_pruned_total{table=\"findings\"} 7",
            "tokenhound_history_size_bytes 4096",
            "tokenhound_incidents_open 2",
            "tokenhound_incidents_total{severity=\"critical\"} 1",
            "tokenhound_findings_summarised_total{detector=\"token-copied\"} 1950",
            "tokenhound_notifications_suppressed_total 3",
            "tokenhound_table_evictions_total{table=\"incidents\"} 4",
            "tokenhound_files_scanned_total{outcome=\"clean\"} 1",
            "tokenhound_files_scanned_total{outcome=\"queue_full\"} 1",
            "tokenhound_files_to_scan 4",
            "tokenhound_starts_read_total{outcome=\"gone\"} 1",
            "tokenhound_capture_lost_total 5",
            "tokenhound_sink_queue_length{sink=\"file\"} 4",
            "tokenhound_sink_delivered_total{sink=\"file\"} 3",
            "tokenhound_sink_failed_total{sink=\"file\"} 1",
            "tokenhound_sink_set_aside_total{sink=\"file\"} 1",
            "tokenhound_sink_dropped_total{sink=\"file\"} 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("npmrc"), "its last token is gone: {text}");
        assert!(text.contains("tokenhound_build_info{version="), "{text}");
    }

    #[test]
    fn labels_from_outside_are_bounded() {
        let (metrics, registry) = Metrics::new();
        for number in 0..2000 {
            let store = format!("store-{number}");
            events::StoreRead { store: &store, verdict: Verdict::Expected, actor: "unknown" }.emit(&metrics);
        }
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("tokenhound_store_reads_total")).count(), 513);
        assert!(text.contains("store=\"other\",verdict=\"expected\",actor=\"unknown\"} 1488"), "{text}");
    }

    /// A metric without a value is not encoded, so a fact that `everything` forgets would be missing from the page.
    #[test]
    fn every_metric_that_is_registered_is_on_the_page() {
        let page = markdown(&everything()).unwrap();
        let registered = include_str!("metrics.rs").split("registry.register").skip(1);
        let names: Vec<&str> = registered.filter_map(|rest| rest.split('"').nth(1)).collect();
        assert!(names.len() > 30, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("| `tokenhound_{name}")), "{name}: `everything` makes no value of it");
        }
    }

    /// Prometheus scrapes it in the test of the dashboards, so that every query has something to find.
    #[test]
    fn sample_is_up_to_date() {
        let mut text = String::new();
        text::encode(&mut text, &everything()).unwrap();
        let mut out = String::new();
        // The registry keeps labels in no order; samples may stand in any below their descriptors.
        let mut samples = Vec::new();
        for line in text.lines() {
            if !line.starts_with('#') {
                samples.push(line);
                continue;
            }
            samples.sort_unstable();
            samples.drain(..).chain([line]).for_each(|line| out.extend([line, "\n"]));
        }
        bless::compare("tests/dashboards/metrics.txt", &out);
    }

    #[test]
    fn page_is_up_to_date() {
        bless::compare("docs/metrics.md", &markdown(&everything()).unwrap());
    }
}
