#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mock.sh - librdkafka's mock Kafka cluster as a process of its own, on a random port of 127.0.0.1.
#
#   mock.sh start DIR [BROKERS]   starts it, prints its bootstrap address
#   mock.sh stop DIR              stops it; everything in it is gone
#   mock.sh status DIR            prints the address; exit code 1 when it does not run
#
# kcat holds the cluster (Debian's kcat 1.7.1 has no -M option, so it is asked for with librdkafka's
# property test.mock.num.brokers). Topics come into being when first used, with 4 partitions; at most
# 5 MiB are kept per partition, nothing is written to disk. For the quick start and for tests of
# injected errors, never for volume.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    sed -n '3,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
[ $# -ge 2 ] || usage
command=$1
dir=$(absolute "$2")
brokers=${3:-1}
mark=polku-mock-idle

address() {
    sed -n 's/.*replaced with \([0-9.:,]*\).*/\1/p' "$dir/log" | grep .
}

case "$command" in
start)
    if ! is_running "$dir/pid" "$mark"; then
        command -v kcat >/dev/null || die "kcat is missing: deploy/packages.sh run"
        rm -f "$dir/stdin" "$dir/log"
        mkfifo "$dir/stdin"
        # Opened for reading and writing, the pipe never ends, and kcat waits on it for ever.
        setsid kcat -P -q -b 127.0.0.1 -t "$mark" -X "test.mock.num.brokers=$brokers" \
            <>"$dir/stdin" >"$dir/log" 2>&1 9>&- &
        echo $! >"$dir/pid"
        wait_until 10 address || {
            cat "$dir/log" >&2
            stop_process "$dir/pid" "$mark" 2
            die "the mock cluster did not start"
        }
    fi
    address
    ;;
stop)
    # kcat waits for its input and hears no SIGTERM; it has nothing to lose.
    ! is_running "$dir/pid" "$mark" || kill -9 "$(<"$dir/pid")"
    stop_process "$dir/pid" "$mark" 3
    rm -f "$dir/stdin"
    ;;
status) is_running "$dir/pid" "$mark" && address ;;
*) usage ;;
esac
