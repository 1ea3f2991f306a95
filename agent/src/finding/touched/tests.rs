use super::*;
use crate::finding::samples;

/// A name that would be a cell, a row, a link, an image, a tag, a heading and a command.
const HOSTILE: &str =
    "a|b\\|c`d` [x](http://e.invalid) ![i](http://e.invalid/i) <img src=x> # h\n::error::x ##[group]y";

fn ci() -> Ci {
    samples::in_ci().ci().unwrap().clone()
}

#[test]
fn a_hostile_name_stays_one_cell() {
    let mut touched = Touched::default();
    touched.read("netrc".to_owned(), Verdict::Expected, HOSTILE.to_owned(), None);
    let text = touched.markdown();
    let row = text.lines().find(|line| line.starts_with("| netrc")).unwrap();
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    assert_eq!(cells.len(), 5, "{row}");
    let inside = cells[1].strip_prefix("<code>").and_then(|cell| cell.strip_suffix("</code>")).unwrap();
    assert!(inside.starts_with("a&#124;b&#92;&#124;c&#96;d&#96; "), "{inside}");
    assert!(!inside.contains(['`', '[', ']', '(', '<', '>', '!', '|', '*', '_', '\\', ':']), "{inside}");
    assert_eq!(text.lines().count(), 7, "{text}");
    for line in touched.table().lines() {
        assert!(!line.trim_start().starts_with("::") && !line.contains("##"), "{line}");
    }
}

#[test]
fn findings_and_steps_are_told_and_stay_text() {
    let mut touched = Touched::default();
    touched.finding(samples::in_ci());
    touched.read("aws-credentials".to_owned(), Verdict::Unexpected, "cat".to_owned(), Some(&ci()));
    let text = touched.markdown();
    assert!(
        text.starts_with("## tokenhound\n\no/r · build · [run 77](https://github.com/o/r/actions/runs/77)\n\n"),
        "{text}"
    );
    assert!(text.contains("- **high** `unexpected-reader`: /usr/bin/cat read /home/ann/.aws/credentials "), "{text}");
    let step = "build / x&#58;&#58;error&#58;&#58;&#124;&#92;u&#123;202e&#125;&#60;b&#62;";
    assert!(text.contains(&format!("| aws-credentials | <code>cat</code> | unexpected | 1 | {step} |")), "{text}");
    assert!(touched.reached(Severity::High) && !touched.reached(Severity::Critical));
}

#[test]
fn all_that_was_expected_is_told_as_well() {
    let mut touched = Touched::default();
    assert_eq!(touched.table(), "stores that were touched:\n  none\n");
    for _ in 0..2 {
        touched.read("gh-hosts".to_owned(), Verdict::Expected, "gh".to_owned(), Some(&ci()));
    }
    assert_eq!(touched.line(), "0 findings; 2 expected reads of credential stores");
    let table = touched.table();
    assert!(table.contains("  gh-hosts: expected 2 times, by gh in build / x::error::"), "{table}");
    assert!(touched.markdown().contains("No findings."));
}

#[test]
fn it_is_bounded_and_says_what_it_left_out() {
    let mut touched = Touched::default();
    for number in 0..READS + 7 {
        touched.read(format!("store-{number}"), Verdict::Expected, "x".repeat(400), None);
    }
    for _ in 0..FINDINGS + 3 {
        touched.finding(samples::in_ci());
    }
    let text = touched.markdown();
    assert!(text.len() < 1 << 20, "{}", text.len());
    assert!(text.contains(&format!("- and {} findings more\n", FINDINGS + 3 - SHOWN)), "findings");
    assert!(text.contains(&format!("and {} lines, 7 reads more", READS - SHOWN)), "reads");
    assert!(touched.line().starts_with(&format!("{} findings;", FINDINGS + 3)));
}

#[test]
fn only_plain_addresses_become_links() {
    assert!(is_plain_link("https://github.com/o/r/actions/runs/77"));
    for bad in ["javascript:alert(1)", "https://x/)[y](z", "https://x/ y", "https://x/<b>", "https://x/\n"] {
        assert!(!is_plain_link(bad), "{bad}");
    }
}
