//! YAML in, with every error at its place. The only module that knows which parser is used.
//!
//! A document becomes a tree of [`Node`]s that know where they stand; [`fields`] turns nodes into values and collects
//! every mistake instead of stopping at the first.

pub mod fields;
mod file;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Spanned};

pub use file::{Guard, MAX_DIRECTORY_FILES, MAX_FILE_BYTES, directory, read};

/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 16;
/// Most nodes in a document.
const MAX_NODES: usize = 200_000;

/// Where something stands in its file. Lines and columns count from 1; 0 means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it starts.
    pub place: Place,
}

/// What YAML can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file. Repeated keys are still in it; [`fields::Fields`] reports them.
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// What it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is used all the same.
    Warning,
    /// The file is refused.
    Error,
}

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it, if at a place.
    pub place: Place,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if self.place.line > 0 {
            write!(out, ":{}:{}", self.place.line, self.place.column)?;
        }
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(out, ": {word}: {}", self.message)
    }
}

/// Everything that is wrong with one or more files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

/// Most problems kept; what comes later is counted only.
const MAX_PROBLEMS: usize = 500;

impl Problems {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Adds an error.
    pub fn error(&mut self, file: &Path, place: Place, message: impl Into<String>) {
        self.push(file, place, Severity::Error, message.into());
    }

    /// Adds a warning.
    pub fn warning(&mut self, file: &Path, place: Place, message: impl Into<String>) {
        self.push(file, place, Severity::Warning, message.into());
    }

    fn push(&mut self, file: &Path, place: Place, severity: Severity, message: String) {
        match self.list.len() {
            0..MAX_PROBLEMS => self.list.push(Problem { file: file.to_owned(), place, severity, message }),
            MAX_PROBLEMS => self.list.push(Problem {
                file: file.to_owned(),
                place,
                severity: Severity::Error,
                message: format!("more than {MAX_PROBLEMS} problems; the rest is not shown"),
            }),
            _ => {}
        }
    }

    /// Is there an error among them?
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Is there nothing to say?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems, in the order of their files and places.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by(|a, b| (&a.file, a.place, &a.message).cmp(&(&b.file, b.place, &b.message)));
        list
    }

    /// Takes over the problems of `other`.
    pub fn append(&mut self, other: Self) {
        for problem in other.list {
            self.push(&problem.file, problem.place, problem.severity, problem.message);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.sorted().into_iter().enumerate() {
            if i > 0 {
                writeln!(out)?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What a `check` command says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For people, without a line break at the end.
    pub text: String,
    /// No error was found; warnings may have been.
    pub passed: bool,
    /// How many.
    pub warnings: usize,
}

impl Outcome {
    /// The outcome for a file: its problems, then one line that sums up. `holds` says what is in it, such as
    /// `3 stores`.
    #[must_use]
    pub fn of(file: &Path, problems: &Problems, holds: &str) -> Self {
        let count = |severity| problems.list.iter().filter(|problem| problem.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let mut text = problems.to_string();
        if !text.is_empty() {
            text.push('\n');
        }
        let summary = match (errors, warnings) {
            (0, 0) => format!("{}: right, {holds}", file.display()),
            (0, _) => format!("{}: usable, {holds}, {}", file.display(), plural(warnings, "warning")),
            _ => format!("{}: refused, {}, {}", file.display(), plural(errors, "error"), plural(warnings, "warning")),
        };
        text.push_str(&summary);
        Self { text, passed: errors == 0, warnings }
    }
}

/// Parses one document. `file` is for messages.
///
/// # Errors
/// What the parser refuses: broken syntax, several documents, nesting and sizes beyond the limits above, aliases that
/// blow up. Syntax stops at the first mistake, so there is one problem.
pub fn parse(file: &Path, text: &str) -> Result<Node, Problems> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: 64,
            max_anchors: 64,
            max_documents: 1,
            max_total_scalar_bytes: MAX_FILE_BYTES as usize,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 4096,
            max_replay_stack_depth: 4,
            max_alias_expansions_per_anchor: 64,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        // YAML 1.2: `no` and `y` are text.
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let place = error.location().map(place_of).unwrap_or_default();
        let mut problems = Problems::new();
        problems.error(file, place, first_line(&error.without_snippet().render()));
        problems
    })
}

/// Parses a document that nobody vouches for into whatever `seed` makes of it, with at most `nodes` values and `depth`
/// levels. Aliases may repeat little: of a file of credentials none is expected.
///
/// # Errors
/// The line at which it is no YAML, or beyond these limits (0: unknown). The parser's own words may hold content.
pub fn untrusted<S: for<'de> DeserializeSeed<'de, Value = T>, T>(
    text: &str,
    seed: S,
    nodes: usize,
    depth: usize,
) -> Result<T, u32> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: depth,
            max_nodes: nodes,
            max_events: 4 * nodes,
            max_aliases: 64,
            max_anchors: 64,
            max_documents: 1,
            max_total_scalar_bytes: text.len() + 64,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 4096,
            max_replay_stack_depth: 4,
            max_alias_expansions_per_anchor: 64,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        with_snippet: false,
    };
    let parsed =
        serde_saphyr::with_deserializer_from_str_with_options(text, options, |parser| seed.deserialize(parser));
    parsed.map_err(|error| error.location().map(place_of).unwrap_or_default().line)
}

/// The parser's message may go on over several lines; its first one says it.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("cannot be read as YAML").trim().to_owned()
}

fn place_of(location: serde_saphyr::Location) -> Place {
    let clamp = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: clamp(location.line()), column: clamp(location.column()) }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: place_of(spanned.referenced) })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let name = match spanned.value {
            Value::Text(name) => name,
            Value::Int(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            other => return Err(D::Error::custom(format_args!("a key must be text, this is {}", other.kind()))),
        };
        Ok(Self { name, place: place_of(spanned.referenced) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = access.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests;
