//! What the dashboards show.

mod overview;
mod sensors;
mod tokens;

pub(super) use overview::OVERVIEW;
pub(super) use sensors::SENSORS;
pub(super) use tokens::TOKENS;
