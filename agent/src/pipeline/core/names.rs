//! By which name a watched file is known: a store that is reached by another name is still that store.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use tokenhound_common::{limits::MAX_FILE_IDS, record::FileId, watch::FileKey};

use super::input::World;

/// Names by file. At most [`MAX_FILE_IDS`], as the kernel watches; what is beyond is known by its own name only.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<FileKey, PathBuf>,
    /// Learnt since it was last said what is everything: whoever looked may have been past that place already.
    fresh: HashMap<FileKey, PathBuf>,
}

impl Names {
    /// Takes in what was found; `all` says that it is everything.
    pub(super) fn learn(&mut self, all: bool, names: Vec<(FileKey, PathBuf)>) {
        if all {
            self.known = std::mem::take(&mut self.fresh);
        }
        for (key, path) in names {
            self.insert(key, path);
        }
    }

    /// Notes by which name a file is known.
    pub(super) fn remember(&mut self, id: FileId, path: &Path) {
        let key = FileKey::of(id);
        if self.known.get(&key).is_none_or(|known| known != path) {
            self.insert(key, path.to_owned());
            if self.known.contains_key(&key) {
                self.fresh.insert(key, path.to_owned());
            }
        }
    }

    fn insert(&mut self, key: FileKey, path: PathBuf) {
        if self.known.len() < MAX_FILE_IDS as usize || self.known.contains_key(&key) {
            self.known.insert(key, path);
        }
    }

    /// The name by which a file was last known.
    #[must_use]
    pub(super) fn name_of(&self, id: FileId) -> Option<PathBuf> {
        self.known.get(&FileKey::of(id)).cloned()
    }

    /// The name by which a file is known, if that is still true of this very file or if the name is gone (the store was
    /// moved). `None` if the name now belongs to another file: the inode number was used again.
    #[must_use]
    pub(super) fn known_as(&self, id: FileId, world: &mut dyn World) -> Option<PathBuf> {
        let known = self.known.get(&FileKey::of(id))?;
        match world.file(known) {
            Some(now) if FileKey::of(now) != FileKey::of(id) => None,
            _ => Some(known.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_during_a_look_outlives_it() {
        let file = |inode| FileId { inode, ..FileId::default() };
        let mut names = Names::default();
        names.remember(file(1), Path::new("/h/.netrc"));
        names.learn(true, vec![(FileKey::of(file(2)), "/h/.npmrc".into())]);
        assert_eq!(names.name_of(file(1)).as_deref(), Some(Path::new("/h/.netrc")));
        names.learn(true, Vec::new());
        assert_eq!((names.name_of(file(1)), names.name_of(file(2))), (None, None), "by then it had its chance");
    }
}
