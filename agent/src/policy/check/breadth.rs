//! Rules that let more pass than their author can have meant.

use crate::{
    catalogue::{
        Catalogue,
        pattern::{Part, Pattern},
    },
    lineage::actor::Class,
    policy::{Kind, Rule},
    yaml::Problems,
};

/// Packages that bring programs which copy or show any file, beside those that are named like such a program.
const GENERIC_PACKAGES: &[&str] = &["bsdutils", "busybox-static", "coreutils", "moreutils", "util-linux", "vim-common"];

pub(super) fn check(rule: &Rule, catalogue: &Catalogue, problems: &mut Problems) {
    let messages = match rule.kind {
        Kind::Restriction => {
            restriction(rule).into_iter().for_each(|message| problems.warning(&rule.file, rule.place, message));
            return;
        }
        Kind::Expectation => {
            if !says_who(rule) {
                let message = "an expectation must say whose the store is; add \"reader\", \"script\" or \"package\"";
                problems.error(&rule.file, rule.place, message);
            }
            Vec::new()
        }
        Kind::Exception => {
            if names_no_program(rule) && rule.actor.is_empty() && every(&rule.user) && every(&rule.store) {
                let message = "tolerates every access; give at least one of \"store\", \"reader\", \"script\", \
                               \"ancestor\", \"package\", \"actor\", \"user\"";
                problems.error(&rule.file, rule.place, message);
            }
            exception(rule)
        }
    };
    for message in messages.into_iter().map(str::to_owned).chain(programs(rule, catalogue)) {
        problems.warning(&rule.file, rule.place, message);
    }
}

fn every(list: &[String]) -> bool {
    list.is_empty() || list.iter().any(|value| value == "*")
}

/// A `when` does not count: what it says of a path proves nothing about the file there.
fn says_who(rule: &Rule) -> bool {
    !rule.reader.is_empty() || !rule.script.is_empty() || !rule.package.is_empty()
}

fn names_no_program(rule: &Rule) -> bool {
    !says_who(rule) && rule.ancestor.is_empty()
}

fn restriction(rule: &Rule) -> Option<&'static str> {
    let everybody = names_no_program(rule) && rule.actor.is_empty() && rule.user.is_empty() && rule.when.is_none();
    if everybody {
        return Some(
            "takes the store back from everybody, also from its own tool; add \"actor\", \"user\" or \"reader\"",
        );
    }
    let all = rule.store.iter().any(|store| store == "*") && rule.except.is_empty();
    all.then_some("takes back every store, also the actor's own login; add \"except\"")
}

fn exception(rule: &Rule) -> Vec<&'static str> {
    let mut found = Vec::new();
    let delegated = |word: &String| Class::ALL.iter().any(|class| class.is_delegated() && class.name() == word);
    let (nobody, no_actor) = (names_no_program(rule), rule.actor.is_empty());
    if nobody && rule.actor.iter().any(delegated) {
        found.push("tolerates whatever such an actor runs, which is what thieves run as; add \"reader\" or \"script\"");
    }
    match (nobody && no_actor, every(&rule.user), every(&rule.store)) {
        (true, true, false) => {
            found.push(
                "tolerates every program of every user at this store; add \"reader\", \"script\", \"ancestor\" or \"user\"",
            );
        }
        (true, false, true) => {
            found.push("tolerates every program of this user at every store; add \"store\" or \"reader\"");
        }
        _ => {}
    }
    if nobody && rule.when.is_some() {
        found.push(
            "\"when\" proves nothing about who the reader is (a path in it may be a file that its user put there); add \
             \"reader\", \"script\" or \"package\"",
        );
    }
    found
}

fn programs(rule: &Rule, catalogue: &Catalogue) -> Vec<String> {
    let mut found = Vec::new();
    let alone = rule.script.is_empty() && rule.ancestor.is_empty();
    for reader in rule.reader.iter().filter(|_| alone) {
        let name = reader.parts().last().and_then(Part::name).unwrap_or_default();
        if catalogue.interpreters().generic(name) {
            found.push(format!(
                "\"{}\" is what any thief would use; add the \"script\" it runs or the \"ancestor\" that starts it",
                reader.text()
            ));
        }
    }
    for package in rule.package.iter().filter(|_| alone && rule.reader.is_empty()) {
        if catalogue.interpreters().generic(package) || GENERIC_PACKAGES.contains(&package.as_str()) {
            found.push(format!(
                "package \"{package}\" brings programs that any thief would use; add the \"reader\" you mean, and the \
                 \"script\" it runs or the \"ancestor\" that starts it"
            ));
        }
    }
    for pattern in rule.reader.iter().chain(&rule.script).filter(|pattern| everything(pattern)) {
        found.push(format!("\"{}\" selects whatever is there; name the programs that you mean", pattern.text()));
    }
    if rule.allow_writable && rule.user.is_empty() && rule.store.is_empty() {
        found.push("\"allow_writable\" lets every user put a program there; add \"user\" or \"store\"".to_owned());
    }
    found
}

/// Is any name right?
fn everything(pattern: &Pattern) -> bool {
    pattern.parts().last().is_some_and(|part| match part {
        Part::Deep => true,
        Part::Wild(text) => text == "*",
        Part::Name(_) => false,
    })
}
