//! Debian's package manager.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::cmd;
use crate::setup::step;

const LISTS: &str = "/var/lib/apt/lists";
/// Older lists name packages that the archive no longer has.
const LISTS_LAST: Duration = Duration::from_secs(24 * 60 * 60);
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether packages are installed with apt here.
pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && cmd::find("apt-get").is_some()
}

/// The command that [`install`] runs, for a user to type.
pub(super) fn show_install(packages: &[&str]) -> String {
    format!("apt-get update && apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs packages and starts none of the daemons in them.
pub(super) fn install(packages: &[&str]) -> anyhow::Result<()> {
    if lists_are_stale() {
        update();
    }
    let _quiet = NoDaemons::begin()?;
    step(&format!("installing Debian packages: {}", packages.join(" ")));
    let first = cmd::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages));
    let Err(failure) = first else { return Ok(()) };
    step(&format!("{failure:#}; trying once more with fresh package lists"));
    update();
    cmd::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"]);
    command.args(["-o", "Dpkg::Options::=--force-confold"]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// One source that cannot be reached must not stop the rest: if it mattered, the installation says so.
fn update() {
    step("fetching Debian's package lists");
    if let Err(failure) = cmd::run(apt_get().arg("update")) {
        step(&format!("{failure:#}; going on with the lists there are"));
    }
}

fn lists_are_stale() -> bool {
    let Ok(entries) = fs::read_dir(LISTS) else { return true };
    let packages = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    let none = packages.count() == 0;
    // The directory itself is written at every update, also when a list has not changed.
    let age = fs::metadata(LISTS).and_then(|facts| facts.modified()).ok();
    let age = age.and_then(|time| SystemTime::now().duration_since(time).ok());
    none || age.is_none_or(|age| age > LISTS_LAST)
}

/// Forbids packages to start daemons, by Debian's `policy-rc.d`, until dropped. One that is there already is kept.
struct NoDaemons {
    ours: bool,
}

impl NoDaemons {
    fn begin() -> anyhow::Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {POLICY} executable"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
