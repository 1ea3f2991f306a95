//! What `cargo install` writes beside `bin` (cargo's `ops/common_for_install_and_uninstall.rs`). Pure and total.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{installed::Named, pip};

/// The record for `HOME/bin/NAME`, and `NAME`.
#[must_use]
pub fn record(path: &Path) -> Option<(PathBuf, &str)> {
    Some((pip::prefix(path)?.join(".crates2.json"), path.file_name()?.to_str()?))
}

#[derive(Deserialize)]
struct Record {
    installs: BTreeMap<String, Install>,
}

#[derive(Deserialize)]
struct Install {
    #[serde(default)]
    bins: Vec<String>,
}

/// The crate that a record says it has this program from.
#[must_use]
pub fn installed(record: &[u8], program: &str) -> Option<Named> {
    let record: Record = serde_json::from_slice(record).ok()?;
    let lists = |install: &Install| install.bins.iter().any(|bin| bin == program);
    let (id, _) = record.installs.iter().find(|(_, install)| lists(install))?;
    // `NAME VERSION (SOURCE)`
    let mut words = id.split(' ');
    Named::new(words.next()?, words.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_the_crate_of_a_program() {
        let text =
            br#"{"installs":{"tool 1.2.3 (path+file:///src/tool)":{"version_req":null,"bins":["tool","tool-helper"]},
            "bad":{"bins":["bad"]},"none 1.0.0 (path+file:///src)":{}}}"#;
        let said = |program| installed(text, program).map(|named| named.to_string());
        assert_eq!((said("tool").as_deref(), said("tool-helper").as_deref()), (Some("tool 1.2.3"), Some("tool 1.2.3")));
        assert_eq!((said("bad"), said("none"), said("tool 1.2.3")), (None, None, None));
        assert_eq!((installed(b"", "x"), installed(b"{}", "x"), installed(b"[[[[", "x")), (None, None, None));
        assert_eq!(record(Path::new("/h/.cargo/bin/rg")), Some(("/h/.cargo/.crates2.json".into(), "rg")));
        assert_eq!(record(Path::new("/h/.cargo/rg")), None);
    }
}
