//! How rows of the tables are written, and how a token's parts are matched.

use super::{Issuer, Loose, Shape, check::Check};
use crate::{
    catalogue::model::Kind,
    token::model::{Lifetime, Subject},
};

/// Which characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `0-9`.
    Digits,
    /// `0-9a-f`, one case or the other.
    Hex,
    /// `A-Za-z`.
    Letters,
    /// `A-Z2-7`.
    Base32,
    /// `A-Z0-9`.
    Upper,
    /// `a-z0-9`.
    Lower,
    /// `A-Za-z0-9`.
    Base62,
    /// [`Self::Base62`] with `-` and `_`.
    Url,
    /// [`Self::Url`] with `.`.
    Dotted,
    /// [`Self::Base62`] with `+`, `/` and `=`.
    Base64,
    /// [`Self::Dotted`] with `~`.
    Entra,
    /// [`Self::Base64`] and [`Self::Url`] with `,`.
    Fly,
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Self::Digits => byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Letters => byte.is_ascii_alphabetic(),
            Self::Base32 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::Base62 => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Entra => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'),
            Self::Fly => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/' | b'=' | b','),
        }
    }

    /// Bits that a random character of it has.
    pub(super) const fn bits(self) -> f64 {
        match self {
            Self::Digits => 3.3,
            Self::Hex => 4.0,
            Self::Base32 => 5.0,
            Self::Upper | Self::Lower => 5.1,
            Self::Letters => 5.7,
            _ => 6.0,
        }
    }
}

/// One part of a token: so many characters of an alphabet, or fixed ones.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// As many as there are, within bounds.
    Some(Alphabet, usize, usize),
    /// One of these texts.
    Fixed(&'static [&'static str]),
}

/// Exactly so many characters.
pub(super) const fn exact(alphabet: Alphabet, count: usize) -> Part {
    Part::Some(alphabet, count, count)
}

/// From so many to so many characters.
pub(super) const fn some(alphabet: Alphabet, min: usize, max: usize) -> Part {
    Part::Some(alphabet, min, max)
}

/// One of these texts; of two that begin alike the longer first.
pub(super) const fn fixed(texts: &'static [&'static str]) -> Part {
    Part::Fixed(texts)
}

/// What follows a prefix.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// These parts, one after the other.
    Parts(&'static [Part]),
    /// The rest of a JSON web token.
    Jwt,
    /// The rest of a private key.
    Key,
}

impl Part {
    /// Bytes that it takes of the text, as many as it can.
    fn taken(self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Some(alphabet, min, max) => {
                let count = text.iter().take(max).take_while(|byte| alphabet.has(**byte)).count();
                // A dot at the end ends a sentence.
                let dots = text[..count].iter().rev().take_while(|byte| **byte == b'.').count();
                (count - dots >= min).then_some(count - dots)
            }
            Self::Fixed(texts) => {
                texts.iter().find(|fixed| text.starts_with(fixed.as_bytes())).map(|fixed| fixed.len())
            }
        }
    }

    const fn alphabet(self) -> Alphabet {
        match self {
            Self::Some(alphabet, ..) => alphabet,
            Self::Fixed(_) => Alphabet::Base62,
        }
    }
}

/// How the parts lie in a text: bytes that they take together, and the random part: the longest.
pub(super) struct Laid {
    pub len: usize,
    pub random: std::ops::Range<usize>,
    pub alphabet: Alphabet,
}

/// Lays the parts over the beginning of a text. `None` if they do not fit or the text goes on as a word does.
pub(super) fn lay(parts: &[Part], text: &[u8]) -> Option<Laid> {
    let mut laid = Laid { len: 0, random: 0..0, alphabet: Alphabet::Base62 };
    for part in parts {
        let count = part.taken(text.get(laid.len..)?)?;
        if matches!(part, Part::Some(..)) && count > laid.random.len() {
            laid.random = laid.len..laid.len + count;
            laid.alphabet = part.alphabet();
        }
        laid.len += count;
    }
    let last = parts.last().map_or(Alphabet::Base62, |part| part.alphabet());
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || (last.has(*byte) && *byte != b'.');
    (!text.get(laid.len).is_some_and(goes_on)).then_some(laid)
}

impl Shape {
    /// A row: an API key of a person or machine that lives until it is revoked, unless said otherwise.
    pub(super) const fn new(
        id: &'static str,
        issuer: &'static Issuer,
        what: &'static str,
        prefixes: &'static [&'static str],
        parts: &'static [Part],
    ) -> Self {
        Self {
            id,
            what,
            issuer,
            kind: Kind::ApiKey,
            lifetime: Lifetime::LongLived,
            subject: Subject::Unknown,
            prefixes,
            before: None,
            body: Body::Parts(parts),
            check: Check::Random,
            loose: Loose::Anywhere,
        }
    }

    pub(super) const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub(super) const fn lives(self, lifetime: Lifetime) -> Self {
        Self { lifetime, ..self }
    }

    /// It stands for a machine.
    pub(super) const fn machine(self) -> Self {
        Self { subject: Subject::Machine, ..self }
    }

    /// It stands for a person.
    pub(super) const fn person(self) -> Self {
        Self { subject: Subject::Person, ..self }
    }

    pub(super) const fn before(self, part: Part) -> Self {
        Self { before: Some(part), ..self }
    }

    pub(super) const fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    pub(super) const fn check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    pub(super) const fn loose(self, loose: Loose) -> Self {
        Self { loose, ..self }
    }
}
