//! What a pipeline is made of, what it is told while it runs, and how it ends.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
};

use super::{Report, Scope};
use crate::{
    capture::{
        recorder::{Place, Trouble},
        rules::Rules,
    },
    catalogue::Catalogue,
    finding::{model::Salt, ocsf::Host},
    history::{Bounds, Database, bell::Bell},
    lineage::names::Service,
    policy::Policy,
    probe::keys::KeysError,
    telemetry::metrics::Metrics,
    token::fingerprint::Key,
};

/// What a pipeline is made of.
pub struct Parts {
    /// The stores.
    pub catalogue: Arc<Catalogue>,
    /// The exceptions.
    pub policy: Policy,
    /// Knows users who are not in the local file.
    pub names: Service,
    /// Whose accesses are reported.
    pub scope: Scope,
    /// What findings say of the machine, and rules ask for.
    pub host: Host,
    /// Homes that the user database does not know.
    pub extra_homes: Vec<PathBuf>,
    /// Makes finding ids unique to this host and boot.
    pub salt: Salt,
    /// Counters.
    pub metrics: Metrics,
    /// Takes findings and reads, if anybody wants them beside the history.
    pub findings: Option<mpsc::SyncSender<Report>>,
    /// What it is told while it runs; [`Pipeline::run`] is woken for it.
    pub orders: mpsc::Receiver<Order>,
    /// Where to record, if anywhere.
    pub recording: Option<Recording>,
    /// State directory with the record of decoys.
    pub state: PathBuf,
    /// The history, and the key of fingerprints, if anything is to be kept.
    pub follow: Option<Follow>,
}

/// What it takes to keep what is found, and to follow tokens.
pub struct Follow {
    /// Makes fingerprints; without it no token is followed.
    pub key: Option<Key>,
    /// What was known before, and where findings go out from.
    pub history: Database,
    /// How much of it is kept.
    pub bounds: Bounds,
    /// Wakes the sinks.
    pub bell: Bell,
}

/// What a running pipeline is told to do.
#[derive(Debug)]
pub enum Order {
    /// Go by this policy from now on.
    Policy(Box<Policy>),
}

/// Written to the descriptor that [`Pipeline::run`] waits for: there is an order. Anything else, and its end, is the end.
pub const WAKE_ORDER: u8 = b'o';

/// Where to record, and what a capture says of its rules.
pub struct Recording {
    /// The file.
    pub place: Place,
    /// Catalogue and policy.
    pub rules: Rules,
}

/// Why the pipeline stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Watch keys could not be set.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The rings could not be polled.
    #[error("poll the ring buffers: {0}")]
    Poll(io::Error),
    /// The watcher of stores could not start.
    #[error("start the watcher of stores: {0}")]
    Watchset(io::Error),
    /// The recording could not start.
    #[error("start the recording: {0}")]
    Record(io::Error),
    /// A thread that looks at containers or images could not start.
    #[error("start looking at containers: {0}")]
    Containers(io::Error),
    /// The thread that looks at what programs were started with could not start.
    #[error("start looking at what programs were started with: {0}")]
    Starts(io::Error),
    /// A thread that follows tokens could not start.
    #[error("start following tokens: {0}")]
    Tokens(io::Error),
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// What is missing from the capture, if anything.
    pub capture: Option<Trouble>,
}
