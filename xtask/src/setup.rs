//! Installs what the other tasks need and what is missing.
//!
//! What is there is asked of the system itself (is the program found, does the compiler have the target), never of a
//! package manager, so it is quick and right on any distribution. Installing is done for Debian as root; elsewhere the
//! user is told exactly what is missing.

mod apt;
mod needs;

pub(crate) use needs::{cargo_program, static_busybox};

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::cmd;
use crate::place::Place;
use needs::{Need, Remedy};

/// The programs that a kind of task needs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// To build the agent with its kernel programs.
    Build,
    /// To test it: guests, a real Prometheus, the programs whose stores are read.
    Test,
    /// The programs it is measured against.
    Bench,
    /// The programs that make packages.
    Package,
    /// The C library of the container image's program.
    Image,
    /// To build the documents as a site.
    Docs,
}

impl Group {
    /// What a machine that works on tokenhound needs; what makes packages is built only for those who make them.
    pub(crate) const ALL: [Self; 4] = [Self::Build, Self::Test, Self::Bench, Self::Docs];

    fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
            Self::Bench => "bench",
            Self::Package => "package",
            Self::Image => "image",
            Self::Docs => "docs",
        }
    }
}

/// `build, test, bench, docs`.
pub(crate) fn names(groups: &[Group]) -> String {
    groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(", ")
}

/// Something is missing that only the user can install here.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Brings in everything for these groups. Does nothing, at once, where all is there.
///
/// # Errors
/// [`Missing`] where this machine is not Debian or we are not root; else what failed to install.
pub(crate) fn run(place: &Place, groups: &[Group]) -> anyhow::Result<()> {
    let missing: Vec<Need> = needs::all(groups).into_iter().filter(|need| !need.is_there(place)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.debian).copied().collect();
    if !packages.is_empty() {
        if !apt::is_debian() || !rustix::process::geteuid().is_root() {
            return Err(Missing(say_missing(&missing, &packages)).into());
        }
        apt::install(&packages)?;
    }
    for need in &missing {
        match need.remedy {
            Remedy::Package => {}
            Remedy::Cargo { name, version } => {
                step(&format!("building {name} {version} (a few minutes, once)"));
                let mut install = place.cargo();
                // Nothing of it belongs into our own target directory.
                install.env_remove("CARGO_TARGET_DIR").args(["install", name, "--version", version]);
                cmd::run(install.args(["--locked", "--force"]))?;
            }
            Remedy::Venv => install_venv(place)?,
        }
    }
    let still: Vec<Need> = missing.into_iter().filter(|need| !need.is_there(place)).collect();
    if still.is_empty() { Ok(()) } else { Err(Missing(say_missing(&still, &[])).into()) }
}

fn say_missing(missing: &[Need], packages: &[&str]) -> String {
    let mut text = String::from("these are missing:\n");
    for need in missing {
        text.push_str(&format!("  {:<22} {}\n", need.name, need.purpose));
        if let Some(elsewhere) = need.elsewhere {
            text.push_str(&format!("  {:<22} {elsewhere}\n", ""));
        }
    }
    if packages.is_empty() {
        text.push_str("The installation went through, but they are still not found. Is something else first on PATH?");
    } else if apt::is_debian() {
        text.push_str("Run as root:\n  ");
        text.push_str(&apt::show_install(packages));
        text.push_str("\nthen run this again.");
    } else {
        text.push_str("Install them (on Debian the packages are: ");
        text.push_str(&packages.join(" "));
        text.push_str("), then run this again.");
    }
    text
}

/// The Python programs that tests run, at the versions that `tests/requirements.txt` names.
fn install_venv(place: &Place) -> anyhow::Result<()> {
    let venv = place.venv();
    step(&format!("installing the Python programs that tests run into {}", venv.display()));
    cmd::run(Command::new(needs::SYSTEM_PYTHON).args(["-m", "venv", "--clear"]).arg(&venv))?;
    let wanted = place.root.join(needs::REQUIREMENTS);
    let pip = venv.join("bin/pip");
    cmd::run(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
    copy(&wanted, &venv.join(needs::VENV_STAMP))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Says what is being done now.
fn step(what: &str) {
    eprintln!("setup: {what}");
}
