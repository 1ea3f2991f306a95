//! One pass over the stores of a user, of all users or of an unpacked root: which there are, what tokens they hold, who
//! else can get at them, and where else their tokens lie. Needs nothing of the kernel but files.
//!
//! `scope` (whose files) -> `find` (where stores are) -> `look` (what one holds) -> `judge` (what is wrong with that);
//! then, with fingerprints of everything that was met, `content` (what other files hold) -> `copied` (what is wrong with
//! that) -> `report`. Only `scope`, `find`, `look`, `walk` and `content` touch the disk.

mod content;
mod copied;
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

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use jiff::Timestamp;

use self::{
    model::{Counts, Finding, KeyKind, Report, Skipped, StoreFile},
    progress::Progress,
    scope::Scope,
};
use crate::{
    catalogue::Catalogue,
    policy::Policy,
    posture::{Expected, gather::Gatherer},
    token::{
        fingerprint::{Fingerprint, Key},
        model::Known,
        scan::NeedleSet,
    },
};

/// What an audit needs besides the files.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The stores.
    pub catalogue: &'a Catalogue,
    /// How old tokens may get.
    pub policy: &'a Policy,
    /// What fingerprints are made with.
    pub key: &'a Key,
    /// Whether that is the machine's.
    pub key_kind: KeyKind,
    /// Now.
    pub time: Timestamp,
    /// Also look for tokens outside stores.
    pub content: bool,
    /// Planted decoys, which are not touched: whoever reads one makes a finding.
    pub decoys: &'a HashSet<PathBuf>,
}

/// Looks at everything in a scope.
#[must_use]
pub fn audit(scope: &Scope, inputs: &Inputs<'_>, progress: &Progress) -> (Report, NeedleSet) {
    let mut counts = Counts::default();
    progress.stage("looking for stores");
    let found = find::stores(scope, inputs.catalogue, &mut counts, progress);
    progress.stage("looking at stores");
    let mut looker = look::Looker::new(scope, inputs);
    let mut stores = Vec::with_capacity(found.len());
    for file in &found {
        progress.step();
        if inputs.decoys.contains(&file.path) {
            continue;
        }
        match looker.look(file) {
            Ok(store) => stores.push(store),
            Err(why) => counts.skip(why),
        }
    }
    let (needles, not_searched) = looker.into_needles();
    let rules = judge::Rules { catalogue: inputs.catalogue, policy: inputs.policy, now: inputs.time };
    let mut findings: Vec<_> = stores.iter().flat_map(|store| judge::store(store, rules)).collect();
    if inputs.content {
        progress.stage_of("looking into files", counts.names);
        findings.extend(outside(scope, inputs, &stores, &needles, &mut counts, progress));
    }
    findings.sort_by(Finding::first);
    progress.done();
    let report = Report {
        time: inputs.time,
        key: inputs.key_kind,
        scope: scope.words.clone(),
        root: (!scope.view.is_machine()).then(|| scope.view.at().to_owned()),
        homes: scope.homes.iter().map(|home| home.path.clone()).collect(),
        stores,
        findings,
        not_searched,
        counts,
    };
    (report, needles)
}

/// Tokens in files that are no stores.
fn outside(
    scope: &Scope,
    inputs: &Inputs<'_>,
    stores: &[StoreFile],
    needles: &NeedleSet,
    counts: &mut Counts,
    progress: &Progress,
) -> Vec<Finding> {
    // What is known of a store was told of the store; one that gave nothing is a file like any other.
    let understood = stores.iter().filter(|store| !store.tokens.is_empty());
    let files =
        understood.map(|store| store.facts.leads_to.clone().unwrap_or_else(|| store.facts.path.clone())).collect();
    let mut known: HashMap<Fingerprint, Vec<&Known>> = HashMap::new();
    for token in stores.iter().flat_map(|store| &store.tokens) {
        known.entry(token.fingerprint).or_default().push(token);
    }
    let search = content::Search { scope, key: inputs.key, needles, stores: &files, decoys: inputs.decoys };
    let mut copies = content::search(search, counts, progress);
    copies.sort_by(|a, b| a.path.cmp(&b.path));
    let mut gatherer = Gatherer::new(&scope.view);
    let mut findings = Vec::new();
    for copy in &copies {
        let home = scope.home_of(&copy.path);
        let expected = Expected {
            home: home.map(|home| home.path.clone()),
            owner: home.and_then(|home| home.uid),
            ..Expected::default()
        };
        match gatherer.facts(&copy.path, expected) {
            Ok(facts) => {
                let stores = known.get(&copy.fingerprint).map(Vec::as_slice).unwrap_or_default();
                findings.push(copied::finding(copy, &facts, stores, inputs.catalogue, inputs.time));
            }
            Err(error) => counts.skip(Skipped::from(&error)),
        }
    }
    findings
}
