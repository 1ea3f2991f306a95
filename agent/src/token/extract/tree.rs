//! What JSON, YAML, TOML, INI, netrc and lists of variables have in common: names above names above texts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::limits::{MAX_DEPTH, MAX_HITS, MAX_NODES};
use crate::{catalogue::pattern::name_matches, token::selector::Segment};

/// A content as a tree. Texts are overwritten when it is dropped.
pub(super) enum Tree {
    /// Nothing that can be a token: null, true, false.
    Nothing,
    /// A text or number.
    Text(Zeroizing<String>),
    /// A list.
    List(Vec<Self>),
    /// Names, in the order of the file, perhaps some twice.
    Map(Vec<(String, Self)>),
}

/// A text that was found, with the names on the way to it.
pub(super) struct Hit<'a> {
    /// Names of maps and numbers in lists.
    pub path: Vec<String>,
    /// The same for people: an element of a list is called by what names it, if something does.
    pub shown: Vec<String>,
    pub text: &'a str,
}

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// Every text that `segments` lead to, at most [`MAX_HITS`].
    pub(super) fn select(&self, segments: &[Segment], any_case: bool) -> Vec<Hit<'_>> {
        let mut walk = Walk { any_case, path: Vec::new(), shown: Vec::new(), hits: Vec::new() };
        walk.go(self, segments);
        walk.hits
    }

    /// What names an element of a list among its own texts.
    fn own_name(&self) -> Option<&str> {
        let Self::Map(map) = self else { return None };
        let text = |wanted: &&str| match map.iter().find(|(name, _)| name == wanted) {
            Some((_, Self::Text(text))) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        };
        NAMES.iter().find_map(text)
    }
}

/// What names an element of a list, the best first.
const NAMES: &[&str] = &["name", "host", "hostname", "serverId", "service", "client_id", "url"];

struct Walk<'a> {
    any_case: bool,
    path: Vec<String>,
    shown: Vec<String>,
    hits: Vec<Hit<'a>>,
}

impl<'a> Walk<'a> {
    fn go(&mut self, tree: &'a Tree, segments: &[Segment]) {
        if self.hits.len() >= MAX_HITS {
            return;
        }
        let first = segments.first();
        let deep = first == Some(&Segment::Deep);
        if let Tree::Text(text) = tree {
            if deep || first.is_none() {
                self.hits.push(Hit { path: self.path.clone(), shown: self.shown.clone(), text });
            }
            return;
        }
        let Some(first) = first else { return };
        let rest = if deep { segments } else { &segments[1..] };
        let any_case = self.any_case;
        match tree {
            Tree::Map(map) => {
                for (name, child) in map.iter().filter(|(name, _)| fits(first, name, any_case)) {
                    self.below(name.clone(), name.clone(), child, rest);
                }
            }
            Tree::List(list) => {
                for (number, child) in list.iter().enumerate() {
                    let name = number.to_string();
                    if fits(first, &name, any_case) {
                        let shown = child.own_name().map_or_else(|| name.clone(), str::to_owned);
                        self.below(name, shown, child, rest);
                    }
                }
            }
            Tree::Text(_) | Tree::Nothing => {}
        }
    }

    fn below(&mut self, name: String, shown: String, child: &'a Tree, rest: &[Segment]) {
        self.path.push(name);
        self.shown.push(shown);
        self.go(child, rest);
        self.path.pop();
        self.shown.pop();
    }
}

fn fits(segment: &Segment, name: &str, any_case: bool) -> bool {
    match segment {
        Segment::Name(wanted) if any_case => wanted.eq_ignore_ascii_case(name),
        Segment::Name(wanted) => wanted == name,
        Segment::Glob(glob) if any_case => name_matches(&glob.to_ascii_lowercase(), &name.to_ascii_lowercase()),
        Segment::Glob(glob) => name_matches(glob, name),
        Segment::Deep => true,
    }
}

/// Builds a tree within the limits: so many nodes are left, so deep it may still go.
pub(super) struct Builder<'a> {
    nodes: &'a mut usize,
    depth: usize,
}

impl<'a> Builder<'a> {
    pub(super) const fn new(nodes: &'a mut usize) -> Self {
        Self { nodes, depth: 0 }
    }

    /// Nodes that a fresh content may have.
    pub(super) const fn budget() -> usize {
        MAX_NODES
    }

    fn child(&mut self) -> Builder<'_> {
        Builder { nodes: self.nodes, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("nested too deeply"));
        }
        *self.nodes = self.nodes.checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Tree;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // Display writes whole numbers without a point or an exponent: 1.7e12 is a time.
        Ok(Tree::text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::text(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(child) = access.next_element_seed(self.child())? {
            list.push(child);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = access.next_key_seed(Name)? {
            map.push((name, access.next_value_seed(self.child())?));
        }
        // The TOML parser hands out a date as a map of this one name.
        if map.first().is_some_and(|(name, _)| name == "$__toml_private_datetime") {
            return Ok(map.pop().map_or(Tree::Nothing, |(_, date)| date));
        }
        Ok(Tree::Map(map))
    }
}

/// The name of a map's entry, which in YAML may be a number.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let mut one = 1;
        match (Builder { nodes: &mut one, depth: MAX_DEPTH }).deserialize(deserializer)? {
            Tree::Text(text) => Ok(text.as_str().to_owned()),
            Tree::Nothing => Ok(String::new()),
            Tree::List(_) | Tree::Map(_) => Err(D::Error::custom("a name must be text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::model::Format,
        token::selector::{Place, find},
    };

    fn tree(json: &str) -> Tree {
        let mut nodes = MAX_NODES;
        Builder::new(&mut nodes).deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap()
    }

    fn found(tree: &Tree, pointer: &str) -> Vec<(String, String)> {
        let Ok(Place::Tree(segments)) = find(pointer, Format::Json).map(|find| find.place) else { panic!("{pointer}") };
        let hits = tree.select(&segments, false);
        hits.into_iter().map(|hit| (hit.path.join("/"), hit.text.to_owned())).collect()
    }

    #[test]
    fn names_globs_and_everything_below_are_found() {
        let tree = tree(r#"{"a":{"x_key":"1","y":"2","z_key":{"n":"3"}},"l":[{"t":"4"},{"t":5}],"t":true,"n":null}"#);
        assert_eq!(found(&tree, "/a/x_key"), [("a/x_key".into(), "1".into())]);
        assert_eq!(found(&tree, "/a/*_key"), [("a/x_key".into(), "1".into())]);
        assert_eq!(found(&tree, "/l/*/t"), [("l/0/t".into(), "4".into()), ("l/1/t".into(), "5".into())]);
        assert_eq!(found(&tree, "/a/**").len(), 3);
        assert_eq!(found(&tree, "/*"), []);
        assert_eq!(found(&tree, "/a/y/z"), []);
    }

    #[test]
    fn times_are_written_as_whole_numbers() {
        let tree = tree(r#"{"a":1.7356896e12,"b":1735689600000,"c":-1}"#);
        let texts: Vec<_> = found(&tree, "/*").into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["1735689600000", "1735689600000", "-1"]);
    }
}
