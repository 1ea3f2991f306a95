//! What failed tests said, gathered from what Rust's own harness prints, so that it stands beside their names at the end.

use std::collections::BTreeMap;

/// Lines kept of one test.
const LINES: usize = 30;

/// What failed tests said, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaints {
    said: BTreeMap<String, Vec<String>>,
    /// Whose output is being printed, and what of it is of interest.
    open: Option<(String, Part)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What came before it panicked.
    Before,
    Panic,
    /// The stack.
    After,
}

impl Complaints {
    pub(crate) fn of(&self, name: &str) -> &[String] {
        self.said.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn add(&mut self, name: &str, text: String) {
        self.said.entry(name.to_owned()).or_default().push(text);
    }

    /// Takes in a line. Of a test that panicked, what it said then is kept; of another, the beginning of all it printed.
    pub(crate) fn read(&mut self, line: &str) {
        let name = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = name {
            self.said.remove(name);
            self.open = Some((name.to_owned(), Part::Before));
            return;
        }
        if line == "failures:" || line.starts_with("test result: ") {
            self.open = None;
        }
        let Some((name, part)) = &mut self.open else { return };
        let said = self.said.entry(name.clone()).or_default();
        if line.starts_with("thread '") && line.contains("panicked at ") && *part == Part::Before {
            *part = Part::Panic;
            said.clear();
        }
        if line == "stack backtrace:" || line.starts_with("note: run with `RUST_BACKTRACE") {
            *part = Part::After;
        }
        if *part != Part::After && said.len() < LINES && !line.is_empty() {
            said.push(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_in_panic_is_kept_and_the_rest_is_not() {
        let mut complaints = Complaints::default();
        let printed = [
            "test a ... FAILED",
            "failures:",
            "",
            "---- a stdout ----",
            "started",
            "thread 'a' (7) panicked at tests/a.rs:1:2:",
            "no finding",
            "in time",
            "stack backtrace:",
            "   0: begin_unwind",
            "",
            "---- b stdout ----",
            "no panic here",
            "",
            "failures:",
            "    a",
            "test result: FAILED. 0 passed; 2 failed",
        ];
        printed.iter().for_each(|line| complaints.read(line));
        assert_eq!(complaints.of("a"), ["thread 'a' (7) panicked at tests/a.rs:1:2:", "no finding", "in time"]);
        assert_eq!(complaints.of("b"), ["no panic here"]);
        assert_eq!(complaints.of("c"), [] as [&str; 0]);
    }

    #[test]
    fn a_flood_is_cut() {
        let mut complaints = Complaints::default();
        complaints.read("---- a stdout ----");
        (0..1000).for_each(|_| complaints.read("more"));
        assert_eq!(complaints.of("a").len(), LINES);
    }
}
