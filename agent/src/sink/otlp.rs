//! OpenTelemetry logs (OTLP 1): protobuf over HTTP, or gRPC.
//!
//! What is tried again is what the specification calls retryable (opentelemetry.io, "OTLP Specification", sections
//! "Failures" of HTTP and gRPC), and what speaks of our credential: no item is to blame for that.

pub mod encode;
mod grpc;

use std::{collections::VecDeque, error::Error};

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message as _;

use self::{encode::Form, grpc::Grpc};
use super::{
    Item, Refused, Sink,
    batch::Batch,
    config::Type,
    http::{Answer, Client, OpenError, cleaned},
    keys::{Endpoint, number},
};
use crate::{
    finding::ocsf::Host,
    yaml::fields::{Fields, Reading, words},
};

words! {
    /// The way to the receiver.
    pub enum Protocol {
        /// `POST /v1/logs` with protobuf.
        Http = "http",
        /// `opentelemetry.proto.collector.logs.v1.LogsService/Export`.
        Grpc = "grpc",
    }
}

/// Its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    endpoint: Endpoint,
    protocol: Protocol,
    form: Form,
    batch: usize,
}

impl Type for Config {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let protocol = fields.optional("protocol", reading).unwrap_or(Protocol::Http);
        let form = fields.optional("body", reading).unwrap_or(Form::Structured);
        let batch = number("batch", 32, (1, 512), fields, reading) as usize;
        let place = fields.node("proxy").map(|node| node.place);
        let endpoint = Endpoint::read(None, fields, reading)?;
        if let (Protocol::Grpc, Some(place)) = (protocol, place) {
            reading.error(place, "\"proxy\" is for protocol: http only");
            return None;
        }
        Some(Self { endpoint, protocol, form, batch })
    }

    fn build(&self, host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> {
        Ok(Box::new(OtlpSink::open(self, host)?))
    }
}

/// The sink.
pub struct OtlpSink {
    config: Config,
    host: Host,
    way: Way,
    batch: Batch,
    /// Entries that went into a call of which the receiver rejected some, oldest call first.
    owed: VecDeque<String>,
}

enum Way {
    Http(Client),
    Grpc(Box<Grpc>),
}

impl Way {
    fn open(config: &Config) -> Result<Self, OpenError> {
        Ok(match config.protocol {
            Protocol::Http => Self::Http(Client::open(&config.endpoint, "/v1/logs")?),
            Protocol::Grpc => Self::Grpc(Box::new(Grpc::open(&config.endpoint)?)),
        })
    }
}

/// What one call came to.
enum Taken {
    All,
    /// So many were rejected for good; the receiver does not say which.
    But(usize, String),
}

impl OtlpSink {
    /// Reads credentials and certificates.
    ///
    /// # Errors
    /// Those that cannot be used.
    pub fn open(config: &Config, host: &Host) -> Result<Self, OpenError> {
        Ok(Self {
            way: Way::open(config)?,
            config: config.clone(),
            host: host.clone(),
            batch: Batch::default(),
            owed: VecDeque::new(),
        })
    }
}

fn call(way: &mut Way, host: &Host, form: Form, items: &[Item]) -> Result<Taken, Refused> {
    let request = encode::request(host, form, items);
    let response = match way {
        Way::Http(client) => {
            let answer = client.post("application/x-protobuf", &[], &request.encode_to_vec())?;
            judge(&answer, || client.told(&answer))?;
            // A receiver that took them need not say so in good protobuf.
            ExportLogsServiceResponse::decode(answer.body.as_slice()).unwrap_or_default()
        }
        Way::Grpc(grpc) => grpc.export(request)?,
    };
    Ok(taken(response.partial_success, items.len()))
}

fn taken(partial: Option<ExportLogsPartialSuccess>, sent: usize) -> Taken {
    match partial {
        Some(partial) if partial.rejected_log_records > 0 => {
            let rejected = usize::try_from(partial.rejected_log_records).unwrap_or(usize::MAX).min(sent);
            let said = cleaned(&partial.error_message, &[]);
            Taken::But(rejected, format!("the receiver rejected {rejected} of {sent} records of one call: {said}"))
        }
        _ => Taken::All,
    }
}

/// OTLP/HTTP: 429, 502, 503 and 504 are tried again, and no other status that speaks of the request.
fn judge(answer: &Answer, told: impl FnOnce() -> String) -> Result<(), Refused> {
    match answer.status {
        500 | 501 | 404 | 405 => Err(Refused::ForGood { why: told() }),
        505..=599 => Err(Refused::ForGood { why: told() }),
        _ => super::http::judge(answer, told),
    }
}

impl Sink for OtlpSink {
    fn batch(&self) -> usize {
        self.config.batch
    }

    /// Of a call that was taken in part, as many entries as were rejected are refused for good, one in each of the next
    /// calls: the specification forbids to send them again, and which they are is not told.
    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        if let Some(why) = self.owed.pop_front() {
            return Err(Refused::ForGood { why });
        }
        let (way, host, form) = (&mut self.way, &self.host, self.config.form);
        let mut rejected = None;
        let taken = self.batch.send(items, |some| match call(way, host, form, some)? {
            Taken::All => Ok(()),
            Taken::But(number, why) => {
                rejected = Some((number, why));
                Ok(())
            }
        })?;
        let Some((number, why)) = rejected else { return Ok(taken) };
        self.owed = std::iter::repeat_n(why, number).collect();
        match taken - number {
            0 => Err(Refused::ForGood { why: self.owed.pop_front().unwrap_or_default() }),
            some => Ok(some),
        }
    }

    fn reopen(&mut self) {
        // Credentials may have been renewed; with broken ones it goes on as before, and the receiver says so.
        if let Ok(way) = Way::open(&self.config) {
            self.way = way;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_says_which_statuses_are_tried_again() {
        let answer = |status| Answer { status, after: None, body: Vec::new() };
        for status in [401, 429, 502, 503, 504] {
            assert!(matches!(judge(&answer(status), String::new), Err(Refused::Later { .. })), "{status}");
        }
        for status in [400, 403, 404, 413, 500, 501, 505] {
            assert!(matches!(judge(&answer(status), String::new), Err(Refused::ForGood { .. })), "{status}");
        }
    }

    #[test]
    fn what_was_rejected_is_counted_and_never_more_than_was_sent() {
        let partial = |rejected_log_records| {
            Some(ExportLogsPartialSuccess { rejected_log_records, error_message: "too\nold".to_owned() })
        };
        assert!(matches!(taken(None, 3), Taken::All));
        assert!(matches!(taken(partial(0), 3), Taken::All), "a warning");
        let Taken::But(2, why) = taken(partial(2), 3) else { unreachable!() };
        assert!(why.contains("2 of 3") && !why.contains('\n'), "{why}");
        assert!(matches!(taken(partial(99), 3), Taken::But(3, _)));
    }
}
