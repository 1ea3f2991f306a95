//! What an expected reader was told to load, with what the world says of it.

use std::{ffi::OsString, path::Path};

use tokenhound_common::process::ProcessKey;

use super::input::World;
use crate::{
    detect::{
        access::Access,
        judge::{Expectation, Judgement},
        recent::Recent,
    },
    ingest::observation::{Exec, KernelTime},
    lineage::{
        loaded::{self, Loaded},
        model::Chain,
    },
};

/// Most programs that are remembered to have a longer environment than a record holds.
const CUT: usize = 4096;

/// Programs with a longer environment than a record holds, by their process: when each was started, and, of readers, what
/// their environment is.
#[derive(Debug)]
pub(super) struct Cut(Recent<ProcessKey, (KernelTime, Option<Variables>)>);

type Variables = Vec<(String, OsString)>;

impl Default for Cut {
    fn default() -> Self {
        Self(Recent::new(CUT))
    }
}

impl Cut {
    /// A program was started.
    pub(super) fn started(&mut self, exec: &Exec) {
        self.0.forget(&exec.task.key);
        if exec.environment_truncated {
            self.0.touch(&exec.task.key, exec.time, || (exec.time, None));
        }
    }

    /// The process has ended.
    pub(super) fn ended(&mut self, process: ProcessKey) {
        self.0.forget(&process);
    }

    /// Completes the environment of an expected reader whose record was cut, as far as it runs still.
    pub(super) fn complete(&mut self, access: &mut Access, judgements: &[Judgement], world: &mut dyn World) {
        let Some(reader) = access.chain.processes.first_mut().filter(|_| judgements.iter().any(is_expected)) else {
            return;
        };
        if self.0.get(&reader.key).is_none_or(|(since, _)| *since != reader.since) {
            return;
        }
        let (_, known) = self.0.touch(&reader.key, access.time, || (reader.since, None));
        if known.is_none() {
            let same = |now: &crate::lineage::model::Process| now.executable.id == reader.executable.id;
            *known = world.resolve(reader.key).filter(same).map(|now| now.environment);
        }
        if let Some(environment) = known {
            reader.environment.clone_from(environment);
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.0.evicted()
    }
}

fn is_expected(judgement: &Judgement) -> bool {
    matches!(judgement.expectation, Expectation::Expected { .. })
}

/// Nothing where no store expects the reader: then it is a finding already.
pub(super) fn loaded(
    chain: &Chain,
    home: Option<&Path>,
    judgements: &[Judgement],
    world: &mut dyn World,
) -> Vec<Loaded> {
    let Some(reader) = chain.processes.first().filter(|_| judgements.iter().any(is_expected)) else {
        return Vec::new();
    };
    let loads = loaded::loads(reader, home, || world.linkage(chain));
    loaded::look(loads, |path| world.place(chain, path))
}
