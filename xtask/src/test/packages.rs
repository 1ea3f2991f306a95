//! The packages, from being made to being purged.

use crate::place::Place;
use crate::test::guests;
use crate::test::tally::Tally;
use crate::vm::debian;

/// What happens to the package where systemd runs, in this order: functions of `tests/vm/debian/steps`.
const STEPS: [&str; 13] = [
    "install",
    "checked",
    "confined",
    "theft",
    "copied",
    "copied_elsewhere",
    "transient_unit",
    "at_job",
    "reload",
    "killed",
    "upgrade",
    "nothing_denied",
    "purge",
];

pub(super) fn run(place: &Place, only: Option<&str>, tally: &mut Tally) {
    if !rustix::process::geteuid().is_root() {
        tally.skip("packages: only root may install them");
        return;
    }
    let [deb, rpm] = match crate::package::run(place) {
        Ok(packages) => packages,
        Err(failure) => return tally.check("make packages", Err(failure)),
    };
    let image = match crate::image::run(place) {
        Ok(image) => image,
        Err(failure) => return tally.check("make the program of the image", Err(failure)),
    };
    let mut tests = place.cargo();
    tests.args(["test", "--package", "tokenhound-tests", "--test", "packages", "--locked"]).args(only);
    tests.env("TOKENHOUND_DEB", &deb).env("TOKENHOUND_RPM", rpm).env("TOKENHOUND_IMAGE", image);
    tally.run("packages", &mut tests, |_| ());
    if only.is_none() {
        match debian::boot(place, &deb, &STEPS, |line| println!("debian| {line}")) {
            Ok(report) => guests::judge("debian", &report, STEPS.into_iter(), tally),
            Err(failure) => tally.check("guest debian", Err(failure)),
        }
    }
}
