//! One pass over the stores of a user, of all users or of an unpacked root: which there are, what tokens they hold, who
//! else can get at them, and where else their tokens lie. Needs nothing of the kernel but files.
//!
//! `scope` (whose files) -> `find` (where stores are) -> `look` (what one holds) -> `judge` (what is wrong with that)
//! -> `report`. Only `scope`, `find` and `look` touch the disk.

pub mod find;
pub mod judge;
pub mod look;
pub mod model;
pub mod progress;
pub mod report;
pub mod scope;
#[cfg(test)]
mod tests;
mod walk;

use jiff::Timestamp;

use self::{
    model::{Counts, KeyKind, Report},
    progress::Progress,
    scope::Scope,
};
use crate::{catalogue::Catalogue, token::fingerprint::Key};

/// What an audit needs besides the files.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The stores.
    pub catalogue: &'a Catalogue,
    /// What fingerprints are made with.
    pub key: &'a Key,
    /// Whether that is the machine's.
    pub key_kind: KeyKind,
    /// Now.
    pub time: Timestamp,
}

/// Looks at everything in a scope.
#[must_use]
pub fn audit(scope: &Scope, inputs: &Inputs<'_>, progress: &Progress) -> Report {
    let mut counts = Counts::default();
    progress.stage("looking for stores");
    let found = find::stores(scope, inputs.catalogue, &mut counts, progress);
    progress.stage("looking at stores");
    let mut looker = look::Looker::new(scope, inputs);
    let mut stores = Vec::with_capacity(found.len());
    for file in &found {
        progress.step();
        match looker.look(file) {
            Ok(store) => stores.push(store),
            Err(why) => counts.skip(why),
        }
    }
    let mut findings: Vec<_> =
        stores.iter().flat_map(|store| judge::store(store, inputs.catalogue, inputs.time)).collect();
    findings.sort_by(model::Finding::first);
    progress.done();
    Report {
        time: inputs.time,
        key: inputs.key_kind,
        scope: scope.words.clone(),
        root: (!scope.view.is_machine()).then(|| scope.view.at().to_owned()),
        homes: scope.homes.iter().map(|home| home.path.clone()).collect(),
        stores,
        findings,
        counts,
    }
}
