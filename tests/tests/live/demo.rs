//! `tokenhound demo` works, and leaves nothing behind.

use std::{fs, path::Path, process::Command};

use tokenhound_tests::process;

fn left_behind() -> Vec<String> {
    let entries = fs::read_dir(Path::new("/run/tokenhound")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("demo-")).collect()
}

#[test]
fn it_catches_its_own_thief() {
    let before = left_behind();
    let mut command = Command::new(process::tokenhound());
    let mut demo = process::Background::start(command.arg("demo"));
    let own = format!("demo-{}", demo.pid());
    let ended = demo.wait();
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
    for told in ["unexpected-reader", "credential-sweep", "process-inspection", "gh read its own store"] {
        assert!(ended.out().contains(told), "{told} is not in:\n{}", ended.out());
    }
    assert!(!ended.out().contains("MISSED") && !ended.err().contains("panicked"), "{}{}", ended.out(), ended.err());
    // Its made-up tokens, and what stands in the script's file.
    for token in ["gho_0000", "AKIA2222", "npm_0000", "ZGVtbzpkZW1v", "made-up\n"] {
        assert!(!ended.out().contains(token) && !ended.err().contains(token), "{token} in:\n{}", ended.out());
    }
    assert!(!left_behind().contains(&own), "{own} is left in /run/tokenhound");
    assert!(before.iter().all(|name| *name != own));
}
