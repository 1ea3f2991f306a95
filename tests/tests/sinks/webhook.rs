//! Webhooks over TLS with certificates on both sides, signed; PagerDuty's bodies over plain HTTP.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::Value;
use tokenhound_tests::{process, skip};

use crate::{
    certificates::Certificates,
    courier::{Courier, first},
    web::{Act, Taken, Web},
};

const COUNT: usize = 40;

/// What may happen to a call, each followed by one that is taken.
const TROUBLE: [Act; 12] = [
    Act::Answer(503, ""),
    Act::Answer(200, ""),
    Act::Answer(429, "Retry-After: 0\r\n"),
    Act::Answer(500, ""),
    Act::Answer(200, ""),
    Act::Stall,
    Act::Answer(302, "Location: https://elsewhere.invalid/\r\n"),
    Act::Answer(401, ""),
    Act::Answer(200, ""),
    Act::Cut,
    Act::Answer(404, ""),
    Act::Answer(408, ""),
];

/// A server that takes only clients of our authority.
pub(crate) fn tls(certificates: &Certificates) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.path("ca.pem")).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificates.path("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap())
}

pub(crate) fn uids(taken: &[Taken]) -> Vec<String> {
    let body = |one: &Taken| serde_json::from_slice::<Value>(&one.body).unwrap();
    let objects = taken.iter().flat_map(|one| match body(one) {
        Value::Array(all) => all,
        one => vec![one],
    });
    objects.map(|object| object["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_webhook_gets_everything_through_all_trouble() {
    if !skip::native("programs on loopback do not depend on the kernel") || !skip::has(&["openssl"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path());
    let key = certificates.path("hmac");
    fs::write(&key, "made-up-hmac-key\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let web = Web::start(Some(tls(&certificates)));
    web.then(TROUBLE);
    let [ca, certificate, client] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
    let sink = format!(
        "type: webhook, url: 'https://localhost:{}/in', ca: {}, certificate: {}, key_file: {}, hmac_key_file: {}, \
         batch: 3, timeout: 1s",
        web.port,
        ca.display(),
        certificate.display(),
        client.display(),
        key.display()
    );
    let mut courier = Courier::start(directory.path(), &sink, COUNT, "finding");
    courier.until("trouble with a receiver", || (web.left() == 0).then_some(()));
    web.stop();
    courier.kill();
    web.restart();
    courier.done();
    let taken = web.taken();
    assert_eq!(first(&uids(&taken)), courier.uids().into_iter().collect::<Vec<_>>(), "{}", courier.said());
    assert!(!courier.said().contains("aside"), "{}", courier.said());
    assert!(web.calls() >= COUNT / 3 + TROUBLE.len() - 3, "{} calls", web.calls());
    taken.iter().for_each(|one| signed(one, "made-up-hmac-key"));
}

/// The signature is what openssl makes of time and body.
fn signed(one: &Taken, key: &str) {
    let header = |name: &str| {
        let line = one.head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {}", one.head)).split_once(": ").unwrap().1.to_owned()
    };
    let text = [b"v1:", header("x-tokenhound-timestamp").as_bytes(), b":", &one.body].concat();
    let said = process::run(Command::new("openssl").args(["dgst", "-sha256", "-hmac", key]), &text).out();
    assert_eq!(format!("v1={}", said.trim().rsplit(' ').next().unwrap()), header("x-tokenhound-signature"));
}

#[test]
fn what_a_receiver_refuses_for_good_is_set_aside_alone() {
    if !skip::native("programs on loopback do not depend on the kernel") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let web = Web::start(None);
    // The call of five, then its first alone; the second alone is the one that is minded.
    web.then([Act::Answer(413, ""), Act::Answer(200, ""), Act::Answer(422, "")]);
    let sink = format!("type: webhook, url: 'http://127.0.0.1:{}', batch: 5", web.port);
    let mut courier = Courier::start(directory.path(), &sink, 10, "finding");
    courier.done();
    let (said, mut wanted) = (courier.said(), courier.uids());
    assert!(said.contains("aside f-000002: http://127.0.0.1") && said.matches("aside").count() == 1, "{said}");
    assert!(wanted.remove("f-000002"));
    assert_eq!(uids(&web.taken()), wanted.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_server_of_another_authority_gets_nothing() {
    if !skip::native("programs on loopback do not depend on the kernel") || !skip::has(&["openssl"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path());
    let web = Web::start(Some(tls(&certificates)));
    // The machine's own authorities do not know ours.
    let sink = format!("type: webhook, url: 'https://localhost:{}/in', timeout: 2s", web.port);
    let mut courier = Courier::start(directory.path(), &sink, 1, "finding");
    let said = directory.path().join("said");
    // On a busy machine a call may have no time left before it comes to that.
    let refused = |line: &str| line.starts_with("later:") && line.to_ascii_lowercase().contains("certificate");
    courier.until("refusal", || fs::read_to_string(&said).ok()?.lines().any(refused).then_some(()));
    assert_eq!(web.calls(), 0);
}
