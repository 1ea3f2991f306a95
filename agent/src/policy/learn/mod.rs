//! Learns exceptions from findings, for a person to review. Pure: findings in, a policy file out.
//!
//! What is learnt is a reader that can be told apart from everybody else: a program or script in a place that its user cannot
//! write. What no one should accept unseen is refused, and listed with its reason.

mod refuse;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokenhound_common::process::ProcessKey;

pub use self::refuse::Refusal;
use crate::{
    catalogue::interpreters::Interpreters,
    detect::credential_sweep,
    finding::{detector::DetectorId, model::Finding, severity::Severity, visible},
    lineage::package::{Integrity, Owner},
};

/// Most different readers that are remembered, and most refusals; what comes after them is counted.
pub const MAX_READERS: usize = 1024;
/// Most processes remembered for each reader, and in sweeps.
const MAX_PROCESSES: usize = 4096;
/// Most names listed in a comment.
const MAX_NAMES: usize = 5;
/// A learnt exception ends so long after the last finding, unless somebody sets another date.
pub const VALIDITY: Duration = Duration::from_secs(90 * 86_400);

/// Who reads, as a rule can say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    /// Path of the executable; none where the script says it.
    pub(super) reader: Option<PathBuf>,
    pub(super) script: Option<PathBuf>,
    /// The script of an ancestor, for a reader that says nothing by itself.
    pub(super) ancestor: Option<PathBuf>,
}

/// What was seen of one reader.
#[derive(Clone, Debug)]
struct Seen {
    count: u64,
    first: SystemTime,
    last: SystemTime,
    severity: Severity,
    stores: BTreeSet<String>,
    users: BTreeSet<String>,
    /// Systemd units that it ran in; empty text where it ran in none.
    units: BTreeSet<String>,
    /// Packages that brought it, unchanged; empty text where none did.
    packages: BTreeSet<String>,
    parents: BTreeSet<String>,
    processes: BTreeSet<ProcessKey>,
}

/// What was refused for one reason.
#[derive(Clone, Debug, Default)]
struct Refused {
    count: u64,
    stores: BTreeSet<String>,
}

/// Gathers findings.
#[derive(Debug, Default)]
pub struct Learner {
    seen: BTreeMap<Who, Seen>,
    refused: BTreeMap<(String, Refusal), Refused>,
    /// Lineages of sweeps.
    swept: BTreeSet<ProcessKey>,
    findings: u64,
    /// Findings of readers beyond [`MAX_READERS`].
    left_out: u64,
    /// Times that the sensor said it had lost something.
    degraded: u64,
}

impl Learner {
    /// Takes a finding in.
    pub fn take(&mut self, finding: &Finding, interpreters: &Interpreters) {
        if finding.detector == DetectorId::SensorDegraded {
            self.degraded += 1;
            return;
        }
        self.findings += 1;
        let Some(chain) = &finding.chain else { return };
        if finding.detector == DetectorId::CredentialSweep {
            for process in credential_sweep::counted(&chain.processes) {
                if self.swept.len() < MAX_PROCESSES {
                    self.swept.insert(process.key);
                }
            }
        }
        match refuse::who(finding, interpreters) {
            Ok(who) => self.saw(who, finding),
            Err(refusal) => {
                self.refuse(reader(finding), refusal, 1, finding.stores.iter().map(|store| store.id.clone()))
            }
        }
    }

    fn saw(&mut self, who: Who, finding: &Finding) {
        let (Some(chain), Some(reader)) = (&finding.chain, finding.reader()) else { return };
        if self.seen.len() >= MAX_READERS && !self.seen.contains_key(&who) {
            self.left_out += 1;
            return;
        }
        let seen = self.seen.entry(who).or_insert_with(|| Seen {
            count: 0,
            first: finding.wall,
            last: finding.wall,
            severity: finding.severity,
            stores: BTreeSet::new(),
            users: BTreeSet::new(),
            units: BTreeSet::new(),
            packages: BTreeSet::new(),
            parents: BTreeSet::new(),
            processes: BTreeSet::new(),
        });
        seen.count += 1;
        (seen.first, seen.last) = (seen.first.min(finding.wall), seen.last.max(finding.wall));
        seen.severity = seen.severity.max(finding.severity);
        seen.stores.extend(finding.stores.iter().map(|store| store.id.clone()));
        seen.users.insert(finding.user_name.clone().unwrap_or_else(|| reader.uid.to_string()));
        seen.units.insert(reader.unit.clone().unwrap_or_default());
        let package = reader.owners.as_deref().map(|owners| owners.script.as_ref().unwrap_or(&owners.executable));
        seen.packages.insert(match package {
            Some(Owner::Package { name, integrity: Integrity::Intact }) => name.clone(),
            _ => String::new(),
        });
        if let Some(parent) = chain.processes.get(1).filter(|_| seen.parents.len() < MAX_NAMES) {
            seen.parents.insert(visible::path(parent.script_path().unwrap_or(&parent.executable.path)));
        }
        for process in credential_sweep::counted(&chain.processes) {
            if seen.processes.len() < MAX_PROCESSES {
                seen.processes.insert(process.key);
            }
        }
    }

    fn refuse(&mut self, reader: String, refusal: Refusal, count: u64, stores: impl Iterator<Item = String>) {
        let key = (reader, refusal);
        if self.refused.len() >= MAX_READERS && !self.refused.contains_key(&key) {
            self.left_out += count;
            return;
        }
        let refused = self.refused.entry(key).or_default();
        refused.count += count;
        refused.stores.extend(stores);
    }

    /// The policy file with what was learnt, and what was refused in its comments.
    #[must_use]
    pub fn finish(mut self, host: &str) -> Learnt {
        for (who, seen) in std::mem::take(&mut self.seen) {
            // One that has too many processes cannot be told from the sweeps.
            let swept = !seen.processes.is_disjoint(&self.swept)
                || (!self.swept.is_empty() && seen.processes.len() >= MAX_PROCESSES);
            if swept {
                let name = who.script.as_deref().or(who.reader.as_deref()).map(visible::path).unwrap_or_default();
                self.refuse(name, Refusal::Sweep, seen.count, seen.stores.into_iter());
            } else {
                self.seen.insert(who, seen);
            }
        }
        Learnt { text: text::render(&self, host), exceptions: self.seen.len(), refused: self.refused.len() }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// The policy file.
    pub text: String,
    /// Exceptions in it.
    pub exceptions: usize,
    /// Readers that were refused, once for each reason.
    pub refused: usize,
}

/// Who acted, for people.
fn reader(finding: &Finding) -> String {
    finding.reader().map_or_else(
        || "nobody".to_owned(),
        |reader| {
            let program = visible::path(&reader.executable.path);
            match reader.script_path() {
                Some(script) => format!("{} ({program})", visible::path(script)),
                None => program,
            }
        },
    )
}

#[cfg(test)]
mod tests;
