//! By which name a watched file is known: a store that is reached by another name is still that store.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use tokenhound_common::{limits::MAX_FILE_IDS, record::FileId, watch::FileKey};

use super::input::World;

/// What is known of a file.
#[derive(Clone, Debug)]
struct Known {
    path: PathBuf,
    /// As the kernel told it of the file while it had that name. `None`: the name was found by looking.
    generation: Option<u32>,
}

/// Names by file. At most [`MAX_FILE_IDS`], as the kernel watches; what is beyond is known by its own name only.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<FileKey, Known>,
    /// Learnt since it was last said what is everything: whoever looked may have been past that place already.
    fresh: HashMap<FileKey, Known>,
}

impl Names {
    /// Takes in what was found; `all` says that it is everything.
    pub(super) fn learn(&mut self, all: bool, names: Vec<(FileKey, PathBuf)>) {
        let before = all.then(|| std::mem::replace(&mut self.known, std::mem::take(&mut self.fresh)));
        for (key, path) in names {
            let known = self.known.get(&key).or_else(|| before.as_ref()?.get(&key));
            let generation = known.filter(|known| known.path == path).and_then(|known| known.generation);
            self.insert(key, Known { path, generation });
        }
    }

    /// Notes by which name the kernel has seen a file.
    pub(super) fn remember(&mut self, id: FileId, path: &Path) {
        let key = FileKey::of(id);
        let known = Known { path: path.to_owned(), generation: Some(id.generation) };
        if self.known.get(&key).is_none_or(|before| before.path != known.path || before.generation != known.generation)
        {
            self.insert(key, known.clone());
            if self.known.contains_key(&key) {
                self.fresh.insert(key, known);
            }
        }
    }

    fn insert(&mut self, key: FileKey, known: Known) {
        if self.known.len() < MAX_FILE_IDS as usize || self.known.contains_key(&key) {
            self.known.insert(key, known);
        }
    }

    /// Every name, in no order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.known.values().map(|known| known.path.as_path())
    }

    /// The name by which a file was last known.
    #[must_use]
    pub(super) fn name_of(&self, id: FileId) -> Option<PathBuf> {
        self.known.get(&FileKey::of(id)).map(|known| known.path.clone())
    }

    /// The name by which a file is known, if it is this very file that had the name; whatever has it now.
    ///
    /// Where the kernel has seen it under that name the generation decides. Where only a look has, the name must still lead
    /// to the file, or to nothing (the store was moved): otherwise the inode number was used again.
    #[must_use]
    pub(super) fn known_as(&self, id: FileId, world: &mut dyn World) -> Option<PathBuf> {
        let known = self.known.get(&FileKey::of(id))?;
        let same = match known.generation {
            Some(generation) => generation == id.generation,
            None => world.file(&known.path).is_none_or(|now| FileKey::of(now) == FileKey::of(id)),
        };
        same.then(|| known.path.clone())
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

    #[test]
    fn a_generation_that_the_kernel_told_outlives_a_look() {
        let path = Path::new("/h/.netrc");
        let file = |generation| FileId { inode: 1, generation, ..FileId::default() };
        let generation = |names: &Names| names.known.get(&FileKey::of(file(0))).and_then(|known| known.generation);
        let mut names = Names::default();
        names.learn(true, vec![(FileKey::of(file(0)), path.into())]);
        assert_eq!(generation(&names), None);
        names.remember(file(7), path);
        for _ in 0..2 {
            names.learn(true, vec![(FileKey::of(file(0)), path.into())]);
            assert_eq!(generation(&names), Some(7));
        }
        names.learn(true, vec![(FileKey::of(file(0)), "/h/.npmrc".into())]);
        assert_eq!(generation(&names), None, "it may be another file");
    }
}
