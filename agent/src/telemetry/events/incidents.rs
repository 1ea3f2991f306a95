//! Facts about incidents and their notifications.

use super::{DetectorLabel, Metrics, SeverityLabel, TableLabel};
use crate::incident::table::Facts;

/// How many incidents are open.
#[derive(Clone, Copy, Debug)]
pub struct IncidentsOpen(pub usize);

impl IncidentsOpen {
    /// Sets the gauge.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.incidents_open.set(i64::try_from(self.0).unwrap_or(i64::MAX));
    }
}

/// What became of findings and incidents in a batch.
#[derive(Clone, Copy, Debug)]
pub struct IncidentsChanged<'a>(pub &'a Facts);

impl IncidentsChanged<'_> {
    /// Counts; logs as a warning what had to make room.
    pub fn emit(&self, metrics: &Metrics) {
        let Facts { reached, summarised, suppressed, evicted } = self.0;
        for (severity, count) in reached {
            metrics.incidents.get_or_create(&SeverityLabel { severity: severity.name() }).inc_by(*count);
        }
        for (detector, count) in summarised {
            let label = DetectorLabel { detector: detector.name() };
            metrics.findings_summarised.get_or_create(&label).inc_by(*count);
        }
        metrics.notifications_suppressed.inc_by(*suppressed);
        if *evicted > 0 {
            tracing::warn!(
                count = evicted,
                "too many incidents are open; those that were quiet for longest are closed"
            );
            metrics.table_evictions.get_or_create(&TableLabel { table: "incidents" }).inc_by(*evicted);
        }
    }
}
