# SPDX-License-Identifier: Apache-2.0
"""A simulated month (tests/oracle/month.py) through a real Kafka to three consumers. A client asks all the time whether the
figures of one snapshot agree with each other and with the positions; at the end every table and aggregate equals the oracle's by
checksum, and `polku-consumer verify` finds nothing.

    month.py [PEOPLE [EVENTS]]     default: 3000 people, 60000 events; with POLKU_TEST_MONTH=1 50000 and 1000000

The small month comes in partitions with no regard to the customer, so that the consumers meet all the time; in the whole one
each customer has a random partition. Run the whole one by hand: it takes longer than ctest waits.
"""

import os
import re
import subprocess
import sys
import threading
import time

from harness import KEY_FILE, ORACLE, ROOT, Run, Session, compare, program, run_program, say

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
WHOLE = os.environ.get('POLKU_TEST_MONTH') == '1'
PEOPLE = int(sys.argv[1]) if len(sys.argv) > 1 else 50000 if WHOLE else 3000
EVENTS = int(sys.argv[2]) if len(sys.argv) > 2 else PEOPLE * 20
PATIENCE = 600 + EVENTS // 500  # seconds
CONSUMERS = 3
PARTITIONS = 6
BY_CUSTOMER = EVENTS > 100000
BATCH = [] if BY_CUSTOMER else ['--batch-records', '1000']  # so that a small month has many commits too


def of(table, *columns):
    return ["(SELECT coalesce(sum(%s), 0) FROM polku.%s)" % (column, table) for column in columns]


def count(table, where='true'):
    return "(SELECT count(*) FROM polku.%s WHERE %s)" % (table, where)


def ties():
    """name -> two pieces of SQL that must give the same number in every snapshot."""
    found = {
        'interactions by hour = events': (of('interaction_hourly', 'interactions')[0], count('interaction')),
        'contacts by hour = events with the trait': (
            of('interaction_hourly', 'contacts')[0], count('interaction', 'traits & 4 <> 0 AND traits & 1 = 0')),
        'money by hour = events with money': (
            of('money_hourly', 'events')[0], count('interaction', 'money_amount_minor IS NOT NULL')),
        'ratings by hour = events with a rating': (
            of('rating_hourly', 'ratings')[0], count('interaction', 'rating_score IS NOT NULL')),
        'no event lies beyond the positions': ('0', """(SELECT count(*) FROM polku.interaction i JOIN polku.stream_position p
            ON p.topic_id = i.kafka_topic_id AND p.partition = i.kafka_partition AND i.kafka_offset >= p.next_offset)"""),
        'obligations by due hour = the ledger': (of('obligation_hourly', 'opened')[0], count('obligation')),
        'attempts by due hour = the ledger': (of('obligation_hourly', 'attempts')[0], of('obligation', 'attempts')[0]),
        'closed by due hour = the ledger': (
            of('obligation_hourly', 'kept + kept_late_in_window + late + rejected + withdrawn')[0],
            count('obligation', 'coalesce(fulfilled_at, rejected_at, withdrawn_at) IS NOT NULL')),
        'hand-offs by hour = the ledger': (of('handoff_hourly', 'offered')[0], count('obligation', 'handoff')),
        'journeys by day = journeys': (of('journey_daily', 'journeys')[0], count('journey')),
        'effort by day = journeys': (of('journey_daily', 'effort')[0], of('journey', 'effort')[0]),
        'courses by day = courses': (of('course_daily', 'courses')[0], count('course')),
        'completed by day = courses': (of('course_daily', 'completed')[0], count('course', 'goal_at IS NOT NULL')),
        'fallout and completed = courses': (
            '%s + %s' % (of('milestone_daily', 'fallout')[0], of('course_daily', 'completed')[0]), count('course')),
        'courses by path = courses': (of('path_daily', 'courses')[0], count('course')),
        'steps from the start = steps to the end': (
            "(SELECT coalesce(sum(steps), 0) FROM polku.step_daily WHERE from_milestone = 0)",
            "(SELECT coalesce(sum(steps), 0) FROM polku.step_daily WHERE to_milestone = 0)"),
        'every duration by both clocks': (
            "(SELECT coalesce(sum(durations), 0) FROM polku.duration_hourly WHERE clock = 0)",
            "(SELECT coalesce(sum(durations), 0) FROM polku.duration_hourly WHERE clock = 1)"),
        'durations of what was kept = the ledger': ("""(SELECT coalesce(sum(h.durations), 0) FROM polku.duration_hourly h
            JOIN polku.dictionary d ON d.id = h.measure_id WHERE d.text LIKE 'kept.%' AND h.clock = 0)""",
                                                    count('obligation', 'fulfilled_at IS NOT NULL')),
        'purchases of customers = events with the trait': (
            of('customer', 'purchases')[0],
            count('interaction', 'traits & %d <> 0 AND customer_id IS NOT NULL' % (1 << trait_number('PURCHASE')))),
    }
    for name, wait in ('transition_hourly', 'transitions'), ('repeat_daily', 'contacts'), ('need_hourly', 'interactions'):
        found['no bucket of %s is negative' % name] = ('0', """(SELECT count(*) FROM (SELECT 1 FROM polku.%s GROUP BY %s
            HAVING sum(%s) < 0) b)""" % (name, ', '.join(DIMENSIONS[name]), wait))
    return found


def trait_number(name):
    with open(os.path.join(ROOT, 'consumer', 'trait.def'), encoding='utf-8') as file:
        return re.findall(r'^X\((\w+),', file.read(), re.MULTILINE).index(name)


def dimensions():
    """table -> its columns that are no counts, by consumer/aggregate.def."""
    found = {}
    with open(os.path.join(ROOT, 'consumer', 'aggregate.def'), encoding='utf-8') as file:
        for table, column in re.findall(r'^(?:TIME|SYM|INT)\((\w+), (\w+)\)', file.read(), re.MULTILINE):
            found.setdefault(table, []).append(column)
    return found


DIMENSIONS = dimensions()


class Client(threading.Thread):
    """Asks everything in one statement, which is one snapshot, again and again."""

    def __init__(self, db):
        super().__init__(daemon=True)
        self.session, self.ties = Session(db.conninfo), ties()
        self.asked, self.torn, self.seen, self.error = 0, [], set(), None
        self.over = threading.Event()
        self.sql = 'SELECT %s, (SELECT coalesce(sum(next_offset), 0) FROM polku.stream_position)' % ', '.join(
            '%s, %s' % pair for pair in self.ties.values())

    def ask(self):
        row = [int(value) for value in self.session.rows(self.sql)[0]]
        self.asked += 1
        self.seen.add(row[-1])
        for n, name in enumerate(self.ties):
            if row[2 * n] != row[2 * n + 1]:
                self.torn.append('%s: %d, %d (%d records read)' % (name, row[2 * n], row[2 * n + 1], row[-1]))
        return row

    def run(self):
        try:
            while not self.over.is_set():
                started = time.monotonic()
                self.ask()
                self.over.wait(time.monotonic() - started)  # half of the time is the consumers'
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def end(self):
        self.over.set()
        self.join()
        if self.error:
            raise self.error


with Run('month') as run:
    path = run.file('events.jsonl')
    begun = time.monotonic()
    made = run_program([sys.executable, os.path.join(ORACLE, 'month.py'), '--people', str(PEOPLE), '--events', str(EVENTS),
                        '--seed', str(run.seed), '--out', path, '--partitions', str(PARTITIONS)])
    say('  %s, made in %.0f s' % (made.stderr.decode().strip(), time.monotonic() - begun))
    copies = int(re.search(r'(\d+) copies', made.stderr.decode()).group(1))
    oracle = None
    if not WHOLE:  # else it comes afterwards: it wants a core and much memory for itself
        oracle = subprocess.Popen(compare('checksum', '--rules', RULES, '--key-file', KEY_FILE, path), stdout=subprocess.PIPE)

    topic, db = run.topic(PARTITIONS), run.database()
    begun = time.monotonic()
    if BY_CUSTOMER:
        for n in range(PARTITIONS):
            topic.publish('--partition', str(n), '%s.%d' % (path, n))
    else:
        topic.publish('--partition-by', 'random', '--seed', str(run.seed), path)
    total = topic.records
    say('  %d records published in %.0f s' % (total, time.monotonic() - begun))
    crew = [run.consumer(db, topic, RULES, *BATCH, name='month-%d' % n) for n in range(CONSUMERS)]
    client = Client(db)
    client.start()
    begun = time.monotonic()
    for consumer in crew:
        consumer.start()
    topic.drain(db, PATIENCE)
    took = time.monotonic() - begun
    client.end()
    last = client.ask()
    say('  read in %.0f s, %.0f events/s; %d snapshots at %d positions, %d figures in each' % (
        took, total / took, client.asked, len(client.seen), 2 * len(client.ties)))
    for consumer in crew:
        consumer.stop()
    run.expect_that('figures agree in every snapshot', not client.torn, '%d do not; the first: %s' % (
        len(client.torn), client.torn[:1]))
    run.expect_that('the client saw the tables grow', len(client.seen) > 3, '%d positions' % len(client.seen))
    run.expect('records read / events / in quarantine', (total, total - copies, 0), (
        last[-1], db.number('SELECT count(*) FROM polku.interaction'), db.number('SELECT count(*) FROM bi.quarantine')))
    run.expect('deadlocks', 0, db.deadlocks())

    begun = time.monotonic()
    if oracle is None:
        oracle = subprocess.Popen(compare('checksum', '--rules', RULES, '--key-file', KEY_FILE, path), stdout=subprocess.PIPE)
    wanted = {line.split()[1]: line.split() for line in oracle.communicate()[0].decode().splitlines()}
    wanted = {name: parts[0] if name == 'all' else '%s (%s rows)' % (parts[0], parts[2]) for name, parts in wanted.items()}
    got = db.checksums()
    say('  compared in %.0f s' % (time.monotonic() - begun))
    for name in sorted(set(wanted) | set(got)):
        run.expect("equal to the oracle's: %s" % name, wanted.get(name), got.get(name))
    run.expect_verified(db, RULES)
