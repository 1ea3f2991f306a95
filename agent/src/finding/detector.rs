//! The detectors: their ids, which are a contract, and what is to be said of each. The pages in `docs/findings` and
//! `tokenhound explain` come from this table.

use std::{fmt, str::FromStr};

use super::standards::{self as std_, Entry, Technique};

/// What is known of a detector without a finding at hand.
#[derive(Debug)]
pub struct Meta {
    /// Id in output, options and metrics.
    pub name: &'static str,
    /// A few words.
    pub title: &'static str,
    /// When it fires and what that means.
    pub meaning: &'static str,
    /// How severity is chosen, and what does not fire.
    pub severity: &'static str,
    /// What a person should do.
    pub remediation: &'static [&'static str],
    /// MITRE ATT&CK techniques that a finding may show.
    pub attacks: &'static [Technique],
    /// OWASP Non-Human Identities Top 10 (2025).
    pub nhi: &'static [Entry],
    /// NIST Cybersecurity Framework 2.0.
    pub csf: &'static [Entry],
    /// Is there code behind it in this version?
    pub built: bool,
}

macro_rules! detectors {
    ($($(#[$doc:meta])* $variant:ident: $meta:expr;)+) => {
        /// A detector. The names are part of the output.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DetectorId {
            $($(#[$doc])* $variant,)+
        }

        impl DetectorId {
            /// Every detector, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What is to be said of it.
            #[must_use]
            pub fn meta(self) -> &'static Meta {
                match self {
                    $(Self::$variant => {
                        const META: Meta = $meta;
                        &META
                    })+
                }
            }
        }
    };
}

detectors! {
    /// A store was read by a reader that nothing expects.
    UnexpectedReader: Meta {
        name: "unexpected-reader",
        title: "A token was read by a program it does not belong to",
        meaning: "A store was opened for reading by a reader that neither the catalogue nor the policy expects. Whoever reads a bearer token can act as its owner until it is revoked: one read is enough. The reader is judged by its executable file, and for an interpreter by its script; never by a process name. A file that several stores share is in order when one of them expects the reader.",
        severity: "high for a tier 1 store, medium for others; for a package script or an AI agent high at least. A person who looks at their own token in their own terminal is informational, and so is a file that holds a secret only at times. What hides (code from a command line, a descriptor that was passed on, a program without a name on disk) counts for more. Opens that can only write are no reads. The same process reading the same store again within 60 seconds is counted, not reported again. docs/design/severity.md has the tables.",
        remediation: &[
            "Find out what the reader is and who started it: the lineage names every program above it.",
            "If it had no business there, treat the token as stolen: revoke it, then log in again.",
            "If it is in order, add a policy exception for this store and this reader.",
        ],
        attacks: &[std_::CREDENTIALS_IN_FILES, std_::STEAL_ACCESS_TOKEN, std_::PRIVATE_KEYS, std_::STEAL_COOKIE, std_::PASSWORD_STORES],
        nhi: &[std_::NHI_LEAKAGE, std_::NHI_THIRD_PARTY],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// One lineage touches several store families.
    CredentialSweep: Meta {
        name: "credential-sweep",
        title: "One lineage swept up several tokens",
        meaning: "Within 60 seconds, processes under one common ancestor made unexpected reads in three or more store families. No tool needs AWS, npm and SSH credentials at once: this is how stealers behave. Reads are counted for every ancestor of the reader, because a sweep may use a new process for each file; service managers, login daemons and container runtimes, under which everything runs, are left out.",
        severity: "critical when a tier 1 store is among them, high otherwise; low for a person who looks through their own files at the prompt of their own terminal. Reads by expected readers and those that policy tolerates do not count. Reported once for a sweep; the nearest common ancestor is named.",
        remediation: &[
            "Stop the common ancestor and keep its files for analysis.",
            "Treat every listed token as stolen: revoke them all, those of tier 1 first.",
            "Look for what started it: a package's install script, an editor extension, a downloaded script.",
        ],
        attacks: &[std_::CREDENTIALS_IN_FILES, std_::AUTOMATED_COLLECTION, std_::STEAL_ACCESS_TOKEN, std_::PRIVATE_KEYS],
        nhi: &[std_::NHI_LEAKAGE, std_::NHI_THIRD_PARTY],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// A process reads another's environment or memory.
    ProcessInspection: Meta {
        name: "process-inspection",
        title: "A process read another one's environment or memory",
        meaning: "A process opened environ or mem of another process in procfs, by whatever path. Tokens that are handed over in the environment, and those that a program holds in memory, can be taken this way without touching a file. `ps` opens every environ on each call; it is tolerated unless its arguments ask to show the environment. A few debuggers and crash handlers are tolerated, each by its path in a place that the user cannot write.",
        severity: "environ: high. mem: high, critical when the process belongs to another user. A debugger typed at a prompt is informational. A process reading environ of its own child is no finding: it made that environment. Several targets by one reader are one finding.",
        remediation: &[
            "Find out what the reader is and who started it.",
            "Replace every secret that the inspected processes hold: those in their environment first.",
            "Hand secrets over in files or descriptors instead of the environment; set kernel.yama.ptrace_scope to 1 or more.",
        ],
        attacks: &[std_::PROC_FILESYSTEM],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// A token is found in another file.
    TokenCopied: Meta {
        name: "token-copied",
        title: "A token was copied to another place",
        meaning: "A token was found in a file that is not its store: a script, a dotfile, a shell history, a log, a notebook, a repository, an archive. `tokenhound run` looks into every file that a process writes which has read a store or was handed what such a process wrote, into histories and logs whoever writes them, and tells a copy only where the bytes of the token are really there: compared by a keyed hash, as it is or encoded (base64, also twice, hex, URL, JSON, UTF-16), in gzip, zlib, zip and tar as well. `tokenhound audit` looks once, at everything; it also tells tokens of no store by their documented shape (a checksum where the vendor documents one, else length, alphabet and randomness), a JSON web token or a private key by reading it. docs/design/copies.md says what is looked into, and when.",
        severity: "Told by `run`: by where the copy lies (high for a script, a CI definition, a history, a log, a notebook, a repository and its work tree, a container, a shared directory, a removable medium; medium for a dotfile, `.env`, an archive, a backup, a directory for temporary files and anything else), high where everybody may read it or git tracks it, and high at least for a package script or an AI agent. One step less for a person at the prompt of their own terminal; informational for what their editor keeps beside the store. Nothing for a tool that writes its own store and what lies beside it, and for what a policy exception covers. The same token in the same file is told once, again when it was gone in between. Told by `audit`: high for the token of a store, and for any that git tracks; medium for a shape, and inside a package; low for shapes inside a package and for key files that only their owner may read; informational for what has ended or needs a passphrase.",
        remediation: &[
            "Take the token back at its issuer: whoever read the copy has it.",
            "Remove the copy; from a repository it does not go away, its history keeps it.",
            "Let programs fetch the token from its store, from standard input or from a secrets manager.",
        ],
        attacks: &[std_::CREDENTIALS_IN_FILES, std_::SHELL_HISTORY],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// A store meets a container.
    ContainerExposure: Meta {
        name: "container-exposure",
        title: "A token is exposed to a container",
        meaning: "A store of the host is mounted into a container, by itself or in a directory (seen when the first program of the container starts, before anything is read); a process in a container has read it; or a token that lies in a store was found in an image: in a file of a layer, in a variable, label or build argument of its configuration; in the cache of builds, in what a container has written, or in a volume. Every program of the container, and whoever gets the image, then has the token: containers run code of others, and images are pushed, cached and kept. Mounts are told by the kernel, so for every runtime; names come from the files of Docker, podman, containerd, CRI-O and Kubernetes (docs/containers.md).",
        severity: "Mounted: medium for a tier 1 store, low for others, low where a person asked for it at the prompt of their own terminal. Read: high for a tier 1 store, medium for others; low by the store's own kind of tool. In an image: high. Written by a container, in a volume or in the cache of builds: medium. High at least where a package script or an AI agent is behind it. A container tells a mount once, and the read of a store once by expected readers and once by others. A policy exception that covers the first process of the container at the store covers its mount (`container_name` and `container_image` in `when`). A container's own files are no stores of the host and make none of these.",
        remediation: &[
            "Take the mount out, or mount only the one file that is needed, read only; give the container a token of its own that ends by itself.",
            "In builds hand secrets over with `RUN --mount=type=secret` (BuildKit), which leaves nothing in a layer; `ENV`, `ARG` and `COPY` stay in the image, also where a later step deletes them. Name `.aws`, `.npmrc`, `.env` in `.dockerignore`. `docker builder prune` empties the cache of builds.",
            "If the token is in an image or was read: revoke it, rebuild without it, and remove the old image from this machine and from every registry it was pushed to.",
            "For registries use a credential helper (`credsStore` in Docker's config.json) instead of a mounted config.json.",
            "If it is in order (a development container), add a policy exception for this store and this container.",
        ],
        attacks: &[std_::CREDENTIALS_IN_FILES],
        nhi: &[std_::NHI_LEAKAGE, std_::NHI_REUSE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// A token on a command line or in a foreign environment.
    SecretInArguments: Meta {
        name: "secret-in-arguments",
        title: "A token is on a command line",
        meaning: "A program was started with a token on its command line, where every user of the machine can read it (`ps`) and from where it gets into shell histories, audit logs and process accounting; or with one in its environment that it has no business with. A token that lies in a store is recognised by its fingerprint, plain or encoded (base64, hex, URL), in the first 128 KiB of the command line and 256 KiB of the environment (beyond 2 and 4 KiB as long as the program still runs some milliseconds after its start); tokens under 12 characters are not; this needs `tokenhound run`, which knows what lies in stores. On the command line others are recognised by their documented shape (checksum, or a beginning that occurs nowhere else): whether such a token is valid is not known. The argument is replaced before anything else sees it.\n\nWhoever exports a token hands it to all they start, so a token in an environment is a finding for three kinds of programs only: code of a package (`npm install` and the like) and what it starts, tools that an AI agent starts, and programs that lie where nothing is installed (a directory for temporary files, Downloads, memory). A program that the catalogue expects to read the token's store, or a store that names that variable (`env_vars`), is none of them: `gh` with `GH_TOKEN`. The finding says from which process the token was inherited, as far as its lineage was seen to start.",
        severity: "on a command line medium; low where a person typed it at the prompt of their own terminal; high for package scripts and AI agents. Of a token that is only built like one low; medium for package scripts and AI agents; informational where a person typed it. The same token in the same session is told once in 60 seconds. In an environment medium; low for the tools of an AI agent; told once for each package script or agent.",
        remediation: &[
            "Take the token back at its issuer, and log in again: it may stand in histories and logs by now.",
            "Have the program read the token itself, from its store, from standard input or from a file only it can read.",
            "If it is in order, add a policy exception for this store and this reader.",
        ],
        attacks: &[std_::UNSECURED_CREDENTIALS],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// A tool printed its token.
    TokenPrinted: Meta {
        name: "token-printed",
        title: "A tool was made to print its token",
        meaning: "The store's own program was started with a command that prints the token (`gh auth token`, `aws configure export-credentials`, `gcloud auth print-access-token`, `git credential fill` and the like: `prints` in the catalogue), and whoever had it started is not a program that the store expects. No store is opened by a stranger then: this is the way to a token that leaves no trace in the file system. The program is judged by its identity, as readers are; a shell that only carries out one command (`sh -c`) is passed over to whoever started it. Told from the start of the program alone, so it also holds for programs that run for a millisecond.",
        severity: "medium: into a pipe, a socket, a file, or a terminal that is not the controlling one. high at least for a package script or an AI agent, wherever the output goes. informational for a person at their own prompt who hands it on (`gh auth token | ...`), or whose script shows it on the terminal; one step less for editors and for kinds of programs whose libraries do this every day. Nothing for a person who reads it at the prompt of their own terminal, for an output that goes nowhere (/dev/null), and for programs that the store expects (docker asks docker-credential-*, kubectl asks gcloud). The same parent, store, command and kind of output is told once in 60 seconds.",
        remediation: &[
            "Find out who asked: the process above the program that printed.",
            "If it had no business with the token, revoke it and log in again.",
            "If it is in order, add a policy exception for this store with `ancestor:` naming who asks.",
        ],
        attacks: &[std_::STEAL_ACCESS_TOKEN, std_::UNSECURED_CREDENTIALS],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// Use of an agent's socket.
    AgentSocketAccess: Meta {
        name: "agent-socket-access",
        title: "An agent socket or a metadata address was used by an unexpected program",
        meaning: "A program connected to the socket of an agent that keeps keys or tokens (ssh-agent, gpg-agent, the control socket of a keyring, git's credential cache, the sockets that editors forward), or to an address that hands out the machine's or the container's own tokens (169.254.169.254, fd00:ec2::254, 168.63.129.16, 169.254.170.2, 169.254.170.23, fd00:ec2::23), and is none of the programs that the catalogue lists for it. No store is opened: the agent signs, or the address answers, for whoever asks. A socket is known by its file, whatever name leads to it, and is found where variables have moved it (SSH_AUTH_SOCK, GNUPGHOME).",
        severity: "high where few programs belong, medium where many do; one step less for generic programs that are listed (an interpreter with the vendor's library), and for an installed program that a person typed; high at least for a package script or an AI agent, and for code from a command line or an input. The same process at the same store is told once in 60 seconds. Helpers that print a token (docker-credential-*) are told by token-printed. Programs on the D-Bus session bus are not told apart by what they ask: every program of a desktop connects there.",
        remediation: &[
            "Find out what the program is and who started it: the lineage names every program above it.",
            "If it had no business there: take the keys out of the agent (`ssh-add -D`), and treat what they open as entered; for a metadata address replace the role's or the workload's credentials.",
            "For machines in a cloud: demand a token for the metadata service (IMDSv2) and limit its hops to 1.",
            "If it is in order, add a policy exception for this store and this reader.",
        ],
        attacks: &[std_::SSH_HIJACKING, std_::PASSWORD_STORES, std_::STEAL_ACCESS_TOKEN],
        nhi: &[std_::NHI_LEAKAGE, std_::NHI_THIRD_PARTY],
        csf: &[std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// A token lives on without its session.
    TokenOutlivedSession: Meta {
        name: "token-outlived-session",
        title: "A token outlived the session that created it",
        meaning: "A person logged in with a tool in a terminal, which put a token into its store. The session (the oldest process of that lineage that leads a session on a terminal: a login shell, the shell in a window) has ended, the grace is over, and the token is still there and has not ended by itself. Whoever gets at the file acts as that person, although nobody sits there any more. Followed by `tokenhound run` for tokens that were put into their stores while it ran; who did is who had the store open for writing, or, where a temporary file was renamed into place and the tier does not see that, the expected reader of right before.",
        severity: "medium for a tier 1 store; low for others and for tokens that end by themselves; informational for what takes a passphrase as well. Told once for each token. The grace is 12 hours, or what `tokens` of the policy say (`session_grace`).",
        remediation: &[
            "Log out with the tool when the work is done: that removes the token here, and often at its issuer.",
            "Use a login that ends by itself (single sign-on, short-lived tokens), or a keyring.",
            "If it is meant to stay, say so in the policy: `tokens` with a longer `session_grace` for this store.",
        ],
        attacks: &[std_::VALID_ACCOUNTS],
        nhi: &[std_::NHI_OFFBOARDING, std_::NHI_LONG_LIVED],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// A person's token in automation.
    TokenReusedByAutomation: Meta {
        name: "token-reused-by-automation",
        title: "A person's token is used by automation",
        meaning: "A token was put into its store by a person at a terminal, and is now read on behalf of automation (cron, a timer, a service), a CI job, a package script or an AI agent. The reader may be the very tool that the token is for: what was approved once by a person then acts for that person unasked, with all that they may do, and ends when they leave. Each program of each kind of actor is told once for a token.",
        severity: "medium for automation and CI jobs; low for an AI agent that uses the store's own tool; high for package scripts, and where the reader is not expected. Reads that the policy tolerates are not told.",
        remediation: &[
            "Give the automation a token of its own: a service account with the least rights, which ends by itself.",
            "Then log out here, so that the person's token is of no use to it.",
            "If it is in order, add a policy exception for this store and this reader.",
        ],
        attacks: &[std_::VALID_ACCOUNTS, std_::USE_ACCESS_TOKEN],
        nhi: &[std_::NHI_REUSE, std_::NHI_HUMAN_USE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// An old token.
    StaleToken: Meta {
        name: "stale-token",
        title: "A token is older than it should be",
        meaning: "A token in a store is older than the policy allows: since it was issued, where the token or the store says when, otherwise since the file was written. The longer a token lives, the more backups, logs and machines it may have got to. Tokens that have ended by themselves, and keys that take a passphrase as well, are left out. `tokenhound run` tells each token once, `tokenhound audit` each time.",
        severity: "low; informational for tokens that end by themselves. The age is 90 days, or what `tokens` of the policy say (`stale_after`); for private keys four times that.",
        remediation: &[
            "Renew it: log out and in again, or make a new key and take the old one back at its issuer.",
            "Where the tool offers logins that end by themselves, use them.",
            "If it is meant to be that old, say so in the policy: `tokens` with a longer `stale_after` for this store.",
        ],
        attacks: &[std_::VALID_ACCOUNTS],
        nhi: &[std_::NHI_LONG_LIVED],
        csf: &[std_::CSF_MANAGED],
        built: true,
    };
    /// A store that others can read.
    StoreExposed: Meta {
        name: "store-exposed",
        title: "A store can be read by others",
        meaning: "Others than its owner can get at a file that holds a token: by its permissions, owner or access control list, by another name (hard link, a link that leaves the home), because a directory above it can be written or belongs to somebody else, because it lies on a network file system, in a directory that is carried to other machines, in a git repository, in a layer of a container or in the directory that an image is built from. Files without a token are left out. `tokenhound run` tells it when it becomes so, and once at its start; `tokenhound audit` each time.",
        severity: "that of the worst way: high where every user can read, write or replace the file, where it is synced, tracked by git or in a layer; medium where a group, an access list or another name leads to it; low where a directory above still keeps others out.",
        remediation: &[
            "If others could have read it, treat the token as known: revoke it, then log in again.",
        ],
        attacks: &[std_::CREDENTIALS_IN_FILES],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// An expected reader is another file than before.
    ReaderChanged: Meta {
        name: "reader-changed",
        title: "An expected reader is not the program it was",
        meaning: "A tool that lies where its user can write (`~/.local/bin/aws`, what a version manager installs) is accepted as a reader at its first read, and what its executable or script holds is remembered (`tokenhound readers`). Now a file of that name with another content read a store. Either the tool was updated, or somebody who runs as that user replaced it: then the token is theirs, and no stranger was seen. Programs of packages are compared with what their package brought instead, and programs that their user cannot write are not remembered.",
        severity: "medium, high at least for a package script or an AI agent. Told once for each new content.",
        remediation: &[
            "Find out whether the tool was updated at that time, and by what.",
            "If it was not, treat the token as stolen: revoke it, reinstall the tool, then log in again.",
            "Nothing else is to be done after an update: the new content is remembered.",
        ],
        attacks: &[std_::HOST_BINARY, std_::CREDENTIALS_IN_FILES],
        nhi: &[std_::NHI_LEAKAGE, std_::NHI_THIRD_PARTY],
        csf: &[std_::CSF_MANAGED, std_::CSF_MONITORED],
        built: true,
    };
    /// Foreign code in an expected reader.
    InjectedReader: Meta {
        name: "injected-reader",
        title: "An expected reader runs foreign code",
        meaning: "A program that a store belongs to read it, but was told to load code that is not its own: by LD_PRELOAD, LD_AUDIT or LD_LIBRARY_PATH (dynamically linked programs that run with their user's rights), NODE_OPTIONS, NODE_PATH, BUN_OPTIONS, PYTHONPATH, PYTHONHOME, PYTHONUSERBASE, PERL5OPT, PERL5LIB, RUBYOPT, RUBYLIB, JAVA_TOOL_OPTIONS, _JAVA_OPTIONS, JDK_JAVA_OPTIONS, PHPRC, PHP_INI_SCAN_DIR, BASH_ENV, ZDOTDIR, git's variables for helper programs and settings; or another process has attached to it with ptrace. Each variable counts only for the programs that obey it. Such code gets the token without opening a file. Code in a directory of the system that the reader's user cannot write is named in findings and makes none, and so are options without code (--max-old-space-size).",
        severity: "high: code in a temporary directory, code that is gone, code in the variable itself, a tracer, and code in the user's own files that was changed within a day. medium: older code in the user's own files that runs in the reader, also sitecustomize.py in a PYTHONPATH. low: directories where the reader looks for modules (PYTHONPATH, PERL5LIB, RUBYLIB), helper programs of git in a temporary directory. informational: what known developer tools load (the debugger of Visual Studio Code, Yarn Plug'n'Play, bundler), and a debugger that was attached from a prompt. For a package script code that runs in the reader is high at least. The same code in the same reader of the same stores is told once an hour. A policy exception that covers the reader at the store covers this too.",
        remediation: &[
            "Look at the named file or directory and at who set the variable: the lineage and the origin in the evidence name the process.",
            "If it is not yours, treat the token as stolen: revoke it, remove the variable and the file, then log in again.",
            "If it is in order, add a policy exception for this store and this reader.",
        ],
        attacks: &[std_::LINKER_HIJACKING, std_::CREDENTIALS_IN_FILES],
        nhi: &[std_::NHI_LEAKAGE, std_::NHI_THIRD_PARTY],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// Connection after an unexpected read.
    TokenEgress: Meta {
        name: "token-egress",
        title: "A lineage connected out after an unexpected read",
        meaning: "A store was read by a program that it does not belong to (`unexpected-reader`), or its own tool was made to print the token (`token-printed`), and within ten minutes the same lineage connected to another machine: the reader, what it started, or what the process that started the reader starts (`cat credentials | curl`). The kernel follows processes that carry what was read, and tells where they connect to, and where they send to without a connection; what they send is not looked at. A connection by an expected reader of a store is its own business, and a person who looks at their own token makes no finding. The name of the address is told, and where it was found: a name server answered the lineage with it (`dns`), or `/etc/hosts` has one (`hosts`). Of an answer only the name and its addresses are kept, and whoever runs the name server decides what they are; what the program was told to connect to stands in its arguments. `tokenhound trace` shows where a token's carriers connected to.",
        severity: "one step above the read or the print: high to critical. One destination (address and port) of one read is told once, at most 16 of them. Loopback is no egress, nor is port 53: whoever connects by name asks there first.",
        remediation: &[
            "Revoke the token first: it may be elsewhere by now.",
            "Find out whose address it is, and what else connected there; the finding about the read names the reader.",
            "If it is in order, add a policy exception for the store and the reader: then neither is told.",
        ],
        attacks: &[std_::EXFILTRATION_WEB],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// Copies survive revocation.
    RevocationIncomplete: Meta {
        name: "revocation-incomplete",
        title: "Copies of a token remain after it left its store",
        meaning: "A token has left its store, by a logout or because another took its place, and files in which it was found before (`token-copied`) are still there. A logout that only removes the file revokes nothing, and a copy that nobody remembers is as good as the token. A file counts as still there as long as it is the same file with the same size and time of change, or a new look finds the token in it; of one that was changed and could not be looked into, that is said. Processes that got at the token and still run are named as well. Only tokens of which a copy is known are told; not those that have ended by themselves, nor what ends within a day or so and was replaced by its own tool, as single sign-on does every hour.",
        severity: "high for a tier 1 store; medium for others and for tokens that end by themselves; low for what takes a passphrase as well. Told when what remains is known, again when that changes, and as informational when nothing is left. What remains is looked at every minute.",
        remediation: &[
            "Take the token back at its issuer: that makes every copy worthless, also those that are not known.",
            "Remove the copies; from a repository or an image also out of its history.",
            "`tokenhound revoke STORE` shows what remains and checks until nothing does; `tokenhound trace` who made the copies.",
        ],
        attacks: &[std_::VALID_ACCOUNTS],
        nhi: &[std_::NHI_OFFBOARDING],
        csf: &[std_::CSF_MANAGED, std_::CSF_PERMISSIONS],
        built: true,
    };
    /// A decoy was read.
    DecoyRead: Meta {
        name: "decoy-read",
        title: "A decoy was read",
        meaning: "A file that `tokenhound decoy plant` made was opened for reading, by whatever name. It looks like a store and holds a made-up token that nobody issued; no tool knows its place. Whoever reads it looks through files for tokens: a stealer, a search through the whole home, an AI agent that was told to look, a backup.",
        severity: "critical, whoever reads it and however. Backup and indexing programs that read everything are named in a policy exception (`store: 'decoy-*'`, `reader: ...`) and then make no finding. A decoy counts for `credential-sweep` as what it looks like. Opens that can only write are no reads. The same process reading the same decoy again within 60 seconds is counted, not reported again.",
        remediation: &[
            "Find out what the reader is and who started it: the lineage names every program above it.",
            "Assume that it read the real stores of that user too: look for its other findings, and revoke what it could reach.",
            "If it is a backup or an indexer that reads everything, add a policy exception for `decoy-*` and this reader.",
        ],
        attacks: &[std_::CREDENTIALS_IN_FILES, std_::AUTOMATED_COLLECTION],
        nhi: &[std_::NHI_LEAKAGE],
        csf: &[std_::CSF_PERMISSIONS, std_::CSF_MONITORED],
        built: true,
    };
    /// The sensor does not see everything.
    SensorDegraded: Meta {
        name: "sensor-degraded",
        title: "The sensor does not see everything",
        meaning: "Records were lost, a probe is attached but does not deliver, or findings were given up before a sink had them, as there was no more room. For that time silence proves nothing. Loss is counted where it happens, by reason, in the kernel and in the agent.",
        severity: "high when reads of stores may have been missed (records of hits lost, a probe not live) or a sink was not told (findings given up), medium when only lineage may be incomplete. Each reason is reported at most once a minute, with the numbers so far.",
        remediation: &[
            "Run `tokenhound doctor`: it tests every probe and names the remedy.",
            "If findings were given up, look why the sink fails (`tokenhound doctor`) or why the disk is full, and at what is kept of them: `tokenhound incidents`.",
            "If records were lost under load, find the process that makes the storm; the life and hit rings are separate for this reason.",
            "Treat the interval as unobserved: check the stores' access times and run `tokenhound audit`.",
        ],
        attacks: &[std_::IMPAIR_DEFENSES],
        nhi: &[],
        csf: &[std_::CSF_MONITORED],
        built: true,
    };
}

impl DetectorId {
    /// As it is written in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.meta().name
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A word that names no detector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no detector `{name}`; the detectors are: {known}")]
pub struct UnknownDetector {
    /// The word.
    pub name: String,
    /// All ids, for the message.
    pub known: String,
}

impl FromStr for DetectorId {
    type Err = UnknownDetector;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|id| id.name() == name).ok_or_else(|| UnknownDetector {
            name: super::visible::text(name),
            known: Self::ALL.iter().map(|id| id.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_contract() {
        let names: Vec<_> = DetectorId::ALL.iter().map(|id| id.name()).collect();
        assert_eq!(
            names,
            [
                "unexpected-reader",
                "credential-sweep",
                "process-inspection",
                "token-copied",
                "container-exposure",
                "secret-in-arguments",
                "token-printed",
                "agent-socket-access",
                "token-outlived-session",
                "token-reused-by-automation",
                "stale-token",
                "store-exposed",
                "reader-changed",
                "injected-reader",
                "token-egress",
                "revocation-incomplete",
                "decoy-read",
                "sensor-degraded",
            ]
        );
        for id in DetectorId::ALL {
            assert_eq!(id.name().parse(), Ok(*id));
        }
        assert!("sweep".parse::<DetectorId>().unwrap_err().to_string().contains("credential-sweep"));
    }

    #[test]
    fn every_detector_names_its_standards() {
        for id in DetectorId::ALL {
            let meta = id.meta();
            assert!(!meta.attacks.is_empty() && !meta.csf.is_empty(), "{id}");
            if meta.built {
                assert!(!meta.severity.is_empty() && !meta.remediation.is_empty(), "{id}");
            }
        }
    }
}
