//! Answers about the packages of programs, as captures hold them.

use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use super::{
    entry::Answer,
    process::{Bytes, WritableEntry, bytes, key, path},
};
use crate::lineage::package::{
    Digest, Integrity, Owner, Owners,
    installed::{Installed, Manager, Named},
};

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
    /// Nobody's, with what a record states.
    Stated(Option<[u8; 32]>, InstalledEntry),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum IntegrityEntry {
    Intact,
    Changed,
    Unrecorded,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InstalledEntry {
    by: ManagerEntry,
    name: String,
    version: String,
    record: Bytes,
    record_writable: WritableEntry,
    integrity: IntegrityEntry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ManagerEntry {
    Pip,
    Npm,
    Cargo,
}

impl From<Integrity> for IntegrityEntry {
    fn from(integrity: Integrity) -> Self {
        match integrity {
            Integrity::Intact => Self::Intact,
            Integrity::Changed => Self::Changed,
            Integrity::Unrecorded => Self::Unrecorded,
            Integrity::Unknown => Self::Unknown,
        }
    }
}

impl From<IntegrityEntry> for Integrity {
    fn from(entry: IntegrityEntry) -> Self {
        match entry {
            IntegrityEntry::Intact => Self::Intact,
            IntegrityEntry::Changed => Self::Changed,
            IntegrityEntry::Unrecorded => Self::Unrecorded,
            IntegrityEntry::Unknown => Self::Unknown,
        }
    }
}

impl InstalledEntry {
    fn of(installed: &Installed) -> Self {
        let by = match installed.by {
            Manager::Pip => ManagerEntry::Pip,
            Manager::Npm => ManagerEntry::Npm,
            Manager::Cargo => ManagerEntry::Cargo,
        };
        Self {
            by,
            name: installed.package.name().to_owned(),
            version: installed.package.version().to_owned(),
            record: bytes(&installed.record),
            record_writable: installed.record_writable.into(),
            integrity: installed.integrity.into(),
        }
    }

    /// `None` where a capture holds what no record is taken for.
    fn installed(&self) -> Option<Installed> {
        let by = match self.by {
            ManagerEntry::Pip => Manager::Pip,
            ManagerEntry::Npm => Manager::Npm,
            ManagerEntry::Cargo => Manager::Cargo,
        };
        Some(Installed {
            by,
            package: Named::new(&self.name, &self.version)?,
            record: path(self.record.clone()),
            record_writable: self.record_writable.into(),
            integrity: self.integrity.into(),
        })
    }
}

impl OwnerEntry {
    fn of(owner: &Owner) -> Self {
        match owner {
            Owner::Package { name, integrity } => Self::Package(name.clone(), (*integrity).into()),
            Owner::Nobody { digest, installed } => {
                let digest = digest.map(|digest| digest.0);
                installed.as_ref().map_or(Self::Nobody(digest), |it| Self::Stated(digest, InstalledEntry::of(it)))
            }
            Owner::Unknown => Self::Unknown,
        }
    }

    fn owner(&self) -> Owner {
        match self {
            Self::Package(name, integrity) => Owner::Package { name: name.clone(), integrity: (*integrity).into() },
            Self::Nobody(digest) => Owner::Nobody { digest: digest.map(Digest), installed: None },
            Self::Stated(digest, stated) => Owner::Nobody { digest: digest.map(Digest), installed: stated.installed() },
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
    use crate::lineage::model::Writable;

    #[test]
    fn what_was_answered_is_answered_again_about_the_same_process() {
        let package = |integrity| Owner::Package { name: "gh".to_owned(), integrity };
        let stated = |by, integrity| Installed {
            by,
            package: Named::new("awscli", "1.46.3").unwrap(),
            record: "/v/RECORD".into(),
            record_writable: Writable::Yes,
            integrity,
        };
        for owner in [
            package(Integrity::Intact),
            package(Integrity::Changed),
            package(Integrity::Unrecorded),
            package(Integrity::Unknown),
            Owner::Nobody { digest: None, installed: None },
            Owner::Nobody { digest: Some(Digest([7; 32])), installed: None },
            Owner::Nobody { digest: Some(Digest([7; 32])), installed: Some(stated(Manager::Pip, Integrity::Intact)) },
            Owner::Nobody { digest: None, installed: Some(stated(Manager::Npm, Integrity::Changed)) },
            Owner::Nobody { digest: None, installed: Some(stated(Manager::Cargo, Integrity::Unrecorded)) },
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
