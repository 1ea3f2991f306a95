//! YAML and TOML.

use serde::de::DeserializeSeed as _;

use super::{
    limits::{MAX_DEPTH, MAX_NODES},
    tree::{Builder, Tree},
};
use crate::yaml;

/// Parses a YAML document. Numbers are taken as the parser reads them: a secret of digits alone that is not in quotes
/// may lose leading zeros.
///
/// # Errors
/// In words, without anything of the content.
pub(super) fn yaml(text: &str) -> Result<Tree, String> {
    let mut nodes = Builder::budget();
    yaml::untrusted(text, Builder::new(&mut nodes), MAX_NODES, MAX_DEPTH).map_err(|line| match line {
        0 => "is no YAML, or beyond the limits".to_owned(),
        line => format!("is no YAML, or beyond the limits (line {line})"),
    })
}

/// Parses a TOML document.
///
/// # Errors
/// In words, without anything of the content.
pub(super) fn toml(text: &str) -> Result<Tree, String> {
    let failed = |error: toml::de::Error| {
        let line = error.span().map(|span| 1 + text.get(..span.start).map_or(0, |before| before.matches('\n').count()));
        line.map_or_else(|| "is no TOML".to_owned(), |line| format!("is no TOML, or beyond the limits (line {line})"))
    };
    let mut nodes = Builder::budget();
    let parser = toml::Deserializer::parse(text).map_err(failed)?;
    Builder::new(&mut nodes).deserialize(parser).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::model::Format,
        token::selector::{Place, find},
    };

    fn found(tree: &Tree, selector: &str) -> Vec<String> {
        let Ok(Place::Tree(segments)) = find(selector, Format::Yaml).map(|find| find.place) else {
            panic!("{selector}")
        };
        tree.select(&segments, false).into_iter().map(|hit| hit.text.to_owned()).collect()
    }

    #[test]
    fn yaml_with_names_of_any_type() {
        let tree =
            yaml("github.com:\n  oauth_token: made-up\n  1: one\n:ruby: sym\nlist: [a, {t: b}]\nk: !!str 5\n").unwrap();
        assert_eq!(found(&tree, "/*/oauth_token"), ["made-up"]);
        assert_eq!(found(&tree, "/github.com/1"), ["one"]);
        assert_eq!(found(&tree, "/:ruby"), ["sym"]);
        assert_eq!(found(&tree, "/list/*/t"), ["b"]);
    }

    #[test]
    fn yaml_that_blows_up_is_refused() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(yaml(&deep).is_err());
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &(b'b'..b'k')
                .map(|c| {
                    let (own, last) = (char::from(c), char::from(c - 1));
                    format!("{own}: &{own} [*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last}]\n")
                })
                .collect::<String>();
        assert!(yaml(&bomb).is_err());
        let error = yaml("a: b\n  secret: [").err().unwrap();
        assert!(error.contains("line") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn toml_with_dates() {
        let tree = toml("[a.\"b.c\"]\nt = \"x\"\nat = 2030-01-02T03:04:05Z\n[[l]]\nn = 7\n").unwrap();
        assert_eq!(found(&tree, "/a/b.c/t"), ["x"]);
        assert_eq!(found(&tree, "/a/b.c/at"), ["2030-01-02T03:04:05Z"]);
        assert_eq!(found(&tree, "/l/*/n"), ["7"]);
        assert!(toml("a = [").is_err());
        assert!(toml(&format!("a = {}", "[".repeat(200))).is_err());
    }
}
