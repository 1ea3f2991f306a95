//! `sinks:` in the configuration: what every sink has, and the keys of its type.

use std::error::Error;

use super::{Kind, Sink, alertmanager, file, otlp, stdout, syslog, webhook};
use crate::{
    finding::{ocsf::Host, severity::Severity},
    yaml::{
        Node,
        fields::{Fields, FromNode, Placed, Reading, words},
    },
};

/// Most sinks: each has a thread, and its name is a label of metrics.
pub const SINKS: usize = 32;

/// Longest name of a sink, in bytes.
const NAME: usize = 48;

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Unique; label of its metrics and key of its cursor.
    pub name: String,
    /// What is below is not for it.
    pub min_severity: Severity,
    /// Which entries it takes.
    pub take: Take,
    /// The keys of its type.
    pub settings: Settings,
}

impl SinkConfig {
    /// Is that entry for it?
    #[must_use]
    pub fn takes(&self, kind: Kind, severity: Severity) -> bool {
        severity >= self.min_severity
            && match self.take {
                Take::Findings => kind == Kind::Finding,
                Take::Incidents => kind == Kind::Incident,
                Take::Both => true,
            }
    }
}

words! {
    /// Which entries of the outbox a sink takes.
    pub enum Take {
        /// Each finding.
        Findings = "findings",
        /// Notifications of incidents.
        Incidents = "incidents",
        /// Everything.
        Both = "both",
    }
}

words! {
    /// A type of sink as it is written.
    pub enum TypeWord {
        /// [`file`].
        File = "file",
        /// [`stdout`].
        Stdout = "stdout",
        /// [`syslog`].
        Syslog = "syslog",
        /// [`webhook`].
        Webhook = "webhook",
        /// [`alertmanager`].
        Alertmanager = "alertmanager",
        /// [`otlp`].
        Otlp = "otlp",
    }
}

/// The keys of each type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// JSON lines in a file.
    File(file::Config),
    /// On standard output.
    Stdout(stdout::Config),
    /// To a syslog server.
    Syslog(syslog::Config),
    /// As HTTP requests.
    Webhook(webhook::Config),
    /// As alerts to an Alertmanager.
    Alertmanager(alertmanager::Config),
    /// As logs over OTLP.
    Otlp(otlp::Config),
}

/// What one type of sink adds to all of them.
pub trait Type: Sized {
    /// Reads its own keys. They hold no secret, only where one is kept.
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self>;

    /// What it takes unless `take` says something else.
    fn take(&self) -> Take {
        Take::Findings
    }

    /// Makes the sink; see [`super::build`].
    ///
    /// # Errors
    /// When it can never work as it is configured.
    fn build(&self, host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>>;
}

impl FromNode for SinkConfig {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let name = name(&mut fields, reading);
        let word: Option<TypeWord> = fields.required("type", reading);
        let floor: Option<Placed<String>> = fields.optional("min_severity", reading);
        let floor = floor.map_or(Some(Severity::Informational), |floor| severity(&floor, reading));
        let take: Option<Take> = fields.optional("take", reading);
        // Without a type it is not known which keys it may have.
        let (settings, usual) = settings(word?, &mut fields, reading)?;
        fields.finish(reading);
        Some(Self { name: name?, min_severity: floor?, take: take.unwrap_or(usual), settings })
    }
}

fn settings(word: TypeWord, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<(Settings, Take)> {
    fn of<T: Type>(
        wrap: fn(T) -> Settings,
        fields: &mut Fields<'_>,
        reading: &mut Reading<'_>,
    ) -> Option<(Settings, Take)> {
        let read = T::read(fields, reading)?;
        let take = read.take();
        Some((wrap(read), take))
    }
    match word {
        TypeWord::File => of(Settings::File, fields, reading),
        TypeWord::Stdout => of(Settings::Stdout, fields, reading),
        TypeWord::Syslog => of(Settings::Syslog, fields, reading),
        TypeWord::Webhook => of(Settings::Webhook, fields, reading),
        TypeWord::Alertmanager => of(Settings::Alertmanager, fields, reading),
        TypeWord::Otlp => of(Settings::Otlp, fields, reading),
    }
}

fn name(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name: Placed<String> = fields.required("name", reading)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if (1..=NAME).contains(&name.value.len()) && name.value.bytes().all(fits) {
        return Some(name.value);
    }
    let said = format!("the name of a sink is 1 to {NAME} of a-z, 0-9, \"-\" and \"_\", not \"{}\"", name.value);
    reading.error(name.place, said);
    None
}

fn severity(word: &Placed<String>, reading: &mut Reading<'_>) -> Option<Severity> {
    word.value
        .parse()
        .map_err(|unknown: crate::finding::severity::UnknownSeverity| {
            reading.error(word.place, unknown.to_string());
        })
        .ok()
}

/// All of them, as they are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkConfigs(pub Vec<SinkConfig>);

impl FromNode for SinkConfigs {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let sinks: Vec<Placed<SinkConfig>> = Vec::from_node(node, reading)?;
        if sinks.len() > SINKS {
            reading.error(node.place, format!("at most {SINKS} sinks, these are {}", sinks.len()));
            return None;
        }
        for (index, sink) in sinks.iter().enumerate() {
            if let Some(first) = sinks[..index].iter().find(|other| other.value.name == sink.value.name) {
                let said = format!("a sink \"{}\" is already given in line {}", sink.value.name, first.place.line);
                reading.error(sink.place, said);
            }
        }
        Some(Self(sinks.into_iter().map(|sink| sink.value).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::yaml::{self, Problems};

    fn parse(text: &str) -> Result<Vec<SinkConfig>, String> {
        let file = Path::new("tokenhound.yaml");
        let node = yaml::parse(file, text).map_err(|problems| problems.to_string())?;
        let mut problems = Problems::new();
        let sinks = SinkConfigs::from_node(&node, &mut Reading { file, problems: &mut problems });
        if problems.has_errors() { Err(problems.to_string()) } else { Ok(sinks.unwrap_or_default().0) }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let sinks = parse("- {name: a, type: stdout}\n- {name: b, type: stdout, min_severity: high, take: both}\n");
        let sinks = sinks.unwrap();
        assert_eq!((sinks[0].min_severity, sinks[0].take), (Severity::Informational, Take::Findings));
        assert!(
            sinks[0].takes(Kind::Finding, Severity::Informational) && !sinks[0].takes(Kind::Incident, Severity::High)
        );
        assert!(!sinks[1].takes(Kind::Finding, Severity::Medium) && sinks[1].takes(Kind::Incident, Severity::High));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let text = "- {name: A b, type: stdout}\n- {name: b, type: stdot}\n- {name: c, type: stdout, min_severity: loud}\n\
                    - {name: c, type: stdout, fromat: json}\n- {type: stdout}\n";
        let said = parse(text).unwrap_err();
        for part in [":1:", "a-z", "stdout", ":3:", "loud", ":4:", "format", ":5:", "\"name\" is missing"] {
            assert!(said.contains(part), "{part} is missing in:\n{said}");
        }
        let twice = parse("- {name: c, type: stdout}\n- {name: c, type: stdout}\n").unwrap_err();
        assert!(twice.contains("already given in line 1"), "{twice}");
    }
}
