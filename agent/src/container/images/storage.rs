//! The store of podman, Buildah and CRI-O (`containers/storage`): `overlay-images/images.json` (names and configurations),
//! `overlay-layers/layers.json` (which layer stands on which), `overlay/ID/diff` (files).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use super::{Kept, Layer, MOST, config::Config};
use crate::container::{
    facts::lookup::{read, sound},
    model::Image,
};

#[derive(Deserialize)]
struct StoredImage {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    layer: String,
}

#[derive(Deserialize)]
struct StoredLayer {
    id: String,
    #[serde(default)]
    parent: String,
    #[serde(rename = "diff-digest", default)]
    digest: String,
}

#[derive(Deserialize)]
struct StoredContainer {
    id: String,
    #[serde(default)]
    layer: String,
}

fn list<T: serde::de::DeserializeOwned>(data: &Path, directory: &str, name: &str) -> Vec<T> {
    let bytes = read(&data.join(directory), name);
    let mut all: Vec<T> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    all.truncate(MOST);
    all
}

/// Ids of all images.
#[must_use]
pub fn images(data: &Path) -> BTreeSet<String> {
    list::<StoredImage>(data, "overlay-images", "images.json").into_iter().map(|image| image.id).collect()
}

/// Ids of all layers.
#[must_use]
pub fn layers(data: &Path) -> BTreeSet<String> {
    list::<StoredLayer>(data, "overlay-layers", "layers.json").into_iter().map(|layer| layer.id).collect()
}

/// When the list of images was written last.
#[must_use]
pub fn changed(data: &Path) -> Option<SystemTime> {
    fs::metadata(data.join("overlay-images/images.json")).ok()?.modified().ok()
}

/// The images with these ids.
#[must_use]
pub fn kept(data: &Path, ids: &BTreeSet<String>) -> Vec<Kept> {
    let layers: BTreeMap<String, StoredLayer> = list::<StoredLayer>(data, "overlay-layers", "layers.json")
        .into_iter()
        .filter(|layer| sound(&layer.id))
        .map(|layer| (layer.id.clone(), layer))
        .collect();
    let images = list::<StoredImage>(data, "overlay-images", "images.json");
    let images = images.into_iter().filter(|image| sound(&image.id) && ids.contains(&image.id));
    let mut all: Vec<Kept> = images.filter_map(|image| one(data, image, &layers)).collect();
    let steps: BTreeSet<String> = all.iter().filter(|one| is_step(one, &all)).map(|one| one.image.id.clone()).collect();
    all.retain(|one| !steps.contains(&one.image.id));
    all
}

/// Buildah keeps an image without a name of each step of a build. What it holds, the image holds that it became a part of.
fn is_step(one: &Kept, all: &[Kept]) -> bool {
    let layers = &one.config.layers;
    one.image.names.is_empty()
        && all.iter().any(|other| {
            let more = !other.image.names.is_empty() || other.config.layers.len() > layers.len();
            more && other.image.id != one.image.id && other.config.layers.starts_with(layers)
        })
}

fn one(data: &Path, image: StoredImage, layers: &BTreeMap<String, StoredLayer>) -> Option<Kept> {
    // The configuration is a large item whose name is the digest of it, which for these is the image's id.
    let digest = format!("sha256:{}", image.id);
    let name = format!("={}", data_encoding::BASE64.encode(digest.as_bytes()));
    let directory = data.join("overlay-images");
    let config = Config::parse(&read(&directory, &format!("{}/{name}", image.id))?)?;
    let mut chain = Vec::new();
    let mut next = layers.get(&image.layer);
    while let Some(layer) = next.filter(|_| chain.len() < config.layers.len().max(1)) {
        chain.push(Layer {
            id: layer.id.clone(),
            digest: layer.digest.clone(),
            directory: data.join("overlay").join(&layer.id).join("diff"),
            packed: false,
        });
        next = layers.get(&layer.parent);
    }
    chain.reverse();
    let names = image.names.unwrap_or_default();
    let file = directory.join(&image.id).join(name);
    let image = Image { engine: "containers/storage".to_owned(), id: image.id, names };
    Some(Kept { image, config, file, layers: chain })
}

/// Containers with where each writes.
#[must_use]
pub fn writable(data: &Path) -> Vec<(String, PathBuf)> {
    let all = list::<StoredContainer>(data, "overlay-containers", "containers.json").into_iter();
    all.filter(|one| sound(&one.layer)).map(|one| (one.id, data.join("overlay").join(one.layer).join("diff"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_image_is_found_with_its_names_and_layers() {
        let root = tempfile::tempdir().unwrap();
        let id = "a".repeat(64);
        put(
            root.path(),
            "overlay-images/images.json",
            &format!(r#"[{{"id":"{id}","names":["localhost/app:1"],"layer":"top"}}]"#),
        );
        let layers = r#"[{"id":"low","diff-digest":"sha256:1"},{"id":"top","parent":"low","diff-digest":"sha256:2"}]"#;
        put(root.path(), "overlay-layers/layers.json", layers);
        let name = data_encoding::BASE64.encode(format!("sha256:{id}").as_bytes());
        let config = r#"{"rootfs":{"diff_ids":["sha256:1","sha256:2"]}}"#;
        put(root.path(), &format!("overlay-images/{id}/={name}"), config);
        let ids = images(root.path());
        let [one] = &kept(root.path(), &ids)[..] else { panic!("one image") };
        assert_eq!(one.image.names, ["localhost/app:1"]);
        let found: Vec<_> = one.layers.iter().map(|layer| layer.directory.clone()).collect();
        assert_eq!(found, [root.path().join("overlay/low/diff"), root.path().join("overlay/top/diff")]);
        let layers =
            r#"[{"id":"../../../home/bob","diff-digest":"sha256:1"},{"id":"top","parent":"../../../home/bob"}]"#;
        put(root.path(), "overlay-layers/layers.json", layers);
        let [one] = &kept(root.path(), &ids)[..] else { panic!("one image") };
        let found: Vec<_> = one.layers.iter().map(|layer| layer.directory.clone()).collect();
        assert_eq!(found, [root.path().join("overlay/top/diff")], "its user wrote the name of the other");
        let list = format!(
            r#"[{{"id":"{id}","names":["localhost/app:1"],"layer":"top"}},{{"id":"step","layer":"low"}},{{"id":"own","layer":"low"}}]"#
        );
        put(root.path(), "overlay-images/images.json", &list);
        for (id, digest) in [("step", "1"), ("own", "3")] {
            let name = data_encoding::BASE64.encode(format!("sha256:{id}").as_bytes());
            let config = format!(r#"{{"rootfs":{{"diff_ids":["sha256:{digest}"]}}}}"#);
            put(root.path(), &format!("overlay-images/{id}/={name}"), &config);
        }
        let found: Vec<_> = kept(root.path(), &images(root.path())).into_iter().map(|one| one.image.id).collect();
        assert_eq!(found, [id, "own".to_owned()], "a step of the build is a part of the image");
        put(root.path(), "overlay-containers/containers.json", r#"[{"id":"c","layer":"l"}]"#);
        assert_eq!(writable(root.path()), [("c".to_owned(), root.path().join("overlay/l/diff"))]);
    }
}
