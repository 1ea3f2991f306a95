//! Lineages and whose they are: each with a twin that differs in the one thing that matters.

use std::ffi::OsString;

use tokenhound_common::process::ProcessKey;

use super::*;
use crate::{
    catalogue::tests::shipped_catalogue,
    detect::fixtures::{init, process},
    lineage::model::{Chain, Container, Process, Script, Writable},
};

/// What lies at the end of a lineage, by name.
const ENDS: &[(&str, &str)] = &[
    ("SSH", "*/usr/bin/bash < /usr/sbin/sshd < #/usr/sbin/sshd"),
    ("WINDOW", "*/usr/bin/zsh < /usr/libexec/gnome-terminal-server < /usr/lib/systemd/systemd"),
    ("NPM", "/usr/bin/node @/usr/lib/node_modules/npm/bin/npm-cli.js install"),
    ("CLAUDE", "/usr/bin/node @/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js"),
    ("RUNNER", "/opt/runner/bin/Runner.Worker < /opt/runner/bin/Runner.Listener"),
    ("CRON", "#/usr/sbin/cron < #/usr/sbin/cron"),
];

/// A lineage as text: processes from the reader up, with ` < ` between. Of each the path, with `*` before it for the
/// leader of the terminal's session, `#` for root and `~` for one that its user could change; then `@` and a script
/// (`@~` likewise), `%` and a module, `!` for code from the command line, `$NAME=value` for a variable, or an argument.
pub(crate) fn lineage(text: &str) -> Chain {
    let whole = |part| ENDS.iter().find(|(name, _)| *name == part).map_or(part, |(_, end)| *end);
    let text = text.split(" < ").map(whole).collect::<Vec<_>>().join(" < ");
    let count = text.split(" < ").count() as u32;
    let mut processes: Vec<Process> = text
        .split(" < ")
        .enumerate()
        .map(|(index, text)| {
            let pid = 5000 - index as u32;
            one(text, pid, if index as u32 + 1 == count { 1 } else { pid - 1 })
        })
        .collect();
    let leader = text.split(" < ").position(|text| text.contains('*')).map(|index| 5000 - index as u32);
    for process in &mut processes {
        process.session = leader.unwrap_or(77);
        process.tty = leader.map(|_| (136, 0));
    }
    processes.push(init());
    Chain { processes, incomplete: false }
}

fn one(text: &str, pid: u32, parent: u32) -> Process {
    let mut words = text.split(' ');
    let flags = words.next().unwrap();
    let path = flags.trim_start_matches(['*', '#', '~']);
    let mut process = process(pid, parent, path);
    if flags.starts_with(['#']) || flags.starts_with("*#") {
        (process.uid, process.euid) = (0, 0);
    }
    if flags.contains('~') {
        process.executable.writable = Writable::Yes;
    }
    for word in words {
        if let Some(path) = word.strip_prefix('@') {
            let writable = if path.starts_with('~') { Writable::Yes } else { Writable::No };
            let path = path.trim_start_matches('~');
            process.script = Some(Script::File { path: path.into(), writable });
            process.args.push(path.to_owned());
        } else if let Some(module) = word.strip_prefix('%') {
            process.script = Some(Script::Module(module.to_owned()));
            process.args.extend(["-m".to_owned(), module.to_owned()]);
        } else if word == "!" {
            process.script = Some(Script::Inline);
        } else if let Some((name, value)) = word.strip_prefix('$').and_then(|word| word.split_once('=')) {
            process.environment.push((name.to_owned(), OsString::from(value)));
        } else {
            process.args.push(word.to_owned());
        }
    }
    process
}

pub(crate) fn actor(chain: &Chain) -> Actor {
    let catalogue = shipped_catalogue();
    classify(chain, catalogue.actors(), catalogue.interpreters(), Some(std::path::Path::new("/home/ann")))
}

/// What a lineage comes to: class, id, and `prompt` where a person typed it.
fn said(text: &str) -> String {
    let actor = actor(&lineage(text));
    let id = actor.party.id.as_deref().unwrap_or("-");
    format!("{} {id}{}", actor.class(), if actor.at_prompt { " prompt" } else { "" })
}

#[test]
fn every_lineage_and_its_twin() {
    let mut count = 0;
    let mut said_before = String::new();
    for line in include_str!("lineages.txt").lines() {
        let Some((lineage, wanted)) = line.split_once(" => ") else { continue };
        let is = said(lineage.trim());
        assert_eq!(is, wanted, "{line}");
        let twin = line.starts_with(' ');
        assert!(!twin || is != said_before, "a twin differs: {line}");
        said_before = is;
        count += u32::from(twin);
    }
    assert!(count >= 60, "{count}");
}

fn in_unit(unit: &str) -> String {
    let mut chain = lineage("/usr/bin/cat < /usr/bin/bash");
    chain.processes[0].unit = Some(unit.to_owned());
    let actor = actor(&chain);
    format!("{} {}", actor.class(), actor.party.name)
}

#[test]
fn a_unit_is_automation_where_systemd_starts_it() {
    for (unit, is) in [
        ("backup.service", "automation systemd unit backup.service"),
        ("session-3.scope", "unknown nothing that is known"),
        ("app-gnome-thing@1.service", "unknown nothing that is known"),
        ("user@1000.service", "unknown nothing that is known"),
    ] {
        assert_eq!(in_unit(unit), is, "{unit}");
    }
}

#[test]
fn a_container_is_named_where_nothing_in_it_is() {
    let inside = |text: &str, depth: usize| {
        let mut chain = lineage(text);
        for process in &mut chain.processes[..depth] {
            process.container = Some(Container::new("0123456789abcdef".repeat(4), "docker"));
        }
        let actor = actor(&chain);
        let behind: Vec<_> = actor.on_behalf_of.iter().map(|party| party.class.name()).collect();
        format!("{} {}", actor.class(), behind.join(","))
    };
    assert_eq!(inside("/usr/bin/cat < /usr/bin/bash < /usr/bin/containerd-shim", 2), "container ");
    assert_eq!(inside("/usr/bin/cat < */usr/bin/bash < /usr/bin/containerd-shim < SSH", 2), "container interactive");
    assert_eq!(inside("/usr/bin/cat < /usr/bin/sh ! < NPM < /usr/bin/containerd-shim", 3), "package-script container");
    assert_eq!(inside("/usr/bin/cat < /usr/bin/conmon < /usr/bin/bash ! < CLAUDE", 1), "ai-agent container");
}

#[test]
fn those_above_are_kept_with_what_they_tell() {
    let chain = lineage(
        "/usr/bin/cat $npm_package_name=evil $npm_lifecycle_event=postinstall $CLAUDECODE=1 $CLAUDE_CODE_SESSION_ID=s-1 \
         < /usr/bin/sh ! < NPM < /usr/bin/bash ! < CLAUDE < SSH",
    );
    let actor = actor(&chain);
    assert_eq!(actor.party.details, [(Detail::Package, "evil".to_owned()), (Detail::Script, "postinstall".to_owned())]);
    let behind: Vec<_> = actor.on_behalf_of.iter().map(|party| (party.class, party.id.as_deref())).collect();
    assert_eq!(behind, [(Class::AiAgent, Some("claude-code")), (Class::Interactive, Some("sshd"))]);
    assert_eq!(actor.on_behalf_of[0].details, [(Detail::Session, "s-1".to_owned())]);
    assert_eq!((actor.party.proof, actor.party.process), (Proof::Place, Some(ProcessKey::new(4_998_000, 4998))));
    assert!(
        actor.reasons[0].contains("npm-cli.js") && actor.reasons[0].contains("cannot write"),
        "{:?}",
        actor.reasons
    );
}

#[test]
fn the_reasons_say_how_weak_a_marker_is() {
    let marked = actor(&lineage("/usr/bin/cat $CLAUDECODE=1 < SSH"));
    assert_eq!((marked.class(), marked.party.proof, marked.at_prompt), (Class::AiAgent, Proof::Marker, false));
    assert!(marked.reasons[0].starts_with("only a variable says so: CLAUDECODE"), "{:?}", marked.reasons);
    let named = actor(&lineage("/usr/bin/cat < ~/home/ann/bin/claude"));
    assert_eq!(named.party.proof, Proof::Name);
    assert!(named.reasons[0].contains("known by its name only"), "{:?}", named.reasons);
}

/// What variables hold is somebody else's to choose.
#[test]
fn details_are_short_and_hold_no_secret() {
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let long = "x".repeat(500);
    let mut chain = lineage("/usr/bin/cat < /usr/bin/sh ! < NPM");
    chain.processes[0].environment = vec![
        ("npm_package_name".to_owned(), OsString::from(&secret)),
        ("npm_lifecycle_event".to_owned(), OsString::from(format!("a\x1b[2J\n{long}"))),
    ];
    let actor = actor(&chain);
    assert!(!format!("{actor:?}").contains(&secret[..12]), "{actor:?}");
    let script = &actor.party.details.iter().find(|(detail, _)| *detail == Detail::Script).unwrap().1;
    assert!(script.chars().count() <= 80 && !script.contains(['\x1b', '\n']), "{script:?}");
}

#[test]
fn an_empty_lineage_is_nobodys() {
    assert_eq!(actor(&Chain { processes: Vec::new(), incomplete: true }), Actor::default());
}
