//! The page of the command line (`docs/cli.md`), from what the parser itself says.

use std::{fmt::Write, fs, path::Path};

use clap::{Command, CommandFactory, error::ErrorKind};

use super::Arguments;
use crate::{catalogue::Catalogue, policy::Policy, telemetry::bless};

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

/// What it counts of the catalogue alone is compared beside the catalogue's page.
#[test]
fn the_readme_counts_the_policy_that_is_shipped() {
    let nowhere = Path::new("/nonexistent");
    let catalogue = Catalogue::load(nowhere).unwrap().catalogue;
    let policy = Policy::load(nowhere, &[], &catalogue).unwrap().policy;
    let said = format!("catalogue: {} stores; policy: {}\n", catalogue.stores().len(), policy.holds());
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    assert!(fs::read_to_string(readme).unwrap().contains(&said), "README.md does not say: {said}");
}

/// Commands of the documents that a reader may type, with where they stand: lines of shell blocks, and code in a line.
fn commands(page: &str, text: &str) -> Vec<(String, String)> {
    let (mut found, mut shell, mut fenced) = (Vec::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            fenced = !fenced;
            shell = fenced && ["sh", "console"].contains(&kind);
        } else if shell {
            found.push((format!("{page}:{}", number + 1), line.trim().to_owned()));
        } else if !fenced {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(code.map(|code| (format!("{page}:{}", number + 1), code.to_owned())));
        }
    }
    found
}

/// The arguments of `tokenhound` in it, if it is what is called.
fn arguments(command: &str) -> Option<Vec<String>> {
    let command = command.replace("cargo xtask run -- ", "tokenhound ");
    // A pipe, a redirection or another command ends it.
    let simple = command.split(['|', '>', '<', ';', '&']).next()?;
    let mut words = shlex::split(simple)?.into_iter().peekable();
    if words.peek().is_some_and(|word| word == "sudo") {
        words.next();
        while words.peek().is_some_and(|word| word.starts_with('-')) {
            words.next();
        }
    }
    let words: Vec<String> = words.collect();
    // `[--option]` and `...` stand for something else.
    let left_out = words.iter().any(|word| word.contains(['[', '…']) || word == "...");
    (words.first().is_some_and(|word| word == "tokenhound") && words.len() > 1 && !left_out).then_some(words)
}

#[test]
fn every_command_that_the_documents_name_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md"), root.join("SECURITY.md"), root.join("dashboards/README.md")];
    let mut directories = vec![root.join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    let (mut checked, mut wrong) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (place, command) in commands(&page.display().to_string(), &text) {
            let Some(words) = arguments(&command) else { continue };
            checked += 1;
            let Err(error) = Arguments::command().try_get_matches_from(&words) else { continue };
            // A sentence may name a command without its arguments, or with `LEVEL` in place of one.
            let shortened = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    | ErrorKind::MissingSubcommand
            );
            let placeholder = words.iter().any(|word| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase()));
            let value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
            if !(shortened || placeholder && value) {
                wrong.push(format!("{place}: `{command}`: {}", error.render()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 60, "{checked} commands");
}
