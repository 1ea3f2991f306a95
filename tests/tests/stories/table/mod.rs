//! The stories.

mod arguments;
mod copies;
mod egress;
mod histories;
mod own;
mod programs;

use crate::story::Pair;

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Pair> {
    [arguments::TABLE, copies::TABLE, egress::TABLE, histories::TABLE, own::TABLE, programs::TABLE]
        .into_iter()
        .flatten()
}

const COPIED: &str = "token-copied";
const ARGUMENTS: &str = "secret-in-arguments";
const EGRESS: &str = "token-egress";

/// Makes what the stories need beside their homes.
pub(crate) fn prepare(stage: &tokenhound_tests::stage::Stage) {
    arguments::prepare(stage);
}
