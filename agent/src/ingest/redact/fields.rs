//! Secrets that are given a name in the same argument: assignments, headers, fields of JSON and YAML, and the user part
//! of URLs.

use std::ops::Range;

use super::names::{is_header, is_secret};

/// Longest name looked at before a `=` or `:`.
const NAME_BYTES: usize = 128;
/// Most blanks between a name and its sign.
const BLANKS: usize = 8;

/// Adds the spans of values with a secret's name. `whole` says that an assignment in the first word
/// takes all of the argument (`env NAME='a b'`); code is not like that.
pub(super) fn find(text: &str, whole: bool, spans: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let first_word = bytes.iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len());
    // What is replaced already is not looked at again: that keeps it linear.
    let mut done = 0;
    for (at, sign) in bytes.iter().copied().enumerate() {
        if at < done || !matches!(sign, b'=' | b':') || (at > 0 && matches!(bytes[at - 1], b'=' | b':')) {
            continue;
        }
        let Some(name) = name_before(bytes, at) else { continue };
        if !is_secret(&text[name.clone()]) || is_scope(bytes, at) {
            continue;
        }
        let whole = whole && name.start < first_word;
        let value = Value { bytes, name, sign, after: at + 1, whole };
        let span = value.span(is_header(&text[value.name.clone()]));
        if !span.is_empty() {
            done = span.end;
            spans.push(span);
        }
    }
}

/// `a::b` and `token://`.
fn is_scope(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b':' && (bytes.get(at + 1) == Some(&b':') || bytes[at + 1..].starts_with(b"//"))
}

/// The name that ends before the sign at `at`, through blanks, a closing quote and a bracket.
fn name_before(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let mut end = at;
    let floor = at.saturating_sub(BLANKS);
    while end > floor && matches!(bytes[end - 1], b' ' | b'\t' | b'"' | b'\'' | b'\\' | b']' | b'+' | b'?') {
        end -= 1;
    }
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = bytes[..end].iter().rev().take(NAME_BYTES).take_while(|byte| name(**byte)).count();
    (length > 0).then(|| end - length..end)
}

struct Value<'a> {
    bytes: &'a [u8],
    name: Range<usize>,
    sign: u8,
    after: usize,
    whole: bool,
}

impl Value<'_> {
    fn span(&self, header: bool) -> Range<usize> {
        let bytes = self.bytes;
        let mut start = self.after;
        while bytes.get(start).is_some_and(|byte| matches!(byte, b'=' | b':' | b'>' | b' ' | b'\t')) {
            start += 1;
        }
        if self.whole && self.sign == b'=' {
            return self.after..bytes.len();
        }
        if let Some(span) = self.quoted(start) {
            return span;
        }
        let rest = &bytes[start..];
        let length = if header && self.sign == b':' {
            let quote = self.name.start.checked_sub(1).map(|before| bytes[before]).filter(|byte| is_quote(*byte));
            rest.iter().position(|byte| *byte == b'\n' || Some(*byte) == quote)
        } else {
            rest.iter().position(u8::is_ascii_whitespace)
        };
        start..start + length.unwrap_or(rest.len())
    }

    /// A value in quotes, plain (`"x"`), escaped (`\"x\"`) or with a letter before (`b'x'`, `$'x'`).
    fn quoted(&self, start: usize) -> Option<Range<usize>> {
        let rest = self.bytes.get(start..)?;
        let (open, quote, escaped) = match rest {
            [b'\\', quote, ..] if is_quote(*quote) => (2, *quote, true),
            [quote, ..] if is_quote(*quote) => (1, *quote, false),
            [letter, quote, ..] if is_quote(*quote) && (letter.is_ascii_alphabetic() || *letter == b'$') => {
                (2, *quote, false)
            }
            _ => return None,
        };
        let mut end = start + open;
        let mut backslash = false;
        while let Some(byte) = self.bytes.get(end) {
            end += 1;
            if *byte == quote && backslash == escaped {
                break;
            }
            backslash = *byte == b'\\' && !backslash;
        }
        // `"a"b` is one word to a shell.
        let glued = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b';' | b')' | b'}' | b']' | b'&');
        let more = if self.sign == b'=' { self.bytes[end..].iter().take_while(|byte| glued(byte)).count() } else { 0 };
        Some(start..end + more)
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Adds the spans of passwords in one word: `scheme://user:pass@host` (the user too: it may be a token) and
/// `user:pass@host`.
pub(super) fn find_userinfo(text: &str, word: Range<usize>, spans: &mut Vec<Range<usize>>) {
    let Some(word_text) = text.get(word.clone()) else { return };
    // Nearly no word has one.
    if !word_text.as_bytes().contains(&b':') {
        return;
    }
    let mut schemes = word_text.match_indices("://").map(|(at, _)| at).peekable();
    if schemes.peek().is_none() {
        let Some((first, last)) = word_text.find('@').zip(word_text.rfind('@')) else { return };
        if let Some(colon) = word_text[..first].find(':')
            && colon + 1 < first
        {
            spans.push(word.start + colon + 1..word.start + last);
        }
        return;
    }
    while let Some(at) = schemes.next() {
        let start = at + 3;
        let end = schemes.peek().copied().unwrap_or(word_text.len()).max(start);
        if let Some(length) = userinfo(&word_text[start..end]) {
            spans.push(word.start + start..word.start + start + length);
        }
    }
}

/// Length of the user part of what follows `://`.
fn userinfo(rest: &str) -> Option<usize> {
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    // A password with a slash that nobody encoded.
    let port = authority.split_once(':')?.1;
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    rest.rfind('@')
}
