//! The words of a notification: in ten seconds a stranger knows what happened and what to do.

use std::fmt::Write;

use super::{
    model::{Incident, Key, Sample, Tally},
    notice::{Activity, Notice},
};
use crate::finding::{
    detector::DetectorId,
    severity::Severity,
    text::{Style, WIDTH, wrap},
    visible,
};

/// Names that are said of each kind; the rest is a number.
const SAID: usize = 3;

/// One line: who, what, and what to do first.
///
/// `npm, running postinstall of package left-pad (pid 4711, user eve): read 4 stores (...), copied 2 tokens (to ...),
/// connected to 203.0.113.7:443; revoke: gh auth logout`
#[must_use]
pub fn title(incident: &Incident) -> String {
    let who = who(incident).map(|who| format!("{who}: ")).unwrap_or_default();
    format!("{who}{}; {}", deeds(incident).join(", "), action(incident))
}

/// The line of a notification: how much it matters, whether it is news, and [`title`].
#[must_use]
pub fn message(notice: &Notice) -> String {
    let incident = &notice.incident;
    let severity = incident.severity.name().to_uppercase();
    let number = incident.told.sent.times.saturating_sub(1);
    let lead = match notice.activity {
        Activity::Opened => severity,
        Activity::Updated => format!("{severity} (update {number}, {} in all)", findings(incident.findings)),
        Activity::Closed => format!("CLOSED ({}, {} in all)", incident.severity, findings(incident.findings)),
    };
    format!("{lead} {}", title(incident))
}

/// Everything a person on duty needs, a paragraph each.
#[must_use]
pub fn describe(incident: &Incident) -> String {
    let mut out = String::new();
    for (title, lines) in [
        ("What happened", happened(incident)),
        ("Why it counts", incident.reasons.clone()),
        ("What to do", steps(incident)),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{title}: {}.", lines.join("; "));
    }
    let _ = write!(out, "More: tokenhound explain {}", incident.uid);
    out
}

/// The whole incident for a terminal; lines of at most [`WIDTH`] columns.
#[must_use]
pub fn page(incident: &Incident, style: Style) -> String {
    let mut out = String::new();
    let severity = incident.severity.name().to_uppercase();
    write(&mut out, "", "", &style.paint("1", &format!("{severity} {}", title(incident))));
    let state = match incident.closed {
        None => "open".to_owned(),
        Some((at, why)) => format!("closed at {}: {}", time(at), why.words()),
    };
    let told = &incident.told;
    for (name, said) in [
        ("incident", incident.uid.clone()),
        ("state", state),
        ("from", time(incident.opened)),
        ("to", time(incident.last)),
        ("notifications", format!("{} sent, {} suppressed", told.sent.times, told.hushed.times)),
    ] {
        write(&mut out, &format!("  {name}: "), "    ", &said);
    }
    for (name, lines) in [
        ("what happened", happened(incident)),
        ("why it counts", incident.reasons.clone()),
        ("what to do", steps(incident)),
        ("some of its findings", incident.samples.iter().map(line).collect()),
    ] {
        write(&mut out, "  ", "  ", &style.paint("1", name));
        for line in lines {
            write(&mut out, "    - ", "      ", &line);
        }
    }
    visible::inert(&out)
}

fn write(out: &mut String, first: &str, rest: &str, text: &str) {
    let room = WIDTH - first.chars().count().max(rest.chars().count());
    for (index, line) in wrap(text, room).into_iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}{line}", if index == 0 { first } else { rest });
    }
}

fn line(sample: &Sample) -> String {
    format!("{} {} {} {}: {}", time(sample.time), sample.severity, sample.detector, sample.uid, sample.headline)
}

fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn who(incident: &Incident) -> Option<String> {
    let who = &incident.who;
    if who.name.is_empty() {
        return None;
    }
    let pid = who.pid.map(|pid| format!("pid {pid}"));
    let user =
        who.user.as_ref().map(|user| if user.starts_with("uid ") { user.clone() } else { format!("user {user}") });
    let facts: Vec<String> = [pid, user, who.container.clone()].into_iter().flatten().collect();
    Some(if facts.is_empty() { who.name.clone() } else { format!("{} ({})", who.name, facts.join(", ")) })
}

/// What was done, the worst last: reading, copying, sending.
fn deeds(incident: &Incident) -> Vec<String> {
    let mut deeds = Vec::new();
    match incident.read.named.as_slice() {
        [] => {}
        [(store, _)] if incident.read.other == 0 => deeds.push(format!("read store {store}")),
        _ => deeds.push(format!("read {} stores ({})", incident.read.different(), list(&incident.read))),
    }
    if incident.detectors.has(DetectorId::ProcessInspection.name()) {
        deeds.push("looked into other processes".to_owned());
    }
    if incident.detectors.has(DetectorId::SecretInArguments.name()) {
        deeds.push("started a program with a token in its arguments or environment".to_owned());
    }
    if !incident.copied.named.is_empty() {
        let tokens = plural(incident.copied.named.len(), &incident.copied.different(), "token");
        let times = match incident.copies.total() {
            1 => String::new(),
            total => format!("{} times, ", grouped(total)),
        };
        deeds.push(format!("copied {tokens} ({times}to {})", list(&incident.copies)));
    }
    if !incident.destinations.named.is_empty() {
        deeds.push(format!("connected to {}", list(&incident.destinations)));
    }
    if deeds.is_empty() {
        let of = |id: DetectorId| {
            let count = incident.detectors.of(id.name());
            let title = id.meta().title;
            if count > 1 { format!("{title} ({count} times)") } else { title.to_owned() }
        };
        deeds.extend(incident.detector_ids().take(SAID).map(of));
        match incident.stores.named.len() {
            0 => {}
            1 => deeds.push(format!("store {}", list(&incident.stores))),
            _ => deeds.push(format!("stores {}", list(&incident.stores))),
        }
    }
    deeds
}

/// `a, b, c and 4 more`.
fn list(tally: &Tally) -> String {
    let said: Vec<&str> = tally.names().take(SAID).collect();
    let more = tally.named.len().saturating_sub(SAID);
    let more = match (more, tally.other) {
        (0, 0) => String::new(),
        (more, 0) => format!(" and {more} more"),
        (more, _) => format!(" and more than {more} more"),
    };
    format!("{}{more}", said.join(", "))
}

fn plural(count: usize, said: &str, what: &str) -> String {
    format!("{said} {what}{}", if count == 1 && said == "1" { "" } else { "s" })
}

/// `2,000 findings`.
fn findings(count: u64) -> String {
    format!("{} finding{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `12,345`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What to do first.
fn action(incident: &Incident) -> String {
    if incident.severity <= Severity::Low {
        return format!("no hurry; see: tokenhound explain {}", incident.uid);
    }
    match incident.commands.split_first() {
        Some((first, [])) => format!("revoke: {first}"),
        Some((first, [second])) => format!("revoke: {first}; {second}"),
        Some((first, rest)) => format!("revoke: {first}; {}; and {} more", rest[0], rest.len() - 1),
        None => match steps(incident).into_iter().next() {
            Some(step) => format!("do: {}", step.trim_end_matches('.')),
            None => format!("see: tokenhound explain {}", incident.uid),
        },
    }
}

/// The steps of its worst detector, then the commands.
fn steps(incident: &Incident) -> Vec<String> {
    let worst: Option<DetectorId> = incident.worst.detector.parse().ok();
    let mut steps: Vec<String> = Vec::new();
    if let (Some(pid), Key::Process(_)) = (incident.who.pid, &incident.key)
        && incident.severity >= Severity::High
    {
        steps.push(format!("stop pid {pid} and what it has started, if it still runs"));
    }
    steps.extend(
        worst.into_iter().flat_map(|id| id.meta().remediation).map(|step| step.trim_end_matches('.').to_owned()),
    );
    steps.extend(incident.commands.iter().map(|command| format!("run `{command}`")));
    steps
}

fn happened(incident: &Incident) -> Vec<String> {
    let mut lines =
        vec![format!("{} from {} to {}", findings(incident.findings), time(incident.opened), time(incident.last))];
    for (what, tally) in [
        ("by detector", &incident.detectors),
        ("stores", &incident.stores),
        ("readers", &incident.readers),
        ("where", &incident.paths),
        ("copied to", &incident.copies),
        ("connected to", &incident.destinations),
        ("tokens", &incident.tokens),
    ] {
        if !tally.named.is_empty() {
            lines.push(format!("{what}: {}", counted(tally)));
        }
    }
    if incident.summarised > 0 {
        let by = counted(&incident.summarised_by);
        lines.push(format!(
            "{} of them only counted here, as they look like others: {by}",
            grouped(incident.summarised)
        ));
    }
    if incident.covered > 0 {
        lines.push(format!("{} of them suppressed", grouped(incident.covered)));
    }
    lines
}

/// `a (12), b (3), others (400)`.
fn counted(tally: &Tally) -> String {
    let mut said: Vec<String> =
        tally.named.iter().map(|(name, count)| format!("{name} ({})", grouped(*count))).collect();
    if tally.other > 0 {
        said.push(format!("others ({})", grouped(tally.other)));
    }
    said.join(", ")
}
