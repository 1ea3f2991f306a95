//! What the program says, for whoever compares it with what the agent says. Each line is written at once, because many
//! processes share the output.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// This program, as `/proc` knew it before anybody changed the root.
static PROGRAM: OnceLock<(PathBuf, u64)> = OnceLock::new();

/// To be called first.
pub(crate) fn remember_program() {
    let _ = PROGRAM.set(facts("self"));
}

/// Executable of a process, and its inode number.
fn facts(process: &str) -> (PathBuf, u64) {
    let link = format!("/proc/{process}/exe");
    let path = fs::read_link(&link).unwrap_or_default();
    (path, fs::metadata(link).map_or(0, |facts| facts.ino()))
}

fn line(text: &str) {
    let text = format!("{text}\n");
    // Without anybody who listens there is nothing to say.
    let _ = rustix::io::write(std::io::stdout(), text.as_bytes());
}

fn process(role: &str, pid: u32, (exe, inode): &(PathBuf, u64)) {
    line(&format!("{role} pid={pid} inode={inode} exe={}", exe.display()));
}

/// The caller is the reader.
pub(crate) fn reader() {
    process("READER", std::process::id(), PROGRAM.get_or_init(|| facts("self")));
}

/// A child of the caller that is a fork of it is the reader.
pub(crate) fn reader_is(child: u32) {
    process("READER", child, PROGRAM.get_or_init(|| facts("self")));
}

/// A process that runs this program is the reader.
pub(crate) fn reader_runs(pid: u32, program: &Path) {
    let inode = fs::metadata(program).map_or(0, |facts| facts.ino());
    process("READER", pid, &(program.to_owned(), inode));
}

/// The caller touches the store for another, and may be reported for it.
pub(crate) fn helper() {
    line(&format!("HELPER pid={}", std::process::id()));
}

/// This process holds the store open now.
pub(crate) fn held(pid: u32) {
    line(&format!("HELD pid={pid}"));
}

/// The process that is looked into.
pub(crate) fn target(pid: u32) {
    line(&format!("TARGET pid={pid}"));
}

/// The store's own name.
pub(crate) fn host_path(path: &Path) {
    line(&format!("PATH host={}", path.display()));
}

/// The name the reader opens it by, from the root of its mount namespace.
pub(crate) fn seen_path(path: &Path) {
    line(&format!("PATH seen={}", path.display()));
}

/// How that name ends, where only its end can be known.
pub(crate) fn seen_end(path: &Path) {
    line(&format!("PATH seen_end={}", path.display()));
}

/// The name below the reader's own root.
pub(crate) fn path_in_root(path: &Path) {
    line(&format!("PATH in_root={}", path.display()));
}

/// There is nothing to be had here, for this reason.
pub(crate) fn absent(reason: &str) {
    line(&format!("ABSENT {reason}"));
}
