//! A web server that does what it is told: takes, refuses, stands still, cuts off, goes away and comes back.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What to do with a request.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Answer with this status and these header lines.
    Answer(u16, &'static str),
    /// Say nothing until the other side has had enough.
    Stall,
    /// Hang up.
    Cut,
}

/// A request that was answered with 2xx.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Act>,
    taken: Vec<Taken>,
    calls: usize,
    open: Vec<TcpStream>,
    up: bool,
}

/// The server.
pub(crate) struct Web {
    pub(crate) port: u16,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<Mutex<State>>,
}

impl Web {
    /// Starts it.
    pub(crate) fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Self { port: listener.local_addr().unwrap().port(), tls, state: Arc::default() };
        web.serve(listener);
        web
    }

    fn serve(&self, listener: TcpListener) {
        let (state, tls) = (Arc::clone(&self.state), self.tls.clone());
        state.lock().unwrap().up = true;
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut known = state.lock().unwrap();
                if !known.up {
                    return;
                }
                known.open.push(stream.try_clone().unwrap());
                drop(known);
                let (state, tls) = (Arc::clone(&state), tls.clone());
                thread::spawn(move || {
                    // A client that goes away is none of our business.
                    let _ = match tls {
                        Some(tls) => ServerConnection::new(tls)
                            .map_err(io::Error::other)
                            .and_then(|session| talk(StreamOwned::new(session, stream), &state)),
                        None => talk(stream, &state),
                    };
                });
            }
        });
    }

    /// What comes next is done to the next requests; later ones are taken.
    pub(crate) fn then(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.lock().unwrap().script.extend(acts);
    }

    /// Goes away: connections break and new ones are refused.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.up = false;
        state.open.drain(..).for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
        drop(state);
        // Wakes the thread, which then drops the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }

    /// Comes back at the same place.
    pub(crate) fn restart(&self) {
        let deadline = std::time::Instant::now() + tokenhound_tests::process::patience();
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.port)) {
                Ok(listener) => break listener,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
        };
        self.serve(listener);
    }

    /// Everything it took.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Requests so far.
    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    /// What is still to be done to requests.
    pub(crate) fn left(&self) -> usize {
        self.state.lock().unwrap().script.len()
    }
}

fn talk(stream: impl Read + Write, state: &Mutex<State>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        stream.read_exact(&mut body)?;
        let mut known = state.lock().unwrap();
        known.calls += 1;
        let act = known.script.pop_front().unwrap_or(Act::Answer(200, ""));
        if matches!(act, Act::Answer(200..=299, _)) {
            known.taken.push(Taken { head, body });
        }
        drop(known);
        match act {
            Act::Answer(status, lines) => {
                write!(stream.get_mut(), "HTTP/1.1 {status} Said\r\n{lines}Content-Length: 0\r\n\r\n")?;
                stream.get_mut().flush()?;
            }
            Act::Stall => return io::copy(&mut stream, &mut io::sink()).map(drop),
            Act::Cut => return Ok(()),
        }
    }
}
