//! What is in a store, from YAML nodes: selectors are parsed for the store's format, or their own.

use crate::{
    catalogue::{
        model::{Format, Kind, NotExtracted, Protection, Selector, TimeEncoding, TimeField},
        pattern::Pattern,
    },
    token::{
        selector::{self, Expression},
        shape::{self, Shape},
    },
    yaml::{
        Node, Place, Value,
        fields::{Fields, FromNode, Reading, unknown_word},
    },
};

/// The fields of an entry that say what is in it.
pub(super) struct Content {
    pub content_regex: Vec<Expression>,
    pub placeholder_regex: Vec<Expression>,
    pub delegates: Vec<Selector>,
    pub points_to: Vec<Selector>,
    pub format: Format,
    pub not_extracted: Option<NotExtracted>,
    pub secret_fields: Vec<Selector>,
    pub expiry_fields: Vec<TimeField>,
    pub issued_fields: Vec<TimeField>,
    pub token_shapes: Vec<&'static Shape>,
}

impl Content {
    pub(super) fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let format = fields.required("format", reading);
        let mut selectors = |name, reading: &mut Reading<'_>| {
            let raw = fields.optional::<Vec<Raw>>(name, reading).unwrap_or_default();
            raw.into_iter().filter_map(|raw| raw.parse(format?, reading)).collect::<Vec<_>>()
        };
        let secret_fields = selectors("secret_fields", reading);
        let delegates = selectors("delegates", reading);
        let points_to = selectors("points_to", reading);
        let mut times = |name, reading: &mut Reading<'_>| {
            let raw = fields.optional::<Vec<RawTime>>(name, reading).unwrap_or_default();
            raw.into_iter().filter_map(|raw| raw.parse(format?, &secret_fields, reading)).collect::<Vec<_>>()
        };
        let expiry_fields = times("expiry_fields", reading);
        let issued_fields = times("issued_fields", reading);
        let not_extracted: Option<NotExtracted> = fields.optional("not_extracted", reading);
        if let Some(reason) = not_extracted.filter(|_| !secret_fields.is_empty()) {
            let message = format!("\"not_extracted\" is {}, but there are \"secret_fields\"; keep one", reason.name());
            reading.error(fields.place(), message);
        }
        Some(Self {
            content_regex: fields.optional("content_regex", reading).unwrap_or_default(),
            placeholder_regex: fields.optional("placeholder_regex", reading).unwrap_or_default(),
            not_extracted,
            token_shapes: fields.optional("token_shapes", reading).unwrap_or_default(),
            format: format?,
            delegates,
            points_to,
            secret_fields,
            expiry_fields,
            issued_fields,
        })
    }
}

impl FromNode for Expression {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        Self::new(&text).map_err(|error| reading.error(node.place, error.to_string())).ok()
    }
}

impl FromNode for &'static Shape {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let id = String::from_node(node, reading)?;
        let shape = shape::named(&id);
        if shape.is_none() {
            let known: Vec<&str> = shape::all().map(|shape| shape.id).collect();
            unknown_word(node.place, &id, &known, reading);
        }
        shape
    }
}

/// A selector whose format is not known yet: text alone, or a map.
struct Raw {
    text: String,
    format: Option<Format>,
    files: Vec<Pattern>,
    kind: Option<Kind>,
    protection: Option<Protection>,
    note: Option<String>,
    place: Place,
}

impl FromNode for Raw {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        if let Value::Text(text) = &node.value {
            let text = text.clone();
            let place = node.place;
            return Some(Self {
                text,
                format: None,
                files: Vec::new(),
                kind: None,
                protection: None,
                note: None,
                place,
            });
        }
        let mut fields = Fields::of(node, reading)?;
        let raw = Self::read("selector", &mut fields, reading);
        fields.finish(reading);
        raw
    }
}

impl Raw {
    fn read(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let text = fields.required(name, reading);
        let raw = Self {
            text: String::new(),
            format: fields.optional("format", reading),
            files: fields.optional("files", reading).unwrap_or_default(),
            kind: fields.optional("kind", reading),
            protection: fields.optional("protection", reading),
            note: fields.optional("note", reading),
            place: fields.place(),
        };
        Some(Self { text: text?, ..raw })
    }

    fn parse(self, store: Format, reading: &mut Reading<'_>) -> Option<Selector> {
        let format = self.format.unwrap_or(store);
        let found = selector::find(&self.text, format);
        let find = found.map_err(|error| reading.error(self.place, error.to_string())).ok()?;
        let Self { text, files, kind, protection, note, .. } = self;
        Some(Selector { selector: text, find, format, files, kind, protection, note })
    }
}

struct RawTime {
    field: Raw,
    encoding: TimeEncoding,
    of: Vec<String>,
}

impl FromNode for RawTime {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let field = Raw::read("field", &mut fields, reading);
        let encoding = fields.required("encoding", reading);
        let of = fields.optional("of", reading).unwrap_or_default();
        fields.finish(reading);
        Some(Self { field: field?, encoding: encoding?, of })
    }
}

impl RawTime {
    fn parse(self, store: Format, secrets: &[Selector], reading: &mut Reading<'_>) -> Option<TimeField> {
        let place = self.field.place;
        for of in self.of.iter().filter(|of| !secrets.iter().any(|secret| secret.selector == **of)) {
            reading.error(place, format!("\"of\" names \"{of}\", which is none of the \"secret_fields\""));
        }
        Some(TimeField { field: self.field.parse(store, reading)?, encoding: self.encoding, of: self.of })
    }
}
