//! What is measured together: operations and how dear each may become.

use crate::bench::table::{Budget, Figure, Most};

/// A set of operations.
pub(super) struct Study {
    /// Also the name of the file with its figures.
    pub name: &'static str,
    pub operations: &'static [&'static str],
    /// Budgets where time is taken.
    pub budgets: &'static [Budget],
    /// Budgets where instructions are counted.
    pub counted: &'static [Budget],
    /// What is measured runs on the worker's CPU, so that its own work is part of the cost.
    pub same_cpu: bool,
}

const fn ratio(operation: &'static str, figure: Figure, most: f64) -> Budget {
    Budget { operation, figure, most: Most::Ratio(most) }
}

const fn more(operation: &'static str, most: f64) -> Budget {
    Budget { operation, figure: Figure::Best, most: Most::More(most) }
}

pub(super) const OPEN: Study = Study {
    name: "open",
    operations: &["open+close", "open ENOENT", "pread 1 B", "getppid"],
    budgets: &[ratio("open+close", Figure::Best, 1.10), ratio("getppid", Figure::Best, 1.25)],
    counted: &[more("open+close", 300.0), more("pread 1 B", 0.0), more("getppid", 0.0)],
    same_cpu: false,
};

pub(super) const READ: Study = Study {
    name: "read",
    operations: &["pread 1 B", "pread 64 KiB"],
    budgets: &[ratio("pread 1 B", Figure::Best, 1.02), ratio("pread 64 KiB", Figure::Best, 1.02)],
    counted: &[more("pread 1 B", 0.0), more("pread 64 KiB", 0.0)],
    same_cpu: false,
};

/// The agent works on each start, so the middle counts and not the run that it happened to sleep through.
pub(super) const EXEC: Study = Study {
    name: "exec",
    operations: &["fork+exec+wait"],
    budgets: &[ratio("fork+exec+wait", Figure::Median, 1.15)],
    counted: &[ratio("fork+exec+wait", Figure::Median, 1.15)],
    same_cpu: true,
};

/// All of them at once, for a guest: it takes longer to boot than to measure.
pub(super) const ALL: Study = Study {
    name: "all",
    operations: &["open+close", "open ENOENT", "pread 1 B", "pread 64 KiB", "getppid", "fork+exec+wait"],
    budgets: &[],
    counted: &[
        more("open+close", 300.0),
        more("pread 1 B", 0.0),
        more("pread 64 KiB", 0.0),
        more("getppid", 0.0),
        ratio("fork+exec+wait", Figure::Median, 1.15),
    ],
    same_cpu: true,
};
