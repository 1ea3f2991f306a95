# What both steps share. Read, not run.

# Earlier steps choose PATH and much else of what a step is started with.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset ENV BASH_ENV

# How long to wait for the agent to start or to end, in seconds.
PATIENCE=${TOKENHOUND_PATIENCE:-120}

fail() {
    echo "::error title=tokenhound::$1"
    exit "${2:-1}"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

# The agent's directory: root's, so that no step without root's rights can change what is reported. Both steps find it by
# variables that the runner does not let a step set.
directory() {
    local place run=${GITHUB_RUN_ID:-0} attempt=${GITHUB_RUN_ATTEMPT:-0}
    place=$(printf '%s' "${RUNNER_TEMP:?is not set: this is no job of a GitHub Actions runner}" | sha256sum | cut -c1-16)
    printf '/run/tokenhound/ci-%s-%s-%s' "${run//[!0-9]/}" "${attempt//[!0-9]/}" "$place"
}

# Text for the log in which no line is a command to the runner.
plain() {
    sed -e 's/##/#\\x23/g' -e 's/^[[:space:]]*::/\\x3a:/'
}

# Waits for a file of the agent, or for its end. No wait is needed where there already is one.
wait_for() {
    local end=$((SECONDS + PATIENCE))
    until [ -e "$1" ] || [ -e "$2" ]; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}
