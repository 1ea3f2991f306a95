//! Tokens outside of stores.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, process::Command};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

use super::Image;
use crate::{
    audit::{model::*, report},
    finding::severity::Severity,
    token::shape,
};

/// A made-up token of a shape.
fn made_up(id: &str, seed: u64) -> String {
    shape::named(id).and_then(|shape| shape.made_up(seed)).unwrap_or_else(|| panic!("no shape {id}"))
}

/// A store with a token in it.
fn gh(image: &Image, token: &str) {
    image.write("home/ann/.config/gh/hosts.yml", format!("github.com:\n    user: ann\n    oauth_token: {token}\n"));
}

/// Path, line and rule of what was found outside of stores.
fn copies(report: &Report) -> Vec<(String, u64, &'static str)> {
    let copies = report.findings.iter().filter(|finding| finding.detector.name() == "token-copied");
    let mut found: Vec<_> =
        copies.map(|it| (it.path.display().to_string(), it.line.unwrap_or_default(), it.rule)).collect();
    found.sort();
    found
}

#[test]
fn a_token_of_a_store_is_found_in_every_form() {
    let image = Image::new();
    let token = made_up("github-oauth", 1);
    gh(&image, &token);
    let twice = BASE64.encode(BASE64.encode(format!("x:{token}").as_bytes()).as_bytes());
    let wide: Vec<u8> = format!("set T={token}\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files: &[(&str, Vec<u8>)] = &[
        ("home/ann/.bash_history", format!("ls\nexport GH_TOKEN={token}\n").into_bytes()),
        ("home/ann/bin/a.sh", format!("#!/bin/sh\ncurl -u :{token} x\n").into_bytes()),
        ("home/ann/basic", format!("a\nb\nBasic {}\n", BASE64.encode(format!("u:{token}").as_bytes())).into_bytes()),
        ("home/ann/url", format!("{}\n", BASE64URL_NOPAD.encode(format!("?{token}").as_bytes())).into_bytes()),
        ("home/ann/hex", HEXLOWER.encode(token.as_bytes()).into_bytes()),
        ("home/ann/twice", twice.into_bytes()),
        ("home/ann/wide.txt", wide),
        ("home/ann/core.bin", [&[0_u8; 100][..], token.as_bytes(), &[0; 100]].concat()),
    ];
    for (path, content) in files {
        image.write(path, content);
    }
    // The twin: the same without the last character is another token.
    image.write("home/ann/other", HEXLOWER.encode(&token.as_bytes()[..token.len() - 3]));
    let report = image.audit();
    let mut expected: Vec<_> = [2, 2, 3, 1, 1, 1, 1, 1]
        .into_iter()
        .zip(files)
        .map(|(line, (path, _))| (format!("/{path}"), line, "known-token"))
        .collect();
    expected.sort();
    assert_eq!(copies(&report), expected);
    let history = report.findings.iter().find(|it| it.path.ends_with(".bash_history")).unwrap();
    assert_eq!((history.severity, history.store.as_deref()), (Severity::High, Some("gh-hosts")));
    assert!(history.headline.contains("a history of commands"), "{}", history.headline);
}

#[test]
fn a_token_of_no_store_is_found_by_its_shape() {
    let image = Image::new();
    let mut large = String::new();
    for number in 0..40_000 {
        writeln!(large, "{number} nothing to see here").unwrap();
    }
    let at = large[..700_000].rfind('\n').unwrap() + 1;
    let line = large[..at].matches('\n').count() as u64 + 1;
    large.insert_str(at, &format!("token={}\n", made_up("github-classic", 2)));
    image.write("home/ann/large.log", large);
    image.write("home/ann/p/.env", format!("A=1\nT={}\n", made_up("github-classic", 3)));
    image.write("home/ann/p/node_modules/x/test.js", format!("t('{}')", made_up("github-classic", 4)));
    image.write("home/ann/p/placeholder", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
    let report = image.audit();
    assert_eq!(
        copies(&report),
        [
            ("/home/ann/large.log".to_owned(), line, "token-shape"),
            ("/home/ann/p/.env".to_owned(), 2, "token-shape"),
            ("/home/ann/p/node_modules/x/test.js".to_owned(), 1, "token-shape"),
        ]
    );
    let severity = |end: &str| report.findings.iter().find(|it| it.path.ends_with(end)).unwrap().severity;
    assert_eq!((severity(".env"), severity("test.js")), (Severity::Medium, Severity::Low));
}

#[test]
fn what_git_knows_counts() {
    let image = Image::new();
    for name in ["tracked", "ignored"] {
        image.write(&format!("home/ann/p/{name}"), format!("T={}\n", made_up("github-classic", 5)));
    }
    image.write("home/ann/p/.gitignore", "ignored\n");
    for arguments in [&["init", "-q"][..], &["add", "tracked"]] {
        let git = Command::new("git").args(arguments).current_dir(image.path("home/ann/p")).status().unwrap();
        assert!(git.success());
    }
    let report = image.audit();
    let of = |end: &str| report.findings.iter().find(|it| it.path.ends_with(end)).unwrap();
    assert_eq!((of("tracked").severity, of("ignored").severity), (Severity::High, Severity::Medium));
    assert!(of("tracked").evidence.iter().any(|fact| fact.contains("part of a git repository")));
}

#[test]
fn a_token_across_two_blocks_is_found_once() {
    let token = made_up("github-classic", 6);
    for before in [262_144 - 20, 262_144 - 16_384 - 20, 262_144 + 16_384 + 64 - 20, 524_288 - 10] {
        let image = Image::new();
        image.write("home/ann/x", format!("{}\n{token}\n{}", "-".repeat(before), "=".repeat(300_000)));
        let report = image.audit();
        assert_eq!(copies(&report), [("/home/ann/x".to_owned(), 2, "token-shape")], "{before}");
        assert!(!report.findings[0].evidence.iter().any(|fact| fact.ends_with("times")), "{before}");
    }
}

#[test]
fn what_is_not_looked_at_is_counted() {
    let image = Image::new();
    image.write("home/ann/p/.git/objects/ab/cdef", format!("T={}", made_up("github-classic", 7)));
    image.write("home/ann/program", [0; 10]);
    let report = image.audit();
    assert_eq!(copies(&report), []);
    assert_eq!(report.counts.skipped.get(&Skipped::GitObjects), Some(&1));
    assert_eq!(report.counts.skipped.get(&Skipped::Binary), Some(&1));
}

#[test]
fn decoys_are_not_touched() {
    let mut image = Image::new();
    let token = made_up("github-classic", 10);
    for path in ["home/ann/.aws/credentials", "home/ann/notes"] {
        image.write(path, &token);
        image.1.insert(format!("/{path}").into());
    }
    let report = image.audit();
    assert_eq!((report.stores.len(), report.findings.len(), report.counts.files), (0, 0, 2));
    assert_eq!(report.counts.skipped.get(&Skipped::Decoy), Some(&2));
}

#[test]
fn no_output_holds_a_token_whatever_names_do() {
    let image = Image::new();
    let (stored, other) = (made_up("github-oauth", 8), made_up("github-classic", 9));
    gh(&image, &stored);
    fs::set_permissions(image.path("home/ann/.config/gh/hosts.yml"), fs::Permissions::from_mode(0o644)).unwrap();
    image.write(&format!("home/ann/{stored}/note"), &stored);
    image.write(&format!("home/ann/{other}.txt"), &other);
    let (report, needles) = image.audited();
    assert_eq!(copies(&report).len(), 2);
    let style = report::text::Style::default();
    for text in [
        report::text::render(&report, style),
        report::json::render(&report),
        report::sarif::render(&report),
        report::html::render(&report),
    ] {
        assert!(text.contains(&stored) && text.contains(&other), "the wall must have something to hold back");
        let clean = report::clean::clean(text, &needles);
        for token in [&stored, &other] {
            assert!(!token.as_bytes().windows(12).any(|part| clean.contains(std::str::from_utf8(part).unwrap())));
        }
        assert!(clean.contains("[token]") && clean.contains("gh-hosts"), "{clean}");
    }
}
