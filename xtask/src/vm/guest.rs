//! Boots a guest and reads from its serial line how its steps ended.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cmd::Background;
use crate::vm::Boot;
use crate::vm::kernel::Kernel;

/// How long a guest may take in all. Emulated, it needs 5 to 15 s to boot and runs ten to thirty times slower.
const LIMIT: Duration = Duration::from_secs(25 * 60);
const MEMORY_MIB: u32 = 1536;
/// An oops must end the guest, not be scrolled past.
const KERNEL_LINE: &str = "console=ttyS0 panic=-1 oops=panic loglevel=4 random.trust_cpu=on rdinit=/init";

/// How a guest's processors run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// As fast as they can.
    Fast,
    /// One processor whose clock counts instructions: a nanosecond in the guest is one instruction, however busy the
    /// host is. Caches, mispredictions and traps cost nothing here.
    Counted,
}

impl Machine {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            // One thread for both: with one each, a processor can run into a breakpoint of the kernel's that another has taken
            // out again, and the kernel dies of it (7.2, while hooks on `security_file_permission` come and go).
            Self::Fast => &["-accel", "tcg,thread=single", "-smp", "2"],
            Self::Counted => &["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"],
        }
    }
}

/// Whether `bpf` is among the active security modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// As the kernel was built: Debian's have it since 6.1.
    Default,
    With,
    Without,
}

impl Security {
    /// Names that a kernel does not have are passed over by it.
    fn parameter(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::With => " lsm=landlock,lockdown,yama,apparmor,bpf",
            Self::Without => " lsm=landlock,lockdown,yama,apparmor",
        }
    }

    /// What tells guests of one kernel apart.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::With => "+bpf",
            Self::Without => "-bpf",
        }
    }
}

/// What a guest said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Steps with their exit codes, in the order in which they ended.
    pub steps: Vec<(String, i32)>,
    /// It came to its end by itself.
    pub done: bool,
}

impl Report {
    /// Takes in one line of the serial log.
    fn read(&mut self, line: &str) {
        let mut words = line.trim_end().split(' ');
        if words.next() != Some("GUEST") {
            return;
        }
        match (words.next(), words.next(), words.next()) {
            (Some("end"), Some(name), Some(code)) => {
                self.steps.push((name.to_owned(), code.parse().unwrap_or(-1)));
            }
            (Some("done"), None, None) => self.done = true,
            _ => {}
        }
    }
}

/// Boots the kernel with the file system, hands every line that the guest prints to `line`, keeps all of it in `log`.
pub(super) fn run(
    kernel: &Kernel,
    boot: Boot<'_>,
    initramfs: &Path,
    log: &Path,
    mut line: impl FnMut(&str),
) -> anyhow::Result<Report> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(boot.machine.arguments()).args(["-cpu", "max", "-m", &format!("{MEMORY_MIB}M")]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    qemu.arg("-append").arg(format!("{KERNEL_LINE}{}", boot.security.parameter()));
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());

    let mut file = fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut guest = Background::start(&mut qemu)?;
    let serial = guest.stdout().context("the guest has no serial line")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut serial = BufReader::new(serial);
        let mut bytes = Vec::new();
        while serial.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            if sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });

    let end = Instant::now() + LIMIT;
    let mut report = Report::default();
    while let Ok(text) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        writeln!(file, "{text}")?;
        report.read(&text);
        line(&text);
    }
    guest.stop();
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_each_step_ended_and_whether_the_guest_came_to_its_end() {
        let mut report = Report::default();
        for line in ["GUEST begin doctor", "noise GUEST end x 0", "GUEST end doctor 0", "GUEST end tests 101\r"] {
            report.read(line);
        }
        assert_eq!(report.steps, [("doctor".to_owned(), 0), ("tests".to_owned(), 101)]);
        assert!(!report.done, "a guest that died midway must not count as done");
        report.read("GUEST done");
        assert!(report.done);
    }

    #[test]
    fn a_garbled_exit_code_is_a_failure() {
        let mut report = Report::default();
        report.read("GUEST end doctor 0x[ 12.3] printk");
        assert_eq!(report.steps, [("doctor".to_owned(), -1)]);
    }
}
