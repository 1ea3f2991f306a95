//! The policy that is shipped with the agent: `agent/policy/default.yaml`.

use super::{Rule, parse};
use crate::yaml::Problems;

/// It, as it is written.
pub const TEXT: &str = include_str!("../../policy/default.yaml");

/// Name under which it appears in messages.
pub const NAME: &str = "policy/default.yaml";

/// Its rules.
///
/// # Errors
/// It has a mistake; the unit tests rule that out.
pub(super) fn rules() -> Result<Vec<Rule>, Problems> {
    let rules = parse::parse(NAME.as_ref(), TEXT)?.rules;
    Ok(rules.into_iter().map(|rule| Rule { shipped: true, ..rule }).collect())
}

#[cfg(test)]
mod tests;
