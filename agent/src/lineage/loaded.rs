//! Foreign code that a program was told to load: which variables it obeys, and which files they lead to. Pure; what lies
//! there is answered by [`super::writable`].
//!
//! Decisions:
//! - Only the executable's file name says which variables count, as in [`super::identity`]: it is asked for expected
//!   readers alone, whose name and place have been judged.
//! - Options that make an interpreter ignore its variables (`python3 -I`) are believed when they stand before the script.
//! - A bare name (`libx.so`, `-rset`) leads to no file: it is found in directories of the system, or in those that other
//!   variables name, which are looked at by themselves. Node looks for one in `node_modules`, which is.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::{
    identity::normalise,
    model::{Process, Script, Writable},
};
use crate::ingest::loading::{self, CODE, GIT_KEY, GIT_VALUE, Grip, Obeyed, Variable};

/// Most things looked at for one process.
const MOST: usize = 32;
/// Most paths looked at for one access.
const MOST_PATHS: usize = 64;

/// What lies at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Nothing.
    Missing,
    /// It could not be looked at.
    #[default]
    Unknown,
}

/// What the file system says of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Could the reader's user have changed what it leads to?
    pub writable: Writable,
    /// The path with links resolved; in another mount namespace only those in its directories.
    pub resolved: Option<PathBuf>,
    /// What is there.
    pub kind: Kind,
    /// Its last change (`st_ctime`, which cannot be set), in seconds since 1970.
    pub changed: Option<i64>,
}

impl Default for Place {
    fn default() -> Self {
        Self { writable: Writable::Unknown, resolved: None, kind: Kind::Unknown, changed: None }
    }
}

/// How a program finds its libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Linkage {
    /// It could not be read.
    #[default]
    Unknown,
    /// No dynamic loader takes part.
    Static,
    /// The libraries that it names.
    Dynamic(Vec<String>),
}

/// Where something that is loaded comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file or directory.
    Path(PathBuf),
    /// Found by this name in directories that are not named here.
    Name(String),
    /// The variable holds the code.
    Code,
}

/// One thing that a variable makes a program load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Name of the variable.
    pub variable: String,
    /// The option in it; empty where it has none.
    pub option: String,
    /// What that does.
    pub grip: Grip,
    /// Where the code comes from.
    pub source: Source,
    /// Files in that directory that are loaded whatever the program imports.
    pub always: Vec<PathBuf>,
}

/// One of them with what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the variable says.
    pub load: Load,
    /// What lies there; `None` where the source is no path.
    pub place: Option<Place>,
    /// The first of `load.always` that is there, with what is there.
    pub always: Option<(PathBuf, Place)>,
}

/// What a process loads, in the order of its environment. `linkage` is asked at most once, and only where it matters.
pub fn loads(process: &Process, home: Option<&Path>, linkage: impl FnOnce() -> Linkage) -> Vec<Load> {
    let program = Program::of(process);
    let mut linkage = Asked::Not(linkage);
    let mut loads = Vec::new();
    for (name, value) in &process.environment {
        let Some(variable) = loading::named(name).filter(|variable| program.obeys(variable.obeyed)) else { continue };
        if variable.name == GIT_KEY {
            continue;
        }
        let grip = if variable.name == GIT_VALUE {
            let Some(grip) = git_grip(process, name) else { continue };
            grip
        } else {
            variable.grip
        };
        let linked = if variable.obeyed == Obeyed::Linked { linkage.get() } else { &Linkage::Unknown };
        if *linked == Linkage::Static {
            continue;
        }
        for (option, value) in variable.loads(value) {
            if loads.len() == MOST {
                return loads;
            }
            let load = Load { variable: name.clone(), option, grip, source: Source::Code, always: Vec::new() };
            loads.push(located(load, variable, &value, (process, home, linked)));
        }
    }
    loads
}

/// What lies where these lead to, as `place` says.
pub fn look(loads: Vec<Load>, mut place: impl FnMut(&Path) -> Place) -> Vec<Loaded> {
    let mut asked = 0;
    let mut look = |path: &Path| {
        asked += 1;
        if asked > MOST_PATHS { Place::default() } else { place(path) }
    };
    let with_place = |load: Load| {
        let Source::Path(path) = &load.source else { return Loaded { load, place: None, always: None } };
        let place = look(path);
        let directory = place.kind == Kind::Directory;
        let file = |path: &PathBuf| Some((path.clone(), look(path))).filter(|(_, place)| place.kind == Kind::File);
        let always = load.always.iter().filter(|_| directory).find_map(file);
        Loaded { load, place: Some(place), always }
    };
    loads.into_iter().map(with_place).collect()
}

/// An answer that is asked for once.
enum Asked<F> {
    Not(F),
    Is(Linkage),
}

impl<F: FnOnce() -> Linkage> Asked<F> {
    fn get(&mut self) -> &Linkage {
        if let Self::Not(_) = self
            && let Self::Not(ask) = std::mem::replace(self, Self::Is(Linkage::Unknown))
        {
            *self = Self::Is(ask());
        }
        match self {
            Self::Is(linkage) => linkage,
            Self::Not(_) => &Linkage::Unknown,
        }
    }
}

/// What a setting of git does that stands in `GIT_CONFIG_VALUE_n`; `None` where its key is none of those that matter.
fn git_grip(process: &Process, name: &str) -> Option<Grip> {
    let key = format!("{GIT_KEY}{}", name.strip_prefix(GIT_VALUE)?);
    let (_, key) = process.environment.iter().find(|(name, _)| *name == key)?;
    // A helper is given every token that worked, to store it.
    Some(if key.as_bytes().ends_with(b"credential.helper") { Grip::Runs } else { Grip::Helper })
}

fn located(
    mut load: Load,
    variable: &Variable,
    value: &OsStr,
    (process, home, linkage): (&Process, Option<&Path>, &Linkage),
) -> Load {
    if value == CODE {
        return load;
    }
    let (bytes, path) = (value.as_bytes(), Path::new(value));
    let node = matches!(variable.obeyed, Obeyed::Node | Obeyed::Bun) && !load.option.is_empty();
    let relative = path.starts_with(".") || path.starts_with("..");
    let bare = match (variable.obeyed, load.option.as_str()) {
        (Obeyed::Ruby | Obeyed::Perl, "-r" | "-M") => !path.is_absolute() && !relative,
        (Obeyed::Linked, _) if load.grip == Grip::Runs => !bytes.contains(&b'/'),
        _ => node && !path.is_absolute() && !relative,
    };
    if matches!(load.option.as_str(), "-I" | "--class-path") {
        load.grip = Grip::Search;
    }
    let below = |path: &Path| process.cwd.as_deref().unwrap_or(Path::new("")).join(path);
    if bare && node {
        // A module of the project, by its name: `dd-trace/init`.
        let first = path.components().next().map_or(OsStr::new(""), Component::as_os_str);
        load.grip = Grip::Search;
        load.source = Source::Path(below(Path::new("node_modules")).join(first));
    } else if bare {
        load.source = Source::Name(path.display().to_string());
    } else {
        let expanded = match path.strip_prefix("~") {
            Ok(rest) => home.unwrap_or(Path::new("/")).join(rest),
            Err(_) => below(path),
        };
        let place = before_placeholder(&expanded);
        load.always = always(variable, &place, linkage);
        load.source = Source::Path(place);
    }
    load
}

/// ld.so(8) puts something in for `$ORIGIN`, `$LIB` and `$PLATFORM`: the directory before it is what is known.
fn before_placeholder(path: &Path) -> PathBuf {
    let plain = |part: &Component<'_>| !part.as_os_str().as_bytes().contains(&b'$');
    let parts: Vec<_> = path.components().filter(|part| *part != Component::CurDir).take_while(plain).collect();
    let joined: PathBuf = parts.iter().collect();
    if joined.as_os_str().is_empty() { path.to_owned() } else { joined }
}

fn always(variable: &Variable, directory: &Path, linkage: &Linkage) -> Vec<PathBuf> {
    match (variable.name, linkage) {
        // site(3): imported at every start, from the first directory that has it.
        ("PYTHONPATH", _) => ["sitecustomize.py", "usercustomize.py"].map(|name| directory.join(name)).to_vec(),
        ("ZDOTDIR", _) => vec![directory.join(".zshenv")],
        ("PHPRC", _) => vec![directory.join("php.ini")],
        ("LD_LIBRARY_PATH", Linkage::Dynamic(needed)) => needed.iter().map(|name| directory.join(name)).collect(),
        _ => Vec::new(),
    }
}

/// Which variables a process obeys.
struct Program<'a> {
    process: &'a Process,
    name: &'a str,
    plain: &'a str,
}

impl<'a> Program<'a> {
    fn of(process: &'a Process) -> Self {
        let name = process.executable.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Self { process, name, plain: normalise(name) }
    }

    fn obeys(&self, obeyed: Obeyed) -> bool {
        match obeyed {
            Obeyed::Linked => !self.is_secure(),
            Obeyed::Python => matches!(self.plain, "python" | "pypy") && !self.has_letter(&['I', 'E']),
            Obeyed::Node => matches!(self.plain, "node" | "nodejs") && !self.is_secure(),
            Obeyed::Bun => self.plain == "bun",
            Obeyed::Java => self.plain == "java",
            Obeyed::Ruby => self.plain == "ruby" && !self.has_word("--disable=rubyopt"),
            // perlrun(1): with taint checks PERL5LIB is ignored.
            Obeyed::Perl => self.plain == "perl" && !self.has_letter(&['T']),
            Obeyed::Php => self.plain == "php" && !self.has_letter(&['n']),
            Obeyed::Bash => self.name == "bash" && self.process.script.is_some() && !self.is_called_sh(),
            Obeyed::Zsh => self.plain == "zsh" && !self.has_letter(&['f']),
            Obeyed::Git => self.is_git(),
            Obeyed::Ssh => self.is_git() || matches!(self.name, "ssh" | "ssh-add" | "scp" | "sftp"),
        }
    }

    fn is_git(&self) -> bool {
        self.name == "git" || self.name.starts_with("git-")
    }

    /// Started with more rights than its user's (`AT_SECURE`): the loader ignores its variables.
    fn is_secure(&self) -> bool {
        let executable = &self.process.executable;
        let other_user = executable.mode & 0o4000 != 0 && executable.uid != self.process.uid;
        other_user || executable.mode & 0o2010 == 0o2010 || self.process.euid != self.process.uid
    }

    /// bash(1): called as `sh` it reads no `BASH_ENV`, and with `-p` neither.
    fn is_called_sh(&self) -> bool {
        let called = self.process.args.first().map(|name| name.rsplit('/').next().unwrap_or_default());
        matches!(called, Some("sh" | "-sh")) || self.has_letter(&['p'])
    }

    /// Options before the script.
    fn options(&self) -> impl Iterator<Item = &str> {
        let options = self.process.args.iter().skip(1).take_while(|arg| arg.starts_with('-') && *arg != "--");
        options.filter(|_| self.process.script != Some(Script::Inline)).map(String::as_str)
    }

    fn has_letter(&self, letters: &[char]) -> bool {
        // Nothing but letters: in `-Wignore` and `-mpip` what follows the first is a value.
        let letter = |option: &str| {
            let joined = option.strip_prefix('-').filter(|rest| !rest.starts_with(['-', 'W', 'X', 'm', 'c']));
            joined.is_some_and(|rest| rest.contains(letters))
        };
        self.options().any(letter)
    }

    fn has_word(&self, word: &str) -> bool {
        self.options().any(|option| option == word)
    }
}

/// For evidence: what is loaded, in words.
#[must_use]
pub fn shown(load: &Load) -> String {
    let source = match &load.source {
        Source::Path(path) => path.to_string_lossy(),
        Source::Name(name) => name.into(),
        Source::Code => "with code in its value".into(),
    };
    let option = if load.option.is_empty() { "" } else { " " };
    format!("{}{option}{} {source}", load.variable, load.option)
}
