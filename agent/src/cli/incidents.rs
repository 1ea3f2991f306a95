//! `tokenhound incidents`.

use std::{fmt::Write, io::IsTerminal};

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};

use super::{CliError, Exit, decoy::State, print, trace::history};
use crate::{
    finding::{detector::DetectorId, stored, text::Style, visible},
    history::Database,
    incident::{model::Incident, suppress::Suppression, text},
    policy::times,
};

/// Fewest digits by which an incident is looked for.
pub(super) const DIGITS: usize = 6;

/// Most incidents that are listed.
const LISTED: usize = 200;

/// Longest suppression, in days: what is in order for longer is a policy exception.
const LONGEST: i64 = 90;

/// What to do with them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subcommands {
    /// One line for each that is open, the most severe first, and what is suppressed.
    List {
        /// Those that are over as well.
        #[arg(long)]
        all: bool,
        /// How to write it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        #[command(flatten)]
        state: State,
    },
    /// All that is known of one, with its findings.
    Show {
        /// Its id, of which the first six digits are enough.
        #[arg(value_name = "UID")]
        uid: String,
        #[command(flatten)]
        state: State,
    },
    /// Send no notifications of an incident, or of what agrees with all that is given, for a time. They are counted and
    /// listed all the same. What is in order for good is a policy exception.
    Suppress(Suppress),
    /// End a suppression early.
    Unsuppress {
        /// Its number, as `list` shows it.
        #[arg(value_name = "NUMBER")]
        number: i64,
        #[command(flatten)]
        state: State,
    },
    /// Close one: the agent sends a last notification with the totals, and what comes after is a new incident.
    Close {
        /// Its id, of which the first six digits are enough.
        #[arg(value_name = "UID")]
        uid: String,
        #[command(flatten)]
        state: State,
    },
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One object, for other programs.
    Json,
}

/// What nobody is told of.
#[derive(Debug, clap::Args)]
pub(super) struct Suppress {
    /// The incident's id, of which the first six digits are enough.
    #[arg(value_name = "UID", required_unless_present_any = ["detector", "store", "reader"])]
    uid: Option<String>,
    /// Findings of this detector.
    #[arg(long, value_name = "ID")]
    detector: Option<String>,
    /// Findings about this store and no other.
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    /// Findings about the reader with this executable or script.
    #[arg(long, value_name = "PATH")]
    reader: Option<String>,
    /// Why. It is listed.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long: 90s, 30m, 8h, 7d; at most 90 days.
    #[arg(long = "for", value_name = "DURATION")]
    duration: String,
    #[command(flatten)]
    state: State,
}

/// Does what was asked.
///
/// # Errors
/// When there is no such incident, or the history cannot be used.
pub(super) fn execute(command: &Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::List { all, format, state } => list(&history(&state.directory()?)?, *all, *format),
        Subcommands::Show { uid, state } => {
            let history = history(&state.directory()?)?;
            let incident = one(&history, uid)?;
            print(&page(&history, &incident)?)?;
            Ok(Exit::Success)
        }
        Subcommands::Suppress(options) => suppress(options),
        Subcommands::Unsuppress { number, state } => {
            if writable(state)?.unsuppress(*number).map_err(CliError::failure)? {
                return Ok(Exit::Success);
            }
            Err(CliError::usage(format!(
                "no suppression has the number {number}; `tokenhound incidents list` shows them"
            )))
        }
        Subcommands::Close { uid, state } => close(uid, state),
    }
}

/// The history, to be written. None is made where there is none.
fn writable(state: &State) -> Result<Database, CliError> {
    let directory = state.directory()?;
    drop(history(&directory)?);
    Database::open(&directory).map_err(CliError::failure)
}

/// The incident whose id begins so.
pub(super) fn one(history: &Database, uid: &str) -> Result<Incident, CliError> {
    let wanted = uid.to_ascii_lowercase();
    if wanted.len() < DIGITS || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(CliError::usage(format!(
            "\"{}\" is no id of an incident: it has {DIGITS} to 32 digits 0 to 9 and a to f",
            visible::text(uid)
        )));
    }
    let mut found = history.incidents_with(&wanted, 2).map_err(CliError::failure)?;
    match (found.pop(), found.pop()) {
        (Some(incident), None) => Ok(incident),
        (None, _) => {
            Err(CliError::failure(format!("no incident {wanted} is in the history; `tokenhound incidents list --all`")))
        }
        (Some(_), Some(_)) => Err(CliError::usage(format!("several incidents begin with {wanted}; give more digits"))),
    }
}

/// All that is known of it, with those of its findings that are stored.
pub(super) fn page(history: &Database, incident: &Incident) -> Result<String, CliError> {
    let style = Style { colour: std::io::stdout().is_terminal() };
    let mut out = text::page(incident, style);
    let (findings, count) = history.findings_of(&incident.uid).map_err(CliError::failure)?;
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{}", style.paint("1", &format!("{count} of its findings are stored")));
    for body in &findings {
        if let Ok(event) = serde_json::from_str(body) {
            let _ = write!(out, "\n{}", stored::render(&event, style));
        }
    }
    if count > findings.len() as u64 {
        let _ = writeln!(out, "\nand {} more", count - findings.len() as u64);
    }
    Ok(out)
}

fn list(history: &Database, all: bool, format: Format) -> Result<Exit, CliError> {
    let found = history.incidents(all, LISTED + 1).map_err(CliError::failure)?;
    let now = Timestamp::now();
    let suppressions = history.suppressions(now).map_err(CliError::failure)?;
    if format == Format::Json {
        let suppressions: Vec<_> = suppressions.iter().map(object).collect();
        let all = serde_json::json!({"incidents": found, "suppressions": suppressions});
        print(&format!("{all:#}\n"))?;
        return Ok(Exit::Success);
    }
    let mut out = String::new();
    for incident in found.iter().take(LISTED) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", line(incident, &suppressions));
    }
    if found.is_empty() {
        out.push_str(if all { "no incident is known\n" } else { "no incident is open\n" });
    }
    if found.len() > LISTED {
        out.push_str("and more\n");
    }
    for one in &suppressions {
        let _ =
            writeln!(out, "suppression {}: {} until {}, by {}: {}", one.id, one.words(), one.until, one.by, one.reason);
    }
    print(&visible::inert(&out))?;
    Ok(Exit::Success)
}

fn line(incident: &Incident, suppressions: &[Suppression]) -> String {
    let silent = suppressions.iter().any(|one| one.silences(incident)) || incident.covered == incident.findings;
    let state = match (incident.is_open(), silent) {
        (false, _) => "closed",
        (true, true) => "open, suppressed",
        (true, false) => "open",
    };
    let last = incident.last.strftime("%Y-%m-%d %H:%M:%S");
    let id: String = incident.uid.chars().take(12).collect();
    let count = incident.findings;
    format!("{id}  {last}  {:<13}  {state}  {count} findings  {}", incident.severity, text::title(incident))
}

fn object(one: &Suppression) -> serde_json::Value {
    serde_json::json!({
        "number": one.id, "detector": one.detector, "store": one.store, "reader": one.reader,
        "incident": one.incident, "reason": one.reason, "by": one.by, "until": one.until.to_string(),
    })
}

fn suppress(options: &Suppress) -> Result<Exit, CliError> {
    let span = times::duration(&options.duration).map_err(CliError::usage)?;
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    if span > SignedDuration::from_hours(24 * LONGEST) || span.is_zero() {
        return Err(CliError::usage(format!(
            "a suppression lasts up to {LONGEST} days; write a policy exception for what is in order for longer"
        )));
    }
    let reason = visible::text(options.reason.trim());
    if reason.is_empty() {
        return Err(CliError::usage("say why with --reason: whoever finds the suppression has to know"));
    }
    if let Some(detector) = &options.detector {
        detector.parse::<DetectorId>().map_err(CliError::usage)?;
    }
    let mut database = writable(&options.state)?;
    let incident = options.uid.as_deref().map(|uid| one(&database, uid)).transpose()?;
    let now = Timestamp::now();
    let until = now.saturating_add(span).unwrap_or(Timestamp::MAX);
    let made = Suppression {
        id: 0,
        detector: options.detector.clone(),
        store: options.store.clone(),
        reader: options.reader.clone(),
        incident: incident.map(|incident| incident.uid),
        reason,
        by: whoever(),
        until,
    };
    let number = database.suppress(&made, now).map_err(CliError::failure)?;
    print(&format!("suppression {number}: {} until {until}\n", visible::text(&made.words())))?;
    Ok(Exit::Success)
}

/// Who does this, also under sudo.
fn whoever() -> String {
    let name = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    name.map_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()), |name| visible::text(&name))
}

fn close(uid: &str, state: &State) -> Result<Exit, CliError> {
    let mut database = writable(state)?;
    let incident = one(&database, uid)?;
    if !incident.is_open() {
        return Err(CliError::usage(format!("incident {} is closed already", incident.uid)));
    }
    database.order_close(&incident.uid).map_err(CliError::failure)?;
    let said = format!("incident {} is closed by the agent within seconds, or when it starts\n", incident.uid);
    print(&said)?;
    Ok(Exit::Success)
}
