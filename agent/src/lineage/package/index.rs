//! Which packages may have a file, over all packages of a system.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// Most paths in an index; 16 bytes each. A workstation with everything has half a million.
pub const MOST_PATHS: usize = 2 << 20;

/// Paths to packages, by hash: an answer is a guess until the package's own list confirms it.
#[derive(Debug, Default)]
pub struct Index {
    names: Vec<String>,
    paths: Vec<(u64, u32)>,
    full: bool,
}

impl Index {
    /// Adds a package by the name that its database has it under, with its files.
    pub fn add<'a>(&mut self, name: &str, files: impl IntoIterator<Item = &'a [u8]>) {
        let Ok(number) = u32::try_from(self.names.len()) else { return };
        self.names.push(name.to_owned());
        for path in files {
            if self.paths.len() == MOST_PATHS {
                self.full = true;
                return;
            }
            self.paths.push((hash(path), number));
        }
    }

    /// To be called when all packages are in.
    pub fn finish(&mut self) {
        self.paths.sort_unstable();
        self.paths.shrink_to_fit();
    }

    /// Packages that may have the path.
    pub fn candidates(&self, path: &[u8]) -> impl Iterator<Item = &str> {
        let wanted = hash(path);
        let from = self.paths.partition_point(|(hash, _)| *hash < wanted);
        let all = self.paths.get(from..).unwrap_or_default().iter().take_while(move |(hash, _)| *hash == wanted);
        all.filter_map(|(_, number)| self.names.get(*number as usize)).map(String::as_str)
    }

    /// Whether there was no room for all: a path that is not found may be somebody's.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Packages in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(path);
    hasher.finish()
}

/// Names by which a package may list a path, where `/bin`, `/lib` and the like are links into `/usr`.
#[must_use]
pub fn aliases(path: &[u8]) -> Vec<Vec<u8>> {
    let mut names = vec![path.to_vec()];
    let merged = |rest: &[u8]| {
        let first = rest.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
        matches!(first, b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libx32" | b"libo32")
    };
    match path.strip_prefix(b"/usr") {
        Some(rest) if merged(rest) => names.push(rest.to_vec()),
        None if merged(path) => names.push([b"/usr", path].concat()),
        _ => {}
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_by_whole_paths() {
        let mut index = Index::default();
        index.add("coreutils", [&b"/bin/cat"[..], b"/usr/bin/tail"]);
        index.add("libc6:amd64", [&b"/usr/bin/ldd"[..], b"/usr/binary"]);
        index.finish();
        let found = |path: &str| index.candidates(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("/bin/cat"), ["coreutils"]);
        assert_eq!(found("/usr/bin/ldd"), ["libc6:amd64"]);
        assert_eq!(found("/usr/binary"), ["libc6:amd64"]);
        for none in ["/usr/bin", "/usr/bin/cat", "", "/usr/bin/ld"] {
            assert_eq!(found(none), Vec::<&str>::new(), "{none}");
        }
        assert!(!index.is_full());
    }

    #[test]
    fn merged_directories_go_by_both_names() {
        for (path, other) in [
            ("/usr/bin/cat", Some("/bin/cat")),
            ("/bin/cat", Some("/usr/bin/cat")),
            ("/usr/lib64/ld.so", Some("/lib64/ld.so")),
            ("/usr/share/x", None),
            ("/usr/bint/x", None),
            ("/opt/x", None),
            ("", None),
        ] {
            let names = aliases(path.as_bytes());
            let found = names.get(1).map(|name| String::from_utf8_lossy(name).into_owned());
            assert_eq!((names.len(), found.as_deref()), (1 + usize::from(other.is_some()), other), "{path}");
        }
    }
}
