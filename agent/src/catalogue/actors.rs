//! Actors as data: which programs and variables make an AI agent, a package script, a CI job, a person's terminal.
//!
//! One entry of `actors`:
//!
//! | key | holds |
//! | --- | --- |
//! | `id`, `name` | what policies call it, what people read |
//! | `class` | a word of [`Class`] |
//! | `covers` | `itself` (the default: the program and all below it) or `below` (npm reads for its user; what it starts does not) |
//! | `programs` | how it is recognised, see [`Program`]; one that fits is enough |
//! | `markers` | variables, `NAME` or `NAME=VALUE`, that it sets for what it starts: weak |
//! | `terminal` | for `interactive`, and an `ide` that has terminals for its user: a word of [`Terminal`] |
//! | `details` | for each word of [`Detail`] the variables that tell it, the first that is set counts |
//! | `ci` | of a CI system: what its variables tell of a job, see [`ci`] |
//! | `means`, `source` | what it is, and where the facts come from |
//!
//! Beside them: `shells` (programs that have a prompt) and `viewers` (programs that only show what they read).

mod ci;

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::{
    interpreters::Interpreters,
    pattern::{Part, Pattern, name_matches},
};
use crate::{
    lineage::{
        actor::{Class, Detail, Proof},
        ci::System,
        identity::normalise,
        model::{Process, Script, Writable},
    },
    yaml::{
        Node, Place, Problems,
        fields::{Fields, FromNode, Reading, Table, words},
    },
};

words! {
    /// What an entry covers.
    pub enum Covers {
        /// The program itself and all that it starts.
        Itself = "itself",
        /// Only what it starts.
        Below = "below",
    }
}

words! {
    /// What a program has to do with terminals.
    pub enum Terminal {
        /// It lets people in and runs as root until then: sshd, login.
        Login = "login",
        /// It opens a window for the person in front of it.
        Window = "window",
        /// It opens a terminal for whoever has one already: tmux, su, script. It proves nothing by itself.
        Relay = "relay",
    }
}

/// How a program is recognised: by its file's name or path, or by what an interpreter runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Names of the executable; `*` is a wildcard.
    pub exe: Vec<String>,
    /// Paths of the executable.
    pub paths: Vec<Pattern>,
    /// Interpreters that may run the scripts; empty for any.
    pub interpreter: Vec<String>,
    /// Paths of the script.
    pub scripts: Vec<Pattern>,
    /// Names of the module.
    pub modules: Vec<String>,
    /// Its first argument that is no option is one of these; empty for any.
    pub commands: Vec<String>,
}

/// A variable that an actor sets for what it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Name of the variable.
    pub name: String,
    /// Its value; any but the empty one if `None`.
    pub value: Option<String>,
}

/// One kind of actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique id.
    pub id: String,
    /// What to call it.
    pub name: String,
    /// Its class.
    pub class: Class,
    /// Whether the program itself counts.
    pub covers: Covers,
    /// How it is recognised.
    pub programs: Vec<Program>,
    /// What it sets for what it starts.
    pub markers: Vec<Marker>,
    /// What it has to do with terminals.
    pub terminal: Option<Terminal>,
    /// Variables that tell details.
    pub details: Vec<(Detail, Vec<String>)>,
    /// What is known of a CI system.
    pub ci: Option<System>,
    /// What it is, for people.
    pub means: String,
    /// Where the facts come from.
    pub source: String,
    /// Its file.
    pub file: PathBuf,
    /// Where in that file.
    pub place: Place,
}

/// Programs that only show what they read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewerRule {
    /// Names of the executable.
    pub exe: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Actors {
    rules: Vec<Rule>,
    shells: Vec<String>,
    viewers: Vec<ViewerRule>,
    /// Rules by the name of executable, script or module; those that have none are always asked.
    by_name: HashMap<String, Vec<usize>>,
    unnamed: Vec<usize>,
}

impl Actors {
    /// The rule that a process fits, and how sure that is. `home` is where `~/` starts.
    #[must_use]
    pub fn of(&self, process: &Process, home: Option<&Path>, interpreters: &Interpreters) -> Option<(&Rule, Proof)> {
        let exe = process.executable.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let what = match &process.script {
            Some(Script::File { path, .. }) => path.file_name().and_then(|name| name.to_str()),
            Some(Script::Module(name)) => Some(name.as_str()),
            Some(Script::Inline) | None => None,
        };
        let named = |name: &str| self.by_name.get(name).map(Vec::as_slice).unwrap_or_default().iter();
        let candidates = what.into_iter().flat_map(named).chain(named(exe)).chain(named(normalise(exe)));
        let fits = |index: &usize| {
            let rule = self.rules.get(*index)?;
            let program = rule.programs.iter().find(|program| program.fits(process, home, interpreters))?;
            Some((rule, program.proof(process)))
        };
        candidates.chain(&self.unnamed).find_map(fits)
    }

    /// Whether a program of this file name may be a CI runner, or the interpreter of one. Quick: it is asked of many.
    #[must_use]
    pub fn may_run_jobs(&self, name: &str, interpreters: &Interpreters) -> bool {
        let mut programs = self.rules.iter().filter(|rule| rule.class == Class::CiJob).flat_map(|rule| &rule.programs);
        let named = |program: &Program| program.exe.iter().any(|exe| name_matches(exe, name) || exe == normalise(name));
        let interprets = |program: &Program| program.interpreter.iter().any(|wanted| interpreters.same(wanted, name));
        programs.any(|program| named(program) || interprets(program) || !program.paths.is_empty())
    }

    /// The rules whose markers are in this environment.
    pub fn marked<'a>(
        &'a self,
        environment: &'a [(String, std::ffi::OsString)],
    ) -> impl Iterator<Item = (&'a Rule, &'a Marker)> {
        let set = |marker: &&Marker| {
            environment.iter().any(|(name, value)| {
                *name == marker.name
                    && marker.value.as_deref().map_or(!value.is_empty(), |wanted| value.as_os_str() == wanted)
            })
        };
        self.rules.iter().filter_map(move |rule| Some((rule, rule.markers.iter().find(set)?)))
    }

    /// Is it a shell, which has a prompt?
    #[must_use]
    pub fn is_shell(&self, process: &Process) -> bool {
        let name = process.executable.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.shells.iter().any(|shell| shell == name)
    }

    /// Does a process run a program that only shows what it reads?
    #[must_use]
    pub fn is_viewer(&self, process: &Process) -> bool {
        let executable = &process.executable;
        let name = executable.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named = || self.viewers.iter().any(|rule| rule.exe.iter().any(|exe| exe == name));
        executable.writable == Writable::No && executable.links != 0 && named()
    }

    /// Every rule.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Every variable that tells something.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        let details = |rule: &Rule| rule.details.iter().flat_map(|(_, names)| names.clone()).collect::<Vec<_>>();
        let markers = |rule: &Rule| rule.markers.iter().map(|marker| marker.name.clone()).collect::<Vec<_>>();
        let facts = |rule: &Rule| rule.ci.iter().flat_map(System::variables).map(str::to_owned).collect::<Vec<_>>();
        self.rules.iter().flat_map(|rule| [markers(rule), details(rule), facts(rule)].concat()).collect()
    }

    /// Takes over those of `other`; a rule of the same id replaces.
    pub fn overlay(&mut self, other: Self) {
        for rule in other.rules {
            match self.rules.iter_mut().find(|own| own.id == rule.id) {
                Some(own) => *own = rule,
                None => self.rules.push(rule),
            }
        }
        self.shells.extend(other.shells);
        self.viewers.extend(other.viewers);
        self.index();
    }

    fn index(&mut self) {
        self.by_name.clear();
        self.unnamed.clear();
        for (index, rule) in self.rules.iter().enumerate() {
            let names: Vec<Option<String>> = rule.programs.iter().flat_map(Program::names).collect();
            if names.contains(&None) {
                self.unnamed.push(index);
            }
            for name in names.into_iter().flatten() {
                let known = self.by_name.entry(name).or_default();
                if !known.contains(&index) {
                    known.push(index);
                }
            }
        }
    }
}

impl Program {
    /// The last name of each thing that it is recognised by; `None` for one with a wildcard there.
    fn names(&self) -> Vec<Option<String>> {
        let plain = |name: &String| (!name.contains('*')).then(|| name.clone());
        let last = |pattern: &Pattern| pattern.parts().last().and_then(Part::name).map(str::to_owned);
        let exe = self.exe.iter().map(plain);
        exe.chain(self.paths.iter().chain(&self.scripts).map(last)).chain(self.modules.iter().map(plain)).collect()
    }

    fn fits(&self, process: &Process, home: Option<&Path>, interpreters: &Interpreters) -> bool {
        let path = &process.executable.path;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let program = self.exe.iter().any(|exe| name_matches(exe, name) || exe == normalise(name))
            || (!process.executable.path_truncated && self.paths.iter().any(|place| place.matches(path, home)));
        let interpreted =
            self.interpreter.is_empty() || self.interpreter.iter().any(|wanted| interpreters.same(wanted, name));
        let script = match &process.script {
            Some(Script::File { path, .. }) => self.scripts.iter().any(|place| place.matches(path, home)),
            Some(Script::Module(name)) => self.modules.contains(name),
            Some(Script::Inline) | None => false,
        };
        (program || (script && interpreted)) && self.commanded(process)
    }

    /// Is its first argument that is no option one of those wanted?
    fn commanded(&self, process: &Process) -> bool {
        if self.commands.is_empty() {
            return true;
        }
        let script = match &process.script {
            Some(Script::File { path, .. }) => path.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            Some(Script::Module(name)) => name.as_str(),
            Some(Script::Inline) | None => "",
        };
        let own = |arg: &str| !script.is_empty() && arg.rsplit('/').next() == Some(script);
        let mut words = process.args.iter().skip(1).filter(|arg| !arg.starts_with('-') && !own(arg));
        words.next().is_some_and(|word| self.commands.contains(word))
    }

    /// How sure it is that a process that fits is the one that is meant.
    fn proof(&self, process: &Process) -> Proof {
        let script = match &process.script {
            Some(Script::File { writable, .. }) if !self.scripts.is_empty() => *writable,
            Some(Script::Module(_)) if !self.modules.is_empty() => Writable::Unknown,
            _ => Writable::No,
        };
        let sound = process.executable.writable == Writable::No && script == Writable::No;
        if sound && process.executable.links > 0 { Proof::Place } else { Proof::Name }
    }
}

/// Reads the keys of a catalogue file that are about actors.
pub(super) fn parse_actors(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Actors {
    let rules: Vec<Lenient> = fields.optional("actors", reading).unwrap_or_default();
    Actors {
        rules: rules.into_iter().filter_map(|rule| rule.0).collect(),
        shells: fields.optional("shells", reading).unwrap_or_default(),
        viewers: fields.optional("viewers", reading).unwrap_or_default(),
        ..Actors::default()
    }
}

/// What is wrong with rules that can each be read.
pub(super) fn check(actors: &Actors, problems: &mut Problems) {
    for (index, rule) in actors.rules.iter().enumerate() {
        if actors.rules[..index].iter().any(|earlier| earlier.id == rule.id) {
            problems.error(&rule.file, rule.place, format!("actor \"{}\" is already given", rule.id));
        }
        if Class::ALL.iter().any(|class| class.name() == rule.id) {
            let message = format!("\"{}\" is the name of a class; call the actor otherwise", rule.id);
            problems.error(&rule.file, rule.place, message);
        }
    }
}

/// A rule, or a problem that has been reported.
struct Lenient(Option<Rule>);

impl FromNode for Lenient {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self(Rule::from_node(node, reading)))
    }
}

impl FromNode for Rule {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let place = fields.place();
        let id = fields.required("id", reading);
        let name = fields.required("name", reading);
        let class = fields.required("class", reading);
        let covers = fields.optional("covers", reading).unwrap_or(Covers::Itself);
        let programs: Vec<Program> = fields.optional("programs", reading).unwrap_or_default();
        let markers: Vec<Marker> = fields.optional("markers", reading).unwrap_or_default();
        let terminal: Option<Terminal> = fields.optional("terminal", reading);
        let details: Option<Table<Vec<String>>> = fields.optional("details", reading);
        let ci = fields.optional("ci", reading);
        let means = fields.required("means", reading);
        let source = fields.required("source", reading);
        fields.finish(reading);
        let rule = Self {
            id: id?,
            name: name?,
            class: class?,
            covers,
            programs,
            markers,
            terminal,
            details: details.map(|table| details_of(table, reading)).unwrap_or_default(),
            ci,
            means: means?,
            source: source?,
            file: reading.file.to_owned(),
            place,
        };
        rule.check(reading);
        Some(rule)
    }
}

impl Rule {
    fn check(&self, reading: &mut Reading<'_>) {
        if self.programs.is_empty() && self.markers.is_empty() {
            reading.error(self.place, format!("\"{}\" has neither \"programs\" nor \"markers\"", self.id));
        }
        let terminal = match self.class {
            Class::Interactive => self.terminal.is_some(),
            Class::Ide => matches!(self.terminal, None | Some(Terminal::Window)),
            _ => self.terminal.is_none(),
        };
        if !terminal {
            let message = "\"terminal\" goes with the class interactive; an ide may have \"window\", others have none";
            reading.error(self.place, message);
        }
        if !(self.markers.is_empty() || self.class.is_delegated() || self.class == Class::Ide) {
            let message =
                format!("a variable proves no {}: anyone can set it; leave out \"markers\"", self.class.name());
            reading.error(self.place, message);
        }
        if self.ci.is_some() && self.class != Class::CiJob {
            reading.error(self.place, "\"ci\" goes with the class ci-job");
        }
        if matches!(self.class, Class::Unknown | Class::Container) {
            reading.error(self.place, format!("the class {} is never given by a program", self.class.name()));
        }
    }
}

fn details_of(table: Table<Vec<String>>, reading: &mut Reading<'_>) -> Vec<(Detail, Vec<String>)> {
    let mut details = Vec::new();
    for (key, names) in table.0 {
        match Detail::ALL.iter().find(|detail| detail.name() == key.name) {
            Some(detail) => details.push((*detail, names)),
            None => {
                let known: Vec<&str> = Detail::ALL.iter().map(|detail| detail.name()).collect();
                crate::yaml::fields::unknown_word(key.place, &key.name, &known, reading);
            }
        }
    }
    details
}

impl FromNode for Program {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let place = fields.place();
        let program = Self {
            exe: fields.optional("exe", reading).unwrap_or_default(),
            paths: fields.optional("paths", reading).unwrap_or_default(),
            interpreter: fields.optional("interpreter", reading).unwrap_or_default(),
            scripts: fields.optional("scripts", reading).unwrap_or_default(),
            modules: fields.optional("modules", reading).unwrap_or_default(),
            commands: fields.optional("commands", reading).unwrap_or_default(),
        };
        fields.finish(reading);
        if program.names().is_empty() {
            reading.error(place, "names no program: give \"exe\", \"paths\", \"scripts\" or \"modules\"");
        }
        Some(program)
    }
}

impl FromNode for Marker {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        Some(match text.split_once('=') {
            Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Self { name: text, value: None },
        })
    }
}

impl FromNode for ViewerRule {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let exe = fields.required("exe", reading);
        fields.finish(reading);
        Some(Self { exe: exe? })
    }
}

#[cfg(test)]
mod tests;
