//! Made-up tokens: right in shape and issued by nobody. For decoys and for tests, which must not hold real ones.

use super::{
    Shape,
    build::{Alphabet, Body, Part},
    check::{self, Check},
};

/// Made-up characters from a seed.
struct Chance(blake3::OutputReader);

impl Chance {
    fn text(&mut self, alphabet: Alphabet, count: usize) -> String {
        let letters: Vec<u8> = (0..=127).filter(|byte| alphabet.has(*byte) && is_plain(alphabet, *byte)).collect();
        let mut bytes = [0; 2];
        let mut next = || {
            self.0.fill(&mut bytes);
            char::from(letters[usize::from(u16::from_le_bytes(bytes)) % letters.len()])
        };
        (0..count).map(|_| next()).collect()
    }

    /// A part, as short as it may be.
    fn part(&mut self, part: Part) -> String {
        match part {
            Part::Some(alphabet, min, _) => self.text(alphabet, min),
            Part::Fixed(texts) => texts.first().copied().unwrap_or_default().to_owned(),
        }
    }
}

/// Hex in one case, base64 without the padding that belongs to its end, and nothing that a dot would end.
fn is_plain(alphabet: Alphabet, byte: u8) -> bool {
    match alphabet {
        Alphabet::Hex => !byte.is_ascii_uppercase(),
        Alphabet::Base64 | Alphabet::Fly => !matches!(byte, b'=' | b','),
        Alphabet::Dotted | Alphabet::Entra => !matches!(byte, b'.' | b'-'),
        _ => true,
    }
}

impl Shape {
    /// A token of this shape from a seed. `None` for JSON web tokens and private keys, which are more than a shape.
    #[must_use]
    pub fn made_up(&self, seed: u64) -> Option<String> {
        let Body::Parts(parts) = self.body else { return None };
        let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 made-up token");
        hasher.update(self.id.as_bytes()).update(&seed.to_le_bytes());
        let mut chance = Chance(hasher.finalize_xof());
        let prefix = self.prefixes.first()?;
        let before = self.before.map(|part| chance.part(part)).unwrap_or_default();
        let mut body: String = parts.iter().map(|part| chance.part(*part)).collect();
        match self.check {
            Check::Crc32Base62 => body = check::with_checksum("", &chance.text(Alphabet::Base62, 30)),
            Check::Grafana => {
                let value = chance.text(Alphabet::Base62, 32);
                body = format!("{value}_{}", check::grafana(format!("{prefix}{value}").as_bytes()));
            }
            Check::Holds(text) => body.replace_range(20..20 + text.len(), text),
            Check::Ends(text) => body.replace_range(body.len() - text.len().., text),
            Check::Random | Check::GitLab => {}
        }
        Some(format!("{before}{prefix}{body}"))
    }
}
