//! How many records of which kind were taken in.

use crate::ingest::observation::{Object, Observation};

/// Records taken in, by kind, since they were last asked for.
#[derive(Debug, Default)]
pub(super) struct Counts(pub(super) Vec<(&'static str, u64)>);

impl Counts {
    pub(super) fn add(&mut self, kind: &'static str, count: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, counted)) => *counted += count,
            None => self.0.push((kind, count)),
        }
    }
}

/// What a record counts as.
pub(super) fn kind(observation: &Observation) -> &'static str {
    match observation {
        Observation::Fork(_) => "fork",
        Observation::Exec(_) => "exec",
        Observation::Exit(_) => "exit",
        Observation::Open(open) => match open.object {
            Object::File => open.way.name(),
            Object::Process(..) => "inspection",
        },
        Observation::Change(_) => "change",
        Observation::Connect(_) => "connect",
        Observation::Dump(_) => "dump",
        Observation::Written(_) => "written",
        Observation::Answer(_) => "answer",
    }
}
