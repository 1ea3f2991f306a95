//! Bounds that hold on both sides of the ring buffers.

/// Size in bytes of the ring that carries hits (opens of watched files). Power of two, a multiple of the page size.
pub const HITS_RING_BYTES: u32 = 4 << 20;

/// Size in bytes of the ring that carries process life (fork, exec, exit). Power of two.
pub const LIFE_RING_BYTES: u32 = 8 << 20;

/// Size in bytes of the ring that carries what carriers write and where they connect to. Power of two.
pub const TRAIL_RING_BYTES: u32 = 4 << 20;

/// Longest file name (one path component) that Linux allows, in bytes (`NAME_MAX`).
pub const NAME_BYTES: usize = 255;

/// Room for one path on the wire: components, leaf first, each closed by a NUL byte.
pub const PATH_BYTES: usize = 2048;

/// Most components and mount crossings followed for one path; deeper paths arrive flagged as truncated.
pub const PATH_STEPS: usize = 48;

/// Room for the command line in an exec record, in bytes.
pub const ARGS_BYTES: usize = 2048;

/// Room for the environment in an exec record, in bytes. It never leaves the decoder (see `ingest::decode`).
pub const ENV_BYTES: usize = 4096;

/// Room for the name a program was started by (`linux_binprm.filename`).
pub const SCRIPT_BYTES: usize = 512;

/// Longest name that a watch key can hold, in bytes. Longer catalogue names are refused by `catalogue check`.
pub const KEY_NAME_BYTES: usize = 63;

/// Bytes in the table that answers "could this inode be watched?". Power of two.
pub const FILE_SLOTS: usize = 1 << 16;

/// Bytes in the table that answers "could these names be watched?". Power of two.
pub const NAME_SLOTS: usize = 1 << 15;

/// Bytes in the table that answers "could a text end in this name?". Power of two.
pub const TAIL_SLOTS: usize = 1 << 12;

/// Most file and directory ids that can be watched at a time.
pub const MAX_FILE_IDS: u32 = 65_536;

/// Most name keys.
pub const MAX_NAME_KEYS: u32 = 16_384;

/// Most processes that are marked as holders of a watched descriptor.
pub const MAX_HOLDERS: u32 = 16_384;

/// Most processes that are known as carriers; the least used goes first.
pub const MAX_CARRIERS: u32 = 16_384;

/// Most bytes of a name server's answer that are told: what a datagram of them holds without extensions (RFC 1035, 4.2.1).
pub const ANSWER_BYTES: usize = 512;

/// How long, in nanoseconds, the same program of the same process may send to the same address without another record.
pub const SENDS_NS: u64 = 10_000_000_000;

/// Messages of one `sendmmsg` whose addresses are looked at.
pub const SENT_MESSAGES: u32 = 4;

/// How long a process counts as a carrier after a read, in nanoseconds: ten minutes.
pub const CARRIES_NS: u64 = 600 * 1_000_000_000;

/// How soon after a read another one makes a process a carrier anew, in nanoseconds.
pub const CARRIES_ANEW_NS: u64 = 1_000_000_000;

/// Processes that are asked whether they are carriers: the one that acts and those above it.
pub const CARRIER_DEPTH: u32 = 4;

/// Descriptors of a carrier that are looked at for files open for writing.
pub const CARRIER_DESCRIPTORS: u32 = 64;

/// Descriptors of a carrier that are looked at for pipes: its output, and what `>(...)` of a shell puts beside it.
pub const CARRIER_PIPES: u32 = 8;

/// Most (process, file) pairs remembered so that the same access is not told again and again; the least used goes first.
pub const MAX_SEEN: u32 = 32_768;

/// How long, in nanoseconds, the same program of the same process may open the same file without another record.
pub const REPEAT_NS: u64 = 100_000_000;

/// Descriptors looked at when a program starts in a process that holds a watched file. The rest is counted as not looked
/// at.
pub const EXEC_DESCRIPTORS: u32 = 1024;

/// Descriptors of one control message that are looked at; a process can send up to 253 (`SCM_MAX_FD`, include/net/scm.h).
pub const SCM_DESCRIPTORS: u32 = 64;

/// Most network addresses that are watched.
pub const MAX_ADDRESSES: u32 = 64;

/// Room for a symbolic link's text or a mount's source as the process gave it.
pub const TEXT_BYTES: usize = 512;

/// A lane is a CPU << `LANE_SHIFT` | the number of the buffer there.
pub const LANE_SHIFT: u32 = 2;
