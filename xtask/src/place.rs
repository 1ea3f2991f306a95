//! Where things are: the checkout, its target directory, the cache that outlives both.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Directories that every task works in.
pub(crate) struct Place {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
    /// Downloads that a fresh checkout should not repeat: guest kernels, the Python programs that tests run.
    /// `TOKENHOUND_CACHE` moves it.
    pub cache: PathBuf,
    cargo: OsString,
}

impl Place {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        let cache = from_variable("TOKENHOUND_CACHE")
            .or_else(|| from_variable("XDG_CACHE_HOME").map(|dir| dir.join("tokenhound")))
            .or_else(|| from_variable("HOME").map(|dir| dir.join(".cache/tokenhound")))
            .context("neither TOKENHOUND_CACHE, XDG_CACHE_HOME nor HOME is set: set one, downloads are kept there")?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Ok(Self { root, target, cache, cargo })
    }

    /// Cargo, in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        // What `cargo run` sets for xtask itself would make build scripts rerun.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
            command.env_remove(name);
        }
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// The Python environment with the programs that tests run.
    pub(crate) fn venv(&self) -> PathBuf {
        self.cache.join("venv")
    }
}

fn from_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
