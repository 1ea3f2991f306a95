//! An item as an RFC 5424 message. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    finding::{severity::Severity, visible},
    sink::{
        Item, Kind,
        facts::{Facts, value},
    },
    yaml::fields::words,
};

/// The enterprise number that RFC 5612 sets aside for documentation. The project has none of its own, and RFC 5424
/// (section 7.2.2) wants one in every name that IANA did not register; an organisation puts in its own.
pub const DOCUMENTATION: u64 = 32_473;

words! {
    /// What the message says after its structured data.
    pub enum Form {
        /// A line for people: title, what to do.
        Text = "text",
        /// The OCSF object.
        Ocsf = "ocsf",
    }
}

words! {
    /// Facilities that a program other than the kernel may use (RFC 5424, table 1, in the names of syslog(3)).
    pub enum Facility {
        /// 1
        User = "user",
        /// 3
        Daemon = "daemon",
        /// 4
        Auth = "auth",
        /// 10
        Authpriv = "authpriv",
        /// 13
        Audit = "audit",
        /// 16
        Local0 = "local0",
        /// 17
        Local1 = "local1",
        /// 18
        Local2 = "local2",
        /// 19
        Local3 = "local3",
        /// 20
        Local4 = "local4",
        /// 21
        Local5 = "local5",
        /// 22
        Local6 = "local6",
        /// 23
        Local7 = "local7",
    }
}

impl Facility {
    const fn number(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::Authpriv => 10,
            Self::Audit => 13,
            Self::Local0 => 16,
            Self::Local1 => 17,
            Self::Local2 => 18,
            Self::Local3 => 19,
            Self::Local4 => 20,
            Self::Local5 => 21,
            Self::Local6 => 22,
            Self::Local7 => 23,
        }
    }
}

/// What every message of a sink begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Facility.
    pub facility: Facility,
    /// Host name.
    pub hostname: Option<String>,
    /// APP-NAME: 1 to 48 visible ASCII characters.
    pub app_name: String,
    /// Enterprise number of our structured data.
    pub enterprise: u64,
}

/// RFC 5424, table 2: 2 critical, 3 error, 4 warning, 5 notice, 6 informational. 0 and 1 are for machines on fire.
#[must_use]
pub const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Informational => 6,
    }
}

/// The message of an item, at most `most` bytes, without a frame.
///
/// An OCSF object that does not fit is sent with less in it, which `left_out` names; if that does not help, and for a
/// text that does not fit, it is cut and `cut` gives the number of bytes that are missing.
#[must_use]
pub fn message(head: &Head, form: Form, most: usize, item: &Item) -> Vec<u8> {
    let facts = Facts::of(item);
    let mut start = start(head, item, &facts);
    if start.len() > most / 2 {
        // Names that fill the message by themselves stay behind.
        start = self::start(head, item, &Facts::default());
    }
    let whole = |note: &str, said: &str| format!("{start}{note}]{} {said}", origin());
    if form == Form::Ocsf {
        let (body, left_out) = (ascii(&item.body), String::new());
        let full = whole(&left_out, &body);
        if full.len() <= most {
            return full.into_bytes();
        }
        if let Some(reduced) = reduced(&item.body, |body, left_out| {
            let message = whole(&format!(" left_out=\"{}\"", left_out.join(",")), &ascii(body));
            (message.len() <= most).then_some(message)
        }) {
            return reduced.into_bytes();
        }
    }
    let text = marked(&text(item, &facts));
    let full = whole("", &text);
    if full.len() <= most {
        return full.into_bytes();
    }
    // Room for the note with the widest number.
    let room = most.saturating_sub(whole(" cut=\"4294967295\"", "").len());
    let kept = floor(&text, room);
    whole(&format!(" cut=\"{}\"", text.len() - kept), &text[..kept]).into_bytes()
}

/// Everything up to the last parameter of our structured data.
fn start(head: &Head, item: &Item, facts: &Facts) -> String {
    let priority = head.facility.number() * 8 + severity(item.severity);
    let time = item.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let host =
        head.hostname.as_deref().or(facts.host.as_deref()).map_or_else(|| "-".to_owned(), |host| printable(host, 255));
    let (app, pid, id) = (&head.app_name, std::process::id(), printable(&item.detector, 32));
    let mut out = format!("<{priority}>1 {time} {host} {app} {pid} {id} [tokenhound@{}", head.enterprise);
    let mut put = |name: &str, text: Option<&str>| {
        if let Some(text) = text {
            let _ = write!(out, " {name}=\"{}\"", escaped(&value(&visible::text(text))));
        }
    };
    put("uid", Some(&item.uid));
    put("kind", Some(item.kind.name()));
    put("severity", Some(item.severity.name()));
    put("incident", facts.incident.as_deref());
    put("store", facts.store.as_deref());
    put("path", facts.path.as_deref());
    put("actor", facts.actor.as_deref());
    put("reader", facts.reader.as_deref());
    put("pid", facts.pid.map(|pid| pid.to_string()).as_deref());
    put("user", facts.user.as_deref());
    put("fingerprint", facts.fingerprint.as_deref());
    out
}

/// RFC 5424 section 7.2.
fn origin() -> &'static str {
    concat!("[origin software=\"tokenhound\" swVersion=\"", env!("CARGO_PKG_VERSION"), "\"]")
}

fn text(item: &Item, facts: &Facts) -> String {
    let mut text = visible::text(&facts.headline(item));
    // The line of an incident ends with it.
    if let (Kind::Finding, Some(remedy)) = (item.kind, &facts.remedy) {
        let _ = write!(text, ". What to do: {}", visible::text(remedy));
    }
    text
}

/// RFC 5424 section 6.4: a message in UTF-8 begins with the byte order mark. Pure ASCII is left as it is.
fn marked(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { format!("\u{feff}{text}") }
}

/// JSON without characters beyond ASCII, so that it needs no byte order mark, on which parsers of JSON stumble
/// (RFC 8259 section 8.1). Outside of strings JSON has none.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// What is left out of an object that is too large, in this order.
const SPARE: &[(&str, &str)] = &[
    ("/actor/process", "ancestry"),
    ("/actor/process", "parent_process"),
    ("", "evidences"),
    ("", "observables"),
    ("/finding_info", "desc"),
    ("/finding_info", "attacks"),
    ("", "unmapped"),
    ("/actor/process", "cmd_line"),
    ("", "remediation"),
];

fn reduced(body: &str, fits: impl Fn(&str, &[String]) -> Option<String>) -> Option<String> {
    let mut object: Value = serde_json::from_str(body).ok()?;
    let mut left_out = Vec::new();
    for (parent, name) in SPARE {
        let part = object.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|map| map.remove(*name));
        if part.is_some() {
            left_out.push(format!("{parent}/{name}").trim_start_matches('/').replace('/', "."));
            if let Some(message) = fits(&object.to_string(), &left_out) {
                return Some(message);
            }
        }
    }
    None
}

/// A header field: visible ASCII, at most `most` bytes, `-` if nothing is left.
fn printable(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

/// RFC 5424 section 6.3.3: `"`, `\` and `]` in values.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The longest beginning that ends between characters and is at most `most` bytes.
fn floor(text: &str, most: usize) -> usize {
    (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    fn head() -> Head {
        Head {
            facility: Facility::Local4,
            hostname: Some("build-7".to_owned()),
            app_name: "tokenhound".to_owned(),
            enterprise: DOCUMENTATION,
        }
    }

    fn said(form: Form, most: usize, item: &Item) -> String {
        let text = String::from_utf8(message(&head(), form, most, item)).unwrap();
        text.replace(&format!(" {} ", std::process::id()), " PID ").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    #[test]
    fn a_text_message_byte_by_byte() {
        let expected = concat!(
            "<164>1 2026-11-30T09:00:00.123456Z build-7 tokenhound PID unexpected-reader ",
            "[tokenhound@32473 uid=\"f-1\" kind=\"finding\" severity=\"medium\" store=\"gh-hosts\" ",
            "path=\"/home/kim/.config/gh/hosts.yml\" actor=\"package-script\" reader=\"/usr/bin/node\" pid=\"42\" ",
            "user=\"kim\" fingerprint=\"th1:abc\"][origin software=\"tokenhound\" swVersion=\"VERSION\"] ",
            "\u{feff}MEDIUM \"npm\" <run> & ]co\\ read gh-hosts: caf\u{e9}. What to do: Revoke it: gh auth logout",
        );
        assert_eq!(said(Form::Text, 8192, &samples::finding(1)), expected);
    }

    #[test]
    fn an_incident_says_what_it_is_and_that_it_is_over() {
        let said = said(Form::Text, 8192, &samples::incident(2, true));
        let (head, text) = said.split_once("VERSION\"] ").unwrap();
        assert!(head.starts_with("<163>1 ") && head.contains(" incident=\"i-7\" store=\"gh-hosts\" "), "{head}");
        assert_eq!(
            text,
            "CLOSED (high, 3 findings in all) npm (pid 42, user kim): read store gh-hosts; revoke: gh auth logout"
        );
    }

    #[test]
    fn values_are_escaped_and_bounded() {
        assert_eq!(escaped("a\"b\\c]d"), "a\\\"b\\\\c\\]d");
        let item = Item { uid: "x".repeat(900), ..samples::finding(1) };
        assert!(said(Form::Text, 8192, &item).contains(&format!("uid=\"{}...\" kind", "x".repeat(197))));
    }

    #[test]
    fn an_object_is_ascii_and_the_same() {
        let item = samples::finding(1);
        let said = said(Form::Ocsf, 8192, &item);
        assert!(said.is_ascii() && said.contains("caf\\u00e9"), "{said}");
        let json = said.split_once("VERSION\"] ").unwrap().1;
        assert_eq!(serde_json::from_str::<Value>(json).unwrap(), serde_json::from_str::<Value>(&item.body).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let item = samples::finding(1);
        let full = message(&head(), Form::Ocsf, 8192, &item).len();
        assert!(!said(Form::Ocsf, full, &item).contains("left_out"));
        for most in [full - 1, full - 100] {
            let bytes = message(&head(), Form::Ocsf, most, &item);
            let less = String::from_utf8(bytes).unwrap();
            assert!(less.len() <= most && less.contains(" left_out=\"actor.process.ancestry,evidences"), "{less}");
            assert!(serde_json::from_str::<Value>(less.split_once("\"] ").unwrap().1).is_ok(), "{less}");
        }
        let item = Item { body: item.body.replace("caf\u{e9}", &"\u{e9}".repeat(2000)), ..item };
        for form in [Form::Text, Form::Ocsf] {
            let bytes = message(&head(), form, 2048, &item);
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(bytes.len() <= 2048 && text.contains(" cut=\""), "{} {text}", bytes.len());
        }
    }

    #[test]
    fn names_as_long_as_they_come_stay_within_the_smallest_limit() {
        let mut item = samples::finding(1);
        let long = "\u{1f600}".repeat(4000);
        for name in ["/usr/bin/node", "/home/kim/.config/gh/hosts.yml", "kim\"", "build-7", "package-script"] {
            item.body = item.body.replace(name, &format!("{long}{}", if name.ends_with('"') { "\"" } else { "" }));
        }
        for form in [Form::Text, Form::Ocsf] {
            let bytes = message(&head(), form, 2048, &item);
            assert!(bytes.len() <= 2048, "{}", bytes.len());
            assert!(String::from_utf8(bytes).unwrap().contains("uid=\"f-1\""));
        }
    }

    #[test]
    fn every_severity_has_its_number() {
        assert_eq!(Severity::ALL.map(severity), [6, 5, 4, 3, 2]);
    }
}
