//! Looks into a file that nobody is suspected of: one of a layer of an image, of a volume, of what a container has written.
//! It is unpacked as a candidate is, and what it may cost is told by whoever asks.

use std::{
    io::{self, Read},
    time::Instant,
};

use zeroize::Zeroizing;

use super::{
    layer::Layer,
    search::{Limits, Search},
};
use crate::token::{fingerprint::Fingerprint, scan::NeedleSet, secret::clean_stack};

/// Bytes that are read in one turn.
const BLOCK: usize = 128 << 10;

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Contents {
    /// Tokens, each once for the file itself or for each member of an archive that it lies in; at most
    /// [`super::model::MOST_COPIES`].
    pub tokens: Vec<(Fingerprint, Option<String>)>,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that were unpacked.
    pub expanded: u64,
    /// A token may be there that was not found: a bound was met.
    pub missed: bool,
    /// Some of it is packed in a way that is not unpacked here, or is broken.
    pub unsupported: bool,
}

/// Looks into what comes out of `file`: at most `most` bytes, and at most `expanded` of what is packed in it, until `deadline`.
/// `worked` is told of every piece, in bytes, and may rest.
///
/// # Errors
/// It cannot be read.
pub fn contents(
    file: &mut impl Read,
    set: &NeedleSet,
    (most, expanded): (u64, u64),
    deadline: Instant,
    mut worked: impl FnMut(u64),
) -> io::Result<Contents> {
    let search = Search::new(set, Limits { size: most, expanded, deadline }, 0);
    let mut layer = Layer::file(&search);
    let mut block = Zeroizing::new(vec![0; BLOCK]);
    let (mut bytes, mut before) = (0, 0);
    let mut cut = false;
    loop {
        let count = match file.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        layer.feed(block.get(..count).unwrap_or_default());
        bytes += count as u64;
        worked(count as u64 + search.expanded().saturating_sub(before));
        before = search.expanded();
        if bytes >= most || search.is_late() {
            cut = true;
            break;
        }
    }
    layer.finish();
    drop(layer);
    let expanded = search.expanded();
    let found = search.result();
    clean_stack();
    let mut tokens: Vec<(Fingerprint, Option<String>)> = Vec::new();
    for (copy, _) in found.copies {
        let one = (copy.fingerprint, copy.member);
        if !tokens.contains(&one) {
            tokens.push(one);
        }
    }
    let missed = cut || found.more > 0 || found.unseen.is_some_and(super::model::Skipped::is_gap);
    Ok(Contents { tokens, bytes, expanded, missed, unsupported: found.unseen.is_some_and(|why| !why.is_gap()) })
}
