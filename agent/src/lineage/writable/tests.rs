use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{XattrFlags, setxattr},
    io::Errno,
};
use tokenhound_common::{process::ProcessKey, record::FileId};

use super::{Account, Writables, acl, executable_writable, judged, writable_by};
use crate::{
    ingest::observation::KernelTime,
    lineage::{
        model::{Chain, Executable, Origin, Process, Script, Writable},
        users::Users,
    },
};

/// A process that runs `path` for `uid`.
pub(crate) fn process(path: &str, uid: u32) -> Process {
    Process {
        key: ProcessKey::new(0, u32::MAX),
        parent: None,
        executable: Executable {
            path: path.into(),
            path_truncated: false,
            id: FileId::default(),
            uid: 0,
            mode: 0o100_755,
            links: 1,
            writable: Writable::Unknown,
        },
        script: None,
        args: Vec::new(),
        args_truncated: false,
        cwd: None,
        environment: Vec::new(),
        comm: String::new(),
        uid,
        euid: uid,
        gid: uid,
        login_uid: None,
        audit_session: None,
        session: 0,
        tty: None,
        mount_namespace: 0,
        pid_namespace: 0,
        cgroup: 0,
        container: None,
        unit: None,
        owners: None,
        since: KernelTime(0),
        exited: None,
        origin: Origin::Observed,
    }
}

fn account(uid: u32, gids: &[u32]) -> Account {
    Account { uid, gids: gids.iter().copied().collect::<BTreeSet<u32>>() }
}

/// A root directory of its own, for which ownership can be set.
struct Tree(tempfile::TempDir);

impl Tree {
    /// `None`, and a note, where the test may not give files away.
    fn new() -> Option<Self> {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(tree.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        match chown(tree.0.path(), Some(0), Some(0)) {
            Ok(()) => Some(tree),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
                eprintln!("skipped: needs the right to chown");
                None
            }
        }
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(&path[1..])
    }

    fn own(&self, path: &str, mode: u32, uid: u32, gid: u32) {
        chown(self.at(path), Some(uid), Some(gid)).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn dir(&self, path: &str, mode: u32, uid: u32, gid: u32) -> &Self {
        fs::create_dir(self.at(path)).unwrap();
        self.own(path, mode, uid, gid);
        self
    }

    fn file(&self, path: &str, mode: u32, uid: u32, gid: u32) -> &Self {
        fs::write(self.at(path), b"x").unwrap();
        self.own(path, mode, uid, gid);
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.at(path)).unwrap();
        self
    }

    fn check(&self, path: &str, account: &Account) -> Writable {
        writable_by(self.root(), Path::new(path), account).writable
    }
}

#[test]
fn the_weakest_part_of_a_path_decides() {
    let Some(tree) = Tree::new() else { return };
    tree.dir("/usr", 0o755, 0, 0).file("/usr/tool", 0o755, 0, 0).file("/usr/mine", 0o755, 1000, 0);
    tree.file("/usr/open", 0o757, 0, 0).file("/usr/team", 0o775, 0, 60).file("/usr/wheel", 0o775, 0, 0);
    tree.dir("/home", 0o755, 0, 0).dir("/home/u", 0o755, 1000, 1000).file("/home/u/tool", 0o755, 0, 0);
    tree.dir("/team", 0o775, 0, 60).file("/team/tool", 0o755, 0, 0);
    tree.dir("/other", 0o755, 1001, 1001).file("/other/tool", 0o755, 1001, 1001);
    tree.dir("/tmp", 0o1777, 0, 0).file("/tmp/tool", 0o755, 0, 0);
    tree.dir("/tmp/d", 0o755, 0, 0).file("/tmp/d/tool", 0o755, 0, 0);
    tree.dir("/open", 0o777, 0, 0).dir("/open/d", 0o755, 0, 0).file("/open/d/tool", 0o755, 0, 0);
    let user = account(1000, &[1000]);
    let member = account(1000, &[1000, 60]);
    let root = account(0, &[0]);
    use Writable::{No, Unknown, Yes};
    for (path, by_user, by_member, by_root) in [
        ("/usr/tool", No, No, No),
        ("/usr/mine", Yes, Yes, Yes),
        ("/usr/open", Yes, Yes, Yes),
        ("/usr/team", No, Yes, Yes),
        ("/usr/wheel", No, No, No),
        ("/home/u/tool", Yes, Yes, Yes),
        ("/team/tool", No, Yes, Yes),
        ("/other/tool", No, No, Yes),
        // A hard link can be put into a sticky directory, a directory cannot be replaced there.
        ("/tmp/tool", Yes, Yes, Yes),
        ("/tmp/d/tool", No, No, No),
        ("/open/d/tool", Yes, Yes, Yes),
        ("/usr/gone", Unknown, Unknown, Unknown),
        ("/home/u/gone", Yes, Yes, Yes),
        ("usr/tool", Unknown, Unknown, Unknown),
        ("", Unknown, Unknown, Unknown),
        ("/usr/../usr/./tool", No, No, No),
        ("/usr/../../../usr/tool", No, No, No),
    ] {
        assert_eq!(tree.check(path, &user), by_user, "{path} by the user");
        assert_eq!(tree.check(path, &member), by_member, "{path} by a member");
        assert_eq!(tree.check(path, &root), by_root, "{path} by root");
    }
}

#[test]
fn links_are_judged_by_their_place_and_their_target() {
    let Some(tree) = Tree::new() else { return };
    tree.dir("/usr", 0o755, 0, 0).dir("/usr/bin", 0o755, 0, 0).dir("/usr/lib", 0o755, 0, 0);
    tree.file("/usr/lib/cli.js", 0o755, 0, 0).link("/usr/bin/npm", "../lib/cli.js").link("/bin", "usr/bin");
    tree.dir("/home", 0o755, 0, 0).dir("/home/u", 0o755, 1000, 1000).file("/home/u/evil", 0o755, 1000, 1000);
    tree.link("/home/u/npm", "/usr/bin/npm").link("/usr/bin/out", "/home/u/evil");
    tree.link("/usr/bin/loop", "loop").link("/usr/bin/gone", "nowhere");
    tree.dir("/tmp", 0o1777, 0, 0).link("/tmp/npm", "/usr/bin/npm");
    let user = account(1000, &[1000]);
    for (path, want) in [
        ("/usr/bin/npm", Writable::No),
        ("/bin/npm", Writable::No),
        ("/home/u/npm", Writable::Yes),
        ("/usr/bin/out", Writable::Yes),
        ("/tmp/npm", Writable::Yes),
        ("/usr/bin/loop", Writable::Unknown),
        ("/usr/bin/gone", Writable::Unknown),
    ] {
        assert_eq!(tree.check(path, &user), want, "{path}");
    }
    // Where a name with `..` lies; the last link is left alone.
    let place = |path: &str| writable_by(tree.root(), Path::new(path), &user).place;
    assert_eq!(place("/bin/../lib/cli.js"), Some("/usr/lib/cli.js".into()));
    assert_eq!(place("/home/u/../../bin/npm"), Some("/usr/bin/npm".into()));
    tree.link("/home/u/l", "/usr/lib");
    assert_eq!(place("/home/u/l/../bin/npm"), Some("/usr/bin/npm".into()));
}

#[test]
fn an_executable_that_was_replaced_is_judged_as_it_was_recorded() {
    let Some(tree) = Tree::new() else { return };
    tree.dir("/usr", 0o755, 0, 0).file("/usr/gh", 0o755, 0, 0);
    tree.dir("/home", 0o755, 1000, 1000).file("/home/gh", 0o755, 0, 0);
    let user = account(1000, &[1000]);
    let check = |path: &str, inode: u64, uid: u32, mode: u32| {
        let id = FileId { inode, ..FileId::default() };
        let executable = Executable { id, uid, mode, ..process(path, 1000).executable };
        executable_writable(tree.root(), &executable, &user)
    };
    let now = fs::metadata(tree.at("/usr/gh")).unwrap().ino();
    assert_eq!(check("/usr/gh", now, 0, 0o100_755), Writable::No);
    assert_eq!(check("/usr/gh", now + 1_000_000, 0, 0o100_755), Writable::No, "upgraded since");
    assert_eq!(check("/usr/removed", 5, 0, 0o100_755), Writable::No, "removed since");
    assert_eq!(check("/usr/gh", now + 1_000_000, 1000, 0o100_755), Writable::Yes, "was the user's");
    assert_eq!(check("/usr/gh", now + 1_000_000, 0, 0o100_775), Writable::Yes, "was open to a group");
    assert_eq!(check("/home/removed", 5, 0, 0o100_755), Writable::Yes, "the user's directory");
    assert_eq!(check("/memfd:x (deleted)", 5, 0, 0o100_755), Writable::Yes);
    assert_eq!(check("", 5, 0, 0o100_755), Writable::Unknown);
}

#[test]
fn access_lists_count() {
    let Some(tree) = Tree::new() else { return };
    tree.dir("/usr", 0o755, 0, 0).file("/usr/tool", 0o755, 0, 0);
    let list =
        acl::tests::list(&[(1, 7, u32::MAX), (2, 7, 1000), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)]);
    match setxattr(tree.at("/usr/tool"), "system.posix_acl_access", &list, XattrFlags::empty()) {
        Ok(()) => {}
        Err(error) => {
            assert_eq!(error, Errno::NOTSUP);
            eprintln!("skipped: no access lists on this file system");
            return;
        }
    }
    assert_eq!(tree.check("/usr/tool", &account(1000, &[1000])), Writable::Yes);
    assert_eq!(tree.check("/usr/tool", &account(1001, &[1001])), Writable::No);
    assert_eq!(tree.check("/usr/tool", &account(0, &[0])), Writable::Yes);
}

#[test]
fn a_chain_is_filled_where_its_files_can_be_seen() {
    let Some(tree) = Tree::new() else { return };
    fs::create_dir(tree.at("/etc")).unwrap();
    fs::write(tree.at("/etc/passwd"), "u:x:1000:1000::/home/u:/bin/sh\n").unwrap();
    let users = Users::load_below(tree.root()).unwrap();
    let writables = Writables::new(10_000_000);
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let mut here = process(shell.to_str().unwrap(), 1000);
    here.mount_namespace = writables.mount_namespace;
    here.executable.id.inode = fs::metadata(&shell).unwrap().ino();
    here.script = Some(Script::File { path: "/etc/../etc/passwd".into(), writable: Writable::Unknown });
    let mut elsewhere = here.clone();
    elsewhere.mount_namespace = 1;
    let mut chain = Chain { processes: vec![here, elsewhere], incomplete: false };
    writables.fill(&mut chain, &users);
    assert_eq!(chain.processes[0].executable.writable, Writable::No);
    let script = Script::File { path: "/etc/passwd".into(), writable: Writable::No };
    assert_eq!(chain.processes[0].script, Some(script));
    assert_eq!(chain.processes[1].executable.writable, Writable::Unknown, "another mount namespace, nobody alive");
}

#[test]
fn where_nobody_lives_any_more_a_program_of_this_machine_is_judged_where_it_lies_here() {
    let users = Users::load().unwrap();
    let writables = Writables::new(10_000_000);
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let id = crate::kernel::file_id::of(&shell).unwrap();
    let ask = |id: FileId| {
        let mut elsewhere = process(shell.to_str().unwrap(), 1000);
        elsewhere.mount_namespace = 1;
        elsewhere.executable.id = id;
        elsewhere.script = Some(Script::File { path: "/etc/passwd".into(), writable: Writable::Unknown });
        let mut chain = Chain { processes: vec![elsewhere], incomplete: false };
        writables.fill(&mut chain, &users);
        let unknown = Script::File { path: "/etc/passwd".into(), writable: Writable::Unknown };
        assert_eq!(chain.processes[0].script, Some(unknown), "nothing tells which script that was");
        chain.processes[0].executable.writable
    };
    assert_eq!(ask(id), Writable::No);
    for other in [FileId { inode: id.inode + 1, ..id }, FileId { device: id.device + 1, ..id }] {
        assert_eq!(ask(other), Writable::Unknown, "another file lay under its name there");
    }
}

#[test]
fn a_program_whose_process_ends_while_it_is_asked_for_is_judged_the_same() {
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let mut executable = process(shell.to_str().unwrap(), 1000).executable;
    executable.id = crate::kernel::file_id::of(&shell).unwrap();
    let left = Path::new("/proc/nobody/root");
    assert_eq!(judged(Some(left), &executable, &account(1000, &[1000])), Writable::No);
    executable.id.inode += 1;
    assert_eq!(judged(Some(left), &executable, &account(1000, &[1000])), Writable::Unknown);
}
