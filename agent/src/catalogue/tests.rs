use std::sync::LazyLock;

use super::*;
use crate::yaml::Outcome;

/// The shipped catalogue, compiled once for all tests.
pub(crate) fn shipped_catalogue() -> &'static Catalogue {
    static SHIPPED: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::embedded().unwrap_or_else(|problems| panic!("{problems}")));
    &SHIPPED
}

#[test]
fn every_entry_of_the_research_is_there() {
    let catalogue = shipped_catalogue();
    let origins: BTreeSet<&str> =
        catalogue.stores().iter().map(|store| store.split_from.as_deref().unwrap_or(&store.id)).collect();
    assert_eq!(origins.len(), 264);
    assert!(catalogue.stores().len() > 330);
}

#[test]
fn variables_that_move_stores_are_known_to_the_decoder() {
    let variables = shipped_catalogue().environment_variables();
    for name in ["HOME", "XDG_CONFIG_HOME", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "GITHUB_WORKSPACE"] {
        assert!(variables.contains(name), "{name}");
    }
    // Far too common a name to follow.
    assert!(!variables.contains("CONFIG_FILE"));
}

pub(super) const GOOD: &str = "
stores:
  - id: example
    tool: Example CLI
    vendor: Example
    family: example
    role: store
    tier: 2
    kind: [api_key]
    paths: [~/.example/token]
    format: plain
    readers:
      - {role: owner, exe: [example]}
    reader_scope: narrow
    staleness: none
    session_scope: cli_login
    verification: docs
    source: example.org/docs
";

fn checked(text: &str) -> Outcome {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let outcome = text::check(file.path());
    let name = file.path().display().to_string();
    Outcome { text: outcome.text.replace(&name, "x.yaml"), ..outcome }
}

#[test]
fn a_right_file_passes() {
    assert_eq!(checked(GOOD), Outcome { text: "x.yaml: right, 1 store".into(), passed: true, warnings: 0 });
}

#[test]
fn mistakes_are_explained() {
    for (from, to, said) in [
        ("role: store", "role: stroe", "x.yaml:7:11: error: unknown word \"stroe\"; did you mean \"store\"?"),
        ("tier: 2", "tier: 4", "x.yaml:8:11: error: tier must be 1, 2 or 3, this is 4"),
        ("[~/.example/token]", "[.example/token]", "x.yaml:10:13: error: path \".example/token\" must start with"),
        ("[~/.example/token]", "['~/.example/[a']", "is no valid pattern"),
        ("[~/.example/token]", "[~/.a**b/c]", "\"**\" must be a whole component"),
        ("[~/.example/token]", "~/.example/token", "must be a list, this is text"),
        ("id: example", "id: Example", "must be 1 to 64 of a-z, 0-9"),
        ("    source: example.org/docs\n", "", "x.yaml:3:5: error: \"source\" is missing"),
        ("source: example.org/docs", "sauce: x\n    source: y", "unknown key \"sauce\"; did you mean \"source\"?"),
        ("exe: [example]", "exe: [python3]", "\"python3\" is an interpreter and cannot be expected"),
        ("exe: [example]", "exe: [cat]", "\"cat\" only moves bytes and cannot be expected"),
        ("exe: [example]", "exe: [/usr/bin/x]", "hold bare names"),
        ("exe: [example]", "scripts: [/usr/bin/x]", "needs the \"interpreter\" that runs them"),
        ("exe: [example]", "exe: [example], weak: 1", "must be true or false, this is a number"),
        ("format: plain", "format: plain\n    mode: '9'", "is no octal mode"),
        ("format: plain", "format: plain\n    shares_path_with: [netrcc]", "did you mean \"netrc\"?"),
        ("format: plain", "format: plain\n    path_env: {X: [y]}", "has no {} for the value"),
    ] {
        assert!(GOOD.contains(from));
        let outcome = checked(&GOOD.replacen(from, to, 1));
        assert!(!outcome.passed, "{to}");
        assert!(outcome.text.contains(said), "{to}: {}", outcome.text);
    }
}

#[test]
fn a_name_too_long_for_a_key_is_refused() {
    let outcome = checked(&GOOD.replace(".example/token", &format!(".example/{}", "n".repeat(64))));
    assert!(outcome.text.contains("a name of 64 bytes cannot be watched, at most 63"), "{}", outcome.text);
}

#[test]
fn the_mistakes_of_all_entries_are_shown_at_once() {
    let second = GOOD.replace("\nstores:\n", "").replace("tier: 2", "tier: 9").replace("id: example", "id: other");
    let outcome = checked(&format!("{}{second}", GOOD.replace("role: store", "role: x")));
    assert!(outcome.text.contains("unknown word \"x\"") && outcome.text.contains("this is 9"), "{}", outcome.text);
    assert!(outcome.text.ends_with("refused, 2 errors, 0 warnings"), "{}", outcome.text);
}

#[test]
fn two_entries_of_one_name_are_refused_and_a_shipped_one_is_replaced() {
    let second = GOOD.replace("\nstores:\n", "");
    let outcome = checked(&format!("{GOOD}{second}"));
    assert!(outcome.text.contains("id \"example\" is already used in x.yaml:3"), "{}", outcome.text);
    let outcome = checked(&GOOD.replace("id: example", "id: netrc"));
    assert!(outcome.passed);
    assert!(outcome.text.contains("\"netrc\" replaces the entry of catalogue/git-hosting.yaml"), "{}", outcome.text);
}

#[test]
fn a_directory_of_own_entries_is_laid_over_the_shipped_ones() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), GOOD).unwrap();
    std::fs::write(directory.path().join("ignored.txt"), "not yaml: [").unwrap();
    let loaded = Catalogue::load(directory.path()).unwrap();
    assert!(loaded.catalogue.store("example").is_some() && loaded.catalogue.store("netrc").is_some());
    std::fs::write(directory.path().join("b.yaml"), GOOD).unwrap();
    std::fs::write(directory.path().join("c.yaml"), "stores: [").unwrap();
    assert!(Catalogue::load(directory.path()).is_err());
    assert!(Catalogue::load(Path::new("/nonexistent")).is_ok());
}

#[test]
fn a_file_that_seldom_holds_a_secret_is_told_from_one_that_does() {
    let catalogue = shipped_catalogue();
    let homes = Homes::new([PathBuf::from("/srv/ci")]);
    for (id, path, holds) in [
        ("npm-npmrc", "/srv/ci/.npmrc", Holds::Secret),
        ("npm-npmrc", "/srv/ci/project/.npmrc", Holds::Perhaps),
        ("git-config-embedded", "/srv/ci/project/.git/config", Holds::Perhaps),
        ("aws-credentials", "/srv/ci/.aws/credentials", Holds::Secret),
    ] {
        assert_eq!(catalogue.holds(catalogue.store(id).unwrap(), Path::new(path), &homes), holds, "{path}");
    }
}

/// Programs and what they may ask for without opening a store: agents, addresses, other programs.
#[test]
fn who_may_ask_and_who_may_not() {
    use crate::{
        catalogue::{
            expect::{Asks, asks, tests::program},
            model::ReaderRole,
        },
        lineage::model::{Script, Writable},
    };
    let catalogue = shipped_catalogue();
    let ask = |store: &str, path: &str, script: Option<&str>, writable: Writable| {
        let mut process = program(path, writable);
        process.script = script.map(|path| Script::File { path: path.into(), writable: Writable::No });
        let home = Some(std::path::Path::new("/home/ann"));
        asks(catalogue.store(store).unwrap(), &process, home, catalogue.interpreters())
    };
    let owner = Asks::As(ReaderRole::Owner);
    for (store, path, script, wanted) in [
        ("ssh-agent-socket", "/usr/bin/ssh-add", None, owner),
        ("ssh-agent-socket", "/usr/bin/socat", None, Asks::Not),
        ("ssh-agent-socket", "/usr/bin/python3", Some("/srv/deploy.py"), Asks::Weakly),
        ("gpg-agent-socket", "/usr/bin/gpg", None, owner),
        ("gpg-agent-socket", "/usr/bin/nc.openbsd", None, Asks::Not),
        ("gnome-keyring-control", "/usr/bin/gnome-keyring-daemon", None, owner),
        ("gnome-keyring-control", "/usr/bin/python3", Some("/srv/x.py"), Asks::Not),
        ("git-credential-cache", "/usr/lib/git-core/git-credential-cache", None, owner),
        ("instance-metadata", "/usr/bin/python3", Some("/usr/bin/cloud-init"), owner),
        ("instance-metadata", "/usr/bin/amazon-ssm-agent", None, owner),
        ("instance-metadata", "/usr/bin/python3", Some("/srv/app.py"), Asks::Weakly),
        ("instance-metadata", "/usr/bin/curl", None, Asks::Not),
        // Those that are meant to ask another program count here, and nowhere else.
        ("gcloud-credentials-db", "/usr/bin/kubectl", None, Asks::As(ReaderRole::Indirect)),
    ] {
        assert_eq!(ask(store, path, script, Writable::No), wanted, "{store} {path} {script:?}");
    }
    assert_eq!(ask("gpg-agent-socket", "/home/ann/bin/gpg", None, Writable::Yes), Asks::Not, "a name is no proof");
}

#[test]
fn sockets_are_not_stores_and_stores_are_no_sockets() {
    use crate::catalogue::homes::{EnvOverrides, Homes};
    let catalogue = shipped_catalogue();
    let homes = Homes::new(["/home/ann".into()]);
    let mut moved = EnvOverrides::new();
    moved.learn("SSH_AUTH_SOCK", "/srv/agent.7".as_ref(), None);
    moved.learn("GNUPGHOME", "/srv/gpg".as_ref(), None);
    let ids = |stores: Vec<&crate::catalogue::model::Store>| -> Vec<String> {
        stores.into_iter().map(|store| store.id.clone()).collect()
    };
    for (path, wanted) in [
        ("/home/ann/.gnupg/S.gpg-agent", "gpg-agent-socket"),
        ("/run/user/1000/gnupg/d.abc/S.gpg-agent.extra", "gpg-agent-socket"),
        ("/srv/gpg/S.gpg-agent", "gpg-agent-socket"),
        ("/srv/agent.7", "ssh-agent-socket"),
        ("/tmp/ssh-AbC/agent.12", "ssh-agent-socket"),
        ("/home/ann/.cache/git/credential/socket", "git-credential-cache"),
        ("/run/user/1000/bus", ""),
        ("/run/docker.sock", ""),
        ("/home/ann/.ssh/id_ed25519", ""),
    ] {
        let found = ids(catalogue.sockets_for(path.as_ref(), &homes, &moved));
        assert_eq!(found.first().map_or("", String::as_str), wanted, "{path}: {found:?}");
        let store = ids(catalogue.stores_for(path.as_ref(), &homes, &moved));
        assert!(wanted.is_empty() || !store.iter().any(|id| id == wanted), "{path} is read as {store:?}");
    }
    let metadata =
        ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    let all = catalogue.addresses();
    assert!(metadata.iter().all(|address| all.contains(&address.parse().unwrap())), "{all:?}");
    assert!(all.len() as u32 <= tokenhound_common::limits::MAX_ADDRESSES);
    assert_eq!(ids(catalogue.stores_at("169.254.169.254".parse().unwrap()).collect()), ["instance-metadata"]);
}

#[test]
fn a_bad_selector_is_told_with_its_line_and_what_would_be_right() {
    let with = |fields: &str| checked(&GOOD.replace("    format: plain\n", fields));
    for (fields, line, right) in [
        ("    format: json\n    secret_fields: [{selector: token}]\n", 12, "/name/other"),
        ("    format: ini\n    delegates: ['[a]']\n", 12, "[section]/key"),
        ("    format: plain\n    secret_fields: [{selector: /a}]\n", 12, "re:"),
        ("    format: mixed\n    secret_fields: [{selector: /a}]\n", 12, "\"format\""),
        ("    format: json\n    content_regex: ['(']\n", 12, "unclosed group"),
        (
            "    format: json\n    secret_fields:\n      - {selector: /a}\n    expiry_fields:\n      - {field: /b, encoding: date, of: [/c]}\n",
            15,
            "secret_fields",
        ),
        ("    format: json\n    not_extracted: encrypted\n    secret_fields: [{selector: /a}]\n", 3, "keep one"),
    ] {
        let outcome = with(fields);
        assert!(!outcome.passed, "{fields}");
        assert!(outcome.text.contains(&format!("x.yaml:{line}:")) && outcome.text.contains(right), "{}", outcome.text);
    }
    let good = "    format: json\n    secret_fields: [{selector: '[a]/b', format: ini, files: ['**/x.ini'], kind: password, protection: obfuscated}]\n";
    assert!(with(good).passed, "{}", with(good).text);
}

#[test]
fn every_store_says_where_its_tokens_are_or_why_none_is_taken() {
    let silent = shipped_catalogue()
        .stores()
        .iter()
        .filter(|store| store.secret_fields.is_empty() && store.not_extracted.is_none());
    let silent: Vec<&str> = silent.map(|store| store.id.as_str()).collect();
    assert!(silent.is_empty(), "{}", silent.join(", "));
    let reasons = shipped_catalogue().stores().iter().filter(|store| store.not_extracted.is_some()).count();
    assert!(reasons < 60, "{reasons}");
}

#[test]
fn selectors_name_files_that_their_stores_can_have() {
    // A path with something in place of its wildcards.
    let example = |pattern: &Pattern| {
        let text = pattern.text().replace("**", "x/y").replace('*', "x").replace('?', "0");
        PathBuf::from(format!("/home/ann/{}", text.trim_start_matches(['~', '/'])))
    };
    let open = |pattern: &Pattern| pattern.text().ends_with('*');
    for store in shipped_catalogue().stores() {
        let paths: Vec<&Pattern> = store.paths.iter().chain(&store.unwatched_paths).collect();
        let times = store.expiry_fields.iter().chain(&store.issued_fields).map(|time| &time.field);
        let all = store.secret_fields.iter().chain(&store.delegates).chain(&store.points_to).chain(times);
        for pattern in all.flat_map(|selector| &selector.files) {
            let found = paths.iter().any(|path| open(path) || pattern.matches(&example(path), None));
            assert!(found, "{}: no path of it fits {}", store.id, pattern.text());
        }
    }
}
