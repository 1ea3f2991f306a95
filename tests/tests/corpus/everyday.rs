//! Everyday commands with real programs. Nothing listens on the ports that they call: a refusal is as good as an answer.

use crate::entry::{Entry, everyday};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    [CLOUD, GIT, HOSTS, KEYS, PACKAGES, CONTAINERS, TRANSFER, FILES, SYSTEM].into_iter().flatten()
}

const CLOUD: &[Entry] = &[
    everyday("aws-list", &["aws"], "aws configure list"),
    everyday("aws-get-region", &["aws"], "aws configure get region"),
    everyday("aws-set", &["aws"], "aws configure set output json"),
    everyday("aws-profiles", &["aws"], "aws configure list-profiles"),
    everyday("aws-sts", &["aws"], "AWS_MAX_ATTEMPTS=1 aws sts get-caller-identity --endpoint-url http://127.0.0.1:9"),
    everyday("aws-s3", &["aws"], "AWS_MAX_ATTEMPTS=1 aws s3 ls --endpoint-url http://127.0.0.1:9"),
    everyday("kubectl-view", &["kubectl"], "kubectl config view"),
    everyday("kubectl-contexts", &["kubectl"], "kubectl config get-contexts"),
    everyday("kubectl-get", &["kubectl"], "kubectl get pods --request-timeout=1s"),
    everyday("kubectl-set", &["kubectl"], "kubectl config set-context --current --namespace=mine"),
    everyday("rclone-remotes", &["rclone"], "rclone listremotes"),
    everyday("rclone-ls", &["rclone"], "rclone --retries 1 --low-level-retries 1 lsd box:"),
    everyday("s3cmd-ls", &["s3cmd"], "timeout 5 s3cmd --no-ssl --host=127.0.0.1:9 ls"),
    everyday("psql", &["psql"], "psql -h 127.0.0.1 -p 9 -U somebody -c 'select 1' data"),
    everyday("pg-dump", &["pg_dump"], "pg_dump -h 127.0.0.1 -p 9 -U somebody data"),
];

const GIT: &[Entry] = &[
    everyday(
        "git-commit",
        &["git"],
        "git init -q r && cd r && echo a >a && git add a && git -c user.name=a -c user.email=a@b.invalid commit -qm a",
    ),
    everyday("git-clone", &["git"], "git clone -q project $OUT/clone"),
    everyday("git-status", &["git"], "cd project && git status"),
    everyday("git-log", &["git"], "cd project && git log --oneline --stat | head"),
    everyday("git-remote", &["git"], "cd project && git remote -v"),
    everyday("git-config", &["git"], "cd project && git config --list"),
    everyday("git-gc", &["git"], "cd project && git gc -q"),
    everyday(
        "git-fetch",
        &["git"],
        "cd project && GIT_TERMINAL_PROMPT=0 git -c credential.helper=store fetch http://127.0.0.1:9/x",
    ),
    everyday(
        "git-store",
        &["git"],
        "printf 'protocol=https\\nhost=other.invalid\\n\\n' | GIT_TERMINAL_PROMPT=0 git -c credential.helper=store credential reject",
    ),
    everyday("git-archive", &["git"], "cd project && git archive HEAD | tar -t"),
    everyday("git-grep", &["git"], "cd project && git grep -n hello"),
    everyday("svn-info", &["svn"], "svn info http://127.0.0.1:9/x"),
    everyday("hg-status", &["hg"], "hg init r && cd r && hg status"),
];

const HOSTS: &[Entry] = &[
    everyday("gh-status", &["gh"], "gh auth status"),
    everyday("gh-config", &["gh"], "gh config get git_protocol -h github.com"),
    everyday("gh-config-list", &["gh"], "gh config list"),
    everyday("gh-api", &["gh"], "HTTPS_PROXY=http://127.0.0.1:9 gh api user"),
    everyday("gh-alias", &["gh"], "gh alias list"),
    everyday("gh-extensions", &["gh"], "gh extension list"),
];

const KEYS: &[Entry] = &[
    everyday("ssh-config", &["ssh"], "ssh -G host.invalid"),
    everyday("ssh-refused", &["ssh"], "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -p 9 127.0.0.1 true"),
    everyday("ssh-keygen-public", &["ssh-keygen"], "ssh-keygen -y -f .ssh/id_ed25519"),
    everyday("ssh-keygen-print", &["ssh-keygen"], "ssh-keygen -lf .ssh/id_ed25519"),
    everyday("ssh-keygen-new", &["ssh-keygen"], "ssh-keygen -q -t ed25519 -N '' -f .ssh/id_other"),
    everyday("ssh-add", &["ssh-agent", "ssh-add"], "ssh-agent ssh-add .ssh/id_ed25519"),
    everyday("scp", &["scp"], "scp -o BatchMode=yes -P 9 README.md 127.0.0.1:/tmp/"),
    everyday("sftp", &["sftp"], "sftp -o BatchMode=yes -P 9 127.0.0.1"),
    everyday("git-ssh", &["git", "ssh"], "GIT_SSH_COMMAND='ssh -o BatchMode=yes' git ls-remote ssh://127.0.0.1:9/x"),
    everyday("gpg-list", &["gpg"], "gpg --batch --list-secret-keys"),
    everyday("pass-list", &["pass"], "pass ls"),
];

const PACKAGES: &[Entry] = &[
    everyday("npm-get", &["npm"], "npm config get registry"),
    everyday("npm-list", &["npm"], "npm config list"),
    everyday("npm-whoami", &["npm"], "npm whoami --registry=http://127.0.0.1:9 --fetch-retries=0"),
    everyday("npm-install", &["npm"], "cd project && npm install --offline --no-audit --no-fund $STAGE/padder.tgz"),
    everyday("npm-run", &["npm"], "cd project && npm run build"),
    everyday("npm-test", &["npm"], "cd project && npm test"),
    everyday("npm-pack", &["npm"], "cd project && npm pack --pack-destination $OUT"),
    everyday("npm-ls", &["npm"], "cd project && npm ls"),
    everyday(
        "npm-publish",
        &["npm"],
        "cd project && npm publish --dry-run --registry=http://127.0.0.1:9 --fetch-retries=0",
    ),
    everyday("npm-exec", &["npm"], "cd project && npm exec --offline -c 'node --version'"),
    everyday("node-script", &["node"], "node project/build.js"),
    everyday("pip-config", &["pip"], "pip config list"),
    everyday(
        "pip-index",
        &["pip"],
        "pip download --retries 0 --timeout 1 --index-url http://127.0.0.1:9/simple nothing-here",
    ),
    everyday("pip-wheel", &["pip"], "pip list"),
    everyday("twine-check", &["twine"], "twine check $STAGE/padder.tgz"),
    everyday(
        "twine-upload",
        &["twine"],
        "twine upload --non-interactive --repository-url http://127.0.0.1:9 $STAGE/padder-1.0.tar.gz",
    ),
    everyday("python-venv", &["python3"], "python3 -m venv --without-pip $OUT/venv"),
    everyday("python-script", &["python3"], "python3 project/hello.py"),
    everyday("cargo-build", &["cargo"], "cd project/rust && cargo build --offline"),
    everyday("cargo-metadata", &["cargo"], "cd project/rust && cargo metadata --offline --format-version 1"),
    everyday("cargo-package", &["cargo"], "cd project/rust && cargo package --offline --allow-dirty --no-verify"),
    everyday("bpf-linker", &["bpf-linker"], "bpf-linker --version"),
    everyday("apt-policy", &["apt-cache"], "apt-cache policy bash"),
    everyday("dpkg-list", &["dpkg"], "dpkg -l bash"),
    everyday("make", &["make", "cc"], "cd project && make"),
];

const CONTAINERS: &[Entry] = &[
    everyday("docker-version", &["docker"], "docker --version"),
    everyday("docker-contexts", &["docker"], "docker context ls"),
    everyday("docker-logout", &["docker"], "docker logout registry.invalid"),
    everyday("docker-pull", &["docker"], "DOCKER_HOST=tcp://127.0.0.1:9 docker pull 127.0.0.1:9/x"),
    everyday("skopeo-tags", &["skopeo"], "skopeo list-tags --tls-verify=false docker://127.0.0.1:9/x"),
    everyday("skopeo-login", &["skopeo"], "skopeo logout --authfile .docker/config.json registry.invalid"),
];

const TRANSFER: &[Entry] = &[
    everyday("curl", &["curl"], "curl --silent --max-time 1 http://127.0.0.1:9/"),
    everyday("curl-upload", &["curl"], "curl --silent --max-time 1 -T README.md http://127.0.0.1:9/"),
    everyday("wget", &["wget"], "wget -q --tries=1 --timeout=1 -O - http://127.0.0.1:9/"),
    everyday("http", &["http"], "http --ignore-stdin --timeout 1 http://127.0.0.1:9/"),
    everyday("lftp", &["lftp"], "timeout 5 lftp -c 'set net:max-retries 1; set net:timeout 1; open 127.0.0.1:9; ls'"),
    everyday("msmtp", &["msmtp"], "echo hello | msmtp --host=127.0.0.1 --port=9 --timeout=1 a@b.invalid"),
    everyday("fetchmail", &["fetchmail"], "timeout 5 fetchmail --check --nodetach"),
    everyday("rsync-project", &["rsync"], "rsync -a project/ $OUT/project"),
    everyday("tar-project", &["tar"], "tar -czf $OUT/project.tgz project"),
    everyday(
        "restic",
        &["restic"],
        "RESTIC_PASSWORD=made-up restic -q init -r $OUT/backup && RESTIC_PASSWORD=made-up restic -q backup -r $OUT/backup project",
    ),
    everyday("rclone-copy", &["rclone"], "rclone copy project $OUT/rclone"),
];

const FILES: &[Entry] = &[
    everyday("ls-home", &["ls"], "ls -laR . >$OUT/list"),
    everyday("ls-store", &["ls"], "ls -l .aws .ssh"),
    everyday("stat-store", &["stat"], "stat .aws/credentials"),
    everyday("test-store", &["bash"], "test -r .aws/credentials && test -s .npmrc"),
    everyday("find-home", &["find"], "find . -name '*.md' -newer .npmrc"),
    everyday("du-home", &["du"], "du -sh ."),
    everyday("grep-project", &["grep"], "grep -rn hello project"),
    everyday("rg-project", &["rg"], "rg hello project"),
    everyday("sed-project", &["sed"], "sed -i s/hello/hallo/ project/hello.py"),
    everyday("vim-readme", &["vim.tiny"], "vim.tiny -es -c 'norm oline' -c wq README.md"),
    everyday("chmod-store", &["chmod"], "chmod 600 .aws/credentials .npmrc"),
    everyday("cp-readme", &["cp"], "cp README.md $OUT"),
    everyday("diff", &["diff"], "diff README.md project/hello.py; true"),
    everyday("checksum", &["sha256sum"], "find project -type f -exec sha256sum {} +"),
    everyday("zip-like", &["python3"], "python3 -m zipfile -c $OUT/project.zip project"),
    everyday("write-store", &["bash"], "printf '[default]\\nregion = a\\n' >.aws/config"),
];

const SYSTEM: &[Entry] = &[
    everyday("ps", &["ps"], "ps aux"),
    everyday("top", &["top"], "TERM=dumb top -b -n 1"),
    everyday("pgrep", &["pgrep"], "pgrep -l bash"),
    everyday("lsof", &["lsof"], "lsof -p $$"),
    everyday("strace", &["strace"], "strace -o $OUT/trace true"),
    everyday("gdb", &["gdb"], "gdb --batch -ex run -ex bt true"),
    everyday("env", &["env"], "env >/dev/null"),
    everyday("id", &["id"], "id; whoami; hostname"),
    everyday("login-shell", &["bash"], "bash -lc true"),
    everyday("passwd-status", &["passwd"], "passwd -S root"),
    everyday("su", &["su"], "su -s /bin/true nobody"),
    everyday("df", &["df"], "df -h; mount; free"),
    everyday("uname", &["uname"], "uname -a; uptime"),
];
