//! The table of what each kernel program costs the verifier, on each kernel that can be asked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::place::Place;
use crate::test::GUEST_AGENT;
use crate::vm::{self, Boot, Machine, Step};

/// From the root of the checkout.
const TABLE: &str = "docs/verifier.md";
const TIERS: [&str; 3] = ["lsm", "fentry", "tracepoint"];
const HEAD: &str = "\
# What the kernel programs cost the verifier

Made by `cargo xtask bless verifier`. Instructions that the verifier processed for each program, by kernel; it refuses a program at a
million. On kernels before 5.16, which do not tell, the instructions that the kernel keeps of the program: marked *kept*. A test compares (on
this kernel and in guests): more than a fifth up or down is a failure until it is blessed, so that nobody makes a program ten times dearer
without knowing.

";

/// Counts by kernel, and by program within it.
type Counts = BTreeMap<Kernel, BTreeMap<String, u32>>;

/// A column: the series as numbers, for their order, and whether it tells only what it keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kernel {
    series: (u32, u32),
    kept: bool,
}

pub(super) fn bless(place: &Place, series: &[&str]) -> anyhow::Result<()> {
    let file = place.root.join(TABLE);
    // Columns of kernels that cannot be asked here stay.
    let mut counts = parse(&fs::read_to_string(&file).unwrap_or_default());
    let agent = crate::build_agent(place)?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    take(&mut counts, &release, &native(&agent)?)?;
    let mut failures = Vec::new();
    for series in series {
        let outcome = in_guest(place, &agent, series).and_then(|said| take(&mut counts, series, &said));
        // What was measured is kept, whatever becomes of the others.
        write(&file, &counts)?;
        failures.extend(outcome.err().map(|failure| format!("{series}: {failure:#}")));
    }
    write(&file, &counts)?;
    println!("{}", file.display());
    if failures.is_empty() { Ok(()) } else { bail!("the old counts stay for {}", failures.join("; ")) }
}

fn write(file: &Path, counts: &Counts) -> anyhow::Result<()> {
    fs::write(file, print(counts)).with_context(|| format!("cannot write {}", file.display()))
}

fn in_guest(place: &Place, agent: &Path, series: &str) -> anyhow::Result<String> {
    let commands = TIERS.map(|tier| format!("tokenhound doctor --verifier --tier {tier}"));
    let steps = [Step { name: "counts".to_owned(), command: commands.join("; ") }];
    let programs = [(agent.to_path_buf(), GUEST_AGENT.to_owned())];
    let mut said = String::new();
    let report = vm::boot(place, Boot::with_all_tiers(series, Machine::Fast), &programs, &steps, |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    if report.done { Ok(said) } else { bail!("the guest did not come to its end (see its serial log)") }
}

/// What the agent says on this kernel. A tier that it has not says nothing.
fn native(agent: &Path) -> anyhow::Result<String> {
    let mut said = String::new();
    for tier in TIERS {
        let output = Command::new(agent).args(["doctor", "--verifier", "--tier", tier]).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {}", agent.display()))?;
        said.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(said)
}

/// Replaces the column of a kernel by what was said there: `TIER PROGRAM processed|kept COUNT`.
fn take(counts: &mut Counts, release: &str, said: &str) -> anyhow::Result<()> {
    let series = numbers(release).with_context(|| format!("{release} is no kernel release"))?;
    let mut column = BTreeMap::new();
    let mut measures = BTreeSet::new();
    for line in said.lines() {
        if let [_, program, measure @ ("processed" | "kept"), count] = line.split_whitespace().collect::<Vec<_>>()[..]
            && let Ok(count) = count.parse()
        {
            measures.insert(measure.to_owned());
            column.insert(program.to_owned(), count);
        }
    }
    if measures.len() != 1 {
        bail!("kernel {release} told nothing, or two things at once");
    }
    counts.retain(|kernel, _| kernel.series != series);
    counts.insert(Kernel { series, kept: measures.contains("kept") }, column);
    Ok(())
}

fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn print(counts: &Counts) -> String {
    let programs: BTreeSet<&String> = counts.values().flat_map(BTreeMap::keys).collect();
    let mut text = format!("{HEAD}| program |");
    for Kernel { series: (major, minor), kept } in counts.keys() {
        text.push_str(&format!(" {major}.{minor}{} |", if *kept { " *kept*" } else { "" }));
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(counts.len()));
    for program in programs {
        text.push_str(&format!("\n| {program} |"));
        for column in counts.values() {
            text.push_str(&column.get(program).map_or_else(|| " - |".to_owned(), |count| format!(" {count} |")));
        }
    }
    text.push('\n');
    text
}

fn parse(text: &str) -> Counts {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let head = lines.next().map(cells).unwrap_or_default();
    let mut counts = Counts::new();
    let kernel = |cell: &String| Some(Kernel { series: numbers(cell)?, kept: cell.contains("kept") });
    let kernels: Vec<Option<Kernel>> = head.iter().map(kernel).collect();
    for line in lines.skip(1) {
        let row = cells(line);
        let Some(program) = row.first() else { continue };
        for (kernel, cell) in kernels.iter().zip(&row) {
            if let (Some(kernel), Ok(count)) = (kernel, cell.parse()) {
                counts.entry(kernel.clone()).or_default().insert(program.clone(), count);
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written_and_one_column_replaced() {
        let mut counts = Counts::new();
        take(
            &mut counts,
            "6.12.117+deb12-cloud-amd64",
            "fentry file_open processed 100\ntracepoint exit_open processed 9\n",
        )
        .unwrap();
        take(&mut counts, "5.10", "noise\nfentry file_open kept 50\n").unwrap();
        assert_eq!(parse(&print(&counts)), counts);
        take(&mut counts, "6.12", "fentry file_open processed 101\n").unwrap();
        let text = print(&counts);
        assert!(
            text.ends_with("| program | 5.10 *kept* | 6.12 |\n| --- | --- | --- |\n| file_open | 50 | 101 |\n"),
            "{text}"
        );
    }

    #[test]
    fn a_kernel_that_says_nothing_is_an_error() {
        assert!(take(&mut Counts::new(), "6.12", "tokenhound: not allowed\n").is_err());
    }
}
