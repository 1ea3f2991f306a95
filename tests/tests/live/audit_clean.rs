//! Trees in which nobody keeps tokens: an audit says nothing of them but what is a key in truth, and that is explained in
//! `docs/audit.md`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tokenhound_tests::{process, skip, stage::Stage};

const PAGE: &str = include_str!("../../../docs/audit.md");

/// Path and rule of each row of the table.
fn explained() -> Vec<(&'static str, &'static str)> {
    let table = PAGE.split("## Clean trees").nth(1).expect("the table");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = rows
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[2])
        })
        .collect();
    assert!(!rows.is_empty());
    rows
}

/// Does a path match a pattern in which `*` is anything?
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (number, part) in parts.iter().enumerate() {
        if number + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Findings that nothing explains, and the number of files that were looked into.
fn unexplained(stage: &Stage, root: &Path) -> (Vec<String>, u64) {
    let state = stage.directory("state");
    let mut command = Command::new(process::tokenhound());
    command.arg("audit").arg("--root").arg(root).args(["--format", "json", "--state-dir"]).arg(state);
    let ended = process::run(&mut command, b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let report: Value = serde_json::from_str(&ended.out()).unwrap();
    let rows = explained();
    let known = |finding: &&Value| {
        let (path, rule) = (finding["path"].as_str().unwrap(), finding["rule"].as_str().unwrap());
        !rows.iter().any(|(pattern, of)| *of == rule && matches(pattern, path))
    };
    let words = |finding: &Value| format!("{} {} line {}", finding["path"], finding["rule"], finding["line"]);
    let left = report["findings"].as_array().unwrap().iter().filter(known).map(words).collect();
    (left, report["looked_at"]["files"].as_u64().unwrap())
}

#[test]
fn nothing_is_found_but_what_is_explained() {
    if !skip::native("a guest has no such trees") {
        return;
    }
    let stage = Stage::new();
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let trees = [Some(PathBuf::from("/usr")), cargo.map(|home| home.join("registry/src"))];
    for tree in trees.into_iter().flatten().filter(|tree| tree.is_dir()) {
        let (left, files) = unexplained(&stage, &tree);
        assert!(left.is_empty(), "{}: {files} files\n{}", tree.display(), left.join("\n"));
        assert!(files > 1_000, "{}: {files} files only", tree.display());
    }
}

#[test]
fn a_pattern_is_no_more_than_it_says() {
    for (pattern, path, expected) in [
        ("/a/*", "/a/b/c", true),
        ("/a/*", "/b/a/c", false),
        ("/a/*_api.py", "/a/x_api.py", true),
        ("/a/*_api.py", "/a/x_api.pyc", false),
        ("/a/*/test*", "/a/b/tests/key", true),
        ("/a/*/test*", "/a/b/c/key", false),
        ("/a", "/a", true),
        ("/a", "/a/b", false),
    ] {
        assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
    }
}
