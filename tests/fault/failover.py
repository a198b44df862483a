# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL fails over to an asynchronous standby that lacks the tail: what was committed on the primary and never came
to the standby comes back from Kafka by itself, and the tables end equal to the oracle's.

    failover.py [ROUNDS]        rounds of both variants, each with other moments; 1 in the test run

A primary and a streaming standby (pg_basebackup) of their own; two consumers whose conninfo names both hosts. The
primary's sender is stopped (SIGSTOP) at a random moment, consumers go on committing, then all processes of the primary
are killed with -9 and the standby is promoted. In one variant the stream is busy at that moment. In the other everything
was read, and nothing is published any more: only the look at the stored positions can notice.
"""

import itertools
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))
from harness import (Database, Failure, KEY_FILE, ROOT, Run, Session, oracle_checksums, program, rules_of, run_program,  # noqa: E402
                     say, wait_for)

RULES = rules_of('olist')
POSTGRES = os.path.join(ROOT, 'tests', 'support', 'postgres.sh')
EVENTS, BATCH, PARTITIONS = 9000, 250, 6


def postgres(*arguments):
    """The last line that it prints."""
    lines = run_program([POSTGRES, *arguments]).stdout.decode().split('\n')
    return lines[-2] if len(lines) > 1 else ''


def parameter(conninfo, name):
    return dict(part.split('=', 1) for part in conninfo.split())[name]


class Pair(Database):
    """A database on a primary that a standby follows; `conninfo` names both, the standby first."""

    def __init__(self, run, name):  # pylint: disable=super-init-not-called
        self.run, self.name = run, name
        self.folders = [run.file(name + '-primary'), run.file(name + '-standby')]
        self.session = self.primary = self.standby = None
        primary = postgres('start', self.folders[0])
        run.made.append(self)
        Session(primary).rows('CREATE DATABASE %s TEMPLATE template0' % name)
        self.primary_conninfo = primary.replace('dbname=postgres', 'dbname=' + name)
        run_program([program('polku-consumer', 'consumer'), 'migrate', '--database', self.primary_conninfo,
                     '--sql', os.path.join(ROOT, 'sql')])
        self.standby_conninfo = postgres('standby', self.folders[1], self.folders[0]).replace(
            'dbname=postgres', 'dbname=' + name)
        both = [self.standby_conninfo, self.primary_conninfo]
        self.conninfo = 'host=%s port=%s user=polku dbname=%s' % (
            ','.join(parameter(c, 'host') for c in both), ','.join(parameter(c, 'port') for c in both), name)
        self.primary, self.standby = Session(self.primary_conninfo), Session(self.standby_conninfo)
        self.session = self.primary

    def follow(self):
        """Waits until the standby has everything."""
        wait_for('the standby has everything', lambda: self.primary.rows(
            'SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()')[0][0] == '1')

    def stall(self):
        """From now on the standby gets nothing."""
        rows = self.primary.rows("SELECT pid FROM pg_stat_replication WHERE state = 'streaming'")
        if len(rows) != 1:
            raise Failure('the standby does not follow: %s' % rows)
        os.kill(int(rows[0][0]), signal.SIGSTOP)

    def fail_over(self):
        """kill -9 of the primary, promotion of the standby; from now on rows() asks that one."""
        postgres('crash', self.folders[0])
        postgres('promote', self.folders[1])
        self.session = self.standby

    def drop(self):
        for session in (self.primary, self.standby):
            if session:
                session.close()
        for folder in reversed(self.folders):
            subprocess.run([POSTGRES, 'remove', folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def figures(db, topic):
    """What the database holds: rows of some tables, the position and the claims of each partition."""
    rows = db.rows('SELECT (SELECT count(*) FROM polku.interaction), (SELECT count(*) FROM polku.journey),'
                   ' (SELECT count(*) FROM polku.identifier), (SELECT count(*) FROM polku.guard_cell)')[0]
    return dict(zip(('events', 'journeys', 'identifiers', 'cells'), map(int, rows))), db.positions(topic)


def tell(what, found):
    say('          %-22s %s' % (what, '  '.join('%s %d' % pair for pair in found[0].items())))
    say('          %-22s %s' % ('', '  '.join('%d: %d (claim %d)' % (p, *found[1][p]) for p in sorted(found[1]))))


def start(run, db, topic, what):
    return [run.consumer(db, topic, RULES, '--batch-records', str(BATCH), '--instance-id', '%s-%d' % (what, n),
                         name='%s-%d' % (what, n)).start() for n in range(2)]


def slice_of(run, events, name, first, last):
    with open(events, 'rb') as file, open(run.file(name), 'wb') as out:
        out.writelines(itertools.islice(file, first, last))
    return run.file(name)


def publish(topic, events, seed, *more):
    return topic.publish('--shuffle', str(seed), '--partition-by', 'random', '--seed', str(seed), *more, events)['delivered']


def lost_tail(run, db, topic, what, consumers, wanted):
    """The primary dies; what the standby lacks; the consumers bring it back."""
    before = figures(db, topic)
    db.fail_over()
    promoted = time.monotonic()
    after = figures(db, topic)
    yield promoted
    tell('primary, before', before)
    tell('standby, promoted', after)
    lost = before[0]['events'] - after[0]['events']
    back = sum(before[1][p][0] - after[1].get(p, (0, 0))[0] for p in before[1])
    run.expect_that('%s: the standby lacks committed events' % what, lost > 0 and back > 0,
                    '%d events, the positions go back by %d records' % (lost, back))
    topic.drain(db)
    took = time.monotonic() - promoted
    run.expect_that('%s: within seconds' % what, took < 60, '%.1f s after the promotion' % took)
    end = figures(db, topic)
    tell('standby, %.1f s later' % took, end)
    run.expect('%s: every record is in the tables: the sum of the positions' % what, topic.records, db.position(topic))
    run.expect_that('%s: both consumers claimed again' % what, all(
        end[1][p][1] > after[1][p][1] for p in end[1] if p in after[1]), '')
    known = sum(line['records'] for c in consumers for line in c.said('the database went back, reading again what it lacks'))
    if what == 'idle':  # a stopped consumer may not have read the last answer yet
        run.expect('idle: records that the consumers say they read again', back, known)
    else:
        run.expect_that('busy: records that the consumers say they read again', 0 < known <= back, known)
    run.expect_checksums('%s: the tables and those of the oracle' % what, wanted, db)
    run.expect_verified(db, RULES)


def busy(run, events, wanted):
    """Records keep coming; the tail is lost in the middle of them."""
    topic, db = run.topic(PARTITIONS), Pair(run, run.tag + '_busy_%d' % next(run.numbers))
    total = publish(topic, events, run.random.randrange(1, 1 << 31))
    consumers = start(run, db, topic, db.name)
    stall_at, crash_at = run.random.randrange(total // 10, total // 3), run.random.randrange(total // 2, total * 3 // 4)
    wait_for('%d records are read' % stall_at, lambda: run.alive() and db.position(topic) >= stall_at, pause=0.002)
    db.stall()
    wait_for('%d records are read' % crash_at, lambda: run.alive() and db.position(topic) >= crash_at, pause=0.002)
    for consumer in consumers:  # so that what the primary holds can be told exactly
        consumer.freeze()
    wait_for('PostgreSQL has done what it was told', lambda: db.number(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%s%%' AND state = 'active'"
        " AND coalesce(wait_event, '') <> 'ClientRead'" % db.name) == 0)
    say('  busy: the sender was stopped after %d of %d records, the primary killed after %d' % (stall_at, total, crash_at))
    for _ in lost_tail(run, db, topic, 'busy', consumers, wanted):
        for consumer in consumers:
            consumer.thaw()
    for consumer in consumers:
        consumer.stop()


def idle(run, events, wanted):
    """Everything was read and nothing is published any more."""
    topic, db = run.topic(PARTITIONS), Pair(run, run.tag + '_idle_%d' % next(run.numbers))
    cut = run.random.randrange(EVENTS // 2, EVENTS * 9 // 10)
    parts = slice_of(run, events, 'head.jsonl', 0, cut), slice_of(run, events, 'tail.jsonl', cut, None)
    publish(topic, parts[0], run.random.randrange(1, 1 << 31))
    consumers = start(run, db, topic, db.name)
    topic.drain(db)
    db.follow()
    db.stall()
    publish(topic, parts[1], run.random.randrange(1, 1 << 31))
    topic.drain(db)
    wait_for('the consumers know that all is committed', lambda: run.alive() and db.number(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%s%%' AND state = 'idle'" % db.name) == 2)
    say('  idle: the sender was stopped after %d of %d records, the primary killed when all were read' % (cut, topic.records))
    for _ in lost_tail(run, db, topic, 'idle', consumers, wanted):
        pass
    for consumer in consumers:
        consumer.stop()


def standby_alone(run, topic):
    """A conninfo that leads to the standby only: nothing stops, and it goes on when the standby is promoted."""
    db = Pair(run, run.tag + '_alone_%d' % next(run.numbers))
    db.follow()
    found = []
    for attributes, words in (('', 'read-only'), (' target_session_attrs=any', '25006')):
        db.conninfo = db.standby_conninfo + attributes
        found.append((run.consumer(db, topic, RULES, '--group', db.name + '-%d' % len(found), '--retry-max', '1s',
                                   name='%s-%d' % (db.name, len(found))).start(), words))
    for consumer, words in found:
        line = wait_for('%s says that the server takes no writes' % consumer.name, lambda: run.alive() and [
            line['why'] if 'why' in line else line['detail'] for line in consumer.log()
            if words in line.get('why', '') + line.get('detail', '')])
        run.expect_that('standby alone: it waits for one that takes writes', words in line[0], line[0])
    found[0][0].kill()
    db.fail_over()
    topic.drain(db)
    run.expect('standby alone: after the promotion it reads', topic.records, db.position(topic))
    found[1][0].stop()


def commands(run):
    """Whatever writes finds the host that takes writes; the first one of the conninfo is the standby."""
    db, topic = Pair(run, run.tag + '_commands'), run.topic(1)
    topic.put([(0, None, b'k', b'garbage', [])] * 3)
    consumer = run.consumer(db, topic, RULES).start()
    topic.drain(db)
    db.follow()
    consumer.stop()
    derives = ['--rules', RULES, '--hash-key-file', KEY_FILE]
    kafka = ['--brokers', run.brokers]
    for words in (['migrate', '--sql', os.path.join(ROOT, 'sql')], ['rebuild', *derives], ['rebuild', '--from-kafka', *kafka, *derives],
                  ['verify', *derives], ['requeue', *kafka, '--of-topic', topic.name], ['quarantine', 'delete', '--yes'],
                  ['position', 'set', topic.name + ':0=earliest', *kafka],
                  ['identity', 'block', 'havu/customer_id:K-1', *derives]):
        done = subprocess.run([program('polku-consumer', 'consumer'), *words, '--database', db.conninfo, '--log-format', 'json'],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        run.expect_that('%s finds the primary behind a standby' % ' '.join(words[:2 if words[0] in ('quarantine', 'position', 'identity') else 1]),
                        done.returncode == 0, done.stderr.decode()[-300:] if done.returncode else '')


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with Run('failover', data=['olist']) as run:
        events = run.events('olist', EVENTS)
        wanted = oracle_checksums(RULES, events)
        topic = run.topic(1)
        publish(topic, slice_of(run, events, 'few.jsonl', 0, 50), 1)
        commands(run)
        standby_alone(run, topic)
        for _ in range(rounds):
            busy(run, events, wanted)
            idle(run, events, wanted)


if __name__ == '__main__':
    main()
