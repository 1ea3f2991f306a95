//! `token-outlived-session`: the session in which a token was put into its store is over, and the token is still there and
//! good.

use super::{
    judge::StoreFacts,
    lifecycle::{
        Tracked,
        report::{Moment, of_token, span},
    },
    severity,
};
use crate::finding::{
    detector::DetectorId,
    model::{Finding, Salt},
    visible,
};

/// The finding for a token whose session ended before the grace was over.
pub(crate) fn finding(salt: &Salt, token: &Tracked, store: &StoreFacts, moment: Moment, since: i64) -> Finding {
    let path = visible::path(&token.known.path);
    let headline =
        format!("The token in {path} ({}) is still there, {} after its session ended", store.id, span(since));
    let assessment = severity::token::outlived(&token.known.facts, store);
    of_token(salt, DetectorId::TokenOutlivedSession, token, store, moment, assessment, headline)
}
