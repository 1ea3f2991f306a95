//! containerd's store of contents below its root, which is also Docker's own from its containerd image store on:
//! `io.containerd.content.v1.content/blobs/sha256`. Indexes, manifests, configurations (OCI image specification) and layers lie
//! there by their digests. Names of images are in a database (`io.containerd.metadata.v1.bolt/meta.db`), and an index may say them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use super::{Kept, Layer, bolt, config::Config, docker::entries};
use crate::{
    container::{
        facts::lookup::{read, sound},
        model::Image,
    },
    posture::view::View,
};

/// Where contents lie, below the root.
const BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";

/// Where names are, below the root.
const NAMES_DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";

/// Annotations of an index that tell the name of an image: containerd's and BuildKit's own, and that of OCI, which may be a tag
/// alone.
const NAMES: &[&str] = &["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An index, or a manifest.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The blob.
    fn name(&self) -> Option<&str> {
        self.digest.strip_prefix("sha256:").filter(|name| sound(name))
    }
}

/// Digests of all contents.
#[must_use]
pub fn blobs(data: &Path) -> BTreeSet<String> {
    entries(&data.join(BLOBS))
}

/// When something came or went last.
#[must_use]
pub fn changed(data: &Path) -> Option<SystemTime> {
    fs::metadata(data.join(BLOBS)).ok()?.modified().ok()
}

/// The images whose manifests are among these contents; and those of them that are to be asked about again, because what they
/// name is not there yet.
#[must_use]
pub fn kept(data: &Path, new: &BTreeSet<String>) -> (Vec<Kept>, BTreeSet<String>) {
    let directory = data.join(BLOBS);
    let Ok(view) = View::open(&directory) else { return (Vec::new(), BTreeSet::new()) };
    let mut manifests = BTreeMap::new();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut indexes = Vec::new();
    for id in new.iter().filter(|id| is_json(&view, id)) {
        let Some(file) = read(&directory, id).and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok()) else {
            continue;
        };
        for (manifest, name) in file.manifests.iter().filter_map(|of| of.name().zip(named(of))) {
            names.entry(manifest.to_owned()).or_default().push(name);
            indexes.push((id.clone(), manifest.to_owned()));
        }
        if file.config.is_some() {
            manifests.insert(id.clone(), file);
        }
    }
    if !manifests.is_empty() {
        told(data, &directory, &manifests, &mut names);
    }
    let (mut found, mut waiting) = (Vec::new(), BTreeSet::new());
    for (id, manifest) in manifests {
        let there =
            |of: &Descriptor| of.name().is_some_and(|name| view.stat(&Path::new("/").join(name), false).is_ok());
        let Some(config) = manifest.config.as_ref().filter(|config| there(config)).and_then(Descriptor::name) else {
            waiting.insert(id);
            continue;
        };
        let complete = manifest.layers.iter().all(|layer| layer.name().is_none() || there(layer));
        if !complete {
            waiting.insert(id.clone());
        }
        // Other things than images are kept so as well.
        let Some(parsed) = read(&directory, config).and_then(|bytes| Config::parse(&bytes)) else { continue };
        let layers = manifest.layers.iter().filter(|_| complete).filter_map(|of| Some((of.name()?, of)));
        let layer = |(name, of): (&str, &Descriptor)| Layer {
            id: name.to_owned(),
            digest: of.digest.clone(),
            directory: directory.join(name),
            packed: true,
        };
        let image = Image { engine: "containerd".to_owned(), names: names.remove(&id).unwrap_or_default(), id };
        let layers = layers.map(layer).collect();
        found.push(Kept { image, config: parsed, file: directory.join(config), layers });
    }
    // With its name.
    let naming: Vec<_> = indexes.into_iter().filter(|(_, manifest)| waiting.contains(manifest)).collect();
    waiting.extend(naming.into_iter().map(|(index, _)| index));
    (found, waiting)
}

/// Adds the names that containerd has for these manifests, and for the indexes that have them. An index that somebody has
/// imported is gone soon after, and its name stays.
fn told(data: &Path, blobs: &Path, manifests: &BTreeMap<String, File>, names: &mut BTreeMap<String, Vec<String>>) {
    let Ok(all) = database(data) else { return };
    for (digest, called) in all {
        let Some(id) = digest.strip_prefix("sha256:").filter(|id| sound(id)) else { continue };
        let ids = if manifests.contains_key(id) {
            vec![id.to_owned()]
        } else {
            let index = read(blobs, id).and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
            let of = index.map(|index| index.manifests).unwrap_or_default();
            of.iter().filter_map(Descriptor::name).filter(|id| manifests.contains_key(*id)).map(str::to_owned).collect()
        };
        for id in ids {
            let known = names.entry(id).or_default();
            let new: Vec<_> = called.iter().filter(|name| !known.contains(name)).cloned().collect();
            known.extend(new);
        }
    }
}

fn database(data: &Path) -> Result<BTreeMap<String, Vec<String>>, bolt::BoltError> {
    let (directory, name) = NAMES_DATABASE.split_once('/').unwrap_or_default();
    let view = View::open(&data.join(directory)).map_err(io::Error::other)?;
    let file = view.file(&Path::new("/").join(name), false).map_err(io::Error::other)?;
    let images = bolt::images(&|buffer, at| file.read_exact_at(buffer, at));
    images.inspect_err(
        |error| tracing::debug!(at = %data.display(), %error, "names of containerd's images are not known"),
    )
}

fn named(of: &Descriptor) -> Option<String> {
    NAMES.iter().find_map(|name| of.annotations.get(*name)).cloned()
}

/// Layers are packed; the others begin as JSON does.
fn is_json(view: &View, id: &str) -> bool {
    let mut first = [0];
    let file = view.file(&Path::new("/").join(id), false);
    file.and_then(|mut file| file.read(&mut first)).is_ok_and(|count| count == 1) && first == *b"{"
}

/// Running containers with where each writes: the upper directories of what is mounted for their bundles, by the text of
/// `/proc/self/mountinfo`.
#[must_use]
pub fn writable(state: &Path, mountinfo: &str) -> Vec<(String, PathBuf)> {
    let tasks = state.join("io.containerd.runtime.v2.task");
    let one = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let target = Path::new(before.split(' ').nth(4)?);
        let mut parts = target.strip_prefix(&tasks).ok()?.components().skip(1);
        let id = parts.next()?.as_os_str().to_str()?;
        let root = parts.next()?.as_os_str() == "rootfs" && parts.next().is_none();
        let upper = after.rsplit(' ').next()?.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
        (root && Path::new(upper).is_absolute()).then(|| (id.to_owned(), PathBuf::from(upper)))
    };
    mountinfo.lines().filter_map(one).take(super::MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(BLOBS).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_image_is_found_by_its_manifest_once_all_of_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let manifest = r#"{"schemaVersion":2,"config":{"digest":"sha256:c"},
            "layers":[{"digest":"sha256:l1"},{"digest":"sha256:../../x"}]}"#;
        put(root.path(), "m", manifest);
        put(root.path(), "l1", "\x1f packed");
        let index = r#"{"manifests":[{"digest":"sha256:m","annotations":{"io.containerd.image.name":"docker.io/library/app:1"}}]}"#;
        put(root.path(), "i", index);
        let all = blobs(root.path());
        let (found, waiting) = kept(root.path(), &all);
        assert!(found.is_empty(), "without its configuration");
        assert_eq!(waiting, BTreeSet::from(["i".to_owned(), "m".to_owned()]), "and who names it");
        put(root.path(), "c", r#"{"rootfs":{"diff_ids":["sha256:1"]}}"#);
        let (found, _) = kept(root.path(), &all);
        let [one] = &found[..] else { panic!("one image: {found:?}") };
        assert_eq!(one.image.names, ["docker.io/library/app:1"]);
        let layers: Vec<_> = one.layers.iter().map(|layer| (layer.directory.clone(), layer.packed)).collect();
        assert_eq!(layers, [(root.path().join(BLOBS).join("l1"), true)], "and nothing outside");
        assert!(changed(root.path()).is_some());
        // What the database calls it, though nothing else says it any more.
        fs::remove_file(root.path().join(BLOBS).join("i")).unwrap();
        let database = root.path().join(NAMES_DATABASE);
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        let names = || kept(root.path(), &blobs(root.path())).0.remove(0).image.names;
        for of in ["sha256:m", "sha256:j"] {
            fs::write(&database, bolt::tests::database("example.test/app:2", of)).unwrap();
            put(root.path(), "j", r#"{"manifests":[{"digest":"sha256:m"},{"digest":"sha256:n"}]}"#);
            assert_eq!(names(), ["example.test/app:2"], "of {of}");
        }
        fs::write(&database, "broken").unwrap();
        assert_eq!(names(), [] as [&str; 0]);
    }

    #[test]
    fn a_running_container_writes_where_its_root_is_mounted_from() {
        let text = "29 1 254:1 / / rw - ext4 /dev/vda rw\n\
            41 29 0:40 / /run/c/io.containerd.runtime.v2.task/k8s.io/web/rootfs rw shared:3 - overlay overlay \
            rw,lowerdir=/l/1:/l/2,upperdir=/l/6/fs,workdir=/l/6/work\n\
            42 29 0:41 / /run/other rw - overlay overlay rw,upperdir=/l/7/fs\n";
        assert_eq!(writable(Path::new("/run/c"), text), [("web".to_owned(), PathBuf::from("/l/6/fs"))]);
    }
}
