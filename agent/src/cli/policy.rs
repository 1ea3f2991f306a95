//! `tokenhound policy`.

use std::{path::PathBuf, time::SystemTime};

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
        /// Refuse the file for warnings, too: too broad, never reached, contradictory, expired.
        #[arg(long)]
        strict: bool,
    },
}

pub(super) fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Check { file, strict } => {
            let loaded = Catalogue::load(catalogue::DIRECTORY.as_ref()).map_err(CliError::usage)?;
            let mut outcome = Policy::check(file, &loaded.catalogue, SystemTime::now());
            outcome.passed &= !strict || outcome.warnings == 0;
            super::outcome(&outcome)
        }
    }
}
