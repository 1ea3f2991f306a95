//! What is known of containers and images. It travels through captures as it stands here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use crate::token::fingerprint::Fingerprint;

/// Most mounts of a container that are told; more are not, which [`Look::more`] says.
pub const MOST_MOUNTS: usize = 256;

/// What a runtime's own files call a container. Chosen by whoever started it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: Option<String>,
    /// The image it was made from, as it was asked for.
    pub image: Option<String>,
    /// Namespace and name of its pod: `default/web-0`.
    pub pod: Option<String>,
}

impl Named {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A mount of a container from a file or directory of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted, by its name on the host.
    #[serde(with = "crate::state::path")]
    pub source: PathBuf,
    /// Where, in the container.
    #[serde(with = "crate::state::path")]
    pub target: PathBuf,
    /// It can only be read there.
    pub read_only: bool,
    /// It is the socket of a container engine: whoever talks to that has the whole host.
    pub engine: bool,
    /// It is not a mount but where the container's own changes lie.
    pub upper: bool,
}

impl Mount {
    /// Name on the host of what a process in the container calls `path`; `None` if that lies in another mount.
    #[must_use]
    pub fn outside(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.target).ok().map(|rest| join(&self.source, rest))
    }

    /// Name in the container of what the host calls `path`; `None` if it is not in this mount.
    #[must_use]
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.source).ok().map(|rest| join(&self.target, rest))
    }
}

/// `base` itself where nothing follows: `join` would put a slash behind it.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
}

/// Where the mounts of a container were learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The kernel: `/proc/<pid>/mountinfo` of a process in it.
    Mountinfo,
    /// The runtime's own files: the process was gone.
    Runtime,
    /// Nothing told.
    Nothing,
}

impl Source {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mountinfo => "mountinfo",
            Self::Runtime => "runtime",
            Self::Nothing => "nothing",
        }
    }
}

/// What a look at a container gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The process by which it became known.
    #[serde(with = "crate::state::process_key")]
    pub process: ProcessKey,
    /// Its id.
    pub id: String,
    /// What it is called.
    pub named: Named,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// Mounts that found no room there.
    pub more: u64,
    /// Where that was learnt from.
    pub source: Source,
}

/// An image of a container engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Which engine keeps it.
    pub engine: String,
    /// Its id, as far as the engine gives one.
    pub id: String,
    /// Names with tags by which it is known: `app:1`. None of an image in between, or where they cannot be read.
    pub names: Vec<String>,
}

/// Where a token was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In a file of a layer.
    Layer {
        /// Digest of the layer.
        layer: String,
        /// The file, in the image.
        #[serde(with = "crate::state::path")]
        inside: PathBuf,
        /// The step of the build that made the layer, without what it was told: `step 3 (COPY to /root/)`.
        step: Option<String>,
    },
    /// In the image's configuration: `variable GH_TOKEN`, `label x`, `history of step 4`.
    Config(String),
    /// In what a container has written.
    Written {
        /// Id of the container.
        container: String,
        /// What it is called.
        named: Named,
        /// The file, in the container.
        #[serde(with = "crate::state::path")]
        inside: PathBuf,
    },
    /// In the cache of builds.
    Cache {
        /// What the engine calls that part of it.
        name: String,
        /// The file, as the step of the build saw it.
        #[serde(with = "crate::state::path")]
        inside: PathBuf,
    },
    /// In a volume that an engine keeps.
    Volume {
        /// Its name.
        name: String,
        /// The file, in the volume.
        #[serde(with = "crate::state::path")]
        inside: PathBuf,
    },
}

/// A token that was found where a container engine keeps its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The image; the engine alone for what a container has written.
    pub image: Image,
    /// Where in it.
    pub place: Place,
    /// The file on the host.
    #[serde(with = "crate::state::path")]
    pub outside: PathBuf,
    /// The member of an archive that they lie in, or how the file is compressed.
    pub member: Option<String>,
    /// Which tokens, each once.
    pub tokens: Vec<Fingerprint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_on_both_sides_of_a_mount() {
        let mount = |source: &str, target: &str| Mount {
            source: source.into(),
            target: target.into(),
            read_only: false,
            engine: false,
            upper: false,
        };
        let home = mount("/home/ann/.aws", "/root/.aws");
        assert_eq!(home.outside(Path::new("/root/.aws/credentials")), Some("/home/ann/.aws/credentials".into()));
        assert_eq!(home.inside(Path::new("/home/ann/.aws/credentials")), Some("/root/.aws/credentials".into()));
        assert_eq!(home.inside(Path::new("/home/ann/.awsome")), None);
        let file = mount("/home/ann/.netrc", "/n");
        assert_eq!(file.inside(Path::new("/home/ann/.netrc")).unwrap().as_os_str(), "/n", "no slash behind it");
        let all = mount("/", "/host");
        assert_eq!(all.inside(Path::new("/home/ann/.netrc")), Some("/host/home/ann/.netrc".into()));
        assert_eq!(mount("/x/diff", "/").outside(Path::new("/tmp/a")), Some("/x/diff/tmp/a".into()));
    }
}
