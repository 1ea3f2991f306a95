use std::fmt::Write;

use super::*;
use crate::{
    detect::fixtures::{read_at, store},
    lineage::actor::{Party, tests},
    telemetry::bless,
};

fn whose(class: Class, at_prompt: bool) -> Actor {
    let party = Party { class, ..Actor::default().party };
    Actor { party, at_prompt, ..Actor::default() }
}

const PLAIN: Manner = Manner { hidden: false, inline: false, passed: false, sound: true, viewing: false };

/// Who may act, for tables and for rules that hold for all.
fn everybody() -> Vec<(String, Actor)> {
    let classes = Class::ALL.iter().map(|class| (class.name().to_owned(), whose(*class, false)));
    let person = ("interactive, typed at a prompt".to_owned(), whose(Class::Interactive, true));
    let mut all: Vec<_> = classes.collect();
    all.insert(0, person);
    all
}

fn manners() -> [(&'static str, Manner); 6] {
    [
        ("plainly, by an installed program", PLAIN),
        ("a viewer, the file is the person's own", Manner { viewing: true, ..PLAIN }),
        ("by a program or script that its user could change", Manner { sound: false, ..PLAIN }),
        ("code from a command line or input", Manner { inline: true, ..PLAIN }),
        ("through a descriptor that was passed on", Manner { passed: true, ..PLAIN }),
        ("by a program without a name on disk", Manner { hidden: true, ..PLAIN }),
    ]
}

fn severity(deed: Deed<'_>, actor: &Actor, manner: Manner) -> Severity {
    assess(deed, actor, manner).severity
}

#[test]
fn a_person_who_looks_at_their_own_is_no_alert_and_nobody_else() {
    let (store, viewing) = (store("aws", "aws", 1), Manner { viewing: true, ..PLAIN });
    let read = Deed::Read { store: &store, weak: false };
    for (name, actor) in everybody() {
        let is = severity(read, &actor, viewing);
        assert_eq!(is == Severity::Informational, actor.at_prompt, "{name}");
    }
    let person = whose(Class::Interactive, true);
    assert_eq!(severity(read, &person, PLAIN), Severity::High, "another program than a viewer");
    for manner in
        [Manner { hidden: true, ..viewing }, Manner { inline: true, ..viewing }, Manner { passed: true, ..viewing }]
    {
        assert!(severity(read, &person, manner) >= Severity::High, "{manner:?}");
    }
}

#[test]
fn packages_and_agents_are_high_at_least() {
    let store = store("netrc", "netrc", 3);
    for class in [Class::PackageScript, Class::AiAgent] {
        for (name, manner) in manners() {
            for weak in [false, true] {
                let is = severity(Deed::Read { store: &store, weak }, &whose(class, false), manner);
                assert!(is >= Severity::High, "{class} {name}");
            }
        }
    }
    let read = Deed::Read { store: &store, weak: false };
    assert_eq!(severity(read, &whose(Class::Unknown, false), PLAIN), Severity::Medium);
}

#[test]
fn a_small_doubt_counts_for_a_person_only() {
    let tier_one = store("gh", "gh", 1);
    let weak = Deed::Read { store: &tier_one, weak: true };
    for (name, actor) in everybody() {
        let expected = if actor.at_prompt { Severity::Medium } else { Severity::High };
        assert_eq!(severity(weak, &actor, PLAIN), expected, "{name}");
    }
    let broad = StoreFacts { broad: true, ..store("netrc", "netrc", 2) };
    let read = Deed::Read { store: &broad, weak: false };
    assert_eq!(severity(read, &whose(Class::Interactive, true), PLAIN), Severity::Low);
    assert_eq!(severity(read, &whose(Class::Interactive, false), PLAIN), Severity::Medium);
    // What was downloaded and typed is no installed program.
    let brought = Manner { sound: false, ..PLAIN };
    assert_eq!(severity(read, &whose(Class::Interactive, true), brought), Severity::Medium);
}

#[test]
fn what_hides_counts_for_more_whoever_does_it() {
    for (name, actor) in everybody() {
        for tier in [1, 2, 3] {
            let store = store("x", "x", tier);
            let read = Deed::Read { store: &store, weak: false };
            let plain = severity(read, &actor, PLAIN);
            let hidden = severity(read, &actor, Manner { hidden: true, ..PLAIN });
            assert!(hidden > plain, "{name} {tier}");
            for manner in [Manner { inline: true, ..PLAIN }, Manner { passed: true, ..PLAIN }] {
                assert!(severity(read, &actor, manner) >= plain, "{name} {tier} {manner:?}");
            }
        }
    }
}

/// Nobody gets away with less by what they put into an environment.
#[test]
fn a_variable_never_lowers_a_severity() {
    let lineages = [
        "/usr/bin/cat < SSH",
        "/usr/bin/cat < WINDOW",
        "/usr/bin/cat",
        "/usr/bin/cat < /usr/bin/sh ! < NPM < SSH",
        "/usr/bin/cat < /usr/bin/bash ! < CLAUDE < SSH",
        "/usr/bin/cat < /usr/bin/bash ! < RUNNER",
        "/usr/bin/cat < /usr/bin/sh ! < CRON",
        "/usr/bin/cat < /usr/bin/sh ! < /usr/share/code/code",
        "/usr/bin/python3 ! < SSH",
    ];
    let rules = crate::catalogue::tests::shipped_catalogue().actors().rules();
    let variables: Vec<(String, String)> = rules
        .iter()
        .flat_map(|rule| &rule.markers)
        .map(|marker| (marker.name.clone(), marker.value.clone().unwrap_or_else(|| "1".to_owned())))
        .collect();
    assert!(variables.len() > 30);
    let store = store("aws", "aws", 1);
    let of = |chain| {
        let access = read_at(0.0, chain, "/home/ann/.aws/credentials");
        severity(Deed::Read { store: &store, weak: false }, &access.actor, Manner::of(&access))
    };
    let mut raised = 0;
    for text in lineages {
        let without = of(tests::lineage(text));
        for (name, value) in &variables {
            let mut chain = tests::lineage(text);
            chain.processes[0].environment.push((name.clone(), value.into()));
            let with = of(chain);
            assert!(with >= without, "{text} with {name}={value}: {with} instead of {without}");
            raised += usize::from(with > without);
        }
    }
    assert!(raised > 30, "the markers of agents, packages and CI take a person's word away");
}

const HEAD: &str = "<!-- Generated from agent/src/detect/severity; TOKENHOUND_BLESS=1 writes it anew. -->
# Severity

How much a finding matters is decided in one place, `agent/src/detect/severity.rs`, from four things: what was done, who
acts (`agent/src/lineage/actor.rs`), how sure it is that the reader is a stranger, and how it came to the content. The
reasons are in the finding, in the order in which they counted.

1. **What was done** gives the start: a tier 1 store is high, another medium; a sweep with a tier 1 store is critical,
   another high; an environment of another process is high, its memory high, or critical if it is another user's or
   that of a CI runner. A decoy is critical, and nothing changes that. A token that a tool prints for a stranger is
   medium, and so is a connection to an agent or a metadata address; high where few programs belong.
2. **A file that holds a secret only at times** (`perhaps`) stays informational, whoever reads it.
3. **A person at the prompt of their own terminal** lowers it, and nothing else does. That is shown by lineage alone:
   the reader is the shell that leads the terminal's session, or was started by it; the shell runs no script; whoever
   opened the terminal is a login that runs as root, or a terminal program in a place that its user cannot write; no
   package script, AI agent or CI job is above. A program that only shows what it reads, on a file of that person's own,
   is then informational (a sweep of those: low); of other programs that their user cannot change, one that may well be an
   expected reader, or any at a store that many programs read, is one level less. A debugger that was typed is
   informational.
4. **Package scripts and AI agents** are high at least.
5. **What hides** goes up: code from a command line or an input, and a descriptor that was passed on, are high at least;
   a program without a name on disk is one level more.

A variable of the environment can make a package script, an AI agent or a CI job of what lineage does not show to be one.
It never lowers a severity; a test tries every variable of the catalogue against every kind of lineage.

What a person types cannot be told from what a program types into their terminal, nor from what their shell's start
files do: see [limits](../limits.md).

";

const INJECTIONS: &str = "## Foreign code in an expected reader

Who acts counts only for code that runs in the reader: for a package script that is high at least. Helper programs and
settings in the user's own files make no finding: they can say the same in their own configuration.

| the code | a known tool's, in the home | the user's own | the same, changed within a day | temporary directory | gone | in the variable |
| --- | --- | --- | --- | --- | --- | --- |
";

const STANDINGS: [Standing; 6] =
    [Standing::Tool, Standing::Own, Standing::New, Standing::Temporary, Standing::Gone, Standing::Code];

#[test]
fn foreign_code_of_a_package_is_high_and_a_known_tools_is_nobodys_alert() {
    let of =
        |grip, standing, class| severity(Deed::Injection(Injection { grip, standing }), &whose(class, false), PLAIN);
    for class in Class::ALL {
        for grip in [Grip::Helper, Grip::Search, Grip::Runs] {
            assert_eq!(of(grip, Standing::Tool, *class), Severity::Informational, "{class} {grip:?}");
            assert!(of(grip, Standing::Temporary, *class) >= of(grip, Standing::Own, *class), "{class} {grip:?}");
        }
        assert_eq!(of(Grip::Runs, Standing::Tracer, *class), Severity::High, "{class}");
        let package = *class == Class::PackageScript;
        assert_eq!(of(Grip::Runs, Standing::Own, *class) == Severity::High, package, "{class}");
    }
}

fn table(out: &mut String, title: &str, columns: &[(&str, Deed<'_>)], manner: Manner) {
    let _ = write!(out, "### {title}\n\n| who acts |");
    for (name, _) in columns {
        let _ = write!(out, " {name} |");
    }
    let _ = write!(out, "\n| --- |{}\n", " --- |".repeat(columns.len()));
    for (name, actor) in everybody() {
        let _ = write!(out, "| {name} |");
        for (_, deed) in columns {
            let _ = write!(out, " {} |", severity(*deed, &actor, manner));
        }
        out.push('\n');
    }
    out.push('\n');
}

#[test]
fn page_is_up_to_date() {
    let (one, two) = (store("a", "a", 1), store("b", "b", 2));
    let broad = StoreFacts { broad: true, ..two.clone() };
    let perhaps = StoreFacts { perhaps: true, ..one.clone() };
    let read = |store| Deed::Read { store, weak: false };
    let reads = [
        ("tier 1", read(&one)),
        ("tier 1, small doubt", Deed::Read { store: &one, weak: true }),
        ("tier 2 or 3", read(&two)),
        ("tier 2 or 3, read by many", read(&broad)),
        ("a secret at times", read(&perhaps)),
        ("sweep with tier 1", Deed::Sweep { tier_one: true }),
        ("other sweep", Deed::Sweep { tier_one: false }),
    ];
    let mut page = HEAD.to_owned();
    page.push_str("## Reads of stores\n\n");
    for (name, manner) in manners() {
        table(&mut page, name, &reads, manner);
    }
    page.push_str("## Without a read\n\n");
    let connect = |store, weak| Deed::Connect { store, weak };
    let print = |output| Deed::Print { output, weak: false };
    let asked = [
        ("a decoy is read", Deed::Decoy),
        ("connects, few belong there", connect(&one, false)),
        ("connects, many do", connect(&broad, false)),
        ("the same, a listed kind of program", connect(&broad, true)),
        ("has a token printed into a file", print(Stream::File)),
        ("into a pipe", print(Stream::Pipe)),
        ("to the terminal", print(Stream::Terminal)),
    ];
    table(&mut page, "by an installed program", &asked, PLAIN);
    page.push_str("## Looks into other processes\n\n");
    let inspection = |how, foreign, debugger| Deed::Inspection { how, foreign, runner: false, debugger };
    let looks = [
        ("environment", inspection(Inspection::Environ, false, false)),
        ("memory", inspection(Inspection::Mem, false, false)),
        ("memory of another user's", inspection(Inspection::Mem, true, false)),
        (
            "memory of a CI runner",
            Deed::Inspection { how: Inspection::Mem, foreign: false, runner: true, debugger: false },
        ),
        ("memory, by a debugger", inspection(Inspection::Mem, false, true)),
    ];
    table(&mut page, "plainly, by an installed program", &looks, PLAIN);
    page.push_str(INJECTIONS);
    for (name, grip) in [
        ("runs in the reader, or gets its token", Grip::Runs),
        ("what it imports is looked for there", Grip::Search),
        ("a helper program or settings", Grip::Helper),
    ] {
        let _ = write!(page, "| {name} |");
        for standing in STANDINGS {
            let is = severity(Deed::Injection(Injection { grip, standing }), &whose(Class::Unknown, false), PLAIN);
            let _ = write!(page, " {is} |");
        }
        page.push('\n');
    }
    bless::compare("docs/design/severity.md", &format!("{}\n", page.trim_end()));
}
