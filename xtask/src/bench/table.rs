//! What was measured, added up and laid out.

use crate::bench::worker::Sample;

/// A measured operation.
pub(super) struct Column {
    operation: &'static str,
}

impl Column {
    pub(super) fn new(operation: &'static str) -> Self {
        Self { operation }
    }
}

/// How much dearer an operation may be than bare.
pub(super) struct Budget {
    pub operation: &'static str,
    pub most: f64,
}

/// One peer with its rounds.
pub(super) struct Row {
    name: &'static str,
    what: &'static str,
    /// Bare just before, and with the peer.
    rounds: Vec<(Sample, Sample)>,
    /// Why it was not measured, or not to the end.
    pub trouble: Option<String>,
}

/// One operation with and without a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    /// The shortest runs: what the code itself costs, least disturbed.
    best_bare: f64,
    best: f64,
    /// The middle of the rounds' own ratios, each round's being the middle of its runs.
    median_ratio: f64,
}

impl Row {
    pub(super) fn new(name: &'static str, what: &'static str) -> Self {
        Self { name, what, rounds: Vec::new(), trouble: None }
    }

    pub(super) fn add(&mut self, bare: Sample, with: Sample) {
        self.rounds.push((bare, with));
    }

    fn cost(&self, operation: &str) -> Option<Cost> {
        let best = |pick: fn(&(Sample, Sample)) -> &Sample| {
            let runs = self.rounds.iter().filter_map(|round| pick(round).get(operation)).flatten();
            runs.copied().reduce(f64::min)
        };
        let ratios: Option<Vec<f64>> = self
            .rounds
            .iter()
            .map(|(bare, with)| Some(median(with.get(operation)?)? / median(bare.get(operation)?)?))
            .collect();
        Some(Cost {
            best_bare: best(|round| &round.0)?,
            best: best(|round| &round.1)?,
            median_ratio: median(&ratios?)?,
        })
    }

    /// The best run over the best bare one.
    fn ratio(&self, operation: &str) -> Option<f64> {
        self.cost(operation).map(|cost| cost.best / cost.best_bare)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let rounds: Vec<_> =
            self.rounds.iter().map(|(bare, with)| serde_json::json!({ "bare": bare, "with": with })).collect();
        serde_json::json!({ "name": self.name, "what": self.what, "trouble": self.trouble, "rounds": rounds })
    }
}

/// The middle value. None of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(middle).copied()
    } else {
        Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0)
    }
}

/// A Markdown table: each figure is the best run in `unit`, its ratio to the best bare run, and the median ratio.
pub(super) fn print(unit: &str, columns: &[Column], rows: &[Row]) -> String {
    let mut lines = vec![String::from("| |"), String::from("| --- |"), String::from("| no agent |")];
    for column in columns {
        lines[0].push_str(&format!(" {} |", column.operation));
        lines[1].push_str(" --- |");
        let bare = rows.iter().filter_map(|row| row.cost(column.operation)).map(|cost| cost.best_bare).reduce(f64::min);
        lines[2].push_str(&bare.map_or_else(|| " - |".to_owned(), |bare| format!(" {bare:.0} {unit} |")));
    }
    for row in rows {
        let mut line = format!("| {} ({}) |", row.name, row.what);
        for column in columns {
            line.push_str(&match (&row.trouble, row.cost(column.operation)) {
                (None, Some(cost)) => format!(
                    " {:.0} {unit} x{:.2} (median x{:.2}) |",
                    cost.best,
                    cost.best / cost.best_bare,
                    cost.median_ratio
                ),
                _ => " - |".to_owned(),
            });
        }
        lines.push(line);
    }
    let troubles =
        rows.iter().filter_map(|row| Some(format!("{} was not measured: {}", row.name, row.trouble.as_ref()?)));
    lines.extend(troubles.collect::<Vec<_>>());
    lines.join("\n")
}

/// Whether the row keeps its budgets, in words, and whether it keeps them all. `floor` is what part of the cost is the
/// kernel's own and comes with any tracing of system calls.
pub(super) fn verdicts(budgets: &[Budget], row: &Row, floor: Option<&Row>) -> (String, bool) {
    let mut kept = true;
    let mut lines = Vec::new();
    for budget in budgets {
        let ratio = row.ratio(budget.operation);
        let good = ratio.is_some_and(|ratio| ratio <= budget.most);
        kept &= good;
        lines.push(format!(
            "Budget: {} {} of bare, at most {:.2}: {}",
            budget.operation,
            ratio.map_or_else(|| "was not measured,".to_owned(), |ratio| format!("{ratio:.2}")),
            budget.most,
            if good { "kept" } else { "broken" }
        ));
        if let Some(floor) = floor.and_then(|row| row.ratio(budget.operation)) {
            lines.push(format!("        (any tracing of system calls, doing nothing, costs {floor:.2} here)"));
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

    #[test]
    fn a_slow_round_slows_both_and_leaves_the_ratio() {
        let row = row(&[(&[100.0, 100.0, 900.0], &[110.0, 110.0, 110.0]), (&[300.0], &[330.0]), (&[100.0], &[111.0])]);
        let cost = row.cost("open+close").unwrap();
        assert_eq!((cost.best_bare, cost.best), (100.0, 110.0));
        assert!((cost.median_ratio - 1.1).abs() < 1e-9, "{cost:?}");
    }

    #[test]
    fn a_budget_is_broken_above_it_and_when_nothing_was_measured() {
        let budgets = [Budget { operation: "open+close", most: 1.10 }];
        assert!(verdicts(&budgets, &row(&[(&[100.0], &[109.0])]), None).1);
        assert!(!verdicts(&budgets, &row(&[(&[100.0], &[112.0])]), None).1);
        assert!(!verdicts(&budgets, &row(&[]), None).1);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
