//! Tools and people that write stores of their own: that is no copy. Another place is.

use super::COPIED;
use crate::story::Pair;

/// Assumes a role: what the service answers comes from a stand-in on loopback, and the tool keeps it in its own cache.
macro_rules! assume_role {
    ($then:literal) => {
        concat!(
            r#"mkfifo $OUT/port
python3 -c '
import http.server as http, re, sys
def tag(name, text): return "<%s>%s</%s>" % (name, text, name)
class Sts(http.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = re.search("Action=([A-Za-z]+)", asked).group(1)
        secret = open(".other").read().strip()
        keys = tag("AccessKeyId", "ASIA" + "Q" * 16) + tag("SecretAccessKey", secret) + tag("SessionToken", secret * 3)
        keys += tag("Expiration", "2037-01-01T00:00:00Z")
        who = tag("Arn", "arn:aws:sts::123456789012:assumed-role/r/s") + tag("UserId", "u") + tag("Account", "123456789012")
        result = tag("Credentials", keys) if asked == "AssumeRole" else who
        body = tag(asked + "Response", tag(asked + "Result", result)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.HTTPServer(("127.0.0.1", 0), Sts)
server.timeout = 60
print(server.server_port, flush=True)
sys.stdout.close()
server.handle_request()
server.handle_request()
' >$OUT/port &
read -r port <$OUT/port
printf '[profile r]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = default\nregion = us-east-1\n' >.aws/config
AWS_ENDPOINT_URL=http://127.0.0.1:$port aws --profile r sts get-caller-identity
wait
"#,
            $then
        )
    };
}

pub(crate) static TABLE: &[Pair] = &[
    Pair {
        name: "cached-by-aws",
        tools: &["aws", "python3", "mkfifo"],
        detector: COPIED,
        mentions: &["cached-by-aws/kept", "aws-cli-cache"],
        attack: assume_role!("cp .aws/cli/cache/*.json kept"),
        twin: assume_role!("ls .aws/cli/cache/*.json"),
    },
    Pair {
        // At once, it would be the tool's (docs/limits.md): other work comes between.
        name: "rewritten-by-gh",
        tools: &["gh", "cp"],
        detector: COPIED,
        mentions: &["rewritten-by-gh/other/hosts.yml"],
        attack: "mkdir other; mv .config/gh/config.yml other 2>&- || true; cat .config/gh/hosts.yml >other/hosts.yml
for word in git_protocol editor pager browser; do gh config get $word -h github.com >/dev/null 2>&1 || :; done
GH_CONFIG_DIR=$HOME/other gh config set -h github.com git_protocol ssh",
        twin: "gh config set -h github.com git_protocol ssh; grep -q ssh .config/gh/hosts.yml",
    },
    // With a swap file and a backup beside it while it is open.
    Pair {
        name: "edited-by-hand",
        tools: &["vim", "bash"],
        detector: COPIED,
        mentions: &["edited-by-hand/kept"],
        attack: r#"echo "exec vim -Nu NONE -c 'normal Go#' -c 'w kept' -c 'q!' .config/gh/hosts.yml" >$OUT/typed
exec "$STAGE/bin/typist" type @$OUT/typed -- bash --norc -i"#,
        twin: r#"echo "exec vim -Nu NONE -c 'set backup' -c 'normal Go#' -c wq .config/gh/hosts.yml" >$OUT/typed
exec "$STAGE/bin/typist" type @$OUT/typed -- bash --norc -i"#,
    },
];
