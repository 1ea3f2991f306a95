//! Guest kernels: Debian's own packages, of this or another suite, unpacked into the cache. Nothing is installed.

mod modules;

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cmd;
use crate::place::Place;

/// Which suite has which kernel series. All are Debian's `cloud` flavour: small, and with BTF built in.
const SERIES: &[(&str, &str)] = &[("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "bookworm"), ("7.2", "sid")];
/// The suite of guests that run all of Debian.
pub(super) const DEFAULT_SUITE: &str = "bookworm";
const FLAVOUR: &str = "-cloud-amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel to boot.
pub(crate) struct Kernel {
    /// `6.12`.
    pub series: String,
    /// The compressed image.
    pub image: PathBuf,
    /// The modules that guests need, in the order of loading.
    pub modules: Vec<PathBuf>,
}

/// The newest kernel of a series, from the cache or else from Debian's archive.
///
/// A cached one is used as it is: delete its directory to get a newer one. Any image at
/// `<cache>/kernels/<series>/vmlinuz` will do, so a machine that cannot fetch can be handed one; without the directory
/// `modules` beside it the guest has no disk and no overlays.
pub(crate) fn fetch(place: &Place, series: &str) -> anyhow::Result<Kernel> {
    let home = place.cache.join("kernels").join(series);
    let image = home.join("vmlinuz");
    let package = home.join("package").is_file();
    if !image.is_file() || (package && !modules::cached(&home)) {
        let Some((_, suite)) = SERIES.iter().find(|(name, _)| *name == series) else {
            let known: Vec<&str> = SERIES.iter().map(|(name, _)| *name).collect();
            bail!(
                "no suite is known for kernel {series}: use one of {}, or put an image at {}",
                known.join(", "),
                image.display()
            );
        };
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        download(&home, series, suite).with_context(|| {
            format!("cannot fetch kernel {series} from Debian's {suite}; any image at {} will do", image.display())
        })?;
    }
    Ok(Kernel { series: series.to_owned(), image, modules: modules::list(&home)? })
}

fn download(home: &Path, series: &str, suite: &str) -> anyhow::Result<()> {
    let work = tempfile::tempdir_in(home).context("cannot create a directory for the download")?;
    eprintln!("vm: fetching kernel {series} from Debian's {suite}");
    let apt = PrivateApt::new(work.path(), suite)?;
    cmd::run(apt.command("apt-get").args(["-q", "update"]))?;
    let names = cmd::output(apt.command("apt-cache").arg("pkgnames").arg("linux-"))?;
    let Some(package) = newest(&names, series) else { bail!("{suite} has no kernel {series}{FLAVOUR}") };
    let mut packages = vec![package.to_owned()];
    // Since 7.x the modules have a package of their own.
    let modules = package.replacen("linux-binary-", "linux-modules-", 1);
    if modules != package && names.lines().any(|name| name == modules) {
        packages.push(modules);
    }
    cmd::run(apt.command("apt-get").args(["-q", "download"]).args(&packages).current_dir(work.path()))?;
    for file in files(work.path(), &|name| name.ends_with(".deb")) {
        unpack(&file, work.path())?;
    }
    // Where it lies depends on the suite: /boot, or since 7.x beside the modules.
    let image = files(work.path(), &|name| name.starts_with("vmlinuz"));
    let image = image.first().context("the package has no kernel image")?;
    modules::keep(work.path(), home)?;
    fs::rename(image, home.join("vmlinuz")).with_context(|| format!("cannot keep {}", image.display()))?;
    fs::write(home.join("package"), package).context("cannot note the package's name")
}

/// The package with the highest version among apt's names, of kernels signed by Debian.
fn newest<'names>(names: &'names str, series: &str) -> Option<&'names str> {
    let is_kernel = |name: &&str| {
        ["linux-image-", "linux-binary-"].iter().any(|kind| {
            name.strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix(series))
                .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(FLAVOUR) && !rest.contains(".deb11."))
        })
    };
    let of = |kind| {
        names.lines().filter(is_kernel).filter(move |name| name.starts_with(kind)).max_by(|a, b| by_version(a, b))
    };
    // Where `linux-binary-` exists it has the image, and `linux-image-` only depends on it.
    of("linux-binary-").or_else(|| of("linux-image-"))
}

/// Compares names with their numbers taken as numbers: `6.12.9` before `6.12.10`.
fn by_version(a: &str, b: &str) -> Ordering {
    fn numbers(text: &str) -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    }
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

fn unpack(package: &Path, into: &Path) -> anyhow::Result<()> {
    let mut unpack = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn()?;
    let archive = unpack.stdout.take().context("dpkg-deb has no output")?;
    let tar = Command::new("tar").args(["-x", "-C"]).arg(into).stdin(archive).status()?;
    let unpacked = unpack.wait()?;
    if !tar.success() || !unpacked.success() {
        bail!("cannot unpack {}", package.display());
    }
    Ok(())
}

/// The files in the tree whose names fit.
fn files(dir: &Path, fits: &impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path(), fits)),
            Ok(kind) if kind.is_file() && fits(&entry.file_name().to_string_lossy()) => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// apt with lists, cache and sources of its own, so that another suite can be asked without touching the system's.
struct PrivateApt {
    options: Vec<String>,
}

impl PrivateApt {
    fn new(dir: &Path, suite: &str) -> anyhow::Result<Self> {
        let sources = sources_of(suite)?;
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), sources)?;
        let set = |name: &str, value: &str| format!("{name}={}", dir.join(value).display());
        let options = vec![
            set("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            set("Dir::State", ""),
            set("Dir::State::lists", "lists"),
            set("Dir::State::status", "status"),
            set("Dir::Cache", "cache"),
            // The unprivileged downloader may not write into a private directory.
            "APT::Sandbox::User=root".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Check-Valid-Until=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        Ok(Self { options })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command
    }
}

/// Source lines for a suite, from the archives that this machine uses already.
pub(super) fn sources_of(suite: &str) -> anyhow::Result<String> {
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Identifier: Packages"]);
    let sources = sources(&cmd::output(&mut ask)?, suite);
    if sources.is_empty() {
        bail!("this machine has no Debian archive among its apt sources");
    }
    Ok(sources)
}

/// Source lines for another suite, from archives (`LABEL URI` a line).
fn sources(archives: &str, suite: &str) -> String {
    let keyring = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let mut lines = Vec::new();
    for line in archives.lines() {
        let line = match line.split_once(' ') {
            Some(("Debian", uri)) => format!("deb {keyring}{uri} {suite} main\n"),
            // sid has no security suite: fixes go there directly.
            Some(("Debian-Security", uri)) if suite != "sid" => format!("deb {keyring}{uri} {suite}-security main\n"),
            _ => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_highest_version_of_the_series_and_flavour() {
        let names = "linux-image-6.12.9+deb12-cloud-amd64\nlinux-image-6.12.117+deb12-cloud-amd64\n\
                     linux-image-6.12.118+deb12-cloud-amd64-dbg\nlinux-image-6.12.118+deb12-cloud-amd64-unsigned\n\
                     linux-image-6.1.0-56-cloud-amd64\nlinux-image-6.12-cloud-amd64\nlinux-image-6.12.119+deb12-amd64";
        assert_eq!(newest(names, "6.12"), Some("linux-image-6.12.117+deb12-cloud-amd64"));
        assert_eq!(newest(names, "6.1"), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest(names, "5.10"), None);
    }

    #[test]
    fn prefers_the_package_that_has_the_image() {
        let names = "linux-image-7.2.13+deb14-cloud-amd64\nlinux-binary-7.2.13+deb14-cloud-amd64";
        assert_eq!(newest(names, "7.2"), Some("linux-binary-7.2.13+deb14-cloud-amd64"));
    }

    #[test]
    fn rewrites_the_suite_of_debian_archives_only() {
        let archives = "Debian file:/mirror\nDebian file:/mirror\nDebian-Security file:/security\nOther file:/other\n";
        let lines = sources(archives, "bullseye");
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(
            lines.contains("file:/mirror bullseye main") && lines.contains("file:/security bullseye-security main")
        );
        assert_eq!(sources(archives, "sid").lines().count(), 1);
    }
}
