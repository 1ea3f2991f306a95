//! Files in the state directory: small, whole or not at all, and for their owner only.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use serde::Serialize;

/// Where the state of tokenhound lies.
pub const DIRECTORY: &str = "/var/lib/tokenhound";

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What is in a file there.
///
/// # Errors
/// When it cannot be read, or is larger than any that was written.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let size = fs::metadata(path)?.len();
    if size > LARGEST {
        return Err(io::Error::other(format!("it has {size} bytes, at most {LARGEST} are read")));
    }
    fs::read(path)
}

/// Replaces a file there. The state directory is made where there is none.
///
/// # Errors
/// When it cannot be written.
pub fn write(state: &Path, path: &Path, value: &impl Serialize) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(state)?;
    // Two threads may write at once: whoever renames last has written last.
    static WRITES: AtomicU32 = AtomicU32::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let new = path.with_extension(format!("new-{}-{write}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = serde_json::to_vec_pretty(value)
        .map_err(io::Error::other)
        .and_then(|text| file.write_all(&text))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // What is left of it is of no use.
        let _ = fs::remove_file(&new);
    }
    written
}

/// A path in a file of ours: any bytes but NUL, which a text cannot hold.
pub mod path {
    use std::{
        borrow::Cow,
        ffi::OsString,
        os::unix::ffi::{OsStrExt, OsStringExt},
        path::{Path, PathBuf},
    };

    use serde::{Deserialize, Deserializer, Serializer};

    /// Its text, where it is one, else its bytes in hexadecimal behind a NUL.
    #[must_use]
    pub fn text(path: &Path) -> Cow<'_, str> {
        let hex = || format!("\0{}", data_encoding::HEXLOWER.encode(path.as_os_str().as_bytes()));
        path.to_str().map_or_else(|| Cow::Owned(hex()), Cow::Borrowed)
    }

    /// See [`text`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(path))
    }

    /// The path again.
    ///
    /// # Errors
    /// When it was not written by [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(from)?;
        read(&text).map_err(serde::de::Error::custom)
    }

    /// The path again of what [`text`] made; what it did not make stays as it is.
    #[must_use]
    pub fn of_text(text: &str) -> PathBuf {
        read(text).unwrap_or_else(|_| PathBuf::from(text))
    }

    fn read(text: &str) -> Result<PathBuf, data_encoding::DecodeError> {
        match text.strip_prefix('\0') {
            Some(bytes) => {
                let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes())?;
                Ok(PathBuf::from(OsString::from_vec(bytes)))
            }
            None => Ok(PathBuf::from(text)),
        }
    }
}

/// A path that may be missing, in a file of ours.
pub mod maybe_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Written(#[serde(with = "super::path")] PathBuf);

    /// See [`super::path::text`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.clone().map(Written).serialize(to)
    }

    /// The path again.
    ///
    /// # Errors
    /// When it was not written by [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Written>::deserialize(from)?.map(|Written(path)| path))
    }
}

/// A file's identity that may be missing, in a file of ours.
pub mod file_id {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tokenhound_common::record::FileId;

    /// Inode, device and generation.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(id: &Option<FileId>, to: S) -> Result<S::Ok, S::Error> {
        id.map(|id| (id.inode, id.device, id.generation)).serialize(to)
    }

    /// The identity again.
    ///
    /// # Errors
    /// When it was not written by [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<FileId>, D::Error> {
        let id = Option::<(u64, u32, u32)>::deserialize(from)?;
        Ok(id.map(|(inode, device, generation)| FileId { inode, device, generation }))
    }
}

/// A process key in a file of ours.
pub mod process_key {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tokenhound_common::process::ProcessKey;

    /// Start and thread group.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(key: &ProcessKey, to: S) -> Result<S::Ok, S::Error> {
        (key.start_ns, key.tgid).serialize(to)
    }

    /// The key again.
    ///
    /// # Errors
    /// When it was not written by [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ProcessKey, D::Error> {
        let (start_ns, tgid) = <(u64, u32)>::deserialize(from)?;
        Ok(ProcessKey::new(start_ns, tgid))
    }
}
