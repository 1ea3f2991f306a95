use std::collections::BTreeSet;

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

use super::{graph::Graph, *};
use crate::{
    detect::access::{Called, Namer},
    finding::{severity::Severity, text::Style},
    history::model::{Ancestor, Standing},
};

const PATH: &str = "/home/ann/.aws/credentials";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_764_000_000 + seconds).unwrap()
}

fn fingerprint(number: i64) -> String {
    format!("th1:{number:a>32}")
}

fn place(number: i64, path: &str) -> Place {
    Place {
        fingerprint: fingerprint(number),
        store: "aws-credentials".into(),
        path: path.into(),
        field: format!("[default]/key{number}"),
        facts: None,
        since: at(0),
        gone: (number == 2).then(|| at(500)),
    }
}

fn access(id: i64, program: &str, verdict: &str) -> Access {
    let ancestor = |pid, program: &str| Ancestor { pid, program: program.into() };
    Access {
        id,
        way: "read".into(),
        store: "aws-credentials".into(),
        what: PATH.into(),
        verdict: verdict.into(),
        actor: "interactive".into(),
        uid: 1000,
        user: Some("ann".into()),
        program: program.into(),
        script: None,
        container: None,
        lineage: vec![ancestor(812, "/usr/bin/bash"), ancestor(800, "/usr/sbin/sshd")],
        pid: 4242,
        first: at(10),
        last: at(10 + id),
        count: id,
        tokens: vec![fingerprint(1)],
    }
}

fn copy(path: &str, access: Option<i64>) -> Copy {
    Copy {
        fingerprint: fingerprint(1),
        path: path.into(),
        store: "aws-credentials".into(),
        class: "script".into(),
        encoding: "raw".into(),
        mark: None,
        writer: "cat".into(),
        carrier: ProcessKey::new(1, 2),
        access,
        first: at(20),
        seen: at(30),
        state: Standing::Present,
    }
}

pub(crate) fn egress(id: i64, access: Option<i64>) -> Egress {
    Egress {
        id,
        store: "aws-credentials".into(),
        fingerprint: None,
        access,
        peer: format!("203.0.113.{id}:443").parse().unwrap(),
        called: Some(Called { name: "collector.invalid".into(), by: Namer::Hosts }),
        uid: 1000,
        user: Some("ann".into()),
        program: "/usr/bin/curl".into(),
        script: None,
        container: None,
        pid: 4300,
        // Finding 5 is about the first.
        finding: Some(format!("{:032x}", id + 4)),
        first: at(20),
        last: at(20),
        count: 1,
    }
}

fn told(id: i64, path: Option<&str>, access: Option<i64>) -> Told {
    Told {
        id,
        uid: format!("{id:032x}"),
        time: at(20),
        detector: "unexpected-reader".into(),
        severity: Severity::High,
        store: Some("aws-credentials".into()),
        path: path.map(str::to_owned),
        fingerprint: None,
        access,
        message: format!("HIGH finding number {id}"),
    }
}

fn story() -> Trail {
    Trail {
        places: vec![place(1, PATH), place(2, PATH)],
        accesses: vec![access(1, "/usr/bin/aws", "expected"), access(2, "/usr/bin/cat", "unexpected")],
        copies: vec![copy("/home/ann/deploy.sh", Some(2)), copy("/tmp/other", None)],
        egress: vec![egress(1, Some(2)), egress(2, None)],
        findings: vec![
            told(1, Some(PATH), Some(2)),
            told(2, Some("/home/ann/deploy.sh"), None),
            told(3, Some(PATH), None),
            told(4, None, None),
            told(5, None, None),
        ],
        left_out: 0,
    }
}

/// A trail with about so many boxes: two stores, many programs, copies and findings.
fn large(boxes: i64) -> Trail {
    let mut trail = Trail { places: vec![place(1, PATH), place(3, "/root/.aws/credentials")], ..Trail::default() };
    for number in 0..boxes / 4 {
        let verdict = if number % 3 == 0 { "unexpected" } else { "expected" };
        let program = format!("/opt/tools/of-somebody/with-a-long-name/version-{number}/bin/program");
        trail.accesses.push(access(number, &program, verdict));
        if number % 3 == 0 {
            for part in 0..3 {
                let path = format!("/home/ann/projects/service-{number}/deploy/copy-{part}.sh");
                trail.copies.push(copy(&path, Some(number)));
                trail.findings.push(told(number * 10 + part, Some(&path), None));
            }
            trail.egress.push(egress(number, Some(number)));
            trail.findings.push(told(number * 10 + 9, Some(PATH), Some(number)));
        }
    }
    trail
}

#[test]
fn everything_is_in_the_tree_once_and_below_what_led_to_it() {
    let trail = story();
    let tree = Tree::of(&trail);
    let [root] = &tree.roots[..] else { panic!("{tree:?}") };
    assert_eq!((root.tokens.len(), root.accesses.len()), (2, 2));
    let cat = &root.accesses[1].rest;
    assert_eq!(cat.copies.len(), 1);
    assert_eq!(cat.copies[0].1.iter().map(|told| told.id).collect::<Vec<_>>(), [2], "the finding of the copy");
    assert_eq!(cat.findings.iter().map(|told| told.id).collect::<Vec<_>>(), [1]);
    assert_eq!(cat.egress.len(), 1);
    assert_eq!(cat.egress[0].1.iter().map(|told| told.id).collect::<Vec<_>>(), [5], "the finding of the connection");
    assert_eq!((root.rest.copies.len(), root.rest.findings.len()), (1, 1), "its writer is not known");
    assert_eq!(root.rest.egress.len(), 1, "who had read it is not known");
    assert_eq!(tree.rest.findings.iter().map(|told| told.id).collect::<Vec<_>>(), [4]);
}

#[test]
fn the_text_is_a_tree_without_escapes_of_others() {
    let mut trail = story();
    trail.copies[0].path = "/tmp/\u{1b}[2Jx".into();
    trail.accesses[1].program = "/tmp/\u{202e}gpj".into();
    let text = text::render(&trail, Style::default());
    for part in [
        "/home/ann/.aws/credentials  aws-credentials\n",
        "├─ /usr/bin/aws, ann (interactive): read it once, expected;",
        "unexpected; 2025-11-24 16:00:10 UTC to",
        "below /usr/bin/bash (812) < /usr/sbin/sshd (800)",
        "gone since 2025-11-24 16:08:20 UTC",
        "copy in /tmp/other (script), written by cat",
        "carried to 203.0.113.1:443 (collector.invalid, as /etc/hosts has it) by",
        "not known of which file",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= crate::finding::text::WIDTH), "{text}");
}

#[test]
fn boxes_do_not_cover_each_other_and_no_lines_cross() {
    for boxes in [5, 40, 200] {
        let trail = large(boxes);
        let graph = Graph::of(&Tree::of(&trail));
        let all = trail.accesses.len() + trail.copies.len() + trail.egress.len() + trail.findings.len();
        assert!(graph.nodes.len() >= all, "{boxes}");
        let places: BTreeSet<_> = graph.nodes.iter().map(|node| (node.column, node.row)).collect();
        assert_eq!(places.len(), graph.nodes.len(), "{boxes}");
        // A line goes level in the row of what it leads to: no box may stand there.
        for (at, node) in graph.nodes.iter().enumerate() {
            let Some(parent) = node.parent.and_then(|parent| graph.nodes.get(parent)) else { continue };
            assert!(parent.column < node.column && parent.row <= node.row, "{boxes}: {at}");
            let passed = (parent.column + 1..node.column).any(|column| places.contains(&(column, node.row)));
            assert!(!passed, "{boxes}: {node:?}");
        }
        let page = html::render("aws-credentials", &trail);
        if let Some(directory) = std::env::var_os("TOKENHOUND_PAGES") {
            std::fs::write(std::path::Path::new(&directory).join(format!("trace-{boxes}.html")), &page).unwrap();
        }
        assert_eq!(page.matches("<rect").count(), graph.nodes.len());
        assert!(!page.contains("<script") && !page.contains("://"), "it fetches nothing");
    }
}

#[test]
fn the_json_names_everything() {
    let trail = story();
    let value = json("aws-credentials", &trail);
    assert_eq!(value["schema"], "tokenhound-trace-1");
    for (part, count) in [("places", 2), ("accesses", 2), ("copies", 2), ("egress", 2), ("findings", 5)] {
        assert_eq!(value[part].as_array().map(Vec::len), Some(count), "{part}");
    }
    assert_eq!(value["copies"][0]["state"], "present");
    let sent = &value["egress"][0];
    assert_eq!((&sent["address"], &sent["port"]), (&json!("203.0.113.1"), &json!(443)), "{sent}");
    assert_eq!((&sent["name"], &sent["name_from"]), (&json!("collector.invalid"), &json!("hosts")), "{sent}");
    assert_eq!(value["places"][1]["gone"], "2025-11-24T16:08:20Z");
}
