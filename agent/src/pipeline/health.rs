//! What is looked at once a second: what was lost, what is missing from the capture, how old tokens are.

use super::{
    Pipeline,
    core::{Input, Losses},
};
use crate::{
    capture::recorder::{Recorder, Trouble},
    history::Writer,
    ingest::clock,
    telemetry::events,
};

impl Pipeline {
    /// Looks at what was lost since the last time.
    pub(super) fn health(&mut self) {
        let before = self.clock;
        self.clock.resample();
        if self.clock != before {
            self.feed(Input::Clock(self.clock));
        }
        self.sensor.flush_log();
        if self.sensor.watches_writes() && !self.sensor.carriers.any(clock::now()) {
            self.watch_writes(false);
        }
        let kernel = self
            .sensor
            .lost()
            .map(|lost| lost.into_iter().map(|(reason, _, total)| (reason, total)).collect())
            .inspect_err(|error| tracing::warn!(%error, "the kernel's loss counters could not be read"))
            .ok();
        let losses = Losses { time: clock::now(), kernel, busy: self.sensor.misses(), unwatched: self.edge.unwatched };
        self.feed(Input::Losses(losses));
        let undelivered = self.edge.history.as_ref().map_or_else(Vec::new, Writer::undelivered);
        if !undelivered.is_empty() {
            self.feed(Input::Undelivered { time: clock::now(), sinks: undelivered });
        }
        let evicted = [("packages", self.flow.world.take_evicted()), ("writers", self.edge.writers.take_evicted())];
        for (table, count) in evicted.into_iter().filter(|(_, count)| *count > 0) {
            events::TableEvicted { table, count }.emit(&self.edge.metrics);
        }
        events::ProcessesTracked(self.flow.core.tracked()).emit(&self.edge.metrics);
        let now = self.flow.core.token_ages(clock::now());
        let before = std::mem::replace(&mut self.edge.ages, now);
        events::TokenAges { now: &self.edge.ages, before: &before }.emit(&self.edge.metrics);
        if let Some(recorder) = &mut self.flow.recorder {
            recorder.flush();
        }
        self.watch_recorder();
    }

    pub(super) fn watch_recorder(&mut self) {
        let Some(new) = self.flow.recorder.as_mut().and_then(Recorder::trouble) else { return };
        events::CaptureCut(&new).emit(&self.edge.metrics);
        let before = self.trouble.take();
        let (lost, failure) = before.map_or((0, None), |before| (before.lost, before.failure));
        self.trouble = Some(Trouble { lost: lost + new.lost, failure: failure.or(new.failure), ..new });
    }
}
