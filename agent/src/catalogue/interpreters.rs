//! Interpreters: programs that read a store on behalf of what they run. Pure.

use std::path::Path;

use super::pattern::{Pattern, name_matches};
use crate::yaml::{
    Node,
    fields::{Fields, FromNode, Reading, words},
};

words! {
    /// What the first bare argument of an interpreter is.
    pub enum First {
        /// The script's file.
        Script = "script",
        /// A module, class or applet by name.
        Module = "module",
        /// The program itself.
        Inline = "inline",
    }
}

/// One interpreter and how its command line is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its name: versions and aliases of one interpreter count as the same.
    pub name: String,
    /// File names, without a version.
    pub exe: Vec<String>,
    /// Options that take the program itself.
    pub inline: Vec<String>,
    /// Options that take a module by name.
    pub module: Vec<String>,
    /// Options that take the script's file.
    pub script: Vec<String>,
    /// Options that take some other value.
    pub value: Vec<String>,
    /// One-letter options can be written together.
    pub bundled: bool,
    /// What the first bare argument is.
    pub first: First,
    /// Subcommands in front of the script.
    pub skip: Vec<String>,
    /// Subcommands that run typed code.
    pub refuse: Vec<String>,
    /// Where users install it in their home.
    pub places: Vec<Pattern>,
}

/// What an interpreter's command line tells it to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// The script is this argument (index into the arguments, which start with `argv[0]`).
    Script(usize),
    /// A module by name; `isolated` if the working directory and the environment have no say in which one
    /// (`python3 -I`).
    Module {
        /// The module.
        name: String,
        /// See above.
        isolated: bool,
    },
    /// Code on the command line, from standard input or typed.
    Inline,
}

/// Every known interpreter, and the programs that only move bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interpreters {
    list: Vec<Interpreter>,
    copy_tools: Vec<String>,
    tool_places: Vec<Pattern>,
}

impl Interpreters {
    /// The interpreter that a file name stands for.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Interpreter> {
        let plain = without_version(name);
        self.list.iter().find(|interpreter| interpreter.exe.iter().any(|exe| exe == plain || name_matches(exe, name)))
    }

    /// The interpreter that an executable is.
    #[must_use]
    pub fn of(&self, executable: &Path) -> Option<&Interpreter> {
        self.named(executable.file_name()?.to_str()?)
    }

    /// Do both names stand for the same interpreter? Versions do not count: `python3.11` is `python3` is `python`.
    #[must_use]
    pub fn same(&self, left: &str, right: &str) -> bool {
        match (self.named(left), self.named(right)) {
            (Some(left), Some(right)) => left.name == right.name,
            (None, None) => without_version(left) == without_version(right),
            _ => false,
        }
    }

    /// A program that only moves or shows bytes: whoever runs it is the reader.
    #[must_use]
    pub fn copies(&self, name: &str) -> bool {
        self.copy_tools.iter().any(|tool| tool == name)
    }

    /// Never an expected reader by itself: an interpreter or a copy tool.
    #[must_use]
    pub fn generic(&self, name: &str) -> bool {
        self.copies(name) || self.named(name).is_some()
    }

    /// Is `path` where a version manager installs tools in `home`?
    #[must_use]
    pub fn tool_place(&self, path: &Path, home: Option<&Path>) -> bool {
        self.tool_places.iter().any(|place| place.matches(path, home))
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.copy_tools.is_empty() && self.tool_places.is_empty()
    }

    /// Every interpreter.
    pub fn iter(&self) -> impl Iterator<Item = &Interpreter> {
        self.list.iter()
    }

    /// Takes over those of `other`; one of the same name replaces.
    pub fn overlay(&mut self, other: Self) {
        for interpreter in other.list {
            self.list.retain(|own| own.name != interpreter.name);
            self.list.push(interpreter);
        }
        self.copy_tools.extend(other.copy_tools);
        self.tool_places.extend(other.tool_places);
    }
}

impl Interpreter {
    /// Is `executable` where users install this interpreter in `home`?
    #[must_use]
    pub fn known_place(&self, executable: &Path, home: Option<&Path>) -> bool {
        self.places.iter().any(|place| place.matches(executable, home))
    }

    /// What `args` (with `argv[0]`) tell it to run.
    #[must_use]
    pub fn runs(&self, args: &[String]) -> Runs {
        let mut isolated = false;
        let mut subcommands = true;
        let mut i = 1;
        while let Some(arg) = args.get(i) {
            match self.option(arg) {
                Meaning::Inline => return Runs::Inline,
                Meaning::Module(Some(name)) => return Runs::Module { name, isolated: isolated || isolates(arg) },
                Meaning::Module(None) => return module(args.get(i + 1), isolated || isolates(arg)),
                Meaning::Script => return if i + 1 < args.len() { Runs::Script(i + 1) } else { Runs::Inline },
                Meaning::Value => i += 2,
                Meaning::Flag => {
                    isolated |= isolates(arg);
                    i += 1;
                }
                Meaning::End => {
                    i += 1;
                    return if i < args.len() { self.bare(args, i, isolated) } else { Runs::Inline };
                }
                Meaning::Bare if subcommands && self.skip.contains(arg) => {
                    subcommands = false;
                    i += 1;
                }
                Meaning::Bare if subcommands && self.refuse.contains(arg) => return Runs::Inline,
                Meaning::Bare => return self.bare(args, i, isolated),
            }
        }
        Runs::Inline
    }

    fn bare(&self, args: &[String], i: usize, isolated: bool) -> Runs {
        match self.first {
            First::Script => Runs::Script(i),
            First::Module => module(args.get(i), isolated),
            First::Inline => Runs::Inline,
        }
    }

    fn option(&self, arg: &str) -> Meaning {
        let has = |list: &[String]| list.iter().any(|option| option == arg);
        match arg {
            "-" => return Meaning::Inline,
            "--" => return Meaning::End,
            _ if !arg.starts_with('-') => return Meaning::Bare,
            _ => {}
        }
        if has(&self.inline) {
            return Meaning::Inline;
        }
        if has(&self.module) {
            return Meaning::Module(None);
        }
        if has(&self.script) {
            return Meaning::Script;
        }
        if has(&self.value) {
            return Meaning::Value;
        }
        if let Some((name, _)) = arg.split_once('=')
            && self.inline.iter().any(|option| option == name)
        {
            return Meaning::Inline;
        }
        if self.bundled && !arg.starts_with("--") { self.bundle(&arg[1..]) } else { Meaning::Flag }
    }

    /// Letters written together: the first that takes a value takes the rest of the argument, or the next one.
    fn bundle(&self, letters: &str) -> Meaning {
        for (at, letter) in letters.char_indices() {
            let is = |list: &[String]| {
                list.iter().any(|option| option.len() == 2 && option.as_bytes()[0] == b'-' && option.ends_with(letter))
            };
            let rest = &letters[at + letter.len_utf8()..];
            if is(&self.inline) {
                return Meaning::Inline;
            }
            if is(&self.module) {
                return Meaning::Module((!rest.is_empty()).then(|| rest.to_owned()));
            }
            if is(&self.value) {
                return if rest.is_empty() { Meaning::Value } else { Meaning::Flag };
            }
        }
        Meaning::Flag
    }
}

enum Meaning {
    Inline,
    Module(Option<String>),
    Script,
    Value,
    Flag,
    End,
    Bare,
}

fn module(name: Option<&String>, isolated: bool) -> Runs {
    name.map_or(Runs::Inline, |name| Runs::Module { name: name.clone(), isolated })
}

/// `-I` (isolated) and `-P` (safe path) keep the working directory out of the module search path (python(1)).
fn isolates(arg: &str) -> bool {
    !arg.starts_with("--")
        && arg.starts_with('-')
        && arg.split(['m', 'c']).next().is_some_and(|a| a.contains(['I', 'P']))
}

/// `python3.11` -> `python`, `php8.2` -> `php`, `node-20` -> `node`. A name that is all digits stays.
fn without_version(name: &str) -> &str {
    let plain = name.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    let plain = plain.strip_suffix('-').unwrap_or(plain);
    if plain.is_empty() { name } else { plain }
}

/// Reads the interpreter keys of a catalogue file.
pub fn parse_interpreters(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Interpreters {
    Interpreters {
        list: fields.optional("interpreters", reading).unwrap_or_default(),
        copy_tools: fields.optional("copy_tools", reading).unwrap_or_default(),
        tool_places: fields.optional("tool_places", reading).unwrap_or_default(),
    }
}

impl FromNode for Interpreter {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let name = fields.required::<String>("name", reading);
        let exe = fields.required("exe", reading);
        let mut list =
            |key, reading: &mut Reading<'_>| -> Vec<String> { fields.optional(key, reading).unwrap_or_default() };
        let inline = list("inline", reading);
        let module = list("module", reading);
        let script = list("script", reading);
        let value = list("value", reading);
        let skip = list("skip", reading);
        let refuse = list("refuse", reading);
        let bundled = fields.optional("bundled", reading).unwrap_or_default();
        let first = fields.optional("first", reading).unwrap_or(First::Script);
        let places = fields.optional("places", reading).unwrap_or_default();
        fields.finish(reading);
        Some(Self { name: name?, exe: exe?, inline, module, script, value, bundled, first, skip, refuse, places })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::shipped_catalogue;

    fn runs(line: &str) -> Runs {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        shipped_catalogue().interpreters().of(Path::new(&args[0])).expect(line).runs(&args)
    }

    fn module(name: &str, isolated: bool) -> Runs {
        Runs::Module { name: name.into(), isolated }
    }

    #[test]
    fn command_lines_are_read_as_the_interpreters_read_them() {
        let table = [
            ("/usr/bin/python3.11 /usr/bin/aws s3 ls", Runs::Script(1)),
            ("/usr/bin/python3.11 -W ignore -u /usr/bin/aws", Runs::Script(4)),
            ("/usr/bin/python3 -c import", Runs::Inline),
            ("/usr/bin/python3 -Ec import", Runs::Inline),
            ("/usr/bin/python3", Runs::Inline),
            ("/usr/bin/python3 -", Runs::Inline),
            ("/usr/bin/python3 -m pip install x", module("pip", false)),
            ("/opt/az/bin/python3 -Im azure.cli account", module("azure.cli", true)),
            ("/usr/bin/python3 -I -m azure.cli", module("azure.cli", true)),
            ("/usr/bin/python3 -mpip", module("pip", false)),
            ("/usr/bin/node /usr/bin/npm install", Runs::Script(1)),
            ("/usr/bin/node --require ./x.js y.js", Runs::Script(3)),
            ("/usr/bin/node --eval=1", Runs::Inline),
            ("/usr/bin/node -e 1", Runs::Inline),
            ("/usr/bin/bun run x.ts", Runs::Script(2)),
            ("/usr/bin/deno eval 1", Runs::Inline),
            ("/usr/bin/bash -ec id", Runs::Inline),
            ("/usr/bin/bash --norc x.sh", Runs::Script(2)),
            ("/usr/bin/java -Xmx1g -jar x.jar", Runs::Script(3)),
            ("/usr/bin/java -cp a:b org.example.Main", module("org.example.Main", false)),
            ("/lib64/ld-linux-x86-64.so.2 --library-path /x /tmp/aws", Runs::Script(3)),
            ("/usr/bin/perl -ne print", Runs::Inline),
            ("/usr/bin/gawk {print}", Runs::Inline),
            ("/bin/busybox cat x", module("cat", false)),
        ];
        for (line, expected) in table {
            assert_eq!(runs(line), expected, "{line}");
        }
    }

    #[test]
    fn versions_and_aliases_are_one_interpreter() {
        let interpreters = shipped_catalogue().interpreters();
        for (left, right, same) in [
            ("python3.11", "python3", true),
            ("python", "python3", true),
            ("nodejs", "node", true),
            ("node20", "node", true),
            ("python3", "node", false),
            ("workerd", "workerd", true),
            ("aws", "python3", false),
        ] {
            assert_eq!(interpreters.same(left, right), same, "{left} {right}");
        }
        for name in ["cat", "cp", "bash", "python3", "node", "ld-linux-x86-64.so.2", "busybox"] {
            assert!(interpreters.generic(name), "{name}");
        }
        for name in ["aws", "gh", "ssh", "git", "docker"] {
            assert!(!interpreters.generic(name), "{name}");
        }
    }
}
