//! How each of these variables is written. Total: any bytes give some lines or none.

use super::{CODE, Syntax};

/// One thing that a value names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) option: String,
    pub(super) value: Vec<u8>,
}

impl Load {
    fn plain(value: &[u8]) -> Self {
        Self { option: String::new(), value: value.to_vec() }
    }

    fn of(option: &str, value: &[u8]) -> Self {
        Self { option: option.to_owned(), value: value.to_vec() }
    }
}

pub(super) fn loads(syntax: Syntax, value: &[u8]) -> Vec<Load> {
    let paths = |sign: fn(&u8) -> bool| value.split(sign).filter(|path| !path.is_empty()).map(Load::plain).collect();
    match syntax {
        Syntax::Preload => paths(|byte| *byte == b':' || byte.is_ascii_whitespace()),
        Syntax::Paths if value.is_empty() => Vec::new(),
        Syntax::Paths => {
            let whole = |path: &[u8]| Load::plain(if path.is_empty() { b"." } else { path });
            value.split(|byte| *byte == b':').map(whole).collect()
        }
        Syntax::Path => if value.is_empty() { None } else { Some(Load::plain(value)) }.into_iter().collect(),
        Syntax::Command => command(value).into_iter().collect(),
        Syntax::Node => node(value),
        Syntax::Java => java(value),
        Syntax::Ruby => ruby(value),
        Syntax::Perl => perl(value),
        Syntax::GitKey => git_key(value).into_iter().collect(),
        Syntax::GitValue => git_value(value).into_iter().collect(),
    }
}

/// When a backslash takes the next byte as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    Never,
    Quoted,
    Always,
}

/// Words with blanks between; `quotes` hold them together.
fn words(value: &[u8], quotes: &[u8], escape: Escape) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        let escapes = escape == Escape::Always || (escape == Escape::Quoted && quote.is_some());
        if byte == b'\\' && escapes {
            word.get_or_insert_default().extend(bytes.next());
        } else if quote == Some(byte) {
            quote = None;
        } else if quote.is_none() && quotes.contains(&byte) {
            quote = Some(byte);
            word.get_or_insert_default();
        } else if quote.is_none() && byte.is_ascii_whitespace() {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(byte);
        }
    }
    words.extend(word);
    words
}

fn split_at(word: &[u8], sign: u8) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|byte| *byte == sign)?;
    Some((word.get(..at)?, word.get(at + 1..)?))
}

/// The program of a command, when it is named by a path. A bare name is found through `PATH`.
fn command(value: &[u8]) -> Option<Load> {
    let words = words(value, b"\"'", Escape::Always);
    let assignment = |word: &&Vec<u8>| {
        let name = split_at(word, b'=').map(|(name, _)| name);
        name.is_some_and(|name| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
    };
    let program = words.iter().find(|word| !assignment(word))?;
    program.contains(&b'/').then(|| Load::plain(program))
}

const NODE: &[&str] = &["--require", "-r", "--import", "--loader", "--experimental-loader", "--preload"];

/// <https://nodejs.org/api/cli.html#node_optionsoptions>: `_` and `-` are the same in option names.
fn node(value: &[u8]) -> Vec<Load> {
    let words = words(value, b"\"", Escape::Quoted);
    let mut words = words.iter();
    let mut loads = Vec::new();
    while let Some(word) = words.next() {
        let (name, joined) = split_at(word, b'=').map_or((word.as_slice(), None), |(name, value)| (name, Some(value)));
        let name = String::from_utf8_lossy(name).replace('_', "-");
        let Some(option) = NODE.iter().find(|option| **option == name) else { continue };
        let Some(what) = joined.or_else(|| words.next().map(Vec::as_slice)) else { break };
        let what = if what.starts_with(b"data:") { CODE.as_bytes() } else { what };
        loads.push(Load::of(option, what.strip_prefix(b"file://").unwrap_or(what)));
    }
    loads
}

/// Options that name files, with the sign after which options of an agent follow.
const JAVA: &[(&str, &str)] = &[
    ("-javaagent:", "-javaagent"),
    ("-agentpath:", "-agentpath"),
    ("-Xbootclasspath/a:", "-Xbootclasspath"),
    ("-Xbootclasspath/p:", "-Xbootclasspath"),
    ("-Xbootclasspath:", "-Xbootclasspath"),
    ("--patch-module=", "--patch-module"),
    ("--class-path=", "--class-path"),
    ("@", "@"),
];

fn java(value: &[u8]) -> Vec<Load> {
    let words = words(value, b"\"'", Escape::Never);
    let mut words = words.iter();
    let mut loads = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word.as_slice(), b"-cp" | b"-classpath" | b"--class-path") {
            let Some(paths) = words.next() else { break };
            java_paths("--class-path", paths, &mut loads);
            continue;
        }
        let found = JAVA.iter().find_map(|(begin, option)| Some((*option, word.strip_prefix(begin.as_bytes())?)));
        match found {
            Some((option @ ("-javaagent" | "-agentpath"), agent)) => {
                let file = split_at(agent, b'=').map_or(agent, |(file, _)| file);
                loads.push(Load::of(option, file));
            }
            Some((option @ "--patch-module", patch)) => {
                java_paths(option, split_at(patch, b'=').map_or(patch, |(_, paths)| paths), &mut loads);
            }
            Some((option, paths)) => java_paths(option, paths, &mut loads),
            None => {}
        }
    }
    loads
}

fn java_paths(option: &str, paths: &[u8], loads: &mut Vec<Load>) {
    loads.extend(paths.split(|byte| *byte == b':').filter(|path| !path.is_empty()).map(|path| Load::of(option, path)));
}

fn ruby(value: &[u8]) -> Vec<Load> {
    let words = words(value, b"", Escape::Never);
    let mut words = words.iter();
    let mut loads = Vec::new();
    while let Some(word) = words.next() {
        let Some(option) = ["-r", "-I"].into_iter().find(|option| word.starts_with(option.as_bytes())) else {
            continue;
        };
        let what = match word.get(2..) {
            Some(joined) if !joined.is_empty() => joined,
            _ => match words.next() {
                Some(next) => next,
                None => break,
            },
        };
        java_paths(option, what, &mut loads);
    }
    loads
}

/// perlrun(1): `PERL5OPT` takes `-[CDIMTUWdmtw]`. What follows a module's name is pasted into the program.
fn perl(value: &[u8]) -> Vec<Load> {
    let mut loads = Vec::new();
    for word in words(value, b"", Escape::Never) {
        let word = word.strip_prefix(b"-").unwrap_or(&word);
        match word.split_first() {
            Some((b'I', path)) => java_paths("-I", path, &mut loads),
            Some((b'M' | b'm', module)) => {
                let (name, list) = split_at(module, b'=').unwrap_or((module, b""));
                let name = name.strip_prefix(b"-").unwrap_or(name);
                if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_')) {
                    loads.push(Load::of("-M", CODE.as_bytes()));
                } else if name == b"lib" {
                    let paths = list.split(|byte| *byte == b',').filter(|path| !path.is_empty());
                    loads.extend(paths.map(|path| Load::of("-I", path)));
                } else {
                    loads.push(Load::of("-M", name));
                }
            }
            _ => {}
        }
    }
    loads
}

/// Settings that name a program or a file with more settings. Subsections are left out: they can be URLs with a user.
fn git_key(value: &[u8]) -> Option<Load> {
    let key = String::from_utf8_lossy(value).to_ascii_lowercase();
    let (section, _) = key.split_once('.')?;
    let (_, name) = key.rsplit_once('.')?;
    let plain = format!("{section}.{name}");
    let known = matches!(
        plain.as_str(),
        "credential.helper"
            | "core.sshcommand"
            | "core.askpass"
            | "core.gitproxy"
            | "core.hookspath"
            | "core.fsmonitor"
            | "include.path"
            | "includeif.path"
    );
    known.then(|| Load::plain(plain.as_bytes()))
}

/// Only what is named by a path: the value of another setting may be a secret (`http.extraHeader`).
fn git_value(value: &[u8]) -> Option<Load> {
    let value = value.strip_prefix(b"!").unwrap_or(value);
    let path = [b"/".as_slice(), b"~/", b"./", b"../"].iter().any(|begin| value.starts_with(begin));
    let words = words(value, b"\"'", Escape::Always);
    words.first().filter(|_| path).map(|word| Load::plain(word))
}
