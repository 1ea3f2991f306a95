//! The life of tokens: when each was put where it is and by whom, who has used it, and when the session ended that made it.
//! Pure. What lies in a file comes in as a [`Look`].

pub mod model;
mod origin;
pub(crate) mod report;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

pub use self::model::{Exposed, Exposures, Look, Origin, Session, Told, Tracked, Use};
use self::{model::MOST_USES, origin::Touches};
use super::{access::Access, stale_token};
use crate::lineage::actor::Class;

/// Most tokens that are followed. Beyond, a new one is not, which is counted.
pub const MOST: usize = 16_384;

/// Which token: its file, its store, and where in it.
pub type Place = (PathBuf, String, String);

/// How long a token may do what, by policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long after the end of its session it may stay, in seconds.
    pub session_grace: i64,
    /// How old it may get, in seconds.
    pub stale_after: i64,
}

/// What is to be told of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// It outlived its session, by so many seconds.
    Outlived(Box<Tracked>, i64),
    /// It is stale.
    Stale(Box<Tracked>),
}

/// How old the tokens of a store are, in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAge {
    /// The store.
    pub store: String,
    /// How many there are.
    pub count: i64,
    /// Age of the oldest.
    pub oldest: i64,
    /// Until the first ends, of those that do.
    pub expires: Option<i64>,
}

/// What became of the table, for whoever writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A token is new or has changed.
    Is(Box<Tracked>),
    /// It is not there any more.
    Gone(Place),
    /// That is how others can get at a file now.
    Exposed(PathBuf, Vec<Exposed>),
}

/// Every token that is followed.
#[derive(Debug, Default)]
pub struct Lifecycle {
    tokens: BTreeMap<Place, Tracked>,
    touches: Touches,
    /// Files that were looked at: what is new in one of them was put there since.
    looked: BTreeMap<PathBuf, Vec<Exposed>>,
    /// How others could get at files when that was told, before the agent started. Each until its file is looked at.
    exposed: BTreeMap<PathBuf, Vec<Exposed>>,
    /// Leaders of sessions that tokens wait for, in order.
    leaders: Vec<ProcessKey>,
    /// When the next token may be due; `None`: it has to be worked out.
    next: Option<Timestamp>,
    /// Not taken because there were too many.
    dropped: u64,
}

impl Lifecycle {
    /// Takes in what was told of files before the agent started.
    pub fn restore_exposures(&mut self, exposures: Vec<Exposures>) {
        self.exposed = exposures.into_iter().take(MOST).map(|of| (of.path, of.ways)).collect();
    }

    /// Takes in what was known before the agent started.
    pub fn restore(&mut self, tokens: Vec<Tracked>) {
        for token in tokens.into_iter().take(MOST) {
            self.tokens.insert(place(&token), token);
        }
        self.changed();
    }

    /// The limits or the tokens are others now.
    pub fn changed(&mut self) {
        self.next = None;
        let open = self.tokens.values().filter(|token| token.session_over.is_none());
        let leaders = open.filter_map(|token| Some(token.origin.as_ref()?.session.as_ref()?.leader));
        self.leaders = leaders.collect();
        self.leaders.sort_unstable();
        self.leaders.dedup();
    }

    /// A store was opened: who did is who may have put there what is found next.
    pub fn touched(&mut self, access: &Access, writes: bool) {
        self.touches.note(access, writes);
    }

    /// Takes in what a look found. Returns the changes, and the ways of exposure that are new. A change of those is the last of the
    /// changes: it is written down once they are told.
    pub fn looked(&mut self, look: &Look, now: Timestamp, started: Timestamp) -> (Vec<Change>, Vec<Exposed>) {
        let mut changes = Vec::new();
        let before: Vec<Place> = self.below(&look.path).map(place).collect();
        let is =
            |place: &Place| look.tokens.iter().any(|token| (&token.store, &token.facts.field) == (&place.1, &place.2));
        for place in before.into_iter().filter(|place| !is(place)) {
            self.tokens.remove(&place);
            changes.push(Change::Gone(place));
        }
        // What a file held when it was first seen may be older than the agent.
        let new_file = !self.looked.contains_key(&look.path) && look.written.is_some_and(|written| written >= started);
        for known in &look.tokens {
            let place = (known.path.clone(), known.store.clone(), known.facts.field.clone());
            let written = look.written.unwrap_or(now);
            let same = self.tokens.get(&place).is_some_and(|token| token.known.fingerprint == known.fingerprint);
            if same {
                changes.extend(self.again(&place, known.facts.clone()));
                continue;
            }
            if self.tokens.len() >= MOST && !self.tokens.contains_key(&place) {
                self.dropped += 1;
                continue;
            }
            let seen_before = self.looked.contains_key(&look.path) || new_file;
            let origin = if seen_before { self.touches.origin(&known.store, &known.path, written) } else { None };
            let token = Tracked {
                known: known.clone(),
                since: now,
                written,
                origin,
                session_over: None,
                uses: Vec::new(),
                told: Told::default(),
            };
            changes.push(Change::Is(Box::new(token.clone())));
            self.tokens.insert(place, token);
        }
        if !changes.is_empty() || !self.looked.contains_key(&look.path) {
            self.changed();
        }
        let (before, exposed) = self.exposed(look);
        if before != look.exposures {
            changes.push(Change::Exposed(look.path.clone(), look.exposures.clone()));
        }
        (changes, exposed)
    }

    /// The ways of exposure of before, and which are new.
    fn exposed(&mut self, look: &Look) -> (Vec<Exposed>, Vec<Exposed>) {
        let told = self.exposed.remove(&look.path);
        if look.written.is_none() {
            let before = self.looked.remove(&look.path).or(told);
            return (before.unwrap_or_default(), Vec::new());
        }
        if self.looked.len() >= MOST && !self.looked.contains_key(&look.path) {
            self.dropped += 1;
            return (look.exposures.clone(), Vec::new());
        }
        let before = self.looked.insert(look.path.clone(), look.exposures.clone()).or(told).unwrap_or_default();
        let is_new = |way: &&Exposed| !before.iter().any(|known| known.way == way.way);
        let new = look.exposures.iter().filter(is_new).cloned().collect();
        (before, new)
    }

    /// The same token is still there; what it tells may have changed (a new expiry beside it).
    fn again(&mut self, place: &Place, facts: crate::token::model::Facts) -> Option<Change> {
        let token = self.tokens.get_mut(place)?;
        if token.known.facts == facts {
            return None;
        }
        token.known.facts = facts;
        Some(Change::Is(Box::new(token.clone())))
    }

    /// A store was read. Returns the tokens of a person that `access` makes automation's, and the changes.
    pub fn read(&mut self, access: &Access, path: &Path, now: Timestamp) -> (Vec<Tracked>, Vec<Change>) {
        let (mut reused, mut changes) = (Vec::new(), Vec::new());
        let Some(program) = access.chain.processes.first().map(origin::program) else { return (reused, changes) };
        let (class, places) = (access.actor.class(), self.below(path).map(place).collect::<Vec<_>>());
        for place in places {
            let Some(token) = self.tokens.get_mut(&place) else { continue };
            let known = token.uses.iter_mut().find(|one| one.actor == class && one.program == program);
            if let Some(known) = known {
                known.last = now;
                continue;
            }
            if token.origin.as_ref().is_some_and(|origin| origin.actor == Class::Interactive) && is_automation(class) {
                reused.push(token.clone());
            }
            if token.uses.len() < MOST_USES {
                token.uses.push(Use { actor: class, program: program.clone(), first: now, last: now });
                changes.push(Change::Is(Box::new(token.clone())));
            }
        }
        (reused, changes)
    }

    /// A process has ended. Returns what changed: tokens whose session it led.
    pub fn ended(&mut self, process: ProcessKey, now: Timestamp) -> Vec<Change> {
        if self.leaders.binary_search(&process).is_err() {
            return Vec::new();
        }
        let led = |token: &&mut Tracked| {
            let session = token.origin.as_ref().and_then(|origin| origin.session.as_ref());
            token.session_over.is_none() && session.is_some_and(|session| session.leader == process)
        };
        let end = |token: &mut Tracked| {
            token.session_over = Some(now);
            Change::Is(Box::new(token.clone()))
        };
        let changes = self.tokens.values_mut().filter(led).map(end).collect();
        self.changed();
        changes
    }

    /// Leaders of sessions that tokens wait for: their end has to be looked for where it was not seen.
    #[must_use]
    pub fn leaders(&self) -> &[ProcessKey] {
        &self.leaders
    }

    /// What is to be told at `now`, each once, with the changes.
    pub fn due(&mut self, now: Timestamp, limits: impl Fn(&str) -> Limits) -> (Vec<Due>, Vec<Change>) {
        let (mut due, mut changes) = (Vec::new(), Vec::new());
        if self.next.is_some_and(|next| next > now) {
            return (due, changes);
        }
        let mut next = Timestamp::MAX;
        // What was known before a restart may be gone since: nothing is said of it before its file was looked at.
        let looked = &self.looked;
        for token in self.tokens.values_mut().filter(|token| looked.contains_key(&token.known.path)) {
            let limits = limits(&token.known.store);
            let mut told = token.told;
            match (told.outlived, outlives(token, limits)) {
                (false, Some((at, over))) if at <= now => {
                    told.outlived = true;
                    let since = now.as_second() - over.as_second();
                    // What has ended by itself does not outlive anything.
                    if token.known.facts.expires.is_none_or(|expires| expires > now) {
                        due.push(Due::Outlived(Box::new(token.clone()), since));
                    }
                }
                (false, Some((at, _))) => next = next.min(at),
                _ => {}
            }
            match (told.stale, stale_token::when(token, limits)) {
                (false, Some(at)) if at <= now => {
                    told.stale = true;
                    if token.known.facts.expires.is_none_or(|expires| expires > now) {
                        due.push(Due::Stale(Box::new(token.clone())));
                    }
                }
                (false, Some(at)) => next = next.min(at),
                _ => {}
            }
            if told != token.told {
                token.told = told;
                changes.push(Change::Is(Box::new(token.clone())));
            }
        }
        self.next = Some(next);
        (due, changes)
    }

    /// Age of the oldest token of each store, and time until the first ends. One that has ended counts no more.
    #[must_use]
    pub fn ages(&self, now: Timestamp) -> Vec<TokenAge> {
        let mut ages: BTreeMap<&str, TokenAge> = BTreeMap::new();
        for token in self.tokens.values() {
            let expires = token.known.facts.expires.map(|expires| expires.as_second() - now.as_second());
            if expires.is_some_and(|left| left <= 0) {
                continue;
            }
            let age = now.as_second() - stale_token::born(token).as_second();
            let of = ages.entry(&token.known.store).or_insert_with(|| TokenAge {
                store: token.known.store.clone(),
                count: 0,
                oldest: age,
                expires,
            });
            of.count += 1;
            of.oldest = of.oldest.max(age);
            of.expires = [of.expires, expires].into_iter().flatten().min();
        }
        ages.into_values().collect()
    }

    /// What is known of the tokens in a file.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Tracked> {
        let first = (path.to_owned(), String::new(), String::new());
        self.tokens.range(first..).map(|(_, token)| token).take_while(move |token| token.known.path == path)
    }

    /// Every token.
    pub fn tokens(&self) -> impl Iterator<Item = &Tracked> {
        self.tokens.values()
    }

    /// Tokens and files that found no room, since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.dropped + self.touches.evicted()
    }
}

fn place(token: &Tracked) -> Place {
    (token.known.path.clone(), token.known.store.clone(), token.known.facts.field.clone())
}

/// Does nobody sit in front of it?
const fn is_automation(class: Class) -> bool {
    matches!(class, Class::Automation | Class::CiJob | Class::PackageScript | Class::AiAgent)
}

/// When a token has outlived its session, and when that ended.
fn outlives(token: &Tracked, limits: Limits) -> Option<(Timestamp, Timestamp)> {
    let over = token.session_over?;
    Some((after(over, limits.session_grace), over))
}

/// So many seconds later; the end of time where that is later still.
pub(super) fn after(moment: Timestamp, seconds: i64) -> Timestamp {
    let at = moment.as_second().saturating_add(seconds);
    Timestamp::from_second(at).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
