//! What is wrong with rules that can each be read: unknown words, too broad, never reached, contradictory, expired.

mod breadth;
mod overlap;

use std::{path::Path, time::SystemTime};

use super::{Kind, PROCESS, Policy, Rule, times};
use crate::{
    catalogue::{Catalogue, decoy, pattern::name_matches},
    ingest::observation::Inspection,
    lineage::actor::Class,
    yaml::{Place, Problems, fields::suggest},
};

pub(super) fn together(policy: &Policy, catalogue: &Catalogue, now: SystemTime, problems: &mut Problems) {
    for rule in policy.rules() {
        let about = (rule.file.as_path(), rule.place);
        stores(&rule.store, about, catalogue, problems);
        stores(&rule.except, about, catalogue, problems);
        actors(&rule.actor, about, catalogue, problems);
        other_processes(rule, problems);
        ended(rule, now, problems);
        breadth::check(rule, catalogue, problems);
        overlap::alone(rule, catalogue, problems);
    }
    for rule in policy.token_rules() {
        stores(&rule.store, (&rule.file, rule.place), catalogue, problems);
    }
    overlap::together(policy, catalogue, problems);
}

/// A file and a place in it.
type About<'a> = (&'a Path, Place);

fn stores(words: &[String], (file, place): About<'_>, catalogue: &Catalogue, problems: &mut Problems) {
    for wanted in words {
        // Decoys come and go while the policy stays.
        let decoy = wanted.starts_with(decoy::PREFIX);
        let known =
            decoy || inspection(wanted) || catalogue.stores().iter().any(|store| name_matches(wanted, &store.id));
        if known {
            continue;
        }
        let ways =
            || Inspection::ALL.iter().map(|how| format!("{PROCESS}{}", how.name())).collect::<Vec<_>>().join(", ");
        let hint = match catalogue.suggest(wanted) {
            _ if wanted.starts_with(PROCESS) => format!("ways to look into other processes are {}", ways()),
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "`tokenhound catalogue list` shows all".to_owned(),
        };
        problems.error(file, place, format!("no store \"{wanted}\" in the catalogue; {hint}"));
    }
}

fn actors(words: &[String], (file, place): About<'_>, catalogue: &Catalogue, problems: &mut Problems) {
    let ids = catalogue.actors().rules().iter().map(|rule| rule.id.as_str());
    let known: Vec<&str> = Class::ALL.iter().map(|class| class.name()).chain(ids).collect();
    for wanted in words.iter().filter(|wanted| !known.contains(&wanted.as_str())) {
        let classes = || Class::ALL.iter().map(|class| class.name()).collect::<Vec<_>>().join(", ");
        let hint = match suggest(wanted, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the classes are {}", classes()),
        };
        problems.error(file, place, format!("no actor \"{wanted}\"; {hint}"));
    }
}

fn other_processes(rule: &Rule, problems: &mut Problems) {
    if rule.kind == Kind::Exception || !rule.store.iter().chain(&rule.except).any(|store| inspection(store)) {
        return;
    }
    let message = match rule.kind {
        Kind::Restriction => "looking into other processes is never expected; there is nothing to take back",
        _ => "looking into other processes is never expected; write an exception",
    };
    problems.error(&rule.file, rule.place, message);
}

fn ended(rule: &Rule, now: SystemTime, problems: &mut Problems) {
    if let Some(end) = rule.expires.filter(|_| rule.expired(now)) {
        let message = format!("has expired at {} and holds no longer; remove it, or set a new date", times::shown(end));
        problems.warning(&rule.file, rule.place, message);
    }
}

/// Does `name` in `store` stand for a way to look into other processes?
fn inspection(name: &str) -> bool {
    name.strip_prefix(PROCESS).is_some_and(|name| Inspection::ALL.iter().any(|how| how.name() == name))
}
