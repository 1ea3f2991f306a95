//! `tokenhound doctor`.

mod installed;
mod sinks;

use std::{
    fmt::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    CliError, Exit, SensorOptions, print,
    session::{self, Inputs, Session},
};
use crate::{
    config::Config,
    detect::lifecycle::report,
    history::{self, Database},
    kernel::facts::{self, Answer, Facts},
    pipeline::Scope,
    privilege::check,
    probe::{coverage, load::Sensor, plan, selftest::Proof},
    state,
    telemetry::metrics::Metrics,
    token::key,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print how many instructions the verifier processed for each program of the tier, and nothing else.
    #[arg(long, hide = true)]
    verifier: bool,
    #[command(flatten)]
    sensor: SensorOptions,
}

/// Prints what it finds; the exit code is 0 only when every probe of the chosen tier is live.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    if options.verifier {
        return verifier(&options.sensor);
    }
    let facts = facts::gather(plan::call_events());
    let mut text = describe(&facts);
    let inputs = match Inputs::read(&options.sensor) {
        Ok(inputs) => {
            let _ = writeln!(
                text,
                "  ok    catalogue: {} stores; policy: {}",
                inputs.catalogue.stores().len(),
                inputs.policy.holds()
            );
            describe_state(&mut text, &options.sensor, &inputs.config);
            let (state, lock) =
                (session::state(&options.sensor, &inputs.config), session::runtime_directory().join("agent.lock"));
            text.push_str(&installed::describe(&state, &lock));
            text.push_str(&rights());
            inputs
        }
        Err(error) => {
            print(&text)?;
            return Err(error);
        }
    };
    match Session::start(&options.sensor, inputs, Scope::Descendants, Vec::new(), Metrics::new().0, None) {
        Ok(session) => {
            let live = session.proofs.iter().all(|proof| proof.failure.is_none());
            describe_probes(&mut text, &session.plan, &session.proofs);
            session.stop()?;
            print(&text)?;
            Ok(if live { Exit::Success } else { Exit::Unsupported })
        }
        Err(error) => {
            print(&text)?;
            Err(error)
        }
    }
}

/// Gives up rights in a process of its own, as `run` does, and says what it cannot do then.
fn rights() -> String {
    let place = session::runtime_directory();
    let mut command = Command::new("/proc/self/exe");
    let output = command.arg(check::SUBCOMMAND).arg(&place).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => trials(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            format!("  no    rights of a running agent: {}\n", why.trim().trim_start_matches("tokenhound: "))
        }
        Err(error) => format!("  no    rights of a running agent: start a process: {error}\n"),
    }
}

/// What such a process says, with what went as it should on few lines.
fn trials(said: &str) -> String {
    let mut text = String::from("rights of a running agent\n");
    let mut cannot = Vec::new();
    for line in said.lines() {
        match line.split_once('\t') {
            Some(("ok", what)) => match what.strip_prefix("cannot ") {
                Some(trial) => cannot.push(trial.split(':').next().unwrap_or(trial)),
                None => {
                    let _ = writeln!(text, "  ok    {what}");
                }
            },
            Some((word, what)) => {
                let _ = writeln!(text, "  {}    {what}", if word == "--" { "--" } else { "NO" });
            }
            None => {}
        }
    }
    let _ = writeln!(text, "  ok    tried, and refused: {}", cannot.join(", "));
    text
}

/// Whether there is a fingerprint key that can be used, and a history. They are not made here.
fn describe_state(text: &mut String, options: &SensorOptions, config: &Config) {
    let state = options.state_dir.as_deref().or(config.state_dir.as_deref()).unwrap_or(Path::new(state::DIRECTORY));
    describe_history(text, state, config);
    sinks::describe(text, state, config);
    let path = config.fingerprint_key.clone().unwrap_or_else(|| state.join(key::FILE));
    let _ = match key::look(&path) {
        Ok(Some(mode)) => writeln!(text, "  ok    fingerprint key: {} (mode {mode:04o})", path.display()),
        Ok(None) if config.fingerprint_key.is_none() => {
            writeln!(text, "  --    fingerprint key: none yet, {} is made when it is needed", path.display())
        }
        Ok(None) => {
            writeln!(text, "  no    fingerprint key: there is no {}; put the fleet's key there", path.display())
        }
        Err(error) => writeln!(text, "  no    {error}"),
    };
}

/// How much the history holds, and how much it may.
fn describe_history(text: &mut String, state: &Path, config: &Config) {
    let extent = Database::look(state).and_then(|history| history.as_ref().map(Database::extent).transpose());
    let bounds = config.history.unwrap_or_default();
    let _ = match extent {
        Ok(Some(extent)) => {
            let rows: Vec<String> = extent.rows.iter().map(|(table, count)| format!("{count} {table}")).collect();
            let since = extent.oldest.map(|oldest| format!(", since {}", report::at(oldest))).unwrap_or_default();
            let (used, most) = (extent.bytes as f64 / MEBI, bounds.max_bytes as f64 / MEBI);
            writeln!(
                text,
                "  ok    history: {} ({}){since}; {used:.1} of {most:.0} MiB, kept for {}",
                state.join(history::FILE).display(),
                rows.join(", "),
                report::span(bounds.max_age)
            )
        }
        Ok(None) => writeln!(text, "  --    history: none yet, `tokenhound run` makes it in {}", state.display()),
        Err(error) => writeln!(text, "  no    {error}"),
    };
}

const MEBI: f64 = (1 << 20) as f64;

/// One line for each loaded program: tier, program, what was counted, how many.
fn verifier(options: &SensorOptions) -> Result<Exit, CliError> {
    let sensor = Sensor::start(options.tier.map(Into::into)).map_err(CliError::unsupported)?;
    let tier = sensor.plan.tier.name();
    let mut text = String::new();
    for count in sensor.verifier_counts().map_err(CliError::failure)? {
        let _ = writeln!(text, "{tier} {} {} {}", count.program, count.measure.name(), count.instructions);
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn describe(facts: &Facts) -> String {
    let mut text = format!("kernel {}\n", facts.release);
    line(&mut text, "type information (BTF)", &facts.btf);
    line(&mut text, "rights", &facts.rights);
    match &facts.security_modules {
        Some(list) => {
            let _ = writeln!(text, "  ok    active security modules: {}", list.join(", "));
        }
        None => {
            let _ = writeln!(text, "  --    active security modules: unknown, securityfs is not mounted");
        }
    }
    let absent = facts.events.iter().filter(|(_, answer)| !answer.yes());
    for (event, answer) in absent {
        line(&mut text, event, answer);
    }
    text
}

fn line(text: &mut String, what: &str, answer: &Answer) {
    let _ = match answer {
        Answer::Yes => writeln!(text, "  ok    {what}"),
        Answer::No(reason) => writeln!(text, "  no    {what}: {reason}"),
    };
}

fn describe_probes(text: &mut String, plan: &plan::Plan, proofs: &[Proof]) {
    let _ = writeln!(text, "tier {}", plan.tier.name());
    for reason in &plan.reasons {
        let _ = writeln!(text, "  --    not used: {reason}");
    }
    for proof in proofs {
        let _ = match &proof.failure {
            None => writeln!(text, "  live  {}", proof.hook.label()),
            Some(failure) => writeln!(text, "  DEAD  {}: {failure}", proof.hook.label()),
        };
    }
    let _ = writeln!(text, "not seen on this tier, or only at times:");
    for (what, why) in coverage::gaps(plan.tier) {
        let _ = writeln!(text, "  --    {what}: {why}");
    }
    for gap in &plan.gaps {
        let _ = writeln!(text, "  --    not here: {}: {}", gap.hook.label(), gap.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_together_and_what_is_not_stands_out() {
        let said = "ok\tcapabilities: CAP_BPF\n--\tfiles: no Landlock\nok\tcannot mount: EPERM\n\
                    NO\tcannot fly: it can\nok\tcannot dig: EPERM\n";
        let text = trials(said);
        assert!(text.contains("  --    files: no Landlock\n  NO    cannot fly: it can\n"), "{text}");
        assert!(text.ends_with("tried, and refused: mount, dig\n"), "{text}");
    }
}
