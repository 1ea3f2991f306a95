//! What catalogue and policy say of an access, in the words of the detectors. Pure.

use std::path::Path;

use crate::{
    catalogue::{
        Catalogue,
        expect::{self, WhyNot},
        homes::Homes,
        model::{Holds, Scope, Store},
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

/// Replaces what is unexpected, or expected but `injected`, by `tolerated` where an exception of the policy covers the
/// access. `None` where an exception covers a look into another process, of which nothing more is to be said.
#[must_use]
pub fn tolerate(
    policy: &Policy,
    access: &Access,
    judgements: Vec<Judgement>,
    injected: bool,
) -> Option<Vec<Judgement>> {
    let expected = |judgement: &Judgement| !matches!(judgement.expectation, Expectation::Unexpected { .. });
    if !injected && judgements.iter().any(expected) {
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

fn facts(store: &Store) -> StoreFacts {
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
        paths: store.paths.iter().map(|path| path.text().to_owned()).collect(),
    }
}

fn expectation(answer: expect::Expectation) -> Expectation {
    match answer {
        expect::Expectation::Expected { role, why } => Expectation::Expected { role: role.name().to_owned(), why },
        expect::Expectation::NotExpected { why } => {
            Expectation::Unexpected { weak: matches!(why, WhyNot::WeakReader { .. }), why: vec![why.to_string()] }
        }
    }
}
