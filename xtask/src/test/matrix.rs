//! The table of techniques: what each tier on each kernel saw of them.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// One technique on one tier of one kernel.
struct Cell {
    mark: &'static str,
    detail: String,
}

/// Filled line by line from what the evasion tests print:
/// `CELL technique tier seen|unseen|wrong-reader|skipped expected|unexpected detail`.
#[derive(Default)]
pub(crate) struct Matrix {
    /// Kernel and tier, in the order in which they came.
    columns: Vec<String>,
    /// Techniques, likewise.
    rows: Vec<String>,
    /// By column and row.
    cells: BTreeMap<(usize, usize), Cell>,
}

impl Matrix {
    /// Takes in a line that was printed on a kernel.
    pub(crate) fn read(&mut self, kernel: &str, line: &str) {
        let words: Vec<&str> = line.trim_end().splitn(6, ' ').collect();
        let ["CELL", technique, tier, seen, expected, detail] = words[..] else { return };
        let mark = match (seen, expected) {
            ("seen", "expected") => "yes",
            ("skipped", "expected") => "n/a",
            (_, "expected") if detail.starts_with("limit:") => "limit",
            ("unseen", "expected") => "silent",
            ("seen", _) => "!seen",
            ("unseen", _) => "!unseen",
            ("wrong-reader", _) => "!reader",
            _ => "!failed",
        };
        let column = place_of(&mut self.columns, &format!("{kernel} {tier}"));
        let row = place_of(&mut self.rows, technique);
        // A test that fails says it all again: the same.
        self.cells.insert((column, row), Cell { mark, detail: detail.to_owned() });
    }

    /// Prints the table and keeps it in a file. Nothing where no technique was played.
    pub(crate) fn publish(&self, file: &Path) -> anyhow::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        println!("== evasion\n{self}");
        println!("The table is kept in {}", file.display());
        fs::write(file, self.to_string()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What stands behind marks that do not explain themselves: detail, technique, columns.
    fn notes(&self) -> BTreeMap<(&'static str, &str, &str), Vec<&str>> {
        let mut notes: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for ((column, row), cell) in &self.cells {
            if cell.detail != "-" {
                let key = (cell.mark, self.rows[*row].as_str(), cell.detail.as_str());
                notes.entry(key).or_default().push(&self.columns[*column]);
            }
        }
        notes
    }
}

fn place_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

impl Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.rows.iter().map(String::len).max().unwrap_or(0);
        writeln!(
            f,
            "yes: seen, with the true reader and both names; silent: innocent, and nothing was said; limit: not seen,"
        )?;
        writeln!(f, "as docs/limits.md says; n/a: not offered by this kernel or file system; !: not as expected\n")?;
        write!(f, "{:first$}", "technique")?;
        for column in &self.columns {
            write!(f, "  {column}")?;
        }
        writeln!(f)?;
        for (row, technique) in self.rows.iter().enumerate() {
            write!(f, "{technique:first$}")?;
            for (index, column) in self.columns.iter().enumerate() {
                let mark = self.cells.get(&(index, row)).map_or("", |cell| cell.mark);
                write!(f, "  {mark:width$}", width = column.len())?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for ((mark, technique, detail), columns) in self.notes() {
            writeln!(f, "{mark} {technique} ({}): {detail}", columns.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_cell_has_its_mark() {
        let mut matrix = Matrix::default();
        for (kernel, line) in [
            ("6.12", "CELL openat lsm seen expected -"),
            ("5.10", "CELL openat fentry unseen unexpected nothing came"),
            ("5.10", "CELL ring tracepoint unseen expected limit: old event"),
            ("6.12", "CELL stat lsm unseen expected -"),
            ("6.12", "CELL stat fentry seen unexpected found: something"),
            ("6.12", "CELL ring lsm wrong-reader unexpected somebody else"),
            ("6.12", "CELL reflink lsm skipped expected not here"),
            ("6.12", "CELL chroot lsm skipped unexpected it failed"),
            ("6.12", "noise CELL x y seen expected -"),
            ("6.12", "CELL x y"),
        ] {
            matrix.read(kernel, line);
        }
        let text = matrix.to_string();
        let table: Vec<Vec<&str>> =
            text.lines().skip(4).take(5).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(matrix.columns, ["6.12 lsm", "5.10 fentry", "5.10 tracepoint", "6.12 fentry"]);
        assert_eq!(table[0], ["openat", "yes", "!unseen"]);
        assert_eq!(table[1], ["ring", "!reader", "limit"]);
        assert_eq!(table[2], ["stat", "silent", "!seen"]);
        assert_eq!(table[3], ["reflink", "n/a"]);
        assert_eq!(table[4], ["chroot", "!failed"]);
        for note in ["!unseen openat (5.10 fentry): nothing came", "limit ring (5.10 tracepoint): limit: old event"] {
            assert!(text.contains(note), "{note} is not in:\n{text}");
        }
    }
}
