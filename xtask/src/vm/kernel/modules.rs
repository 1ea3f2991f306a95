//! The few modules that guests need, out of a kernel's package, with what they depend on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::files;
use crate::cmd;

/// Built into some kernels, and then there is no file. The first two do sums that ext4 asks for without depending on them.
const WANTED: &[&str] = &["crc32c_generic", "crc32c_cryptoapi", "loop", "ext4", "overlay"];
const HOME: &str = "modules";

/// Whether they were taken out of the package.
pub(super) fn cached(home: &Path) -> bool {
    home.join(HOME).is_dir()
}

/// Those in the cache, in the order of loading.
pub(super) fn list(home: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let dir = home.join(HOME);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut modules: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    modules.sort();
    Ok(modules)
}

/// Moves those of an unpacked package into the cache, numbered in the order of loading.
pub(super) fn keep(unpacked: &Path, home: &Path) -> anyhow::Result<()> {
    let mut modules = BTreeMap::new();
    for file in files(unpacked, &|name| name.contains(".ko")) {
        if let Some((name, _)) = file.file_name().unwrap_or_default().to_string_lossy().split_once(".ko") {
            modules.insert(name.replace('-', "_"), file);
        }
    }
    let mut order = Vec::new();
    for name in WANTED {
        add(name, &modules, &mut order)?;
    }
    // As a whole or not at all.
    let next = home.join("modules.new");
    let _ = fs::remove_dir_all(&next);
    fs::create_dir_all(&next).with_context(|| format!("cannot create {}", next.display()))?;
    for (index, (name, content)) in order.iter().enumerate() {
        fs::write(next.join(format!("{index:02}-{name}.ko")), content).context("cannot keep a module")?;
    }
    let _ = fs::remove_dir_all(home.join(HOME));
    fs::rename(&next, home.join(HOME)).context("cannot keep the modules")
}

/// Adds a module behind those that it depends on.
fn add(name: &str, modules: &BTreeMap<String, PathBuf>, order: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    let Some(file) = modules.get(name).filter(|_| order.iter().all(|(known, _)| known != name)) else { return Ok(()) };
    let content = content(file)?;
    for other in dependencies(&content) {
        add(&other, modules, order)?;
    }
    order.push((name.to_owned(), content));
    Ok(())
}

fn content(file: &Path) -> anyhow::Result<Vec<u8>> {
    let unpack = match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => return fs::read(file).with_context(|| format!("cannot read {}", file.display())),
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{} is packed in an unknown way", file.display()),
    };
    let unpack = cmd::find(unpack).with_context(|| format!("{unpack} is missing to unpack {}", file.display()))?;
    let output = Command::new(unpack).arg("-dc").arg(file).output().context("cannot unpack a module")?;
    if !output.status.success() {
        bail!("cannot unpack {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// From a module's section `.modinfo`, which is a list of `key=value`, each closed by a zero.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|part| part == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(depends: &str) -> Vec<u8> {
        format!("\u{7f}ELF license=GPL\0depends={depends}\0name=x\0").into_bytes()
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let home = tempfile::tempdir().unwrap();
        let package = home.path().join("package");
        fs::create_dir_all(&package).unwrap();
        for (name, depends) in [("ext4", "jbd2,crc-16"), ("jbd2", "crc-16"), ("crc-16", ""), ("other", "ext4")] {
            fs::write(package.join(format!("{name}.ko")), module(depends)).unwrap();
        }
        assert!(!cached(home.path()));
        keep(&package, home.path()).unwrap();
        let names = list(home.path()).unwrap().into_iter().map(|file| file.file_name().unwrap().to_owned());
        assert_eq!(names.collect::<Vec<_>>(), ["00-crc_16.ko", "01-jbd2.ko", "02-ext4.ko"]);
        assert!(cached(home.path()));
    }
}
