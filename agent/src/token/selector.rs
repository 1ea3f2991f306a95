//! Places in a file's content, as the catalogue writes them.
//!
//! | format | selector |
//! | --- | --- |
//! | json, jsonl, yaml, toml | JSON pointer (RFC 6901): `/auths/*/auth`; `*` is any text in a name, `**` all that is below |
//! | ini | `[section]/key`, or `key` before the first section; `*` in both; case does not matter |
//! | netrc | `machine HOST#password`, `#login` or `#account` |
//! | dotenv, properties | `NAME`, with `*` |
//! | sqlite | `table.column`, then `where COLUMN glob 'TEXT'` and `by COLUMN` (which names the row) if need be |
//! | xml | `//server/password`, `/a/*/add[@key="X"]/@value` |
//! | every | `re:` with a group `secret` (and `name`), line by line, or over all of it after `(?s)`; `*file*`, the whole file; `*none*`, nothing of these files |
//!
//! What is found can be taken apart further: `[*]/token | json:/refresh_token`. See [`Step`].

mod parse;

use std::fmt;

use regex::bytes::Regex;

pub use parse::{SelectorError, find};

/// A parsed selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// Where in the content.
    pub place: Place,
    /// What is done with what is there, in this order.
    pub steps: Vec<Step>,
}

/// A place in a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it, without white space around; of PEM the private keys.
    File,
    /// Nothing: files of the store that hold no token.
    Nothing,
    /// What the group `secret` of an expression holds.
    Text(Expression),
    /// In the tree that the content is.
    Tree(Vec<Segment>),
    /// A column of a table.
    Column(Column),
    /// Elements or attributes.
    Xml(Vec<XmlStep>),
}

/// One name on the way down a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This name (of a list: this number).
    Name(String),
    /// Every name that fits.
    Glob(String),
    /// Everything below. The last of a selector.
    Deep,
}

/// A column of a table of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Only rows whose column fits this glob.
    pub only: Option<(String, String)>,
    /// The column that names the row.
    pub by: Option<String>,
}

/// One step down an XML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlStep {
    /// An element.
    Element {
        /// At any depth, not just a child.
        deep: bool,
        /// Its local name; `*` is any.
        name: String,
        /// An attribute it must have, with its value.
        with: Option<(String, String)>,
    },
    /// An attribute of the element before.
    Attribute(String),
}

/// What is done with a value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `base64`: decoded, whichever alphabet and padding.
    Base64,
    /// `login`: HTTP credentials, `Basic` or `Bearer`, with or without the header's name, or bare base64 of
    /// `user:secret`: the secret.
    Login,
    /// `url`: the password in a URL, or the user where that is a token.
    Url,
    /// `unescape`: a character after a backslash is meant itself.
    Unescape,
    /// `json:/POINTER`: a JSON document within.
    Json(Vec<Segment>),
}

/// A regular expression that is equal to another by its text.
#[derive(Clone, Debug)]
pub struct Expression(Regex);

impl Expression {
    /// Compiles `text`. `^` and `$` are the borders of lines.
    ///
    /// # Errors
    /// It is none, or would take more than a mebibyte.
    pub fn new(text: &str) -> Result<Self, SelectorError> {
        let compiled =
            regex::bytes::RegexBuilder::new(text).multi_line(true).unicode(false).size_limit(1 << 20).build();
        compiled.map(Self).map_err(|error| SelectorError::Regex(last_line(&error.to_string()).to_owned()))
    }

    /// The compiled expression.
    #[must_use]
    pub const fn regex(&self) -> &Regex {
        &self.0
    }
}

/// A parser's message draws the expression first; its last line says what is wrong.
fn last_line(message: &str) -> &str {
    message.lines().last().unwrap_or("no valid expression").trim()
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Expression {}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}
