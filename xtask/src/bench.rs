//! Measuring.
use crate::place::Place;
use clap::ValueEnum;
/// What to measure.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum What {
    /// Cost of open.
    Open,
}
pub(crate) fn run(_place: &Place, _what: What, _rounds: u32) -> anyhow::Result<()> {
    Ok(())
}
