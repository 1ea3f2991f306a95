//! Thefts. Each runs in a home of its own and keeps what it takes there; what it would send goes to a port where nobody
//! listens.

mod files;
mod processes;
mod supply_chain;

use crate::entry::Entry;

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    [files::CREDENTIALS, files::KEYS, files::PASSWORDS, files::TOKENS, processes::TABLE, supply_chain::TABLE]
        .into_iter()
        .flatten()
}

const READ: &str = "unexpected-reader";
const SWEEP: &str = "credential-sweep";
const INSPECTION: &str = "process-inspection";
const INJECTED: &str = "injected-reader";
