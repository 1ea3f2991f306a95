//! Reads what runtimes keep of a container. Directories are theirs, files in them are opened without following a link, and
//! only up to a size.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Facts, docker, oci, stored};
use crate::posture::view::View;

/// Largest file that is read, in bytes.
const FILE_BYTES: u64 = 8 << 20;
/// Most namespaces of containerd that are looked through.
const NAMESPACES: usize = 64;
/// Where tasks of containerd have their bundles, below its state directory.
const TASKS: &str = "io.containerd.runtime.v2.task";

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// Docker.
    Docker,
    /// podman, Buildah, CRI-O: `containers/storage`.
    Storage,
    /// containerd.
    Containerd,
}

impl Engine {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Storage => "containers/storage",
            Self::Containerd => "containerd",
        }
    }
}

/// Where an engine keeps its files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Places {
    /// Which engine.
    pub engine: Engine,
    /// What outlives a restart: images, layers, containers.
    pub data: PathBuf,
    /// What does not: bundles of running containers.
    pub state: PathBuf,
}

impl Places {
    /// Those of a Docker daemon.
    #[must_use]
    pub fn docker(data: PathBuf, exec: PathBuf) -> Self {
        Self { engine: Engine::Docker, data, state: exec.join("containerd/daemon") }
    }

    /// Those of `containers/storage` below a directory.
    #[must_use]
    pub fn storage(data: PathBuf) -> Self {
        Self { engine: Engine::Storage, state: data.clone(), data }
    }

    /// Those of a containerd with that root and that state directory.
    #[must_use]
    pub fn containerd(data: PathBuf, state: PathBuf) -> Self {
        Self { engine: Engine::Containerd, data, state }
    }

    /// What everybody has who changes nothing. `homes` are those of users who may have a storage of their own.
    #[must_use]
    pub fn usual(homes: &[PathBuf]) -> Vec<Self> {
        let own = homes.iter().map(|home| Self::storage(home.join(".local/share/containers/storage")));
        let all = [
            Self::docker("/var/lib/docker".into(), "/run/docker".into()),
            Self::containerd("/var/lib/containerd".into(), "/run/containerd".into()),
            Self::storage(graphroot(Path::new("/etc/containers")).unwrap_or("/var/lib/containers/storage".into())),
        ];
        all.into_iter().chain(own).filter(|places| places.data.is_dir() || places.state.is_dir()).collect()
    }

    /// What is known of the container with this id.
    #[must_use]
    pub fn facts(&self, id: &str) -> Option<Facts> {
        if !sound(id) {
            return None;
        }
        let found = match self.engine {
            Engine::Docker => {
                let own = read(&self.data.join("containers"), &format!("{id}/config.v2.json"));
                [own.and_then(|bytes| docker(&bytes)), self.bundle(id)]
            }
            Engine::Containerd => [self.bundle(id), None],
            Engine::Storage => {
                let containers = self.data.join("overlay-containers");
                let bundle = read(&containers, &format!("{id}/userdata/config.json"));
                let list = read(&containers, "containers.json");
                [list.and_then(|bytes| stored(&bytes, id)), bundle.and_then(|bytes| oci(&bytes))]
            }
        };
        found.into_iter().flatten().reduce(Facts::or)
    }

    /// The bundle of a task of containerd, in whatever namespace it is.
    fn bundle(&self, id: &str) -> Option<Facts> {
        let tasks = self.state.join(TASKS);
        let namespaces = fs::read_dir(&tasks).ok()?.flatten().take(NAMESPACES);
        namespaces.map(|space| space.path()).find_map(|space| oci(&read(&space, &format!("{id}/config.json"))?))
    }
}

/// Where the machine's `containers/storage` is told to keep its files: `graphroot` of `storage.conf`
/// (containers-storage.conf(5)).
fn graphroot(directory: &Path) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct File {
        storage: Storage,
    }
    #[derive(Deserialize)]
    struct Storage {
        graphroot: PathBuf,
    }
    let File { storage } = toml::from_slice(&read(directory, "storage.conf")?).ok()?;
    Some(storage.graphroot).filter(|path| path.is_absolute())
}

/// May a name out of an engine's file become one part of a path? Users can write the files of their own engines.
#[must_use]
pub fn sound(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// A file below a directory, with no link on the way. `None` also where it is too large: half a file is none.
#[must_use]
pub fn read(directory: &Path, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let view = View::open(directory).ok()?;
    let file = view.file(&Path::new("/").join(name), false).ok()?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > FILE_BYTES {
        tracing::debug!(directory = %directory.display(), name, "a file of a container engine is too large to be read");
        return None;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: &str = "3f29a1c5d7e8b90a1b2c3d4e5f60718293a4b5c6d7e8f9010213243546576879";

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn each_runtime_is_asked_in_its_own_place() {
        let root = tempfile::tempdir().unwrap();
        let name = |places: Places| places.facts(ID).and_then(|facts| facts.named.name);
        put(root.path(), &format!("d/containers/{ID}/config.v2.json"), r#"{"Name":"/dev","Config":{"Image":"i"}}"#);
        let docker = || Places::docker(root.path().join("d"), root.path().join("x"));
        assert_eq!(name(docker()).as_deref(), Some("dev"));
        let bundle = r#"{"annotations":{"io.kubernetes.cri.container-name":"web"}}"#;
        put(root.path(), &format!("c/{TASKS}/k8s.io/{ID}/config.json"), bundle);
        let containerd = Places::containerd(root.path().join("r"), root.path().join("c"));
        assert_eq!(name(containerd).as_deref(), Some("web"));
        let list = format!(r#"[{{"id":"{ID}","names":["box"]}}]"#);
        put(root.path(), "s/overlay-containers/containers.json", &list);
        assert_eq!(name(Places::storage(root.path().join("s"))).as_deref(), Some("box"));
        assert_eq!(docker().facts("../../etc"), None);
    }

    #[test]
    fn a_storage_is_where_its_configuration_says() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(graphroot(root.path()), None);
        put(root.path(), "storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"/big/storage\"\n");
        assert_eq!(graphroot(root.path()), Some("/big/storage".into()));
        put(root.path(), "storage.conf", "[storage]\ngraphroot = \"storage\"\n");
        assert_eq!(graphroot(root.path()), None);
    }

    #[test]
    fn only_a_name_becomes_part_of_a_path() {
        assert!(sound(ID));
        for name in ["", ".", "..", "../x", "/etc", "a/b", "a\0", &"a".repeat(129)] {
            assert!(!sound(name), "{name:?}");
        }
    }

    #[test]
    fn no_link_is_followed_and_nothing_large_is_read() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "outside", r#"{"Name":"/x"}"#);
        fs::create_dir_all(root.path().join(format!("d/containers/{ID}"))).unwrap();
        let file = root.path().join(format!("d/containers/{ID}/config.v2.json"));
        symlink(root.path().join("outside"), &file).unwrap();
        let places = Places::docker(root.path().join("d"), root.path().join("x"));
        assert_eq!(places.facts(ID), None);
        fs::remove_file(&file).unwrap();
        fs::File::create(&file).unwrap().set_len(FILE_BYTES + 1).unwrap();
        assert_eq!(places.facts(ID), None);
    }
}
