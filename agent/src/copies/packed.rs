//! Compressed contents: gzip, zlib (the loose objects of git) and zip archives.

use std::rc::Rc;

use super::{
    inflate::{Inflate, Step},
    layer::{DEEPEST, Layer, named},
    model::Skipped,
    search::Search,
    zip::Zip,
};

/// What something packed begins with (RFC 1952; PKWARE's APPNOTE.TXT, 4.3.7).
const GZIP: &[u8] = b"\x1f\x8b\x08";
const ZIP: &[u8] = b"PK\x03\x04";

/// Others that are known and not unpacked: zstd (RFC 8878), xz (its file format, 2.1.1), bzip2, 7z, RAR.
const OTHERS: &[&[u8]] = &[b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"];

/// Something packed, while it is unpacked.
pub(super) struct Packed<'s> {
    search: &'s Search<'s>,
    kind: Kind<'s>,
}

enum Kind<'s> {
    Gzip(Gzip<'s>),
    Zlib(Inflate<'s>),
    Zip(Zip<'s>),
    /// It is over, broken from here on, or enough was seen.
    Over,
}

impl<'s> Packed<'s> {
    /// What begins with these bytes, if it is packed in a way that is unpacked here.
    pub(super) fn of(head: &[u8], search: &'s Search<'s>, outer: Option<&Rc<str>>, depth: u8) -> Option<Self> {
        let known = [GZIP, ZIP].iter().any(|magic| head.starts_with(magic)) || is_zlib(head);
        if !known {
            if OTHERS.iter().any(|magic| head.starts_with(magic)) {
                search.miss(Skipped::Unsupported);
            }
            return None;
        }
        if depth >= DEEPEST {
            search.miss(Skipped::Deep);
            return None;
        }
        let inner = |name: &str| Layer::new(search, Some(named(search, outer, name.as_bytes())), depth + 1);
        let kind = if head.starts_with(GZIP) {
            Kind::Gzip(Gzip { stream: Inflate::new(inner("gzip"), false), state: State::Header, buffer: Vec::new() })
        } else if head.starts_with(ZIP) {
            Kind::Zip(Zip::new(search, named(search, outer, b"zip"), depth))
        } else {
            Kind::Zlib(Inflate::new(inner("zlib"), true))
        };
        Some(Self { search, kind })
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let goes_on = match &mut self.kind {
            Kind::Gzip(gzip) => gzip.feed(bytes, self.search),
            // What comes behind the end belongs to something else.
            Kind::Zlib(stream) => stream.feed(bytes) == Step::More,
            Kind::Zip(zip) => {
                zip.feed(bytes);
                true
            }
            Kind::Over => true,
        };
        if !goes_on {
            self.finish();
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        match std::mem::replace(&mut self.kind, Kind::Over) {
            Kind::Gzip(mut gzip) => gzip.stream.finish(),
            Kind::Zlib(mut stream) => stream.finish(),
            Kind::Zip(mut zip) => zip.finish(),
            Kind::Over => {}
        }
    }
}

/// Two bytes of header (RFC 1950): deflate with a window of 32 KiB, and a check.
fn is_zlib(head: &[u8]) -> bool {
    let [first @ 0x78, second, ..] = head else { return false };
    (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31) && second & 0x20 == 0
}

/// Members of gzip, one after the other (RFC 1952).
struct Gzip<'s> {
    stream: Inflate<'s>,
    state: State,
    /// Of a header or a trailer, as far as it has come.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Content,
    Trailer,
}

/// Longest header that is waited for, in bytes: extra field, name and comment have no use here.
const LONGEST_HEADER: usize = 256 << 10;
const TRAILER: usize = 8;

impl Gzip<'_> {
    /// Takes the next bytes. `false`: nothing more is wanted.
    fn feed(&mut self, mut bytes: &[u8], search: &Search<'_>) -> bool {
        while !bytes.is_empty() {
            match self.state {
                State::Header => {
                    let before = self.buffer.len();
                    self.buffer.extend_from_slice(bytes);
                    if !self.buffer.starts_with(&GZIP[..self.buffer.len().min(GZIP.len())]) {
                        // What gzip itself ignores as well: something else behind the end.
                        return false;
                    }
                    let Some(header) = header(&self.buffer) else { return self.buffer.len() < LONGEST_HEADER };
                    bytes = bytes.get(header.saturating_sub(before)..).unwrap_or_default();
                    self.begin(State::Content);
                }
                State::Content => match self.stream.feed(bytes) {
                    Step::More => return true,
                    Step::Over(taken) => {
                        bytes = bytes.get(taken..).unwrap_or_default();
                        self.begin(State::Trailer);
                    }
                    Step::Broken => {
                        search.miss(Skipped::Broken);
                        return false;
                    }
                },
                State::Trailer => {
                    let (now, later) = bytes.split_at(bytes.len().min(TRAILER - self.buffer.len()));
                    self.buffer.extend_from_slice(now);
                    bytes = later;
                    if self.buffer.len() == TRAILER {
                        self.stream.restart();
                        self.begin(State::Header);
                    }
                }
            }
        }
        true
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.buffer.clear();
    }
}

/// Length of a header, if all of it is there.
fn header(bytes: &[u8]) -> Option<usize> {
    const FIXED: usize = 10;
    const CHECK: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let flags = *bytes.get(3)?;
    let mut length = FIXED;
    if flags & EXTRA != 0 {
        length += 2 + usize::from(u16::from_le_bytes(*bytes.get(length..)?.first_chunk()?));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            length += memchr::memchr(0, bytes.get(length..)?)? + 1;
        }
    }
    if flags & CHECK != 0 {
        length += 2;
    }
    (bytes.len() >= length).then_some(length)
}
