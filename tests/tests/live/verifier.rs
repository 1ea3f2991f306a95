//! What each kernel program costs the verifier is what the table says, or nearly.

use std::{collections::BTreeMap, fs, process::Command};

use tokenhound_tests::{process, skip};

/// Made by `cargo xtask bless verifier`.
const TABLE: &str = include_str!("../../../docs/verifier.md");
const REMEDY: &str = "if that is meant: `cargo xtask bless verifier`";

/// The column of the table for this kernel: programs and their counts.
fn column(table: &str, release: &str) -> Option<BTreeMap<String, u64>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut lines = table.lines().filter(|line| line.starts_with('|'));
    let head = cells(lines.next()?);
    let series: Vec<&str> = release.split(|c: char| !c.is_ascii_digit()).take(2).collect();
    let series = series.join(".");
    let index = head.iter().position(|cell| cell.split(' ').next() == Some(series.as_str()))?;
    let rows = lines.skip(1).map(cells);
    Some(rows.filter_map(|row| Some((row.first()?.clone(), row.get(index)?.parse().ok()?))).collect())
}

/// What is not as it should be.
fn compare(wanted: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (program, count) in found {
        match wanted.get(program) {
            None => wrong.push(format!("{program}: {count}, and the table has no such program")),
            Some(before) if count.abs_diff(*before) * 5 > *before => {
                wrong.push(format!("{program}: {count}, more than a fifth away from {before}"));
            }
            Some(_) => {}
        }
    }
    let gone = wanted.keys().filter(|program| !found.contains_key(*program));
    wrong.extend(gone.map(|program| format!("{program}: in the table, but no tier here has loaded it")));
    wrong
}

#[test]
fn no_program_has_become_much_dearer_for_the_verifier() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let Some(wanted) = column(TABLE, &release) else {
        return skip::skip(&format!("docs/verifier.md has no column for kernel {}", release.trim()));
    };
    let mut found = BTreeMap::new();
    for tier in ["lsm", "fentry", "tracepoint"] {
        let mut doctor = Command::new(process::tokenhound());
        let ended = process::run(doctor.args(["doctor", "--verifier", "--tier", tier]), b"");
        println!("{tier}: {} {}", ended.code(), ended.err());
        for line in ended.out().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, program, _, count] = words[..] else { panic!("not as expected: {line}") };
            found.insert(program.to_owned(), count.parse().unwrap());
        }
    }
    let wrong = compare(&wanted, &found);
    assert!(wrong.is_empty(), "{REMEDY}\n{}", wrong.join("\n"));
}

#[test]
fn a_fifth_is_where_it_ends() {
    let table = "| program | 5.10 *kept* | 6.12 |\n| --- | --- | --- |\n| a | 7 | 1000 |\n| b | 8 | - |\n";
    let wanted = column(table, "6.12.117+deb12").unwrap();
    assert_eq!(wanted, BTreeMap::from([("a".to_owned(), 1000)]));
    assert_eq!(column(table, "5.10.0-1").unwrap().len(), 2);
    assert_eq!(column(table, "6.1.0"), None);
    for (count, good) in [(1000, true), (1200, true), (800, true), (1201, false), (799, false)] {
        assert_eq!(compare(&wanted, &BTreeMap::from([("a".to_owned(), count)])).is_empty(), good, "{count}");
    }
    assert_eq!(compare(&wanted, &BTreeMap::new()).len(), 1);
    assert_eq!(compare(&wanted, &BTreeMap::from([("a".to_owned(), 1000), ("b".to_owned(), 1)])).len(), 1);
}
