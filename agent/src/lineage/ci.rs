//! Which job and step of a CI system a process runs in: worked out from its lineage, purely.
//!
//! A step is told apart by the variables that the runner gives to what it starts. Whatever runs in a step can set them
//! anew for its own children, so the oldest process below the runner that has one counts: nearer ones may lie. Where
//! lineage shows no runner (its steps run in containers) variables are all there is, and [`Ci::proof`] says so. None of
//! this ever lowers a severity.
//!
//! Which variables tell what is data: `ci` of the entries of `agent/catalogue/actors.yaml`.

use tokenhound_common::process::ProcessKey;

use super::{
    actor::{Actor, Class, Proof, clean},
    model::{Chain, Process},
};
use crate::{catalogue::actors::Actors, yaml::fields::words};

/// Most characters of an address; other facts are as short as the details of actors.
const URL: usize = 300;

words! {
    /// What is told of a job.
    pub enum Fact {
        /// Whose code: `owner/name`.
        Repository = "repository",
        /// Workflow, pipeline, build configuration.
        Workflow = "workflow",
        /// Job of it.
        Job = "job",
        /// Step of the job.
        Step = "step",
        /// Which run of it.
        Run = "run",
        /// Where a person can look at it.
        Url = "url",
    }
}

words! {
    /// How a program tells a CI system of something, in lines of its output.
    pub enum Protocol {
        /// Workflow commands: `::error file=...::...`.
        Github = "github",
        /// Logging commands: `##vso[task.logissue type=error]...`.
        Azure = "azure",
        /// Service messages: `##teamcity[...]`.
        TeamCity = "teamcity",
    }
}

/// A value made of variables: `{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}`, or one variable's name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Reads it; `None` where a brace has no partner or a name is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !text.contains(['{', '}']) {
            return (!text.is_empty()).then(|| Self(vec![Part::Variable(text.to_owned())]));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}')?;
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return None;
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Variable(name.to_owned()));
            rest = behind;
        }
        if rest.contains('}') {
            return None;
        }
        parts.push(Part::Text(rest.to_owned()));
        Some(Self(parts))
    }

    /// The variables it needs.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Its value where all of its variables are set; `most` characters of each.
    fn value(&self, process: &Process, most: usize) -> Option<String> {
        let mut value = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Variable(wanted) => {
                    let (_, found) = process.environment.iter().find(|(name, _)| name == wanted)?;
                    let found = clean(&found.to_string_lossy(), most);
                    if found.is_empty() {
                        return None;
                    }
                    value.push_str(&found);
                }
            }
        }
        Some(value)
    }
}

/// What is known of a CI system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// For each fact what tells it, the first that is set counts.
    pub facts: Vec<(Fact, Vec<Template>)>,
    /// How findings are shown in its log.
    pub annotations: Option<Protocol>,
    /// Variable that names the file for a step's summary.
    pub summary: Option<String>,
}

impl System {
    /// Every variable that tells a fact.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.facts.iter().flat_map(|(_, templates)| templates).flat_map(Template::variables)
    }
}

/// The job and step that a process runs in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ci {
    /// Id of the system in the catalogue: `github-actions`.
    pub system: String,
    /// What to call its runner.
    pub name: String,
    /// How it was recognised.
    pub proof: Proof,
    /// The runner's process, where lineage shows it.
    pub runner: Option<ProcessKey>,
    /// What variables tell, each at most once, in the order of [`Fact::ALL`].
    pub facts: Vec<(Fact, String)>,
}

impl Ci {
    /// What is told of this.
    #[must_use]
    pub fn fact(&self, wanted: Fact) -> Option<&str> {
        self.facts.iter().find(|(fact, _)| *fact == wanted).map(|(_, value)| value.as_str())
    }

    /// Whether both are in one job, as far as variables tell.
    #[must_use]
    pub fn same_job(&self, other: &Self) -> bool {
        let equal = |fact| self.fact(fact) == other.fact(fact);
        self.system == other.system && self.fact(Fact::Run).is_some() && equal(Fact::Run) && equal(Fact::Job)
    }
}

impl std::fmt::Display for Ci {
    /// `step test of job build, workflow CI of owner/name, run 7`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |(fact, words): (Fact, &str)| self.fact(fact).map(|value| format!("{words}{value}"));
        let all: Vec<String> = [
            (Fact::Step, "step "),
            (Fact::Job, "job "),
            (Fact::Workflow, "workflow "),
            (Fact::Repository, "repository "),
            (Fact::Run, "run "),
        ]
        .into_iter()
        .filter_map(said)
        .collect();
        if all.is_empty() { write!(out, "a job of {}", self.name) } else { out.write_str(&all.join(", ")) }
    }
}

/// The job that the first process of `chain`, for which `actor` acts, runs in; `None` where it is in none.
#[must_use]
pub fn of(chain: &Chain, actor: &Actor, actors: &Actors) -> Option<Ci> {
    let jobs = || actor.parties().filter(|party| party.class == Class::CiJob);
    let party = jobs().find(|party| party.proof != Proof::Marker).or_else(|| jobs().next())?;
    let rule = actors.rules().iter().find(|rule| Some(&rule.id) == party.id.as_ref())?;
    let at = |key| chain.processes.iter().position(|process| process.key == key);
    let below = &chain.processes[..party.process.and_then(at).unwrap_or(chain.processes.len())];
    let system = rule.ci.as_ref();
    let tells = |fact: Fact| {
        let (_, templates) = system?.facts.iter().find(|(known, _)| *known == fact)?;
        let most = if fact == Fact::Url { URL } else { super::actor::DETAIL };
        let told = |process| templates.iter().find_map(|template| template.value(process, most));
        Some((fact, below.iter().rev().find_map(told)?))
    };
    Some(Ci {
        system: rule.id.clone(),
        name: rule.name.clone(),
        proof: party.proof,
        runner: party.process,
        facts: Fact::ALL.iter().copied().filter_map(tells).collect(),
    })
}

/// The system that the variables of our own process speak of: for where a summary goes, and for nothing else.
pub fn detect<'a>(
    actors: &'a Actors,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Option<(&'a str, &'a System)> {
    let set = |name: &str, wanted: Option<&str>| {
        variable(name).is_some_and(|value| wanted.map_or(!value.is_empty(), |wanted| value == wanted))
    };
    let fits = |rule: &&'a crate::catalogue::actors::Rule| {
        rule.markers.iter().any(|marker| set(&marker.name, marker.value.as_deref()))
    };
    let rule = actors.rules().iter().filter(|rule| rule.ci.is_some()).find(fits)?;
    Some((rule.id.as_str(), rule.ci.as_ref()?))
}

#[cfg(test)]
mod tests;
