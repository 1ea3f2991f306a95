//! Findings as lines that a CI system makes annotations of. What a process may name (paths, arguments, steps) is in them:
//! none of it may end the line or begin a command of its own.

use super::{
    model::{Finding, Target},
    severity::Severity,
    visible,
};
use crate::lineage::ci::Protocol;

/// Most annotations of one level: GitHub shows ten of a step and drops the others without a word.
const LEVEL: usize = 10;

/// Most characters of one message.
const MESSAGE: usize = 1000;

/// How much an annotation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Notice,
}

impl Level {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    const fn of(severity: Severity) -> Self {
        match severity {
            Severity::Critical | Severity::High => Self::Error,
            Severity::Medium | Severity::Low => Self::Warning,
            Severity::Informational => Self::Notice,
        }
    }
}

/// The lines, each closed by a newline; the most severe first. Of those beyond what is shown their number is told.
#[must_use]
pub fn lines(protocol: Protocol, findings: &[Finding]) -> String {
    let mut out = String::new();
    for level in Level::ALL {
        let of_level: Vec<&Finding> = findings.iter().filter(|finding| Level::of(finding.severity) == level).collect();
        let shown = if of_level.len() > LEVEL { LEVEL - 1 } else { of_level.len() };
        for finding in &of_level[..shown] {
            let file = match &finding.target {
                Target::File { path, .. } => Some(visible::path(path)),
                Target::Process { .. } | Target::Service(_) | Target::Sensor => None,
            };
            line(protocol, level, finding.detector.name(), file.as_deref(), &message(finding), &mut out);
        }
        if of_level.len() > shown {
            let more = format!("{} more findings: see the summary or the log", of_level.len() - shown);
            line(protocol, level, "more", None, &more, &mut out);
        }
    }
    out
}

/// The line that makes Azure show a Markdown file with the build; nothing for other systems.
#[must_use]
pub fn upload_summary(protocol: Protocol, path: &std::path::Path) -> String {
    match protocol {
        Protocol::Azure => format!("##vso[task.uploadsummary]{}\n", azure(&visible::path(path))),
        Protocol::Github | Protocol::TeamCity => String::new(),
    }
}

fn message(finding: &Finding) -> String {
    let place = finding.ci().map(|ci| format!(" (in {ci})")).unwrap_or_default();
    let text = format!("{}: {}{place}", finding.severity.name(), finding.headline);
    visible::text(&text).chars().take(MESSAGE).collect()
}

fn line(protocol: Protocol, level: Level, title: &str, file: Option<&str>, message: &str, out: &mut String) {
    let text = visible::inert(message);
    let line = match protocol {
        Protocol::Github => {
            let file = file.map(|file| format!(",file={}", property(&visible::inert(file)))).unwrap_or_default();
            let command = match level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Notice => "notice",
            };
            format!("::{command} title=tokenhound {}{file}::{}", property(title), data(&text))
        }
        Protocol::Azure => match level {
            Level::Error => format!("##vso[task.logissue type=error]tokenhound {title}: {}", azure(&text)),
            Level::Warning => format!("##vso[task.logissue type=warning]tokenhound {title}: {}", azure(&text)),
            // It knows no third level.
            Level::Notice => format!("tokenhound {title}: {}", azure(&text)),
        },
        Protocol::TeamCity => {
            let status = match level {
                Level::Error => "ERROR",
                Level::Warning => "WARNING",
                Level::Notice => "NORMAL",
            };
            format!("##teamcity[message text='tokenhound {title}: {}' status='{status}']", team_city(&text))
        }
    };
    out.push_str(&line);
    out.push('\n');
}

/// What follows `::` of a workflow command: actions/runner, `ActionCommand.cs`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command, likewise.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The message of a logging command: azure-pipelines-agent, `Command.cs`. There is no escape for a percent sign that all
/// versions know, so it is written as our own.
fn azure(text: &str) -> String {
    text.replace('%', "\\x25").replace(['\r', '\n'], " ")
}

/// A value of a service message: TeamCity documentation, "Escaped values".
fn team_city(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\'' | '[' | ']' => out.extend(['|', character]),
            '\n' => out.push_str("|n"),
            '\r' => out.push_str("|r"),
            ' '..='~' => out.push(character),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("|0x{unit:04X}"))),
        }
    }
    out
}

#[cfg(test)]
mod tests;
