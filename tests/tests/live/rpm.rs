//! Whose a program is by the database of rpm, written by rpm itself in a root of its own.

use std::{fs, path::Path, process::Command, time::Instant};

use tokenhound::lineage::package::{
    Integrity, Owner,
    lookup::{Asked, Packages},
};
use tokenhound_tests::{
    process::{patience, run},
    skip,
    stage::{Stage, set_mode},
};

/// A package of one program, a link to it, a directory and a file that is not brought.
const SPEC: &str = "Name: made-up\nVersion: 1\nRelease: 1\nSummary: Made up\nLicense: Apache-2.0\nBuildArch: noarch\n\
    %description\nMade up.\n%install\nmkdir -p %{buildroot}/usr/bin %{buildroot}/var/made-up\n\
    printf '#!/bin/sh\\n' >%{buildroot}/usr/bin/tool\nln -s tool %{buildroot}/usr/bin/alias\n\
    touch %{buildroot}/var/made-up/log\n\
    %files\n%attr(755,root,root) /usr/bin/tool\n/usr/bin/alias\n%dir /var/made-up\n%ghost /var/made-up/log\n";

#[test]
fn what_rpm_has_installed_is_known() {
    if !skip::native("databases of packages do not depend on the kernel") || !skip::has(&["rpm", "rpmbuild"]) {
        return;
    }
    let stage = Stage::new();
    let (root, build) = (stage.directory("root"), stage.directory("build"));
    let spec = stage.file("made-up.spec", SPEC);
    let does = |command: &mut Command| {
        let ended = run(command.env("HOME", stage.path("")), b"");
        assert_eq!(ended.code(), 0, "{command:?}: {}{}", ended.out(), ended.err());
    };
    does(Command::new("rpmbuild").arg("-bb").arg("--define").arg(format!("_topdir {}", build.display())).arg(&spec));
    let package = build.join("RPMS/noarch/made-up-1-1.noarch.rpm");
    let rpm = |arguments: &[&str]| {
        does(
            Command::new("rpm")
                .args(["--force-debian", "--nodeps", "--dbpath", "/var/lib/rpm", "--root"])
                .arg(&root)
                .args(arguments)
                .arg(&package),
        );
    };
    rpm(&["--install"]);
    let found = ["var/lib/rpm", "usr/lib/sysimage/rpm"].iter().any(|at| root.join(at).join("rpmdb.sqlite").exists());
    assert!(found, "rpm keeps its database elsewhere");
    for name in ["usr/bin/mine", "var/made-up/log"] {
        fs::write(root.join(name), "written since").unwrap();
    }

    let mut packages = Packages::new(&root);
    let mut owner = |path: &str| {
        let asked = Asked { path: Path::new(path), inode: None };
        let end = Instant::now() + patience();
        loop {
            let owner = packages.owners(&[asked]).expect("a database").remove(0);
            let settled = !matches!(
                owner,
                Owner::Unknown
                    | Owner::Package { integrity: Integrity::Unknown, .. }
                    | Owner::Nobody { digest: None, .. }
            );
            if settled {
                return owner;
            }
            assert!(Instant::now() < end, "{path} is {owner:?}");
        }
    };
    let made_up = |integrity| Owner::Package { name: "made-up".to_owned(), integrity };
    assert_eq!(owner("/usr/bin/tool"), made_up(Integrity::Intact));
    assert_eq!(owner("/usr/bin/alias"), made_up(Integrity::Intact), "it is the program");
    assert_eq!(owner("/var/made-up/log"), made_up(Integrity::Unrecorded));
    assert!(matches!(owner("/usr/bin/mine"), Owner::Nobody { .. }));
    let tool = root.join("usr/bin/tool");
    fs::write(&tool, "#!/bin/sh\n:\n").unwrap();
    set_mode(&tool, 0o755);
    assert_eq!(owner("/usr/bin/tool"), made_up(Integrity::Changed));
    // Installed once more, it is what it was.
    rpm(&["--upgrade", "--replacepkgs"]);
    assert_eq!(owner("/usr/bin/tool"), made_up(Integrity::Intact));
}
