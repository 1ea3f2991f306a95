//! Programs that are not what they look like, and programs that are: who reads must be named by file and script, and on
//! whose behalf by lineage. All by an unprivileged user, who can write where the tricks lie.

use crate::entry::{Context, Entry, Shown, trick};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    [PROGRAMS, INTERPRETERS, LINEAGES].into_iter().flatten()
}

/// A stranger, of whom this is told.
const fn found(reader: &'static str, script: &'static str, actor: &'static str) -> Option<Shown> {
    Some(Shown { reader, script, actor })
}

/// The right program: silence.
const SILENT: Option<Shown> = None;
const JOB: &str = "ci-job";
const INLINE: &str = "inline";

const PROGRAMS: &[Entry] = &[
    trick("own-tool", "`gh` itself", &["gh"], "gh config get git_protocol -h github.com", SILENT),
    trick(
        "tool-link",
        "`gh` through a symbolic link with another name",
        &["gh"],
        "ln -s $(command -v gh) $OUT/mine; $OUT/mine config get git_protocol -h github.com",
        SILENT,
    ),
    trick(
        "tool-wrapper",
        "a wrapper script that starts `gh`",
        &["gh"],
        "printf '#!/bin/sh\\nexec gh \"$@\"\\n' >$OUT/w; chmod +x $OUT/w; $OUT/w config get git_protocol -h github.com",
        SILENT,
    ),
    trick(
        "tool-env",
        "`gh` with next to no environment",
        &["gh"],
        "env -i HOME=$HOME PATH=$PATH gh config get git_protocol -h github.com",
        SILENT,
    ),
    trick(
        "tool-copy",
        "a copy of `gh` that its user can write",
        &["gh"],
        "cp $(command -v gh) $OUT/gh; $OUT/gh config get git_protocol -h github.com",
        found("/gh", "", JOB),
    ),
    trick(
        "renamed",
        "`cat` under the name of `gh`",
        &["cat"],
        "cp /bin/cat $OUT/gh; $OUT/gh .config/gh/hosts.yml",
        found(".out/gh", "", JOB),
    ),
    trick(
        "other-directory",
        "the right name, below a directory of the right name",
        &["cat"],
        "mkdir -p $OUT/usr/bin; cp /bin/cat $OUT/usr/bin/gh; $OUT/usr/bin/gh .config/gh/hosts.yml",
        found(".out/usr/bin/gh", "", JOB),
    ),
    trick(
        "linked",
        "a hard link with the right name",
        &["cat"],
        "cp /bin/cat $OUT/x; ln $OUT/x $OUT/gh; $OUT/gh .config/gh/hosts.yml",
        found(".out/gh", "", JOB),
    ),
    trick(
        "link-to-cat",
        "a symbolic link with the right name that leads to `cat`",
        &["cat"],
        "ln -s /bin/cat $OUT/gh; $OUT/gh .config/gh/hosts.yml",
        found("/bin/cat", "", JOB),
    ),
    trick(
        "argv",
        "`argv[0]` is `/usr/bin/gh`",
        &["cat", "bash"],
        "bash -c 'exec -a /usr/bin/gh cat .config/gh/hosts.yml'",
        found("/bin/cat", "", JOB),
    ),
    trick(
        "comm",
        "a process that calls itself `gh`",
        &["python3"],
        "python3 -c 'import ctypes; ctypes.CDLL(None).prctl(15, b\"gh\"); open(\".config/gh/hosts.yml\").read()'",
        found("/python3.11", INLINE, JOB),
    ),
    trick(
        "by-deleted",
        "a program whose file is gone",
        &["cat"],
        // The pipe opens when the program runs; then its file goes, and it reads on.
        "cp /bin/cat $OUT/x; mkfifo $OUT/f; $OUT/x $OUT/f .config/gh/hosts.yml & exec 7>$OUT/f; rm $OUT/x; exec 7>&-; wait",
        found(".out/x", "", JOB),
    ),
    trick(
        "by-memfd",
        "a program that never had a file",
        &["python3"],
        "python3 -c 'import os; f = os.memfd_create(\"gh\"); os.write(f, open(\"/bin/cat\", \"rb\").read()); os.execve(f, [\"gh\", \".config/gh/hosts.yml\"], os.environ)'",
        found("memfd:gh", "", JOB),
    ),
    trick(
        "by-loader",
        "the dynamic loader runs `cat` under the name of `gh`",
        &["cat"],
        "cp /bin/cat $OUT/gh; /lib64/ld-linux-x86-64.so.2 $OUT/gh .config/gh/hosts.yml",
        found("/ld-linux-x86-64.so.2", ".out/gh", JOB),
    ),
    trick(
        "applet",
        "an applet of busybox, linked as `gh`",
        &["busybox"],
        "mkdir $OUT/b; cp $(command -v busybox) $OUT/b/busybox; cp $OUT/b/busybox $OUT/b/cat; $OUT/b/cat .config/gh/hosts.yml",
        found(".out/b/cat", "", JOB),
    ),
    trick(
        "plugin",
        "an alias of `git` that starts `cat`",
        &["git"],
        "git -c alias.x='!cat ~/.git-credentials' x",
        found("/bin/cat", "", JOB),
    ),
    trick(
        "helper",
        "a credential helper of `git` that is a shell command",
        &["git"],
        "printf 'protocol=https\\nhost=git.invalid\\n\\n' | GIT_TERMINAL_PROMPT=0 git -c credential.helper='!f() { cat ~/.git-credentials >/dev/null; }; f' credential fill || true",
        found("/bin/cat", "", JOB),
    ),
];

const INTERPRETERS: &[Entry] = &[
    trick(
        "script-name",
        "a Python script with the name of the AWS CLI",
        &["python3"],
        "echo 'open(\".aws/credentials\").read()' >$OUT/aws; python3 $OUT/aws",
        found("/python3.11", ".out/aws", JOB),
    ),
    trick(
        "shebang",
        "the same, started by its first line",
        &["python3"],
        "printf '#!/usr/bin/python3\\nopen(\".aws/credentials\").read()\\n' >$OUT/aws; chmod +x $OUT/aws; $OUT/aws",
        found("/python3.11", ".out/aws", JOB),
    ),
    trick(
        "by-inline",
        "code on the command line",
        &["python3"],
        "python3 -c 'open(\".config/gh/hosts.yml\").read()' aws",
        found("/python3.11", INLINE, JOB),
    ),
    trick(
        "by-stdin",
        "code from a pipe",
        &["python3"],
        "echo 'open(\".config/gh/hosts.yml\").read()' | python3 - aws",
        found("/python3.11", INLINE, JOB),
    ),
    trick(
        "interpreter-link",
        "a symbolic link to the interpreter",
        &["python3"],
        "ln -s /usr/bin/python3 $OUT/gh; $OUT/gh -c 'open(\".config/gh/hosts.yml\").read()'",
        found("/python3.11", INLINE, JOB),
    ),
    trick(
        "interpreter-copy",
        "a copy of the interpreter under the name of `gh`",
        &["python3"],
        "cp /usr/bin/python3.11 $OUT/gh; $OUT/gh -c 'open(\".config/gh/hosts.yml\").read()'",
        found(".out/gh", "", JOB),
    ),
    trick(
        "fake-venv",
        "a virtual environment with an `aws` of its own",
        &["python3"],
        "python3 -m venv --without-pip $OUT/v; printf '#!%s/v/bin/python\\nopen(\".aws/credentials\").read()\\n' $OUT >$OUT/v/bin/aws; chmod +x $OUT/v/bin/aws; $OUT/v/bin/aws",
        found("/python3.11", ".out/v/bin/aws", JOB),
    ),
    trick(
        "fake-module",
        "npm's own script name in a directory of the user's",
        &["node"],
        "mkdir -p $OUT/npm/bin; echo 'require(\"fs\").readFileSync(process.env.HOME + \"/.npmrc\")' >$OUT/npm/bin/npm-cli.js; cd $OUT; node npm/bin/npm-cli.js || true",
        found("/node", ".out/npm/bin/npm-cli.js", JOB),
    ),
    trick(
        "venv-name",
        "the name of a virtual environment that the catalogue lists",
        &["python3"],
        "mkdir -p $OUT/venv/bin; echo 'open(\".aws/credentials\").read()' >$OUT/venv/bin/aws; python3 $OUT/venv/bin/aws",
        found("/python3.11", ".out/venv/bin/aws", JOB),
    ),
    trick(
        "shell-script",
        "a shell script that reads by itself",
        &["dash"],
        "echo 'read -r x <.npmrc' >$OUT/gh; dash $OUT/gh",
        found("/dash", ".out/gh", JOB),
    ),
    trick("npm-itself", "npm itself", &["npm"], "npm config get registry", SILENT),
];

const LINEAGES: &[Entry] = &[
    trick(
        "by-orphan",
        "a grandchild whose parents are gone",
        &["setsid"],
        "(setsid sh -c 'cat .npmrc >$OUT/loot' &); until test -s $OUT/loot; do :; done",
        found("/bin/cat", "", JOB),
    ),
    trick(
        "nohup",
        "`nohup`, `timeout` and `env` before it",
        &["nohup", "timeout"],
        "nohup timeout 5 env A=b cat .npmrc >$OUT/loot",
        found("/bin/cat", "", JOB),
    ),
    trick(
        "no-variables",
        "a job that clears its variables",
        &["env"],
        "env -i HOME=$HOME cat .npmrc",
        found("/bin/cat", "", JOB),
    ),
    trick(
        "false-variables",
        "cron's job that says it is npm's",
        &["cat"],
        "npm_lifecycle_event=postinstall CLAUDECODE=1 cat .npmrc",
        found("/bin/cat", "", "package-script"),
    )
    .only(&[Context::Cron]),
    trick("by-cron-job", "a job of cron", &["cat"], "cat .npmrc", found("/bin/cat", "", "automation"))
        .only(&[Context::Cron]),
    trick(
        "by-lifecycle",
        "a postinstall script",
        &["npm"],
        "cd project && npm install --offline --no-audit --no-fund $STAGE/thief.tgz",
        found("/bin/cat", "", "package-script"),
    ),
    trick(
        "by-npm-exec",
        "a program of a package, started by `npm exec`",
        &["npm"],
        "cd project && mkdir -p node_modules/.bin && printf '#!/usr/bin/env node\\nrequire(\"fs\").readFileSync(process.env.HOME + \"/.config/gh/hosts.yml\")\\n' >node_modules/.bin/tool && chmod +x node_modules/.bin/tool && npm exec --offline tool",
        found("/node", "node_modules/.bin/tool", "package-script"),
    ),
    trick(
        "by-agent",
        "the shell of an AI agent",
        &["node"],
        "node $STAGE/lib/node_modules/@anthropic-ai/claude-code/cli.js",
        found("/bin/cat", "", "ai-agent"),
    ),
];
