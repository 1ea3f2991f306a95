//! podman with a storage of a test's own: everything it keeps lies on the stage, and nothing is fetched. Images come from
//! nothing but a static busybox.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{docker::busybox, process::run, skip, stage::Stage};

/// A podman; its containers are removed when it is dropped.
pub struct Podman<'s> {
    stage: &'s Stage,
}

/// Limits of processes and files that everybody may set: podman's own are above those of many a machine that tests run on.
const CONFIG: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n";

impl<'s> Podman<'s> {
    /// With an image `plain:1` that has a busybox; `None`, and the test counts as skipped, where there is no podman or it runs no
    /// container here.
    ///
    /// # Panics
    /// When it hangs.
    #[must_use]
    pub fn start(stage: &'s Stage) -> Option<Self> {
        if !skip::native("no podman in a guest") || !skip::has(&["podman", "conmon", "runc", "tar"]) {
            return None;
        }
        let Some(busybox) = busybox() else {
            skip::skip("no static busybox");
            return None;
        };
        stage.file("podman/containers.conf", CONFIG);
        let podman = Self { stage };
        let archive = image(stage, &busybox);
        podman.run(&["import", &archive.display().to_string(), "plain:1"]);
        let tried = podman.command(&["run", "--rm", "--network=none", "plain:1", "/bin/busybox", "true"]);
        let ended = run(&mut { tried }, b"");
        if ended.code() != 0 {
            skip::skip(&format!("podman runs no container here: {}", ended.err().trim()));
            return None;
        }
        Some(podman)
    }

    /// A command of it.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let at = |name: &str| self.stage.directory(&format!("podman/{name}"));
        let mut command = Command::new("podman");
        command.arg("--root").arg(at("root")).arg("--runroot").arg(at("run")).arg("--tmpdir").arg(at("tmp"));
        command.args([
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            "--storage-driver=overlay",
            "--events-backend=none",
        ]);
        command.args(args).env("HOME", at("home")).env("CONTAINERS_CONF", self.stage.path("podman/containers.conf"));
        command
    }

    /// Runs a command of it. What it says is its output without the last line end.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, args: &[&str]) -> String {
        let ended = run(&mut self.command(args), b"");
        assert_eq!(ended.code(), 0, "podman {args:?}: {}{}", ended.out(), ended.err());
        ended.out().trim_end().to_owned()
    }

    /// Builds an image from these lines and files, on top of nothing but a busybox in `/bin`.
    pub fn build(&self, name: &str, lines: &str, files: &[(&str, &Path)], args: &[&str]) {
        let context = self.stage.directory(&format!("contexts/{}", name.replace(':', "-")));
        for (name, from) in files {
            fs::copy(from, context.join(name)).expect("copy a file");
        }
        fs::write(context.join("Containerfile"), format!("FROM localhost/plain:1\n{lines}")).expect("write a file");
        let context = context.display().to_string();
        self.run(&[&["build", "--network=none", "--isolation=oci", "-t", name], args, &[&context]].concat());
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        let _ = run(&mut self.command(&["rm", "-f", "-a", "-t", "0"]), b"");
        // It mounts the directory of its layers over itself.
        let _ = run(Command::new("umount").arg(self.stage.path("podman/root/overlay")), b"");
    }
}

/// An archive of a root with nothing but a busybox in `/bin`.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn image(stage: &Stage, busybox: &Path) -> PathBuf {
    fs::copy(busybox, stage.directory("root/bin").join("busybox")).expect("copy a program");
    archive(stage, "root")
}

/// An archive `NAME.tar` of what is in a directory of the stage.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn archive(stage: &Stage, name: &str) -> PathBuf {
    let archive = stage.path(&format!("{name}.tar"));
    let made = run(Command::new("tar").arg("-C").arg(stage.path(name)).arg("-cf").arg(&archive).arg("."), b"");
    assert_eq!(made.code(), 0, "{}", made.err());
    archive
}
