#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# servers.sh - PostgreSQL and Kafka for the integration tests of one build folder.
#
#   servers.sh up BUILD [--nodes N]   starts both, writes BUILD/servers/env
#   servers.sh down BUILD             stops both and deletes their data
#
# To run tests by hand:  tests/support/servers.sh up build && . build/servers/env && ctest --test-dir build
# BUILD/servers/env exports POLKU_TEST_DATABASE (conninfo of an owner who may create databases and roles),
# POLKU_TEST_BROKERS (a real Kafka), POLKU_TEST_PROXIED (`kafka.sh proxied` in one line), POLKU_TEST_BUILD and, where
# the folder exists, POLKU_TEST_DATA.
# PostgreSQL runs with fsync, because crash tests must mean something. Exit code 3: PostgreSQL runs, but
# Kafka could not be fetched; POLKU_TEST_BROKERS is then not set and tests that need it skip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
. "$here/lib.sh"

usage() {
    sed -n '3,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
[ $# -ge 2 ] || usage
command=$1
build=$(absolute "$2")
shift 2
servers=$build/servers

up() {
    local database brokers='' fetched=0
    mkdir -p "$servers"
    database=$("$here/postgres.sh" start "$servers/postgres")
    "$here/kafka.sh" fetch "$build/.deps/kafka" || fetched=$?
    if [ "$fetched" -eq 0 ]; then
        brokers=$("$here/kafka.sh" start "$servers/kafka" "$build/.deps/kafka" "$@")
    elif [ "$fetched" -ne 3 ]; then
        return "$fetched"
    fi
    {
        printf 'export POLKU_TEST_DATABASE=%q\n' "$database"
        printf 'export POLKU_TEST_BUILD=%q\n' "$build"
        [ -z "$brokers" ] || printf 'export POLKU_TEST_BROKERS=%q\nexport POLKU_TEST_PROXIED=%q\n' "$brokers" \
            "$("$here/kafka.sh" proxied "$servers/kafka" | paste -sd ' ')"
        [ ! -d "$root/../shared/data" ] || printf 'export POLKU_TEST_DATA=%q\n' "$(cd "$root/../shared/data" && pwd -P)"
    } >"$servers/env"
    return "$fetched"
}

down() {
    [ ! -d "$servers/kafka" ] || "$here/kafka.sh" remove "$servers/kafka"
    [ ! -d "$servers/registry" ] || "$here/registry.sh" remove "$servers/registry" # which tests start
    [ ! -d "$servers/postgres" ] || "$here/postgres.sh" remove "$servers/postgres"
    rm -f "$servers/env"
}

case "$command" in
up) up "$@" ;;
down) down ;;
*) usage ;;
esac
