//! Trees in which nobody keeps tokens: an audit says nothing of them but what is a key in truth, and that is explained in
//! `docs/audit.md`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokenhound_tests::{
    process::{self, Background},
    skip,
    stage::Stage,
};

/// How long a tree may take. A `/usr` of many gigabytes is read as a whole, on a machine that has other work.
const LONGEST: Duration = Duration::from_secs(1200);

const PAGE: &str = include_str!("../../../docs/audit.md");
const LOCK: &str = include_str!("../../../Cargo.lock");

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

/// The crates that are built here, as their directories are called. Cargo keeps the sources of others beside them: of whatever
/// was installed on this machine.
fn crates() -> HashSet<String> {
    let value = |line: &'static str, key: &str| line.strip_prefix(key)?.strip_suffix('"');
    let (mut name, mut all) = ("", HashSet::new());
    for line in LOCK.lines() {
        if let Some(found) = value(line, "name = \"") {
            name = found;
        } else if let Some(version) = value(line, "version = \"") {
            all.insert(format!("{name}-{version}"));
        }
    }
    all
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
fn unexplained(stage: &Stage, root: &Path, concerns: impl Fn(&str) -> bool) -> (Vec<String>, u64) {
    let state = stage.directory("state");
    let mut command = Command::new(process::tokenhound());
    command.arg("audit").arg("--root").arg(root).args(["--format", "json", "--state-dir"]).arg(state);
    let mut audit = Background::start(&mut command);
    assert!(audit.ends_within(LONGEST), "{} takes longer than {LONGEST:?}", root.display());
    let ended = audit.wait();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let report: Value = serde_json::from_str(&ended.out()).unwrap();
    let rows = explained();
    let known = |finding: &&Value| {
        let (path, rule) = (finding["path"].as_str().unwrap(), finding["rule"].as_str().unwrap());
        concerns(path) && !rows.iter().any(|(pattern, of)| *of == rule && matches(pattern, path))
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
    let home = |variable: &str, usual: &str| {
        let given = std::env::var_os(variable).map(PathBuf::from);
        given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(usual)))
    };
    let (cargo, rustup) = (home("CARGO_HOME", ".cargo"), home("RUSTUP_HOME", ".rustup"));
    let crates = crates();
    assert!(crates.contains(concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"))), "the lock file is read");
    let built = |path: &str| path.split('/').nth(2).is_some_and(|name| crates.contains(name));
    let (usr, sources) = (PathBuf::from("/usr"), cargo.map(|home| home.join("registry/src")));
    let sources = sources.filter(|tree| tree.is_dir());
    let all = [(usr.clone(), unexplained(&stage, &usr, |_| true))];
    let all = all.into_iter().chain(sources.map(|tree| (tree.clone(), unexplained(&stage, &tree, built))));
    // Compilers with their manuals.
    let toolchains = rustup.map(|home| home.join("toolchains")).filter(|tree| tree.is_dir());
    let all = all.chain(toolchains.map(|tree| (tree.clone(), unexplained(&stage, &tree, |_| true))));
    for (tree, (left, files)) in all {
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
