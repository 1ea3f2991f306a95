//! `cargo xtask package`: a `.deb` and an `.rpm` of the optimised agent, with its manual pages and completions.
//!
//! What is in them is listed in `agent/Cargo.toml`; the rest of them lies in `packaging/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::cmd;
use crate::place::Place;

/// Builds both and returns where they are.
///
/// # Errors
/// When something cannot be built, or more than one package comes of it.
pub(crate) fn run(place: &Place) -> anyhow::Result<[PathBuf; 2]> {
    let program = crate::build_agent(place)?;
    // The lists name this place.
    let out = place.root.join("target/package");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    }
    cmd::run(Command::new(&program).arg("pages").arg(&out))?;
    for page in entries(&out.join("man"))? {
        cmd::run(Command::new("gzip").args(["--best", "--no-name"]).arg(page))?;
    }
    let deb = place.cargo().args(["deb", "--no-build", "--package", "tokenhound", "--output"]).arg(&out).status();
    ensure!(deb.context("cannot start cargo deb")?.success(), "cargo deb failed");
    let rpm = place.cargo().args(["generate-rpm", "--package", "agent", "--output"]).arg(&out).status();
    ensure!(rpm.context("cannot start cargo generate-rpm")?.success(), "cargo generate-rpm failed");
    Ok([one(&out, "deb")?, one(&out, "rpm")?])
}

fn entries(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

fn one(directory: &Path, extension: &str) -> anyhow::Result<PathBuf> {
    let mut found = entries(directory)?;
    found.retain(|path| path.extension().is_some_and(|is| is == extension));
    ensure!(found.len() == 1, "{} packages of kind {extension} in {}", found.len(), directory.display());
    found.pop().context("no package")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs none of the programs that make packages.
    #[test]
    fn what_the_lists_name_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = fs::read_to_string(root.join("agent/Cargo.toml")).unwrap();
        let mut named = 0;
        for line in manifest.lines() {
            let Some(rest) = line.trim().strip_prefix("[\"").or_else(|| line.trim().strip_prefix("{ source = \""))
            else {
                continue;
            };
            let file = rest.split('"').next().unwrap().trim_start_matches("../");
            // Made by the build.
            if !file.starts_with("target/") {
                assert!(root.join(file).is_file(), "{file} is named in agent/Cargo.toml and is not there");
                named += 1;
            }
        }
        assert!(named > 8, "the lists are not where they are looked for");
    }

    #[test]
    fn every_directive_of_the_unit_is_explained() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let unit = fs::read_to_string(root.join("packaging/systemd/tokenhound.service")).unwrap();
        let page = fs::read_to_string(root.join("docs/install.md")).unwrap();
        let service = unit.split("[Service]").nth(1).unwrap().split("[Install]").next().unwrap();
        for name in service.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name) {
            assert!(page.contains(&format!("`{name}")), "{name} of the unit is not in docs/install.md");
        }
    }
}
