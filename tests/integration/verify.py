# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer verify`: green after the stories, after a decision, after a rebuild, after hostile sets of events that several
consumers read in any order, and while a consumer commits, whom it never makes wait; red after each kind of figure was changed by hand, and it names
the row; refused beside a rebuild, another verify or with other rules; stopped or killed it leaves nothing behind.

    verify.py [EVENTS]     default: 3000 events of a simulated population for the part with a running consumer
"""

import json
import os
import signal
import subprocess
import sys
import threading

from harness import Failure, KEY_FILE, ORACLE, ROOT, Run, Session, generate, program, say, wait_for
import population  # of tests/oracle, which harness puts before this folder

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SMALL = os.path.join(ORACLE, 'rules_small.yaml')
STORIES = [os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % n) for n in range(5)]
EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
LOCK_K = 482905713525  # docs/protocol.md


class Command:
    """One verify or rebuild as a process; its log and its output are kept line by line."""

    def __init__(self, db, what, rules, *options, user=None, key=KEY_FILE):
        conninfo = db.conninfo + (' user=%s' % user if user else '')
        self.process = subprocess.Popen(
            [program('polku-consumer', 'consumer'), what, '--database', conninfo, '--rules', rules, '--hash-key-file', key,
             '--log-format', 'json', *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.out = [], []
        self.readers = [threading.Thread(target=self._read, args=pair) for pair in (
            (self.process.stderr, lambda line: self.lines.append(json.loads(line))),
            (self.process.stdout, lambda line: self.out.append(line.decode().rstrip())))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(pipe, take):
        for line in pipe:
            take(line)

    def said(self, sentence):
        """The first such line, from wherever in its message or reason."""
        for line in list(self.lines):
            if sentence in line['message'] or sentence in line.get('reason', ''):
                return line
        return None

    def wait(self, patience=180):
        """-> exit code"""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure('a command did not come to its end: %s' % self.lines[-3:]) from None
        for reader in self.readers:
            reader.join()
        return code

    def told(self, *parts):
        """The first difference whose line has all these parts."""
        for line in self.out:
            if all(part in line for part in parts):
                return line
        return None

    def reason(self):
        return self.lines[-1].get('reason') if self.lines else None


def verify(db, rules, *options, **more):
    done = Command(db, 'verify', rules, *options, **more)
    return done.wait(), done


def is_green(run, what, db, rules, *options):
    code, done = verify(db, rules, *options)
    checks = sum(line['message'] == 'equal' for line in done.lines)
    held = run.expect_that('green: ' + what, code == 0 and checks > 25 and done.said('the tables are right'),
                           '%d checks, %s' % (checks, ' '.join(done.out[-1].split()) if done.out else done.reason()))
    if not held:
        for line in done.out[:20] + [str(line) for line in done.lines if line['level'] == 'error']:
            say('          ' + line)
    return held


def nothing_left(db):
    return db.value("SELECT to_regnamespace('polku_verify')") is None


# ---- red ----


def of(db, sql):
    row = db.rows(sql + ' LIMIT 1')
    if not row:
        raise Failure('nothing to change: ' + sql)
    return row[0]


def red(run, db, what, change, undo, *told, quick=True):
    """The change is found, the row is named; undone, the tables are as they were (which is seen at the end)."""
    db.rows(change)
    code, done = verify(db, RULES, *(['--quick'] if quick else []))
    run.expect_that('red: ' + what, code == 1 and done.told(*told) and done.said('the tables are not right'),
                    done.told(*told) or done.out[:4] or done.lines[-2:])
    db.rows(undo)


def red_rows(run, db):
    journey, contacts = of(db, 'SELECT journey_id, contacts FROM polku.journey WHERE contacts > 1 ORDER BY 1')
    red(run, db, "a journey's count", "UPDATE polku.journey SET contacts = contacts + 1 WHERE journey_id = '%s'" % journey,
        "UPDATE polku.journey SET contacts = contacts - 1 WHERE journey_id = '%s'" % journey,
        'facts journey_counts', 'journey (journey_id %s)' % journey, 'contacts is %d, expected %s' % (int(contacts) + 1, contacts))
    red(run, db, "a journey's fact that only the derivation tells",
        "UPDATE polku.journey SET queue_us = queue_us + 7 WHERE journey_id = '%s'" % journey,
        "UPDATE polku.journey SET queue_us = queue_us - 7 WHERE journey_id = '%s'" % journey,
        'derived journey: ', 'journey (journey_id %s)' % journey, 'queue_us is ', quick=False)
    name, old = of(db, 'SELECT obligation_id, opened_at FROM polku.obligation WHERE due_to IS NOT NULL ORDER BY 1')
    red(run, db, "an obligation's time", "UPDATE polku.obligation SET due_to = due_to + interval '1 second' WHERE obligation_id = '%s'" % name,
        "UPDATE polku.obligation SET due_to = due_to - interval '1 second' WHERE obligation_id = '%s'" % name,
        'derived obligation: ', 'obligation (obligation_id %s)' % name, 'due_to is ', quick=False)
    red(run, db, "an obligation's opening", "UPDATE polku.obligation SET opened_at = opened_at + interval '1 us' WHERE obligation_id = '%s'" % name,
        "UPDATE polku.obligation SET opened_at = '%s' WHERE obligation_id = '%s'" % (old, name),
        'rows obligation_opened_by', 'obligation %s' % name, 'expected an event at')
    red(run, db, 'a journey that is gone',
        "CREATE TABLE public.kept AS SELECT * FROM polku.journey WHERE journey_id = '%s'; DELETE FROM polku.journey WHERE journey_id = '%s'"
        % (journey, journey), 'INSERT INTO polku.journey SELECT * FROM public.kept; DROP TABLE public.kept',
        'facts journey_counts', 'journey (journey_id %s)' % journey, 'the row is missing')
    other = 'f' * 8 + journey[8:]
    red(run, db, 'a journey too many',
        """CREATE TABLE public.kept AS SELECT * FROM polku.journey WHERE journey_id = '%s'; UPDATE public.kept SET journey_id = '%s';
           INSERT INTO polku.journey SELECT * FROM public.kept; DROP TABLE public.kept""" % (journey, other),
        "DELETE FROM polku.journey WHERE journey_id = '%s'" % other,
        'facts journey_counts', 'journey (journey_id %s)' % other, 'the row should not be there')
    event, at = of(db, 'SELECT event_hash, occurred_at FROM polku.interaction WHERE journey_id IS NOT NULL AND kafka_offset > 0 ORDER BY occurred_at DESC')
    red(run, db, 'an event that is gone',
        "CREATE TABLE public.kept AS SELECT * FROM polku.interaction WHERE event_hash = '%s'; DELETE FROM polku.interaction WHERE event_hash = '%s'"
        % (event, event), 'INSERT INTO polku.interaction SELECT * FROM public.kept; DROP TABLE public.kept',
        'aggregate interaction_hourly', at[:13], 'the row should not be there')
    red(run, db, "an event's traits", "UPDATE polku.interaction SET traits = traits # 33554432 WHERE event_hash = '%s'" % event,
        "UPDATE polku.interaction SET traits = traits # 33554432 WHERE event_hash = '%s'" % event,
        'derived interaction: ', event, 'traits is ', quick=False)
    red(run, db, "an event's id", "UPDATE polku.interaction SET event_id = event_id || '!' WHERE event_hash = '%s'" % event,
        "UPDATE polku.interaction SET event_id = rtrim(event_id, '!') WHERE event_hash = '%s'" % event,
        'events derived anew', event[:8], 'not the hash of its source and event_id', quick=False)


def red_identity(run, db):
    person, customer, owner = of(db, 'SELECT hash, customer_id, owner_id FROM polku.identifier WHERE kind = 0 AND customer_id IS NOT NULL ORDER BY 1')
    other, = of(db, "SELECT hash FROM polku.identifier WHERE kind = 0 AND hash <> '%s' AND customer_id <> '%s' ORDER BY 1" % (person, customer))
    red(run, db, "an identifier's customer", "UPDATE polku.identifier SET customer_id = '%s' WHERE hash = '%s'" % (other, person),
        "UPDATE polku.identifier SET customer_id = '%s' WHERE hash = '%s'" % (customer, person),
        'derived identifier: ', 'identifier (hash %s)' % person, 'customer_id is %s, expected %s' % (other, customer), quick=False)
    red(run, db, 'the way from a name to its customer', "UPDATE polku.identifier SET owner_id = '%s' WHERE hash = '%s'" % (other, person),
        "UPDATE polku.identifier SET owner_id = '%s' WHERE hash = '%s'" % (owner, person), 'rows event_names', 'no way from identifier %s' % person)
    red(run, db, 'the flag of a decision that is not', "UPDATE polku.identifier SET flags = flags | 16 WHERE hash = '%s'" % person,
        "UPDATE polku.identifier SET flags = flags & ~16 WHERE hash = '%s'" % person,
        'rows decision_flags', 'identifier %s' % person, 'flags is 16, expected 0')
    cell, version = of(db, "SELECT cell_id, version FROM polku.guard_cell WHERE cell_id = (SELECT cell_id FROM polku.identifier WHERE hash = '%s')" % person)
    red(run, db, 'a guard cell that is gone', 'DELETE FROM polku.guard_cell WHERE cell_id = %s' % cell,
        'INSERT INTO polku.guard_cell (cell_id, version) VALUES (%s, %s)' % (cell, version), 'rows identifier_cell', 'cell_id is %s' % cell)
    red(run, db, "a customer's purchases", "UPDATE polku.customer SET purchases = purchases + 1 WHERE customer_id = '%s'" % customer,
        "UPDATE polku.customer SET purchases = purchases - 1 WHERE customer_id = '%s'" % customer,
        'facts customer_purchases', 'customer (customer_id %s)' % customer, 'purchases is ')


def red_positions(run, db):
    topic, partition, offset = of(db, """SELECT p.topic_id, p.partition, p.next_offset FROM polku.stream_position p WHERE EXISTS (
        SELECT FROM polku.interaction i WHERE i.kafka_partition = p.partition AND i.kafka_offset = p.next_offset - 1) ORDER BY 2""")
    where = ' WHERE topic_id = %s AND partition = %s' % (topic, partition)
    red(run, db, 'a position that went back', 'UPDATE polku.stream_position SET next_offset = next_offset - 1' + where,
        'UPDATE polku.stream_position SET next_offset = next_offset + 1' + where,
        'rows position_of_events', 'kafka_offset is %d, expected less than %d' % (int(offset) - 1, int(offset) - 1))
    red(run, db, 'a newest time that is too early', "UPDATE polku.stream_position SET newest_occurred_at = newest_occurred_at - interval '1 day'" + where,
        "UPDATE polku.stream_position SET newest_occurred_at = newest_occurred_at + interval '1 day'" + where,
        'rows newest_times', 'newest_occurred_at is ', ' or later')
    slot, = of(db, 'SELECT slot FROM polku.quarantine_size ORDER BY 1')
    for column, by in (('records', 1), ('bytes', 5)):
        red(run, db, 'what quarantine counts as its %s' % column, 'UPDATE polku.quarantine_size SET %s = %s + %d WHERE slot = %s' % (column, column, by, slot),
            'UPDATE polku.quarantine_size SET %s = %s - %d WHERE slot = %s' % (column, column, by, slot),
            'rows size_of_quarantine', 'quarantine_size', '%s is ' % column)
    first, = of(db, 'SELECT min(from_at) FROM polku.calendar_open WHERE calendar_id = 1')
    red(run, db, 'opening hours', "UPDATE polku.calendar_open SET to_at = to_at + interval '1 minute' WHERE calendar_id = 1 AND from_at = '%s'" % first,
        "UPDATE polku.calendar_open SET to_at = to_at - interval '1 minute' WHERE calendar_id = 1 AND from_at = '%s'" % first,
        'derived calendar_open', 'to_at is ', quick=False)


def red_aggregates(run, db):
    """One count of every aggregate at once; each is named with its row."""
    tables = [name for name, in db.rows("""SELECT relname FROM pg_class WHERE relnamespace = 'polku'::regnamespace AND relkind = 'r'
        AND relname ~ '_(hourly|daily)$' ORDER BY 1""")]
    filled, undo = [], []
    for table in tables:
        count, = of(db, """SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'polku.%s'::regclass AND a.attnum > 0
            AND a.atttypid = 'bigint'::regtype ORDER BY a.attnum""" % table)
        if db.rows('SELECT 1 FROM polku.%s LIMIT 1' % table):
            filled.append((table, count))
            place = '(SELECT ctid FROM polku.%s ORDER BY ctid LIMIT 1)' % table
            db.rows('CREATE TABLE public.kept_%s AS SELECT * FROM polku.%s' % (table, table))
            db.rows('UPDATE polku.%s SET %s = %s + 3 WHERE ctid = %s' % (table, count, count, place))
            undo.append('TRUNCATE polku.%s; INSERT INTO polku.%s SELECT * FROM public.kept_%s; DROP TABLE public.kept_%s'
                        % (table, table, table, table))
    code, done = verify(db, RULES, '--quick')
    run.expect('aggregates of which the stories fill rows', (21, 1), (len(filled), code))
    for table, count in filled:
        line = done.told('%s (' % table, '%s is ' % ('begun' if table == 'step_daily' and not done.told('facts step_daily:', 'steps is ')
                                                      else count), ', expected ')
        run.expect_that('red: %s' % table, line, line or done.out[:30])
    for statement in undo:
        db.rows(statement)


def by_hand(run):
    db, topic = run.database(), run.topic(6)
    code, done = verify(db, RULES)
    run.expect_that('an empty database has nothing to verify', code == 0 and done.said('there is nothing to verify'), done.lines[-1])
    topic.publish('--partition-by', 'random', '--seed', str(run.seed), *STORIES)
    run.consumer(db, topic, RULES, '--until-end').start().wait()
    is_green(run, 'the stories', db, RULES)
    is_green(run, 'the stories, quickly', db, RULES, '--quick')
    red_rows(run, db)
    red_identity(run, db)
    red_positions(run, db)
    red_aggregates(run, db)
    is_green(run, 'everything that was changed is as before', db, RULES)
    return db


# ---- other things that it must bear ----


def rights(run, db):
    other = run.file('other.yaml')
    with open(RULES, encoding='utf-8') as file, open(other, 'w', encoding='utf-8') as out:
        out.write(file.read() + '\n# another file\n')
    code, done = verify(db, other)
    run.expect_that('other rules are refused', code == 1 and 'another rules file' in done.reason(), done.reason())
    key = run.file('other.hex')
    with open(key, 'w', encoding='ascii') as out:
        out.write('00' * 32)
    code, done = verify(db, RULES, key=key)
    run.expect_that('another key is refused', code == 1 and 'another hash key' in done.reason(), done.reason())
    auditor = '%s_auditor' % db.name
    db.rows('CREATE ROLE %s LOGIN; GRANT USAGE ON SCHEMA polku TO %s; GRANT SELECT ON ALL TABLES IN SCHEMA polku TO %s' % ((auditor,) * 3))
    code, done = verify(db, RULES, user=auditor)
    run.expect_that('who may not make tables is told so', code == 1 and 'may not make schemas' in done.reason(), done.reason())
    code, done = verify(db, RULES, '--quick', user=auditor)
    run.expect('who may only read does it with --quick', 0, code)
    db.rows('GRANT CREATE ON DATABASE %s TO %s' % (db.name, auditor))
    code, done = verify(db, RULES, user=auditor)
    run.expect_that('nor does it do to make tables', code == 1 and 'polku_writer' in done.reason(), done.reason())
    db.rows('GRANT polku_writer TO %s' % auditor)
    code, done = verify(db, RULES, user=auditor)
    run.expect_that('a writer who may make tables needs no more', code == 0, done.lines[-1])
    db.rows('REVOKE CREATE ON DATABASE %s FROM %s; DROP OWNED BY %s; DROP ROLE %s' % (db.name, auditor, auditor, auditor))


def decided(db, rules, *arguments):
    subprocess.run([program('polku-consumer', 'consumer'), 'identity', '--database', db.conninfo, '--rules', rules,
                    '--hash-key-file', KEY_FILE, '--log-level', 'error', *arguments], stdout=subprocess.DEVNULL, check=True)


def decisions_and_rebuild(run, db, rules, name):
    for customer, one, other in db.rows("""SELECT customer_id, min(hash::text), max(hash::text) FROM polku.identifier
            WHERE kind = 0 AND customer_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"""):
        decided(db, rules, 'unlink', one, other)
    for person, in db.rows('SELECT hash FROM polku.identifier WHERE kind = 0 AND flags & 57 = 0 ORDER BY hash DESC LIMIT 1'):
        decided(db, rules, 'unlink', person)
    for device, in db.rows('SELECT hash FROM polku.identifier WHERE kind = 1 ORDER BY hash LIMIT 1'):
        decided(db, rules, 'block', device)
    count = db.number('SELECT count(*) FROM polku.decision')
    is_green(run, '%s: after %d decisions' % (name, count), db, rules)
    rebuilt = Command(db, 'rebuild', rules)
    run.expect('%s: a rebuild' % name, 0, rebuilt.wait())
    is_green(run, '%s: after a rebuild' % name, db, rules)
    for one, other in db.rows('SELECT a, b FROM polku.decision WHERE restored_at IS NULL ORDER BY decision_id LIMIT 1'):
        decided(db, rules, 'restore', *([one, other] if other else [one]))
    is_green(run, '%s: after a decision was taken back' % name, db, rules)


def beside_batches(run, db):
    """A verify waits for no batch, and no batch waits because of it: neither its decisions nor its events need K."""
    decisions = db.number('SELECT count(*) FROM polku.decision WHERE restored_at IS NULL')
    run.expect_that('decisions are in force', decisions > 0, decisions)
    batch, had = Session(db.conninfo), []
    batch.rows('BEGIN')
    batch.rows('SELECT pg_advisory_xact_lock_shared(%d)' % LOCK_K)
    begun = Command(db, 'verify', RULES, '--lock-timeout', '1s')
    wait_for('verify ends', lambda: had.extend(db.rows('SELECT pg_try_advisory_xact_lock_shared(%d)' % LOCK_K)) or
             begun.process.poll() is not None, pause=0.01)
    run.expect('beside a batch that has K: exit code', 0, begun.wait())
    run.expect_that('meanwhile other batches could have it at once', had and all(got == ['t'] for got in had),
                    '%d of %d' % (had.count(['t']), len(had)))
    batch.rows('ROLLBACK')
    batch.rows('BEGIN')
    batch.rows('SELECT pg_advisory_xact_lock(%d)' % LOCK_K)
    is_green(run, 'beside a batch that has K alone', db, RULES, '--lock-timeout', '1s')
    batch.rows('ROLLBACK')
    batch.close()


def hostile(run, seed):
    made = generate.Generator(seed, events=run.random.choice([150, 400]))
    path = run.file('events-%d.jsonl' % seed)
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(made.generate(), file)
    db, topic = run.database(), run.topic(4)
    topic.publish('--partition-by', 'random', '--seed', str(seed), '--shuffle', str(seed), path)
    consumers = [run.consumer(db, topic, SMALL, '--batch-records', '7', '--until-end').start() for _ in range(2)]
    for consumer in consumers:
        consumer.wait()
    topic.drain(db)
    if is_green(run, 'seed %d: hostile events, two consumers' % seed, db, SMALL):
        decisions_and_rebuild(run, db, SMALL, 'seed %d' % seed)


def filling(db):
    """A fresh derivation is in the middle of its work. Asked by a psql of its own, for its tables may vanish meanwhile."""
    done = subprocess.run(['psql', '-X', '-At', '-d', db.conninfo, '-c', 'SELECT count(*) FROM (SELECT FROM polku_verify.interaction LIMIT 1) x'],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.strip() == b'1'


def while_consumers_run(run):
    made, _ = population.make(run.seed, RULES, max(EVENTS * 3 // 20, 20), EVENTS)
    path = run.file('population.jsonl')
    lines = [json.dumps(natural) + '\n' for natural in made.naturals()]
    db, topic = run.database(), run.topic(4)
    consumer = run.consumer(db, topic, RULES, '--batch-records', '20').start()
    for number in range(3):
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(lines[number::3])
        before = db.position(topic)
        topic.publish('--partition-by', 'random', '--seed', '5', path)
        wait_for('some of them are in', lambda: run.alive() and db.position(topic) > before + 100)
        before = db.position(topic)
        is_green(run, 'verify %d beside a consumer that commits' % (number + 1), db, RULES)
        run.expect_that('meanwhile records were committed', db.position(topic) > before, db.position(topic) - before)
    topic.drain(db)
    consumer.stop()
    is_green(run, 'the whole population', db, RULES)

    slow = '--batch-records', '40'
    first = Command(db, 'verify', RULES, *slow)
    wait_for('the fresh derivation fills', lambda: filling(db))
    code, second = verify(db, RULES, '--quick')
    run.expect_that('a second verify at the same time is refused', code == 1 and 'another verify, a rebuild' in second.reason(), second.reason())
    rebuilt = Command(db, 'rebuild', RULES)
    run.expect_that('so is a rebuild', rebuilt.wait() == 1 and rebuilt.said('another rebuild or a migration'), rebuilt.reason())
    first.process.send_signal(signal.SIGTERM)
    run.expect_that('SIGTERM: exit code 1, and it says why', first.wait(30) == 1 and first.said('it was stopped'), first.reason())
    run.expect('SIGTERM: nothing is left behind', True, nothing_left(db))
    killed = Command(db, 'verify', RULES, *slow)
    wait_for('the fresh derivation fills again', lambda: filling(db))
    killed.process.kill()
    killed.wait()
    run.expect('kill -9: its tables are left behind', False, nothing_left(db))
    wait_for('its sessions are gone', lambda: db.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'polku-consumer verify'") == 0)
    broken = Command(db, 'verify', RULES, *slow)
    wait_for('the fresh derivation fills once more', lambda: broken.process.poll() is not None or
             any(line.get('check', '').startswith('rows') for line in broken.lines) and filling(db))
    db.rows("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
               AND application_name = 'polku-consumer verify'""")
    run.expect_that('PostgreSQL ends its connections: exit code 1', broken.wait(60) == 1, broken.reason())
    rebuilt = Command(db, 'rebuild', RULES, *slow)
    wait_for('the rebuild is at work', lambda: rebuilt.said('rebuild begins'))
    code, refused = verify(db, RULES)
    run.expect_that('beside a rebuild it is refused', code == 1 and 'a rebuild' in refused.reason(), refused.reason())
    run.expect('the rebuild comes to its end', 0, rebuilt.wait())
    is_green(run, 'after all of that', db, RULES)
    run.expect('nothing is left behind', True, nothing_left(db))
    run.expect('deadlocks', 0, db.deadlocks())


with Run('verify') as run:
    stories = by_hand(run)
    rights(run, stories)
    decisions_and_rebuild(run, stories, RULES, 'stories')
    beside_batches(run, stories)
    for turn in range(3):
        hostile(run, run.seed + turn)
    while_consumers_run(run)
