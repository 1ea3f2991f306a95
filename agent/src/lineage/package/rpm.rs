//! A package in rpm's database: its header, as one value (`rpm/format_header.html` and `rpmtag.h` in rpm's source). Pure and
//! total. Numbers are big endian.

use std::str;

use super::sum::{Algorithm, Sum};

/// Tags of a header.
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const FILE_STATES: u32 = 1029;
    pub(super) const FILE_MODES: u32 = 1030;
    pub(super) const FILE_DIGESTS: u32 = 1035;
    pub(super) const FILE_FLAGS: u32 = 1037;
    pub(super) const DIR_INDEXES: u32 = 1116;
    pub(super) const BASE_NAMES: u32 = 1117;
    pub(super) const DIR_NAMES: u32 = 1118;
    pub(super) const FILE_DIGEST_ALGORITHM: u32 = 5011;
}

/// Types of values.
mod kind {
    pub(super) const CHAR: u32 = 1;
    pub(super) const INT16: u32 = 3;
    pub(super) const INT32: u32 = 4;
    pub(super) const STRING: u32 = 6;
    pub(super) const STRING_ARRAY: u32 = 8;
}

/// `RPMFILE_GHOST`: named by the package, and made by others.
const GHOST: u32 = 1 << 6;

/// Bytes of an entry of the index.
const ENTRY: usize = 16;

/// A header. What it does not hold, or holds broken, is empty.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

/// A file of a package that lies there as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<'a> {
    directory: &'a [u8],
    name: &'a [u8],
    sum: Option<(Algorithm, &'a [u8])>,
}

impl File<'_> {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        [self.directory, self.name].concat()
    }

    /// Is that where it lies?
    #[must_use]
    pub fn is_at(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.directory) == Some(self.name)
    }

    /// The sum of what the package brought, where it recorded one that is known here.
    #[must_use]
    pub fn sum(&self) -> Option<Sum> {
        let (algorithm, hex) = self.sum?;
        let hex = str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        (!hex.is_empty()).then(|| Sum { algorithm, hex: hex.to_ascii_lowercase() })
    }
}

impl<'a> Header<'a> {
    /// The value of a row in the table `Packages`. `None` where it is cut.
    #[must_use]
    pub fn parse(blob: &'a [u8]) -> Option<Self> {
        let entries = number(blob, 0)? as usize;
        let bytes = number(blob, 4)? as usize;
        let rest = blob.get(8..)?;
        let (index, data) = rest.split_at_checked(entries.checked_mul(ENTRY)?)?;
        Some(Self { index, data: data.get(..bytes)? })
    }

    /// Name of the package.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        let (data, _) = self.value(tag::NAME, kind::STRING)?;
        str::from_utf8(until_nul(data)?).ok().filter(|name| !name.is_empty())
    }

    /// Its files, without directories, and without those that another package has replaced or that were not installed.
    pub fn files(&self) -> impl Iterator<Item = File<'a>> + use<'a> {
        let directories: Vec<&[u8]> = self.texts(tag::DIR_NAMES).collect();
        let mut indexes = self.numbers(tag::DIR_INDEXES);
        let (mut states, mut modes) =
            (self.small(tag::FILE_STATES, kind::CHAR), self.small(tag::FILE_MODES, kind::INT16));
        let mut flags = self.numbers(tag::FILE_FLAGS);
        let mut sums = self.texts(tag::FILE_DIGESTS);
        let algorithm = algorithm(self.numbers(tag::FILE_DIGEST_ALGORITHM).next());
        let one = move |name: &'a [u8]| {
            let (directory, state, mode) = (indexes.next(), states.next(), modes.next());
            let (flags, sum) = (flags.next().unwrap_or(0), sums.next());
            let directory = *directories.get(directory? as usize)?;
            let is_directory = mode.is_some_and(|mode| mode & 0o170_000 == 0o040_000);
            // `RPMFILE_STATE_NORMAL`
            let is_there = state.is_none_or(|state| state == 0);
            let sum = algorithm.zip(sum).filter(|_| flags & GHOST == 0);
            (is_there && !is_directory).then_some(File { directory, name, sum })
        };
        self.texts(tag::BASE_NAMES).map(one).collect::<Vec<_>>().into_iter().flatten()
    }

    /// The data from where a value begins, and how many of them there are.
    fn value(&self, tag: u32, kind: u32) -> Option<(&'a [u8], usize)> {
        let mut entries = self.index.chunks_exact(ENTRY);
        let entry = entries.find(|entry| number(entry, 0) == Some(tag) && number(entry, 4) == Some(kind))?;
        Some((self.data.get(number(entry, 8)? as usize..)?, number(entry, 12)? as usize))
    }

    fn texts(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut data, count) = self.value(tag, kind::STRING_ARRAY).unwrap_or_default();
        std::iter::from_fn(move || {
            let text = until_nul(data)?;
            data = data.get(text.len() + 1..)?;
            Some(text)
        })
        .take(count)
    }

    fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> + use<'a> {
        let (data, count) = self.value(tag, kind::INT32).unwrap_or_default();
        data.chunks_exact(4).take(count).filter_map(|bytes| number(bytes, 0))
    }

    /// Numbers of one byte or two.
    fn small(&self, tag: u32, kind: u32) -> impl Iterator<Item = u32> + use<'a> {
        let (data, count) = self.value(tag, kind).unwrap_or_default();
        let size = if kind == kind::INT16 { 2 } else { 1 };
        data.chunks_exact(size).take(count).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }
}

/// `pgpHashAlgo`; without one it is MD5.
const fn algorithm(number: Option<u32>) -> Option<Algorithm> {
    match number {
        None | Some(1) => Some(Algorithm::Md5),
        Some(2) => Some(Algorithm::Sha1),
        Some(8) => Some(Algorithm::Sha256),
        Some(9) => Some(Algorithm::Sha384),
        Some(10) => Some(Algorithm::Sha512),
        Some(_) => None,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn until_nul(data: &[u8]) -> Option<&[u8]> {
    data.get(..data.iter().position(|byte| *byte == 0)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file of a made-up package: path, mode, state, flags, digest.
    pub(crate) type Made<'a> = (&'a str, u16, u8, u32, &'a str);

    /// A header as rpm writes it.
    pub(crate) fn header(name: &str, files: &[Made<'_>]) -> Vec<u8> {
        let (mut index, mut data, mut count) = (Vec::new(), Vec::new(), 0_u32);
        let mut put = |tag: u32, kind: u32, number: usize, bytes: &[u8]| {
            let align = match kind {
                kind::INT16 => 2,
                kind::INT32 => 4,
                _ => 1,
            };
            while data.len() % align != 0 {
                data.push(0);
            }
            for value in [tag, kind, data.len() as u32, number as u32] {
                index.extend(value.to_be_bytes());
            }
            data.extend(bytes);
            count += 1;
        };
        let texts = |all: Vec<&str>| all.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect::<Vec<u8>>();
        let directory = |path: &str| path.rfind('/').map_or(0, |at| at + 1);
        let names: Vec<&str> = files.iter().map(|(path, ..)| &path[directory(path)..]).collect();
        let directories: Vec<&str> = files.iter().map(|(path, ..)| &path[..directory(path)]).collect();
        let indexes: Vec<u8> = (0..files.len() as u32).flat_map(u32::to_be_bytes).collect();
        let n = files.len();
        put(tag::NAME, kind::STRING, 1, &texts(vec![name]));
        put(tag::FILE_STATES, kind::CHAR, n, &files.iter().map(|file| file.2).collect::<Vec<u8>>());
        put(tag::FILE_MODES, kind::INT16, n, &files.iter().flat_map(|file| file.1.to_be_bytes()).collect::<Vec<u8>>());
        put(tag::FILE_DIGESTS, kind::STRING_ARRAY, n, &texts(files.iter().map(|file| file.4).collect()));
        put(tag::FILE_FLAGS, kind::INT32, n, &files.iter().flat_map(|file| file.3.to_be_bytes()).collect::<Vec<u8>>());
        put(tag::DIR_INDEXES, kind::INT32, n, &indexes);
        put(tag::BASE_NAMES, kind::STRING_ARRAY, n, &texts(names));
        put(tag::DIR_NAMES, kind::STRING_ARRAY, n, &texts(directories));
        put(tag::FILE_DIGEST_ALGORITHM, kind::INT32, 1, &8_u32.to_be_bytes());
        [&count.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), &index, &data].concat()
    }

    const REGULAR: u16 = 0o100_755;

    #[test]
    fn a_header_names_its_files_and_their_sums() {
        let blob = header(
            "tool",
            &[
                ("/usr/bin/tool", REGULAR, 0, 0, "AB01"),
                ("/usr/share/tool", 0o040_755, 0, 0, ""),
                ("/usr/bin/alias", 0o120_777, 0, 0, ""),
                ("/var/tool.log", REGULAR, 0, GHOST, "ab02"),
                ("/usr/bin/replaced", REGULAR, 1, 0, "ab03"),
                ("/usr/bin/odd", REGULAR, 0, 0, "no sum"),
            ],
        );
        let header = Header::parse(&blob).unwrap();
        assert_eq!(header.name(), Some("tool"));
        let all: Vec<_> = header.files().map(|file| (String::from_utf8(file.path()).unwrap(), file.sum())).collect();
        let sum = |hex: &str| Some(Sum { algorithm: Algorithm::Sha256, hex: hex.to_owned() });
        let wanted =
            [("/usr/bin/tool", sum("ab01")), ("/usr/bin/alias", None), ("/var/tool.log", None), ("/usr/bin/odd", None)];
        assert_eq!(all, wanted.map(|(path, sum)| (path.to_owned(), sum)));
        assert!(header.files().any(|file| file.is_at(b"/usr/bin/tool")));
        assert!(!header.files().any(|file| file.is_at(b"/usr/bin/too") || file.is_at(b"/usr/bin/replaced")));
    }

    #[test]
    fn any_bytes_are_survived() {
        let blob = header("tool", &[("/usr/bin/tool", REGULAR, 0, 0, "ab01")]);
        for end in 0..blob.len() {
            if let Some(header) = Header::parse(&blob[..end]) {
                let _ = (header.name(), header.files().count());
            }
        }
        for at in 0..blob.len() {
            let mut broken = blob.clone();
            broken[at] ^= 0xff;
            if let Some(header) = Header::parse(&broken) {
                let _ = (header.name(), header.files().filter_map(|file| file.sum()).count());
            }
        }
    }
}
