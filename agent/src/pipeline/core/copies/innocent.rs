//! What lies beside a store and is no copy that anybody made: temporary and lock files of the tool itself, which then take the
//! store's name, journals of databases, and what editors keep.

use std::path::Path;

use super::Home;
use crate::catalogue::homes::Homes;

/// What names of files begin or end with that are soon renamed or removed.
const BEGINNINGS: &[&str] = &["tmp", ".tmp", "sed", ".goutputstream", ".nfs", "#"];
const ENDS: &[&str] = &[".tmp", ".temp", ".lock", ".new", ".part", ".partial", ".swp", ".swx", "~", ".bak", "#"];

/// Is it in the same directory as the store?
fn together(path: &Path, home: &Home) -> bool {
    path.parent().is_some() && path.parent() == home.path.parent()
}

/// Is it named after the store: `credentials.tmp`, `.credentials.swp`, `credentials~`, `#credentials#`?
fn named_after(path: &Path, home: &Home) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(name), Some(store)) = (name(path), name(&home.path)) else { return false };
    let bare = |name: &str| name.trim_start_matches(['.', '#']).to_owned();
    let store = bare(&store);
    store.len() > 2 && bare(&name).starts_with(&store)
}

/// May it be on its way to the name of one of the stores? Looking once more costs nothing but a moment.
pub(super) fn passes_by(path: &Path, homes: &[Home]) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary =
        BEGINNINGS.iter().any(|start| name.starts_with(start)) || ENDS.iter().any(|end| name.ends_with(end));
    homes.iter().any(|home| together(path, home) && (temporary || named_after(path, home)))
}

/// Is it a copy beside a store, named after it?
pub(super) fn is_beside(path: &Path, homes: &[Home]) -> bool {
    homes.iter().any(|home| together(path, home) && named_after(path, home))
}

/// Is it the same file in another tree, as a tool that copies or packs a whole project leaves it: `.git/config` of both? A tool
/// may still have it under a temporary name.
pub(super) fn is_along(path: &Path, home: &Home) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let directory = |path: &Path| path.parent().and_then(name);
    let (Some(there), Some(store)) = (name(path), name(&home.path)) else { return false };
    directory(path).is_some() && directory(path) == directory(&home.path) && there.contains(&store)
}

/// Is it a place of the store's own tool: in the tool's directory, or beside the store and named after it?
pub(super) fn is_own_place(path: &Path, home: &Home, homes: &Homes) -> bool {
    let directory = home.path.parent().filter(|directory| !homes.contains(directory) && directory.parent().is_some());
    let own = directory.is_some_and(|directory| directory.components().count() > 2 && path.starts_with(directory));
    own || (together(path, home) && named_after(path, home))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(path: &str) -> Home {
        Home { store: "s".to_owned(), path: path.into() }
    }

    #[test]
    fn a_file_of_a_project_goes_along_with_it() {
        for (path, along) in [
            ("/backup/project/.git/config", true),
            ("project/.git/config", true),
            ("/backup/project/.git/.config.Xb3dQz", true),
            ("/tmp/config", false),
            ("/backup/project/deploy/config", false),
            ("/backup/project/.git/token", false),
        ] {
            assert_eq!(is_along(Path::new(path), &home("/home/ann/project/.git/config")), along, "{path}");
        }
    }

    #[test]
    fn what_is_named_after_a_store_lies_beside_it() {
        for (path, store, beside, passes) in [
            ("/home/ann/.aws/credentials.tmp", "/home/ann/.aws/credentials", true, true),
            ("/home/ann/.aws/.credentials.swp", "/home/ann/.aws/credentials", true, true),
            ("/home/ann/.aws/credentials~", "/home/ann/.aws/credentials", true, true),
            ("/home/ann/.aws/sedA1b2C3", "/home/ann/.aws/credentials", false, true),
            ("/home/ann/.aws/deploy.sh", "/home/ann/.aws/credentials", false, false),
            ("/home/ann/.netrc.bak", "/home/ann/.netrc", true, true),
            ("/home/ann/deploy.sh", "/home/ann/.netrc", false, false),
            ("/tmp/credentials.tmp", "/home/ann/.aws/credentials", false, false),
        ] {
            let (path, homes) = (Path::new(path), [home(store)]);
            assert_eq!((is_beside(path, &homes), passes_by(path, &homes)), (beside, passes), "{path:?}");
        }
    }

    #[test]
    fn a_tool_has_its_directory_and_not_the_whole_home() {
        let homes = Homes::new(["/home/ann".into()]);
        for (path, store, own) in [
            ("/home/ann/.aws/cli/cache/a.json", "/home/ann/.aws/credentials", true),
            ("/home/ann/.git-credentials.lock", "/home/ann/.git-credentials", true),
            ("/home/ann/x.sh", "/home/ann/.git-credentials", false),
            ("/home/ann/x.sh", "/home/ann/.aws/credentials", false),
            ("/etc/cron.d/x", "/etc/tool-token", false),
        ] {
            assert_eq!(is_own_place(Path::new(path), &home(store), &homes), own, "{path}");
        }
    }
}
