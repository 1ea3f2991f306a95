//! The agent's configuration file. Everything in it is optional; the command line goes before it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    detect::access::Tier,
    history::Bounds,
    policy::times,
    sink::{
        config::{SinkConfig, SinkConfigs},
        credential::Source,
    },
    telemetry::http::door::ListenTls,
    yaml::{
        self, Guard, Node, Problems, Value,
        fields::{Fields, FromNode, Reading, words},
    },
};

/// Where it is looked for when no other place is named.
pub const FILE: &str = "/etc/tokenhound/tokenhound.yaml";

/// What it can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where to serve metrics.
    pub listen: Option<SocketAddr>,
    /// TLS for that.
    pub listen_tls: Option<ListenTls>,
    /// The token that is asked for there.
    pub listen_token: Option<Source>,
    /// File for findings.
    pub findings: Option<PathBuf>,
    /// Kernel mechanism to use instead of the best one that works.
    pub tier: Option<Tier>,
    /// Directory with further catalogue files.
    pub catalogue: Option<PathBuf>,
    /// Directory with policy files.
    pub policy: Option<PathBuf>,
    /// State directory.
    pub state_dir: Option<PathBuf>,
    /// File with the fleet's fingerprint key, in place of the one in the state directory (`token/key.rs`).
    pub fingerprint_key: Option<PathBuf>,
    /// How much of the history is kept.
    pub history: Option<Bounds>,
    /// Where findings go; `None` where nothing is said of it.
    pub sinks: Option<Vec<SinkConfig>>,
}

impl Config {
    /// Reads the file at `path`, or the one at [`FILE`] if there is one.
    ///
    /// # Errors
    ///
    /// Every mistake at once; a file that was named and does not exist.
    pub fn load(path: Option<&Path>) -> Result<Self, Problems> {
        let file = match path {
            Some(path) => path,
            None if Path::new(FILE).exists() => Path::new(FILE),
            None => return Ok(Self::default()),
        };
        let text = yaml::read(file, Guard::Trusted)?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let node = yaml::parse(file, text)?;
        let mut problems = Problems::new();
        let config = Self::from_node(&node, &mut Reading { file, problems: &mut problems });
        if problems.has_errors() { Err(problems) } else { Ok(config.unwrap_or_default()) }
    }
}

impl FromNode for Config {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        // A file of comments only.
        if node.value == Value::Null {
            return Some(Self::default());
        }
        let mut fields = Fields::of(node, reading)?;
        let listen: Option<Address> = fields.optional("listen", reading);
        let tier: Option<TierWord> = fields.optional("tier", reading);
        let config = Self {
            listen: listen.map(|listen| listen.0),
            listen_tls: fields.optional("listen_tls", reading),
            listen_token: Source::of("listen_token_file", "listen_token_credential", &mut fields, reading),
            findings: absolute("findings", &mut fields, reading),
            tier: tier.map(Into::into),
            catalogue: absolute("catalogue", &mut fields, reading),
            policy: absolute("policy", &mut fields, reading),
            state_dir: absolute("state_dir", &mut fields, reading),
            fingerprint_key: absolute("fingerprint_key", &mut fields, reading),
            history: fields.optional("history", reading),
            sinks: fields.optional("sinks", reading).map(|sinks: SinkConfigs| sinks.0),
        };
        fields.finish(reading);
        Some(config)
    }
}

impl FromNode for Bounds {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let defaults = Self::default();
        let age: Option<Span> = fields.optional("max_age", reading);
        let place = fields.place();
        let size: Option<u64> = fields.optional("max_mib", reading);
        let alike = fields.optional("alike", reading);
        fields.finish(reading);
        if size.is_some_and(|size| !(1..=1 << 20).contains(&size)) {
            reading.error(place, "\"max_mib\" is between 1 and 1048576 mebibytes");
            return None;
        }
        Some(Self {
            max_age: age.map_or(defaults.max_age, |age| age.0),
            max_bytes: size.map_or(defaults.max_bytes, |size| size << 20),
            alike: alike.unwrap_or(defaults.alike),
        })
    }
}

/// Seconds.
struct Span(i64);

impl FromNode for Span {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        match times::duration(&text) {
            Ok(span) => i64::try_from(span.as_secs()).ok().map(Self),
            Err(wrong) => {
                reading.error(node.place, wrong);
                None
            }
        }
    }
}

words! {
    /// A tier as it is written.
    pub enum TierWord {
        /// Function entry.
        Fentry = "fentry",
        /// System call tracepoints.
        Tracepoint = "tracepoint",
    }
}

impl From<TierWord> for Tier {
    fn from(word: TierWord) -> Self {
        match word {
            TierWord::Fentry => Self::Fentry,
            TierWord::Tracepoint => Self::Tracepoint,
        }
    }
}

/// An address with its port.
struct Address(SocketAddr);

impl FromNode for Address {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        match text.parse() {
            Ok(address) => Some(Self(address)),
            Err(_) => {
                reading.error(node.place, format!("\"{text}\" is no address with a port, such as 127.0.0.1:9466"));
                None
            }
        }
    }
}

fn absolute(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<PathBuf> {
    let place = fields.place();
    let path = PathBuf::from(fields.optional::<String>(name, reading)?);
    if path.is_absolute() {
        return Some(path);
    }
    reading.error(place, format!("\"{name}\" must be an absolute path, not \"{}\"", path.display()));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::severity::Severity,
        sink::{
            config::{Settings, Take},
            stdout,
        },
    };

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("tokenhound.yaml"), text).map_err(|problems| problems.to_string())
    }

    #[test]
    fn nothing_is_needed() {
        assert_eq!(parse("# all defaults\n"), Ok(Config::default()));
    }

    #[test]
    fn everything_can_be_said() {
        let config = parse(
            "listen: '127.0.0.1:1'\nlisten_tls: {certificate: /t/c, key_file: /t/k}\nlisten_token_credential: metrics\nfindings: /var/log/f\ntier: fentry\npolicy: /p\ncatalogue: /c\nstate_dir: /s\n\
             fingerprint_key: /k\nhistory: {max_age: 30d, max_mib: 64, alike: 7}\nsinks: [{name: o, type: stdout}]\n",
        );
        let expected = Config {
            listen: "127.0.0.1:1".parse().ok(),
            listen_tls: Some(ListenTls { certificate: "/t/c".into(), key: Source::File("/t/k".into()) }),
            listen_token: Some(Source::Named("metrics".into())),
            findings: Some("/var/log/f".into()),
            tier: Some(Tier::Fentry),
            catalogue: Some("/c".into()),
            policy: Some("/p".into()),
            state_dir: Some("/s".into()),
            fingerprint_key: Some("/k".into()),
            history: Some(Bounds { max_age: 30 * 86_400, max_bytes: 64 << 20, alike: 7 }),
            sinks: Some(vec![SinkConfig {
                name: "o".to_owned(),
                min_severity: Severity::Informational,
                take: Take::Findings,
                settings: Settings::Stdout(stdout::Config { format: stdout::Format::Text }),
            }]),
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let said =
            parse("lisen: x\ntier: lsd\nfindings: here\nlisten: 1\nhistory: {max_age: 3w, max_mib: 0}\n").unwrap_err();
        for part in
            ["tokenhound.yaml:1", "listen", "tokenhound.yaml:2", "fentry", "absolute", "no duration", "mebibytes"]
        {
            assert!(said.contains(part), "{part} is missing in:\n{said}");
        }
    }
}
