# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - what the server scripts share: ports, waiting for facts, processes by pid file. To be sourced.
#
# Every server lives in a folder of its own. Whoever starts it writes its pid there; a pid file counts
# only while that process's command line still contains the server's mark, so a folder left by kill -9
# or by a machine that went down is never mistaken for a running server, nor a stranger for ours.

export LC_ALL=C.UTF-8

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# Prints a port of 127.0.0.1 on which nobody listens, below the range from which the kernel takes the
# ports of outgoing connections. Another process may still take it first: callers try again.
free_port() {
    local port try
    for try in {1..200}; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
    die "no free port found in $try tries"
}

# wait_until SECONDS COMMAND... - asks ten times a second; false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# is_running PIDFILE MARK
is_running() {
    local pid
    [ -s "$1" ] && pid=$(<"$1") && [ -r "/proc/$pid/cmdline" ] &&
        tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2"
}

is_gone() {
    ! is_running "$@"
}

# stop_process PIDFILE MARK SECONDS - SIGTERM, then SIGKILL when it has not left by then.
stop_process() {
    if is_running "$1" "$2"; then
        kill "$(<"$1")" 2>/dev/null || true
        if ! wait_until "$3" is_gone "$1" "$2"; then
            kill -9 "$(<"$1")" 2>/dev/null || true
            wait_until 10 is_gone "$1" "$2" || return 1
        fi
    fi
    rm -f "$1"
}

# need_value OPTION COUNT - for option loops: COUNT arguments are left, the value included.
need_value() {
    [ "$2" -ge 2 ] || die "$1 needs a value"
}

# absolute DIR - makes it if need be and prints its real path.
absolute() {
    mkdir -p "$1" && (cd "$1" && pwd -P)
}
