//! From YAML nodes to [`Exception`]s.

use std::path::Path;

use super::Exception;
use crate::{
    catalogue::pattern::{Anchor, Pattern},
    yaml::{
        Node, Problems, Value,
        fields::{Fields, FromNode, Placed, Reading},
    },
};

pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<Exception>, Problems> {
    let node = crate::yaml::parse(file, text)?;
    let mut problems = Problems::new();
    let mut reading = Reading { file, problems: &mut problems };
    let exceptions = document(&node, &mut reading);
    if problems.has_errors() { Err(problems) } else { Ok(exceptions) }
}

fn document(node: &Node, reading: &mut Reading<'_>) -> Vec<Exception> {
    // A file of comments only is a policy without exceptions.
    if node.value == Value::Null {
        return Vec::new();
    }
    let Some(mut fields) = Fields::of(node, reading) else { return Vec::new() };
    let exceptions: Option<Vec<Lenient>> = fields.optional("exceptions", reading);
    fields.finish(reading);
    exceptions.unwrap_or_default().into_iter().filter_map(|entry| entry.0).collect()
}

/// An exception, or a problem that has been reported.
struct Lenient(Option<Exception>);

impl FromNode for Lenient {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self(Exception::from_node(node, reading)))
    }
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

impl FromNode for Exception {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let reason = fields.required::<Placed<String>>("reason", reading);
        let store: Option<OneOrMore<String>> = fields.optional("store", reading);
        let reader = programs("reader", &mut fields, reading);
        let script = programs("script", &mut fields, reading);
        let ancestor = programs("ancestor", &mut fields, reading);
        let user: Option<OneOrMore<User>> = fields.optional("user", reading);
        let allow_writable = fields.optional("allow_writable", reading).unwrap_or_default();
        let (file, place) = (reading.file.to_owned(), fields.place());
        fields.finish(reading);
        let reason = reason?;
        if reason.value.trim().len() < 4 {
            reading.error(reason.place, "\"reason\" must say why this access is right");
        }
        Some(Self {
            reason: reason.value,
            store: store.map(|store| store.0).unwrap_or_default(),
            reader,
            script,
            ancestor,
            user: user.map(|user| user.0.into_iter().map(|user| user.0).collect()).unwrap_or_default(),
            allow_writable,
            file,
            place,
        })
    }
}

fn programs(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<Pattern> {
    let patterns: Option<OneOrMore<ProgramPath>> = fields.optional(name, reading);
    patterns.map(|patterns| patterns.0.into_iter().map(|path| path.0).collect()).unwrap_or_default()
}
