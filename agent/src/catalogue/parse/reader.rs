//! Who may read a store, from YAML nodes.

use crate::{
    catalogue::{
        model::{Reader, ReaderRole},
        pattern::Pattern,
    },
    yaml::{
        Node,
        fields::{Fields, FromNode, Reading},
    },
};

impl FromNode for Reader {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let role = fields.required::<ReaderRole>("role", reading);
        let mut list =
            |name, reading: &mut Reading<'_>| -> Vec<String> { fields.optional(name, reading).unwrap_or_default() };
        let exe = list("exe", reading);
        let package = list("package", reading);
        let interpreter = list("interpreter", reading);
        let modules = list("modules", reading);
        let cmdline_contains = list("cmdline_contains", reading);
        let cmdline_never = list("cmdline_never", reading);
        let paths: Vec<Pattern> = fields.optional("paths", reading).unwrap_or_default();
        let scripts: Vec<Pattern> = fields.optional("scripts", reading).unwrap_or_default();
        let weak = fields.optional("weak", reading).unwrap_or_default();
        let matched = fields.optional("match", reading);
        let note = fields.optional("note", reading);
        let place = fields.place();
        fields.finish(reading);
        let reader = Self {
            role: role?,
            exe,
            package,
            paths,
            interpreter,
            scripts,
            modules,
            cmdline_contains,
            cmdline_never,
            weak,
            matched,
            note,
            place,
        };
        check_reader(&reader, reading);
        Some(reader)
    }
}

fn check_reader(reader: &Reader, reading: &mut Reading<'_>) {
    let scripted = !reader.scripts.is_empty() || !reader.modules.is_empty();
    if reader.interpreter.is_empty() && scripted {
        reading
            .error(reader.place, "a reader with \"scripts\" or \"modules\" needs the \"interpreter\" that runs them");
    }
    if !reader.interpreter.is_empty() && !scripted {
        reading.error(reader.place, "a reader with an \"interpreter\" needs its \"scripts\" or \"modules\"");
    }
    if reader.exe.is_empty()
        && reader.paths.is_empty()
        && reader.package.is_empty()
        && !scripted
        && reader.matched.is_none()
    {
        reading.error(
            reader.place,
            "a reader needs \"exe\", \"paths\", \"package\", \"interpreter\" with \"scripts\", or \"match\"",
        );
    }
    for exe in reader.exe.iter().chain(&reader.interpreter) {
        if exe.contains('/') {
            reading.error(reader.place, format!("\"{exe}\" is a path; \"exe\" and \"interpreter\" hold bare names"));
        }
        if exe.contains(['?', '[']) {
            reading.error(reader.place, format!("\"{exe}\": names know no wildcard but \"*\""));
        }
    }
}
