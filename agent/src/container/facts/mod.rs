//! What runtimes keep on disk of a container: its name, its image, its mounts. Only what is needed is taken out of these
//! files: their environments and command lines hold tokens. [`lookup`] reads them, the rest is pure.

pub mod lookup;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::{Mount, Named};

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What the container is called.
    pub named: Named,
    /// What is mounted into it, from the host.
    pub mounts: Vec<Mount>,
}

impl Facts {
    /// Takes over what `other` knows beyond this.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            named: Named {
                name: self.named.name.or(other.named.name),
                image: self.named.image.or(other.named.image),
                pod: self.named.pod.or(other.named.pod),
            },
            mounts: if self.mounts.is_empty() { other.mounts } else { self.mounts },
        }
    }
}

/// Docker's `containers/<id>/config.v2.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    #[serde(default)]
    name: String,
    config: Option<DockerConfig>,
    #[serde(default)]
    mount_points: std::collections::BTreeMap<String, DockerMount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig {
    image: Option<String>,
}

#[derive(Deserialize)]
struct DockerMount {
    #[serde(rename = "Source", default)]
    source: PathBuf,
    #[serde(rename = "Destination", default)]
    destination: PathBuf,
    #[serde(rename = "RW", default)]
    writable: bool,
}

/// Reads docker's own file. `None` if it is none.
#[must_use]
pub fn docker(bytes: &[u8]) -> Option<Facts> {
    let Docker { name, config, mount_points } = serde_json::from_slice(bytes).ok()?;
    let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
    let named = Named {
        name: Some(name).filter(|name| !name.is_empty()),
        image: config.and_then(|config| config.image).filter(|image| !image.is_empty()),
        pod: None,
    };
    let mounts = mount_points.into_values();
    Some(Facts { named, mounts: mounts.filter_map(|one| bind(one.source, one.destination, !one.writable)).collect() })
}

/// The runtime's configuration (OCI runtime specification), `config.json` of a bundle.
#[derive(Deserialize)]
struct Oci {
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    mounts: Vec<OciMount>,
}

#[derive(Deserialize)]
struct OciMount {
    destination: PathBuf,
    #[serde(default)]
    source: PathBuf,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    options: Vec<String>,
}

/// Annotations that tell the name, of containerd's CRI plugin, of CRI-O and of nerdctl.
const NAMES: &[&str] = &["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
/// Those that tell the image.
const IMAGES: &[&str] = &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"];
/// Those that tell namespace and name of the pod.
const PODS: &[(&str, &str)] = &[
    ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name"),
    ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name"),
];

/// Reads the configuration of a bundle. `None` if it is none.
#[must_use]
pub fn oci(bytes: &[u8]) -> Option<Facts> {
    let Oci { annotations, mounts } = serde_json::from_slice(bytes).ok()?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| annotations.get(*key)).cloned();
    let pod =
        PODS.iter().find_map(|(space, name)| Some(format!("{}/{}", annotations.get(*space)?, annotations.get(*name)?)));
    let named = Named { name: first(NAMES), image: first(IMAGES), pod };
    let mounts = mounts.into_iter().filter_map(|mount| {
        let is = |wanted: &str| mount.options.iter().any(|option| option == wanted);
        let bound = mount.kind == "bind" || is("bind") || is("rbind");
        let read_only = is("ro");
        bound.then(|| bind(mount.source, mount.destination, read_only)).flatten()
    });
    Some(Facts { named, mounts: mounts.collect() })
}

/// One container in the storage of podman, Buildah and CRI-O (`overlay-containers/containers.json`).
#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON in JSON.
    #[serde(default)]
    metadata: String,
}

#[derive(Deserialize)]
struct StoredMetadata {
    #[serde(rename = "image-name")]
    image: Option<String>,
    name: Option<String>,
}

/// What the list of a storage says of a container.
#[must_use]
pub fn stored(bytes: &[u8], id: &str) -> Option<Facts> {
    let all: Vec<Stored> = serde_json::from_slice(bytes).ok()?;
    let Stored { names, metadata, .. } = all.into_iter().find(|one| one.id == id)?;
    let metadata: Option<StoredMetadata> = serde_json::from_str(&metadata).ok();
    let (image, name) = metadata.map_or((None, None), |metadata| (metadata.image, metadata.name));
    Some(Facts { named: Named { name: names.into_iter().next().or(name), image, pod: None }, mounts: Vec::new() })
}

fn bind(source: PathBuf, target: PathBuf, read_only: bool) -> Option<Mount> {
    let sound = |path: &Path| path.is_absolute() && !path.components().any(|part| part.as_os_str() == "..");
    let engine = source.file_name().is_some_and(|name| name == "docker.sock" || name == "podman.sock");
    (sound(&source) && sound(&target)).then_some(Mount { source, target, read_only, engine, upper: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_tells_name_image_and_mounts() {
        let file = br#"{"ID":"78","Config":{"Env":["GH_TOKEN=x"],"Image":"app:1"},"Name":"/devbox","MountPoints":{
            "/data":{"Source":"/d/volumes/v/_data","Destination":"/data","RW":true,"Name":"v","Type":"volume"},
            "/root/.aws":{"Source":"/home/ann/.aws","Destination":"/root/.aws","RW":false,"Type":"bind"},
            "/t":{"Source":"","Destination":"/t","RW":true,"Type":"tmpfs"}}}"#;
        let facts = docker(file).unwrap();
        assert_eq!((facts.named.name.as_deref(), facts.named.image.as_deref()), (Some("devbox"), Some("app:1")));
        let [data, aws] = &facts.mounts[..] else { panic!("{facts:?}") };
        assert_eq!((data.source.to_str(), data.read_only), (Some("/d/volumes/v/_data"), false));
        assert_eq!(
            (aws.source.to_str(), aws.target.to_str(), aws.read_only),
            (Some("/home/ann/.aws"), Some("/root/.aws"), true)
        );
        assert_eq!(docker(b"[]"), None);
        assert_eq!(docker(b"{\"Name\":"), None);
    }

    #[test]
    fn a_bundle_tells_its_pod_and_its_mounts() {
        let file =
            br#"{"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.image-name":"r/web:2",
            "io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"prod"},
            "process":{"env":["T=x"]},"mounts":[{"destination":"/proc","type":"proc","source":"proc"},
            {"destination":"/k","type":"bind","source":"/home/ann/.kube","options":["rbind","ro"]},
            {"destination":"/up","source":"/home/ann/../x","options":["bind"]}]}"#;
        let facts = oci(file).unwrap();
        assert_eq!(facts.named.pod.as_deref(), Some("prod/web-0"));
        assert_eq!((facts.named.name.as_deref(), facts.named.image.as_deref()), (Some("web"), Some("r/web:2")));
        assert_eq!(facts.mounts.len(), 1, "{facts:?}");
        assert!(facts.mounts[0].read_only);
    }

    #[test]
    fn a_storage_tells_names() {
        let file = br#"[{"id":"ab","names":["dev"],"image":"i","metadata":"{\"image-name\":\"fedora:42\",\"name\":\"dev\"}"}]"#;
        let facts = stored(file, "ab").unwrap();
        assert_eq!((facts.named.name.as_deref(), facts.named.image.as_deref()), (Some("dev"), Some("fedora:42")));
        assert_eq!(stored(file, "cd"), None);
    }

    #[test]
    fn what_one_file_lacks_another_tells() {
        let named = |name: Option<&str>, image: Option<&str>| Facts {
            named: Named { name: name.map(Into::into), image: image.map(Into::into), pod: None },
            mounts: Vec::new(),
        };
        assert_eq!(named(Some("a"), None).or(named(Some("b"), Some("i"))), named(Some("a"), Some("i")));
    }
}
