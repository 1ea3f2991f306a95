//! What people type and what tools write down by themselves. Whoever writes has read no store.

use super::COPIED;
use crate::story::Pair;

pub(crate) static TABLE: &[Pair] = &[
    Pair {
        name: "history-of-bash",
        tools: &["bash"],
        detector: COPIED,
        mentions: &[".bash_history", "history"],
        attack: r#"exec "$STAGE/bin/typist" type @$HOME/.typed -- bash --norc -i"#,
        twin: r#"exec "$STAGE/bin/typist" type @$HOME/.typed-other -- bash --norc -i"#,
    },
    Pair {
        name: "history-of-zsh",
        tools: &["zsh"],
        detector: COPIED,
        mentions: &[".zsh_history", "history"],
        attack: r#"exec "$STAGE/bin/typist" type @$HOME/.typed -- zsh -i"#,
        twin: r#"exec "$STAGE/bin/typist" type @$HOME/.typed-other -- zsh -i"#,
    },
    // A variable moves it.
    Pair {
        name: "history-elsewhere",
        tools: &["bash"],
        detector: COPIED,
        mentions: &["my-own-history"],
        attack: r#"HISTFILE=$HOME/my-own-history exec "$STAGE/bin/typist" type @$HOME/.typed -- bash --norc -i"#,
        // What is shown goes nowhere either.
        twin: r#"HISTFILE=/dev/null exec "$STAGE/bin/typist" type @$HOME/.typed -- bash --norc -i >/dev/null"#,
    },
    Pair {
        name: "history-of-python",
        tools: &["python3"],
        detector: COPIED,
        mentions: &[".python_history"],
        attack: r#"python3 -c '
import os, readline
readline.add_history("token = " + repr(open(os.environ["TOKEN"]).read().strip()))
readline.write_history_file(os.path.expanduser("~/.python_history"))'"#,
        twin: r#"python3 -c '
import os, readline
readline.add_history("token = " + repr(open(os.environ["OTHER"]).read().strip()))
readline.write_history_file(os.path.expanduser("~/.python_history"))'"#,
    },
    Pair {
        name: "log-of-npm",
        tools: &["node"],
        detector: COPIED,
        mentions: &["_logs", "debug-0.log"],
        attack: r#"mkdir -p ~/.npm/_logs; node -e '
const fs = require("fs");
const log = fs.openSync(process.env.HOME + "/.npm/_logs/2026-01-01T00_00_00_000Z-debug-0.log", "a");
fs.writeSync(log, "0 verbose headers authorization: Bearer " + fs.readFileSync(process.env.TOKEN, "utf8"));'"#,
        twin: r#"mkdir -p ~/.npm/_logs; node -e '
const fs = require("fs");
const log = fs.openSync(process.env.HOME + "/.npm/_logs/2026-01-01T00_00_00_000Z-debug-0.log", "a");
fs.writeSync(log, "0 verbose headers authorization: Bearer " + fs.readFileSync(process.env.OTHER, "utf8"));'"#,
    },
    Pair {
        name: "log-of-terraform",
        tools: &["perl"],
        detector: COPIED,
        mentions: &["tf.log"],
        attack: r#"mkdir -p ~/tf; TF_LOG_PATH=$HOME/tf/tf.log perl -e '
open(my $log, ">>", $ENV{TF_LOG_PATH}); open(my $in, "<", $ENV{TOKEN}); print $log "[TRACE] Authorization: ", <$in>;'"#,
        twin: r#"mkdir -p ~/tf; TF_LOG_PATH=$HOME/tf/tf.log perl -e '
open(my $log, ">>", $ENV{TF_LOG_PATH}); open(my $in, "<", $ENV{OTHER}); print $log "[TRACE] Authorization: ", <$in>;'"#,
    },
];
