//! `tokenhound readers`: which tools of users' own have read stores.

use std::fmt::Write;

use super::{CliError, Exit, decoy::State, print};
use crate::{finding::visible, readers::Record};

/// Whose.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    state: State,
}

/// Lists them.
///
/// # Errors
/// When the record cannot be read.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let record = Record::load(&options.state.directory()?).map_err(CliError::failure)?;
    let mut text = String::new();
    for (path, reader) in &record.readers {
        let since = i64::try_from(reader.since).unwrap_or_default();
        let since = jiff::Timestamp::from_second(since).unwrap_or_default();
        let changes = if reader.changes == 1 { "change" } else { "changes" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}  since {since}, {} {changes} before  BLAKE3 {}",
            visible::path(path),
            reader.changes,
            visible::text(&reader.blake3)
        );
    }
    print(if text.is_empty() { "no reader lies where its user can write\n" } else { &text })?;
    Ok(Exit::Success)
}
