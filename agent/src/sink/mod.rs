//! Where findings go: what a sink gets, what it answers, and which there are.
//!
//! A sink is given entries of the outbox in their order, on a thread of its own (`outbox/`). It knows neither the database
//! nor the other sinks. Each type is one file: its keys in the configuration, and the sink itself.

pub mod alertmanager;
pub mod batch;
pub mod config;
pub mod credential;
pub mod facts;
pub mod file;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod http;
pub mod keys;
pub mod otlp;
#[cfg(test)]
mod samples;
pub mod stdout;
pub mod syslog;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod webhook;

use std::{error::Error, time::Duration};

use jiff::Timestamp;

use self::config::{Settings, SinkConfig, Type};
use crate::finding::{ocsf::Host, severity::Severity};

/// What an entry of the outbox tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One finding.
    Finding,
    /// A notification of an incident: opened, updated or closed.
    Incident,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Incident => "incident",
        }
    }
}

/// One entry of the outbox, as a sink gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Position in the outbox; grows, never given twice.
    pub id: i64,
    /// What it tells of.
    pub kind: Kind,
    /// Uid of the finding or of the incident: receivers recognise by it what they were given twice.
    pub uid: String,
    /// When it happened, to the millisecond.
    pub time: Timestamp,
    /// How much it matters.
    pub severity: Severity,
    /// Which detector; for an incident, that of its most severe finding.
    pub detector: String,
    /// One line for people.
    pub title: String,
    /// The OCSF object, one line without its newline.
    pub body: String,
}

/// Why a sink did not take the first of what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It may work later: it is tried again, and what comes after it waits.
    Later {
        /// In words, without a secret of the sink.
        why: String,
        /// How long the receiver wants to be left alone, if it says so.
        after: Option<Duration>,
    },
    /// It never will: the first entry is set aside, and the next goes on.
    ForGood {
        /// In words, without a secret of the sink.
        why: String,
    },
}

/// A receiver of findings.
pub trait Sink: Send {
    /// Most entries in one call; at least one.
    fn batch(&self) -> usize;

    /// Hands entries over; blocks, within a time limit of its own that should be at most some seconds. `Ok(n)`: the first
    /// `n`, at least one, are the receiver's now.
    ///
    /// # Errors
    /// When the first entry was not taken.
    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused>;

    /// Of a receiver that gives no answers: what comes after that position was handed over, and may be lost if both ends
    /// die now. The next agent begins there.
    fn unsure(&self) -> Option<i64> {
        None
    }

    /// SIGHUP: files are opened and secrets read anew.
    fn reopen(&mut self) {}

    /// Nothing waits for it: it does what is due beside deliveries, blocking as these do, and says when it wants to be
    /// called again at the latest; `None` where nothing will be due.
    fn idle(&mut self) -> Option<Duration> {
        None
    }
}

/// A sink with what is configured of it.
pub type Made = (SinkConfig, Box<dyn Sink>);

/// A sink that cannot be made as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("sink \"{name}\": {source}")]
pub struct BuildError {
    /// Its name.
    pub name: String,
    /// What is wrong, and what to do.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Makes the sink that is configured, for findings of this machine. A receiver that is not there is no error: the sink
/// connects when it has something to hand over.
///
/// # Errors
/// When it can never work as it is configured: a secret that cannot be read, a file that cannot be made.
pub fn build(config: &SinkConfig, host: &Host) -> Result<Box<dyn Sink>, BuildError> {
    let built = match &config.settings {
        Settings::File(settings) => settings.build(host),
        Settings::Stdout(settings) => settings.build(host),
        Settings::Syslog(settings) => settings.build(host),
        Settings::Webhook(settings) => settings.build(host),
        Settings::Alertmanager(settings) => settings.build(host),
        Settings::Otlp(settings) => settings.build(host),
    };
    built.map_err(|source| BuildError { name: config.name.clone(), source })
}
