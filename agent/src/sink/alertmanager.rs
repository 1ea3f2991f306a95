//! Prometheus Alertmanager, API v2: `POST /api/v2/alerts`.
//!
//! Alertmanager tells alerts apart by their labels, so these must not change while an incident lasts: severity may rise,
//! and then the alert with the old one is ended by the same call. It forgets alerts at `endsAt`, and all of them when it
//! restarts; so open ones are sent again once a minute, each with an `endsAt` that lies `hold` ahead.

pub mod encode;

use std::{
    collections::{HashSet, VecDeque},
    error::Error,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::encode::Alert;
use super::{
    Item, Kind, Refused, Sink,
    batch::Batch,
    config::{Take, Type},
    facts::Facts,
    http::{Client, OpenError, judge},
    keys::{Endpoint, duration},
};
use crate::{
    finding::ocsf::Host,
    yaml::fields::{Fields, Reading},
};

/// Most open alerts that are sent again; beyond, the one that was told first is left to end by itself.
const MAX_OPEN: usize = 1024;

/// How often.
const AGAIN: Duration = Duration::from_secs(60);

/// Its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    endpoint: Endpoint,
    hold: Duration,
}

impl Type for Config {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let endpoint = Endpoint::read(None, fields, reading);
        let hold = duration("hold", Duration::from_secs(4 * 3600), ("5m", "7d"), fields, reading);
        Some(Self { endpoint: endpoint?, hold })
    }

    fn take(&self) -> Take {
        Take::Incidents
    }

    fn build(&self, _host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> {
        Ok(Box::new(AlertmanagerSink::open(self)?))
    }
}

/// The sink.
pub struct AlertmanagerSink {
    config: Config,
    client: Client,
    batch: Batch,
    /// Open alerts, in the order in which they were told, and until when each is sent again.
    open: VecDeque<(Timestamp, Alert)>,
    sent: Instant,
}

impl AlertmanagerSink {
    /// Reads credentials and certificates.
    ///
    /// # Errors
    /// Those that cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Ok(Self {
            client: Client::open(&config.endpoint, "/api/v2/alerts")?,
            config: config.clone(),
            batch: Batch::default(),
            open: VecDeque::new(),
            sent: Instant::now(),
        })
    }

    /// What one item makes known: its alert, and the end of the one that it replaces.
    fn alerts(&self, item: &Item, now: Timestamp) -> Vec<Alert> {
        let alert = encode::alert(item, now, self.config.hold);
        let replaced = self.open.iter().find(|(_, open)| open.key == alert.key && open.labels != alert.labels);
        let ended = replaced.map(|(_, open)| Alert { ends_at: now, ..open.clone() });
        ended.into_iter().chain([alert]).collect()
    }

    /// Remembers what is open after `item` was taken.
    fn remember(&mut self, item: &Item, now: Timestamp) {
        let alert = encode::alert(item, now, self.config.hold);
        self.open.retain(|(_, open)| open.key != alert.key);
        if alert.ends_at <= now {
            return;
        }
        // An incident lasts until it is closed. A finding has no end, so it is one for as long as `hold`.
        let until = match item.kind {
            Kind::Incident => Timestamp::MAX,
            Kind::Finding => alert.ends_at,
        };
        self.open.push_back((until, alert));
        if self.open.len() > MAX_OPEN {
            self.open.pop_front();
        }
    }
}

/// How many of the first items are about different incidents: what one call says of an incident follows from what the
/// call before it said.
fn apart(items: &[Item]) -> usize {
    let mut known = HashSet::new();
    items.iter().take_while(|item| known.insert(Facts::of(item).key(item).to_owned())).count()
}

fn call(client: &Client, alerts: &[Alert]) -> Result<(), Refused> {
    let answer = client.post("application/json", &[], encode::body(alerts).as_bytes())?;
    judge(&answer, || client.told(&answer))
}

impl Sink for AlertmanagerSink {
    fn batch(&self) -> usize {
        32
    }

    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        let now = Timestamp::now();
        let mut batch = std::mem::take(&mut self.batch);
        let taken = batch.send(&items[..apart(items)], |some| {
            let alerts: Vec<Alert> = some.iter().flat_map(|item| self.alerts(item, now)).collect();
            call(&self.client, &alerts)
        });
        self.batch = batch;
        for item in &items[..*taken.as_ref().unwrap_or(&0)] {
            self.remember(item, now);
        }
        taken
    }

    fn reopen(&mut self) {
        // Credentials may have been renewed; with broken ones it goes on as before, and the receiver says so.
        if let Ok(client) = Client::open(&self.config.endpoint, "/api/v2/alerts") {
            self.client = client;
        }
    }

    fn idle(&mut self) -> Option<Duration> {
        if self.open.is_empty() {
            return None;
        }
        let left = AGAIN.saturating_sub(self.sent.elapsed());
        if !left.is_zero() {
            return Some(left);
        }
        self.sent = Instant::now();
        let now = Timestamp::now();
        self.open.retain(|(until, _)| *until > now);
        let ends_at = encode::after(now, self.config.hold);
        for (until, alert) in &mut self.open {
            alert.ends_at = ends_at.min(*until);
        }
        let alerts: Vec<Alert> = self.open.iter().map(|(_, alert)| alert.clone()).collect();
        if !alerts.is_empty() {
            // Nothing is lost if it fails: they have been told before, and are sent again in a minute.
            let _ = call(&self.client, &alerts);
        }
        Some(AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{keys::Address, samples, tls::Tls};

    fn sink() -> AlertmanagerSink {
        let endpoint = Endpoint {
            url: Address::Open("http://127.0.0.1:1".to_owned()),
            tls: Tls::default(),
            token: None,
            token_header: None,
            proxy: None,
            timeout: Duration::from_secs(1),
        };
        AlertmanagerSink::open(&Config { endpoint, hold: Duration::from_secs(3600) }).unwrap()
    }

    #[test]
    fn an_alert_whose_severity_rises_ends_the_one_before() {
        let mut sink = sink();
        let now = Timestamp::now();
        let low = Item { severity: crate::finding::severity::Severity::Low, ..samples::incident(1, false) };
        sink.remember(&low, now);
        let alerts = sink.alerts(&samples::incident(2, false), now);
        let shown: Vec<_> =
            alerts.iter().map(|alert| (alert.labels["severity"].as_str(), alert.ends_at > now)).collect();
        assert_eq!(shown, [("low", false), ("high", true)]);
        sink.remember(&samples::incident(2, false), now);
        assert_eq!(sink.open.len(), 1);
        sink.remember(&samples::incident(3, true), now);
        assert!(sink.open.is_empty(), "a closed incident is not sent again");
    }

    #[test]
    fn one_call_says_one_thing_of_an_incident() {
        let items = [samples::finding(1), samples::incident(2, false), samples::finding(3), samples::incident(4, true)];
        assert_eq!(apart(&items), 3);
        assert_eq!(apart(&items[3..]), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sink = sink();
        for id in 0..2000 {
            sink.remember(&samples::finding(id), Timestamp::now());
        }
        assert_eq!(sink.open.len(), MAX_OPEN);
    }
}
