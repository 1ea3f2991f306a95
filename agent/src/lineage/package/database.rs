//! The package database of a system, asked on disk: dpkg's, rpm's or apk's, the first that there is.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{
    apk,
    dpkg::{self, Diverted},
    index::{Index, aliases},
    rpm::Header,
    sum::Sum,
};

/// Largest file of a database that is read whole, and largest header of an rpm package.
const BYTES: u32 = 64 << 20;

/// Where rpm keeps it, below the root: since 4.16 in SQLite, which Fedora 33, RHEL 9 and what comes of them use.
const RPM: [&str; 2] = ["usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite"];
/// Where apk keeps it, version 2 and 3.
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// When a file was changed last, in a way that cannot be set.
pub type Stamp = (u64, u64, i64, i64);

/// The one that a system has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    kind: Kind,
    /// dpkg: its directory; otherwise the file.
    at: PathBuf,
    /// Its last change.
    pub stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dpkg,
    Rpm,
    Apk,
}

/// Whose a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This package's, with the sum that it recorded.
    Package(String, Option<Sum>),
    /// No package's.
    Nobody,
    /// The database does not tell.
    Unknown,
}

/// Last change of a file.
#[must_use]
pub fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

impl Database {
    /// Of the system below `root`, as it is now. `None` where there is none that is known here.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        let dpkg = root.join("var/lib/dpkg");
        if let Ok(status) = fs::metadata(dpkg.join("status")) {
            return Some(Self { kind: Kind::Dpkg, at: dpkg, stamp: stamp(&status) });
        }
        let one = |kind, name: &str| {
            let at = root.join(name);
            let stamp = stamp(&fs::metadata(&at).ok()?);
            let stamp = if kind == Kind::Rpm { with_log(&at, stamp) } else { stamp };
            Some(Self { kind, at, stamp })
        };
        let rpm = RPM.iter().find_map(|name| one(Kind::Rpm, name));
        rpm.or_else(|| APK.iter().find_map(|name| one(Kind::Apk, name)))
    }

    /// Which packages may have which files.
    #[must_use]
    pub fn index(&self) -> Index {
        let mut index = Index::default();
        match self.kind {
            Kind::Dpkg => self.index_dpkg(&mut index),
            Kind::Rpm => {
                if let Err(error) = self.index_rpm(&mut index) {
                    tracing::warn!(at = %self.at.display(), %error, "the database of rpm cannot be read: packages of programs are not known");
                    return Index::default();
                }
            }
            Kind::Apk => self.index_apk(&mut index),
        }
        index.finish();
        index
    }

    /// Whose a file at this path is.
    #[must_use]
    pub fn holder(&self, index: &Index, path: &[u8]) -> Holder {
        let found = match self.kind {
            Kind::Dpkg => self.holder_dpkg(index, path),
            Kind::Rpm => self.holder_rpm(index, path).unwrap_or(Some(Holder::Unknown)),
            Kind::Apk => self.holder_apk(index, path),
        };
        let otherwise = || if index.is_full() || index.is_empty() { Holder::Unknown } else { Holder::Nobody };
        found.unwrap_or_else(otherwise)
    }

    fn index_dpkg(&self, index: &mut Index) {
        let Ok(entries) = fs::read_dir(self.at.join("info")) else { return };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|name| name.strip_suffix(".list")) else { continue };
            if let Ok(list) = read(&entry.path()) {
                index.add(name, dpkg::files(&list));
            }
        }
    }

    fn holder_dpkg(&self, index: &Index, path: &[u8]) -> Option<Holder> {
        let diversions = self.read_dpkg("diversions").unwrap_or_default();
        for name in aliases(path) {
            let (listed, only, never) = match dpkg::diverted(&diversions, &name) {
                Diverted::No => (name.as_slice(), None, None),
                Diverted::From(from, by) => (from, None, Some(by)),
                Diverted::By(by) => (name.as_slice(), Some(by), None),
                Diverted::Locally => return Some(Holder::Nobody),
            };
            for candidate in index.candidates(listed) {
                let plain = dpkg::plain(candidate);
                if only.is_some_and(|only| only != plain) || never == Some(plain) {
                    continue;
                }
                let list = self.read_dpkg(&format!("info/{candidate}.list")).unwrap_or_default();
                if dpkg::lists(&list, listed) {
                    let sums = self.read_dpkg(&format!("info/{candidate}.md5sums")).unwrap_or_default();
                    let recorded = |name: &Vec<u8>| match dpkg::diverted(&diversions, name) {
                        Diverted::From(from, _) => dpkg::sum(&sums, from),
                        _ => dpkg::sum(&sums, name),
                    };
                    return Some(Holder::Package(plain.to_owned(), aliases(path).iter().find_map(recorded)));
                }
            }
        }
        None
    }

    fn read_dpkg(&self, name: &str) -> io::Result<Vec<u8>> {
        read(&self.at.join(name))
    }

    fn index_rpm(&self, index: &mut Index) -> rusqlite::Result<()> {
        let database = self.connect()?;
        let mut packages = database.prepare("SELECT hnum, blob FROM Packages WHERE length(blob) <= ?1")?;
        let mut rows = packages.query([BYTES])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let Some(header) = row.get_ref(1)?.as_blob().ok().and_then(Header::parse) else { continue };
            let Some(name) = header.name() else { continue };
            let files: Vec<Vec<u8>> = header.files().map(|file| file.path()).collect();
            // Several versions of a package can be there, and each has its number.
            index.add(&format!("{number} {name}"), files.iter().map(Vec::as_slice));
        }
        Ok(())
    }

    fn holder_rpm(&self, index: &Index, path: &[u8]) -> rusqlite::Result<Option<Holder>> {
        let database = self.connect()?;
        let mut package = database.prepare("SELECT blob FROM Packages WHERE hnum = ?1 AND length(blob) <= ?2")?;
        for listed in aliases(path) {
            for candidate in index.candidates(&listed) {
                let Some((number, name)) = candidate.split_once(' ') else { continue };
                let number: i64 = number.parse().unwrap_or_default();
                let blob: Option<Vec<u8>> =
                    package.query_row(rusqlite::params![number, BYTES], |row| row.get(0)).optional()?;
                let header = blob.as_deref().and_then(Header::parse);
                let file = header.and_then(|header| header.files().find(|file| file.is_at(&listed)));
                if let Some(file) = file {
                    return Ok(Some(Holder::Package(name.to_owned(), file.sum())));
                }
            }
        }
        Ok(None)
    }

    /// Where nobody writes there is nothing beside the file, and nothing may be made there to read it.
    fn connect(&self) -> rusqlite::Result<Connection> {
        let escaped = self.at.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let busy = fs::metadata(log(&self.at)).is_ok_and(|log| log.len() > 0);
        let uri = format!("file:{escaped}?{}", if busy { "mode=ro" } else { "immutable=1" });
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(uri, flags)
    }

    fn index_apk(&self, index: &mut Index) {
        let text = read(&self.at).unwrap_or_default();
        let files: Vec<_> = apk::files(&text).collect();
        for of_one in files.chunk_by(|one, next| one.package == next.package) {
            let Some(first) = of_one.first() else { continue };
            let paths: Vec<Vec<u8>> = of_one.iter().map(apk::File::path).collect();
            index.add(first.package, paths.iter().map(Vec::as_slice));
        }
    }

    fn holder_apk(&self, index: &Index, path: &[u8]) -> Option<Holder> {
        let listed = aliases(path);
        listed.iter().find(|path| index.candidates(path).next().is_some())?;
        let text = read(&self.at).ok()?;
        let file = apk::files(&text).find(|file| listed.contains(&file.path()))?;
        Some(Holder::Package(file.package.to_owned(), file.sum()))
    }
}

/// The write-ahead log of a database of SQLite's.
fn log(at: &Path) -> PathBuf {
    let mut name = at.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// What was changed last may stand in the log. When that was written, and not when it was changed: who opens it as root gives
/// it to the owner of the database once more.
fn with_log(at: &Path, stamp: Stamp) -> Stamp {
    let (device, inode, second, nanosecond) = stamp;
    let log = fs::metadata(log(at)).map(|log| (log.mtime(), log.mtime_nsec())).unwrap_or_default();
    let (second, nanosecond) = log.max((second, nanosecond));
    (device, inode, second, nanosecond)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES.into()).read_to_end(&mut bytes)?;
    Ok(bytes)
}
