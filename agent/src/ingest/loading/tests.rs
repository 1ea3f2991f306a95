use super::*;

fn cleaned(name: &str, value: &str) -> String {
    clean(name, value.as_bytes()).map(|kept| String::from_utf8(kept.into_owned()).unwrap()).unwrap_or_default()
}

#[test]
fn only_what_names_code_is_kept() {
    for (name, value, kept) in [
        ("HOME", "/home/ann", "/home/ann"),
        ("LD_PRELOAD", "/tmp/x.so:liba.so libb.so", "/tmp/x.so:liba.so libb.so"),
        ("LD_PRELOAD", "", ""),
        ("PYTHONPATH", ":/a:/b c", ":/a:/b c"),
        ("BASH_ENV", "/home/ann/x y", "/home/ann/x y"),
        ("NODE_OPTIONS", "--max-old-space-size=4096 --title=hunter2", ""),
        ("NODE_OPTIONS", "--require /tmp/x.js --title=hunter2", "--require /tmp/x.js"),
        ("NODE_OPTIONS", r#" --require "/home/a b/\"x\".js" -r=y"#, "--require /home/a b/\"x\".js\n-r y"),
        ("NODE_OPTIONS", "--experimental_loader=file:///p/.pnp.loader.mjs", "--experimental-loader /p/.pnp.loader.mjs"),
        ("NODE_OPTIONS", "--import=data:text/javascript,hunter2", "--import <code>"),
        ("NODE_OPTIONS", "--require", ""),
        ("JAVA_TOOL_OPTIONS", "-Dpassword=hunter2 -javaagent:/opt/a.jar=key=hunter2", "-javaagent /opt/a.jar"),
        (
            "JDK_JAVA_OPTIONS",
            "-cp '/a b:/c' --patch-module=m=/d @/e",
            "--class-path /a b\n--class-path /c\n--patch-module /d\n@ /e",
        ),
        ("_JAVA_OPTIONS", "-Xmx1g -Xbootclasspath/a:/tmp/x.jar", "-Xbootclasspath /tmp/x.jar"),
        ("RUBYOPT", "-W0 -rbundler/setup -I /lib/a", "-r bundler/setup\n-I /lib/a"),
        ("PERL5OPT", "-Mlib=/tmp/p,/q -MDevel::Cover=-db,hunter2 -w", "-I /tmp/p\n-I /q\n-M Devel::Cover"),
        ("PERL5OPT", "-Mbase;system('hunter2')", "-M <code>"),
        ("GIT_SSH_COMMAND", "ssh -i hunter2", ""),
        ("GIT_SSH_COMMAND", "X=hunter2 '/tmp/my ssh' -i hunter2", "- /tmp/my ssh"),
        ("GIT_CONFIG_KEY_0", "http.https://x.invalid/.extraheader", ""),
        ("GIT_CONFIG_KEY_15", "credential.https://ann:hunter2@x.invalid.helper", "- credential.helper"),
        ("GIT_CONFIG_VALUE_0", "Authorization: Basic hunter2", ""),
        ("GIT_CONFIG_VALUE_0", "!/tmp/helper hunter2", "- /tmp/helper"),
        ("GIT_CONFIG_VALUE_0", "!gh auth git-credential", ""),
    ] {
        let is = cleaned(name, value);
        assert_eq!(is, kept, "{name}={value}");
        assert!(!is.contains("hunter2"));
    }
}

#[test]
fn a_line_is_one_line_and_there_are_not_too_many() {
    assert_eq!(cleaned("NODE_OPTIONS", "--require \"/a\n-r /etc/x\""), "--require /a?-r /etc/x");
    assert!(cleaned("RUBYOPT", &"-r/aaaaaaa ".repeat(1000)).len() <= MOST);
    let loads = |name: &str, value: &str| named(name).unwrap().loads(OsStr::new(&cleaned(name, value)));
    let load = |option: &str, value: &str| (option.to_owned(), OsString::from(value));
    assert_eq!(loads("NODE_OPTIONS", "--import /a -r b"), [load("--import", "/a"), load("-r", "b")]);
    assert_eq!(loads("LD_PRELOAD", "/tmp/x.so:liba.so"), [load("", "/tmp/x.so"), load("", "liba.so")]);
    assert_eq!(loads("PYTHONPATH", ":/a"), [load("", "."), load("", "/a")]);
    assert_eq!(loads("LD_PRELOAD", ""), []);
}

#[test]
fn every_name_is_known_by_its_name() {
    let names = names();
    assert!(names.len() > 50);
    for name in &names {
        assert!(named(name).is_some_and(|variable| name.starts_with(variable.name)), "{name}");
    }
    for other in ["HOME", "PATH", "GIT_CONFIG_COUNT", "LD_PRELOAD1", "PYTHONSTARTUP", ""] {
        assert!(named(other).is_none(), "{other}");
    }
    let moving = crate::catalogue::tests::shipped_catalogue().environment_variables();
    for name in names.iter().filter(|name| moving.contains(name.as_str())) {
        assert_eq!(cleaned(name, "/a b --c"), "/a b --c", "{name} moves a store: its value must be whole");
    }
}
