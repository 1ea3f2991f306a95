//! `docs/stores.md`: every store on one page, made from the catalogue by a test.

use std::fmt::Write as _;

use super::{
    embedded,
    model::{Reader, Role, Store},
    pattern::Pattern,
    tests::shipped_catalogue,
};
use crate::telemetry::bless;

/// Most paths of one store that the page names.
const MAX_PATHS: usize = 4;
/// Most readers.
const MAX_READERS: usize = 6;

fn page() -> String {
    let stores = shipped_catalogue().stores();
    let extracted = stores.iter().filter(|store| store.not_extracted.is_none()).count();
    let mut out = format!(
        "# Stores\n\n\
         Generated from the catalogue (`agent/catalogue/*.yaml`): {} entries; tokens are taken out of {extracted} of them, \
         and of the others is said why not.\n`tokenhound catalogue show ID` tells the rest: what is extracted, what \
         moves the store, expected modes, sources.\n\n\
         Tier 1 is the core, 2 is common, 3 is niche. *Read by* names expected programs, not what wraps or calls them. \
         `$NAME/` stands for the value of a variable.\n",
        stores.len()
    );
    for (name, text) in embedded::FILES {
        let file = embedded::file_name(name);
        let own: Vec<&Store> = stores.iter().filter(|store| store.file == file).collect();
        if own.is_empty() {
            continue;
        }
        let title = text.lines().next().unwrap_or_default().trim_start_matches("# ").trim_end_matches('.');
        let _ = write!(out, "\n## {title}\n\n");
        out.push_str(
            "| store | where | read by | what | lifetime | how to revoke |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        own.iter().for_each(|store| row(&mut out, store));
    }
    out
}

fn row(out: &mut String, store: &Store) {
    let kinds: Vec<String> = store.kind.iter().map(|kind| kind.name().replace('_', " ")).collect();
    let mut what = kinds.join(", ");
    if let Some(reason) = store.not_extracted {
        what = format!("{what}; not extracted: {}", reason.why());
    }
    let lifetime = match (&store.lifetime, store.refreshable) {
        (Some(words), _) => words.clone(),
        (None, true) => "renewed by itself".to_owned(),
        (None, false) => String::new(),
    };
    let revoke = store.revoke.clone().or_else(|| store.logout.as_ref().map(|logout| format!("here only: {logout}")));
    let _ = writeln!(
        out,
        "| `{}`<br>{}, tier {} | {} | {} | {} | {} | {} |",
        store.id,
        plain(&store.tool),
        store.tier,
        places(store),
        readers(store),
        plain(&what),
        plain(&lifetime),
        plain(&revoke.unwrap_or_default()),
    );
}

fn places(store: &Store) -> String {
    let all: Vec<&Pattern> = store.paths.iter().chain(&store.unwatched_paths).collect();
    if all.is_empty() {
        return plain(&store.non_file_locations.join(", "));
    }
    let some = all.iter().take(MAX_PATHS).map(|path| format!("`{}`", path.text().replace('|', "\\|")));
    let mut shown: Vec<String> = some.collect();
    if all.len() > MAX_PATHS {
        shown.push(format!("{} more", all.len() - MAX_PATHS));
    }
    if matches!(store.role, Role::AgentSocket) {
        shown.push("(socket)".to_owned());
    }
    shown.join("<br>")
}

fn readers(store: &Store) -> String {
    let mut names: Vec<String> = Vec::new();
    for reader in store.readers.iter().filter(|reader| !reader.weak) {
        for name in own_names(reader) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let more = names.len().saturating_sub(MAX_READERS);
    names.truncate(MAX_READERS);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    plain(&names.join(", "))
}

fn own_names(reader: &Reader) -> Vec<String> {
    // `/usr/bin/aws` and `venv/bin/aws` are `aws` to people; `cli.js` alone would say nothing.
    let script = |pattern: &Pattern| match pattern.text().rsplit('/').next() {
        Some(name) if !name.contains(['.', '*']) => name.to_owned(),
        _ => pattern.text().trim_start_matches("**/").to_owned(),
    };
    let scripts = reader.scripts.iter().map(script).chain(reader.modules.iter().map(|module| format!("-m {module}")));
    let named: Vec<String> = reader.exe.iter().cloned().chain(scripts).collect();
    if !named.is_empty() {
        return named;
    }
    if !reader.package.is_empty() {
        return reader.package.clone();
    }
    match reader.matched {
        Some(_) => vec!["by container or unit".to_owned()],
        None => reader.paths.iter().map(|path| path.text().to_owned()).collect(),
    }
}

/// Text that means nothing in a table of Markdown.
fn plain(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|").replace('*', "\\*").replace('<', "&lt;")
}

#[test]
fn the_page_is_up_to_date() {
    bless::compare("docs/stores.md", &page());
}

#[test]
fn the_readme_and_the_limits_say_how_many_there_are() {
    let catalogue = super::tests::shipped_catalogue();
    let all = catalogue.stores().len();
    let watched = catalogue.stores().iter().filter(|store| matches!(store.role, Role::Store | Role::Decoy)).count();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let says = |file: &str, part: String| {
        assert!(std::fs::read_to_string(root.join(file)).unwrap().contains(&part), "{file} does not say `{part}`");
    };
    says("README.md", format!("# what is watched: {watched} stores"));
    says("README.md", format!("catalogue: {all} stores"));
    says("docs/limits.md", format!("{} of {all} entries", all - watched));
}
