#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# quickstart_test.sh BUILD - deploy/quickstart shows what the five stories are about, stops what it started,
# and runs again after everything of it was killed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/support/lib.sh
build=$(absolute "$1")
export POLKU_BUILD=$build
here=$build/quickstart
failed=0

expect() {
    local what=$1 wanted=$2 got=$3
    if [ "$got" = "$wanted" ]; then
        say "ok: $what"
    else
        say "NOT SO: $what"
        diff <(printf '%s\n' "$wanted") <(printf '%s\n' "$got") >&2 || true
        failed=$((failed + 1))
    fi
}

finish() {
    local code=$?
    trap - EXIT
    deploy/quickstart --stop || true
    exit "$code"
}
trap finish EXIT

deploy/quickstart --keep >"$build/quickstart.out"
expect "it prints all its parts" 5 "$(grep -c -E \
    '^(The five stories|What was owed|All obligations|Rate|Look further)' "$build/quickstart.out")"
database=$(sed -n 's/^database = //p' "$here/consumer.conf")
sql() {
    psql -X -q -At -F ' ' -v ON_ERROR_STOP=1 "$database" -c "set timezone = 'Europe/Helsinki'" -c "$1"
}

expect "S0: the hand-off to the garage is declared and never accepted" "overdue t 1 0" "$(sql "
    select o.state, o.broken, j.handoffs_offered, j.handoffs_accepted
    from bi.obligation o join bi.journey j using (journey_id) where o.kind = 'handoff' and o.brand = 'Kaarnan Autotalo'")"
expect "S0: both questions are replied to, none is answered" "replied_not_answered 2" "$(sql "
    select state, count(*) from bi.obligation where kind = 'question' and brand = 'Ruskavoima' group by state")"
expect "S1: the payment has no ticket" "overdue t 0" "$(sql "
    select state, broken, attempts from bi.obligation where kind = 'ticket' and brand = 'Pohjanratas' and not closed")"
expect "S2: two promises have no deadline and no owner" "callback open t t
easy_project open t t" "$(sql "
    select kind, state, no_deadline, no_owner from bi.obligation
    where brand in ('Harjutalot', 'Ovipaja Vesterlund') and no_deadline order by kind")"
expect "S3: the callback is kept late in its window" "kept_late_in_window 0.988 00:05:00" "$(sql "
    select state, round(position::numeric, 3), due_to - fulfilled_at from bi.obligation
    where kind = 'callback' and brand = 'Lumme Terveys'")"
expect "S3: the feedback is acknowledged after 17.5 days" "late 17.50" "$(sql "
    select state, round((extract(epoch from fulfilled_at - opened_at) / 86400)::numeric, 2) from bi.obligation
    where kind = 'feedback' and brand = 'Lumme Terveys' and fulfilled_at is not null")"
expect "S4: four callbacks are attempted, none reaches" "attempted_not_reached 4" "$(sql "
    select state, count(*) from bi.obligation where kind = 'callback' and brand = 'Huoltoratas' group by state")"
expect "no record is in quarantine" 0 "$(sql 'select count(*) from bi.quarantine')"
simulated=$(sed -n 's/ simulated events published.*//p' "$build/quickstart.out")
all=$(($(cat deploy/demo/s?.jsonl | wc -l) + simulated))
expect "every event is in the database once" "$all" "$(sql 'select count(*) from bi.interaction')"
# shellcheck disable=SC1091 # written by the quick start
expect "its environment leads the programs and psql there" "1
1
$((all + 1))" "$(
    . "$here/env"
    sed -n 's/"event_id": "/&more-/p;q' deploy/demo/s0.jsonl | polku-producer send --log-format json 2>&1 | grep -c '"delivered":1,'
    deadline=$((SECONDS + 60))
    until [ "$(psql -XAtc 'select count(*) from bi.interaction')" = $((all + 1)) ] || [ $SECONDS -gt $deadline ]; do sleep 0.1; done
    psql -XAtc "select count(*) from bi.interaction where event_id like 'more-%'"
    psql -XAtc 'select count(*) from bi.interaction')"

kill -9 "$(<"$here/consumer.pid")" "$(<"$here/kafka/pid")" \
    "$(head -n 1 "$(<"$here/postgres/place")/data/postmaster.pid")"
deploy/quickstart >"$build/quickstart-again.out"
expect "it runs again after a kill" 5 "$(grep -c -E \
    '^(The five stories|What was owed|All obligations|Rate|Look further)' "$build/quickstart-again.out")"
# Ids and states are functions of the events: the tables of both runs are the same text.
expect "and shows the same" "$(sed -n '/^The five/,/^In the/p' "$build/quickstart.out")" \
    "$(sed -n '/^The five/,/^In the/p' "$build/quickstart-again.out")"
for what in "$here/consumer.pid" "$here/kafka/pid" "$here/postgres/conninfo"; do
    expect "nothing is left running: ${what#"$build"/}" no "$([ -e "$what" ] && echo yes || echo no)"
done
expect "psql opens the result" "$all" \
    "$(deploy/quickstart --psql <<<'\pset tuples_only on
\pset format unaligned
select count(*) from bi.interaction;' | tail -n 1)"
[ "$failed" -eq 0 ] || die "$failed expectations failed"
