//! What catalogue and policy say of an access, in the words of the detectors. Pure.

use std::path::Path;

use crate::{
    catalogue::{
        Catalogue,
        expect::{self, WhyNot},
        homes::Homes,
        model::{Holds, Role, Scope, Store},
    },
    detect::{
        access::Access,
        judge::{Expectation, Judgement, StoreFacts},
    },
    lineage::model::Process,
    policy::Policy,
};

/// One judgement for each of the stores with these ids, of which `path` is a file.
#[must_use]
pub fn judge(
    catalogue: &Catalogue,
    stores: &[String],
    path: &Path,
    homes: &Homes,
    reader: &Process,
    home: Option<&Path>,
) -> Vec<Judgement> {
    stores
        .iter()
        .filter_map(|id| catalogue.store(id))
        .map(|store| Judgement {
            store: StoreFacts { perhaps: catalogue.holds(store, path, homes) == Holds::Perhaps, ..facts(store) },
            expectation: expectation(expect::expectation(store, reader, home, catalogue.interpreters())),
        })
        .collect()
}

/// Where the catalogue does not expect a reader, the policy may.
#[must_use]
pub fn expect(policy: &Policy, access: &Access, judgements: Vec<Judgement>) -> Vec<Judgement> {
    let judge = |judgement: Judgement| {
        if !matches!(judgement.expectation, Expectation::Unexpected { .. }) {
            return judgement;
        }
        let Some(rule) = policy.expects(access, &judgement.store.id) else { return judgement };
        let why = format!("the policy ({}) expects it: {}", rule.label(), rule.reason);
        Judgement { expectation: Expectation::Expected { role: "policy".to_owned(), why }, ..judgement }
    };
    judgements.into_iter().map(judge).collect()
}

/// What the policy makes of that: a restriction takes back what is expected, an exception tolerates what is not, or what is
/// expected but `injected`. `None` where an exception covers a look into another process, of which nothing more is to be
/// said.
#[must_use]
pub fn apply(policy: &Policy, access: &Access, judgements: Vec<Judgement>, injected: bool) -> Option<Vec<Judgement>> {
    let judgements: Vec<_> = judgements.into_iter().map(|judgement| restrict(policy, access, judgement)).collect();
    let expected = |judgement: &Judgement| !matches!(judgement.expectation, Expectation::Unexpected { .. });
    // A decoy at the path of a real store: its reads count, also those of the store's own tool.
    let decoy = judgements.iter().any(|judgement| judgement.store.decoy);
    if !injected && !decoy && judgements.iter().any(expected) {
        return Some(judgements);
    }
    let Some(exception) = policy.tolerates(access) else { return Some(judgements) };
    if judgements.is_empty() {
        return None;
    }
    let tolerated = judgements
        .into_iter()
        .map(|judgement| match judgement.expectation {
            Expectation::Unexpected { .. } | Expectation::Expected { .. } => Judgement {
                expectation: Expectation::Tolerated { rule: exception.label(), reason: exception.reason.clone() },
                ..judgement
            },
            Expectation::Tolerated { .. } => judgement,
        })
        .collect();
    Some(tolerated)
}

fn restrict(policy: &Policy, access: &Access, judgement: Judgement) -> Judgement {
    let Expectation::Expected { why, .. } = &judgement.expectation else { return judgement };
    let Some(restriction) = policy.restricts(access, &judgement.store.id) else { return judgement };
    let actors = if restriction.actor.is_empty() { "all".to_owned() } else { restriction.actor.join(", ") };
    let taken_back = format!(
        "the policy ({}) takes back what is expected ({why}) for {actors}: {}",
        restriction.label(),
        restriction.reason
    );
    Judgement { expectation: Expectation::Unexpected { why: vec![taken_back], weak: false }, ..judgement }
}

/// What detectors need to know of a store.
pub(super) fn facts(store: &Store) -> StoreFacts {
    StoreFacts {
        id: store.id.clone(),
        title: store.tool.clone(),
        vendor: store.vendor.clone(),
        family: store.family.clone(),
        tier: store.tier,
        kinds: store.kind.iter().map(|kind| kind.name().to_owned()).collect(),
        revoke: store.revoke.clone(),
        logout: store.logout.clone(),
        broad: store.reader_scope == Scope::Broad,
        perhaps: false,
        decoy: store.role == Role::Decoy,
        paths: store.paths.iter().map(|path| path.text().to_owned()).collect(),
    }
}

fn expectation(answer: expect::Expectation) -> Expectation {
    match answer {
        expect::Expectation::Expected { role, why } => Expectation::Expected { role: role.name().to_owned(), why },
        expect::Expectation::NotExpected { why } => {
            // A program that may well be the right one.
            let weak = matches!(why, WhyNot::WeakReader { .. } | WhyNot::OwnPlace { .. });
            Expectation::Unexpected { weak, why: vec![why.to_string()] }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fixtures::{expected, process, read_at, store, under_shell, unexpected};

    fn policy(text: &str) -> Policy {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("p.yaml"), text).unwrap();
        Policy::load(directory.path(), &[], crate::catalogue::tests::shipped_catalogue()).unwrap().policy
    }

    #[test]
    fn a_restriction_takes_back_and_an_exception_has_the_last_word() {
        let restriction = "restrictions:\n  - {reason: not theirs, store: 'aws-*', actor: package-script}\n";
        let exception = "exceptions:\n  - {reason: but this one, store: 'aws-*', reader: /usr/bin/aws}\n";
        let by = |npm: bool| {
            let mut chain = under_shell(process(4242, 812, "/usr/bin/aws"));
            if npm {
                let script = "/usr/lib/node_modules/npm/bin/npm-cli.js";
                let node = process(4000, 812, "/usr/bin/node");
                let node = crate::detect::fixtures::with_script(node, script, crate::lineage::model::Writable::No);
                chain.processes.insert(1, node);
            }
            let mut access = read_at(0.0, chain, "/home/ann/.aws/credentials");
            if let crate::detect::access::Target::Store { stores, .. } = &mut access.target {
                stores.push("aws-credentials".to_owned());
            }
            access
        };
        let says = |text: &str, npm: bool, judgement: Judgement| {
            let judgements = apply(&policy(text), &by(npm), vec![judgement], false).unwrap();
            judgements.into_iter().map(|judgement| judgement.expectation).next().unwrap()
        };
        let aws = || expected(store("aws-credentials", "aws", 1));
        let Expectation::Unexpected { why, .. } = says(restriction, true, aws()) else { panic!("taken back") };
        assert!(why[0].contains("p.yaml:2") && why[0].ends_with("not theirs"), "{why:?}");
        assert!(matches!(says(restriction, false, aws()), Expectation::Expected { .. }));
        assert!(matches!(says("", true, aws()), Expectation::Expected { .. }));
        let both = format!("{restriction}{exception}");
        assert!(matches!(says(&both, true, aws()), Expectation::Tolerated { .. }));
        let stranger = unexpected(store("aws-credentials", "aws", 1));
        assert!(matches!(says(restriction, true, stranger), Expectation::Unexpected { .. }));
    }

    #[test]
    fn an_expectation_is_as_good_as_the_catalogue_and_can_be_taken_back() {
        let expectation = "expectations:\n  - {reason: ours, store: netrc, reader: /opt/deploy}\n";
        let restriction = "restrictions:\n  - {reason: not ours, store: netrc, user: ann}\n";
        let verdict = |text: &str, program: &str, id: &str| {
            let policy = policy(text);
            let access = read_at(0.0, under_shell(process(4242, 812, program)), "/home/ann/.netrc");
            let judgements = expect(&policy, &access, vec![unexpected(store(id, id, 2))]);
            apply(&policy, &access, judgements, false).unwrap().remove(0).expectation
        };
        let Expectation::Expected { role, why } = verdict(expectation, "/opt/deploy", "netrc") else { panic!("ours") };
        assert!(role == "policy" && why.contains("p.yaml:2) expects it: ours"), "{why}");
        assert!(matches!(verdict(expectation, "/opt/other", "netrc"), Expectation::Unexpected { .. }));
        assert!(matches!(verdict(expectation, "/opt/deploy", "gh-hosts"), Expectation::Unexpected { .. }));
        let both = format!("{expectation}{restriction}");
        let Expectation::Unexpected { why, .. } = verdict(&both, "/opt/deploy", "netrc") else { panic!("taken back") };
        assert!(why[0].contains("takes back what is expected"), "{why:?}");
    }
}
