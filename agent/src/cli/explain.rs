//! `tokenhound explain`.

use std::io::IsTerminal;

use super::{CliError, Exit, decoy::State, incidents, print};
use crate::{
    finding::{
        detector::{DetectorId, UnknownDetector},
        explain, stored,
        text::Style,
        visible,
    },
    history::Database,
};

/// Fewest digits by which a finding is looked for.
const DIGITS: usize = 6;

/// Most findings that are listed where several begin alike.
const LISTED: usize = 8;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Id of a detector (`unexpected-reader`), or that of a finding or an incident, of which the first six digits are enough.
    #[arg(value_name = "DETECTOR|FINDING|INCIDENT")]
    what: String,
    #[command(flatten)]
    state: State,
}

pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let what = options.what.to_ascii_lowercase();
    if what.len() >= DIGITS && what.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return finding(options, &what);
    }
    let id: DetectorId = options.what.parse().map_err(|error: UnknownDetector| {
        CliError::usage(format!(
            "{error}; the id of a finding or an incident has {DIGITS} to 32 digits 0 to 9 and a to f"
        ))
    })?;
    print(&explain::detector(id))?;
    Ok(Exit::Success)
}

/// All that is stored of it.
fn finding(options: &Options, uid: &str) -> Result<Exit, CliError> {
    let state = options.state.directory()?;
    let history = Database::look(&state).map_err(CliError::failure)?;
    if let Some(history) = &history
        && let [incident] = history.incidents_with(uid, 2).map_err(CliError::failure)?.as_slice()
    {
        print(&incidents::page(history, incident)?)?;
        return Ok(Exit::Success);
    }
    let found = history.map(|history| history.findings_with(uid, LISTED + 1)).transpose().map_err(CliError::failure)?;
    let found = found.unwrap_or_default();
    let read = |body: &String| serde_json::from_str::<serde_json::Value>(body);
    let mut events = found.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(|error| {
        CliError::failure(format!("a finding in the history of {} cannot be understood: {error}", state.display()))
    })?;
    match events.len() {
        0 => Err(CliError::failure(format!(
            "no finding or incident {uid} is in the history of {}; those of `tokenhound run` are, for as long as `history` in the \
             configuration says",
            state.display()
        ))),
        1 => {
            let style = Style { colour: std::io::stdout().is_terminal() };
            print(&events.pop().map(|event| stored::render(&event, style)).unwrap_or_default())?;
            Ok(Exit::Success)
        }
        count => {
            let line = |event: &serde_json::Value| {
                let word = |at: &str| event.pointer(at).and_then(serde_json::Value::as_str).unwrap_or_default();
                visible::text(&format!("{} {}", word("/finding_info/uid"), word("/message")))
            };
            let lines: Vec<String> = events.iter().take(LISTED).map(line).collect();
            let more = if count > LISTED { "\nand more" } else { "" };
            Err(CliError::usage(format!("several findings begin so:\n{}{more}", lines.join("\n"))))
        }
    }
}
