//! What was learnt, as a policy file.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
};

use super::{Learner, MAX_NAMES, Refused, Seen, VALIDITY, Who};
use crate::{finding::visible, policy::times};

pub(super) fn render(learner: &Learner, host: &str) -> String {
    let mut out = String::new();
    // Nothing that is written to a text can fail.
    let _ = write(&mut out, learner, host);
    out
}

fn write(out: &mut String, learner: &Learner, host: &str) -> fmt::Result {
    writeln!(out, "# Learnt by `tokenhound policy learn` on {}: {} findings.", visible::text(host), learner.findings)?;
    writeln!(
        out,
        "# Review each entry, say in \"reason\" why it is right, and set or remove \"expires\". What repeats within a"
    )?;
    writeln!(out, "# minute is one finding.")?;
    if learner.degraded > 0 {
        writeln!(out, "# Records were lost meanwhile ({} times): something may be missing here.", learner.degraded)?;
    }
    if learner.left_out > 0 {
        writeln!(out, "# {} findings of yet other readers found no room and were left out.", learner.left_out)?;
    }
    if !learner.seen.is_empty() {
        writeln!(out, "exceptions:")?;
    }
    for (who, seen) in &learner.seen {
        exception(out, who, seen)?;
    }
    if !learner.refused.is_empty() {
        writeln!(out, "\n# Refused:")?;
    }
    for ((reader, refusal), Refused { count, stores }) in &learner.refused {
        writeln!(out, "# - {reader} at {} ({count}): {refusal}", some(stores, "no store"))?;
    }
    Ok(())
}

fn exception(out: &mut String, who: &Who, seen: &Seen) -> fmt::Result {
    let Seen { count, first, last, severity, stores, users, units, packages, parents, .. } = seen;
    let findings = if *count == 1 { "finding" } else { "findings" };
    let (from, to) = (times::shown(*first), times::shown(*last));
    writeln!(
        out,
        "\n  # {count} {findings}, {from} to {to}, up to {}; started by {}",
        severity.name(),
        some(parents, "?")
    )?;
    let path = who.script.as_ref().or(who.reader.as_ref()).map(|path| path.display().to_string()).unwrap_or_default();
    writeln!(out, "  - reason: {}", quoted(&format!("learnt and not reviewed yet: {path}")))?;
    line(out, "store", stores)?;
    for (key, path) in [("reader", &who.reader), ("script", &who.script), ("ancestor", &who.ancestor)] {
        if let Some(path) = path.as_deref().and_then(|path| path.to_str()) {
            writeln!(out, "    {key}: {}", quoted(path))?;
        }
    }
    // Only what was so each time.
    if let (Some(package), 1) = (packages.first().filter(|name| !name.is_empty()), packages.len()) {
        writeln!(out, "    package: {}", quoted(package))?;
    }
    line(out, "user", users)?;
    if let (Some(unit), 1) = (units.first().filter(|unit| unit.ends_with(".service") && plain(unit)), units.len()) {
        writeln!(out, "    when: {}", quoted(&format!("unit == '{unit}'")))?;
    }
    let end = times::shown(*last + VALIDITY);
    writeln!(out, "    expires: {}", end.get(..10).unwrap_or(&end))
}

/// May it stand between quotes in a condition?
fn plain(unit: &str) -> bool {
    unit.chars().all(|c| c.is_ascii_alphanumeric() || ".-_@:".contains(c))
}

fn line(out: &mut String, key: &str, values: &BTreeSet<String>) -> fmt::Result {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    match values.as_slice() {
        [one] => writeln!(out, "    {key}: {one}"),
        many => writeln!(out, "    {key}: [{}]", many.join(", ")),
    }
}

/// A few names for people.
fn some(names: &BTreeSet<String>, none: &str) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).collect();
    match (shown.is_empty(), names.len().saturating_sub(MAX_NAMES)) {
        (true, _) => none.to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// As YAML text. In single quotes only the quote itself must be doubled; control characters are made visible.
fn quoted(text: &str) -> String {
    let text = visible::text(text);
    let safe = text.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c))
        && !["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if safe { text } else { format!("'{}'", text.replace('\'', "''")) }
}
