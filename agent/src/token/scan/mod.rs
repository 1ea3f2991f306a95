//! Finds known tokens inside arbitrary bytes, without having the tokens.
//!
//! While a token is at hand ([`Needles::of`]), every form a copy can have is written out once and only keyed hashes of
//! it are kept ([`needle`]). A [`NeedleSet`] of many tokens' needles is then looked for in a stream ([`Scanner`]): at
//! every position a bit table is asked about the eight bytes there; what passes is held against 32-bit tags, and what
//! passes those is hashed in its whole length. So a hit is exact. What this keeps of a token, and what it gives away to
//! whom, is in `docs/design/tokens.md`.

mod broken;
mod choice;
mod form;
mod needle;
mod plain;
mod scanner;
mod sealed;
mod set;
#[cfg(test)]
mod tests;

pub use form::Encoding;
pub use needle::Needles;
pub use plain::Unsearchable;
pub use scanner::{Hit, Scanner};
pub use sealed::{NONCE, Unsealable};
pub use set::{MOST_TOKENS, NeedleSet};
