//! What the sensor and the bounded tables have lost, told as findings and counts.

use std::collections::HashMap;

use tokenhound_common::loss::Reason;

use super::{Core, Losses, Output, World, deliver};
use crate::{
    detect::{engine::Outcome, sensor_degraded::Degradation},
    ingest::{observation::KernelTime, sequence::Ring},
};

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Health {
    lost: HashMap<&'static str, u64>,
    evicted: HashMap<&'static str, u64>,
    malformed: u64,
    late: u64,
    exits_lost: bool,
}

impl Health {
    pub(super) fn malformed(&mut self) {
        self.malformed += 1;
    }
}

impl Core {
    /// What is lost beyond what was lost the last time.
    pub(super) fn losses(&mut self, losses: &Losses, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let time = losses.time;
        if let Some(kernel) = &losses.kernel {
            let counted =
                |reason| kernel.iter().filter(|(known, _)| *known == reason).map(|(_, count)| count).sum::<u64>();
            // A record without room uses up its number: what is missing beyond those, nobody accounts for.
            let hits = self.sequences.missing(Ring::Hits).saturating_sub(counted(Reason::HITS_RING_FULL));
            let life = self.sequences.missing(Ring::Life).saturating_sub(counted(Reason::LIFE_RING_FULL));
            let trail = self.sequences.missing(Ring::Trail).saturating_sub(counted(Reason::TRAIL_RING_FULL));
            let mut exits_lost = false;
            for (reason, total) in kernel {
                let life = *reason == Reason::LIFE_RING_FULL;
                let reads = !life && *reason != Reason::TRAIL_RING_FULL;
                exits_lost |= self.lost((label(*reason), *total, reads), time, world, out) && life;
            }
            self.lost(("hits_unaccounted", hits, true), time, world, out);
            self.lost(("trail_unaccounted", trail, false), time, world, out);
            exits_lost |= self.lost(("life_unaccounted", life, false), time, world, out);
            self.reconcile(exits_lost, time, world);
        }
        self.lost(("watch_keys", losses.unwatched, true), time, world, out);
        self.lost(("malformed", self.health.malformed, true), time, world, out);
        self.lost(("program_busy", losses.busy, true), time, world, out);
        self.tell_missed(time, world, out);
        let late = self.reorder.late();
        self.counts.add("late", late - self.health.late);
        self.health.late = late;
        self.evictions(out);
    }

    /// After exits were lost, and not while they still are: the storm that cost them leaves no time for it.
    fn reconcile(&mut self, exits_lost: bool, time: KernelTime, world: &mut dyn World) {
        if self.health.exits_lost && !exits_lost {
            self.processes.reconcile(time, world);
        }
        self.health.exits_lost = exits_lost;
    }

    /// Takes a reason, what it has cost since the start, and whether that may include reads. Returns whether it is more
    /// than the last time.
    fn lost(
        &mut self,
        (reason, total, reads): (&'static str, u64, bool),
        time: KernelTime,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) -> bool {
        let before = self.health.lost.insert(reason, total).unwrap_or(0);
        if total <= before {
            return false;
        }
        out(Output::Lost { reason, count: total - before });
        self.degraded(&Degradation::Lost { reason: reason.to_owned(), total, reads }, time, world, out);
        true
    }

    /// Returns whether it was told.
    pub(super) fn degraded(
        &mut self,
        degradation: &Degradation,
        time: KernelTime,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) -> bool {
        let finding = self.engine.degraded(degradation, time, self.clock.wall(time));
        let told = finding.is_some();
        deliver(Outcome { findings: finding.into_iter().collect(), verdicts: Vec::new() }, world, out);
        told
    }

    /// Findings that a sink will not get are one more, with their number.
    pub(super) fn undelivered(
        &mut self,
        sinks: Vec<(String, u64)>,
        time: KernelTime,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        for (sink, total) in sinks {
            self.degraded(&Degradation::Undelivered { sink, total }, time, world, out);
        }
    }

    /// A probe that does not deliver is a finding.
    pub(super) fn probe(
        &mut self,
        time: KernelTime,
        probe: String,
        failure: Option<String>,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        if let Some(why) = failure {
            self.degraded(&Degradation::Probe { probe, tier: self.tier, why }, time, world, out);
        }
    }

    /// Entries that bounded tables had to give up.
    fn evictions(&mut self, out: &mut dyn FnMut(Output)) {
        let stats = self.processes.stats();
        let lineage = [
            ("lineage_exited", stats.evicted_exited),
            ("lineage_ancestor", stats.evicted_ancestor),
            ("lineage_alive", stats.evicted_alive),
        ];
        let tokens = [
            ("tokens", self.lifecycle.evicted()),
            ("carried", self.carried.evicted()),
            ("environments_cut", self.cut.evicted()),
            ("writing", self.writing.evicted()),
            ("late_reads", self.late.dropped()),
            ("outlets", self.outlets.evicted()),
            ("resolved", self.resolved.evicted()),
            ("token_places", self.copies.evicted()),
        ];
        let tables = self.engine.evictions().into_iter().chain(lineage).chain(self.dumps.evictions()).chain(tokens);
        let tables = tables.chain(self.containers.evictions()).chain(self.provenance.evicted());
        for (table, total) in tables {
            let before = self.health.evicted.insert(table, total).unwrap_or(0);
            if total > before {
                out(Output::Evicted { table, count: total - before });
            }
        }
    }
}

fn label(reason: Reason) -> &'static str {
    Reason::ALL.iter().find(|(known, _)| *known == reason).map_or("unknown", |(_, label)| label)
}
