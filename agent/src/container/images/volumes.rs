//! Volumes, in `volumes` below the directory of an engine.

use std::{fs, path::Path};

use super::{Kind, Spot, docker::entries};

/// The volumes in a directory of an engine: Docker and `containers/storage` keep them alike.
#[must_use]
pub fn all(data: &Path) -> Vec<Spot> {
    let volumes = data.join("volumes");
    let one = |name: String| {
        let changed = fs::symlink_metadata(volumes.join(&name)).ok()?.modified().ok()?;
        let directory = volumes.join(&name).join("_data");
        // Of other drivers there is nothing here.
        let there = fs::symlink_metadata(&directory).is_ok_and(|facts| facts.is_dir());
        there.then_some(Spot { kind: Kind::Volume, name, directory, changed, busy: false })
    };
    entries(&volumes).into_iter().filter_map(one).collect()
}
