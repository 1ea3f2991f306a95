//! The decision. See the module above for its rules.

use std::path::Path;

use super::{Actor, Class, Detail, Party, Proof, person};
use crate::{
    catalogue::{
        actors::{Actors, Covers, Rule, Terminal},
        interpreters::Interpreters,
    },
    ingest::redact,
    lineage::{
        ci,
        model::{Chain, Process, Script},
    },
};

/// Most characters of a detail.
pub(in crate::lineage) const DETAIL: usize = 80;

/// Most actors named.
const PARTIES: usize = 8;

/// What the data says, and where `~/` starts.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) actors: &'a Actors,
    pub(super) interpreters: &'a Interpreters,
    pub(super) home: Option<&'a Path>,
}

impl<'a> Data<'a> {
    pub(super) fn rule(&self, process: &Process) -> Option<(&'a Rule, Proof)> {
        self.actors.of(process, self.home, self.interpreters)
    }
}

/// One actor along the lineage, with the reason why it is there.
struct Node {
    party: Party,
    reason: String,
}

/// On whose behalf the first process of `chain` acts. `home` is its user's, `~/` in the data.
#[must_use]
pub fn classify(chain: &Chain, actors: &Actors, interpreters: &Interpreters, home: Option<&Path>) -> Actor {
    let data = Data { actors, interpreters, home };
    let Some(reader) = chain.processes.first() else { return Actor::default() };
    let nodes = lineage(chain, data);
    let markers = markers(chain, data);
    let delegated = |node: &Node| node.party.class.is_delegated();
    let shown = nodes.iter().position(delegated);
    let mut actor = match (shown, nodes.first(), markers.is_empty()) {
        (Some(index), ..) => of_lineage(&nodes, index),
        (None, first, false) => of_marker(&markers[0], first),
        (None, Some(_), true) => of_lineage(&nodes, 0),
        (None, None, true) => of_standing(reader),
    };
    let prompt = if actor.class() == Class::Interactive { person::at_prompt(chain, data) } else { Ok(None) };
    match prompt {
        Ok(Some(reason)) => {
            actor.at_prompt = true;
            actor.reasons.push(reason);
        }
        Ok(None) => {}
        Err(reason) => actor.reasons.push(reason),
    }
    actor.viewer = actors.is_viewer(reader);
    let others = nodes.into_iter().chain(markers).map(|node| node.party);
    actor.on_behalf_of = behind(&actor.party, others);
    actor.ci = ci::of(chain, &actor, actors).map(Box::new);
    actor
}

/// Everybody but `party`, each once.
fn behind(party: &Party, others: impl Iterator<Item = Party>) -> Vec<Party> {
    let same = |one: &Party, other: &Party| {
        one.class == other.class && (one.id == other.id && (one.id.is_some() || one.name == other.name))
    };
    let mut all: Vec<Party> = Vec::new();
    for other in others {
        if all.len() < PARTIES && !same(party, &other) && !all.iter().any(|known| same(known, &other)) {
            all.push(other);
        }
    }
    all
}

/// The actors that lineage shows, nearest first.
fn lineage(chain: &Chain, data: Data<'_>) -> Vec<Node> {
    let (mut nodes, mut relays) = (Vec::new(), Vec::new());
    let Some(reader) = chain.processes.first() else { return nodes };
    let mut inside = reader.container.as_ref();
    for (index, process) in chain.processes.iter().enumerate() {
        if inside.is_some() && process.container.as_ref() != inside {
            nodes.extend(inside.map(container));
            inside = None;
        }
        let Some((rule, proof)) = data.rule(process) else { continue };
        let counts = match (rule.covers, rule.class) {
            (Covers::Below, _) if index == 0 => false,
            // Without a terminal whoever let it in says nothing of who acts.
            (_, Class::Interactive) => reader.tty.is_some(),
            _ => true,
        };
        // What passes a terminal on is nobody: it counts where nothing else is known.
        let list = if rule.terminal == Some(Terminal::Relay) { &mut relays } else { &mut nodes };
        if counts {
            list.push(program(chain, index, rule, proof));
        }
    }
    if nodes.is_empty() {
        nodes = relays;
    }
    nodes.extend(inside.map(container));
    nodes.extend(reader.unit.as_deref().filter(|unit| is_service(unit)).map(unit));
    nodes
}

fn program(chain: &Chain, index: usize, rule: &Rule, proof: Proof) -> Node {
    let process = &chain.processes[index];
    // Who works in a terminal that an IDE has for its user is that user.
    let class = if rule.terminal.is_some() && in_terminal(chain) { Class::Interactive } else { rule.class };
    let place = if index == 0 { "the reader is" } else { "above the reader is" };
    let known = match proof {
        Proof::Place => "in a place that its user cannot write",
        _ => "known by its name only: its user could have made it",
    };
    let reason = format!("{place} {} (pid {}, {}), {known}", rule.name, process.key.tgid, runs(process));
    let party = Party {
        class,
        id: Some(rule.id.clone()),
        name: rule.name.clone(),
        process: Some(process.key),
        proof,
        details: details(&chain.processes[..=index], rule),
    };
    Node { party, reason }
}

/// Is the reader in a terminal whose session a process of the lineage leads?
fn in_terminal(chain: &Chain) -> bool {
    chain.processes.first().is_some_and(|reader| {
        reader.tty.is_some() && chain.processes.iter().any(|process| process.key.tgid == reader.session)
    })
}

fn runs(process: &Process) -> String {
    let path = process.executable.path.display();
    match &process.script {
        Some(Script::File { path: script, .. }) => format!("{path} running {}", script.display()),
        Some(Script::Module(name)) => format!("{path} running module {name}"),
        Some(Script::Inline) | None => path.to_string(),
    }
}

fn container(container: &crate::lineage::model::Container) -> Node {
    let id: String = container.id.chars().take(12).collect();
    let name = format!("{} container {id}", container.runtime);
    Node { reason: format!("it runs in the {name}"), party: standing(Class::Container, name) }
}

/// A unit that systemd starts by itself. What a desktop starts for its user is called `app-...` (XDG), and the manager
/// of a user's session is no actor.
fn is_service(unit: &str) -> bool {
    unit.ends_with(".service") && !unit.starts_with("app-") && !unit.starts_with("user@")
}

fn unit(unit: &str) -> Node {
    let name = format!("systemd unit {unit}");
    Node { reason: format!("its cgroup is that of the {name}"), party: standing(Class::Automation, name) }
}

fn standing(class: Class, name: String) -> Party {
    Party { class, id: None, name, process: None, proof: Proof::Standing, details: Vec::new() }
}

/// The actors that variables speak of, from the reader upwards; one whose class lineage never shows by itself first.
fn markers(chain: &Chain, data: Data<'_>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for (index, process) in chain.processes.iter().enumerate() {
        for (rule, marker) in data.actors.marked(&process.environment) {
            if nodes.len() >= PARTIES || nodes.iter().any(|node| node.party.id.as_ref() == Some(&rule.id)) {
                continue;
            }
            let reason = format!(
                "only a variable says so: {} in the environment of {} (pid {}), which anyone can set",
                marker.name,
                process.name(),
                process.key.tgid
            );
            let party = Party {
                class: rule.class,
                id: Some(rule.id.clone()),
                name: rule.name.clone(),
                process: None,
                proof: Proof::Marker,
                details: details(&chain.processes[..=index], rule),
            };
            nodes.push(Node { party, reason });
        }
    }
    // The most delegated first: an install script that an agent started inherits the agent's variables.
    let rank = |node: &Node| match node.party.class {
        Class::PackageScript => 0,
        Class::AiAgent => 1,
        Class::CiJob => 2,
        _ => 3,
    };
    nodes.sort_by_key(rank);
    nodes
}

/// What the variables of these processes tell, the reader's first.
fn details(processes: &[Process], rule: &Rule) -> Vec<(Detail, String)> {
    let value = |name: &String| {
        let found = processes.iter().flat_map(|process| &process.environment).find(|(known, _)| known == name);
        found.map(|(_, value)| clean(&value.to_string_lossy(), DETAIL)).filter(|value| !value.is_empty())
    };
    rule.details.iter().filter_map(|(detail, names)| Some((*detail, names.iter().find_map(value)?))).collect()
}

/// A value fit for output, of so many characters at most: variables can hold anything.
pub(in crate::lineage) fn clean(value: &str, most: usize) -> String {
    redact::redact_value(value).chars().filter(|character| !character.is_control()).take(most).collect()
}

fn of_lineage(nodes: &[Node], index: usize) -> Actor {
    let node = &nodes[index];
    let mut reasons = vec![node.reason.clone()];
    if let Some(nearer) = nodes[..index].first() {
        reasons.push(format!("nearer is {}, which {} above it overrules", nearer.party.name, node.party.class.name()));
    }
    Actor { party: node.party.clone(), reasons, ..Actor::default() }
}

/// A variable may only take away trust: it makes an IDE of what is unknown, and an actor that counts more of anything.
fn of_marker(marker: &Node, shown: Option<&Node>) -> Actor {
    match shown {
        Some(shown) if !marker.party.class.is_delegated() => of_lineage(std::slice::from_ref(shown), 0),
        _ => {
            let mut reasons = vec![marker.reason.clone()];
            reasons.extend(shown.map(|shown| format!("lineage shows {} only", shown.party.name)));
            Actor { party: marker.party.clone(), reasons, ..Actor::default() }
        }
    }
}

/// Nobody that is known is in its lineage.
fn of_standing(reader: &Process) -> Actor {
    if reader.tty.is_none() {
        return Actor::default();
    }
    Actor {
        party: standing(Class::Interactive, "a terminal".to_owned()),
        reasons: vec!["it has a controlling terminal; what opened that is not known".to_owned()],
        ..Actor::default()
    }
}
