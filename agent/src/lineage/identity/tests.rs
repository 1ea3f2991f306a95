use std::{ffi::OsStr, path::Path};

use super::{Facts, InterpreterRules, normalise, script};
use crate::lineage::model::{Script, Writable};

/// `None` for no script, `inline`, `module NAME` or `file PATH`.
fn found(path: &str, line: &[&str]) -> String {
    let args: Vec<String> = line.iter().map(|arg| (*arg).to_owned()).collect();
    let facts = Facts {
        path: Path::new(path),
        args: &args,
        args_truncated: false,
        script: None,
        cwd: Some(Path::new("/home/u/p")),
    };
    show(script(&InterpreterRules::default(), &facts))
}

fn show(script: Option<Script>) -> String {
    match script {
        None => "none".to_owned(),
        Some(Script::Inline) => "inline".to_owned(),
        Some(Script::Module(name)) => format!("module {name}"),
        Some(Script::File { path, writable }) => {
            assert_eq!(writable, Writable::Unknown);
            format!("file {}", path.display())
        }
    }
}

#[test]
fn command_lines() {
    let table: &[(&str, &[&str], &str)] = &[
        ("/usr/bin/python3.11", &["python3", "/usr/bin/aws", "s3", "ls"], "file /usr/bin/aws"),
        ("/usr/bin/python3.11", &["python3", "-Es", "./x.py"], "file /home/u/p/x.py"),
        ("/usr/bin/python3.11", &["python3", "-W", "ignore", "-X", "dev", "x.py"], "file /home/u/p/x.py"),
        ("/usr/bin/python3.11", &["python3", "-Wignore", "x.py", "-c", "no"], "file /home/u/p/x.py"),
        ("/usr/bin/python3.11", &["python3", "-m", "pip", "install"], "module pip"),
        ("/usr/bin/python3.11", &["python3", "-mpip"], "module pip"),
        ("/usr/bin/python3.11", &["python3", "-Im", "http.server"], "module http.server"),
        ("/usr/bin/python3.11", &["python3", "-c", "print(1)", "x.py"], "inline"),
        ("/usr/bin/python3.11", &["python3", "-Bc", "print(1)"], "inline"),
        ("/usr/bin/python3.11", &["python3", "-"], "inline"),
        ("/usr/bin/python3.11", &["python3"], "inline"),
        ("/usr/bin/python3.11", &["python3", "/dev/fd/63"], "inline"),
        ("/usr/bin/python3.11", &["python3", "/proc/self/fd/3"], "inline"),
        ("/usr/bin/python3.11", &["python3", "/dev/stdin"], "inline"),
        ("/usr/bin/pypy3.9", &["pypy3", "x.py"], "file /home/u/p/x.py"),
        ("/usr/bin/bash", &["bash"], "none"),
        ("/usr/bin/bash", &["-bash", "-l"], "none"),
        ("/usr/bin/bash", &["bash", "-lc", "cat x"], "inline"),
        ("/usr/bin/bash", &["bash", "-euo", "pipefail", "run.sh"], "file /home/u/p/run.sh"),
        ("/usr/bin/bash", &["bash", "--norc", "-x", "run.sh"], "file /home/u/p/run.sh"),
        ("/usr/bin/bash", &["bash", "--rcfile", "evil", "run.sh"], "inline"),
        ("/usr/bin/dash", &["sh", "-s", "arg"], "inline"),
        ("/usr/bin/dash", &["sh", "-e", "/etc/init.d/x", "start"], "file /etc/init.d/x"),
        ("/usr/bin/zsh", &["zsh", "-o", "shwordsplit", "run"], "file /home/u/p/run"),
        ("/usr/bin/node", &["node", "/usr/bin/npm", "ci"], "file /usr/bin/npm"),
        ("/usr/bin/node", &["node", "--max-old-space-size=512", "a.js"], "file /home/u/p/a.js"),
        ("/usr/bin/node", &["node", "-e", "1"], "inline"),
        ("/usr/bin/node", &["node", "--eval=1"], "inline"),
        ("/usr/bin/node", &["node", "-pe", "1"], "inline"),
        ("/usr/bin/node", &["node", "--require", "./evil.js", "/usr/bin/npm"], "inline"),
        ("/usr/bin/node", &["node", "--import=./evil.js", "/usr/bin/npm"], "inline"),
        ("/usr/bin/node", &["node"], "inline"),
        ("/usr/bin/node", &["node", "--", "-x.js"], "file /home/u/p/-x.js"),
        ("/usr/bin/ruby3.1", &["ruby", "/usr/bin/gem", "push"], "file /usr/bin/gem"),
        ("/usr/bin/ruby3.1", &["ruby", "-Ilib", "-W0", "t.rb"], "file /home/u/p/t.rb"),
        ("/usr/bin/ruby3.1", &["ruby", "-rjson", "t.rb"], "inline"),
        ("/usr/bin/ruby3.1", &["ruby", "-ne", "print"], "inline"),
        ("/usr/bin/perl", &["perl", "-pi.bak", "-e", "s/a/b/", "f"], "inline"),
        ("/usr/bin/perl", &["perl", "-MJSON::PP", "-w", "t.pl"], "file /home/u/p/t.pl"),
        ("/usr/bin/perl5.36.0", &["perl", "-lane", "print"], "inline"),
        ("/usr/bin/php8.2", &["php", "-f", "a.php"], "file /home/u/p/a.php"),
        ("/usr/bin/php8.2", &["php", "/usr/bin/composer", "install"], "file /usr/bin/composer"),
        ("/usr/bin/php8.2", &["php", "-r", "echo 1;"], "inline"),
        ("/usr/bin/php8.2", &["php", "-d", "auto_prepend_file=evil.php", "/usr/bin/composer"], "inline"),
        ("/usr/bin/php8.2", &["php", "-dauto_prepend_file=evil.php", "/usr/bin/composer"], "inline"),
        ("/usr/bin/php8.2", &["php", "-d", "memory_limit=-1", "/usr/bin/composer"], "file /usr/bin/composer"),
        ("/usr/lib/jvm/java-17/bin/java", &["java", "-Xmx1g", "-jar", "/opt/a.jar", "x"], "file /opt/a.jar"),
        ("/usr/lib/jvm/java-17/bin/java", &["java", "-cp", "/opt/a.jar", "com.x.Main"], "module com.x.Main"),
        ("/usr/lib/jvm/java-17/bin/java", &["java", "-javaagent:evil.jar", "-jar", "/opt/a.jar"], "inline"),
        ("/usr/lib/jvm/java-17/bin/java", &["java", "@args"], "inline"),
        ("/usr/lib/jvm/java-17/bin/java", &["java", "A.java"], "file /home/u/p/A.java"),
        ("/usr/bin/deno", &["deno", "run", "-A", "m.ts"], "file /home/u/p/m.ts"),
        ("/usr/bin/deno", &["deno", "run", "https://x.example/m.ts"], "inline"),
        ("/usr/bin/deno", &["deno", "run", "npm:cowsay"], "module npm:cowsay"),
        ("/usr/bin/deno", &["deno", "eval", "1"], "inline"),
        ("/usr/bin/deno", &["deno", "fmt"], "none"),
        ("/usr/bin/bun", &["bun", "install"], "none"),
        ("/usr/bin/bun", &["bun", "a.ts"], "file /home/u/p/a.ts"),
        ("/usr/bin/bun", &["bun", "-e", "1"], "inline"),
        ("/lib64/ld-linux-x86-64.so.2", &["ld-linux-x86-64.so.2", "./tool", "x"], "file /home/u/p/tool"),
        ("/lib64/ld-linux-x86-64.so.2", &["ld", "--library-path", "/x", "/usr/bin/gh"], "file /usr/bin/gh"),
        ("/lib64/ld-linux-x86-64.so.2", &["ld", "--preload", "e.so", "/usr/bin/gh"], "inline"),
        ("/lib/ld-musl-x86_64.so.1", &["ld-musl", "./tool"], "file /home/u/p/tool"),
        // Not interpreters, whatever they call themselves.
        ("/usr/bin/env", &["python3", "X=1", "cat"], "none"),
        ("/tmp/aws", &["python3", "/usr/bin/aws"], "none"),
        ("/usr/bin/ld", &["ld", "-o", "x"], "none"),
        ("/usr/bin/gh", &["gh", "auth", "token"], "none"),
        ("/usr/bin/busybox", &["cat", "x"], "none"),
    ];
    for (path, line, want) in table {
        assert_eq!(found(path, line), *want, "{path} {line:?}");
    }
}

#[test]
fn script_named_by_the_kernel_wins_over_arguments() {
    let args = ["python3".to_owned(), "-c".to_owned(), "lie".to_owned()];
    let mut facts = Facts {
        path: Path::new("/usr/bin/python3.11"),
        args: &args,
        args_truncated: false,
        script: Some(OsStr::new("./bin/aws")),
        cwd: Some(Path::new("/opt/aws")),
    };
    let rules = InterpreterRules::default();
    assert_eq!(show(script(&rules, &facts)), "file /opt/aws/bin/aws");
    facts.script = Some(OsStr::new("/dev/fd/5"));
    assert_eq!(show(script(&rules, &facts)), "inline");
    // Without a working directory a relative name stays relative and so matches nothing.
    (facts.script, facts.cwd) = (Some(OsStr::new("bin/aws")), None);
    assert_eq!(show(script(&rules, &facts)), "file bin/aws");
    // Where `..` leads is for the file system to say.
    (facts.script, facts.cwd) = (Some(OsStr::new("../x")), Some(Path::new("/usr/bin")));
    assert_eq!(show(script(&rules, &facts)), "file /usr/bin/../x");
}

#[test]
fn cut_arguments_prove_nothing() {
    let args = ["bash".to_owned(), "--posix".to_owned()];
    let facts = Facts { path: Path::new("/usr/bin/bash"), args: &args, args_truncated: true, script: None, cwd: None };
    assert_eq!(script(&InterpreterRules::default(), &facts), Some(Script::Inline));
}

#[test]
fn versions_are_not_part_of_a_name() {
    for (name, want) in [
        ("python3.11", "python"),
        ("python3.7m", "python"),
        ("python3.11-dbg", "python"),
        ("perl5.36.0", "perl"),
        ("ruby-2.7", "ruby"),
        ("node", "node"),
        ("7z", "7z"),
        ("base64", "base"),
        ("python3-config", "python3-config"),
        ("", ""),
    ] {
        assert_eq!(normalise(name), want, "{name}");
    }
}
