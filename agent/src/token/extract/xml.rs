//! XML: elements and attributes by a small part of XPath.

use std::collections::HashSet;

use roxmltree::{Document, Node, ParsingOptions};
use zeroize::Zeroizing;

use super::{
    limits::{MAX_HITS, MAX_NODES},
    sources::Found,
};
use crate::token::selector::XmlStep;

/// Most elements looked at for one selector.
const MAX_VISITS: usize = 8 * MAX_NODES;

/// Every element or attribute that the steps lead to. Documents with a DTD are refused: entities can blow up.
///
/// # Errors
/// It is no such XML, in words.
pub(super) fn select(text: &str, steps: &[XmlStep]) -> Result<Vec<Found>, String> {
    let options = ParsingOptions { nodes_limit: MAX_NODES as u32, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| format!("is no XML, or beyond the limits (line {})", error.pos().row))?;
    let mut visits = 0;
    let mut nodes = vec![document.root()];
    for step in steps {
        let XmlStep::Element { deep, name, with } = step else { continue };
        let mut seen = HashSet::new();
        let mut next = Vec::new();
        for node in nodes {
            let candidates: Box<dyn Iterator<Item = Node<'_, '_>>> =
                if *deep { Box::new(node.descendants().skip(1)) } else { Box::new(node.children()) };
            for child in candidates.filter(Node::is_element) {
                visits += 1;
                if visits > MAX_VISITS {
                    return Err("is XML beyond the limits".to_owned());
                }
                let named = name == "*" || child.tag_name().name() == name;
                let fits = with.as_ref().is_none_or(|(name, value)| child.attribute(name.as_str()) == Some(value));
                if named && fits && seen.insert(child.id()) {
                    next.push(child);
                }
            }
        }
        nodes = next;
    }
    let attribute = match steps.last() {
        Some(XmlStep::Attribute(name)) => Some(name.as_str()),
        _ => None,
    };
    Ok(nodes.into_iter().filter_map(|node| found(node, attribute)).take(MAX_HITS).collect())
}

fn found(node: Node<'_, '_>, attribute: Option<&str>) -> Option<Found> {
    let value = match attribute {
        Some(name) => node.attribute(name)?,
        None => node.text()?.trim(),
    };
    let mut label = String::from("/");
    if let Some(parent) = node.parent_element() {
        label = format!("//{}", described(parent));
    }
    label =
        format!("{label}/{}", if attribute.is_some() { described(node) } else { node.tag_name().name().to_owned() });
    if let Some(name) = attribute {
        label = format!("{label}/@{name}");
    }
    let parent = node.parent_element().map(|parent| parent.id().get().to_string());
    Some(Found {
        path: vec![parent.unwrap_or_default(), node.id().get().to_string()],
        label,
        bytes: Zeroizing::new(value.as_bytes().to_vec()),
    })
}

/// What names elements, in attributes or in elements below them.
const NAMES: &[&str] = &["id", "name", "key", "Name", "Host", "username"];

/// An element with what names it: `server[central]`.
fn described(node: Node<'_, '_>) -> String {
    let own = NAMES.iter().find_map(|name| node.attribute(*name));
    let below = || {
        let child = |name: &&str| node.children().find(|child| child.tag_name().name() == *name);
        NAMES.iter().find_map(|name| child(name)?.text())
    };
    let tag = node.tag_name().name();
    own.or_else(below).map_or_else(|| tag.to_owned(), |name| format!("{tag}[{}]", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::model::Format,
        token::selector::{Place, find},
    };

    fn values(xml: &str, selector: &str) -> Vec<(String, String)> {
        let Ok(Place::Xml(steps)) = find(selector, Format::Xml).map(|find| find.place) else { panic!("{selector}") };
        let found = select(xml, &steps).unwrap();
        found.into_iter().map(|found| (found.label, String::from_utf8(found.bytes.to_vec()).unwrap())).collect()
    }

    fn pair(label: &str, value: &str) -> (String, String) {
        (label.to_owned(), value.to_owned())
    }

    #[test]
    fn elements_are_named_by_what_stands_beside_them() {
        let xml = "<s xmlns='urn:x'><servers><server><id>a</id><password> one </password></server>\
                   <server><id>b</id><password>two</password></server></servers><password>no</password></s>";
        assert_eq!(
            values(xml, "//server/password"),
            [pair("//server[a]/password", "one"), pair("//server[b]/password", "two")]
        );
        assert_eq!(values(xml, "//password").len(), 3);
        assert_eq!(values(xml, "/s/password"), [pair("//s/password", "no")]);
    }

    #[test]
    fn attributes_with_a_condition() {
        let xml = "<c><p><feed><add key='Username' value='me'/><add key='ClearTextPassword' value='x'/></feed></p></c>";
        let found = values(xml, "//p/*/add[@key=\"ClearTextPassword\"]/@value");
        assert_eq!(found, [pair("//feed/add[ClearTextPassword]/@value", "x")]);
    }

    #[test]
    fn what_is_made_to_hurt_is_refused() {
        let entities = "<!DOCTYPE a [<!ENTITY b 'cc'>]><a>&b;</a>";
        assert!(select(entities, &[]).is_err());
        let deep = "<a>".repeat(300_000);
        assert!(select(&deep, &[]).is_err());
        assert!(select("<a><b></a>", &[]).is_err());
    }
}
