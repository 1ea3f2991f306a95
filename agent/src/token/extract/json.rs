//! JSON, also with comments and trailing commas as editors write it, and one document a line.

use serde::de::DeserializeSeed as _;
use zeroize::Zeroizing;

use super::tree::{Builder, Tree};

/// Parses one document. The parser keeps the last text with an escape in a buffer of its own, which is not overwritten.
///
/// # Errors
/// In words, without anything of the content.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    match strict(text) {
        Ok(tree) => Ok(tree),
        Err(error) => strict(&plain(text)).map_err(|_| error),
    }
}

fn strict(text: &str) -> Result<Tree, String> {
    let mut nodes = Builder::budget();
    let mut parser = serde_json::Deserializer::from_str(text);
    let tree = Builder::new(&mut nodes).deserialize(&mut parser);
    tree.and_then(|tree| parser.end().map(|()| tree)).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => "is JSON that ends too early".to_owned(),
        serde_json::error::Category::Data => format!("is JSON beyond the limits (line {})", error.line()),
        _ => format!("is no JSON (line {})", error.line()),
    })
}

/// One document a line. Empty lines are skipped; a broken one (the last, while it is written) as well.
pub(super) fn lines(text: &str) -> Result<Tree, String> {
    let mut list = Vec::new();
    let mut broken = 0;
    let mut nodes = Builder::budget();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut parser = serde_json::Deserializer::from_str(line);
        match Builder::new(&mut nodes).deserialize(&mut parser) {
            Ok(tree) => list.push(tree),
            Err(_) => broken += 1,
        }
    }
    if list.is_empty() && broken > 0 { Err("has no line that is JSON".to_owned()) } else { Ok(Tree::List(list)) }
}

/// The same without comments and commas before a closing bracket.
fn plain(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = if c == '"' {
            string_end(rest)
        } else if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        } else if rest.starts_with("/*") {
            rest = rest[2..].find("*/").map_or("", |end| &rest[end + 4..]);
            continue;
        } else {
            if c == '}' || c == ']' {
                let kept = out.trim_end().len();
                if out[..kept].ends_with(',') {
                    out.truncate(kept - 1);
                }
            }
            c.len_utf8()
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// Where a string ends that begins `text`, its quotes included.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_taken_out_and_texts_kept() {
        let text = "{ // note\n \"a\": \"x//y, }\", /* more\n */ \"b\": [1, 2, ],\n}";
        assert_eq!(*plain(text), "{ \n \"a\": \"x//y, }\",  \"b\": [1, 2]}");
        assert!(parse(text).is_ok());
        for open in ["\"", "/*", "//", "\"\\", "{\"a\":1,/*}"] {
            assert!(parse(open).is_err(), "{open}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let deep = "[".repeat(66) + &"]".repeat(66);
        assert!(parse(&deep).is_err_and(|error| error.contains("limits")));
        let wide = format!("[{}0]", "0,".repeat(300_000));
        assert!(parse(&wide).is_err_and(|error| error.contains("limits")));
    }

    #[test]
    fn a_line_that_is_being_written_costs_nothing_but_itself() {
        let Ok(Tree::List(list)) = lines("{\"a\":1}\n\n{\"b\":2}\n{\"c\":") else { panic!("no list") };
        assert_eq!(list.len(), 2);
        assert!(lines("no json").is_err());
    }
}
