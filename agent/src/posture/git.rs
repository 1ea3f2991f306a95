//! What git knows of a file, from its index (gitformat-index(5), versions 2 to 4) and its ignore files.

use std::path::PathBuf;

/// Largest index that is read, in bytes: about a million files.
pub const MAX_INDEX: u64 = 128 << 20;

/// Longest path of an index, in bytes.
const MAX_PATH: usize = 4096;
/// Bytes of an entry before its flags: times, device, inode, mode, owner, size, a SHA-1.
const FIXED_SHA1: usize = 40 + 20;
/// The same with a SHA-256.
const FIXED_SHA256: usize = 40 + 32;
const EXTENDED: u16 = 0x4000;

/// What git knows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It lies in no work tree.
    #[default]
    Outside,
    /// It is in the index: it was, or will be, committed.
    Tracked {
        /// Top of the work tree.
        work_tree: PathBuf,
    },
    /// It is not, but nothing keeps it out.
    Untracked {
        /// Top of the work tree.
        work_tree: PathBuf,
    },
    /// An ignore file keeps it out.
    Ignored,
    /// The index could not be read.
    Unknown,
}

/// Why an index cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It does not begin like one, or is of another version.
    #[error("this is no git index of version 2, 3 or 4")]
    Version,
    /// It ends too early, or a path in it is longer than any.
    #[error("the git index is broken")]
    Broken,
    /// A part of it lies in another file (a split index).
    #[error("the git index is split")]
    Split,
}

/// Is `path` (relative to the work tree, with slashes) in the index? `sha256`: the repository names objects so.
///
/// # Errors
/// The index cannot be read; a path that was found before the broken place counts.
pub fn tracked(index: &[u8], path: &[u8], sha256: bool) -> Result<bool, IndexError> {
    let (head, mut rest) = index.split_first_chunk::<12>().ok_or(IndexError::Version)?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (version, count) = (word(4), word(8));
    if &head[..4] != b"DIRC" || !(2..=4).contains(&version) {
        return Err(IndexError::Version);
    }
    let fixed = if sha256 { FIXED_SHA256 } else { FIXED_SHA1 };
    let mut name = Vec::new();
    for _ in 0..count {
        let flags = rest.get(fixed..fixed + 2).ok_or(IndexError::Broken)?;
        let flags = u16::from_be_bytes([flags[0], flags[1]]);
        let header = fixed + 2 + if version >= 3 && flags & EXTENDED != 0 { 2 } else { 0 };
        let text = rest.get(header..).ok_or(IndexError::Broken)?;
        let used = if version == 4 {
            let (strip, length) = offset(text).ok_or(IndexError::Broken)?;
            let kept = name.len().checked_sub(strip).ok_or(IndexError::Broken)?;
            name.truncate(kept);
            length + until_nul(&text[length..], &mut name)? + 1
        } else {
            name.clear();
            let length = until_nul(text, &mut name)?;
            // Padded with one to eight NUL to a multiple of eight bytes.
            (header + length) / 8 * 8 + 8 - header
        };
        if name == path {
            return Ok(true);
        }
        rest = rest.get(header + used..).ok_or(IndexError::Broken)?;
    }
    if rest.starts_with(b"link") { Err(IndexError::Split) } else { Ok(false) }
}

/// Appends what comes before the NUL; returns its length.
fn until_nul(text: &[u8], name: &mut Vec<u8>) -> Result<usize, IndexError> {
    let length = text.iter().take(MAX_PATH).position(|byte| *byte == 0).ok_or(IndexError::Broken)?;
    name.extend_from_slice(&text[..length]);
    if name.len() > MAX_PATH { Err(IndexError::Broken) } else { Ok(length) }
}

/// A number as version 4 writes it (`varint.c` of git), and its length.
fn offset(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = usize::from(bytes.first()? & 0x7f);
    let mut at = 0;
    while bytes.get(at)? & 0x80 != 0 {
        at += 1;
        if at > 4 {
            return None;
        }
        value = ((value + 1) << 7) + usize::from(bytes.get(at)? & 0x7f);
    }
    Some((value, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index with these names, as git writes it.
    fn index(version: u32, names: &[&str]) -> Vec<u8> {
        let mut out = b"DIRC".to_vec();
        out.extend(version.to_be_bytes());
        out.extend((names.len() as u32).to_be_bytes());
        let mut before = "";
        for name in names {
            let start = out.len();
            out.extend([0; FIXED_SHA1]);
            out.extend((name.len() as u16).to_be_bytes());
            if version == 4 {
                let common = before.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
                out.push((before.len() - common) as u8);
                out.extend(name[common..].bytes());
                out.push(0);
            } else {
                out.extend(name.bytes());
                let length = out.len() - start;
                out.extend(std::iter::repeat_n(0, 8 - length % 8));
            }
            before = name;
        }
        out
    }

    #[test]
    fn names_are_found_in_every_version() {
        for version in 2..=4 {
            let index = index(version, &["a", "conf/.npmrc", "conf/x", "longer/name/of/a/file.txt"]);
            for name in ["a", "conf/.npmrc", "longer/name/of/a/file.txt"] {
                assert_eq!(tracked(&index, name.as_bytes(), false), Ok(true), "{version} {name}");
            }
            assert_eq!(tracked(&index, b"conf", false), Ok(false), "{version}");
        }
    }

    #[test]
    fn what_is_broken_is_said() {
        assert_eq!(tracked(b"", b"a", false), Err(IndexError::Version));
        assert_eq!(tracked(&index(5, &["a"]), b"a", false), Err(IndexError::Version));
        let whole = index(4, &["a", "bb"]);
        for cut in 12..whole.len() {
            let found = tracked(&whole[..cut], b"other", false);
            assert_eq!(found, Err(IndexError::Broken), "{cut}");
        }
        let mut split = index(2, &["a"]);
        split.extend(b"link\0\0\0\0");
        assert_eq!(tracked(&split, b"b", false), Err(IndexError::Split));
    }
}
