//! Answers about the packages of programs, as captures hold them.

use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use super::{entry::Answer, process::key};
use crate::lineage::package::{Digest, Integrity, Owner, Owners};

/// See [`Owners`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnersEntry {
    executable: OwnerEntry,
    script: Option<OwnerEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum OwnerEntry {
    Package(String, IntegrityEntry),
    Nobody(Option<[u8; 32]>),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum IntegrityEntry {
    Intact,
    Changed,
    Unrecorded,
    Unknown,
}

impl OwnerEntry {
    fn of(owner: &Owner) -> Self {
        match owner {
            Owner::Package { name, integrity } => {
                let integrity = match integrity {
                    Integrity::Intact => IntegrityEntry::Intact,
                    Integrity::Changed => IntegrityEntry::Changed,
                    Integrity::Unrecorded => IntegrityEntry::Unrecorded,
                    Integrity::Unknown => IntegrityEntry::Unknown,
                };
                Self::Package(name.clone(), integrity)
            }
            Owner::Nobody { digest } => Self::Nobody(digest.map(|digest| digest.0)),
            Owner::Unknown => Self::Unknown,
        }
    }

    fn owner(&self) -> Owner {
        match self {
            Self::Package(name, integrity) => {
                let integrity = match integrity {
                    IntegrityEntry::Intact => Integrity::Intact,
                    IntegrityEntry::Changed => Integrity::Changed,
                    IntegrityEntry::Unrecorded => Integrity::Unrecorded,
                    IntegrityEntry::Unknown => Integrity::Unknown,
                };
                Owner::Package { name: name.clone(), integrity }
            }
            Self::Nobody(digest) => Owner::Nobody { digest: digest.map(Digest) },
            Self::Unknown => Owner::Unknown,
        }
    }
}

impl Answer {
    pub(super) fn owners(asked: ProcessKey, answer: Option<&Owners>) -> Self {
        let entry = |owners: &Owners| OwnersEntry {
            executable: OwnerEntry::of(&owners.executable),
            script: owners.script.as_ref().map(OwnerEntry::of),
        };
        Self::Owners(key(asked), answer.map(entry))
    }

    pub(super) fn to_owners(&self, asked: ProcessKey) -> Option<Option<Owners>> {
        let Self::Owners(of, entry) = self else { return None };
        let owners = |entry: &OwnersEntry| Owners {
            executable: entry.executable.owner(),
            script: entry.script.as_ref().map(OwnerEntry::owner),
        };
        (*of == key(asked)).then(|| entry.as_ref().map(owners))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_answered_again_about_the_same_process() {
        let package = |integrity| Owner::Package { name: "gh".to_owned(), integrity };
        for owner in [
            package(Integrity::Intact),
            package(Integrity::Changed),
            package(Integrity::Unrecorded),
            package(Integrity::Unknown),
            Owner::Nobody { digest: None },
            Owner::Nobody { digest: Some(Digest([7; 32])) },
            Owner::Unknown,
        ] {
            for script in [None, Some(owner.clone())] {
                let owners = Owners { executable: owner.clone(), script };
                let (asked, other) = (ProcessKey::new(1, 2), ProcessKey::new(1, 3));
                let bytes = postcard::to_stdvec(&Answer::owners(asked, Some(&owners))).unwrap();
                let answer: Answer = postcard::from_bytes(&bytes).unwrap();
                assert_eq!((answer.to_owners(asked), answer.to_owners(other)), (Some(Some(owners)), None));
            }
        }
    }
}
