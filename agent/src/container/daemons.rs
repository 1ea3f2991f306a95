//! Engines that run: where they keep their files.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use super::{
    engine::{self, Program},
    facts::lookup::{self, Places},
};

/// Longest command line that is read, in bytes.
const LINE_BYTES: u64 = 16 << 10;

/// Of daemons that run already.
#[must_use]
pub fn running() -> Vec<Places> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.flatten().map(|entry| entry.path()) {
        let comm = fs::read(process.join("comm")).unwrap_or_default();
        let daemon = std::str::from_utf8(comm.trim_ascii_end()).ok().and_then(Program::named);
        if let Some(daemon) = daemon.filter(|program| *program != Program::Client)
            && let Some(line) = bounded(&process.join("cmdline"), LINE_BYTES)
        {
            let args = line.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned());
            found.extend(of(daemon, &args.collect::<Vec<_>>()));
        }
    }
    found
}

/// Of a daemon that was started with these arguments.
#[must_use]
pub fn of(daemon: Program, args: &[String]) -> Vec<Places> {
    engine::places(daemon, args, |file| {
        let bytes = lookup::read(file.parent()?, file.file_name()?.to_str()?)?;
        Some(bytes.to_vec())
    })
}

/// The first bytes of a file; `None` where there are none.
#[must_use]
pub fn bounded(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
