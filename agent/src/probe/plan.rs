//! Facts about the kernel -> which hooks to use. Pure.

use crate::{
    detect::access::Tier,
    kernel::facts::{Facts, OPENING_CALLS},
};

/// One place in the kernel where one of our programs is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// A scheduler tracepoint with typed arguments.
    Life {
        /// The tracepoint.
        event: &'static str,
        /// The program in our object.
        program: &'static str,
    },
    /// Entry of `security_file_open`.
    FileOpen,
    /// Exit of a system call that opens.
    Exit {
        /// The system call.
        call: &'static str,
        /// The program in our object.
        program: &'static str,
    },
}

impl Hook {
    /// Name of the program in our object; also the label of its metric.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Life { program, .. } | Self::Exit { program, .. } => program,
            Self::FileOpen => "file_open",
        }
    }
}

/// Process life, the same on every tier.
pub const LIFE: [Hook; 3] = [
    Hook::Life { event: "sched_process_fork", program: "process_fork" },
    Hook::Life { event: "sched_process_exec", program: "process_exec" },
    Hook::Life { event: "sched_process_exit", program: "process_exit" },
];

/// What to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The tier that the hooks make up.
    pub tier: Tier,
    /// In the order of attaching: process life first, so that no hit lacks its lineage.
    pub hooks: Vec<Hook>,
    /// Why no better tier was chosen.
    pub reasons: Vec<String>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The kernel does not describe its types.
    #[error("this kernel cannot be watched: {0}")]
    NoBtf(String),
    /// We may not load programs.
    #[error("not allowed to load kernel programs: {0}")]
    NoRights(String),
    /// The tier that was asked for does not work here.
    #[error("tier `{tier}` was asked for but does not work on this kernel: {reason}")]
    Unavailable {
        /// The tier.
        tier: &'static str,
        /// Why not.
        reason: String,
    },
    /// No tier works.
    #[error("no tier works on this kernel: {}", .0.join("; "))]
    Nothing(Vec<String>),
}

/// Chooses the best tier that works, or the one asked for.
///
/// # Errors
///
/// When none works, or the one asked for does not.
pub fn plan(facts: &Facts, wanted: Option<Tier>) -> Result<Plan, PlanError> {
    if let crate::kernel::facts::Answer::No(reason) = &facts.rights {
        return Err(PlanError::NoRights(reason.clone()));
    }
    if let crate::kernel::facts::Answer::No(reason) = &facts.btf {
        return Err(PlanError::NoBtf(reason.clone()));
    }
    let candidates = match wanted {
        Some(tier) => vec![tier],
        None => vec![Tier::Fentry, Tier::Tracepoint],
    };
    let mut reasons = Vec::new();
    for tier in candidates {
        match hooks(facts, tier) {
            Ok(opens) => return Ok(Plan { tier, hooks: LIFE.into_iter().chain(opens).collect(), reasons }),
            Err(reason) if wanted.is_some() => return Err(PlanError::Unavailable { tier: tier.name(), reason }),
            Err(reason) => reasons.push(format!("{}: {reason}", tier.name())),
        }
    }
    Err(PlanError::Nothing(reasons))
}

fn hooks(facts: &Facts, tier: Tier) -> Result<Vec<Hook>, String> {
    use crate::kernel::facts::Answer;
    match tier {
        Tier::Lsm => Err("this version has no `lsm` tier yet".into()),
        Tier::Fentry => match &facts.fentry {
            Answer::Yes => Ok(vec![Hook::FileOpen]),
            Answer::No(reason) => Err(reason.clone()),
        },
        Tier::Tracepoint => {
            // `openat` is what libc uses for nearly every open: without it the tier would be a pretence.
            if let Some(Answer::No(reason)) = facts.exits.get("openat") {
                return Err(format!("no exit event of openat: {reason}"));
            }
            let found = OPENING_CALLS.into_iter().filter(|call| facts.exits.get(call).is_some_and(Answer::yes));
            Ok(found.map(|call| Hook::Exit { call, program: exit_program(call) }).collect())
        }
    }
}

fn exit_program(call: &str) -> &'static str {
    match call {
        "open" => "exit_open",
        "openat2" => "exit_openat2",
        "creat" => "exit_creat",
        "open_by_handle_at" => "exit_open_by_handle",
        _ => "exit_openat",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::facts::Answer;

    fn facts() -> Facts {
        Facts {
            release: "6.12".into(),
            btf: Answer::Yes,
            rights: Answer::Yes,
            lsm: None,
            fentry: Answer::Yes,
            exits: OPENING_CALLS.map(|call| (call, Answer::Yes)).into_iter().collect(),
        }
    }

    fn no() -> Answer {
        Answer::No("no".into())
    }

    type Expected = Result<(Tier, Vec<&'static str>), PlanError>;

    #[test]
    fn table() {
        let with = |change: fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            facts
        };
        let programs = |facts: &Facts, wanted| {
            plan(facts, wanted).map(|plan| (plan.tier, plan.hooks[3..].iter().map(|hook| hook.program()).collect()))
        };
        let all = vec!["exit_open", "exit_openat", "exit_openat2", "exit_creat", "exit_open_by_handle"];
        let cases: Vec<(Facts, Option<Tier>, Expected)> = vec![
            (facts(), None, Ok((Tier::Fentry, vec!["file_open"]))),
            (facts(), Some(Tier::Tracepoint), Ok((Tier::Tracepoint, all.clone()))),
            (with(|facts| facts.fentry = no()), None, Ok((Tier::Tracepoint, all))),
            (
                with(|facts| {
                    facts.fentry = no();
                    facts.exits.extend([("open", no()), ("creat", no())]);
                }),
                None,
                Ok((Tier::Tracepoint, vec!["exit_openat", "exit_openat2", "exit_open_by_handle"])),
            ),
            (
                with(|facts| facts.fentry = no()),
                Some(Tier::Fentry),
                Err(PlanError::Unavailable { tier: "fentry", reason: "no".into() }),
            ),
            (
                with(|facts| {
                    facts.fentry = no();
                    facts.exits.insert("openat", no());
                }),
                None,
                Err(PlanError::Nothing(vec!["fentry: no".into(), "tracepoint: no exit event of openat: no".into()])),
            ),
            (with(|facts| facts.btf = no()), None, Err(PlanError::NoBtf("no".into()))),
            (with(|facts| facts.rights = no()), None, Err(PlanError::NoRights("no".into()))),
        ];
        for (facts, wanted, expected) in cases {
            assert_eq!(programs(&facts, wanted), expected, "{facts:?} {wanted:?}");
        }
    }

    #[test]
    fn life_comes_first() {
        let plan = plan(&facts(), None).unwrap();
        assert_eq!(plan.hooks[..3], LIFE);
    }
}
