//! Gathers what is known of a store's file: the only part of posture that looks at the disk.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ignore::{Match, gitignore::GitignoreBuilder};
use rustix::fs::{FileType, fgetxattr, fstatfs};

use super::{Directory, Expected, FileFacts, acl, context, git, place, view::View};

/// Largest ignore file that is read, in bytes.
const MAX_IGNORE: u64 = 1 << 20;

/// Looks at one file after the other.
#[derive(Debug)]
pub struct Gatherer<'a> {
    view: &'a View,
    /// The index that was read last: files of a repository come one after the other.
    index: Option<(PathBuf, Option<Index>)>,
}

#[derive(Debug)]
struct Index {
    bytes: Vec<u8>,
    sha256: bool,
}

impl<'a> Gatherer<'a> {
    /// For files of `view`.
    #[must_use]
    pub const fn new(view: &'a View) -> Self {
        Self { view, index: None }
    }

    /// Everything about the file at `path` (inside the view).
    ///
    /// # Errors
    /// The file is not there or may not be looked at. What else cannot be seen is left out.
    pub fn facts(&mut self, path: &Path, expected: Expected) -> io::Result<FileFacts> {
        let stat = self.view.stat(path, true)?;
        let real = self.view.real(path).unwrap_or_else(|_| path.to_owned());
        let (acl, network) = self.of_open_file(path, stat.st_dev);
        let home = expected.home.clone();
        let git = self.git(&real, home.as_deref());
        Ok(FileFacts {
            path: path.to_owned(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            #[allow(clippy::useless_conversion, reason = "the width differs between architectures")]
            links: stat.st_nlink.into(),
            expected,
            acl: acl.grants,
            acl_group: acl.group,
            network,
            synced: self.synced(&real, home.as_deref()),
            git,
            directories: self.directories(&real),
            layer: place::layer(&self.view.outside(&real)).map(str::to_owned),
            build_context: self.build_context(&real, home.as_deref()),
            leads_to: (real != path).then_some(real),
        })
    }

    fn of_open_file(&self, path: &Path, device: u64) -> (acl::Acl, Option<String>) {
        let Ok(file) = self.view.file(path, true) else { return (acl::Acl::default(), None) };
        let mut bytes = vec![0; acl::MAX_BYTES];
        let read = fgetxattr(&file, acl::ATTRIBUTE, &mut bytes).unwrap_or(0);
        let list = bytes.get(..read).and_then(acl::parse).unwrap_or_default();
        // Where an image was unpacked says nothing about the image.
        let magic =
            fstatfs(&file).ok().filter(|_| self.view.is_machine()).map(|found| found.f_type as u64 & 0xffff_ffff);
        (list, magic.and_then(|magic| place::network(magic, mounted_as(device).as_deref())))
    }

    fn directories(&self, real: &Path) -> Vec<Directory> {
        let above = real.ancestors().skip(1);
        let known = above.filter_map(|path| {
            let stat = self.view.stat(path, false).ok()?;
            Some(Directory { path: path.to_owned(), mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid })
        });
        known.collect()
    }

    /// The directories above a file up to its home, or to the root where it lies in none.
    fn above(real: &Path, home: Option<&Path>) -> impl Iterator<Item = PathBuf> {
        let top = home.filter(|home| real.starts_with(home)).unwrap_or(Path::new("/")).to_owned();
        real.ancestors()
            .skip(1)
            .take_while(move |path| path.starts_with(&top))
            .map(Path::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn is(&self, path: &Path) -> Option<FileType> {
        self.view.stat(path, true).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn synced(&self, real: &Path, home: Option<&Path>) -> Option<String> {
        let by_name = home.and_then(|home| real.strip_prefix(home).ok()).and_then(place::synced_by_name);
        let by_marker = || {
            Self::above(real, home).find_map(|directory| {
                let marked = place::MARKERS.iter().find(|(marker, _)| self.is(&directory.join(marker)).is_some());
                marked.map(|(_, by)| *by)
            })
        };
        by_name.or_else(by_marker).map(str::to_owned)
    }

    fn build_context(&self, real: &Path, home: Option<&Path>) -> Option<PathBuf> {
        Self::above(real, home).find(|directory| {
            let here = |name: &str| self.is(&directory.join(name)) == Some(FileType::RegularFile);
            let Some(dockerfile) = context::DOCKERFILES.iter().find(|name| here(name)) else { return false };
            // The one named after the Dockerfile goes before the general one.
            let own = directory.join(format!("{dockerfile}.dockerignore"));
            let read = |path: &Path| self.view.read(path, context::MAX_BYTES).ok();
            let ignore = read(&own).or_else(|| read(&directory.join(".dockerignore"))).unwrap_or_default();
            let below = real.strip_prefix(directory).unwrap_or(real);
            !context::ignored(&String::from_utf8_lossy(&ignore), below)
        })
    }

    /// What git knows of a file.
    pub fn git(&mut self, real: &Path, home: Option<&Path>) -> git::State {
        let Some(work_tree) = Self::above(real, home).find(|directory| self.is(&directory.join(".git")).is_some())
        else {
            return git::State::Outside;
        };
        let Ok(below) = real.strip_prefix(&work_tree) else { return git::State::Outside };
        let below = below.to_owned();
        if below.starts_with(".git") {
            return git::State::Outside;
        }
        if self.index.as_ref().is_none_or(|(of, _)| *of != work_tree) {
            self.index = Some((work_tree.clone(), self.read_index(&work_tree)));
        }
        let index = self.index.as_ref().and_then(|(_, index)| index.as_ref());
        let tracked =
            index.map(|index| git::tracked(&index.bytes, below.as_os_str().as_bytes(), index.sha256)).transpose();
        match tracked {
            Ok(Some(true)) => git::State::Tracked { work_tree },
            Err(_) => git::State::Unknown,
            Ok(_) if self.ignored(&work_tree, &below, home) => git::State::Ignored,
            Ok(_) => git::State::Untracked { work_tree },
        }
    }

    /// The index of a work tree; `None` where there is none yet.
    fn read_index(&self, work_tree: &Path) -> Option<Index> {
        let directory = self.git_directory(work_tree)?;
        let bytes = self.view.read(&directory.join("index"), git::MAX_INDEX).ok()?;
        let config = self.view.read(&directory.join("config"), MAX_IGNORE).unwrap_or_default();
        let config = String::from_utf8_lossy(&config).to_lowercase();
        let sha256 = config.lines().any(|line| {
            line.split_once('=').is_some_and(|(key, value)| key.trim() == "objectformat" && value.trim() == "sha256")
        });
        Some(Index { bytes, sha256 })
    }

    /// `.git`, or where a file of that name says it is (gitrepository-layout(5): work trees and submodules).
    fn git_directory(&self, work_tree: &Path) -> Option<PathBuf> {
        let entry = work_tree.join(".git");
        if self.is(&entry) == Some(FileType::Directory) {
            return Some(entry);
        }
        let text = self.view.read(&entry, 4096).ok()?;
        let named = text.strip_prefix(b"gitdir:")?.trim_ascii();
        Some(work_tree.join(Path::new(std::ffi::OsStr::from_bytes(named))))
    }

    /// Does an ignore file keep it out? The nearest that says something decides (gitignore(5)).
    fn ignored(&self, work_tree: &Path, below: &Path, home: Option<&Path>) -> bool {
        let mut files: Vec<(PathBuf, PathBuf)> = below
            .ancestors()
            .skip(1)
            .map(|directory| (work_tree.join(directory), work_tree.join(directory).join(".gitignore")))
            .collect();
        files.push((work_tree.to_owned(), work_tree.join(".git/info/exclude")));
        files.extend(home.map(|home| (work_tree.to_owned(), home.join(".config/git/ignore"))));
        let path = work_tree.join(below);
        for (directory, file) in files {
            let Ok(text) = self.view.read(&file, MAX_IGNORE) else { continue };
            let mut builder = GitignoreBuilder::new(&directory);
            for line in String::from_utf8_lossy(&text).lines() {
                // A line that is no pattern ignores nothing, in git as well.
                let _ = builder.add_line(None, line);
            }
            let Ok(matcher) = builder.build() else { continue };
            match matcher.matched_path_or_any_parents(&path, false) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}

/// The type that the mount table gives for a device (proc_pid_mountinfo(5)).
fn mounted_as(device: u64) -> Option<String> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = table.lines().find(|line| line.split(' ').nth(2) == Some(&wanted))?;
    line.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}
