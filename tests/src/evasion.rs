//! What the evasion program (`tests/evasion`) and the test that runs it (`tests/tests/evasion`) tell each other: one
//! line for each technique.

use std::fmt::{self, Display};

/// A made-up token that victims of `process-inspection` carry in their environment.
pub const VICTIM_TOKEN: &str = "gho_MadeUpForTheEvasionProgramByNobody00";
/// The variable that it is in.
pub const VICTIM_VARIABLE: &str = "GH_TOKEN";
/// Exit code of a technique that this kernel or file system does not offer.
pub const ABSENT: i32 = 77;

/// What a technique must lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Find {
    /// `unexpected-reader`, by one of these ways (`open`, `exec`, `receive`, `read`, `map`).
    Reader(Vec<String>),
    /// `process-inspection` of this object (`environ`, `mem`, ...).
    Inspection(String),
    /// `agent-socket-access`.
    Connection,
}

/// When a technique is started, and whether it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// While the agent runs, and to its end.
    Now,
    /// While the agent runs. It says `HELD pid=N` once N holds the store open, or has read it, and goes on at a line
    /// of input, which it gets when the agent has told of N.
    Held,
    /// Before the agent: it says `HELD` and goes on at a line of input, which it gets when the agent watches.
    Before,
}

/// Where a technique is not expected to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tiers; all if empty.
    pub tiers: Vec<String>,
    /// Kernel series; all if empty.
    pub kernels: Vec<String>,
    /// It depends on who is first: sometimes it is seen.
    pub sometimes: bool,
    /// Why.
    pub reason: String,
}

/// A technique as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// What it belongs to.
    pub group: String,
    /// When to start it.
    pub start: Start,
    /// All of these must be found. None: nothing may be found.
    pub finds: Vec<Find>,
    /// The exceptions.
    pub limits: Vec<Limit>,
    /// What it does.
    pub what: String,
}

impl Declared {
    /// Why this is not expected to be seen by this tier on this kernel.
    #[must_use]
    pub fn limit(&self, tier: &str, series: &str) -> Option<&Limit> {
        let holds = |list: &[String], one: &str| list.is_empty() || list.iter().any(|word| word == one);
        self.limits.iter().find(|limit| holds(&limit.tiers, tier) && holds(&limit.kernels, series))
    }

    /// Reads a line that [`Display`] wrote.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let [name, group, start, finds, limits, what] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let start = match start {
            "now" => Start::Now,
            "held" => Start::Held,
            "before" => Start::Before,
            _ => return None,
        };
        let finds = match finds {
            "silent" => Vec::new(),
            some => some.split(' ').map(find).collect::<Option<_>>()?,
        };
        let limits = match limits {
            "-" => Vec::new(),
            some => some.split("; ").map(limit).collect::<Option<_>>()?,
        };
        Some(Self { name: name.into(), group: group.into(), start, finds, limits, what: what.into() })
    }
}

fn find(text: &str) -> Option<Find> {
    if text == "agent-socket-access" {
        return Some(Find::Connection);
    }
    match text.split_once(':')? {
        ("unexpected-reader", ways) => Some(Find::Reader(words(ways))),
        ("process-inspection", object) => Some(Find::Inspection(object.into())),
        _ => None,
    }
}

fn limit(text: &str) -> Option<Limit> {
    let (scope, reason) = text.split_once(": ")?;
    let (tiers, rest) = scope.split_once('@')?;
    let kernels = rest.strip_suffix(" sometimes").unwrap_or(rest);
    let sometimes = rest != kernels;
    Some(Limit { tiers: words(tiers), kernels: words(kernels), sometimes, reason: reason.into() })
}

fn words(text: &str) -> Vec<String> {
    if text == "*" { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "*".into() } else { words.join(",") }
}

impl Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reader(ways) => write!(f, "unexpected-reader:{}", list(ways)),
            Self::Inspection(object) => write!(f, "process-inspection:{object}"),
            Self::Connection => f.write_str("agent-socket-access"),
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sometimes = if self.sometimes { " sometimes" } else { "" };
        write!(f, "{}@{}{sometimes}: {}", list(&self.tiers), list(&self.kernels), self.reason)
    }
}

impl Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = match self.start {
            Start::Now => "now",
            Start::Held => "held",
            Start::Before => "before",
        };
        let finds = self.finds.iter().map(Find::to_string).collect::<Vec<_>>().join(" ");
        let limits = self.limits.iter().map(Limit::to_string).collect::<Vec<_>>().join("; ");
        let or = |text: String, empty: &str| if text.is_empty() { empty.to_owned() } else { text };
        let (finds, limits) = (or(finds, "silent"), or(limits, "-"));
        write!(f, "{}\t{}\t{start}\t{finds}\t{limits}\t{}", self.name, self.group, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(tier: &str, kernels: &[&str], sometimes: bool) -> Limit {
        let kernels = kernels.iter().map(|series| (*series).to_owned()).collect();
        Limit { tiers: vec![tier.into()], kernels, sometimes, reason: format!("{tier} cannot") }
    }

    fn declared() -> Declared {
        Declared {
            name: "a".into(),
            group: "g".into(),
            start: Start::Held,
            finds: vec![Find::Reader(vec!["open".into(), "read".into()]), Find::Inspection("mem".into())],
            limits: vec![limit("tracepoint", &["5.10"], false), limit("lsm", &[], true)],
            what: "does it".into(),
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let one = declared();
        assert_eq!(Declared::parse(&one.to_string()), Some(one.clone()));
        let innocent = Declared { finds: vec![], limits: vec![], start: Start::Now, ..one };
        assert_eq!(Declared::parse(&innocent.to_string()), Some(innocent));
        assert_eq!(Declared::parse("a\tg\tnow"), None);
    }

    #[test]
    fn a_limit_holds_where_it_is_named_only() {
        let one = declared();
        let reason = |tier, series| one.limit(tier, series).map(|limit| limit.reason.as_str());
        assert_eq!(reason("tracepoint", "5.10"), Some("tracepoint cannot"));
        assert_eq!(reason("tracepoint", "6.1"), None);
        assert_eq!(reason("lsm", "6.1"), Some("lsm cannot"));
        assert_eq!(reason("fentry", "5.10"), None);
    }
}
