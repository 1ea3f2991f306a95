//! The walls between the parts, checked over the source text: who may use whom.
//!
//! Crates: `ebpf -> common <- agent <- tests`. In the agent data flows `ingest -> lineage -> detect -> finding -> sink`,
//! and a module knows only those before it.

use std::fs;
use std::path::{Path, PathBuf};

/// Code under the first path (a directory or a file) must not name the second, other than in the listed places.
struct Wall {
    under: &'static str,
    never: &'static [&'static str],
    but: &'static [&'static str],
    why: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        under: "common/src",
        never: &["tokenhound::", "tokenhound_ebpf", "tokenhound_tests", "std::"],
        but: &[],
        why: "the wire knows neither side of it",
    },
    Wall {
        under: "ebpf/src",
        never: &["tokenhound::", "tokenhound_tests", "aya::"],
        but: &[],
        why: "the kernel side knows the wire and nothing else",
    },
    Wall {
        under: "agent/src",
        never: &["tokenhound_ebpf", "tokenhound_tests"],
        but: &[],
        why: "the agent knows the wire, not the programs or the tests",
    },
    Wall {
        under: "agent/src",
        never: &["aya::", "aya_log::", "aya_obj::"],
        but: &["agent/src/probe/", "agent/src/probe.rs", "agent/src/ingest/ring.rs"],
        why: "aya stays at the edge",
    },
    Wall {
        under: "agent/src",
        never: &["serde_saphyr"],
        but: &["agent/src/yaml.rs"],
        why: "the YAML library can be replaced in one file",
    },
    Wall {
        under: "agent/src/kernel",
        never: &["crate::ingest", "crate::lineage", "crate::detect", "crate::finding", "crate::sink", "crate::probe"],
        but: &[],
        why: "facts about the kernel come first",
    },
    Wall {
        under: "agent/src/ingest",
        never: &["crate::lineage", "crate::detect", "crate::finding", "crate::sink"],
        but: &[],
        why: "data flows ingest -> lineage -> detect -> finding -> sink",
    },
    Wall {
        under: "agent/src/lineage",
        never: &["crate::detect", "crate::finding", "crate::sink"],
        but: &[],
        why: "data flows ingest -> lineage -> detect -> finding -> sink",
    },
    Wall {
        under: "agent/src/detect",
        never: &["crate::sink", "crate::cli", "crate::telemetry"],
        but: &[],
        why: "data flows ingest -> lineage -> detect -> finding -> sink",
    },
    Wall {
        under: "agent/src/finding",
        never: &["crate::sink", "crate::cli", "crate::telemetry"],
        but: &[],
        why: "data flows ingest -> lineage -> detect -> finding -> sink",
    },
    Wall {
        under: "agent/src/incident",
        never: &["crate::sink", "crate::cli", "crate::telemetry", "crate::history"],
        but: &[],
        why: "data flows finding -> incident -> history -> sink",
    },
    Wall {
        under: "agent/src/incident",
        never: PURE,
        but: &[],
        why: "what decides is pure: time comes in with findings",
    },
    Wall {
        under: "agent/src/sink",
        never: &["crate::ingest", "crate::lineage", "crate::detect", "crate::cli"],
        but: &[],
        why: "a sink knows findings only",
    },
    Wall {
        under: "agent/src/copies/place.rs",
        never: PURE,
        but: &[],
        why: "what kind of place a copy lies in is decided by facts that come in",
    },
    Wall { under: "agent/src/detect", never: PURE, but: &[], why: "what decides is pure: facts come in as inputs" },
    Wall { under: "agent/src/finding", never: PURE, but: &[], why: "what decides is pure: facts come in as inputs" },
    Wall {
        under: "agent/src/pipeline/core",
        never: &[
            "crate::sink",
            "crate::cli",
            "crate::telemetry",
            "crate::probe",
            "crate::kernel",
            "crate::pipeline",
            "crate::capture",
            "crate::lineage::backfill",
            "crate::lineage::users",
            "crate::lineage::writable",
            "crate::catalogue::scan",
            "crate::ingest::ring",
            "clock::now",
            "Clock::sample",
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "tokio::",
            "tracing::",
            "rustix::",
            "procfs::",
            "Instant::now",
            "SystemTime::now",
        ],
        but: &[],
        why: "the core is pure: no clock, no file system, no thread",
    },
    Wall {
        under: "agent/src/token",
        never: &[
            "crate::ingest",
            "crate::lineage",
            "crate::detect",
            "crate::finding",
            "crate::sink",
            "crate::telemetry",
        ],
        but: &[],
        why: "a token knows its store and nothing of who reads it",
    },
    Wall {
        under: "agent/src/token",
        never: PURE,
        but: &["agent/src/token/key.rs", "agent/src/token/read.rs"],
        why: "what decides is pure: facts come in as inputs",
    },
    Wall {
        under: "agent/src/container",
        never: PURE,
        but: &[
            "agent/src/container/daemons.rs",
            "agent/src/container/facts/lookup.rs",
            "agent/src/container/images/containerd.rs",
            "agent/src/container/images/docker.rs",
            "agent/src/container/images/scan.rs",
            "agent/src/container/images/storage.rs",
            "agent/src/container/images/volumes.rs",
        ],
        why: "what decides is pure: facts come in as inputs",
    },
    Wall {
        under: "agent/src/posture",
        never: PURE,
        but: &["agent/src/posture/gather.rs", "agent/src/posture/view.rs"],
        why: "what decides is pure: facts come in as inputs",
    },
    Wall {
        under: "agent/src/lineage/table",
        never: PURE,
        but: &[],
        why: "what decides is pure: facts come in as inputs",
    },
    Wall {
        under: "agent/src/ingest",
        never: PURE,
        but: &["agent/src/ingest/ring.rs", "agent/src/ingest/clock.rs"],
        why: "what decides is pure: facts come in as inputs",
    },
];

/// What only the edge may name.
const PURE: &[&str] =
    &["std::fs", "std::net", "tokio::", "std::thread", "Instant::now", "SystemTime::now", "rustix::", "procfs::"];

/// Every place where the source breaks a wall, as `file:line: what (why)`.
fn breaches(walls: &[Wall], file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for wall in
        walls.iter().filter(|wall| is_under(file, wall.under) && !wall.but.iter().any(|but| file.starts_with(but)))
    {
        for (number, line) in text.lines().enumerate() {
            // Words may name anything; so may a file's own tests, which come last in it (or lie in `tests.rs`).
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            for path in paths(code) {
                if wall.never.iter().any(|never| path.starts_with(never)) {
                    found.push(format!("{file}:{}: {path} ({})", number + 1, wall.why));
                }
            }
        }
    }
    found
}

fn is_under(file: &str, part: &str) -> bool {
    file.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with(".rs"))
}

/// The `a::b::c` paths and plain words of a line of code.
fn paths(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).filter(|word| !word.is_empty())
}

/// `use crate::{ ... }` written over several lines, as one path a line, so that [`paths`] sees them.
fn spread_uses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut prefixes: Vec<String> = Vec::new();
    let mut in_use = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("use ") || trimmed.starts_with("pub use ") || trimmed.starts_with("pub(crate) use ") {
            in_use = true;
            prefixes.clear();
        }
        if in_use {
            spread_line(trimmed, &mut prefixes, &mut out);
            in_use = !trimmed.ends_with(';');
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

fn spread_line(line: &str, prefixes: &mut Vec<String>, out: &mut String) {
    let mut word = String::new();
    for c in line.chars() {
        match c {
            '{' => prefixes.push(std::mem::take(&mut word)),
            '}' | ',' | ';' | ' ' => {
                if !word.is_empty() {
                    out.push_str(&prefixes.concat());
                    out.push_str(&std::mem::take(&mut word));
                    out.push(' ');
                }
                if c == '}' {
                    prefixes.pop();
                }
            }
            _ => word.push(c),
        }
    }
}

fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

#[test]
fn the_walls_stand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    ["common/src", "ebpf/src", "agent/src", "tests/src"]
        .iter()
        .for_each(|dir| source_files(&root.join(dir), &mut files));
    assert!(files.len() > 10, "the source is not where it is looked for");
    let mut found = Vec::new();
    for file in files {
        let text = spread_uses(&fs::read_to_string(&file).unwrap());
        found.extend(breaches(WALLS, &file.strip_prefix(root).unwrap().to_string_lossy(), &text));
    }
    assert!(found.is_empty(), "walls are broken:\n{}", found.join("\n"));
}

#[test]
fn a_breach_is_seen_however_it_is_written() {
    for text in [
        "use crate::sink::file;",
        "use crate::{ingest::x, sink};",
        "use crate::{\n    ingest::{observation::A, ring},\n    sink::{\n        File,\n    },\n};",
        "fn f() { crate::sink::file::write() }",
    ] {
        assert_eq!(breaches(WALLS, "agent/src/lineage/table.rs", &spread_uses(text)).len(), 1, "{text}");
    }
}

#[test]
fn what_is_allowed_is_no_breach() {
    for (file, text) in [
        ("agent/src/lineage/table.rs", "use crate::ingest::observation::Observation;"),
        ("agent/src/lineage/table.rs", "// not crate::sink::file\nuse crate::ingest;"),
        ("agent/src/probe/load.rs", "use aya::Ebpf;"),
        ("agent/src/ingest/ring.rs", "use aya::maps::RingBuf;"),
        ("agent/src/yaml.rs", "serde_saphyr::from_str(text)"),
        ("agent/src/detect/sweep.rs", "use crate::lineage;\n#[cfg(test)]\nmod tests { use std::fs; }"),
    ] {
        assert_eq!(breaches(WALLS, file, &spread_uses(text)), Vec::<String>::new(), "{file}: {text}");
    }
    assert_eq!(breaches(WALLS, "agent/src/ingest/decode.rs", "use aya::maps::RingBuf;").len(), 1);
}
