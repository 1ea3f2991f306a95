use md5::Md5;
use tempfile::TempDir;

use super::{
    super::{rpm, sum::hex},
    *,
};

/// Nothing here is slow; a machine can be.
const LONG: Duration = Duration::from_secs(60);

/// A system with some packages.
struct System {
    directory: TempDir,
    packages: Packages,
}

impl System {
    fn new() -> Self {
        let system = Self::bare();
        system.write("var/lib/dpkg/status", "");
        system.write("var/lib/dpkg/diversions", "");
        system
    }

    /// One without any database.
    fn bare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        Self { directory, packages: Packages::new(root) }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A package with files, as it was built.
    fn install(&self, package: &str, files: &[(&str, &str)]) {
        let mut list = String::from("/.\n");
        let mut sums = String::new();
        for (path, content) in files {
            list.push_str(&format!("{path}\n"));
            let sum: String = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            sums.push_str(&format!("{sum}  {}\n", &path[1..]));
        }
        self.write(&format!("var/lib/dpkg/info/{package}.list"), &list);
        self.write(&format!("var/lib/dpkg/info/{package}.md5sums"), &sums);
        self.write("var/lib/dpkg/status.new", package);
        fs::rename(
            self.directory.path().join("var/lib/dpkg/status.new"),
            self.directory.path().join("var/lib/dpkg/status"),
        )
        .unwrap();
    }

    fn owner(&mut self, path: &str) -> Owner {
        let asked = Asked { path: Path::new(path), inode: None };
        self.packages.owners_within(&[asked], LONG).unwrap().remove(0)
    }

    fn said(&mut self, path: &str) -> String {
        match self.owner(path) {
            Owner::Package { name, integrity } => format!("{name} {}", integrity.name()),
            Owner::Nobody { .. } => "nobody".to_owned(),
            Owner::Unknown => "unknown".to_owned(),
        }
    }
}

#[test]
fn whose_a_file_is_and_whether_it_was_changed() {
    let mut system = System::new();
    system.install("tool:amd64", &[("/usr/bin/tool", "code"), ("/bin/moved", "moved"), ("/usr/bin/wrapped", "plain")]);
    system.install("wrapper", &[("/usr/bin/wrapped", "wrapper")]);
    system.write(
        "var/lib/dpkg/diversions",
        "/usr/bin/wrapped\n/usr/bin/wrapped.real\nwrapper\n/usr/bin/own\n/usr/bin/own.dist\n:\n",
    );
    for (name, text) in [
        ("usr/bin/tool", "code"),
        ("usr/bin/moved", "moved"),
        ("usr/bin/wrapped", "wrapper"),
        ("usr/bin/wrapped.real", "plain"),
        ("usr/bin/own", "local"),
        ("usr/local/bin/tool", "code"),
    ] {
        system.write(name, text);
    }
    std::os::unix::fs::symlink("tool", system.directory.path().join("usr/bin/alias")).unwrap();
    for (path, said) in [
        ("/usr/bin/tool", "tool intact"),
        ("/usr/bin/alias", "tool intact"),
        ("/usr/bin/moved", "tool intact"),
        ("/usr/bin/wrapped", "wrapper intact"),
        ("/usr/bin/wrapped.real", "tool intact"),
        ("/usr/bin/own", "nobody"),
        // The same content elsewhere is nobody's.
        ("/usr/local/bin/tool", "nobody"),
        ("/usr/bin", "unknown"),
        ("/usr/bin/gone", "unknown"),
        ("relative", "unknown"),
    ] {
        assert_eq!(system.said(path), said, "{path}");
    }
    system.write("usr/bin/tool", "kode");
    assert_eq!(system.said("/usr/bin/tool"), "tool changed");
    assert_eq!(system.owner("/usr/bin/tool").package(), None, "what was changed is not the package's");
    fs::remove_file(system.directory.path().join("var/lib/dpkg/info/tool:amd64.md5sums")).unwrap();
    system.write("usr/bin/tool", "code again");
    assert_eq!(system.said("/usr/bin/tool"), "tool unrecorded");
}

fn rpm_database(system: &System) -> rusqlite::Connection {
    let path = system.write("usr/lib/sysimage/rpm/rpmdb.sqlite", "");
    let database = rusqlite::Connection::open(path).unwrap();
    // As rpm makes it.
    let made = "PRAGMA journal_mode = WAL;
                CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)";
    database.execute_batch(made).unwrap();
    database
}

#[test]
fn packages_of_rpm_are_known_while_and_after_rpm_writes() {
    let mut system = System::bare();
    let sum = |content: &str| hex(&Sha256::digest(content));
    let database = rpm_database(&system);
    let install = |package: &str, files: &[rpm::tests::Made<'_>]| {
        database.execute("INSERT INTO Packages (blob) VALUES (?1)", [rpm::tests::header(package, files)]).unwrap();
    };
    let (code, other) = (sum("code"), sum("other"));
    let regular = 0o100_755;
    install(
        "tool",
        &[
            ("/usr/bin/tool", regular, 0, 0, code.as_str()),
            ("/bin/moved", regular, 0, 0, &other),
            ("/usr/bin/replaced", regular, 1, 0, &code),
            ("/usr/bin/link", 0o120_777, 0, 0, ""),
        ],
    );
    install("later", &[("/usr/bin/replaced", regular, 0, 0, other.as_str())]);
    for (name, text) in
        [("tool", "code"), ("moved", "other"), ("replaced", "other"), ("link", "made"), ("mine", "code")]
    {
        system.write(&format!("usr/bin/{name}"), text);
    }
    let wanted = [
        ("/usr/bin/tool", "tool intact"),
        ("/usr/bin/moved", "tool intact"),
        ("/usr/bin/replaced", "later intact"),
        ("/usr/bin/link", "tool unrecorded"),
        ("/usr/bin/mine", "nobody"),
    ];
    // What was written lies in the log.
    wanted.iter().for_each(|(path, said)| assert_eq!(system.said(path), *said, "{path}"));
    system.write("usr/bin/tool", "kode");
    assert_eq!(system.said("/usr/bin/tool"), "tool changed");
    install("mine", &[("/usr/bin/mine", regular, 0, 0, code.as_str())]);
    assert_eq!(system.said("/usr/bin/mine"), "mine intact");
    // Nobody has it open any more: the log is gone.
    drop(database);
    assert!(!system.directory.path().join("usr/lib/sysimage/rpm/rpmdb.sqlite-wal").exists());
    system.write("usr/bin/moved", "other");
    assert_eq!(system.said("/usr/bin/moved"), "tool intact");
}

#[test]
fn what_is_no_database_of_rpm_leaves_all_unknown() {
    let mut system = System::bare();
    system.write("var/lib/rpm/rpmdb.sqlite", "no database");
    system.write("usr/bin/tool", "code");
    assert_eq!(system.said("/usr/bin/tool"), "unknown");
}

#[test]
fn packages_of_apk_are_known() {
    let mut system = System::bare();
    let sum = data_encoding::BASE64.encode(&sha1::Sha1::digest("code"));
    system.write(
        "lib/apk/db/installed",
        &format!("P:tool\nV:1\nF:usr/bin\nR:tool\na:0:0:755\nZ:Q1{sum}\n\nP:other\nF:bin\nR:other\n"),
    );
    for name in ["tool", "other", "mine"] {
        system.write(&format!("usr/bin/{name}"), "code");
    }
    let wanted = [("tool", "tool intact"), ("other", "other unrecorded"), ("mine", "nobody")];
    wanted.iter().for_each(|(name, said)| assert_eq!(system.said(&format!("/usr/bin/{name}")), *said, "{name}"));
    system.write("usr/bin/tool", "kode");
    assert_eq!(system.said("/usr/bin/tool"), "tool changed");
}

#[test]
fn a_new_package_is_known_at_once_and_another_file_of_the_name_is_not_meant() {
    let mut system = System::new();
    system.install("first", &[("/usr/bin/first", "1")]);
    let path = system.write("usr/bin/second", "2");
    assert_eq!(system.said("/usr/bin/second"), "nobody");
    system.install("second", &[("/usr/bin/second", "2")]);
    assert_eq!(system.said("/usr/bin/second"), "second intact");
    let inode = fs::metadata(path).unwrap().ino();
    for (inode, known) in [(inode, true), (inode + 1, false)] {
        let asked = Asked { path: Path::new("/usr/bin/second"), inode: Some(inode) };
        let owner = system.packages.owners_within(&[asked], LONG).unwrap().remove(0);
        assert_eq!(owner != Owner::Unknown, known);
    }
}

/// As pip puts it: the worker takes the sum, and the record is about that very file.
#[test]
fn what_nobody_brought_has_its_digest_and_what_a_record_states_of_it() {
    let mut system = System::new();
    system.install("tool", &[("/usr/bin/tool", "code")]);
    let sum = pip::sum(&Sha256::digest(b"script"));
    let record = format!("../../../bin/aws,sha256={sum},6\n../../../bin/awz,sha256={sum},6\n");
    system.write("v/lib/python3.11/site-packages/awscli-1.46.3.dist-info/RECORD", &record);
    for (name, content, integrity) in
        [("v/bin/aws", "script", Integrity::Intact), ("v/bin/awz", "another", Integrity::Changed)]
    {
        system.write(name, content);
        let owner = system.owner(&format!("/{name}"));
        assert_eq!(owner.package(), None, "a record's word is no package");
        let Owner::Nobody { digest, installed: Some(installed) } = owner else { panic!("{owner:?}") };
        assert_eq!(digest, Some(Digest(*blake3::hash(content.as_bytes()).as_bytes())));
        assert_eq!((installed.package.to_string().as_str(), installed.integrity), ("awscli 1.46.3", integrity));
    }
    // What a package of the distribution brought is not asked about.
    let sum = pip::sum(&Sha256::digest(b"code"));
    let record = format!("../../../bin/tool,sha256={sum},4\n");
    system.write("usr/lib/python3.11/site-packages/tool-1.dist-info/RECORD", &record);
    system.write("usr/bin/tool", "code");
    assert_eq!(system.said("/usr/bin/tool"), "tool intact");
}

#[test]
fn without_a_database_there_is_no_answer_and_without_time_it_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let asked = Asked { path: Path::new("/usr/bin/tool"), inode: None };
    assert_eq!(Packages::new(directory.path()).owners(&[asked]), None);
    let mut system = System::new();
    system.install("tool", &[("/usr/bin/tool", "code")]);
    system.write("usr/bin/tool", "code");
    // The answer comes from another thread, which cannot have it before it is asked.
    let at_once = system.packages.owners_within(&[asked], Duration::ZERO).unwrap();
    assert!(matches!(at_once[..], [Owner::Unknown | Owner::Package { .. }]));
    assert_eq!(system.said("/usr/bin/tool"), "tool intact");
}

#[test]
fn answers_are_bounded_and_counted() {
    let mut state = State::default();
    for number in 0..ANSWERS as u64 + 3 {
        let key = Key { path: PathBuf::new(), file: (0, number, 0, 0), database: (0, 0, 0, 0) };
        state.keep(key.clone(), Owner::Unknown, true);
        state.keep(key, NOBODY, false);
    }
    assert_eq!((state.answers.len(), state.order.len(), state.evicted), (ANSWERS, ANSWERS, 3));
}

#[test]
fn all_who_ask_within_a_second_wait_no_longer_than_one() {
    let (begin, mut waited) = (Instant::now(), Waited::default());
    assert_eq!(waited.left(begin), PATIENCE);
    waited.spent = PATIENCE / 2;
    assert_eq!(waited.left(begin + WINDOW / 2), PATIENCE / 2);
    waited.spent = 2 * PATIENCE;
    assert_eq!(waited.left(begin + WINDOW / 2), Duration::ZERO);
    assert_eq!(waited.left(begin + WINDOW), PATIENCE);
    assert_eq!(waited.left(begin), PATIENCE, "a clock that goes back is no reason to wait less");
}

/// This machine's own database, where there is one.
#[test]
fn the_real_database_says_what_dpkg_says() {
    if !Path::new("/var/lib/dpkg/status").exists() || !Path::new("/usr/bin/dpkg").exists() {
        return;
    }
    let mut packages = Packages::new("/");
    let asked = Asked { path: Path::new("/usr/bin/dpkg"), inode: None };
    let owner = packages.owners_within(&[asked], LONG).unwrap().remove(0);
    assert_eq!(owner, Owner::Package { name: "dpkg".to_owned(), integrity: Integrity::Intact });
}
