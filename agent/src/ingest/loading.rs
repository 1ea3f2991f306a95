//! Variables that make a program load other code or start other programs, and what of their values may be known.
//!
//! Values can hold anything, secrets too: of options, commands and settings only what names a file or a module leaves
//! the decoder, one line for each, `OPTION VALUE`, where OPTION is `-` if there is none. All else of the value is dropped
//! here. Lists of paths stay as they are.
//!
//! Sources: ld.so(8); python(1) and "Command line and environment"; Node's "Command-line API"; perlrun(1); ruby(1);
//! the java launcher's `JDK_JAVA_OPTIONS`, JVMTI's `JAVA_TOOL_OPTIONS`, HotSpot's `_JAVA_OPTIONS`; php(1); bash(1);
//! zsh(1); git(1), git-config(1).
//!
//! Not here, because no expected reader obeys them: `PYTHONSTARTUP` and `PYTHONINSPECT` (python at a terminal, not one
//! that runs a script), `ENV` (interactive shells).

mod syntax;

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// Stands for code that is in the variable itself.
pub const CODE: &str = "<code>";

/// Entries `GIT_CONFIG_KEY_n` that are looked at.
const GIT_ENTRIES: usize = 16;

/// Most that is kept of one variable, in bytes.
const MOST: usize = 2048;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    /// Paths with colons or blanks between.
    Preload,
    /// Paths with colons between. An empty one is the working directory.
    Paths,
    /// One path.
    Path,
    /// A command of a shell.
    Command,
    Node,
    Java,
    Ruby,
    Perl,
    GitKey,
    GitValue,
}

/// Which programs obey a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obeyed {
    /// Every dynamically linked program that runs with its user's rights.
    Linked,
    /// Python.
    Python,
    /// Node.
    Node,
    /// Bun.
    Bun,
    /// Java.
    Java,
    /// Ruby.
    Ruby,
    /// Perl.
    Perl,
    /// PHP.
    Php,
    /// bash that runs a script.
    Bash,
    /// zsh.
    Zsh,
    /// git and its helpers.
    Git,
    /// ssh and its helpers, and git.
    Ssh,
}

/// What a variable does for whoever sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grip {
    /// A helper program is started, or settings or libraries are looked for there as well. It does not get the token by
    /// itself.
    Helper,
    /// What the program imports is looked for there first.
    Search,
    /// The code runs in the program, or gets its token.
    Runs,
}

/// One variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name. Numbered ones without the number.
    pub name: &'static str,
    syntax: Syntax,
    /// Who obeys it.
    pub obeyed: Obeyed,
    /// What it does, unless the option in it says otherwise.
    pub grip: Grip,
}

const fn variable(name: &'static str, syntax: Syntax, obeyed: Obeyed, grip: Grip) -> Variable {
    Variable { name, syntax, obeyed, grip }
}

/// The key of a setting of git; `GIT_CONFIG_VALUE_n` has its value.
pub const GIT_KEY: &str = "GIT_CONFIG_KEY_";
/// The value of a setting of git.
pub const GIT_VALUE: &str = "GIT_CONFIG_VALUE_";

const VARIABLES: &[Variable] = &[
    variable("LD_PRELOAD", Syntax::Preload, Obeyed::Linked, Grip::Runs),
    variable("LD_AUDIT", Syntax::Paths, Obeyed::Linked, Grip::Runs),
    variable("LD_LIBRARY_PATH", Syntax::Paths, Obeyed::Linked, Grip::Helper),
    variable("PYTHONPATH", Syntax::Paths, Obeyed::Python, Grip::Search),
    variable("PYTHONHOME", Syntax::Paths, Obeyed::Python, Grip::Runs),
    variable("PYTHONUSERBASE", Syntax::Path, Obeyed::Python, Grip::Search),
    variable("NODE_OPTIONS", Syntax::Node, Obeyed::Node, Grip::Runs),
    variable("NODE_PATH", Syntax::Paths, Obeyed::Node, Grip::Helper),
    variable("BUN_OPTIONS", Syntax::Node, Obeyed::Bun, Grip::Runs),
    variable("JAVA_TOOL_OPTIONS", Syntax::Java, Obeyed::Java, Grip::Runs),
    variable("_JAVA_OPTIONS", Syntax::Java, Obeyed::Java, Grip::Runs),
    variable("JDK_JAVA_OPTIONS", Syntax::Java, Obeyed::Java, Grip::Runs),
    variable("RUBYOPT", Syntax::Ruby, Obeyed::Ruby, Grip::Runs),
    variable("RUBYLIB", Syntax::Paths, Obeyed::Ruby, Grip::Search),
    variable("PERL5OPT", Syntax::Perl, Obeyed::Perl, Grip::Runs),
    variable("PERL5LIB", Syntax::Paths, Obeyed::Perl, Grip::Search),
    variable("PHPRC", Syntax::Path, Obeyed::Php, Grip::Search),
    variable("PHP_INI_SCAN_DIR", Syntax::Paths, Obeyed::Php, Grip::Search),
    variable("BASH_ENV", Syntax::Path, Obeyed::Bash, Grip::Runs),
    variable("ZDOTDIR", Syntax::Path, Obeyed::Zsh, Grip::Helper),
    variable("GIT_EXEC_PATH", Syntax::Path, Obeyed::Git, Grip::Runs),
    variable("GIT_SSH_COMMAND", Syntax::Command, Obeyed::Git, Grip::Helper),
    variable("GIT_SSH", Syntax::Path, Obeyed::Git, Grip::Helper),
    variable("GIT_PROXY_COMMAND", Syntax::Command, Obeyed::Git, Grip::Helper),
    variable("GIT_ASKPASS", Syntax::Path, Obeyed::Git, Grip::Helper),
    variable("SSH_ASKPASS", Syntax::Path, Obeyed::Ssh, Grip::Helper),
    variable("GIT_CONFIG_GLOBAL", Syntax::Path, Obeyed::Git, Grip::Helper),
    variable("GIT_CONFIG_SYSTEM", Syntax::Path, Obeyed::Git, Grip::Helper),
    variable(GIT_KEY, Syntax::GitKey, Obeyed::Git, Grip::Helper),
    variable(GIT_VALUE, Syntax::GitValue, Obeyed::Git, Grip::Helper),
];

/// Every name.
#[must_use]
pub fn names() -> Vec<String> {
    let name = |variable: &Variable| match variable.syntax {
        Syntax::GitKey | Syntax::GitValue => (0..GIT_ENTRIES).map(|at| format!("{}{at}", variable.name)).collect(),
        _ => vec![variable.name.to_owned()],
    };
    VARIABLES.iter().flat_map(name).collect()
}

/// The variable of this name, if it is one of these.
#[must_use]
pub fn named(name: &str) -> Option<&'static Variable> {
    // Almost every name that comes here is another: tell by the first letters.
    if !matches!(name.as_bytes().first()?, b'L' | b'P' | b'N' | b'B' | b'J' | b'_' | b'R' | b'Z' | b'G' | b'S') {
        return None;
    }
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit());
    VARIABLES.iter().find(|variable| variable.name == if variable.name.ends_with('_') { plain } else { name })
}

/// What may be known of a variable: all of it, unless its value is more than paths. `None` where nothing is left.
#[must_use]
pub fn clean<'a>(name: &str, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let Some(variable) = named(name).filter(|variable| !variable.is_paths()) else {
        return Some(Cow::Borrowed(value));
    };
    let mut kept = Vec::new();
    for load in syntax::loads(variable.syntax, value) {
        let line = 2 + load.option.len() + load.value.len();
        if kept.len() + line > MOST {
            break;
        }
        if !kept.is_empty() {
            kept.push(b'\n');
        }
        kept.extend_from_slice(if load.option.is_empty() { b"-" } else { load.option.as_bytes() });
        kept.push(b' ');
        // A path with a newline is no path that anybody has for a good reason. It is not found, which is told.
        kept.extend(load.value.iter().map(|byte| if *byte == b'\n' { b'?' } else { *byte }));
    }
    (!kept.is_empty()).then_some(Cow::Owned(kept))
}

impl Variable {
    const fn is_paths(&self) -> bool {
        matches!(self.syntax, Syntax::Preload | Syntax::Paths | Syntax::Path)
    }

    /// What a value that [`clean`] let pass names: option (empty if there is none) and file, module or [`CODE`].
    #[must_use]
    pub fn loads(&self, value: &OsStr) -> Vec<(String, OsString)> {
        if self.is_paths() {
            let loads = syntax::loads(self.syntax, value.as_bytes()).into_iter();
            return loads.map(|load| (load.option, OsString::from_vec(load.value))).collect();
        }
        let lines = value.as_bytes().split(|byte| *byte == b'\n').filter_map(|line| {
            let blank = line.iter().position(|byte| *byte == b' ')?;
            let option = std::str::from_utf8(line.get(..blank)?).ok()?;
            let value = OsString::from_vec(line.get(blank + 1..)?.to_vec());
            Some(((if option == "-" { "" } else { option }).to_owned(), value))
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests;
