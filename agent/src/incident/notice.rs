//! When somebody is told: at once when an incident opens or becomes more severe, soon when a detector or a store joins, then
//! at growing intervals, and once when it is over.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::Incident;
use crate::finding::severity::Severity;

/// Below, an incident is kept and listed, and nobody is told.
pub const LEAST: Severity = Severity::Low;

/// What joins within this time of a notification is told with the next one: a sweep of forty stores is no forty updates.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(10);

/// How long after the first, second, third and any further notification more of the same is told.
const INTERVALS: [SignedDuration; 4] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
];

/// How urgent it is to tell somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// Nothing has happened since.
    #[default]
    None,
    /// More of the same.
    More,
    /// A detector or a store has joined.
    Joined,
    /// It is new, or has become more severe.
    Urgent,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// A new incident.
    Opened,
    /// More is known of one.
    Updated,
    /// It is over.
    Closed,
}

impl Activity {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Closed => "closed",
        }
    }
}

/// One line of notifications: those that go out, or those that suppression holds back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How many there were.
    pub times: u32,
    /// When the last one was.
    pub at: Option<Timestamp>,
    /// How many findings there were then.
    pub findings: u64,
    /// What has happened since.
    pub news: News,
}

impl Pace {
    /// Something has happened.
    pub fn add(&mut self, news: News) {
        self.news = self.news.max(news);
    }

    /// When the next one is due; `None` where nothing has happened. At or after this moment it is [`Pace::mark`]ed.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let Some(at) = self.at else {
            return (self.news != News::None).then_some(Timestamp::MIN);
        };
        let wait = match self.news {
            News::None => return None,
            News::Urgent => return Some(Timestamp::MIN),
            News::Joined => SETTLE,
            News::More => INTERVALS[(self.times as usize).saturating_sub(1).min(INTERVALS.len() - 1)],
        };
        Some(at.saturating_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// One was made.
    pub fn mark(&mut self, now: Timestamp, findings: u64) {
        *self = Self { times: self.times.saturating_add(1), at: Some(now), findings, news: News::None };
    }
}

/// What was told of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What went out.
    pub sent: Pace,
    /// What suppression held back.
    pub hushed: Pace,
}

/// One notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub activity: Activity,
    /// When it was made.
    pub time: Timestamp,
    /// How many findings have come since the one before.
    pub new: u64,
    /// The incident as it is now. `told.sent.times` is the number of this notification, from 1 on.
    pub incident: Incident,
}

/// What is to be done about an incident now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Send(Activity),
    /// It would be sent, were it not suppressed.
    Hush,
}

/// What is due. `silenced`: a suppression covers the incident as a whole. That it is over is told all the same where its
/// beginning was: it is what takes an alarm back.
pub(super) fn due(incident: &Incident, now: Timestamp, silenced: bool) -> Due {
    let sent = &incident.told.sent;
    if incident.closed.is_some() {
        // One that had to make room before anybody was told is told now.
        let untold = sent.news != News::None && incident.severity >= LEAST && !silenced;
        return if sent.times > 0 || untold { Due::Send(Activity::Closed) } else { Due::Nothing };
    }
    if incident.severity < LEAST {
        return Due::Nothing;
    }
    let is_due = |pace: &Pace| pace.due().is_some_and(|due| due <= now);
    if is_due(sent) {
        let activity = if sent.times == 0 { Activity::Opened } else { Activity::Updated };
        return if silenced { Due::Hush } else { Due::Send(activity) };
    }
    if is_due(&incident.told.hushed) { Due::Hush } else { Due::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_grow_and_what_is_urgent_does_not_wait() {
        let start = Timestamp::from_second(1_764_000_000).unwrap();
        let mut pace = Pace::default();
        assert_eq!(pace.due(), None);
        pace.add(News::More);
        assert!(pace.due().unwrap() <= start, "the first at once");
        let mut now = start;
        for minutes in [1, 5, 30, 60, 60] {
            pace.mark(now, 1);
            assert_eq!(pace.due(), None, "nothing has happened");
            pace.add(News::More);
            assert_eq!(pace.due().unwrap().duration_since(now), SignedDuration::from_mins(minutes));
            pace.add(News::Joined);
            assert_eq!(pace.due().unwrap().duration_since(now), SETTLE);
            pace.add(News::Urgent);
            pace.add(News::More);
            assert!(pace.due().unwrap() <= now);
            now += SignedDuration::from_mins(minutes);
        }
    }
}
