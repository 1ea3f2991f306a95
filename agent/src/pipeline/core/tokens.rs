//! Tokens in their stores: what looks at files find, what reads, writes and ends of sessions mean for them, and what is to
//! be told.

use std::path::Path;

use tokenhound_common::{process::ProcessKey, record::FileFacts};

use super::{Core, Output, World, judge};
use crate::{
    detect::{
        access::{Access, Target},
        engine::Outcome,
        judge::Verdict,
        lifecycle::{
            Change, Due, Exposed, Lifecycle, Look, TokenAge, Tracked,
            report::{self, Moment},
        },
        stale_token, store_exposed, token_outlived_session, token_reused_by_automation,
    },
    finding::model::{self, Evidence, Finding},
    ingest::observation::{self, KernelTime, OpenMode, Way},
};

/// Most tokens of a file that a finding names.
const NAMED: usize = 8;

impl Core {
    /// What was known of tokens when the agent started, at `time`.
    pub(super) fn restore(&mut self, time: KernelTime, tokens: Vec<Tracked>) {
        self.started = self.moment(time);
        self.copies.learn(time, tokens.iter().map(|token| &token.known));
        self.lifecycle.restore(tokens);
    }

    /// A file of stores was looked at.
    pub(super) fn looked(&mut self, time: KernelTime, look: &Look, out: &mut dyn FnMut(Output)) {
        let now = self.moment(time);
        self.copies.learn(time, look.tokens.iter());
        let before: Vec<Tracked> = self.lifecycle.below(&look.path).cloned().collect();
        let (changes, exposed) = self.lifecycle.looked(look, now, self.started);
        self.tokens_left(before, look, time, out);
        let (told, known): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| matches!(change, Change::Exposed(..)));
        known.into_iter().for_each(|change| out(Output::Token(change)));
        if !exposed.is_empty() {
            self.exposed(time, look, &exposed, out);
        }
        // Only now: what is written down is not told again.
        told.into_iter().for_each(|change| out(Output::Token(change)));
    }

    fn exposed(&mut self, time: KernelTime, look: &Look, ways: &[Exposed], out: &mut dyn FnMut(Output)) {
        let tokens: Vec<_> = self.lifecycle.below(&look.path).collect();
        // A file without a token in it exposes nothing.
        let Some(first) = tokens.first() else { return };
        let Some(store) = self.catalogue.store(&first.known.store).map(judge::facts) else { return };
        let moment = Moment { time, wall: self.clock.wall(time) };
        let finding = store_exposed::finding(self.engine.salt(), &look.path, &tokens, &store, ways, moment);
        out(Output::Finding(Box::new(finding)));
    }

    /// A store was opened for writing.
    pub(super) fn token_written(&mut self, access: &Access) {
        if let Target::Store { mode: OpenMode { write: true, .. }, .. } = &access.target {
            self.lifecycle.touched(access, true);
        }
    }

    /// A file took a store's name: whoever gave it that name wrote the store.
    pub(super) fn token_renamed(
        &mut self,
        change: &observation::Change,
        stores: &[String],
        path: &Path,
        world: &mut dyn World,
    ) {
        let target = Target::Store {
            stores: stores.to_vec(),
            path: path.to_owned(),
            known_as: None,
            file: FileFacts { id: change.file.id, ..FileFacts::default() },
            mode: OpenMode { write: true, ..OpenMode::default() },
            way: Way::Open,
            path_in_root: None,
        };
        if let Some(access) = self.access(change.task.key, change.time, target, world) {
            self.lifecycle.touched(&access, true);
        }
    }

    /// A store was read: what that means for the tokens in it.
    pub(super) fn token_read(&mut self, access: &Access, outcome: &mut Outcome, out: &mut dyn FnMut(Output)) {
        let Target::Store { path, known_as, mode: OpenMode { read: true, .. }, .. } = &access.target else { return };
        let Some((_, verdict)) = outcome.verdicts.first() else { return };
        if *verdict == Verdict::Expected {
            self.lifecycle.touched(access, false);
        }
        let path = known_as.as_ref().unwrap_or(path);
        for finding in &mut outcome.findings {
            name_tokens(finding, &self.lifecycle, path);
        }
        let (reused, changes) = self.lifecycle.read(access, path, self.moment(access.time));
        changes.into_iter().for_each(|change| out(Output::Token(change)));
        // What policy lets pass it lets pass here as well.
        if *verdict == Verdict::Tolerated {
            return;
        }
        let first = reused.first().and_then(|token| {
            let store = self.catalogue.store(&token.known.store).map(judge::facts)?;
            token_reused_by_automation::finding(self.engine.salt(), token, &store, access, *verdict)
        });
        outcome.findings.extend(first.map(|finding| also(finding, reused.len())));
    }

    /// A process has ended.
    pub(super) fn session_ended(&mut self, process: ProcessKey, time: KernelTime, out: &mut dyn FnMut(Output)) {
        let now = self.moment(time);
        self.lifecycle.ended(process, now).into_iter().for_each(|change| out(Output::Token(change)));
    }

    /// What is due by then.
    pub(super) fn tokens_due(&mut self, time: KernelTime, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        // An end that nobody saw: before the start, or in a loss.
        let processes = &self.processes;
        let unseen = |leader: &ProcessKey| processes.get(*leader).is_none_or(|process| process.exited.is_some());
        let missing: Vec<_> = self.lifecycle.leaders().iter().copied().filter(unseen).collect();
        if !missing.is_empty() {
            for leader in world.gone(&missing) {
                self.session_ended(leader, time, out);
            }
        }
        let now = self.moment(time);
        let policy = &self.policy;
        let (due, changes) = self.lifecycle.due(now, |store| policy.token_limits(store));
        changes.into_iter().for_each(|change| out(Output::Token(change)));
        let moment = Moment { time, wall: self.clock.wall(time) };
        for due in due {
            let (Due::Outlived(token, _) | Due::Stale(token)) = &due;
            let Some(store) = self.catalogue.store(&token.known.store).map(judge::facts) else { continue };
            let salt = self.engine.salt();
            let finding = match &due {
                Due::Outlived(token, since) => token_outlived_session::finding(salt, token, &store, moment, *since),
                Due::Stale(token) => stale_token::finding(salt, token, &store, moment, now),
            };
            out(Output::Finding(Box::new(finding)));
        }
    }

    /// Age of the oldest token of each store, and time until the first ends, in seconds. One that has ended counts no more.
    #[must_use]
    pub fn token_ages(&self, time: KernelTime) -> Vec<TokenAge> {
        self.lifecycle.ages(self.moment(time))
    }
}

/// Adds which tokens lie in the file that was accessed.
fn name_tokens(finding: &mut Finding, lifecycle: &Lifecycle, path: &Path) {
    if !matches!(finding.target, model::Target::File { .. }) {
        return;
    }
    for token in lifecycle.below(path).take(NAMED) {
        let fingerprint = token.known.fingerprint.to_string();
        let words = report::words(&token.known.facts);
        finding.evidence.push(Evidence::new("token.facts", format!("{words} ({fingerprint})")));
        finding.fingerprint.get_or_insert(fingerprint);
    }
}

/// One read of a file with several tokens is one finding.
fn also(mut finding: Finding, tokens: usize) -> Finding {
    if tokens > 1 {
        finding.evidence.push(Evidence::new("token.count", format!("{tokens} tokens lie in this file")));
    }
    finding
}
