//! Captures of stories, replayed: what was found when they were played (`tests/tests/live/captures.rs`) is found again,
//! byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    entry::InputEntry,
    excerpt::{ExcerptError, excerpt, host},
    header::Header,
    reader::Reader,
    recorder::{Place, Recorder},
    replay::{Rules as ByPolicy, Summary, replay},
    rules::Rules,
    synthetic::{self, Load, Machine, Step},
};
use crate::{
    catalogue::Catalogue,
    finding::ocsf::{self, Host},
    ingest::{decode::Decoder, observation::Observation},
    pipeline::core::{Core, Input, Output, Scope},
    policy::Policy,
};

/// What comes of a capture: findings, reads with their verdicts, and how it went.
fn outcome(path: &Path) -> (String, String, Summary) {
    let mut reader = Reader::open(path).unwrap();
    let host = reader.header().host();
    let catalogue = Arc::new(Catalogue::embedded().unwrap());
    let (mut findings, mut reads, mut summary) = (String::new(), String::new(), Summary::default());
    let mut out = |output| match output {
        Output::Finding(finding) => findings += &format!("{}\n", ocsf::line(&finding, &host)),
        Output::Read { store, verdict, reader, actor, .. } => {
            reads += &format!("{store} {} {reader} {}\n", verdict.name(), actor.name());
        }
        _ => {}
    };
    let decoder = &mut Decoder::of_capture();
    replay(&mut reader, catalogue, ByPolicy::Then(Policy::default()), decoder, &mut summary, &mut out).unwrap();
    (findings, reads, summary)
}

fn kept() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut captures: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "capture")).collect();
    captures.sort();
    captures
}

#[test]
fn captures_of_stories_give_what_was_found_then() {
    let captures = kept();
    assert!(captures.len() >= 5, "{captures:?}");
    let bless = std::env::var_os("TOKENHOUND_BLESS").is_some();
    let (mut found, mut wrong) = (0, Vec::new());
    for path in &captures {
        let (findings, reads, summary) = outcome(path);
        assert_eq!((summary.gaps, summary.unanswered, summary.ended), (0, 0, true), "{}", path.display());
        found += findings.lines().count();
        for (ending, now) in [("findings", findings), ("reads", reads)] {
            let file = path.with_extension(ending);
            if bless {
                fs::write(&file, now).unwrap();
            } else if fs::read_to_string(&file).unwrap() != now {
                wrong.push(file);
            }
        }
    }
    assert!(found > 20, "{found}");
    assert!(
        wrong.is_empty(),
        "{wrong:?} are not what is found now. If that is meant: `TOKENHOUND_BLESS=1 cargo test -p tokenhound --lib \
         captures`, and look at the difference; if the captures themselves are out of date: `cargo xtask bless captures`"
    );
}

/// They were made on somebody's machine.
#[test]
fn captures_of_stories_name_nothing_but_the_story() {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display().to_string();
    for path in kept() {
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() < 40_000, "{} has {} bytes", path.display(), bytes.len());
        let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        // Paths stand in records from their end, each component closed.
        let reversed: String =
            checkout.split('/').rev().filter(|part| !part.is_empty()).map(|part| format!("{part}\0")).collect();
        // A short host name can be any word.
        for text in [checkout.as_str(), &reversed, hostname.trim()].into_iter().filter(|text| text.len() > 4) {
            assert!(!holds(text), "{} holds {text:?}", path.display());
        }
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.header().host(), host());
        let mut decoder = Decoder::of_capture();
        while let Some(entry) = reader.entry().unwrap() {
            let place = match &entry {
                super::reader::Entry::Record(_, bytes) => match decoder.decode(bytes).unwrap().observation {
                    Observation::Exec(exec) => exec.texts.path().to_owned(),
                    Observation::Open(open) => open.path.path,
                    _ => continue,
                },
                super::reader::Entry::Input(InputEntry::Found(process)) => {
                    crate::lineage::model::Process::from((**process).clone()).executable.path
                }
                _ => continue,
            };
            let fine = ["/run/tokenhound-story/", "/run/tokenhound/", "/usr/", "/bin/", "/proc/", "/"];
            let (last, prefixes) = fine.split_last().unwrap();
            let known = place == Path::new(last) || prefixes.iter().any(|prefix| place.starts_with(prefix));
            // Of another process's memory the record has a path inside of procfs.
            let inside = place.ends_with("environ") || place.ends_with("mem");
            assert!(known || inside, "{}: {}", path.display(), place.display());
        }
    }
}

/// A capture of a command on the made-up machine, on which others do things as well.
fn of_command(path: &Path, scope: Scope) -> String {
    let catalogue = Arc::new(Catalogue::embedded().unwrap());
    let setup = crate::pipeline::core::Setup { scope, own: 1000, ..synthetic::setup(Arc::clone(&catalogue)) };
    let machine_name = Host { hostname: Some("somebodys-machine".into()), ..Host::default() };
    let header = Header::new(&setup, &machine_name, Rules::default());
    let mut recorder = Recorder::start(Place::create(path).unwrap(), &header).unwrap();
    let mut core = Core::new(setup);
    let mut decoder = Decoder::new(Core::variables(&catalogue).into_iter().collect());
    let mut machine = Machine::default();
    let mut findings = String::new();
    let mut out = |output| {
        if let Output::Finding(finding) = output {
            findings += &format!("{}\n", finding.headline);
        }
    };
    // The first of those that stay is the agent. Seven more are children of init, and nobody's business.
    let found = crate::lineage::writable::tests::process("/usr/bin/tokenhound", 0);
    let found = crate::lineage::model::Process {
        key: tokenhound_common::process::ProcessKey::new(1_000_000_000_000, 1000),
        ..found
    };
    recorder.feed(&mut core, Input::Found(Box::new(found)), &mut machine, &mut out);
    synthetic::run(Load { records: 600, live: 40, hits: 2 }, &mut |step| match step {
        Step::Record(ring, bytes) => {
            let decoded = decoder.decode(bytes).unwrap();
            recorder.record(ring, bytes, &decoded);
            core.feed(Input::Record(ring, decoded), &mut machine, &mut out);
        }
        Step::Time(now) => {
            machine.time = now;
            recorder.feed(&mut core, Input::Time(now), &mut machine, &mut out);
        }
    });
    recorder.feed(&mut core, Input::Drain, &mut machine, &mut out);
    recorder.finish();
    findings
}

fn title(line: &str) -> String {
    let finding: serde_json::Value = serde_json::from_str(line).unwrap();
    finding["finding_info"]["title"].as_str().unwrap().to_owned()
}

#[test]
fn an_excerpt_has_the_findings_and_nothing_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let [whole, cut, of_host, none] = ["whole", "cut", "host", "none"].map(|name| directory.path().join(name));
    let catalogue = || Arc::new(Catalogue::embedded().unwrap());
    let take = |from: &Path, to: &Path| excerpt(from, Place::create(to).unwrap(), catalogue(), Policy::default());
    let then = of_command(&whole, Scope::Descendants);
    let records = take(&whole, &cut).unwrap();
    let (findings, _, summary) = outcome(&cut);
    assert_eq!((summary.gaps, summary.unanswered, summary.ended, summary.records), (0, 0, true, records));
    assert!(then.lines().count() > 5, "{then}");
    let titles: Vec<_> = findings.lines().map(title).collect();
    assert_eq!(titles, then.lines().collect::<Vec<_>>());
    let (_, _, all) = outcome(&whole);
    assert!(records > 50 && records < all.records / 2, "{records} of {}", all.records);
    let bytes = fs::read(&cut).unwrap();
    assert!(!bytes.windows(8).any(|part| part == b"somebody"));

    of_command(&of_host, Scope::Host);
    assert!(matches!(take(&of_host, &none), Err(ExcerptError::Host { .. })));
    // One that was cut off is no whole one.
    let bytes = fs::read(&whole).unwrap();
    fs::write(&of_host, &bytes[..bytes.len() - 9]).unwrap();
    fs::remove_file(&none).unwrap();
    assert!(matches!(take(&of_host, &none), Err(ExcerptError::Parts { .. })));
}
