//! What is wrong is said with its place and remedy and the right exit code, and nothing is started.

use std::{os::unix::process::CommandExt, path::Path, process::Command};

use tokenhound_tests::{
    agent,
    process::{self, Ended},
    skip,
    stage::{NOBODY, Stage, set_mode},
};

/// Runs tokenhound, which must not panic.
fn tokenhound(arguments: &[&str]) -> Ended {
    let ended = process::run(Command::new(process::tokenhound()).args(arguments), b"");
    assert!(!ended.err().contains("panicked"), "{arguments:?}: {}", ended.err());
    ended
}

/// Runs `watch` with these options and a command that leaves a mark. It must end with 2 and leave none.
fn refused(stage: &Stage, options: &[&str]) -> String {
    let mark = stage.path("started").display().to_string();
    let ended = tokenhound(&[&["watch"], options, &["--", "touch", &mark]].concat());
    assert_eq!(ended.code(), 2, "{options:?}: {}", ended.err());
    assert!(!Path::new(&mark).exists(), "{options:?} started the command");
    assert_eq!(ended.out(), "", "{options:?}");
    ended.err()
}

const POLICY: &str = "exceptions:\n  - store: gh-hosts\n    reader: /usr/bin/cat\n    becuase: it is in order\n";
const CATALOGUE: &str = "stores:\n  - id: my-tool\n    tool: My tool\n    vendro: me\n";

#[test]
fn unknown_keys_are_named_with_file_and_line() {
    let stage = Stage::new();
    for (kind, text, key, line) in [("policy", POLICY, "becuase", 4), ("catalogue", CATALOGUE, "vendro", 4)] {
        let file = stage.file(&format!("{kind}.d/wrong.yaml"), text).display().to_string();
        let place = format!("{file}:{line}");
        let checked = tokenhound(&[kind, "check", &file]);
        assert_eq!(checked.code(), 2, "{}{}", checked.out(), checked.err());
        let directory = stage.path(&format!("{kind}.d")).display().to_string();
        for said in [checked.out(), refused(&stage, &[&format!("--{kind}"), &directory])] {
            assert!(said.contains(&place) && said.contains(key), "{kind}: {place} and {key} are not in:\n{said}");
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let stage = Stage::new();
    let two = format!("{POLICY}  - stroe: gh-hosts\n    reason: it is in order\n");
    let file = stage.file("policy.d/wrong.yaml", two).display().to_string();
    let said = tokenhound(&["policy", "check", &file]).out();
    assert!(said.contains("becuase") && said.contains("stroe"), "{said}");
}

#[test]
fn a_file_that_is_no_yaml_or_no_text() {
    let stage = Stage::new();
    for (name, bytes) in
        [("a.yaml", &b"exceptions: [\n"[..]), ("b.yaml", b"\xff\xfe\0binary"), ("c.yaml", b"- 1\n- 2\n")]
    {
        let file = stage.file(name, bytes).display().to_string();
        for kind in ["policy", "catalogue"] {
            let ended = tokenhound(&[kind, "check", &file]);
            assert_eq!(ended.code(), 2, "{kind} {name}: {}{}", ended.out(), ended.err());
            assert!(ended.out().contains(&file) || ended.err().contains(&file), "{kind} {name}: {}", ended.out());
        }
    }
}

#[test]
fn options_that_cannot_be() {
    let stage = Stage::new();
    let missing = stage.path("missing/findings").display().to_string();
    for (option, value, told) in [
        ("--findings", &missing[..], &missing[..]),
        ("--summary", &missing, &missing),
        ("--sarif", &missing, &missing),
        ("--annotations", &missing, &missing),
        // What is told of it is no command to a CI system.
        ("--summary", "/no ##vso[task.setvariable variable=x]/y", r"/no #\x23vso["),
        ("--fail-on", "bogus", "critical"),
        ("--user", "nobody-of-that-name", "nobody-of-that-name"),
        ("--tier", "kprobe", "tracepoint"),
        ("--policy", "/etc/passwd", "/etc/passwd"),
    ] {
        let said = refused(&stage, &[option, value]);
        assert!(said.contains(told), "{option} {value}: {said}");
    }
    assert_eq!(tokenhound(&["watch", "--"]).code(), 2);
    assert_eq!(tokenhound(&["explain", "no-such-detector"]).code(), 2);
    assert_eq!(tokenhound(&["catalogue", "show", "no-such-store"]).code(), 2);
    assert_eq!(tokenhound(&["run", "--listen", "0.0.0.0:1"]).code(), 2);
    for option in ["--ready", "--summary", "--sarif", "--annotations"] {
        let ended = tokenhound(&["run", option, "/dev/null"]);
        assert_eq!(ended.code(), 2, "{option}");
        assert!(ended.err().contains(&format!("{option} goes with --ci")), "{}", ended.err());
    }
}

/// A missing store is no error: there is nothing to steal.
#[test]
fn directories_that_cannot_be_read_or_trusted() {
    let stage = Stage::new();
    stage.open_to_others();
    let program = stage.program("tokenhound", &process::tokenhound());
    let hidden = stage.directory("hidden.d");
    set_mode(&hidden, 0o700);
    let mut watch = Command::new(&program);
    watch.args(["watch", "--policy"]).arg(&hidden).args(["--", "true"]).uid(NOBODY).gid(NOBODY);
    let ended = process::run(&mut watch, b"");
    assert_eq!(ended.code(), 2, "{}", ended.err());
    assert!(ended.err().contains(&hidden.display().to_string()), "{}", ended.err());
    // Anybody could add an exception there.
    let open = stage.file("open.d/policy.yaml", "exceptions: []\n");
    set_mode(&open, 0o666);
    let said = refused(&stage, &["--policy", &stage.path("open.d").display().to_string()]);
    assert!(said.contains(&open.display().to_string()), "{said}");
}

#[test]
fn without_rights() {
    let stage = Stage::new();
    stage.open_to_others();
    let program = stage.program("tokenhound", &process::tokenhound());
    for arguments in [&["watch", "--", "true"][..], &["run", "--listen", "127.0.0.1:0"], &["doctor"]] {
        let mut command = Command::new(&program);
        command.args(arguments).uid(NOBODY).gid(NOBODY);
        let ended = process::run(&mut command, b"");
        assert_eq!(ended.code(), 77, "{arguments:?}: {}{}", ended.out(), ended.err());
        assert!(!ended.err().contains("panicked"), "{}", ended.err());
        let said = ended.out() + &ended.err();
        assert!(said.contains("root") || said.contains("CAP_"), "{arguments:?} names the remedy: {said}");
    }
}

#[test]
fn a_port_in_use() {
    if !skip::native("it does not depend on the kernel, and guests are slow") {
        return;
    }
    let stage = Stage::new();
    // An agent that runs would be the first thing it complains of.
    let _alone = agent::alone();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = process::run(&mut agent::command(&stage, port), b"");
    assert_eq!(ended.code(), 1, "{}", ended.err());
    assert!(ended.err().contains(&format!("127.0.0.1:{port}")), "{}", ended.err());
    assert!(!ended.err().contains("watching"), "something was started: {}", ended.err());
}
