//! The public standards that findings speak to. Names and ids are facts of those standards.

/// Release of MITRE ATT&CK that the ids below are taken from.
pub const ATTACK_VERSION: &str = "18";

/// A MITRE ATT&CK tactic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tactic {
    /// `TA0006`.
    pub uid: &'static str,
    /// As ATT&CK calls it.
    pub name: &'static str,
}

/// A MITRE ATT&CK technique or sub-technique, under the tactic it serves here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// `T1552.001`; a sub-technique has a dot.
    pub uid: &'static str,
    /// As ATT&CK calls it (a sub-technique without its parent's name).
    pub name: &'static str,
    /// Name of the parent technique, for sub-techniques.
    pub parent: Option<&'static str>,
    /// The tactic.
    pub tactic: Tactic,
}

impl Technique {
    /// Id of the technique itself, without the sub-technique.
    #[must_use]
    pub fn base(&self) -> &'static str {
        self.uid.split_once('.').map_or(self.uid, |(base, _)| base)
    }
}

const CREDENTIAL_ACCESS: Tactic = Tactic { uid: "TA0006", name: "Credential Access" };
const COLLECTION: Tactic = Tactic { uid: "TA0009", name: "Collection" };
const LATERAL_MOVEMENT: Tactic = Tactic { uid: "TA0008", name: "Lateral Movement" };
const DEFENSE_EVASION: Tactic = Tactic { uid: "TA0005", name: "Defense Evasion" };
const PERSISTENCE: Tactic = Tactic { uid: "TA0003", name: "Persistence" };
const EXFILTRATION: Tactic = Tactic { uid: "TA0010", name: "Exfiltration" };

const fn technique(uid: &'static str, name: &'static str, parent: &'static str, tactic: Tactic) -> Technique {
    Technique { uid, name, parent: Some(parent), tactic }
}

const fn whole(uid: &'static str, name: &'static str, tactic: Tactic) -> Technique {
    Technique { uid, name, parent: None, tactic }
}

/// Credentials In Files.
pub const CREDENTIALS_IN_FILES: Technique =
    technique("T1552.001", "Credentials In Files", "Unsecured Credentials", CREDENTIAL_ACCESS);
/// Shell History.
pub const SHELL_HISTORY: Technique =
    technique("T1552.003", "Shell History", "Unsecured Credentials", CREDENTIAL_ACCESS);
/// Private Keys.
pub const PRIVATE_KEYS: Technique = technique("T1552.004", "Private Keys", "Unsecured Credentials", CREDENTIAL_ACCESS);
/// Unsecured Credentials as a whole.
pub const UNSECURED_CREDENTIALS: Technique = whole("T1552", "Unsecured Credentials", CREDENTIAL_ACCESS);
/// Steal Application Access Token.
pub const STEAL_ACCESS_TOKEN: Technique = whole("T1528", "Steal Application Access Token", CREDENTIAL_ACCESS);
/// Steal Web Session Cookie.
pub const STEAL_COOKIE: Technique = whole("T1539", "Steal Web Session Cookie", CREDENTIAL_ACCESS);
/// Credentials from Password Stores.
pub const PASSWORD_STORES: Technique = whole("T1555", "Credentials from Password Stores", CREDENTIAL_ACCESS);
/// Proc Filesystem.
pub const PROC_FILESYSTEM: Technique =
    technique("T1003.007", "Proc Filesystem", "OS Credential Dumping", CREDENTIAL_ACCESS);
/// /etc/passwd and /etc/shadow.
pub const SHADOW: Technique =
    technique("T1003.008", "/etc/passwd and /etc/shadow", "OS Credential Dumping", CREDENTIAL_ACCESS);
/// Automated Collection.
pub const AUTOMATED_COLLECTION: Technique = whole("T1119", "Automated Collection", COLLECTION);
/// Application Access Token (use of a stolen one).
pub const USE_ACCESS_TOKEN: Technique =
    technique("T1550.001", "Application Access Token", "Use Alternate Authentication Material", LATERAL_MOVEMENT);
/// SSH Hijacking.
pub const SSH_HIJACKING: Technique =
    technique("T1563.001", "SSH Hijacking", "Remote Service Session Hijacking", LATERAL_MOVEMENT);
/// Valid Accounts.
pub const VALID_ACCOUNTS: Technique = whole("T1078", "Valid Accounts", PERSISTENCE);
/// Compromise Host Software Binary.
pub const HOST_BINARY: Technique = whole("T1554", "Compromise Host Software Binary", PERSISTENCE);
/// Dynamic Linker Hijacking.
pub const LINKER_HIJACKING: Technique =
    technique("T1574.006", "Dynamic Linker Hijacking", "Hijack Execution Flow", PERSISTENCE);
/// Exfiltration Over Web Service.
pub const EXFILTRATION_WEB: Technique = whole("T1567", "Exfiltration Over Web Service", EXFILTRATION);
/// Impair Defenses.
pub const IMPAIR_DEFENSES: Technique = whole("T1562", "Impair Defenses", DEFENSE_EVASION);

/// An entry of a numbered list: OWASP Non-Human Identities Top 10 (2025) or NIST CSF 2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `NHI2:2025`, `PR.AA-05`.
    pub uid: &'static str,
    /// What it is about.
    pub name: &'static str,
}

/// OWASP NHI1.
pub const NHI_OFFBOARDING: Entry = Entry { uid: "NHI1:2025", name: "Improper Offboarding" };
/// OWASP NHI2.
pub const NHI_LEAKAGE: Entry = Entry { uid: "NHI2:2025", name: "Secret Leakage" };
/// OWASP NHI3.
pub const NHI_THIRD_PARTY: Entry = Entry { uid: "NHI3:2025", name: "Vulnerable Third-Party NHI" };
/// OWASP NHI7.
pub const NHI_LONG_LIVED: Entry = Entry { uid: "NHI7:2025", name: "Long-Lived Secrets" };
/// OWASP NHI9.
pub const NHI_REUSE: Entry = Entry { uid: "NHI9:2025", name: "NHI Reuse" };
/// OWASP NHI10, read the other way round: a person's identity used by machines.
pub const NHI_HUMAN_USE: Entry = Entry { uid: "NHI10:2025", name: "Human Use of NHI" };

/// NIST PR.AA-01.
pub const CSF_MANAGED: Entry = Entry { uid: "PR.AA-01", name: "identities and credentials are managed" };
/// NIST PR.AA-03.
pub const CSF_AUTHENTICATED: Entry = Entry { uid: "PR.AA-03", name: "users, services and hardware are authenticated" };
/// NIST PR.AA-05.
pub const CSF_PERMISSIONS: Entry = Entry { uid: "PR.AA-05", name: "access permissions follow least privilege" };
/// NIST DE.CM-09.
pub const CSF_MONITORED: Entry =
    Entry { uid: "DE.CM-09", name: "hardware, software, runtime environments and their data are monitored" };

/// NIST AI Risk Management Framework 1.0, subcategories: for findings where an AI agent acts.
pub const AI_RISKS: &[Entry] = &[
    Entry { uid: "MEASURE 2.4", name: "behaviour of AI systems is monitored in production" },
    Entry { uid: "MEASURE 2.7", name: "security and resilience of AI systems are evaluated" },
    Entry { uid: "MANAGE 4.1", name: "deployed AI systems are monitored, with incident response" },
];

/// The technique that taking a secret of this kind (a word of the catalogue) amounts to.
#[must_use]
pub fn of_kind(kind: &str) -> Option<Technique> {
    Some(match kind {
        "private_key" => PRIVATE_KEYS,
        "access_token" | "refresh_token" | "session_token" | "kube_sa_token" => STEAL_ACCESS_TOKEN,
        "session_cookie" => STEAL_COOKIE,
        "encrypted_vault" => PASSWORD_STORES,
        "password_hash" => SHADOW,
        "leak_sink" => SHELL_HISTORY,
        _ => return None,
    })
}
