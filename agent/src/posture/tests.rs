use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use super::{gather::Gatherer, view::View, *};
use crate::posture::acl::{Grant, Whom};

/// A store of user 1000 that lies as it should.
fn sound() -> FileFacts {
    let directory = |path: &str, mode, uid| Directory { path: PathBuf::from(path), mode, uid, gid: uid };
    FileFacts {
        path: PathBuf::from("/home/ann/.aws/credentials"),
        mode: 0o600,
        uid: 1000,
        gid: 1000,
        links: 1,
        expected: Expected {
            mode: Some(0o600),
            dir_mode: Some(0o700),
            owner: Some(1000),
            home: Some(PathBuf::from("/home/ann")),
        },
        directories: vec![
            directory("/home/ann/.aws", 0o700, 1000),
            directory("/home/ann", 0o755, 1000),
            directory("/home", 0o755, 0),
            directory("/", 0o755, 0),
        ],
        ..FileFacts::default()
    }
}

fn names(facts: &FileFacts) -> Vec<&'static str> {
    exposures(facts).iter().map(Exposure::name).collect()
}

/// Name, what is wrong, and what it is called.
type Case = (&'static str, fn(&mut FileFacts), &'static [&'static str]);

const CASES: &[Case] = &[
    ("sound", |_| {}, &[]),
    ("readable, directory closed", |f| f.mode = 0o644, &["readable-by-all"]),
    (
        "readable as its tool makes it, directory closed",
        |f| {
            f.mode = 0o644;
            f.expected.mode = Some(0o644);
        },
        &[],
    ),
    (
        "readable as its tool makes it, all open",
        |f| {
            f.mode = 0o644;
            f.expected.mode = Some(0o644);
            f.expected.dir_mode = None;
            f.directories[0].mode = 0o755;
        },
        &["readable-by-all"],
    ),
    ("writable", |f| f.mode = 0o602, &["writable-by-all"]),
    ("own group", |f| f.mode = 0o660, &[]),
    (
        "shared group",
        |f| {
            f.mode = 0o640;
            f.gid = 50;
        },
        &["open-to-group"],
    ),
    (
        "mask of a list, group has nothing",
        |f| {
            f.mode = 0o640;
            f.gid = 50;
            f.acl_group = Some(0);
            f.acl = vec![Grant { whom: Whom::User(1001), rights: 4 }];
        },
        &["acl"],
    ),
    ("list that names the owner", |f| f.acl = vec![Grant { whom: Whom::User(1000), rights: 4 }], &[]),
    ("another owner", |f| f.uid = 1001, &["owner"]),
    ("hard link", |f| f.links = 2, &["hard-links"]),
    ("link inside", |f| f.leads_to = Some("/home/ann/dotfiles/aws".into()), &[]),
    ("link out", |f| f.leads_to = Some("/srv/shared/aws".into()), &["leaves-home"]),
    ("a home whose name begins alike", |f| f.leads_to = Some("/home/anna/aws".into()), &["leaves-home"]),
    ("network", |f| f.network = Some("nfs".into()), &["network-file-system"]),
    ("synced", |f| f.synced = Some("Dropbox".into()), &["synced"]),
    ("tracked", |f| f.git = git::State::Tracked { work_tree: "/home/ann".into() }, &["git-tracked"]),
    ("untracked", |f| f.git = git::State::Untracked { work_tree: "/home/ann".into() }, &["git-unignored"]),
    ("ignored", |f| f.git = git::State::Ignored, &[]),
    ("writable directory", |f| f.directories[0].mode = 0o777, &["parent-writable", "parent-readable"]),
    (
        "writable directory behind a closed one",
        |f| {
            f.directories[0].mode = 0o777;
            f.directories[1].mode = 0o700;
        },
        &[],
    ),
    ("sticky directory", |f| f.directories[2].mode = 0o1777, &[]),
    ("a stranger's directory", |f| f.directories[1].uid = 1001, &["parent-owner"]),
    ("listable directory", |f| f.directories[0].mode = 0o755, &["parent-readable"]),
    ("layer", |f| f.layer = Some("Docker".into()), &["container-layer"]),
    ("build context", |f| f.build_context = Some("/home/ann".into()), &["build-context"]),
];

#[test]
fn each_fault_is_told_and_its_twin_is_not() {
    for (name, change, expected) in CASES {
        let mut facts = sound();
        change(&mut facts);
        assert_eq!(names(&facts), *expected, "{name}");
        for exposure in exposures(&facts) {
            assert!(!exposure.sentence().is_empty() && !exposure.remedy().is_empty());
        }
    }
}

#[test]
fn what_a_directory_still_keeps_in_matters_less() {
    let mut facts = sound();
    facts.mode = 0o644;
    let kept = exposures(&facts);
    facts.expected.dir_mode = None;
    facts.directories[0].mode = 0o711;
    let open = exposures(&facts);
    assert!(kept[0].severity() < open[0].severity(), "{kept:?} {open:?}");
    assert!(kept[0].sentence().contains("/home/ann/.aws"));
}

fn git(directory: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.invalid"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn facts_of_a_real_tree() {
    let top = tempfile::tempdir().unwrap();
    let work = top.path().join("home/ann/work");
    fs::create_dir_all(work.join("sub")).unwrap();
    for name in ["a.env", "b.env", "sub/c.env", "sub/d.env"] {
        fs::write(work.join(name), "A=made-up").unwrap();
    }
    fs::write(work.join(".gitignore"), "*.env\n!a.env\n").unwrap();
    fs::write(work.join("sub/.gitignore"), "!c.env\n").unwrap();
    fs::write(work.join("Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(work.join(".dockerignore"), "sub\n").unwrap();
    git(&work, &["init", "-q"]);
    fs::set_permissions(work.join("b.env"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(work.join("b.env"), top.path().join("other")).unwrap();
    symlink("/home/ann/work/b.env", top.path().join("home/ann/linked")).unwrap();

    let view = View::open(top.path()).unwrap();
    let home = PathBuf::from("/home/ann");
    let expected = Expected { home: Some(home.clone()), ..Expected::default() };
    let of = |path: &str| {
        let path = home.join(path);
        Gatherer::new(&view).facts(&path, expected.clone()).unwrap()
    };
    let work_tree = home.join("work");
    let untracked = git::State::Untracked { work_tree: work_tree.clone() };
    assert_eq!(of("work/a.env").git, untracked);
    assert_eq!(of("work/b.env").git, git::State::Ignored);
    assert_eq!(of("work/sub/c.env").git, untracked);
    assert_eq!(of("work/sub/d.env").git, git::State::Ignored);
    git(&work, &["add", "-f", "sub/d.env", "a.env"]);
    for version in ["4", "2"] {
        git(&work, &["update-index", "--index-version", version]);
        assert_eq!(of("work/sub/d.env").git, git::State::Tracked { work_tree: work_tree.clone() });
        assert_eq!(of("work/b.env").git, git::State::Ignored);
    }

    let facts = of("linked");
    assert_eq!((facts.mode, facts.links), (0o640, 2));
    assert_eq!(facts.leads_to.as_deref(), Some(Path::new("/home/ann/work/b.env")));
    assert_eq!(facts.build_context.as_deref(), Some(work_tree.as_path()));
    assert_eq!(of("work/sub/c.env").build_context, None);
    assert_eq!(facts.directories.first().map(|found| found.path.clone()), Some(work_tree.clone()));
    assert_eq!(facts.synced, None);
    fs::create_dir(top.path().join("home/ann/.stfolder")).unwrap();
    assert_eq!(of("work/a.env").synced.as_deref(), Some("Syncthing"));
}
