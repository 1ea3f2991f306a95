//! `tokenhound policy`.

use std::path::PathBuf;

use super::{CliError, Exit};
use crate::{
    catalogue::{self, Catalogue},
    policy::Policy,
};

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subcommands {
    /// Explain what is wrong with a policy file.
    Check {
        /// The file.
        file: PathBuf,
    },
}

pub(super) fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Check { file } => {
            let loaded = Catalogue::load(catalogue::DIRECTORY.as_ref()).map_err(CliError::usage)?;
            super::outcome(&Policy::check(file, &loaded.catalogue))
        }
    }
}
