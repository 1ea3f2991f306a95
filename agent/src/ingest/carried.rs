//! Tokens among what a program was started with: known ones by fingerprint, on the command line others by documented shape;
//! before arguments are redacted and variables are left out.

use serde::{Deserialize, Serialize};

use crate::token::{
    fingerprint::Fingerprint,
    scan::{Hit, NeedleSet},
    shape,
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

/// A text on a command line that is built like a token, and that no known one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shaped {
    /// Id of its shape ([`shape::named`]).
    pub shape: String,
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

/// The texts on a command line that are built like tokens, at most [`MOST`], of each shape the first; without the arguments
/// that hold a token which is known. A shape must have held to its checksum, or have a beginning that says it all.
pub(super) fn find_shaped(args: &[u8], known: &[Carried]) -> Vec<Shaped> {
    let mut found: Vec<Shaped> = Vec::new();
    for token in shape::find(args).filter(|token| token.shape.is_telling() || token.checked) {
        let before = args.get(..token.range.start).unwrap_or_default();
        let number = before.iter().filter(|byte| **byte == 0).count();
        let place = Place::Argument(u16::try_from(number).unwrap_or(u16::MAX));
        let told =
            known.iter().any(|known| known.place == place) || found.iter().any(|found| found.shape == token.shape.id);
        if !told && found.len() < MOST {
            found.push(Shaped { shape: token.shape.id.to_owned(), place });
        }
    }
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
    fn what_is_built_like_a_token_is_told_by_its_shape() {
        let fixed = shape::named("github-classic").unwrap().made_up(1).unwrap();
        let broken: String = fixed.chars().rev().collect::<String>().replacen(char::is_alphanumeric, "-", 1);
        let broken: String = broken.chars().rev().collect();
        let args = format!("curl\0-H\0Authorization: token {fixed}\0https://localhost\0{fixed}\0");
        let found = find_shaped(args.as_bytes(), &[]);
        assert_eq!(found, [Shaped { shape: "github-classic".into(), place: Place::Argument(2) }]);
        let known = Key::new([3; 32]).fingerprint_of(fixed.as_bytes());
        let known = [2, 4].map(|number| Carried { fingerprint: known, place: Place::Argument(number) });
        assert_eq!(find_shaped(args.as_bytes(), &known), [], "it is told as what it is");
        for twin in [
            format!("curl\0{broken}\0"),
            "echo\0ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\0".to_owned(),
            "aws\0configure\0AKIA5GJ3Q2XHT4KWPZ7N\0".to_owned(),
            "git\0checkout\0d670460b4b4aece5915caf5c68d12f560a9fe3e4\0".to_owned(),
        ] {
            assert_eq!(find_shaped(twin.as_bytes(), &[]), [], "{twin}");
        }
    }

    #[test]
    fn a_huge_environment_is_passed_over_in_one_go() {
        let (_, set) = known();
        let mut environment = vec![b'x'; 2 << 20];
        environment.extend_from_slice(format!("\0GH_TOKEN={TOKEN}\0").as_bytes());
        assert_eq!(find(&set, b"", &environment).len(), 1);
        let many = format!("A={TOKEN}\0").repeat(1000);
        assert_eq!(find(&set, b"", many.as_bytes()).len(), 1, "each once");
    }

    #[test]
    fn other_words_are_none() {
        let (_, set) = known();
        let args = format!("curl\0-H\0Authorization: token {}\0", TOKEN.replace('q', "r"));
        assert_eq!(find(&set, args.as_bytes(), b"GH_TOKEN=\0"), []);
    }
}
