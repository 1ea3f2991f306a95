//! JSON lines in a file.
//!
//! Lines are appended whole and are on the disk before they count as delivered. A line that was cut (full disk, crash) is ended
//! before the next one, so that a reader loses at most that line, which comes again. A file that was moved away or removed is
//! opened anew. A file that is full becomes `FILE.1`, that one `FILE.2`, and so on up to a number; the last one goes.

use std::{
    error::Error,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    Item, Refused, Sink,
    config::{Settings, SinkConfig, Take, Type},
};
use crate::{
    finding::{ocsf::Host, severity::Severity},
    yaml::fields::{Fields, Reading},
};

/// Mode of a new file: findings name files and programs, which is nobody else's business.
const MODE: u32 = 0o600;

/// Most entries in one go: they are one write and one wait for the disk.
const BATCH: usize = 256;

/// Size at which a file is full, unless the configuration says otherwise, in mebibytes.
const MEBIBYTES: u64 = 64;

/// How many full files are kept, unless the configuration says otherwise.
const FILES: u64 = 5;

/// Its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Size at which it is full, in bytes.
    pub max_bytes: u64,
    /// How many full ones are kept.
    pub files: u64,
}

impl Type for Config {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let place = fields.place();
        let path: Option<String> = fields.required("path", reading);
        let size = fields.optional("max_mib", reading).unwrap_or(MEBIBYTES);
        let files = fields.optional("files", reading).unwrap_or(FILES);
        let path = PathBuf::from(path?);
        let wrong = [
            (!path.is_absolute(), format!("\"path\" must be an absolute path, not \"{}\"", path.display())),
            (!(1..=1 << 20).contains(&size), "\"max_mib\" is between 1 and 1048576 mebibytes".to_owned()),
            (!(1..=99).contains(&files), "\"files\" is between 1 and 99".to_owned()),
        ];
        let wrong: Vec<String> = wrong.into_iter().filter(|(is, _)| *is).map(|(_, said)| said).collect();
        let fine = wrong.is_empty();
        wrong.into_iter().for_each(|said| reading.error(place, said));
        fine.then_some(Self { path, max_bytes: size << 20, files })
    }

    fn build(&self, _host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> {
        Ok(Box::new(FileSink::open(self.clone())?))
    }
}

/// That of `--findings`.
#[must_use]
pub fn default_sink(path: PathBuf) -> SinkConfig {
    SinkConfig {
        name: "findings".to_owned(),
        min_severity: Severity::Informational,
        take: Take::Findings,
        settings: Settings::File(Config { path, max_bytes: MEBIBYTES << 20, files: FILES }),
    }
}

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
    /// Lines could not be written.
    #[error("append to the findings file {}: {source}; check the space left on its file system", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A full file could not be given its number.
    #[error("rename the full findings file {}: {source}; check that its directory can be written", path.display())]
    Rotate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Appends to one file.
struct FileSink {
    config: Config,
    file: Option<Open>,
}

/// The file as it is open.
struct Open {
    file: File,
    /// How much is in it, in bytes; `None` where it is no regular file, which is never full.
    length: Option<u64>,
}

impl FileSink {
    /// A sink that appends. Opens the file at once, so that a wrong path is known before anything starts.
    fn open(config: Config) -> Result<Self, FileError> {
        let mut sink = Self { config, file: None };
        sink.file = Some(sink.opened()?);
        Ok(sink)
    }

    /// Appends as much of the page as fits into the file, and returns how many of its lines are on the disk.
    fn append(&mut self, items: &[Item]) -> Result<usize, FileError> {
        let mut open = match self.file.take() {
            Some(open) if self.in_place(&open.file) => open,
            _ => self.opened()?,
        };
        let room = |open: &Open| open.length.map_or(u64::MAX, |length| self.config.max_bytes.saturating_sub(length));
        let first = items.first().map_or(0, |item| item.body.len() as u64 + 1);
        // An empty file takes a line of any length.
        if open.length.is_some_and(|length| length > 0) && first > room(&open) {
            self.rotate()?;
            open = self.opened()?;
        }
        let (page, ends) = page(items, room(&open));
        let (written, outcome) = write(&mut open.file, &page);
        let lines = ends.iter().take_while(|end| **end <= written).count();
        let kept = if open.length.is_some() { open.file.sync_data() } else { Ok(()) };
        let failed = |source| FileError::Write { path: self.config.path.clone(), source };
        kept.map_err(failed)?;
        // What is whole counts, the rest is an error the next time.
        if lines == 0 {
            outcome.map_err(failed)?;
        } else if outcome.is_ok() {
            open.length = open.length.map(|length| length + written as u64);
            self.file = Some(open);
        }
        Ok(lines)
    }

    /// Does the path still lead to the open file?
    fn in_place(&self, file: &File) -> bool {
        let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(&self.config.path)) else { return false };
        (open.dev(), open.ino()) == (named.dev(), named.ino())
    }

    fn opened(&self) -> Result<Open, FileError> {
        let path = &self.config.path;
        let failed = |source| FileError::Open { path: path.clone(), source };
        let mut options = OpenOptions::new();
        // A pipe or terminal cannot be read from; only a regular file can hold a cut line.
        let regular = fs::metadata(path).map_or(true, |metadata| metadata.is_file());
        let file = options.append(true).create(true).read(regular).mode(MODE).open(path).map_err(failed)?;
        if !regular {
            return Ok(Open { file, length: None });
        }
        if ends_cut(&file).map_err(failed)? {
            (&file).write_all(b"\n").map_err(|source| FileError::Write { path: path.clone(), source })?;
        }
        let length = file.metadata().map_err(failed)?.len();
        Ok(Open { file, length: Some(length) })
    }

    /// Gives every full file the next number; the last one goes.
    fn rotate(&self) -> Result<(), FileError> {
        for number in (0..self.config.files).rev() {
            let from = numbered(&self.config.path, number);
            match fs::rename(&from, numbered(&self.config.path, number + 1)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::Rotate { path: from, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// `FILE`, `FILE.1`, `FILE.2` ...
fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = OsString::from(path);
    if number > 0 {
        name.push(format!(".{number}"));
    }
    name.into()
}

/// The lines that fit, at least one, and where each ends.
fn page(items: &[Item], room: u64) -> (Vec<u8>, Vec<usize>) {
    let (mut page, mut ends) = (Vec::new(), Vec::new());
    for item in items {
        if !ends.is_empty() && (page.len() + item.body.len()) as u64 >= room {
            break;
        }
        page.extend_from_slice(item.body.as_bytes());
        page.push(b'\n');
        ends.push(page.len());
    }
    (page, ends)
}

/// Writes as much as it can, and returns how much that was.
fn write(file: &mut File, page: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < page.len() {
        match file.write(&page[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

impl Sink for FileSink {
    fn batch(&self) -> usize {
        BATCH
    }

    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        self.append(items).map_err(|error| Refused::Later { why: error.to_string(), after: None })
    }

    fn reopen(&mut self) {
        self.file = None;
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
    use crate::{finding::samples, sink::fixtures};

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    fn sink(path: &Path) -> FileSink {
        FileSink::open(Config { path: path.to_owned(), max_bytes: 1 << 20, files: 2 }).unwrap()
    }

    fn items() -> Vec<Item> {
        samples::all().iter().zip(1..).map(|(finding, id)| fixtures::item(id, finding)).collect()
    }

    #[test]
    fn a_new_file_is_private_and_holds_a_line_for_each_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let items = items();
        assert_eq!(sink(&path).deliver(&items), Ok(items.len()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(lines(&path), items.iter().map(|item| item.body.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_line_is_ended_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        fs::write(&path, "{\"whole\":1}\n{\"cut").unwrap();
        sink(&path).deliver(&items()[..1]).unwrap();
        let lines = lines(&path);
        assert_eq!(lines[..2], ["{\"whole\":1}", "{\"cut"]);
        assert!(lines[2].starts_with('{') && lines[2].ends_with('}') && lines.len() == 3);
    }

    #[test]
    fn a_file_that_was_moved_is_opened_anew_and_so_is_one_after_sighup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let mut sink = sink(&path);
        sink.deliver(&items()[..1]).unwrap();
        fs::rename(&path, directory.path().join("old")).unwrap();
        sink.deliver(&items()[..1]).unwrap();
        assert_eq!((lines(&path).len(), lines(&directory.path().join("old")).len()), (1, 1));
        sink.reopen();
        sink.deliver(&items()[..1]).unwrap();
        assert_eq!(lines(&path).len(), 2);
    }

    #[test]
    fn full_files_are_numbered_and_the_last_one_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let item = |id: i64| Item { id, body: format!("{{\"id\":{id:04}}}"), ..items()[0].clone() };
        // Room for ten lines each.
        let config = Config { path: path.clone(), max_bytes: 120, files: 2 };
        let mut sink = FileSink::open(config).unwrap();
        let all: Vec<Item> = (0..45).map(item).collect();
        let mut left = &all[..];
        while !left.is_empty() {
            let taken = sink.deliver(left).unwrap();
            assert!((1..=10).contains(&taken), "{taken}");
            left = &left[taken..];
        }
        let mut found = Vec::new();
        for number in [2, 1, 0] {
            let file = numbered(&path, number);
            assert!(fs::metadata(&file).unwrap().len() <= 120, "{}", file.display());
            found.extend(lines(&file));
        }
        let expected: Vec<String> = all[20..].iter().map(|item| item.body.clone()).collect();
        assert_eq!(found, expected, "in order, none twice, the oldest gone");
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn trouble_is_named_and_no_panic() {
        let open = |path: &str| FileSink::open(Config { path: path.into(), max_bytes: 1, files: 1 });
        let missing = open("/nowhere/findings.jsonl").err().unwrap().to_string();
        assert!(missing.contains("/nowhere/findings.jsonl") && missing.contains("directory exists"), "{missing}");
        let refused = open("/dev/full").unwrap().deliver(&items()).unwrap_err();
        let Refused::Later { why, .. } = refused else { panic!("a disk may have room again: {refused:?}") };
        assert!(why.contains("append to the findings file /dev/full") && why.contains("space left"), "{why}");
    }
}
