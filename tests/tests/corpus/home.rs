//! A home as people have them: full of stores, with a project to work on.

use std::{fs, process::Command};

use tokenhound_tests::{
    process,
    stage::{Stage, set_mode},
    store::Store,
    token,
};

/// What is made once, and then copied into each home.
pub(crate) struct Pattern {
    ssh_key: String,
}

impl Pattern {
    /// Makes what all homes share: a key, a repository, packages to install.
    pub(crate) fn new(stage: &Stage) -> Self {
        let key = stage.path("key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "made-up", "-f"]).arg(&key));
        let ssh_key = fs::read_to_string(&key).expect("read the key");
        // The first line of the key's text is the same in all keys.
        ssh_key.lines().filter(|line| !line.starts_with('-')).skip(1).for_each(|line| stage.hide(line));
        project(stage);
        packages(stage);
        Self { ssh_key }
    }

    /// A new home.
    pub(crate) fn home(&self, stage: &Stage, name: &str) -> std::path::PathBuf {
        let home = stage.directory(&format!("homes/{name}"));
        let all = [
            Store::GhHosts,
            Store::AwsCredentials,
            Store::GitCredentials,
            Store::Netrc,
            Store::Npmrc,
            Store::DockerConfig,
        ];
        for store in all {
            store.put(stage, &home);
        }
        for (place, content) in self.others(stage) {
            stage.file(&format!("homes/{name}/{place}"), content);
        }
        set_mode(&home.join(".ssh"), 0o700);
        set_mode(&home.join(".gnupg"), 0o700);
        run(Command::new("cp").arg("-r").arg(stage.path("project")).arg(&home));
        home
    }

    fn others(&self, stage: &Stage) -> Vec<(&'static str, String)> {
        let new = |prefix: &str, length: usize| {
            let token = token::plain(prefix, length);
            stage.hide(&token);
            token
        };
        vec![
            (".ssh/id_ed25519", self.ssh_key.clone()),
            (".aws/config", "[default]\nregion = eu-central-1\n".to_owned()),
            (".kube/config", kubeconfig(&new("", 40))),
            (".pypirc", format!("[pypi]\nusername = __token__\npassword = {}\n", new("pypi-", 60))),
            (".cargo/credentials.toml", format!("[registry]\ntoken = \"{}\"\n", new("cio", 32))),
            (".config/rclone/rclone.conf", rclone(&new("", 32))),
            (".s3cfg", format!("[default]\naccess_key = made-up\nsecret_key = {}\n", new("", 40))),
            (".pgpass", format!("127.0.0.1:9:data:somebody:{}\n", new("", 24))),
            (
                ".msmtprc",
                format!("account default\nhost 127.0.0.1\nuser a\nfrom a@b.invalid\npassword {}\n", new("", 24)),
            ),
            (".fetchmailrc", format!("poll 127.0.0.1 protocol imap port 9 user a password {}\n", new("", 24))),
            (".vault-token", new("hvs.", 90)),
            (".config/gcloud/application_default_credentials.json", gcloud(&new("", 60))),
            (".config/hub", format!("github.com:\n- user: a\n  oauth_token: {}\n", new("gho_", 36))),
            (
                ".mozilla/firefox/x.default/logins.json",
                format!("{{\"logins\":[{{\"encryptedPassword\":\"{}\"}}]}}", new("", 40)),
            ),
            (".mozilla/firefox/x.default/key4.db", new("SQLite", 64)),
            (".mozilla/firefox/x.default/cookies.sqlite", new("SQLite", 64)),
            (".config/google-chrome/Default/Cookies", new("SQLite", 64)),
            (".config/google-chrome/Default/Login Data", new("SQLite", 64)),
            (".local/share/keyrings/login.keyring", new("GnomeKeyring", 64)),
            (".password-store/mail.gpg", new("", 64)),
            (".gnupg/private-keys-v1.d/0011.key", new("", 64)),
            (
                ".claude/.credentials.json",
                format!("{{\"claudeAiOauth\":{{\"accessToken\":\"{}\"}}}}", new("sk-ant-oat01-", 80)),
            ),
            (".codex/auth.json", format!("{{\"OPENAI_API_KEY\":\"{}\"}}", new("sk-proj-", 64))),
            (
                ".terraform.d/credentials.tfrc.json",
                format!("{{\"credentials\":{{\"a.invalid\":{{\"token\":\"{}\"}}}}}}", new("", 60)),
            ),
            (".azure/msal_token_cache.json", format!("{{\"AccessToken\":{{\"secret\":\"{}\"}}}}", new("", 80))),
            (".config/Slack/Cookies", new("SQLite", 64)),
            ("secrets.kdbx", new("", 64)),
            (".bash_history", "ls\ncd project\n".to_owned()),
            ("README.md", "hello\n".to_owned()),
        ]
    }
}

fn kubeconfig(token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: 'http://127.0.0.1:9'}}\n\
         users:\n- name: u\n  user: {{token: {token}}}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n"
    )
}

fn rclone(token: &str) -> String {
    format!("[box]\ntype = webdav\nurl = http://127.0.0.1:9\nvendor = other\nuser = a\nbearer_token = {token}\n")
}

fn gcloud(token: &str) -> String {
    format!(
        "{{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\",\"refresh_token\":\"{token}\"}}"
    )
}

/// A repository with something of everything in it.
fn project(stage: &Stage) {
    let embedded = token::plain("ghp_", 36);
    stage.hide(&embedded);
    let package = r#"{"name": "mine", "version": "1.0.0", "scripts": {"build": "node build.js", "test": "node -e 1"}}"#;
    for (name, content) in [
        ("package.json", package),
        ("build.js", "console.log('hello')\n"),
        ("hello.py", "print('hello')\n"),
        ("hello.c", "int main(void) { return 0; }\n"),
        ("Makefile", "hello: hello.c\n\tcc -o hello hello.c\n"),
        (
            "rust/Cargo.toml",
            "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"a\"\n[workspace]\n",
        ),
        ("rust/src/main.rs", "fn main() {}\n"),
        ("README.md", "hello\n"),
    ] {
        stage.file(&format!("project/{name}"), content);
    }
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-C"]).arg(stage.path("project"));
        run(git.args(arguments));
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "first"]);
    git(&["remote", "add", "origin", &format!("https://a:{embedded}@git.invalid/x.git")]);
}

/// Packages to install, and what they run when they are.
fn packages(stage: &Stage) {
    for (name, script) in [("padder", ""), ("thief", "cat ~/.npmrc"), ("worm", "node worm.js")] {
        let scripts = format!(r#"{{"name": "{name}", "version": "1.0.0", "scripts": {{"postinstall": "{script}"}}}}"#);
        stage.file(&format!("made/{name}/package/package.json"), scripts);
    }
    let places =
        "['.npmrc', '.aws/credentials', '.config/gh/hosts.yml', '.config/gcloud/application_default_credentials.json']";
    let sweep = format!(
        "for (const place of {places}) {{ try {{ require('fs').readFileSync(process.env.HOME + '/' + place) }} catch {{}} }}\n"
    );
    stage.file("made/worm/package/worm.js", sweep);
    let agent = format!(
        "for (const place of {places}) require('child_process').spawnSync('bash', ['-c', `cat ~/${{place}}; :`])\n"
    );
    let agent = stage.file("lib/node_modules/@anthropic-ai/claude-code/cli.js", agent);
    set_mode(&agent, 0o644);
    let tar = |archive: &str, from: &str, what: &str| {
        run(Command::new("tar").arg("-czf").arg(stage.path(archive)).arg("-C").arg(stage.path(from)).arg(what));
    };
    for name in ["padder", "thief", "worm"] {
        tar(&format!("{name}.tgz"), &format!("made/{name}"), "package");
    }
    stage.file("made/py/padder-1.0/PKG-INFO", "Metadata-Version: 2.1\nName: padder\nVersion: 1.0\n");
    tar("padder-1.0.tar.gz", "made/py", "padder-1.0");
}

pub(crate) fn run(command: &mut Command) {
    let ended = process::run(command, b"");
    assert_eq!(ended.code(), 0, "{command:?}: {}{}", ended.out(), ended.err());
}
