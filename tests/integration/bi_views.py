#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Schema bi over the rows of bi_sample.sql: comments, rights, names that stay, plans, privacy, moments, sums.

Needs PostgreSQL alone (POLKU_TEST_DATABASE); the migrations are applied as polku-consumer migrate applies them.
Every question of docs/bi.md is asked as well, and must give the answer printed there; with --write the answers are
put into the page.
"""
import datetime
import glob
import os
import re
import sys
import zoneinfo

from harness import ROOT, SKIPPED, Failure, Session, run_program, say

HERE = os.path.dirname(os.path.abspath(__file__))
AS_OF = '2026-05-01'
failures = 0


def expect(what, wanted, got):
    global failures
    good = wanted == got
    failures += not good
    say('%s %s%s' % ('ok  ' if good else 'FAIL', what, '' if good else ': wanted %r, got %r' % (wanted, got)))


def apply(conninfo, path):
    run_program(['psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', conninfo, '-f', path, '-o', os.devnull],
                env=dict(os.environ, PGOPTIONS='-c search_path=pg_catalog -c client_min_messages=warning'))


def columns(db):
    found = {}
    for view, column in db.rows("SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
                                " WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind = 'v' ORDER BY c.relname, a.attnum"):
        found.setdefault(view, []).append(column)
    return found


def comments(db):
    expect('views and columns without a comment', [], db.rows(
        "SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind = 'v'"
        " AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)"))
    expect('functions without a comment', [], db.rows(
        "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'bi'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL"))


def rights(db, views):
    db.rows('SET ROLE polku_reader')
    for view in views:
        try:
            db.rows('SELECT count(*), count(x::text) FROM bi.%s x' % view)
        except Failure as why:
            expect('a reader reads bi.%s' % view, None, str(why))
            raise
    expect('views that a reader read', len(views), len(views))
    db.rows('RESET ROLE')
    expect('tables of polku open to a reader', [], db.rows(
        "SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'polku'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')"
        " AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('polku_reader', c.oid, 'USAGE, SELECT, UPDATE')"
        " ELSE has_table_privilege('polku_reader', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END"))
    expect('views of bi that a reader could change', [], db.rows(
        "SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'bi'::regnamespace"
        " AND has_table_privilege('polku_reader', c.oid, 'INSERT, UPDATE, DELETE')"))
    expect('functions of polku open to a reader', [['as_of']], db.rows(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'polku'::regnamespace"
        " AND has_function_privilege('polku_reader', p.oid, 'EXECUTE')"))
    expect('a reader uses schema polku', 'f', db.rows("SELECT has_schema_privilege('polku_reader', 'polku', 'USAGE')")[0][0])


def plan(db, sql):
    return '\n'.join(line for line, in db.rows('EXPLAIN (COSTS off) ' + sql))


def plans(db):
    """With few rows the planner reads whole tables; told not to, it must find an index for each."""
    customer = db.rows("SELECT customer_id FROM bi.callback WHERE loop ORDER BY requested_at LIMIT 1")[0][0]
    journey = db.rows("SELECT journey_id FROM bi.callback WHERE loop ORDER BY requested_at LIMIT 1")[0][0]
    db.rows("SET enable_seqscan = off")
    by_customer = "SELECT * FROM bi.%%s WHERE customer_id = '%s'" % customer
    by_journey = "SELECT * FROM bi.%%s WHERE journey_id = '%s'" % journey
    asked = ["SELECT * FROM bi.customer_now WHERE customer_id = bi.customer_of('%s')" % customer]
    asked += [by_customer % v for v in ('journey', 'touchpoint', 'contact', 'transition', 'obligation', 'callback', 'overdue_now', 'recovery',
                                        'feedback', 'rating', 'expectation', 'reachability', 'return_after_contact', 'course', 'silent_churn',
                                        'journey_owner', 'customer')]
    asked += [by_journey % v for v in ('journey', 'touchpoint', 'journey_owner', 'journey_money', 'journey_brand', 'course')]
    for sql in asked:
        text = plan(db, sql)
        scans = [line.strip() for line in text.splitlines() if 'Seq Scan' in line and 'rules_state' not in line]
        expect('no table is read whole: ' + sql[14:60], [], scans)
    for view, column in (('interaction_hourly', 'hour'), ('need_hourly', 'hour'), ('rating_hourly', 'hour'), ('money_hourly', 'hour'),
                         ('repeat_daily', 'day'), ('transition_hourly', 'hour'), ('duration_hourly', 'hour'), ('journey_daily', 'day'),
                         ('obligation_hourly', 'due_hour'), ('handoff_hourly', 'hour'), ('course_daily', 'day'), ('milestone_daily', 'day'),
                         ('step_daily', 'day'), ('path_daily', 'day'), ('cause_hourly', 'hour')):
        text = plan(db, "SELECT * FROM bi.%s WHERE %s >= '2026-03-01' AND %s < '2026-03-02'" % (view, column, column))
        expect('a range of time reaches the key of %s' % view, True, 'Index Cond: ((%s >=' % column in text)
    month = "journey_id >= bi.journey_from('2026-03-01') AND journey_id < bi.journey_from('2026-04-01')"
    expect('journeys of a month by their ids', True, 'Index Cond: ((journey_id >=' in plan(db, 'SELECT journey_id, effort FROM bi.journey WHERE ' + month))
    db.rows('RESET enable_seqscan')
    expect('journeys of a month are those', db.rows("SELECT count(*) FROM bi.journey WHERE first_at >= '2026-03-01' AND first_at < '2026-04-01'"),
           db.rows('SELECT count(*) FROM bi.journey WHERE ' + month))


def function_plans(conninfo):
    """What bi.latest_events reads inside: counted by the server, in a session that has no plan yet."""
    db = Session(conninfo)
    counted = ("SELECT sum(seq_scan), sum(idx_scan) FROM pg_stat_user_tables WHERE relname ~ '^interaction_2' OR relname IN ('journey', 'obligation', 'customer')")
    customer = db.rows("SELECT customer_id FROM bi.customer ORDER BY 1 LIMIT 1")[0][0]
    db.rows("SET enable_seqscan = off; SELECT pg_stat_force_next_flush()")
    before = db.rows(counted)[0]
    db.rows("SELECT c::text FROM bi.customer_now c WHERE customer_id = '%s'" % customer)
    db.rows("SELECT pg_stat_force_next_flush()")
    after = db.rows(counted)[0]
    expect('bi.customer_now reads no table whole inside', before[0], after[0])
    expect('bi.customer_now reads by index inside', True, int(after[1]) > int(before[1]))
    db.close()


def privacy(db):
    expect('content of sensitive events', '0', db.rows(
        "SELECT count(*) FROM bi.interaction WHERE sensitive AND (topic, cause, product, reason, attributes) IS DISTINCT FROM (NULL, NULL, NULL, NULL, NULL)"
        " AND coalesce(topic, cause, product, reason, attributes::text) IS NOT NULL")[0][0])
    expect('sensitive events in the sample', True, int(db.rows('SELECT count(*) FROM bi.interaction WHERE sensitive')[0][0]) > 0)
    for view in ('contact', 'failure', 'feedback', 'touchpoint', 'rating', 'customer_now', 'recovery', 'cause_spike', 'need_hourly', 'repeat_daily',
                 'interaction_hourly', 'journey', 'contradiction', 'knowledge_lag', 'mention', 'improvement'):
        expect('words of sensitive events in bi.%s' % view, '0', db.rows(
            "SELECT count(*) FROM bi.%s x WHERE x::text ~ 'lab_result|no_access|not_found'" % view)[0][0])


def moments(db):
    for moment in ('2026-02-01', '2026-02-21 12:00', '2026-03-20'):
        db.rows("SET polku.as_of = '%s'" % moment)
        for view, column in (('failure', 'visible_at'), ('obligation', 'opened_at'), ('obligation', 'fulfilled_at'), ('obligation', 'visible_at'),
                             ('callback', 'reached_at'), ('feedback', 'handled_at'), ('recovery', 'paid_at'), ('contradiction', 'stated_at')):
            expect('nothing of bi.%s.%s after %s' % (view, column, moment), '0',
                   db.rows("SELECT count(*) FROM bi.%s WHERE %s > '%s'" % (view, column, moment))[0][0])
        expect('bi.customer_now agrees with the ledger at %s' % moment, '0', db.rows(
            "SELECT count(*) FROM bi.customer_now c JOIN (SELECT k.customer_id, count(o.customer_id) FILTER (WHERE NOT o.closed) AS open,"
            " count(o.customer_id) FILTER (WHERE o.overdue) AS overdue, count(o.customer_id) FILTER (WHERE o.broken) AS broken,"
            " coalesce(bool_or(o.overdue AND NOT o.is_handoff), false) AS no_sanction,"
            " sum(o.amount_minor) FILTER (WHERE o.broken) AS money"
            " FROM bi.customer k LEFT JOIN bi.obligation o ON o.customer_id = k.customer_id GROUP BY 1) s ON s.customer_id = c.customer_id"
            " WHERE (coalesce(jsonb_array_length(c.open_promises), 0), coalesce(jsonb_array_length(c.open_breaches), 0), c.broken, c.no_sanction,"
            " coalesce((c.broken_money ->> 'EUR')::bigint, 0)) <> (s.open, s.overdue, s.broken, s.no_sanction, coalesce(s.money, 0))")[0][0])
    db.rows("SET polku.as_of = '%s'" % AS_OF)


def sums(db):
    for what, one, other in (
            ('events', 'sum(interactions) FROM bi.interaction_hourly', 'count(*) FROM bi.interaction'),
            ('contacts', 'sum(contacts) FROM bi.interaction_hourly', 'count(*) FROM bi.contact'),
            ('journeys', 'sum(journeys) FROM bi.journey_daily', 'count(*) FROM bi.journey'),
            ('effort', 'sum(effort) FROM bi.journey_daily', 'sum(effort) FROM bi.journey'),
            ('obligations', 'sum(opened) FROM bi.obligation_hourly', 'count(*) FROM bi.obligation'),
            ('kept late in the window', 'sum(kept_late_in_window) FROM bi.obligation_hourly', "count(*) FROM bi.obligation WHERE state = 'kept_late_in_window'"),
            ('hand-offs', 'sum(offered) FROM bi.handoff_hourly', 'count(*) FROM bi.handoff'),
            ('transitions', 'sum(transitions) FROM bi.transition_hourly', 'count(*) FROM bi.transition'),
            ('fallbacks', 'sum(transitions) FROM bi.transition_hourly WHERE fallback', 'sum(fallbacks) FROM bi.journey'),
            ('repeats within 7 days', 'sum(repeated_7d) FROM bi.repeat_daily', 'count(*) FROM bi.contact WHERE repeat_7d'),
            ('repeats within 30 days', 'sum(repeated_30d) FROM bi.repeat_daily', 'count(*) FROM bi.contact WHERE repeat_30d'),
            ('repeats of journeys', 'count(*) FROM bi.contact WHERE repeat_7d', 'sum(repeats) FROM bi.journey'),
            ('ratings', 'sum(ratings) FROM bi.rating_hourly', 'count(*) FROM bi.rating'),
            ('money', 'sum(amount_minor) FROM bi.money_hourly', 'sum(amount_minor) FROM bi.journey_money'),
            ('courses', 'sum(courses) FROM bi.course_daily', 'count(*) FROM bi.course'),
            ('the funnel', 'sum(courses) FROM bi.course_daily', 'sum(n) FROM (SELECT sum(fallout) AS n FROM bi.milestone_daily UNION ALL SELECT sum(completed) FROM bi.course_daily) x'),
            ('paths', 'sum(courses) FROM bi.path_daily', 'sum(courses) FROM bi.course_daily'),
            ('steps', 'sum(steps) FROM bi.step_daily WHERE from_milestone = 0', 'sum(courses) FROM bi.course_daily'),
            ('owner-less time', "coalesce(sum(owned_for), '0') FROM bi.journey_owner WHERE NOT owned", 'sum(ownerless_for) FROM bi.journey'),
            ('orphan time', "coalesce(sum(owned_for), '0') FROM bi.journey_owner WHERE orphan", 'sum(orphan_for) FROM bi.journey'),
            ('broken', 'sum(obligations_broken) FROM bi.journey', "count(*) FROM bi.failure WHERE what = 'broken'"),
            ('touchpoints', 'count(*) FROM bi.touchpoint', 'sum(events) FROM bi.journey')):
        one, other = db.rows('SELECT %s' % one)[0][0], db.rows('SELECT %s' % other)[0][0]
        expect('sums agree: ' + what, other, one)
    expect('positions of touchpoints', '0', db.rows(
        "SELECT count(*) FROM (SELECT position, row_number() OVER (PARTITION BY journey_id ORDER BY occurred_at, position) AS n FROM bi.touchpoint"
        " WHERE occurred_at < '2026-02-01') t WHERE position <> n")[0][0])


def bucket(ms):
    if ms < 8:
        return ms
    e = ms.bit_length() - 1
    return 8 * (e - 2) + ((ms >> (e - 3)) - 8)


def durations(db):
    lengths = [0, 1, 7, 8, 9, 15, 16, 17, 1000, 59999, 60000, 3600000, 86400000, 30 * 86400000, 6 * 10**12]
    got = [int(x) for x, in db.rows("SELECT bi.bucket_of(v * interval '1 millisecond') FROM unnest('{%s}'::bigint[]) WITH ORDINALITY AS u (v, n) ORDER BY n"
                                    % ','.join(map(str, lengths)))]
    expect('buckets', [bucket(x) for x in lengths], got)
    expect('buckets begin where they say', '0', db.rows(
        "SELECT count(*) FROM generate_series(0, 330) AS b WHERE bi.bucket_of(bi.bucket_from(b)) <> b"
        " OR b > 0 AND bi.bucket_of(bi.bucket_from(b) - interval '1 millisecond') <> b - 1")[0][0])
    expect('a percentile stays within 6 %', 't', db.rows(
        "SELECT abs(extract(epoch FROM bi.percentile(0.9, bi.bucket_of(v * interval '1 s'), 1)) - 900) < 54 FROM generate_series(1, 1000) AS v")[0][0])
    expect('a percentile of nothing', None, db.rows("SELECT bi.percentile(0.5, bucket, durations) FROM bi.duration_hourly WHERE measure = 'none'")[0][0])


def business(db):
    """The garage is open from 8 to 16 in Helsinki, Monday to Friday; clocks change on 29 March."""
    zone, utc = zoneinfo.ZoneInfo('Europe/Helsinki'), datetime.timezone.utc

    def opened(a, b):
        total, day = datetime.timedelta(), a.astimezone(zone).date()
        while day <= b.astimezone(zone).date():
            if day.weekday() < 5:
                start, end = (datetime.datetime.combine(day, datetime.time(h), zone).astimezone(utc) for h in (8, 16))
                total += max(min(b, end) - max(a, start), datetime.timedelta())
            day += datetime.timedelta(1)
        return total

    at = datetime.datetime(2026, 3, 25, 4, 10, tzinfo=utc)
    wrong = []
    for n in range(40):
        a, b = at + n * datetime.timedelta(hours=5, minutes=7), at + n * datetime.timedelta(hours=9, minutes=13)
        got = db.rows("SELECT extract(epoch FROM bi.business_time('garage', 'desk', '%s', '%s'))" % (a.isoformat(), b.isoformat()))[0][0]
        if float(got) != opened(a, b).total_seconds():
            wrong.append((a, b, got))
    expect('business time over a change of clocks', [], wrong)
    expect('without a calendar it is wall time', '36000', db.rows(
        "SELECT extract(epoch FROM bi.business_time('shop', NULL, '2026-03-01 00:00Z', '2026-03-01 10:00Z'))::integer")[0][0])


def stories(db):
    """What each story must show."""
    for what, wanted, sql in (
            ('the loop of callbacks', 't', "SELECT bool_and(cycle = 2) FROM bi.callback WHERE loop"),
            ('a callback at the very end of its window', 't', "SELECT bool_and(position > 0.98 AND in_window) FROM bi.callback WHERE state = 'kept_late_in_window'"),
            ('sanctions while we had failed ourselves', 't', "SELECT bool_or(detail LIKE '% while ticket was open') FROM bi.failure WHERE what = 'sanction_during_breach'"),
            ('a complaint closed without apology', 't', "SELECT count(*) > 0 AND bool_and(apology = 'no') FROM bi.feedback WHERE type = 'complaint.opened' AND handled_at IS NOT NULL"),
            ('feedback acknowledged after weeks', 't', "SELECT bool_and(acknowledged_after > '14 days') FROM bi.feedback WHERE type = 'feedback.submitted' AND acknowledged_at IS NOT NULL"),
            ('a hand-off that nobody took', 't', "SELECT bool_and(declared_only AND from_brand = 'fuel' AND to_brand = 'garage') FROM bi.handoff"),
            ('a contradiction', 't', "SELECT bool_and(diagnosed_by = '{garage}' AND minutes > 10000) FROM bi.contradiction"),
            ('a spike', 't', "SELECT bool_or(spike AND cause = 'bad_fuel') FROM bi.cause_spike"),
            ('who was hit and not spoken to', 't', "SELECT count(*) > 0 AND bool_and(not_contacted) FROM bi.incident_customers('bad_fuel', '2026-02-01', '2026-04-01')"),
            ('expectation exceeded', 't', "SELECT bool_and(delta > 0) FROM bi.expectation"),
            ('recovery with days and share', 't', "SELECT bool_and(days_to_pay BETWEEN 2 AND 4 AND paid_of_loss < 1) FROM bi.recovery WHERE paid_at IS NOT NULL"),
            ('positive outliers', 't', "SELECT count(*) > 0 AND bool_and(brand = 'waste') FROM bi.best_journey"),
            ('an identifier leads to its customer', 't', "SELECT bool_and(bi.customer_of(identifier) = customer_id) FROM bi.customer_redirect")):
        expect(what, wanted, db.rows(sql)[0][0])


QUESTION = re.compile(r'```sql\n(.*?)```\n\n```text\n(.*?)```', re.S)


def page(conninfo, write):
    """The questions of docs/bi.md, asked by a reader."""
    path = os.path.join(ROOT, 'docs', 'bi.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    asked = 0

    def answer(match):
        nonlocal asked
        asked += 1
        start = "SET polku.as_of = '%s'; SET TimeZone = 'UTC'; SET ROLE polku_reader;" % AS_OF
        out = run_program(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-P', 'footer=off', '-P', 'linestyle=ascii', '-d', conninfo, '-c', start,
                           '-c', match.group(1)]).stdout.decode()
        got = '\n'.join(line.rstrip() for line in out.strip('\n').splitlines()) + '\n'
        if not write:
            expect('docs/bi.md: ' + match.group(1).split('\n')[0][:70], match.group(2), got)
        return '```sql\n%s```\n\n```text\n%s```' % (match.group(1), got)

    filled = QUESTION.sub(answer, text)
    expect('at least 20 questions in docs/bi.md', True, asked >= 20)
    if write:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(filled)


def main():
    if not os.environ.get('POLKU_TEST_DATABASE'):
        say('skipped: POLKU_TEST_DATABASE is not set (tests/support/servers.sh up)')
        return SKIPPED
    server = Session(os.environ['POLKU_TEST_DATABASE'] + ' dbname=postgres')
    name = 'polku_bi_%d' % os.getpid()
    conninfo = '%s dbname=%s' % (os.environ['POLKU_TEST_DATABASE'], name)
    server.rows('CREATE DATABASE %s TEMPLATE template0' % name)
    db = None
    try:
        db = Session(conninfo)
        db.rows('CREATE SCHEMA polku; CREATE TABLE polku.schema_migration (number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,'
                ' applied_at timestamptz NOT NULL DEFAULT clock_timestamp())')
        files = sorted(glob.glob(os.path.join(ROOT, 'sql', 'migrations', '*.sql')))
        for path in files[:4]:
            apply(conninfo, path)
        before = columns(db)
        for path in files[4:] + [os.path.join(ROOT, 'sql', 'roles.sql')]:
            apply(conninfo, path)
        run_program(['psql', '-X', '-q', '-d', conninfo, '-f', os.path.join(HERE, 'bi_sample.sql'), '-v', 'people=210', '-o', os.devnull])
        db.rows("SET jit = off; SET polku.as_of = '%s'" % AS_OF)
        views = columns(db)
        expect('names that went away', [], [(v, c) for v in before for c in before[v] if c not in views.get(v, [])])
        say('     %d views, %d columns' % (len(views), sum(map(len, views.values()))))
        function_plans(conninfo)
        page(conninfo, '--write' in sys.argv)
        for check in (comments, lambda d: rights(d, sorted(views)), privacy, moments, sums, durations, business, stories, plans):
            check(db)
    finally:
        if db:
            db.close()
        if not os.environ.get('POLKU_TEST_KEEP'):
            server.rows('DROP DATABASE IF EXISTS %s WITH (FORCE)' % name)
        server.close()
    say('%d failures' % failures)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
