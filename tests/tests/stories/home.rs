//! The home of a story, with stores in it.

use std::{fs, path::PathBuf};

use tokenhound_tests::{stage::Stage, store::Store};

/// Makes it.
pub(crate) fn make(stage: &Stage, name: &str) -> PathBuf {
    let home = stage.directory(&format!("homes/{name}"));
    for store in [Store::GhHosts, Store::AwsCredentials] {
        store.put(stage, &home);
    }
    let hosts = fs::read_to_string(home.join(Store::GhHosts.place())).expect("read a file");
    let token = hosts.lines().find_map(|line| line.trim().strip_prefix("oauth_token: ")).expect("a token");
    for (place, content) in [
        (".token", format!("{token}\n")),
        // What only looks like one, of the same length.
        (".other", format!("{}\n", token.chars().rev().collect::<String>())),
        // As a person types it.
        (".typed", format!("echo curl -H 'Authorization: token {token}' http://127.0.0.1:9\n")),
        (".typed-other", "echo curl -H 'Accept: text/plain' http://127.0.0.1:9\n".to_owned()),
        (".zshrc", "HISTFILE=~/.zsh_history HISTSIZE=1000 SAVEHIST=1000\n".to_owned()),
        (".gitconfig", "[user]\n\tname = a\n\temail = a@b.invalid\n".to_owned()),
        ("notes.txt", "nothing of interest\n".to_owned()),
    ] {
        stage.file(&format!("homes/{name}/{place}"), content);
    }
    home
}
