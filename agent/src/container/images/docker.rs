//! Docker's store of images below its data root: `image/DRIVER/imagedb` (configurations), `layerdb` (which layer lies where),
//! `repositories.json` (names).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Kept, Kind, Layer, MOST, Spot, config::Config};
use crate::container::{
    facts::lookup::{read, sound},
    model::Image,
};

/// The drivers' directories below `image` with one each for images.
fn drivers(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("image")).map(|entries| entries.take(16).flatten().collect());
    let mut found: Vec<_> = entries.unwrap_or_else(|_| Vec::new()).iter().map(fs::DirEntry::path).collect();
    found.retain(|path| path.join("imagedb/content/sha256").is_dir());
    found
}

/// Names of the entries of a directory.
pub(super) fn entries(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).map(|entries| entries.take(MOST).flatten().collect());
    let entries: Vec<fs::DirEntry> = entries.unwrap_or_else(|_| Vec::new());
    entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Ids of all images.
#[must_use]
pub fn images(data: &Path) -> BTreeSet<String> {
    drivers(data).iter().flat_map(|driver| entries(&driver.join("imagedb/content/sha256"))).collect()
}

/// Ids of all layers.
#[must_use]
pub fn layers(data: &Path) -> BTreeSet<String> {
    drivers(data).iter().flat_map(|driver| entries(&driver.join("layerdb/sha256"))).collect()
}

/// When the set of images was changed last.
#[must_use]
pub fn changed(data: &Path) -> Option<SystemTime> {
    let at = |driver: &PathBuf| fs::metadata(driver.join("imagedb/content/sha256")).ok()?.modified().ok();
    drivers(data).iter().filter_map(at).max()
}

/// The images with these ids that no other of them is built on.
#[must_use]
pub fn kept(data: &Path, ids: &BTreeSet<String>) -> Vec<Kept> {
    let mut found = Vec::new();
    for driver in drivers(data) {
        let names = names(&driver);
        let metadata = driver.join("imagedb/metadata/sha256");
        let parent = |id: &String| {
            let text = read(&metadata, &format!("{id}/parent"))?;
            Some(std::str::from_utf8(&text).ok()?.trim().trim_start_matches("sha256:").to_owned())
        };
        let parents: BTreeSet<String> = ids.iter().filter_map(parent).collect();
        let content = driver.join("imagedb/content/sha256");
        for id in ids.iter().filter(|id| !parents.contains(*id) || names.contains_key(*id)) {
            let Some(config) = read(&content, id).and_then(|bytes| Config::parse(&bytes)) else { continue };
            let layers = of_image(data, &driver, &config.layers);
            let names = names.get(id).cloned().unwrap_or_default();
            let image = Image { engine: "docker".to_owned(), id: id.clone(), names };
            found.push(Kept { image, config, file: content.join(id), layers });
        }
    }
    found
}

/// Names of images by id. Those with a digest instead of a tag say no more.
fn names(driver: &Path) -> BTreeMap<String, Vec<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Repositories {
        repositories: BTreeMap<String, BTreeMap<String, String>>,
    }
    let file = read(driver, "repositories.json").and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = file.map_or_else(BTreeMap::new, |Repositories { repositories }| repositories);
    for (name, id) in all.into_values().flatten().filter(|(name, _)| !name.contains('@')) {
        names.entry(id.trim_start_matches("sha256:").to_owned()).or_default().push(name);
    }
    names
}

/// Where the layers lie whose contents have these digests. What Docker calls a layer follows from it and all below it.
fn of_image(data: &Path, driver: &Path, digests: &[String]) -> Vec<Layer> {
    let name = driver.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut chain = String::new();
    let mut layers = Vec::new();
    for digest in digests.iter().take(MOST) {
        chain = if chain.is_empty() {
            digest.clone()
        } else {
            let sum = Sha256::digest(format!("{chain} {digest}"));
            format!("sha256:{}", data_encoding::HEXLOWER.encode(&sum))
        };
        let id = chain.trim_start_matches("sha256:").to_owned();
        let cache = read(&driver.join("layerdb/sha256"), &format!("{id}/cache-id"));
        let cache = cache.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(|text| text.trim().to_owned()));
        let directory = match cache.filter(|cache| sound(cache)) {
            Some(cache) if name == "vfs" => data.join("vfs/dir").join(cache),
            Some(cache) => data.join(name).join(cache).join("diff"),
            None => continue,
        };
        layers.push(Layer { id, digest: digest.clone(), directory, packed: false });
    }
    layers
}

/// Length of the names that BuildKit gives to directories of a driver (`identity.NewID`); those of images and containers
/// are 64 hexadecimal digits.
const CACHE_NAME: usize = 25;

/// What is in the cache of builds with BuildKit, also what has become a layer of an image. Drivers that keep a directory
/// `merged` while something is mounted there tell whether a step writes.
#[must_use]
pub fn cache(data: &Path) -> Vec<Spot> {
    let mut found = Vec::new();
    for driver in drivers(data) {
        let Some(driver) = driver.file_name().map(|name| data.join(name)) else { continue };
        let is_cache = |name: &String| {
            name.len() == CACHE_NAME && name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        };
        for name in entries(&driver).into_iter().filter(is_cache) {
            let directory = driver.join(&name);
            let Ok(changed) = fs::symlink_metadata(&directory).and_then(|facts| facts.modified()) else { continue };
            let busy = directory.join("merged").exists();
            found.push(Spot { kind: Kind::Cache, name, directory: directory.join("diff"), changed, busy });
        }
    }
    found
}

/// When a directory of the cache or a volume was made or removed last.
#[must_use]
pub fn spots_changed(data: &Path) -> Option<SystemTime> {
    let at = |path: PathBuf| fs::metadata(path).ok()?.modified().ok();
    let caches = drivers(data).into_iter().filter_map(|driver| at(data.join(driver.file_name()?)));
    caches.chain(at(data.join("volumes"))).max()
}

/// The directories of drivers in which layers of images lie.
#[must_use]
pub fn layer_directories(data: &Path) -> BTreeSet<String> {
    let of = |driver: PathBuf| {
        let layers = driver.join("layerdb/sha256");
        let cache = |id: String| {
            let text = read(&layers, &format!("{id}/cache-id"))?;
            Some(std::str::from_utf8(&text).ok()?.trim().to_owned())
        };
        entries(&layers).into_iter().filter_map(cache).collect::<Vec<_>>()
    };
    drivers(data).into_iter().flat_map(of).collect()
}

/// Containers, also ended ones, with where each writes.
#[must_use]
pub fn writable(data: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for driver in drivers(data) {
        let Some(name) = driver.file_name().and_then(|name| name.to_str()).filter(|name| *name != "vfs") else {
            continue;
        };
        let mounts = driver.join("layerdb/mounts");
        for id in entries(&mounts) {
            let mount = read(&mounts, &format!("{id}/mount-id"));
            let mount = mount.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(|text| text.trim().to_owned()));
            if let Some(mount) = mount.filter(|mount| sound(mount)) {
                found.push((id, data.join(name).join(mount).join("diff")));
            }
        }
    }
    found
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
        let (base, top) = ("a".repeat(64), "b".repeat(64));
        let config = r#"{"rootfs":{"diff_ids":["sha256:1","sha256:2"]}}"#;
        for id in [&base, &top] {
            put(root.path(), &format!("image/overlay2/imagedb/content/sha256/{id}"), config);
        }
        put(root.path(), &format!("image/overlay2/imagedb/metadata/sha256/{top}/parent"), &format!("sha256:{base}"));
        let names = format!(r#"{{"Repositories":{{"app":{{"app:1":"sha256:{top}","app@sha256:9":"sha256:{top}"}}}}}}"#);
        put(root.path(), "image/overlay2/repositories.json", &names);
        let chain = data_encoding::HEXLOWER.encode(&Sha256::digest("sha256:1 sha256:2"));
        put(root.path(), "image/overlay2/layerdb/sha256/1/cache-id", "c1");
        put(root.path(), &format!("image/overlay2/layerdb/sha256/{chain}/cache-id"), "c2");
        let ids = images(root.path());
        assert_eq!(ids.len(), 2);
        let [kept] = &kept(root.path(), &ids)[..] else { panic!("the one in between is left out") };
        assert_eq!(kept.image.names, ["app:1"]);
        let at = |cache: &str| root.path().join("overlay2").join(cache).join("diff");
        assert_eq!(kept.layers.iter().map(|layer| layer.directory.clone()).collect::<Vec<_>>(), [at("c1"), at("c2")]);
        put(root.path(), "image/overlay2/layerdb/mounts/cid/mount-id", "m1");
        assert_eq!(writable(root.path()), [("cid".to_owned(), at("m1"))]);
        assert!(changed(root.path()).is_some());
    }

    #[test]
    fn what_a_build_left_is_told_from_layers_and_containers() {
        let root = tempfile::tempdir().unwrap();
        let (idle, busy) = ("c46evhxv2sln6zjfj2hg6ajgs", "g61wolvw14bs5il9uzbob0z8z");
        fs::create_dir_all(root.path().join("image/overlay2/imagedb/content/sha256")).unwrap();
        for name in
            ["l/X", &format!("{}/diff/a", "a".repeat(64)), &format!("{idle}/diff/a"), &format!("{busy}/merged/a")]
        {
            put(root.path(), &format!("overlay2/{name}"), "");
        }
        put(root.path(), "image/overlay2/layerdb/sha256/1/cache-id", idle);
        let found: Vec<_> = cache(root.path()).into_iter().map(|spot| (spot.name, spot.busy)).collect();
        assert_eq!(found, [(idle.to_owned(), false), (busy.to_owned(), true)]);
        assert_eq!(layer_directories(root.path()), BTreeSet::from([idle.to_owned()]));
        put(root.path(), "volumes/data/_data/file", "");
        put(root.path(), "volumes/metadata.db", "");
        let [volume] = &super::super::volumes::all(root.path())[..] else { panic!("one volume") };
        assert_eq!((volume.name.as_str(), &volume.directory), ("data", &root.path().join("volumes/data/_data")));
        assert!(spots_changed(root.path()).is_some());
    }
}
