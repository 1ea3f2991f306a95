mod outside;
mod seeds;

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Inputs, audit, model::*, progress::Progress, report, scope::*};
use crate::{
    catalogue::{
        homes::EnvOverrides,
        model::{Holds, Kind},
        tests::shipped_catalogue,
    },
    finding::severity::Severity,
    policy::Policy,
    posture::{Expected, FileFacts},
    token::{
        fingerprint::{KEY_BYTES, Key},
        model::{Facts, Known, Lifetime, Protection},
        scan::NeedleSet,
    },
};

/// What fingerprints of tests are made with.
const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

/// A root with a user, and what else a test needs.
struct Image(tempfile::TempDir, HashSet<PathBuf>);

impl Image {
    fn new() -> Self {
        let image = Self(tempfile::tempdir().unwrap(), HashSet::new());
        image.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
        image.write("home/ann/.profile", "");
        image
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn audit(&self) -> Report {
        self.audited().0
    }

    fn audited(&self) -> (Report, NeedleSet) {
        let scope = Scope::new(&Whose::Root(self.0.path().to_owned()), EnvOverrides::new()).unwrap();
        let catalogue = shipped_catalogue();
        let key = Key::new(KEY);
        let time = Timestamp::now();
        let policy = Policy::default();
        let inputs = Inputs {
            catalogue,
            policy: &policy,
            key: &key,
            key_kind: KeyKind::Ephemeral,
            time,
            content: true,
            decoys: &self.1,
        };
        audit(&scope, &inputs, &Progress::silent())
    }
}

fn stores(report: &Report) -> Vec<(String, String)> {
    report.stores.iter().map(|file| (file.store.clone(), file.facts.path.display().to_string())).collect()
}

fn pair(store: &str, path: &str) -> (String, String) {
    (store.to_owned(), path.to_owned())
}

#[test]
fn stores_are_found_in_homes_in_the_system_and_anywhere() {
    let image = Image::new();
    image.write("home/ann/.aws/credentials", "[default]\naws_secret_access_key = made-up\n");
    image.write("root/.netrc", "machine a login b password made-up\n");
    image.write("etc/shadow", "root:*:::::::\n");
    image.write("srv/app/deep/.npmrc", "//registry.invalid/:_authToken=made-up\n");
    image.write("home/ann/.aws/other", "x");
    image.write("home/ann/dot/docker.json", "{}");
    fs::create_dir_all(image.path("home/ann/.docker")).unwrap();
    symlink("/home/ann/dot/docker.json", image.path("home/ann/.docker/config.json")).unwrap();
    symlink("/home/ann/nowhere", image.path("home/ann/.git-credentials")).unwrap();
    let report = image.audit();
    assert_eq!(
        stores(&report),
        [
            pair("etc-shadow", "/etc/shadow"),
            pair("aws-credentials", "/home/ann/.aws/credentials"),
            pair("docker-config", "/home/ann/.docker/config.json"),
            pair("netrc", "/root/.netrc"),
            pair("npm-npmrc", "/srv/app/deep/.npmrc"),
        ]
    );
    let linked = &report.stores[2];
    assert_eq!(linked.facts.leads_to.as_deref(), Some(Path::new("/home/ann/dot/docker.json")));
    assert!(report.counts.names >= 8, "{:?}", report.counts);
}

#[test]
fn a_link_out_of_the_root_leads_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("credentials"), "[default]\naws_secret_access_key = made-up\n").unwrap();
    let image = Image::new();
    fs::create_dir_all(image.path("home/ann/.aws")).unwrap();
    symlink(outside.path().join("credentials"), image.path("home/ann/.aws/credentials")).unwrap();
    symlink(outside.path(), image.path("home/ann/.ssh")).unwrap();
    symlink("../../../../../../../../../etc/shadow", image.path("etc/shadow")).unwrap();
    assert_eq!(stores(&image.audit()), Vec::new());
}

/// A store of user 1000 with one token.
fn file(kind: Kind, change: fn(&mut Facts)) -> StoreFile {
    let path = PathBuf::from("/home/ann/.aws/credentials");
    let mut facts = Facts::new(kind, "[default]/aws_secret_access_key");
    change(&mut facts);
    let fingerprint = Key::new([7; KEY_BYTES]).fingerprint_of(b"made-up");
    let token = Known { fingerprint, store: "aws-credentials".to_owned(), path: path.clone(), facts };
    let expected = Expected { home: Some("/home/ann".into()), ..Expected::default() };
    StoreFile {
        store: "aws-credentials".to_owned(),
        tool: "AWS CLI".to_owned(),
        also: Vec::new(),
        holds: Holds::Secret,
        facts: FileFacts { path, mode: 0o600, links: 1, expected, ..FileFacts::default() },
        owner: None,
        size: 100,
        written: Some(day(-500)),
        tokens: vec![token],
        references: Vec::new(),
        problems: Vec::new(),
        exposures: Vec::new(),
    }
}

fn judged(file: &StoreFile) -> Vec<Finding> {
    let policy = Policy::default();
    super::judge::store(file, super::judge::Rules { catalogue: shipped_catalogue(), policy: &policy, now: now() })
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn day(days: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + days * 86_400).unwrap()
}

/// What makes a token another, and the rules that then have something to say.
type Case = (&'static str, Kind, fn(&mut Facts), &'static [&'static str]);

const CASES: &[Case] = &[
    ("unknown, old", Kind::ApiKey, |_| {}, &["old"]),
    ("unknown, young", Kind::ApiKey, |f| f.issued = Some(day(-10)), &[]),
    (
        "long-lived, young",
        Kind::ApiKey,
        |f| {
            f.issued = Some(day(-10));
            f.lifetime = Lifetime::LongLived;
        },
        &["long-lived"],
    ),
    ("ephemeral", Kind::AccessToken, |f| f.lifetime = Lifetime::Ephemeral, &["old"]),
    ("ends", Kind::AccessToken, |f| f.expires = Some(day(10)), &["old"]),
    ("ended lately", Kind::AccessToken, |f| f.expires = Some(day(-10)), &[]),
    ("ended long ago", Kind::AccessToken, |f| f.expires = Some(day(-100)), &["expired"]),
    ("plain key, young", Kind::PrivateKey, |f| f.issued = Some(day(-100)), &["unencrypted-key"]),
    ("plain key, old", Kind::PrivateKey, |_| {}, &["old", "unencrypted-key"]),
    ("encrypted key", Kind::PrivateKey, |f| f.protection = Protection::Encrypted, &[]),
    ("no secret", Kind::Metadata, |_| {}, &[]),
];

#[test]
fn tokens_are_judged_by_what_they_tell() {
    for (name, kind, change, expected) in CASES {
        let mut rules: Vec<_> = judged(&file(*kind, *change)).iter().map(|it| it.rule).collect();
        rules.sort_unstable();
        assert_eq!(rules, *expected, "{name}");
    }
}

#[test]
fn a_key_of_a_daemon_needs_no_passphrase() {
    let mut host = file(Kind::PrivateKey, |facts| facts.issued = Some(day(-10)));
    host.facts.expected.home = None;
    assert_eq!(judged(&host), []);
}

#[test]
fn an_exposure_matters_as_much_as_what_lies_there() {
    let severity = |change: fn(&mut StoreFile)| {
        let mut file = file(Kind::ApiKey, |facts| facts.issued = Some(day(-10)));
        file.facts.mode = 0o644;
        change(&mut file);
        file.exposures = crate::posture::exposures(&file.facts);
        judged(&file).first().map(|finding| finding.severity)
    };
    assert_eq!(severity(|_| {}), Some(Severity::High));
    assert_eq!(severity(|file| file.tokens[0].facts.protection = Protection::Encrypted), Some(Severity::Low));
    let unknown = |file: &mut StoreFile| {
        file.tokens.clear();
        file.problems.push("is broken".to_owned());
    };
    assert_eq!(severity(unknown), Some(Severity::High), "what lies there is not known");
    assert_eq!(severity(|file| file.tokens.clear()), None, "it was understood");
    let perhaps = |file: &mut StoreFile| {
        file.tokens.clear();
        file.problems.push("is broken".to_owned());
        file.holds = Holds::Perhaps;
    };
    assert_eq!(severity(perhaps), Some(Severity::Low));
    let empty = |file: &mut StoreFile| {
        file.tokens.clear();
        file.problems.push("is broken".to_owned());
        file.size = 0;
    };
    assert_eq!(severity(empty), None);
}

#[test]
fn reports_say_what_was_found() {
    let image = Image::new();
    image.write("home/ann/.aws/credentials", "[default]\naws_secret_access_key = made-up\n");
    fs::set_permissions(image.path("home/ann/.aws/credentials"), fs::Permissions::from_mode(0o644)).unwrap();
    let report = image.audit();
    let text = report::text::render(&report, report::text::Style::default());
    assert!(text.contains("1. high          /home/ann/.aws/credentials (aws-credentials)"), "{text}");
    assert!(text.contains("chmod 600"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report::json::render(&report)).unwrap();
    assert_eq!(json["version"], VERSION);
    let first = &json["findings"][0];
    assert_eq!((&first["detector"], &first["rule"]), (&"store-exposed".into(), &"readable-by-all".into()));
    assert_eq!(json["stores"][0]["mode"], "0644");
}
