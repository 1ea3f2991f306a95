//! What policies say of actors.

use super::*;
use crate::lineage::actor::tests::{actor, lineage};

fn acting(text: &str) -> Access {
    let chain = lineage(text);
    let actor = actor(&chain);
    Access { actor, ..access(&["aws-credentials"], chain.processes) }
}

const AGENT: &str = "/usr/bin/aws < /usr/bin/bash ! < CLAUDE < SSH";

#[test]
fn an_exception_counts_for_whoever_acts() {
    for (exception, lineage, covered) in [
        ("actor: ai-agent, reader: /usr/bin/aws", AGENT, true),
        ("actor: claude-code, reader: /usr/bin/aws", AGENT, true),
        ("actor: [codex, ci-job], reader: /usr/bin/aws", AGENT, false),
        ("actor: ai-agent, reader: /usr/bin/aws", "/usr/bin/aws < SSH", false),
        ("actor: interactive, reader: /usr/bin/aws", "/usr/bin/aws < SSH", true),
        // Not for what it starts that is somebody else's.
        ("actor: ai-agent", "/usr/bin/aws < /usr/bin/sh ! < NPM < /usr/bin/bash ! < CLAUDE", false),
        // A variable is not enough, and a name only where it is said to be.
        ("actor: ai-agent", "/usr/bin/aws $CLAUDECODE=1", false),
        ("actor: ai-agent", "/usr/bin/aws < ~/home/ann/bin/claude", false),
        ("actor: ai-agent, allow_writable: true", "/usr/bin/aws < ~/home/ann/bin/claude", true),
    ] {
        assert_eq!(tolerated(exception, &acting(lineage)), covered, "{exception}: {lineage}");
    }
}

fn restricts(restriction: &str, access: &Access, store: &str) -> bool {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), format!("restrictions:\n  - {{reason: not theirs, {restriction}}}\n")).unwrap();
    let loaded = Policy::read(&[file.path().to_owned()], Guard::Looked, shipped_catalogue(), now());
    loaded.unwrap_or_else(|problems| panic!("{problems}")).policy.restricts(access, store).is_some()
}

#[test]
fn a_restriction_counts_for_whoever_it_is_done_for() {
    let below_agent = "/usr/bin/aws < /usr/bin/sh ! < NPM < /usr/bin/bash ! < CLAUDE";
    for (restriction, lineage, store, covered) in [
        ("actor: ai-agent, store: 'aws-*'", AGENT, "aws-credentials", true),
        ("actor: claude-code, store: 'aws-*'", AGENT, "aws-credentials", true),
        ("actor: ai-agent, store: 'aws-*'", AGENT, "gh-hosts", false),
        ("actor: ai-agent, store: '*', except: [gh-hosts]", AGENT, "gh-hosts", false),
        ("actor: ai-agent, store: '*', except: [gh-hosts]", AGENT, "aws-credentials", true),
        ("actor: ai-agent, store: 'aws-*'", "/usr/bin/aws < SSH", "aws-credentials", false),
        ("actor: ai-agent, store: 'aws-*'", below_agent, "aws-credentials", true),
        ("actor: ai-agent, store: 'aws-*'", "/usr/bin/aws $CLAUDECODE=1", "aws-credentials", true),
        ("actor: ai-agent, store: 'aws-*', user: ann", AGENT, "aws-credentials", true),
        ("actor: ai-agent, store: 'aws-*', user: bob", AGENT, "aws-credentials", false),
    ] {
        assert_eq!(restricts(restriction, &acting(lineage), store), covered, "{restriction}: {lineage} {store}");
    }
}

#[test]
fn mistakes_about_actors_are_explained() {
    for (text, passed, said) in [
        ("exceptions:\n  - {reason: fine now, actor: ai-agents, store: netrc}\n", false, "did you mean \"ai-agent\"?"),
        (
            "exceptions:\n  - {reason: fine now, actor: robot, store: netrc}\n",
            false,
            "no actor \"robot\"; the classes are",
        ),
        ("exceptions:\n  - {reason: fine now, actor: ai-agent}\n", true, "which is what thieves run as"),
        ("restrictions:\n  - {reason: fine now, store: netrc}\n", true, "from everybody, also from its own tool"),
        ("restrictions:\n  - {reason: fine now, actor: ai-agent}\n", false, "\"store\" is missing"),
        ("restrictions:\n  - {reason: fine now, actor: ai-agent, store: proc-mem}\n", false, "nothing to take back"),
        ("restrictions:\n  - {reason: fine now, actor: ai-agent, store: '*'}\n", true, "also the actor's own login"),
        ("restrictions:\n  - {reason: fine now, actor: ai-agent, store: netrc}\n", true, "right, 1 restriction"),
    ] {
        let outcome = outcome(text);
        assert_eq!(outcome.passed, passed, "{text}: {}", outcome.text);
        assert!(outcome.text.contains(said), "{text}: {}", outcome.text);
    }
}

/// What the documents show is right.
#[test]
fn the_page_shows_a_right_policy() {
    let page = include_str!("../../../../docs/policy.md");
    let shown = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(outcome(shown).text, "p.yaml: right, 1 expectation, 2 exceptions, 2 restrictions");
}
