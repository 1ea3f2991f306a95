//! What a technique is.

use tokenhound_tests::evasion::{Declared, Find, Limit, Start};

use crate::{place::Place, stop::Outcome};

/// One way to a store, or beside it.
pub(crate) struct Technique {
    pub(crate) name: &'static str,
    what: &'static str,
    pub(crate) act: fn(&Place) -> Outcome,
    ways: &'static [&'static str],
    object: Option<&'static str>,
    /// Connects to the agent's socket.
    connects: bool,
    start: Start,
    /// Whether it needs a process to look into, which is not its own child.
    pub(crate) victim: bool,
    limits: &'static [Unseen],
    /// The limits depend on who is first.
    sometimes: bool,
}

/// Where it is not seen: tiers, kernels (all where empty) and why.
#[derive(Clone, Copy)]
pub(crate) struct Unseen(
    pub(crate) &'static [&'static str],
    pub(crate) &'static [&'static str],
    pub(crate) &'static str,
);

impl Technique {
    const fn new(name: &'static str, what: &'static str, act: fn(&Place) -> Outcome) -> Self {
        Self {
            name,
            what,
            act,
            ways: &[],
            object: None,
            connects: false,
            start: Start::Now,
            victim: false,
            limits: &[],
            sometimes: false,
        }
    }

    /// Reads the store through a descriptor that the reader opened.
    pub(crate) const fn opens(name: &'static str, what: &'static str, act: fn(&Place) -> Outcome) -> Self {
        Self { ways: &["open"], ..Self::new(name, what, act) }
    }

    /// Looks into another process, which is seen as this object.
    pub(crate) const fn inspects(
        name: &'static str,
        object: &'static str,
        what: &'static str,
        act: fn(&Place) -> Outcome,
    ) -> Self {
        Self { object: Some(object), ..Self::new(name, what, act) }
    }

    /// Connects to the agent's socket in the home.
    pub(crate) const fn connects(name: &'static str, what: &'static str, act: fn(&Place) -> Outcome) -> Self {
        Self { connects: true, ..Self::new(name, what, act) }
    }

    /// Must not be reported.
    pub(crate) const fn innocent(name: &'static str, what: &'static str, act: fn(&Place) -> Outcome) -> Self {
        Self::new(name, what, act)
    }

    /// Comes to the content by one of these ways.
    pub(crate) const fn by(mut self, ways: &'static [&'static str]) -> Self {
        self.ways = ways;
        self
    }

    /// Is seen as an inspection of this object as well.
    pub(crate) const fn and_inspects(mut self, object: &'static str) -> Self {
        self.object = Some(object);
        self
    }

    pub(crate) const fn started(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    pub(crate) const fn with_victim(mut self) -> Self {
        self.victim = true;
        self
    }

    pub(crate) const fn unseen(mut self, limits: &'static [Unseen]) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) const fn sometimes_unseen(mut self, limits: &'static [Unseen]) -> Self {
        self.limits = limits;
        self.sometimes = true;
        self
    }

    pub(crate) fn declared(&self, group: &str) -> Declared {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let reader = (!self.ways.is_empty()).then(|| Find::Reader(owned(self.ways)));
        let inspection = self.object.map(|object| Find::Inspection(object.into()));
        let limit = |Unseen(tiers, kernels, reason): &Unseen| Limit {
            tiers: owned(tiers),
            kernels: owned(kernels),
            sometimes: self.sometimes,
            reason: (*reason).into(),
        };
        Declared {
            name: self.name.into(),
            group: group.into(),
            start: self.start,
            finds: reader.into_iter().chain(inspection).chain(self.connects.then_some(Find::Connection)).collect(),
            limits: self.limits.iter().map(limit).collect(),
            what: self.what.into(),
        }
    }
}
