//! What is left of a token in this process's memory once its fingerprint and needles are taken.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{
    extract::{Content, extract},
    fingerprint::{KEY_BYTES, Key},
    read::read,
    scan::Needles,
    secret::Secret,
};
use crate::catalogue::Catalogue;

/// A part of a token this long must not be left.
const PART: usize = 12;

/// In the memory of this test the token is only in this form.
const MASK: u8 = 0x80;

/// A random token that is never written out but for the file.
struct Masked(Vec<u8>);

impl Masked {
    fn new(length: usize) -> Self {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = vec![0; length];
        File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        Self(random.iter().map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()] ^ MASK).collect())
    }

    /// Writes a file in which the token stands in place of `{}`.
    fn put(&self, path: &Path, text: &str) {
        let (before, after) = text.split_once("{}").unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(before.as_bytes()).unwrap();
        for byte in &self.0 {
            file.write_all(&[byte ^ MASK]).unwrap();
        }
        file.write_all(after.as_bytes()).unwrap();
    }

    /// Where in memory a part of it is, with the name of the mapping.
    fn left(&self) -> Option<(String, u64)> {
        let parts: HashSet<&[u8]> = self.0.windows(PART).collect();
        let begins: HashSet<[u8; 2]> = self.0.windows(2).map(|two| [two[0] ^ MASK, two[1] ^ MASK]).collect();
        let mut begin = vec![false; 1 << 16];
        begins.iter().for_each(|two| begin[usize::from(u16::from_le_bytes(*two))] = true);
        let mut memory = File::open("/proc/self/mem").unwrap();
        let mut piece = vec![0; 1 << 20];
        for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let mut words = line.split_whitespace();
            let (range, rights, name) = (words.next().unwrap(), words.next().unwrap(), words.nth(3).unwrap_or("heap"));
            // What cannot be written was not.
            if !rights.starts_with("rw") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let (mut from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            while from + (PART as u64) < to {
                let length = piece.len().min((to - from) as usize);
                memory.seek(SeekFrom::Start(from)).unwrap();
                if memory.read_exact(&mut piece[..length]).is_err() {
                    break;
                }
                for (at, window) in piece[..length].windows(PART).enumerate() {
                    if begin[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
                        let masked: Vec<u8> = window.iter().map(|byte| byte ^ MASK).collect();
                        if parts.contains(masked.as_slice()) {
                            return Some((name.to_owned(), from + at as u64));
                        }
                    }
                }
                // Nothing that is searched may be taken for what is found.
                piece[..length].fill(0);
                from += (length - PART.min(length - 1)) as u64;
            }
        }
        None
    }
}

/// As the agent does it.
#[inline(never)]
fn take(catalogue: &Catalogue, store: &str, path: &Path) -> usize {
    let key = Key::new([5; KEY_BYTES]);
    let file = read(path).unwrap();
    let wal = file.wal.as_ref().map(Secret::expose);
    let content = Content { path, bytes: file.bytes.expose(), wal, written: file.written };
    let extraction = extract(catalogue.store(store).unwrap(), &content);
    drop(file);
    let needles = extraction.tokens.iter().filter_map(|token| Needles::of(&key, &token.secret).ok()).count();
    assert_eq!(needles, extraction.known(&key, store, path).len());
    needles
}

#[test]
fn nothing_is_left_of_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::embedded().unwrap();
    let mut left = Vec::new();
    for (store, name, text) in [
        ("git-credentials", ".git-credentials", "https://me:ghp_{}@github.com\n"),
        ("aws-credentials", ".aws/credentials", "[default]\naws_secret_access_key = {}\n"),
        ("netrc", ".netrc", "machine git.invalid login me password {}\n"),
        ("vault-token", ".vault-token", "hvs.{}"),
        ("npm-npmrc", ".npmrc", "//registry.invalid/:_authToken=npm_{}\n"),
        ("gh-hosts", ".config/gh/hosts.yml", "github.com:\n    user: me\n    oauth_token: gho_{}\n"),
        ("docker-config", ".docker/config.json", "{\"auths\":{\"r.invalid\":{\"identitytoken\":\"{}\"}}}"),
        ("cargo-credentials", ".cargo/credentials.toml", "[registry]\ntoken = \"{}\"\n"),
    ] {
        let token = Masked::new(40);
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        token.put(&path, text);
        let taken = take(&catalogue, store, &path);
        assert_eq!(taken, 1, "{store}");
        left.extend(token.left().map(|(mapping, _)| format!("{store}: {mapping}")));
    }
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn what_is_left_would_be_seen() {
    let token = Masked::new(40);
    assert_eq!(token.left(), None);
    let bytes: Vec<u8> = token.0.iter().map(|byte| byte ^ MASK).collect();
    assert!(token.left().is_some());
    drop(zeroize::Zeroizing::new(bytes));
    assert_eq!(token.left(), None);
}
