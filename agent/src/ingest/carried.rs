//! Known tokens among what a program was started with: found by fingerprint, before arguments are redacted and variables are
//! left out.

use serde::{Deserialize, Serialize};

use crate::token::{
    fingerprint::Fingerprint,
    scan::{Hit, NeedleSet},
};

/// Most tokens that are told of one program.
pub const MOST: usize = 8;

/// A token that a program was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub place: Place,
}

/// Where a token stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// On the command line: the number of the argument, the program's own name being 0.
    Argument(u16),
    /// In a variable.
    Variable(String),
}

impl Place {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Argument(number) => format!("argument {number} of its command line"),
            Self::Variable(name) => format!("its variable {name}"),
        }
    }
}

/// The tokens among texts that are each closed by NUL, at most [`MOST`], each once.
pub(super) fn find(known: &NeedleSet, args: &[u8], environment: &[u8]) -> Vec<Carried> {
    let mut found: Vec<Carried> = Vec::new();
    let mut note = |fingerprint, place| {
        let carried = Carried { fingerprint, place };
        if found.len() < MOST && !found.contains(&carried) {
            found.push(carried);
        }
    };
    known.search(args, &mut |hit: Hit| {
        let before = args.get(..offset(&hit)).unwrap_or_default();
        let number = before.iter().filter(|byte| **byte == 0).count();
        note(hit.fingerprint, Place::Argument(u16::try_from(number).unwrap_or(u16::MAX)));
    });
    known.search(environment, &mut |hit: Hit| {
        let begin = environment.get(..offset(&hit)).unwrap_or_default();
        let begin = begin.iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
        let entry = environment.get(begin..).unwrap_or_default();
        let name = entry.split(|byte| matches!(byte, b'=' | 0)).next().unwrap_or_default();
        note(hit.fingerprint, Place::Variable(String::from_utf8_lossy(name).into_owned()));
    });
    found
}

fn offset(hit: &Hit) -> usize {
    usize::try_from(hit.offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{fingerprint::Key, scan::Needles, secret::Secret};

    const TOKEN: &str = "q7Zk2VbX9mLr4TnW8sPd1HcY6gJf3AeU";

    fn known() -> (Key, NeedleSet) {
        let key = Key::new([3; 32]);
        let needles = Needles::of(&key, &Secret::from(TOKEN.to_owned())).unwrap();
        let set = NeedleSet::new(&key, [&needles]);
        (key, set)
    }

    #[test]
    fn it_is_found_where_it_stands() {
        let (key, set) = known();
        let fingerprint = key.fingerprint_of(TOKEN.as_bytes());
        let args = format!("curl\0-H\0Authorization: token {TOKEN}\0https://localhost\0{TOKEN}\0");
        let environment = format!("HOME=/root\0GH_TOKEN={TOKEN}\0LAST=x");
        let found = find(&set, args.as_bytes(), environment.as_bytes());
        let places: Vec<_> = found.iter().map(|carried| carried.place.clone()).collect();
        assert_eq!(places, [Place::Argument(2), Place::Argument(4), Place::Variable("GH_TOKEN".into())]);
        assert!(found.iter().all(|carried| carried.fingerprint == fingerprint));
    }

    #[test]
    fn other_words_are_none() {
        let (_, set) = known();
        let args = format!("curl\0-H\0Authorization: token {}\0", TOKEN.replace('q', "r"));
        assert_eq!(find(&set, args.as_bytes(), b"GH_TOKEN=\0"), []);
    }
}
