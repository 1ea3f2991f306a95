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
        detect::{access::Tier, judge::Verdict, lifecycle::TokenAge},
        finding::samples,
        telemetry::{bless, events, metrics::Metrics},
        token::model::Extraction,
    };

    /// One of every fact, so that every metric has a value.
    fn everything() -> Registry {
        let (metrics, registry) = Metrics::new();
        events::StoreRead { store: "aws-credentials", verdict: Verdict::Unexpected, actor: "unknown" }.emit(&metrics);
        events::FindingMade(&samples::all()[0]).emit(&metrics);
        events::RecordsRead { kind: "open", count: 1 }.emit(&metrics);
        events::RecordsLost { reason: "hits_ring_full", count: 2 }.emit(&metrics);
        events::PolicyLoaded(&crate::policy::Policy::default()).emit(&metrics);
        events::PolicyRefused(&crate::yaml::Problems::new()).emit(&metrics);
        events::ProbeState { probe: "file_open", tier: Tier::Fentry, live: true }.emit(&metrics);
        events::ProcessesTracked(7).emit(&metrics);
        events::ReadsWatched(true).emit(&metrics);
        events::TableEvicted { table: "lineage", count: 3 }.emit(&metrics);
        let age = TokenAge { store: "aws-credentials".into(), count: 2, oldest: 300, expires: Some(60) };
        events::TokenAges(&[age]).emit(&metrics);
        let extraction = Extraction { problems: vec!["no JSON".into()], ..Extraction::default() };
        events::StoreExtracted { store: "aws-credentials", extraction: &extraction }.emit(&metrics);
        let trouble = Trouble { path: "/c".into(), lost: 5, failure: None };
        events::CaptureCut(&trouble).emit(&metrics);
        events::SinkQueue { sink: "file", length: 4 }.emit(&metrics);
        events::SinkDelivered { sink: "file" }.emit(&metrics);
        events::SinkFailed { sink: "file", error: &std::fmt::Error, known: false }.emit(&metrics);
        events::SinkDropped { sink: "file", uid: "0" }.emit(&metrics);
        registry
    }

    #[test]
    fn each_fact_changes_its_metric() {
        let mut text = String::new();
        text::encode(&mut text, &everything()).unwrap();
        for line in [
            "tokenhound_store_reads_total{store=\"aws-credentials\",verdict=\"unexpected\",actor=\"unknown\"} 1",
            "tokenhound_findings_total{detector=\"unexpected-reader\",severity=\"high\"} 1",
            "tokenhound_records_total{kind=\"open\"} 1",
            "tokenhound_records_lost_total{reason=\"hits_ring_full\"} 2",
            "tokenhound_detection_latency_seconds_count 1",
            "tokenhound_detection_latency_seconds_bucket{le=\"0.0025\"} 1",
            "tokenhound_probe_live{probe=\"file_open\",tier=\"fentry\"} 1",
            "tokenhound_processes_tracked 7",
            "tokenhound_table_evictions_total{table=\"lineage\"} 3",
            "tokenhound_tokens_tracked{store=\"aws-credentials\"} 2",
            "tokenhound_token_age_seconds{store=\"aws-credentials\"} 300",
            "tokenhound_token_expiry_seconds{store=\"aws-credentials\"} 60",
            "tokenhound_token_problems_total{store=\"aws-credentials\"} 1",
            "tokenhound_capture_lost_total 5",
            "tokenhound_sink_queue_length{sink=\"file\"} 4",
            "tokenhound_sink_delivered_total{sink=\"file\"} 1",
            "tokenhound_sink_failed_total{sink=\"file\"} 1",
            "tokenhound_sink_dropped_total{sink=\"file\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
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

    #[test]
    fn page_is_up_to_date() {
        bless::compare("docs/metrics.md", &markdown(&everything()).unwrap());
    }
}
