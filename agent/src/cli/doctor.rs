//! `tokenhound doctor`.

use std::{fmt::Write, path::Path, sync::mpsc};

use super::{
    CliError, Exit, SensorOptions, print,
    session::{Inputs, Session},
};
use crate::{
    config::Config,
    history::{self, Database},
    kernel::facts::{self, Answer, Facts},
    pipeline::Scope,
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
            inputs
        }
        Err(error) => {
            print(&text)?;
            return Err(error);
        }
    };
    let (findings, _keep) = mpsc::sync_channel(super::session::REPORTS);
    match Session::start(&options.sensor, inputs, Scope::Descendants, Vec::new(), Metrics::new().0, findings) {
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

/// Whether there is a fingerprint key that can be used, and a history. They are not made here.
fn describe_state(text: &mut String, options: &SensorOptions, config: &Config) {
    let state = options.state_dir.as_deref().or(config.state_dir.as_deref()).unwrap_or(Path::new(state::DIRECTORY));
    let tokens = Database::look(state).and_then(|history| history.as_ref().map(Database::tokens).transpose());
    let _ = match tokens {
        Ok(Some(tokens)) => {
            writeln!(text, "  ok    history: {} ({} tokens)", state.join(history::FILE).display(), tokens.len())
        }
        Ok(None) => writeln!(text, "  --    history: none yet, `tokenhound run` makes it in {}", state.display()),
        Err(error) => writeln!(text, "  no    {error}"),
    };
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
