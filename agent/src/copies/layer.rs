//! Bytes of a file, or of what is packed in it, on their way past the scanner. They come in pieces, are never kept, and may be
//! anything: whatever they are, the look ends within its limits.

use std::rc::Rc;

use zeroize::Zeroizing;

use super::{
    base64::{self, Base64},
    model::Skipped,
    packed::Packed,
    search::Search,
    tar::Tar,
};
use crate::token::scan::Scanner;

/// Bytes by which it is told what a stream is: the head of a member of a tar archive.
pub(super) const HEAD: usize = 512;

/// Longest hole that is read as zeros where something is unpacked around it, in bytes.
const LONGEST_HOLE: u64 = 16 << 20;

/// How deep contents may be packed: a compressed layer in an image in a compressed archive.
pub(super) const DEEPEST: u8 = 4;

/// One stream.
pub(super) struct Layer<'s> {
    search: &'s Search<'s>,
    scanner: Scanner<'s>,
    /// What it is called in findings; `None` for the file itself.
    name: Option<Rc<str>>,
    depth: u8,
    /// Where in the stream the scanner began.
    base: u64,
    /// Bytes that were taken.
    taken: u64,
    /// Overwritten at the end, as all that may hold a token.
    head: Zeroizing<Vec<u8>>,
    inner: Inner<'s>,
}

enum Inner<'s> {
    /// Too little was seen to say.
    Unknown,
    /// Nothing to unpack.
    Plain,
    Packed(Box<Packed<'s>>),
    Tar(Box<Tar<'s>>),
    Base64(Box<Base64<'s>>),
}

impl<'s> Layer<'s> {
    /// The file itself, from its beginning.
    pub(super) fn file(search: &'s Search<'s>) -> Self {
        Self::new(search, None, 0)
    }

    /// The rest of a file that was looked into before: nothing can be unpacked from its middle.
    pub(super) fn rest(search: &'s Search<'s>, from: u64) -> Self {
        Self { base: from, inner: Inner::Plain, ..Self::new(search, None, 0) }
    }

    /// What is packed in another, so deep.
    pub(super) fn new(search: &'s Search<'s>, name: Option<Rc<str>>, depth: u8) -> Self {
        let scanner = Scanner::new(search.set);
        Self {
            search,
            scanner,
            name,
            depth,
            base: 0,
            taken: 0,
            head: Zeroizing::new(Vec::with_capacity(HEAD)),
            inner: Inner::Unknown,
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        match &mut self.inner {
            Inner::Unknown => {
                let (now, later) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(now);
                if self.head.len() == HEAD {
                    self.decide(false);
                    self.unpack(later);
                }
            }
            _ => self.unpack(bytes),
        }
        self.taken += bytes.len() as u64;
        let (search, name, inner, base) = (self.search, &self.name, &self.inner, self.base);
        self.scanner.feed(bytes, &mut |mut hit| {
            let member = inner.member(hit.offset, name.as_ref());
            hit.offset += base;
            search.hit(hit, member);
        });
    }

    /// Takes what was unpacked. `false`: nothing more is wanted.
    pub(super) fn unpacked(&mut self, bytes: &[u8]) -> bool {
        let wanted = self.search.expand(bytes.len());
        if wanted {
            self.feed(bytes);
        }
        wanted
    }

    /// So many bytes are zeros of a hole, which nobody has to read. What is unpacked needs them all the same, as far as that
    /// costs little; beyond, nothing further is unpacked.
    pub(super) fn skip(&mut self, bytes: u64) {
        if matches!(self.inner, Inner::Unknown) {
            self.decide(false);
        }
        if !matches!(self.inner, Inner::Plain) {
            if bytes <= LONGEST_HOLE {
                return self.feed_zeros(bytes);
            }
            self.search.miss(Skipped::Expands);
            self.finish_inner();
        }
        self.scan_rest();
        self.taken += bytes;
        self.base += self.taken;
        self.taken = 0;
        self.inner = Inner::Plain;
    }

    fn feed_zeros(&mut self, bytes: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(ZEROS.len() as u64);
            self.feed(&ZEROS[..now as usize]);
            left -= now;
        }
    }

    fn finish_inner(&mut self) {
        match &mut self.inner {
            Inner::Base64(text) => text.finish(),
            Inner::Packed(packed) => packed.finish(),
            Inner::Tar(tar) => tar.finish(),
            Inner::Unknown | Inner::Plain => {}
        }
    }

    /// The stream is over.
    pub(super) fn finish(&mut self) {
        if matches!(self.inner, Inner::Unknown) {
            self.decide(true);
        }
        self.finish_inner();
        self.scan_rest();
    }

    fn scan_rest(&mut self) {
        let (search, name, inner, base) = (self.search, &self.name, &self.inner, self.base);
        self.scanner.finish(&mut |mut hit| {
            let member = inner.member(hit.offset, name.as_ref());
            hit.offset += base;
            search.hit(hit, member);
        });
    }

    /// What is it? `whole`: there is no more than its head.
    fn decide(&mut self, whole: bool) {
        let head = std::mem::take(&mut self.head);
        self.inner = if let Some(packed) = Packed::of(&head, self.search, self.name.as_ref(), self.depth) {
            Inner::Packed(Box::new(packed))
        } else if Tar::is(&head) {
            Inner::Tar(Box::new(Tar::new(self.search, self.name.clone(), self.depth)))
        } else if self.depth < DEEPEST && Base64::is(&head, whole) {
            let name = named(self.search, self.name.as_ref(), base64::NAME.as_bytes());
            Inner::Base64(Box::new(Base64::new(Self::new(self.search, Some(name), self.depth + 1))))
        } else {
            Inner::Plain
        };
        self.unpack(&head);
    }

    fn unpack(&mut self, bytes: &[u8]) {
        match &mut self.inner {
            Inner::Packed(packed) => packed.feed(bytes),
            Inner::Tar(tar) => tar.feed(bytes),
            Inner::Base64(text) => text.feed(bytes, self.search),
            Inner::Unknown | Inner::Plain => {}
        }
    }
}

impl Inner<'_> {
    /// What to call the place of a hit.
    fn member(&self, offset: u64, name: Option<&Rc<str>>) -> Option<Rc<str>> {
        match self {
            Self::Tar(tar) => tar.member(offset),
            _ => None,
        }
        .or_else(|| name.cloned())
    }
}

/// Longest name of a member that is told, in characters.
const LONGEST_NAME: usize = 256;

/// What to call a member of an archive. A name that holds a token itself is not told.
pub(super) fn named(search: &Search<'_>, outer: Option<&Rc<str>>, name: &[u8]) -> Rc<str> {
    let mut holds = false;
    search.set.search(name, &mut |_| holds = true);
    let name: std::borrow::Cow<'_, str> =
        if holds { "a name that holds a token".into() } else { String::from_utf8_lossy(name) };
    let name: String = name.chars().take(LONGEST_NAME).collect();
    match outer {
        Some(outer) => format!("{outer}: {name}").chars().take(2 * LONGEST_NAME).collect::<String>().into(),
        None => name.into(),
    }
}
