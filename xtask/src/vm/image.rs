//! The guest's file system: staged in a directory, then packed as an initramfs.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cmd;
use crate::place::Place;
use crate::setup;

/// Programs of this machine that the tests act with. Those that are not here are left out; busybox stands in.
const ACTORS: &[&str] = &[
    "bash", "cat", "chmod", "chown", "cp", "dash", "dd", "env", "find", "git", "grep", "head", "id", "ln", "ls",
    "mkdir", "mkfifo", "mount", "mv", "nohup", "perl", "ps", "readlink", "rm", "rmdir", "sed", "setsid", "sh", "sleep",
    "sort", "stat", "strace", "tac", "tail", "tar", "tee", "timeout", "touch", "true", "umount", "unshare", "wc",
    "xargs",
];
/// What the guest's busybox must be able to do before anything else is there.
const INIT_APPLETS: &[&str] =
    &["cat", "chmod", "insmod", "ln", "mkdir", "mount", "poweroff", "rmdir", "sh", "sleep", "stat"];
const INIT: &str = "tests/vm/init";
const STEPS: &str = "etc/steps";
/// The guest's disk: a file that it mounts.
const DISK: &str = "disk.img";
const DISK_MIB: u64 = 32;

/// One command that the guest runs. Its exit code is reported.
pub(crate) struct Step {
    /// Name in the report; no blanks.
    pub name: String,
    /// A shell command.
    pub command: String,
}

/// Packs an initramfs into `dir` and returns it. `programs` are copied from the first path to the second.
pub(super) fn build(
    place: &Place,
    dir: &Path,
    modules: &[PathBuf],
    programs: &[(PathBuf, String)],
    steps: &[Step],
) -> anyhow::Result<PathBuf> {
    let stage = Stage::new(dir.join("root"))?;
    let busybox = setup::static_busybox().context("a static busybox is missing: run `cargo xtask setup`")?;
    stage.copy(&busybox, "busybox/busybox")?;
    for applet in INIT_APPLETS {
        symlink("busybox", stage.path(&format!("busybox/{applet}")))?;
    }
    for actor in ACTORS {
        if let Some(file) = cmd::find(actor).filter(|file| file.starts_with("/usr/bin") || file.starts_with("/bin")) {
            stage.program(&file, &format!("usr/bin/{actor}"))?;
        }
    }
    for (file, to) in programs {
        stage.program(file, to)?;
        strip(&stage.path(to));
    }
    for module in modules {
        stage.copy(module, &format!("modules/{}", module.file_name().unwrap_or_default().to_string_lossy()))?;
    }
    disk(&stage.path(DISK), DISK_MIB, None)?;
    stage.copy(&place.root.join(INIT), "init")?;
    fs::set_permissions(stage.path("init"), fs::Permissions::from_mode(0o755))?;
    stage.write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nsomebody:x:1000:1000::/home/somebody:/bin/sh\n\
                               nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    )?;
    stage.write("etc/group", "root:x:0:\nsomebody:x:1000:\nnogroup:x:65534:\n")?;
    stage.write("etc/hostname", "guest\n")?;
    stage.write("etc/hosts", "127.0.0.1 localhost guest\n")?;
    stage.write("etc/machine-id", "00000000000000000000000000000001\n")?;
    let steps: String = steps.iter().map(|step| format!("{}\t{}\n", step.name, step.command)).collect();
    stage.write(STEPS, &steps)?;
    pack(&stage.root, &dir.join("initramfs"))
}

/// A directory that becomes the guest's root.
struct Stage {
    root: PathBuf,
}

impl Stage {
    fn new(root: PathBuf) -> anyhow::Result<Self> {
        empty(&root)?;
        for dir in [
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "busybox",
            "dev",
            "etc",
            "home/somebody",
            "proc",
            "root",
            "run",
            "sys",
            "tmp",
            "var/lib",
            "var/tmp",
            "mnt",
        ] {
            fs::create_dir_all(root.join(dir))
                .with_context(|| format!("cannot create {dir} under {}", root.display()))?;
        }
        // As on Debian, so that a program has the same path here and there.
        for dir in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{dir}"), root.join(dir))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::set_permissions(root.join("root"), fs::Permissions::from_mode(0o700))?;
        std::os::unix::fs::chown(root.join("home/somebody"), Some(1000), Some(1000))
            .context("cannot give the guest's user a home: this must run as root")?;
        Ok(Self { root })
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    fn write(&self, inside: &str, text: &str) -> anyhow::Result<()> {
        fs::write(self.path(inside), text).with_context(|| format!("cannot write the guest's {inside}"))
    }

    fn copy(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        let target = self.path(to);
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::copy(from, &target).with_context(|| format!("cannot copy {} into the guest", from.display()))?;
        Ok(())
    }

    /// Copies a program and the shared libraries that it asks for.
    fn program(&self, file: &Path, to: &str) -> anyhow::Result<()> {
        self.copy(file, to)?;
        for library in libraries(file) {
            let inside = library.to_string_lossy();
            if !self.path(&inside).exists() {
                self.copy(&library, &inside)?;
            }
        }
        Ok(())
    }
}

/// A directory with nothing in it.
pub(super) fn empty(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// Makes a disk with an ext4 that the oldest kernel knows: what is only on file systems of blocks (inode generations, names
/// that are forgotten) cannot be tested without. It holds a copy of `root`.
pub(super) fn disk(image: &Path, mib: u64, root: Option<&Path>) -> anyhow::Result<()> {
    let file = fs::File::create(image).with_context(|| format!("cannot create {}", image.display()))?;
    file.set_len(mib << 20).context("cannot give the guest's disk its size")?;
    let mke2fs = cmd::find("mke2fs").context("mke2fs is missing: run `cargo xtask setup`")?;
    let features = "^has_journal,^metadata_csum,^metadata_csum_seed,^orphan_file";
    let mut make = Command::new(mke2fs);
    make.args(["-q", "-F", "-t", "ext4", "-O", features]);
    if let Some(root) = root {
        make.arg("-d").arg(root);
    }
    cmd::run(make.arg(image))
}

/// The shared libraries, with the loader, that the system's loader would take. None for a static program or a script.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd").arg(program).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .filter(|file| file.is_file())
        .collect()
}

/// Without debug information the guest boots sooner. A program that cannot be stripped goes in as it is.
fn strip(program: &Path) {
    if !cmd::succeeds(Command::new("strip").arg(program)) {
        eprintln!("vm: {} was not stripped; the guest takes longer to start", program.display());
    }
}

/// Not compressed: unpacking costs an emulated machine more than copying.
pub(super) fn pack(root: &Path, initramfs: &Path) -> anyhow::Result<PathBuf> {
    let mut names = String::new();
    list(root, root, &mut names)?;
    let file = fs::File::create(initramfs).with_context(|| format!("cannot create {}", initramfs.display()))?;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("cannot start cpio")?;
    cpio.stdin.take().context("cpio takes no input")?.write_all(names.as_bytes())?;
    let status = cpio.wait()?;
    if !status.success() {
        bail!("cpio failed: {status}");
    }
    Ok(initramfs.to_path_buf())
}

fn list(root: &Path, dir: &Path, names: &mut String) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        names.push_str(&entry.strip_prefix(root)?.to_string_lossy());
        names.push('\n');
        if entry.is_dir() && !entry.is_symlink() {
            list(root, &entry, names)?;
        }
    }
    Ok(())
}
