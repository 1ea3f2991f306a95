//! Looks into files that are no stores, for tokens of the stores by fingerprint and for others by their documented shape.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Mutex,
};

use ignore::DirEntry;
use zeroize::Zeroizing;

use super::{
    model::{Counts, MOST_FINDINGS, Skipped},
    progress::Progress,
    scope::Scope,
    walk::{self, Visitor},
};
use crate::token::{
    fingerprint::{Fingerprint, Key},
    model::Facts,
    scan::{Encoding, NeedleSet, Scanner},
    shape,
};

/// Bytes that are read in one turn.
const BLOCK: usize = 256 << 10;
/// Longest token by shape: a private key of 16,384 bits in PEM.
const LONGEST: usize = 16 << 10;
/// What is kept before a place, to tell whether a word begins there.
const CONTEXT: usize = 64;
/// Most bytes of a text that are looked at.
const MOST_OF_TEXT: u64 = 1 << 30;
/// Most bytes of a binary file that are.
const MOST_OF_BINARY: u64 = 16 << 20;
/// Where a NUL makes a file binary.
const LOOKED_AT_FOR_NUL: usize = 8 << 10;
/// Most different tokens told of one file. The others are counted.
const MOST_OF_FILE: usize = 64;

/// A token outside of stores.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Where.
    pub(super) path: PathBuf,
    /// Which.
    pub(super) fingerprint: Fingerprint,
    /// How often in that file.
    pub(super) times: u64,
    /// Line of the first, from 1.
    pub(super) line: u64,
    /// How it is written there.
    pub(super) encoding: Encoding,
    /// What its shape says, where no store has it.
    pub(super) shape: Option<OfShape>,
    /// The file begins with it.
    pub(super) at_start: bool,
}

/// What the shape of a token says.
#[derive(Clone, Debug)]
pub(super) struct OfShape {
    pub(super) what: &'static str,
    pub(super) issuer: &'static str,
    pub(super) revoke: &'static str,
    pub(super) checked: bool,
    pub(super) facts: Facts,
}

/// What to look for, and what not to look into.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) scope: &'a Scope,
    pub(super) key: &'a Key,
    pub(super) needles: &'a NeedleSet,
    /// Files whose tokens are known.
    pub(super) stores: &'a HashSet<PathBuf>,
    /// Files that must not be read.
    pub(super) decoys: &'a HashSet<PathBuf>,
}

/// Looks into every file that the scope searches.
pub(super) fn search(search: Search<'_>, counts: &mut Counts, progress: &Progress) -> Vec<Copy> {
    let results = Mutex::new((Vec::new(), Counts::default()));
    // The walk counted what it left out when names were looked at.
    let walked = Mutex::new(Counts::default());
    walk::walk(search.scope, progress, &walked, || Content {
        search,
        buffer: Zeroizing::new(vec![0; CONTEXT + LONGEST + BLOCK]),
        scanner: Scanner::new(search.needles),
        counts: Counts::default(),
        found: Vec::new(),
        results: &results,
    });
    let (found, seen) = results.into_inner().unwrap_or_default();
    counts.add(&seen);
    found
}

struct Content<'a> {
    search: Search<'a>,
    /// Overwritten at the end: what is read may be secret.
    buffer: Zeroizing<Vec<u8>>,
    scanner: Scanner<'a>,
    counts: Counts,
    found: Vec<Copy>,
    results: &'a Mutex<(Vec<Copy>, Counts)>,
}

impl Visitor for Content<'_> {
    fn file(&mut self, path: &Path, _entry: &DirEntry, link: bool) {
        if link || self.search.stores.contains(path) {
            return;
        }
        if self.search.decoys.contains(path) {
            return self.counts.skip(Skipped::Decoy);
        }
        match self.look(path) {
            Ok(()) => {}
            Err(error) => self.counts.skip(Skipped::from(&error)),
        }
    }

    fn skipped(&mut self, _why: Skipped) {}
}

/// What was met in one file.
#[derive(Default)]
struct Met {
    known: HashMap<Fingerprint, Vec<(Range<u64>, Encoding)>>,
    shapes: Vec<(Range<u64>, Fingerprint, OfShape)>,
    more: u64,
}

impl Content<'_> {
    fn look(&mut self, path: &Path) -> io::Result<()> {
        let mut file = self.search.scope.view.file(path, false)?;
        self.counts.files += 1;
        let met = self.read(&mut file);
        if met.is_err() {
            // What it has of this file must not be taken for the beginning of the next.
            self.scanner.finish(&mut |_| {});
        }
        let met = met?;
        for _ in 0..met.more {
            self.counts.skip(Skipped::TooMany);
        }
        if met.known.is_empty() && met.shapes.is_empty() {
            return Ok(());
        }
        for mut copy in copies(path, met) {
            // Where it stands was counted in bytes.
            copy.line = line(&mut file, copy.line)?;
            if self.found.len() < MOST_FINDINGS {
                self.found.push(copy);
            } else {
                self.counts.skip(Skipped::TooMany);
            }
        }
        Ok(())
    }

    /// Reads a file through the buffer: context, then what no token by shape can be told of yet, then new bytes.
    fn read(&mut self, file: &mut File) -> io::Result<Met> {
        let mut met = Met::default();
        let (mut kept, mut base, mut total) = (0, 0_u64, 0_u64);
        let mut binary = false;
        loop {
            let read = fill(file, &mut self.buffer[kept..])?;
            let end = kept + read < self.buffer.len();
            let filled = kept + read;
            if total == 0 {
                let start = &self.buffer[..filled.min(LOOKED_AT_FOR_NUL)];
                binary = start.contains(&0);
                if binary {
                    self.counts.skip(Skipped::Binary);
                }
            }
            total += read as u64;
            self.counts.bytes += read as u64;
            self.known(kept, filled, end && base == 0, &mut met);
            if !binary {
                self.shapes(filled, base, end, &mut met);
            }
            let most = if binary { MOST_OF_BINARY } else { MOST_OF_TEXT };
            if end || (binary && self.search.needles.is_empty()) {
                break;
            }
            if total >= most {
                self.counts.skip(Skipped::TooLarge);
                break;
            }
            let gone = filled - LONGEST - CONTEXT;
            self.buffer.copy_within(gone..filled, 0);
            kept = filled - gone;
            base += gone as u64;
        }
        self.scanner.finish(&mut |hit| met.known(hit.fingerprint, hit.offset, hit.len, hit.encoding));
        Ok(met)
    }

    /// Tokens of stores in what is new.
    fn known(&mut self, from: usize, to: usize, whole: bool, met: &mut Met) {
        let on_hit = &mut |hit: crate::token::scan::Hit| met.known(hit.fingerprint, hit.offset, hit.len, hit.encoding);
        if whole {
            // Most files: nothing has to be kept for later.
            self.search.needles.search(&self.buffer[..to], on_hit);
        } else {
            self.scanner.feed(&self.buffer[from..to], on_hit);
        }
    }

    /// Tokens by shape that begin where no earlier turn has looked, and that end for certain.
    fn shapes(&self, filled: usize, base: u64, end: bool, met: &mut Met) {
        let first = if base == 0 { 0 } else { CONTEXT };
        let last = if end { filled } else { filled - LONGEST };
        let bytes = &self.buffer[..filled];
        for found in shape::find(bytes).filter(|found| (first..last).contains(&found.range.start)) {
            if met.shapes.len() >= MOST_OF_FILE {
                met.more += 1;
                continue;
            }
            let text = &bytes[found.range.clone()];
            let range = base + found.range.start as u64..base + found.range.end as u64;
            let of_shape = OfShape {
                what: found.shape.what,
                issuer: found.shape.issuer.name,
                revoke: found.shape.issuer.revoke,
                checked: found.checked,
                facts: found.facts(bytes),
            };
            met.shapes.push((range, self.search.key.fingerprint_of(text), of_shape));
        }
    }
}

impl Met {
    fn known(&mut self, fingerprint: Fingerprint, offset: u64, len: usize, encoding: Encoding) {
        if self.known.len() >= MOST_OF_FILE && !self.known.contains_key(&fingerprint) {
            self.more += 1;
            return;
        }
        let places = self.known.entry(fingerprint).or_default();
        if places.len() < MOST_OF_FILE {
            places.push((offset..offset + len as u64, encoding));
        }
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        if let Ok(mut results) = self.results.lock() {
            results.1.add(&self.counts);
            let room = MOST_FINDINGS.saturating_sub(results.0.len());
            for _ in room..self.found.len() {
                results.1.skip(Skipped::TooMany);
            }
            self.found.truncate(room);
            results.0.append(&mut self.found);
        }
    }
}

/// One entry a token. `line` holds the offset for now.
fn copies(path: &Path, met: Met) -> Vec<Copy> {
    let overlaps = |range: &Range<u64>| {
        let mut places = met.known.values().flatten();
        places.any(|(known, _)| known.start < range.end && range.start < known.end)
    };
    let mut by_shape: BTreeMap<Fingerprint, Copy> = BTreeMap::new();
    for (range, fingerprint, of_shape) in &met.shapes {
        if met.known.contains_key(fingerprint) || overlaps(range) {
            continue;
        }
        let new = || Copy {
            path: path.to_owned(),
            fingerprint: *fingerprint,
            times: 0,
            line: range.start,
            encoding: Encoding::Raw,
            shape: Some(of_shape.clone()),
            at_start: range.start == 0,
        };
        by_shape.entry(*fingerprint).or_insert_with(new).times += 1;
    }
    let known = met.known.iter().filter_map(|(fingerprint, places)| {
        let (range, encoding) = places.iter().min_by_key(|(range, _)| range.start)?;
        Some(Copy {
            path: path.to_owned(),
            fingerprint: *fingerprint,
            times: places.len() as u64,
            line: range.start,
            encoding: *encoding,
            shape: None,
            at_start: range.start == 0,
        })
    });
    known.chain(by_shape.into_values()).collect()
}

/// The line that an offset is in, from 1.
fn line(file: &mut File, offset: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut block = Zeroizing::new(vec![0; 64 << 10]);
    let mut before = file.take(offset);
    let mut lines = 1;
    loop {
        match before.read(&mut block)? {
            0 => return Ok(lines),
            read => lines += block[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while !buffer.is_empty() {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                buffer = &mut buffer[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
