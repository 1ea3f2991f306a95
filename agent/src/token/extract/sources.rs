//! A content, parsed once for each format that selectors ask for.

use zeroize::Zeroizing;

use super::{Bytes, Content, ini, json, keys, label, limits, markup, sqlite::Database, steps, tree::Tree, xml};
use crate::{
    catalogue::model::{Format, Selector},
    token::selector::{Column, Expression, Place},
};

/// A value that a selector found.
pub(super) struct Found {
    /// The names on the way to it: what stands beside it has all but the last in common.
    pub path: Vec<String>,
    /// The selector with these names in place of its wildcards.
    pub label: String,
    /// The value.
    pub bytes: Bytes,
}

impl Found {
    pub(super) fn parent(&self) -> &[String] {
        self.path.split_last().map_or(&[], |(_, parent)| parent)
    }

    /// The name that says what it is: the last of the label.
    pub(super) fn name(&self) -> &str {
        self.label.rsplit(['/', '#', ' ']).next().unwrap_or(&self.label)
    }
}

/// The parsed content.
pub(super) struct Sources<'a> {
    content: &'a Content<'a>,
    trees: Vec<(Format, Result<Tree, String>)>,
    database: Option<Result<Database, String>>,
}

impl<'a> Sources<'a> {
    pub(super) const fn new(content: &'a Content<'a>) -> Self {
        Self { content, trees: Vec::new(), database: None }
    }

    /// What a selector finds.
    ///
    /// # Errors
    /// The content is not of the selector's format: in words.
    pub(super) fn find(&mut self, selector: &Selector) -> Result<Vec<Found>, String> {
        let found = match &selector.find.place {
            Place::Nothing => Vec::new(),
            Place::File => whole(self.content.bytes),
            Place::Text(expression) => text(self.content.bytes, expression),
            Place::Tree(segments) => {
                let any_case = selector.format == Format::Ini;
                let hits = self.tree(selector.format)?.select(segments, any_case);
                let found = hits.into_iter().map(|hit| Found {
                    label: place(selector.format, &hit.shown),
                    bytes: Zeroizing::new(hit.text.as_bytes().to_vec()),
                    path: hit.path,
                });
                found.collect()
            }
            Place::Column(column) => self.column(column)?,
            Place::Xml(steps) => xml::select(readable(self.content.bytes, Format::Xml)?, steps)?,
        };
        if selector.find.steps.is_empty() {
            return Ok(found);
        }
        let apart = |found: Found| {
            let values = steps::take(&found.bytes, &selector.find.steps);
            values.into_iter().map(move |steps::Value { bytes, suffix }| Found {
                path: found.path.clone(),
                label: format!("{}{suffix}", found.label),
                bytes,
            })
        };
        Ok(found.into_iter().flat_map(apart).collect())
    }

    /// The same of something that need not be there: nothing where the content was not parsed for its format already.
    pub(super) fn quietly(&mut self, selector: &Selector) -> Vec<Found> {
        let parsed = self.trees.iter().any(|(format, tree)| *format == selector.format && tree.is_ok());
        let ready = match selector.find.place {
            Place::Tree(_) => parsed || self.trees.is_empty(),
            Place::Column(_) => self.database.as_ref().is_some_and(Result::is_ok),
            _ => true,
        };
        if ready { self.find(selector).unwrap_or_default() } else { Vec::new() }
    }

    fn tree(&mut self, format: Format) -> Result<&Tree, String> {
        if !self.trees.iter().any(|(known, _)| *known == format) {
            let tree = parse(format, self.content.bytes);
            self.trees.push((format, tree));
        }
        let known = self.trees.iter().find(|(known, _)| *known == format);
        match known {
            Some((_, Ok(tree))) => Ok(tree),
            Some((_, Err(problem))) => Err(problem.clone()),
            None => Ok(const { &Tree::Nothing }),
        }
    }

    fn column(&mut self, column: &Column) -> Result<Vec<Found>, String> {
        let Content { bytes, wal, .. } = *self.content;
        let database = self.database.get_or_insert_with(|| Database::open(bytes, wal));
        database.as_ref().map_err(String::clone)?.values(column)
    }
}

fn parse(format: Format, bytes: &[u8]) -> Result<Tree, String> {
    let text = readable(bytes, format)?;
    let many = match format {
        Format::Ini | Format::Dotenv | Format::Properties => text.lines().nth(limits::MAX_NODES).is_some(),
        Format::Netrc => text.split_ascii_whitespace().nth(limits::MAX_NODES).is_some(),
        _ => false,
    };
    if many {
        return Err(format!("has more than {} lines or words", limits::MAX_NODES));
    }
    match format {
        Format::Json => json::parse(text),
        Format::Jsonl => json::lines(text),
        Format::Yaml => markup::yaml(text),
        Format::Toml => markup::toml(text),
        Format::Ini => Ok(ini::parse(text)),
        Format::Netrc => Ok(ini::netrc(text)),
        Format::Dotenv => Ok(ini::variables(text)),
        Format::Properties => Ok(ini::properties(text)),
        other => Err(format!("is {}, which nothing here parses", other.name())),
    }
}

/// A content as text, without the mark that some editors put before it.
fn readable(bytes: &[u8], format: Format) -> Result<&str, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let markup = matches!(format, Format::Yaml | Format::Toml | Format::Xml);
    if markup && bytes.len() > limits::MAX_MARKUP_BYTES {
        let most = limits::MAX_MARKUP_BYTES >> 20;
        return Err(format!("is larger than {most} MiB, which is too large for {}", format.name()));
    }
    std::str::from_utf8(bytes).map_err(|_| format!("is no text, so no {}", format.name()))
}

/// A path as its format's selectors write it.
fn place(format: Format, path: &[String]) -> String {
    match (format, path) {
        (Format::Ini, [section, key]) if section.is_empty() => key.clone(),
        (Format::Ini, [section, key]) => format!("[{section}]/{key}"),
        (Format::Netrc, [machine, field]) => format!("machine {machine}#{field}"),
        (Format::Dotenv | Format::Properties, [name]) => name.clone(),
        _ => label::pointer(path),
    }
}

fn whole(bytes: &[u8]) -> Vec<Found> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let parts = keys::secret_parts(bytes);
    let several = parts.len() > 1;
    let found = parts.into_iter().enumerate().map(|(number, part)| Found {
        path: Vec::new(),
        label: if several { format!("*file* {}", number + 1) } else { "*file*".to_owned() },
        bytes: Zeroizing::new(part.to_vec()),
    });
    found.collect()
}

/// What an expression finds: in each line, or over all of it if it says `(?s)`.
fn text(bytes: &[u8], expression: &Expression) -> Vec<Found> {
    let regex = expression.regex();
    let mut all = Vec::new();
    let mut find = |subject: &[u8], line: usize| {
        let (mut line, mut counted) = (line, 0);
        for captures in regex.captures_iter(subject).take(limits::MAX_HITS) {
            let Some(secret) = captures.name("secret") else { continue };
            let name = captures.name("name").map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
            line += subject[counted..secret.start()].iter().filter(|byte| **byte == b'\n').count();
            counted = secret.start();
            let label = name.unwrap_or_else(|| format!("line {line}"));
            let bytes = Zeroizing::new(secret.as_bytes().to_vec());
            if all.len() < limits::MAX_HITS {
                all.push(Found { path: vec![line.to_string(), label.clone()], label, bytes });
            }
        }
    };
    if regex.as_str().starts_with("(?s)") {
        find(bytes, 1);
    } else {
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            find(line.strip_suffix(b"\r").unwrap_or(line), number + 1);
        }
    }
    all
}
