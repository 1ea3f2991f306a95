//! From YAML nodes to [`Store`]s, with every mistake of every entry.

mod content;
mod reader;

use std::{net::IpAddr, path::Path};

use self::content::Content;
use super::{
    actors::{Actors, parse_actors},
    interpreters::{Interpreters, parse_interpreters},
    model::{Holds, Keyring, PathVariable, Reader, Role, Scope, Store},
    pattern::Pattern,
    prints::parse_prints,
};
use crate::yaml::{
    Node, Place, Problems,
    fields::{Fields, FromNode, Placed, Reading, Table},
};

/// What one file brings.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    /// Its stores.
    pub stores: Vec<Store>,
    /// Its interpreters, where it has any.
    pub interpreters: Interpreters,
    /// Its actors, where it has any.
    pub actors: Actors,
}

/// Reads one catalogue file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub(super) fn parse(file: &Path, text: &str) -> Result<Parsed, Problems> {
    let node = crate::yaml::parse(file, text)?;
    let mut problems = Problems::new();
    let parsed = document(&node, &mut Reading { file, problems: &mut problems });
    if problems.has_errors() { Err(problems) } else { Ok(parsed) }
}

fn document(node: &Node, reading: &mut Reading<'_>) -> Parsed {
    let mut parsed = Parsed::default();
    let Some(mut fields) = Fields::of(node, reading) else { return parsed };
    if let Some(stores) = fields.optional::<Vec<Lenient>>("stores", reading) {
        parsed.stores = stores.into_iter().filter_map(|entry| entry.0).collect();
    }
    let interpreters = parse_interpreters(&mut fields, reading);
    let actors = parse_actors(&mut fields, reading);
    fields.finish(reading);
    parsed.interpreters = interpreters;
    parsed.actors = actors;
    parsed
}

/// A store, or a problem that has been reported: so that the entries after it are read as well.
struct Lenient(Option<Store>);

impl FromNode for Lenient {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self(Store::from_node(node, reading)))
    }
}

impl FromNode for Pattern {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        Self::parse(&text).map_err(|error| reading.error(node.place, error.to_string())).ok()
    }
}

impl FromNode for IpAddr {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        text.parse().map_err(|_| reading.error(node.place, format!("\"{text}\" is no IP address"))).ok()
    }
}

/// Permission bits as text: `"0600"`.
struct Mode(u32);

impl FromNode for Mode {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        match u32::from_str_radix(&text, 8) {
            Ok(bits) if bits <= 0o7777 => Some(Self(bits)),
            _ => {
                reading.error(node.place, format!("\"{text}\" is no octal mode such as '0600'"));
                None
            }
        }
    }
}

fn tier(placed: Placed<u64>, reading: &mut Reading<'_>) -> Option<u8> {
    match placed.value {
        1..=3 => Some(placed.value as u8),
        other => {
            reading.error(placed.place, format!("tier must be 1, 2 or 3, this is {other}"));
            None
        }
    }
}

fn id(placed: Placed<String>, reading: &mut Reading<'_>) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !placed.value.is_empty() && placed.value.len() <= 64 && placed.value.bytes().all(good) {
        return Some(placed.value);
    }
    let message = format!("id \"{}\" must be 1 to 64 of a-z, 0-9 and \"-\"", placed.value);
    reading.error(placed.place, message);
    None
}

fn variables(table: Table<Vec<String>>, reading: &mut Reading<'_>) -> Vec<PathVariable> {
    let mut variables = Vec::new();
    for (key, templates) in table.0 {
        for template in &templates {
            let known = template == "{}" || template.starts_with("{}/") || template.contains("{}");
            if !known {
                let message = format!("template \"{template}\" of {} has no {{}} for the value", key.name);
                reading.error(key.place, message);
            }
            if let Some(rest) = template.strip_prefix("{}/")
                && let Err(error) = Pattern::parse(&format!("/{rest}"))
                && rest != "*"
                && rest != "**"
            {
                reading.error(key.place, error.to_string());
            }
        }
        variables.push(PathVariable { name: key.name, templates });
    }
    variables
}

impl FromNode for Store {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let head = Head::read(&mut fields, reading);
        let location = Location::read(&mut fields, reading);
        let content = Content::read(&mut fields, reading);
        let life = Life::read(&mut fields, reading);
        let readers = fields.optional("readers", reading).unwrap_or_default();
        let prints = parse_prints(&mut fields, reading);
        let reader_scope = fields.required::<Scope>("reader_scope", reading);
        let file = reading.file.to_owned();
        let place = fields.place();
        fields.finish(reading);
        let store = assemble(head?, location, content?, life?, (readers, prints, reader_scope?), (file, place));
        if store.watched() && store.watched_paths().next().is_none() && store.path_env.is_empty() {
            let elsewhere = !store.non_file_locations.is_empty() || !store.unwatched_paths.is_empty();
            if !elsewhere {
                reading.error(place, format!("store \"{}\" has no \"paths\"", store.id));
            }
        }
        Some(store)
    }
}

struct Head {
    id: String,
    split_from: Option<String>,
    tool: String,
    vendor: String,
    family: String,
    role: Role,
    tier: u8,
    kind: Vec<super::model::Kind>,
    holds: Holds,
}

impl Head {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let given = fields.required("id", reading).and_then(|placed| id(placed, reading));
        let split_from = fields.optional("split_from", reading);
        let tool = fields.required("tool", reading);
        let vendor = fields.required("vendor", reading);
        let family = fields.required("family", reading).and_then(|placed| id(placed, reading));
        let role = fields.required("role", reading);
        let tier = fields.required("tier", reading).and_then(|placed| tier(placed, reading));
        let kind = fields.required("kind", reading);
        let holds = fields.optional("holds", reading).unwrap_or(Holds::Secret);
        Some(Self {
            id: given?,
            split_from,
            tool: tool?,
            vendor: vendor?,
            family: family?,
            role: role?,
            tier: tier?,
            kind: kind?,
            holds,
        })
    }
}

struct Location {
    paths: Vec<Pattern>,
    perhaps_paths: Vec<Pattern>,
    exclude_paths: Vec<Pattern>,
    unwatched_paths: Vec<Pattern>,
    sidecar_paths: Vec<Pattern>,
    lock_paths: Vec<Pattern>,
    socket_paths: Vec<Pattern>,
    addresses: Vec<IpAddr>,
    path_env: Vec<PathVariable>,
    path_env_notes: Vec<(String, String)>,
    non_file_locations: Vec<String>,
    shares_path_with: Vec<String>,
}

impl Location {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Self {
        let mut patterns =
            |name, reading: &mut Reading<'_>| fields.optional::<Vec<Pattern>>(name, reading).unwrap_or_default();
        let paths = patterns("paths", reading);
        let perhaps_paths = patterns("perhaps_paths", reading);
        let exclude_paths = patterns("exclude_paths", reading);
        let unwatched_paths = patterns("unwatched_paths", reading);
        let sidecar_paths = patterns("sidecar_paths", reading);
        let lock_paths = patterns("lock_paths", reading);
        let socket_paths = patterns("socket_paths", reading);
        let addresses = fields.optional("addresses", reading).unwrap_or_default();
        let path_env = fields.optional("path_env", reading).map(|table| variables(table, reading)).unwrap_or_default();
        let path_env_notes = fields
            .optional::<Table<String>>("path_env_notes", reading)
            .map(|table| table.0.into_iter().map(|(key, note)| (key.name, note)).collect())
            .unwrap_or_default();
        let non_file_locations = fields.optional("non_file_locations", reading).unwrap_or_default();
        let shares_path_with = fields.optional("shares_path_with", reading).unwrap_or_default();
        Self {
            paths,
            perhaps_paths,
            exclude_paths,
            unwatched_paths,
            sidecar_paths,
            lock_paths,
            socket_paths,
            addresses,
            path_env,
            path_env_notes,
            non_file_locations,
            shares_path_with,
        }
    }
}

struct Life {
    env_vars: Vec<String>,
    env_vars_notes: Vec<String>,
    texts: Texts,
    ttl_seconds: Option<u64>,
    refreshable: bool,
    staleness: super::model::Staleness,
    session_scope: super::model::SessionScope,
    mode: Option<u32>,
    dir_mode: Option<u32>,
    mode_verified: bool,
    write_pattern: super::model::WritePattern,
    write_pattern_verified: bool,
    keyring: Keyring,
    verification: super::model::Verification,
    source: String,
}

struct Texts {
    lifetime: Option<String>,
    logout: Option<String>,
    revoke: Option<String>,
    mode_note: Option<String>,
    notes: Option<String>,
}

impl Life {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let texts = Texts {
            lifetime: fields.optional("lifetime", reading),
            logout: fields.optional("logout", reading),
            revoke: fields.optional("revoke", reading),
            mode_note: fields.optional("mode_note", reading),
            notes: fields.optional("notes", reading),
        };
        let env_vars = fields.optional("env_vars", reading).unwrap_or_default();
        let env_vars_notes = fields.optional("env_vars_notes", reading).unwrap_or_default();
        let ttl_seconds = fields.optional("ttl_seconds", reading);
        let refreshable = fields.optional("refreshable", reading).unwrap_or_default();
        let staleness = fields.required("staleness", reading);
        let session_scope = fields.required("session_scope", reading);
        let mode = fields.optional::<Mode>("mode", reading).map(|mode| mode.0);
        let dir_mode = fields.optional::<Mode>("dir_mode", reading).map(|mode| mode.0);
        let mode_verified = fields.optional("mode_verified", reading).unwrap_or_default();
        let write_pattern = fields.optional("write_pattern", reading).unwrap_or(super::model::WritePattern::Unknown);
        let write_pattern_verified = fields.optional("write_pattern_verified", reading).unwrap_or_default();
        let keyring = fields.optional("keyring", reading).unwrap_or(Keyring::No);
        let verification = fields.required("verification", reading);
        let source = fields.required("source", reading);
        Some(Self {
            env_vars,
            env_vars_notes,
            texts,
            ttl_seconds,
            refreshable,
            staleness: staleness?,
            session_scope: session_scope?,
            mode,
            dir_mode,
            mode_verified,
            write_pattern,
            write_pattern_verified,
            keyring,
            verification: verification?,
            source: source?,
        })
    }
}

fn assemble(
    head: Head,
    location: Location,
    content: Content,
    life: Life,
    (readers, prints, reader_scope): (Vec<Reader>, Vec<String>, Scope),
    at: (std::path::PathBuf, Place),
) -> Store {
    Store {
        id: head.id,
        split_from: head.split_from,
        tool: head.tool,
        vendor: head.vendor,
        family: head.family,
        role: head.role,
        tier: head.tier,
        kind: head.kind,
        holds: head.holds,
        paths: location.paths,
        perhaps_paths: location.perhaps_paths,
        exclude_paths: location.exclude_paths,
        unwatched_paths: location.unwatched_paths,
        path_env: location.path_env,
        path_env_notes: location.path_env_notes,
        sidecar_paths: location.sidecar_paths,
        lock_paths: location.lock_paths,
        socket_paths: location.socket_paths,
        addresses: location.addresses,
        non_file_locations: location.non_file_locations,
        shares_path_with: location.shares_path_with,
        // Known when every entry is: `Catalogue::build`.
        shared_paths: Vec::new(),
        content_regex: content.content_regex,
        placeholder_regex: content.placeholder_regex,
        delegates: content.delegates,
        points_to: content.points_to,
        format: content.format,
        not_extracted: content.not_extracted,
        secret_fields: content.secret_fields,
        expiry_fields: content.expiry_fields,
        issued_fields: content.issued_fields,
        token_shapes: content.token_shapes,
        readers,
        prints,
        reader_scope,
        env_vars: life.env_vars,
        env_vars_notes: life.env_vars_notes,
        lifetime: life.texts.lifetime,
        ttl_seconds: life.ttl_seconds,
        refreshable: life.refreshable,
        staleness: life.staleness,
        session_scope: life.session_scope,
        logout: life.texts.logout,
        revoke: life.texts.revoke,
        mode: life.mode,
        mode_note: life.texts.mode_note,
        dir_mode: life.dir_mode,
        mode_verified: life.mode_verified,
        write_pattern: life.write_pattern,
        write_pattern_verified: life.write_pattern_verified,
        keyring: life.keyring,
        notes: life.texts.notes,
        verification: life.verification,
        source: life.source,
        file: at.0,
        place: at.1,
    }
}
