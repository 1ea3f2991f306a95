//! The forms in which a token is written elsewhere: for each the bytes that every copy in it must contain.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding as Alphabet, HEXLOWER, HEXUPPER};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::choice::{ANCHOR, LONGEST_CORE};

/// How a token was written where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is.
    Raw,
    /// Base64, at any alignment.
    Base64,
    /// Base64 with the alphabet for URLs, where that differs.
    Base64Url,
    /// Base64 of base64.
    Base64Twice,
    /// Hexadecimal digits.
    Hex,
    /// Percent-encoded, as in URLs, where that differs.
    Percent,
    /// With the escapes of JSON, where that differs.
    Json,
    /// Two bytes a character, in either order.
    Utf16,
}

impl Encoding {
    /// Its name in findings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Base64Twice => "base64-twice",
            Self::Hex => "hex",
            Self::Percent => "percent",
            Self::Json => "json",
            Self::Utf16 => "utf16",
        }
    }
}

/// Longest form, in bytes: every byte of a core as `\u00xx`.
pub(super) const LONGEST: usize = 6 * LONGEST_CORE;

/// One form of a core.
pub(super) struct Form {
    pub(super) encoding: Encoding,
    /// What a copy contains.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Where in it its anchor begins. That tells of no byte of the core outside the core's own anchor.
    pub(super) anchor: usize,
}

/// All forms of a core, none twice. `anchor` is where its anchor begins.
pub(super) fn all(core: &[u8], anchor: usize) -> Vec<Form> {
    // Grown once: what a vector leaves behind when it grows is not overwritten.
    let mut forms = Forms(Vec::with_capacity(40));
    forms.add(Encoding::Raw, core, anchor);
    for (alphabet, encoding) in [(BASE64_NOPAD, Encoding::Base64), (BASE64URL_NOPAD, Encoding::Base64Url)] {
        for before in 0..3 {
            let (once, at) = base64(&alphabet, core, anchor, before);
            for outer in 0..3 {
                let (twice, at) = base64(&alphabet, &once, at, outer);
                forms.add(Encoding::Base64Twice, &twice, at);
            }
            forms.add(encoding, &once, at);
        }
    }
    for alphabet in [HEXLOWER, HEXUPPER] {
        let mut text = Zeroizing::new(vec![0; 2 * core.len()]);
        alphabet.encode_mut(core, &mut text);
        forms.add(Encoding::Hex, &text, 2 * anchor);
    }
    for digits in [&LOWER, &UPPER] {
        let percent = |byte: u8, to: &mut Vec<u8>| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                to.push(byte);
            } else {
                to.push(b'%');
                to.extend(hex(byte, digits));
            }
        };
        forms.each(Encoding::Percent, core, anchor, percent);
    }
    for style in [Style::Plain, Style::Slash, Style::Html, Style::HtmlUpper] {
        forms.each(Encoding::Json, core, anchor, |byte, to| style.escape(byte, to));
    }
    let mut wide = Zeroizing::new(Vec::with_capacity(2 * core.len()));
    core.iter().for_each(|byte| wide.extend([*byte, 0]));
    // Without the last zero: then it is the same in both orders of bytes.
    forms.add(Encoding::Utf16, &wide[..2 * core.len() - 1], 2 * anchor);
    forms.0
}

const LOWER: [u8; 16] = *b"0123456789abcdef";
const UPPER: [u8; 16] = *b"0123456789ABCDEF";

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

struct Forms(Vec<Form>);

impl Forms {
    fn add(&mut self, encoding: Encoding, bytes: &[u8], anchor: usize) {
        let fits = anchor + ANCHOR <= bytes.len() && bytes.len() <= LONGEST;
        if fits && !self.0.iter().any(|form| form.bytes.as_slice() == bytes) {
            self.0.push(Form { encoding, bytes: Zeroizing::new(bytes.to_vec()), anchor });
        }
    }

    /// The form in which each byte is written by `write`, at most six bytes for each.
    fn each(&mut self, encoding: Encoding, core: &[u8], anchor: usize, write: impl Fn(u8, &mut Vec<u8>)) {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut at = 0;
        for (number, byte) in core.iter().enumerate() {
            if number == anchor {
                at = bytes.len();
            }
            write(*byte, &mut bytes);
        }
        self.add(encoding, &bytes, at);
    }
}

/// The characters of base64 that `bytes` alone decide when `before` other bytes (0 to 2) come first, and where among them
/// the first that is decided by `anchor` and what follows.
fn base64(alphabet: &Alphabet, bytes: &[u8], anchor: usize, before: usize) -> (Zeroizing<Vec<u8>>, usize) {
    let mut input = Zeroizing::new(vec![0; before]);
    input.reserve_exact(bytes.len());
    input.extend_from_slice(bytes);
    let mut text = Zeroizing::new(vec![0; alphabet.encode_len(input.len())]);
    alphabet.encode_mut(&input, &mut text);
    // A character is six bits.
    let skip = (8 * before).div_ceil(6);
    let end = 8 * input.len() / 6;
    (Zeroizing::new(text[skip..end].to_vec()), (8 * (before + anchor)).div_ceil(6) - skip)
}

/// How writers of JSON differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// What must be escaped.
    Plain,
    /// The slash as well (PHP).
    Slash,
    /// `<`, `>`, `&` as well (Go).
    Html,
    /// Those, `+`, `'` and `"`, in capitals (.NET).
    HtmlUpper,
}

impl Style {
    fn escape(self, byte: u8, to: &mut Vec<u8>) {
        let unicode = match self {
            Self::Plain | Self::Slash => false,
            Self::Html => b"<>&".contains(&byte),
            Self::HtmlUpper => b"<>&+'\"`".contains(&byte),
        };
        let digits = if self == Self::HtmlUpper { &UPPER } else { &LOWER };
        match byte {
            _ if unicode => {
                to.extend(b"\\u00");
                to.extend(hex(byte, digits));
            }
            b'"' | b'\\' => to.extend([b'\\', byte]),
            b'/' if self == Self::Slash => to.extend(b"\\/"),
            b'\n' => to.extend(b"\\n"),
            b'\r' => to.extend(b"\\r"),
            b'\t' => to.extend(b"\\t"),
            0..0x20 => {
                to.extend(b"\\u00");
                to.extend(hex(byte, digits));
            }
            _ => to.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(core: &str, encoding: Encoding) -> Vec<String> {
        let forms = all(core.as_bytes(), 4);
        forms
            .iter()
            .filter(|form| form.encoding == encoding)
            .map(|form| String::from_utf8(form.bytes.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn what_a_token_decides_is_in_every_text_around_it() {
        let core = "k7Q2zX9w4Rp1>?>tok/en+";
        for encode in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
            for before in ["", "a", "ab", "abc", "abcd"] {
                for after in ["", "z", "zz", "zzz"] {
                    let whole = encode.encode(format!("{before}{core}{after}").as_bytes());
                    let twice = encode.encode(format!("{before}{whole}{after}").as_bytes());
                    let once: Vec<_> = [Encoding::Base64, Encoding::Base64Url].map(|e| texts(core, e)).concat();
                    assert!(once.iter().any(|text| whole.contains(text)), "{before} {after}");
                    assert!(texts(core, Encoding::Base64Twice).iter().any(|text| twice.contains(text)));
                }
            }
        }
    }

    #[test]
    fn forms_that_do_not_differ_are_one() {
        for encoding in [Encoding::Percent, Encoding::Json] {
            assert_eq!(texts("k7Q2zX9w4Rp1", encoding), Vec::<String>::new());
        }
        assert_eq!(texts("012345678901", Encoding::Hex).len(), 1);
        assert_eq!(texts("k7Q2zX9w4/p1", Encoding::Percent), ["k7Q2zX9w4%2fp1", "k7Q2zX9w4%2Fp1"]);
        assert_eq!(
            texts("k7Q2zX9w\n/\"<+1", Encoding::Json),
            [
                r#"k7Q2zX9w\n/\"<+1"#,
                r#"k7Q2zX9w\n\/\"<+1"#,
                r#"k7Q2zX9w\n/\"\u003c+1"#,
                r#"k7Q2zX9w\n/\u0022\u003C\u002B1"#,
            ]
        );
        assert_eq!(texts("k7Q2zX9w4Rp1", Encoding::Utf16), ["k\x007\0Q\x002\0z\0X\x009\0w\x004\0R\0p\x001"]);
    }

    #[test]
    fn an_anchor_tells_of_the_cores_anchor_only() {
        let core: Vec<u8> = (0..40).map(|i| b'0' + i).collect();
        for anchor in 0..=core.len() - ANCHOR {
            // What lies outside of the anchor is changed: the form's anchor must stay.
            let mut other = vec![b'~'; core.len()];
            other[anchor..anchor + ANCHOR].copy_from_slice(&core[anchor..anchor + ANCHOR]);
            let anchors = |core: &[u8]| -> Vec<(Encoding, Vec<u8>)> {
                all(core, anchor)
                    .iter()
                    .filter(|form| !matches!(form.encoding, Encoding::Percent | Encoding::Json))
                    .map(|form| (form.encoding, form.bytes[form.anchor..form.anchor + ANCHOR].to_vec()))
                    .collect()
            };
            let others = anchors(&other);
            for own in anchors(&core) {
                assert!(others.contains(&own), "{anchor}: {own:?}");
            }
        }
    }
}
