//! The files of dpkg's database (dpkg-query(1), deb-md5sums(5), dpkg-divert(1)). Pure and total.

use super::sum::{Algorithm, Sum};

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// What a package's list names, but the directories that are seen to be ones.
pub fn files(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut lines = lines(list).peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            // A directory stands right before what is in it.
            let is_above = |next: &&[u8]| next.strip_prefix(line).is_some_and(|rest| rest.first() == Some(&b'/'));
            if !lines.peek().is_some_and(is_above) {
                return Some(line);
            }
        }
    })
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

/// The recorded sum of a path (with its first slash).
#[must_use]
pub fn sum(sums: &[u8], path: &[u8]) -> Option<Sum> {
    let relative = path.strip_prefix(b"/")?;
    lines(sums).find_map(|line| {
        let (sum, rest) = line.split_at_checked(32)?;
        let name = rest.strip_prefix(b"  ")?;
        let sum = std::str::from_utf8(sum).ok().filter(|sum| sum.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        (name == relative).then(|| Sum { algorithm: Algorithm::Md5, hex: sum.to_ascii_lowercase() })
    })
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
    fn a_list_names_files() {
        let listed: Vec<_> = files(b"/.\n/usr\n/usr/bin\n/usr/bin/ldd\n/usr/binary\n").collect();
        assert_eq!(listed, [&b"/."[..], b"/usr/bin/ldd", b"/usr/binary"]);
        assert!(lists(b"/a\n/b", b"/b") && !lists(b"/a\n/bb", b"/b"));
        assert_eq!((plain("libc6:amd64"), plain("dash")), ("libc6", "dash"));
    }

    #[test]
    fn sums_belong_to_whole_paths() {
        let sums = b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/a\n\
            00000000000000000000000000000000  usr/bin/a b\nzz  x\nzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz  usr/bin/z\n";
        let hex = |path: &[u8]| sum(sums, path).map(|sum| sum.hex);
        assert_eq!(hex(b"/usr/bin/a").as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(hex(b"/usr/bin/a b").as_deref(), Some("00000000000000000000000000000000"));
        for none in ["/usr/bin", "usr/bin/a", "/bin/a", "/usr/bin/z", "", "/x"] {
            assert_eq!(sum(sums, none.as_bytes()), None, "{none}");
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
            let _ = (sum(bytes, bytes), diverted(bytes, bytes), files(bytes).count(), lists(bytes, bytes));
        }
    }
}
