//! Changes of stores otherwise than through a descriptor: which store, and what follows.

use std::path::{Path, PathBuf};

use tokenhound_common::record::FileId;

use super::{Core, Output, World};
use crate::{
    detect::change::StoreChange,
    ingest::observation::{Change, KernelPath, Place, What},
};

impl Core {
    /// Files a change: counts it for its store, and has a file that took a store's name, or that left it, watched at once:
    /// also one that others change.
    pub(super) fn changed(&mut self, change: &Change, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        if change.canary || change.task.key.tgid == self.own {
            return;
        }
        let other = other(&change.what);
        let known = self.names.known_as(change.file.id, world);
        let own = absolute(&change.place, world, change.file.id);
        let candidates = match &change.what {
            What::Replace(place) => vec![absolute(place, world, change.file.id)],
            What::Symlink(text) => vec![own.clone(), target_of(&own, text)],
            What::Mount(place) => vec![own.clone(), place.path().to_owned()],
            _ => known.into_iter().chain([own.clone()]).collect(),
        };
        if let What::Replace(place) = &change.what {
            self.outlet_renamed(change, &absolute(place, world, change.file.id), out);
        }
        let stores = candidates.iter().find_map(|path| {
            let stores = self.catalogue.stores_for(path, self.processes.homes(), self.processes.overrides());
            let ids: Vec<String> = stores.into_iter().map(|store| store.id.clone()).collect();
            (!ids.is_empty()).then(|| (path.clone(), ids))
        });
        let Some((path, stores)) = stores else {
            self.counts.add("change_unmatched", 1);
            return;
        };
        // What gets another name is still the store, whatever then takes the old one.
        if let What::Replace(_) | What::Rename(_) | What::Link(_) = change.what {
            out(Output::Watch(change.file.id));
            self.names.remember(change.file.id, &path);
        }
        if !self.in_scope(change.task.key) {
            return;
        }
        if let What::Replace(_) | What::Rename(_) = change.what {
            self.token_renamed(change, &stores, &path, world);
        }
        let chain = self.processes.chain(change.task.key, change.time, world);
        let actor = chain.as_ref().and_then(|chain| chain.processes.first());
        let actor = actor.map_or_else(|| change.task.comm.text().into_owned(), |process| process.name().to_owned());
        for store in stores {
            out(Output::Change(StoreChange {
                store,
                what: name(&change.what),
                path: path.clone(),
                other: other.clone(),
                actor: actor.clone(),
            }));
        }
    }
}

/// A path from the root. One that starts at its file system's root is put behind where that is mounted.
fn absolute(place: &Place, world: &mut dyn World, file: FileId) -> PathBuf {
    match place {
        Place::InFileSystem(KernelPath { path, truncated: false }) => match world.mount_point(file.device) {
            Some(top) => top.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.clone(),
        },
        other => other.path().to_owned(),
    }
}

/// Where a symbolic link leads. Its text counts from the directory it lies in.
fn target_of(link: &Path, text: &Path) -> PathBuf {
    let mut target = link.parent().unwrap_or(Path::new("/")).to_owned();
    for part in text.components() {
        match part {
            std::path::Component::ParentDir => {
                target.pop();
            }
            std::path::Component::CurDir => {}
            other => target.push(other),
        }
    }
    target
}

fn other(what: &What) -> Option<PathBuf> {
    match what {
        What::Link(place) | What::Rename(place) | What::Replace(place) | What::Mount(place) => {
            Some(place.path().to_owned())
        }
        What::Symlink(text) => Some(text.clone()),
        What::Unlink | What::Mode(_) | What::Owner { .. } | What::Truncate(_) => None,
    }
}

const fn name(what: &What) -> &'static str {
    match what {
        What::Link(_) => "link",
        What::Rename(_) => "rename",
        What::Replace(_) => "replace",
        What::Symlink(_) => "symlink",
        What::Unlink => "unlink",
        What::Mode(_) => "mode",
        What::Owner { .. } => "owner",
        What::Truncate(_) => "truncate",
        What::Mount(_) => "mount",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_text_counts_from_its_directory() {
        for (link, text, target) in [
            ("/tmp/l", "/h/.aws/credentials", "/h/.aws/credentials"),
            ("/h/x/l", "../.aws/credentials", "/h/.aws/credentials"),
            ("/h/l", "./.aws/credentials", "/h/.aws/credentials"),
        ] {
            assert_eq!(target_of(Path::new(link), Path::new(text)), Path::new(target));
        }
    }
}
