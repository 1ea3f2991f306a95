//! Replaces secrets in command lines before they leave the decoder.
//!
//! A secret is recognised by what it is (a documented token shape, or random-looking), by its name (assignments, headers,
//! fields), or by what stands before it (`--password`, `Bearer`, `curl -u`). Names stay, values go. Where in doubt the
//! value goes: a git hash, a container id and a long identifier are replaced too. File paths below well-known
//! directories are never taken for random, because scripts are told apart by them; a token with a documented shape is
//! found there as well.
//!
//! What cannot be found: a short password that stands alone, with nothing that says what it is.
//!
//! Every scanner is linear in the length of the argument and total.

use std::{borrow::Cow, ops::Range};

use self::options::{Meaning, Seen};

mod fields;
mod names;
mod options;
mod shapes;
#[cfg(test)]
mod tests;

/// What stands for a secret.
pub const REDACTED: &str = "<redacted>";

/// The arguments with secrets replaced. Invalid UTF-8 becomes U+FFFD.
#[must_use]
pub fn redact(args: Vec<Vec<u8>>) -> Vec<String> {
    list(&args, false)
}

/// The same for arguments that were cut at their end: what the cut left of a last secret cannot be recognised, so the
/// last word goes unless it is a path or an option's name.
#[must_use]
pub fn redact_cut(args: Vec<Vec<u8>>) -> Vec<String> {
    list(&args, true)
}

/// One value that stands alone, such as a variable's: shapes, fields and user parts of URLs.
#[must_use]
pub fn redact_value(value: &str) -> String {
    let mut spans = Vec::new();
    by_content(value, false, &mut spans);
    fields::find(value, false, &mut spans);
    replace(value, spans).into_owned()
}

fn list(args: &[Vec<u8>], cut: bool) -> Vec<String> {
    let mut redacted = Vec::with_capacity(args.len());
    each(args.iter().map(Vec::as_slice), cut, |arg| redacted.push(arg.to_owned()));
    redacted
}

/// [`redact`], or where the line was cut [`redact_cut`], one argument after the other.
pub(super) fn each<'a>(args: impl Iterator<Item = &'a [u8]>, cut: bool, mut out: impl FnMut(&str)) {
    let mut line = Line::default();
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let text = String::from_utf8_lossy(arg);
        out(&line.argument(&text, cut && args.peek().is_none()));
    }
}

/// Where we are on a command line.
#[derive(Default)]
struct Line {
    seen: Seen,
    /// The last word said that the next is a secret.
    pending: bool,
    /// The last argument said that this one is code.
    code: bool,
}

impl Line {
    fn argument<'t>(&mut self, text: &'t str, cut: bool) -> Cow<'t, str> {
        let code = std::mem::replace(&mut self.code, text == "-c" || is_joined_code(text));
        if std::mem::take(&mut self.pending) && !options::is_option(text) && !text.is_empty() {
            return Cow::Borrowed(REDACTED);
        }
        let mut spans = Vec::new();
        by_content(text, cut, &mut spans);
        fields::find(text, !code, &mut spans);
        self.words(text, &mut spans);
        if cut {
            spans.extend(cut_word(text));
        }
        replace(text, spans)
    }

    /// Follows the words of one argument: usually one, many where it is code.
    fn words(&mut self, text: &str, spans: &mut Vec<Range<usize>>) {
        let mut done = 0;
        for word in words(text) {
            let Some(content) = text.get(word.clone()).filter(|_| word.start >= done) else { continue };
            if std::mem::take(&mut self.pending) && !options::is_option(content) {
                done = value_end(text.as_bytes(), &word);
                spans.push(word.start..done);
                continue;
            }
            fields::find_userinfo(text, word.clone(), spans);
            match self.seen.word(content) {
                Meaning::Plain => {}
                Meaning::NextIsSecret => self.pending = true,
                Meaning::SecretFrom(at) => {
                    // An argument of its own is taken whole, with whatever quotes are in it.
                    let whole = word.start == 0 && !text.bytes().any(|byte| byte.is_ascii_whitespace());
                    spans.push(word.start + at..if whole { text.len() } else { word.end });
                }
            }
        }
    }
}

/// What goes of the last word of a line that was cut: the value of an option, the last part of a path, else all of it.
fn cut_word(text: &str) -> Option<Range<usize>> {
    let word = words(text).last().filter(|word| word.end == text.len())?;
    let content = text.get(word.clone())?;
    let start = match content.rfind('=') {
        Some(sign) => sign + 1,
        None if options::is_option(content) => return None,
        None if shapes::is_path(content.as_bytes()) => content.rfind('/').map_or(0, |slash| slash + 1),
        None => 0,
    };
    Some(word.start + start..word.end)
}

/// `-lc`, `-ec`: joined options of a shell that end in `c`.
fn is_joined_code(text: &str) -> bool {
    text.len() <= 6
        && text.ends_with('c')
        && text.strip_prefix('-').is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn by_content(text: &str, cut: bool, spans: &mut Vec<Range<usize>>) {
    shapes::find(text, cut, spans);
    shapes::find_random(text, spans);
    if cut || (text.as_bytes().contains(&b':') && text.contains("://")) {
        for word in words(text) {
            fields::find_userinfo(text, word, spans);
        }
    }
}

/// Words of an argument: what blanks, quotes and the signs of a shell leave.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let is_part = |byte: u8| {
        !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'`' | b';' | b'|' | b'(' | b')' | b'<' | b'>')
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        at += bytes[at..].iter().take_while(|byte| !is_part(**byte)).count();
        let start = at;
        at += bytes[at..].iter().take_while(|byte| is_part(**byte)).count();
        (start < at).then_some(start..at)
    })
}

/// Where the value that begins with `word` ends: at the closing quote if it is quoted, else at the next blank.
fn value_end(bytes: &[u8], word: &Range<usize>) -> usize {
    let before = word.start.checked_sub(1).and_then(|at| bytes.get(at)).copied();
    let quote = before.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let ends = |byte: u8| quote.map_or(byte.is_ascii_whitespace(), |quote| byte == quote);
    word.start + bytes[word.start..].iter().take_while(|byte| !ends(**byte)).count()
}

/// Puts [`REDACTED`] in the place of each span; neighbours become one.
fn replace(text: &str, mut spans: Vec<Range<usize>>) -> Cow<'_, str> {
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_by_key(|span| span.start);
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    let mut open = false;
    for span in spans.into_iter().filter(|span| !span.is_empty()) {
        if span.start > done || (done == 0 && !open) {
            // A span never cuts a character; if one did, nothing of the argument would be shown.
            let Some(kept) = text.get(done..span.start) else { return Cow::Borrowed(REDACTED) };
            result.push_str(kept);
            result.push_str(REDACTED);
        }
        open = true;
        done = done.max(span.end);
    }
    match text.get(done..) {
        Some(rest) => result.push_str(rest),
        None => return Cow::Borrowed(REDACTED),
    }
    Cow::Owned(result)
}
