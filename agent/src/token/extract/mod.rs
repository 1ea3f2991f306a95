//! Takes the tokens out of a store's file.
//!
//! Which places hold them is the catalogue's business ([`crate::token::selector`]); here is how each format is read.
//! Content is not trusted: it may be broken, made to hurt, or not what its name says. Nothing panics, work is bounded
//! by [`limits`], and what is not understood is a problem in words that hold nothing of the content.
//!
//! Texts of a parsed content are overwritten when they are dropped. Not overwritten are: what the JSON, YAML and TOML
//! parsers keep for themselves while they work (a text with escapes), attributes and texts of XML with entities, and
//! the pages that SQLite holds in memory.

mod ini;
mod json;
mod keys;
mod kind;
mod label;
pub mod limits;
mod markup;
mod sources;
mod sqlite;
mod steps;
mod time;
mod tree;
mod wal;
mod xml;

use std::{collections::HashSet, path::Path, path::PathBuf};

use jiff::Timestamp;
use zeroize::Zeroizing;

use self::{
    limits::{MAX_BYTES, MAX_PROBLEMS, MAX_TOKEN_BYTES, MAX_TOKENS},
    sources::{Found, Sources},
    time::Times,
};
use super::{
    describe::{self, Field},
    model::{Extraction, Facts, Protection, Reference, ReferenceTo, Token},
    secret::Secret,
    selector::Place,
};
use crate::catalogue::{
    model::{Selector, Store},
    pattern::Pattern,
};

/// What a file holds, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Where it lies: some stores have files of several formats.
    pub path: &'a Path,
    /// The content.
    pub bytes: &'a [u8],
    /// The write-ahead log beside it, of a SQLite database.
    pub wal: Option<&'a [u8]>,
    /// When it was last written.
    pub written: Option<Timestamp>,
}

/// The tokens of a store's file.
///
/// A file that the store shares with others gives nothing unless its content says that it is the store's; a file that
/// is empty gives nothing either.
#[must_use]
pub fn extract(store: &Store, content: &Content<'_>) -> Extraction {
    let mut work = Work { store, content, out: Extraction::default(), seen: HashSet::new(), problems: 0 };
    let empty = content.bytes.iter().all(u8::is_ascii_whitespace);
    if store.not_extracted.is_some() || empty || is_log(content.path) {
        return work.out;
    }
    if content.bytes.len() > MAX_BYTES {
        work.problem(format!("is larger than {} MiB", MAX_BYTES >> 20));
        return work.out;
    }
    if belongs(store, content) {
        work.run();
    }
    work.out
}

/// Tokens of every store that a file belongs to. A token that a store takes for its own by content (`content_regex`) is
/// left out of the others: what `.netrc` holds for one host is that host's.
#[must_use]
pub fn extract_all<'s>(stores: &[&'s Store], content: &Content<'_>) -> Vec<(&'s Store, Extraction)> {
    let mut ordered: Vec<&Store> = stores.to_vec();
    ordered.sort_by_key(|store| store.content_regex.is_empty());
    let mut all: Vec<(&Store, Extraction)> = Vec::new();
    let mut taken = HashSet::new();
    for store in ordered {
        let mut found = extract(store, content);
        let hash = |token: &Token| blake3::hash(token.secret.expose());
        found.tokens.retain(|token| !taken.contains(&hash(token)));
        taken.extend(found.tokens.iter().map(hash));
        all.push((store, found));
    }
    all
}

/// Is it what SQLite keeps beside a database? It is read with that.
fn is_log(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    [&b"-wal"[..], b"-shm", b"-journal"].iter().any(|end| name.ends_with(end))
}

/// Does a file with this content belong to the store? Only files at a path that others have as well are asked.
fn belongs(store: &Store, content: &Content<'_>) -> bool {
    let shared = store.shared_paths.iter().any(|pattern| fits(pattern, content.path));
    store.content_regex.is_empty()
        || !shared
        || store.content_regex.iter().any(|expression| expression.regex().is_match(content.bytes))
}

/// Does a pattern match a path, whoever's home it is below?
fn fits(pattern: &Pattern, path: &Path) -> bool {
    pattern.matches(path, None) || path.ancestors().skip(1).any(|home| pattern.matches(path, Some(home)))
}

/// The selectors of a list that are for a file. Those that name it take it over from those that name no files.
fn meant<'s>(selectors: &'s [Selector], path: &Path) -> Vec<&'s Selector> {
    let names = |selector: &&Selector| selector.files.iter().any(|pattern| fits(pattern, path));
    let named: Vec<&Selector> = selectors.iter().filter(names).collect();
    if named.iter().any(|selector| selector.find.place == Place::Nothing) {
        return Vec::new();
    }
    if named.is_empty() { selectors.iter().filter(|selector| selector.files.is_empty()).collect() } else { named }
}

/// Is a selector for a file, whatever the others say?
fn is_for(selector: &Selector, path: &Path) -> bool {
    selector.files.is_empty() || selector.files.iter().any(|pattern| fits(pattern, path))
}

struct Work<'a> {
    store: &'a Store,
    content: &'a Content<'a>,
    out: Extraction,
    seen: HashSet<(String, blake3::Hash)>,
    problems: usize,
}

impl Work<'_> {
    fn run(&mut self) {
        let mut sources = Sources::new(self.content);
        let mut parents = HashSet::new();
        let mut found = Vec::new();
        for selector in meant(&self.store.secret_fields, self.content.path) {
            match sources.find(selector) {
                Ok(list) => found.extend(list.into_iter().map(|found| (selector, found))),
                Err(problem) => self.problem(problem),
            }
        }
        let times = Times::new(self.store, self.content.path, &mut sources);
        for (selector, found) in found {
            parents.insert(found.parent().to_vec());
            self.take(selector, found, &times);
        }
        describe::together(self.store, &mut self.out.tokens);
        self.elsewhere(&mut sources, &parents);
    }

    fn take(&mut self, selector: &Selector, found: Found, times: &Times<'_>) {
        if found.bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if let Some(reference) = self.placeholder(&found) {
            if let Some(to) = reference {
                self.out.references.push(Reference { field: label::clean(&found.label, b""), to });
            }
            return;
        }
        if found.bytes.len() > MAX_TOKEN_BYTES {
            return self.problem(format!("{} holds a value larger than {MAX_TOKEN_BYTES} bytes", selector.selector));
        }
        if self.out.tokens.len() >= MAX_TOKENS {
            return self.problem(format!("has more than {MAX_TOKENS} tokens; the rest is left out"));
        }
        let field = label::clean(&found.label, &found.bytes);
        // Two selectors may lead to the same place.
        let hash = blake3::hash(&found.bytes);
        if !self.seen.insert((field.clone(), hash)) {
            return;
        }
        let facts = self.facts(selector, &field, &found, times);
        let Found { bytes, .. } = found;
        self.out.tokens.push(Token { secret: Secret::copy(&bytes), facts });
    }

    fn facts(&self, selector: &Selector, label: &str, found: &Found, times: &Times<'_>) -> Facts {
        let kind = kind::of(self.store, selector, found.name());
        let field = Field {
            selector: &selector.selector,
            label,
            kind,
            secret: &found.bytes,
            protection: protection(selector, &found.bytes),
            issued: times.issued(selector, found),
            expires: times.expires(selector, kind, found),
            written: self.content.written,
            // Of a file that is a key. Elsewhere the certificate has a field, and thousands of tokens share the file.
            file: if selector.find.place == Place::File { self.content.bytes } else { &found.bytes },
        };
        describe::describe(self.store, &field)
    }

    /// Is a value no token but a sign that it is elsewhere, and where? `Some(None)`: it is no token, and says nothing.
    fn placeholder(&self, found: &Found) -> Option<Option<ReferenceTo>> {
        if is_variable(&found.bytes) {
            return Some(Some(ReferenceTo::Environment));
        }
        let matches = self.store.placeholder_regex.iter().any(|expression| expression.regex().is_match(&found.bytes));
        matches.then(|| mentions_variable(&found.bytes).then_some(ReferenceTo::Environment))
    }

    /// What the content says of tokens that lie elsewhere. Where a token stands beside it, that one is used.
    fn elsewhere(&mut self, sources: &mut Sources<'_>, parents: &HashSet<Vec<String>>) {
        let path = self.content.path;
        for (selectors, helper) in [(&self.store.delegates, true), (&self.store.points_to, false)] {
            for selector in selectors.iter().filter(|selector| is_for(selector, path)) {
                for found in sources.quietly(selector) {
                    let beside = helper && found.path.len() > 1 && parents.contains(found.parent());
                    if beside || found.bytes.is_empty() || self.out.references.len() >= MAX_TOKENS {
                        continue;
                    }
                    let to = if helper { ReferenceTo::Helper } else { file(path, &found.bytes) };
                    self.out.references.push(Reference { field: label::clean(&found.label, b""), to });
                }
            }
        }
    }

    fn problem(&mut self, problem: String) {
        self.problems += 1;
        if self.problems <= MAX_PROBLEMS && !self.out.problems.contains(&problem) {
            self.out.problems.push(problem);
        }
    }
}

/// `${NAME}`, `$NAME`, `%NAME%` and nothing else.
fn is_variable(bytes: &[u8]) -> bool {
    let name = |text: &[u8]| {
        let first = text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        first && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let braced = bytes.strip_prefix(b"${").and_then(|rest| rest.strip_suffix(b"}"));
    let percent = bytes.strip_prefix(b"%").and_then(|rest| rest.strip_suffix(b"%"));
    // Without braces only capitals: a password may begin with a dollar sign.
    let bare = bytes.strip_prefix(b"$").filter(|rest| !rest.iter().any(u8::is_ascii_lowercase));
    [braced, percent, bare].into_iter().flatten().any(name)
}

fn mentions_variable(bytes: &[u8]) -> bool {
    bytes.contains(&b'$') || bytes.contains(&b'%') || bytes.windows(7).any(|window| window == b"env_var")
}

/// The file that a value names, from the directory of the content or the home that this is below.
fn file(content: &Path, bytes: &[u8]) -> ReferenceTo {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    if is_variable(text.as_bytes()) {
        return ReferenceTo::Environment;
    }
    let path = PathBuf::from(text);
    // `~/` stays: whose home it is is not known here.
    if path.is_absolute() || text.starts_with('~') {
        return ReferenceTo::File(path);
    }
    ReferenceTo::File(content.parent().map_or_else(|| path.clone(), |directory| directory.join(&path)))
}

/// How a value is protected: as the catalogue says of its place. What Chromium encrypts begins with the version: `v10`
/// with a constant key, `v11` with one from the keyring.
fn protection(selector: &Selector, bytes: &[u8]) -> Option<Protection> {
    match selector.protection {
        Some(Protection::Encrypted) if bytes.starts_with(b"v10") => Some(Protection::Obfuscated),
        said => said,
    }
}

/// Bytes that are overwritten when dropped.
type Bytes = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod mutated;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
