//! The endpoint for metrics: to others than this machine over TLS and with a token only.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::{
    agent::{self, alone},
    http,
    process::{self, Background, run},
    stage::Stage,
};

const TOKEN: &str = "th-made-up-4711-for-the-metrics-page";

/// A certificate for `localhost` that vouches for itself, and its key.
fn certificate(stage: &Stage) -> (PathBuf, PathBuf) {
    let (certificate, key) = (stage.path("tls.crt"), stage.path("tls.key"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    make.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    let ended = run(make.arg("-keyout").arg(&key).arg("-out").arg(&certificate), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    (certificate, key)
}

/// Status and page, as curl has them.
fn ask(port: u16, page: &str, certificate: &Path, token: Option<&str>) -> (String, String) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "--noproxy", "*"]);
    curl.arg("--cacert").arg(certificate).arg(format!("https://localhost:{port}{page}"));
    if let Some(token) = token {
        curl.arg("--oauth2-bearer").arg(token);
    }
    let out = run(&mut curl, b"").out();
    let (page, status) = out.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), page.to_owned())
}

#[test]
fn over_tls_and_with_the_token() {
    let stage = Stage::new();
    let (certificate, key) = certificate(&stage);
    let token = stage.file("token", format!("{TOKEN}\n"));
    for secret in [&key, &token] {
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = format!(
        "listen_tls: {{certificate: {}, key_file: {}}}\nlisten_token_file: {}\n",
        certificate.display(),
        key.display(),
        token.display()
    );
    let config = stage.file("tokenhound.yaml", config);
    let (_one, port) = (alone(), http::free_port());
    let mut agent = Background::start(agent::command(&stage, port).arg("--config").arg(&config));
    agent.until("readiness", || (ask(port, "/readyz", &certificate, Some(TOKEN)).0 == "200").then_some(()));
    let (status, page) = ask(port, "/metrics", &certificate, Some(TOKEN));
    assert!(status == "200" && page.contains("tokenhound_build_info"), "{status}");
    for token in [None, Some("th-made-up-4711-for-another-page-123")] {
        for page in ["/metrics", "/readyz"] {
            let (status, text) = ask(port, page, &certificate, token);
            assert!(status == "401" && !text.contains("tokenhound_"), "{page} with {token:?}: {status}");
        }
    }
    assert_eq!(ask(port, "/healthz", &certificate, None).0, "200", "it says nothing but that the agent runs");
    assert!(http::get(port, "/healthz").is_none(), "plain HTTP is not spoken");
    let ended = agent.stop();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    for text in [ended.err(), ended.out()] {
        let line = text.lines().find(|line| line.contains("4711-for"));
        assert!(line.is_none(), "the token is in the log: {line:?}");
    }
}

#[test]
fn others_are_refused_without_both() {
    let stage = Stage::new();
    let mut plain = Command::new(process::tokenhound());
    plain.args(["run", "--listen", "0.0.0.0:0"]).arg("--state-dir").arg(stage.path("state"));
    let ended = process::run(&mut plain, b"");
    assert_eq!(ended.code(), 2, "{}", ended.err());
    assert!(ended.err().contains("listen_tls") && ended.err().contains("listen_token_file"), "{}", ended.err());
}
