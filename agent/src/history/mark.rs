//! Whether a file is still the one in which a token was found. On the history's own threads: a file system may not answer.

use std::{fs, io::ErrorKind, os::unix::fs::MetadataExt, path::Path};

use jiff::Timestamp;

use super::model::{Copied, FileMark, Standing};

impl FileMark {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), u32::try_from(found.ctime_nsec()).unwrap_or(0)),
        }
    }
}

/// What a file is that a token was just found in. Where it has changed since, only its device: no file has inode 0, so that it is
/// never taken for [`Standing::Present`]. `None` where not even that can be known.
pub(super) fn confirmed(copied: &Copied) -> Option<FileMark> {
    let found = fs::symlink_metadata(&copied.path).ok().filter(fs::Metadata::is_file).map(|found| FileMark::of(&found));
    let as_it_was = |mark: &FileMark| {
        let changed = Timestamp::new(mark.changed.0, i32::try_from(mark.changed.1).unwrap_or(0)).ok();
        mark.size == copied.size && changed.is_some_and(|changed| changed <= copied.time)
    };
    let device = || found.map(|mark| mark.device).or_else(|| device_above(&copied.path));
    let elsewhere = || Some(FileMark { device: device()?, inode: 0, size: copied.size, changed: (0, 0) });
    found.filter(as_it_was).or_else(elsewhere)
}

/// Device of the nearest directory above `path` that there is.
fn device_above(path: &Path) -> Option<u64> {
    path.ancestors().skip(1).find_map(|above| fs::metadata(above).ok().filter(fs::Metadata::is_dir)).map(|it| it.dev())
}

/// What became of the file at `path`. Gone is only what is missing on the device where it was: below a file system that is not
/// mounted now nothing is found either. Whoever acts on that looks twice, as tools write files anew under the same name.
#[must_use]
pub fn standing(path: &Path, mark: Option<FileMark>) -> Standing {
    match fs::symlink_metadata(path) {
        Ok(found) if mark == Some(FileMark::of(&found)) => Standing::Present,
        Ok(_) => Standing::Changed,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let same = mark.is_some_and(|mark| device_above(path) == Some(mark.device));
            if same { Standing::Gone } else { Standing::Changed }
        }
        // It is there, or may come back.
        Err(_) => Standing::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::copied;

    #[test]
    fn a_file_is_as_it_was_or_has_changed_or_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deploy.sh");
        fs::write(&path, "made up").unwrap();
        let found = Copied { path: path.clone(), size: 7, time: Timestamp::MAX, ..copied("/x") };
        let mark = confirmed(&found);
        assert!(mark.is_some());
        for other in [Copied { size: 8, ..found.clone() }, Copied { time: Timestamp::UNIX_EPOCH, ..found.clone() }] {
            let changed = confirmed(&other);
            assert!(changed.is_some(), "its device is known");
            assert_eq!(standing(&path, changed), Standing::Changed, "it has grown, or was changed after the look");
        }
        assert_eq!(standing(&path, mark), Standing::Present);
        fs::write(&path, "other").unwrap();
        assert_eq!(standing(&path, mark), Standing::Changed);
        fs::remove_file(&path).unwrap();
        assert_eq!(standing(&path, mark), Standing::Gone);
        assert_eq!(standing(&path.join("below"), mark), Standing::Gone);
        assert_eq!(standing(&path, confirmed(&found)), Standing::Gone, "it went before it was written down");
        let unmounted = mark.map(|mark| FileMark { device: mark.device + 1, ..mark });
        assert_eq!(standing(&path, unmounted), Standing::Changed, "it may be there when that is mounted again");
        assert_eq!(standing(&path, None), Standing::Changed, "nobody knows where it was");
    }
}
