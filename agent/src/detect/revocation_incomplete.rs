//! `revocation-incomplete`: a token has left its store (a logout, a new token in its place), and copies of it are still there.
//!
//! Only tokens of which a copy is known are told: a process that read a token long ago says little by itself. What ends by
//! itself within a day or so and was replaced by its own tool was rotated, not revoked, and what has ended is no use to anybody.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    judge::StoreFacts,
    lifecycle::{
        Tracked,
        report::{Moment, of_token},
    },
    severity,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{Evidence, Finding, Remediation, Salt},
        visible,
    },
    history::model::Standing,
    ingest::observation::KernelTime,
    token::{fingerprint::Fingerprint, model::Lifetime},
};

/// Most tokens that are followed after they have left. Beyond, the one that left first is given up, which is counted.
const MOST: usize = 4_096;

/// How long a token may be away before it counts as gone: tools write their stores anew in several steps.
const GRACE_NS: u64 = 5_000_000_000;

/// How often what remains is looked at.
const EVERY_NS: u64 = 60_000_000_000;

/// What ends by itself this soon and was replaced was rotated, in seconds.
const SOON: i64 = 26 * 3600;

/// Most copies and processes that a finding names.
const NAMED: usize = 16;

/// What is left of a token outside of its store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Remaining {
    /// The file.
    #[serde(with = "crate::state::path")]
    pub path: PathBuf,
    /// What kind of place that is.
    pub class: String,
    /// What became of it.
    pub state: Standing,
}

/// A token that has left its store, as it is written down: captures and the history hold it in this form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Which, and what was known of it.
    pub token: Tracked,
    /// Another took its place.
    pub replaced: bool,
    /// When it left.
    pub at: Timestamp,
    /// What was told last of what remains.
    pub told: Vec<Remaining>,
}

/// What became of the table, for whoever writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A token has left, or something else was told of it.
    Is(Box<Departed>),
    /// It is followed no more.
    Gone(Fingerprint),
}

/// A token that has left its store.
#[derive(Debug)]
struct Left {
    departed: Departed,
    at: KernelTime,
    /// When it was last asked what remains.
    asked: Option<KernelTime>,
}

/// State of the detector.
#[derive(Debug, Default)]
pub struct RevocationIncomplete {
    left: BTreeMap<Fingerprint, Left>,
    /// Not taken yet by whoever writes them down.
    changes: Vec<Change>,
    dropped: u64,
}

impl RevocationIncomplete {
    /// Takes in what was followed before the agent started, at `time`, the longest away first. What was told is not told again.
    pub fn restore(&mut self, time: KernelTime, departed: Vec<Departed>) {
        let first = departed.len().saturating_sub(MOST);
        for departed in departed.into_iter().skip(first) {
            self.left.insert(departed.token.known.fingerprint, Left { departed, at: time, asked: None });
        }
    }

    /// A token is not where it lay any more, nor anywhere else where tokens belong.
    pub fn left(&mut self, token: Tracked, replaced: bool, at: KernelTime, wall: Timestamp) {
        let fingerprint = token.known.fingerprint;
        if self.left.len() >= MOST
            && let Some(first) =
                self.left.iter().min_by_key(|(_, left)| (left.at, left.departed.at)).map(|(first, _)| *first)
        {
            self.give_up(first);
            self.dropped += 1;
        }
        // The agent may have been killed after it was told, and before it was written down that the token is not there.
        let told = self.left.remove(&fingerprint).map(|before| before.departed.told).unwrap_or_default();
        let departed = Departed { token, replaced, at: wall, told };
        self.changes.push(Change::Is(Box::new(departed.clone())));
        self.left.insert(fingerprint, Left { departed, at, asked: None });
    }

    /// It lies in a store again.
    pub fn back(&mut self, fingerprint: Fingerprint) {
        self.give_up(fingerprint);
    }

    fn give_up(&mut self, fingerprint: Fingerprint) {
        if self.left.remove(&fingerprint).is_some() {
            self.changes.push(Change::Gone(fingerprint));
        }
    }

    /// What is to be written down since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The tokens of which it is to be asked what remains, at `time`.
    pub fn due(&mut self, time: KernelTime, now: Timestamp) -> Vec<Fingerprint> {
        // Of what has ended by itself, or is about to, nothing needs to be cleared away.
        let harmless =
            |(fingerprint, left): (&Fingerprint, &Left)| left.departed.is_harmless(now).then_some(*fingerprint);
        let harmless: Vec<Fingerprint> = self.left.iter().filter_map(harmless).collect();
        harmless.into_iter().for_each(|fingerprint| self.give_up(fingerprint));
        let since = |at: KernelTime| time.0.saturating_sub(at.0);
        let due = |left: &Left| left.asked.map_or(since(left.at) >= GRACE_NS, |asked| since(asked) >= EVERY_NS);
        let due = self.left.iter_mut().filter(|(_, left)| due(left));
        due.map(|(fingerprint, left)| {
            left.asked = Some(time);
            *fingerprint
        })
        .collect()
    }

    /// What remains of a token. Returns the finding if that is another than was told; `holders` are processes that got at the
    /// token and live still, in words. Copies that are known to be gone are not among `remaining`.
    pub(crate) fn remains(
        &mut self,
        salt: &Salt,
        fingerprint: Fingerprint,
        mut remaining: Vec<Remaining>,
        holders: &[String],
        store: &StoreFacts,
        moment: Moment,
    ) -> Option<Finding> {
        let left = self.left.get_mut(&fingerprint)?;
        remaining.retain(|copy| copy.state != Standing::Gone);
        remaining.sort();
        let finding = (remaining != left.departed.told)
            .then(|| finding(salt, &left.departed, &remaining, holders, store, moment));
        if remaining.is_empty() {
            self.give_up(fingerprint);
        } else if finding.is_some() {
            left.departed.told = remaining;
            self.changes.push(Change::Is(Box::new(left.departed.clone())));
        }
        finding
    }

    /// A file was looked into from end to end, and holds these tokens: asks anew for those that were thought to be in it.
    pub fn looked(&mut self, path: &Path) {
        for left in self.left.values_mut().filter(|left| left.departed.told.iter().any(|copy| copy.path == path)) {
            left.asked = None;
        }
    }

    /// Where the token lay, if it is followed.
    #[must_use]
    pub fn token(&self, fingerprint: Fingerprint) -> Option<&Tracked> {
        self.left.get(&fingerprint).map(|left| &left.departed.token)
    }

    /// Tokens given up because there were too many, since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.dropped
    }
}

impl Departed {
    fn is_harmless(&self, now: Timestamp) -> bool {
        let facts = &self.token.known.facts;
        let soon = |expires: Timestamp| expires.as_second() - now.as_second() <= SOON;
        let ended = facts.expires.is_some_and(|expires| expires <= now);
        let rotated = self.replaced && (facts.lifetime == Lifetime::Ephemeral || facts.expires.is_some_and(soon));
        ended || rotated
    }
}

fn finding(
    salt: &Salt,
    left: &Departed,
    remaining: &[Remaining],
    holders: &[String],
    store: &StoreFacts,
    moment: Moment,
) -> Finding {
    let (token, path) = (&left.token, visible::path(&left.token.known.path));
    let how = if left.replaced { "was replaced in" } else { "was taken out of" };
    let headline = match remaining {
        [] => format!("Nothing is left of the token that {how} {path} ({}): its copies are gone", store.id),
        [one] => {
            format!("A token {how} {path} ({}), and a copy of it is still in {}", store.id, visible::path(&one.path))
        }
        many => format!("A token {how} {path} ({}), and {} copies of it are still there", store.id, many.len()),
    };
    let assessment = severity::token::incomplete(&token.known.facts, store, remaining.is_empty());
    let mut finding = of_token(salt, DetectorId::RevocationIncomplete, token, store, moment, assessment, headline);
    for copy in remaining.iter().take(NAMED) {
        let state = match copy.state {
            Standing::Present => "is as it was when the token was found in it",
            Standing::Changed | Standing::Gone => "was changed since, and may hold it still",
        };
        let text = format!("{} ({}) {state}", visible::path(&copy.path), copy.class);
        finding.evidence.push(Evidence::new("copy.path", text));
    }
    if let Some(more) = remaining.len().checked_sub(NAMED).filter(|more| *more > 0) {
        finding.evidence.push(Evidence::new("copy.more", format!("and {more} more files")));
    }
    for holder in holders.iter().take(NAMED).filter(|_| !remaining.is_empty()) {
        finding.evidence.push(Evidence::new("holder.process", format!("{holder} got at it and still runs")));
    }
    if remaining.is_empty() {
        finding.remediation = Remediation { steps: vec!["Nothing is left to do.".to_owned()], commands: Vec::new() };
    }
    finding
}

#[cfg(test)]
pub(crate) mod tests;
