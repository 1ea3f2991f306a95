//! What a sink proves itself with: keys and tokens from a file or from systemd, never from the configuration itself, the
//! command line or the environment.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    token::secret::Secret,
    yaml::fields::{Fields, Reading},
};

/// Largest credential, in bytes. A private key with its certificates is below 16 KiB.
const MAX_BYTES: u64 = 64 << 10;

/// The variable with the directory of systemd's credentials (systemd.exec(5), `LoadCredential=`).
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where a credential is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// Under this name in systemd's directory of credentials.
    Named(String),
}

/// A credential cannot be had. Never with a part of it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("read the credential {}: {source}; see that the file is there and readable by the agent", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("the credential {}: {what}; run: chmod 0600 and chown root on it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is none.
    #[error("the credential {}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The agent was not given credentials by systemd.
    #[error(
        "the credential \"{name}\": {DIRECTORY} is not set; add LoadCredential={name}:PATH to the unit, or name a file"
    )]
    NoDirectory {
        /// The name.
        name: String,
    },
}

impl Source {
    /// Reads the keys `file` and `named` of a sink: at most one of them may be given.
    pub fn of(
        file: &'static str,
        named: &'static str,
        fields: &mut Fields<'_>,
        reading: &mut Reading<'_>,
    ) -> Option<Self> {
        let place = fields.node(file).or_else(|| fields.node(named)).map_or(fields.place(), |node| node.place);
        let path: Option<String> = fields.optional(file, reading);
        let name: Option<String> = fields.optional(named, reading);
        match (path, name) {
            (Some(_), Some(_)) => {
                reading.error(place, format!("\"{file}\" and \"{named}\" exclude each other; keep one"));
                None
            }
            (Some(path), None) if Path::new(&path).is_absolute() => Some(Self::File(path.into())),
            (Some(path), None) => {
                reading.error(place, format!("\"{file}\" must be an absolute path, not \"{path}\""));
                None
            }
            (None, Some(name)) if is_name(&name) => Some(Self::Named(name)),
            (None, Some(name)) => {
                reading.error(
                    place,
                    format!("\"{name}\" is no name of a credential: letters, digits, \"-\", \"_\", \".\""),
                );
                None
            }
            (None, None) => None,
        }
    }

    /// Reads it. A line break at the end does not belong to it.
    ///
    /// # Errors
    /// It is not there, empty or larger than 64 KiB, or others than root and the agent's user may read or write it.
    pub fn load(&self) -> Result<Secret, CredentialError> {
        match self {
            Self::File(path) => load(path),
            Self::Named(name) => match std::env::var_os(DIRECTORY) {
                Some(directory) => load(&Path::new(&directory).join(name)),
                None => Err(CredentialError::NoDirectory { name: name.clone() }),
            },
        }
    }
}

fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(known)
}

fn load(path: &Path) -> Result<Secret, CredentialError> {
    let failed = |source| CredentialError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(CredentialError::Content { path: path.to_owned(), what: "is no regular file" });
    }
    if let Some(what) = exposed(metadata.permissions().mode(), metadata.uid()) {
        return Err(CredentialError::Open { path: path.to_owned(), what });
    }
    // One buffer that is large enough: growing would leave copies behind.
    let mut bytes = Vec::with_capacity(MAX_BYTES as usize + 1);
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    let secret = Secret::new(bytes);
    read.map_err(failed)?;
    match secret.len() {
        0 => Err(CredentialError::Content { path: path.to_owned(), what: "is empty" }),
        len if len as u64 > MAX_BYTES => {
            Err(CredentialError::Content { path: path.to_owned(), what: "is larger than 64 KiB" })
        }
        _ => Ok(secret),
    }
}

fn exposed(mode: u32, uid: u32) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    if mode & 0o027 != 0 {
        return Some(format!("its permissions are {:04o}, others may read or write it", mode & 0o7777));
    }
    (uid != 0 && uid != own).then(|| format!("it belongs to user {uid}, not to root or user {own}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    const MADE_UP: &str = "th-made-up-4711-credential";

    fn file(directory: &Path, text: &str, mode: u32) -> Source {
        let path = directory.join("key");
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Source::File(path)
    }

    #[test]
    fn it_is_read_without_the_line_break_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let secret = file(directory.path(), &format!("{MADE_UP}\n"), 0o600).load().unwrap();
        assert_eq!(secret.expose(), MADE_UP.as_bytes());
        assert!(!format!("{secret:?}").contains("4711"));
    }

    #[test]
    fn what_others_may_read_is_refused_and_no_error_shows_it() {
        let directory = tempfile::tempdir().unwrap();
        for (text, mode, says) in [(MADE_UP, 0o644, "0644"), (MADE_UP, 0o660, "0660"), ("\n", 0o600, "empty")] {
            let error = file(directory.path(), text, mode).load().unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains(says) && !said.contains("4711"), "{said}");
        }
        let long = "x".repeat(MAX_BYTES as usize + 1);
        assert!(file(directory.path(), &long, 0o600).load().unwrap_err().to_string().contains("64 KiB"));
        assert!(Source::File(directory.path().join("none")).load().unwrap_err().to_string().contains("none"));
    }
}
