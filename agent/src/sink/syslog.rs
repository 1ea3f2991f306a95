//! Syslog (RFC 5424): over a unix datagram socket, TCP or TLS (RFC 5425), the latter two framed by octet counts
//! (RFC 6587 section 3.4.1).
//!
//! Syslog has no answers. What a receiver had not read when it died is gone, although this side could write it. So the
//! last messages of a connection that broke are sent again over the next one, also by the next agent: twice is repaired by
//! the receiver, by `uid`; not at all is not.

pub mod encode;
pub mod wire;

use std::{
    collections::VecDeque,
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use self::{
    encode::{Facility, Form, Head},
    wire::{Target, Wire},
};
use super::{
    Item, Refused, Sink,
    config::Type,
    keys::{TIMEOUT, absolute, duration, number},
    tls::{Tls, TlsError},
};
use crate::{
    finding::ocsf::Host,
    yaml::fields::{Fields, FromNode, Reading, words},
};

/// Most messages that are kept to be sent again.
const TAIL_MESSAGES: usize = 256;

/// Most bytes that are kept to be sent again.
const TAIL_BYTES: usize = 1 << 20;

/// How long a message is kept to be sent again: a receiver that has not read it by then has stood still for long.
const TAIL_AGE: Duration = Duration::from_secs(5 * 60);

/// How often it is looked whether a connection still is one, while there is something to be sent again.
const LOOK: Duration = Duration::from_secs(2);

/// Smallest limit of a message, in bytes: structured data takes up to 2 KiB.
const MIN_BYTES: u64 = 2048;

words! {
    /// The way to the receiver.
    pub enum Transport {
        /// A unix datagram socket.
        Unix = "unix",
        /// TCP, readable on the way.
        Tcp = "tcp",
        /// TLS.
        Tls = "tls",
    }
}

/// Its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    target: Target,
    facility: Facility,
    app_name: String,
    enterprise: u64,
    form: Form,
    max_bytes: usize,
    timeout: Duration,
}

impl Type for Config {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let transport: Transport = fields.optional("transport", reading).unwrap_or(Transport::Unix);
        let target = target(transport, fields, reading);
        let facility = fields.optional("facility", reading).unwrap_or(Facility::Authpriv);
        let app_name = app_name(fields, reading);
        let enterprise = number("enterprise_number", encode::DOCUMENTATION, (1, u64::from(u32::MAX)), fields, reading);
        let form = fields.optional("format", reading).unwrap_or(Form::Text);
        // RFC 5425 section 4.3.1: a receiver must take 2048 octets and should take 8192.
        let max_bytes = number("max_bytes", 8192, (MIN_BYTES, 65_507), fields, reading) as usize;
        let timeout = duration("timeout", TIMEOUT, ("1s", "5m"), fields, reading);
        Some(Self { target: target?, facility, app_name, enterprise, form, max_bytes, timeout })
    }

    fn build(&self, host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> {
        Ok(Box::new(SyslogSink::open(self, host)?))
    }
}

fn target(transport: Transport, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Target> {
    if transport == Transport::Unix {
        let path = absolute("socket", fields, reading);
        return Some(Target::Unix(path.unwrap_or_else(|| PathBuf::from("/dev/log"))));
    }
    let place = fields.node("address").map_or(fields.place(), |node| node.place);
    let address: Option<String> = fields.required("address", reading);
    let tls = (transport == Transport::Tls).then(|| {
        let name: Option<String> = fields.optional("server_name", reading);
        (Tls::read(fields, reading), name)
    });
    let address = address?;
    let Some((host, port)) = host_port(&address) else {
        reading.error(place, format!("\"{address}\" is no HOST:PORT, such as logs.example.org:6514"));
        return None;
    };
    Some(match tls {
        None => Target::Tcp { host, port },
        Some((tls, name)) => Target::Tls { name: name.unwrap_or_else(|| host.clone()), host, port, tls },
    })
}

fn host_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let fits = !host.is_empty() && (bare.is_some() || !host.contains(':')) && !host.contains(['/', '@', ' ']);
    fits.then_some((host.to_owned(), port.parse().ok()?))
}

fn app_name(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> String {
    let usual = || "tokenhound".to_owned();
    let Some(node) = fields.node("app_name") else { return usual() };
    let Some(name) = String::from_node(node, reading) else { return usual() };
    if (1..=48).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return name;
    }
    reading.error(node.place, "\"app_name\" is 1 to 48 visible ASCII characters without spaces (RFC 5424)");
    usual()
}

/// The sink.
pub struct SyslogSink {
    config: Config,
    head: Head,
    connector: wire::Connector,
    wire: Option<Wire>,
    /// What was written last, to be sent again if the connection breaks.
    tail: VecDeque<Written>,
    tail_bytes: usize,
    /// How many of `tail`, from the front, must be sent again.
    again: usize,
}

/// A message that was written.
struct Written {
    at: Instant,
    /// Position in the outbox.
    id: i64,
    message: Vec<u8>,
}

impl SyslogSink {
    /// Reads certificates; connects with the first delivery.
    ///
    /// # Errors
    /// Certificates or a key that cannot be used.
    pub fn open(config: &Config, host: &Host) -> Result<Self, TlsError> {
        Ok(Self {
            connector: wire::Connector::new(&config.target)?,
            head: Head {
                facility: config.facility,
                hostname: host.hostname.clone(),
                app_name: config.app_name.clone(),
                enterprise: config.enterprise,
            },
            config: config.clone(),
            wire: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            again: 0,
        })
    }

    /// A connection that is alive, with what the last one may have lost sent again.
    fn connected(&mut self) -> Result<Wire, wire::WireError> {
        let last = self.wire.take();
        let broken = last.is_some();
        let wire = match last.and_then(|mut wire| wire.is_alive().then_some(wire)) {
            Some(wire) => wire,
            None => {
                if broken {
                    self.again = self.tail.len();
                }
                self.connector.connect(self.config.timeout)?
            }
        };
        // A connection that breaks meanwhile may have lost all of them.
        self.repeat(wire).inspect_err(|_| self.again = self.tail.len())
    }

    fn repeat(&mut self, mut wire: Wire) -> Result<Wire, wire::WireError> {
        self.forget();
        while self.again > 0 {
            let written = &self.tail[self.tail.len() - self.again];
            wire.write(&written.message, self.config.timeout)?;
            self.again -= 1;
        }
        Ok(wire)
    }

    fn keep(&mut self, id: i64, message: Vec<u8>) {
        self.tail_bytes += message.len();
        self.tail.push_back(Written { at: Instant::now(), id, message });
        self.forget();
    }

    /// Lets go of what is too much or too old to be sent again.
    fn forget(&mut self) {
        while self.tail.len() > TAIL_MESSAGES
            || self.tail_bytes > TAIL_BYTES
            || self.tail.front().is_some_and(|written| written.at.elapsed() >= TAIL_AGE)
        {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.message.len();
        }
        self.again = self.again.min(self.tail.len());
    }

    fn write(&mut self, item: &Item) -> Result<(), wire::WireError> {
        let message = encode::message(&self.head, self.config.form, self.config.max_bytes, item);
        let mut wire = self.connected()?;
        match wire.write(&message, self.config.timeout) {
            Ok(()) => {
                self.wire = Some(wire);
                self.keep(item.id, message);
                Ok(())
            }
            Err(error) if wire.survives(&error) => {
                self.wire = Some(wire);
                Err(error)
            }
            Err(error) => {
                self.again = self.tail.len();
                Err(error)
            }
        }
    }
}

impl Sink for SyslogSink {
    fn batch(&self) -> usize {
        64
    }

    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        let start = Instant::now();
        let mut taken = 0;
        for item in items {
            match self.write(item) {
                Ok(()) => taken += 1,
                Err(error) if taken == 0 => return Err(refused(&self.config.target, &error)),
                Err(_) => break,
            }
            // Each write has its own time limit; together they keep to one of the kind.
            if start.elapsed() > self.config.timeout {
                break;
            }
        }
        Ok(taken)
    }

    fn unsure(&self) -> Option<i64> {
        self.tail.front().map(|oldest| oldest.id - 1)
    }

    /// A connection that broke after the last finding is noticed here and not with the next one.
    fn idle(&mut self) -> Option<Duration> {
        self.forget();
        if self.tail.is_empty() {
            return None;
        }
        // Where nobody answers, it is tried again.
        self.wire = self.connected().ok();
        Some(LOOK)
    }

    fn reopen(&mut self) {
        // Certificates may have been renewed. With broken ones it goes on as before, and the receiver says so.
        if let Ok(connector) = wire::Connector::new(&self.config.target) {
            self.connector = connector;
        }
        // Closed in order: what was written goes out before it.
        self.wire = None;
    }
}

fn refused(target: &Target, error: &wire::WireError) -> Refused {
    let why = format!("syslog to {target}: {error}");
    match error {
        wire::WireError::TooLong => Refused::ForGood { why },
        _ => Refused::Later { why, after: None },
    }
}
