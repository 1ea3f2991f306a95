//! What kind of file a token lies in outside of stores, by its name.

use std::path::{Component, Path};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// What somebody typed.
    History,
    /// Variables for programs.
    Environment,
    /// What a CI system runs.
    Ci,
    /// A notebook.
    Notebook,
    /// A log.
    Log,
    /// A program text.
    Script,
    /// A copy that an editor or a person made.
    Backup,
    /// git's own files.
    Repository,
    /// Part of a package that others made.
    Package,
    /// A hidden file of a home.
    Dotfile,
    /// Anything else.
    File,
}

impl Place {
    /// In words.
    #[must_use]
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::History => "a history of commands",
            Self::Environment => "a file of environment variables",
            Self::Ci => "a file of a CI system",
            Self::Notebook => "a notebook",
            Self::Log => "a log",
            Self::Script => "a script",
            Self::Backup => "a backup copy",
            Self::Repository => "a file of git's own",
            Self::Package => "a part of an installed package",
            Self::Dotfile => "a dotfile",
            Self::File => "a file",
        }
    }
}

/// Directories in which package managers and distributions keep what others made.
const PACKAGES: &[&str] = &[
    "node_modules",
    "site-packages",
    "dist-packages",
    "/usr/share",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/src",
    "/usr/include",
    "/usr/bin",
    "/lib",
    ".cargo/registry",
    ".cargo/git",
    "go/pkg/mod",
    ".rustup/toolchains",
    ".m2/repository",
    ".gradle/caches",
    "vendor/bundle",
    ".pnpm-store",
    ".npm/_cacache",
    ".pyenv/versions",
    ".nvm/versions",
];
const CI_DIRECTORIES: &[&str] =
    &[".github/workflows", ".circleci", ".buildkite", ".gitea/workflows", ".forgejo/workflows"];
const CI_NAMES: &[&str] = &[
    ".gitlab-ci.yml",
    ".travis.yml",
    ".drone.yml",
    ".woodpecker.yml",
    "Jenkinsfile",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    "cloudbuild.yaml",
];
const HISTORY_NAMES: &[&str] =
    &[".histfile", ".lesshst", ".viminfo", "fish_history", ".zhistory", "ConsoleHost_history.txt"];
const SCRIPT_NAMES: &[&str] = &["Makefile", "Dockerfile", "Containerfile", "Vagrantfile", "justfile", "crontab"];
const SCRIPT_ENDS: &[&str] = &[
    "sh", "bash", "zsh", "fish", "py", "rb", "pl", "php", "js", "mjs", "cjs", "ts", "ps1", "lua", "mk", "tf", "sql",
    "go", "rs", "java", "kt", "cs",
];
const BACKUP_ENDS: &[&str] = &["bak", "old", "orig", "save", "swp", "backup", "tmp"];

/// The kind of file at an absolute path.
#[must_use]
pub(super) fn of(path: &Path, home: Option<&Path>) -> Place {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let end = path.extension().map(|end| end.to_string_lossy()).unwrap_or_default();
    let within = |directories: &[&str]| directories.iter().any(|directory| within(path, Path::new(directory)));
    let one_of = |names: &[&str], name: &str| names.contains(&name);
    if within(PACKAGES) {
        Place::Package
    } else if name.ends_with("_history") || one_of(HISTORY_NAMES, &name) {
        Place::History
    } else if within(CI_DIRECTORIES) || one_of(CI_NAMES, &name) {
        Place::Ci
    } else if within(&[".git"]) {
        Place::Repository
    } else if name == ".env" || name == ".envrc" || name.starts_with(".env.") || end == "env" {
        Place::Environment
    } else if end == "ipynb" {
        Place::Notebook
    } else if one_of(BACKUP_ENDS, &end) || name.ends_with('~') {
        Place::Backup
    } else if end == "log" || name.contains(".log.") || path.starts_with("/var/log") {
        Place::Log
    } else if one_of(SCRIPT_ENDS, &end) || one_of(SCRIPT_NAMES, &name) {
        Place::Script
    } else if home.and_then(|home| path.strip_prefix(home).ok()).is_some_and(hidden) {
        Place::Dotfile
    } else {
        Place::File
    }
}

/// Does the path go through these components? From the root, where they begin there.
fn within(path: &Path, directory: &Path) -> bool {
    if directory.is_absolute() {
        return path.starts_with(directory);
    }
    let wanted: Vec<Component<'_>> = directory.components().collect();
    let have: Vec<Component<'_>> = path.parent().map(|above| above.components().collect()).unwrap_or_default();
    have.windows(wanted.len()).any(|window| window == wanted)
}

fn hidden(below_home: &Path) -> bool {
    below_home.components().next().is_some_and(|first| first.as_os_str().as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_names() {
        for (path, expected) in [
            ("/home/ann/.bash_history", Place::History),
            ("/home/ann/.local/share/fish/fish_history", Place::History),
            ("/home/ann/p/.env.local", Place::Environment),
            ("/home/ann/p/.github/workflows/ci.yml", Place::Ci),
            ("/home/ann/p/.git/config", Place::Repository),
            ("/home/ann/p/a.ipynb", Place::Notebook),
            ("/var/log/app/out", Place::Log),
            ("/home/ann/bin/deploy.sh", Place::Script),
            ("/home/ann/notes.txt~", Place::Backup),
            ("/home/ann/p/node_modules/x/.env", Place::Package),
            ("/home/ann/.config/x/y", Place::Dotfile),
            ("/home/ann/.bashrc", Place::Dotfile),
            ("/home/ann/notes.txt", Place::File),
            ("/home/ann/node_modules", Place::File),
        ] {
            assert_eq!(of(Path::new(path), Some(Path::new("/home/ann"))), expected, "{path}");
        }
    }
}
