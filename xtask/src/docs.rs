//! The documents as a site, by mdBook. The pages lie where they are read on a code host; mdBook wants all below one
//! directory, so they are laid out anew below the target directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{
    cmd,
    place::Place,
    setup::{self, Group},
};

const SUMMARY: &str = "docs/SUMMARY.md";

/// Builds the site and returns its first page.
///
/// # Errors
/// What is missing, or what mdBook says.
pub(crate) fn build(place: &Place) -> anyhow::Result<PathBuf> {
    setup::run(place, &[Group::Docs])?;
    let book = place.target.join("book");
    lay_out(&place.root, &book)?;
    cmd::run(Command::new(setup::cargo_program("mdbook")).arg("build").arg(&book))?;
    Ok(book.join("book/index.html"))
}

/// Writes configuration, summary, pages and what they show into `book`.
fn lay_out(root: &Path, book: &Path) -> anyhow::Result<()> {
    // A page that was renamed must not stay.
    let _ = fs::remove_dir_all(book);
    for name in files(root)? {
        let to = book.join("src").join(of_the_site(&name));
        copy(&root.join(&name), &to)?;
        if name.ends_with(".md") {
            rewrite(&to, of_the_site)?;
        }
    }
    copy(&root.join("docs/book.toml"), &book.join("book.toml"))?;
    let summary = book.join("src/SUMMARY.md");
    copy(&root.join(SUMMARY), &summary)?;
    rewrite(&summary, |text| of_the_site(&at_the_root(text)))
}

/// A code host shows a directory by its README, a site by its index; mdBook renames the page and not the links to it.
fn of_the_site(text: &str) -> String {
    let name = text.strip_suffix("README.md").map(|directory| format!("{directory}index.md"));
    name.unwrap_or_else(|| text.replace("README.md)", "index.md)").replace("README.md#", "index.md#"))
}

fn rewrite(path: &Path, change: impl Fn(&str) -> String) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(path, change(&text)).with_context(|| format!("cannot write {}", path.display()))
}

/// What becomes part of the site, from the root of the checkout.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let tracked = cmd::output(Command::new("git").args(["ls-files", "-z"]).current_dir(root))?;
    let names = tracked.split('\0').filter(|name| !name.is_empty() && *name != SUMMARY).map(str::to_owned);
    Ok(names.filter(|name| belongs(name)).collect())
}

fn belongs(name: &str) -> bool {
    let at_the_root = !name.contains('/') && (name.ends_with(".md") || name.starts_with("LICENSE"));
    let below = ["docs/", "dashboards/", "packaging/"].iter().any(|directory| name.starts_with(directory));
    at_the_root || below || name == "ebpf/LICENSE-GPL"
}

/// The summary lies in `docs`, for its links to hold there as well; mdBook reads it one directory above.
fn at_the_root(summary: &str) -> String {
    summary.replace("](", "](docs/").replace("](docs/../", "](")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to).map(drop)
    };
    make().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests;
