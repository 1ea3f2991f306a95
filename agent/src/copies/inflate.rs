//! Deflate (RFC 1951) into a layer. The library is given a window of ours, which is overwritten at the end: what is unpacked may
//! be a token, and must not be left lying in memory.

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress,
        inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_PARSE_ZLIB_HEADER},
    },
};
use zeroize::Zeroizing;

use super::layer::Layer;

/// How far back a stream may refer, in bytes.
const WINDOW: usize = 32 << 10;

/// One stream.
pub(super) struct Inflate<'s> {
    state: Box<DecompressorOxide>,
    window: Zeroizing<Vec<u8>>,
    at: usize,
    flags: u32,
    layer: Layer<'s>,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All was taken, and more is to come.
    More,
    /// It is over, after so many bytes of what was given.
    Over(usize),
    /// It is broken, or more is not wanted of it.
    Broken,
}

impl<'s> Inflate<'s> {
    /// A stream whose contents go to `layer`, with a header of zlib or without.
    pub(super) fn new(layer: Layer<'s>, zlib: bool) -> Self {
        let flags = TINFL_FLAG_HAS_MORE_INPUT | if zlib { TINFL_FLAG_PARSE_ZLIB_HEADER } else { 0 };
        let window = Zeroizing::new(vec![0; WINDOW]);
        Self { state: Box::default(), window, at: 0, flags, layer }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Step {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let (status, used, written) = decompress(&mut self.state, rest, &mut self.window, self.at, self.flags);
            taken += used;
            let wanted = self.layer.unpacked(self.window.get(self.at..self.at + written).unwrap_or_default());
            self.at = (self.at + written) % WINDOW;
            return match status {
                _ if !wanted => Step::Broken,
                TINFLStatus::HasMoreOutput => continue,
                TINFLStatus::NeedsMoreInput => Step::More,
                TINFLStatus::Done | TINFLStatus::Adler32Mismatch => Step::Over(taken),
                _ => Step::Broken,
            };
        }
    }

    /// Nothing more comes: tells what is left.
    pub(super) fn finish(&mut self) {
        self.layer.finish();
    }

    /// The same layer goes on with another stream.
    pub(super) fn restart(&mut self) {
        *self.state = DecompressorOxide::default();
        self.at = 0;
    }
}
