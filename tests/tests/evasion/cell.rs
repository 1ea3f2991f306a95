//! One cell of the table: a technique on a tier.

use std::fmt::{self, Display};

/// What the agent made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was found, with the true reader.
    Yes,
    /// It was not.
    No,
    /// It was found, and somebody else is named.
    WrongReader,
    /// It could not be played.
    Skipped,
}

pub(crate) struct Cell {
    pub(crate) technique: String,
    pub(crate) tier: String,
    pub(crate) seen: Seen,
    pub(crate) expected: bool,
    pub(crate) detail: String,
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = match self.seen {
            Seen::Yes => "seen",
            Seen::No => "unseen",
            Seen::WrongReader => "wrong-reader",
            Seen::Skipped => "skipped",
        };
        let expected = if self.expected { "expected" } else { "unexpected" };
        let detail = self.detail.replace('\n', " ");
        let detail = if detail.is_empty() { "-" } else { detail.trim() };
        write!(f, "CELL {} {} {seen} {expected} {detail}", self.technique, self.tier)
    }
}
