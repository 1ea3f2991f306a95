//! What was planted: a file in the state directory that only its owner can read.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::place::Identity;
use crate::{
    catalogue::decoy::{Decoy, DecoyKind},
    state,
};

/// Name of the record there.
pub const FILE: &str = "decoys.json";

/// One planted file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// Its id.
    pub id: String,
    /// Word of its kind.
    pub kind: String,
    /// Where it is.
    pub path: PathBuf,
    /// Which file it was when it was planted, as `stat` says.
    pub device: u64,
    /// Likewise.
    pub inode: u64,
    /// Its time of change then, in seconds since the epoch: inode numbers are used again.
    pub changed_at: i64,
    /// When, in seconds since the epoch.
    pub planted_at: i64,
    /// Directories that were made for it, outermost first.
    pub directories: Vec<PathBuf>,
}

/// Everything that was planted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// In the order of planting.
    pub planted: Vec<Planted>,
}

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be read.
    #[error("read the record of decoys {}: {source}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what this program wrote.
    #[error("understand the record of decoys {}: {source}; move it away, and remove its decoys by hand", path.display())]
    Parse {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It could not be written.
    #[error("write the record of decoys {}: {source}; this takes root, or --state-dir", path.display())]
    Write {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Planted {
    /// Which file it was.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode, changed_at: self.changed_at }
    }
}

impl Record {
    /// The record in that state directory; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or understood.
    pub fn load(state: &Path) -> Result<Self, RecordError> {
        let path = state.join(FILE);
        let text = match state::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(RecordError::Read { path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| RecordError::Parse { path, source })
    }

    /// Writes it, whole or not at all. The state directory is made where there is none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &Path) -> Result<(), RecordError> {
        let path = state.join(FILE);
        state::write(state, &path, self).map_err(|source| RecordError::Write { path, source })
    }

    /// Takes over directories that were made for decoys which are gone, where others still lie in them. Returns the rest,
    /// outermost first.
    #[must_use]
    pub fn inherit(&mut self, mut directories: Vec<PathBuf>) -> Vec<PathBuf> {
        directories.sort();
        let heir = |directory: &PathBuf| self.planted.iter().position(|planted| planted.path.starts_with(directory));
        let (inherited, rest): (Vec<_>, Vec<_>) =
            directories.into_iter().partition(|directory| heir(directory).is_some());
        for directory in inherited.into_iter().rev() {
            if let Some(planted) = self.planted.iter_mut().find(|planted| planted.path.starts_with(&directory)) {
                planted.directories.insert(0, directory);
            }
        }
        rest
    }

    /// The decoys, as the catalogue takes them. Kinds that this version does not know are left out.
    #[must_use]
    pub fn decoys(&self) -> Vec<Decoy> {
        let decoy = |planted: &Planted| {
            let kind = DecoyKind::ALL.iter().copied().find(|kind| kind.name() == planted.kind)?;
            Some(Decoy { id: planted.id.clone(), kind, path: planted.path.clone() })
        };
        self.planted.iter().filter_map(decoy).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::fs;

    use super::*;

    #[test]
    fn directories_stay_as_long_as_a_decoy_lies_in_them() {
        let planted =
            |path: &str| Planted { path: path.into(), directories: vec!["/h/x/b".into()], ..Planted::default() };
        let mut record = Record { planted: vec![planted("/h/x/b/token")] };
        let rest = record.inherit(vec!["/h/x".into(), "/h/x/a".into()]);
        assert_eq!(rest, [PathBuf::from("/h/x/a")]);
        assert_eq!(record.planted[0].directories, [PathBuf::from("/h/x"), "/h/x/b".into()]);
    }

    #[test]
    fn what_was_written_is_read_again_and_nobody_else_can() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert_eq!(Record::load(&state).unwrap(), Record::default());
        let planted =
            Planted { id: "decoy-aws-1".into(), kind: "aws".into(), path: "/h/x".into(), ..Planted::default() };
        let unknown = Planted { id: "decoy-new-1".into(), kind: "of a later version".into(), ..Planted::default() };
        let record = Record { planted: vec![planted, unknown] };
        record.save(&state).unwrap();
        assert_eq!(Record::load(&state).unwrap(), record);
        assert_eq!(record.decoys().len(), 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
        fs::write(state.join(FILE), "{").unwrap();
        assert!(matches!(Record::load(&state), Err(RecordError::Parse { .. })));
    }
}
