//! Stores that the real tools wrote here, as `tokenhound audit` reads them: how many tokens, of which kind, how long they
//! live, whether a passphrase protects them. No kernel is asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tokenhound_tests::{
    process, skip,
    stage::{Stage, set_mode},
    standin, token,
};

/// Made-up tokens with the checksums that GitHub and npm give theirs.
const GITHUB: &str = concat!("gho_mQ8vT2xLr5Kd0WbYz3NfJc7HsPa9Ge", "0l8bqw");
const NPM: &str = concat!("npm_Zk4RpX7cQw1LtVn8Bs5JdYg2MhUf6E", "2ayAou");

/// An unpacked root with one home, in which tools run.
struct Machine<'s> {
    stage: &'s Stage,
    home: PathBuf,
}

impl<'s> Machine<'s> {
    fn new(stage: &'s Stage) -> Self {
        let home = stage.directory("root/home/ann");
        stage.file("root/etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
        Self { stage, home }
    }

    /// A command of the tool, with nothing of ours in its environment.
    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new("env");
        command.arg(words.next().unwrap()).args(words).current_dir(&self.home).env_clear().env("HOME", &self.home);
        let venv = std::env::var("TOKENHOUND_VENV").map(|venv| format!("{venv}/bin:")).unwrap_or_default();
        command.env("PATH", format!("{venv}{}", std::env::var("PATH").unwrap()));
        command
    }

    fn run(&self, line: &str, input: &str) {
        Self::ended_well(&mut self.command(line), input, line);
    }

    fn ended_well(command: &mut Command, input: &str, line: &str) {
        let ended = process::run(command, input.as_bytes());
        assert_eq!(ended.code(), 0, "{line}: {}{}", ended.out(), ended.err());
    }

    /// A made-up token that must be seen nowhere.
    fn token(&self, prefix: &str, length: usize) -> String {
        let token = token::plain(prefix, length);
        self.stage.hide(&token);
        token
    }

    /// What is told of each token: store, path in the root, kind, lifetime, protection.
    fn audit(&self) -> Vec<[String; 5]> {
        let mut audit = Command::new(process::tokenhound());
        audit.args(["audit", "--format", "json", "--root"]).arg(self.stage.path("root"));
        let ended = process::run(&mut audit, b"");
        assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
        self.stage.search("the audit", &ended.stdout);
        self.stage.search("the audit's errors", &ended.stderr);
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let mut told = Vec::new();
        for store in report["stores"].as_array().unwrap() {
            assert_eq!(store["problems"], Value::Array(Vec::new()), "{store}");
            for token in store["tokens"].as_array().unwrap() {
                let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
                told.push(
                    [&token["store"], &store["path"], &token["kind"], &token["lifetime"], &token["protection"]]
                        .map(text),
                );
            }
        }
        told.sort();
        told
    }

    fn expect(&self, expected: &[[&str; 5]]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(self.audit(), expected);
    }
}

#[test]
fn logins() {
    if !skip::native("the tools are the same everywhere")
        || !skip::has(&["git", "npm", "kubectl", "gh", "skopeo", "rclone"])
    {
        return;
    }
    let (stage, port) = (Stage::new(), standin::start());
    let machine = Machine::new(&stage);
    for token in [GITHUB, NPM] {
        stage.hide(token);
    }
    let password = machine.token("", 24);
    machine.run(
        "git credential-store store",
        &format!("protocol=https\nhost=git.test.invalid\nusername=ann\npassword={password}\n\n"),
    );
    machine.run(&format!("npm config set //npm.test.invalid/:_authToken={NPM}"), "");
    let kube = machine.token("", 40);
    machine.run(&format!("kubectl config set-credentials dev --token={kube}"), "");
    let mut gh = machine.command("gh auth login --with-token --hostname github.localhost");
    Machine::ended_well(gh.env("HTTP_PROXY", format!("http://127.0.0.1:{port}")), GITHUB, "gh auth login");
    let mut skopeo =
        machine.command(&format!("skopeo login --tls-verify=false -u ann --password-stdin 127.0.0.1:{port}"));
    let config = machine.home.join(".docker/config.json");
    Machine::ended_well(skopeo.env("REGISTRY_AUTH_FILE", &config), &machine.token("", 20), "skopeo login");
    machine
        .run(&format!("rclone config create box sftp host h.test.invalid user ann pass {}", machine.token("", 20)), "");
    machine.expect(&[
        ["git-credentials", "/home/ann/.git-credentials", "password", "long-lived", "plain"],
        ["npm-npmrc", "/home/ann/.npmrc", "access_token", "limited", "plain"],
        ["kubeconfig", "/home/ann/.kube/config", "access_token", "-", "plain"],
        ["gh-hosts", "/home/ann/.config/gh/hosts.yml", "access_token", "long-lived", "plain"],
        ["docker-config", "/home/ann/.docker/config.json", "password", "long-lived", "plain"],
        ["rclone", "/home/ann/.config/rclone/rclone.conf", "password", "long-lived", "obfuscated"],
    ]);
}

#[test]
fn aws_and_pip() {
    let here = std::env::var_os("TOKENHOUND_VENV").is_some_and(|venv| Path::new(&venv).join("bin/aws").exists());
    if !here {
        return skip::skip("the AWS CLI is not here");
    }
    let stage = Stage::new();
    let machine = Machine::new(&stage);
    let (permanent, temporary) = (token::aws_key_id(), token::aws_key_id().replacen("AKIA", "ASIA", 1));
    for token in [&permanent, &temporary] {
        stage.hide(token);
    }
    let set = |what: &str, value: &str, profile: &str| {
        machine.run(&format!("aws configure set {what} {value} --profile {profile}"), "")
    };
    set("aws_access_key_id", &permanent, "default");
    set("aws_secret_access_key", &machine.token("", 40), "default");
    set("aws_access_key_id", &temporary, "sso");
    set("aws_secret_access_key", &machine.token("", 40), "sso");
    set("aws_session_token", &machine.token("", 300), "sso");
    machine.run(
        &format!("pip config set global.index-url https://ann:{}@pypi.test.invalid/simple", machine.token("", 20)),
        "",
    );
    let aws = |kind, lifetime| ["aws-credentials", "/home/ann/.aws/credentials", kind, lifetime, "plain"];
    machine.expect(&[
        aws("api_key", "long-lived"),
        aws("api_key", "ephemeral"),
        aws("access_token", "ephemeral"),
        ["pip-conf", "/home/ann/.config/pip/pip.conf", "password", "long-lived", "plain"],
    ]);
}

#[test]
fn cargo_login() {
    let Some(cargo) = std::env::var_os("CARGO").map(PathBuf::from).filter(|cargo| cargo.exists()) else {
        return skip::skip("cargo is not here");
    };
    let (stage, port) = (Stage::new(), standin::start());
    let machine = Machine::new(&stage);
    let index = format!("[registries.local]\nindex = \"sparse+http://127.0.0.1:{port}/index/\"\n");
    stage.file("root/home/ann/.cargo/config.toml", index);
    let line = format!("{} login --registry local", cargo.display());
    machine.run(&line, &machine.token("", 35));
    machine.expect(&[["cargo-credentials", "/home/ann/.cargo/credentials.toml", "api_key", "limited", "plain"]]);
}

#[test]
fn keys_with_and_without_a_passphrase() {
    if !skip::has(&["ssh-keygen", "openssl", "gpg", "gpgconf"]) {
        return;
    }
    let stage = Stage::new();
    let machine = Machine::new(&stage);
    for directory in ["root/home/ann/.ssh", "root/home/ann/.gnupg", "root/etc/ssl/private"] {
        set_mode(&stage.directory(directory), 0o700);
    }
    let ssh = |line: &str, passphrase: &str| {
        let mut command = machine.command(&format!("ssh-keygen -q {line}"));
        Machine::ended_well(command.args(["-N", passphrase]), "", line);
    };
    let passphrase = machine.token("", 16);
    ssh("-t ed25519 -f .ssh/id_ed25519", "");
    ssh("-t ecdsa -f .ssh/id_ecdsa", &passphrase);
    ssh("-t rsa -m PEM -f .ssh/id_rsa", &passphrase);
    ssh("-t rsa -m PEM -f .ssh/old_rsa", "");
    ssh("-t rsa -m PKCS8 -f .ssh/new.pem", "");
    for (passphrase, name) in [("", "plain"), (passphrase.as_str(), "sealed")] {
        let mut gpg = machine.command("gpg --batch -q --pinentry-mode loopback --passphrase");
        gpg.arg(passphrase).args(["--quick-gen-key", &format!("{name}@test.invalid"), "ed25519"]);
        Machine::ended_well(&mut gpg, "", name);
    }
    machine.run("gpgconf --kill all", "");
    let private = stage.path("root/etc/ssl/private");
    let out = |name: &str| private.join(name).display().to_string();
    machine.run(&format!("openssl genpkey -quiet -algorithm ed25519 -out {}", out("server.key")), "");
    machine.run(
        &format!("openssl genpkey -quiet -algorithm RSA -aes256 -pass pass:{passphrase} -out {}", out("sealed.key")),
        "",
    );
    machine.run(&format!("openssl genrsa -traditional -out {}", out("old.key")), "");
    let mut expected = vec![
        ("ssh-private-keys", "/home/ann/.ssh/id_ed25519".to_owned(), "plain"),
        ("ssh-private-keys", "/home/ann/.ssh/id_ecdsa".to_owned(), "encrypted"),
        ("ssh-private-keys", "/home/ann/.ssh/id_rsa".to_owned(), "encrypted"),
        ("ssh-private-keys", "/home/ann/.ssh/old_rsa".to_owned(), "plain"),
        ("ssh-private-keys", "/home/ann/.ssh/new.pem".to_owned(), "plain"),
        ("tls-private-keys", "/etc/ssl/private/server.key".to_owned(), "plain"),
        ("tls-private-keys", "/etc/ssl/private/sealed.key".to_owned(), "encrypted"),
        ("tls-private-keys", "/etc/ssl/private/old.key".to_owned(), "plain"),
    ];
    // GnuPG names its files after the keys: which is which is in the file.
    for file in fs::read_dir(machine.home.join(".gnupg/private-keys-v1.d")).unwrap() {
        let file = file.unwrap();
        let sealed = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).contains("protected-private-key");
        let path = format!("/home/ann/.gnupg/private-keys-v1.d/{}", file.file_name().display());
        expected.push(("gnupg-private", path, if sealed { "encrypted" } else { "plain" }));
    }
    let expected: Vec<[&str; 5]> = expected
        .iter()
        .map(|(store, path, protection)| [*store, path, "private_key", "long-lived", *protection])
        .collect();
    assert_eq!(expected.len(), 10);
    machine.expect(&expected);
}
