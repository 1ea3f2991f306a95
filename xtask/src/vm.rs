//! Guests: another kernel, from Debian's packages, in QEMU without hardware help, with the tests of this checkout.
//!
//! A guest is a kernel and one initial file system in memory: a static busybox to start it, the programs under test
//! with the shared libraries they name, and a few of this machine's own programs to act with. It has no disk and no
//! network. What it says comes out of its serial line.

pub(crate) mod debian;
mod guest;
mod image;
pub(crate) mod kernel;

pub(crate) use guest::{Machine, Report, Security};
pub(crate) use image::Step;

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::place::Place;

/// The kernel that a guest runs unless told otherwise: stock Debian, `fentry` and `lsm` work.
pub(crate) const DEFAULT_SERIES: &str = "6.12";

/// What is booted.
#[derive(Clone, Copy)]
pub(crate) struct Boot<'series> {
    /// The kernel.
    pub series: &'series str,
    pub machine: Machine,
    pub security: Security,
}

impl<'series> Boot<'series> {
    /// As the kernel was built, but with `bpf` among the security modules also where that is not the kernel's own choice:
    /// all tiers can be tried.
    pub(crate) fn with_all_tiers(series: &'series str, machine: Machine) -> Self {
        let security = if series == "5.10" { Security::With } else { Security::Default };
        Self { series, machine, security }
    }
}

/// Boots a guest with a kernel of the series and these programs (from here, to there), lets it run the steps, and hands
/// every line that it prints to `line`.
pub(crate) fn run(
    place: &Place,
    series: &str,
    machine: Machine,
    programs: &[(PathBuf, String)],
    steps: &[Step],
    line: impl FnMut(&str),
) -> anyhow::Result<Report> {
    boot(place, Boot { series, machine, security: Security::Default }, programs, steps, line)
}

/// The same with other security modules than the kernel's own choice.
pub(crate) fn boot(
    place: &Place,
    boot: Boot<'_>,
    programs: &[(PathBuf, String)],
    steps: &[Step],
    line: impl FnMut(&str),
) -> anyhow::Result<Report> {
    let kernel = kernel::fetch(place, boot.series)?;
    let name = format!("{}{}", kernel.series, boot.security.suffix());
    let dir = place.target.join("vm").join(&name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let initramfs = image::build(place, &dir, &kernel.modules, programs, steps)?;
    let log = dir.join("serial.log");
    println!("guest {name}: all it says is kept in {}", log.display());
    guest::run(&kernel, boot, &initramfs, &log, line)
}
