//! What the sensor and the bounded tables have lost, told as metrics and findings.

use tokenhound_common::loss::Reason;

use super::{Pipeline, now};
use crate::{
    detect::{engine::Outcome, sensor_degraded::Degradation},
    ingest::sequence::Ring,
    telemetry::events,
};

impl Pipeline {
    /// Looks at what was lost since the last time and reports it.
    pub(super) fn health(&mut self) {
        self.clock.resample();
        self.sensor.flush_log();
        match self.sensor.lost() {
            Ok(lost) => {
                let counted =
                    |reason| lost.iter().filter(|(known, ..)| *known == reason).map(|(.., count)| count).sum::<u64>();
                // A record without room uses up its number: what is missing beyond those, nobody accounts for.
                let hits = self.sequences.missing(Ring::Hits).saturating_sub(counted(Reason::HITS_RING_FULL));
                let life = self.sequences.missing(Ring::Life).saturating_sub(counted(Reason::LIFE_RING_FULL));
                let mut exits_lost = false;
                for (reason, label, total) in lost {
                    let grew = self.lost_records(label, total, reason != Reason::LIFE_RING_FULL);
                    exits_lost |= grew && reason == Reason::LIFE_RING_FULL;
                }
                self.lost_records("hits_unaccounted", hits, true);
                exits_lost |= self.lost_records("life_unaccounted", life, false);
                self.reconcile(exits_lost);
            }
            Err(error) => tracing::warn!(%error, "the kernel's loss counters could not be read"),
        }
        self.lost_records("watch_keys", self.unwatched, true);
        self.lost_records("malformed", self.malformed, true);
        self.lost_records("program_busy", self.sensor.misses(), true);
        let late = self.reorder.late();
        events::RecordsRead { kind: "late", count: late - self.late }.emit(&self.metrics);
        self.late = late;
        events::ProcessesTracked(self.processes.len()).emit(&self.metrics);
        self.evictions();
    }

    /// After exits were lost, and not while they still are: the storm that cost them leaves no time for it.
    fn reconcile(&mut self, exits_lost: bool) {
        if self.exits_lost && !exits_lost {
            self.processes.reconcile(now());
        }
        self.exits_lost = exits_lost;
    }

    /// Returns whether more are lost than the last time.
    fn lost_records(&mut self, reason: &'static str, total: u64, reads: bool) -> bool {
        let before = self.lost.insert(reason, total).unwrap_or(0);
        if total <= before {
            return false;
        }
        events::RecordsLost { reason, count: total - before }.emit(&self.metrics);
        self.degraded(&Degradation::Lost { reason: reason.to_owned(), total, reads });
        true
    }

    fn degraded(&mut self, degradation: &Degradation) {
        let time = now();
        if let Some(finding) = self.engine.degraded(degradation, time, self.clock.wall(time)) {
            self.deliver(Outcome { findings: vec![finding], verdicts: Vec::new() });
        }
    }

    /// Entries that bounded tables had to give up.
    fn evictions(&mut self) {
        let stats = self.processes.stats();
        let lineage = [
            ("lineage_exited", stats.evicted_exited),
            ("lineage_ancestor", stats.evicted_ancestor),
            ("lineage_alive", stats.evicted_alive),
        ];
        for (table, total) in self.engine.evictions().into_iter().chain(lineage) {
            let before = self.evicted.insert(table, total).unwrap_or(0);
            if total > before {
                events::TableEvicted { table, count: total - before }.emit(&self.metrics);
            }
        }
    }

    pub(super) fn report_probes(&mut self) {
        let tier = self.sensor.plan.tier;
        for proof in self.proofs.clone() {
            let probe = proof.hook.label();
            events::ProbeState { probe, tier, live: proof.failure.is_none() }.emit(&self.metrics);
            if let Some(why) = proof.failure {
                self.degraded(&Degradation::Probe { probe: probe.to_owned(), tier, why });
            }
        }
    }
}
