use super::*;
use crate::{
    catalogue::tests::shipped_catalogue,
    detect::{
        access::{Access, Target as Accessed},
        engine::Engine,
        fixtures::{access_at, init, process, read_at, store, under_shell, unexpected, with_script},
    },
    finding::model::Salt,
    ingest::observation::Inspection,
    lineage::{
        actor::Class,
        model::{Chain, Container, Process, Script, Writable},
        package::Owners,
    },
    policy::{Policy, Source},
    yaml::Problems,
};

/// What comes of these reads.
struct Learning {
    engine: Engine,
    learner: Learner,
}

impl Learning {
    fn new() -> Self {
        Self { engine: Engine::new(Salt::new("h", "b")), learner: Learner::default() }
    }

    fn read(&mut self, access: &Access, id: &str, family: &str) {
        let judgements = match access.target {
            Accessed::Store { .. } => vec![unexpected(store(id, family, 1))],
            Accessed::Process(..) | Accessed::Service { .. } | Accessed::Copy { .. } => Vec::new(),
        };
        for finding in self.engine.access(access, &judgements).findings {
            self.learner.take(&finding, shipped_catalogue().interpreters());
        }
    }

    fn finish(self) -> (Learnt, Policy) {
        let learnt = self.learner.finish("made-up");
        let source = Source { file: "learnt.yaml".into(), text: learnt.text.clone() };
        let loaded = Policy::of_sources(vec![source], shipped_catalogue(), SystemTime::UNIX_EPOCH);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{}", learnt.text));
        // What is learnt is tight enough that `policy check` has nothing to say of it.
        assert_eq!(loaded.notes, Problems::new(), "{}", learnt.text);
        (learnt, loaded.policy)
    }
}

fn service(reader: Process) -> Chain {
    let unit = Some("backup.service".to_owned());
    let reader = Process { unit: unit.clone(), tty: None, ..reader };
    Chain { processes: vec![reader, Process { unit, ..init() }], incomplete: false }
}

fn aws(seconds: f64, chain: Chain) -> Access {
    let mut access = read_at(seconds, chain, "/home/ann/.aws/credentials");
    if let Accessed::Store { stores, .. } = &mut access.target {
        stores.push("aws-credentials".to_owned());
    }
    access
}

#[test]
fn a_reader_that_can_be_told_apart_is_learnt_with_its_evidence() {
    let mut learning = Learning::new();
    let owners = |name: &str| Owners {
        executable: Owner::Package { name: name.to_owned(), integrity: Integrity::Intact },
        script: None,
    };
    let backup = |pid| Process { owners: Some(Box::new(owners("restic"))), ..process(pid, 1, "/usr/bin/restic") };
    for (at, pid) in [(0.0, 4000), (1.0, 4001), (2.0, 4001)] {
        learning.read(&aws(at, service(backup(pid))), "aws-credentials", "aws");
    }
    let script = with_script(process(4100, 812, "/usr/bin/python3.11"), "/opt/it's/deploy.py", Writable::No);
    learning.read(&aws(3.0, under_shell(script)), "aws-credentials", "aws");
    let (learnt, policy) = learning.finish();
    assert_eq!((learnt.exceptions, learnt.refused), (2, 0), "{}", learnt.text);
    for line in [
        "made-up: 3 findings",
        "  # 2 findings, 2025-11-24T16:00:00Z to 2025-11-24T16:00:01Z, up to high; started by /usr/lib/systemd/systemd\n",
        "    reader: /usr/bin/restic\n    package: restic\n    user: ann\n    when: 'unit == ''backup.service'''\n    expires: 2026-02-22\n",
        "    script: '/opt/it''s/deploy.py'\n",
    ] {
        assert!(learnt.text.contains(line), "{line:?} is not in {}", learnt.text);
    }
    assert!(policy.tolerates(&aws(9.0, service(backup(4200)))).is_some());
    // The thief: another program, another service, another store, another user.
    let other = process(4200, 1, "/usr/bin/rclone");
    assert!(policy.tolerates(&aws(9.0, service(other))).is_none());
    assert!(policy.tolerates(&aws(9.0, under_shell(backup(4200)))).is_none(), "not in its unit");
    let gh = read_at(9.0, service(backup(4200)), "/home/ann/.config/gh/hosts.yml");
    assert!(policy.tolerates(&gh).is_none());
    let bob = Access { user_name: Some("bob".into()), ..aws(9.0, service(backup(4200))) };
    assert!(policy.tolerates(&bob).is_none());
}

#[test]
fn what_no_one_should_accept_is_refused_with_its_reason() {
    let tool = || process(4000, 812, "/usr/bin/tool");
    let writable = |mut process: Process, writable| {
        process.executable.writable = writable;
        process
    };
    let mut deleted = tool();
    deleted.executable.links = 0;
    let python = |script| Process { script: Some(script), ..process(4000, 812, "/usr/bin/python3.11") };
    let changed = Owner::Package { name: "tool".into(), integrity: Integrity::Changed };
    let changed = Owners { executable: changed, script: None };
    let docker = Container::new("0".repeat(64), "docker");
    let npm = |mut reader: Process| {
        reader.parent = None;
        let script = "/usr/lib/node_modules/npm/bin/npm-cli.js";
        let node = with_script(process(3000, 812, "/usr/bin/node"), script, Writable::No);
        let shell = Process { script: Some(Script::Inline), ..process(3500, 3000, "/usr/bin/dash") };
        let Chain { mut processes, incomplete } = under_shell(reader);
        processes.splice(1..1, [shell, node]);
        Chain { processes, incomplete }
    };
    for (chain, refusal) in [
        (under_shell(python(Script::Inline)), Refusal::InlineCode),
        (under_shell(python(Script::Module("tool".into()))), Refusal::Module),
        (under_shell(deleted), Refusal::Deleted),
        (under_shell(writable(tool(), Writable::Yes)), Refusal::Writable),
        (under_shell(writable(tool(), Writable::Unknown)), Refusal::Writable),
        (
            under_shell(python(Script::File { path: "/home/ann/x.py".into(), writable: Writable::Yes })),
            Refusal::Writable,
        ),
        (under_shell(Process { owners: Some(Box::new(changed)), ..tool() }), Refusal::Changed),
        (under_shell(process(4000, 812, "/usr/bin/tar")), Refusal::CopyTool),
        (under_shell(Process { container: Some(docker), ..tool() }), Refusal::Container),
        (npm(tool()), Refusal::Delegated),
        (under_shell(process(4000, 812, "/var/tmp/tool")), Refusal::Temporary),
        (under_shell(process(4000, 812, "/opt/a*b/tool")), Refusal::Unspeakable),
        (under_shell(process(4000, 812, "/opt/a\nb/tool")), Refusal::Unspeakable),
    ] {
        let mut learning = Learning::new();
        learning.read(&aws(0.0, chain), "aws-credentials", "aws");
        let (learnt, policy) = learning.finish();
        assert!(policy.rules().iter().all(|rule| rule.shipped), "{refusal:?}: {}", learnt.text);
        let listed = learnt.text.lines().any(|line| line.starts_with("# - /") && line.ends_with(&refusal.to_string()));
        assert!(listed, "{refusal:?}: {}", learnt.text);
    }
    // The innocent twin of all of them.
    let mut learning = Learning::new();
    learning.read(&aws(0.0, under_shell(tool())), "aws-credentials", "aws");
    assert_eq!(learning.finish().0.exceptions, 1);
}

#[test]
fn a_job_of_cron_that_copies_is_learnt_by_its_script_and_a_person_who_copies_is_not() {
    let tar = process(4000, 3000, "/usr/bin/tar");
    let job = with_script(process(3000, 1, "/usr/bin/dash"), "/etc/cron.daily/backup", Writable::No);
    let chain = |unit: Option<&str>| {
        let of = |process: Process| Process { unit: unit.map(str::to_owned), tty: None, ..process };
        Chain { processes: vec![of(tar.clone()), of(job.clone()), init()], incomplete: false }
    };
    let mut learning = Learning::new();
    let access = aws(0.0, chain(Some("cron.service")));
    assert_eq!(access.actor.class(), Class::Automation);
    learning.read(&access, "aws-credentials", "aws");
    let (learnt, policy) = learning.finish();
    assert!(
        learnt.text.contains("    reader: /usr/bin/tar\n    ancestor: /etc/cron.daily/backup\n"),
        "{}",
        learnt.text
    );
    assert!(policy.tolerates(&aws(9.0, under_shell(tar.clone()))).is_none());
    // The same script, started by a person: then everything that it starts for anybody would pass.
    let Chain { mut processes, incomplete } = under_shell(tar);
    processes.insert(1, Process { parent: processes[1].key.into(), ..job });
    let mut learning = Learning::new();
    learning.read(&aws(0.0, Chain { processes, incomplete }), "aws-credentials", "aws");
    let (learnt, _) = learning.finish();
    assert!(learnt.exceptions == 0 && learnt.text.contains(&Refusal::CopyTool.to_string()), "{}", learnt.text);
}

#[test]
fn sweeps_injections_and_looks_into_processes_are_not_learnt() {
    let mut learning = Learning::new();
    let tool = process(4000, 812, "/usr/bin/tool");
    for (at, family) in [(0.0, "aws"), (1.0, "gh"), (2.0, "npm")] {
        let access = read_at(at, under_shell(tool.clone()), &format!("/home/ann/.{family}"));
        learning.read(&access, &format!("{family}-store"), family);
    }
    // Beside it, by another program of the same lineage.
    learning.read(&aws(3.0, under_shell(process(4001, 812, "/usr/bin/other"))), "aws-credentials", "aws");
    let look = Accessed::Process(Inspection::Mem, Some(Box::new(process(5000, 1, "/usr/bin/gh"))), None);
    learning.read(&access_at(4.0, service(process(4002, 1, "/usr/bin/py-spy")), look), "", "");
    let (learnt, policy) = learning.finish();
    assert!(policy.rules().iter().all(|rule| rule.shipped), "{}", learnt.text);
    for (reader, refusal) in [
        ("/usr/bin/tool", Refusal::Sweep),
        ("/usr/bin/other", Refusal::Sweep),
        ("/usr/bin/py-spy", Refusal::Inspection),
    ] {
        let listed = |line: &str| line.starts_with(&format!("# - {reader} ")) && line.ends_with(&refusal.to_string());
        assert!(learnt.text.lines().any(listed), "{reader}: {}", learnt.text);
    }
}

#[test]
fn what_is_remembered_has_a_bound() {
    let mut learning = Learning::new();
    for at in 0..MAX_READERS as u32 + 10 {
        let reader = process(10_000 + at, 1, &format!("/opt/tool-{at}"));
        learning.read(&aws(f64::from(at), service(reader)), "aws-credentials", "aws");
    }
    assert_eq!(learning.learner.seen.len(), MAX_READERS);
    assert!(learning.learner.finish("h").text.contains("# 10 findings of yet other readers"));
}
