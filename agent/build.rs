//! Builds the kernel programs (`ebpf/`) and leaves the object at `$OUT_DIR/tokenhound.bpf.o`, where `probe/` embeds it.
//!
//! The compiler is the first of these that can make code for [`TARGET`]:
//! 1. the one that `TOKENHOUND_BPF_RUSTC` names;
//! 2. one that has `core` for the target already built: cargo's own rustc, or Debian's `rustc-web` with
//!    `libstd-rust-web-dev-bpf`;
//! 3. one that has `core` in source (component `rust-src`): cargo's own rustc, or a rustup nightly.
//!
//! Without compiler or linker the build fails and says what to do. It never leaves an agent without its programs.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "tokenhound-ebpf";
const OBJECT: &str = "tokenhound";
const RUSTC_CHOICE: &str = "TOKENHOUND_BPF_RUSTC";
const LINKER_CHOICE: &str = "TOKENHOUND_BPF_LINKER";
const LINKER: &str = "bpf-linker";
/// The rustc of Debian's `rustc-web`, which rustup's own hides on `PATH`.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Failure> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest_dir.parent().unwrap_or(&manifest_dir).to_path_buf();
    for name in [RUSTC_CHOICE, LINKER_CHOICE] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    for part in ["ebpf/Cargo.toml", "ebpf/src", "common/Cargo.toml", "common/src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let compiler = Compiler::find()?;
    let linker = find_linker()?;
    println!("cargo::rerun-if-changed={}", compiler.rustc.display());
    println!("cargo::rerun-if-changed={}", linker.display());

    let object = compile(&root, &out, &compiler, &linker)?;
    let finished = out.join("tokenhound.bpf.o");
    let bytes = fs::read(&object).map_err(|source| Failure::Io { what: "read", path: object.clone(), source })?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Failure::NotAnObject(object));
    }
    fs::write(&finished, bytes).map_err(|source| Failure::Io { what: "write", path: finished, source })
}

/// Runs cargo for the kernel programs alone, in a target directory of their own: cargo holds a lock on ours.
fn compile(root: &Path, out: &Path, compiler: &Compiler, linker: &Path) -> Result<PathBuf, Failure> {
    let target_dir = out.join("ebpf");
    let mut cargo = Command::new(&compiler.cargo);
    // From the root, so that the same `.cargo/config.toml` and lock file count whoever called cargo.
    cargo.current_dir(root).args(["build", "--release", "--locked", "--package", PACKAGE, "--bin", OBJECT]);
    cargo.args(["--target", TARGET]).arg("--target-dir").arg(&target_dir);
    if compiler.core == Core::Source {
        cargo.args(["-Z", "build-std=core"]);
    }
    // What cargo and clippy set for the agent must not reach the programs.
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_BUILD_TARGET", "CLIPPY_ARGS"] {
        cargo.env_remove(name);
    }
    let arch = variable("CARGO_CFG_TARGET_ARCH")?.to_string_lossy().into_owned();
    let flags = [
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ];
    cargo
        .env("RUSTC", &compiler.rustc)
        // Neither a released compiler nor its cargo takes this target's unstable parts without it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    let status =
        cargo.status().map_err(|source| Failure::Io { what: "start", path: PathBuf::from(&compiler.cargo), source })?;
    if !status.success() {
        return Err(Failure::Compile { rustc: compiler.rustc.clone(), status: status.to_string() });
    }
    Ok(target_dir.join(TARGET).join("release").join(OBJECT))
}

/// Where the compiler takes `core` for the target from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Core {
    Prebuilt,
    Source,
}

struct Compiler {
    rustc: PathBuf,
    cargo: OsString,
    core: Core,
}

impl Compiler {
    fn find() -> Result<Self, Failure> {
        let cargo = variable("CARGO")?;
        if let Some(chosen) = env::var_os(RUSTC_CHOICE).filter(|value| !value.is_empty()) {
            let rustc = PathBuf::from(chosen);
            let sysroot = sysroot(Command::new(&rustc)).ok_or_else(|| Failure::BadChoice(rustc.clone()))?;
            let core = [Core::Prebuilt, Core::Source].into_iter().find(|core| core.is_in(&sysroot));
            let core = core.ok_or_else(|| Failure::BadChoice(rustc.clone()))?;
            return Ok(Self { rustc, cargo, core });
        }
        let own = PathBuf::from(variable("RUSTC")?);
        let system = PathBuf::from(SYSTEM_RUSTC);
        let nightly = nightly_sysroot().map(|sysroot| sysroot.join("bin/rustc"));
        for core in [Core::Prebuilt, Core::Source] {
            for rustc in [Some(&own), Some(&system), nightly.as_ref()].into_iter().flatten() {
                let Some(sysroot) = sysroot(Command::new(rustc)).filter(|sysroot| core.is_in(sysroot)) else {
                    continue;
                };
                // `core`'s source wants the cargo of its own release.
                let beside = sysroot.join("bin/cargo");
                let cargo = if core == Core::Source && beside.exists() { beside.into() } else { cargo };
                return Ok(Self { rustc: rustc.clone(), cargo, core });
            }
        }
        Err(Failure::NoCompiler)
    }
}

impl Core {
    fn is_in(self, sysroot: &Path) -> bool {
        let rustlib = sysroot.join("lib/rustlib");
        match self {
            Self::Prebuilt => rustlib.join(TARGET).join("lib").is_dir(),
            Self::Source => rustlib.join("src/rust/library/core").is_dir(),
        }
    }
}

fn sysroot(mut rustc: Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim_end()))
}

/// The sysroot of rustup's nightly, if both are there. Installs nothing.
fn nightly_sysroot() -> Option<PathBuf> {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly", "rustc"]).env("RUSTUP_AUTO_INSTALL", "0").env_remove("RUSTUP_TOOLCHAIN");
    sysroot(rustup)
}

fn find_linker() -> Result<PathBuf, Failure> {
    if let Some(chosen) = env::var_os(LINKER_CHOICE).filter(|value| !value.is_empty()) {
        let chosen = PathBuf::from(chosen);
        return if chosen.is_file() { Ok(chosen) } else { Err(Failure::NoLinker) };
    }
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(cargo_home.map(|home| home.join("bin")));
    places.find_map(|place| Some(place.join(LINKER)).filter(|file| file.is_file())).ok_or(Failure::NoLinker)
}

fn variable(name: &'static str) -> Result<OsString, Failure> {
    env::var_os(name).ok_or(Failure::NoVariable(name))
}

enum Failure {
    NoVariable(&'static str),
    NoCompiler,
    BadChoice(PathBuf),
    NoLinker,
    Compile { rustc: PathBuf, status: String },
    NotAnObject(PathBuf),
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVariable(name) => write!(f, "cargo did not set {name}: run this through cargo"),
            Self::NoCompiler => write!(
                f,
                "no Rust compiler here makes eBPF code, so the agent would have no kernel programs.\n\
                 Run `cargo xtask setup`. By hand: on Debian `rustc-web` and `libstd-rust-web-dev-bpf`; elsewhere \
                 `rustup toolchain install nightly --component rust-src`; or set {RUSTC_CHOICE} to a rustc that has \
                 `core` for {TARGET}, built or in source."
            ),
            Self::BadChoice(rustc) => write!(
                f,
                "{RUSTC_CHOICE} names {}, which does not run or has no `core` for {TARGET}, neither built nor in source.\n\
                 Unset it and run `cargo xtask setup`, or point it at another rustc.",
                rustc.display()
            ),
            Self::NoLinker => write!(
                f,
                "{LINKER} is missing, so the kernel programs cannot be linked.\n\
                 Run `cargo xtask setup`, or set {LINKER_CHOICE} to where it is."
            ),
            Self::Compile { rustc, status } => write!(
                f,
                "the kernel programs (package {PACKAGE}) did not build with {} ({status}); the compiler's own words are \
                 beside this.\nIf it is the toolchain and not the code, run `cargo xtask setup`.",
                rustc.display()
            ),
            Self::NotAnObject(path) => {
                write!(f, "{} is not an ELF object: is {LINKER} the right program?", path.display())
            }
            Self::Io { what, path, source } => write!(f, "cannot {what} {}: {source}", path.display()),
        }
    }
}
