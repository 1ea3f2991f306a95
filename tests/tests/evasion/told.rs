//! What a technique says of itself.

use std::path::PathBuf;

/// A reader, as it knows itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) pid: u64,
    /// Inode number of its executable.
    pub(crate) inode: u64,
    /// Path of its executable.
    pub(crate) exe: String,
}

/// The words of one technique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    readers: Vec<Reader>,
    /// Processes that may be reported as well.
    pub(crate) helpers: Vec<u64>,
    /// The process that holds the store open.
    pub(crate) held: Option<u64>,
    /// The process that was looked into.
    pub(crate) target: Option<u64>,
    /// The store's own name.
    pub(crate) host: PathBuf,
    /// The name it was opened by.
    pub(crate) seen: Option<PathBuf>,
    /// How that name ends.
    pub(crate) seen_end: Option<PathBuf>,
    /// The name below the reader's own root.
    pub(crate) in_root: Option<PathBuf>,
    /// Why there was nothing to be had.
    pub(crate) absent: Option<String>,
}

impl Told {
    /// Takes in a line. What is none of its own words is passed over: programs that it runs speak too.
    pub(crate) fn hear(&mut self, line: &str) {
        let Some((word, rest)) = line.split_once(' ') else { return };
        let pid = || rest.strip_prefix("pid=").and_then(|rest| rest.split(' ').next()?.parse().ok());
        match word {
            "READER" => self.readers.extend(reader(rest)),
            "HELPER" => self.helpers.extend(pid()),
            "HELD" => self.held = pid(),
            "TARGET" => self.target = pid(),
            "PATH" => match rest.split_once('=') {
                Some(("host", path)) => self.host = path.into(),
                Some(("seen", path)) => self.seen = Some(path.into()),
                Some(("seen_end", path)) => self.seen_end = Some(path.into()),
                Some(("in_root", path)) => self.in_root = Some(path.into()),
                _ => {}
            },
            // The first one knows best; the others repeat it.
            "ABSENT" => _ = self.absent.get_or_insert_with(|| rest.to_owned()),
            _ => {}
        }
    }

    /// The true reader. A technique has one.
    pub(crate) fn reader(&self) -> Option<&Reader> {
        match &self.readers[..] {
            [reader] => Some(reader),
            _ => None,
        }
    }
}

fn reader(text: &str) -> Option<Reader> {
    let (pid, rest) = text.strip_prefix("pid=")?.split_once(" inode=")?;
    let (inode, exe) = rest.split_once(" exe=")?;
    Some(Reader { pid: pid.parse().ok()?, inode: inode.parse().ok()?, exe: exe.to_owned() })
}

#[test]
fn words_are_understood() {
    let mut told = Told::default();
    for line in [
        "PATH host=/h/.aws/credentials",
        "noise",
        "HELPER pid=4",
        "HELD pid=5",
        "PATH in_root=/a b",
        "READER pid=7 inode=9 exe=/x y (deleted)",
        "ABSENT first: reason",
        "ABSENT second",
    ] {
        told.hear(line);
    }
    assert_eq!((told.host.to_str(), told.helpers.clone(), told.held), (Some("/h/.aws/credentials"), vec![4], Some(5)));
    assert_eq!(told.in_root, Some("/a b".into()));
    assert_eq!(told.reader(), Some(&Reader { pid: 7, inode: 9, exe: "/x y (deleted)".into() }));
    assert_eq!(told.absent.as_deref(), Some("first: reason"));
}
