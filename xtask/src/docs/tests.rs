//! What a reader would trip over: links that lead nowhere, pages that are not listed, commands that do not exist.

use std::collections::{BTreeMap, BTreeSet};

use clap::{CommandFactory as _, error::ErrorKind};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every page, with its text outside of code blocks.
fn pages() -> BTreeMap<String, String> {
    let names = files(&root()).unwrap().into_iter().chain([SUMMARY.to_owned()]);
    let pages = names.filter(|name| name.ends_with(".md") && !name.starts_with("docs/changelog.d/"));
    pages.map(|name| (name.clone(), prose(&fs::read_to_string(root().join(&name)).unwrap()))).collect()
}

/// Without fenced blocks and code in a line.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Odd parts stand between backticks; a heading keeps them, for its anchor.
            let parts = line.split('`').enumerate();
            let kept =
                |(number, part): (usize, &str)| (line.starts_with('#') || number % 2 == 0).then(|| part.to_owned());
            out.push_str(&parts.filter_map(kept).collect::<Vec<_>>().join("`"));
            out.push('\n');
        }
    }
    out
}

/// Targets of links to other files here: the file, and the anchor.
fn links(page: &str, text: &str) -> Vec<(String, Option<String>)> {
    let directory = Path::new(page).parent().unwrap();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let local = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    local
        .map(|target| {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { page.to_owned() } else { normal(&directory.join(file)) };
            (file, anchor.map(str::to_owned))
        })
        .collect()
}

/// Without `..`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part.as_os_str().to_str().unwrap() {
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts.join("/")
}

/// Anchors of a page's headings, as code hosts and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| c.is_alphanumeric() || "-_ ".contains(c);
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title.chars().filter(|c| kept(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere_on_a_code_host_and_on_the_site() {
    let (pages, staged) = (pages(), files(&root()).unwrap());
    let mut wrong = Vec::new();
    for (page, text) in &pages {
        for (file, anchor) in links(page, text) {
            // A directory is shown by its README; a page is there if the summary names it.
            let target = if root().join(&file).is_dir() { format!("{file}/README.md") } else { file.clone() };
            let is_page = target.ends_with(".md");
            let there = if is_page { pages.contains_key(&target) } else { staged.contains(&target) };
            let sources =
                root().join(&file).is_dir() && staged.iter().any(|name| name.starts_with(&format!("{file}/")));
            if !there && !sources {
                wrong.push(format!("{page}: {file}"));
            } else if let Some(anchor) = anchor.filter(|_| is_page && there) {
                let own = anchors(&pages[&target]);
                if !own.contains(&anchor) {
                    wrong.push(format!("{page}: {target}#{anchor}, which has {own:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_summary_once() {
    let summary = fs::read_to_string(root().join(SUMMARY)).unwrap();
    let listed: Vec<String> = links(SUMMARY, &summary).into_iter().map(|(file, _)| file).collect();
    let set: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(set.len(), listed.len(), "a page is listed twice");
    let pages = pages();
    let wanted: BTreeSet<&String> = pages.keys().filter(|page| *page != SUMMARY).collect();
    let missing: Vec<_> = wanted.difference(&set).collect();
    let unknown: Vec<_> = set.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not in {SUMMARY}: {missing:?}; no page: {unknown:?}");
}

#[test]
fn the_site_is_laid_out_as_mdbook_wants_it() {
    let book = tempfile::tempdir().unwrap();
    lay_out(&root(), book.path()).unwrap();
    let summary = fs::read_to_string(book.path().join("src/SUMMARY.md")).unwrap();
    let listed: Vec<_> = links("SUMMARY.md", &summary).into_iter().map(|(file, _)| file).collect();
    assert!(listed.len() > 50, "{listed:?}");
    for file in listed {
        assert!(book.path().join("src").join(&file).is_file(), "{file}");
    }
    assert!(book.path().join("book.toml").is_file());
    let first = fs::read_to_string(book.path().join("src/index.md")).unwrap();
    assert!(
        first.contains("](docs/index.md)") && !first.contains("README.md)"),
        "links lead to what mdBook makes of a README"
    );
}

/// The agent's own commands are held against its parser by a test beside that (`agent/src/cli/reference.rs`).
#[test]
fn every_task_that_the_documents_name_exists() {
    let mut named = 0;
    for name in files(&root()).unwrap().iter().filter(|name| name.ends_with(".md")) {
        let text = fs::read_to_string(root().join(name)).unwrap();
        for rest in text.split("cargo xtask ").skip(1) {
            let task: &str = rest.split(['`', '\n', '#', '|', ')', '"', '(']).next().unwrap();
            let words: Vec<&str> = task.split_whitespace().collect();
            // A word of the sentence may follow where it stands in no code.
            let command = crate::Arguments::command().no_binary_name(true);
            let error = command.clone().try_get_matches_from(&words).err();
            let first = command.try_get_matches_from(words.get(..1).unwrap_or_default()).err();
            let unknown = |error: &Option<clap::Error>| {
                error.as_ref().is_some_and(|error| {
                    matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument)
                })
            };
            assert!(
                !unknown(&error) || rest.starts_with("guest --"),
                "{name}: `cargo xtask {task}`: {}",
                error.unwrap()
            );
            assert!(!unknown(&first), "{name}: `cargo xtask {task}`: {}", first.unwrap());
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn what_the_checks_go_by() {
    assert_eq!(anchors("## What `run` does: 5 things\n"), ["what-run-does-5-things".to_owned()].into());
    assert_eq!(
        links("docs/a.md", "see [b](b.md#x), [c](../C.md) and [d](https://d.invalid/)"),
        [("docs/b.md".to_owned(), Some("x".to_owned())), ("C.md".to_owned(), None)]
    );
    assert_eq!(prose("a `[no](link)` b\n```sh\n[no](x)\n```\n"), "a ` b\n");
    assert_eq!(at_the_root("[a](b.md) [c](../D.md)"), "[a](docs/b.md) [c](D.md)");
}

/// Names of all values below, `[]` for a list's.
fn attributes(value: &serde_json::Value, name: &str, out: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(keys) => {
            for (key, below) in keys {
                attributes(below, &if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, out);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|one| attributes(one, &format!("{name}[]"), out)),
        _ => drop(out.insert(name.to_owned())),
    }
}

/// The samples have every detector, so whatever a finding may hold is in some of them.
#[test]
fn every_attribute_of_a_finding_has_a_place_in_ecs() {
    let page = fs::read_to_string(root().join("docs/mappings.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let named: Vec<&str> = rows.flat_map(|cell| cell.split(['`', ',', ' '])).filter(|name| name.len() > 2).collect();
    let covers = |pattern: &str, attribute: &str| match pattern.split_once('*') {
        Some(("", end)) => attribute.ends_with(end),
        Some((start, _)) => attribute.starts_with(start),
        None => attribute.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
    };
    let mut attributes_of_all = BTreeSet::new();
    for line in fs::read_to_string(root().join("tests/sigma/findings.jsonl")).unwrap().lines() {
        attributes(&serde_json::from_str(line).unwrap(), "", &mut attributes_of_all);
    }
    assert!(attributes_of_all.len() > 80, "{attributes_of_all:?}");
    let missing: Vec<_> =
        attributes_of_all.iter().filter(|name| !named.iter().any(|pattern| covers(pattern, name))).collect();
    assert!(missing.is_empty(), "docs/mappings.md says nothing of {missing:?}");
}
