//! Changes of a store, as they are counted and told.

use std::path::PathBuf;

/// A change of a store, as it is counted and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreChange {
    /// Id of the store.
    pub store: String,
    /// What happened: `link`, `rename`, `mode` and so on.
    pub what: &'static str,
    /// The store's file.
    pub path: PathBuf,
    /// The other name, the link's text or what is mounted, where there is one.
    pub other: Option<PathBuf>,
    /// Who did it.
    pub actor: String,
}
