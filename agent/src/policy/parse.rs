//! From YAML nodes to [`Rule`]s.

use std::{path::Path, time::SystemTime};

use super::{
    condition::Condition,
    rule::{Kind, Rule},
    times::{self, Window},
    tokens::TokenRule,
};
use crate::{
    catalogue::pattern::{Anchor, Pattern},
    yaml::{
        Node, Problems, Value,
        fields::{Fields, FromNode, Placed, Reading},
    },
};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) rules: Vec<Rule>,
    pub(super) tokens: Vec<TokenRule>,
    /// Whether the shipped policy holds; `None` where it says nothing of that.
    pub(super) shipped: Option<bool>,
}

pub(super) fn parse(file: &Path, text: &str) -> Result<Document, Problems> {
    let node = crate::yaml::parse(file, text)?;
    let mut problems = Problems::new();
    let mut reading = Reading { file, problems: &mut problems };
    let document = document(&node, &mut reading);
    if problems.has_errors() { Err(problems) } else { Ok(document) }
}

fn document(node: &Node, reading: &mut Reading<'_>) -> Document {
    // A file of comments only is a policy that says nothing.
    if node.value == Value::Null {
        return Document::default();
    }
    let Some(mut fields) = Fields::of(node, reading) else { return Document::default() };
    let shipped = fields.optional("shipped", reading);
    let mut rules = Vec::new();
    for kind in [Kind::Expectation, Kind::Exception, Kind::Restriction] {
        // Every entry is read, also after a wrong one.
        let entries = entries(kind.key(), &mut fields, reading);
        rules.extend(entries.iter().filter_map(|entry| rule(kind, entry, reading)));
    }
    let tokens = entries("tokens", &mut fields, reading);
    let tokens = tokens.iter().filter_map(|entry| token_rule(entry, reading)).collect();
    fields.finish(reading);
    Document { rules, tokens, shipped }
}

fn entries<'a>(key: &'static str, fields: &mut Fields<'a>, reading: &mut Reading<'_>) -> &'a [Node] {
    let Some(list) = fields.node(key).filter(|node| node.value != Value::Null) else { return &[] };
    if let Value::List(entries) = &list.value {
        return entries;
    }
    let message = format!("must be a list, this is {}; write lines that start with \"- \"", list.value.kind());
    reading.error(list.place, message);
    &[]
}

fn token_rule(node: &Node, reading: &mut Reading<'_>) -> Option<TokenRule> {
    let mut fields = Fields::of(node, reading)?;
    let reason = reason(&mut fields, reading);
    let mut span = |name| fields.optional::<Span>(name, reading).map(|span| span.0);
    let (session_grace, stale_after) = (span("session_grace"), span("stale_after"));
    if session_grace.is_none() && stale_after.is_none() {
        reading.error(node.place, "says nothing; give \"session_grace\", \"stale_after\" or both");
    }
    let rule = TokenRule {
        reason: String::new(),
        store: list("store", &mut fields, reading),
        session_grace,
        stale_after,
        file: reading.file.to_owned(),
        place: fields.place(),
    };
    fields.finish(reading);
    Some(TokenRule { reason: reason?, ..rule })
}

fn rule(kind: Kind, node: &Node, reading: &mut Reading<'_>) -> Option<Rule> {
    let mut fields = Fields::of(node, reading)?;
    let reason = reason(&mut fields, reading);
    let store = match kind {
        Kind::Exception => Some(list("store", &mut fields, reading)),
        Kind::Expectation | Kind::Restriction => fields.required("store", reading).map(|OneOrMore(list)| list),
    };
    let rule = Rule {
        kind,
        reason: String::new(),
        store: Vec::new(),
        except: list("except", &mut fields, reading),
        reader: programs("reader", &mut fields, reading),
        script: programs("script", &mut fields, reading),
        ancestor: programs("ancestor", &mut fields, reading),
        package: list("package", &mut fields, reading),
        user: list::<User>("user", &mut fields, reading).into_iter().map(|user| user.0).collect(),
        actor: list("actor", &mut fields, reading),
        host: list("host", &mut fields, reading),
        time: list::<Hours>("time", &mut fields, reading).into_iter().map(|hours| hours.0).collect(),
        when: fields.optional::<When>("when", reading).map(|when| when.0),
        expires: fields.optional::<Expiry>("expires", reading).map(|expiry| expiry.0),
        // What a restriction takes back it takes back from everybody.
        allow_writable: kind.permits() && fields.optional("allow_writable", reading).unwrap_or_default(),
        shipped: false,
        file: reading.file.to_owned(),
        place: fields.place(),
    };
    fields.finish(reading);
    Some(Rule { reason: reason?, store: store?, ..rule })
}

fn reason(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let reason = fields.required::<Placed<String>>("reason", reading)?;
    if reason.value.trim().len() < 4 {
        reading.error(reason.place, "\"reason\" must say why this is right");
    }
    Some(reason.value)
}

fn list<T: FromNode>(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<T> {
    let values: Option<OneOrMore<T>> = fields.optional(name, reading);
    values.map(|values| values.0).unwrap_or_default()
}

fn programs(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<Pattern> {
    list::<ProgramPath>(name, fields, reading).into_iter().map(|path| path.0).collect()
}

/// One value or a list of them.
struct OneOrMore<T>(Vec<T>);

impl<T: FromNode> FromNode for OneOrMore<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let values: Vec<T> = match &node.value {
            Value::List(_) => Vec::from_node(node, reading)?,
            _ => vec![T::from_node(node, reading)?],
        };
        if values.is_empty() {
            reading.error(node.place, "an empty list selects nothing; leave the key out to select everything");
            return None;
        }
        Some(Self(values))
    }
}

/// A name or a number.
struct User(String);

impl FromNode for User {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        match &node.value {
            Value::Int(number) => u32::try_from(*number)
                .map(|uid| Self(uid.to_string()))
                .map_err(|_| reading.error(node.place, format!("{number} is no user id")))
                .ok(),
            _ => String::from_node(node, reading).map(Self),
        }
    }
}

/// A pattern that says where a program is.
struct ProgramPath(Pattern);

impl FromNode for ProgramPath {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        if let Value::Text(text) = &node.value
            && text == "/**"
        {
            reading.error(node.place, "\"/**\" selects every program; leave the key out or name a directory");
            return None;
        }
        let pattern = Pattern::from_node(node, reading)?;
        if matches!(pattern.anchor(), Anchor::Root | Anchor::Home) {
            return Some(Self(pattern));
        }
        let message = format!("\"{}\" must be an absolute path (or start with \"~/\")", pattern.text());
        reading.error(node.place, message);
        None
    }
}

/// A text that is something once it is read.
fn read<T, E: std::fmt::Display>(
    node: &Node,
    reading: &mut Reading<'_>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = String::from_node(node, reading)?;
    read(&text).map_err(|error| reading.error(node.place, error.to_string())).ok()
}

struct Hours(Window);

impl FromNode for Hours {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        read(node, reading, Window::parse).map(Self)
    }
}

struct When(Condition);

impl FromNode for When {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        read(node, reading, Condition::compile).map(Self)
    }
}

/// Seconds.
struct Span(i64);

impl FromNode for Span {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let span = read(node, reading, times::duration)?;
        i64::try_from(span.as_secs()).ok().map(Self)
    }
}

struct Expiry(SystemTime);

impl FromNode for Expiry {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        read(node, reading, times::parse_expiry).map(Self)
    }
}
