//! Tokens on command lines and in environments.

use super::ARGUMENTS;
use crate::story::Pair;

/// A stand-in for an agent: by its name and place, it is one.
const AGENT: &str = "lib/node_modules/@anthropic-ai/claude-code/cli.js";

pub(crate) static TABLE: &[Pair] = &[
    Pair {
        name: "argument-known",
        tools: &["curl"],
        detector: ARGUMENTS,
        mentions: &["argument 3 of its command line", "th1:", "gh-hosts"],
        attack: r#"curl -s -H "Authorization: token $(cat $TOKEN)" http://127.0.0.1:9 || true"#,
        twin: r#"curl -s -H "Authorization: token $(tr -d _ <$OTHER)" http://127.0.0.1:9 || true"#,
    },
    // It lies in no store: by its shape alone.
    Pair {
        name: "argument-shaped",
        tools: &["python3"],
        detector: ARGUMENTS,
        mentions: &["is not known", "GitHub"],
        attack: r#"/usr/bin/printf '%s' "$(cat $STAGE/shaped)" >/dev/null"#,
        twin: r#"/usr/bin/printf '%s' "$(rev $STAGE/shaped)" >/dev/null"#,
    },
    Pair {
        name: "environment-of-a-package",
        tools: &["npm", "node"],
        detector: ARGUMENTS,
        mentions: &["its variable GH_TOKEN", "inherited from", "package"],
        attack: r#"mkdir p; cd p; echo '{"name":"p","version":"1.0.0","scripts":{"postinstall":"node -e 1"}}' >package.json
GH_TOKEN=$(cat $TOKEN) npm install --offline --no-audit --no-fund >$OUT/npm 2>&1"#,
        // The same person exports it, and starts programs of their own.
        twin: r#"mkdir p; cd p; echo 'console.log(1)' >mine.js
GH_TOKEN=$(cat $TOKEN) node mine.js; GH_TOKEN=$(cat $TOKEN) make --version; GH_TOKEN=$(cat $TOKEN) npm --version"#,
    },
    Pair {
        name: "environment-of-an-agents-tool",
        tools: &["node"],
        detector: ARGUMENTS,
        mentions: &["its variable GITHUB_TOKEN", "AI agent"],
        attack: r#"GITHUB_TOKEN=$(cat $TOKEN) node $STAGE/lib/node_modules/@anthropic-ai/claude-code/cli.js ls"#,
        // The tool that the token belongs to.
        twin: r#"GITHUB_TOKEN=$(cat $TOKEN) node $STAGE/lib/node_modules/@anthropic-ai/claude-code/cli.js gh --version"#,
    },
    Pair {
        name: "environment-of-a-stranger",
        tools: &["cp"],
        detector: ARGUMENTS,
        mentions: &["directory for temporary files", "inherited from"],
        attack: r#"export GH_TOKEN=$(cat $TOKEN); d=$(mktemp -d /tmp/th-story-XXXXXX); trap 'rm -r $d' EXIT
cp /usr/bin/true $d/update; bash -c "$d/update; :""#,
        twin: r#"export GH_TOKEN=$(cat $TOKEN); mkdir -p ~/.local/bin; cp /usr/bin/true ~/.local/bin/update; bash -c "~/.local/bin/update; :""#,
    },
];

/// Makes what they need.
pub(crate) fn prepare(stage: &tokenhound_tests::stage::Stage) {
    let agent = "const [program, ...rest] = process.argv.slice(2);\n\
                 require('child_process').spawnSync(program, rest, { stdio: 'inherit' });\n";
    tokenhound_tests::stage::set_mode(&stage.file(AGENT, agent), 0o644);
    let token = shaped();
    stage.hide(&token);
    stage.file("shaped", token);
}

/// A token of GitHub's shape, with the checksum that belongs to it, issued by nobody.
fn shaped() -> String {
    let body = tokenhound_tests::token::plain("", 30);
    let script = "import sys, zlib\n\
                  n, s = zlib.crc32(sys.argv[1].encode()), ''\n\
                  for _ in range(6):\n n, r = divmod(n, 62); s = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'[r] + s\n\
                  print('ghp_' + sys.argv[1] + s, end='')";
    let mut python = std::process::Command::new("python3");
    tokenhound_tests::process::run(python.args(["-c", script]).arg(body), b"").out()
}
