//! Makes attacker-chosen names safe to show. File names and arguments reach terminals and other people's tools: an
//! escape sequence in one could rewrite what was printed before, a bidirectional mark could turn a path around.

use std::{ffi::OsStr, fmt::Write, path::Path};

/// `text` with every control, bidirectional, invisible and separator character written as an escape (`\x1b`,
/// `\u{202e}`). Applying it twice changes nothing more.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push(&mut out, text);
    out
}

/// As [`text`], for a path. Bytes that are not UTF-8 are written as `\xNN`.
#[must_use]
pub fn path(path: &Path) -> String {
    os(path.as_os_str())
}

/// As [`path`], for any string of the operating system.
#[must_use]
pub fn os(string: &OsStr) -> String {
    let mut out = String::with_capacity(string.len());
    for chunk in string.as_encoded_bytes().utf8_chunks() {
        push(&mut out, chunk.valid());
        push_bytes(&mut out, chunk.invalid());
    }
    out
}

/// A path as JSON carries it: characters as they are (JSON escapes what it must), bytes that are not UTF-8 as `\xNN`.
#[must_use]
pub fn lossless(path: &Path) -> String {
    let mut out = String::with_capacity(path.as_os_str().len());
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        out.push_str(chunk.valid());
        push_bytes(&mut out, chunk.invalid());
    }
    out
}

/// `text` with every line made one that no CI system takes for a command. To be applied last, to whole lines: names may
/// come to the start of one when they are wrapped.
///
/// The runner of GitHub (and those after its kind) takes a line for a command that starts with `::`, spaces aside, or
/// holds `##[` anywhere; Azure's agent one that holds `##vso[`; TeamCity's one with `##teamcity[`.
#[must_use]
pub fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let command = line.trim_start();
        out.push_str(&line[..line.len() - command.len()]);
        match command.strip_prefix(':') {
            Some(rest) if rest.starts_with(':') => {
                out.push_str("\\x3a");
                out.push_str(&rest.replace("##", "#\\x23"));
            }
            _ => out.push_str(&command.replace("##", "#\\x23")),
        }
    }
    out
}

fn push(out: &mut String, text: &str) {
    for character in text.chars() {
        let code = u32::from(character);
        if !hidden(character) {
            out.push(character);
        } else if code < 0x100 {
            let _ = write!(out, "\\x{code:02x}");
        } else {
            let _ = write!(out, "\\u{{{code:x}}}");
        }
    }
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// Does `character` act on its surroundings instead of being seen?
fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Zero width, bidirectional marks, embeddings, overrides and isolates, line and paragraph separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Variation selectors, byte order mark, interlinear annotation, tags.
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn hidden_characters_become_escapes_and_others_stay() {
        for (given, wanted) in [
            ("/home/ann/.aws/credentials", "/home/ann/.aws/credentials"),
            ("a\x1b[2Jb", r"a\x1b[2Jb"),
            ("a\nb\tc\r", r"a\x0ab\x09c\x0d"),
            ("\u{9b}31m", r"\x9b31m"),
            ("gpj\u{202e}exe", r"gpj\u{202e}exe"),
            ("a\u{2066}b\u{2069}", r"a\u{2066}b\u{2069}"),
            ("a\u{200b}b\u{feff}", r"a\u{200b}b\u{feff}"),
            ("a\u{e0041}", r"a\u{e0041}"),
            ("Käse/日本", "Käse/日本"),
        ] {
            assert_eq!(text(given), wanted);
            assert_eq!(text(&text(given)), wanted, "twice");
        }
    }

    #[test]
    fn no_line_is_a_command() {
        for (given, wanted) in [
            ("a :: b", "a :: b"),
            ("::error::x", r"\x3a:error::x"),
            ("ok\n  ::stop-commands::x\n", "ok\n  \\x3a:stop-commands::x\n"),
            ("\u{3000}::add-path::/x", "\u{3000}\\x3a:add-path::/x"),
            (
                "a ##[add-path]/x ##vso[task.setvariable variable=PATH]",
                r"a #\x23[add-path]/x #\x23vso[task.setvariable variable=PATH]",
            ),
            ("###[error]", r"#\x23#[error]"),
            ("####[error]", r"#\x23#\x23[error]"),
            (":", ":"),
        ] {
            assert_eq!(inert(given), wanted);
            assert_eq!(inert(&inert(given)), wanted, "twice");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_apart() {
        let name = Path::new(OsStr::from_bytes(b"/tmp/\xff\x1b\xfe"));
        assert_eq!(path(name), r"/tmp/\xff\x1b\xfe");
        assert_eq!(lossless(name), "/tmp/\\xff\x1b\\xfe");
    }
}
