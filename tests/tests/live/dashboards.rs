//! `dashboards/`: checked by the programs that it is for, and fed by a running agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tokenhound_tests::{
    agent::Agent,
    http, ocsf,
    process::{self, Background},
    receiver::Receiver,
    skip,
    stage::Stage,
    store::Store,
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

fn succeeds(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let ended = process::run(Command::new(program.as_ref()).args(arguments).current_dir(home()), b"");
    assert_eq!(ended.code(), 0, "{arguments:?}: {}{}", ended.out(), ended.err());
    ended.out()
}

#[test]
fn rules_fire_when_they_should_and_only_then() {
    if !skip::native("files of dashboards/ are not in a guest") || !skip::has(&["promtool"]) {
        return;
    }
    succeeds("promtool", &["check", "config", "prometheus/prometheus.yml"]);
    succeeds("promtool", &["test", "rules", "prometheus/rules.test.yml"]);
    let read = |name: &str| fs::read_to_string(home().join("prometheus").join(name)).unwrap();
    let (rules, tests) = (read("rules.yml"), read("rules.test.yml"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("{alert}, eval_time")), "{alert}: no case in which it is silent");
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}: no case in which it fires");
    }
}

#[test]
fn alerts_are_routed() {
    if !skip::native("files of dashboards/ are not in a guest") || !skip::has(&["amtool"]) {
        return;
    }
    let config = "alertmanager/alertmanager.yml";
    succeeds("amtool", &["check-config", config]);
    for (labels, receivers) in [
        ("alertname=TokenhoundCriticalFinding kind=finding severity=critical", "pager,soc"),
        ("alertname=TokenhoundHighFinding kind=finding severity=high", "soc"),
        ("alertname=TokenhoundIncident severity=critical host=a", "pager,soc"),
        ("alertname=TokenhoundIncident severity=medium host=a", "soc"),
        ("alertname=TokenhoundProbeSilent kind=sensor severity=high", "operations"),
        ("alertname=TokenhoundDown kind=sensor severity=critical", "operations"),
        ("alertname=OfSomethingElse severity=critical", "soc"),
    ] {
        let verify = format!("--verify.receivers={receivers}");
        let mut arguments = vec!["config", "routes", "test", "--config.file", config, &verify];
        arguments.extend(labels.split(' '));
        succeeds("amtool", &arguments);
    }
}

#[test]
fn dashboards_are_what_grafana_takes() {
    if !skip::native("files of dashboards/ are not in a guest") {
        return;
    }
    let Some(python) = ocsf::python() else {
        return skip::skip("Grafana's types are not here; no dashboard is checked");
    };
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/check.py");
    let check = check.to_str().unwrap();
    let out = succeeds(&python, &[check, "grafana/overview.json", "grafana/sensors.json", "grafana/tokens.json"]);
    assert!(out.contains("3 valid"), "{out}");
    let stage = Stage::new();
    let mut wrong: Value = serde_json::from_slice(&fs::read(home().join("grafana/tokens.json")).unwrap()).unwrap();
    wrong["panels"][1]["options"]["graphMode"] = json!("heap");
    let wrong = stage.file("wrong.json", wrong.to_string());
    let ended = process::run(Command::new(python).arg(check).arg(wrong), b"");
    assert_eq!(ended.code(), 1, "the checker refuses what is wrong: {}", ended.err());
}

#[test]
fn sigma_rules_match_what_they_should_and_only_that() {
    if !skip::native("files of dashboards/ are not in a guest") {
        return;
    }
    let Some(python) = ocsf::python() else { return skip::skip("pySigma is not here; no rule is checked") };
    // Those two validators ask the network; `check.py` holds the techniques against docs/standards.md.
    let arguments = ["check", "--fail-on-issues", "--exclude", "attacktag", "--exclude", "d3_fendtag", "sigma"];
    succeeds(python.with_file_name("sigma"), &arguments);
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("sigma/check.py");
    succeeds(&python, &[check.to_str().unwrap(), "sigma"]);
}

/// Prometheus with the shipped rules and Alertmanager with the shipped routes, fed by an agent.
struct Watch {
    prometheus: Background,
    alertmanager: Background,
    receiver: Receiver,
    /// Where the daemons listen.
    asks: u16,
    alerts: u16,
}

impl Watch {
    fn start(stage: &Stage, agent: &Agent<'_>) -> Self {
        let sample = fs::read_to_string(home().join("../tests/dashboards/metrics.txt")).unwrap();
        let receiver = Receiver::start(OPENMETRICS, sample);
        let (asks, alerts) = (http::free_port(), http::free_port());
        let shipped = |name: &str, changes: &[(&str, String)]| {
            let text = fs::read_to_string(home().join(name)).unwrap();
            let change = |text: String, (old, new): &(&str, String)| {
                assert!(text.contains(old), "{name}: no {old} in it");
                text.replace(old, new)
            };
            stage.file(name, changes.iter().fold(text, change))
        };
        let to = |name: &str| format!("http://127.0.0.1:{}/{name}", receiver.port);
        let routes = shipped(
            "alertmanager/alertmanager.yml",
            &[
                ("group_wait: 30s", "group_wait: 1s".into()),
                ("group_wait: 10s", "group_wait: 1s".into()),
                ("group_interval: 5m", "group_interval: 1s".into()),
                ("http://pager.invalid/", to("pager")),
                ("http://soc.invalid/", to("soc")),
                ("http://operations.invalid/", to("operations")),
            ],
        );
        let targets = format!("'127.0.0.1:{}', '127.0.0.1:{}'", agent.port, receiver.port);
        let config = shipped(
            "prometheus/prometheus.yml",
            &[
                ("15s", "1s".into()),
                ("'127.0.0.1:9466'", targets),
                ("'127.0.0.1:9093'", format!("'127.0.0.1:{alerts}'")),
            ],
        );
        shipped("prometheus/rules.yml", &[]);
        let alertmanager = Background::start(
            Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", routes.display()))
                .arg(format!("--storage.path={}", stage.path("alerts").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{alerts}"))
                .arg("--cluster.listen-address="),
        );
        let prometheus = Background::start(
            Command::new("prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", stage.path("tsdb").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{asks}")),
        );
        let mut watch = Self { prometheus, alertmanager, receiver, asks, alerts };
        watch.alertmanager.until("readiness", || http::get(alerts, "/-/ready").filter(|(status, _)| *status == 200));
        for port in [agent.port, watch.receiver.port] {
            // Twice seen, so that from now on there is something to count an increase from.
            watch.until_answered(&format!("count_over_time(up{{instance='127.0.0.1:{port}'}}[1m]) > 1"));
        }
        watch
    }

    fn until_answered(&mut self, query: &str) {
        let asks = self.asks;
        self.prometheus.until(query, || {
            let (_, body) = http::get(asks, &format!("/api/v1/query?query={}", http::escaped(query)))?;
            body.contains("\"metric\"").then_some(())
        });
    }

    /// Alerts of a notification that a receiver got and that `wanted` is true of, once there is one.
    fn notified(&mut self, receiver: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let (path, posted) = (format!("/{receiver}"), &self.receiver);
        self.alertmanager.until(&format!("notification to {receiver}"), || {
            let here = posted.posted().into_iter().filter(|one| one.path == path);
            let mut alerts = here.map(|one| {
                let body: Value = serde_json::from_str(&one.body).unwrap();
                body["alerts"].as_array().unwrap().clone()
            });
            alerts.find(|alerts| wanted(alerts))
        })
    }
}

/// The series that answer a query now. `None` when Prometheus does not answer.
///
/// # Panics
/// When it refuses the query.
fn ask(port: u16, query: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let (status, body) = http::get(port, &format!("/api/v1/query?query={}", http::escaped(query)))?;
    assert!(status == 200 || status == 503, "{query}: {body}");
    let answer: Value = serde_json::from_str(&body).ok()?;
    let series = answer.pointer("/data/result")?.as_array()?;
    Some(series.iter().map(|one| serde_json::from_value(one["metric"].clone()).unwrap_or_default()).collect())
}

/// All in one, because an agent and two daemons have to be started for it.
#[test]
fn a_theft_reaches_the_pager_and_every_panel() {
    if !skip::native("files of dashboards/ are not in a guest")
        || !skip::has(&["prometheus", "prometheus-alertmanager"])
    {
        return;
    }
    let stage = Stage::new();
    let mut agent = Agent::start(&stage);
    let mut watch = Watch::start(&stage, &agent);
    let victim = stage.directory("homes/victim");
    let stores: Vec<PathBuf> = [Store::GhHosts, Store::AwsCredentials, Store::GitCredentials]
        .iter()
        .map(|store| store.put(&stage, &victim))
        .collect();
    // Once it is known for a home, all that lies in it is watched.
    let read = |program: &mut Command| process::run(program.env("HOME", &victim), b"");
    agent.provoke(&stores[0].display().to_string(), || drop(read(Command::new("cat").arg(&stores[0]))));
    read(Command::new("sh").args(["-c", "for store do cat \"$store\"; done > /dev/null", "sh"]).args(&stores));
    let ours = victim.display().to_string();
    agent.until("sweep", |found| found.iter().any(|one| one.detector() == "credential-sweep" && one.mentions(&ours)));

    let here = format!("127.0.0.1:{}", agent.port);
    let sweep = |one: &Value| one["labels"]["detector"] == "credential-sweep" && one["labels"]["instance"] == here;
    let paged = watch.notified("pager", |alerts| alerts.iter().any(sweep));
    assert!(paged.iter().all(|one| one["labels"]["severity"] == "critical"), "{paged:?}");
    watch.notified("soc", |alerts| alerts.iter().any(sweep));
    watch.until_answered("ALERTS{alertname='TokenhoundCriticalFinding',alertstate='firing'}");

    every_query_answers(&mut watch, &here);
    every_metric_is_described(&agent.metrics());
    grouped_and_inhibited(&mut watch);
    let _ = watch.prometheus.stop();
    let _ = watch.alertmanager.stop();
    agent.stop();
}

/// Every query of every panel finds something, with the labels that its legend names: at the agent, or at the sample,
/// which has a value of every metric.
fn every_query_answers(watch: &mut Watch, here: &str) {
    let mut here_asked = Vec::new();
    for file in fs::read_dir(home().join("grafana")).unwrap() {
        let dashboard: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expr = target["expr"].as_str().unwrap();
                let on = |instance: &str| {
                    let expr = expr.replace("$__rate_interval", "1m").replace("$__range", "1h");
                    expr.replace("$instance", instance)
                };
                let what = format!("{} / {}: {expr}", dashboard["title"], panel["title"]);
                let (asks, everywhere) = (watch.asks, on(".*"));
                // What was seen once has no rate yet, and a scrape may fail.
                let found = || ask(asks, &everywhere).filter(|series| !series.is_empty());
                let series = watch.prometheus.until(&format!("answer to {what}"), found);
                for label in labels(expr, target["legendFormat"].as_str().unwrap_or_default()) {
                    assert!(series.iter().all(|one| one.contains_key(&label)), "{what}: no label {label}: {series:?}");
                }
                here_asked.push(on(here));
            }
        }
    }
    let (asked, asks) = (here_asked.len(), watch.asks);
    let found_here = watch.prometheus.until("answer of the agent itself to half of all queries", || {
        let found = here_asked.iter().filter(|query| ask(asks, query).is_some_and(|series| !series.is_empty())).count();
        (found * 2 > asked).then_some(found)
    });
    println!("{asked} queries, {found_here} of them find something at the agent itself");
    assert!(asked > 40, "{asked}");
}

/// Labels that a query groups by or that its legend shows.
fn labels(expr: &str, legend: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for grouped in expr.split(" by (").skip(1) {
        let names = grouped.split(')').next().unwrap_or_default().split(',').map(str::trim);
        labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
    }
    labels.extend(legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())));
    labels
}

/// What the running agent serves is on the page.
fn every_metric_is_described(metrics: &str) {
    let page = fs::read_to_string(home().join("../docs/metrics.md")).unwrap();
    for family in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let described = ["", "_total", "_info"].iter().any(|end| page.contains(&format!("| `{family}{end}` |")));
        assert!(described, "{family} is not in docs/metrics.md");
    }
}

/// Alerts of three machines, posted as Prometheus would: one notification for each machine, without what another alert
/// explains.
fn grouped_and_inhibited(watch: &mut Watch) {
    let alert = |name: &str, kind: &str, severity: &str, instance: &str, detector: &str| {
        json!({"labels": {
            "alertname": name, "kind": kind, "severity": severity, "instance": instance, "detector": detector,
        }})
    };
    let down = |instance: &str| alert("TokenhoundDown", "sensor", "high", instance, "");
    let refused = |instance: &str| alert("TokenhoundPolicyRefused", "sensor", "medium", instance, "");
    let critical = |detector: &str| alert("TokenhoundCriticalFinding", "finding", "critical", "c", detector);
    let high = |detector: &str| alert("TokenhoundHighFinding", "finding", "high", "c", detector);
    let posted = json!([
        down("a"),
        refused("a"),
        refused("b"),
        critical("token-egress"),
        high("token-egress"),
        high("token-copied"),
    ]);
    let answer = http::post(watch.alerts, "/api/v2/alerts", &posted.to_string());
    assert_eq!(answer.as_ref().map(|(status, _)| *status), Some(200), "{answer:?}");
    let about = |alerts: &[Value], wanted: &[(&str, &str)]| {
        let found: BTreeSet<String> = alerts
            .iter()
            .map(|one| {
                let label = |name: &str| one["labels"][name].as_str().unwrap_or_default().to_owned();
                format!("{} {}{}", label("alertname"), label("instance"), label("detector"))
            })
            .collect();
        found == wanted.iter().map(|(name, rest)| format!("Tokenhound{name} {rest}")).collect()
    };
    watch.notified("operations", |alerts| about(alerts, &[("Down", "a")]));
    // Without the one of machine `a`, which does not answer.
    watch.notified("operations", |alerts| about(alerts, &[("PolicyRefused", "b")]));
    watch.notified("pager", |alerts| about(alerts, &[("CriticalFinding", "ctoken-egress")]));
    // Both of the machine in one, and the one that has become critical once.
    let both = [("CriticalFinding", "ctoken-egress"), ("HighFinding", "ctoken-copied")];
    watch.notified("soc", |alerts| about(alerts, &both));
}
