//! Capabilities: which ones stay, and why.

use std::io;

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use super::{Outcome, perf};

/// A capability that a running agent has.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Which.
    pub set: CapabilitySet,
    /// As capabilities(7) calls it.
    pub name: &'static str,
    /// What would not work without it.
    pub why: &'static str,
}

/// Those that stay on every kernel.
pub const KEPT: [Kept; 4] = [
    Kept {
        set: CapabilitySet::BPF,
        name: "CAP_BPF",
        why: "watch keys are put into kernel maps all the time; programs that come and go are loaded anew before Linux 5.13",
    },
    Kept {
        set: CapabilitySet::PERFMON,
        name: "CAP_PERFMON",
        why: "hooks on reads and closes are attached while somebody holds a store or carries a token, and taken away after",
    },
    Kept {
        set: CapabilitySet::SYS_PTRACE,
        name: "CAP_SYS_PTRACE",
        why: "environment, executable, descriptors and root of other users' processes are read in /proc; nothing is traced",
    },
    Kept {
        set: CapabilitySet::DAC_READ_SEARCH,
        name: "CAP_DAC_READ_SEARCH",
        why: "stores, and files that may hold a copy of their tokens, are readable for their user only",
    },
];

/// Stays where `CAP_PERFMON` is not enough to attach to an event: some distributions' kernels ask for this one, where
/// `kernel.perf_event_paranoid` is above 2 (a patch of Debian and Ubuntu).
pub const FOR_EVENTS: Kept = Kept {
    set: CapabilitySet::SYS_ADMIN,
    name: "CAP_SYS_ADMIN",
    why: "only where the kernel asks for it to attach to an event although CAP_PERFMON is there, which is tried",
};

/// Gives up the others: effective, permitted, inheritable, ambient, and from the bounding set. No program that this thread
/// could start would have any, also as root.
///
/// # Errors
/// When the kernel refuses to take away those that are in force.
pub fn give_up() -> io::Result<Outcome> {
    let had = capabilities(None)?;
    let mut kept = KEPT.iter().fold(CapabilitySet::empty(), |all, kept| all | kept.set) & had.permitted;
    // Asked for while the rest is still permitted.
    let trial = CapabilitySets { effective: kept, permitted: had.permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, trial)?;
    if had.permitted.contains(FOR_EVENTS.set) && !perf::can_attach() {
        kept |= FOR_EVENTS.set;
    }
    set_capabilities(None, CapabilitySets { effective: had.effective, ..trial })?;
    let bounded = bound(kept);
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    let names: Vec<&str> =
        KEPT.iter().chain([&FOR_EVENTS]).filter(|it| kept.contains(it.set)).map(|it| it.name).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Ok(match bounded {
        Ok(()) => Outcome::Done(names),
        // Started without CAP_SETPCAP, so not as root.
        Err(error) => Outcome::Done(format!("{names}; the bounding set stays as it was ({error})")),
    })
}

/// Takes all others from the bounding and ambient sets, for good.
fn bound(kept: CapabilitySet) -> io::Result<()> {
    // A kernel without ambient capabilities has none to clear.
    let _ = clear_ambient_capability_set();
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if kept.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Behind the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let none_for_root = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    Ok(set_capabilities_secure_bits(none_for_root)?)
}

/// Names of the capabilities in a mask such as `/proc/PID/status` shows; those that have no business with the agent as numbers.
#[must_use]
pub fn names(mask: u64) -> Vec<String> {
    let known = |bit: u32| {
        KEPT.iter().chain([&FOR_EVENTS]).find(|kept| kept.set.bits() == 1 << bit).map(|kept| kept.name.to_owned())
    };
    let bits = (0..u64::BITS).filter(|bit| mask & (1 << bit) != 0);
    bits.map(|bit| known(bit).unwrap_or_else(|| format!("capability {bit}"))).collect()
}

/// Those of a mask that a running agent does not keep.
#[must_use]
pub fn beyond(mask: u64) -> u64 {
    KEPT.iter().chain([&FOR_EVENTS]).fold(mask, |left, kept| left & !kept.set.bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_told_by_name() {
        assert_eq!(names(1 << 39 | 1 << 2), ["CAP_DAC_READ_SEARCH", "CAP_BPF"]);
        assert_eq!(names(1 << 16), ["capability 16"]);
        assert_eq!(beyond(1 << 39 | 1 << 16), 1 << 16);
    }
}
