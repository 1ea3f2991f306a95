//! Findings as text on a terminal or into a pipe.

use std::{
    io::{self, Write},
    sync::Arc,
};

use crate::finding::{model::Finding, text};

/// Writes the text of each finding to `W`.
pub struct TextSink<W> {
    out: W,
    style: text::Style,
}

/// Findings could not be written to the terminal or pipe.
#[derive(Debug, thiserror::Error)]
#[error("write a finding as text: {0}")]
pub struct TextError(#[from] io::Error);

impl<W: Write> TextSink<W> {
    /// A sink that writes to `out`.
    pub fn new(out: W, style: text::Style) -> Self {
        Self { out, style }
    }

    /// Writes one finding in one piece.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn deliver(&mut self, finding: &Arc<Finding>) -> Result<(), TextError> {
        self.out.write_all(text::render(finding, self.style).as_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}
