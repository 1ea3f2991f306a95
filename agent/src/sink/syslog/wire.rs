//! Connections to a syslog receiver. Every call ends within its time limit.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::sockopt;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::sink::tls::{Tls, TlsError};

/// How long what was written may stay without an answer of the other machine's TCP before the connection is given up.
const UNANSWERED: Duration = Duration::from_secs(30);

/// Most bytes that a receiver, which has nothing to say, may have said between two writes.
const MAX_SAID: usize = 64 << 10;

/// Where the receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A datagram socket.
    Unix(PathBuf),
    /// TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// TLS.
    Tls {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// The name its certificate must have.
        name: String,
        /// Certificates.
        tls: Tls,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "{}", path.display()),
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
            Self::Tls { host, port, .. } => write!(out, "{host}:{port} (TLS)"),
        }
    }
}

/// What went wrong on the way.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Connecting.
    #[error("connect: {0}")]
    Connect(io::Error),
    /// The handshake of TLS.
    #[error("agree on TLS: {0}")]
    Handshake(io::Error),
    /// Writing.
    #[error("write: {0}")]
    Write(io::Error),
    /// The socket takes no message of this size.
    #[error("the socket takes no message of this size; lower max_bytes")]
    TooLong,
}

/// Makes connections.
pub enum Connector {
    /// Datagrams.
    Unix(PathBuf),
    /// TCP, with TLS if there is a configuration for it.
    Stream {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS.
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    },
}

impl Connector {
    /// Reads certificates.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn new(target: &Target) -> Result<Self, TlsError> {
        Ok(match target {
            Target::Unix(path) => Self::Unix(path.clone()),
            Target::Tcp { host, port } => Self::Stream { host: host.clone(), port: *port, tls: None },
            Target::Tls { host, port, name, tls } => {
                let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))?;
                Self::Stream { host: host.clone(), port: *port, tls: Some((tls.load()?.client()?, name)) }
            }
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody answers in time, or the certificate is not the one it should be.
    pub fn connect(&self, limit: Duration) -> Result<Wire, WireError> {
        match self {
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound().map_err(WireError::Connect)?;
                socket.connect(path).map_err(WireError::Connect)?;
                Ok(Wire::Unix(socket))
            }
            Self::Stream { host, port, tls } => {
                let end = Instant::now() + limit;
                let stream = Timed { stream: dial(host, *port, end).map_err(WireError::Connect)?, end };
                match tls {
                    None => Ok(Wire::Tcp(stream)),
                    Some((config, name)) => shake(stream, config, name).map_err(WireError::Handshake),
                }
            }
        }
    }
}

/// The first address that answers.
fn dial(host: &str, port: u16, end: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = remaining(end)?;
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                sockopt::set_socket_keepalive(&stream, true)?;
                sockopt::set_tcp_user_timeout(&stream, UNANSWERED.as_millis() as u32)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn shake(mut stream: Timed, config: &Arc<ClientConfig>, name: &ServerName<'static>) -> io::Result<Wire> {
    let mut session = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(Wire::Tls(Box::new((session, stream))))
}

fn remaining(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A stream whose calls end at a point in time.
pub struct Timed {
    stream: TcpStream,
    end: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(remaining(self.end)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(remaining(self.end)?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection.
pub enum Wire {
    /// Datagrams: one a message.
    Unix(UnixDatagram),
    /// TCP.
    Tcp(Timed),
    /// TLS.
    Tls(Box<(ClientConnection, Timed)>),
}

impl Wire {
    /// Whether the other end is there, as far as this machine knows: it has neither closed nor reset the connection.
    /// Without looking, the first write after a close would succeed and be lost.
    pub fn is_alive(&mut self) -> bool {
        match self {
            // Each send says by itself whether somebody receives.
            Self::Unix(_) => true,
            Self::Tcp(stream) => listen(&mut stream.stream, &mut |_: &[u8]| Ok(())).is_ok(),
            Self::Tls(both) => {
                let (session, stream) = &mut **both;
                let heard = listen(&mut stream.stream, &mut |mut bytes: &[u8]| {
                    while !bytes.is_empty() {
                        session.read_tls(&mut bytes)?;
                        session.process_new_packets().map_err(io::Error::other)?;
                        // What it says is not listened to, but must not pile up.
                        let mut said = [0; 4096];
                        while matches!(session.reader().read(&mut said), Ok(some) if some > 0) {}
                    }
                    Ok(())
                });
                let closed = session.process_new_packets().map_or(true, |state| state.peer_has_closed());
                heard.is_ok() && !closed
            }
        }
    }

    /// Whether nothing is lost by that error: a datagram is taken whole or not at all.
    #[must_use]
    pub fn survives(&self, error: &WireError) -> bool {
        let full = |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        match (self, error) {
            (Self::Unix(_), WireError::TooLong) => true,
            (Self::Unix(_), WireError::Write(error)) => full(error),
            _ => false,
        }
    }

    /// Writes one message within `limit`.
    ///
    /// # Errors
    /// It was not written, or not whole; the connection is of no more use.
    pub fn write(&mut self, message: &[u8], limit: Duration) -> Result<(), WireError> {
        let end = Instant::now() + limit;
        match self {
            Self::Unix(socket) => {
                socket.set_write_timeout(Some(limit)).map_err(WireError::Write)?;
                match socket.send(message) {
                    Ok(_) => Ok(()),
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                        Err(WireError::TooLong)
                    }
                    Err(error) => Err(WireError::Write(error)),
                }
            }
            Self::Tcp(stream) => {
                stream.end = end;
                stream.write_all(&framed(message)).map_err(WireError::Write)
            }
            Self::Tls(both) => {
                let (session, stream) = &mut **both;
                stream.end = end;
                let mut tls = rustls::Stream::new(session, stream);
                tls.write_all(&framed(message)).and_then(|()| tls.flush()).map_err(WireError::Write)
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Tls(both) = self {
            let (session, stream) = &mut **both;
            // RFC 5425 section 4.4: say goodbye, but wait for nobody.
            session.send_close_notify();
            stream.end = Instant::now() + Duration::from_secs(1);
            let _ = session.write_tls(stream);
        }
    }
}

/// MSG-LEN SP SYSLOG-MSG (RFC 5425 section 4.3, RFC 6587 section 3.4.1).
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.extend_from_slice(message);
    frame
}

/// Takes in what has come, without waiting.
///
/// # Errors
/// The other end has closed, or says too much.
fn listen(stream: &mut TcpStream, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut said = 0;
    let mut buffer = [0; 4096];
    let heard = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(some) => {
                said += some;
                if said > MAX_SAID {
                    break Err(io::ErrorKind::InvalidData.into());
                }
                if let Err(error) = take(&buffer[..some]) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    stream.set_nonblocking(false)?;
    heard
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn connect(listener: &TcpListener) -> (Wire, TcpStream) {
        let address = listener.local_addr().unwrap();
        let target = Target::Tcp { host: address.ip().to_string(), port: address.port() };
        let wire = Connector::new(&target).unwrap().connect(LIMIT).unwrap();
        (wire, listener.accept().unwrap().0)
    }

    #[test]
    fn a_frame_counts_bytes() {
        assert_eq!(framed("<6>caf\u{e9}".as_bytes()), "8 <6>caf\u{e9}".as_bytes());
    }

    #[test]
    fn a_closed_end_is_noticed_before_the_next_write() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut wire, mut peer) = connect(&listener);
        assert!(wire.is_alive());
        wire.write(b"one", LIMIT).unwrap();
        let mut text = [0; 5];
        peer.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"3 one");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let end = Instant::now() + LIMIT;
        while wire.is_alive() {
            assert!(Instant::now() < end, "the close is never noticed");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_receiver_that_stands_still_costs_no_more_than_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut wire, _peer) = connect(&listener);
        let message = vec![b'x'; 32 << 20];
        let error = wire.write(&message, Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, WireError::Write(_)), "{error}");
    }

    #[test]
    fn nobody_at_a_socket_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let connector = Connector::new(&Target::Unix(path.clone())).unwrap();
        assert!(connector.connect(LIMIT).is_err());
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut wire = connector.connect(LIMIT).unwrap();
        wire.write(b"<6>1 one", LIMIT).unwrap();
        let mut text = [0; 64];
        let some = receiver.recv(&mut text).unwrap();
        assert_eq!(&text[..some], b"<6>1 one");
        // One that stands still takes so many, and the next one is not lost, only late.
        let late = (0..100_000).find_map(|_| wire.write(b"<6>1 two", Duration::from_millis(10)).err()).unwrap();
        assert!(wire.survives(&late), "{late}");
        drop(receiver);
        let gone = wire.write(b"<6>1 two", LIMIT).unwrap_err();
        assert!(!wire.survives(&gone), "{gone}");
    }
}
