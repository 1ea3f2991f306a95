//! The database of apk (Alpine): one text with a paragraph for each package (apk-v2(5), "installed"). Pure and total.

use data_encoding::BASE64;

use super::sum::{Algorithm, Sum, hex};

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Name of the package.
    pub package: &'a str,
    /// Directory, without the first slash.
    directory: &'a [u8],
    name: &'a [u8],
    sum: Option<&'a [u8]>,
}

impl File<'_> {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let between: &[u8] = if self.directory.is_empty() { b"" } else { b"/" };
        [b"/", self.directory, between, self.name].concat()
    }

    /// The sum of what the package brought.
    #[must_use]
    pub fn sum(&self) -> Option<Sum> {
        // `Q1` and the base64 of a SHA-1.
        let bytes = BASE64.decode(self.sum?.strip_prefix(b"Q1")?).ok().filter(|bytes| bytes.len() == 20)?;
        Some(Sum { algorithm: Algorithm::Sha1, hex: hex(&bytes) })
    }
}

/// All files of all packages, in their order.
pub fn files(text: &[u8]) -> impl Iterator<Item = File<'_>> {
    let mut lines = text.split(|byte| *byte == b'\n').peekable();
    let (mut package, mut directory): (&str, &[u8]) = ("", b"");
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                (package, directory) = ("", b"");
            }
            match line.split_at_checked(2) {
                Some((b"P:", name)) => package = std::str::from_utf8(name).unwrap_or_default(),
                Some((b"F:", name)) => directory = name,
                Some((b"R:", name)) if !package.is_empty() => {
                    let mut sum = None;
                    while let Some(more) = lines.next_if(|line| matches!(line.get(..2), Some(b"a:" | b"Z:"))) {
                        sum = sum.or(more.strip_prefix(b"Z:"));
                    }
                    return Some(File { package, directory, name, sum });
                }
                _ => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_of_their_paragraph() {
        let text =
            b"C:Q1x\nP:busybox\nV:1.36\nF:bin\nR:busybox\na:0:0:755\nZ:Q1qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\nR:plain\n\
            F:\nR:top\n\nR:nobody\nP:musl\nF:lib\nR:ld.so\nZ:Q2zz\n";
        let all: Vec<_> = files(text).collect();
        let named: Vec<_> = all.iter().map(|file| (file.package, String::from_utf8(file.path()).unwrap())).collect();
        let wanted =
            [("busybox", "/bin/busybox"), ("busybox", "/bin/plain"), ("busybox", "/top"), ("musl", "/lib/ld.so")];
        assert_eq!(named, wanted.map(|(package, path)| (package, path.to_owned())));
        // The SHA-1 of `abc`.
        let sum = Sum { algorithm: Algorithm::Sha1, hex: "a9993e364706816aba3e25717850c26c9cd0d89d".to_owned() };
        assert_eq!(all.iter().map(File::sum).collect::<Vec<_>>(), [Some(sum), None, None, None]);
    }

    #[test]
    fn any_bytes_are_survived() {
        for bytes in [&b""[..], b"P:", b"R:", b"P:a\nR:\nZ:Q1", b"\xff:\n\nP:\xff\nR:x", b"\n\n\n"] {
            files(bytes).for_each(|file| drop((file.path(), file.sum())));
        }
    }
}
