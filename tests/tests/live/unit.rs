//! The systemd unit, by systemd's own check.

use std::{fs, path::Path, process::Command};

use tokenhound_tests::{process::run, skip, stage::Stage};

#[test]
fn systemd_takes_every_line_of_the_unit_and_rates_it_as_documented() {
    if !skip::native("the unit does not depend on the kernel") || !skip::has(&["systemd-analyze"]) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let unit = fs::read_to_string(root.join("packaging/systemd/tokenhound.service")).unwrap();
    let stage = Stage::new();
    // It also asks whether the program is there.
    let file = stage.file("tokenhound.service", unit.replace("/usr/bin/tokenhound", "/bin/true"));
    let verified = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file), b"");
    // A line that it does not know is a remark, and no failure.
    assert_eq!((verified.code(), verified.err().as_str()), (0, ""), "{}", verified.out());
    let mut rate = Command::new("systemd-analyze");
    let rated = run(rate.args(["security", "--offline=true", "--no-pager"]).arg(&file), b"").out();
    let rating = rated.lines().find_map(|line| line.split_once("tokenhound.service: ")).map(|(_, rating)| rating);
    let rating = rating.and_then(|rating| rating.split_whitespace().next()).unwrap_or_else(|| panic!("{rated}"));
    // Other versions look at other things.
    let version = run(Command::new("systemd-analyze").arg("--version"), b"").out();
    if version.starts_with("systemd 252 ") {
        let page = fs::read_to_string(root.join("docs/install.md")).unwrap();
        assert!(page.contains(&format!("rates it {rating} (\"OK\")")), "docs/install.md does not say {rating}");
    }
}
