//! Images: which are new, what their configuration says, and which tokens lie in the files of their layers.

pub mod bolt;
pub mod config;
pub mod containerd;
pub mod docker;
pub mod scan;
pub mod storage;
pub mod volumes;

use std::{path::PathBuf, time::SystemTime};

use super::model::Image;

/// Most images and most layers of one engine that are listed.
pub const MOST: usize = 16_384;

/// An image, as an engine keeps it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What it is called.
    pub image: Image,
    /// Its configuration.
    pub config: config::Config,
    /// The file of that on the host.
    pub file: PathBuf,
    /// Its layers, lowest first: where each lies on the host, if it is unpacked there.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What the engine calls it; the same in every image.
    pub id: String,
    /// Digest of its content.
    pub digest: String,
    /// Where its files lie; one file, if it is packed.
    pub directory: PathBuf,
    /// It lies there as an archive.
    pub packed: bool,
}

/// A directory of an engine that is no image: what a step of a build has left in its cache, or a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Which of both.
    pub kind: Kind,
    /// What the engine calls it.
    pub name: String,
    /// Where its files lie.
    pub directory: PathBuf,
    /// When it was made, or given to a step of a build to write in.
    pub changed: SystemTime,
    /// A step of a build writes in it.
    pub busy: bool,
}

/// What a [`Spot`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Of the cache of builds.
    Cache,
    /// A volume.
    Volume,
}
