//! What the samples do not show: references, sharing, limits, broken content.

use super::*;
use crate::catalogue::tests::shipped_catalogue;

fn store(id: &str) -> &'static Store {
    shipped_catalogue().store(id).unwrap()
}

fn content<'a>(path: &'a str, text: &'a str) -> Content<'a> {
    Content { path: Path::new(path), bytes: text.as_bytes(), wal: None, written: None }
}

fn tokens(id: &str, path: &str, text: &str) -> Vec<(String, String)> {
    let found = extract(store(id), &content(path, text));
    assert_eq!(found.problems, Vec::<String>::new());
    let pair = |token: &Token| (token.facts.field.clone(), String::from_utf8_lossy(token.secret.expose()).into_owned());
    found.tokens.iter().map(pair).collect()
}

#[test]
fn a_file_with_profiles_gives_one_token_for_each() {
    let text =
        "[default]\naws_access_key_id = AKIAMADEUP\naws_secret_access_key = one\n[work]\naws_secret_access_key=two\n";
    let found = tokens("aws-credentials", "/home/ann/.aws/credentials", text);
    assert_eq!(
        found,
        [
            ("[default]/aws_secret_access_key".to_owned(), "one".to_owned()),
            ("[work]/aws_secret_access_key".to_owned(), "two".to_owned())
        ]
    );
}
