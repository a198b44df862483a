# SPDX-License-Identifier: Apache-2.0
"""No figure disagrees with another one: bi_ties.sql over rows that consumers wrote, each fact asked in two ways.

    bi_ties.py [SET..]                       stories, hostile, month (default: all) through Kafka to two consumers
    bi_ties.py --database CONNINFO MOMENT..  what is there, as of these moments; the last one is after all events

Three sets of events: deploy/demo, a small month (merges, late events, a change of clocks; both under deploy/polku.yaml), and
hostile ones of tests/oracle/generate.py with random calendars and definitions. Each is asked as of a moment within and of one after
it, in UTC and in a zone with changes of clocks. Every view is read whole, once, so that a slow one shows. At last the words of every
sensitive event are replaced by one word that no view may show.
"""

import itertools
import os
import re
import subprocess
import sys
import time

from harness import KEY_FILE, ORACLE, ROOT, Run, Session, generate, polku_oracle, program, run_program, say

SQL = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'bi_ties.sql')
RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SETS = ['stories', 'hostile', 'month']
STORIES = [os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % n) for n in range(5)]
ZONES = 'UTC', 'Europe/Helsinki'
# A question that cannot be asked is a difference too, and no end of the session.
ASKED = '''CREATE FUNCTION pg_temp.asked(question text, OUT difference text, OUT compared bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE question INTO difference, compared;
EXCEPTION WHEN OTHERS THEN
    difference := SQLERRM;
END $$'''
COMPARED = {}  # tie -> rows compared in all sets
POISON = 'a_word_that_is_nowhere_else'


def ties():
    """(name, only at the end, statements) of the file."""
    with open(SQL, encoding='utf-8') as file:
        blocks = re.split(r'^-- tie( at the end)?: (.*)\n', file.read(), flags=re.MULTILINE)[1:]
    for at_end, name, text in zip(blocks[::3], blocks[1::3], blocks[2::3]):
        text = re.sub(r'^--.*\n', '', text, flags=re.MULTILINE)
        yield name, bool(at_end), [statement.strip() for statement in re.split(r';$', text, flags=re.MULTILINE) if statement.strip()]


def difference(statements):
    """SQL: the first row that differs, how many rows were compared."""
    if len(statements) == 1:
        return 'WITH one AS MATERIALIZED (%s\n) SELECT (SELECT min(one::text) FROM one), 1' % statements[0]
    return """WITH one AS MATERIALIZED (%s\n), other AS MATERIALIZED (%s\n)
        SELECT (SELECT min(x) FROM (SELECT 'only the first: ' || a::text AS x FROM (TABLE one EXCEPT ALL TABLE other) a
                       UNION ALL SELECT 'only the second: ' || b::text FROM (TABLE other EXCEPT ALL TABLE one) b) d),
               (SELECT count(*) FROM one)""" % tuple(statements)


def views(db):
    return [name for name, in db.rows("SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace AND relkind = 'v' ORDER BY 1")]


def ask(run, conninfo, what, moment, zone, at_end):
    """Every tie as of the moment; all in one snapshot."""
    db = Session(conninfo)
    db.rows("SET polku.as_of = '%s'; SET TimeZone = '%s'; SET jit = off; SET work_mem = '64MB'" % (moment, zone))
    db.rows(ASKED)
    db.rows('BEGIN ISOLATION LEVEL REPEATABLE READ')
    slow = {}
    for view in views(db):
        begun = time.monotonic()
        db.rows('CREATE TEMP TABLE %s ON COMMIT DROP AS TABLE bi.%s; ANALYZE %s' % (view, view, view))
        slow[view] = time.monotonic() - begun
    for column in 'journey_id', 'event_hash', 'customer_id':
        for view in views(db):
            if db.rows("SELECT 1 FROM pg_attribute WHERE attrelid = 'pg_temp.%s'::regclass AND attname = '%s'" % (view, column)):
                db.rows('CREATE INDEX ON pg_temp.%s (%s)' % (view, column))
    say('  %s as of %s in %s; slowest views: %s' % (what, moment, zone, ', '.join(
        '%s %.1f s' % (view, slow[view]) for view in sorted(slow, key=slow.get)[:-4:-1])))
    wrong = asked = 0
    for name, only_at_end, statements in ties():
        if only_at_end and not at_end:
            continue
        found, compared = db.rows('SELECT * FROM pg_temp.asked($tie$%s$tie$)' % difference(statements))[0]
        asked += 1
        COMPARED[name] = COMPARED.get(name, 0) + int(compared or 0)
        if found is not None:
            wrong += 1
            run.expect_that('%s: %s' % (what, name), False, found)
    run.expect_that('%s: %d ties hold' % (what, asked - wrong), not wrong, '%d do not' % wrong)
    db.rows('ROLLBACK')
    db.close()


def poison(run, conninfo, what, moment):
    """What a sensitive event is about is in no view: not even if it is a word that leaps to the eye."""
    db = Session(conninfo)
    db.rows("SET polku.as_of = '%s'; SET jit = off" % moment)
    db.rows('BEGIN')
    count = int(db.rows('SELECT count(*) FROM bi.interaction WHERE sensitive')[0][0])
    db.rows("INSERT INTO polku.dictionary (text) VALUES ('%s')" % POISON)
    keys = 'apology', 'fault_admitted', 'medium', 'sentiment', 'reach', 'pattern', 'other'
    db.rows("""UPDATE polku.interaction SET (topic_id, cause_id, reason_id) = (SELECT d.id, d.id, d.id FROM polku.dictionary d WHERE text = '%s'),
        product = '%s', attributes = '{%s}' WHERE sensitivity = 1""" % (POISON, POISON, ', '.join('"%s": "%s"' % (k, POISON) for k in keys)))
    shown = [view for view in views(db) if db.rows("SELECT 1 FROM bi.%s x WHERE strpos(x::text, '%s') > 0 LIMIT 1" % (view, POISON))]
    if db.rows("SELECT 1 FROM bi.incident_customers('%s', '1990-01-01', '2200-01-01')" % POISON):
        shown.append('incident_customers')
    run.expect('%s: views with words of %d sensitive events' % (what, count), [], shown)
    db.rows('ROLLBACK')
    db.close()


def moments(db):
    """Within and after; the last event lies between the two."""
    within = db.value("SELECT percentile_disc(0.6) WITHIN GROUP (ORDER BY occurred_at) FROM bi.interaction")
    return within, db.value("""SELECT greatest(max(i.occurred_at), (SELECT max(greatest(changed_at, fulfilled_at, due_to)) FROM polku.obligation
                               WHERE due_to < '2190-01-01')) + interval '40 days' FROM bi.interaction i""")


def run_set(run, what, rules, files, options):
    db, topic = run.database(), run.topic(6)
    pair = [run.consumer(db, topic, rules, *options, name='%s-%d' % (what, n)).start() for n in range(2)]
    topic.publish('--partition-by', 'random', '--shuffle', str(run.seed), '--seed', str(run.seed), *files)
    topic.drain(db)
    for consumer in pair:
        consumer.stop()
    say('  %s: %d events, %s' % (what, db.number('SELECT count(*) FROM bi.interaction'), db.conninfo))
    db.rows('ANALYZE')
    within, after = moments(db)
    ask(run, db.conninfo, what, within, ZONES[1], False)
    ask(run, db.conninfo, what, after, ZONES[1], True)
    ask(run, db.conninfo, what, after, ZONES[0], True)
    poison(run, db.conninfo, what, after)


def make_month(run):
    path = run.file('month.jsonl')
    run_program([sys.executable, os.path.join(ORACLE, 'month.py'), '--people', '1000', '--events', '20000', '--seed', str(run.seed), '--out', path])
    return path


def make_hostile(run):
    """Events, and the first rules with random calendars and definitions, from the seed on, in which every calendar is somebody's."""
    path, rules = run.file('hostile.jsonl'), run.file('rules.yaml')
    for number in itertools.count(run.seed):
        with open(rules, 'w', encoding='utf-8') as file:
            file.write(generate.random_rules(number))
        if subprocess.run([program('polku-consumer', 'consumer'), 'check-config', '--rules', rules, '--hash-key-file', KEY_FILE],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            break
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(generate.Generator(run.seed, 12, 600, polku_oracle.Rules.load(rules)).generate(), file)
    return path, rules


with Run('bi_ties') as run:
    if sys.argv[1:2] == ['--database']:
        for place in sys.argv[3:]:
            ask(run, sys.argv[2], 'database', place, ZONES[1], place == sys.argv[-1])
        poison(run, sys.argv[2], 'database', sys.argv[-1])
    else:
        wanted = sys.argv[1:] or SETS
        if 'stories' in wanted:
            run_set(run, 'stories', RULES, STORIES, [])
        if 'hostile' in wanted:
            events, rules = make_hostile(run)
            run_set(run, 'hostile', rules, [events], ['--batch-records', '25'])
        if 'month' in wanted:
            run_set(run, 'month', RULES, [make_month(run)], ['--batch-records', '500'])
        if wanted == SETS:
            run.expect('ties that met no row in any set', [], [name for name, rows in COMPARED.items() if not rows])
