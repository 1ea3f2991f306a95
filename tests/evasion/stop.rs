//! Why a technique did not get to the content.

use std::{fmt::Display, io};

use rustix::io::Errno;

pub(crate) type Outcome<T = ()> = Result<T, Stop>;

#[derive(Debug)]
pub(crate) enum Stop {
    /// This kernel or file system does not offer it.
    Absent(String),
    /// It went wrong.
    Failed(String),
}

/// Fails with these words.
pub(crate) fn fail<T>(words: impl Display) -> Outcome<T> {
    Err(Stop::Failed(words.to_string()))
}

/// Is not offered, for this reason.
pub(crate) fn absent<T>(words: impl Display) -> Outcome<T> {
    Err(Stop::Absent(words.to_string()))
}

/// Says what was done when an error came.
pub(crate) trait At<T> {
    fn at(self, what: &str) -> Outcome<T>;

    /// The same, and with one of these errors the kernel says that it does not have it.
    fn offered(self, what: &str, refusals: &[Errno]) -> Outcome<T>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, what: &str) -> Outcome<T> {
        self.offered(what, &[])
    }

    fn offered(self, what: &str, refusals: &[Errno]) -> Outcome<T> {
        self.map_err(|error| {
            let error = error.into();
            let words = format!("{what}: {error}");
            match Errno::from_io_error(&error) {
                Some(errno) if refusals.contains(&errno) => Stop::Absent(words),
                _ => Stop::Failed(words),
            }
        })
    }
}
