//! Findings, as they come out: OCSF objects, one a line.

use serde_json::Value;

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding(pub Value);

impl Finding {
    /// All findings of a file.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn all(text: &str) -> Vec<Self> {
        text.lines()
            .map(|line| Self(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))))
            .collect()
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.0.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// Id of the detector.
    #[must_use]
    pub fn detector(&self) -> &str {
        self.text("/finding_info/analytic/uid")
    }

    /// `High`.
    #[must_use]
    pub fn severity(&self) -> &str {
        self.text("/severity")
    }

    /// Ids of the stores.
    #[must_use]
    pub fn stores(&self) -> Vec<&str> {
        self.list("/resources").iter().filter_map(|resource| resource["uid"].as_str()).collect()
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &str {
        self.evidence_file("store.path")
    }

    /// The name the store is known by, where it was opened by another.
    #[must_use]
    pub fn known_as(&self) -> &str {
        self.evidence_file("store.known_path")
    }

    fn evidence_file(&self, name: &str) -> &str {
        self.list("/evidences")
            .iter()
            .find(|evidence| evidence["name"] == name)
            .and_then(|evidence| evidence["file"]["path"].as_str())
            .unwrap_or_default()
    }

    /// The process that was looked into.
    #[must_use]
    pub fn target_pid(&self) -> Option<u64> {
        self.list("/evidences").iter().find_map(|evidence| evidence["process"]["pid"].as_u64())
    }

    /// Executable of the reader.
    #[must_use]
    pub fn reader(&self) -> &str {
        self.text("/actor/process/file/path")
    }

    /// Process id of the reader.
    #[must_use]
    pub fn pid(&self) -> Option<u64> {
        self.0.pointer("/actor/process/pid")?.as_u64()
    }

    /// Inode number of the reader's executable.
    #[must_use]
    pub fn reader_inode(&self) -> Option<u64> {
        self.text("/actor/process/file/uid").rsplit(':').next()?.parse().ok()
    }

    /// Process ids of the reader and its ancestors, reader first.
    #[must_use]
    pub fn lineage_pids(&self) -> Vec<u64> {
        let ancestors = self.list("/actor/process/ancestry").iter().filter_map(|process| process["pid"].as_u64());
        self.pid().into_iter().chain(ancestors).collect()
    }

    /// How the reader came to the file's content: `open`, `exec`, `receive`, `read`, `map`.
    #[must_use]
    pub fn way(&self) -> Option<&str> {
        self.0.pointer("/unmapped/tokenhound/access/way")?.as_str()
    }

    /// The path below the reader's own root, where that is another.
    #[must_use]
    pub fn path_in_root(&self) -> Option<&str> {
        self.0.pointer("/unmapped/tokenhound/access/path_in_root")?.as_str()
    }

    /// Class of what acts.
    #[must_use]
    pub fn actor(&self) -> &str {
        self.text("/unmapped/tokenhound/actor/class")
    }

    /// One line for people.
    #[must_use]
    pub fn title(&self) -> &str {
        self.text("/finding_info/title")
    }

    /// Class and id of what acts, and of those on whose behalf it does, nearest first: `package-script npm`.
    #[must_use]
    pub fn actors(&self) -> Vec<String> {
        let party = |party: &Value| {
            let text = |key: &str| party[key].as_str().unwrap_or("-").to_owned();
            format!("{} {}", text("class"), text("id"))
        };
        let first = self.0.pointer("/unmapped/tokenhound/actor");
        first.into_iter().chain(self.list("/unmapped/tokenhound/actor/on_behalf_of")).map(party).collect()
    }

    /// What variables tell of what acts: `session`, `job`, `step`, `package`, `script`.
    #[must_use]
    pub fn told_of_actor(&self, detail: &str) -> &str {
        self.text(&format!("/unmapped/tokenhound/actor/{detail}"))
    }

    /// What is told of the CI job that the reader ran in: `system`, `proof`, `repository`, `workflow`, `job`, `step`, ...
    #[must_use]
    pub fn told_of_ci(&self, fact: &str) -> &str {
        self.text(&format!("/unmapped/tokenhound/ci/{fact}"))
    }

    /// What of another process was looked into: `environ`, `mem`, `ptrace-peek`, ...
    #[must_use]
    pub fn object(&self) -> &str {
        let named =
            || self.list("/evidences").iter().find_map(|evidence| evidence["name"].as_str()?.strip_prefix("target."));
        Some(self.text("/unmapped/tokenhound/object"))
            .filter(|object| !object.is_empty())
            .or_else(named)
            .unwrap_or_default()
    }

    /// Name of the reader's user.
    #[must_use]
    pub fn user(&self) -> &str {
        self.text("/actor/user/name")
    }

    /// The script that the reader runs.
    #[must_use]
    pub fn script(&self) -> &str {
        self.text("/unmapped/tokenhound/script")
    }

    /// Milliseconds from the kernel's record to the finding.
    #[must_use]
    pub fn latency_ms(&self) -> Option<f64> {
        self.0.pointer("/unmapped/tokenhound/latency_ms")?.as_f64()
    }

    /// Names of the reader and its ancestors, reader first.
    #[must_use]
    pub fn lineage(&self) -> Vec<&str> {
        let reader = self.0.pointer("/actor/process/name").and_then(Value::as_str);
        let ancestors = self.list("/actor/process/ancestry").iter().filter_map(|process| process["name"].as_str());
        reader.into_iter().chain(ancestors).collect()
    }

    /// Whether this text is anywhere in it.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        self.0.to_string().contains(text)
    }

    /// One line about it, for a failed test.
    #[must_use]
    pub fn brief(&self) -> String {
        format!(
            "{} {} {:?} {} by {} {:?} script {:?} known as {:?} for {:?}",
            self.severity(),
            self.detector(),
            self.stores(),
            self.path(),
            self.reader(),
            self.lineage(),
            self.script(),
            self.known_as(),
            self.actors()
        )
    }
}
