//! How much work one content may cause.

/// Largest content, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Largest content that is parsed as YAML, TOML or XML, in bytes: their parsers keep more than the texts.
pub(super) const MAX_MARKUP_BYTES: usize = 2 << 20;
/// Deepest nesting.
pub(super) const MAX_DEPTH: usize = 64;
/// Most values, names not counted.
pub(super) const MAX_NODES: usize = 262_144;
/// Most places that one selector finds.
pub(super) const MAX_HITS: usize = 8192;
/// Most tokens of one content.
pub const MAX_TOKENS: usize = 4096;
/// Longest token, in bytes. What is longer is left out, and said.
pub(super) const MAX_TOKEN_BYTES: usize = 1 << 20;
/// Longest label, in characters.
pub(super) const MAX_LABEL: usize = 160;
/// Most problems told of one content.
pub(super) const MAX_PROBLEMS: usize = 16;
