//! Rules about files (Landlock, Linux 5.13): a thread that is bound by them writes to the agent's own directories and
//! nowhere else, and starts no program. Reading stays free.
//!
//! A thread that is bound cannot look into any process that is not: `/proc/PID/environ`, `exe`, `root` and `fd` are refused
//! (landlock(7), "Ptrace restrictions"). So threads that have to do that, which is most of what the agent is for, are not
//! bound: it is for those that take files and networks: history, sinks, captures and the HTTP endpoint.

use std::{path::PathBuf, sync::OnceLock};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use super::Outcome;

/// Rules of kernels up to this one are used; an older one goes by those that it has.
const NEWEST: ABI = ABI::V4;

/// What threads are bound by. Once for a process.
static RULES: OnceLock<RulesetCreated> = OnceLock::new();

/// Gets the rules ready; nobody is bound by them yet.
pub(super) fn prepare(places: &[PathBuf]) -> Outcome {
    let said = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ");
    match rules(places) {
        Ok(rules) => {
            // Set already only where somebody gives up rights twice, and then the first rules hold.
            let _ = RULES.set(rules);
            match trial() {
                RulesetStatus::NotEnforced => {
                    Outcome::Missing("this kernel has no Landlock, or it is not active".into())
                }
                RulesetStatus::PartiallyEnforced => Outcome::Done(format!("{said} (as far as this kernel's rules go)")),
                RulesetStatus::FullyEnforced => Outcome::Done(said),
            }
        }
        Err(error) => Outcome::Missing(error.to_string()),
    }
}

fn rules(places: &[PathBuf]) -> Result<RulesetCreated, RulesetError> {
    let write = AccessFs::from_write(NEWEST);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write | AccessFs::Execute)?
        .create()?;
    for place in places {
        // One that cannot be opened cannot be written to either; whoever has to says so.
        let Ok(place) = PathFd::new(place) else { continue };
        rules = rules.add_rule(PathBeneath::new(place, write))?;
    }
    Ok(rules)
}

/// How far this kernel goes along, tried on a thread that ends with that.
fn trial() -> RulesetStatus {
    std::thread::spawn(bind).join().unwrap_or(RulesetStatus::NotEnforced)
}

fn bind() -> RulesetStatus {
    let bound = RULES.get().and_then(|rules| rules.try_clone().ok()).map(RulesetCreated::restrict_self);
    match bound {
        Some(Ok(status)) => status.ruleset,
        Some(Err(_)) | None => RulesetStatus::NotEnforced,
    }
}

/// Binds the calling thread, and those that it starts, for good. Without effect where no rights were given up: in `watch`, in
/// tests, and on kernels without Landlock, which was said at the start.
pub fn keep_to_own() {
    if RULES.get().is_some() {
        let _ = bind();
    }
}
