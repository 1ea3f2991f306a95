//! 500 tokens in a root, in stores, histories, scripts, logs, notebooks and encodings: the audit finds what it says that it
//! finds, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

use super::{Image, KEY};
use crate::{
    audit::report,
    token::{fingerprint::Key, scan::Needles, secret::Secret, shape},
};

/// Tokens that lie in stores and are copied in all encodings.
const STORED: usize = 60;
/// Tokens of no store.
const LOOSE: usize = 440;

/// Made-up tokens of every shape in turn, none twice.
fn made_up(count: usize, of: fn(&shape::Shape) -> bool) -> Vec<String> {
    let mut tokens = BTreeSet::new();
    for seed in 0.. {
        for shape in shape::all().filter(|shape| of(shape)) {
            if tokens.len() == count {
                return tokens.into_iter().collect();
            }
            tokens.extend(shape.made_up(1000 + seed));
        }
    }
    unreachable!()
}

/// Files of the root, and the tokens in each that must be found.
#[derive(Default)]
struct Seeds {
    files: BTreeMap<String, Vec<u8>>,
    expected: BTreeSet<(String, String)>,
}

impl Seeds {
    fn add(&mut self, path: &str, text: &[u8], token: &str) {
        let file = self.files.entry(path.to_owned()).or_default();
        file.extend_from_slice(text);
        file.push(b'\n');
        let fingerprint = Key::new(KEY).fingerprint_of(token.as_bytes()).to_string();
        self.expected.insert((format!("/{path}"), fingerprint));
    }
}

/// The forms in which a token of a store is found.
fn forms(token: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = token.as_bytes();
    let with = |before: &str| format!("{before}{token}:x");
    vec![
        ("raw", format!("curl -H 'Authorization: Bearer {token}' https://example.invalid").into_bytes()),
        ("base64-0", BASE64.encode(with("").as_bytes()).into_bytes()),
        ("base64-1", BASE64.encode(with("u").as_bytes()).into_bytes()),
        ("base64-2", BASE64.encode(with("us").as_bytes()).into_bytes()),
        ("base64url", BASE64URL.encode(with("~?").as_bytes()).into_bytes()),
        ("twice", BASE64.encode(BASE64.encode(with("x").as_bytes()).as_bytes()).into_bytes()),
        ("hex", HEXLOWER.encode(bytes).into_bytes()),
        ("HEX", HEXUPPER.encode(bytes).into_bytes()),
        ("wide", format!(" {token} ").encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("binary", [&[0, 1, 2, 255][..], bytes, &[0; 9]].concat()),
    ]
}

/// Tokens in stores, copied elsewhere.
fn stored(seeds: &mut Seeds, image: &Image) {
    let tokens = made_up(STORED, |shape| shape.id.starts_with("github-"));
    let mut hosts = String::new();
    for (number, token) in tokens.iter().enumerate() {
        assert!(Needles::of(&Key::new(KEY), &Secret::from(token.clone())).is_ok(), "it can be looked for");
        let _ = write!(hosts, "git{number}.example.invalid:\n    user: ann\n    oauth_token: {token}\n");
        let forms = forms(token);
        let (name, form) = &forms[number % forms.len()];
        seeds.add(&format!("home/ann/copies/{name}-{number}"), form, token);
    }
    image.write("home/ann/.config/gh/hosts.yml", hosts);
}

/// Tokens that lie nowhere else.
fn loose(seeds: &mut Seeds) {
    for (number, token) in made_up(LOOSE, |_| true).iter().enumerate() {
        let turn = number / 11;
        let (path, text) = match number % 11 {
            0 => ("home/ann/.bash_history".to_owned(), format!("export TOKEN={token}")),
            1 => ("home/ann/.zsh_history".to_owned(), format!(": 17000{number}:0;login --token {token}")),
            2 => ("home/ann/.local/share/fish/fish_history".to_owned(), format!("- cmd: set -x T \"{token}\"")),
            3 => (format!("home/ann/bin/deploy{turn}.sh"), format!("#!/bin/sh\nT='{token}'")),
            4 => (format!("var/log/app/out.log.{turn}"), format!("2026-01-01T00:00:00Z INFO header={token} ok")),
            5 => (format!("srv/app{turn}/.env"), format!("A=1\nTOKEN={token}")),
            6 => (format!("home/ann/work/n{turn}.ipynb"), format!("{{\"source\": [\"t = '{token}'\\n\"]}}")),
            7 => (format!("home/ann/p{turn}/.github/workflows/ci.yml"), format!("env:\n  T: {token}")),
            8 => ("root/.profile".to_owned(), format!("export T={token}")),
            9 => (format!("etc/app/conf{turn}.yaml"), format!("token: \"{token}\"")),
            _ => (format!("opt/tool{turn}/settings.json"), format!("{{\"token\":\"{token}\"}}")),
        };
        seeds.add(&path, text.as_bytes(), token);
    }
}

#[test]
fn all_that_is_claimed_is_found() {
    let image = Image::new();
    let mut seeds = Seeds::default();
    stored(&mut seeds, &image);
    loose(&mut seeds);
    assert_eq!(seeds.expected.len(), STORED + LOOSE);
    for (path, content) in &seeds.files {
        image.write(path, content);
    }
    let (report, needles) = image.audited();
    let copies = report.findings.iter().filter(|finding| finding.detector.name() == "token-copied");
    let found: BTreeSet<(String, String)> = copies
        .map(|it| (it.path.display().to_string(), it.fingerprint.map(|it| it.to_string()).unwrap_or_default()))
        .collect();
    let missed: Vec<_> = seeds.expected.difference(&found).collect();
    let invented: Vec<_> = found.difference(&seeds.expected).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:#?}, invented {invented:#?}");

    let tokens: Vec<String> = made_up(STORED, |shape| shape.id.starts_with("github-"));
    let tokens = tokens.into_iter().chain(made_up(LOOSE, |_| true));
    let parts: Vec<String> = tokens.map(|token| token[token.len() - 12..].to_owned()).collect();
    let style = report::text::Style::default();
    for text in [
        report::text::render(&report, style),
        report::json::render(&report),
        report::sarif::render(&report),
        report::html::render(&report),
    ] {
        let clean = report::clean::clean(text, &needles);
        assert!(!parts.iter().any(|part| clean.contains(part.as_str())), "a token is in a report");
    }
}
