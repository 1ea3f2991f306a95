//! `sensor-degraded`: records were lost or a probe does not deliver. Loss is itself a finding.

use std::time::SystemTime;

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
        if let Degradation::Lost { total, .. } = degradation {
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
            Degradation::Lost { .. } => None,
        },
        latency: None,
        remediation: Remediation::of(DetectorId::SensorDegraded, &[]),
        fingerprint: None,
    }
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
