//! From YAML nodes to [`Exception`]s and [`Restriction`]s.

use std::path::Path;

use super::{Exception, Policy, Restriction};
use crate::{
    catalogue::pattern::{Anchor, Pattern},
    yaml::{
        Node, Problems, Value,
        fields::{Fields, FromNode, Placed, Reading},
    },
};

pub(super) fn parse(file: &Path, text: &str) -> Result<Policy, Problems> {
    let node = crate::yaml::parse(file, text)?;
    let mut problems = Problems::new();
    let mut reading = Reading { file, problems: &mut problems };
    let policy = document(&node, &mut reading);
    if problems.has_errors() { Err(problems) } else { Ok(policy) }
}

fn document(node: &Node, reading: &mut Reading<'_>) -> Policy {
    // A file of comments only is a policy that says nothing.
    if node.value == Value::Null {
        return Policy::default();
    }
    let Some(mut fields) = Fields::of(node, reading) else { return Policy::default() };
    let exceptions: Option<Vec<Lenient<Exception>>> = fields.optional("exceptions", reading);
    let restrictions: Option<Vec<Lenient<Restriction>>> = fields.optional("restrictions", reading);
    fields.finish(reading);
    Policy {
        exceptions: exceptions.unwrap_or_default().into_iter().filter_map(|entry| entry.0).collect(),
        restrictions: restrictions.unwrap_or_default().into_iter().filter_map(|entry| entry.0).collect(),
    }
}

/// An entry, or a problem that has been reported.
struct Lenient<T>(Option<T>);

impl<T: FromNode> FromNode for Lenient<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self(T::from_node(node, reading)))
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
        let reason = reason(&mut fields, reading);
        let store = texts("store", &mut fields, reading);
        let reader = programs("reader", &mut fields, reading);
        let script = programs("script", &mut fields, reading);
        let ancestor = programs("ancestor", &mut fields, reading);
        let package = texts("package", &mut fields, reading);
        let user = users(&mut fields, reading);
        let actor = texts("actor", &mut fields, reading);
        let allow_writable = fields.optional("allow_writable", reading).unwrap_or_default();
        let (file, place) = (reading.file.to_owned(), fields.place());
        fields.finish(reading);
        Some(Self {
            reason: reason?,
            store,
            reader,
            script,
            ancestor,
            package,
            user,
            actor,
            allow_writable,
            file,
            place,
        })
    }
}

impl FromNode for Restriction {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let reason = reason(&mut fields, reading);
        let store: Option<OneOrMore<String>> = fields.required("store", reading);
        let except = texts("except", &mut fields, reading);
        let actor: Option<OneOrMore<String>> = fields.required("actor", reading);
        let user = users(&mut fields, reading);
        let (file, place) = (reading.file.to_owned(), fields.place());
        fields.finish(reading);
        Some(Self { reason: reason?, store: store?.0, except, actor: actor?.0, user, file, place })
    }
}

fn reason(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let reason = fields.required::<Placed<String>>("reason", reading)?;
    if reason.value.trim().len() < 4 {
        reading.error(reason.place, "\"reason\" must say why this is right");
    }
    Some(reason.value)
}

fn texts(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let values: Option<OneOrMore<String>> = fields.optional(name, reading);
    values.map(|values| values.0).unwrap_or_default()
}

fn users(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let users: Option<OneOrMore<User>> = fields.optional("user", reading);
    users.map(|users| users.0.into_iter().map(|user| user.0).collect()).unwrap_or_default()
}

fn programs(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<Pattern> {
    let patterns: Option<OneOrMore<ProgramPath>> = fields.optional(name, reading);
    patterns.map(|patterns| patterns.0.into_iter().map(|path| path.0).collect()).unwrap_or_default()
}
