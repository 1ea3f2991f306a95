//! The chart and the plain manifests of `packaging/kubernetes`, by Helm's own library and the schemas of Kubernetes.

use std::{env, path::Path, process::Command};

use tokenhound_tests::{ocsf, process, skip};

#[test]
fn the_chart_renders_and_the_manifests_are_what_it_makes() {
    if !skip::native("manifests do not depend on the kernel") {
        return;
    }
    let Some(python) = ocsf::python() else {
        skip::skip("no Helm: TOKENHOUND_VENV is not set");
        return;
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packaging = tests.parent().unwrap().join("packaging/kubernetes");
    let mut check = Command::new(python);
    check.arg(tests.join("kubernetes/check.py")).arg(packaging.join("tokenhound"));
    check.arg(packaging.join("tokenhound.yaml"));
    if env::var_os("TOKENHOUND_BLESS").is_some() {
        check.arg("--bless");
    }
    let ended = process::run(&mut check, b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
}
