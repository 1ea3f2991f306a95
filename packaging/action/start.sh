#!/bin/bash -p
# Starts the agent beside the steps that follow, and waits until it watches.
set -euo pipefail
. "$(dirname "$0")/common.sh"

binary=$(command -v -- "${TOKENHOUND_BINARY:-tokenhound}") ||
    fail "there is no program ${TOKENHOUND_BINARY:-tokenhound}: install tokenhound on the runner or set the input binary" 2
as_root true || fail 'the agent needs root: run the runner as root, or let its user call sudo without a password' 77
directory=$(directory)
as_root mkdir -p /run/tokenhound
as_root mkdir -m 0755 "$directory" || fail "$directory is there already: is tokenhound started twice in this job?" 2

options=(--ci --fail-on "${TOKENHOUND_FAIL_ON:-high}" --ready "$directory/ready")
for report in findings summary sarif annotations; do options+=("--$report" "$directory/$report"); done
if [ -n "${TOKENHOUND_POLICY:-}" ]; then options+=(--policy "$TOKENHOUND_POLICY"); fi

# The shell in between lives as long as the agent and keeps how it ended. We wait here until the agent is ready: by its
# lineage, which begins with us, it knows the job.
export -n RUNNER_TRACKING_ID
as_root /bin/sh -c 'umask 022; directory=$1; shift
    TOKENHOUND_LOG=${TOKENHOUND_LOG:-warn} "$@" </dev/null >"$directory/log" 2>&1 & echo $! >"$directory/pid"
    wait $!; echo $? >"$directory/code"' tokenhound "$directory" "$binary" run "${options[@]}" </dev/null >/dev/null 2>&1 &

if wait_for "$directory/ready" "$directory/code" && [ ! -e "$directory/code" ]; then
    echo 'tokenhound watches this job. Close it with a step that has "if: always()".'
    exit 0
fi
code=$(cat "$directory/code" 2>/dev/null || echo 1)
as_root cat "$directory/log" | plain
if [ -e "$directory/code" ]; then as_root rm -rf "$directory"; fi
fail "the agent did not start (exit code $code): see the log above" "$((code == 0 ? 1 : code))"
