//! The sender of these tests.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::process::Background;

/// Entries, and the program that hands them over.
pub(crate) struct Courier {
    directory: PathBuf,
    count: usize,
    kind: &'static str,
    process: Background,
}

impl Courier {
    /// Starts it. `sink` are the keys of the sink besides its name, in YAML's short form.
    pub(crate) fn start(directory: &Path, sink: &str, count: usize, kind: &'static str) -> Self {
        fs::write(directory.join("tokenhound.yaml"), format!("sinks:\n- {{name: test, {sink}}}\n")).unwrap();
        let process = start(directory, count, kind);
        Self { directory: directory.to_owned(), count, kind, process }
    }

    /// Kills it and starts it again: it goes on after the last entry that it noted.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
        self.process = start(&self.directory, self.count, self.kind);
    }

    /// Waits for something, while it runs.
    pub(crate) fn until<T>(&mut self, what: &str, answer: impl FnMut() -> Option<T>) -> T {
        self.process.until(what, answer)
    }

    /// Waits until everything is handed over.
    pub(crate) fn done(&mut self) {
        let said = self.directory.join("said");
        self.process
            .until("end of all deliveries", || fs::read_to_string(&said).ok()?.contains("\ndone").then_some(()));
    }

    /// How many entries it has noted as handed over.
    pub(crate) fn noted(&self) -> usize {
        fs::read_to_string(self.directory.join("cursor")).map_or(0, |text| text.trim().parse().unwrap())
    }

    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.directory.join("said")).unwrap_or_default()
    }

    /// Every uid that it hands over.
    pub(crate) fn uids(&self) -> BTreeSet<String> {
        (1..=self.count).map(|id| format!("{}-{id:06}", &self.kind[..1])).collect()
    }
}

fn start(directory: &Path, count: usize, kind: &str) -> Background {
    // Collected over all of its lives, each of which begins with an empty line.
    let mut said = File::options().create(true).append(true).open(directory.join("said")).unwrap();
    std::io::Write::write_all(&mut said, b"\n").unwrap();
    let mut command = Command::new("/bin/sh");
    // `Background` takes the standard streams for itself.
    command.args(["-c", "exec \"$0\" \"$@\" >>said", env!("CARGO_BIN_EXE_courier")]);
    command
        .args([&directory.join("tokenhound.yaml").display().to_string(), "cursor", &count.to_string(), kind])
        .current_dir(directory);
    Background::start(&mut command)
}

/// In which order uids came first; receivers know by them what came twice.
pub(crate) fn first(seen: &[String]) -> Vec<String> {
    let mut known = BTreeSet::new();
    seen.iter().filter(|uid| known.insert(uid.as_str())).cloned().collect()
}
