//! A guest that runs Debian as its users do: systemd starts it, packages are installed into it.
//!
//! Its root is made once and kept in the cache. It lies as a disk in the initial file system, so that it needs no driver
//! but those that all guests have.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::guest::{self, Machine, Report, Security};
use super::{Boot, image, kernel};
use crate::cmd;
use crate::place::Place;
use crate::setup;

/// What is installed beside what every Debian has. `dbus` is how one asks systemd to run something.
const PACKAGES: &str = "systemd-sysv,dbus,at,libgcc-s1";
/// Documentation that nobody reads there.
const LEFT_OUT: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];
const DISK_MIB: u64 = 384;
/// Units that wait for hardware or for somebody to log in.
const MASKED: [&str; 4] =
    ["getty@tty1.service", "serial-getty@ttyS0.service", "getty-static.service", "systemd-timesyncd.service"];
const SOURCES: &str = "tests/vm/debian";

/// Boots it, puts `package` there as `/guest/tokenhound.deb`, and runs the functions of `tests/vm/debian/steps` that `steps`
/// names. Every line that it prints goes to `line`.
pub(crate) fn boot(place: &Place, package: &Path, steps: &[&str], line: impl FnMut(&str)) -> anyhow::Result<Report> {
    let kernel = kernel::fetch(place, super::DEFAULT_SERIES)?;
    let dir = place.target.join("vm/debian");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let root = unpack(place, &dir)?;
    furnish(place, &root, package, steps)?;
    let initramfs = pack(place, &dir, &root, &kernel.modules)?;
    let log = dir.join("serial.log");
    println!("guest debian: all it says is kept in {}", log.display());
    let boot = Boot { series: super::DEFAULT_SERIES, machine: Machine::Fast, security: Security::Default };
    guest::run(&kernel, boot, &initramfs, &log, line)
}

/// The root as Debian's packages make it: from the cache, or else made now. A cached one of the same packages is used as it
/// is: delete it to get newer ones.
fn base(place: &Place) -> anyhow::Result<PathBuf> {
    let home = place.cache.join("debian");
    let suite = kernel::DEFAULT_SUITE;
    let archive = home.join(format!("{suite},{PACKAGES}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    eprintln!("vm: making a root of Debian's {suite}; this takes a minute");
    let next = home.join("next.tar");
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--mode=root", "--variant=essential"]).arg(format!("--include={PACKAGES}"));
    make.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    make.arg(suite).arg(&next);
    make.args(kernel::sources_of(suite)?.lines());
    cmd::run(&mut make)?;
    fs::rename(&next, &archive).with_context(|| format!("cannot keep {}", next.display()))?;
    Ok(archive)
}

fn unpack(place: &Place, dir: &Path) -> anyhow::Result<PathBuf> {
    let archive = base(place)?;
    let root = dir.join("root");
    image::empty(&root)?;
    cmd::run(
        Command::new("tar")
            .args(["--extract", "--preserve-permissions", "--numeric-owner", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(&root),
    )?;
    Ok(root)
}

/// Puts in what the test brings, and the little that an installer would have set.
fn furnish(place: &Place, root: &Path, package: &Path, steps: &[&str]) -> anyhow::Result<()> {
    let write = |to: &str, content: &[u8], mode: u32| -> anyhow::Result<()> {
        let to = root.join(to);
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {}", to.display()))
    };
    let source = |name: &str| {
        let file = place.root.join(SOURCES).join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let link = |to: &Path, name: &str| {
        let at = root.join("etc/systemd/system").join(name);
        let _ = fs::remove_file(&at);
        symlink(to, &at).with_context(|| format!("cannot make {}", at.display()))
    };
    write(
        "guest/tokenhound.deb",
        &fs::read(package).with_context(|| format!("cannot read {}", package.display()))?,
        0o644,
    )?;
    write("guest/steps", source("steps")?.as_bytes(), 0o755)?;
    let unit = source("guest.service")?.replace("@STEPS@", &steps.join(" "));
    write("etc/systemd/system/guest.service", unit.as_bytes(), 0o644)?;
    write("etc/hostname", b"guest\n", 0o644)?;
    write("etc/hosts", b"127.0.0.1 localhost guest\n", 0o644)?;
    write("etc/machine-id", b"00000000000000000000000000000001\n", 0o444)?;
    link(Path::new("/lib/systemd/system/multi-user.target"), "default.target")?;
    fs::create_dir_all(root.join("etc/systemd/system/multi-user.target.wants"))?;
    link(Path::new("../guest.service"), "multi-user.target.wants/guest.service")?;
    MASKED.iter().try_for_each(|unit| link(Path::new("/dev/null"), unit))
}

/// The disk, and the program that mounts it, in one initial file system.
fn pack(place: &Place, dir: &Path, root: &Path, modules: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let stage = dir.join("initial");
    image::empty(&stage)?;
    for sub in ["busybox", "modules", "dev", "debian"] {
        fs::create_dir(stage.join(sub)).with_context(|| format!("cannot create {sub} under {}", stage.display()))?;
    }
    let copy = |from: &Path, to: &str| {
        fs::copy(from, stage.join(to)).with_context(|| format!("cannot copy {} into the guest", from.display()))
    };
    let busybox = setup::static_busybox().context("a static busybox is missing: run `cargo xtask setup`")?;
    copy(&busybox, "busybox/busybox")?;
    for applet in ["insmod", "mount", "sh", "switch_root"] {
        symlink("busybox", stage.join("busybox").join(applet))?;
    }
    for module in modules {
        copy(module, &format!("modules/{}", module.file_name().unwrap_or_default().to_string_lossy()))?;
    }
    copy(&place.root.join(SOURCES).join("init"), "init")?;
    fs::set_permissions(stage.join("init"), fs::Permissions::from_mode(0o755))?;
    image::disk(&stage.join("debian.img"), DISK_MIB, Some(root))?;
    image::pack(&stage, &dir.join("initramfs"))
}
