//! Text that is base64 and nothing else (RFC 4648, both alphabets, line breaks anywhere). The scanner knows tokens in base64 by
//! themselves; here whatever is written so is decoded: base64 of base64 of a whole file, of an archive, of what is compressed.

use zeroize::Zeroizing;

use super::{layer::Layer, search::Search};

/// The name of what is decoded.
pub(super) const NAME: &str = "base64";

/// Shortest beginning by which it is told. Many a word is base64 as well, and too short to hold a token.
const SHORTEST: usize = 16;

/// Bytes that are decoded before they are handed on.
const PIECE: usize = 4096;

/// Base64, while it is decoded.
pub(super) struct Base64<'s> {
    layer: Layer<'s>,
    /// Bits that are no byte yet, and how many.
    bits: u32,
    count: u8,
    out: Zeroizing<Vec<u8>>,
    over: bool,
}

/// What a character stands for.
enum Digit {
    Value(u32),
    /// A line break, or what fills up the end.
    Nothing,
    Foreign,
}

const fn digit(byte: u8) -> Digit {
    Digit::Value(match byte {
        b'A'..=b'Z' => (byte - b'A') as u32,
        b'a'..=b'z' => (byte - b'a') as u32 + 26,
        b'0'..=b'9' => (byte - b'0') as u32 + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        b'\n' | b'\r' | b'=' | b' ' | b'\t' => return Digit::Nothing,
        _ => return Digit::Foreign,
    })
}

impl<'s> Base64<'s> {
    /// Could it be? `whole`: there is no more than this.
    pub(super) fn is(head: &[u8], whole: bool) -> bool {
        // A file that was made longer has zeros behind it.
        let text = head.iter().position(|byte| *byte == 0).unwrap_or(head.len());
        let (whole, head) = (whole || text < head.len(), &head[..text]);
        // Words have blanks between them; a line of base64 has none.
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let digits = |byte: &&u8| matches!(digit(**byte), Digit::Value(_));
        head.len() >= SHORTEST
            && line.trim_ascii().iter().all(|byte| digits(&byte) || *byte == b'=')
            && (whole || line.len() >= SHORTEST)
            && !head.iter().any(|byte| matches!(digit(*byte), Digit::Foreign))
    }

    pub(super) fn new(layer: Layer<'s>) -> Self {
        Self { layer, bits: 0, count: 0, out: Zeroizing::new(Vec::with_capacity(PIECE + 4)), over: false }
    }

    /// Takes the next bytes. The first that belongs to no alphabet ends it.
    pub(super) fn feed(&mut self, bytes: &[u8], search: &Search<'_>) {
        for byte in bytes {
            if self.over {
                return;
            }
            match digit(*byte) {
                Digit::Value(value) => self.push(value),
                Digit::Nothing => {}
                Digit::Foreign => self.over = true,
            }
        }
        self.over |= search.stopped().is_some();
    }

    fn push(&mut self, value: u32) {
        self.bits = self.bits << 6 | value;
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            self.out.push((self.bits >> self.count) as u8);
            self.bits &= (1 << self.count) - 1;
        }
        if self.out.len() >= PIECE {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.over |= !self.layer.unpacked(&self.out);
        self.out.clear();
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.hand_on();
        self.layer.finish();
    }
}
