//! A web server on loopback for what programs under test send to: it keeps what is posted, and serves one text.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// The longest body that is taken, in bytes.
const LONGEST: usize = 16 << 20;

/// What was posted: the path, and the body.
#[derive(Clone, Debug)]
pub struct Posted {
    /// As in the request's first line.
    pub path: String,
    /// Whole.
    pub body: String,
}

/// Runs until the test program ends.
pub struct Receiver {
    /// Where it listens.
    pub port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Receiver {
    /// Starts it. `page` is the answer to every GET, of this type.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(kind: &'static str, page: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (kept, page) = (Arc::clone(&posted), Arc::new(page));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, page) = (Arc::clone(&kept), Arc::clone(&page));
                // A sender that stops half way holds up nobody else.
                thread::spawn(move || serve(&stream, kind, &page, &kept));
            }
        });
        Self { port, posted }
    }

    /// All that was posted so far.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request, one answer. `None` when the sender went away or sent something else than HTTP.
fn serve(stream: &TcpStream, kind: &str, page: &str, kept: &Mutex<Vec<Posted>>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = String::new();
    reader.take(length.min(LONGEST) as u64).read_to_string(&mut body).ok()?;
    let answer = if method == "POST" {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(Posted { path, body });
        ""
    } else {
        page
    };
    let mut stream = stream;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(answer.as_bytes()).ok()
}
