//! The open incidents: to which one a finding belongs, when one is over, and what is to be written and told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use tokenhound_common::process::ProcessKey;

use super::{
    model::{Incident, Key, Over, ROOTS},
    notice::{self, Activity, Due, Notice},
    place::Place,
    suppress::Suppression,
};
use crate::finding::{detector::DetectorId, model::Finding, severity::Severity};

/// So many findings of an incident that look the same go out whole, unless the configuration says otherwise.
pub const ALIKE: u64 = 20;

/// Most incidents that are open at once. Beyond, the one that was quiet for longest is closed, which is told and counted.
pub const OPEN: usize = 1024;

/// Most incidents that open within [`MINUTE`]; what comes beyond is one incident.
pub const OPENED: usize = 60;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// An incident is over when nothing has come for so long. Longer than the lineage of a read is followed (ten minutes).
pub const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// And when it was open for so long.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// What is started at one prompt within this time belongs together: a loop, a pipeline. Nobody types two doings so fast.
pub const AT_ONCE: SignedDuration = SignedDuration::from_secs(5);

/// What becomes of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Id of the incident that it belongs to.
    pub incident: String,
    /// It is stored and goes out by itself. Else it is one of many alike, and counted in the incident only.
    pub whole: bool,
}

/// What is to be written down, all or nothing; see [`Incidents::batch`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Incidents that are new or have changed.
    pub changed: Vec<Incident>,
    /// What is to be told.
    pub notices: Vec<Notice>,
}

/// What happened since somebody asked, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Incidents that opened with, or rose to, each severity.
    pub reached: Vec<(Severity, u64)>,
    /// Findings that were only counted.
    pub summarised: Vec<(DetectorId, u64)>,
    /// Notifications that suppression held back.
    pub suppressed: u64,
    /// Incidents that had to make room.
    pub evicted: u64,
}

/// The open incidents.
#[derive(Clone, Debug)]
pub struct Incidents {
    /// By id. A clone shares them until they change: whoever writes works on one, and keeps it once all is written.
    open: BTreeMap<String, Arc<Incident>>,
    /// Which incident takes the findings of a key.
    keys: HashMap<Key, String>,
    /// When the latest opened, at most [`OPENED`].
    opened: Vec<Timestamp>,
    changed: BTreeSet<String>,
    /// Over, and not written yet.
    closed: Vec<Incident>,
    suppressions: Vec<Suppression>,
    facts: Facts,
    /// So many findings of one that look the same go out whole.
    alike: u64,
}

impl Default for Incidents {
    fn default() -> Self {
        Self::restored([], ALIKE)
    }
}

impl Incidents {
    /// With those that were open when the agent ended. `alike`: so many findings of one that look the same go out whole
    /// before they are only counted.
    #[must_use]
    pub fn restored(incidents: impl IntoIterator<Item = Incident>, alike: u64) -> Self {
        let mut table = Self {
            open: BTreeMap::new(),
            keys: HashMap::new(),
            opened: Vec::new(),
            changed: BTreeSet::new(),
            closed: Vec::new(),
            suppressions: Vec::new(),
            facts: Facts::default(),
            alike,
        };
        for incident in incidents.into_iter().filter(Incident::is_open).take(OPEN) {
            table.index(&incident);
            table.open.insert(incident.uid.clone(), Arc::new(incident));
        }
        table
    }

    /// What nobody is told of from now on.
    pub fn suppress(&mut self, suppressions: Vec<Suppression>) {
        self.suppressions = suppressions;
    }

    /// Takes a finding in.
    pub fn take(&mut self, finding: &Finding) -> Taken {
        let at = Timestamp::try_from(finding.wall).unwrap_or(Timestamp::UNIX_EPOCH);
        let place = Place::of(finding).map(|(place, _)| place).unwrap_or_default();
        let known = self.find(finding, &place, at);
        let is_new = known.is_none();
        let uid = known.unwrap_or_else(|| self.begin(finding, place.clone(), at));
        let suppressions = std::mem::take(&mut self.suppressions);
        let covered = suppressions.iter().any(|one| one.holds(at) && one.covers(finding, &uid));
        self.suppressions = suppressions;
        self.changed.insert(uid.clone());
        let Some(incident) = self.open.get_mut(&uid).map(Arc::make_mut) else {
            return Taken { incident: uid, whole: true };
        };
        let before = incident.severity;
        let whole = incident.absorb(finding, at, covered, self.alike);
        if is_new || incident.severity > before {
            count(&mut self.facts.reached, incident.severity);
        }
        if !whole {
            count(&mut self.facts.summarised, finding.detector);
        }
        if let Some(root) = place.root {
            self.remember(&uid, root);
        }
        Taken { incident: uid, whole }
    }

    /// Closes what is over. `now` is the wall clock of whoever calls.
    pub fn tick(&mut self, now: Timestamp) {
        let over = |incident: &Incident| {
            if now.duration_since(incident.opened) >= LONGEST {
                Some(Over::Long)
            } else {
                (now.duration_since(incident.last) >= QUIET).then_some(Over::Quiet)
            }
        };
        let all: Vec<(String, Over)> =
            self.open.values().filter_map(|incident| Some((incident.uid.clone(), over(incident)?))).collect();
        for (uid, why) in all {
            self.close(&uid, now, why);
        }
    }

    /// Closes one; false where none of that id is open.
    pub fn close(&mut self, uid: &str, now: Timestamp, why: Over) -> bool {
        let Some(incident) = self.open.remove(uid) else { return false };
        let mut incident = Arc::unwrap_or_clone(incident);
        incident.closed = Some((now, why));
        self.keys.retain(|_, other| other != uid);
        self.changed.remove(uid);
        self.closed.push(incident);
        true
    }

    /// What is to be written down and told at this moment. It counts as done: whoever takes it keeps it until it is written.
    pub fn batch(&mut self, now: Timestamp) -> Batch {
        let mut notices = Vec::new();
        let silenced = |suppressions: &[Suppression], incident: &Incident| {
            suppressions.iter().any(|one| one.holds(now) && one.silences(incident))
        };
        let mut tell = |incident: &mut Incident, due: Due| match due {
            Due::Nothing => {}
            Due::Hush => {
                let findings = incident.findings;
                self.facts.suppressed += 1;
                incident.told.hushed.mark(now, findings);
                incident.told.sent.news = notice::News::None;
            }
            Due::Send(activity) => notices.push(told(incident, activity, now)),
        };
        for incident in self.open.values_mut() {
            let due = notice::due(incident, now, silenced(&self.suppressions, incident));
            if due != Due::Nothing {
                tell(Arc::make_mut(incident), due);
                self.changed.insert(incident.uid.clone());
            }
        }
        for incident in &mut self.closed {
            let due = notice::due(incident, now, silenced(&self.suppressions, incident));
            tell(incident, due);
        }
        let mut changed = std::mem::take(&mut self.closed);
        let open = std::mem::take(&mut self.changed);
        changed.extend(open.iter().filter_map(|uid| self.open.get(uid)).map(|incident| Incident::clone(incident)));
        Batch { changed, notices }
    }

    /// When there is something to do without a new finding: a notification, or a close. `None` while none is open.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let of = |incident: &Incident| {
            let over = incident.last.saturating_add(QUIET).unwrap_or(Timestamp::MAX);
            let told = [&incident.told.sent, &incident.told.hushed].into_iter().filter_map(notice::Pace::due);
            told.filter(|_| incident.severity >= notice::LEAST).chain([over]).min()
        };
        self.open.values().filter_map(|incident| of(incident)).min()
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Is none open?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Those that are open.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values().map(AsRef::as_ref)
    }

    /// One that is open.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&Incident> {
        self.open.get(uid).map(AsRef::as_ref)
    }

    /// What happened since the last call.
    pub fn take_facts(&mut self) -> Facts {
        std::mem::take(&mut self.facts)
    }

    /// The open incident that a finding belongs to.
    fn find(&self, finding: &Finding, place: &Place, at: Timestamp) -> Option<String> {
        if let Some(root) = place.root
            && let Some(uid) = self.keys.get(&Key::Process(root))
        {
            return Some(uid.clone());
        }
        let last = |incident: &&Incident| incident.last;
        let open = || self.open();
        if finding.chain.is_none() {
            // A token that was stolen and turns up: the theft's.
            let turned_up = matches!(finding.detector, DetectorId::TokenCopied | DetectorId::ContainerExposure);
            let token = finding.fingerprint.as_deref().filter(|_| turned_up);
            let holder = token.and_then(|token| open().filter(|one| one.tokens.has(token)).max_by_key(last));
            let own = || self.keys.get(&Key::Detector(finding.detector.name().to_owned())).cloned();
            return holder.map(|incident| incident.uid.clone()).or_else(own);
        }
        let shares = |incident: &Incident| finding.stores.iter().any(|store| incident.stores.has(&store.id));
        let beside = |incident: &&Incident| {
            let prompt = place.ground.is_some() && incident.place.ground == place.ground;
            let at_once = place.prompt && at.duration_since(incident.last).abs() <= AT_ONCE;
            let service = place.unit.is_some() && incident.place.unit == place.unit && reads_alike(finding, incident);
            (prompt && (at_once || shares(incident))) || (service && shares(incident))
        };
        let joined = open().filter(|one| one.key != Key::Many).filter(beside).max_by_key(last);
        joined.map(|incident| incident.uid.clone())
    }

    /// Opens one; or, where too many have opened, takes the one for all others. Returns its id.
    fn begin(&mut self, finding: &Finding, place: Place, at: Timestamp) -> String {
        let recent = |opened: &Timestamp| at.duration_since(*opened).abs() < MINUTE;
        self.opened.retain(recent);
        let many = self.opened.len() >= OPENED;
        if many && let Some(uid) = self.keys.get(&Key::Many) {
            return uid.clone();
        }
        let key = if many { Key::Many } else { key(finding, &place) };
        if self.open.len() >= OPEN
            && let Some(uid) = self.open.values().min_by_key(|one| one.last).map(|one| one.uid.clone())
        {
            self.close(&uid, at, Over::NoRoom);
            self.facts.evicted += 1;
        }
        if !many {
            self.opened.push(at);
        }
        let incident = Incident::new(finding, key, if many { Place::default() } else { place }, at);
        let uid = incident.uid.clone();
        self.index(&incident);
        self.open.insert(uid.clone(), Arc::new(incident));
        uid
    }

    fn index(&mut self, incident: &Incident) {
        self.keys.insert(incident.key.clone(), incident.uid.clone());
        for root in incident.roots.iter().chain(&incident.place.root) {
            self.keys.insert(Key::Process(*root), incident.uid.clone());
        }
    }

    /// What else descends from `root` is this incident's.
    fn remember(&mut self, uid: &str, root: ProcessKey) {
        let Some(incident) = self.open.get_mut(uid) else { return };
        let incident = Arc::make_mut(incident);
        if incident.key == Key::Many || incident.place.root == Some(root) || incident.roots.contains(&root) {
            return;
        }
        if incident.roots.len() >= ROOTS {
            let oldest = incident.roots.remove(0);
            self.keys.remove(&Key::Process(oldest));
        }
        incident.roots.push(root);
        self.keys.insert(Key::Process(root), uid.to_owned());
    }
}

/// Marks it as told.
fn told(incident: &mut Incident, activity: Activity, now: Timestamp) -> Notice {
    let new = incident.findings.saturating_sub(incident.told.sent.findings);
    let findings = incident.findings;
    incident.told.sent.mark(now, findings);
    Notice { activity, time: now, new, incident: incident.clone() }
}

fn key(finding: &Finding, place: &Place) -> Key {
    match (place.root, place.ground) {
        (Some(root), _) => Key::Process(root),
        (None, Some(ground)) => {
            let store = finding.stores.first().map_or(finding.detector.name(), |store| store.id.as_str());
            Key::Ground(ground, store.to_owned())
        }
        (None, None) => Key::Detector(finding.detector.name().to_owned()),
    }
}

/// Is it by a reader that the incident knows?
fn reads_alike(finding: &Finding, incident: &Incident) -> bool {
    finding.reader().is_some_and(|reader| incident.readers.has(&super::model::reader(reader)))
}

fn count<T: PartialEq>(counts: &mut Vec<(T, u64)>, of: T) {
    match counts.iter_mut().find(|(known, _)| *known == of) {
        Some((_, count)) => *count += 1,
        None => counts.push((of, 1)),
    }
}
