//! How long tokens may do what: `tokens` in a policy file.
//!
//! ```yaml
//! tokens:
//!   - reason: our builds log in anew every week
//!     store: [docker-config, 'npm*']
//!     session_grace: 2h
//!     stale_after: 7d
//! ```
//!
//! Of the entries that name a store (all do that name none) the first that says something decides, for each key by itself.

use std::path::PathBuf;

use crate::{catalogue::pattern::name_matches, detect::lifecycle::Limits, yaml::Place};

/// How long a token may stay after its session where no policy says otherwise: a person comes back the next morning.
const SESSION_GRACE: i64 = 12 * 3600;

/// How old a token may get where no policy says otherwise: what most rules on the rotation of keys ask for.
const STALE_AFTER: i64 = 90 * 86_400;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// Why it is right.
    pub reason: String,
    /// Ids of stores, `*` is a wildcard. Empty: all.
    pub store: Vec<String>,
    /// How long after the end of its session a token may stay, in seconds.
    pub session_grace: Option<i64>,
    /// How old it may get, in seconds.
    pub stale_after: Option<i64>,
    /// The file it is in.
    pub file: PathBuf,
    /// Where in that file.
    pub place: Place,
}

/// What the rules allow tokens of a store.
pub(super) fn limits(rules: &[TokenRule], store: &str) -> Limits {
    let of = |rule: &&TokenRule| rule.store.is_empty() || rule.store.iter().any(|wanted| name_matches(wanted, store));
    let first = |key: fn(&TokenRule) -> Option<i64>| rules.iter().filter(of).find_map(key);
    Limits {
        session_grace: first(|rule| rule.session_grace).unwrap_or(SESSION_GRACE),
        stale_after: first(|rule| rule.stale_after).unwrap_or(STALE_AFTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, Source};

    fn policy(text: &str) -> Result<Policy, String> {
        let source = Source { file: "p.yaml".into(), text: text.to_owned() };
        let catalogue = crate::catalogue::tests::shipped_catalogue();
        let loaded = Policy::of_sources(vec![source], catalogue, std::time::SystemTime::UNIX_EPOCH);
        loaded.map(|loaded| loaded.policy).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_first_entry_that_says_something_decides() {
        let policy = policy(
            "tokens:\n  - {reason: builds, store: 'docker-*', session_grace: 2h}\n  - {reason: everything else, session_grace: 1h, stale_after: 7d}\n",
        )
        .unwrap();
        assert_eq!(policy.token_limits("docker-config"), Limits { session_grace: 7200, stale_after: 7 * 86_400 });
        assert_eq!(policy.token_limits("npmrc"), Limits { session_grace: 3600, stale_after: 7 * 86_400 });
        let nothing = Policy::default().token_limits("npmrc");
        assert_eq!(nothing, Limits { session_grace: SESSION_GRACE, stale_after: STALE_AFTER });
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, said) in [
            ("tokens:\n  - {reason: nothing else}\n", "give \"session_grace\", \"stale_after\" or both"),
            ("tokens:\n  - {session_grace: 2h}\n", "reason"),
            ("tokens:\n  - {reason: typo, stale_after: 7}\n", "stale_after"),
            ("tokens:\n  - {reason: typo, stale_after: 7w}\n", "is no duration"),
            ("tokens:\n  - {reason: typo, store: docker-confg, stale_after: 7d}\n", "did you mean \"docker-config\"?"),
            ("tokens: 7d\n", "must be a list"),
        ] {
            let error = policy(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
