//! `tokenhound explain`.

use super::{CliError, Exit, print};
use crate::finding::{
    detector::{DetectorId, UnknownDetector},
    explain,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Id of a detector, as in a finding (`unexpected-reader`).
    #[arg(value_name = "DETECTOR")]
    detector: String,
}

pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let id: DetectorId = options.detector.parse().map_err(|error: UnknownDetector| CliError::usage(error))?;
    print(&explain::detector(id))?;
    Ok(Exit::Success)
}
