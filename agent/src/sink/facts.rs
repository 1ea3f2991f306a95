//! What the protocol sinks take out of an item's OCSF object for labels and for people. Nothing here is trusted to be
//! there: a field that is missing is left out.

use serde_json::Value;

use super::{Item, Kind};

/// Longest value that goes into a label or a parameter, in characters.
const MAX_VALUE: usize = 200;

/// An item in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The line for people.
    pub title: String,
    /// The machine.
    pub host: Option<String>,
    /// Catalogue id of the (first) store.
    pub store: Option<String>,
    /// Where the store is.
    pub path: Option<String>,
    /// The class of the actor.
    pub actor: Option<String>,
    /// The reader's executable.
    pub reader: Option<String>,
    /// Its process id.
    pub pid: Option<u64>,
    /// Its user.
    pub user: Option<String>,
    /// The token's fingerprint.
    pub fingerprint: Option<String>,
    /// What the detector means; of an incident, all that a person needs, in lines.
    pub meaning: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
    /// The incident it belongs to or is.
    pub incident: Option<String>,
    /// The incident is over.
    pub closed: bool,
}

impl Facts {
    /// Of an item.
    #[must_use]
    pub fn of(item: &Item) -> Self {
        let body: Value = serde_json::from_str(&item.body).unwrap_or_default();
        let text = |pointer: &str| {
            let text = body.pointer(pointer).and_then(Value::as_str)?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        // Of an incident the first of each kind of name: `{"named": [{"name": ..., "count": ...}], "other": ...}`.
        let first = |kind: &str| text(&format!("/unmapped/tokenhound/{kind}/named/0/name"));
        let common = Self {
            title: text("/message").unwrap_or_else(|| item.title.clone()),
            host: text("/device/hostname"),
            actor: text("/unmapped/tokenhound/actor/class"),
            pid: body.pointer("/actor/process/pid").and_then(Value::as_u64),
            user: text("/actor/user/name").or_else(|| text("/actor/user/uid")),
            ..Self::default()
        };
        match item.kind {
            Kind::Finding => Self {
                store: text("/resources/0/uid"),
                path: text("/resources/0/name"),
                reader: text("/actor/process/file/path").or_else(|| text("/actor/process/name")),
                fingerprint: text("/unmapped/tokenhound/fingerprint"),
                meaning: text("/finding_info/desc"),
                remedy: text("/remediation/desc"),
                incident: text("/unmapped/tokenhound/incident"),
                ..common
            },
            Kind::Incident => Self {
                store: first("stores"),
                path: first("paths"),
                reader: first("readers").or_else(|| text("/actor/process/name")),
                fingerprint: first("tokens"),
                meaning: text("/desc"),
                remedy: commands(&body),
                incident: Some(item.uid.clone()),
                closed: body.get("activity_id").and_then(Value::as_u64) == Some(CLOSE),
                ..common
            },
        }
    }

    /// The line for people with the severity before it; that of an incident begins with it already.
    #[must_use]
    pub fn headline(&self, item: &Item) -> String {
        match item.kind {
            Kind::Finding => format!("{} {}", item.severity.name().to_uppercase(), self.title),
            Kind::Incident => self.title.clone(),
        }
    }

    /// By which receivers tell incidents apart: the incident, or the finding if it belongs to none.
    #[must_use]
    pub fn key<'a>(&'a self, item: &'a Item) -> &'a str {
        self.incident.as_deref().unwrap_or(&item.uid)
    }
}

fn commands(body: &Value) -> Option<String> {
    let commands = body.pointer("/unmapped/tokenhound/commands")?.as_array()?;
    let commands: Vec<&str> = commands.iter().filter_map(Value::as_str).collect();
    (!commands.is_empty()).then(|| commands.join("; "))
}

/// `activity_id` of OCSF's finding classes: 1 create, 2 update, 3 close.
const CLOSE: u64 = 3;

/// At most `most` characters of a text, with `...` where it was cut.
#[must_use]
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// A value for a label: bounded.
#[must_use]
pub fn value(text: &str) -> String {
    short(text, MAX_VALUE)
}
