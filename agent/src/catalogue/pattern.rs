//! Paths as the catalogue writes them: `~/.aws/credentials`, `/etc/ssh/ssh_host_*_key`, `**/.npmrc`, `$VAR/file`.
//!
//! `*` is any text within one component, `?` one character, `[..]` a class, `**` any number of whole components.

use std::{
    path::{Component, Path},
    sync::OnceLock,
};

use globset::{Glob, GlobBuilder, GlobMatcher};

/// Where a pattern starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// `~/`: the home of any user.
    Home,
    /// `/`: the root of the reader's mount namespace.
    Root,
    /// `**/`: anywhere.
    Anywhere,
    /// `$NAME/`: the value of a variable of the reading process.
    Variable(String),
}

/// One component of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A fixed name.
    Name(String),
    /// A name with wildcards.
    Wild(String),
    /// `**`.
    Deep,
}

impl Part {
    fn parse(text: &str) -> Self {
        match text {
            "**" => Self::Deep,
            _ if text.contains(['*', '?', '[']) => Self::Wild(text.to_owned()),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// The fixed name, if it is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Wild(_) | Self::Deep => None,
        }
    }
}

/// A parsed pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    anchor: Anchor,
    parts: Vec<Part>,
    /// Compiled when first asked: most patterns of readers never are.
    matcher: OnceLock<Option<GlobMatcher>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It starts with nothing known.
    #[error("path \"{0}\" must start with \"/\", \"~/\", \"**/\" or \"$NAME/\"")]
    Anchor(String),
    /// It has an empty component, `.` or `..`.
    #[error("path \"{0}\" has an empty component, \".\" or \"..\"")]
    Component(String),
    /// `**` does not stand alone between slashes.
    #[error("path \"{0}\": \"**\" must be a whole component; within one write \"*\"")]
    Deep(String),
    /// It names nothing.
    #[error("path \"{0}\" names everything below its start; name at least one component")]
    Everything(String),
    /// The glob does not compile.
    #[error("path \"{0}\" is no valid pattern: {1}")]
    Glob(String, String),
}

impl Pattern {
    /// Parses a pattern. `/var/run` becomes `/run`, which it links to everywhere.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = normal(text);
        let (anchor, rest) = if let Some(rest) = text.strip_prefix("~/") {
            (Anchor::Home, rest)
        } else if let Some(rest) = text.strip_prefix("**/") {
            (Anchor::Anywhere, rest)
        } else if let Some(rest) = text.strip_prefix('/') {
            (Anchor::Root, rest)
        } else if let Some((name, rest)) = text.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
            (Anchor::Variable(name.to_owned()), rest)
        } else {
            return Err(PatternError::Anchor(text));
        };
        let parts = components(&text, rest)?;
        if !parts.iter().any(|part| *part != Part::Deep && *part != Part::Wild("*".to_owned())) {
            return Err(PatternError::Everything(text));
        }
        let pattern = Self { anchor, parts, text: text.clone(), matcher: OnceLock::new() };
        pattern.glob().map_err(|error| PatternError::Glob(text, error.kind().to_string()))?;
        Ok(pattern)
    }

    /// The pattern `rest` (empty for none) below a fixed absolute directory or file. `None` if that is not UTF-8 or
    /// nothing is left.
    #[must_use]
    pub fn below(base: &Path, rest: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut text = String::new();
        for component in base.components().skip(1) {
            let name = component.as_os_str().to_str()?;
            text.push('/');
            text.push_str(&globset::escape(name));
            parts.push(Part::Name(name.to_owned()));
        }
        for component in rest.split('/').filter(|component| !component.is_empty()) {
            text.push('/');
            text.push_str(component);
            parts.push(Part::parse(component));
        }
        let fixed = parts.iter().any(|part| part.name().is_some());
        fixed.then(|| Self { text, anchor: Anchor::Root, parts, matcher: OnceLock::new() })
    }

    /// This pattern with its variable replaced by a value.
    #[must_use]
    pub fn at(&self, value: &Path) -> Option<Self> {
        let rest = self.text.split_once('/').map_or("", |(_, rest)| rest);
        Self::below(value, rest)
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it starts.
    #[must_use]
    pub const fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Its components below the anchor.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Does it match the absolute `path`? `~/` stands for `home`; a variable's value is not known here and never
    /// matches. Nor does a path with `..`: only the file system knows where that leads.
    #[must_use]
    pub fn matches(&self, path: &Path, home: Option<&Path>) -> bool {
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return false;
        }
        let subject = match &self.anchor {
            Anchor::Home => home.and_then(|home| path.strip_prefix(home).ok()),
            Anchor::Root | Anchor::Anywhere => Some(path),
            Anchor::Variable(_) => None,
        };
        let matcher = self.matcher.get_or_init(|| self.glob().ok().map(|glob| glob.compile_matcher()));
        match (subject, matcher) {
            (Some(subject), Some(matcher)) => matcher.is_match(subject),
            _ => false,
        }
    }

    /// Below a home it can match at any depth from the home itself: `~/**/*.kdbx`.
    #[must_use]
    pub fn roams(&self) -> bool {
        self.parts.first() == Some(&Part::Deep)
    }

    /// Only a search finds what it matches: it can be anywhere, or anywhere below a home.
    #[must_use]
    pub fn roams_anywhere(&self) -> bool {
        self.anchor == Anchor::Anywhere || (self.anchor == Anchor::Home && self.roams())
    }

    /// It takes in whatever lies in a directory: it ends in `*` or `**`.
    #[must_use]
    pub fn open_ended(&self) -> bool {
        match self.parts.last() {
            Some(Part::Deep) => true,
            Some(Part::Wild(text)) => text == "*",
            _ => false,
        }
    }

    /// The glob for what follows the anchor: relative below a home or a variable, absolute otherwise.
    ///
    /// # Errors
    /// The pattern does not compile; [`Pattern::parse`] has ruled that out.
    pub fn glob(&self) -> Result<Glob, globset::Error> {
        let rest = match &self.anchor {
            Anchor::Home => &self.text[2..],
            Anchor::Root | Anchor::Anywhere => &self.text,
            Anchor::Variable(name) => &self.text[name.len() + 2..],
        };
        glob(rest)
    }
}

/// A glob whose `*` stays within a component.
///
/// # Errors
/// The text does not compile.
pub fn glob(text: &str) -> Result<Glob, globset::Error> {
    // Braces have no meaning in the catalogue.
    let plain = text.replace('{', "[{]").replace('}', "[}]");
    GlobBuilder::new(&plain).literal_separator(true).backslash_escape(false).build()
}

/// Does a bare name match `pattern`, in which `*` is any text? Asked too often to compile anything.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return name.ends_with(piece);
        }
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    true
}

fn components(text: &str, rest: &str) -> Result<Vec<Part>, PatternError> {
    rest.split('/')
        .map(|component| match component {
            "" | "." | ".." => Err(PatternError::Component(text.to_owned())),
            "**" => Ok(Part::Deep),
            _ if component.contains("**") => Err(PatternError::Deep(text.to_owned())),
            _ => Ok(Part::parse(component)),
        })
        .collect()
}

/// `/var/run` is a link to `/run` on every current distribution; both spellings are in use.
fn normal(text: &str) -> String {
    text.strip_prefix("/var/run/").map_or_else(|| text.to_owned(), |rest| format!("/run/{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_and_parts() {
        let pattern = Pattern::parse("~/.config/Code*/**/state.vscdb").unwrap();
        assert_eq!(*pattern.anchor(), Anchor::Home);
        assert_eq!(
            pattern.parts(),
            [Part::Name(".config".into()), Part::Wild("Code*".into()), Part::Deep, Part::Name("state.vscdb".into())]
        );
        assert_eq!(Pattern::parse("/var/run/secrets/x").unwrap().text(), "/run/secrets/x");
        assert_eq!(*Pattern::parse("$RUNNER_TEMP/a").unwrap().anchor(), Anchor::Variable("RUNNER_TEMP".into()));
    }

    #[test]
    fn a_path_that_leads_elsewhere_matches_nothing() {
        let pattern = Pattern::parse("**/maven/**").unwrap();
        assert!(pattern.matches(Path::new("/usr/share/maven/x.jar"), None));
        assert!(!pattern.matches(Path::new("/usr/share/maven/../../tmp/x.jar"), None));
        assert!(!pattern.matches(Path::new("maven/x.jar"), None));
    }

    #[test]
    fn names_with_wildcards() {
        for (pattern, name, matches) in [
            ("aws", "aws", true),
            ("aws", "aws2", false),
            ("aws*", "aws", true),
            ("terraform-provider-aws*", "terraform-provider-aws_v5.1_x5", true),
            ("*aws", "aws2", false),
            ("ld-*.so*", "ld-linux-x86-64.so.2", true),
            ("ld-*.so*", "ld.so", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(name_matches(pattern, name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("etc/shadow", "must start with"),
            ("/etc//shadow", "empty component"),
            ("/etc/../shadow", "empty component"),
            ("/builds/**.tmp/x", "whole component"),
            ("/**", "names everything"),
            ("~/*", "names everything"),
            ("/etc/[a", "no valid pattern"),
        ] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
