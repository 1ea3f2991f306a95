//! Trees to work in, made once and kept: a git repository with many files, and a package to compile.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::cmd;

/// Files in the large tree.
pub(super) const FILES: usize = 40_000;
const FILES_IN_A_DIRECTORY: usize = 40;
/// Modules of the package.
const MODULES: usize = 12;
/// Changes whenever what is made here does.
const STAMP: &str = "1";
const STAMP_FILE: &str = "made-by-bench";

/// The repository, below `dir`.
pub(super) fn files(dir: &Path) -> anyhow::Result<PathBuf> {
    made(&dir.join("tree"), |home| {
        for index in 0..FILES {
            let file = home.join(place(index));
            if index % FILES_IN_A_DIRECTORY == 0 {
                fs::create_dir_all(file.parent().unwrap_or(home))?;
            }
            fs::write(&file, content(index))?;
        }
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=bench", "-c", "user.email=bench@bench.invalid", "-c", "gc.auto=0"]);
            cmd::run(command.args(arguments).current_dir(home))
        };
        git(&["init", "--quiet"])?;
        fs::write(home.join(".git/info/exclude"), STAMP_FILE)?;
        git(&["add", "."])?;
        git(&["commit", "--quiet", "--message", "a large tree"])
    })
}

/// The package, below `dir`.
pub(super) fn package(dir: &Path) -> anyhow::Result<PathBuf> {
    made(&dir.join("package"), |home| {
        fs::create_dir_all(home.join("src"))?;
        fs::write(
            home.join("Cargo.toml"),
            "[package]\nname = \"measured\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n",
        )?;
        let mut root = String::new();
        for module in 0..MODULES {
            writeln!(root, "mod part_{module};")?;
            fs::write(home.join(format!("src/part_{module}.rs")), part())?;
        }
        root.push_str("\nfn main() {\n    let mut sum = 0;\n");
        for module in 0..MODULES {
            writeln!(root, "    sum += part_{module}::total({module});")?;
        }
        root.push_str("    println!(\"{sum}\");\n}\n");
        Ok(fs::write(home.join("src/main.rs"), root)?)
    })
}

fn made(home: &Path, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    if fs::read_to_string(home.join(STAMP_FILE)).is_ok_and(|text| text == STAMP) {
        return Ok(home.to_path_buf());
    }
    eprintln!("bench: making {} (once)", home.display());
    let cannot = || format!("cannot make {}", home.display());
    if home.exists() {
        fs::remove_dir_all(home).with_context(cannot)?;
    }
    fs::create_dir_all(home).with_context(cannot)?;
    make(home).with_context(cannot)?;
    fs::write(home.join(STAMP_FILE), STAMP).with_context(cannot)?;
    Ok(home.to_path_buf())
}

/// Three levels, as in a source tree.
fn place(index: usize) -> PathBuf {
    let directory = index / FILES_IN_A_DIRECTORY;
    PathBuf::from(format!("group-{}/part-{directory}/source_{index}.txt", directory / 25))
}

/// 200 to 2,000 bytes, no two alike.
fn content(index: usize) -> String {
    let line = format!("line of file {index}, made to be read by tar and looked at by git\n");
    line.repeat(3 + index % 27)
}

/// A module that takes the compiler some tens of milliseconds.
fn part() -> String {
    let mut text = String::from("use std::collections::BTreeMap;\n\n");
    for number in 0..40 {
        let _ = write!(
            text,
            "fn step_{number}(values: &mut BTreeMap<u64, String>, seed: u64) -> u64 {{\n    \
             for key in 0..seed % 7 {{\n        values.entry(key * {number}).or_default().push_str(&format!(\"{{key}}-{{seed}}\"));\n    }}\n    \
             values.values().map(|value| value.len() as u64).sum::<u64>() + {number}\n}}\n\n"
        );
    }
    text.push_str("pub fn total(seed: u64) -> u64 {\n    let mut values = BTreeMap::new();\n    0");
    for number in 0..40 {
        let _ = write!(text, "\n        + step_{number}(&mut values, seed + {number})");
    }
    text.push_str("\n}\n");
    text
}
