//! What identifies the catalogue and the policy that a capture was made under.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{catalogue::embedded, policy::shipped, yaml};

/// Hashes of their files. Under others, a capture may give other findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    catalogue: [u8; 32],
    policy: [u8; 32],
}

impl Rules {
    /// Of the files in these directories, and the catalogue and the policy that are shipped. Their names count, where they lie does not.
    #[must_use]
    pub fn of(catalogue: &Path, policy: &Path) -> Self {
        let mut all = blake3::Hasher::new();
        for (name, text) in embedded::FILES {
            add(&mut all, name.as_bytes(), text.as_bytes());
        }
        files(&mut all, catalogue);
        let mut exceptions = blake3::Hasher::new();
        add(&mut exceptions, shipped::NAME.as_bytes(), shipped::TEXT.as_bytes());
        files(&mut exceptions, policy);
        Self { catalogue: *all.finalize().as_bytes(), policy: *exceptions.finalize().as_bytes() }
    }

    /// What is not the same, in words; `None` where both are.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        match (self.catalogue == other.catalogue, self.policy == other.policy) {
            (true, true) => None,
            (false, true) => Some("catalogue"),
            (true, false) => Some("policy"),
            (false, false) => Some("catalogue and policy"),
        }
    }
}

fn files(hasher: &mut blake3::Hasher, directory: &Path) {
    // What cannot be read has been refused before this is asked.
    let names: Vec<PathBuf> = yaml::directory(directory).unwrap_or_default();
    for path in names {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        add(hasher, name, &std::fs::read(&path).unwrap_or_default());
    }
}

fn add(hasher: &mut blake3::Hasher, name: &[u8], content: &[u8]) {
    for part in [name, content] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_names_count_and_places_do_not() {
        let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [one, two, other] = &directories;
        for (directory, text) in [(one, "a: 1\n"), (two, "a: 1\n"), (other, "a: 2\n")] {
            std::fs::write(directory.path().join("x.yaml"), text).unwrap();
            std::fs::write(directory.path().join("notes.txt"), directory.path().display().to_string()).unwrap();
        }
        let nowhere = Path::new("/nowhere");
        let rules = Rules::of(one.path(), nowhere);
        assert_eq!(rules.difference(&Rules::of(two.path(), nowhere)), None);
        assert_eq!(rules.difference(&Rules::of(other.path(), nowhere)), Some("catalogue"));
        assert_eq!(rules.difference(&Rules::of(one.path(), two.path())), Some("policy"));
        std::fs::rename(two.path().join("x.yaml"), two.path().join("y.yaml")).unwrap();
        assert_eq!(rules.difference(&Rules::of(two.path(), nowhere)), Some("catalogue"));
    }
}
