//! Findings against the published OCSF schema, by a validator that is not ours.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process;

/// The Python that has the validator, where there is one.
#[must_use]
pub fn python() -> Option<PathBuf> {
    env::var_os("TOKENHOUND_VENV").map(|venv| Path::new(&venv).join("bin/python")).filter(|python| python.exists())
}

/// Checks every line of a file that is not empty. Without the validator nothing is checked: one test says so.
///
/// # Panics
/// When a line is invalid.
pub fn check(findings: &Path) {
    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ocsf/check.py");
    let ended = process::run(Command::new(python).arg(script).arg(findings), b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
}
