//! What is found in files of all kinds, and what a look may cost.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

use super::{
    look::{AT_ONCE, BACKGROUND, Known, Lane, look},
    model::{Candidate, Looked, Outcome, Skipped, Why},
};
use crate::{
    ingest::observation::KernelTime,
    token::{
        fingerprint::{Fingerprint, Key},
        scan::{Encoding, NeedleSet, Needles},
        secret::Secret,
    },
};

const TOKEN: &str = "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX";

fn key() -> Key {
    Key::new([3; 32])
}

fn fingerprint() -> Fingerprint {
    key().fingerprint_of(TOKEN.as_bytes())
}

fn known() -> Known {
    let needles = Needles::of(&key(), &Secret::from(TOKEN.to_owned())).unwrap();
    Known { set: NeedleSet::new(&key(), [&needles]).into(), number: 1 }
}

fn candidate(path: &Path) -> Candidate {
    Candidate::new(KernelTime(1), path.to_owned(), None, Default::default(), Why::Log)
}

fn look_at(path: &Path, lane: Lane) -> Option<Outcome> {
    look(&candidate(path), &known(), lane, &Default::default())
}

fn found(bytes: &[u8]) -> Looked {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    match look_at(file.path(), BACKGROUND) {
        Some(Outcome::Looked(looked)) => *looked,
        other => panic!("{other:?}"),
    }
}

/// Members and encodings in which the token was found.
fn places(bytes: &[u8]) -> Vec<(String, Encoding)> {
    let copies = found(bytes).copies;
    assert!(copies.iter().all(|copy| copy.fingerprint == fingerprint()), "{copies:?}");
    copies.into_iter().map(|copy| (copy.member.unwrap_or_default(), copy.encoding)).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0".to_vec();
    out.extend(compress_to_vec(bytes, 6));
    out.extend([0; 8]);
    out
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in members {
        let mut head = [0u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[156] = b'0';
        head[257..263].copy_from_slice(b"ustar\0");
        head[148..156].copy_from_slice(b"        ");
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(head);
        out.extend(*content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn zip(members: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content, deflate) in members {
        let packed = if *deflate { compress_to_vec(content, 6) } else { content.to_vec() };
        out.extend(b"PK\x03\x04\x14\0\0\0");
        out.extend(if *deflate { 8u16 } else { 0 }.to_le_bytes());
        out.extend([0; 8]);
        for length in [packed.len(), content.len()] {
            out.extend((length as u32).to_le_bytes());
        }
        out.extend((name.len() as u16).to_le_bytes());
        out.extend([0; 2]);
        out.extend(name.as_bytes());
        out.extend(packed);
    }
    out.extend(b"PK\x01\x02 the directory");
    out
}

fn text() -> Vec<u8> {
    format!("#!/bin/sh\n# made up\ncurl -H 'Authorization: Bearer {TOKEN}'\n").into_bytes()
}

#[test]
fn a_token_in_a_text_is_found_with_its_line() {
    let looked = found(&text());
    let [copy] = &looked.copies[..] else { panic!("{looked:?}") };
    assert_eq!((copy.line, copy.times, copy.encoding, copy.member.as_deref()), (Some(3), 1, Encoding::Raw, None));
    assert!(looked.place.program && looked.place.mode == 0o600 && looked.unseen.is_none());
    let other = String::from_utf8(text()).unwrap().replace("0aB1", "zzzz").into_bytes();
    assert_eq!(found(&other).copies, [], "another token");
}

type Pack<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;

/// Beside it the same without the token, of which nothing is told.
#[test]
fn archives_are_unpacked_and_their_members_named() {
    let long = vec![b'x'; 300_000];
    let nested = |content: &[u8]| tar(&[("a", &long), ("layer.tar.gz", &gzip(&tar(&[("root/.netrc", content)])))]);
    let cases: BTreeMap<&str, (&str, Pack<'_>)> = BTreeMap::from([
        ("gzip", ("gzip", Box::new(gzip) as Pack<'_>)),
        ("two streams", ("gzip", Box::new(|content: &[u8]| [gzip(b"first"), gzip(content)].concat()))),
        ("git object", ("zlib", Box::new(|content: &[u8]| compress_to_vec_zlib(&[b"blob 9\0", content].concat(), 6)))),
        (
            "tar",
            (
                "tar: home/.netrc",
                Box::new(|content: &[u8]| tar(&[("a", &long), ("home/.netrc", content), ("b", &long)])),
            ),
        ),
        (
            "tar.gz",
            ("gzip: home/.netrc", Box::new(|content: &[u8]| gzip(&tar(&[("a", b"x"), ("home/.netrc", content)])))),
        ),
        (
            "zip",
            ("zip: d/deploy.sh", Box::new(|content: &[u8]| zip(&[("a", b"x", true), ("d/deploy.sh", content, true)]))),
        ),
        (
            "stored",
            ("zip: deploy.sh", Box::new(|content: &[u8]| zip(&[("deploy.sh", content, false), ("b", b"y", true)]))),
        ),
        (
            "zip in tar",
            ("tar: a.zip: zip: x", Box::new(|content: &[u8]| tar(&[("a.zip", &zip(&[("x", content, true)]))]))),
        ),
        ("nested", ("tar: layer.tar.gz: gzip: root/.netrc", Box::new(nested))),
    ]);
    for (case, (member, pack)) in &cases {
        assert_eq!(places(&pack(&text())), [((*member).to_owned(), Encoding::Raw)], "{case}");
        let looked = found(&pack(b"nothing of interest"));
        assert_eq!((looked.copies, looked.unseen), (Vec::new(), None), "{case}");
    }
    let twice = data_encoding::BASE64.encode(data_encoding::BASE64.encode(TOKEN.as_bytes()).as_bytes());
    assert_eq!(places(&gzip(twice.as_bytes())), [("gzip".to_owned(), Encoding::Base64Twice)]);
}

#[test]
fn long_names_of_tar_are_told_and_no_token_in_one() {
    let name = format!("{}/deploy.sh", "d".repeat(150));
    let long = tar(&[("././@LongLink", name.as_bytes()), ("cut", &text())]);
    let mut gnu = long;
    gnu[156] = b'L';
    let sum: u64 = gnu[..512].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        - gnu[148..156].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        + 8 * 32;
    gnu[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert_eq!(places(&gnu), [(format!("tar: {name}"), Encoding::Raw)]);
    let telling = tar(&[(&format!("{TOKEN}.txt"), b"x")]);
    assert_eq!(places(&telling), [("tar: a name that holds a token".to_owned(), Encoding::Raw)]);
}

#[test]
fn what_is_broken_does_no_harm_and_what_comes_before_is_found() {
    let mut noise = 7u64;
    let mut next = move || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) as usize
    };
    let whole = [
        gzip(&text()),
        compress_to_vec_zlib(&text(), 6),
        tar(&[("home/.netrc", &text()), ("z", &zip(&[("x", &text(), true), ("y", &text(), false)]))]),
        gzip(&tar(&[("a", &gzip(&text())), ("b", &text())])),
        zip(&[("a", &text(), true), ("b", &gzip(&text()), true), ("c", &text(), false)]),
    ];
    for bytes in &whole {
        for _ in 0..150 {
            let mut changed = bytes.clone();
            for _ in 0..=next() % 6 {
                let at = next() % changed.len();
                changed[at] = match next() % 3 {
                    0 => 0xff,
                    1 => changed[at] ^ (1 << (next() % 8)),
                    _ => next() as u8,
                };
            }
            changed.truncate(changed.len() - next() % (changed.len() / 4));
            found(&changed);
        }
    }
    // The end of the second member is missing: the first was whole.
    let cut = gzip(&tar(&[("a", &text()), ("b", &vec![7; 9000])]));
    assert_eq!(places(&cut[..cut.len() - 20]), [("gzip: a".to_owned(), Encoding::Raw)]);
}

#[test]
fn what_expands_without_end_or_lies_too_deep_is_named() {
    let small = Lane { expanded: 1 << 20, ..BACKGROUND };
    let mut bomb = tempfile::NamedTempFile::new().unwrap();
    bomb.write_all(&gzip(&[vec![0; 4 << 20], text()].concat())).unwrap();
    let Some(Outcome::Looked(looked)) = look_at(bomb.path(), small) else { panic!() };
    assert_eq!((looked.unseen, looked.copies.len()), (Some(Skipped::Expands), 0));
    assert_eq!(look_at(bomb.path(), Lane { expanded: 1 << 20, ..AT_ONCE }), None, "it goes on in the background");
    let deep = (0..6).fold(text(), |inner, _| gzip(&inner));
    assert_eq!(found(&deep).unseen, Some(Skipped::Deep));
    assert_eq!(found(b"\x28\xb5\x2f\xfd and more").unseen, Some(Skipped::Unsupported));
    let mut late = tempfile::NamedTempFile::new().unwrap();
    late.write_all(&text()).unwrap();
    let Some(Outcome::Looked(looked)) = look_at(late.path(), Lane { time: Duration::ZERO, ..BACKGROUND }) else {
        panic!()
    };
    assert_eq!(looked.unseen, Some(Skipped::TimedOut));
}

#[test]
fn of_a_large_file_only_what_was_added_is_read_again() {
    let (known, memory) = (known(), Default::default());
    let mut log = tempfile::NamedTempFile::new().unwrap();
    let mut look_again = |bytes: &[u8]| {
        log.write_all(bytes).unwrap();
        let Some(Outcome::Looked(looked)) = look(&candidate(log.path()), &known, BACKGROUND, &memory) else { panic!() };
        (looked.appended, looked.copies.len())
    };
    let line = b"2026-11-30 nothing happened\n";
    assert_eq!(look_again(&[&text()[..], &line.repeat(60_000)].concat()), (false, 1));
    assert_eq!(look_again(line), (true, 0), "what was there is no news");
    assert_eq!(look_again(&text()), (true, 1));
    assert_eq!(look_again(&TOKEN.as_bytes()[..20]), (true, 0));
    assert_eq!(look_again(&TOKEN.as_bytes()[20..]), (true, 1), "it lies across the old end");
    // Written anew at the same length and longer: as a whole again.
    let file = File::options().write(true).open(log.path()).unwrap();
    file.write_all_at(b"other", 0).unwrap();
    let Some(Outcome::Looked(looked)) = look(&candidate(log.path()), &known, BACKGROUND, &memory) else { panic!() };
    assert!(!looked.appended && looked.copies.len() == 1, "{looked:?}");
    assert!(look(&candidate(log.path()), &known, Lane { size: 4096, ..AT_ONCE }, &memory).is_some(), "nothing is new");
    assert!(look_at(log.path(), Lane { size: 4096, ..AT_ONCE }).is_none(), "it is too long for that lane");
}

#[test]
fn holes_are_passed_over() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all_at(&text(), 0).unwrap();
    file.as_file().write_all_at(TOKEN.as_bytes(), 20 << 30).unwrap();
    let begun = Instant::now();
    let Some(Outcome::Looked(looked)) = look_at(file.path(), BACKGROUND) else { panic!() };
    let [copy] = &looked.copies[..] else { panic!("{looked:?}") };
    assert_eq!((copy.times, looked.unseen), (2, None), "after {:?}", begun.elapsed());
}

#[test]
fn what_a_command_line_names_must_have_been_written_since() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&text()).unwrap();
    let look_named = |path: &Path, time: u64| {
        let why = Why::Named { carrier: Default::default() };
        let candidate = Candidate { why, time: KernelTime(time), ..candidate(path) };
        look(&candidate, &known(), AT_ONCE, &Default::default())
    };
    let now = crate::ingest::clock::now().0;
    let found = look_named(file.path(), now.saturating_sub(3_600_000_000_000));
    assert!(matches!(found, Some(Outcome::Looked(looked)) if looked.copies.len() == 1));
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert_eq!(look_named(&old, now), Some(Outcome::Skipped(Skipped::Older)));
}

/// As base64(1) writes it: lines of 76 characters.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let text = data_encoding::BASE64.encode(bytes);
    text.as_bytes().chunks(76).flat_map(|line| [line, b"\n"].concat()).collect()
}

#[test]
fn whatever_is_written_in_base64_is_decoded() {
    let file = [&b"[default]\nname = somebody in a long line before the token\n"[..], TOKEN.as_bytes(), b"\n"].concat();
    let places_of = |bytes: &[u8]| places(bytes).into_iter().map(|(member, _)| member).collect::<Vec<_>>();
    // The scanner sees a token in base64 itself: told once, and with its encoding.
    assert_eq!(places(&base64(&file)), [(String::new(), Encoding::Base64)]);
    for depth in 2..=4 {
        let text = (0..depth).fold(file.clone(), |bytes, _| base64(&bytes));
        assert_eq!(places_of(&text).len(), 1, "{depth}: {:?}", places_of(&text));
    }
    assert_eq!(places_of(&base64(&gzip(&file))), ["base64: gzip"]);
    assert_eq!(places_of(&gzip(&base64(&gzip(&file)))), ["gzip: base64: gzip"]);
    let url = data_encoding::BASE64URL_NOPAD.encode(&gzip(&file));
    assert_eq!(places_of(url.as_bytes()), ["base64: gzip"]);
    // Beyond the depth nothing is decoded, and a text is no base64.
    for bytes in
        [(0..7).fold(gzip(&file), |bytes, _| base64(&bytes)), b"only some words, and none of them a token".to_vec()]
    {
        assert_eq!(places_of(&bytes), [""; 0]);
    }
}

#[test]
fn a_hole_does_not_end_what_is_unpacked() {
    let packed = base64(&base64(&base64(&[TOKEN.as_bytes(), b"\n"].concat())));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&packed).unwrap();
    // A hole in the middle of a tar archive, and one behind base64.
    file.as_file().set_len(1 << 20).unwrap();
    file.as_file().write_all_at(b"\n", 1 << 20).unwrap();
    match look_at(file.path(), BACKGROUND) {
        Some(Outcome::Looked(looked)) => assert_eq!(looked.copies.len(), 1, "{looked:?}"),
        other => panic!("{other:?}"),
    }
}
