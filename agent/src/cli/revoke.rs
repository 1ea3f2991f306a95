//! `tokenhound revoke`: what to do to make the tokens of a store worthless, and whether it has worked.
//!
//! It removes nothing and calls nobody: it shows what there is and what to do, then looks until nothing remains. Stores are
//! read only where no agent runs that knows what lies in them.

mod plan;

use std::{
    fs::{self, TryLockError},
    io::IsTerminal,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use self::plan::{Plan, Sources};
use super::{CliError, Exit, decoy::State, policy, print, session, trace};
use crate::{finding::text::Style, token::key};

/// How often it is looked whether something remains.
const LOOK: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Id of the store, as `tokenhound catalogue list` has it.
    #[arg(value_name = "STORE")]
    store: String,
    /// Only show the plan.
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until nothing remains, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, conflicts_with = "dry_run")]
    wait: u64,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    state: State,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person.
    Text,
    /// For other programs.
    Json,
}

/// Shows the plan; without `--dry-run` it then waits until nothing remains.
///
/// # Errors
/// When there is no such store, or the history cannot be read.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let (config, state) = options.state.read()?;
    let catalogue = policy::catalogue(config.catalogue.as_deref())?;
    let Some(store) = catalogue.store(&options.store) else {
        let meant = catalogue.suggest(&options.store).map(|meant| format!("; did you mean `{meant}`?"));
        let named = crate::finding::visible::text(&options.store);
        return Err(CliError::usage(format!("there is no store `{named}`{}", meant.unwrap_or_default())));
    };
    // A running agent knows what lies in stores: reading them as well would be one more reader that nobody expects.
    let key = (!agent_runs()).then(|| key::load(&config.fingerprint_key.unwrap_or_else(|| state.join(key::FILE))));
    let sources = Sources { store, key: key.and_then(Result::ok) };
    let look = || -> Result<Plan, CliError> {
        let history = trace::history(&state)?;
        Plan::read(&sources, &history).map_err(CliError::failure)
    };
    let mut plan = look()?;
    let style = Style { colour: std::io::stdout().is_terminal() };
    let text = options.format == Format::Text;
    if text {
        print(&plan::text(&plan, style))?;
    }
    if options.dry_run {
        if !text {
            print(&format!("{:#}\n", plan::json(&plan, None)))?;
        }
        return Ok(Exit::Success);
    }
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    if text && plan.remains() > 0 && options.wait > 0 {
        eprintln!("tokenhound: waiting up to {} seconds until nothing remains", options.wait);
    }
    // What is not found at one look may be written anew at that moment: it is gone once two have not found it.
    let mut sure = plan.missing == 0;
    loop {
        let done = plan.remains() == 0;
        if done && sure || !done && Instant::now() >= deadline {
            break;
        }
        thread::sleep(LOOK);
        plan = look()?;
        sure = done || plan.missing == 0;
    }
    print(&if text {
        plan::outcome(&plan, style)
    } else {
        format!("{:#}\n", plan::json(&plan, Some(plan.remains())))
    })?;
    Ok(if plan.remains() == 0 { Exit::Success } else { Exit::Findings })
}

/// Does an agent run here? It holds its lock as long as it does.
fn agent_runs() -> bool {
    let lock = fs::File::open(session::runtime_directory().join("agent.lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
