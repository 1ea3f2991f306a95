//! Which package of the distribution a program belongs to, and whether the file is still what the package brought. Pure;
//! [`database`], [`lookup`] and [`installed`] ask the file system.
//!
//! A package's name is a fact about a path that only root can write. It says who brought the program, not that the program
//! is honest: whoever can install packages can bring one. What the tools of a language's ecosystem record is less, and
//! another type: [`Installed`].

pub mod apk;
pub mod cargo;
pub mod database;
pub mod dpkg;
pub mod index;
pub mod installed;
pub mod lookup;
pub mod npm;
pub mod pip;
pub mod rpm;
pub mod sum;

use std::{fmt, str::FromStr};

use installed::Installed;

/// Whether a file is what its package brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// Its content has the sum that the package recorded.
    Intact,
    /// It has another.
    Changed,
    /// No sum is recorded: a configuration file, a file made at installation, or a record without sums.
    Unrecorded,
    /// Not known in time.
    Unknown,
}

impl Integrity {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Changed => "changed",
            Self::Unrecorded => "unrecorded",
            Self::Unknown => "unknown",
        }
    }
}

/// What a file holds, in one number: BLAKE3 of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*blake3::Hash::from_hex(text)?.as_bytes()))
    }
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This package's.
    Package {
        /// Name, without the architecture.
        name: String,
        /// Is it still what the package brought?
        integrity: Integrity,
    },
    /// No package's.
    Nobody {
        /// What it holds, if that was known in time.
        digest: Option<Digest>,
        /// What an ecosystem's own record states about it, if that was known in time. It makes the file nobody's less.
        installed: Option<Installed>,
    },
    /// Not known: not in time, the file was replaced since, or it is seen from another mount namespace.
    Unknown,
}

impl Owner {
    /// The package, unless the file was changed since.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        match self {
            Self::Package { integrity: Integrity::Changed, .. } | Self::Nobody { .. } | Self::Unknown => None,
            Self::Package { name, .. } => Some(name),
        }
    }

    /// What a record states of a file that is nobody's.
    #[must_use]
    pub fn installed_mut(&mut self) -> Option<&mut Installed> {
        match self {
            Self::Nobody { installed, .. } => installed.as_mut(),
            Self::Package { .. } | Self::Unknown => None,
        }
    }
}

/// Whose a reader is: its program, and the script that it runs from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// The program.
    pub executable: Owner,
    /// The script.
    pub script: Option<Owner>,
}

impl Owners {
    /// The package that answers for what the reader does: that of the script, and without one that of the program. `None`
    /// where one of the files was changed or is nobody's.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        let program = self.executable.package()?;
        self.script.as_ref().map_or(Some(program), Owner::package)
    }
}
