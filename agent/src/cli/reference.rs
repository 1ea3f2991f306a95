//! The page of the command line (`docs/cli.md`), from what the parser itself says.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Arguments;
use crate::telemetry::bless;

/// Columns of the page; what a terminal says must not decide it.
const WIDTH: usize = 100;

/// What every command has, and what no help text says.
const HEAD: &str = "<!-- Generated from agent/src/cli; TOKENHOUND_BLESS=1 writes it anew. -->\n# Command line\n\n\
    | exit code | meaning |\n| --- | --- |\n\
    | 0 | fine |\n\
    | 1 | it failed; what failed is on standard error |\n\
    | 2 | usage or configuration; nothing was started |\n\
    | 3 | a finding at or above `--fail-on`; with `watch` only if the command itself succeeded |\n\
    | 77 | this kernel or these rights do not allow it |\n\
    | other | `watch`: the exit code of the command (128 + N for signal N; 126 and 127 as in a shell) |\n\n\
    `TOKENHOUND_LOG` sets what `run` logs (`info`, `tokenhound=debug`); human text on a terminal, JSON otherwise.\n";

/// A section for each command that is not hidden, with the help that `--help` prints.
fn markdown() -> String {
    let mut root = Arguments::command().term_width(WIDTH);
    root.build();
    let mut out = HEAD.to_owned();
    section(&mut out, &mut root, "tokenhound");
    out
}

fn section(out: &mut String, command: &mut Command, name: &str) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for below in command.get_subcommands_mut().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        let name = format!("{name} {}", below.get_name());
        section(out, below, &name);
    }
}

#[test]
fn page_is_up_to_date() {
    bless::compare("docs/cli.md", &markdown());
}

#[test]
fn every_command_has_a_section_and_hidden_ones_have_none() {
    let page = markdown();
    for name in ["run", "watch", "doctor", "catalogue list", "policy check", "explain", "demo"] {
        assert!(page.contains(&format!("\n## tokenhound {name}\n")), "{name}");
    }
    assert!(!page.contains("demo-actor"));
    assert!(page.lines().filter(|line| !line.starts_with(['|', '`', '<'])).all(|line| line.chars().count() <= WIDTH));
}
