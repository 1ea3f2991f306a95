//! A finding as it is stored, for a person who reads it: from the OCSF object that went out.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    text::{Style, WIDTH, wrap},
    visible,
};

/// Everything that the object says, in words; lines of at most [`WIDTH`] columns.
#[must_use]
pub fn render(event: &Value, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    page.wrapped("", "", &word(event, "/message"), "1");
    let time = event.pointer("/time").and_then(Value::as_i64).and_then(|time| Timestamp::from_millisecond(time).ok());
    let time = time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()).unwrap_or_default();
    let analytic = word(event, "/finding_info/analytic/uid");
    page.fact("when", &time);
    page.fact("finding", &word(event, "/finding_info/uid"));
    page.fact("detector", &format!("{analytic} (`tokenhound explain {analytic}`)"));
    page.fact("severity", &word(event, "/severity"));
    page.list("why it counts", &texts(event, "/unmapped/tokenhound/reasons"));
    page.list("what is concerned", &resources(event));
    page.fact("token", &word(event, "/unmapped/tokenhound/fingerprint"));
    page.process(event);
    page.actor(event);
    page.list("evidence", &evidence(event));
    page.list("how it was seen", &seen(event));
    page.list("what to do", &[word(event, "/remediation/desc")]);
    page.list("standards", &standards(event));
    visible::inert(&page.out)
}

/// A value in words; nothing where there is none.
fn word(event: &Value, at: &str) -> String {
    match event.pointer(at) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn items<'e>(event: &'e Value, at: &str) -> impl Iterator<Item = &'e Value> {
    event.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

fn texts(event: &Value, at: &str) -> Vec<String> {
    items(event, at).map(|item| word(item, "")).collect()
}

fn resources(event: &Value) -> Vec<String> {
    items(event, "/resources")
        .map(|one| {
            let labels = texts(one, "/labels").join(", ");
            let labels = if labels.is_empty() { labels } else { format!(" ({labels})") };
            format!("{} {}{labels}", word(one, "/uid"), word(one, "/name"))
        })
        .collect()
}

fn evidence(event: &Value) -> Vec<String> {
    let fact = |one: &Value| {
        let said = [word(one, "/data"), word(one, "/file/path"), named(one.pointer("/process"))];
        format!("{}: {}", word(one, "/name"), said.into_iter().find(|said| !said.is_empty()).unwrap_or_default())
    };
    items(event, "/evidences").map(fact).collect()
}

/// `/usr/bin/cat (4242): cat x`.
fn named(process: Option<&Value>) -> String {
    let Some(process) = process else { return String::new() };
    let path = [word(process, "/file/path"), word(process, "/path"), word(process, "/name")];
    let path = path.into_iter().find(|path| !path.is_empty()).unwrap_or_default();
    let line = word(process, "/cmd_line");
    let line = if line.is_empty() { line } else { format!(": {line}") };
    format!("{path} ({}){line}", word(process, "/pid"))
}

fn seen(event: &Value) -> Vec<String> {
    let of = |name: &str| word(event, &format!("/unmapped/tokenhound/{name}"));
    let facts = [
        ("by", of("tier")),
        ("verdict", of("verdict")),
        ("way", of("access/way")),
        ("path in its root", of("access/path_in_root")),
        ("milliseconds to the finding", of("latency_ms")),
        ("host", word(event, "/device/hostname")),
        ("kernel", word(event, "/device/os/kernel_release")),
    ];
    facts.into_iter().filter(|(_, said)| !said.is_empty()).map(|(name, said)| format!("{name}: {said}")).collect()
}

fn standards(event: &Value) -> Vec<String> {
    let attack = |one: &Value| {
        let sub = word(one, "/sub_technique/uid");
        let (uid, name) = if sub.is_empty() {
            ("/technique/uid", "/technique/name")
        } else {
            ("/sub_technique/uid", "/sub_technique/name")
        };
        format!("ATT&CK {} {}", word(one, uid), word(one, name))
    };
    let tag = |one: &Value| format!("{} {}", word(one, "/name"), word(one, "/value"));
    let attacks = items(event, "/finding_info/attacks").map(attack);
    attacks.chain(items(event, "/finding_info/tags").map(tag)).collect()
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn fact(&mut self, name: &str, said: &str) {
        if !said.is_empty() {
            self.wrapped(&format!("  {name}: "), "    ", said, "0");
        }
    }

    fn list(&mut self, title: &str, lines: &[String]) {
        let lines: Vec<&String> = lines.iter().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return;
        }
        self.wrapped("  ", "  ", title, "1");
        for line in lines {
            self.wrapped("    - ", "      ", line, "0");
        }
    }

    /// Who did it, with everything above it.
    fn process(&mut self, event: &Value) {
        let Some(process) = event.pointer("/actor/process") else { return };
        let user = [word(process, "/user/name"), format!("uid {}", word(process, "/user/uid"))];
        let mut lines = vec![format!("{}, {}", named(Some(process)), user.join(", "))];
        let extra = [
            ("script", word(event, "/unmapped/tokenhound/script")),
            ("in", word(process, "/working_directory")),
            ("container", word(process, "/container/uid")),
        ];
        lines.extend(
            extra.into_iter().filter(|(_, said)| !said.is_empty()).map(|(name, said)| format!("{name} {said}")),
        );
        lines.extend(items(process, "/ancestry").map(|above| format!("below {}", named(Some(above)))));
        self.list("who did it", &lines);
    }

    fn actor(&mut self, event: &Value) {
        let Some(actor) = event.pointer("/unmapped/tokenhound/actor") else { return };
        let mut lines = vec![format!("{}: {}", word(actor, "/class"), word(actor, "/name"))];
        lines.extend(texts(actor, "/reasons"));
        let above = |one: &Value| format!("for {}: {}", word(one, "/class"), word(one, "/name"));
        lines.extend(items(actor, "/on_behalf_of").map(above));
        self.list("on whose behalf", &lines);
    }

    fn wrapped(&mut self, first: &str, rest: &str, text: &str, paint: &str) {
        let room = WIDTH - first.chars().count().max(rest.chars().count());
        for (index, line) in wrap(&visible::text(text), room).into_iter().enumerate() {
            let lead = if index == 0 { first } else { rest };
            let line = if paint == "0" { line } else { self.style.paint(paint, &line) };
            // Writing to a string cannot fail.
            let _ = writeln!(self.out, "{lead}{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{ocsf, samples};

    #[test]
    fn all_that_is_stored_of_every_sample_is_told() {
        for finding in samples::all() {
            let stored: Value = serde_json::from_str(&ocsf::line(&finding, &ocsf::Host::default())).unwrap();
            let text = render(&stored, Style::default()).split_whitespace().collect::<Vec<_>>().join(" ");
            let facts = finding.evidence.iter().map(|fact| fact.text.as_str());
            let said = facts.chain(finding.reasons.iter().map(String::as_str)).chain([finding.uid.as_str()]);
            for said in said {
                let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
                // A word longer than a line is broken.
                if said.split(' ').all(|word| word.len() < 60) {
                    assert!(text.contains(&said), "{said}\nis not in\n{text}");
                }
            }
            for process in finding.chain.iter().flat_map(|chain| &chain.processes) {
                assert!(text.contains(&format!("({})", process.key.tgid)), "{text}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_left_out_and_nothing_of_others_acts_on_a_terminal() {
        let text =
            render(&serde_json::json!({"message": "x\u{1b}[2J", "evidences": [{"name": "a"}]}), Style::default());
        assert!(!text.contains('\u{1b}') && text.contains("\\x1b"), "{text}");
    }
}
