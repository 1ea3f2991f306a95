//! Stands in on loopback for the services that tools ask when somebody logs in: a registry of images, one of crates, and
//! GitHub's API. It takes every token.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Longest head and body of a request that is read, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// Starts one, which ends with the test program; says its port.
///
/// # Panics
/// When there is no port.
#[must_use]
pub fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, port));
        }
    });
    port
}

/// Answers one request and closes. Who speaks TLS gets nonsense and tries again without.
fn answer(stream: TcpStream, port: u16) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?.take(MAX_REQUEST));
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    let body = if first.contains("config.json") {
        format!(r#"{{"dl":"http://127.0.0.1:{port}/dl","api":"http://127.0.0.1:{port}"}}"#)
    } else {
        r#"{"login":"ann","data":{"viewer":{"login":"ann"}}}"#.to_owned()
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Oauth-Scopes: repo, read:org, gist";
    write!(&stream, "{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
}
