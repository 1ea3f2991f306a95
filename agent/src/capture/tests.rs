use std::{
    fs::File,
    io::Cursor,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use tokenhound_common::process::ProcessKey;

use super::{
    CaptureError, FORMAT, FRAME_HEAD, MAGIC,
    header::Header,
    reader::{Entry, Reader},
    recorder::{Place, Recorder},
    replay::{Rules as ByPolicy, Summary, replay},
    rules::Rules,
    synthetic::{self, Load, Machine, Step},
};
use crate::{
    catalogue::Catalogue,
    finding::ocsf::{self, Host},
    ingest::{decode::Decoder, observation::KernelTime},
    kernel::btf::build::Random,
    pipeline::core::{Core, Input, Losses, Output},
    policy::{Policy, Source},
};

const LOAD: Load = Load { records: 400, live: 20, hits: 3 };

fn catalogue() -> Arc<Catalogue> {
    static ONE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::embedded().unwrap()));
    Arc::clone(&ONE)
}

fn host() -> Host {
    Host { hostname: Some("made-up".into()), kernel_release: Some("6.0".into()), boot_id: Some("b".into()) }
}

fn keep(findings: &mut Vec<String>, output: Output) {
    if let Output::Finding(finding) = output {
        findings.push(ocsf::line(&finding, &host()));
    }
}

/// Records what happens on the made-up machine; returns the findings that were made then.
fn record(place: Place) -> (Vec<String>, Recorder) {
    record_with(place, |_| None)
}

/// The same, with what `more` adds after so many looks at the clock.
fn record_with(place: Place, mut more: impl FnMut(u32) -> Option<Input>) -> (Vec<String>, Recorder) {
    let mut looks = 0;
    let catalogue = catalogue();
    let setup = synthetic::setup(Arc::clone(&catalogue));
    let mut recorder = Recorder::start(place, &Header::new(&setup, &host(), Rules::default())).unwrap();
    let mut core = Core::new(setup);
    let mut decoder = Decoder::new(Core::variables(&catalogue).into_iter().collect());
    let mut machine = Machine::default();
    let mut findings = Vec::new();
    synthetic::run(LOAD, &mut |step| match step {
        Step::Record(ring, bytes) => {
            let decoded = decoder.decode(bytes).unwrap();
            recorder.record(ring, bytes, &decoded);
            core.feed(Input::Record(ring, decoded), &mut machine, &mut |output| keep(&mut findings, output));
        }
        Step::Time(now) => {
            machine.time = now;
            looks += 1;
            for input in [Some(Input::Time(now)), more(looks)].into_iter().flatten() {
                recorder.feed(&mut core, input, &mut machine, &mut |output| keep(&mut findings, output));
            }
        }
    });
    let busy = Losses { time: machine.time, kernel: Some(Vec::new()), busy: 3, unwatched: 0 };
    for input in [Input::Malformed, Input::Losses(busy), Input::Drain] {
        recorder.feed(&mut core, input, &mut machine, &mut |output| keep(&mut findings, output));
    }
    recorder.finish();
    (findings, recorder)
}

/// A capture of the made-up machine, and what was found then.
fn capture() -> (Vec<u8>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("capture");
    let (findings, mut recorder) = record(Place::create(&path).unwrap());
    assert_eq!(recorder.trouble(), None);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    (std::fs::read(path).unwrap(), findings)
}

fn again(bytes: &[u8]) -> (Result<(), CaptureError>, Vec<String>, Summary) {
    again_by(bytes, ByPolicy::Then(Policy::default()))
}

fn again_by(bytes: &[u8], policy: ByPolicy) -> (Result<(), CaptureError>, Vec<String>, Summary) {
    let mut summary = Summary::default();
    let mut findings = Vec::new();
    let outcome = Reader::new(Path::new("x"), bytes).and_then(|mut reader| {
        assert_eq!(reader.header().host(), host());
        let mut out = |output| keep(&mut findings, output);
        replay(&mut reader, catalogue(), policy, &mut Decoder::of_capture(), &mut summary, &mut out)
    });
    (outcome, findings, summary)
}

/// It tolerates whatever reads.
fn lenient() -> Policy {
    let text = "exceptions:\n  - {reason: for the test, store: '*', reader: ['/usr/**/*', '/home/**/*'], allow_writable: true}\n";
    let source = Source { file: "/etc/p.yaml".into(), text: text.to_owned() };
    let loaded = Policy::of_sources(vec![source], &catalogue(), std::time::SystemTime::UNIX_EPOCH);
    loaded.unwrap_or_else(|problems| panic!("{problems}")).policy
}

#[test]
fn a_policy_that_was_read_anew_is_in_the_capture() {
    let path = tempfile::tempdir().unwrap().keep().join("capture");
    let reload = |looks| (looks == 1).then(|| Input::Policy(Box::new(lenient())));
    let (findings, _) = record_with(Place::create(&path).unwrap(), reload);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let reads = |findings: &[String]| findings.iter().filter(|line| line.contains("unexpected-reader")).count();
    let (outcome, then, summary) = again(&bytes);
    assert!(outcome.is_ok() && summary.reloads_ignored == 0 && summary.unanswered == 0, "{outcome:?} {summary:?}");
    assert_eq!(then, findings);
    let (_, instead, summary) = again_by(&bytes, ByPolicy::Instead(Policy::default()));
    assert_eq!(summary.reloads_ignored, 1);
    assert!(reads(&then) > 0 && reads(&then) < reads(&instead), "{} {}", reads(&then), reads(&instead));
}

#[test]
fn a_replay_gives_the_same_bytes() {
    let (bytes, findings) = capture();
    assert!(findings.len() > 10, "{}", findings.len());
    assert!(findings.iter().any(|finding| finding.contains("credential-sweep")));
    assert!(findings.iter().any(|finding| finding.contains("program_busy")));
    let (outcome, replayed, summary) = again(&bytes);
    outcome.unwrap();
    assert_eq!(replayed, findings);
    assert_eq!((summary.gaps, summary.unanswered, summary.ended), (0, 0, true));
    assert!(summary.records >= LOAD.records);
}

#[test]
fn no_secret_and_no_part_of_one_is_in_a_capture() {
    let (bytes, _) = capture();
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    // What may pass is there, so what is searched for would be found.
    assert!(holds("HOME=/home/user") && holds("tests/unit/test_parser.py") && holds("<redacted>"));
    for secret in ["made-up\0https", "Bearer made", "gho_0000", "000000000000", "GH_TOKEN", "DBUS_SESSION", "LOGNAME"] {
        assert!(!holds(secret), "{secret}");
    }
}

#[test]
fn an_entry_that_is_cut_off_is_told_and_those_before_it_are_replayed() {
    let (bytes, findings) = capture();
    let begin = MAGIC.len() + 2;
    let (mut cut, mut whole, mut most) = (0, 0, 0);
    for length in (begin..bytes.len()).step_by(37) {
        let (outcome, replayed, summary) = again(&bytes[..length]);
        assert!(!summary.ended, "{length}");
        assert!(findings.starts_with(&replayed), "{length}");
        most = most.max(replayed.len());
        match outcome {
            Ok(()) => whole += 1,
            Err(CaptureError::CutOff { offset, .. }) => {
                assert!(offset <= length as u64 && length as u64 - offset < bytes.len() as u64, "{offset} {length}");
                cut += 1;
            }
            Err(other) => panic!("{length}: {other}"),
        }
    }
    assert!(cut > 100 && whole > 0 && most > 10, "{cut} {whole} {most}");
}

#[test]
fn whatever_the_bytes_there_is_no_panic() {
    let (bytes, _) = capture();
    let mut random = Random(7);
    let (mut damaged, mut fine) = (0, 0);
    for round in 0..400 {
        let mut other = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(other.len());
            match random.below(3) {
                0 => other[at] ^= 1 << random.below(8),
                1 => {
                    other.remove(at);
                }
                _ => other.insert(at, random.below(256) as u8),
            }
        }
        match again(&other).0 {
            Ok(()) => fine += 1,
            Err(CaptureError::Damaged { offset, .. } | CaptureError::CutOff { offset, .. }) => {
                assert!(offset <= other.len() as u64, "{round}");
                damaged += 1;
            }
            Err(_) => damaged += 1,
        }
    }
    assert!(damaged > 390, "{damaged} damaged, {fine} fine: a checksum covers everything");
}

/// Frames whose checksums are right and whose content is not.
#[test]
fn whatever_a_frame_holds_there_is_no_panic() {
    let (bytes, _) = capture();
    let mut head = MAGIC.len() + 2;
    head += FRAME_HEAD + u32::from_le_bytes(bytes[head..head + 4].try_into().unwrap()) as usize;
    let mut random = Random(11);
    let mut refused = 0;
    for _ in 0..3_000 {
        let mut other = bytes[..head].to_vec();
        for _ in 0..4 {
            let kind = random.below(9) as u8;
            let length = random.below(300);
            super::frame(&mut other, kind, |out| {
                out.extend((0..length).map(|_| random.below(256) as u8));
                // A record that begins as one does.
                if (2..4).contains(&kind) && length > 24 {
                    let at = out.len() - length;
                    out[at..at + 2].copy_from_slice(&[random.below(7) as u8, 0]);
                }
                true
            });
        }
        refused += u32::from(matches!(again(&other).0, Err(CaptureError::Damaged { .. })));
    }
    assert!(refused > 2_500, "{refused}");
}

#[test]
fn what_is_no_capture_of_ours_is_refused() {
    let (bytes, _) = capture();
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        again(&bytes).0.unwrap_err().to_string()
    };
    assert_eq!(
        again(b"#!/bin/sh\n").0.unwrap_err().to_string(),
        "x is no capture: it does not begin with the mark of one"
    );
    assert!(matches!(again(b"").0, Err(CaptureError::Magic { .. })));
    assert!(changed(0, b'T').contains("is no capture"));
    let said = changed(MAGIC.len(), FORMAT as u8 + 1);
    assert!(said.contains(&format!("has format {}, this agent reads {FORMAT}", FORMAT + 1)), "{said}");

    let setup = synthetic::setup(catalogue());
    for (change, part) in [
        (&(|header: &mut Header| header.wire += 1) as &dyn Fn(&mut Header), "version 2, not 1"),
        (&|header| header.heads[1].1 += 8, "kind 2 with"),
        (&|header| header.heads.push((99, 24)), "kind 99 with 24 bytes"),
    ] {
        let mut header = Header::new(&setup, &host(), Rules::default());
        change(&mut header);
        let mut other = bytes[..MAGIC.len() + 2].to_vec();
        super::frame(&mut other, super::kind::HEADER, |out| super::put(out, &header));
        let said = again(&other).0.unwrap_err().to_string();
        assert!(said.contains(part) && said.contains("tokenhound 0."), "{said}");
    }
    // An older agent may have known fewer kinds.
    let mut header = Header::new(&setup, &host(), Rules::default());
    header.heads.pop();
    assert_eq!(header.unreadable(), None);
}

#[test]
fn a_file_that_exists_is_left_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let said = Place::create(file.path()).unwrap_err().to_string();
    assert!(said.contains("must not exist yet") && said.contains(&file.path().display().to_string()), "{said}");
    assert!(Place::create(Path::new("/nowhere/x")).is_err());
}

/// The head fits into the buffer of the kernel, the rest does not onto the disk.
#[test]
fn a_full_disk_is_told_once_and_what_is_lost_is_counted() {
    let setup = synthetic::setup(catalogue());
    let header = Header::new(&setup, &host(), Rules::default());
    let full = || Place::of("/dev/full".into(), File::options().write(true).open("/dev/full").unwrap());
    assert!(Recorder::start(full(), &header).is_err(), "a disk that is full at the start is an error at the start");

    let directory = tempfile::tempdir().unwrap();
    let (mut written, path) = (Vec::new(), directory.path().join("capture"));
    super::frame(&mut written, super::kind::HEADER, |out| super::put(out, &header));
    // A pipe that nobody reads from any more takes nothing more, like a full disk.
    let (reader, writer) = std::io::pipe().unwrap();
    let place = Place::of(path.clone(), File::from(std::os::fd::OwnedFd::from(writer)));
    let mut recorder = Recorder::start(place, &header).unwrap();
    drop(reader);
    let mut core = Core::new(setup);
    let mut machine = Machine::default();
    let mut feed = |recorder: &mut Recorder| {
        recorder.feed(&mut core, Input::Time(KernelTime(1)), &mut machine, &mut |_| ());
        recorder.flush();
    };
    feed(&mut recorder);
    let trouble = loop {
        // The disk is another thread's.
        if let Some(trouble) = recorder.trouble() {
            break trouble;
        }
        std::thread::yield_now();
    };
    assert_eq!(trouble.lost, 1);
    assert!(trouble.to_string().contains("which ends early"), "{trouble}");
    (0..5).for_each(|_| feed(&mut recorder));
    let later = recorder.trouble().unwrap();
    assert_eq!((later.lost, later.failure), (5, None));
    recorder.finish();
    assert_eq!(recorder.trouble().map(|end| end.lost), Some(1), "the mark of the end");
}

#[test]
fn a_gap_is_told() {
    let setup = synthetic::setup(catalogue());
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    let header = Header::new(&setup, &host(), Rules::default());
    super::frame(&mut bytes, super::kind::HEADER, |out| super::put(out, &header));
    super::frame(&mut bytes, super::kind::GAP, |out| super::put(out, &17u64));
    super::frame(&mut bytes, super::kind::END, |_| true);
    let (outcome, _, summary) = again(&bytes);
    outcome.unwrap();
    assert_eq!((summary.gaps, summary.ended), (17, true));
}

#[test]
fn an_entry_knows_its_place() {
    let (bytes, _) = capture();
    let mut reader = Reader::new(&PathBuf::from("x"), Cursor::new(&bytes)).unwrap();
    let mut kinds = [0; 4];
    loop {
        let before = reader.offset();
        let Some(entry) = reader.entry().unwrap() else { break };
        kinds[match entry {
            Entry::Record(..) => 0,
            Entry::Input(_) => 1,
            Entry::Answer(_) => 2,
            Entry::Gap(_) | Entry::End => 3,
        }] += 1;
        assert!(reader.offset() > before);
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    assert!(kinds[0] >= 400 && kinds[1] > 2 && kinds[2] > 20 && kinds[3] == 1, "{kinds:?}");
}

/// What a record means is written in one file. Whoever changes it has to decide whether old captures can still be read.
#[test]
fn the_wire_is_the_one_that_captures_hold() {
    let code = include_str!("../../../common/src/record.rs");
    let lines = code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let digest = blake3::hash(lines.collect::<Vec<_>>().join("\n").as_bytes()).to_hex()[..16].to_owned();
    assert_eq!(
        digest, "a825533f0ce03573",
        "common/src/record.rs has changed. If a record that existed before now has other bytes or another meaning, raise \
         capture::WIRE and record the captures of the tests anew (cargo xtask bless captures). Then put the new digest here"
    );
}

#[test]
fn processes_survive_the_format() {
    let process = crate::lineage::writable::tests::process("/usr/bin/python3", 1000);
    let process = crate::lineage::model::Process {
        parent: Some(ProcessKey::new(3, 4)),
        script: Some(crate::lineage::model::Script::Module("pip".into())),
        args: vec!["python3".into(), "-m".into(), "pip".into()],
        cwd: Some("/srv".into()),
        environment: vec![("HOME".into(), "/home/\u{fffd}".into())],
        container: Some(crate::lineage::model::Container::new("a", "docker")),
        exited: Some(KernelTime(9)),
        ..process
    };
    let entry = super::process::ProcessEntry::from(process.clone());
    let bytes = postcard::to_stdvec(&entry).unwrap();
    let back: super::process::ProcessEntry = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(crate::lineage::model::Process::from(back), process);
}
