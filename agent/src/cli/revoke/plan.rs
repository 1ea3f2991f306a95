//! What remains of the tokens of a store, and what to do about it.

use std::{collections::BTreeSet, fmt::Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    catalogue::model::Store,
    finding::{text::Style, visible},
    history::{
        Database, HistoryError,
        egress::Egress,
        mark,
        model::Standing,
        read::{Access, Copy, Holder, Place},
        trail::{Subject, Trail},
    },
    lineage::backfill,
    token::{
        extract::{Content, extract_all},
        fingerprint::{Fingerprint, Key},
        read,
    },
    trace,
};

/// Where it is looked up.
pub(super) struct Sources<'c> {
    pub(super) store: &'c Store,
    /// To look into the store itself; without it what the agent knows counts.
    pub(super) key: Option<Key>,
}

/// The plan.
#[derive(Debug, Default)]
pub(super) struct Plan {
    store: String,
    title: String,
    /// What to do, in order: kind and text.
    commands: Vec<(&'static str, String)>,
    /// Tokens that lie in the store.
    here: Vec<Place>,
    /// Tokens that have left it and have not ended by themselves.
    left: Vec<Place>,
    /// Copies that are not known to be gone.
    copies: Vec<Copy>,
    /// Copies that the history knows and that were not found now.
    pub(super) missing: usize,
    /// Where those connected to who carried one.
    egress: Vec<Egress>,
    /// Processes that got at a token and run still, each with how.
    holders: Vec<(u32, Access)>,
    /// Containers in which a token was read.
    containers: BTreeSet<String>,
}

/// What is known of the tokens of a store. Places and copies are all that the history has: a part of them would not do to say that
/// nothing remains.
#[derive(Debug, Default)]
struct Known {
    places: Vec<Place>,
    copies: Vec<Copy>,
    /// The latest ones.
    accesses: Vec<Access>,
    egress: Vec<Egress>,
    holders: Vec<Holder>,
}

impl Known {
    fn read(store: &Store, history: &Database) -> Result<Self, HistoryError> {
        let places = history.places_of(&store.id)?;
        let tokens: BTreeSet<Fingerprint> = places.iter().filter_map(|place| place.fingerprint.parse().ok()).collect();
        let copies = history.copies_of(&tokens.into_iter().collect::<Vec<_>>())?;
        let Trail { accesses, egress, .. } = history.trail(&Subject::Store(store.id.clone()))?;
        let holders = history.holders(&accesses)?;
        Ok(Self { places, copies, accesses, egress, holders })
    }
}

impl Plan {
    pub(super) fn read(sources: &Sources<'_>, history: &Database) -> Result<Self, HistoryError> {
        Ok(Self::of(sources, &Known::read(sources.store, history)?))
    }

    fn of(sources: &Sources<'_>, known: &Known) -> Self {
        let store = sources.store;
        let now = Timestamp::now();
        let ended =
            |place: &Place| place.facts.as_ref().and_then(|facts| facts.expires).is_some_and(|expires| expires <= now);
        let is_here = |place: &Place| match &sources.key {
            Some(key) => lies(sources, key, place),
            None => place.gone.is_none(),
        };
        let (here, left): (Vec<Place>, Vec<Place>) = known.places.iter().cloned().partition(|place| is_here(place));
        let left: Vec<Place> = left.into_iter().filter(|place| !ended(place)).collect();
        let concerned: BTreeSet<&str> = here.iter().chain(&left).map(|place| place.fingerprint.as_str()).collect();
        let looked = |copy: &Copy| Copy { state: mark::standing(&copy.path, copy.mark), ..copy.clone() };
        let copies = known.copies.iter().filter(|copy| concerned.contains(copy.fingerprint.as_str())).map(looked);
        let (missing, copies): (Vec<Copy>, Vec<Copy>) = copies.partition(|copy| copy.state == Standing::Gone);
        let about = |access: &&Access| access.tokens.iter().any(|token| concerned.contains(token.as_str()));
        let accesses: Vec<&Access> = known.accesses.iter().filter(about).collect();
        let alive = known.holders.iter().filter(|holder| backfill::is_alive(holder.process)).filter_map(|holder| {
            let access = accesses.iter().find(|access| access.id == holder.access)?;
            Some((holder.process.tgid, (*access).clone()))
        });
        let carried = |egress: &&Egress| match (egress.access, &egress.fingerprint) {
            (Some(access), _) => accesses.iter().any(|one| one.id == access),
            (None, Some(token)) => concerned.contains(token.as_str()),
            (None, None) => true,
        };
        let commands = [("at its issuer", &store.revoke), ("on this machine", &store.logout)];
        Self {
            store: store.id.clone(),
            title: store.tool.clone(),
            commands: commands.into_iter().filter_map(|(kind, text)| Some((kind, text.clone()?))).collect(),
            copies,
            missing: missing.len(),
            egress: known.egress.iter().filter(carried).cloned().collect(),
            holders: alive.collect(),
            containers: accesses.iter().filter_map(|access| access.container.clone()).collect(),
            here,
            left,
        }
    }

    /// How much is left to do: tokens in the store, and copies. Processes end by themselves, and what a revoked token is worth
    /// to them is its issuer's.
    pub(super) fn remains(&self) -> usize {
        self.here.len() + self.copies.len()
    }
}

/// Does the token lie there, by a look into the file?
fn lies(sources: &Sources<'_>, key: &Key, place: &Place) -> bool {
    let Ok(file) = read::read(&place.path) else { return place.path.exists() && place.gone.is_none() };
    let wal = file.wal.as_ref().map(crate::token::secret::Secret::expose);
    let content = Content { path: &place.path, bytes: file.bytes.expose(), wal, written: file.written };
    let found = extract_all(&[sources.store], &content);
    found
        .iter()
        .flat_map(|(_, extraction)| &extraction.tokens)
        .any(|token| key.fingerprint(&token.secret).to_string() == place.fingerprint)
}

/// The plan for a person.
pub(super) fn text(plan: &Plan, style: Style) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}", style.paint("1", &format!("Revoke {} ({})", plan.store, visible::text(&plan.title))));
    section(&mut out, style, "tokens in the store", &plan.here, token);
    section(&mut out, style, "tokens that have left it and have not ended", &plan.left, token);
    section(&mut out, style, "copies", &plan.copies, copy);
    section(&mut out, style, "machines that were connected to by who carried one", &plan.egress, |egress| {
        format!("{} by {}, {}", trace::destination(egress), trace::sender(egress), trace::moment(egress.last))
    });
    section(&mut out, style, "processes that got at a token and run still", &plan.holders, |(pid, access)| {
        format!("pid {pid}: {}", trace::who(access))
    });
    let containers: Vec<&String> = plan.containers.iter().collect();
    section(&mut out, style, "containers in which one was read", &containers, |one| trace::short_container(one));
    let _ = writeln!(out, "  {}", style.paint("1", "what to do, in this order"));
    let mut number = 0;
    let mut step = |text: String| {
        number += 1;
        let _ = writeln!(out, "    {number}. {}", visible::text(&text));
    };
    for (kind, command) in &plan.commands {
        step(format!("{kind}: {command}"));
    }
    if plan.commands.is_empty() {
        step("no command is known: take the token back at its issuer, then remove it from the store".to_owned());
    }
    plan.copies.iter().for_each(|copy| step(format!("remove it from {}", visible::path(&copy.path))));
    if !plan.egress.is_empty() {
        step("ask its issuer what the token was used for since: it may be on the machines above".to_owned());
    }
    if !plan.holders.is_empty() {
        step("end or restart the processes above: they may hold it in memory".to_owned());
    }
    visible::inert(&out)
}

/// How it went.
pub(super) fn outcome(plan: &Plan, style: Style) -> String {
    if plan.remains() == 0 {
        let held = plan.holders.len();
        let held = if held > 0 { format!("; {held} processes that got at one run still") } else { String::new() };
        return format!("Nothing remains: no token lies in the store, and no copy is known{held}.\n");
    }
    let mut out = format!("{}\n", style.paint("1", "Still there:"));
    section(&mut out, style, "tokens in the store", &plan.here, token);
    section(&mut out, style, "copies", &plan.copies, copy);
    visible::inert(&out)
}

fn section<T>(out: &mut String, style: Style, title: &str, all: &[T], line: impl Fn(&T) -> String) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {}", style.paint("1", title));
    for one in all {
        let _ = writeln!(out, "    - {}", visible::text(&line(one)));
    }
}

fn token(place: &Place) -> String {
    let left = place.gone.map(|gone| format!(", gone since {}", trace::moment(gone))).unwrap_or_default();
    format!("{} in {} at {}{left}", place.fingerprint, visible::path(&place.path), place.field)
}

fn copy(copy: &Copy) -> String {
    let state = match copy.state {
        Standing::Present => "as it was when the token was found in it",
        Standing::Changed | Standing::Gone => "changed since, and may hold it still: look",
    };
    format!("{} ({}), {state}", visible::path(&copy.path), copy.class)
}

/// The same for other programs.
pub(super) fn json(plan: &Plan, remains: Option<usize>) -> Value {
    let holder = |(pid, access): &(u32, Access)| json!({"pid": pid, "program": visible::lossless(&access.program), "actor": access.actor});
    json!({
        "schema": "tokenhound-revoke-1",
        "store": plan.store,
        "commands": plan.commands.iter().map(|(kind, text)| json!({"where": kind, "command": text})).collect::<Vec<_>>(),
        "tokens": plan.here,
        "left": plan.left,
        "copies": plan.copies,
        "egress": plan.egress,
        "holders": plan.holders.iter().map(holder).collect::<Vec<_>>(),
        "containers": plan.containers,
        "remains": remains.unwrap_or_else(|| plan.remains()),
        "checked": remains.is_some(),
    })
}

#[cfg(test)]
mod tests;
