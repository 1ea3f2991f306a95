//! Looks for known tokens in the files below a directory: a layer, or what a container has written. Bounded in files, bytes and
//! rate; no link is followed, and nothing but regular files is opened.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::FileType;
use zeroize::Zeroizing;

use crate::{
    copies::contents::{Contents, contents},
    posture::view::View,
    token::{fingerprint::Fingerprint, scan::NeedleSet},
};

/// Most bytes of one directory that are looked through, and most that what is packed in its files may expand to.
pub const MOST_BYTES: u64 = 8 << 30;
/// Most files and directories of it.
pub const MOST_ENTRIES: u64 = 1 << 20;
/// Most entries of one directory in it.
const ENTRIES: usize = 1 << 16;
/// Most files with tokens that are told of one directory.
const MOST_FOUND: usize = 256;
/// Longest time for one file, rests included.
const LONGEST: Duration = Duration::from_secs(3600);
/// Bytes between two rests, and how long the rest is in times of the work: a fourth of one processor at most.
const TURN: u64 = 4 << 20;
const REST: u32 = 3;
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// A file with tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its path below the directory (from `/`).
    pub path: PathBuf,
    /// The member of an archive that they lie in, or how the file is compressed.
    pub member: Option<String>,
    /// Which, each once.
    pub tokens: Vec<Fingerprint>,
}

/// What was found below a directory.
#[derive(Debug, Default)]
pub struct Found {
    /// Files with tokens.
    pub files: Vec<Held>,
    /// Files that were looked through.
    pub looked: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes that were unpacked.
    pub expanded: u64,
    /// Not everything was looked through: a bound was met, or a file could not be read.
    pub missed: u64,
}

impl Found {
    fn add(&mut self, held: Held) {
        if self.files.len() < MOST_FOUND {
            self.files.push(held);
        } else {
            self.missed += 1;
        }
    }
}

/// Looks through a tree, which is below `data` with no link on the way there. `wanted` says of a file by its change time (seconds since 1970) whether it is to be looked at.
///
/// # Errors
/// The directory cannot be opened.
pub fn tree(data: &Path, directory: &Path, set: &NeedleSet, wanted: impl Fn(i64) -> bool) -> io::Result<Found> {
    let view = View::below(data, directory).map_err(io::Error::other)?;
    let mut found = Found::default();
    let mut pace = Pace::new();
    let mut waiting = vec![PathBuf::from("/")];
    let mut entries = 0;
    while let Some(directory) = waiting.pop() {
        let Ok(list) = view.list(&directory, ENTRIES) else {
            found.missed += 1;
            continue;
        };
        found.missed += u64::from(list.len() == ENTRIES);
        for (name, kind) in list {
            entries += 1;
            if entries > MOST_ENTRIES || found.bytes >= MOST_BYTES {
                found.missed += 1;
                return Ok(found);
            }
            let path = directory.join(name);
            match kind {
                FileType::Directory => waiting.push(path),
                FileType::RegularFile => file(&view, path, set, &wanted, &mut found, &mut pace),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn file(
    view: &View,
    path: PathBuf,
    set: &NeedleSet,
    wanted: &impl Fn(i64) -> bool,
    found: &mut Found,
    pace: &mut Pace,
) {
    match view.stat(&path, false) {
        Ok(stat) if !wanted(stat.st_ctime) => return,
        Ok(_) => {}
        Err(_) => {
            found.missed += 1;
            return;
        }
    }
    match view.file(&path, false).and_then(|file| look(file, set, found, pace)) {
        Ok(Contents { tokens, .. }) => {
            for (member, tokens) in by_member(tokens) {
                found.add(Held { path: path.clone(), member, tokens });
            }
        }
        Err(_) => found.missed += 1,
    }
}

/// Looks through a layer that is one file of `directory`: a tar archive, mostly compressed.
///
/// # Errors
/// It cannot be opened.
pub fn packed(directory: &Path, name: &str, set: &NeedleSet) -> io::Result<Found> {
    let view = View::open(directory).map_err(io::Error::other)?;
    let (mut found, mut pace) = (Found::default(), Pace::new());
    let file = view.file(&Path::new("/").join(name), false)?;
    let Contents { tokens, unsupported, .. } = look(file, set, &mut found, &mut pace)?;
    found.missed += u64::from(unsupported);
    for (member, tokens) in by_member(tokens) {
        let (path, member) = inside(member.as_deref().unwrap_or_default());
        found.add(Held { path, member, tokens });
    }
    Ok(found)
}

/// The file of a layer, and the member of it, that a member of the layer's archive is: `gzip: root/a.zip: zip: b`.
fn inside(member: &str) -> (PathBuf, Option<String>) {
    let member = member.strip_prefix("gzip: ").unwrap_or(member);
    let (path, rest) = member.split_once(": ").map_or((member, None), |(path, rest)| (path, Some(rest.to_owned())));
    (Path::new("/").join(path.trim_start_matches("./").trim_start_matches('/')), rest)
}

/// Looks into one file, within what is left.
fn look(mut file: File, set: &NeedleSet, found: &mut Found, pace: &mut Pace) -> io::Result<Contents> {
    let left = (MOST_BYTES.saturating_sub(found.bytes), MOST_BYTES.saturating_sub(found.expanded));
    let looked = contents(&mut file, set, left, Instant::now() + LONGEST, |bytes| pace.worked(bytes))?;
    found.looked += 1;
    found.bytes += looked.bytes;
    found.expanded += looked.expanded;
    found.missed += u64::from(looked.missed);
    Ok(looked)
}

/// The tokens of each member.
fn by_member(tokens: Vec<(Fingerprint, Option<String>)>) -> Vec<(Option<String>, Vec<Fingerprint>)> {
    let mut all: Vec<(Option<String>, Vec<Fingerprint>)> = Vec::new();
    for (token, member) in tokens {
        match all.iter_mut().find(|(known, _)| *known == member) {
            Some((_, tokens)) => tokens.push(token),
            None => all.push((member, vec![token])),
        }
    }
    all
}

/// Keeps the work in the background.
struct Pace {
    bytes: u64,
    since: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { bytes: 0, since: Instant::now() }
    }

    fn worked(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= TURN {
            thread::sleep((self.since.elapsed() * REST).min(LONGEST_REST));
            (self.bytes, self.since) = (0, Instant::now());
        }
    }
}

/// The tokens in texts, each with where it stands.
#[must_use]
pub fn texts(texts: &[(String, Zeroizing<String>)], set: &NeedleSet) -> Vec<(String, Vec<Fingerprint>)> {
    let mut found: Vec<(String, Vec<Fingerprint>)> = Vec::new();
    for (place, text) in texts {
        let mut tokens = Vec::new();
        set.search(text.as_bytes(), &mut |hit| {
            if !tokens.contains(&hit.fingerprint) {
                tokens.push(hit.fingerprint);
            }
        });
        if !tokens.is_empty() {
            found.push((place.clone(), tokens));
        }
    }
    found
}

/// Whether a text holds a token itself: then it is not told.
#[must_use]
pub fn holds(text: &[u8], set: &NeedleSet) -> bool {
    let mut holds = false;
    set.search(text, &mut |_| holds = true);
    holds
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::token::{fingerprint::Key, scan::Needles, secret::Secret};

    const TOKEN: &str = "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";

    fn set() -> NeedleSet {
        let key = Key::new([7; 32]);
        NeedleSet::new(&key, &[Needles::of(&key, &Secret::new(TOKEN.as_bytes().to_vec())).unwrap()])
    }

    #[test]
    fn tokens_in_files_are_found_and_no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer");
        fs::create_dir_all(layer.join("etc/app")).unwrap();
        fs::write(layer.join("etc/app/config"), format!("token={TOKEN}\n")).unwrap();
        fs::write(layer.join("etc/motd"), "hello\n").unwrap();
        fs::write(root.path().join("outside"), TOKEN).unwrap();
        symlink(root.path().join("outside"), layer.join("etc/link")).unwrap();
        symlink("../..", layer.join("etc/up")).unwrap();
        let found = tree(root.path(), &layer, &set(), |_| true).unwrap();
        let files: Vec<&Path> = found.files.iter().map(|held| held.path.as_path()).collect();
        assert_eq!(files, [Path::new("/etc/app/config")]);
        assert_eq!((found.looked, found.missed), (2, 0));
        assert_eq!(
            tree(root.path(), &layer, &set(), |changed| changed > i64::MAX - 1).unwrap().looked,
            0,
            "none was changed since"
        );
        symlink("layer", root.path().join("diff")).unwrap();
        assert!(tree(root.path(), &root.path().join("diff"), &set(), |_| true).is_err(), "a link instead of a layer");
    }

    /// A tar archive with one file.
    fn tar(name: &str, content: &[u8]) -> Vec<u8> {
        let mut head = [0_u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[100..107].copy_from_slice(b"0000644");
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[156] = b'0';
        head[257..263].copy_from_slice(b"ustar\0");
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut all = [&head[..], content].concat();
        all.resize(all.len().next_multiple_of(512) + 1024, 0);
        all
    }

    /// As one block of gzip (RFC 1952) that is not compressed (RFC 1951, 3.2.4).
    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut all = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
        let length = u16::try_from(content.len()).unwrap();
        all.push(1);
        all.extend(length.to_le_bytes());
        all.extend((!length).to_le_bytes());
        all.extend(content);
        all.extend(crc32fast::hash(content).to_le_bytes());
        all.extend(u32::from(length).to_le_bytes());
        all
    }

    #[test]
    fn archives_in_a_layer_and_layers_that_are_archives_are_unpacked() {
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer");
        fs::create_dir_all(&layer).unwrap();
        let archive = gzip(&tar("home/.netrc", &gzip(format!("password {TOKEN}\n").as_bytes())));
        fs::write(layer.join("backup.tgz"), &archive).unwrap();
        fs::write(layer.join("other.tgz"), gzip(&tar("home/.netrc", b"password none\n"))).unwrap();
        let found = tree(root.path(), &layer, &set(), |_| true).unwrap();
        let [held] = &found.files[..] else { panic!("{found:?}") };
        assert_eq!(held.path, Path::new("/backup.tgz"));
        assert!(held.member.as_deref().unwrap().contains("home/.netrc"), "{held:?}");
        assert!(found.expanded > 1024);
        fs::write(root.path().join("blob"), gzip(&tar("./srv/backup.tgz", &archive))).unwrap();
        let found = packed(root.path(), "blob", &set()).unwrap();
        let [held] = &found.files[..] else { panic!("{found:?}") };
        assert_eq!(held.path, Path::new("/srv/backup.tgz"));
        assert!(held.member.as_deref().unwrap().contains("home/.netrc"), "{held:?}");
        fs::write(root.path().join("zstd"), b"\x28\xb5\x2f\xfd and so on").unwrap();
        assert_eq!(packed(root.path(), "zstd", &set()).unwrap().missed, 1, "not unpacked, and said");
    }

    #[test]
    fn tokens_in_texts_are_told_by_their_place() {
        let all = [("variable A", "A=b".to_owned()), ("variable T", format!("T={TOKEN}"))];
        let all: Vec<_> = all.map(|(place, text)| (place.to_owned(), Zeroizing::new(text))).into();
        let found = texts(&all, &set());
        assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["variable T"]);
    }
}
