//! The last wall: whatever a report says, no token leaves in it. Names of files and profiles are others' words, and
//! somebody may have named a file after a token.

use crate::token::{scan::NeedleSet, shape};

/// What stands for a token that was taken out.
const REMOVED: &str = "[token]";

/// The text without the tokens of the stores in any form, and without what is shaped like one.
#[must_use]
pub fn clean(text: String, needles: &NeedleSet) -> String {
    let bytes = text.as_bytes();
    let mut ranges: Vec<_> = shape::find(bytes).map(|found| found.range).collect();
    needles.search(bytes, &mut |hit| {
        let start = usize::try_from(hit.offset).unwrap_or(usize::MAX);
        ranges.push(start..start.saturating_add(hit.len));
    });
    if ranges.is_empty() {
        return text;
    }
    // Of a long token only a part is looked for: what is written in one piece with it goes as well.
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.=+%~".contains(byte);
    for range in &mut ranges {
        range.start -= bytes[..range.start.min(bytes.len())].iter().rev().take_while(|byte| part(byte)).count();
        range.end = range.end.min(bytes.len());
        range.end += bytes[range.end..].iter().take_while(|byte| part(byte)).count();
    }
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        if range.start >= at {
            out.push_str(&String::from_utf8_lossy(&bytes[at..range.start]));
            out.push_str(REMOVED);
        }
        at = at.max(range.end);
    }
    out.push_str(&String::from_utf8_lossy(&bytes[at.min(bytes.len())..]));
    out
}
