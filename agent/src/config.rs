//! The agent's configuration file. Everything in it is optional; the command line goes before it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    detect::access::Tier,
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
            findings: absolute("findings", &mut fields, reading),
            tier: tier.map(Into::into),
            catalogue: absolute("catalogue", &mut fields, reading),
            policy: absolute("policy", &mut fields, reading),
            state_dir: absolute("state_dir", &mut fields, reading),
            fingerprint_key: absolute("fingerprint_key", &mut fields, reading),
        };
        fields.finish(reading);
        Some(config)
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
            "listen: '127.0.0.1:1'\nfindings: /var/log/f\ntier: fentry\npolicy: /p\ncatalogue: /c\nstate_dir: /s\n\
             fingerprint_key: /k\n",
        );
        let expected = Config {
            listen: "127.0.0.1:1".parse().ok(),
            findings: Some("/var/log/f".into()),
            tier: Some(Tier::Fentry),
            catalogue: Some("/c".into()),
            policy: Some("/p".into()),
            state_dir: Some("/s".into()),
            fingerprint_key: Some("/k".into()),
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let said = parse("lisen: x\ntier: lsd\nfindings: here\nlisten: 1\n").unwrap_err();
        for part in ["tokenhound.yaml:1", "listen", "tokenhound.yaml:2", "fentry", "absolute"] {
            assert!(said.contains(part), "{part} is missing in:\n{said}");
        }
    }
}
