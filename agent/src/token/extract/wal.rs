//! SQLite's write-ahead log, applied to the bytes of its database: what a reader would see, without opening either.
//!
//! Source: "WAL-mode File Format", <https://www.sqlite.org/walformat.html>, and "Database File Format", section 1.3.

use zeroize::Zeroizing;

use super::{Bytes, limits::MAX_BYTES};

/// First bytes of a database.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of a database's header.
const DATABASE_HEADER: usize = 100;
/// Bytes of a log's header.
const LOG_HEADER: usize = 32;
/// Bytes before each page in a log.
const FRAME_HEADER: usize = 24;
/// First word of a log; the last bit says whether its checksums are of big-endian words.
const LOG_MAGIC: u32 = 0x377f_0682;
/// The only version of the format.
const LOG_VERSION: u32 = 3_007_000;

/// The database as its last transaction left it, made to look as if it had no log. `None` if it is no database.
///
/// A frame counts if its salts are the log's and the checksums up to it are right, and it is part of a transaction
/// that was committed. A log that does not fit the database changes nothing.
pub(super) fn whole(database: &[u8], wal: Option<&[u8]>) -> Option<Bytes> {
    if database.len() < DATABASE_HEADER || !database.starts_with(MAGIC) {
        return None;
    }
    let page_size = match u16::from_be_bytes([database[16], database[17]]) {
        1 => 65536,
        size => usize::from(size),
    };
    let mut out = Zeroizing::new(database.to_vec());
    if let Some(wal) = wal
        && page_size >= 512
    {
        apply(&mut out, wal, page_size);
    }
    // Versions of the format for writing and reading: 2 asks for a log, 1 does not.
    if let Some(versions) = out.get_mut(18..20) {
        versions.fill(1);
    }
    Some(out)
}

struct Log<'a> {
    frames: std::slice::ChunksExact<'a, u8>,
    salts: [u32; 2],
    sums: [u32; 2],
    big_endian: bool,
}

impl<'a> Log<'a> {
    fn open(wal: &'a [u8], page_size: usize) -> Option<Self> {
        let header = wal.get(..LOG_HEADER)?;
        let magic = word(header, 0)?;
        let big_endian = magic & 1 == 1;
        let right =
            magic & !1 == LOG_MAGIC && word(header, 1)? == LOG_VERSION && word(header, 2)? as usize == page_size;
        let sums = checksum([0, 0], &header[..24], big_endian);
        if !right || sums != [word(header, 6)?, word(header, 7)?] {
            return None;
        }
        let frames = wal[LOG_HEADER..].chunks_exact(FRAME_HEADER + page_size);
        Some(Self { frames, salts: [word(header, 4)?, word(header, 5)?], sums, big_endian })
    }

    /// Number, pages of the database if this ends a transaction, and content of the next page.
    fn next(&mut self) -> Option<(usize, usize, &'a [u8])> {
        let frame = self.frames.next()?;
        let (head, page) = frame.split_at(FRAME_HEADER);
        let sums = checksum(self.sums, &head[..8], self.big_endian);
        self.sums = checksum(sums, page, self.big_endian);
        let right = [word(head, 2)?, word(head, 3)?] == self.salts && [word(head, 4)?, word(head, 5)?] == self.sums;
        right.then_some((word(head, 0)? as usize, word(head, 1)? as usize, page))
    }
}

fn apply(out: &mut Bytes, wal: &[u8], page_size: usize) {
    let Some(mut log) = Log::open(wal, page_size) else { return };
    let most = MAX_BYTES / page_size;
    let mut pending = Vec::new();
    while let Some((number, pages, page)) = log.next() {
        if number == 0 || number > most || pages > most {
            return;
        }
        pending.push((number, page));
        if pages == 0 {
            continue;
        }
        resize(out, pages * page_size);
        for (number, page) in pending.drain(..) {
            if let Some(place) = out.get_mut((number - 1) * page_size..number * page_size) {
                place.copy_from_slice(page);
            }
        }
    }
}

/// Makes it so long; what it was is overwritten if it has to move.
fn resize(out: &mut Bytes, length: usize) {
    if length > out.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(length));
        larger.extend_from_slice(out);
        *out = larger;
    }
    out.resize(length, 0);
}

/// The sum over words, two by two. `bytes` has a multiple of eight of them.
fn checksum(mut sums: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    for pair in bytes.chunks_exact(8) {
        let read = |at: usize| {
            let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        sums[0] = sums[0].wrapping_add(read(0)).wrapping_add(sums[1]);
        sums[1] = sums[1].wrapping_add(read(4)).wrapping_add(sums[0]);
    }
    sums
}

/// The word with this number. Headers are big-endian.
fn word(bytes: &[u8], number: usize) -> Option<u32> {
    let bytes = bytes.get(4 * number..4 * number + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
