//! The samples, and the tests over them.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use super::super::*;
use crate::{
    catalogue::{homes::EnvOverrides, homes::Homes, model::Role, tests::shipped_catalogue},
    telemetry::bless,
    token::jwt,
};

/// One sample.
pub(crate) struct Sample {
    /// Id of its store.
    pub store: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/token/extract/samples")
}

/// Every sample, in the order of the files.
pub(crate) fn all() -> Vec<Sample> {
    let mut files: Vec<_> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut samples = Vec::new();
    for file in files {
        for text in format!("\n{}", fs::read_to_string(file).unwrap()).split("\n=== ").skip(1) {
            let (head, body) = text.split_once('\n').unwrap();
            let (store, path) = head.split_once(' ').unwrap();
            samples.push(Sample { store: store.to_owned(), path: path.into(), bytes: bytes(&expand(body)) });
        }
    }
    samples
}

fn bytes(body: &str) -> Vec<u8> {
    let Some(sql) = body.strip_prefix("{{sqlite}}\n") else { return format!("{body}\n").into_bytes() };
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    connection.serialize(rusqlite::MAIN_DB).unwrap().to_vec()
}

fn expand(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some(start) = rest.find("{{").filter(|at| !rest[*at..].starts_with("{{sqlite")) {
        // What is encoded may end in braces itself.
        let end = start + rest[start..].find("}}").unwrap();
        let end = end + rest[end..].bytes().take_while(|byte| *byte == b'}').count() - 2;
        out.push_str(&rest[..start]);
        out.push_str(&made_up(&rest[start + 2..end]));
        rest = &rest[end + 2..];
    }
    if out.is_empty() && rest.starts_with("{{sqlite}}") {
        return format!("{{{{sqlite}}}}{}", expand(&rest[10..]));
    }
    out + rest
}

fn made_up(word: &str) -> String {
    let pem = |label: &str| format!("-----BEGIN {label}-----\nbWFkZS11cA==\n-----END {label}-----");
    match word.split_once(':') {
        // What has double braces itself.
        Some(("text", text)) => text.to_owned(),
        Some(("base64", text)) => data_encoding::BASE64.encode(text.as_bytes()),
        Some(("pem", label)) => pem(label),
        Some(("json-pem", label)) => pem(label).replace('\n', "\\n"),
        None if word == "rest" => format!("1{}", "MADEUP".repeat(10).get(..58).unwrap()),
        None if word == "jwt" => {
            jwt::made_up(r#"{"alg":"RS256"}"#, r#"{"iss":"https://id.example.com","iat":1893450000,"exp":1893456000}"#)
        }
        _ => panic!("no macro {word}"),
    }
}

fn described(sample: &Sample) -> String {
    let store = shipped_catalogue().store(&sample.store).unwrap();
    let content = Content { path: &sample.path, bytes: &sample.bytes, wal: None, written: None };
    let found = extract(store, &content);
    let mut out = format!("{} {}\n", sample.store, sample.path.display());
    for Token { secret, facts } in &found.tokens {
        let value: String = String::from_utf8_lossy(secret.expose()).escape_debug().take(28).collect();
        let _ = write!(out, "  token {} | {} | {value}", facts.field, facts.kind.name());
        if facts.protection != Protection::Plain {
            let _ = write!(out, " | {}", facts.protection.name());
        }
        let _ = write!(out, " | {:?} {:?}", facts.subject, facts.lifetime);
        if let Some(issuer) = &facts.issuer {
            let _ = write!(out, " | of {issuer}");
        }
        if let Some(issued) = facts.issued {
            let _ = write!(out, " | issued {issued}");
        }
        if let Some(expires) = facts.expires {
            let _ = write!(out, " | expires {expires}");
        }
        out.push('\n');
    }
    for reference in &found.references {
        let _ = writeln!(out, "  elsewhere {} | {:?}", reference.field, reference.to);
    }
    for problem in &found.problems {
        let _ = writeln!(out, "  problem: {problem}");
    }
    out
}

#[test]
fn each_sample_gives_what_is_expected() {
    let text: String = all().iter().map(described).collect();
    bless::compare("agent/src/token/extract/samples/expected", &text);
}

#[test]
fn samples_lie_where_their_stores_do() {
    let homes = Homes::new(["/home/ann".into()]);
    for sample in all() {
        let stores = shipped_catalogue().stores_for(&sample.path, &homes, &EnvOverrides::new());
        let found = stores.iter().any(|store| store.id == sample.store);
        // What moves with a variable is where that says.
        let moved =
            shipped_catalogue().store(&sample.store).unwrap().paths.iter().all(|path| path.text().starts_with('$'));
        assert!(found || moved, "{} is no path of {}", sample.path.display(), sample.store);
    }
}

#[test]
fn every_store_that_tokens_are_taken_from_has_a_sample() {
    let with: BTreeSet<String> = all().into_iter().map(|sample| sample.store).collect();
    let needed = shipped_catalogue().stores().iter().filter(|store| store.role == Role::Store);
    let without: Vec<&str> = needed
        .filter(|store| store.not_extracted.is_none() && !with.contains(&store.id))
        .map(|store| store.id.as_str())
        .collect();
    assert!(without.is_empty(), "no sample of {}", without.join(", "));
}
