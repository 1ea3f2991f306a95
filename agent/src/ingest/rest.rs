//! What the record of a program's start had no room for: arguments beyond 2 KiB and variables beyond 4 KiB, looked for in
//! `/proc/PID/cmdline` and `/proc/PID/environ` as long as the process is what it was then.

use std::sync::Arc;

use super::carried::{self, Carried, Shaped};
use crate::token::scan::NeedleSet;

/// Most bytes of a command line that are looked at.
pub const ARGUMENTS: usize = 128 << 10;

/// Most bytes of an environment that are looked at.
pub const ENVIRONMENT: usize = 256 << 10;

/// A text of which a record holds the beginning. The beginning itself is not kept: it may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    len: usize,
    hash: blake3::Hash,
}

impl Begun {
    fn with(bytes: &[u8]) -> Self {
        Self { len: bytes.len(), hash: blake3::hash(bytes) }
    }

    /// Does this text begin so? If not, the process has started another program meanwhile, or written over it.
    #[must_use]
    pub fn is_of(&self, whole: &[u8]) -> bool {
        whole.get(..self.len).is_some_and(|begin| blake3::hash(begin) == self.hash)
    }
}

/// What is to be looked at of a program whose record was cut.
#[derive(Clone)]
pub struct Rest {
    /// Its command line, if that was cut.
    pub arguments: Option<Begun>,
    /// Its environment, if that was cut.
    pub environment: Option<Begun>,
    /// What was found in the record.
    carried: Vec<Carried>,
    shaped: Vec<Shaped>,
    known: Option<Arc<NeedleSet>>,
}

/// What a program was started with, beyond what its record told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// Known tokens.
    pub carried: Vec<Carried>,
    /// What is built like others, on the command line.
    pub shaped: Vec<Shaped>,
}

impl More {
    /// Is it nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.carried.is_empty() && self.shaped.is_empty()
    }
}

impl Rest {
    /// What is left to be looked at of texts that a record holds the beginning of; `None` where they were cut of them. `found` is
    /// what was found in the record. Nothing where nothing could be found in it: an environment is searched for known tokens only.
    pub(super) fn of(
        arguments: Option<&[u8]>,
        environment: Option<&[u8]>,
        (carried, shaped): (&[Carried], &[Shaped]),
        known: Option<&Arc<NeedleSet>>,
    ) -> Option<Self> {
        let environment = environment.filter(|_| known.is_some());
        (arguments.is_some() || environment.is_some()).then(|| Self {
            arguments: arguments.map(Begun::with),
            environment: environment.map(Begun::with),
            carried: carried.to_vec(),
            shaped: shaped.to_vec(),
            known: known.cloned(),
        })
    }

    /// Of texts that begin so.
    #[cfg(test)]
    pub(crate) fn sample(arguments: Option<&[u8]>, environment: Option<&[u8]>) -> Self {
        let begun = |bytes: Option<&[u8]>| bytes.map(Begun::with);
        let (arguments, environment) = (begun(arguments), begun(environment));
        Self { arguments, environment, carried: Vec::new(), shaped: Vec::new(), known: None }
    }

    /// The tokens that are in all of a command line and an environment, and were not in the record. What is not looked at is empty.
    #[must_use]
    pub fn find(&self, arguments: &[u8], environment: &[u8]) -> More {
        let mut carried =
            self.known.as_ref().map(|known| carried::find(known, arguments, environment)).unwrap_or_default();
        let mut shaped = carried::find_shaped(arguments, &carried);
        carried.retain(|found| !self.carried.contains(found));
        shaped.retain(|found| !self.shaped.iter().any(|told| told.shape == found.shape));
        More { carried, shaped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest::carried::Place,
        token::{fingerprint::Key, scan::Needles, secret::Secret},
    };

    const TOKEN: &str = "q7Zk2VbX9mLr4TnW8sPd1HcY6gJf3AeU";

    fn known() -> Arc<NeedleSet> {
        let key = Key::new([3; 32]);
        let needles = Needles::of(&key, &Secret::from(TOKEN.to_owned())).unwrap();
        Arc::new(NeedleSet::new(&key, [&needles]))
    }

    fn places(more: &More) -> Vec<Place> {
        more.carried.iter().map(|carried| carried.place.clone()).collect()
    }

    #[test]
    fn only_what_lies_behind_the_cut_is_news() {
        let (known, padding) = (known(), "x".repeat(10 << 10));
        let arguments = format!("curl\0{TOKEN}\0--data\0{padding}\0-H\0token {TOKEN}\0");
        let environment = format!("PADDING={padding}\0GH_TOKEN={TOKEN}\0");
        let (begin, first) = (&arguments.as_bytes()[..2048], &environment.as_bytes()[..4096]);
        let found = carried::find(&known, begin, first);
        let rest = Rest::of(Some(begin), Some(first), (&found, &[]), Some(&known)).unwrap();
        assert!(rest.arguments.as_ref().unwrap().is_of(arguments.as_bytes()));
        assert!(rest.environment.as_ref().unwrap().is_of(environment.as_bytes()));
        assert!(!rest.arguments.as_ref().unwrap().is_of(environment.as_bytes()), "another text");
        assert!(!rest.arguments.as_ref().unwrap().is_of(b"curl\0"), "it is shorter than it was");
        let more = rest.find(arguments.as_bytes(), environment.as_bytes());
        assert_eq!(places(&more), [Place::Argument(5), Place::Variable("GH_TOKEN".into())]);
        let twin = arguments.replacen(TOKEN, "", 1).replace(TOKEN, &TOKEN.replace('q', "r"));
        assert!(rest.find(twin.as_bytes(), b"GH_TOKEN=\0").is_empty());
    }

    #[test]
    fn a_token_across_the_cut_is_found() {
        let known = known();
        let arguments = format!("curl\0{}{TOKEN}\0", "x".repeat(2048 - 10));
        let rest = Rest::of(Some(&arguments.as_bytes()[..2048]), None, (&[], &[]), Some(&known)).unwrap();
        assert_eq!(places(&rest.find(arguments.as_bytes(), b"")), [Place::Argument(1)]);
    }

    #[test]
    fn nothing_is_left_where_nothing_was_cut_or_could_be_found() {
        assert!(Rest::of(None, None, (&[], &[]), Some(&known())).is_none());
        assert!(Rest::of(None, Some(b"A=b"), (&[], &[]), None).is_none(), "of which no shape is looked for");
        assert!(Rest::of(Some(b"curl"), None, (&[], &[]), None).is_some());
    }
}
