use super::*;
use crate::finding::samples;

fn host() -> Host {
    Host {
        hostname: Some("workbench".to_owned()),
        kernel_release: Some("6.12.1".to_owned()),
        boot_id: Some("3f3c1d0e-0000-4000-8000-000000000000".to_owned()),
    }
}

/// Written to the file named by `TOKENHOUND_OCSF_SAMPLES`, for `tests/ocsf/check.py`.
#[test]
fn samples_are_one_object_a_line() {
    let of = |finding: &Finding| {
        [line(finding, &host()), line(finding, &Host::default()), line_in(finding, &host(), "0123abcd")]
    };
    let lines: Vec<_> = samples::all().iter().flat_map(of).collect();
    for line in &lines {
        assert!(!line.contains('\n') && !line.contains("null"), "{line}");
        let parsed: Value = serde_json::from_str(line).unwrap();
        assert_eq!(parsed["class_uid"], 2004);
    }
    if let Some(path) = std::env::var_os("TOKENHOUND_OCSF_SAMPLES") {
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

/// One finding of each detector, over which the Sigma rules are played.
#[test]
fn findings_for_sigma_are_up_to_date() {
    let mut seen = std::collections::BTreeSet::new();
    let mut lines = String::new();
    for finding in samples::all().iter().filter(|finding| seen.insert(finding.detector)) {
        lines.extend([line(finding, &host()), "\n".to_owned()]);
    }
    crate::telemetry::bless::compare("tests/sigma/findings.jsonl", &lines);
}

#[test]
fn contract_of_the_design() {
    let finding = &samples::all()[0];
    let event = object(finding, &host());
    for (pointer, wanted) in [
        ("/type_uid", json!(200_401)),
        ("/metadata/version", json!("1.8.0")),
        ("/metadata/profiles", json!(["host"])),
        ("/time", json!(1_764_000_000_250_i64)),
        ("/severity_id", json!(4)),
        ("/finding_info/analytic/uid", json!("unexpected-reader")),
        ("/finding_info/uid", json!(finding.uid)),
        ("/finding_info/attacks/0/sub_technique/uid", json!("T1552.001")),
        ("/finding_info/attacks/1/technique/uid", json!("T1528")),
        ("/resources/0/uid", json!("aws-credentials")),
        ("/resources/0/name", json!("/home/ann/.aws/credentials")),
        ("/actor/process/file/path", json!("/usr/bin/cat")),
        ("/actor/process/pid", json!(4242)),
        ("/actor/process/user/uid", json!("1000")),
        ("/actor/process/parent_process/name", json!("dash")),
        ("/actor/process/ancestry/1/path", json!("/usr/bin/node")),
        ("/actor/process/ancestry/4/pid", json!(1)),
        ("/unmapped/tokenhound/actor/class", json!("package-script")),
        ("/unmapped/tokenhound/actor/id", json!("npm")),
        ("/unmapped/tokenhound/actor/proof", json!("place")),
        ("/unmapped/tokenhound/actor/process_uid", json!("4100000-4100")),
        ("/unmapped/tokenhound/actor/at_prompt", json!(false)),
        ("/unmapped/tokenhound/verdict", json!("unexpected")),
        ("/unmapped/tokenhound/tier", json!("fentry")),
        ("/unmapped/tokenhound/packages", json!({"executable": {"name": "coreutils", "state": "intact"}})),
        ("/unmapped/tokenhound/latency_ms", json!(1.5)),
    ] {
        assert_eq!(event.pointer(pointer), Some(&wanted), "{pointer}");
    }
    assert!(event["remediation"]["desc"].as_str().unwrap().contains("aws iam delete-access-key"));
    let awkward = object(&samples::all()[1], &host());
    assert_eq!(awkward["metadata"]["profiles"], json!(["container", "host"]));
    assert_eq!(awkward["actor"]["process"]["container"]["runtime"], "docker");
    let fingerprint = awkward["observables"].as_array().unwrap().iter().find(|entry| entry["type_id"] == 30).unwrap();
    assert_eq!(fingerprint["value"], "th1:mzxw6ytboi");
    let sweep = object(&samples::credential_sweep(), &host());
    assert_eq!(sweep["resources"].as_array().unwrap().len(), 3);
    assert_eq!(sweep["resources"][1]["name"], "/home/ann/.ssh/id_ed25519");
    assert_eq!(sweep["severity"], "Critical");
}

#[test]
fn the_job_and_step_are_told() {
    let event = object(&samples::in_ci(), &host());
    let ci = json!({
        "system": "github-actions", "proof": "place", "repository": "o/r", "job": "build",
        "step": "x::error::|\\u{202e}<b>", "run": "77", "url": "https://github.com/o/r/actions/runs/77",
    });
    assert_eq!(event["unmapped"]["tokenhound"]["ci"], ci);
    assert!(object(&samples::unexpected_reader(), &host())["unmapped"]["tokenhound"].get("ci").is_none());
}

#[test]
fn the_incident_is_told() {
    let event: Value = serde_json::from_str(&line_in(&samples::awkward(), &host(), "0123abcd")).unwrap();
    assert_eq!(event["metadata"]["correlation_uid"], "0123abcd");
    assert_eq!(event["unmapped"]["tokenhound"]["incident"], "0123abcd");
}

#[test]
fn a_line_is_the_same_every_time() {
    assert_eq!(line(&samples::awkward(), &host()), line(&samples::awkward(), &host()));
}
