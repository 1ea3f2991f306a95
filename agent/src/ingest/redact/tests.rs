use super::{REDACTED, redact, redact_cut, redact_value, shapes};

fn run(args: &[&str]) -> Vec<String> {
    redact(args.iter().map(|arg| arg.as_bytes().to_vec()).collect())
}

/// A generator with a fixed seed: the same tokens in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| letters[self.next() as usize % letters.len()]).collect()
    }
}

const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const BASE62: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BASE64: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/";
const BASE64URL: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// No run of 6 characters of the secret is left.
fn assert_gone(secret: &str, args: &[&str]) {
    let shown = run(args).join("\u{0}");
    for part in secret.as_bytes().windows(6.min(secret.len())) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(!shown.contains(part), "{part:?} of {secret:?} survived in {args:?}:\n{shown}");
    }
}

/// A token that is recognised wherever it stands.
fn in_many_places(token: &str) {
    assert_gone(token, &["prog", token]);
    assert_gone(token, &["prog", "-x", token, "more"]);
    for (before, after) in [
        ("", " rest"),
        ("echo ", ""),
        ("--opt=", ""),
        ("a,", ",b"),
        ("{\"k\":\"", "\"}"),
        ("https://h.example/?t=", "&x=1"),
        ("https://", "@h.example/o/r"),
        ("https://u:", "@h.example/r.git"),
        ("print('", "')"),
        ("x=\"", "\"; y"),
        ("$(echo ", ")"),
        ("<", ">"),
        ("[", "]"),
        ("key:", ""),
        ("\\\"", "\\\""),
        ("line\n", "\nline"),
        ("@", ""),
        ("\u{fffd}", "\u{fffd}"),
        ("é", "é"),
    ] {
        let arg = format!("{before}{token}{after}");
        assert_gone(token, &["prog", &arg]);
        assert_gone(token, &["sh", "-c", &arg]);
    }
}

#[test]
fn tokens_of_every_documented_shape_never_survive() {
    let mut random = Random(0x5eed_0001);
    for (prefix, min) in shapes::prefixes() {
        for length in [min, min + 7, 36, 60] {
            let token = format!("{prefix}{}", random.text(BASE62, length.max(min)));
            in_many_places(&token);
        }
    }
}

#[test]
fn random_words_never_survive() {
    let mut random = Random(0x5eed_0002);
    for alphabet in [HEX, BASE32, BASE36, BASE62, BASE64, BASE64URL] {
        for length in [32, 40, 43, 64, 86, 128] {
            for _ in 0..40 {
                let token = random.text(alphabet, length);
                assert_gone(&token, &["prog", &token]);
                assert_gone(&token, &["prog", &format!("{token}==")]);
                assert_gone(&token, &["prog", &format!("--opt={token}")]);
                assert_gone(&token, &["sh", "-c", &format!("foo '{token}' | bar")]);
            }
        }
    }
    // The pair that AWS uses in its documentation.
    in_many_places("AKIAIOSFODNN7EXAMPLE");
    assert_gone("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", &["prog", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]);
    // Keys in the form of a UUID, an AWS secret, a JWT.
    for _ in 0..200 {
        let uuid: Vec<_> = [8, 4, 4, 4, 12].iter().map(|length| random.text(HEX, *length)).collect();
        assert_gone(&uuid.concat(), &["prog", &uuid.join("-")]);
        let secret = random.text(BASE64, 40);
        assert_gone(&secret, &["aws", "configure", "set", "aws_secret_access_key", &secret]);
        let jwt = format!(
            "eyJ{}.eyJ{}.{}",
            random.text(BASE64URL, 30),
            random.text(BASE64URL, 80),
            random.text(BASE64URL, 43)
        );
        in_many_places(&jwt);
    }
}

/// A password that only its place gives away.
const SECRET: &str = "hunter-zwei";

#[test]
fn secrets_are_known_by_what_stands_before_them() {
    let lines: &[&[&str]] = &[
        &["prog", "--password", "hunter-zwei"],
        &["prog", "--password=hunter-zwei"],
        &["prog", "--db-password", "hunter-zwei", "--verbose"],
        &["prog", "-password", "hunter-zwei"],
        &["prog", "--api-key", "hunter-zwei"],
        &["prog", "--client-secret=hunter-zwei"],
        &["prog", "--token", "-hunter-zwei"],
        &["curl", "-u", "user:hunter-zwei", "https://x.example"],
        &["curl", "-uuser:hunter-zwei", "https://x.example"],
        &["curl", "--user", "user:hunter-zwei"],
        &["curl", "--user=user:hunter-zwei"],
        &["sudo", "/usr/bin/curl", "-u", "hunter-zwei:"],
        &["curl", "-H", "Authorization: Bearer hunter-zwei"],
        &["curl", "-H", "authorization: token hunter-zwei"],
        &["curl", "-HX-Api-Key: hunter-zwei"],
        &["curl", "-H", "Cookie: a=b; session=hunter-zwei"],
        &["curl", "--header=PRIVATE-TOKEN: hunter-zwei"],
        &["curl", "-d", "{\"user\":\"u\",\"password\":\"hunter-zwei\"}"],
        &["curl", "-d", "{\"password\" : \"a\\\"hunter-zwei\"}"],
        &["curl", "-d", "user=u&password=hunter-zwei&x=1"],
        &["curl", "https://user:hunter-zwei@x.example/"],
        &["curl", "https://hunter-zwei@x.example/"],
        &["psql", "postgres://user:hunter-zwei@db:5432/x"],
        &["psql", "postgres://user:p/hunter-zwei@db:5432/x"],
        &["prog", "user:hunter-zwei@host"],
        &["prog", "user:p@hunter-zwei@host"],
        &["prog", "user:hunter-zwei@tcp(db:3306)/x"],
        &["mysql", "-uroot", "-phunter-zwei"],
        &["mysqldump", "--password=hunter-zwei", "db"],
        &["sshpass", "-p", "hunter-zwei", "ssh", "host"],
        &["sshpass", "-phunter-zwei", "ssh", "host"],
        &["docker", "login", "-u", "me", "-p", "hunter-zwei"],
        &["docker", "run", "-e", "DB_PASSWORD=hunter-zwei", "image"],
        &["docker", "run", "-e", "DB_PASSWORD=my hunter-zwei", "image"],
        &["docker", "run", "--env=DB_PASSWORD=my hunter-zwei", "image"],
        &["env", "GITHUB_TOKEN=hunter-zwei", "make"],
        &["env", "MYSQL_PWD=hunter-zwei", "mysql"],
        &["redis-cli", "-a", "hunter-zwei"],
        &["openssl", "enc", "-pass", "pass:hunter-zwei"],
        &["openssl", "rsa", "-passin", "pass:hunter-zwei"],
        &["zip", "-P", "hunter-zwei", "a.zip", "a"],
        &["7z", "x", "-phunter-zwei", "a.7z"],
        &["ldapsearch", "-w", "hunter-zwei"],
        &["smbclient", "-U", "user%hunter-zwei", "//h/s"],
        &["gpg", "--batch", "--passphrase", "hunter-zwei"],
        &["npm", "config", "set", "//registry.example/:_authToken", "hunter-zwei"],
        &["npm", "config", "set", "//registry.example/:_authToken=hunter-zwei"],
        &["git", "config", "http.extraheader", "AUTHORIZATION: basic hunter-zwei"],
        &["git", "-c", "http.extraheader=AUTHORIZATION: basic hunter-zwei", "fetch"],
        &["kubectl", "create", "secret", "generic", "x", "--from-literal=k=hunter-zwei"],
        &["kubectl", "config", "set-credentials", "u", "--token=hunter-zwei"],
        &["gh", "secret", "set", "NAME", "--body", "hunter-zwei"],
        &["gh", "secret", "set", "NAME", "-b", "hunter-zwei"],
        &["fly", "secrets", "set", "NAME=hunter-zwei"],
        &["vault", "login", "hunter-zwei"],
        &["cargo", "login", "hunter-zwei"],
        &["htpasswd", "-b", "file", "user", "hunter-zwei"],
        &["sqlplus", "scott/hunter-zwei@db"],
        &["xfreerdp", "/u:me", "/p:hunter-zwei"],
        &["az", "storage", "--connection-string", "AccountName=x;AccountKey=hunter-zwei;E=y"],
        &["prog", "Server=x;Pwd=hunter-zwei;"],
        &["keytool", "-storepass", "hunter-zwei"],
        &["sh", "-c", "curl -u user:hunter-zwei https://x.example"],
        &["sh", "-c", "mysql -phunter-zwei < dump"],
        &["sh", "-c", "TOKEN=hunter-zwei make"],
        &["sh", "-c", "export TOKEN='my hunter-zwei'; make"],
        &["sh", "-c", "export TOKEN=a\"hunter-zwei\"; make"],
        &["bash", "-lc", "sshpass -p 'my hunter-zwei' ssh host"],
        &["sh", "-c", "curl -H \"Authorization: Bearer hunter-zwei\" https://x.example"],
        &["sh", "-c", "curl -H 'Authorization: Token token=\"hunter-zwei\"' x"],
        &["python3", "-c", "connect(password='hunter-zwei')"],
        &["python3", "-c", "connect(password = b\"hunter-zwei\")"],
        &["python3", "-c", "d['token'] = 'hunter-zwei'"],
        &["node", "-e", "const apiKey = `hunter-zwei`"],
        &["node", "-e", "f({apiKey:\"hunter-zwei\"})"],
        &["prog", "{\\\"token\\\": \\\"hunter-zwei\\\"}"],
        &["prog", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter-zwei\n"],
        &["prog", "Bearer", "hunter-zwei"],
        &["prog", "bearer hunter-zwei"],
    ];
    for line in lines {
        assert_gone(SECRET, line);
    }
}

#[test]
fn innocent_arguments_survive() {
    let lines: &[&[&str]] = &[
        &["ls", "-la", "/home/user/.aws"],
        &["gh", "auth", "token"],
        &["aws", "configure", "export-credentials", "--profile", "dev"],
        &["aws", "s3", "cp", "s3://bucket/some/key", "./here", "--recursive"],
        &["git", "credential", "fill"],
        &["git", "clone", "https://github.com/owner/repo.git"],
        &["git", "clone", "git@github.com:owner/repo.git"],
        &["git", "commit", "-m", "Fix the token parser and the password prompt"],
        &["curl", "-fsSL", "http://localhost:8080/path/to/file?x=1", "-o", "/tmp/out"],
        &["docker", "run", "--rm", "-it", "-p", "8080:80", "-v", "/home/u/x:/work", "debian:12"],
        &["docker", "login", "--username", "me", "--password-stdin", "ghcr.io"],
        &["npm", "install", "--save-dev", "@types/node", "left-pad@1.3.0"],
        &["node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "ci"],
        &["python3", "-m", "pip", "install", "-r", "requirements.txt"],
        &["python3", "/home/u/.cache/3f8a61c0de6b7e51c2f5/3F8a61c0DE6b7e51c2f5aa01bb02cc03/run.py"],
        &["/nix/store/0c5b1x2qkzv3yh8wd9gmfp7rjl4nsai6-python3-3.11.9/bin/python3.11", "x.py"],
        &["gcc", "-I/usr/lib/gcc/x86_64-linux-gnu/12/include", "-DNDEBUG", "-O2", "-o", "main.o", "main.c"],
        &["ssh", "-o", "StrictHostKeyChecking=no", "-i", "/home/u/.ssh/id_ed25519", "host", "uptime"],
        &["java", "-cp", "/opt/app/lib/app.jar", "com.example.application.ServerMain"],
        &["sh", "-c", "cat /etc/hostname | grep -v foo > /tmp/out; echo done"],
        &["find", "/", "-name", "credentials", "-path", "*/.aws/*"],
        &["kubectl", "get", "pods", "-n", "kube-system", "-o", "wide"],
        &["cargo", "build", "--release", "--target", "x86_64-unknown-linux-gnu"],
        &["mysql", "-u", "root", "-p", "database"],
        &["psql", "-h", "db", "-p", "5432", "-U", "postgres"],
        &["prog", "--token-file", "/run/secrets/token", "--no-auth", "x"],
        &["env", "PWD=/home/u", "TOKENIZERS_PARALLELISM=false", "make"],
        &["rsync", "-e", "ssh", "user@host:/srv/data/", "./data/"],
        &["/usr/lib/chromium/chromium", "--type=renderer", "--enable-features=NetworkService,SomeLongFeatureName"],
        &["systemctl", "restart", "systemd-networkd-wait-online.service"],
        &["node", "/home/u/npm_packages/lib/rubygems_mirror/pypi-server/run.js", "npm_config_cache=/x"],
        &[
            "/opt/secret_scanner/venv/bin/hf_hub_download",
            "key-value-store-of-some-length",
            "do_something_or_other_now",
        ],
        &["env", "npm_lifecycle_event=postinstall", "MSG.format", "task_live_reload", "disk-usage-of-everything"],
        &["prog", ""],
    ];
    for line in lines {
        assert_eq!(run(line), *line);
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    for (line, want) in [
        (vec!["prog", "--password", "x", "go"], vec!["prog", "--password", REDACTED, "go"]),
        (vec!["prog", "--password=x", "go"], vec!["prog", "--password=<redacted>", "go"]),
        (vec!["prog", "--password", "--verbose"], vec!["prog", "--password", "--verbose"]),
        (vec!["curl", "https://u:p@h.example/x"], vec!["curl", "https://<redacted>@h.example/x"]),
        (vec!["curl", "-H", "Authorization: Bearer x"], vec!["curl", "-H", "Authorization: <redacted>"]),
        (vec!["mysql", "-psecret", "db"], vec!["mysql", "-p<redacted>", "db"]),
        (
            vec!["sh", "-c", "TOKEN=abc curl -u a:b https://h.example | jq ."],
            vec!["sh", "-c", "TOKEN=<redacted> curl -u <redacted> https://h.example | jq ."],
        ),
        (vec!["prog", "{\"token\":\"abc\",\"user\":\"me\"}"], vec!["prog", "{\"token\":<redacted>,\"user\":\"me\"}"]),
    ] {
        assert_eq!(run(&line), want);
    }
}

#[test]
fn a_cut_line_shows_no_beginning_of_a_token() {
    let cut = |last: &str| redact_cut(vec![b"prog".to_vec(), last.as_bytes().to_vec()]).pop().unwrap();
    assert_eq!(cut("ghp_ab"), REDACTED);
    assert_eq!(cut("x y Zk3"), "x y <redacted>");
    assert_eq!(cut("--opt=Zk3"), "--opt=<redacted>");
    assert_eq!(cut("/usr/share/do"), "/usr/share/<redacted>");
    assert_eq!(cut("wJa/Zk3"), REDACTED);
    assert_eq!(cut("--verb"), "--verb");
    assert_eq!(cut("/tmp/ghp_ab"), "/tmp/<redacted>");
    assert_eq!(redact_cut(Vec::new()), Vec::<String>::new());
}

#[test]
fn values_by_themselves() {
    assert_eq!(redact_value("/home/u/.config/gh"), "/home/u/.config/gh");
    assert_eq!(redact_value("http://user:pw@proxy.example:3128"), "http://<redacted>@proxy.example:3128");
    assert_eq!(redact_value("ghp_0123456789"), REDACTED);
}

#[test]
fn any_bytes_are_survived_in_linear_time() {
    let mut random = Random(0x5eed_0003);
    let alphabet: Vec<char> = "ab=:@/\"'\\ -_.é\n\0://Token:ghp_-----BEGIN{}%$".chars().collect();
    for _ in 0..3_000 {
        let args = (0..4).map(|_| {
            let length = random.next() as usize % 60;
            let mut bytes: Vec<u8> = (0..length)
                .flat_map(|_| alphabet[random.next() as usize % alphabet.len()].to_string().into_bytes())
                .collect();
            if random.next().is_multiple_of(3) {
                bytes.push(random.next() as u8);
            }
            bytes
        });
        let args: Vec<_> = args.collect();
        assert_eq!(redact_cut(args.clone()).len(), args.len());
        assert_eq!(redact(args).len(), 4);
    }
    // Hostile repetition: each would take minutes if a scanner went over the text once per match.
    for unit in ["://", "a@", ":", "=", "token=", "\"", "token:\"", "ghp_", "-", "sk-", "eyJ", "a:b@", "basic ", "\\\""]
    {
        let long = unit.repeat(400_000 / unit.len());
        assert_eq!(redact(vec![long.into_bytes()]).len(), 1);
    }
}
