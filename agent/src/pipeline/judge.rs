//! What catalogue and policy say of an access, in the words of the detectors. Pure.

use std::path::Path;

use crate::{
    catalogue::{
        Catalogue,
        expect::{self, WhyNot},
        model::{ReaderScope, Store},
    },
    detect::{
        access::Access,
        judge::{Expectation, Judgement, StoreFacts},
    },
    lineage::model::Process,
    policy::Policy,
};

/// One judgement for each of the stores with these ids.
#[must_use]
pub fn judge(catalogue: &Catalogue, stores: &[String], reader: &Process, home: Option<&Path>) -> Vec<Judgement> {
    stores
        .iter()
        .filter_map(|id| catalogue.store(id))
        .map(|store| Judgement {
            store: facts(store),
            expectation: expectation(expect::expectation(store, reader, home, catalogue.interpreters())),
        })
        .collect()
}

/// Replaces what is unexpected by `tolerated` where an exception of the policy covers the access.
#[must_use]
pub fn tolerate(policy: &Policy, access: &Access, judgements: Vec<Judgement>) -> Vec<Judgement> {
    let unexpected =
        judgements.iter().any(|judgement| matches!(judgement.expectation, Expectation::Unexpected { .. }));
    let Some(exception) = unexpected.then(|| policy.tolerates(access)).flatten() else { return judgements };
    judgements
        .into_iter()
        .map(|judgement| match judgement.expectation {
            Expectation::Unexpected { .. } if exception.covers(&judgement.store.id) => Judgement {
                expectation: Expectation::Tolerated {
                    rule: exception.name(),
                    reason: exception.reason().to_owned(),
                },
                ..judgement
            },
            _ => judgement,
        })
        .collect()
}

fn facts(store: &Store) -> StoreFacts {
    StoreFacts {
        id: store.id.clone(),
        title: store.tool.clone(),
        vendor: store.vendor.clone(),
        family: store.family.clone(),
        tier: store.tier,
        kinds: store.kind.iter().map(ToString::to_string).collect(),
        revoke: store.revoke.clone(),
        logout: store.logout.clone(),
        broad: store.reader_scope == ReaderScope::Broad,
        paths: store.paths.iter().map(ToString::to_string).collect(),
    }
}

fn expectation(answer: expect::Expectation) -> Expectation {
    match answer {
        expect::Expectation::Expected { role, why } => Expectation::Expected { role: role.to_string(), why },
        expect::Expectation::NotExpected { why } => {
            Expectation::Unexpected { weak: matches!(why, WhyNot::Weak { .. }), why: vec![why.to_string()] }
        }
    }
}
