//! What kind of file a token lies in outside of stores, and what is to be done about it. Pure: by its name, and by facts that
//! come in. The audit and the running agent tell it alike.

use std::path::{Component, Path};

use super::model::{Git, PlaceFacts};
use crate::{finding::severity::Severity, posture};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Storage of containers: a layer, a volume.
    Container,
    /// A medium that can be taken out.
    Removable,
    /// What goes to other machines by itself.
    Shared,
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
    /// Several files in one.
    Archive,
    /// git's own files.
    Repository,
    /// A work tree of git, in which nothing keeps the file from being committed.
    WorkTree,
    /// Part of a package that others made.
    Package,
    /// A directory for temporary files.
    Temporary,
    /// A hidden file of a home.
    Dotfile,
    /// Anything else.
    File,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Container,
        Self::Removable,
        Self::Shared,
        Self::History,
        Self::Environment,
        Self::Ci,
        Self::Notebook,
        Self::Log,
        Self::Script,
        Self::Backup,
        Self::Archive,
        Self::Repository,
        Self::WorkTree,
        Self::Package,
        Self::Temporary,
        Self::Dotfile,
        Self::File,
    ];

    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Removable => "removable",
            Self::Shared => "shared",
            Self::History => "history",
            Self::Environment => "environment",
            Self::Ci => "ci",
            Self::Notebook => "notebook",
            Self::Log => "log",
            Self::Script => "script",
            Self::Backup => "backup",
            Self::Archive => "archive",
            Self::Repository => "repository",
            Self::WorkTree => "work-tree",
            Self::Package => "package",
            Self::Temporary => "temporary",
            Self::Dotfile => "dotfile",
            Self::File => "file",
        }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Container => "a file of a container",
            Self::Removable => "a file on a medium that can be taken out",
            Self::Shared => "a file that goes to other machines",
            Self::History => "a history of commands",
            Self::Environment => "a file of environment variables",
            Self::Ci => "a file of a CI system",
            Self::Notebook => "a notebook",
            Self::Log => "a log",
            Self::Script => "a script",
            Self::Backup => "a backup copy",
            Self::Archive => "an archive",
            Self::Repository => "a file of git's own",
            Self::WorkTree => "a file in a git repository",
            Self::Package => "a part of an installed package",
            Self::Temporary => "a file in a directory for temporary files",
            Self::Dotfile => "a dotfile",
            Self::File => "a file",
        }
    }

    /// How much it matters that the token of a store was put there, whoever did it, and why.
    #[must_use]
    pub const fn severity(self) -> (Severity, &'static str) {
        match self {
            Self::Container => (Severity::High, "a layer or a volume is handed on with all that is in it"),
            Self::Removable => (Severity::High, "whoever has the medium has the token"),
            Self::Shared => (Severity::High, "it goes to other machines by itself"),
            Self::History => (Severity::High, "histories are kept for years, and are the first that a thief reads"),
            Self::Environment => (Severity::Medium, "whatever is started with these variables has the token"),
            Self::Ci => (Severity::High, "whoever can read the definition of a job has the token"),
            Self::Notebook => (Severity::High, "notebooks are handed on with all that they show"),
            Self::Log => (Severity::High, "logs are kept, collected and read by many"),
            Self::Script => {
                (Severity::High, "a token in a program text outlives every login, and goes wherever it goes")
            }
            Self::Backup => (Severity::Medium, "nobody thinks of a backup copy when the token is changed"),
            Self::Archive => (Severity::Medium, "an archive is made to be taken elsewhere"),
            Self::Repository => (Severity::High, "what git has taken up stays in the history, and goes to every clone"),
            Self::WorkTree => (Severity::High, "nothing keeps it from being committed"),
            Self::Package => (Severity::Medium, "the file belongs to a package, in which nobody looks for a token"),
            Self::Temporary => (Severity::Medium, "directories for temporary files are everybody's"),
            Self::Dotfile => {
                (Severity::Medium, "the token is in one more place of the home, where no logout removes it")
            }
            Self::File => (Severity::Medium, "the token is in one more place, where no logout removes it"),
        }
    }

    /// What is to be done about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::History => {
                "revoke the token and take the line out of the history; give tokens to programs by standard input"
            }
            Self::Log => "revoke the token, and keep whatever wrote the log from writing it",
            Self::Package => "ask where it comes from: as a rule it is made for tests and opens nothing",
            Self::Environment | Self::Ci | Self::Script | Self::Notebook | Self::Dotfile => {
                "revoke the token, and let the program fetch one from its store or a secrets manager"
            }
            Self::Repository => {
                "revoke the token: whatever is done to the file, the object stays until git collects it"
            }
            Self::WorkTree => {
                "revoke the token, remove it from the file before it is committed, and have git ignore the file"
            }
            Self::Container => {
                "revoke the token, rebuild without it, and hand tokens over as secrets of the build or the run"
            }
            Self::Shared => "revoke the token: the copy is on other machines by now",
            Self::Removable => "revoke the token, unless you know where the medium goes",
            Self::Archive => {
                "revoke the token if the archive leaves this machine, and leave the store out of the next one"
            }
            Self::Temporary => "remove the file; revoke the token if others could read it meanwhile",
            Self::Backup | Self::File => "revoke the token, and remove the copy",
        }
    }
}

/// What is to be done where git has the file: nothing done to the file helps any more.
pub const TRACKED: &str = "revoke the token: the repository's history keeps it, whatever is done to the file";

/// Directories for temporary files.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];
const ARCHIVE_ENDS: &[&str] = &[
    "tar", "tgz", "tbz", "tbz2", "txz", "tzst", "gz", "bz2", "xz", "zst", "zip", "7z", "rar", "jar", "whl", "deb",
    "rpm", "cpio",
];
/// What engines keep beside layers: volumes.
const VOLUMES: &[&str] = &["docker/volumes", "containers/storage/volumes", "var/lib/kubelet/pods"];

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

/// The kind of file at an absolute path, when facts about it are known as well.
#[must_use]
pub fn class(path: &Path, home: Option<&Path>, facts: &PlaceFacts, in_member: bool) -> Place {
    if facts.layer.is_some() || in_container(path) {
        return Place::Container;
    }
    if facts.removable {
        return Place::Removable;
    }
    if facts.network.is_some() || facts.synced.is_some() {
        return Place::Shared;
    }
    let commits = matches!(facts.git, Git::Tracked | Git::Untracked);
    match of(path, home) {
        Place::File | Place::Dotfile | Place::Temporary | Place::Backup if commits => Place::WorkTree,
        Place::File | Place::Dotfile if facts.program => Place::Script,
        Place::File | Place::Dotfile if in_member => Place::Archive,
        place => place,
    }
}

/// Does it lie where an engine keeps layers or volumes?
fn in_container(path: &Path) -> bool {
    posture::place::layer(path).is_some() || VOLUMES.iter().any(|volumes| within(path, Path::new(volumes)))
}

/// The kind of file at an absolute path.
#[must_use]
pub fn of(path: &Path, home: Option<&Path>) -> Place {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let end = path.extension().map(|end| end.to_string_lossy()).unwrap_or_default();
    let within = |directories: &[&str]| directories.iter().any(|directory| within(path, Path::new(directory)));
    let one_of = |names: &[&str], name: &str| names.contains(&name);
    if in_container(path) {
        Place::Container
    } else if within(PACKAGES) {
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
    } else if one_of(ARCHIVE_ENDS, &end) {
        Place::Archive
    } else if TEMPORARY.iter().any(|directory| path.starts_with(directory)) {
        Place::Temporary
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
            ("/home/ann/home.tar.gz", Place::Archive),
            ("/tmp/x", Place::Temporary),
            ("/tmp/x.sh", Place::Script),
            ("/var/lib/docker/volumes/v/_data/x.sh", Place::Container),
            ("/var/lib/docker/overlay2/a/diff/root/.netrc", Place::Container),
            ("/home/ann/docker/x.sh", Place::Script),
        ] {
            assert_eq!(of(Path::new(path), Some(Path::new("/home/ann"))), expected, "{path}");
        }
    }

    #[test]
    fn where_a_file_goes_counts_for_more_than_what_it_is() {
        let home = Path::new("/home/ann");
        let plain = PlaceFacts::default();
        let untracked = PlaceFacts { git: Git::Untracked, ..PlaceFacts::default() };
        let ignored = PlaceFacts { git: Git::Ignored, ..PlaceFacts::default() };
        let synced = PlaceFacts { synced: Some("Dropbox".into()), ..untracked.clone() };
        let network = PlaceFacts { network: Some("nfs".into()), ..PlaceFacts::default() };
        let stick = PlaceFacts { removable: true, ..PlaceFacts::default() };
        let program = PlaceFacts { program: true, ..PlaceFacts::default() };
        for (path, facts, in_member, expected) in [
            ("/home/ann/p/deploy.sh", &untracked, false, Place::Script),
            ("/home/ann/p/notes", &untracked, false, Place::WorkTree),
            ("/home/ann/p/notes", &ignored, false, Place::File),
            ("/home/ann/p/deploy.sh", &synced, false, Place::Shared),
            ("/home/ann/p/.env", &network, false, Place::Shared),
            ("/home/ann/p/.env", &stick, false, Place::Removable),
            ("/home/ann/bin/deploy", &program, false, Place::Script),
            ("/home/ann/bin/deploy", &plain, false, Place::File),
            ("/home/ann/backup", &plain, true, Place::Archive),
            ("/home/ann/p/.git/objects/aa/bb", &plain, true, Place::Repository),
        ] {
            assert_eq!(class(Path::new(path), Some(home), facts, in_member), expected, "{path}");
        }
    }

    #[test]
    fn names_are_told_apart() {
        let names: std::collections::HashSet<_> = Place::ALL.iter().map(|place| place.name()).collect();
        assert_eq!(names.len(), Place::ALL.len());
    }
}
