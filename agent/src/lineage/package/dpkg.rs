//! The files of dpkg's database (dpkg-query(1), deb-md5sums(5), dpkg-divert(1)). Pure and total.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// Most paths in an index; 16 bytes each. A workstation with everything has half a million.
pub const MOST_PATHS: usize = 2 << 20;

/// Paths to packages, by hash: an answer is a guess until the package's list confirms it.
#[derive(Debug, Default)]
pub struct Index {
    names: Vec<String>,
    paths: Vec<(u64, u32)>,
    full: bool,
}

impl Index {
    /// Adds the list of a package. `name` is the list's, without its ending: `libc6:amd64`.
    pub fn add(&mut self, name: &str, list: &[u8]) {
        let Ok(number) = u32::try_from(self.names.len()) else { return };
        self.names.push(name.to_owned());
        let mut lines = lines(list).peekable();
        while let Some(line) = lines.next() {
            // A directory stands right before what is in it.
            let is_above = |next: &&[u8]| next.strip_prefix(line).is_some_and(|rest| rest.first() == Some(&b'/'));
            if lines.peek().is_some_and(is_above) {
                continue;
            }
            if self.paths.len() == MOST_PATHS {
                self.full = true;
                return;
            }
            self.paths.push((hash(line), number));
        }
    }

    /// To be called when all lists are in.
    pub fn finish(&mut self) {
        self.paths.sort_unstable();
        self.paths.shrink_to_fit();
    }

    /// Packages whose lists may hold the path.
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

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Does a package's list hold this path?
#[must_use]
pub fn lists(list: &[u8], path: &[u8]) -> bool {
    lines(list).any(|line| line == path)
}

/// A package's name without its architecture.
#[must_use]
pub fn plain(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// The recorded sum of a path (with its first slash), as 32 hex digits.
#[must_use]
pub fn sum<'a>(sums: &'a [u8], path: &[u8]) -> Option<&'a str> {
    let relative = path.strip_prefix(b"/")?;
    lines(sums).find_map(|line| {
        let (sum, rest) = line.split_at_checked(32)?;
        let name = rest.strip_prefix(b"  ")?;
        let sum = std::str::from_utf8(sum).ok().filter(|sum| sum.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        (name == relative).then_some(sum)
    })
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

/// Where a path that is found on disk stands in the lists.
#[derive(Debug, PartialEq, Eq)]
pub enum Diverted<'a> {
    /// As it is, in the list of any package.
    No,
    /// Under this path, in the list of any package but this one.
    From(&'a [u8], &'a str),
    /// As it is, in the list of this package only.
    By(&'a str),
    /// An administrator has put another file in the place of a package's.
    Locally,
}

/// What the diversions say of a path.
#[must_use]
pub fn diverted<'a>(diversions: &'a [u8], path: &[u8]) -> Diverted<'a> {
    let mut lines = lines(diversions);
    while let (Some(from), Some(to), Some(by)) = (lines.next(), lines.next(), lines.next()) {
        let by = std::str::from_utf8(by).unwrap_or(":");
        if to == path {
            return Diverted::From(from, by);
        }
        if from == path {
            return if by == ":" { Diverted::Locally } else { Diverted::By(by) };
        }
    }
    Diverted::No
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_files_and_an_index_finds_them() {
        let mut index = Index::default();
        index.add("coreutils", b"/.\n/bin\n/bin/cat\n/usr\n/usr/bin\n/usr/bin/tail\n");
        index.add("libc6:amd64", b"/.\n/usr\n/usr/bin\n/usr/bin/ldd\n/usr/binary\n");
        index.finish();
        let found = |path: &str| index.candidates(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("/bin/cat"), ["coreutils"]);
        assert_eq!(found("/usr/bin/ldd"), ["libc6:amd64"]);
        assert_eq!(found("/usr/binary"), ["libc6:amd64"]);
        for none in ["/usr/bin", "/usr/bin/cat", "", "/usr/bin/ld"] {
            assert_eq!(found(none), Vec::<&str>::new(), "{none}");
        }
        assert!(lists(b"/a\n/b", b"/b") && !lists(b"/a\n/bb", b"/b"));
        assert_eq!((plain("libc6:amd64"), plain("dash")), ("libc6", "dash"));
        assert!(!index.is_full());
    }

    #[test]
    fn sums_belong_to_whole_paths() {
        let sums = b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/a\n\
            00000000000000000000000000000000  usr/bin/a b\nzz  x\nzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz  usr/bin/z\n";
        assert_eq!(sum(sums, b"/usr/bin/a"), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(sum(sums, b"/usr/bin/a b"), Some("00000000000000000000000000000000"));
        for none in ["/usr/bin", "usr/bin/a", "/bin/a", "/usr/bin/z", "", "/x"] {
            assert_eq!(sum(sums, none.as_bytes()), None, "{none}");
        }
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

    #[test]
    fn diversions_move_files_of_all_packages_but_one() {
        let text = b"/usr/bin/gpg\n/usr/bin/gpg.real\nwrapper\n/usr/bin/x\n/usr/bin/x.dist\n:\n/cut\n";
        assert_eq!(diverted(text, b"/usr/bin/gpg"), Diverted::By("wrapper"));
        assert_eq!(diverted(text, b"/usr/bin/gpg.real"), Diverted::From(b"/usr/bin/gpg", "wrapper"));
        assert_eq!(diverted(text, b"/usr/bin/x"), Diverted::Locally);
        assert_eq!(diverted(text, b"/usr/bin/x.dist"), Diverted::From(b"/usr/bin/x", ":"));
        assert_eq!(diverted(text, b"/cut"), Diverted::No);
    }

    #[test]
    fn any_bytes_are_survived() {
        for bytes in [&b""[..], b"\n\n", b"\xff\xff\n/\n//", &[b'a'; 4096]] {
            let mut index = Index::default();
            index.add("x", bytes);
            index.finish();
            let _ = (sum(bytes, bytes), diverted(bytes, bytes), aliases(bytes), lists(bytes, bytes));
        }
    }
}
