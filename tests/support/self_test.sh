#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# self_test.sh BUILD - the server scripts start, survive kill -9, start again with their data, and leave nothing behind.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/lib.sh"
build=$(absolute "$1")
dir=$build/support-self-test
passed=0

expect() {
    local what=$1
    shift
    "$@" >/dev/null 2>&1 || die "not so: $what"
    say "ok: $what"
    passed=$((passed + 1))
}
expect_not() {
    local what=$1
    shift
    ! "$@" >/dev/null 2>&1 || die "not so: $what"
    say "ok: $what"
    passed=$((passed + 1))
}

finish() {
    local code=$?
    trap - EXIT
    "$here/mock.sh" stop "$dir/mock" || true
    "$here/postgres.sh" remove "$dir/postgres" || true
    [ ! -d "$dir/kafka" ] || "$here/kafka.sh" remove "$dir/kafka" || true
    rm -rf "$dir"
    exit "$code"
}
trap finish EXIT

pg() {
    local command=$1
    shift
    "$here/postgres.sh" "$command" "$dir/postgres" "$@"
}
ask() {
    psql -X -q -At -v ON_ERROR_STOP=1 "$(pg status)" -c "$1"
}

expect "PostgreSQL starts" pg start
expect "it takes rows" ask "create table t as select generate_series(1, 1000) as n"
first=$(pg status)
expect "starting it again changes nothing" [ "$(pg start)" = "$first" ]
expect "it speaks TCP with a password" env PGPASSWORD="$(<"$dir/postgres/password")" \
    psql -X -h 127.0.0.1 -p "$(<"$dir/postgres/port")" -U polku -c 'select 1' postgres
expect_not "it refuses TCP without one" env PGPASSWORD=wrong \
    psql -X -h 127.0.0.1 -p "$(<"$dir/postgres/port")" -U polku -c 'select 1' postgres
postmaster=$(head -n 1 "$(<"$dir/postgres/place")/data/postmaster.pid")
kill -9 "$postmaster"
expect "after kill -9 it starts again" pg start
expect "the rows are still there" [ "$(ask 'select count(*) from t')" = 1000 ]
socket=$(<"$dir/postgres/socket")
expect "it stops" pg stop
expect_not "then it does not run" pg status
expect_not "and its socket is gone" test -e "$socket"

expect "the mock cluster starts" "$here/mock.sh" start "$dir/mock"
address=$("$here/mock.sh" status "$dir/mock")
expect "it takes a message" kcat -P -b "$address" -t mail -p 0 <<<'hello'
expect "and gives it back" [ "$(kcat -C -q -b "$address" -t mail -p 0 -o beginning -c 1)" = hello ]
kill -9 "$(<"$dir/mock/pid")"
expect "after kill -9 it starts again" "$here/mock.sh" start "$dir/mock"
expect "it stops" "$here/mock.sh" stop "$dir/mock"
expect_not "then it does not run" "$here/mock.sh" status "$dir/mock"

if [ -e "$build/.deps/kafka/pom.xml" ]; then
    kafka() {
        local command=$1
        shift
        "$here/kafka.sh" "$command" "$dir/kafka" "$@"
    }
    expect "Kafka starts" kafka start "$build/.deps/kafka"
    address=$(kafka status)
    expect "it makes a topic" kafka topic mail 1
    expect "it takes a message" kcat -P -b "$address" -t mail -p 0 <<<'hello'
    expect "and gives it back" [ "$(kcat -C -q -b "$address" -t mail -p 0 -o beginning -c 1)" = hello ]
    expect "a node is killed" kafka kill-node 1
    expect_not "then it does not run" kafka status
    expect "it starts again on its port" [ "$(kafka start "$build/.deps/kafka")" = "$address" ]
    expect "the message is still there" [ "$(kcat -C -q -b "$address" -t mail -p 0 -o beginning -c 1)" = hello ]
    expect "it stops" kafka stop
    expect_not "then it does not run" kafka status
else
    say "SKIPPED: Kafka was not fetched"
fi
say "$passed expectations held"
