//! Captures: everything that a core consumed, in a file, so that the same findings can be made of it again.
//!
//! A capture is a head ([`header`]) and entries in the order in which the core consumed them: records of the kernel with
//! their secrets taken out ([`record`]), and inputs and answers ([`entry`]). An input comes after the answers that were
//! given while it was worked on. Layout:
//!
//! ```text
//! magic            8 bytes
//! format           u16   [`FORMAT`]
//! head             frame
//! entries          frames
//! frame            length u32, CRC-32 u32, then `length` bytes of which the first is the kind
//! ```
//!
//! Integers are little endian; what is no record is postcard. The layout and what it may hold is described in
//! `docs/design/capture.md`.

pub mod entry;
pub mod excerpt;
pub mod header;
mod owners;
mod place;
mod process;
pub mod reader;
pub mod record;
pub mod recorder;
pub mod replay;
pub mod rules;
pub mod synthetic;
mod writer;

use std::{io, path::PathBuf};

/// First bytes of every capture.
pub const MAGIC: [u8; 8] = *b"thcaptr\n";

/// Version of everything but the records: framing, head, inputs and answers.
pub const FORMAT: u16 = 1;

/// Version of the records themselves. To be raised when the bytes of a record that exists already mean something else;
/// a further kind of record needs nothing.
pub const WIRE: u16 = 1;

/// Most bytes of a frame; the recorder makes none that is larger.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes before the content of a frame.
pub const FRAME_HEAD: usize = 8;

/// What a frame holds.
pub(crate) mod kind {
    /// The head of the file.
    pub(crate) const HEADER: u8 = 1;
    /// A record of process life.
    pub(crate) const LIFE: u8 = 2;
    /// A record of the ring of hits.
    pub(crate) const HITS: u8 = 3;
    /// An input.
    pub(crate) const INPUT: u8 = 4;
    /// An answer to the input that follows.
    pub(crate) const ANSWER: u8 = 5;
    /// Entries that were not written because the disk was too slow, as u64.
    pub(crate) const GAP: u8 = 6;
    /// The recording was ended in order. Nothing follows.
    pub(crate) const END: u8 = 7;
    /// A record of the ring of what carriers do.
    pub(crate) const TRAIL: u8 = 8;
}

/// Why a capture cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be created.
    #[error("create the capture {}: {source}; it must not exist yet, and its directory must", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error("open the capture {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("read the capture {} at byte {offset}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// It is no capture.
    #[error("{} is no capture: it does not begin with the mark of one", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
    },
    /// It was made by an agent with another format.
    #[error("{} has format {found}, this agent reads {FORMAT}; replay it with the agent that recorded it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
    },
    /// Its records are laid out in another way.
    #[error(
        "the records in {} were written by tokenhound {agent} and are laid out otherwise ({what}); replay it with that \
         version, or record it anew",
        path.display()
    )]
    Wire {
        /// The file.
        path: PathBuf,
        /// Version of the agent that recorded it.
        agent: String,
        /// What differs.
        what: String,
    },
    /// Its bytes are not as they were written.
    #[error("the capture {} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the entry begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// It ends within an entry.
    #[error("the capture {} is cut off within the entry at byte {offset}; everything before it was replayed", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Where the entry begins.
        offset: u64,
    },
}

/// Appends one frame to `out`. Where `fill` cannot say all, or it is too long for a frame, nothing is added and the answer
/// is false.
pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD]);
    out.push(kind);
    let whole = fill(out);
    let content = start + FRAME_HEAD;
    let length = out.len() - content;
    if !whole || length > MAX_FRAME {
        out.truncate(start);
        return false;
    }
    let check = crc32fast::hash(&out[content..]);
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    out[start + 4..content].copy_from_slice(&check.to_le_bytes());
    true
}

/// Appends `value` as postcard. False when it does not know its own length, which nothing here does.
pub(crate) fn put(out: &mut Vec<u8>, value: &impl serde::Serialize) -> bool {
    match postcard::to_extend(value, std::mem::take(out)) {
        Ok(filled) => {
            *out = filled;
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
