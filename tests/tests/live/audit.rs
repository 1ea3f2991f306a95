//! `tokenhound audit`, as root and as a user: what it says, in which form, and that none holds a token.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tokenhound_tests::{
    process::{self, Ended},
    stage::{NOBODY, Stage, set_mode},
    token,
};

const FORMATS: [&str; 4] = ["text", "json", "sarif", "html"];

/// A home with a token in a store, in a history, in a script and in the name of a file.
fn home(stage: &Stage) -> PathBuf {
    let token = token::plain("gho_", 36);
    stage.hide(&token);
    let basic = Command::new("sh").args(["-c", &format!("printf 'u:{token}' | base64 -w0")]).output().unwrap();
    for (path, content) in [
        (".config/gh/hosts.yml", format!("github.com:\n    oauth_token: {token}\n    user: ann\n")),
        (".bash_history", format!("ls\nexport GH_TOKEN={token}\n")),
        (
            "bin/deploy.sh",
            format!("#!/bin/sh\ncurl -H 'Authorization: Basic {}' x\n", String::from_utf8(basic.stdout).unwrap()),
        ),
        (&format!("{token}.txt"), "note\n".to_owned()),
    ] {
        set_mode(&stage.file(&format!("homes/ann/{path}"), content), 0o600);
    }
    let home = stage.path("homes/ann");
    set_mode(&home.join(".config/gh/hosts.yml"), 0o644);
    Stage::give_to_nobody(&home);
    home
}

fn audit(stage: &Stage, home: &Path, uid: u32, arguments: &[&str]) -> Ended {
    let program = stage.program("tokenhound", &process::tokenhound());
    let mut command = Command::new(program);
    command.arg("audit").args(arguments).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir("/");
    command.uid(uid).gid(uid);
    let ended = process::run(&mut command, b"");
    assert!(!ended.err().contains("panicked"), "{arguments:?}: {}", ended.err());
    stage.search("standard output", ended.out().as_bytes());
    stage.search("standard error", ended.err().as_bytes());
    ended
}

/// Rules of the findings, with the ends of their paths.
fn rules(json: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(json).unwrap();
    let rule = |finding: &Value| {
        let path = Path::new(finding["path"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
        format!("{path} {}/{}", finding["detector"].as_str().unwrap(), finding["rule"].as_str().unwrap())
    };
    let mut rules: Vec<String> = report["findings"].as_array().unwrap().iter().map(rule).collect();
    rules.sort();
    rules
}

#[test]
fn a_user_and_root_find_the_same_in_a_home() {
    let stage = Stage::new();
    stage.open_to_others();
    let home = home(&stage);
    let state = stage.directory("state").display().to_string();
    let own = audit(&stage, &home, NOBODY, &["--format", "json"]);
    assert_eq!(own.code(), 0, "{}", own.err());
    let expected = [
        ".bash_history token-copied/known-token",
        "deploy.sh token-copied/known-token",
        "hosts.yml store-exposed/readable-by-all",
    ];
    let found = rules(&own.out());
    assert!(expected.iter().all(|rule| found.iter().any(|found| found == rule)), "{found:?}");
    let report: Value = serde_json::from_str(&own.out()).unwrap();
    assert_eq!(report["fingerprint_key"], "ephemeral");
    // Without HOME of its own: a home that root looks at.
    let by_root = audit(&stage, &home, 0, &["--format", "json", "--state-dir", &state]);
    let report: Value = serde_json::from_str(&by_root.out()).unwrap();
    assert_eq!(report["fingerprint_key"], "machine");
    let of_root = rules(&by_root.out());
    assert!(expected.iter().all(|rule| of_root.iter().any(|found| found == rule)), "{of_root:?}");
    let key = fs::read_to_string(Path::new(&state).join("fingerprint.key")).unwrap();
    assert!(!by_root.out().contains(key.trim()));
}

#[test]
fn every_form_is_written_without_a_token() {
    let stage = Stage::new();
    stage.open_to_others();
    let home = home(&stage);
    for format in FORMATS {
        let file = stage.path(&format!("out/report.{format}")).display().to_string();
        let ended = audit(&stage, &home, NOBODY, &["--format", format, "--output", &file]);
        assert_eq!((ended.code(), ended.out().as_str()), (0, ""), "{format}: {}", ended.err());
        let report = fs::read_to_string(&file).unwrap();
        stage.search(format, report.as_bytes());
        assert!(report.contains("gh-hosts") && report.contains("th1:") || format == "text", "{format}: {report}");
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap()) & 0o777;
        assert_eq!(mode, 0o600, "{format}");
        match format {
            "json" => assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["version"], 1),
            "sarif" => {
                let log: Value = serde_json::from_str(&report).unwrap();
                let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
                let results = log["runs"][0]["results"].as_array().unwrap();
                assert!(!results.is_empty());
                for result in results {
                    assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
                }
            }
            // Nothing of it is fetched from anywhere and nothing runs.
            "html" => assert!(!report.contains("<script") && !report.contains("http://") && !report.contains("src=")),
            _ => assert!(report.starts_with("Audit of user"), "{report}"),
        }
    }
}

#[test]
fn exit_codes() {
    let stage = Stage::new();
    stage.open_to_others();
    let home = home(&stage);
    for (arguments, code) in [
        (&["--fail-on", "high"][..], 3),
        (&["--fail-on", "critical"], 0),
        (&["--stores-only"], 0),
        (&["--all-users"], 77),
        (&["--user", "root"], 77),
        (&["--user", "nobody-of-that-name"], 2),
        (&["--root", "/nonexistent"], 2),
        (&["--format", "xml"], 2),
        (&["--all-users", "--root", "/"], 2),
        (&["--output", "/nonexistent/report"], 2),
    ] {
        let ended = audit(&stage, &home, NOBODY, arguments);
        assert_eq!(ended.code(), code, "{arguments:?}: {}", ended.err());
    }
}

#[test]
fn an_image_is_looked_at_as_if_it_were_the_machine() {
    let stage = Stage::new();
    stage.open_to_others();
    let token = token::plain("gho_", 36);
    stage.hide(&token);
    stage.file("image/etc/passwd", "root:x:0:0::/root:/bin/sh\nci:x:990:990::/var/lib/ci:/bin/sh\n");
    let hosts = format!("github.com:\n    oauth_token: {token}\n");
    stage.file("image/var/lib/ci/real/hosts.yml", &hosts);
    stage.directory("image/var/lib/ci/.config/gh");
    stage.file("image/srv/app/.env", format!("GH_TOKEN={token}\n"));
    Stage::give_to_nobody(&stage.path("image"));
    std::os::unix::fs::symlink("/var/lib/ci/real/hosts.yml", stage.path("image/var/lib/ci/.config/gh/hosts.yml"))
        .unwrap();
    let root = stage.path("image").display().to_string();
    let ended = audit(&stage, &stage.path("image"), NOBODY, &["--root", &root, "--format", "json"]);
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let report: Value = serde_json::from_str(&ended.out()).unwrap();
    let store = &report["stores"][0];
    assert_eq!(store["path"], "/var/lib/ci/.config/gh/hosts.yml");
    assert_eq!(store["leads_to"], "/var/lib/ci/real/hosts.yml");
    assert_eq!(store["tokens"].as_array().unwrap().len(), 1);
    assert!(rules(&ended.out()).contains(&".env token-copied/known-token".to_owned()), "{}", ended.out());
}

/// With the fleet's key a token has the same fingerprint on every machine; each machine's own key gives another.
#[test]
fn the_fleets_key_gives_the_same_fingerprints_everywhere() {
    let stage = Stage::new();
    let home = home(&stage);
    let key = stage.file("fleet.key", format!("{}\n", "5e".repeat(32)));
    set_mode(&key, 0o600);
    let fleet = stage.file("fleet.yaml", format!("fingerprint_key: {}\n", key.display())).display().to_string();
    let own = stage.file("own.yaml", "# nothing\n").display().to_string();
    let fingerprints = |config: &str, machine: &str| {
        let state = stage.directory(machine).display().to_string();
        let ended = audit(&stage, &home, 0, &["--format", "json", "--config", config, "--state-dir", &state]);
        assert_eq!(ended.code(), 0, "{}", ended.err());
        let report: Value = serde_json::from_str(&ended.out()).unwrap();
        let of = |finding: &Value| finding["fingerprint"].as_str().map(str::to_owned);
        let all: Vec<String> = report["findings"].as_array().unwrap().iter().filter_map(of).collect();
        assert!(!all.is_empty(), "{}", ended.out());
        all
    };
    let ours = fingerprints(&fleet, "one");
    assert_eq!(fingerprints(&fleet, "another"), ours);
    assert_ne!(fingerprints(&own, "one"), ours);
    assert_ne!(fingerprints(&own, "one"), fingerprints(&own, "another"));
}
