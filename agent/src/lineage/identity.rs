//! What an interpreter was told to run, from the facts of its exec. Pure; who could have changed the script is
//! answered by [`super::writable`].
//!
//! Decisions:
//! - Only the executable's file name (with version suffixes removed) makes something an interpreter. A renamed copy is
//!   not one, and so never gets credit for a script.
//! - Code that comes from an option, from a descriptor, from the network or with a preloaded file is
//!   [`Script::Inline`]: nobody can say what ran.
//! - Without a script argument a non-shell reads its program from standard input: [`Script::Inline`]. A shell without
//!   one is most often interactive: no script, and the shell itself is the reader. `sh -s` is [`Script::Inline`].
//! - Arguments that were cut before a script was found count as [`Script::Inline`].
//! - `..` is left in the path, because only the file system knows where it leads. Whoever compares paths must refuse
//!   one with `..`; [`super::writable::Writables::fill`] resolves it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Component, Path, PathBuf},
};

use super::model::{Script, Writable};

mod builtin;
#[cfg(test)]
mod tests;

/// What a missing script argument means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoScript {
    /// The program comes from standard input.
    #[default]
    Inline,
    /// The interpreter acts for itself (an interactive shell, a subcommand).
    Nothing,
}

/// How one interpreter reads its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interpreter {
    /// One-letter options can be joined (`-lc`), and take a value from the rest of the word or the next word.
    pub joined: bool,
    /// Options that carry or request code that is not in a file: `-c`, `--eval`, `-s`.
    pub inline: Vec<String>,
    /// Options that name a module: `-m`.
    pub module: Vec<String>,
    /// Options that name the script file: `-jar`.
    pub file: Vec<String>,
    /// Options that load other code before the script: `--require`.
    pub preload: Vec<String>,
    /// Parts of an option or its value that make it load other code: php's `auto_prepend_file`.
    pub loading: Vec<String>,
    /// Options with a value that has no say in what runs: `-W`.
    pub value: Vec<String>,
    /// One-letter options whose value can only be the rest of the word: perl's `-i`.
    pub attached: Vec<String>,
    /// First arguments after which the script follows: `deno run`.
    pub run: Vec<String>,
    /// First arguments that take code: `deno eval`.
    pub eval: Vec<String>,
    /// A first argument that is a bare word is one of its own commands, not a file: `bun install`.
    pub commands: bool,
    /// The argument is a class or module unless it has this ending (`java Main`, `java Main.java`).
    pub file_ending: Option<String>,
    /// What a missing script means.
    pub no_script: NoScript,
}

/// The interpreters that are known, by normalised name (see [`normalise`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterpreterRules {
    interpreters: BTreeMap<String, Interpreter>,
}

impl InterpreterRules {
    /// Rules for exactly these interpreters.
    #[must_use]
    pub fn new(interpreters: impl IntoIterator<Item = (String, Interpreter)>) -> Self {
        Self { interpreters: interpreters.into_iter().collect() }
    }

    /// Adds or replaces one interpreter.
    pub fn set(&mut self, name: String, interpreter: Interpreter) {
        self.interpreters.insert(name, interpreter);
    }

    /// The rules of the interpreter at `path`, if it is one.
    #[must_use]
    pub fn of(&self, path: &Path) -> Option<&Interpreter> {
        let name = path.file_name()?.to_str()?;
        self.interpreters.get(name).or_else(|| self.interpreters.get(normalise(name)))
    }
}

impl Default for InterpreterRules {
    /// The built-in rules: shells, python, node, ruby, perl, php, java, deno, bun and a few more, and the dynamic
    /// loader.
    fn default() -> Self {
        builtin::rules()
    }
}

/// What an exec record says of a program.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Path of the executable.
    pub path: &'a Path,
    /// Arguments, redacted, with the zeroth.
    pub args: &'a [String],
    /// Arguments are missing at the end.
    pub args_truncated: bool,
    /// Name of the `#!` script, as given to execve.
    pub script: Option<&'a OsStr>,
    /// Working directory, where known whole.
    pub cwd: Option<&'a Path>,
}

/// What the program runs, or `None` where it is no interpreter or acts for itself.
#[must_use]
pub fn script(rules: &InterpreterRules, facts: &Facts<'_>) -> Option<Script> {
    if let Some(script) = facts.script {
        return Some(file(facts, Path::new(script)));
    }
    let name = facts.path.file_name()?.to_str()?;
    let loader = is_loader(name);
    let interpreter = if loader { rules.interpreters.get(builtin::LOADER) } else { rules.of(facts.path) }?;
    match Scan::new(interpreter, facts.args.get(1..).unwrap_or_default()).run() {
        Found::Inline => Some(Script::Inline),
        Found::Module(module) => Some(Script::Module(module.to_owned())),
        Found::File(path) => Some(file(facts, Path::new(path))),
        Found::Argument(argument) => Some(argument_script(interpreter, facts, argument)),
        Found::Nothing if facts.args_truncated => Some(Script::Inline),
        Found::Nothing => match interpreter.no_script {
            NoScript::Inline => Some(Script::Inline),
            NoScript::Nothing => None,
        },
        Found::Own => None,
    }
}

/// A name without its version: `python3.11` and `python3.7m` are `python`, `ruby2.7` is `ruby`.
#[must_use]
pub fn normalise(name: &str) -> &str {
    let Some(digit) = name.find(|c: char| c.is_ascii_digit()) else {
        return name;
    };
    let (head, version) = name.split_at(digit);
    let version = version.strip_suffix("-dbg").unwrap_or(version);
    let version = version.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(version);
    let head = head.trim_end_matches(['-', '.']);
    if head.is_empty() || !version.chars().all(|c| c.is_ascii_digit() || c == '.') { name } else { head }
}

/// The dynamic loader started as a program (`ld-linux-x86-64.so.2 ./tool`).
fn is_loader(name: &str) -> bool {
    name.starts_with("ld")
        && name.contains(".so")
        && (name.starts_with("ld-") || name.starts_with("ld.so") || name.starts_with("ld64.so"))
}

fn argument_script(interpreter: &Interpreter, facts: &Facts<'_>, argument: &str) -> Script {
    if argument.contains("://") {
        return Script::Inline;
    }
    let package = argument.starts_with("npm:") || argument.starts_with("jsr:");
    let class = interpreter.file_ending.as_deref().is_some_and(|ending| !argument.ends_with(ending));
    if package || class { Script::Module(argument.to_owned()) } else { file(facts, Path::new(argument)) }
}

fn file(facts: &Facts<'_>, path: &Path) -> Script {
    if is_descriptor(path) {
        return Script::Inline;
    }
    Script::File { path: absolute(facts.cwd, path), writable: Writable::Unknown }
}

/// A name that stands for an open descriptor: what it led to cannot be told afterwards.
fn is_descriptor(path: &Path) -> bool {
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return false;
    }
    let parts: Vec<_> = parts.map(Component::as_os_str).collect();
    match parts.as_slice() {
        [dev, kind, ..] if *dev == "dev" => *kind == "fd" || *kind == "stdin",
        [proc, _, rest @ ..] if *proc == "proc" => rest.iter().any(|part| *part == "fd"),
        _ => false,
    }
}

/// `path` below `cwd`, without `.` components. A relative path stays one if `cwd` is not known.
fn absolute(cwd: Option<&Path>, path: &Path) -> PathBuf {
    let joined = cwd.map_or_else(|| path.to_path_buf(), |cwd| cwd.join(path));
    joined.components().filter(|part| *part != Component::CurDir).collect()
}

/// What a command line comes to.
enum Found<'a> {
    Inline,
    Module(&'a str),
    /// The value of an option that names the script.
    File(&'a str),
    /// The first argument that is no option.
    Argument(&'a str),
    /// Nothing that says what runs.
    Nothing,
    /// A command of its own.
    Own,
}

/// What one word of options does.
enum Step<'a> {
    Next,
    SkipValue,
    Done(Found<'a>),
}

/// Walks over the arguments once.
struct Scan<'a> {
    rules: &'a Interpreter,
    args: &'a [String],
    next: usize,
}

impl<'a> Scan<'a> {
    fn new(rules: &'a Interpreter, args: &'a [String]) -> Self {
        Self { rules, args, next: 0 }
    }

    fn take(&mut self) -> Option<&'a str> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        Some(arg)
    }

    fn run(mut self) -> Found<'a> {
        let mut first = true;
        while let Some(arg) = self.take() {
            if arg == "-" {
                return Found::Inline;
            }
            if arg == "--" {
                return self.take().map_or(Found::Nothing, Found::Argument);
            }
            if is_option(arg) {
                match self.option(arg) {
                    Step::Next => {}
                    Step::SkipValue => self.next += 1,
                    Step::Done(found) => return found,
                }
            } else if first && contains(&self.rules.run, arg) {
                first = false;
            } else {
                return self.argument(arg, first);
            }
        }
        Found::Nothing
    }

    fn argument(&self, arg: &'a str, first: bool) -> Found<'a> {
        if first && contains(&self.rules.eval, arg) {
            return Found::Inline;
        }
        // An argument file can hold any option.
        if self.rules.file_ending.is_some() && arg.starts_with('@') {
            return Found::Inline;
        }
        if first && self.rules.commands && !arg.contains(['.', '/', ':']) {
            return Found::Own;
        }
        Found::Argument(arg)
    }

    fn option(&mut self, arg: &'a str) -> Step<'a> {
        if self.rules.joined && !arg.starts_with("--") {
            return self.letters(arg);
        }
        let (name, value) = match arg.split_once(['=', ':']) {
            Some((name, value)) => (name, Some(value)),
            None => (arg, None),
        };
        let loads = |word: &str| self.rules.loading.iter().any(|part| word.contains(part.as_str()));
        let separate = value.is_none() && contains(&self.rules.value, name);
        if loads(arg) || (separate && self.args.get(self.next).is_some_and(|value| loads(value))) {
            return Step::Done(Found::Inline);
        }
        if contains(&self.rules.inline, name) || contains(&self.rules.preload, name) {
            return Step::Done(Found::Inline);
        }
        if contains(&self.rules.module, name) {
            return Step::Done(value.or_else(|| self.take()).map_or(Found::Nothing, Found::Module));
        }
        if contains(&self.rules.file, name) {
            return Step::Done(value.or_else(|| self.take()).map_or(Found::Nothing, Found::File));
        }
        if separate { Step::SkipValue } else { Step::Next }
    }

    /// Joined one-letter options: `-lc`, `-Wignore`, `-mpip`.
    fn letters(&mut self, arg: &'a str) -> Step<'a> {
        let sign = &arg[..1];
        for (at, letter) in arg.char_indices().skip(1) {
            let rest = &arg[at + letter.len_utf8()..];
            let is = |list: &[String]| {
                list.iter().any(|option| {
                    option.strip_prefix(sign).is_some_and(|name| name.chars().eq(std::iter::once(letter)))
                })
            };
            if is(&self.rules.inline) || is(&self.rules.preload) {
                return Step::Done(Found::Inline);
            }
            if is(&self.rules.module) || is(&self.rules.file) {
                let value = if rest.is_empty() { self.take() } else { Some(rest) };
                let found = if is(&self.rules.module) { Found::Module } else { Found::File };
                return Step::Done(value.map_or(Found::Nothing, found));
            }
            if is(&self.rules.value) {
                // A shell's `-eo pipefail` takes the next word whatever else is joined to it.
                return if rest.is_empty() { Step::SkipValue } else { Step::Next };
            }
            if is(&self.rules.attached) {
                return Step::Next;
            }
        }
        Step::Next
    }
}

fn is_option(arg: &str) -> bool {
    arg.len() > 1 && (arg.starts_with('-') || arg.starts_with('+'))
}

fn contains(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == name)
}
