#!/bin/bash -p
# Ends the agent, shows what it found, and fails the job if that is bad enough.
set -euo pipefail
. "$(dirname "$0")/common.sh"

directory=$(directory)
[ -d "$directory" ] || fail 'the agent was not started in this job, or its directory was removed'
[ "$(stat -c %u "$directory")" = 0 ] || fail "$directory is not root's: somebody else made it"

if [ -e "$directory/code" ]; then
    as_root cat "$directory/log" | plain
    code=$(cat "$directory/code")
    as_root rm -rf "$directory"
    fail "the agent ended before the job did (exit code $code): what was done after that is not known"
fi
as_root kill -TERM "$(cat "$directory/pid")"
wait_for "$directory/code" "$directory/code" || fail "the agent does not end: see $directory/log"
code=$(cat "$directory/code")

as_root cat "$directory/log" | plain
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then as_root cat "$directory/summary" >>"$GITHUB_STEP_SUMMARY"; fi
if [ -n "${TOKENHOUND_SARIF:-}" ]; then
    as_root cat "$directory/sarif" >"$TOKENHOUND_SARIF"
    printf 'sarif=%s\n' "$TOKENHOUND_SARIF" >>"$GITHUB_OUTPUT"
fi
# These lines are commands to the runner, and nothing but those.
as_root cat "$directory/annotations"
as_root rm -rf "$directory"
exit "$code"
