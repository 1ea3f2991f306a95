//! May this program read this store? Pure: everything known of the reader comes in.
//!
//! A name proves nothing. A reader is expected if the catalogue lists it **and** it runs from a listed path, from a
//! place that its user cannot write, or from where a version manager installs tools. For an interpreter all of that is
//! asked of the script, also of one that is listed wherever it lies, and the interpreter itself must not have been
//! brought along.

use std::{fmt, path::Path};

use super::{
    interpreters::{Interpreter, Interpreters},
    model::{Reader, ReaderMatch, ReaderRole, Store},
    pattern::{Anchor, Pattern, name_matches},
};
use crate::lineage::{
    model::{Process, Script, Writable},
    package::Owners,
};

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The store belongs to this reader.
    Expected {
        /// What it has to do with the store.
        role: ReaderRole,
        /// What it was recognised by.
        why: String,
    },
    /// It does not.
    NotExpected {
        /// The most telling reason.
        why: WhyNot,
    },
}

impl Expectation {
    /// Is it expected?
    #[must_use]
    pub const fn expected(&self) -> bool {
        matches!(self, Self::Expected { .. })
    }
}

/// Why a reader is not expected; the later, the more telling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhyNot {
    /// The catalogue does not list it.
    NotListed {
        /// Its name.
        name: String,
    },
    /// Readers of this store are told by container, unit or cgroup, not by program.
    Contextual {
        /// The catalogue's words.
        note: String,
    },
    /// The interpreter is listed, this script is not.
    ScriptNotListed {
        /// The interpreter.
        interpreter: String,
        /// The script or module.
        script: String,
    },
    /// It is meant to ask another program, not to open the file.
    Indirect {
        /// Its name.
        name: String,
        /// The catalogue's words.
        note: String,
    },
    /// It is listed only as a generic program, which is never sufficient alone.
    WeakReader {
        /// Its name.
        name: String,
    },
    /// Its name is listed, but where it came from could not be found out.
    PlaceUnknown {
        /// The executable or script.
        path: String,
    },
    /// Its name is listed, but its user could have put it there.
    WritablePlace {
        /// The executable or script.
        path: String,
    },
    /// It is listed wherever it lies, and it lies in its user's own home: what runs as that user can put one there.
    OwnPlace {
        /// The script.
        path: String,
    },
    /// The interpreter itself runs from a place its user can write.
    InterpreterWritable {
        /// The interpreter.
        path: String,
    },
    /// An interpreter with code that was typed or piped in.
    InlineCode {
        /// The interpreter.
        interpreter: String,
    },
    /// A program that only moves or shows bytes.
    CopyTool {
        /// Its name.
        name: String,
    },
    /// It is listed, but with these arguments it could send the file elsewhere.
    Arguments {
        /// Its name.
        name: String,
    },
}

impl WhyNot {
    /// As a short word, for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotListed { .. } => "not_listed",
            Self::Contextual { .. } => "contextual",
            Self::ScriptNotListed { .. } => "script_not_listed",
            Self::Indirect { .. } => "indirect",
            Self::WeakReader { .. } => "weak_reader",
            Self::Arguments { .. } => "arguments",
            Self::PlaceUnknown { .. } => "place_unknown",
            Self::WritablePlace { .. } => "writable_place",
            Self::OwnPlace { .. } => "own_place",
            Self::InterpreterWritable { .. } => "interpreter_writable",
            Self::InlineCode { .. } => "inline_code",
            Self::CopyTool { .. } => "copy_tool",
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed { name } => write!(out, "{name} is not listed as a reader of this store"),
            Self::Contextual { note } => write!(out, "readers of this store are told by their surroundings ({note})"),
            Self::ScriptNotListed { interpreter, script } => {
                write!(out, "{script}, run by {interpreter}, is not listed as a reader of this store")
            }
            Self::Indirect { name, note } => {
                write!(out, "{name} is meant to get the token through another program, not from the file")?;
                if note.is_empty() { Ok(()) } else { write!(out, " ({note})") }
            }
            Self::WeakReader { name } => {
                write!(
                    out,
                    "{name} is a weak reader: some programs of that kind read this store, but any thief can be one"
                )
            }
            Self::Arguments { name } => {
                write!(
                    out,
                    "{name} reads this store by itself, but with these arguments it could send any file elsewhere"
                )
            }
            Self::PlaceUnknown { path } => {
                write!(out, "the name of {path} is listed, but the file could not be examined")
            }
            Self::WritablePlace { path } => {
                write!(out, "the name of {path} is listed, but its user can write that place")
            }
            Self::OwnPlace { path } => {
                write!(
                    out,
                    "{path} is called like a reader of this store, but anything that runs as its user can put it there"
                )
            }
            Self::InterpreterWritable { path } => {
                write!(out, "the interpreter {path} is in a place its user can write")
            }
            Self::InlineCode { interpreter } => {
                write!(out, "{interpreter} is an interpreter, and its code was typed, piped in or is not known")
            }
            Self::CopyTool { name } => write!(out, "{name} only moves or shows bytes, for whoever runs it"),
        }
    }
}

/// Is `reader` expected by `store`? `home` is that of the reader's user.
#[must_use]
pub fn expectation(store: &Store, reader: &Process, home: Option<&Path>, interpreters: &Interpreters) -> Expectation {
    of_any(&[store], reader, home, interpreters)
}

/// Is `reader` expected by one of `stores`, which share a file?
#[must_use]
pub fn of_any(stores: &[&Store], reader: &Process, home: Option<&Path>, interpreters: &Interpreters) -> Expectation {
    let subject = Subject::new(reader, home, interpreters);
    let mut worst = subject.at_first_sight();
    let copies = matches!(worst, WhyNot::CopyTool { .. });
    // What moves bytes for whoever runs it is told by its arguments, or not at all.
    let asked = |spec: &&Reader| !copies || !spec.cmdline_never.is_empty();
    for spec in stores.iter().flat_map(|store| &store.readers).filter(asked) {
        match subject.judge(spec) {
            Ok(why) => return Expectation::Expected { role: spec.role, why },
            Err(Some(why)) => worst = worst.max(why),
            Err(None) => {}
        }
    }
    Expectation::NotExpected { why: worst }
}

/// What a process has to do with a store that it does not open: it may ask for the token, or for its use, as one of its
/// readers, also as one that is meant to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It is listed with this role.
    As(ReaderRole),
    /// It is listed as a generic program only.
    Weakly,
    /// It is not listed.
    Not,
}

/// Whether `process` may ask for what is in `store`, without opening it.
#[must_use]
pub fn asks(store: &Store, process: &Process, home: Option<&Path>, interpreters: &Interpreters) -> Asks {
    let subject = Subject::new(process, home, interpreters);
    let strong = store.readers.iter().find(|spec| !spec.weak && subject.is(spec));
    let weak = || store.readers.iter().any(|spec| spec.weak && (subject.is_named(spec) || subject.is(spec)));
    match strong {
        Some(spec) => Asks::As(spec.role),
        None if weak() => Asks::Weakly,
        None => Asks::Not,
    }
}

struct Subject<'a> {
    reader: &'a Process,
    name: &'a str,
    home: Option<&'a Path>,
    interpreters: &'a Interpreters,
    interpreter: Option<&'a Interpreter>,
}

/// `Ok` with what it was recognised by; `Err` with a reason if this group of readers has something to say.
type Judgement = Result<String, Option<WhyNot>>;

impl<'a> Subject<'a> {
    fn new(reader: &'a Process, home: Option<&'a Path>, interpreters: &'a Interpreters) -> Self {
        let name = reader.executable.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Self { reader, name, home, interpreters, interpreter: interpreters.named(name) }
    }

    /// What can be said without the store.
    fn at_first_sight(&self) -> WhyNot {
        if self.interpreters.copies(self.name) {
            return WhyNot::CopyTool { name: self.name.to_owned() };
        }
        let shown = if self.name.is_empty() { "a program without a known path" } else { self.name };
        let Some(interpreter) = self.interpreter.filter(|_| self.runs_another()) else {
            return WhyNot::NotListed { name: shown.to_owned() };
        };
        match &self.reader.script {
            Some(Script::File { path, .. }) => {
                WhyNot::ScriptNotListed { interpreter: interpreter.name.clone(), script: path.display().to_string() }
            }
            Some(Script::Module(module)) => {
                WhyNot::ScriptNotListed { interpreter: interpreter.name.clone(), script: module.clone() }
            }
            Some(Script::Inline) | None => WhyNot::InlineCode { interpreter: self.name.to_owned() },
        }
    }

    /// Is it one of these readers, whatever it has to do with the store?
    fn is(&self, spec: &Reader) -> bool {
        let judged = if self.runs_another() { self.judge_script(spec) } else { self.judge_program(spec) };
        spec.matched.is_none() && judged.is_ok()
    }

    fn judge(&self, spec: &Reader) -> Judgement {
        if spec.matched == Some(ReaderMatch::Contextual) {
            return Err(Some(WhyNot::Contextual { note: spec.note.clone().unwrap_or_default() }));
        }
        let judgement = if self.runs_another() { self.judge_script(spec) } else { self.judge_program(spec) };
        // What follows only ever takes away.
        if spec.weak {
            let named = judgement.is_ok() || matches!(judgement, Err(Some(_))) || self.is_named(spec);
            return Err(named.then(|| WhyNot::WeakReader { name: self.name.to_owned() }));
        }
        if spec.role == ReaderRole::Indirect {
            let named = judgement.is_ok() || matches!(judgement, Err(Some(_)));
            let note = spec.note.clone().unwrap_or_default();
            return Err(named.then(|| WhyNot::Indirect { name: self.name.to_owned(), note }));
        }
        if judgement.is_ok() && !spec.cmdline_contains.is_empty() {
            let line = self.reader.args.join(" ");
            if !spec.cmdline_contains.iter().any(|part| line.contains(part)) {
                return Err(None);
            }
        }
        if judgement.is_ok() && !spec.cmdline_never.is_empty() && self.has_argument(&spec.cmdline_never) {
            return Err(Some(WhyNot::Arguments { name: self.name.to_owned() }));
        }
        judgement
    }

    /// One of these is among the arguments, or may be among those that are not known.
    fn has_argument(&self, parts: &[String]) -> bool {
        let arguments = self.reader.args.get(1..).unwrap_or_default();
        self.reader.args_truncated || parts.iter().any(|part| arguments.iter().any(|argument| holds(argument, part)))
    }

    /// An interpreter, unless it carries out a command of its own.
    fn runs_another(&self) -> bool {
        self.interpreter.is_some_and(|interpreter| self.reader.script.is_some() || !interpreter.commands)
    }

    /// The bare name is in the list, versions aside.
    fn is_named(&self, spec: &Reader) -> bool {
        spec.exe.iter().any(|exe| name_matches(exe, self.name) || self.interpreters.same(exe, self.name))
    }

    fn judge_program(&self, spec: &Reader) -> Judgement {
        if self.name.is_empty() || !spec.interpreter.is_empty() {
            return Err(None);
        }
        self.judge_place(spec, &self.reader.executable.path, self.reader.executable.writable)
    }

    fn judge_script(&self, spec: &Reader) -> Judgement {
        let listed = spec.interpreter.iter().any(|name| self.interpreters.same(name, self.name));
        if !spec.interpreter.is_empty() && !listed {
            return Err(None);
        }
        let judgement = match &self.reader.script {
            Some(Script::File { path, writable }) => {
                let matching = |anywhere: bool| {
                    let listed = |script: &&Pattern| (*script.anchor() == Anchor::Anywhere) == anywhere;
                    spec.scripts.iter().filter(listed).any(|script| script.matches(path, self.home))
                };
                if listed && matching(false) {
                    Ok(format!("script {} is listed", path.display()))
                } else if listed && matching(true) {
                    self.judge_anywhere(path, *writable)
                } else if listed {
                    Err(None)
                } else {
                    self.judge_place(spec, path, *writable)
                }
            }
            Some(Script::Module(module)) if listed => self.judge_module(spec, module),
            Some(Script::Module(_) | Script::Inline) | None => Err(None),
        };
        match (judgement, self.interpreter_trusted()) {
            (Ok(why), Ok(())) => Ok(why),
            (Ok(_), Err(why)) => Err(Some(why)),
            (refused, _) => refused,
        }
    }

    /// A script that is listed wherever it lies: then its place must speak for it.
    fn judge_anywhere(&self, path: &Path, writable: Writable) -> Judgement {
        let shown = path.display().to_string();
        match writable {
            Writable::No => Ok(format!("script {shown} is listed and cannot be written by its user")),
            _ if self.interpreters.tool_place(path, self.home) || self.own_place(path) => {
                Ok(format!("script {shown} is listed, and that is where tools are installed in a home"))
            }
            Writable::Yes if self.home.is_some_and(|home| path.starts_with(home)) => {
                Err(Some(WhyNot::OwnPlace { path: shown }))
            }
            Writable::Yes => Err(Some(WhyNot::WritablePlace { path: shown })),
            Writable::Unknown => Err(Some(WhyNot::PlaceUnknown { path: shown })),
        }
    }

    fn judge_module(&self, spec: &Reader, module: &str) -> Judgement {
        if spec.modules.iter().any(|listed| listed == module) {
            return Ok(format!("module {module} is listed"));
        }
        // A Java program names its main class and finds it in the class path: every entry of that must be listed.
        let class_path = class_path(&self.reader.args);
        let from = self.reader.cwd.as_deref().unwrap_or(Path::new(""));
        let listed = |entry: &&str| spec.scripts.iter().any(|script| script.matches(&from.join(entry), self.home));
        if !class_path.is_empty() && class_path.iter().all(listed) {
            return Ok(format!("class path {} is listed", class_path.join(":")));
        }
        Err(None)
    }

    /// A program or script by its path.
    fn judge_place(&self, spec: &Reader, path: &Path, writable: Writable) -> Judgement {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named = spec.exe.iter().any(|exe| name_matches(exe, name));
        let in_listed =
            |open: bool| spec.paths.iter().any(|listed| listed.open_ended() == open && listed.matches(path, self.home));
        if self.reader.executable.path_truncated && self.interpreter.is_none() {
            return Err(named.then(|| WhyNot::PlaceUnknown { path: path.display().to_string() }));
        }
        // A listed directory lists what is in it by name only, unless the catalogue gives no names.
        if in_listed(false) || (in_listed(true) && (named || spec.exe.is_empty())) {
            return Ok(format!("{} is a listed path", path.display()));
        }
        if let Some(package) = self.packaged(spec, writable).filter(|_| named || spec.exe.is_empty()) {
            return Ok(format!("{} is of package {package}, which is listed", path.display()));
        }
        if !named {
            return Err(None);
        }
        let shown = path.display().to_string();
        match writable {
            Writable::No => Ok(format!("{name} is listed and {shown} cannot be written by its user")),
            _ if self.interpreters.tool_place(path, self.home) || self.own_place(path) => {
                Ok(format!("{name} is listed and {shown} is where a version manager installs tools"))
            }
            Writable::Yes => Err(Some(WhyNot::WritablePlace { path: shown })),
            Writable::Unknown => Err(Some(WhyNot::PlaceUnknown { path: shown })),
        }
    }

    /// The listed package that brought the reader.
    fn packaged(&self, spec: &Reader, writable: Writable) -> Option<&str> {
        let sound = writable == Writable::No && self.reader.executable.writable == Writable::No;
        let name = self.reader.owners.as_deref().and_then(Owners::package).filter(|_| sound)?;
        spec.package.iter().any(|listed| listed == name).then_some(name)
    }

    /// Where users install this interpreter.
    fn own_place(&self, path: &Path) -> bool {
        self.interpreter.is_some_and(|interpreter| interpreter.known_place(path, self.home))
    }

    fn interpreter_trusted(&self) -> Result<(), WhyNot> {
        let executable = &self.reader.executable;
        let known = self.own_place(&executable.path);
        let shown = || executable.path.display().to_string();
        match executable.writable {
            Writable::No => Ok(()),
            _ if known => Ok(()),
            Writable::Yes => Err(WhyNot::InterpreterWritable { path: shown() }),
            Writable::Unknown => Err(WhyNot::PlaceUnknown { path: shown() }),
        }
    }
}

/// See [`Reader::cmdline_never`].
fn holds(argument: &str, part: &str) -> bool {
    match part.strip_prefix('-') {
        Some(long) if long.starts_with('-') => argument.starts_with(part),
        Some(short) => argument.strip_prefix('-').is_some_and(|all| !all.starts_with('-') && all.contains(short)),
        None => argument.contains(part),
    }
}

fn class_path(args: &[String]) -> Vec<&str> {
    let option = |arg: &&String| matches!(arg.as_str(), "-cp" | "-classpath" | "--class-path");
    args.iter()
        .skip_while(|arg| !option(arg))
        .nth(1)
        .map(|value| value.split(':').filter(|entry| !entry.is_empty()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
