use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

/// SHA-256 of nothing, as pip writes it.
const NOTHING: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const SITE: &str = "v/lib/python3.11/site-packages";

struct System {
    _directory: TempDir,
    root: PathBuf,
}

impl System {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        Self { _directory: directory, root }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A package of Python with this record.
    fn python(&self, package: &str, record: impl AsRef<[u8]>) -> &Self {
        self.write(&format!("{SITE}/{package}.dist-info/RECORD"), record)
    }

    fn said(&self, path: &str) -> Option<String> {
        let installed = find(&self.root, Path::new(path), Some(NOTHING))?;
        let Installed { by, package, record, integrity, .. } = installed;
        Some(format!("{} {package} {} {}", by.name(), integrity.name(), record.display()))
    }
}

#[test]
fn pip_says_what_it_installed_and_with_which_sum() {
    let system = System::new();
    system.python("aaa-1", "aaa/__init__.py,sha256=x,1\n");
    let record = format!(
        "../../../bin/aws,sha256={NOTHING},0\nawscli/__main__.py,sha256={NOTHING},0\nawscli/x.py,sha256=other,3\n\
        awscli/__pycache__/x.pyc,,\n"
    );
    system.python("awscli-1.46.3", record);
    let place = format!("/{SITE}/awscli-1.46.3.dist-info/RECORD");
    for (path, state) in [
        ("/v/bin/aws", Some("intact")),
        ("/v/lib/python3.11/site-packages/awscli/__main__.py", Some("intact")),
        ("/v/lib/python3.11/site-packages/awscli/x.py", Some("changed")),
        ("/v/lib/python3.11/site-packages/awscli/__pycache__/x.pyc", Some("unrecorded")),
        ("/v/lib/python3.11/site-packages/awscli/new.py", None),
        ("/v/bin/awz", None),
        ("/w/bin/aws", None),
        ("/bin/aws", None),
    ] {
        let expected = state.map(|state| format!("pip awscli 1.46.3 {state} {place}"));
        assert_eq!(system.said(path), expected, "{path}");
    }
    let unknown = find(&system.root, Path::new("/v/bin/aws"), None).unwrap();
    assert_eq!(unknown.integrity, Integrity::Unknown);
}

#[test]
fn npm_says_what_it_installed_but_not_what_is_in_it() {
    let system = System::new();
    for name in ["p/node_modules/a", "p/node_modules/a/node_modules/b", "g/lib/node_modules/@s/c"] {
        let own = name.rsplit_once("node_modules/").unwrap().1;
        system.write(&format!("{name}/package.json"), format!(r#"{{"name":"{own}","version":"1.0.0"}}"#));
    }
    // Not of a package, but of one of its directories.
    system.write("p/node_modules/a/esm/package.json", r#"{"type":"module"}"#);
    let lock =
        r#"{"packages":{"node_modules/a":{"version":"1.0.1"},"node_modules/a/node_modules/b":{"version":"1.0.2"}}}"#;
    system.write("p/node_modules/.package-lock.json", lock);
    for (path, said) in [
        ("/p/node_modules/a/esm/cli.js", "npm a 1.0.1 unrecorded /p/node_modules/.package-lock.json"),
        ("/p/node_modules/a/node_modules/b/b.js", "npm b 1.0.2 unrecorded /p/node_modules/.package-lock.json"),
        ("/g/lib/node_modules/@s/c/c.js", "npm @s/c 1.0.0 unrecorded /g/lib/node_modules/@s/c/package.json"),
    ] {
        assert_eq!(system.said(path).as_deref(), Some(said), "{path}");
    }
    assert_eq!(system.said("/p/node_modules/none/x.js"), None);
    assert_eq!(system.said("/p/src/x.js"), None);
}

#[test]
fn cargo_says_what_it_installed() {
    let system = System::new();
    system.write("h/.cargo/.crates2.json", r#"{"installs":{"tool 1.2.3 (path+file:///src)":{"bins":["tool"]}}}"#);
    let said = "cargo tool 1.2.3 unrecorded /h/.cargo/.crates2.json";
    assert_eq!(system.said("/h/.cargo/bin/tool").as_deref(), Some(said));
    assert_eq!(system.said("/h/.cargo/bin/other"), None);
}

/// Each of these would be believed but for one thing.
#[test]
fn links_pipes_and_large_records_are_not_read() {
    let good = format!("../../../bin/aws,sha256={NOTHING},0\n");
    let record = format!("{SITE}/awscli-1.dist-info/RECORD");
    let plain = System::new();
    plain.python("awscli-1", &good);
    assert!(plain.said("/v/bin/aws").is_some());

    let linked = System::new();
    linked.write("elsewhere/RECORD", &good);
    fs::create_dir_all(linked.root.join(SITE)).unwrap();
    symlink(linked.root.join("elsewhere"), linked.root.join(SITE).join("awscli-1.dist-info")).unwrap();
    assert_eq!(linked.said("/v/bin/aws"), None, "a directory elsewhere");
    fs::remove_file(linked.root.join(SITE).join("awscli-1.dist-info")).unwrap();
    fs::create_dir(linked.root.join(SITE).join("awscli-1.dist-info")).unwrap();
    symlink(linked.root.join("elsewhere/RECORD"), linked.root.join(&record)).unwrap();
    assert_eq!(linked.said("/v/bin/aws"), None, "a file elsewhere");
    fs::remove_file(linked.root.join(&record)).unwrap();
    mknodat(CWD, linked.root.join(&record), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(linked.said("/v/bin/aws"), None, "a pipe");

    let huge = System::new();
    huge.python("awscli-1", &good);
    File::options().write(true).open(huge.root.join(&record)).unwrap().set_len(RECORD_BYTES + 1).unwrap();
    assert_eq!(huge.said("/v/bin/aws"), None, "too large");
}

#[test]
fn a_record_speaks_of_its_own_prefix_only_and_a_liar_is_found_out() {
    let system = System::new();
    let lies = format!(
        "../../../../usr/bin/su,sha256={NOTHING},0\n/usr/bin/su,sha256={NOTHING},0\n../../../bin/../bin/aws,sha256={NOTHING},0\n"
    );
    system.python("liar-1", lies);
    assert_eq!((system.said("/usr/bin/su"), system.said("/v/bin/aws")), (None, None));
    system.python("liar-1", "../../../bin/aws,sha256=AAAA,0\n");
    let said = system.said("/v/bin/aws").unwrap();
    assert!(said.starts_with("pip liar 1 changed "), "{said}");
    // Names that are none cannot get into output.
    system.python("e\x1b[2Jvil-1", format!("../../../bin/evil,sha256={NOTHING},0\n"));
    assert_eq!(system.said("/v/bin/evil"), None);
}

#[test]
fn packages_beyond_the_bound_are_not_asked() {
    let system = System::new();
    for number in 0..PACKAGES {
        system.python(&format!("p{number:04}-1"), "p/x.py,,\n");
    }
    system.python("z-1", "../../../bin/tool,,\n../../../bin/zz,,\n");
    assert_eq!(system.said("/v/bin/tool"), None);
    // One that is named like the file is asked first.
    system.python("zz-1", "../../../bin/zz,,\n");
    assert!(system.said("/v/bin/zz").is_some());
}
