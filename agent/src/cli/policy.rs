//! `tokenhound policy`.

use std::path::PathBuf;

use super::{CliError, Exit, print};
use crate::{catalogue::{self, Catalogue}, policy};

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommands {
    /// Explain what is wrong with a policy file.
    Check {
        /// The file.
        file: PathBuf,
    },
}

pub fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Check { file } => {
            let loaded = Catalogue::load(catalogue::DIRECTORY.as_ref()).map_err(CliError::usage)?;
            print(&policy::check(file, &loaded.catalogue).map_err(CliError::usage)?)?;
        }
    }
    Ok(Exit::Success)
}
