//! Members of a tar archive (POSIX.1-2017, pax, and GNU tar's long names): whose bytes pass by, and which of them are packed
//! themselves.

use std::{collections::VecDeque, ops::Range, rc::Rc};

use zeroize::Zeroizing;

use super::{
    layer::{HEAD, named},
    packed::Packed,
    search::Search,
};

/// How far behind the scanner may tell of a hit, in bytes: of a member that ended before, nobody asks any more.
const BEHIND: u64 = 256 << 10;

/// Longest name that another member holds, in bytes.
const LONGEST_NAME: usize = 4096;

/// An archive.
pub(super) struct Tar<'s> {
    search: &'s Search<'s>,
    outer: Option<Rc<str>>,
    depth: u8,
    /// Where the next byte lies.
    at: u64,
    header: Zeroizing<Vec<u8>>,
    /// Members that passed by lately.
    members: VecDeque<(Range<u64>, Rc<str>)>,
    body: Option<Body<'s>>,
    /// What the next member is really called.
    name: Option<Vec<u8>>,
}

/// The content of a member.
struct Body<'s> {
    /// Bytes to come of the content, and of what fills it up to a multiple of 512.
    content: u64,
    filler: u64,
    what: What<'s>,
}

enum What<'s> {
    /// It passes by.
    Plain,
    /// Its first bytes, until it is known whether it is packed.
    Begins(Vec<u8>, Rc<str>),
    Packed(Packed<'s>),
    /// It is the name of the next: by itself (GNU), or in records (pax).
    Name(Vec<u8>, u8),
}

/// Bytes by which it is told whether a member is packed.
const BEGINNING: usize = 4;

impl<'s> Tar<'s> {
    /// Is this the head of a member?
    pub(super) fn is(head: &[u8]) -> bool {
        head.first_chunk().is_some_and(|head| head[0] != 0 && checked(head))
    }

    pub(super) fn new(search: &'s Search<'s>, outer: Option<Rc<str>>, depth: u8) -> Self {
        let outer = outer.or_else(|| Some("tar".into()));
        Self {
            search,
            outer,
            depth,
            at: 0,
            header: Zeroizing::new(Vec::with_capacity(HEAD)),
            members: VecDeque::new(),
            body: None,
            name: None,
        }
    }

    /// The member that a place lies in.
    pub(super) fn member(&self, offset: u64) -> Option<Rc<str>> {
        // The last that begins before it.
        let before = self.members.partition_point(|(range, _)| range.start <= offset);
        let (range, name) = self.members.get(before.checked_sub(1)?)?;
        range.contains(&offset).then(|| Rc::clone(name))
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let before = bytes.len();
            if let Some(body) = &mut self.body {
                bytes = body.feed(bytes, self.search, self.depth);
                if body.content == 0 && body.filler == 0 {
                    self.end();
                }
            } else {
                let (now, later) = bytes.split_at(bytes.len().min(HEAD - self.header.len()));
                self.header.extend_from_slice(now);
                bytes = later;
            }
            self.at += (before - bytes.len()) as u64;
            if self.header.len() == HEAD {
                let header = std::mem::replace(&mut self.header, Zeroizing::new(Vec::with_capacity(HEAD)));
                self.begin(&header);
            }
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.end();
    }

    fn end(&mut self) {
        match self.body.take().map(|body| body.what) {
            Some(What::Packed(mut packed)) => packed.finish(),
            Some(What::Name(bytes, kind)) => {
                self.name = if kind == b'L' { Some(until_nul(&bytes)) } else { pax(&bytes) }
            }
            Some(What::Plain | What::Begins(..)) | None => {}
        }
    }

    /// A head is complete. One that is none is passed over: the next block may be one.
    fn begin(&mut self, header: &[u8]) {
        let Some(head) = header.first_chunk::<HEAD>().filter(|head| checked(head)) else { return };
        let (content, kind) = (size(&head[124..136]), head[156]);
        let filler = content.next_multiple_of(HEAD as u64) - content;
        let what = match kind {
            b'L' | b'x' => What::Name(Vec::new(), kind),
            0 | b'0' | b'7' => {
                let name = self.name.take().unwrap_or_else(|| plain_name(head));
                let name = named(self.search, self.outer.as_ref(), &name);
                // Its head is part of it: the name may hold a token as well.
                self.note(self.at - HEAD as u64..self.at.saturating_add(content), Rc::clone(&name));
                What::Begins(Vec::new(), name)
            }
            _ => What::Plain,
        };
        if content > 0 {
            self.body = Some(Body { content, filler, what });
        }
    }

    fn note(&mut self, range: Range<u64>, name: Rc<str>) {
        while self.members.front().is_some_and(|(old, _)| old.end + BEHIND < self.at) {
            self.members.pop_front();
        }
        self.members.push_back((range, name));
    }
}

impl<'s> Body<'s> {
    /// Takes what belongs to it; returns the rest.
    fn feed<'b>(&mut self, bytes: &'b [u8], search: &'s Search<'s>, depth: u8) -> &'b [u8] {
        if self.content == 0 {
            let (now, later) = split(bytes, self.filler);
            self.filler -= now.len() as u64;
            return later;
        }
        let (mut now, later) = split(bytes, self.content);
        self.content -= now.len() as u64;
        if let What::Begins(begins, name) = &mut self.what {
            let (first, rest) = now.split_at(now.len().min(BEGINNING - begins.len()));
            begins.extend_from_slice(first);
            now = rest;
            if begins.len() == BEGINNING {
                let packed = Packed::of(begins, search, Some(name), depth);
                let begins = std::mem::take(begins);
                self.what = packed.map_or(What::Plain, |mut packed| {
                    packed.feed(&begins);
                    What::Packed(packed)
                });
            }
        }
        match &mut self.what {
            What::Packed(packed) => packed.feed(now),
            What::Name(name, _) => {
                let room = LONGEST_NAME.saturating_sub(name.len());
                name.extend_from_slice(&now[..now.len().min(room)]);
            }
            What::Plain | What::Begins(..) => {}
        }
        later
    }
}

fn split(bytes: &[u8], at: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len()))
}

/// Does its sum hold? Its own field counts as blanks.
fn checked(head: &[u8; HEAD]) -> bool {
    let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = head[148..156].iter().map(|byte| u64::from(*byte)).sum();
    octal(&head[148..156]).is_some_and(|stated| stated != 0 && stated == sum - own + 8 * u64::from(b' '))
}

/// A number as text, or in binary where it is large (GNU tar). What is neither is 0.
fn size(field: &[u8]) -> u64 {
    match field.split_first() {
        Some((0x80, rest)) => rest.iter().rev().take(7).rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        _ => octal(field).unwrap_or(0),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(|letter| letter == ' ' || letter == '\0'), 8).ok()
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

/// The name that the head itself gives.
fn plain_name(head: &[u8; HEAD]) -> Vec<u8> {
    let (name, prefix) = (until_nul(&head[..100]), until_nul(&head[345..500]));
    if prefix.is_empty() || &head[257..262] != b"ustar" || head[263] == b' ' {
        return name;
    }
    [&prefix[..], b"/", &name].concat()
}

/// The name in a pax header: records of length, blank, key, `=`, value, line end.
fn pax(mut records: &[u8]) -> Option<Vec<u8>> {
    let mut name = None;
    while let Some(blank) = records.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..length)?;
        if let Some(value) = record.strip_prefix(b"path=") {
            name = Some(value.trim_ascii_end().to_vec());
        }
        records = records.get(length.max(1)..)?;
    }
    name
}
