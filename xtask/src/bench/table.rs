//! What was measured, added up and laid out.

use crate::bench::worker::Sample;

/// How much dearer an operation may be than bare.
pub(super) struct Budget {
    pub operation: &'static str,
    pub figure: Figure,
    pub most: Most,
}

/// What is held against a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// The best run against the best bare one: what the code costs when nothing disturbs it.
    Best,
    /// The middle of the rounds' own ratios.
    Median,
}

/// An upper bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Most {
    /// So many times bare.
    Ratio(f64),
    /// So many units more than bare.
    More(f64),
}

/// Two counts of the same thing that differ by less than this, and this part of them, are the same.
const SAME: f64 = 0.5;
const SAME_PART: f64 = 1e-4;

/// One thing that is measured beside bare, with its rounds.
pub(super) struct Row {
    name: String,
    what: String,
    /// Bare just before, and with it.
    rounds: Vec<(Sample, Sample)>,
    /// Why it was not measured, or not to the end.
    pub trouble: Option<String>,
}

/// One operation with and without it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    /// The shortest runs.
    best_bare: f64,
    best: f64,
    /// The middle runs of all rounds.
    median_bare: f64,
    median: f64,
    /// The middle of the rounds' own ratios, each round's being that of the middle of its runs.
    median_ratio: f64,
}

impl Cost {
    fn ratio(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Best => self.best / self.best_bare,
            Figure::Median => self.median_ratio,
        }
    }

    fn pair(&self, figure: Figure) -> (f64, f64) {
        match figure {
            Figure::Best => (self.best_bare, self.best),
            Figure::Median => (self.median_bare, self.median),
        }
    }

    fn keeps(&self, budget: &Budget) -> bool {
        let (bare, with) = self.pair(budget.figure);
        match budget.most {
            Most::Ratio(most) => self.ratio(budget.figure) <= most,
            Most::More(most) => with - bare < most + SAME + bare * SAME_PART,
        }
    }
}

impl Row {
    pub(super) fn new(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self { name: name.into(), what: what.into(), rounds: Vec::new(), trouble: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn add(&mut self, bare: Sample, with: Sample) {
        self.rounds.push((bare, with));
    }

    fn cost(&self, operation: &str) -> Option<Cost> {
        type Pick = fn(&(Sample, Sample)) -> &Sample;
        let runs = |pick: Pick| -> Vec<f64> {
            self.rounds.iter().filter_map(|round| pick(round).get(operation)).flatten().copied().collect()
        };
        let (bare, with) = (runs(|round| &round.0), runs(|round| &round.1));
        let ratios: Option<Vec<f64>> = self
            .rounds
            .iter()
            .map(|(bare, with)| Some(median(with.get(operation)?)? / median(bare.get(operation)?)?))
            .collect();
        Some(Cost {
            best_bare: bare.iter().copied().reduce(f64::min)?,
            best: with.iter().copied().reduce(f64::min)?,
            median_bare: median(&bare)?,
            median: median(&with)?,
            median_ratio: median(&ratios?)?,
        })
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let rounds: Vec<_> =
            self.rounds.iter().map(|(bare, with)| serde_json::json!({ "bare": bare, "with": with })).collect();
        serde_json::json!({ "name": self.name, "what": self.what, "trouble": self.trouble, "rounds": rounds })
    }
}

/// The middle value. None of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(middle).copied()
    } else {
        Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0)
    }
}

/// A Markdown table, one column for each operation: the best run in `unit`, its ratio to the best bare run, and the
/// median ratio.
pub(super) fn wide(unit: &str, operations: &[&str], rows: &[Row]) -> String {
    let mut lines = vec![String::from("| |"), String::from("| --- |"), String::from("| no agent |")];
    for operation in operations {
        lines[0].push_str(&format!(" {operation} |"));
        lines[1].push_str(" --- |");
        let bare = rows.iter().filter_map(|row| row.cost(operation)).map(|cost| cost.best_bare).reduce(f64::min);
        lines[2].push_str(&bare.map_or_else(|| " - |".to_owned(), |bare| format!(" {bare:.0} {unit} |")));
    }
    for row in rows {
        let mut line = format!("| {} ({}) |", row.name, row.what);
        for operation in operations {
            line.push_str(&match (&row.trouble, row.cost(operation)) {
                (None, Some(cost)) => format!(
                    " {:.0} {unit} x{:.3} (median x{:.3}) |",
                    cost.best,
                    cost.ratio(Figure::Best),
                    cost.median_ratio
                ),
                _ => " - |".to_owned(),
            });
        }
        lines.push(line);
    }
    lines.extend(troubles(rows));
    lines.join("\n")
}

/// A Markdown table, one line for each operation and row: bare, with, difference, ratio, budget.
pub(super) fn long(unit: &str, operations: &[&str], budgets: &[Budget], rows: &[Row]) -> String {
    let mut lines = vec![
        format!("| operation ({unit}) | with | bare | with it | difference | ratio | budget | |"),
        String::from("| --- | --- | --- | --- | --- | --- | --- | --- |"),
    ];
    for operation in operations {
        for row in rows {
            let Some(cost) = row.cost(operation) else { continue };
            let budget = budgets.iter().find(|budget| budget.operation == *operation);
            let figure = budget.map_or(Figure::Best, |budget| budget.figure);
            let (bare, with) = cost.pair(figure);
            let (allowed, verdict) = match budget {
                None => (String::from("-"), ""),
                Some(budget) => (allowance(budget.most), if cost.keeps(budget) { "kept" } else { "broken" }),
            };
            lines.push(format!(
                "| {operation} | {} | {bare:.0} | {with:.0} | {:+.0} | x{:.3} | {allowed} | {verdict} |",
                row.name,
                with - bare,
                cost.ratio(figure),
            ));
        }
    }
    lines.extend(troubles(rows));
    lines.join("\n")
}

fn allowance(most: Most) -> String {
    match most {
        Most::Ratio(most) => format!("x{most:.2}"),
        Most::More(most) => format!("{most:+.0}"),
    }
}

fn troubles(rows: &[Row]) -> impl Iterator<Item = String> {
    rows.iter().filter_map(|row| Some(format!("{} was not measured: {}", row.name, row.trouble.as_ref()?)))
}

/// Whether a row keeps its budgets, in words, and whether it keeps them all. `floor` is the part of the cost that is
/// the kernel's own and comes with any tracing of system calls.
pub(super) fn verdicts(budgets: &[Budget], row: &Row, floor: Option<&Row>) -> (String, bool) {
    let mut kept = true;
    let mut lines = Vec::new();
    for budget in budgets {
        let cost = row.cost(budget.operation);
        let good = cost.is_some_and(|cost| cost.keeps(budget));
        kept &= good;
        lines.push(format!(
            "Budget: {}, {}: {} of bare, at most {}: {}",
            row.name,
            budget.operation,
            cost.map_or_else(|| "not measured,".to_owned(), |cost| format!("x{:.3}", cost.ratio(budget.figure))),
            allowance(budget.most),
            if good { "kept" } else { "broken" }
        ));
        if let Some(floor) = floor.and_then(|row| row.cost(budget.operation)) {
            let floor = floor.ratio(budget.figure);
            lines.push(format!("        (any tracing of system calls, doing nothing, costs x{floor:.3} here)"));
        }
    }
    (lines.join("\n"), kept)
}

/// Whether the first row is cheaper than each of the others, in words, and whether than all.
pub(super) fn cheapest(operations: &[&str], first: &Row, others: &[&Row]) -> (String, bool) {
    let mut kept = true;
    let mut lines = Vec::new();
    for operation in operations {
        let Some(ours) = first.cost(operation) else { continue };
        for other in others.iter().filter(|other| other.trouble.is_none()) {
            let Some(theirs) = other.cost(operation) else { continue };
            let less = ours.median_ratio < theirs.median_ratio;
            kept &= less;
            lines.push(format!(
                "{operation}: x{:.3}, {} x{:.3}: {}",
                ours.median_ratio,
                other.name,
                theirs.median_ratio,
                if less { "less" } else { "not less" }
            ));
        }
    }
    (lines.join("\n"), kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(runs: &[f64]) -> Sample {
        Sample::from([("open+close".to_owned(), runs.to_vec())])
    }

    fn row(rounds: &[(&[f64], &[f64])]) -> Row {
        let mut row = Row::new("tokenhound", "run");
        rounds.iter().for_each(|(bare, with)| row.add(sample(bare), sample(with)));
        row
    }

    fn budget(figure: Figure, most: Most) -> [Budget; 1] {
        [Budget { operation: "open+close", figure, most }]
    }

    #[test]
    fn a_slow_round_slows_both_and_leaves_the_ratio() {
        let row = row(&[(&[100.0, 100.0, 900.0], &[110.0, 110.0, 110.0]), (&[300.0], &[330.0]), (&[100.0], &[111.0])]);
        let cost = row.cost("open+close").unwrap();
        assert_eq!((cost.best_bare, cost.best), (100.0, 110.0));
        assert!((cost.median_ratio - 1.1).abs() < 1e-9, "{cost:?}");
    }

    #[test]
    fn a_budget_is_broken_above_it_and_when_nothing_was_measured() {
        let best = budget(Figure::Best, Most::Ratio(1.10));
        assert!(verdicts(&best, &row(&[(&[100.0], &[109.0])]), None).1);
        assert!(!verdicts(&best, &row(&[(&[100.0], &[112.0])]), None).1);
        assert!(!verdicts(&best, &row(&[]), None).1);
        // One good run among bad ones.
        let rounds: &[(&[f64], &[f64])] = &[(&[100.0, 100.0, 100.0], &[100.0, 120.0, 120.0])];
        assert!(verdicts(&best, &row(rounds), None).1);
        assert!(!verdicts(&budget(Figure::Median, Most::Ratio(1.10)), &row(rounds), None).1);
    }

    #[test]
    fn a_budget_of_nothing_more_allows_nothing_more() {
        let nothing = budget(Figure::Best, Most::More(0.0));
        assert!(verdicts(&nothing, &row(&[(&[1212.0], &[1212.1])]), None).1);
        assert!(!verdicts(&nothing, &row(&[(&[1212.0], &[1213.0])]), None).1);
        let text = long("instr.", &["open+close"], &nothing, &[row(&[(&[1212.0], &[1213.0])])]);
        assert!(text.contains("| tokenhound | 1212 | 1213 | +1 | x1.001 | +0 | broken |"), "{text}");
    }

    #[test]
    fn cheaper_means_than_each_that_was_measured() {
        let ours = row(&[(&[100.0], &[101.0])]);
        let (dear, cheap) = (row(&[(&[100.0], &[102.0])]), row(&[(&[100.0], &[100.5])]));
        let mut failed = row(&[(&[100.0], &[100.5])]);
        failed.trouble = Some("it is not here".to_owned());
        assert!(cheapest(&["open+close"], &ours, &[&dear, &failed]).1);
        assert!(!cheapest(&["open+close"], &ours, &[&dear, &cheap]).1);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
