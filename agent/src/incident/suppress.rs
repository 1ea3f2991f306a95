//! Suppression: nobody is told, for a reason and until a time. What is suppressed is counted and listed all the same.

use jiff::Timestamp;

use super::model::Incident;
use crate::finding::model::Finding;

/// Most suppressions that hold at once: a longer list is a policy, and belongs there as exceptions.
pub const LIMIT: usize = 256;

/// What nobody is told of. At least one of the four is given; all that are given have to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Its number.
    pub id: i64,
    /// Findings of this detector.
    pub detector: Option<String>,
    /// Findings about this store.
    pub store: Option<String>,
    /// Findings about this reader: the path of its executable, or of the script that it runs.
    pub reader: Option<String>,
    /// All of this incident.
    pub incident: Option<String>,
    /// Why. Visible text.
    pub reason: String,
    /// Whoever made it.
    pub by: String,
    /// Until when.
    pub until: Timestamp,
}

impl Suppression {
    /// Does it hold?
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Does it cover this finding of an incident? Never by the incident alone: see [`Suppression::silences`].
    #[must_use]
    pub fn covers(&self, finding: &Finding, incident: &str) -> bool {
        if self.detector.is_none() && self.store.is_none() && self.reader.is_none() {
            return false;
        }
        let is = |wanted: &Option<String>, found: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(found);
        is(&self.incident, &|uid| uid == incident)
            && is(&self.detector, &|name| finding.detector.name() == name)
            && is(&self.store, &|id| !finding.stores.is_empty() && finding.stores.iter().all(|store| store.id == id))
            && is(&self.reader, &|path| reads_as(finding, path))
    }

    /// Is it about this incident as a whole?
    #[must_use]
    pub fn silences(&self, incident: &Incident) -> bool {
        self.detector.is_none()
            && self.store.is_none()
            && self.reader.is_none()
            && self.incident.as_deref() == Some(incident.uid.as_str())
    }

    /// What it is about, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let parts = [
            ("detector", &self.detector),
            ("store", &self.store),
            ("reader", &self.reader),
            ("incident", &self.incident),
        ];
        let said = parts.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")));
        said.collect::<Vec<_>>().join(", ")
    }
}

fn reads_as(finding: &Finding, path: &str) -> bool {
    finding.reader().is_some_and(|reader| {
        reader.executable.path.as_os_str() == path
            || reader.script_path().is_some_and(|script| script.as_os_str() == path)
    })
}
