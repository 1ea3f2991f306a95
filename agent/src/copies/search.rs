//! What one look into a file may cost, and what it has found so far.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Instant,
};

use super::{
    base64,
    model::{Copy, MOST_COPIES, Skipped},
};
use crate::token::{
    fingerprint::Fingerprint,
    scan::{Encoding, Hit, NeedleSet},
};

/// What a look may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most bytes that are read.
    pub(super) size: u64,
    /// Most bytes that packed contents may expand to.
    pub(super) expanded: u64,
    /// When it has to be done.
    pub(super) deadline: Instant,
}

/// A look that goes on.
pub(super) struct Search<'s> {
    /// What is looked for.
    pub(super) set: &'s NeedleSet,
    limits: Limits,
    /// What ends before this was found by an earlier look.
    since: u64,
    found: RefCell<Found>,
    expanded: Cell<u64>,
    stopped: Cell<Option<Skipped>>,
    late: Cell<bool>,
    unseen: Cell<Option<Skipped>>,
}

/// A token, and the member of an archive that it lies in.
type Place = (Fingerprint, Option<Rc<str>>);

#[derive(Default)]
struct Found {
    copies: BTreeMap<Place, Met>,
    more: u64,
}

struct Met {
    encoding: Encoding,
    first: u64,
    times: u64,
}

/// What a look has found in the end.
pub(super) struct Result {
    /// With the offset of the first.
    pub(super) copies: Vec<(Copy, u64)>,
    pub(super) more: u64,
    pub(super) unseen: Option<Skipped>,
}

impl<'s> Search<'s> {
    /// Nothing was found yet. What ends before `since` of the file itself is no news.
    pub(super) fn new(set: &'s NeedleSet, limits: Limits, since: u64) -> Self {
        Self {
            set,
            limits,
            since,
            found: RefCell::default(),
            expanded: Cell::new(0),
            stopped: Cell::new(None),
            late: Cell::new(false),
            unseen: Cell::new(None),
        }
    }

    /// A token lies there.
    pub(super) fn hit(&self, hit: Hit, member: Option<Rc<str>>) {
        if member.is_none() && hit.offset + hit.len as u64 <= self.since {
            return;
        }
        let mut found = self.found.borrow_mut();
        let place = (hit.fingerprint, member);
        if found.copies.len() >= MOST_COPIES && !found.copies.contains_key(&place) {
            found.more += 1;
            return;
        }
        let new = || Met { encoding: hit.encoding, first: hit.offset, times: 0 };
        let met = found.copies.entry(place).or_insert_with(new);
        met.times += 1;
        if hit.offset < met.first {
            (met.first, met.encoding) = (hit.offset, hit.encoding);
        }
    }

    /// Something is not looked into; the look goes on. The most important reason is kept.
    pub(super) fn miss(&self, why: Skipped) {
        let before = self.unseen.get();
        if before.is_none_or(|before| !before.is_gap() && why.is_gap()) {
            self.unseen.set(Some(why));
        }
    }

    /// Why nothing more is unpacked, if so.
    pub(super) fn stopped(&self) -> Option<Skipped> {
        self.stopped.get()
    }

    /// Whether its time is over.
    pub(super) fn is_late(&self) -> bool {
        if !self.late.get() && Instant::now() >= self.limits.deadline {
            self.late.set(true);
            self.stopped.set(Some(Skipped::TimedOut));
        }
        self.late.get()
    }

    /// Bytes that were unpacked so far.
    pub(super) const fn expanded(&self) -> u64 {
        self.expanded.get()
    }

    /// So many bytes were unpacked. `false`: they are too many, or it takes too long, and nothing more is to be unpacked.
    pub(super) fn expand(&self, bytes: usize) -> bool {
        let expanded = self.expanded.get() + bytes as u64;
        self.expanded.set(expanded);
        if expanded > self.limits.expanded && self.stopped.get().is_none() {
            self.stopped.set(Some(Skipped::Expands));
        }
        !self.is_late() && self.stopped.get().is_none()
    }

    /// What was found. A copy in a member of an archive is not told as one of the archive as well. One that the scanner has
    /// seen in base64 is not told again as one in what was decoded.
    pub(super) fn result(self) -> Result {
        let Found { copies, more } = self.found.into_inner();
        let further_in = |(fingerprint, member): &Place| {
            let inside = |other: &str| member.as_deref().is_none_or(|member| is_inside(other, member));
            let mut places = copies.keys().filter(|(of, _)| of == fingerprint);
            places.any(|(_, other)| other.as_deref().is_some_and(|other| inside(other) && !is_decoded(other)))
        };
        let seen = |(fingerprint, member): &Place| {
            let outer = member.as_deref().filter(|member| is_decoded(member)).map(undecoded);
            outer.is_some_and(|outer| copies.contains_key(&(*fingerprint, outer.map(Rc::from))))
        };
        let copies = copies
            .iter()
            .filter(|(place, _)| !further_in(place) && !seen(place))
            .map(|((fingerprint, member), met)| {
                let member = member.as_deref().map(str::to_owned);
                let (encoding, times) = (met.encoding, met.times);
                (Copy { fingerprint: *fingerprint, encoding, times, line: None, member }, met.first)
            })
            .collect();
        Result { copies, more, unseen: self.stopped.get().or(self.unseen.get()) }
    }
}

/// Was the member decoded from base64?
fn is_decoded(member: &str) -> bool {
    member == base64::NAME || member.strip_suffix(base64::NAME).is_some_and(|outer| outer.ends_with(": "))
}

/// What it was decoded from; `None` for the file itself.
fn undecoded(member: &str) -> Option<&str> {
    member.strip_suffix(base64::NAME)?.strip_suffix(": ")
}

/// Is a member one of another member?
fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(": "))
}
