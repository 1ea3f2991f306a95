//! The table of what is needed, for which task, how to tell that it is there and where it comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cmd;
use crate::place::Place;
use crate::setup::Group;

pub(super) const REQUIREMENTS: &str = "tests/requirements.txt";
pub(super) const VENV_STAMP: &str = "requirements.installed";
pub(super) const SYSTEM_PYTHON: &str = "/usr/bin/python3";
const BPF_TARGET: &str = "bpfel-unknown-none";
const BPF_LINKER: &str = "0.10.3";
const CARGO_DEB: &str = "3.8.0";
const CARGO_GENERATE_RPM: &str = "0.21.1";
const MDBOOK: &str = "0.5.4";

pub(super) struct Need {
    pub name: &'static str,
    pub purpose: &'static str,
    there: There,
    /// Debian's packages that bring it.
    pub debian: &'static [&'static str],
    pub remedy: Remedy,
    /// What else would do, outside Debian.
    pub elsewhere: Option<&'static str>,
}

/// How to tell that it is there.
enum There {
    Program(&'static str),
    StaticBusybox,
    BpfCompiler,
    /// A program that cargo installs, in this version.
    Cargo(&'static str, &'static str),
    PythonVenv,
    Venv,
}

pub(super) enum Remedy {
    Package,
    Cargo { name: &'static str, version: &'static str },
    Venv,
}

impl Need {
    const fn program(program: &'static str, debian: &'static [&'static str], purpose: &'static str) -> Self {
        Self {
            name: program,
            purpose,
            there: There::Program(program),
            debian,
            remedy: Remedy::Package,
            elsewhere: None,
        }
    }

    const fn other(name: &'static str, there: There, debian: &'static [&'static str], purpose: &'static str) -> Self {
        Self { name, purpose, there, debian, remedy: Remedy::Package, elsewhere: None }
    }

    pub(super) fn is_there(&self, place: &Place) -> bool {
        match self.there {
            There::Program(program) => cmd::find(program).is_some(),
            There::StaticBusybox => static_busybox().is_some(),
            There::BpfCompiler => has_bpf_compiler(),
            There::Cargo(name, version) => has_cargo_program(name, version),
            There::PythonVenv => cmd::succeeds(Command::new(SYSTEM_PYTHON).args(["-c", "import ensurepip, venv"])),
            There::Venv => match (fs::read(place.root.join(REQUIREMENTS)), fs::read(place.venv().join(VENV_STAMP))) {
                (Ok(wanted), Ok(installed)) => wanted == installed,
                _ => false,
            },
        }
    }
}

pub(super) fn all(groups: &[Group]) -> Vec<Need> {
    let mut needs = Vec::new();
    // Whatever is tested or measured is built first.
    if groups.iter().any(|group| *group != Group::Docs) {
        needs.extend(build());
    }
    if groups.contains(&Group::Test) {
        needs.extend(test());
    }
    if groups.contains(&Group::Bench) {
        needs.extend(bench());
    }
    if groups.contains(&Group::Package) {
        needs.extend(package());
    }
    if groups.contains(&Group::Image) {
        needs.push(Need::program("musl-gcc", &["musl-tools"], "builds the static program of the container image"));
    }
    if groups.contains(&Group::Docs) {
        needs.push(Need {
            remedy: Remedy::Cargo { name: "mdbook", version: MDBOOK },
            ..Need::other("mdbook", There::Cargo("mdbook", MDBOOK), &[], "makes a site of the documents")
        });
    }
    needs
}

fn build() -> Vec<Need> {
    vec![
        Need::program("cc", &["gcc", "libc6-dev"], "links Rust programs"),
        Need {
            elsewhere: Some("elsewhere: `rustup toolchain install nightly --component rust-src`"),
            ..Need::other(
                "eBPF compiler",
                There::BpfCompiler,
                &["rustc-web", "libstd-rust-web-dev-bpf"],
                "a rustc with `core` for the eBPF target compiles the kernel programs",
            )
        },
        Need {
            remedy: Remedy::Cargo { name: "bpf-linker", version: BPF_LINKER },
            ..Need::other("bpf-linker", There::Cargo("bpf-linker", BPF_LINKER), &[], "links the kernel programs")
        },
    ]
}

fn test() -> Vec<Need> {
    vec![
        Need::program("qemu-system-x86_64", &["qemu-system-x86"], "runs guests with other kernels"),
        Need::other("busybox (static)", There::StaticBusybox, &["busybox-static"], "starts the guests"),
        Need::program("cpio", &["cpio"], "packs the guests' file system"),
        Need::program("mke2fs", &["e2fsprogs"], "makes the guests' disk"),
        Need::program("xz", &["xz-utils"], "unpacks the guests' modules"),
        Need::program("strip", &["binutils"], "keeps the guests' file system small"),
        Need::program("prometheus", &["prometheus"], "scrapes the agent"),
        Need::program("promtool", &["prometheus"], "checks the metrics and the alert rules"),
        Need::program("prometheus-alertmanager", &["prometheus-alertmanager"], "routes alerts"),
        Need::program("amtool", &["prometheus-alertmanager"], "checks how alerts are routed"),
        Need::program("rsyslogd", &["rsyslog", "rsyslog-gnutls"], "takes syslog messages"),
        Need::other("python3 with venv", There::PythonVenv, &["python3", "python3-venv"], "holds the next one"),
        Need {
            remedy: Remedy::Venv,
            ..Need::other("Python programs", There::Venv, &[], "validators and real readers of stores")
        },
        Need::program("systemd-analyze", &["systemd"], "checks the unit"),
        Need::program("git", &["git"], "a real reader of its store"),
        Need::program("ssh", &["openssh-client"], "a real reader of its store"),
        Need::program("gh", &["gh"], "a real reader of its store"),
        Need::program("node", &["nodejs"], "a real reader, right and wrong"),
        Need::program("npm", &["npm"], "a real reader of its store"),
        Need::program("docker", &["docker.io"], "a real reader of its store"),
        Need::program("dockerd", &["docker.io"], "a container engine of a test's own"),
        Need::program("podman", &["podman"], "a container engine without a daemon"),
        Need::program("runc", &["runc"], "starts containers of each of them"),
        Need::program("curl", &["curl"], "a real reader of its store"),
        Need::program("openssl", &["openssl"], "writes stores as its users do"),
        Need::program("gpgconf", &["gpgconf"], "writes stores as its users do"),
        Need::program("rpm", &["rpm"], "installs packages of a test's own"),
        Need::program("rpmbuild", &["rpm"], "makes them"),
        Need::program("tar", &["tar"], "an unexpected reader"),
        Need::program("rsync", &["rsync"], "an unexpected reader"),
    ]
    .into_iter()
    .chain(everyday())
    .collect()
}

/// What the corpus of everyday commands runs beside the above.
fn everyday() -> impl Iterator<Item = Need> {
    let programs: [(&'static str, &'static [&'static str]); 22] = [
        ("kubectl", &["kubernetes-client"]),
        ("rclone", &["rclone"]),
        ("restic", &["restic"]),
        ("s3cmd", &["s3cmd"]),
        ("lftp", &["lftp"]),
        ("msmtp", &["msmtp"]),
        ("fetchmail", &["fetchmail"]),
        ("pass", &["pass"]),
        ("gpg", &["gnupg"]),
        ("skopeo", &["skopeo"]),
        ("psql", &["postgresql-client"]),
        ("svn", &["subversion"]),
        ("hg", &["mercurial"]),
        ("wget", &["wget"]),
        ("vim.tiny", &["vim-tiny"]),
        ("nano", &["nano"]),
        ("rg", &["ripgrep"]),
        ("tini", &["tini"]),
        ("zsh", &["zsh"]),
        ("zip", &["zip"]),
        ("xxd", &["xxd"]),
        ("perl", &["perl"]),
    ];
    programs
        .into_iter()
        .map(|(program, debian)| Need::program(program, debian, "a command of the corpus or of the stories"))
}

fn bench() -> Vec<Need> {
    vec![
        Need::program("auditctl", &["auditd"], "measured beside the agent"),
        Need::program("bpftrace", &["bpftrace"], "measured beside the agent"),
        Need::program("fatrace", &["fatrace"], "measured beside the agent"),
    ]
}

fn package() -> Vec<Need> {
    let built = |name, version, purpose| Need {
        remedy: Remedy::Cargo { name, version },
        ..Need::other(name, There::Cargo(name, version), &[], purpose)
    };
    vec![
        built("cargo-deb", CARGO_DEB, "makes the .deb"),
        built("cargo-generate-rpm", CARGO_GENERATE_RPM, "makes the .rpm"),
        Need::program("dpkg-shlibdeps", &["dpkg-dev"], "says what the .deb depends on"),
        Need::program("python3", &["python3"], "makes an old history for the test of an upgrade"),
        Need::program("mmdebstrap", &["mmdebstrap"], "makes the root of a guest that systemd runs"),
        Need::program("qemu-system-x86_64", &["qemu-system-x86"], "runs that guest"),
        Need::other("busybox (static)", There::StaticBusybox, &["busybox-static"], "starts that guest"),
        Need::program("cpio", &["cpio"], "packs that guest's file system"),
        Need::program("mke2fs", &["e2fsprogs"], "makes that guest's disk"),
        Need::program("xz", &["xz-utils"], "unpacks that guest's modules"),
    ]
}

/// The same choice that `agent/build.rs` makes, without running the compilers where files tell.
fn has_bpf_compiler() -> bool {
    if std::env::var_os("TOKENHOUND_BPF_RUSTC").is_some_and(|value| !value.is_empty()) {
        // The user's own choice; the build checks it and says what is wrong with it.
        return true;
    }
    if Path::new("/usr/bin/rustc").exists() && Path::new("/usr/lib/rustlib").join(BPF_TARGET).join("lib").is_dir() {
        return true;
    }
    let mut own = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let mut nightly = Command::new("rustup");
    nightly.args(["run", "nightly", "rustc"]).env("RUSTUP_AUTO_INSTALL", "0").env_remove("RUSTUP_TOOLCHAIN");
    [&mut own, &mut nightly].into_iter().any(|rustc| {
        rustc.args(["--print", "sysroot"]).output().is_ok_and(|output| {
            let sysroot = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
            let rustlib = Path::new(&sysroot).join("lib/rustlib");
            output.status.success()
                && (rustlib.join(BPF_TARGET).join("lib").is_dir() || rustlib.join("src/rust/library/core").is_dir())
        })
    })
}

fn has_cargo_program(name: &str, version: &str) -> bool {
    Command::new(cargo_program(name)).arg("--version").output().is_ok_and(|output| {
        // mdBook says `mdbook v0.5.4`.
        String::from_utf8_lossy(&output.stdout).split_whitespace().any(|word| word.trim_start_matches('v') == version)
    })
}

/// Where a program that cargo installs is: on `PATH`, or where cargo puts it. Just its name where it is not there.
pub(crate) fn cargo_program(name: &str) -> PathBuf {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let own = cargo_home.map(|home| home.join("bin").join(name)).filter(|file| file.is_file());
    cmd::find(name).or(own).unwrap_or_else(|| PathBuf::from(name))
}

/// A busybox that needs no shared library, so that it runs as a guest's first program.
pub(crate) fn static_busybox() -> Option<PathBuf> {
    ["busybox", "busybox-static"].iter().filter_map(|name| cmd::find(name)).find(|file| !has_interpreter(file))
}

/// Whether an x86-64 ELF program asks for a dynamic loader (program header `PT_INTERP`). Unreadable counts as yes.
fn has_interpreter(file: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let Ok(bytes) = fs::read(file) else { return true };
    let u16_at = |at: usize| bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes);
    let u32_at = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let u64_at = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let (Some(table), Some(size), Some(count)) = (u64_at(32), u16_at(54), u16_at(56)) else { return true };
    (0..usize::from(count))
        .any(|index| u32_at(table as usize + index * usize::from(size)).is_none_or(|kind| kind == PT_INTERP))
}
