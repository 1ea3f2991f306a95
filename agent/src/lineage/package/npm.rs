//! What npm writes into `node_modules` (its documentation of package.json and package-lock.json, "Hidden Lockfiles").
//! Pure and total.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::installed::Named;

/// Most directories called `node_modules` that are asked for one file.
const NESTED: usize = 8;

/// The package that a file lies in.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is: `.../node_modules/NAME`, or `.../node_modules/@SCOPE/NAME`.
    pub directory: PathBuf,
    /// `NAME` or `@SCOPE/NAME`.
    pub name: String,
}

/// The innermost package that a file lies in.
#[must_use]
pub fn place(path: &Path) -> Option<Place> {
    let modules = path.ancestors().skip(1).find(|above| is_modules(above))?;
    let mut inside = path.strip_prefix(modules).ok()?.components().map(|part| part.as_os_str().to_str());
    let mut name = inside.next()??.to_owned();
    if name.starts_with('@') {
        name = format!("{name}/{}", inside.next()??);
    }
    // What lies in `node_modules` itself is in no package.
    inside.next()?;
    Some(Place { directory: modules.join(&name), name })
}

fn is_modules(path: &Path) -> bool {
    path.file_name() == Some(OsStr::new("node_modules"))
}

/// Records that may list a package, from the inside out, and how each spells it.
pub fn locks(directory: &Path) -> impl Iterator<Item = (PathBuf, String)> + '_ {
    directory.ancestors().skip(1).filter(|above| is_modules(above)).take(NESTED).filter_map(|modules| {
        let key = directory.strip_prefix(modules.parent()?).ok()?.to_str()?.to_owned();
        Some((modules.join(".package-lock.json"), key))
    })
}

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    packages: HashMap<String, Manifest>,
}

/// Name and version in a `package.json`.
#[must_use]
pub fn manifest(text: &[u8]) -> Option<Named> {
    let manifest: Manifest = serde_json::from_slice(text).ok()?;
    Named::new(&manifest.name?, &manifest.version?)
}

/// What a record says about the package that it spells `key`. It names a package only where that is installed under
/// another name than `name`.
#[must_use]
pub fn listed(lock: &[u8], key: &str, name: &str) -> Option<Named> {
    let mut lock: Lock = serde_json::from_slice(lock).ok()?;
    let entry = lock.packages.remove(key)?;
    Named::new(entry.name.as_deref().unwrap_or(name), &entry.version?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_package_is_meant() {
        for (path, expected) in [
            ("/p/node_modules/a/bin/a.js", Some(("/p/node_modules/a", "a"))),
            ("/p/node_modules/@s/a/a.js", Some(("/p/node_modules/@s/a", "@s/a"))),
            ("/p/node_modules/a/node_modules/b/x/y.js", Some(("/p/node_modules/a/node_modules/b", "b"))),
            ("/p/node_modules/a", None),
            ("/p/node_modules/@s/a", None),
            ("/p/modules/a/a.js", None),
            ("", None),
        ] {
            let expected = expected.map(|(directory, name)| Place { directory: directory.into(), name: name.into() });
            assert_eq!(place(Path::new(path)), expected, "{path}");
        }
        let locks: Vec<_> = locks(Path::new("/p/node_modules/a/node_modules/b")).map(|(_, key)| key).collect();
        assert_eq!(locks, ["node_modules/b", "node_modules/a/node_modules/b"]);
        assert_eq!(super::locks(&PathBuf::from("/node_modules/a".repeat(99))).count(), NESTED);
    }

    #[test]
    fn names_come_from_records_and_only_good_ones() {
        let lock = br#"{"name":"p","packages":{"":{"name":"p"},"node_modules/a":{"version":"1.2.3","integrity":"sha512-x"},
            "node_modules/z":{"name":"real","version":"2.0.0-rc.1","bin":{"z":"z.js"}},"node_modules/l":{"link":true}}}"#;
        let said = |key: &str| listed(lock, key, "a").map(|named| named.to_string());
        assert_eq!(said("node_modules/a").as_deref(), Some("a 1.2.3"));
        assert_eq!(said("node_modules/z").as_deref(), Some("real 2.0.0-rc.1"));
        assert_eq!((said("node_modules/l"), said("node_modules/none")), (None, None));
        assert_eq!(manifest(br#"{"name":"@s/a","version":"1.0.0"}"#).unwrap().to_string(), "@s/a 1.0.0");
        for bad in ["", "[]", r#"{"name":"a"}"#, r#"{"name":"a","version":"\u001b[2J"}"#, r#"{"name":1,"version":2}"#] {
            assert_eq!(manifest(bad.as_bytes()), None, "{bad}");
        }
        let deep = format!("{}{}", r#"{"packages":"#.repeat(10_000), "}".repeat(10_000));
        assert_eq!((manifest(deep.as_bytes()), listed(deep.as_bytes(), "a", "a")), (None, None));
    }
}
