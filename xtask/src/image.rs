//! `cargo xtask image`: the agent as a program that needs no library, beside the recipe of its image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::cmd;
use crate::place::Place;

/// Its C library is linked in, and asks for names itself: in another root than the one it was started in, nothing has to fit.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds it and returns the directory from which an image is built.
///
/// # Errors
/// When it cannot be built, or the standard library for it is not there and rustup cannot bring it.
pub(crate) fn run(place: &Place) -> anyhow::Result<PathBuf> {
    if !has_library()? {
        cmd::run(Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    let mut build = place.cargo();
    build.args(["build", "--release", "--package", "tokenhound", "--bin", "tokenhound", "--target", TARGET]);
    cmd::run(&mut build)?;
    let out = place.root.join("target/image");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    copy(&place.target.join(TARGET).join("release/tokenhound"), &out.join("tokenhound"))?;
    copy(&place.root.join("packaging/container/Dockerfile"), &out.join("Dockerfile"))?;
    Ok(out)
}

fn has_library() -> anyhow::Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let library = cmd::output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(Path::new(library.trim()).is_dir())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
