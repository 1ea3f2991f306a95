//! Looks what remains of tokens that have left their stores: whether the files in which they were found are still as they were.
//! On a thread of its own: a file system may not answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use crate::{
    detect::revocation_incomplete::Remaining,
    history::{Database, HistoryError, mark, model::Standing},
    token::fingerprint::Fingerprint,
};

/// Most questions that wait; one that finds no room is asked again in a minute.
const WAITING: usize = 64;

/// Most files that are remembered not to have been found once. Beyond, they are looked for again.
const MISSING: usize = 16_384;

/// Files that the last look did not find.
type Missing = BTreeSet<(Fingerprint, PathBuf)>;

/// A token with what remains of it.
pub(super) type Answer = (Fingerprint, Vec<Remaining>);

/// The thread, as the pipeline sees it.
pub(super) struct Remains {
    questions: mpsc::SyncSender<Vec<Fingerprint>>,
    answers: mpsc::Receiver<Answer>,
}

impl Remains {
    /// Starts the thread; it reads the history in that state directory.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(state: PathBuf) -> io::Result<Self> {
        let (questions, asked) = mpsc::sync_channel::<Vec<Fingerprint>>(WAITING);
        let (answer, answers) = mpsc::sync_channel(WAITING);
        let work = move || {
            let mut missing = Missing::new();
            for tokens in asked {
                match look(&state, &tokens, &mut missing) {
                    Ok(found) => {
                        if found.into_iter().any(|one| answer.send(one).is_err()) {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "what remains of revoked tokens is not known for now"),
                }
            }
        };
        thread::Builder::new().name("remains".into()).spawn(work)?;
        Ok(Self { questions, answers })
    }

    pub(super) fn ask(&self, tokens: Vec<Fingerprint>) {
        if self.questions.try_send(tokens).is_err() {
            tracing::debug!("what remains of revoked tokens is looked at later: too many are asked about");
        }
    }

    /// What was found since the last call.
    pub(super) fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }
}

/// A file that is not found is gone only if the look before did not find it either: what is written down as gone is never looked
/// at again.
fn look(state: &Path, tokens: &[Fingerprint], missing: &mut Missing) -> Result<Vec<Answer>, HistoryError> {
    let mut remaining: BTreeMap<Fingerprint, Vec<Remaining>> =
        tokens.iter().map(|token| (*token, Vec::new())).collect();
    let Some(history) = Database::look(state)? else { return Ok(remaining.into_iter().collect()) };
    let copies = history.copies_of(tokens)?;
    let before: Missing = missing.extract_if(.., |(token, _)| tokens.contains(token)).collect();
    for copy in copies {
        let Some(known) = copy.known() else { continue };
        let mut state = mark::standing(&copy.path, copy.mark);
        let spot = (known.fingerprint, copy.path.clone());
        if state == Standing::Gone && !before.contains(&spot) {
            if missing.len() < MISSING {
                missing.insert(spot);
            }
            state = copy.state;
        }
        let of = remaining.entry(known.fingerprint).or_default();
        of.push(Remaining { path: copy.path, class: copy.class, state });
    }
    Ok(remaining.into_iter().collect())
}

/// Is there something to be written down?
pub(super) fn is_news(remaining: &Remaining) -> bool {
    remaining.state != Standing::Present
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::history::{
        model::Entry,
        tests::{copied, played},
    };

    #[test]
    fn a_file_is_gone_once_two_looks_have_not_found_it() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("deploy.sh");
        fs::write(&script, "made up").unwrap();
        let mut known = copied("");
        (known.path, known.size, known.time, known.file) = (script.clone(), 7, jiff::Timestamp::MAX, None);
        let tokens = [known.fingerprint];
        let (state, _database) = played(vec![Entry::Copy(Box::new(known))]);
        let mut missing = Missing::new();
        let mut look = || {
            let answers = look(state.path(), &tokens, &mut missing).unwrap();
            answers[0].1.iter().map(|copy| copy.state).collect::<Vec<_>>()
        };
        assert_eq!(look(), [Standing::Present]);
        fs::remove_file(&script).unwrap();
        assert_eq!(look(), [Standing::Present], "it may be written anew at this moment");
        fs::write(&script, "made up").unwrap();
        assert_eq!(look(), [Standing::Changed], "and so it was");
        fs::remove_file(&script).unwrap();
        assert_eq!(look(), [Standing::Present], "one look again");
        assert_eq!(look(), [Standing::Gone]);
    }
}
