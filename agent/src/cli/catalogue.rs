//! `tokenhound catalogue`.

use std::path::PathBuf;

use super::{CliError, Exit, print};
use crate::catalogue::{self, Catalogue, text};

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subcommands {
    /// One line for each store.
    List,
    /// Everything that is known of one store.
    Show {
        /// Its id (`aws-credentials`).
        id: String,
    },
    /// Explain what is wrong with a catalogue file.
    Check {
        /// The file.
        file: PathBuf,
    },
}

pub(super) fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Check { file } => {
            return super::outcome(&text::check(file));
        }
        Subcommands::List => print(&format!("{}\n", text::list(&load()?)))?,
        Subcommands::Show { id } => {
            let shown = text::show(&load()?, id).map_err(CliError::usage)?;
            print(&format!("{shown}\n"))?;
        }
    }
    Ok(Exit::Success)
}

fn load() -> Result<Catalogue, CliError> {
    let loaded = Catalogue::load(catalogue::DIRECTORY.as_ref()).map_err(CliError::usage)?;
    Ok(loaded.catalogue)
}
