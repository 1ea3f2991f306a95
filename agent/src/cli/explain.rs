//! `tokenhound explain`.

use super::{CliError, Exit, print};
use crate::finding::{detector::DetectorId, explain};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Id of a detector, as in a finding (`unexpected-reader`).
    #[arg(value_name = "DETECTOR")]
    detector: String,
}

pub fn execute(options: &Options) -> Result<Exit, CliError> {
    let id: DetectorId = options.detector.parse().map_err(|_| {
        let known = DetectorId::ALL.map(DetectorId::name).join(", ");
        CliError::usage(format!("there is no detector `{}`; there are: {known}", options.detector))
    })?;
    print(&explain::detector(id))?;
    Ok(Exit::Success)
}
