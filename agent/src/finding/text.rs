//! Findings as text: understood at once by a tired person, on any terminal, whatever names an attacker chose.

use std::{fmt::Write, time::SystemTime};

use super::{
    model::{Finding, Target},
    severity::Severity,
    visible,
};
use crate::lineage::{
    actor::{Class, Party},
    ci::Fact,
    model::{Process, Script},
};

/// Columns that no line goes beyond. Every character counts as one.
pub const WIDTH: usize = 100;

/// Ancestors shown; of a longer lineage the middle is left out, and said to be.
const SHOWN: usize = 12;

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
}

impl Style {
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The whole finding, several lines, each closed by a newline.
#[must_use]
pub fn render(finding: &Finding, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    page.head(finding);
    page.lineage(finding);
    page.actor(finding);
    page.list("why it counts", "- ", &finding.reasons);
    page.list("what to do", "- ", &finding.remediation.steps);
    for command in &finding.remediation.commands {
        page.wrapped("      $ ", "        ", command, "1");
    }
    page.list("details", "- ", &evidence(finding));
    let _ = writeln!(page.out);
    visible::inert(&page.out)
}

/// One line: severity and what happened.
#[must_use]
pub fn headline(finding: &Finding, style: Style) -> String {
    let severity = style.paint(colour(finding.severity), &finding.severity.name().to_uppercase());
    format!("{severity} {}", visible::text(&finding.headline))
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "1;97;41",
        Severity::High => "1;31",
        Severity::Medium => "1;33",
        Severity::Low => "36",
        Severity::Informational => "2",
    }
}

/// Evidence without what the tree already shows.
fn evidence(finding: &Finding) -> Vec<String> {
    let shown_in_tree = |key: &str| matches!(key, "reader.script" | "reader.container" | "reader.user");
    finding
        .evidence
        .iter()
        .filter(|fact| !shown_in_tree(fact.key))
        .map(|fact| match fact.key {
            "reader.executable" => format!("the reader is {}", fact.text),
            "store.file" => format!("the file is {}", fact.text),
            "target.process" => format!("the target is {}", fact.text),
            _ => fact.text.clone(),
        })
        .chain([format!("finding {}", finding.uid)])
        .collect()
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn head(&mut self, finding: &Finding) {
        let severity = finding.severity.name().to_uppercase();
        let first = format!("{severity}  ");
        let indent = " ".repeat(first.len());
        for (index, line) in wrap(&visible::text(&finding.headline), WIDTH - first.len()).into_iter().enumerate() {
            if index == 0 {
                let severity = self.style.paint(colour(finding.severity), &severity);
                let _ = writeln!(self.out, "{severity}  {}", self.style.paint("1", &line));
            } else {
                let _ = writeln!(self.out, "{indent}{}", self.style.paint("1", &line));
            }
        }
        let mut about = vec![timestamp(finding.wall)];
        if !finding.stores.is_empty() {
            let stores: Vec<_> = finding.stores.iter().map(|store| store.id.as_str()).collect();
            about.push(format!("{} {}", if stores.len() == 1 { "store" } else { "stores" }, stores.join(", ")));
        }
        about.push(finding.detector.name().to_owned());
        self.wrapped("  ", "  ", &about.join(" · "), "2");
    }

    /// The lineage as a tree, oldest first, the reader marked.
    fn lineage(&mut self, finding: &Finding) {
        let Some(chain) = &finding.chain else { return };
        self.title("who did it");
        let mut depth = 0;
        if chain.incomplete {
            self.wrapped("    ", "    ", "(older ancestors are not known)", "2");
        }
        let count = chain.processes.len();
        for (index, process) in chain.processes.iter().enumerate().rev() {
            if count > SHOWN && index == count - SHOWN / 2 - 1 {
                let hidden = count - SHOWN;
                self.node(depth, &format!("({hidden} more between)"), "2");
                depth += 1;
            }
            if count > SHOWN && index >= SHOWN - SHOWN / 2 && index < count - SHOWN / 2 {
                continue;
            }
            let reader = index == 0;
            let same_user = chain.processes.first().is_some_and(|first| first.uid == process.uid);
            let text = describe(process, finding.user_name.as_deref().filter(|_| same_user), reader);
            self.node(depth, &text, if reader { "1" } else { "0" });
            depth += 1;
        }
    }

    /// On whose behalf, and why that is thought.
    fn actor(&mut self, finding: &Finding) {
        let Some(actor) = &finding.actor else { return };
        let mut who = Vec::new();
        if actor.class() != Class::Unknown {
            who.push(format!("{}: {}", actor.class(), party(&actor.party)));
        }
        who.extend(actor.on_behalf_of.iter().map(|other| format!("for {}: {}", other.class, party(other))));
        if let Some(ci) = finding.ci() {
            who.push(format!("in {ci}"));
            who.extend(ci.fact(Fact::Url).map(str::to_owned));
        }
        who.extend(actor.reasons.iter().cloned());
        self.list("on whose behalf", "- ", &who);
    }

    fn node(&mut self, depth: usize, text: &str, paint: &str) {
        let (first, rest) = match depth {
            0 => ("    ".to_owned(), "    ".to_owned()),
            _ => (format!("    {}└─ ", "   ".repeat(depth - 1)), format!("    {}", "   ".repeat(depth))),
        };
        self.wrapped(&first, &rest, text, paint);
    }

    fn list(&mut self, title: &str, bullet: &str, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.title(title);
        for line in lines {
            self.wrapped(&format!("    {bullet}"), &" ".repeat(4 + bullet.len()), line, "0");
        }
    }

    fn title(&mut self, title: &str) {
        let title = self.style.paint("1", title);
        let _ = writeln!(self.out, "  {title}");
    }

    /// `text` after `first`, further lines after `rest`.
    fn wrapped(&mut self, first: &str, rest: &str, text: &str, paint: &str) {
        let room = WIDTH - first.chars().count().max(rest.chars().count());
        for (index, line) in wrap(&visible::text(text), room).into_iter().enumerate() {
            let lead = if index == 0 { first } else { rest };
            let line = if paint == "0" { line } else { self.style.paint(paint, &line) };
            let _ = writeln!(self.out, "{lead}{line}");
        }
    }
}

/// `npm, package left-pad, script postinstall`.
fn party(party: &Party) -> String {
    let mut text = visible::text(&party.name);
    for (detail, value) in &party.details {
        text.push_str(&format!(", {} {}", detail.name(), visible::text(value)));
    }
    text
}

/// `npm (4100) /usr/bin/node, script /usr/bin/npm, uid 1000, container abc`.
fn describe(process: &Process, user_name: Option<&str>, reader: bool) -> String {
    let mut text = format!("{} ({}) {}", process.name(), process.key.tgid, visible::path(&process.executable.path));
    match &process.script {
        Some(Script::File { path, .. }) => text.push_str(&format!(", script {}", visible::path(path))),
        Some(Script::Module(name)) => text.push_str(&format!(", module {name}")),
        Some(Script::Inline) => text.push_str(", code from its command line or standard input"),
        None => {}
    }
    match user_name {
        Some(name) => text.push_str(&format!(", {name}")),
        None => text.push_str(&format!(", uid {}", process.uid)),
    }
    if let Some(container) = &process.container {
        let id: String = container.id.chars().take(12).collect();
        let name = container.named.name.as_ref().unwrap_or(&id);
        text.push_str(&format!(", {} {}", container.runtime, visible::text(name)));
    }
    if process.exited.is_some() {
        text.push_str(", has ended");
    }
    if reader {
        text.push_str("  <- this one");
    }
    text
}

/// `2025-11-24T16:00:00.250Z`.
#[must_use]
pub fn timestamp(wall: SystemTime) -> String {
    jiff::Timestamp::try_from(wall)
        .map_or_else(|_| "time unknown".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Breaks `text` at spaces, and words that are too long anywhere.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let visible = word.iter().rev().skip_while(|character| **character == ' ').count();
        if used > 0 && used + visible > room {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        }
        while word.len() > room && word[room..].iter().any(|character| *character != ' ') {
            lines.push(word.drain(..room).collect());
        }
        used += word.len();
        line.extend(word);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// What was accessed, in few words.
#[must_use]
pub fn target(target: &Target) -> String {
    match target {
        Target::File { path, .. } => visible::path(path),
        Target::Process { how, process: Some(process) } => {
            format!("{} of {} ({})", how.name(), process.key.tgid, visible::text(process.name()))
        }
        Target::Process { how, process: None } => format!("{} of ?", how.name()),
        Target::Service(service) => visible::text(&service.words()),
        Target::Sensor => "the sensor".to_owned(),
    }
}

#[cfg(test)]
mod tests;
