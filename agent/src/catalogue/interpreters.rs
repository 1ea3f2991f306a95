//! Interpreters: programs that read a store on behalf of what they run. Pure.
//!
//! How their command lines are read is [`crate::lineage::identity`]'s to know; here is only who counts as one.

use std::path::Path;

use super::pattern::{Pattern, name_matches};
use crate::{
    lineage::identity::normalise,
    yaml::{
        Node,
        fields::{Fields, FromNode, Reading},
    },
};

/// One interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its name: versions and aliases of one interpreter count as the same.
    pub name: String,
    /// File names without a version; one with `*` is compared with the whole name.
    pub exe: Vec<String>,
    /// It has commands of its own (`bun install`), with which it is the reader itself.
    pub commands: bool,
    /// Where users install it in their home.
    pub places: Vec<Pattern>,
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
        let plain = normalise(name);
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
            (None, None) => normalise(left) == normalise(right),
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
        let name = fields.required("name", reading);
        let exe = fields.required("exe", reading);
        let commands = fields.optional("commands", reading).unwrap_or_default();
        let places = fields.optional("places", reading).unwrap_or_default();
        fields.finish(reading);
        Some(Self { name: name?, exe: exe?, commands, places })
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::tests::shipped_catalogue;

    #[test]
    fn versions_and_aliases_are_one_interpreter() {
        let interpreters = shipped_catalogue().interpreters();
        for (left, right, same) in [
            ("python3.11", "python3", true),
            ("python3.7m", "python", true),
            ("python", "python3", true),
            ("nodejs", "node", true),
            ("node20", "node", true),
            ("php8.2", "php", true),
            ("python3", "node", false),
            ("workerd", "workerd", true),
            ("aws", "python3", false),
        ] {
            assert_eq!(interpreters.same(left, right), same, "{left} {right}");
        }
    }

    #[test]
    fn whoever_runs_anything_or_copies_anything_is_generic() {
        let interpreters = shipped_catalogue().interpreters();
        for name in
            ["cat", "cp", "bash", "python3", "node", "ld-linux-x86-64.so.2", "busybox", "qemu-arm-static", "bun"]
        {
            assert!(interpreters.generic(name), "{name}");
        }
        for name in ["aws", "gh", "ssh", "git", "docker", "b2", "s3cmd"] {
            assert!(!interpreters.generic(name), "{name}");
        }
    }
}
