//! Broken, random and hostile content: whatever comes in, nothing panics, and the limits hold.

use super::*;
use crate::{
    catalogue::{model::Format, tests::shipped_catalogue},
    token::extract::samples::tests::{self as samples, Sample},
};

/// A small generator of numbers (xorshift64*), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }
}

/// Pieces that parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"\\",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b"=",
    b"&a ",
    b"*a",
    b"<![CDATA[",
    b"]]>",
    b"<!DOCTYPE a>",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"${A}",
    b"machine ",
    b"password ",
    b"[a]",
    b"- ",
    b"  ",
    b"1e999",
    b"\\ud800",
    b"//",
    b"/*",
    b"#",
    b"-----BEGIN ",
    b"://",
    b"@",
    b"%",
    b"!!binary ",
    b"\x80",
];

fn mutate(bytes: &mut Vec<u8>, others: &[Sample], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(16)).min(bytes.len());
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 if !bytes.is_empty() => {
                let at = at.min(bytes.len() - 1);
                bytes[at] = numbers.next() as u8;
            }
            3 => drop(bytes.splice(at..end, PIECES[numbers.below(PIECES.len())].iter().copied())),
            4 => {
                let other = &others[numbers.below(others.len())].bytes;
                let from = numbers.below(other.len());
                let piece = other[from..(from + 64).min(other.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let piece = bytes[at..end].to_vec();
                for _ in 0..numbers.below(20) {
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
            }
        }
    }
}

fn look(store: &Store, path: &Path, bytes: &[u8], wal: Option<&[u8]>) {
    let found = extract(store, &Content { path, bytes, wal, written: None });
    assert!(found.tokens.len() <= MAX_TOKENS && found.problems.len() <= MAX_PROBLEMS);
    for token in &found.tokens {
        assert!(!token.secret.is_empty() && token.facts.field.chars().count() <= limits::MAX_LABEL);
    }
}

/// Feeds half of a hundred thousand contents, so that two threads share the work.
fn feed(seed: u64) {
    let samples = samples::all();
    let mut numbers = Numbers(seed);
    for _ in 0..50_000 {
        let sample = &samples[numbers.below(samples.len())];
        let mut bytes = sample.bytes.clone();
        if numbers.below(20) == 0 {
            bytes = (0..numbers.below(256)).map(|_| numbers.next() as u8).collect();
        } else {
            mutate(&mut bytes, &samples, &mut numbers);
        }
        let wal: Option<Vec<u8>> =
            bytes.starts_with(b"SQLite").then(|| (0..numbers.below(128)).map(|_| numbers.next() as u8).collect());
        look(shipped_catalogue().store(&sample.store).unwrap(), &sample.path, &bytes, wal.as_deref());
    }
}

#[test]
fn a_hundred_thousand_broken_contents_do_no_harm() {
    feed(0x7468_6f75_6e64);
}

#[test]
fn nor_does_the_other_half() {
    feed(0x686f_756e_6421);
}

#[test]
fn content_that_is_made_to_hurt_does_no_harm() {
    let long = 200_000;
    let mut contents: Vec<Vec<u8>> =
        PIECES.iter().map(|piece| piece.iter().copied().cycle().take(long).collect()).collect();
    for piece in [
        "a.",
        "{\"a\":",
        "[[",
        "<a>",
        "a: [",
        "- - ",
        "a = {b = ",
        "\"\\u0041",
        "x=${A}\n",
        "? ",
        "<a b='",
        "[a.b.c]\n",
    ] {
        contents.push(piece.repeat(long / piece.len()).into_bytes());
    }
    // One store of each format: what matters is the parser.
    let mut formats = std::collections::BTreeSet::new();
    let stores = shipped_catalogue().stores().iter().filter(|store| {
        let parsed = |selector: &Selector| selector.files.is_empty() && selector.format != Format::Mixed;
        store.secret_fields.iter().any(parsed) && formats.insert(store.format.name())
    });
    for store in stores {
        for content in &contents {
            look(store, Path::new("/home/ann/none"), content, Some(content));
        }
    }
    assert!(formats.len() > 8, "{formats:?}");
}
