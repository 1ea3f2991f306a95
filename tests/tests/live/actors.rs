//! On whose behalf: a person at a terminal, a package's script, an AI agent, a service. Each with its innocent twin.

use std::{fs, path::Path, process::Command};

use tokenhound_tests::{
    finding::Finding,
    skip,
    stage::{Stage, set_mode},
    store::Store,
    watch::{Watch, Watched},
};

use crate::actor;

/// A home with these stores.
fn home(stage: &Stage, name: &str, stores: &[Store]) -> std::path::PathBuf {
    let home = stage.directory(&format!("homes/{name}"));
    for store in stores {
        store.put(stage, &home);
    }
    home
}

/// The one finding about reads below `home`, by a program of this name.
fn one<'w>(watched: &'w Watched, home: &Path, reader: &str) -> &'w Finding {
    let home = home.display().to_string();
    let by = |finding: &&Finding| finding.path().starts_with(&home) && finding.reader().ends_with(reader);
    let found: Vec<&Finding> = watched.of("unexpected-reader").into_iter().filter(by).collect();
    let [finding] = found[..] else { panic!("{} findings in {home} by {reader}: {}", found.len(), watched.story()) };
    finding
}

/// Logs in as root in a terminal and types these lines. The shell keeps no history, and its home is `home`.
fn typed(stage: &Stage, home: &Path, lines: &[String]) -> Watched {
    let typist = actor(stage, "typist");
    let mut words = vec![typist.display().to_string(), "type".to_owned(), "unset HISTFILE".to_owned()];
    words.push(format!("export HOME='{}'; cd", home.display()));
    words.extend(lines.iter().cloned());
    words.extend(["--", "login", "-f", "root"].map(str::to_owned));
    let watched = Watch::new(stage).env("HOME", home).arg("--fail-on").arg("none").run(words);
    assert_eq!(watched.ended.code(), 0, "{}{}", watched.ended.out(), watched.ended.err());
    watched
}

/// Whether this test itself runs on behalf of a runner or an agent: then nobody below it is a person.
fn is_delegated(finding: &Finding) -> bool {
    let delegated = finding
        .actors()
        .iter()
        .any(|party| ["ci-job", "ai-agent", "package-script"].iter().any(|class| party.starts_with(class)));
    if delegated {
        skip::skip(&format!("this runs on behalf of {:?}", finding.actors()));
    }
    delegated
}

#[test]
fn a_person_who_looks_at_their_own_token() {
    if !skip::has(&["login", "bash", "setsid", "curl", "cat", "grep"]) {
        return;
    }
    let stage = Stage::new();
    let main = home(&stage, "person", &[]);
    let homes: Vec<_> = ["cat", "pipe", "curl", "script", "nested", "upload", "copy"]
        .iter()
        .map(|name| home(&stage, name, &[Store::AwsCredentials, Store::Netrc]))
        .collect();
    let [cat, pipe, curl, script, nested, upload, copy] = &homes[..] else { panic!("seven homes") };
    stage.file("look.sh", "cat \"$1\" >/dev/null; :\n");
    // Where a store may be is learnt from the homes of programs that run.
    let know = |home: &Path| format!("HOME='{}' /bin/true", home.display());
    let mut lines: Vec<String> = homes.iter().map(|home| know(home)).collect();
    lines.extend([
        format!("cat {}/.aws/credentials >/dev/null", cat.display()),
        format!("grep -c aws {}/.aws/credentials | cat", pipe.display()),
        format!("HOME={} curl --silent --netrc --max-time 1 http://127.0.0.1:1/", curl.display()),
        format!("bash {}/look.sh {}/.aws/credentials", stage.path("").display(), script.display()),
        format!("echo 'cat {}/.aws/credentials >/dev/null' | bash", nested.display()),
        format!("curl --silent file://{}/.netrc >/dev/null", upload.display()),
        format!("cp {}/.aws/credentials {}", copy.display(), stage.path("out/loot").display()),
    ]);
    let watched = typed(&stage, &main, &lines);
    let control = one(&watched, copy, "/cp");
    assert!(watched.reads(Store::Netrc.id(), "curl", "expected") > 0, "{}", watched.story());
    assert!(!watched.findings.iter().any(|finding| finding.path().starts_with(&curl.display().to_string())));
    if is_delegated(control) {
        return;
    }
    for (home, reader, severity) in [
        (cat, "/cat", "Informational"),
        (pipe, "/grep", "Informational"),
        // What a script does is not what a person sees.
        (script, "/cat", "High"),
        (nested, "/cat", "High"),
        (upload, "/curl", "Medium"),
        // An installed program, typed, at a tier 1 store that many programs read: one level less.
        (copy, "/cp", "Medium"),
    ] {
        let finding = one(&watched, home, reader);
        assert_eq!(finding.actor(), "interactive", "{}", finding.brief());
        assert_eq!(finding.severity(), severity, "{}", finding.0);
    }
}

#[test]
fn an_install_script_and_npm_itself() {
    if !skip::has(&["login", "npm", "node", "tar", "bash", "setsid"]) {
        return;
    }
    let stage = Stage::new();
    let home = home(&stage, "npm", &[Store::Npmrc, Store::AwsCredentials]);
    let package = r#"{"name": "left-padder", "version": "1.0.0", "scripts":
        {"postinstall": "cat \"$HOME/.npmrc\" >/dev/null; cat \"$HOME/.aws/credentials\" >/dev/null"}}"#;
    stage.file("made/package/package.json", package);
    stage.file("homes/npm/project/package.json", r#"{"name": "mine", "version": "1.0.0"}"#);
    let tarball = stage.path("left-padder.tgz");
    let tar = Command::new("tar").arg("-czf").arg(&tarball).arg("-C").arg(stage.path("made")).arg("package").status();
    assert!(tar.is_ok_and(|status| status.success()), "tar");
    let install = format!("cd project && npm install --offline --no-audit --no-fund '{}'", tarball.display());
    let watched = typed(&stage, &home, &[install]);
    for store in [Store::Npmrc, Store::AwsCredentials] {
        let found: Vec<&Finding> =
            watched.findings.iter().filter(|finding| finding.path().ends_with(store.place())).collect();
        let [finding] = found[..] else { panic!("{store:?}: {}\n{}", watched.story(), watched.ended.out()) };
        assert!(finding.reader().ends_with("/cat"), "{}", finding.brief());
        assert_eq!((finding.actor(), finding.severity()), ("package-script", "High"), "{}", finding.brief());
        assert_eq!(finding.actors()[0], "package-script npm", "{}", finding.brief());
        assert_eq!((finding.told_of_actor("package"), finding.told_of_actor("script")), ("left-padder", "postinstall"));
        assert!(finding.actors().contains(&"interactive login".to_owned()), "{}", finding.brief());
    }
    assert!(watched.reads(Store::Npmrc.id(), "node", "expected") > 0, "{}", watched.story());
}

#[test]
fn an_ai_agents_shell() {
    if !skip::has(&["node", "bash", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let home = home(&stage, "agent", &[Store::AwsCredentials, Store::GhHosts]);
    let plain = self::home(&stage, "plain", &[Store::AwsCredentials]);
    let gh = actor(&stage, "gh");
    // As an agent runs what its model asks for; the variables are those that the real one sets.
    let code = format!(
        "const env = {{...process.env, CLAUDECODE: '1', CLAUDE_CODE_SESSION_ID: 'session-of-the-test'}};\n\
         const run = (text) => require('child_process').spawnSync('bash', ['-c', text], {{env}});\n\
         run('cat \"$HOME/.aws/credentials\" >/dev/null; :');\n\
         run('STORE=\"$HOME/.config/gh/hosts.yml\" {}; :');\n",
        gh.display()
    );
    let other = "require('child_process').spawnSync('bash', ['-c', 'cat \"$HOME/.aws/credentials\" >/dev/null; :']);\n";
    let agent = stage.file("lib/node_modules/@anthropic-ai/claude-code/cli.js", code);
    let other = stage.file("lib/node_modules/prettier/cli.js", other);
    let run = |script: &Path, home: &Path| {
        let watch = Watch::new(&stage).env("HOME", home).arg("--fail-on").arg("none");
        watch.run(["node".as_ref(), script.as_os_str()])
    };
    let watched = run(&agent, &home);
    let finding = one(&watched, &home, "/cat");
    assert_eq!((finding.actor(), finding.severity()), ("ai-agent", "High"), "{}", finding.brief());
    assert_eq!(finding.actors()[0], "ai-agent claude-code", "{}", finding.brief());
    assert_eq!(finding.told_of_actor("session"), "session-of-the-test");
    assert!(finding.mentions("nist-ai-rmf-1.0") && finding.mentions("MEASURE 2.7"), "{}", finding.0);
    // Its own tool at its own store is as welcome as ever.
    assert!(watched.reads(Store::GhHosts.id(), "gh", "expected") > 0, "{}", watched.story());
    let watched = run(&other, &plain);
    let finding = one(&watched, &plain, "/cat");
    assert!(!finding.actors().contains(&"ai-agent claude-code".to_owned()) || is_delegated(finding));
}

/// What policy may add: the agent may use `gh`, and not even the AWS tool may read its store for it.
#[test]
fn what_an_agent_must_not_do() {
    if !skip::has(&["node", "bash"]) {
        return;
    }
    let stage = Stage::new();
    let home = home(&stage, "agent", &[Store::AwsCredentials, Store::GhHosts]);
    let (gh, aws) = (actor(&stage, "gh"), actor(&stage, "aws"));
    stage.file(
        "policy.d/agents.yaml",
        "restrictions:\n  - reason: agents have no business in the cloud\n    store: 'aws-*'\n    actor: ai-agent\n",
    );
    let code = format!(
        "const run = (text) => require('child_process').spawnSync('bash', ['-c', text]);\n\
         run('STORE=\"$HOME/.aws/credentials\" {}; :');\n\
         run('STORE=\"$HOME/.config/gh/hosts.yml\" {}; :');\n",
        aws.display(),
        gh.display()
    );
    let run = |name: &str| {
        let script = stage.file(&format!("lib/node_modules/{name}/cli.js"), &code);
        let watch = Watch::new(&stage).env("HOME", &home).arg("--fail-on").arg("none");
        watch.run(["node".as_ref(), script.as_os_str()])
    };
    let watched = run("@anthropic-ai/claude-code");
    let finding = one(&watched, &home, "/aws");
    assert_eq!((finding.actor(), finding.severity()), ("ai-agent", "High"), "{}", finding.brief());
    assert!(finding.mentions("agents have no business in the cloud"), "{}", finding.0);
    assert!(watched.reads(Store::GhHosts.id(), "gh", "expected") > 0, "{}", watched.story());
    let watched = run("prettier");
    if watched.findings.first().is_some_and(is_delegated) {
        return;
    }
    assert!(watched.reads(Store::AwsCredentials.id(), "aws", "expected") > 0, "{}", watched.story());
}

#[test]
fn a_job_of_cron() {
    if !skip::has(&["dash", "setsid", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let dash = fs::canonicalize(skip::program("dash").unwrap()).unwrap();
    let play = |name: &str| {
        let home = home(&stage, name, &[Store::AwsCredentials]);
        let cron = stage.program(name, &dash);
        set_mode(&cron, 0o755);
        let job = "setsid --wait dash -c 'cat \"$HOME/.aws/credentials\" >/dev/null; :'; :";
        let watch = Watch::new(&stage).env("HOME", &home).arg("--fail-on").arg("none");
        let watched = watch.run([cron.as_os_str(), "-c".as_ref(), job.as_ref()]);
        one(&watched, &home, "/cat").clone()
    };
    let finding = play("cron");
    assert!(finding.actors().contains(&"automation cron".to_owned()), "{}", finding.brief());
    assert_eq!(finding.severity(), "High", "{}", finding.brief());
    let finding = play("corn");
    assert!(!finding.actors().contains(&"automation cron".to_owned()), "{}", finding.brief());
}
