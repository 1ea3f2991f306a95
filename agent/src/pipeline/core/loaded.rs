//! What an expected reader was told to load, with what the world says of it.

use std::path::Path;

use super::input::World;
use crate::{
    detect::judge::{Expectation, Judgement},
    lineage::{
        loaded::{self, Loaded},
        model::Chain,
    },
};

/// Nothing where no store expects the reader: then it is a finding already.
pub(super) fn loaded(
    chain: &Chain,
    home: Option<&Path>,
    judgements: &[Judgement],
    world: &mut dyn World,
) -> Vec<Loaded> {
    let expected = |judgement: &Judgement| matches!(judgement.expectation, Expectation::Expected { .. });
    let Some(reader) = chain.processes.first().filter(|_| judgements.iter().any(expected)) else {
        return Vec::new();
    };
    let loads = loaded::loads(reader, home, || world.linkage(chain));
    loaded::look(loads, |path| world.place(chain, path))
}
