//! The real rsyslog over a unix socket, TCP and TLS.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};
use tokenhound_tests::{http, process::Background, skip};

use crate::{
    certificates::Certificates,
    courier::{Courier, first},
};

pub(crate) struct Rsyslog {
    directory: PathBuf,
    tcp: u16,
    pub(crate) tls: u16,
    process: Background,
}

/// Structured data, host, APP-NAME, MSGID, severity and message of each, in a line.
const CONFIG: &str = r#"
global(workDirectory="DIR" DefaultNetstreamDriverCAFile="DIR/ca.pem" DefaultNetstreamDriverCertFile="DIR/server.pem"
       DefaultNetstreamDriverKeyFile="DIR/server.key")
module(load="imuxsock" SysSock.Use="off")
module(load="imtcp" MaxSessions="64")
template(name="line" type="string" string="%structured-data% %hostname% %app-name% %msgid% %syslogseverity% %msg%\n")
input(type="imuxsock" Socket="DIR/log" UseSpecialParser="off" ParseHostname="on")
input(type="imtcp" Port="TCP" Address="127.0.0.1")
input(type="imtcp" Port="TLS" Address="127.0.0.1" StreamDriver.Name="gtls" StreamDriver.Mode="1"
      StreamDriver.AuthMode="x509/certvalid")
action(type="omfile" file="DIR/lines" template="line")
"#;

fn start(directory: &Path, tcp: u16, tls: u16) -> Background {
    let config = CONFIG.replace("DIR", &directory.display().to_string());
    let config = config.replace("TCP", &tcp.to_string()).replace("\"TLS\"", &format!("\"{tls}\""));
    fs::write(directory.join("rsyslog.conf"), config).unwrap();
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-iNONE").arg("-f").arg(directory.join("rsyslog.conf"));
    let mut process = Background::start(&mut command);
    let listens = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
    let socket = directory.join("log");
    let is_socket = || fs::metadata(&socket).is_ok_and(|metadata| metadata.file_type().is_socket());
    process.until("rsyslog's sockets", || (listens(tcp) && listens(tls) && is_socket()).then_some(()));
    process
}

impl Rsyslog {
    pub(crate) fn start(directory: &Path) -> Self {
        let (tcp, tls) = (http::free_port(), http::free_port());
        Self { directory: directory.to_owned(), tcp, tls, process: start(directory, tcp, tls) }
    }

    /// Stands still, or goes on.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.child), signal).unwrap();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        assert_eq!(self.process.stop().code(), 0);
    }

    /// Ends it at once, with all that it had not written yet.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Starts it again at the same places.
    pub(crate) fn restart(&mut self) {
        // A dead one leaves its socket behind.
        let _ = fs::remove_file(self.directory.join("log"));
        self.process = start(&self.directory, self.tcp, self.tls);
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read(self.directory.join("lines")).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    pub(crate) fn uids(&self) -> Vec<String> {
        let uid = |line: String| Some(line.split_once(" uid=\"")?.1.split_once('"')?.0.to_owned());
        self.lines().into_iter().filter_map(uid).collect()
    }
}

/// Hands over so many, through all that may happen to a receiver.
fn trouble(sink: impl Fn(&Rsyslog) -> String) {
    if !skip::native("programs on loopback do not depend on the kernel") || !skip::has(&["rsyslogd", "openssl"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    drop(Certificates::make(directory.path()));
    let mut rsyslog = Rsyslog::start(directory.path());
    let keys = format!("type: syslog, facility: local4, timeout: 2s, {}", sink(&rsyslog));
    let mut courier = Courier::start(directory.path(), &keys, 300, "finding");
    courier.until("first lines", || (rsyslog.uids().len() > 10).then_some(()));
    rsyslog.signal(Signal::STOP);
    courier.kill();
    let noted = courier.noted();
    rsyslog.signal(Signal::CONT);
    // What one life has noted the next one does not send again: it must be read before its reader ends.
    courier.until("lines of its last life", || (first(&rsyslog.uids()).len() >= noted).then_some(()));
    rsyslog.stop();
    rsyslog.restart();
    courier.done();
    let wanted = courier.uids();
    let known = || Some(first(&rsyslog.uids())).filter(|known| known.len() >= wanted.len());
    let known = courier.until("all lines", known);
    assert_eq!(known.into_iter().collect::<std::collections::BTreeSet<_>>(), wanted, "{}", courier.said());
    assert!(!courier.said().contains("aside"), "{}", courier.said());
    let lines = rsyslog.lines();
    let line = lines.iter().find(|line| line.contains("f-000007")).unwrap();
    assert!(
        line.starts_with("[tokenhound@32473 uid=\"f-000007\" kind=\"finding\" severity=\"high\" store=\"gh-hosts\"")
            && line.contains("] build-7 tokenhound unexpected-reader 3 "),
        "{line}"
    );
    assert!(line.contains("HIGH number 7: \"npm\" read gh-hosts, caf\u{e9}"), "{line}");
}

#[test]
fn a_unix_socket_takes_everything() {
    trouble(|rsyslog| format!("socket: {}", rsyslog.directory.join("log").display()));
}

#[test]
fn tcp_takes_everything() {
    trouble(|rsyslog| format!("transport: tcp, address: '127.0.0.1:{}'", rsyslog.tcp));
}

#[test]
fn tls_takes_everything() {
    trouble(|rsyslog| {
        let file = |name: &str| rsyslog.directory.join(name).display().to_string();
        format!(
            "transport: tls, address: 'localhost:{}', ca: {}, certificate: {}, key_file: {}",
            rsyslog.tls,
            file("ca.pem"),
            file("client.pem"),
            file("client.key")
        )
    });
}

/// What a receiver had taken in and not read when it was killed is sent again.
#[test]
fn what_a_receiver_had_not_read_when_it_died_comes_again() {
    if !skip::native("programs on loopback do not depend on the kernel") || !skip::has(&["rsyslogd", "openssl"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    drop(Certificates::make(directory.path()));
    let mut rsyslog = Rsyslog::start(directory.path());
    let keys = format!("type: syslog, transport: tcp, address: '127.0.0.1:{}', timeout: 2s", rsyslog.tcp);
    rsyslog.signal(Signal::STOP);
    // The kernel takes the connection and its bytes; the program sees none of them.
    let mut courier = Courier::start(directory.path(), &keys, 100, "finding");
    courier.done();
    rsyslog.kill();
    rsyslog.restart();
    let wanted = courier.uids();
    courier.until("all lines", || (first(&rsyslog.uids()).len() >= wanted.len()).then_some(()));
    assert_eq!(rsyslog.uids().into_iter().collect::<std::collections::BTreeSet<_>>(), wanted);
}
