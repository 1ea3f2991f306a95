//! `tokenhound catalogue`.

use std::path::PathBuf;

use super::{CliError, Exit, print};
use crate::catalogue::{self, Catalogue, text};

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommands {
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

pub fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Check { file } => {
            let outcome = text::check(file).map_err(CliError::usage)?;
            print(&outcome)?;
        }
        Subcommands::List => print(&text::list(&load()?))?,
        Subcommands::Show { id } => {
            let catalogue = load()?;
            let shown = text::show(&catalogue, id).ok_or_else(|| {
                let hint = catalogue.suggest(id).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                CliError::usage(format!("the catalogue has no store `{id}`{hint}"))
            })?;
            print(&shown)?;
        }
    }
    Ok(Exit::Success)
}

fn load() -> Result<Catalogue, CliError> {
    let loaded = Catalogue::load(catalogue::DIRECTORY.as_ref()).map_err(CliError::usage)?;
    Ok(loaded.catalogue)
}
