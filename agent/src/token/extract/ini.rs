//! INI as a dozen tools write it, lists of variables, Java properties: sections of keys.

use super::tree::Tree;

/// Sections with their keys; the keys before the first section are in the one without a name.
///
/// Accepted: `key = value`, `key: value`, `key value` is not; comments of whole lines with `#` or `;`, and after white
/// space; values in quotes; git's `[section "name"]`. A section or key may come twice.
pub(super) fn parse(text: &str) -> Tree {
    let mut sections: Vec<(String, Tree)> = Vec::new();
    let mut name = String::new();
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.rfind(']').map(|end| &rest[..end])) {
            sections
                .push((std::mem::replace(&mut name, section.trim().to_owned()), Tree::Map(std::mem::take(&mut keys))));
        } else if let Some((key, value)) = split(line) {
            keys.push((key.to_owned(), Tree::text(unquote(strip_remark(value)))));
        }
    }
    sections.push((name, Tree::Map(keys)));
    Tree::Map(sections)
}

/// Key and value. An npm key has colons in it, so a colon separates only before white space, or where there is no `=`.
fn split(line: &str) -> Option<(&str, &str)> {
    let equals = line.find('=');
    let colon = line.find(": ").or_else(|| line.find(":\t"));
    let at = match (equals, colon) {
        (Some(equals), Some(colon)) => equals.min(colon),
        (Some(at), None) | (None, Some(at)) => at,
        (None, None) => line.find(':')?,
    };
    Some((line[..at].trim(), line[at + 1..].trim()))
}

/// A value without a remark after it, unless it is quoted.
fn strip_remark(value: &str) -> &str {
    if value.starts_with(['"', '\'']) {
        return value;
    }
    let remark = value.find(" #").or_else(|| value.find(" ;")).or_else(|| value.find("\t#"));
    remark.map_or(value, |at| value[..at].trim_end())
}

/// A value without the quotes around it, three as Grafana has them or one, and without what follows them.
fn unquote(value: &str) -> &str {
    for quote in ["\"\"\"", "\"", "'"] {
        if let Some(rest) = value.strip_prefix(quote)
            && let Some(end) = rest.find(quote)
        {
            return &rest[..end];
        }
    }
    value
}

/// `NAME=value` lines, with `export` before them if need be.
pub(super) fn variables(text: &str) -> Tree {
    let mut map = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        if let Some((name, value)) = line.split_once('=') {
            map.push((name.trim().to_owned(), Tree::text(unquote(strip_remark(value.trim())))));
        }
    }
    Tree::Map(map)
}

/// Java properties: `name = value`, `name: value` or `name value`, `\` before a character that is meant itself and at
/// the end of a line that goes on.
pub(super) fn properties(text: &str) -> Tree {
    let mut map = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut whole = zeroize::Zeroizing::new(line.trim_start().to_owned());
        if whole.starts_with(['#', '!']) {
            continue;
        }
        while whole.ends_with('\\') && !whole.ends_with("\\\\") {
            whole.pop();
            match lines.next() {
                Some(next) => whole.push_str(next.trim_start()),
                None => break,
            }
        }
        let mut escaped = false;
        let end = whole.char_indices().find(|&(_, c)| {
            let separates = !escaped && (c == '=' || c == ':' || c.is_whitespace());
            escaped = c == '\\' && !escaped;
            separates
        });
        if let Some((at, _)) = end {
            let value = whole[at..].trim_start();
            let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim();
            map.push((plain(&whole[..at]), Tree::text(plain(unquote(value)))));
        }
    }
    Tree::Map(map)
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// netrc: machines with login, password and account; `default` is a machine of that name. Macros are skipped.
pub(super) fn netrc(text: &str) -> Tree {
    let mut machines: Vec<(String, Tree)> = Vec::new();
    let mut current: Option<(String, Vec<(String, Tree)>)> = None;
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        while let Some(word) = words.next() {
            match word {
                "machine" | "default" => {
                    machines.extend(current.take().map(|(name, fields)| (name, Tree::Map(fields))));
                    let name = if word == "default" { Some("default") } else { words.next() };
                    current = name.map(|name| (name.to_owned(), Vec::new()));
                }
                "login" | "user" | "password" | "passwd" | "account" => {
                    let name = match word {
                        "passwd" => "password",
                        "user" => "login",
                        other => other,
                    };
                    if let (Some((_, fields)), Some(value)) = (current.as_mut(), words.next()) {
                        fields.push((name.to_owned(), Tree::text(unquote(value))));
                    }
                }
                "macdef" => in_macro = true,
                _ if word.starts_with('#') => break,
                // `port`, `protocol` and others that some programs know.
                _ => {}
            }
            if in_macro {
                break;
            }
        }
    }
    machines.extend(current.take().map(|(name, fields)| (name, Tree::Map(fields))));
    Tree::Map(machines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::model::Format,
        token::selector::{Place, find},
    };

    fn found(tree: &Tree, selector: &str, format: Format) -> Vec<(String, String)> {
        let Ok(Place::Tree(segments)) = find(selector, format).map(|find| find.place) else { panic!("{selector}") };
        let hits = tree.select(&segments, format == Format::Ini);
        hits.into_iter().map(|hit| (hit.path.join("|"), hit.text.to_owned())).collect()
    }

    fn pair(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn the_dialects_of_ini() {
        let aws =
            parse("# x\n[default]\naws_secret_access_key = a/b+c= # mine\n\n[profile w]\nAWS_Secret_Access_Key=d\n");
        let secrets = found(&aws, "[*]/aws_secret_access_key", Format::Ini);
        assert_eq!(
            secrets,
            [pair("default|aws_secret_access_key", "a/b+c="), pair("profile w|AWS_Secret_Access_Key", "d")]
        );
        let npm = parse("registry=https://r/\n//r.example/:_authToken=abc\n; no\n//r.example/:_password=\"ZA==\"\n");
        assert_eq!(found(&npm, "//*/:_authToken", Format::Ini), [pair("|//r.example/:_authToken", "abc")]);
        assert_eq!(found(&npm, "//*/:_password", Format::Ini), [pair("|//r.example/:_password", "ZA==")]);
        let git = parse("[http \"https://h/\"]\n\textraHeader = AUTHORIZATION: basic eA==\n[a]b=c\n");
        let header = found(&git, "[http \"*\"]/extraheader", Format::Ini);
        assert_eq!(header, [pair("http \"https://h/\"|extraHeader", "AUTHORIZATION: basic eA==")]);
        let grafana = parse("[smtp]\npassword = \"\"\"a#b;\"c\"\"\" # x\nuser = \"\"\n");
        assert_eq!(found(&grafana, "[smtp]/password", Format::Ini), [pair("smtp|password", "a#b;\"c")]);
        assert_eq!(found(&grafana, "[smtp]/user", Format::Ini), [pair("smtp|user", "")]);
        let pypi = parse("[pypi]\nusername: __token__\npassword: pypi-a=b\n");
        assert_eq!(found(&pypi, "[*]/password", Format::Ini), [pair("pypi|password", "pypi-a=b")]);
    }

    #[test]
    fn variables_and_properties() {
        let env = variables("#A=1\nexport B_API_KEY='x y' # r\nC_API_KEY=z\n=\n");
        let keys = found(&env, "*_API_KEY", Format::Dotenv);
        assert_eq!(keys, [pair("B_API_KEY", "x y"), pair("C_API_KEY", "z")]);
        let java = properties("! c\na\\ b.password = x\\\n   y\ntoken: q\\=r\nname \"v\"\n\\");
        assert_eq!(found(&java, "*password", Format::Properties), [pair("a b.password", "xy")]);
        assert_eq!(found(&java, "token", Format::Properties), [pair("token", "q=r")]);
        assert_eq!(found(&java, "name", Format::Properties), [pair("name", "v")]);
    }

    #[test]
    fn machines_of_a_netrc() {
        let text = "machine a.example login me password one\nmachine b.example\n  login you # x\n  password two\n\
                    macdef init\npassword no\n\ndefault login any password three\n";
        let tree = netrc(text);
        assert_eq!(
            found(&tree, "machine *#password", Format::Netrc),
            [pair("a.example|password", "one"), pair("b.example|password", "two"), pair("default|password", "three")]
        );
        assert_eq!(found(&tree, "machine a.example#login", Format::Netrc), [pair("a.example|login", "me")]);
    }
}
