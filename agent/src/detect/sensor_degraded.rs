//! `sensor-degraded`: records or findings were lost, or a probe does not deliver. Loss is itself a finding.

use std::{path::PathBuf, time::SystemTime};

use tokenhound_common::{loss::Reason, process::ProcessKey};

use super::{access::Tier, engine::WINDOW_NS, recent::Recent};
use crate::{
    finding::{
        detector::DetectorId,
        model::{Evidence, Finding, Remediation, Salt, Target},
        severity::Severity,
        visible,
    },
    ingest::observation::KernelTime,
};

/// Most reasons and probes remembered.
const LIMIT: usize = 256;

/// Why the sensor does not see everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Degradation {
    /// Records were lost.
    Lost {
        /// Label of the reason, as in the metric.
        reason: String,
        /// Lost for this reason since the start.
        total: u64,
        /// Reads of stores may be among them.
        reads: bool,
    },
    /// Files that may hold a copy of a token were not looked into.
    Unscanned {
        /// Why not, as in the metric.
        reason: String,
        /// So many since the start.
        total: u64,
        /// Some of them.
        files: Vec<PathBuf>,
    },
    /// Findings and notifications of incidents had to go before a sink had them.
    Undelivered {
        /// Which sink; `all` where they were not even written down.
        sink: String,
        /// So many since the start.
        total: u64,
    },
    /// A probe is attached but does not deliver, or is gone.
    Probe {
        /// Name of the probe.
        probe: String,
        /// Its tier.
        tier: Tier,
        /// What is known about it.
        why: String,
    },
}

impl Degradation {
    /// Loss that the kernel programs counted.
    #[must_use]
    pub fn kernel(reason: Reason, total: u64) -> Self {
        let label = Reason::ALL.iter().find(|(known, _)| *known == reason).map_or("unknown", |(_, label)| label);
        Self::Lost { reason: label.to_owned(), total, reads: reason != Reason::LIFE_RING_FULL }
    }

    fn subject(&self) -> String {
        match self {
            Self::Lost { reason, .. } => format!("lost {reason}"),
            Self::Unscanned { reason, .. } => format!("unscanned {reason}"),
            Self::Undelivered { sink, .. } => format!("undelivered {sink}"),
            Self::Probe { probe, tier, .. } => format!("probe {probe} {}", tier.name()),
        }
    }
}

/// What was last said of a reason.
#[derive(Debug, Default)]
struct Said {
    at: Option<KernelTime>,
    total: u64,
}

/// State of the detector.
#[derive(Debug)]
pub struct SensorDegraded {
    said: Recent<String, Said>,
}

impl Default for SensorDegraded {
    fn default() -> Self {
        Self { said: Recent::new(LIMIT) }
    }
}

impl SensorDegraded {
    /// The finding, at most one for each reason in [`WINDOW_NS`] of record time. What comes in between is not
    /// forgotten: the numbers are totals.
    pub(crate) fn report(
        &mut self,
        salt: &Salt,
        degradation: &Degradation,
        time: KernelTime,
        wall: SystemTime,
    ) -> Option<Finding> {
        let subject = degradation.subject();
        let said = self.said.touch(&subject, time, Said::default);
        if said.at.is_some_and(|at| time.0.saturating_sub(at.0) < WINDOW_NS) {
            return None;
        }
        let before = said.total;
        if let Degradation::Lost { total, .. }
        | Degradation::Unscanned { total, .. }
        | Degradation::Undelivered { total, .. } = degradation
        {
            if *total <= before {
                return None;
            }
            said.total = *total;
        }
        said.at = Some(time);
        Some(finding(salt, degradation, before, &subject, time, wall))
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.said.evicted()
    }
}

fn finding(
    salt: &Salt,
    degradation: &Degradation,
    before: u64,
    subject: &str,
    time: KernelTime,
    wall: SystemTime,
) -> Finding {
    let (severity, headline, reason, evidence) = match degradation {
        Degradation::Lost { reason, total, reads } => lost(reason, *total, before, *reads),
        Degradation::Unscanned { reason, total, files } => unscanned(reason, *total, before, files),
        Degradation::Undelivered { sink, total } => undelivered(sink, *total, before),
        Degradation::Probe { probe, tier, why } => (
            Severity::High,
            format!("the probe {} ({}) does not deliver", visible::text(probe), tier.name()),
            "what only this probe sees is not seen at all".to_owned(),
            Evidence::new("probe.state", why),
        ),
    };
    Finding {
        uid: salt.uid(DetectorId::SensorDegraded, time, ProcessKey::default(), subject),
        detector: DetectorId::SensorDegraded,
        severity,
        reasons: vec![reason],
        time,
        wall,
        headline,
        stores: Vec::new(),
        target: Target::Sensor,
        chain: None,
        actor: None,
        user_name: None,
        evidence: vec![evidence],
        verdict: None,
        tier: match degradation {
            Degradation::Probe { tier, .. } => Some(*tier),
            Degradation::Lost { .. } | Degradation::Unscanned { .. } | Degradation::Undelivered { .. } => None,
        },
        latency: None,
        remediation: Remediation::of(DetectorId::SensorDegraded, &[]),
        fingerprint: None,
    }
}

fn unscanned(reason: &str, total: u64, before: u64, files: &[PathBuf]) -> (Severity, String, String, Evidence) {
    let new = total - before;
    let names: Vec<String> = files.iter().map(|file| visible::path(file)).collect();
    let more = if new > names.len() as u64 { ", ..." } else { "" };
    let evidence = Evidence::new(
        "files.unscanned",
        format!("reason {reason}: {new} since the last report, {total} since the start: {}{more}", names.join(", ")),
    );
    let headline = format!("{new} files that may hold a token were not looked into ({})", visible::text(reason));
    let why = "a copy of a token may be in them, of which nothing was told; the log names each".to_owned();
    (Severity::Low, headline, why, evidence)
}

fn undelivered(sink: &str, total: u64, before: u64) -> (Severity, String, String, Evidence) {
    let (new, sink) = (total - before, visible::text(sink));
    let evidence = Evidence::new(
        "findings.undelivered",
        format!("sink {sink}: {new} since the last report, {total} since the start"),
    );
    let whose = if sink == "all" { "any sink".to_owned() } else { format!("the sink {sink}") };
    let headline = format!("{new} findings were given up before {whose} had them");
    let why = "there was no more room for them; that a receiver was told of nothing proves nothing".to_owned();
    (Severity::High, headline, why, evidence)
}

fn lost(reason: &str, total: u64, before: u64, reads: bool) -> (Severity, String, String, Evidence) {
    let new = total - before;
    let evidence =
        Evidence::new("records.lost", format!("reason {reason}: {new} since the last report, {total} since the start"));
    let headline = format!("{new} records were lost ({})", visible::text(reason));
    if reads {
        (Severity::High, headline, "reads of stores may be among the lost records".to_owned(), evidence)
    } else {
        (Severity::Medium, headline, "lineage may be incomplete; no read was lost".to_owned(), evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_given_up_are_told_for_each_sink_with_their_numbers_and_not_every_time() {
        let mut detector = SensorDegraded::default();
        let salt = Salt::new("build-7", "boot");
        let mut told = |sink: &str, total, seconds: u64| {
            let degradation = Degradation::Undelivered { sink: sink.to_owned(), total };
            let time = KernelTime(seconds * 1_000_000_000);
            let finding = detector.report(&salt, &degradation, time, SystemTime::UNIX_EPOCH)?;
            Some((finding.severity, finding.headline.clone(), finding.evidence[0].clone()))
        };
        let evidence = |text: &str| Evidence::new("findings.undelivered", text);
        let (severity, headline, first) = told("soc", 500, 1).unwrap();
        assert_eq!(
            (severity, headline.as_str()),
            (Severity::High, "500 findings were given up before the sink soc had them")
        );
        assert_eq!(first, evidence("sink soc: 500 since the last report, 500 since the start"));
        assert!(told("soc", 700, 30).is_none(), "once a minute");
        assert!(told("all", 3, 30).unwrap().1.contains("before any sink had them"), "each sink by itself");
        let again = told("soc", 900, 70).unwrap().2;
        assert_eq!(
            again,
            evidence("sink soc: 400 since the last report, 900 since the start"),
            "what came in between counts"
        );
        assert!(told("soc", 900, 200).is_none(), "nothing new");
    }
}
