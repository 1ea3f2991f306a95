//! What the samples do not show: sharing, placeholders, limits, content that is not what its name says.

use super::*;
use crate::catalogue::tests::shipped_catalogue;

fn store(id: &str) -> &'static Store {
    shipped_catalogue().store(id).unwrap()
}

fn content<'a>(path: &'a str, text: &'a str) -> Content<'a> {
    Content { path: Path::new(path), bytes: text.as_bytes(), wal: None, written: None }
}

fn labels(extraction: &Extraction) -> Vec<&str> {
    extraction.tokens.iter().map(|token| token.facts.field.as_str()).collect()
}

#[test]
fn a_shared_file_belongs_to_the_stores_whose_content_it_has() {
    let path = "/home/ann/.netrc";
    let plain = content(path, "machine git.example.com login ann password made-up\n");
    assert_eq!(labels(&extract(store("netrc"), &plain)), ["machine git.example.com#password"]);
    assert_eq!(labels(&extract(store("heroku"), &plain)), Vec::<&str>::new());

    let both = "machine api.heroku.com login ann password made-up-1\nmachine h login ann password made-up-2\n";
    let all = extract_all(&[store("netrc"), store("heroku"), store("wandb")], &content(path, both));
    let of = |id: &str| labels(&all.iter().find(|(store, _)| store.id == id).unwrap().1);
    assert_eq!(of("heroku"), ["machine api.heroku.com#password"]);
    assert_eq!(of("netrc"), ["machine h#password"]);
    assert_eq!(of("wandb"), Vec::<&str>::new());
}

#[test]
fn a_file_of_its_own_needs_no_sign() {
    let own = content("/home/ann/.config/wandb/settings", "[default]\napi_key = made-up\n");
    assert_eq!(labels(&extract(store("wandb"), &own)), ["[default]/api_key"]);
}

#[test]
fn only_what_is_a_variable_alone_is_none() {
    for (value, variable) in [
        ("${TOKEN}", true),
        ("$TOKEN", true),
        ("%TOKEN%", true),
        ("$token", false),
        ("$2y$10$x", false),
        ("a${TOKEN}", false),
        ("${}", false),
        ("$", false),
        ("%a", false),
    ] {
        assert_eq!(is_variable(value.as_bytes()), variable, "{value}");
    }
}

#[test]
fn what_is_not_understood_is_said_without_its_content() {
    for (id, path, text) in [
        ("codex-auth", "/home/ann/.codex/auth.json", "{\"tokens\": made-up-secret"),
        ("gh-hosts", "/home/ann/.config/gh/hosts.yml", "a: [made-up-secret\n  : :"),
        ("cargo-credentials", "/home/ann/.cargo/credentials.toml", "token = made-up-secret"),
        ("maven-settings", "/home/ann/.m2/settings.xml", "<a>made-up-secret"),
        ("gcloud-credentials-db", "/home/ann/.config/gcloud/credentials.db", "made-up-secret"),
    ] {
        let found = extract(store(id), &content(path, text));
        assert!(found.tokens.is_empty(), "{id}");
        assert_eq!(found.problems.len(), 1, "{id}: {:?}", found.problems);
        assert!(!found.problems[0].contains("made-up"), "{:?}", found.problems);
    }
}

#[test]
fn nothing_is_no_problem() {
    for text in ["", " \n\t", "{}"] {
        let found = extract(store("codex-auth"), &content("/home/ann/.codex/auth.json", text));
        assert!(found.tokens.is_empty() && found.problems.is_empty(), "{text:?}: {:?}", found.problems);
    }
    let log =
        extract(store("cursor-ide"), &content("/home/ann/.config/Cursor/User/globalStorage/state.vscdb-wal", "x"));
    assert!(log.tokens.is_empty() && log.problems.is_empty());
    let encrypted = extract(store("keepass"), &content("/home/ann/x.kdbx", "anything"));
    assert!(encrypted.tokens.is_empty() && encrypted.problems.is_empty());
}

#[test]
fn there_are_bounds() {
    let many: String = (0..5000).map(|number| format!("machine h{number} password made-up-{number}\n")).collect();
    let found = extract(store("netrc"), &content("/home/ann/.netrc", &many));
    assert_eq!(found.tokens.len(), MAX_TOKENS);
    assert!(found.problems.iter().any(|problem| problem.contains("more than 4096 tokens")), "{:?}", found.problems);

    let lines = "a=b\n".repeat(limits::MAX_NODES + 1);
    let found = extract(store("pypirc"), &content("/home/ann/.pypirc", &lines));
    assert!(found.tokens.is_empty() && found.problems[0].contains("more than"), "{:?}", found.problems);

    let large = "x".repeat(MAX_BYTES + 1);
    let found = extract(store("vault-token"), &content("/home/ann/.vault-token", &large));
    assert!(found.tokens.is_empty() && found.problems[0].contains("16 MiB"));

    let long = "x".repeat(MAX_TOKEN_BYTES + 1);
    let found = extract(store("vault-token"), &content("/home/ann/.vault-token", &long));
    assert!(found.tokens.is_empty() && found.problems[0].contains("larger than"));
}

#[test]
fn files_of_a_store_that_are_named_are_read_in_their_own_way() {
    let encrypted = content("/home/ann/.netrc.gpg", "machine a password made-up");
    assert_eq!(labels(&extract(store("netrc"), &encrypted)), Vec::<&str>::new());
    let public = content("/etc/wireguard/publickey", "made-up");
    assert_eq!(labels(&extract(store("wireguard"), &public)), Vec::<&str>::new());
    let private = content("/etc/wireguard/privatekey", "made-up");
    assert_eq!(labels(&extract(store("wireguard"), &private)), ["*file*"]);
}

#[test]
fn a_path_that_is_named_is_found_from_where_it_is_named() {
    let at = |text: &str| file(Path::new("/home/ann/.oci/config"), text.as_bytes());
    assert_eq!(at("/k.pem"), ReferenceTo::File("/k.pem".into()));
    assert_eq!(at("~/k.pem"), ReferenceTo::File("~/k.pem".into()));
    assert_eq!(at(" k.pem\n"), ReferenceTo::File("/home/ann/.oci/k.pem".into()));
    assert_eq!(at("${KEY}"), ReferenceTo::Environment);
}
