//! Copies by programs that people and jobs run, rather than by tools for copying.

use super::COPIED;
use crate::story::Pair;

pub(crate) static TABLE: &[Pair] = &[
    // An expected reader prints the token, and the shell writes it down.
    Pair {
        name: "printed-into-a-script",
        tools: &["gh"],
        detector: COPIED,
        mentions: &["printed-into-a-script/deploy.sh", "a script", "gh-hosts"],
        attack: r#"printf '#!/bin/sh\nexport GH_TOKEN=' >deploy.sh; gh auth token >>deploy.sh"#,
        twin: r#"printf '#!/bin/sh\nexport GH_PROTOCOL=' >deploy.sh; gh config get git_protocol >>deploy.sh"#,
    },
    Pair {
        name: "exported-into-an-env-file",
        tools: &["sed"],
        detector: COPIED,
        mentions: &["exported-into-an-env-file/.env", "aws-credentials"],
        attack: r#"sed -n 's/^aws_secret_access_key *= */export AWS_SECRET_ACCESS_KEY=/p' .aws/credentials >.env"#,
        twin: r#"sed -n 's/^aws_secret_access_key *=.*/export AWS_PROFILE=default/p' .aws/credentials >.env"#,
    },
    Pair {
        name: "saved-in-an-editor",
        tools: &["vim"],
        detector: COPIED,
        mentions: &["saved-in-an-editor/kept"],
        attack: "vim -Nu NONE -es -c 'r .config/gh/hosts.yml' -c 'w kept' -c 'q!' </dev/null",
        twin: "vim -Nu NONE -es -c 'r notes.txt' -c 'w kept' -c 'q!' </dev/null",
    },
    Pair {
        name: "copied-by-python",
        tools: &["python3"],
        detector: COPIED,
        mentions: &["copied-by-python/kept"],
        attack: r#"python3 -c 'import shutil; shutil.copy(".config/gh/hosts.yml", "kept")'"#,
        twin: r#"python3 -c 'import hashlib; open("kept", "w").write(hashlib.sha256(open(".config/gh/hosts.yml", "rb").read()).hexdigest())'"#,
    },
    Pair {
        name: "copied-by-node",
        tools: &["node"],
        detector: COPIED,
        mentions: &["copied-by-node/kept"],
        attack: r#"node -e 'require("fs").copyFileSync(".config/gh/hosts.yml", "kept")'"#,
        twin: r#"node -e 'const fs = require("fs"); fs.writeFileSync("kept", String(fs.statSync(".config/gh/hosts.yml").size))'"#,
    },
    Pair {
        name: "copied-by-perl",
        tools: &["perl"],
        detector: COPIED,
        mentions: &["copied-by-perl/kept"],
        attack: r#"perl -MFile::Copy -e 'copy(".config/gh/hosts.yml", "kept")'"#,
        twin: r#"perl -MFile::Copy -e 'copy("notes.txt", "kept")'"#,
    },
    Pair {
        name: "written-as-hex",
        tools: &["xxd"],
        detector: COPIED,
        mentions: &["written-as-hex/kept", "hex"],
        attack: "xxd -p -c0 .config/gh/hosts.yml >kept",
        twin: "xxd -p -c0 .config/gh/hosts.yml | tr 0-9 1-90 >kept",
    },
    Pair {
        name: "packed-with-gzip",
        tools: &["gzip"],
        detector: COPIED,
        mentions: &["packed-with-gzip/kept.gz", "gzip"],
        attack: "gzip -c .config/gh/hosts.yml >kept.gz",
        twin: "cat .config/gh/hosts.yml >/dev/null; gzip -c notes.txt >kept.gz",
    },
    // A home, packed and unpacked elsewhere.
    Pair {
        name: "restored-elsewhere",
        tools: &["tar"],
        detector: COPIED,
        mentions: &["restored-elsewhere/other/.config/gh/hosts.yml"],
        attack: "mkdir other; tar cf - .config notes.txt | tar xf - -C other",
        twin: "mkdir other; tar cf - .gitconfig notes.txt | tar xf - -C other",
    },
    Pair {
        name: "committed",
        tools: &["git"],
        detector: COPIED,
        mentions: &["committed/r/.git/objects/"],
        attack: "git init -q r; cat .config/gh/hosts.yml >r/.env; cd r; git add -f .env; git commit -qm env",
        twin: "git init -q r; wc .config/gh/hosts.yml >r/.env; cd r; git add -f .env; git commit -qm env",
    },
    // What a job shows is kept in a log.
    Pair {
        name: "shown-by-a-job",
        tools: &["gh"],
        detector: COPIED,
        mentions: &["shown-by-a-job/job.log", "a log"],
        attack: r#"export CI=true; bash -xc 't=$(gh auth token); echo "using $t"' >job.log 2>&1"#,
        twin: r#"export CI=true; bash -c 't=$(gh auth token); echo "using ${#t} characters"' >job.log 2>&1"#,
    },
    Pair {
        name: "by-a-timer",
        tools: &["setsid", "dash"],
        detector: COPIED,
        mentions: &["by-a-timer/backup/hosts.yml"],
        attack: "mkdir backup; setsid --wait dash -c 'cat .config/gh/hosts.yml >backup/hosts.yml'",
        twin: "mkdir backup; setsid --wait dash -c 'stat .config/gh/hosts.yml >backup/hosts.yml'",
    },
    Pair {
        name: "into-a-synced-directory",
        tools: &["cp"],
        detector: COPIED,
        mentions: &["into-a-synced-directory/Dropbox/kept", "Dropbox"],
        attack: "mkdir -p Dropbox .dropbox; cp .config/gh/hosts.yml Dropbox/kept",
        twin: "mkdir -p Dropbox .dropbox; cat .config/gh/hosts.yml >/dev/null; cp notes.txt Dropbox/kept",
    },
    Pair {
        name: "appended-by-a-function",
        tools: &["bash"],
        detector: COPIED,
        mentions: &["appended-by-a-function/all.txt"],
        attack: r#"keep() { while read -r line; do echo "$line" >>all.txt; done <"$1"; }; keep .config/gh/hosts.yml"#,
        twin: r#"keep() { while read -r line; do echo "${#line}" >>all.txt; done <"$1"; }; keep .config/gh/hosts.yml"#,
    },
];
