//! Programs in places that their user can write which have read stores as expected readers, with what they held: a file in
//! the state directory. `detect/reader_changed.rs` says when one is not what it was.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{lineage::package::Digest, state};

/// Name of the file there.
pub const FILE: &str = "readers.json";

/// Most readers that are remembered. Beyond, a new one is not.
pub const MOST: usize = 4096;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// BLAKE3 of what it held when it read last, in hexadecimal.
    pub blake3: String,
    /// Since when it is that, in seconds since the epoch.
    pub since: u64,
    /// How often it was something else before.
    #[serde(default)]
    pub changes: u64,
}

/// All of them, by path of the executable or script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By path.
    pub readers: BTreeMap<PathBuf, Remembered>,
}

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be read.
    #[error("read the record of readers {}: {source}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what this program wrote.
    #[error("understand the record of readers {}: {source}; move it away, and it is begun anew", path.display())]
    Parse {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It could not be written.
    #[error("write the record of readers {}: {source}", path.display())]
    Write {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Record {
    /// The record in that state directory; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or understood.
    pub fn load(directory: &Path) -> Result<Self, RecordError> {
        let path = directory.join(FILE);
        let text = match state::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(RecordError::Read { path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| RecordError::Parse { path, source })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, directory: &Path) -> Result<(), RecordError> {
        let path = directory.join(FILE);
        state::write(directory, &path, self).map_err(|source| RecordError::Write { path, source })
    }

    /// Notes what a reader is now, at `now` seconds since the epoch.
    pub fn note(&mut self, path: &Path, digest: Digest, now: u64) {
        let changes = self.readers.get(path).map_or(0, |before| before.changes + 1);
        self.readers.insert(path.to_owned(), Remembered { blake3: digest.to_string(), since: now, changes });
    }

    /// What each held. One that cannot be understood is as good as none.
    #[must_use]
    pub fn digests(&self) -> Vec<(PathBuf, Digest)> {
        self.readers.iter().filter_map(|(path, of)| Some((path.clone(), of.blake3.parse().ok()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = Path::new("/home/ann/.local/bin/aws");
        let mut record = Record::load(directory.path()).unwrap();
        assert_eq!(record, Record::default());
        record.note(path, Digest([1; 32]), 100);
        record.note(path, Digest([2; 32]), 200);
        record.save(directory.path()).unwrap();
        let again = Record::load(directory.path()).unwrap();
        assert_eq!(again, record);
        assert_eq!(again.digests(), [(path.to_owned(), Digest([2; 32]))]);
        assert_eq!((again.readers[path].since, again.readers[path].changes), (200, 1));
        std::fs::write(directory.path().join(FILE), "{").unwrap();
        let error = Record::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("readers.json") && error.contains("move it away"), "{error}");
    }
}
