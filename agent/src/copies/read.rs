//! Reads a candidate past the scanner: all of it, or what was added since the last look.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use rustix::{
    fs::{SeekFrom, Stat, seek},
    io::Errno,
};
use zeroize::Zeroizing;

use super::{
    layer::Layer,
    model::{Copy, Skipped},
    search::{Limits, Search},
};
use crate::token::scan::NeedleSet;

/// Bytes that are read in one turn.
const BLOCK: usize = 256 << 10;

/// Smallest file of which it is remembered how far it was looked into: others are looked into as a whole each time.
pub(super) const LARGE: u64 = 1 << 20;

/// Bytes at the beginning and before the old end by which it is told that the rest is as it was.
const SAMPLE: u64 = 4 << 10;

/// What is looked into once more before the old end: a token may lie across it, broken over several lines.
const OVERLAP: u64 = 4 << 10;

/// How often a file that grows is looked into as a whole all the same.
const WHOLE: Duration = Duration::from_secs(600);

/// Largest part of a file in which lines are counted.
const LINES: u64 = 16 << 20;

/// Bytes that are read in one turn for that.
const LINES_BLOCK: usize = 64 << 10;

/// Where a NUL makes a file no text.
const TEXT: usize = 8 << 10;

/// How far a file was looked into.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    size: u64,
    samples: [blake3::Hash; 2],
    /// Which tokens were looked for.
    set: u64,
    /// When it was looked into as a whole.
    whole: Instant,
}

impl Seen {
    /// When it was looked into as a whole.
    pub(super) const fn whole(&self) -> Instant {
        self.whole
    }
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) copies: Vec<Copy>,
    pub(super) more: u64,
    pub(super) unseen: Option<Skipped>,
    /// Only what was added was looked into.
    pub(super) appended: bool,
    /// It begins like a program: `#!` or ELF.
    pub(super) program: bool,
    pub(super) seen: Option<Seen>,
}

/// Looks into an open file; `None` if it is longer than it may be. `set` has the number `number`; `before` is what is known of an earlier look at the same file.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(
    (file, stat): (&File, &Stat),
    (set, number): (&NeedleSet, u64),
    limits: Limits,
    before: Option<&Seen>,
) -> io::Result<Option<Reading>> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let since = match before {
        Some(seen) if is_longer(file, size, seen, number)? => seen.size,
        _ => 0,
    };
    if size - since > limits.size {
        return Ok(None);
    }
    let search = Search::new(set, limits, since);
    let from = since.saturating_sub(OVERLAP);
    let mut layer = if since > 0 { Layer::rest(&search, from) } else { Layer::file(&search) };
    #[allow(clippy::useless_conversion, reason = "the width differs between architectures")]
    let sparse = u64::try_from(i64::from(stat.st_blocks)).unwrap_or(u64::MAX).saturating_mul(512) < size;
    let head = pass(file, from..size, sparse, &mut layer, &search)?;
    layer.finish();
    drop(layer);
    let found = search.result();
    let is_text = since == 0 && !head.contains(&0);
    let mut copies = Vec::with_capacity(found.copies.len());
    for (mut copy, offset) in found.copies {
        if is_text && copy.member.is_none() && offset < LINES {
            copy.line = Some(line(file, offset)?);
        }
        copies.push(copy);
    }
    let whole = before.filter(|_| since > 0).map_or_else(Instant::now, |seen| seen.whole);
    let seen = if size >= LARGE && found.unseen.is_none() {
        samples(file, size)?.map(|samples| Seen { size, samples, set: number, whole })
    } else {
        None
    };
    Ok(Some(Reading {
        copies,
        more: found.more,
        unseen: found.unseen,
        appended: since > 0,
        program: head.starts_with(b"#!") || head.starts_with(b"\x7fELF"),
        seen,
    }))
}

/// Reads what lies in `range` past the layer, until its time is over. Returns the beginning, if it was among that.
fn pass(
    file: &File,
    range: std::ops::Range<u64>,
    sparse: bool,
    layer: &mut Layer<'_>,
    search: &Search<'_>,
) -> io::Result<Zeroizing<Vec<u8>>> {
    // No longer than needed: overwriting it at the end takes longer than reading a small file.
    let length = usize::try_from(range.end - range.start).unwrap_or(BLOCK).min(BLOCK);
    let mut block = Zeroizing::new(vec![0; length]);
    let mut head = Zeroizing::new(Vec::new());
    let mut at = range.start;
    while at < range.end && !search.is_late() {
        if sparse {
            let data = match seek(file, SeekFrom::Data(at)) {
                Ok(data) => data.min(range.end),
                Err(Errno::NXIO) => break,
                // A file system that does not know: all of it counts as data.
                Err(_) => at,
            };
            if data > at {
                layer.skip(data - at);
                at = data;
                continue;
            }
        }
        let wanted = usize::try_from(range.end - at).unwrap_or(length).min(length);
        let read = match file.read_at(&mut block[..wanted], at) {
            // It was cut meanwhile.
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if at == 0 {
            head.extend_from_slice(&block[..read.min(TEXT)]);
        }
        layer.feed(&block[..read]);
        at += read as u64;
    }
    Ok(head)
}

/// Was something added to what was seen, and is the rest as it was, as far as samples tell?
fn is_longer(file: &File, size: u64, seen: &Seen, number: u64) -> io::Result<bool> {
    let fresh = seen.set == number && seen.whole.elapsed() < WHOLE;
    Ok(fresh && size >= seen.size && samples(file, seen.size)? == Some(seen.samples))
}

/// Hashes of the beginning of a file and of what lies before `end`. `None` where it is shorter by now.
fn samples(file: &File, end: u64) -> io::Result<Option<[blake3::Hash; 2]>> {
    let mut bytes = Zeroizing::new(vec![0; SAMPLE as usize]);
    let mut hash = |at: u64| match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Some(blake3::hash(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    };
    Ok(match (hash(0)?, hash(end.saturating_sub(SAMPLE))?) {
        (Some(first), Some(last)) => Some([first, last]),
        _ => None,
    })
}

/// The line that an offset is in, from 1.
fn line(file: &File, offset: u64) -> io::Result<u64> {
    let mut block = Zeroizing::new(vec![0; usize::try_from(offset).unwrap_or(LINES_BLOCK).clamp(1, LINES_BLOCK)]);
    let (mut at, mut lines) = (0, 1);
    while at < offset {
        let wanted = usize::try_from(offset - at).unwrap_or(block.len()).min(block.len());
        match file.read_at(&mut block[..wanted], at)? {
            0 => break,
            read => {
                lines += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
                at += read as u64;
            }
        }
    }
    Ok(lines)
}
