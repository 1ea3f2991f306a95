//! The protocol sinks: what their configuration may say, and that no credential gets out but to its receiver.

use std::{
    fs::{Permissions, set_permissions, write},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread::{self, JoinHandle},
};

use super::{
    Refused, build,
    config::{SinkConfig, SinkConfigs, Take},
    samples,
};
use crate::{
    finding::ocsf::Host,
    yaml::{
        self, Problems,
        fields::{FromNode as _, Reading},
    },
};

fn parse(text: &str) -> Result<Vec<SinkConfig>, String> {
    let file = Path::new("tokenhound.yaml");
    let node = yaml::parse(file, text).map_err(|problems| problems.to_string())?;
    let mut problems = Problems::new();
    let sinks = SinkConfigs::from_node(&node, &mut Reading { file, problems: &mut problems });
    if problems.has_errors() { Err(problems.to_string()) } else { Ok(sinks.unwrap_or_default().0) }
}

#[test]
fn everything_that_can_be_configured_is_read() {
    let text = "
- {name: a, type: syslog}
- {name: b, type: syslog, transport: tcp, address: 'logs:601', facility: local4, app_name: th, format: ocsf, max_bytes: 65000}
- {name: c, type: syslog, transport: tls, address: '[::1]:6514', server_name: logs.example.org, ca: /c, certificate: /d,
   key_file: /k, enterprise_number: 4711, timeout: 5s}
- {name: d, type: webhook, url: 'https://soc.example.org/in', batch: 50, hmac_key_file: /h, token_credential: t, token_header: X-Key}
- {name: e, type: webhook, format: slack, url_credential: slack, proxy: 'http://proxy:3128'}
- {name: f, type: webhook, format: pagerduty, routing_key_file: /r}
- {name: g, type: alertmanager, url: 'http://127.0.0.1:9093', hold: 30m}
- {name: h, type: otlp, url: 'https://collector:4318', batch: 100, body: json}
- {name: i, type: otlp, protocol: grpc, url: 'http://collector:4317', allow_plaintext: true}
";
    let sinks = parse(text).unwrap();
    let incidents: Vec<&str> =
        sinks.iter().filter(|sink| sink.take == Take::Incidents).map(|sink| sink.name.as_str()).collect();
    assert_eq!((sinks.len(), incidents), (9, vec!["e", "f", "g"]));
}

#[test]
fn every_mistake_is_named_with_its_line_and_what_would_be_right() {
    for (text, says) in [
        ("type: syslog, transport: tcp", "\"address\" is missing"),
        ("type: syslog, transport: tcp, address: logs", "HOST:PORT"),
        ("type: syslog, address: 'logs:601'", "unknown key \"address\""),
        ("type: syslog, facility: kern", "unknown word \"kern\""),
        ("type: syslog, app_name: 'a b'", "app_name"),
        ("type: syslog, max_bytes: 100", "between 2048 and 65507"),
        ("type: syslog, transport: tls, address: 'l:1', certificate: /c", "belong together"),
        ("type: webhook", "\"url\" is missing"),
        ("type: webhook, url: 'http://soc.example.org'", "allow_plaintext"),
        ("type: webhook, url: 'https://kim:s3cr3t@soc.example.org'", "do not belong"),
        ("type: webhook, url: 'ftp://soc'", "https://"),
        ("type: webhook, url: 'https://soc', url_file: /f", "exclude each other"),
        ("type: webhook, url: 'https://soc', hmac_key: x", "unknown key \"hmac_key\""),
        ("type: webhook, url: 'https://soc', hmac_key_file: x", "absolute"),
        ("type: webhook, url: 'https://soc', token_file: /t, token_credential: t", "exclude each other"),
        ("type: webhook, url: 'https://soc', token_credential: ../t", "no name of a credential"),
        ("type: webhook, url: 'https://soc', token_header: X", "needs \"token_file\""),
        ("type: webhook, url: 'https://soc', timeout: 2h", "between 1s and 5m"),
        ("type: webhook, url: 'https://soc', batch: 0", "between 1 and 100"),
        ("type: webhook, format: slack, url: 'https://hooks.slack.com/services/x'", "keep it in a file"),
        ("type: webhook, format: pagerduty", "routing_key_file"),
        ("type: alertmanager, url: 'http://am:9093'", "allow_plaintext"),
        ("type: otlp, protocol: grpc, url: 'https://c:4317', proxy: 'http://p:1'", "protocol: http only"),
    ] {
        let said = parse(&format!("- {{name: a, type: stdout}}\n- {{name: b, {text}}}\n")).unwrap_err();
        assert!(said.contains("tokenhound.yaml:2:") && said.contains(says), "{text} says:\n{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
    }
}

/// What a careless receiver does: it answers with everything that it was sent.
fn echo(times: usize) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let mut all = Vec::new();
        for _ in 0..times {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut seen, mut length) = (String::new(), 0);
            loop {
                let start = seen.len();
                stream.read_line(&mut seen).unwrap();
                let line = seen[start..].to_ascii_lowercase();
                if let Some(text) = line.strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            seen.push_str(&String::from_utf8_lossy(&body));
            // The head alone fills what is told of an answer; the end comes first, where the secrets are.
            let answer = seen.lines().rev().map(|line| line.chars().rev().take(150).collect::<String>());
            let answer = answer.map(|line| line.chars().rev().collect::<String>()).collect::<Vec<_>>().join(" ");
            let head = format!("HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
            all.push(seen);
        }
        all
    });
    (port, thread)
}

#[test]
fn a_credential_goes_to_its_receiver_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = directory.path().join(name);
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    const MADE_UP: [&str; 3] = ["made-up-token-4711", "made-up-routing-4712", "made-up-path-4713"];
    let (port, thread) = echo(4);
    let token = secret("token", MADE_UP[0]);
    let routing = secret("routing", MADE_UP[1]);
    let url = secret("url", &format!("http://127.0.0.1:{port}/services/{}", MADE_UP[2]));
    let text = format!(
        "- {{name: a, type: webhook, url: 'http://127.0.0.1:{port}/in', token_file: {token}}}\n\
         - {{name: b, type: webhook, format: pagerduty, url: 'http://127.0.0.1:{port}', routing_key_file: {routing}}}\n\
         - {{name: c, type: webhook, format: slack, url_file: {url}}}\n\
         - {{name: d, type: otlp, url: 'http://127.0.0.1:{port}', token_file: {token}, token_header: x-key}}\n"
    );
    let sinks = parse(&text).unwrap();
    assert!(MADE_UP.iter().all(|secret| !format!("{sinks:?}").contains(secret)));
    for config in &sinks {
        let mut sink = build(config, &Host::default()).unwrap();
        let refused = sink.deliver(&[samples::incident(1, false)]).unwrap_err();
        let Refused::ForGood { why } = &refused else { unreachable!("{refused:?}") };
        assert!(why.contains("answered 400"), "{why}");
        assert!(MADE_UP.iter().all(|secret| !why.contains(secret)), "{}: {why}", config.name);
    }
    let seen = thread.join().unwrap();
    for (request, secret) in seen.iter().zip([MADE_UP[0], MADE_UP[1], MADE_UP[2], MADE_UP[0]]) {
        assert!(request.contains(secret), "{secret} did not reach its receiver");
    }
    assert!(seen[0].to_ascii_lowercase().contains("authorization: bearer made-up"), "{}", seen[0]);
}

#[test]
fn a_credential_that_is_not_there_is_told_when_the_sink_is_made() {
    let sinks = parse("- {name: b, type: webhook, url: 'https://soc', token_file: /nowhere/token}\n").unwrap();
    let error = build(&sinks[0], &Host::default()).err().unwrap().to_string();
    assert!(error.contains("sink \"b\"") && error.contains("/nowhere/token"), "{error}");
}
