//! Programs that are started with a token on their command line or in their environment.

use tokenhound_common::process::ProcessKey;

use super::{Core, Output, World, judge};
use crate::{
    detect::{
        access::{Service, Target},
        judge::{Expectation, Judgement},
        recent::Recent,
    },
    ingest::{
        carried::{Carried, Place},
        observation::{Exec, KernelTime},
    },
    lineage::actor::Class,
};

/// Most programs whose record is awaited.
const AWAITED: usize = 1024;

/// What was found in records that wait for their order.
#[derive(Debug)]
pub(super) struct CarriedBy {
    awaited: Recent<(ProcessKey, KernelTime), Vec<Carried>>,
}

impl Default for CarriedBy {
    fn default() -> Self {
        Self { awaited: Recent::new(AWAITED) }
    }
}

impl CarriedBy {
    pub(super) fn note(&mut self, process: ProcessKey, time: KernelTime, tokens: Vec<Carried>) {
        *self.awaited.touch(&(process, time), time, Vec::new) = tokens;
    }

    fn take(&mut self, process: ProcessKey, time: KernelTime) -> Vec<Carried> {
        let key = (process, time);
        let found = self.awaited.get(&key).cloned().unwrap_or_default();
        self.awaited.forget(&key);
        found
    }

    pub(super) fn evicted(&self) -> u64 {
        self.awaited.evicted()
    }
}

impl Core {
    /// A program has started: with which tokens?
    pub(super) fn carries(&mut self, exec: &Exec, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        for Carried { fingerprint, place } in self.carried.take(exec.task.key, exec.time) {
            let tokens = self.lifecycle.tokens().filter(|token| token.known.fingerprint == fingerprint);
            let mut stores: Vec<String> = tokens.map(|token| token.known.store.clone()).collect();
            stores.dedup();
            let facts: Vec<_> = stores.iter().filter_map(|id| self.catalogue.store(id)).map(judge::facts).collect();
            let argument = matches!(place, Place::Argument(_));
            let why = format!("the token of {} is in {}", stores.join(", "), place.words());
            let target = Target::Service { stores, service: Service::Start { place, fingerprint } };
            let Some(access) = self.access(exec.task.key, exec.time, target, world) else { return };
            // Whoever exports a token hands it to all they start; a package's script has no business with it.
            if !argument && access.actor.class() != Class::PackageScript {
                continue;
            }
            let unexpected = |store| Judgement {
                store,
                expectation: Expectation::Unexpected { why: vec![why.clone()], weak: false },
            };
            self.judged(access, facts.into_iter().map(unexpected).collect(), world, out);
        }
    }
}
