//! `tokenhound tokens`: what the agent knows of the tokens in stores.

use std::fmt::Write;

use super::{CliError, Exit, decoy::State, print};
use crate::{
    detect::lifecycle::{Tracked, report},
    finding::visible,
    history::Database,
};

/// Which.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only tokens of this store.
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    #[command(flatten)]
    state: State,
}

/// Lists them.
///
/// # Errors
/// When the history cannot be read.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let history = Database::look(&options.state.directory()?).map_err(CliError::failure)?;
    let tokens = history.map(|history| history.tokens()).transpose().map_err(CliError::failure)?;
    let wanted = |token: &&Tracked| options.store.as_ref().is_none_or(|store| *store == token.known.store);
    let mut text = String::new();
    for token in tokens.iter().flatten().filter(wanted) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}", visible::path(&token.known.path), visible::text(&token.known.store));
        let _ = writeln!(text, "  {}  there since {}", token.known.fingerprint, report::at(token.since));
        for fact in report::about(token) {
            let _ = writeln!(text, "    {}", fact.text);
        }
    }
    print(if text.is_empty() { "no token is known; `tokenhound run` looks at what lies in stores\n" } else { &text })?;
    Ok(Exit::Success)
}
