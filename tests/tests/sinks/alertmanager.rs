//! The real Alertmanager.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use tokenhound_tests::{
    http,
    process::{Background, run},
    skip,
};

use crate::courier::Courier;

fn start(directory: &Path, port: u16) -> Background {
    let config = "route: {receiver: nobody, group_by: ['...']}\nreceivers: [{name: nobody}]\n";
    fs::write(directory.join("alertmanager.yml"), config).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.arg("--config.file=alertmanager.yml").arg("--storage.path=data").arg("--cluster.listen-address=");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(directory);
    Background::start(&mut command)
}

fn alerts(port: u16) -> Vec<Value> {
    http::get(port, "/api/v2/alerts").and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
}

fn uids(alerts: &[Value]) -> BTreeSet<String> {
    alerts.iter().map(|alert| alert["labels"]["uid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn alertmanager_knows_every_incident() {
    if !skip::native("programs on loopback do not depend on the kernel")
        || !skip::has(&["prometheus-alertmanager", "amtool"])
    {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let port = http::free_port();
    let sink = format!("type: alertmanager, url: 'http://127.0.0.1:{port}', hold: 1h, timeout: 5s");
    // It starts before its receiver does, and is killed while that is not there.
    let mut courier = Courier::start(directory.path(), &sink, 200, "incident");
    let said = directory.path().join("said");
    courier.until("refusal", || fs::read_to_string(&said).ok()?.contains("later: post to").then_some(()));
    courier.kill();
    let mut alertmanager = start(directory.path(), port);
    courier.done();
    let wanted = courier.uids();
    let known = alertmanager.until("alerts", || Some(alerts(port)).filter(|known| known.len() >= wanted.len()));
    assert_eq!((known.len(), uids(&known)), (wanted.len(), wanted), "{}", courier.said());
    assert!(!courier.said().contains("aside"), "{}", courier.said());
    let mut amtool = Command::new("amtool");
    amtool.arg(format!("--alertmanager.url=http://127.0.0.1:{port}"));
    amtool.args(["alert", "query", "alertname=TokenhoundIncident", "severity=high", "uid=i-000123", "--output=json"]);
    let ended = run(&mut amtool, b"");
    let found: Value = serde_json::from_str(&ended.out()).unwrap_or_else(|_| panic!("{}{}", ended.out(), ended.err()));
    assert_eq!(found[0]["annotations"]["what_to_do"], "gh auth logout", "{found}");
    assert_eq!(found[0]["status"]["state"], "active");
    assert_eq!(found[0]["labels"]["store"], "gh-hosts");
}
