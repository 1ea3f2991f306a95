//! The catalogue for people: `catalogue list`, `show` and `check`. Text only, nothing is printed here.

use std::{
    fmt::{Display, Write as _},
    path::Path,
};

use super::{
    Catalogue,
    model::{Format, NotExtracted, Reader, ReaderMatch, Selector, Store, TimeField},
    pattern::Pattern,
};
use crate::{
    token::selector::Expression,
    yaml::{Outcome, Problems},
};

/// No store has this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no store \"{id}\" in the catalogue{}; `tokenhound catalogue list` shows all",
    .near.as_ref().map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default())]
pub struct UnknownStore {
    /// What was asked for.
    pub id: String,
    /// The nearest id there is.
    pub near: Option<String>,
}

/// A table of every entry.
#[must_use]
pub fn list(catalogue: &Catalogue) -> String {
    let row = |store: &Store| {
        let place = match store.watched_paths().next() {
            Some(pattern) => pattern.text().to_owned(),
            None => format!("({}, not watched)", store.role.name()),
        };
        [store.id.clone(), store.tier.to_string(), store.family.clone(), store.tool.clone(), place]
    };
    let heading = ["STORE", "TIER", "FAMILY", "TOOL", "FIRST PATH"].map(str::to_owned);
    let mut rows: Vec<_> = catalogue.stores().iter().map(row).collect();
    rows.sort();
    rows.insert(0, heading);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(44);
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = shorten(cell, *width);
            let _ = write!(line, "{cell:width$}  ");
        }
        line.push_str(&row[4]);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let watched = catalogue.stores().iter().filter(|store| store.watched()).count();
    let _ = write!(out, "\n{} entries, {watched} of them stores that are watched for reads.", catalogue.stores().len());
    out
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Everything the catalogue says of one store.
///
/// # Errors
/// There is no such store.
pub fn show(catalogue: &Catalogue, id: &str) -> Result<String, UnknownStore> {
    let Some(store) = catalogue.store(id) else {
        return Err(UnknownStore { id: id.to_owned(), near: catalogue.suggest(id).map(str::to_owned) });
    };
    let mut page = Page::default();
    head(&mut page, store);
    places(&mut page, store);
    content(&mut page, store);
    page.section("Expected readers");
    for reader in &store.readers {
        page.line(&reader_text(reader));
    }
    if store.readers.is_empty() {
        page.line("none: every read is unexpected");
    }
    life(&mut page, store);
    Ok(page.out.trim_end().to_owned())
}

#[derive(Default)]
struct Page {
    out: String,
}

impl Page {
    fn section(&mut self, title: &str) {
        let _ = write!(self.out, "\n{title}\n");
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "  {text}");
    }

    fn fact(&mut self, name: &str, value: impl Display) {
        let value = value.to_string();
        if !value.is_empty() {
            let _ = writeln!(self.out, "  {name:<16}{value}");
        }
    }

    fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.fact(name, value);
        }
    }

    fn patterns(&mut self, name: &str, patterns: &[Pattern]) {
        for (i, pattern) in patterns.iter().enumerate() {
            let _ = writeln!(self.out, "  {:<16}{}", if i == 0 { name } else { "" }, pattern.text());
        }
    }

    fn list(&mut self, name: &str, values: &[String]) {
        self.fact(name, values.join(", "));
    }
}

fn head(page: &mut Page, store: &Store) {
    let _ = writeln!(page.out, "{}: {} ({})", store.id, store.tool, store.vendor);
    let kinds: Vec<_> = store.kind.iter().map(|kind| kind.name()).collect();
    page.fact("role", store.role.name());
    page.fact("tier", store.tier);
    page.fact("family", &store.family);
    page.fact("holds", format!("{} ({})", store.holds.name(), kinds.join(", ")));
    page.fact("reader scope", store.reader_scope.name());
    page.maybe("split from", store.split_from.as_ref());
}

fn places(page: &mut Page, store: &Store) {
    page.section("Where it is");
    page.patterns("watched", &store.paths);
    page.patterns("beside it", &store.sidecar_paths);
    page.patterns("seldom secret", &store.perhaps_paths);
    page.patterns("except", &store.exclude_paths);
    page.patterns("not watched", &store.unwatched_paths);
    page.patterns("locks", &store.lock_paths);
    page.patterns("sockets", &store.socket_paths);
    page.list("elsewhere", &store.non_file_locations);
    let addresses: Vec<_> = store.addresses.iter().map(ToString::to_string).collect();
    page.list("addresses", &addresses);
    page.list("printed by", &store.prints);
    for variable in &store.path_env {
        page.fact("moved by", format!("${} -> {}", variable.name, variable.templates.join(", ")));
    }
    for (name, note) in &store.path_env_notes {
        page.fact("note", format!("{name}: {note}"));
    }
    page.list("shares with", &store.shares_path_with);
}

fn content(page: &mut Page, store: &Store) {
    page.section("What is in it");
    page.fact("format", store.format.name());
    page.maybe("not extracted", store.not_extracted.map(NotExtracted::why));
    for field in &store.secret_fields {
        page.fact("secret", selector_text(field, store.format));
    }
    let time = |page: &mut Page, name, field: &TimeField| {
        let of = if field.of.is_empty() { String::new() } else { format!(", of {}", field.of.join(" and ")) };
        page.fact(name, format!("{} as {}{of}", selector_text(&field.field, store.format), field.encoding.name()));
    };
    store.expiry_fields.iter().for_each(|field| time(page, "expires", field));
    store.issued_fields.iter().for_each(|field| time(page, "issued", field));
    let texts = |list: &[Expression]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    page.list("belongs if", &texts(&store.content_regex));
    page.list("no secret if", &texts(&store.placeholder_regex));
    store.delegates.iter().for_each(|field| page.fact("elsewhere if", selector_text(field, store.format)));
    store.points_to.iter().for_each(|field| page.fact("in file named by", selector_text(field, store.format)));
    page.list("in variables", &store.env_vars);
    page.list("note", &store.env_vars_notes);
}

fn selector_text(field: &Selector, store: Format) -> String {
    let mut out = field.selector.clone();
    if field.format != store {
        let _ = write!(out, " ({})", field.format.name());
    }
    if !field.files.is_empty() {
        let files: Vec<_> = field.files.iter().map(Pattern::text).collect();
        let _ = write!(out, " in {}", files.join(", "));
    }
    if let Some(kind) = field.kind {
        let _ = write!(out, ": {}", kind.name());
    }
    if let Some(protection) = field.protection {
        let _ = write!(out, ", {}", protection.name());
    }
    with_note(&out, field.note.as_ref())
}

fn life(page: &mut Page, store: &Store) {
    page.section("Life of a token");
    page.maybe("lifetime", store.lifetime.as_ref());
    page.maybe("seconds", store.ttl_seconds);
    page.fact("refreshed", if store.refreshable { "without a person" } else { "" });
    page.fact("staleness", store.staleness.name());
    page.fact("session", store.session_scope.name());
    page.maybe("log out", store.logout.as_ref());
    page.maybe("revoke", store.revoke.as_ref());
    page.fact("keyring", store.keyring.name());
    let verified = |sure: bool| if sure { "" } else { " (not verified)" };
    page.maybe("mode", store.mode.map(|mode| format!("{mode:04o}{}", verified(store.mode_verified))));
    page.maybe("mode note", store.mode_note.as_ref());
    page.maybe("directory mode", store.dir_mode.map(|mode| format!("{mode:04o}")));
    page.fact("written", format!("{}{}", store.write_pattern.name(), verified(store.write_pattern_verified)));
    page.section("About this entry");
    page.maybe("notes", store.notes.as_ref());
    page.fact("verification", store.verification.name());
    page.fact("source", &store.source);
    page.fact("file", format!("{}:{}", store.file.display(), store.place.line));
}

fn with_note(text: &str, note: Option<&String>) -> String {
    note.map_or_else(|| text.to_owned(), |note| format!("{text} ({note})"))
}

fn reader_text(reader: &Reader) -> String {
    let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::text).collect::<Vec<_>>().join(", ");
    let mut out = format!("{:<12}", reader.role.name());
    if !reader.interpreter.is_empty() {
        let _ = write!(out, "{} running ", reader.interpreter.join(", "));
        let modules = reader.modules.iter().map(|module| format!("-m {module}"));
        let scripts = reader.scripts.iter().map(|script| script.text().to_owned());
        out.push_str(&scripts.chain(modules).collect::<Vec<_>>().join(", "));
    }
    out.push_str(&reader.exe.join(", "));
    if !reader.paths.is_empty() {
        let _ = write!(out, " at {}", texts(&reader.paths));
    }
    if !reader.package.is_empty() {
        let _ = write!(out, " of package {}", reader.package.join(", "));
    }
    if reader.matched == Some(ReaderMatch::Contextual) {
        out.push_str("told by container, unit or cgroup");
    }
    if !reader.cmdline_contains.is_empty() {
        let _ = write!(out, " with {}", reader.cmdline_contains.join(", "));
    }
    if !reader.cmdline_never.is_empty() {
        let _ = write!(out, " without {}", reader.cmdline_never.join(" "));
    }
    if reader.weak {
        out.push_str(" [weak: never sufficient alone]");
    }
    if let Some(note) = &reader.note {
        let _ = write!(out, " ({note})");
    }
    out
}

/// Checks a catalogue file: every mistake with its place and what would be right.
#[must_use]
pub fn check(file: &Path) -> Outcome {
    match Catalogue::with_file(file) {
        Ok((loaded, stores)) => {
            let holds = format!("{stores} store{}", if stores == 1 { "" } else { "s" });
            Outcome::of(file, &loaded.notes, &holds)
        }
        Err(problems) => refused(file, &problems),
    }
}

fn refused(file: &Path, problems: &Problems) -> Outcome {
    Outcome::of(file, problems, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::shipped_catalogue;

    #[test]
    fn the_list_has_every_entry() {
        let text = list(shipped_catalogue());
        assert!(text.contains("aws-credentials"), "{text}");
        assert!(text.lines().count() > shipped_catalogue().stores().len());
    }

    #[test]
    fn a_page_says_what_matters() {
        let text = show(shipped_catalogue(), "aws-credentials").unwrap();
        for part in ["~/.aws/credentials", "$AWS_SHARED_CREDENTIALS_FILE", "owner", "weak", "iam", "0600", "aws.yaml:"]
        {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        for store in shipped_catalogue().stores() {
            assert!(show(shipped_catalogue(), &store.id).is_ok());
        }
    }

    #[test]
    fn a_mistyped_id_is_answered_with_the_right_one() {
        let error = show(shipped_catalogue(), "aws-credential").unwrap_err();
        assert!(error.to_string().contains("did you mean \"aws-credentials\"?"), "{error}");
    }
}
