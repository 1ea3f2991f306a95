//! Copies of tokens. In each twin a store is read as well, and what is written holds no token.

use crate::story::Pair;

const COPIED: &str = "token-copied";

pub(crate) static TABLE: &[Pair] = &[
    Pair {
        name: "copy-by-cp",
        tools: &["cp"],
        detector: COPIED,
        mentions: &["copy-by-cp/kept", "th1:", "gh-hosts", "as it is"],
        attack: "cp .config/gh/hosts.yml kept",
        twin: "cat .config/gh/hosts.yml >/dev/null; cp .other kept",
    },
    Pair {
        name: "copy-into-a-script",
        tools: &["sed"],
        detector: COPIED,
        mentions: &["copy-into-a-script/deploy.sh", "a script", "line 2", "gh-hosts"],
        attack: r#"t=$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml)
printf '#!/bin/sh\ncurl -H "Authorization: token %s" x\n' "$t" >deploy.sh"#,
        twin: r#"t=$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml | tr a-z b-za)
printf '#!/bin/sh\ncurl -H "Authorization: token %s" x\n' "$t" >deploy.sh"#,
    },
    Pair {
        name: "copy-by-a-shell-out-of-a-pipeline",
        tools: &["sed", "tr"],
        detector: COPIED,
        mentions: &["copy-by-a-shell-out-of-a-pipeline/deploy.sh", "a script"],
        attack: r#"t=$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml | tr -d ' ')
printf '#!/bin/sh\nTOKEN=%s\n' "$t" >deploy.sh"#,
        twin: r#"t=$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml | tr a-z b-za)
printf '#!/bin/sh\nTOKEN=%s\n' "$t" >deploy.sh"#,
    },
    Pair {
        name: "copy-by-tee",
        tools: &["tee"],
        detector: COPIED,
        mentions: &["copy-by-tee/kept"],
        attack: "cat .config/gh/hosts.yml | tee kept >/dev/null",
        twin: "cat .config/gh/hosts.yml | tr a-z b-za | tee kept >/dev/null",
    },
    Pair {
        name: "copy-by-dd",
        tools: &["dd"],
        detector: COPIED,
        mentions: &["copy-by-dd/kept"],
        attack: "dd if=.config/gh/hosts.yml of=kept status=none",
        twin: "dd if=.config/gh/hosts.yml of=kept status=none count=1 bs=8",
    },
    Pair {
        name: "copy-by-install",
        tools: &["install"],
        detector: COPIED,
        mentions: &["copy-by-install/bin/conf"],
        attack: "mkdir bin; install -m 640 .config/gh/hosts.yml bin/conf",
        twin: "mkdir bin; cat .config/gh/hosts.yml >/dev/null; install -m 640 notes.txt bin/conf",
    },
    Pair {
        name: "copy-by-sed-in-place",
        tools: &["sed"],
        detector: COPIED,
        mentions: &["copy-by-sed-in-place/app.env", "a file of environment variables"],
        attack: r#"echo 'TOKEN=@' >app.env
sed -i -e "s|@|$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml)|" app.env"#,
        twin: r#"echo 'TOKEN=@' >app.env
sed -i -e "s|@|$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml | wc -c)|" app.env"#,
    },
    Pair {
        name: "copy-saved-by-rename",
        tools: &["mv"],
        detector: COPIED,
        mentions: &["copy-saved-by-rename/app.conf"],
        attack: "cat .config/gh/hosts.yml >.app.conf.tmp; mv .app.conf.tmp app.conf",
        twin: "cat .config/gh/hosts.yml | tr a-z b-za >.app.conf.tmp; mv .app.conf.tmp app.conf",
    },
    Pair {
        name: "copy-in-a-here-document",
        tools: &["sed"],
        detector: COPIED,
        mentions: &["copy-in-a-here-document/.env"],
        attack: "cat >.env <<END\nGH_TOKEN=$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml)\nEND",
        twin: "cat >.env <<END\nGH_TOKEN=$(sed -n 's/.*oauth_token: //p' .config/gh/hosts.yml | wc -c)\nEND",
    },
    Pair {
        name: "copy-through-three-pipes",
        tools: &["grep", "cut"],
        detector: COPIED,
        mentions: &["copy-through-three-pipes/kept"],
        attack: "cat .config/gh/hosts.yml | grep oauth_token | cut -d: -f2 >kept",
        twin: "cat .config/gh/hosts.yml | grep -v oauth_token | cut -d: -f2 >kept",
    },
    Pair {
        name: "copy-base64-twice",
        tools: &["base64"],
        detector: COPIED,
        mentions: &["copy-base64-twice/kept", "base64-twice"],
        attack: "base64 -w0 .config/gh/hosts.yml | base64 -w0 >kept",
        twin: "tr a-z b-za <.config/gh/hosts.yml | base64 -w0 | base64 -w0 >kept",
    },
    Pair {
        name: "copy-in-a-tar",
        tools: &["tar", "gzip"],
        detector: COPIED,
        mentions: &["copy-in-a-tar/home.tgz", "gzip: .config/gh/hosts.yml", "an archive"],
        attack: "tar czf home.tgz .config notes.txt",
        twin: "cat .config/gh/hosts.yml >/dev/null; tar czf home.tgz notes.txt .other",
    },
    Pair {
        name: "copy-in-a-zip",
        tools: &["python3"],
        detector: COPIED,
        mentions: &["copy-in-a-zip/home.zip", "zip: ", "hosts.yml"],
        attack: "python3 -c 'import zipfile; zipfile.ZipFile(\"home.zip\", \"w\", 8).write(\".config/gh/hosts.yml\")'",
        twin: "python3 -c 'import zipfile; open(\".config/gh/hosts.yml\").read(); zipfile.ZipFile(\"home.zip\", \"w\", 8).write(\".other\")'",
    },
    Pair {
        name: "copy-into-git",
        tools: &["git"],
        detector: COPIED,
        mentions: &["copy-into-git/r/.git/objects/", "zlib", "git's own"],
        attack: "git init -q r; cp .config/gh/hosts.yml r/conf; git -C r add conf",
        twin: "git init -q r; cat .config/gh/hosts.yml >/dev/null; cp .other r/conf; git -C r add conf",
    },
    Pair {
        name: "copy-into-a-repository",
        tools: &["git"],
        detector: COPIED,
        mentions: &["copy-into-a-repository/r/notes", "in a git work tree and not ignored"],
        attack: "git init -q r; cat .config/gh/hosts.yml >>r/notes",
        twin: "git init -q r; wc .config/gh/hosts.yml >>r/notes",
    },
    Pair {
        name: "copy-into-a-ci-definition",
        tools: &["sed"],
        detector: COPIED,
        mentions: &[".github/workflows/ci.yml", "a file of a CI system"],
        attack: "mkdir -p .github/workflows; sed 's/oauth_token/token/' .config/gh/hosts.yml >.github/workflows/ci.yml",
        twin: "mkdir -p .github/workflows; sed 's/oauth_token.*/token: x/' .config/gh/hosts.yml >.github/workflows/ci.yml",
    },
    Pair {
        name: "copy-into-a-log",
        tools: &["cat"],
        detector: COPIED,
        mentions: &["copy-into-a-log/build.log", "a log"],
        attack: "set -x; { cat .config/gh/hosts.yml; } >>build.log",
        twin: "set -x; { wc .config/gh/hosts.yml; } >>build.log",
    },
];
