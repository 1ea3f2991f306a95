//! From the catalogue's text to a [`Find`], with words on what would be right.

use super::{Column, Expression, Find, Place, Segment, Step, XmlStep};
use crate::catalogue::model::Format;

/// Why a selector is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Nothing there.
    #[error("a selector is empty; \"*file*\" takes the whole file")]
    Empty,
    /// The format has no places.
    #[error(
        "\"{text}\": in a file of format {format} nothing can be selected but \"re:...\" and \"*file*\"; give the \
             selector a \"format\" of its own if some of the store's files are built otherwise"
    )]
    Format {
        /// The selector.
        text: String,
        /// The format's name.
        format: &'static str,
    },
    /// The store has several formats.
    #[error("\"{0}\": the store's format is \"mixed\"; say the \"format\" of the files that this selector is for")]
    Mixed(String),
    /// No pointer.
    #[error("\"{text}\" is no JSON pointer; write /name/other, with \"~1\" for \"/\" in a name{hint}")]
    Pointer {
        /// The selector.
        text: String,
        /// What else it may be.
        hint: &'static str,
    },
    /// `**` before the end.
    #[error("\"{0}\": \"**\" takes everything below and must be the last name")]
    Deep(String),
    /// No section and key.
    #[error("\"{0}\" is no place in an INI file; write [section]/key, or key alone before the first section")]
    Ini(String),
    /// No machine.
    #[error(
        "\"{0}\" is no place in a netrc file; write machine HOST#password (or #login, #account), \"*\" for any host"
    )]
    Netrc(String),
    /// No name.
    #[error("\"{0}\" is no name of a variable or property; write NAME, \"*\" for any text in it")]
    Name(String),
    /// No column.
    #[error("\"{0}\" is no column; write table.column, then if need be: where COLUMN glob 'TEXT', by COLUMN")]
    Column(String),
    /// No path.
    #[error("\"{0}\" is no path in XML; write //element/child, [@name=\"value\"] after an element, /@name at the end")]
    Xml(String),
    /// No expression.
    #[error("\"re:\": {0}")]
    Regex(String),
    /// An expression without the group.
    #[error("\"{0}\" has no group that says what is secret; put (?P<secret>...) around it")]
    Group(String),
    /// A step that is not known.
    #[error(
        "\"{0}\" is nothing that can be done with a value; known are base64, login, url, unescape and json:/POINTER"
    )]
    Step(String),
}

/// Parses a selector for files of a format.
///
/// # Errors
/// See [`SelectorError`].
pub fn find(text: &str, format: Format) -> Result<Find, SelectorError> {
    let mut rest = text;
    let mut steps = Vec::new();
    while let Some((before, after)) = rest.rsplit_once(" | ") {
        match step(after) {
            Ok(step) => steps.push(step),
            // An expression may hold anything.
            Err(_) if rest.starts_with("re:") => break,
            Err(error) => return Err(error),
        }
        rest = before;
    }
    steps.reverse();
    Ok(Find { place: place(rest, format)?, steps })
}

fn step(text: &str) -> Result<Step, SelectorError> {
    match text {
        "base64" => Ok(Step::Base64),
        "login" => Ok(Step::Login),
        "url" => Ok(Step::Url),
        "unescape" => Ok(Step::Unescape),
        _ => match text.strip_prefix("json:") {
            Some(rest) => pointer(rest).map(Step::Json),
            None => Err(SelectorError::Step(text.to_owned())),
        },
    }
}

fn place(text: &str, format: Format) -> Result<Place, SelectorError> {
    if text.trim().is_empty() {
        return Err(SelectorError::Empty);
    }
    if text == "*file*" {
        return Ok(Place::File);
    }
    if text == "*none*" {
        return Ok(Place::Nothing);
    }
    if let Some(rest) = text.strip_prefix("re:") {
        let expression = Expression::new(rest)?;
        let named = expression.regex().capture_names().any(|name| name == Some("secret"));
        return if named { Ok(Place::Text(expression)) } else { Err(SelectorError::Group(text.to_owned())) };
    }
    match format {
        Format::Json | Format::Jsonl | Format::Yaml | Format::Toml => pointer(text).map(Place::Tree),
        Format::Ini => ini(text).map(Place::Tree),
        Format::Netrc => netrc(text).map(Place::Tree),
        Format::Dotenv | Format::Properties => name(text).map(Place::Tree),
        Format::Sqlite => column(text).map(Place::Column),
        Format::Xml => xml(text).map(Place::Xml),
        Format::Mixed => Err(SelectorError::Mixed(text.to_owned())),
        _ => Err(SelectorError::Format { text: text.to_owned(), format: format.name() }),
    }
}

fn segment(name: String) -> Segment {
    if name.contains('*') { Segment::Glob(name) } else { Segment::Name(name) }
}

fn pointer(text: &str) -> Result<Vec<Segment>, SelectorError> {
    let hint = if text.starts_with('[') {
        "; [section]/key is for format ini"
    } else if text.contains(' ') {
        "; remarks go into \"note\""
    } else {
        ""
    };
    let wrong = || SelectorError::Pointer { text: text.to_owned(), hint };
    let rest = text.strip_prefix('/').filter(|rest| !rest.is_empty()).ok_or_else(wrong)?;
    let names: Vec<&str> = rest.split('/').collect();
    let mut segments = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if *name == "**" {
            if i + 1 < names.len() {
                return Err(SelectorError::Deep(text.to_owned()));
            }
            segments.push(Segment::Deep);
        } else if name.is_empty() || name.contains(" /") || name.ends_with(' ') {
            return Err(wrong());
        } else {
            segments.push(segment(unescape(name).ok_or_else(wrong)?));
        }
    }
    Ok(segments)
}

/// `~1` is `/` and `~0` is `~` (RFC 6901, section 4). `None` for any other use of `~`.
fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '~' => match chars.next()? {
                '0' => out.push('~'),
                '1' => out.push('/'),
                _ => return None,
            },
            other => out.push(other),
        }
    }
    Some(out)
}

fn ini(text: &str) -> Result<Vec<Segment>, SelectorError> {
    let wrong = || SelectorError::Ini(text.to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (section, key) = rest.rsplit_once("]/").ok_or_else(wrong)?;
        if section.is_empty() || key.is_empty() || key.contains(' ') {
            return Err(wrong());
        }
        return Ok(vec![segment(section.to_owned()), segment(key.to_owned())]);
    }
    if text.contains(' ') { Err(wrong()) } else { Ok(vec![Segment::Name(String::new()), segment(text.to_owned())]) }
}

fn netrc(text: &str) -> Result<Vec<Segment>, SelectorError> {
    let wrong = || SelectorError::Netrc(text.to_owned());
    let (machine, field) = text.strip_prefix("machine ").and_then(|rest| rest.split_once('#')).ok_or_else(wrong)?;
    if machine.is_empty() || machine.contains(' ') || !["password", "login", "account"].contains(&field) {
        return Err(wrong());
    }
    Ok(vec![segment(machine.to_owned()), Segment::Name(field.to_owned())])
}

fn name(text: &str) -> Result<Vec<Segment>, SelectorError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-*:@/".contains(c);
    if text.chars().all(good) { Ok(vec![segment(text.to_owned())]) } else { Err(SelectorError::Name(text.to_owned())) }
}

fn column(text: &str) -> Result<Column, SelectorError> {
    let wrong = || SelectorError::Column(text.to_owned());
    let identifier = |word: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!word.is_empty() && word.chars().all(good)).then(|| word.to_owned())
    };
    let (rest, by) = match text.rsplit_once(" by ") {
        Some((rest, by)) => (rest, Some(identifier(by).ok_or_else(wrong)?)),
        None => (text, None),
    };
    let (place, only) = match rest.split_once(" where ") {
        Some((place, condition)) => {
            let (column, glob) = condition.split_once(" glob ").ok_or_else(wrong)?;
            let glob = glob.strip_prefix('\'').and_then(|glob| glob.strip_suffix('\'')).ok_or_else(wrong)?;
            (place, Some((identifier(column).ok_or_else(wrong)?, glob.to_owned())))
        }
        None => (rest, None),
    };
    let (table, column) = place.split_once('.').ok_or_else(wrong)?;
    Ok(Column { table: identifier(table).ok_or_else(wrong)?, column: identifier(column).ok_or_else(wrong)?, only, by })
}

fn xml(text: &str) -> Result<Vec<XmlStep>, SelectorError> {
    let wrong = || SelectorError::Xml(text.to_owned());
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if matches!(steps.last(), Some(XmlStep::Attribute(_))) {
            return Err(wrong());
        }
        let deep = rest.starts_with("//");
        rest = rest.strip_prefix(if deep { "//" } else { "/" }).ok_or_else(wrong)?;
        let bracket = rest.find('[').unwrap_or(rest.len());
        let slash = rest.find('/').unwrap_or(rest.len());
        let (name, after) = rest.split_at(bracket.min(slash));
        let good = |c: char| c.is_alphanumeric() || "_-.:*".contains(c);
        if let Some(attribute) = name.strip_prefix('@') {
            if deep || steps.is_empty() || attribute.is_empty() || !attribute.chars().all(good) {
                return Err(wrong());
            }
            steps.push(XmlStep::Attribute(attribute.to_owned()));
            rest = after;
            continue;
        }
        if name.is_empty() || !name.chars().all(good) || (name.contains('*') && name != "*") {
            return Err(wrong());
        }
        let (with, after) = condition(after).ok_or_else(wrong)?;
        steps.push(XmlStep::Element { deep, name: name.to_owned(), with });
        rest = after;
    }
    if steps.is_empty() { Err(wrong()) } else { Ok(steps) }
}

/// The attribute that `[@name="value"]` at the start of `text` asks for, and what follows. `None` if it is half of one.
fn condition(text: &str) -> Option<(Option<(String, String)>, &str)> {
    let Some(rest) = text.strip_prefix("[@") else { return (!text.starts_with('[')).then_some((None, text)) };
    let (name, rest) = rest.split_once("=\"")?;
    let (value, rest) = rest.split_once("\"]")?;
    Some((Some((name.to_owned(), value.to_owned())), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Segment {
        Segment::Name(text.to_owned())
    }

    fn glob(text: &str) -> Segment {
        Segment::Glob(text.to_owned())
    }

    #[test]
    fn each_format_has_its_own_places() {
        let tree = |text, format| match find(text, format) {
            Ok(Find { place: Place::Tree(segments), .. }) => segments,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(tree("/auths/*/auth", Format::Json), [name("auths"), glob("*"), name("auth")]);
        assert_eq!(tree("/a~1b/**", Format::Yaml), [name("a/b"), Segment::Deep]);
        assert_eq!(tree("[http \"*\"]/extraheader", Format::Ini), [glob("http \"*\""), name("extraheader")]);
        assert_eq!(tree("//*/:_authToken", Format::Ini), [name(""), glob("//*/:_authToken")]);
        assert_eq!(tree("machine *#password", Format::Netrc), [glob("*"), name("password")]);
        assert_eq!(tree("*_API_KEY", Format::Dotenv), [glob("*_API_KEY")]);
        let column = find("ItemTable.value where key glob 'secret://*' by key", Format::Sqlite).unwrap();
        let expected = Column {
            table: "ItemTable".to_owned(),
            column: "value".to_owned(),
            only: Some(("key".to_owned(), "secret://*".to_owned())),
            by: Some("key".to_owned()),
        };
        assert_eq!(column.place, Place::Column(expected));
        let element = |deep, name: &str, with: Option<(&str, &str)>| XmlStep::Element {
            deep,
            name: name.to_owned(),
            with: with.map(|(a, b)| (a.to_owned(), b.to_owned())),
        };
        let path = find("//packages/*/add[@key=\"Password\"]/@value", Format::Xml).unwrap();
        let steps = vec![
            element(true, "packages", None),
            element(false, "*", None),
            element(false, "add", Some(("key", "Password"))),
            XmlStep::Attribute("value".to_owned()),
        ];
        assert_eq!(path.place, Place::Xml(steps));
    }

    #[test]
    fn what_is_found_can_be_taken_apart() {
        let found = find("[*]/token | base64 | json:/a/b", Format::Ini).unwrap();
        assert_eq!(found.steps, [Step::Base64, Step::Json(vec![name("a"), name("b")])]);
        let found = find("re:(?P<secret>a | b) | url", Format::Plain).unwrap();
        assert_eq!(found.steps, [Step::Url]);
        assert!(matches!(found.place, Place::Text(text) if text.to_string() == "(?P<secret>a | b)"));
        assert_eq!(find("*file* | gzip", Format::Plain), Err(SelectorError::Step("gzip".to_owned())));
    }

    #[test]
    fn a_wrong_one_is_told_what_would_be_right() {
        for (text, format, right) in [
            ("", Format::Json, "*file*"),
            ("/d /p /q", Format::Json, "note"),
            ("key", Format::Json, "/name/other"),
            ("[a]/b", Format::Yaml, "format ini"),
            ("/a/**/b", Format::Json, "last"),
            ("/a~2", Format::Json, "~1"),
            ("/a//b", Format::Json, "/name/other"),
            ("api.credentials key", Format::Ini, "[section]/key"),
            ("[a]", Format::Ini, "[section]/key"),
            ("machine x", Format::Netrc, "#password"),
            ("machine x#token", Format::Netrc, "#password"),
            ("A B", Format::Dotenv, "NAME"),
            ("ItemTable.value where key in", Format::Sqlite, "glob"),
            ("value", Format::Sqlite, "table.column"),
            ("a.b; drop.c", Format::Sqlite, "table.column"),
            ("password", Format::Xml, "//element"),
            ("//a/@b/c", Format::Xml, "at the end"),
            ("//a[1]", Format::Xml, "//element"),
            ("re:(", Format::Plain, "re:"),
            ("re:abc", Format::Plain, "(?P<secret>"),
            ("re:(?P<secret>[a-z]{1000}{1000})", Format::Plain, "size"),
            ("token", Format::Plain, "re:"),
            ("/token", Format::Mixed, "format"),
        ] {
            let error = find(text, format).unwrap_err().to_string();
            assert!(error.contains(right), "{text}: {error}");
        }
    }
}
