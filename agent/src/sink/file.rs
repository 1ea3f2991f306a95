//! Findings as OCSF JSON lines in a file.
//!
//! Lines are appended whole. A line that was cut (full disk, crash) is ended before the next one, so that a reader
//! loses at most that line. A file that was moved away or removed is opened anew.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::finding::{
    model::Finding,
    ocsf::{self, Host},
};

/// Mode of a new file: findings name files and programs, which is nobody else's business.
const MODE: u32 = 0o600;

/// Findings could not be written to their file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be opened or created.
    #[error("open the findings file {}: {source}; check that its directory exists and can be written", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line could not be written.
    #[error("append to the findings file {}: {source}; check the space left on its file system", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Appends to one file.
pub struct FileSink {
    path: PathBuf,
    host: Host,
    file: Option<File>,
}

impl FileSink {
    /// A sink that appends to `path`. Opens the file at once, so that a wrong path is known before anything starts.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, host: Host) -> Result<Self, FileError> {
        let mut sink = Self { path: path.to_owned(), host, file: None };
        sink.file = Some(sink.reopen()?);
        Ok(sink)
    }

    /// Appends one finding.
    ///
    /// # Errors
    /// When the file cannot be opened or the line not be written whole. The same finding can then be tried again.
    pub fn deliver(&mut self, finding: &Finding) -> Result<(), FileError> {
        let mut line = ocsf::line(finding, &self.host);
        line.push('\n');
        let mut file = match self.file.take() {
            Some(file) if self.in_place(&file) => file,
            _ => self.reopen()?,
        };
        // On failure the file stays closed: opening it anew finds and ends a cut line.
        file.write_all(line.as_bytes()).map_err(|source| FileError::Write { path: self.path.clone(), source })?;
        self.file = Some(file);
        Ok(())
    }

    /// Does the path still lead to the open file?
    fn in_place(&self, file: &File) -> bool {
        let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(&self.path)) else { return false };
        (open.dev(), open.ino()) == (named.dev(), named.ino())
    }

    fn reopen(&self) -> Result<File, FileError> {
        let failed = |source| FileError::Open { path: self.path.clone(), source };
        let mut options = OpenOptions::new();
        // A pipe or terminal cannot be read from; only a regular file can hold a cut line.
        let regular = std::fs::metadata(&self.path).map_or(true, |metadata| metadata.is_file());
        let file = options.append(true).create(true).read(regular).mode(MODE).open(&self.path).map_err(failed)?;
        if regular && ends_cut(&file).map_err(failed)? {
            (&file).write_all(b"\n").map_err(|source| FileError::Write { path: self.path.clone(), source })?;
        }
        Ok(file)
    }
}

/// Is the last byte something else than a newline?
fn ends_cut(mut file: &File) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0u8];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::finding::samples;

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_new_file_is_private_and_holds_a_line_for_each_finding() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let mut sink = FileSink::open(&path, Host::default()).unwrap();
        for finding in samples::all() {
            sink.deliver(&finding).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let uids: Vec<_> = lines(&path)
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["finding_info"]["uid"].clone())
            .collect();
        assert_eq!(uids, samples::all().iter().map(|finding| finding.uid.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_line_is_ended_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        std::fs::write(&path, "{\"whole\":1}\n{\"cut").unwrap();
        FileSink::open(&path, Host::default()).unwrap().deliver(&samples::unexpected_reader()).unwrap();
        let lines = lines(&path);
        assert_eq!(lines[..2], ["{\"whole\":1}", "{\"cut"]);
        assert!(lines[2].starts_with('{') && lines[2].ends_with('}') && lines.len() == 3);
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let mut sink = FileSink::open(&path, Host::default()).unwrap();
        sink.deliver(&samples::unexpected_reader()).unwrap();
        std::fs::rename(&path, directory.path().join("old")).unwrap();
        sink.deliver(&samples::unexpected_reader()).unwrap();
        assert_eq!((lines(&path).len(), lines(&directory.path().join("old")).len()), (1, 1));
    }

    #[test]
    fn trouble_is_named_and_no_panic() {
        let missing = FileSink::open(Path::new("/nowhere/findings.jsonl"), Host::default()).err().unwrap().to_string();
        assert!(missing.contains("/nowhere/findings.jsonl") && missing.contains("directory exists"), "{missing}");
        let mut full = FileSink::open(Path::new("/dev/full"), Host::default()).unwrap();
        let error = full.deliver(&samples::unexpected_reader()).unwrap_err().to_string();
        assert!(error.contains("append to the findings file /dev/full") && error.contains("space left"), "{error}");
    }
}
