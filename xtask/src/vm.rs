//! Guests: another kernel, from Debian's packages, in QEMU without hardware help, with the tests of this checkout.
//!
//! A guest is a kernel and one initial file system in memory: a static busybox to start it, the programs under test
//! with the shared libraries they name, and a few of this machine's own programs to act with. It has no disk and no
//! network. What it says comes out of its serial line.

mod guest;
mod image;
mod kernel;

pub(crate) use guest::{Report, run as run_guest};
pub(crate) use image::{Contents, Step, build as build_image};
pub(crate) use kernel::{Kernel, fetch};

/// The kernel that a guest runs unless told otherwise: stock Debian, `fentry` and `lsm` work.
pub(crate) const DEFAULT_SERIES: &str = "6.12";
