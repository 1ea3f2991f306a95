//! Webhooks: OCSF for whoever takes JSON, Slack's incoming webhooks, PagerDuty's Events API v2.

pub mod pagerduty;
pub mod sign;
pub mod slack;

use std::error::Error;

use jiff::Timestamp;

use super::{
    Item, Refused, Sink,
    batch::Batch,
    config::{Take, Type},
    credential::Source,
    http::{Client, OpenError, judge},
    keys::{Address, Endpoint, number},
};
use crate::{
    finding::ocsf::Host,
    token::secret::Secret,
    yaml::fields::{Fields, Reading, words},
};

words! {
    /// What the body looks like.
    pub enum Format {
        /// OCSF: one object, or an array of them.
        Generic = "generic",
        /// A message for people in Slack (and what takes the same).
        Slack = "slack",
        /// An event for PagerDuty.
        PagerDuty = "pagerduty",
    }
}

/// Its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    endpoint: Endpoint,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Generic { batch: usize, hmac_key: Option<Source> },
    Slack,
    PagerDuty { routing_key: Source },
}

impl Type for Config {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let format: Format = fields.optional("format", reading).unwrap_or(Format::Generic);
        let usual = (format == Format::PagerDuty).then_some(pagerduty::URL);
        let place = fields.node("url").map_or(fields.place(), |node| node.place);
        let endpoint = Endpoint::read(usual, fields, reading);
        let body = match format {
            Format::Generic => Body::Generic {
                batch: number("batch", 1, (1, 100), fields, reading) as usize,
                hmac_key: Source::of("hmac_key_file", "hmac_key_credential", fields, reading),
            },
            Format::Slack => Body::Slack,
            Format::PagerDuty => {
                let key = Source::of("routing_key_file", "routing_key_credential", fields, reading);
                if key.is_none() {
                    reading.error(fields.place(), "\"routing_key_file\" (or \"routing_key_credential\") is missing");
                }
                Body::PagerDuty { routing_key: key? }
            }
        };
        let endpoint = endpoint?;
        if body == Body::Slack && matches!(endpoint.url, Address::Open(_)) {
            let why = "whoever knows the address of a Slack webhook can post to it: \
                       keep it in a file and give \"url_file\" or \"url_credential\"";
            reading.error(place, why);
            return None;
        }
        Some(Self { endpoint, body })
    }

    /// Chat and paging are for people: they take incidents.
    fn take(&self) -> Take {
        match self.body {
            Body::Generic { .. } => Take::Findings,
            Body::Slack | Body::PagerDuty { .. } => Take::Incidents,
        }
    }

    fn build(&self, _host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> {
        Ok(Box::new(WebhookSink::open(self)?))
    }
}

/// The sink.
pub struct WebhookSink {
    config: Config,
    receiver: Receiver,
    batch: Batch,
}

struct Receiver {
    client: Client,
    /// Signs (generic) or routes (PagerDuty).
    key: Option<Secret>,
}

impl Receiver {
    fn open(config: &Config) -> Result<Self, OpenError> {
        let key = match &config.body {
            Body::Generic { hmac_key, .. } => hmac_key.as_ref().map(Source::load).transpose()?,
            Body::Slack => None,
            Body::PagerDuty { routing_key } => Some(routing_key.load()?),
        };
        let mut client = Client::open(&config.endpoint, "")?;
        if let Some(key) = &key {
            client.hide(key);
        }
        Ok(Self { client, key })
    }
}

impl WebhookSink {
    /// Reads credentials and certificates.
    ///
    /// # Errors
    /// Those that cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Ok(Self { config: config.clone(), receiver: Receiver::open(config)?, batch: Batch::default() })
    }
}

fn call(receiver: &Receiver, body: &Body, items: &[Item]) -> Result<(), Refused> {
    let mut headers = Vec::new();
    let text = match (body, items) {
        (Body::Generic { batch: 1, .. }, [item]) => item.body.clone(),
        (Body::Generic { .. }, items) => array(items),
        (Body::Slack, items) => items.first().map(slack::body).unwrap_or_default(),
        (Body::PagerDuty { .. }, items) => {
            let key = receiver.key.as_ref().map(Secret::expose).unwrap_or_default();
            items.first().map(|item| pagerduty::body(item, &String::from_utf8_lossy(key))).unwrap_or_default()
        }
    };
    // Overwritten when it is dropped: PagerDuty's has the key in it.
    let text = Secret::from(text);
    if let (Body::Generic { .. }, Some(key)) = (body, &receiver.key) {
        headers = sign::headers(key, Timestamp::now().as_second(), text.expose());
    }
    let answer = receiver.client.post("application/json", &headers, text.expose())?;
    judge(&answer, || receiver.client.told(&answer))
}

/// Objects as one JSON array.
fn array(items: &[Item]) -> String {
    let mut text = String::from("[");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&item.body);
    }
    text.push(']');
    text
}

impl Sink for WebhookSink {
    fn batch(&self) -> usize {
        match self.config.body {
            Body::Generic { batch, .. } => batch,
            Body::Slack | Body::PagerDuty { .. } => 1,
        }
    }

    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        let (receiver, body) = (&self.receiver, &self.config.body);
        self.batch.send(items, |some| call(receiver, body, some))
    }

    fn reopen(&mut self) {
        // Credentials may have been renewed; with broken ones it goes on as before, and the receiver says so.
        if let Ok(receiver) = Receiver::open(&self.config) {
            self.receiver = receiver;
        }
    }
}
