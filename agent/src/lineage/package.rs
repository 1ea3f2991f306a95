//! Which package of the distribution a program belongs to, and whether the file is still what the package brought. Pure;
//! [`lookup`] asks the file system.
//!
//! A package's name is a fact about a path that only root can write. It says who brought the program, not that the program
//! is honest: whoever can install packages can bring one.

pub mod dpkg;
pub mod lookup;

use std::{fmt, str::FromStr};

/// Whether a file is what its package brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// Its content has the sum that the package recorded.
    Intact,
    /// It has another.
    Changed,
    /// The package recorded no sum: a configuration file, a file made at installation, or an old package.
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
