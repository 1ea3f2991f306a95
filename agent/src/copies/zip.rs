//! Members of a zip archive, as they come: what begins like a member is unpacked, whatever the directory at the end says of it.
//! So a broken, unfinished or lying archive is looked into as well.

use std::rc::Rc;

use zeroize::Zeroizing;

use super::{
    inflate::{Inflate, Step},
    layer::{Layer, named},
    model::Skipped,
    search::Search,
};

/// What a member begins with (PKWARE's APPNOTE.TXT, 4.3.7), and the length of what always follows.
const MEMBER: &[u8] = b"PK\x03\x04";
const FIXED: usize = 30;

/// Flags and methods of 4.4.4 and 4.4.5.
const ENCRYPTED: u16 = 1;
const SIZE_FOLLOWS: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// An archive.
pub(super) struct Zip<'s> {
    search: &'s Search<'s>,
    name: Rc<str>,
    depth: u8,
    /// What was not understood yet.
    buffer: Zeroizing<Vec<u8>>,
    state: State<'s>,
}

enum State<'s> {
    /// Between members.
    Between,
    Deflated(Box<Inflate<'s>>),
    /// As it is, so many bytes more.
    Stored(Box<Layer<'s>>, u64),
}

impl<'s> Zip<'s> {
    pub(super) fn new(search: &'s Search<'s>, name: Rc<str>, depth: u8) -> Self {
        Self { search, name, depth, buffer: Zeroizing::default(), state: State::Between }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let before = std::mem::take(&mut self.buffer);
        let mut all = Zeroizing::new(Vec::new());
        let bytes = if before.is_empty() {
            bytes
        } else {
            // Grown once: what a vector leaves behind when it grows is not overwritten.
            all.reserve_exact(before.len() + bytes.len());
            all.extend_from_slice(&before);
            all.extend_from_slice(bytes);
            &all
        };
        let used = self.run(bytes);
        self.buffer = Zeroizing::new(bytes.get(used..).unwrap_or_default().to_vec());
    }

    /// Works until more is needed. Returns how much was used: all but what may be the beginning of a member.
    fn run(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.search.stopped().is_some() {
                return bytes.len();
            }
            match &mut self.state {
                State::Between => {
                    at += self.begin(rest);
                    if matches!(self.state, State::Between) {
                        return at;
                    }
                }
                State::Deflated(stream) => match stream.feed(rest) {
                    Step::More => return bytes.len(),
                    Step::Over(taken) => {
                        at += taken;
                        self.end();
                    }
                    // The next member may be whole.
                    Step::Broken => {
                        self.search.miss(Skipped::Broken);
                        self.end();
                    }
                },
                State::Stored(layer, left) => {
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    layer.feed(&rest[..now]);
                    *left -= now as u64;
                    at += now;
                    if *left == 0 {
                        self.end();
                    }
                }
            }
        }
        at
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.end();
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Deflated(mut stream) => stream.finish(),
            State::Stored(mut layer, _) => layer.finish(),
            State::Between => {}
        }
    }

    /// Looks for the next member in what is between two. Returns how much of it is of no further use; what follows belongs to the
    /// member if one has begun.
    fn begin(&mut self, bytes: &[u8]) -> usize {
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(bytes.get(from..).unwrap_or_default(), MEMBER) {
            let at = from + at;
            let Some(head) = bytes.get(at..at + FIXED) else { return at };
            let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
            let name = at + FIXED..at + FIXED + usize::from(short(26));
            let content = name.end + usize::from(short(28));
            if bytes.len() < content {
                return at;
            }
            let size = u32::from_le_bytes([head[18], head[19], head[20], head[21]]);
            if self.member(&bytes[name], short(6), short(8), size) {
                return content;
            }
            from = at + MEMBER.len();
        }
        // A mark may be cut in two.
        bytes.len().saturating_sub(MEMBER.len() - 1).max(from)
    }

    /// Begins with a member, if it can be looked into by itself.
    fn member(&mut self, name: &[u8], flags: u16, method: u16, size: u32) -> bool {
        if name.ends_with(b"/") {
            return false;
        }
        if flags & ENCRYPTED != 0 || !matches!(method, STORED | DEFLATED) {
            self.search.miss(Skipped::Unsupported);
            return false;
        }
        let layer = || Layer::new(self.search, Some(named(self.search, Some(&self.name), name)), self.depth + 1);
        if method == DEFLATED {
            self.state = State::Deflated(Box::new(Inflate::new(layer(), false)));
        } else if flags & SIZE_FOLLOWS != 0 || size == 0 || size == u32::MAX {
            // Its end is not known from here, but it lies there as it is: the scanner of the archive itself sees it.
            return false;
        } else {
            self.state = State::Stored(Box::new(layer()), size.into());
        }
        true
    }
}
