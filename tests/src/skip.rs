//! Tests that cannot test here say so: `cargo xtask test` counts them as skipped, with the reason.

use std::{env, fs::OpenOptions, io::Write, path::PathBuf};

/// Whether this is a guest: slow, with few programs and no network but loopback.
#[must_use]
pub fn in_guest() -> bool {
    env::var_os("TOKENHOUND_GUEST").is_some()
}

/// Notes that this test is skipped. At most once in a test.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    println!("SKIPPED: {reason}");
    if let Some(file) = env::var_os("TOKENHOUND_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).expect("open the list of skips");
        writeln!(file, "{test}: {reason}").expect("note a skip");
    }
}

/// Where a program is on `PATH`.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Whether all of these programs are here (by path, or by name on `PATH`); skips the test if not.
#[must_use]
pub fn has(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| program(name).is_none()).collect();
    if !missing.is_empty() {
        skip(&format!("{} not here", missing.join(", ")));
    }
    missing.is_empty()
}

/// Whether this is no guest; skips the test if it is, where the kernel makes no difference.
#[must_use]
pub fn native(why: &str) -> bool {
    if in_guest() {
        skip(why);
    }
    !in_guest()
}
