//! Options and commands whose next word is a secret.

use super::names::is_secret;

/// One-letter options that mean a secret for some programs only.
struct Short {
    programs: &'static [&'static str],
    option: &'static str,
    /// The value may be the next word.
    separate: bool,
    /// The value may be the rest of this word.
    attached: bool,
    /// Only after one of these words.
    after: &'static [&'static str],
}

const HTTP: &[&str] = &["curl", "curlie", "wget", "wget2", "http", "https", "xh", "xhs", "aria2c"];
const MYSQL: &[&str] = &[
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlimport",
    "mysqlshow",
    "mysqlcheck",
    "mysqlpump",
    "mysqlsh",
    "mariadb",
    "mariadb-dump",
    "mariadb-admin",
    "mycli",
    "mytop",
    "7z",
    "7za",
    "7zr",
    "7zz",
    "rar",
    "unrar",
    "useradd",
    "usermod",
];
const MONGO: &[&str] = &[
    "mongo",
    "mongosh",
    "mongodump",
    "mongorestore",
    "mongoexport",
    "mongoimport",
    "sshpass",
    "twine",
    "useradd",
    "usermod",
    "rdesktop",
    "mycli",
    "nexus",
    "jfrog",
    "jf",
    "kinit",
];
const LOGIN: &[&str] = &[
    "docker",
    "podman",
    "buildah",
    "skopeo",
    "nerdctl",
    "helm",
    "oras",
    "crane",
    "gcrane",
    "regctl",
    "cosign",
    "oc",
    "az",
    "cf",
    "ibmcloud",
    "pulumi",
    "argocd",
    "rancher",
    "fly",
    "flyctl",
    "doctl",
    "linode-cli",
    "gh",
    "glab",
    "tea",
];
const LDAP: &[&str] = &["ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldappasswd", "ldapwhoami", "ldapcompare"];

const fn both(programs: &'static [&'static str], option: &'static str) -> Short {
    Short { programs, option, separate: true, attached: true, after: &[] }
}

const SHORT: &[Short] = &[
    both(HTTP, "-u"),
    both(HTTP, "-U"),
    both(HTTP, "-a"),
    both(HTTP, "-b"),
    both(HTTP, "-E"),
    Short { separate: false, ..both(MYSQL, "-p") },
    both(MONGO, "-p"),
    Short { after: &["login", "auth", "registry", "init", "set"], ..both(LOGIN, "-p") },
    Short { after: &["login", "auth", "init", "set"], ..both(LOGIN, "-t") },
    Short { after: &["secret", "secrets", "variable"], ..both(LOGIN, "-b") },
    Short { after: &["secret", "secrets", "variable"], ..both(LOGIN, "-v") },
    both(&["redis-cli", "valkey-cli", "keydb-cli"], "-a"),
    both(LDAP, "-w"),
    both(LDAP, "-s"),
    both(LDAP, "-a"),
    both(&["zip", "unzip", "zipcloak", "ipmitool", "sqlcmd", "bcp"], "-P"),
    both(&["openssl"], "-k"),
    both(&["openssl"], "-K"),
    both(&["smbclient", "smbget", "rpcclient", "net", "winexe", "smbmap", "crackmapexec"], "-U"),
    both(&["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk"], "-c"),
    both(&["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk"], "-A"),
    both(&["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk"], "-X"),
    both(&["xfreerdp", "xfreerdp3"], "/p:"),
    both(&["xfreerdp", "xfreerdp3"], "/password:"),
];

/// Long options that mean a secret for some programs only.
const LONG: &[(&[&str], &[&str])] = &[
    (HTTP, &["--user", "--proxy-user", "--cert", "--proxy-cert", "--auth"]),
    (&["smbclient", "rpcclient", "net"], &["--user"]),
    (&["keytool", "jarsigner", "apksigner"], &["-storepass", "-keypass", "-srcstorepass", "-deststorepass"]),
];

/// After a word `secret` or `secrets` these carry one.
const SECRET_VALUES: &[&str] = &["--value", "--body", "--string", "--data", "--from-literal", "--plaintext"];

/// A program with its command, after which every word that is no option may be a secret.
const COMMANDS: &[(&str, &str)] = &[
    ("vault", "login"),
    ("vault", "unwrap"),
    ("vault", "revoke"),
    ("bao", "login"),
    ("cargo", "login"),
    ("wandb", "login"),
    ("snyk", "auth"),
    ("rclone", "obscure"),
    ("ngrok", "authtoken"),
    ("bw", "login"),
    ("bw", "unlock"),
    ("cf", "auth"),
    ("circleci", "setup"),
    ("htpasswd", "htpasswd"),
    ("mkpasswd", "mkpasswd"),
    ("wpa_passphrase", "wpa_passphrase"),
    ("cloudflared", "install"),
    ("npm", "revoke"),
];

/// Words that make the next secret name a key with a value: `npm config set NAME VALUE`.
const SETTERS: &[&str] = &["set", "config", "configure", "add", "put", "write", "edit"];

/// Words seen on a command line, as far as they matter.
#[derive(Default)]
pub(super) struct Seen {
    /// Names of programs and commands, each closed by a line break, most recent last; bounded.
    words: String,
    count: usize,
    setter: bool,
    secret: bool,
    rest: bool,
}

/// Most words remembered. More than any command has subcommands; a longer text forgets its oldest.
const WORDS: usize = 32;
/// Longest word remembered.
const WORD_BYTES: usize = 32;

/// What a word means for itself and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Plain,
    /// The next word is a secret.
    NextIsSecret,
    /// This word is a secret from this byte on.
    SecretFrom(usize),
}

impl Seen {
    /// Takes the next word and says what it means.
    pub(super) fn word(&mut self, word: &str) -> Meaning {
        let meaning = if word.starts_with('-') || word.starts_with("/p") { self.option(word) } else { None };
        if let Some(meaning) = meaning {
            return meaning;
        }
        if self.secret
            && let Some(at) = word.find('=')
        {
            return Meaning::SecretFrom(at + 1);
        }
        if word.starts_with('-') || word.is_empty() {
            return Meaning::Plain;
        }
        if self.rest {
            return Meaning::SecretFrom(0);
        }
        self.plain(word)
    }

    fn plain(&mut self, word: &str) -> Meaning {
        let name = word.rsplit('/').next().unwrap_or(word);
        if name.len() <= WORD_BYTES {
            if self.count == WORDS {
                let first = self.words.find('\n').map_or(0, |end| end + 1);
                self.words.drain(..first);
                self.count -= 1;
            }
            self.words.push_str(name);
            self.words.push('\n');
            self.count += 1;
        }
        self.rest = COMMANDS.iter().any(|(program, command)| *command == name && self.saw(program));
        self.secret |= matches!(name, "secret" | "secrets");
        let scheme = ["bearer", "basic", "negotiate"].iter().any(|scheme| name.eq_ignore_ascii_case(scheme));
        // `sqlplus scott/tiger@db`
        if word.contains('/')
            && self.count > 1
            && matches!(self.seen().next(), Some("sqlplus" | "expdp" | "impdp" | "rman" | "sqlldr"))
        {
            return Meaning::SecretFrom(0);
        }
        let key = self.setter && is_secret(name);
        self.setter |= SETTERS.contains(&name);
        if scheme || key { Meaning::NextIsSecret } else { Meaning::Plain }
    }

    fn option(&self, word: &str) -> Option<Meaning> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let mine = |list: &[(&[&str], &[&str])]| {
            list.iter().any(|(programs, options)| options.contains(&name) && programs.iter().any(|it| self.saw(it)))
        };
        if mine(LONG) || (self.secret && SECRET_VALUES.contains(&name)) {
            return Some(value.map_or(Meaning::NextIsSecret, |_| Meaning::SecretFrom(name.len() + 1)));
        }
        let short = SHORT.iter().find_map(|short| {
            let fits = word.starts_with(short.option)
                && short.programs.iter().any(|program| self.saw(program))
                && (short.after.is_empty() || short.after.iter().any(|after| self.saw(after)));
            let attached = word.len() > short.option.len();
            match (fits, attached) {
                (true, true) if short.attached && !word.starts_with("--") => {
                    Some(Meaning::SecretFrom(short.option.len()))
                }
                (true, false) if short.separate => Some(Meaning::NextIsSecret),
                _ => None,
            }
        });
        // With a value in the same word it is an assignment, found as such.
        let named = name.len() > 2 && value.is_none() && is_secret(name) && !name.starts_with("--no-");
        short.or_else(|| named.then_some(Meaning::NextIsSecret))
    }

    fn seen(&self) -> impl Iterator<Item = &str> {
        self.words.split_terminator('\n')
    }

    fn saw(&self, word: &str) -> bool {
        self.seen().any(|seen| seen == word)
    }
}

/// Is this an option rather than the value of the option before? Passwords may begin with a dash: only what has the
/// form of a long option, or is one letter, counts.
pub(super) fn is_option(word: &str) -> bool {
    let Some(name) = word.strip_prefix('-') else { return false };
    match name.strip_prefix('-') {
        Some(long) => {
            let name = long.split('=').next().unwrap_or(long);
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        }
        None => name.len() == 1 && name.bytes().all(|byte| byte.is_ascii_alphabetic()),
    }
}
