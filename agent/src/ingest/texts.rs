//! What a program was started with, in one piece of memory: there are thousands of programs, each has many short texts,
//! and nearly none is ever looked at.

use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

/// Path, working directory, name of the script, arguments and environment of a program. A copy shares them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// One after the other; arguments and variables each closed by NUL.
    bytes: Arc<[u8]>,
    /// Where path, directory, script and arguments end.
    ends: [u32; 4],
    has_script: bool,
}

impl Texts {
    /// From the parts. NULs in arguments and variables, which have none by nature, are left out.
    pub fn new<'a>(
        path: &Path,
        cwd: &Path,
        script: Option<&OsStr>,
        args: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes);
        writer.bytes().extend_from_slice(path.as_os_str().as_bytes());
        writer.end_section();
        writer.bytes().extend_from_slice(cwd.as_os_str().as_bytes());
        writer.end_section();
        writer.bytes().extend_from_slice(script.unwrap_or_default().as_bytes());
        writer.end_section();
        args.into_iter().for_each(|arg| writer.close(&[arg.as_bytes()]));
        writer.end_section();
        for (name, value) in environment {
            writer.close(&[name.as_bytes(), b"=", value.as_bytes()]);
        }
        writer.finish(script.is_some())
    }

    fn section(&self, index: usize) -> &[u8] {
        let end = |index: usize| self.ends.get(index).map_or(self.bytes.len(), |end| *end as usize);
        let begin = index.checked_sub(1).map_or(0, end);
        self.bytes.get(begin..end(index)).unwrap_or_default()
    }

    /// Path of the executable.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.section(0)))
    }

    /// Working directory; empty where it is not known.
    #[must_use]
    pub fn cwd(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.section(1)))
    }

    /// Name of the `#!` script that the executable interprets, as given to execve (may be relative to `cwd`).
    #[must_use]
    pub fn script(&self) -> Option<&OsStr> {
        self.has_script.then(|| OsStr::from_bytes(self.section(2)))
    }

    /// The arguments as they are kept: each closed by NUL.
    #[must_use]
    pub fn args_bytes(&self) -> &[u8] {
        self.section(3)
    }

    /// The arguments.
    pub fn args(&self) -> impl Iterator<Item = &str> + Clone {
        // Whoever wrote them wrote text.
        std::str::from_utf8(self.section(3)).unwrap_or_default().split_terminator('\0')
    }

    /// The variables as they are kept: `name=value`, each closed by NUL.
    #[must_use]
    pub fn environment_bytes(&self) -> &[u8] {
        self.section(4)
    }

    /// The variables.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &OsStr)> + Clone {
        let entries = self.section(4).split(|byte| *byte == 0);
        entries.filter_map(|entry| {
            let equals = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = entry.split_at_checked(equals)?;
            Some((std::str::from_utf8(name).ok()?, OsStr::from_bytes(value.get(1..)?)))
        })
    }

    /// Bytes it occupies besides itself.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts")
            .field("path", &self.path())
            .field("cwd", &self.cwd())
            .field("script", &self.script())
            .field("args", &self.args().collect::<Vec<_>>())
            .field("environment", &self.environment().collect::<Vec<_>>())
            .finish()
    }
}

/// Writes section after section into a buffer that is used again.
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    ends: [u32; 4],
    next: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(bytes: &'a mut Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, ends: [0; 4], next: 0 }
    }

    /// What there is so far, to be added to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        self.bytes
    }

    /// Adds a text of several parts, closed by NUL.
    pub(super) fn close(&mut self, parts: &[&[u8]]) {
        for part in parts {
            match part.contains(&0) {
                false => self.bytes.extend_from_slice(part),
                true => self.bytes.extend(part.iter().filter(|byte| **byte != 0)),
            }
        }
        self.bytes.push(0);
    }

    pub(super) fn end_section(&mut self) {
        if let Some(end) = self.ends.get_mut(self.next) {
            *end = self.bytes.len() as u32;
        }
        self.next += 1;
    }

    pub(super) fn finish(self, has_script: bool) -> Texts {
        Texts { bytes: Arc::from(self.bytes.as_slice()), ends: self.ends, has_script }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let variables = [("HOME", "/h"), ("EMPTY", ""), ("X", "a=b")].map(|(name, value)| (name, OsStr::new(value)));
        let texts = Texts::new(Path::new("/bin/x"), Path::new("/w"), None, ["x", "", "-a\0b"], variables);
        assert_eq!((texts.path(), texts.cwd(), texts.script()), (Path::new("/bin/x"), Path::new("/w"), None));
        assert_eq!(texts.args().collect::<Vec<_>>(), ["x", "", "-ab"]);
        assert_eq!(texts.environment().collect::<Vec<_>>(), variables);
        let script = Texts::new(Path::new(""), Path::new(""), Some(OsStr::new("./s")), [], []);
        assert_eq!((script.script(), script.args().count()), (Some(OsStr::new("./s")), 0));
        assert_eq!(script.environment().count(), 0);
        assert_eq!(Texts::new(Path::new(""), Path::new(""), None, [""], []).args().collect::<Vec<_>>(), [""]);
        assert!(Texts::default().is_empty() && Texts::default().environment().count() == 0);
    }
}
