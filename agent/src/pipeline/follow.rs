//! Starts following tokens: what was known of them, the thread that looks at them, and the one that writes down what becomes
//! of them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Flow, Follow,
    core::Input,
    remains::Remains,
    tokens::{Request, Tokens},
};
use crate::{
    finding::ocsf::Host,
    history::{
        self, Database,
        model::{Before, Sealed},
    },
    ingest::clock,
    telemetry::{events, metrics::Metrics},
    token::{
        fingerprint::{Fingerprint, Key},
        scan::Needles,
    },
};

impl Flow {
    /// Starts writing down what is found, and following tokens from what was known of them.
    pub(super) fn follow(
        &mut self,
        follow: Follow,
        host: Host,
        state: &Path,
        metrics: &Metrics,
    ) -> io::Result<(Option<Tokens>, Option<history::Writer>, Option<Remains>)> {
        let Follow { key, mut history, bounds, bell } = follow;
        let tokens = key.map(|key| self.follow_tokens(key, &mut history, metrics)).transpose()?;
        let setup = history::Setup { host, bounds, metrics: metrics.clone(), bell };
        let writer = history::Writer::start(history, setup)?;
        let remains = tokens.is_some().then(|| Remains::start(state.to_owned())).transpose()?;
        Ok((tokens, Some(writer), remains))
    }

    fn follow_tokens(&mut self, key: Key, history: &mut Database, metrics: &Metrics) -> io::Result<Tokens> {
        let tokens = history.tokens().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was known of tokens is not");
            Vec::new()
        });
        let copies = history.copies().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was known of copies is not");
            Vec::new()
        });
        let before = history.before().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was known of tokens that have left their stores is not");
            Before::default()
        });
        let left = recognised(&key, history, metrics);
        let looker = Tokens::start(Arc::clone(self.core.catalogue()), key, left, metrics.clone())?;
        // Also files that are not there any more, which no look at the stores would find.
        let (homes, overrides) = (self.core.homes(), self.core.overrides());
        let again = Request::again(&tokens, self.core.catalogue(), homes, overrides);
        again.into_iter().for_each(|request| looker.look(Some(request)));
        self.feed(Input::Tokens { time: clock::now(), tokens }, &mut |_| ());
        if before != Before::default() {
            self.feed(Input::Before { time: clock::now(), before: Box::new(before) }, &mut |_| ());
        }
        let mut files: BTreeMap<PathBuf, Vec<Fingerprint>> = BTreeMap::new();
        for copy in copies.iter().filter_map(|copy| copy.known()) {
            files.entry(copy.path).or_default().push(copy.fingerprint);
        }
        if !files.is_empty() {
            self.feed(Input::Copies { time: clock::now(), copies: files.into_iter().collect() }, &mut |_| ());
        }
        Ok(looker)
    }
}

/// How tokens that have left their stores are recognised, the longest ago first. What was written down with another key, or by
/// another version, is dropped and counted.
fn recognised(key: &Key, history: &mut Database, metrics: &Metrics) -> Vec<Needles> {
    let sealed = history.needles().unwrap_or_else(|error| {
        tracing::warn!(%error, "tokens that have left their stores are not recognised any more");
        Vec::new()
    });
    let (mut left, mut refused, mut why) = (Vec::new(), Vec::new(), None);
    for Sealed { fingerprint, needles, .. } in sealed {
        match Needles::open(key, fingerprint, &needles) {
            Ok(needles) => left.push(needles),
            Err(error) => {
                refused.push(fingerprint);
                why = Some(error);
            }
        }
    }
    if let Some(error) = why {
        tracing::warn!(%error, count = refused.len(), "what recognised tokens that have left their stores is of no use");
        events::HistoryPruned { table: "needles", count: refused.len() as u64 }.emit(metrics);
        if let Err(error) = history.forget_needles(&refused) {
            tracing::warn!(%error, "and stays in the history for now");
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        history::{model::Entry, tests::played},
        token::{scan::NONCE, secret::Secret},
    };

    #[test]
    fn what_another_key_has_sealed_is_dropped_and_counted() {
        let (one, other) = (Key::new([1; 32]), Key::new([2; 32]));
        let token = Secret::from("ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX".to_owned());
        let needles = Needles::of(&one, &token).unwrap();
        let sealed = Sealed {
            fingerprint: needles.fingerprint,
            needles: needles.seal(&one, [7; NONCE]).unwrap(),
            at: Timestamp::UNIX_EPOCH,
        };
        let (_state, mut history) = played(vec![Entry::Needles(Box::new(sealed))]);
        let (metrics, registry) = Metrics::new();
        assert_eq!(recognised(&one, &mut history, &metrics), [needles]);
        assert!(recognised(&other, &mut history, &metrics).is_empty());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("tokenhound_history_pruned_total{table=\"needles\"} 1"), "{text}");
        assert!(recognised(&one, &mut history, &metrics).is_empty(), "it is gone");
    }
}
