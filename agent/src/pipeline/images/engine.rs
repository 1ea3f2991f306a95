//! What each kind of engine is asked, so that nobody else has to know which it is.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::container::{
    daemons,
    facts::lookup::{Engine, Places},
    images::{self, Kept, Spot},
    mounts::TEXT_BYTES,
};

/// Ids of all images, or of what may be one.
pub(super) fn images(places: &Places) -> BTreeSet<String> {
    match places.engine {
        Engine::Docker => images::docker::images(&places.data),
        Engine::Storage => images::storage::images(&places.data),
        Engine::Containerd => images::containerd::blobs(&places.data),
    }
}

/// Ids of all layers.
pub(super) fn layers(places: &Places) -> BTreeSet<String> {
    match places.engine {
        Engine::Docker => images::docker::layers(&places.data),
        Engine::Storage => images::storage::layers(&places.data),
        Engine::Containerd => images::containerd::blobs(&places.data),
    }
}

/// When images were changed last.
pub(super) fn changed(places: &Places) -> Option<SystemTime> {
    match places.engine {
        Engine::Docker => images::docker::changed(&places.data),
        Engine::Storage => images::storage::changed(&places.data),
        Engine::Containerd => images::containerd::changed(&places.data),
    }
}

/// The images with these ids, and the ids that are to be asked about again.
pub(super) fn kept(places: &Places, new: &BTreeSet<String>) -> (Vec<Kept>, BTreeSet<String>) {
    match places.engine {
        Engine::Docker => (images::docker::kept(&places.data, new), BTreeSet::new()),
        Engine::Storage => (images::storage::kept(&places.data, new), BTreeSet::new()),
        Engine::Containerd => images::containerd::kept(&places.data, new),
    }
}

/// Containers with where each writes.
pub(super) fn writable(places: &Places) -> Vec<(String, PathBuf)> {
    match places.engine {
        Engine::Docker => images::docker::writable(&places.data),
        Engine::Storage => images::storage::writable(&places.data),
        Engine::Containerd => {
            let mounts = daemons::bounded(Path::new("/proc/self/mountinfo"), TEXT_BYTES).unwrap_or_default();
            images::containerd::writable(&places.state, &String::from_utf8_lossy(&mounts))
        }
    }
}

/// The cache of builds, and volumes.
pub(super) fn spots(places: &Places) -> Vec<Spot> {
    let cache = match places.engine {
        Engine::Docker => images::docker::cache(&places.data),
        Engine::Storage | Engine::Containerd => Vec::new(),
    };
    cache.into_iter().chain(images::volumes::all(&places.data)).collect()
}

/// When one of those came or went last.
pub(super) fn spots_changed(places: &Places) -> Option<SystemTime> {
    images::docker::spots_changed(&places.data)
}
