//! Copies of tokens, from when they are found until they are gone, and what remains of a token that has left its store.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

use super::{Core, Output, judge};
use crate::{
    copies::model::{Candidate, Scanned, Why},
    detect::{
        access::{self, Access},
        lifecycle::{Look, Tracked, report::Moment},
        recent::Recent,
        revocation_incomplete::{Remaining, RevocationIncomplete},
    },
    history::model::{Before, Checked, Copied, Standing},
    ingest::observation::KernelTime,
    token::fingerprint::Fingerprint,
};

/// Most processes that are remembered to have got at a token.
const HOLDERS: usize = 8_192;

/// Most files with copies.
const FILES: usize = 16_384;

/// What is known of copies, and of tokens that have left.
#[derive(Debug)]
pub(super) struct Provenance {
    revocation: RevocationIncomplete,
    /// Who got at a token, in words.
    holders: Recent<(Fingerprint, ProcessKey), String>,
    /// Files in which tokens were found.
    copied: Recent<PathBuf, Vec<Fingerprint>>,
    /// Tokens that are looked for in files, and since when: what is not among them says nothing by not being found. Bounded by
    /// the set that is searched.
    searched: BTreeMap<Fingerprint, KernelTime>,
}

impl Default for Provenance {
    fn default() -> Self {
        Self {
            revocation: RevocationIncomplete::default(),
            holders: Recent::new(HOLDERS),
            copied: Recent::new(FILES),
            searched: BTreeMap::new(),
        }
    }
}

impl Provenance {
    pub(super) fn evicted(&self) -> [(&'static str, u64); 3] {
        [
            ("revocation_incomplete", self.revocation.evicted()),
            ("holders_of_tokens", self.holders.evicted()),
            ("files_with_copies", self.copied.evicted()),
        ]
    }

    /// These are looked for in files from now on.
    pub(super) fn search(&mut self, time: KernelTime, tokens: &[Fingerprint]) {
        let before = std::mem::take(&mut self.searched);
        let since = |token: &Fingerprint| (*token, before.get(token).copied().unwrap_or(time));
        self.searched = tokens.iter().map(since).collect();
    }

    /// What of a file's copies is gone, as a look from end to end at `time` found these tokens in it.
    fn gone_from(&mut self, path: &PathBuf, tokens: &[Fingerprint], time: KernelTime) -> Vec<Fingerprint> {
        let Some(known) = self.copied.get(path) else { return Vec::new() };
        let was_searched = |token: &Fingerprint| self.searched.get(token).is_some_and(|since| *since <= time);
        let (gone, rest): (Vec<_>, Vec<_>) =
            known.iter().copied().partition(|token| !tokens.contains(token) && was_searched(token));
        if rest.is_empty() {
            self.copied.forget(path);
        } else if !gone.is_empty() {
            *self.copied.touch(path, time, Vec::new) = rest;
        }
        gone
    }

    /// A process got at these tokens.
    pub(super) fn held(&mut self, access: &Access, tokens: &[Fingerprint]) {
        let Some(reader) = access.chain.processes.first() else { return };
        for token in tokens {
            let name = || format!("{} (pid {})", reader.executable.path.display(), reader.key.tgid);
            self.holders.touch(&(*token, reader.key), access.time, name);
        }
    }
}

impl Core {
    /// Files in which tokens were found before the agent started.
    pub(super) fn restore_copies(&mut self, time: KernelTime, copies: Vec<(PathBuf, Vec<Fingerprint>)>) {
        for (path, tokens) in copies {
            self.engine.restore_copies(&path, &tokens, time);
            *self.provenance.copied.touch(&path, time, Vec::new) = tokens;
        }
    }

    /// What was known, and told, of tokens that had left when the agent started, and of who can get at files.
    pub(super) fn restore_left(&mut self, time: KernelTime, before: Before) {
        let Before { known, left, holders, exposures } = before;
        self.copies.learn(time, left.iter().map(|left| &left.token.known).chain(&known));
        for holder in holders {
            self.provenance.holders.touch(&(holder.fingerprint, holder.process), time, || holder.name);
        }
        self.provenance.revocation.restore(time, left);
        self.lifecycle.restore_exposures(exposures);
    }

    fn tell_left(&mut self, out: &mut dyn FnMut(Output)) {
        self.provenance.revocation.take_changes().into_iter().for_each(|change| out(Output::Left(change)));
    }

    /// A file of stores was looked at, which held the tokens of `before`.
    pub(super) fn tokens_left(
        &mut self,
        before: Vec<Tracked>,
        look: &Look,
        time: KernelTime,
        out: &mut dyn FnMut(Output),
    ) {
        let wall = self.moment(time);
        for token in &look.tokens {
            self.provenance.revocation.back(token.fingerprint);
        }
        for token in before {
            let fingerprint = token.known.fingerprint;
            if self.lifecycle.tokens().any(|other| other.known.fingerprint == fingerprint) {
                continue;
            }
            let same = |other: &Tracked| {
                (&other.known.store, &other.known.facts.field) == (&token.known.store, &token.known.facts.field)
            };
            let replaced = self.lifecycle.below(&look.path).any(same);
            self.provenance.revocation.left(token, replaced, time, wall);
        }
        self.tell_left(out);
    }

    /// Tokens were found where they do not belong.
    pub(super) fn note_copies(
        &mut self,
        scanned: &Scanned,
        copied: &access::Copied,
        writer: ProcessKey,
        out: &mut dyn FnMut(Output),
    ) {
        let time = self.moment(scanned.time);
        let carrier = match &scanned.candidate.why {
            Why::Marked { carrier } => *carrier,
            _ => writer,
        };
        let name = match self.processes.get(writer) {
            Some(process) => format!("{} (pid {})", process.name(), writer.tgid),
            None => "a process that is not known".to_owned(),
        };
        for (copy, _) in &copied.copies {
            let Some(store) = self.store_of_token(copy.fingerprint) else { continue };
            let known = self.provenance.copied.touch(&copied.path, scanned.time, Vec::new);
            if !known.contains(&copy.fingerprint) {
                known.push(copy.fingerprint);
            }
            out(Output::Copied(Box::new(Copied {
                fingerprint: copy.fingerprint,
                store,
                path: copied.path.clone(),
                class: copied.place.name().to_owned(),
                encoding: copy.encoding.name().to_owned(),
                size: copied.facts.size,
                file: None,
                writer: name.clone(),
                carrier,
                time,
            })));
        }
    }

    /// A file was looked into from end to end and holds these tokens: what was found there before and is not among them is
    /// gone from it, unless it is not looked for (any more).
    pub(super) fn note_look(
        &mut self,
        path: &Path,
        tokens: &[Fingerprint],
        time: KernelTime,
        out: &mut dyn FnMut(Output),
    ) {
        let at = self.moment(time);
        let path = path.to_owned();
        if self.provenance.copied.get(&path).is_none() {
            return;
        }
        self.provenance.revocation.looked(&path);
        let gone = self.provenance.gone_from(&path, tokens, time);
        if gone.is_empty() {
            return;
        }
        out(Output::Standing(Box::new(Checked { path, tokens: gone, state: Standing::Gone, at })));
    }

    /// Asks what remains of tokens that have left.
    pub(super) fn revocations_due(&mut self, time: KernelTime, out: &mut dyn FnMut(Output)) {
        let now = self.moment(time);
        let due = self.provenance.revocation.due(time, now);
        self.tell_left(out);
        if !due.is_empty() {
            out(Output::Remaining(due));
        }
    }

    /// That is what remains of a token.
    pub(super) fn remaining(
        &mut self,
        time: KernelTime,
        fingerprint: Fingerprint,
        remaining: Vec<Remaining>,
        out: &mut dyn FnMut(Output),
    ) {
        let Some(token) = self.provenance.revocation.token(fingerprint) else { return };
        let Some(store) = self.catalogue.store(&token.known.store).map(judge::facts) else { return };
        // Whether the token is still in it is to be seen, where it can be.
        if self.provenance.searched.contains_key(&fingerprint) {
            for copy in remaining.iter().filter(|copy| copy.state == Standing::Changed) {
                self.wrote(Candidate::new(time, copy.path.clone(), None, ProcessKey::default(), Why::Held), out);
            }
        }
        let (holders, processes) = (&self.provenance.holders, &self.processes);
        let lives = |key: ProcessKey| processes.get(key).is_some_and(|process| process.exited.is_none());
        let mut holders: Vec<String> = holders
            .iter()
            .filter(|((of, key), _)| *of == fingerprint && lives(*key))
            .map(|(_, name)| name.clone())
            .collect();
        holders.sort();
        let moment = Moment { time, wall: self.clock.wall(time) };
        let salt = self.engine.salt();
        let finding = self.provenance.revocation.remains(salt, fingerprint, remaining, &holders, &store, moment);
        if let Some(finding) = finding {
            out(Output::Finding(Box::new(finding)));
        }
        // Only now: what is written down is not told again.
        self.tell_left(out);
    }

    pub(super) fn moment(&self, time: KernelTime) -> Timestamp {
        Timestamp::try_from(self.clock.wall(time)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::fingerprint::Key;

    #[test]
    fn only_what_is_looked_for_is_gone_when_it_is_not_found() {
        let token = |text: &str| Key::new([1; 32]).fingerprint_of(text.as_bytes());
        let (one, two, path) = (token("one"), token("two"), PathBuf::from("/home/ann/deploy.sh"));
        let at = KernelTime;
        let mut known = Provenance::default();
        *known.copied.touch(&path, at(1), Vec::new) = vec![one, two];
        assert!(known.gone_from(&path, &[], at(2)).is_empty(), "nothing is looked for yet");
        known.search(at(5), &[one]);
        assert!(known.gone_from(&path, &[], at(4)).is_empty(), "the look was before");
        assert!(known.gone_from(&path, &[one], at(6)).is_empty(), "it is there");
        known.search(at(7), &[two]);
        assert_eq!(known.gone_from(&path, &[], at(8)), [two], "the first is looked for no more");
        assert_eq!(known.copied.get(&path), Some(&vec![one]));
        known.search(at(9), &[one]);
        assert_eq!(known.gone_from(&path, &[], at(9)), [one]);
        assert_eq!(known.copied.get(&path), None);
    }
}
