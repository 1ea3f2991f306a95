//! Answers about what readers load, as captures hold them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    entry::Answer,
    process::{Bytes, WritableEntry, bytes, path},
};
use crate::lineage::loaded::{Kind, Linkage, Place};

/// See [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceEntry {
    writable: WritableEntry,
    resolved: Option<Bytes>,
    kind: KindEntry,
    changed: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KindEntry {
    File,
    Directory,
    Missing,
    Unknown,
}

/// See [`Linkage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkageEntry {
    /// See [`Linkage::Unknown`].
    Unknown,
    /// See [`Linkage::Static`].
    Static,
    /// See [`Linkage::Dynamic`].
    Dynamic(Vec<String>),
}

impl Answer {
    pub(super) fn place(asked: &Path, answer: &Place) -> Self {
        let kind = match answer.kind {
            Kind::File => KindEntry::File,
            Kind::Directory => KindEntry::Directory,
            Kind::Missing => KindEntry::Missing,
            Kind::Unknown => KindEntry::Unknown,
        };
        let entry = PlaceEntry {
            writable: answer.writable.into(),
            resolved: answer.resolved.as_deref().map(bytes),
            kind,
            changed: answer.changed,
        };
        Self::Place(bytes(asked), entry)
    }

    pub(super) fn linkage(answer: &Linkage) -> Self {
        Self::Linkage(match answer {
            Linkage::Unknown => LinkageEntry::Unknown,
            Linkage::Static => LinkageEntry::Static,
            Linkage::Dynamic(needed) => LinkageEntry::Dynamic(needed.clone()),
        })
    }

    pub(super) fn to_place(&self, asked: &Path) -> Option<Place> {
        let Self::Place(of, entry) = self else { return None };
        let kind = match entry.kind {
            KindEntry::File => Kind::File,
            KindEntry::Directory => Kind::Directory,
            KindEntry::Missing => Kind::Missing,
            KindEntry::Unknown => Kind::Unknown,
        };
        let place = || Place {
            writable: entry.writable.into(),
            resolved: entry.resolved.clone().map(path),
            kind,
            changed: entry.changed,
        };
        (*of == bytes(asked)).then(place)
    }

    pub(super) fn to_linkage(&self) -> Option<Linkage> {
        let Self::Linkage(entry) = self else { return None };
        Some(match entry {
            LinkageEntry::Unknown => Linkage::Unknown,
            LinkageEntry::Static => Linkage::Static,
            LinkageEntry::Dynamic(needed) => Linkage::Dynamic(needed.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::model::Writable;

    #[test]
    fn what_was_answered_is_answered_again_to_the_same_question() {
        for (kind, writable) in [
            (Kind::File, Writable::Yes),
            (Kind::Directory, Writable::No),
            (Kind::Missing, Writable::Unknown),
            (Kind::Unknown, Writable::Unknown),
        ] {
            let place = Place { writable, resolved: Some("/r".into()), kind, changed: Some(-1) };
            let bytes = postcard::to_stdvec(&Answer::place(Path::new("/a"), &place)).unwrap();
            let answer: Answer = postcard::from_bytes(&bytes).unwrap();
            assert_eq!((answer.to_place(Path::new("/a")), answer.to_place(Path::new("/b"))), (Some(place), None));
            assert_eq!(answer.to_linkage(), None);
        }
        for linkage in [Linkage::Unknown, Linkage::Static, Linkage::Dynamic(vec!["libc.so.6".into()])] {
            assert_eq!(Answer::linkage(&linkage).to_linkage(), Some(linkage));
        }
    }
}
