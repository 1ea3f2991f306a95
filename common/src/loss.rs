//! Reasons why a record did not reach the agent. Each has its own per-CPU counter in the kernel.

/// Declares the reasons once: the index of the kernel's counter and the label of the metric.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $index:literal, $label:literal;)+) => {
        /// A reason for loss; the number is the index of its kernel counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct Reason(pub u32);

        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self($index);)+

            /// Every reason with the label its metric carries.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $label)),+];
        }
    };
}

reasons! {
    /// The ring for hits had no room. Each such record is a possible theft not seen.
    HITS_RING_FULL = 0, "hits_ring_full";
    /// The ring for process life had no room; lineage may be incomplete.
    LIFE_RING_FULL = 1, "life_ring_full";
    /// A per-CPU scratch buffer could not be had.
    SCRATCH = 2, "scratch";
    /// The file behind a returned descriptor could not be read from the task (tracepoint tier).
    DESCRIPTOR = 3, "descriptor";
    /// The target process of a procfs object could not be resolved.
    PROC_TARGET = 4, "proc_target";
    /// The name of a file that passed the first filter could not be read; the exact match was skipped.
    NAME = 5, "name";
    /// A process holds a watched file and could not be marked; what its children do with it may be missed.
    HOLDERS = 6, "holders";
    /// A program was started with more descriptors than are looked at; a watched file among the rest is missed.
    DESCRIPTORS = 7, "exec_descriptors";
    /// The ring for what carriers do had no room: a file that they wrote is not looked at, a connection not told.
    TRAIL_RING_FULL = 8, "trail_ring_full";
}

/// Number of counters in the kernel's map.
pub const REASONS: u32 = Reason::ALL.len() as u32;
