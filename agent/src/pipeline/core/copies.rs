//! Copies of tokens: which files are to be looked into, and what was found in them.

mod innocent;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokenhound_common::process::ProcessKey;

use super::{Core, Output, Scope, World, deliver, judge};
use crate::{
    catalogue::model::Holds,
    copies::{
        model::{Candidate, Copy, Looked, Outcome, Scanned, Skipped, Why},
        place,
    },
    detect::{
        access::{Access, Copied, Target},
        engine,
        judge::{Expectation, Judgement, StoreFacts},
        lifecycle::report::Moment,
        recent::Recent,
        sensor_degraded::Degradation,
    },
    ingest::observation::KernelTime,
    token::{fingerprint::Fingerprint, model::Known},
};

/// Most tokens of which it is remembered where they lay.
const TOKENS: usize = 16_384;

/// Most places that are remembered of one token.
const PLACES: usize = 8;

/// Most files that are named which were not looked into.
const NAMED: usize = 5;

/// Where tokens belong, and what was not looked into.
#[derive(Debug)]
pub(super) struct Copies {
    /// Store and file of each token, also of those that lie there no more.
    places: Recent<Fingerprint, Vec<Home>>,
    missed: BTreeMap<Skipped, Missed>,
}

/// Where a token belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    store: String,
    path: PathBuf,
}

/// Files that were not looked into for one reason.
#[derive(Clone, Debug, Default)]
struct Missed {
    total: u64,
    /// Some of those that were not told yet.
    names: Vec<PathBuf>,
}

impl Default for Copies {
    fn default() -> Self {
        Self { places: Recent::new(TOKENS), missed: BTreeMap::new() }
    }
}

impl Copies {
    /// These tokens lie in stores.
    pub(super) fn learn<'k>(&mut self, time: KernelTime, tokens: impl Iterator<Item = &'k Known>) {
        for known in tokens {
            let home = Home { store: known.store.clone(), path: known.path.clone() };
            let places = self.places.touch(&known.fingerprint, time, Vec::new);
            if !places.contains(&home) {
                if places.len() >= PLACES {
                    places.remove(0);
                }
                places.push(home);
            }
        }
    }

    fn of(&self, fingerprint: Fingerprint) -> &[Home] {
        self.places.get(&fingerprint).map_or(&[], Vec::as_slice)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.places.evicted()
    }
}

impl Core {
    /// A file was written that may hold a token: it is to be looked into.
    pub fn wrote(&mut self, candidate: Candidate, out: &mut dyn FnMut(Output)) {
        let home = self.home_of(&candidate.path).map(Path::to_owned);
        out(Output::Scan(Box::new(Candidate { home, ..candidate })));
    }

    /// The home that a path lies in.
    fn home_of<'a>(&'a self, path: &'a Path) -> Option<&'a Path> {
        self.processes.homes().split(path).map(|(home, _)| home).last()
    }

    /// It was looked into.
    pub(super) fn scanned(&mut self, scanned: &Scanned, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let looked = match &scanned.outcome {
            Outcome::Looked(looked) => looked,
            Outcome::Skipped(why) => return self.missed(*why, &scanned.candidate.path),
        };
        let path = looked.moved.as_ref().unwrap_or(&scanned.candidate.path);
        // By now it may be known what is mounted where.
        let outside = self.through_root(scanned.candidate.writer, path);
        let path = outside.as_ref().unwrap_or(path);
        if let (Some(_), Some(file)) = (&looked.moved, scanned.candidate.file) {
            self.may_be_store(path, file, scanned.candidate.writer, out);
        }
        if let Some(why) = looked.unseen {
            self.missed(why, path);
        }
        // An empty file is about to be written anew.
        if !looked.appended && looked.unseen.is_none() && looked.place.size > 0 {
            let tokens: Vec<_> = looked.copies.iter().map(|copy| copy.fingerprint).collect();
            self.engine.holds(path, &tokens);
            // Before the look began: it went by the tokens of then.
            self.note_look(path, &tokens, scanned.candidate.time, out);
        }
        let found: Vec<(Copy, Vec<Home>)> = looked
            .copies
            .iter()
            .map(|copy| (copy.clone(), self.copies.of(copy.fingerprint).to_vec()))
            .filter(|(_, homes)| !homes.is_empty() && homes.iter().all(|home| home.path != *path))
            .collect();
        if found.is_empty() {
            return;
        }
        // On its way to a store's name? Then it has that name in a moment.
        if !scanned.candidate.again && found.iter().all(|(_, homes)| innocent::passes_by(path, homes)) {
            let again = Candidate { again: true, ..scanned.candidate.clone() };
            return out(Output::Scan(Box::new(again)));
        }
        self.copied(scanned, looked, path, found, world, out);
    }

    fn copied(
        &mut self,
        scanned: &Scanned,
        looked: &Looked,
        path: &Path,
        found: Vec<(Copy, Vec<Home>)>,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        let (writer, time) = self.writer(scanned);
        let is_known = self.processes.get(writer).is_some();
        let target = self.target_of(scanned, looked, path, &found, writer);
        let Some(mut access) = self.access(writer, time, target.clone(), world) else {
            if !is_known && self.scope == Scope::Host {
                if let Target::Copy { copied, .. } = &target {
                    self.note_copies(scanned, copied, writer, out);
                }
                self.copied_by_nobody(target, time, world, out);
            }
            return;
        };
        let found = self.foreign(path, found, &access);
        if found.is_empty() {
            return;
        }
        access.target = self.target_of(scanned, looked, path, &found, writer);
        let Target::Copy { copied, .. } = &access.target else { return };
        let copied = copied.clone();
        self.note_copies(scanned, &copied, writer, out);
        let Target::Copy { stores, copied } = &access.target else { return };
        let why = format!("{} is no store of it", path.display());
        let unexpected = |store: StoreFacts| Judgement {
            store,
            expectation: Expectation::Unexpected { why: vec![why.clone()], weak: false },
        };
        let judgements = self.facts_of(stores, copied).into_iter().map(unexpected).collect();
        // That the policy expects a reader of a store does not expect it to put the token elsewhere: only exceptions count.
        let Some(judgements) = judge::apply(&self.policy, &access, judgements, false) else { return };
        let outcome = self.engine.access(&access, &judgements);
        deliver(outcome, world, out);
    }

    /// A copy of which nobody knows who made it.
    fn copied_by_nobody(
        &mut self,
        target: Target,
        time: KernelTime,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        let Target::Copy { stores, copied } = target else { return };
        let stores = self.facts_of(&stores, &copied);
        let moment = Moment { time, wall: self.clock.wall(time) };
        let findings = self.engine.copied(&copied, &stores, moment).into_iter().collect();
        deliver(engine::Outcome { findings, verdicts: Vec::new() }, world, out);
    }

    /// Who wrote it, and when: of several the one that had read a store itself.
    fn writer(&self, scanned: &Scanned) -> (ProcessKey, KernelTime) {
        let Candidate { writer, time, why, .. } = &scanned.candidate;
        let carrier = match why {
            Why::Marked { carrier } | Why::Named { carrier } => Some(*carrier),
            _ => None,
        };
        let other = scanned.others.iter().find(|other| *writer != other.key && carrier == Some(other.key));
        other.map_or((*writer, *time), |other| (other.key, other.time))
    }

    fn target_of(
        &self,
        scanned: &Scanned,
        looked: &Looked,
        path: &Path,
        found: &[(Copy, Vec<Home>)],
        writer: ProcessKey,
    ) -> Target {
        let mut stores: Vec<String> =
            found.iter().flat_map(|(_, homes)| homes).map(|home| home.store.clone()).collect();
        stores.sort_unstable();
        stores.dedup();
        let in_member = found.iter().all(|(copy, _)| copy.member.is_some());
        let name = |key: ProcessKey| {
            let name =
                self.processes.get(key).map_or_else(|| "a process".to_owned(), |process| process.name().to_owned());
            format!("{name} (pid {})", key.tgid)
        };
        let writers = scanned.others.iter().map(|other| other.key).chain([scanned.candidate.writer]);
        let mut facts = looked.place.clone();
        if facts.layer.is_none() {
            facts.layer = self.containers.storage(path);
        }
        let copied = Copied {
            path: path.to_owned(),
            place: place::class(path, self.home_of(path), &facts, in_member),
            facts,
            copies: found
                .iter()
                .map(|(copy, homes)| (copy.clone(), homes.iter().map(|home| home.path.clone()).collect()))
                .collect(),
            more: looked.more,
            along: found.iter().all(|found| self.goes_along(path, found)),
            beside: found.iter().all(|(_, homes)| innocent::is_beside(path, homes)),
            why: scanned.candidate.why.clone(),
            carrier: match &scanned.candidate.why {
                Why::Marked { carrier } | Why::Named { carrier } if *carrier != writer => Some(name(*carrier)),
                _ => None,
            },
            others: writers.filter(|other| *other != writer).map(name).collect(),
        };
        Target::Copy { stores, copied: Box::new(copied) }
    }

    /// What is to be said of the stores, with the files that the tokens lie in.
    fn facts_of(&self, stores: &[String], copied: &Copied) -> Vec<StoreFacts> {
        let homes = copied.copies.iter().flat_map(|(copy, _)| self.copies.of(copy.fingerprint));
        let paths = |id: &str| {
            let mut paths: Vec<String> =
                homes.clone().filter(|home| home.store == id).map(|home| home.path.display().to_string()).collect();
            paths.dedup();
            paths
        };
        let facts = |id: &String| {
            let store = self.catalogue.store(id)?;
            Some(StoreFacts { paths: paths(id), ..judge::facts(store) })
        };
        let mut all: Vec<StoreFacts> = stores.iter().filter_map(facts).collect();
        all.sort_by(|a, b| (a.tier, &a.id).cmp(&(b.tier, &b.id)));
        all
    }

    /// Did it go along with a project, as a file that holds a token only at times?
    fn goes_along(&self, path: &Path, (copy, places): &(Copy, Vec<Home>)) -> bool {
        let member = copy.member.as_deref().and_then(|member| member.rsplit(": ").next());
        let path = member.map_or(path, Path::new);
        let homes = self.processes.homes();
        let seldom = |home: &Home| {
            self.catalogue
                .store(&home.store)
                .is_some_and(|store| self.catalogue.holds(store, &home.path, homes) == Holds::Perhaps)
        };
        places.iter().any(|home| seldom(home) && innocent::is_along(path, home))
    }

    /// The copies that are none of the writer's business.
    fn foreign(&self, path: &Path, found: Vec<(Copy, Vec<Home>)>, access: &Access) -> Vec<(Copy, Vec<Home>)> {
        let Some(writer) = access.chain.processes.first() else { return found };
        let homes = self.processes.homes();
        let expected = |stores: &[String], at: &Path| {
            let judgements = judge::judge(&self.catalogue, stores, at, homes, writer, access.home.as_deref());
            judgements.iter().any(|judgement| matches!(judgement.expectation, Expectation::Expected { .. }))
        };
        let here = self.catalogue.stores_for(path, homes, self.processes.overrides());
        let here: Vec<String> = here.into_iter().map(|store| store.id.clone()).collect();
        if !here.is_empty() && expected(&here, path) {
            return Vec::new();
        }
        let own = |home: &Home| {
            innocent::is_own_place(path, home, homes) && expected(std::slice::from_ref(&home.store), &home.path)
        };
        found.into_iter().filter(|(_, places)| !places.iter().any(own)).collect()
    }

    /// The store of a token, by where it lies or lay.
    pub(super) fn store_of_token(&self, fingerprint: Fingerprint) -> Option<String> {
        self.copies.of(fingerprint).first().map(|home| home.store.clone())
    }

    /// Something was not looked into.
    pub(super) fn missed(&mut self, why: Skipped, path: &Path) {
        if !why.is_gap() {
            return;
        }
        let missed = self.copies.missed.entry(why).or_default();
        missed.total += 1;
        if missed.names.len() < NAMED {
            missed.names.push(path.to_owned());
        }
    }

    /// Tells what was not looked into, as losses are told.
    pub(super) fn tell_missed(&mut self, time: KernelTime, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        for why in Skipped::ALL {
            let Some(missed) = self.copies.missed.get(&why).filter(|missed| !missed.names.is_empty()) else { continue };
            let (total, files) = (missed.total, missed.names.clone());
            let degradation = Degradation::Unscanned { reason: why.name().to_owned(), total, files };
            if self.degraded(&degradation, time, world, out)
                && let Some(missed) = self.copies.missed.get_mut(&why)
            {
                missed.names.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
