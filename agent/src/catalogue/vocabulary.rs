//! The words of the catalogue: every field that knows a fixed set of values.

use crate::yaml::fields::words;

words! {
    /// What an entry is about. Only [`Role::Store`] and [`Role::Decoy`] are watched for reads, only [`Role::History`] and
    /// [`Role::Log`] for being written.
    pub enum Role {
        /// A place where a tool keeps tokens.
        Store = "store",
        /// A place that tokens leak to; looked at by content, never by reads.
        Sink = "sink",
        /// A history: what people type is written down there; looked at by content when it was written.
        History = "history",
        /// A log that tools write by themselves; likewise.
        Log = "log",
        /// A socket through which a token can be used without being read.
        AgentSocket = "agent_socket",
        /// Process memory and environments; watched through procfs.
        Memory = "memory",
        /// A network endpoint that hands out tokens.
        Endpoint = "endpoint",
        /// A made-up store that nobody has a reason to read.
        Decoy = "decoy",
    }
}

words! {
    /// What kind of secret an entry holds.
    pub enum Kind {
        /// Bearer token.
        AccessToken = "access_token",
        /// Token that gets new access tokens.
        RefreshToken = "refresh_token",
        /// Static key.
        ApiKey = "api_key",
        /// Private half of a key pair.
        PrivateKey = "private_key",
        /// Cookie of a web session.
        SessionCookie = "session_cookie",
        /// Token of a session.
        SessionToken = "session_token",
        /// Password.
        Password = "password",
        /// Hash of a password.
        PasswordHash = "password_hash",
        /// Key of a service account.
        ServiceAccountKey = "service_account_key",
        /// Kubernetes service-account token.
        KubeSaToken = "kube_sa_token",
        /// Secret of an OAuth client.
        OauthClientSecret = "oauth_client_secret",
        /// Vault that needs a key of its own.
        EncryptedVault = "encrypted_vault",
        /// Socket of an agent.
        AgentSocket = "agent_socket",
        /// Anything else that is secret.
        GenericSecret = "generic_secret",
        /// Configuration that names a helper which prints the token.
        ConfigWithHelper = "config_with_helper",
        /// Seed of one-time passwords.
        TotpSeed = "totp_seed",
        /// Copies of other stores' tokens.
        LeakSink = "leak_sink",
        /// Who and where, no secret.
        Metadata = "metadata",
    }
}

words! {
    /// How sure it is that the file holds a secret at all.
    pub enum Holds {
        /// It is there to hold one.
        Secret = "secret",
        /// It is a configuration file that holds one at times: a read alone says little.
        Perhaps = "perhaps",
    }
}

words! {
    /// How many different programs read the store on an ordinary day.
    pub enum Scope {
        /// The owner and few others: an unknown reader is a strong signal.
        Narrow = "narrow",
        /// Every user of a library: an unknown reader is a weak signal.
        Broad = "broad",
    }
}

words! {
    /// What a reader has to do with the store.
    pub enum ReaderRole {
        /// The tool the token was issued to.
        Owner = "owner",
        /// A helper the owner runs.
        Helper = "helper",
        /// Another tool that is meant to read it.
        Consumer = "consumer",
        /// Gets the token through another program and has no business opening the file.
        Indirect = "indirect",
        /// Keeps the file in order (rotation, backup).
        Maintenance = "maintenance",
    }
}

words! {
    /// How a reader is recognised when the program alone does not tell.
    pub enum ReaderMatch {
        /// By container, unit or cgroup.
        Contextual = "contextual",
    }
}

words! {
    /// How the age of a token is told.
    pub enum Staleness {
        /// By a field in the file.
        ExpiryField = "expiry_field",
        /// By the time of the last write.
        TtlSinceWrite = "ttl_since_write",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// What ends the session that a token belongs to.
    pub enum SessionScope {
        /// Logging out of the tool.
        CliLogin = "cli_login",
        /// Logging out of the machine.
        LoginSession = "login_session",
        /// The end of the CI job.
        CiJob = "ci_job",
        /// The end of the pod.
        Pod = "pod",
        /// The end of the container.
        Container = "container",
        /// The end of the systemd unit.
        Unit = "unit",
        /// The end of a certificate's validity.
        Certificate = "certificate",
        /// The end of a Kerberos ticket.
        Ticket = "ticket",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// How the file is written, which decides whether an inode outlives a save.
    pub enum WritePattern {
        /// Same inode, empty for a moment.
        InPlaceTruncate = "in_place_truncate",
        /// Same inode.
        InPlace = "in_place",
        /// New inode with every save.
        AtomicRename = "atomic_rename",
        /// Database with journal files.
        Sqlite = "sqlite",
        /// A link is swapped.
        SymlinkSwap = "symlink_swap",
        /// Appended.
        Append = "append",
        /// Written once.
        Create = "create",
        /// By hand.
        Editor = "editor",
        /// A socket.
        Socket = "socket",
        /// A mount in memory.
        TmpfsMount = "tmpfs_mount",
        /// Downloaded.
        Download = "download",
        /// Mapped into memory.
        Mmap = "mmap",
        /// Only in memory.
        Memory = "memory",
        /// Made by the kernel.
        Kernel = "kernel",
        /// Copied.
        Copy = "copy",
        /// Several of these.
        Mixed = "mixed",
        /// Nobody looked.
        Unknown = "unknown",
        /// Not written.
        None = "none",
    }
}

words! {
    /// Whether the tool can keep the token in a keyring instead.
    pub enum Keyring {
        /// It cannot.
        No = "no",
        /// If told to.
        Possible = "possible",
        /// Unless told otherwise.
        Default = "default",
    }
}

words! {
    /// Where the facts of an entry come from.
    pub enum Verification {
        /// Read in the tool's source.
        SourceCode = "source_code",
        /// Read in its documentation.
        Docs = "docs",
        /// Seen in somebody else's code, documents or rules.
        Corroborated = "corroborated",
        /// General knowledge.
        Unverified = "unverified",
    }
}

words! {
    /// How a file is built, for the extractors.
    pub enum Format {
        /// age file.
        Age = "age",
        /// bbolt database.
        Bbolt = "bbolt",
        /// Opaque.
        Binary = "binary",
        /// Cabal configuration.
        Cabal = "cabal",
        /// Kerberos credential cache.
        Ccache = "ccache",
        /// Encrypted.
        Ciphertext = "ciphertext",
        /// `NAME=value` lines.
        Dotenv = "dotenv",
        /// Erlang terms.
        ErlangTerm = "erlang_term",
        /// GNOME keyring.
        GnomeKeyring = "gnome-keyring",
        /// OpenPGP.
        Gpg = "gpg",
        /// Not a file.
        Http = "http",
        /// INI.
        Ini = "ini",
        /// JSON.
        Json = "json",
        /// One JSON document a line.
        Jsonl = "jsonl",
        /// JSON web encryption.
        Jwe = "jwe",
        /// JSON web token.
        Jwt = "jwt",
        /// KeePass database.
        Kdbx = "kdbx",
        /// Kerberos keytab.
        Keytab = "keytab",
        /// KDE wallet.
        Kwl = "kwl",
        /// LevelDB directory.
        Leveldb = "leveldb",
        /// Process memory.
        Memory = "memory",
        /// Several formats.
        Mixed = "mixed",
        /// netrc.
        Netrc = "netrc",
        /// NUL-separated entries.
        NulSeparated = "nul_separated",
        /// OpenSSH key.
        Openssh = "openssh",
        /// PEM.
        Pem = "pem",
        /// Python pickle.
        Pickle = "pickle",
        /// The file is the token.
        Plain = "plain",
        /// Java properties.
        Properties = "properties",
        /// scfg.
        Scfg = "scfg",
        /// S-expressions.
        Sexp = "sexp",
        /// SQLite database.
        Sqlite = "sqlite",
        /// TOML.
        Toml = "toml",
        /// Unix socket.
        UnixSocket = "unix_socket",
        /// XML.
        Xml = "xml",
        /// YAML.
        Yaml = "yaml",
    }
}

words! {
    /// How a time is written.
    pub enum TimeEncoding {
        /// RFC 3339.
        Rfc3339 = "rfc3339",
        /// Seconds since 1970.
        EpochS = "epoch_s",
        /// The same as text.
        EpochSText = "epoch_s_text",
        /// Milliseconds since 1970.
        EpochMs = "epoch_ms",
        /// Microseconds since 1970.
        EpochUs = "epoch_us",
        /// Seconds since 1970 plus a lifetime in another field.
        EpochSPlusSeconds = "epoch_s_plus_seconds",
        /// `exp` of the JSON web token in the field.
        JwtExp = "jwt_exp",
        /// `iat` of the JSON web token in the field.
        JwtIat = "jwt_iat",
        /// `notAfter` of an X.509 certificate.
        X509 = "x509",
        /// End of an SSH certificate.
        SshCert = "ssh_cert",
        /// Microseconds since 1601.
        WebkitUs = "webkit_us",
        /// A date.
        Date = "date",
        /// `YYYY-MM-DD HH:MM:SS` in UTC.
        SqliteUtc = "sqlite_utc",
        /// The same in local time.
        LocalDatetime = "local_datetime",
        /// Seconds since boot.
        Monotonic = "monotonic",
        /// Several of these.
        Mixed = "mixed",
        /// Nobody looked.
        Unknown = "unknown",
    }
}

words! {
    /// Why no token is taken out of a store.
    pub enum NotExtracted {
        /// It is encrypted, and the key is not in it.
        Encrypted = "encrypted",
        /// It holds what other stores lost; it is searched for known tokens instead.
        Searched = "searched",
        /// It is no file: a socket, memory, an address.
        NoFile = "no_file",
        /// It says who and where, and holds no secret.
        NoSecret = "no_secret",
        /// A database or container of a kind that nothing here reads.
        Unreadable = "unreadable",
    }
}

words! {
    /// How a token is protected where it lies.
    pub enum Protection {
        /// Who can read the file has the token.
        Plain = "plain",
        /// Encoded in a way that keeps nobody out: a constant key, one that lies beside it.
        Obfuscated = "obfuscated",
        /// A passphrase, a keyring or hardware is needed as well.
        Encrypted = "encrypted",
    }
}

impl NotExtracted {
    /// In words.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Encrypted => "it is encrypted, and the key is not in it",
            Self::Searched => "it is searched for tokens of other stores",
            Self::NoFile => "it is no file",
            Self::NoSecret => "it holds no secret",
            Self::Unreadable => "nothing here reads its format",
        }
    }
}
