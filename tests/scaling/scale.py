# SPDX-License-Identifier: Apache-2.0
"""Consumers come and go under a steady stream: 1, 2, 4 and 1 again. Every partition goes on in every step, and at the end the
tables are those of the oracle.

    scale.py [--rate 500] [--seconds 1] [--steps 1,2,4,1] [--partitions 8] [--kafka-defaults] [--dynamic] [--judge oracle|verify]

A step begins with consumers that start, or leave by SIGTERM; it lasts until those who are left have claimed all partitions and each
has moved, and then --seconds more. `longest stall` is the longest time between two commits of a partition that began within
the step, seen from outside by asking for the positions some 50 times a second: records come all the time, so some were waiting.

Names are static (--instance-id); --dynamic leaves them out. The session time is 6 s with a heartbeat every 0.5 s;
--kafka-defaults: 45 s and 3 s, what an operator has. --judge verify, for streams that are too long for the oracle: `polku-consumer
verify` and counts. The issue's form: --rate 10000 --seconds 60 --kafka-defaults --judge verify.
"""

import argparse
import signal
import time

from stream import RULES, Stream, Watch, end_of_topic
from harness import Run, say, wait_for


def arguments():
    parser = argparse.ArgumentParser(description='consumers come and go under load')
    parser.add_argument('--rate', type=int, default=500)
    parser.add_argument('--seconds', type=float, default=1)
    parser.add_argument('--steps', default='1,2,4,1')
    parser.add_argument('--partitions', type=int, default=8)
    parser.add_argument('--people', type=int)
    parser.add_argument('--kafka-defaults', action='store_true')
    parser.add_argument('--dynamic', action='store_true')
    parser.add_argument('--judge', choices=('oracle', 'verify'), default='oracle')
    return parser.parse_args()


class Crew:
    """Consumers 0 to n - 1; number n always has the same name."""

    def __init__(self, run, db, topic, given):
        self.run, self.db, self.topic, self.given = run, db, topic, given
        self.all, self.size = [], 0

    def make(self, number):
        name = 'scale-%d' % number
        # of an option that is given twice the last counts
        options = [] if not self.given.kafka_defaults else ['--kafka.session.timeout.ms', '45000', '--kafka.heartbeat.interval.ms', '3000']
        if not self.given.dynamic:
            options += ['--instance-id', name]
        return self.run.consumer(self.db, self.topic, RULES, *options, name=name)

    def scale(self, size):
        """Returns for how long the slowest of those who left took to leave."""
        begun, leaving = time.monotonic(), self.all[size:self.size]
        for consumer in leaving:
            consumer.signal(signal.SIGTERM)
        for consumer in leaving:
            code = consumer.process.wait(120)
            self.run.expect('%s was told to leave: exit code' % consumer.name, 0, code)
        took = time.monotonic() - begun
        while len(self.all) < size:
            self.all.append(self.make(len(self.all)))
        for consumer in self.all[self.size:size]:
            consumer.start()
        self.size = size
        return took if leaving else None

    def claimed(self):
        """What each holds."""
        return [consumer.claimed() if consumer.is_up() else 0 for consumer in self.all[:self.size]]

    def wait_until_shared(self, stream):
        shares = {self.topic.partitions // self.size, -(-self.topic.partitions // self.size)}
        wait_for('%d consumers share %d partitions' % (self.size, self.topic.partitions), lambda: self.run.alive() and stream.check()
                 and sum(self.claimed()) == self.topic.partitions and set(self.claimed()) <= shares)


given = arguments()
with Run('scale') as run:
    db, topic = run.database(), run.topic(given.partitions)
    crew = Crew(run, db, topic, given)
    watch, stream = Watch(db).start(), Stream(run, topic, given.rate, given.people).start()
    table, clock = [], time.monotonic()
    steps = [int(step) for step in given.steps.split(',')]
    for size in steps:
        begun, before = time.monotonic(), watch.total()
        left = crew.scale(size)
        crew.wait_until_shared(stream)
        watch.wait_until_all_move(run, stream, given.partitions)
        settled, stored = time.monotonic(), watch.total()
        time.sleep(given.seconds)  # how long a step lasts; nothing is expected of it
        watch.wait_until_all_move(run, stream, given.partitions)
        ended = time.monotonic()
        table.append((size, begun, ended, settled - begun, (watch.total() - before) / (ended - begun),
                      (watch.total() - stored) / (ended - settled), left, end_of_topic(run, topic) - watch.total()))
    stream.end()
    topic.drain(db, 600 + topic.records // 500)
    watch.end()
    crew.scale(0)

    say('  %d records in %.0f s, %d a second asked for, %d partitions, %s names, session time %s' % (
        topic.records, time.monotonic() - clock, given.rate, given.partitions, 'dynamic' if given.dynamic else 'static',
        '45 s (Kafka\'s)' if given.kafka_defaults else '6 s'))
    say('  consumers  seconds  shared after s  records/s of the step  records/s once shared  lag at its end  leaving took s  '
        'longest stall of each partition, s')
    for size, begun, ended, settling, rate, settled_rate, left, lag in table:
        stalls = watch.longest(begun, ended)
        say('  %9d %8.1f %15.1f %22.0f %22.0f %15d %15s  %s' % (
            size, ended - begun, settling, rate, settled_rate, lag, '-' if left is None else '%.1f' % left,
            ' '.join('%.1f' % stalls[p] for p in sorted(stalls))))

    run.expect('records stored = records in Kafka = records that were published', [topic.records] * 2,
               [db.position(topic), end_of_topic(run, topic)])
    run.expect('in quarantine', 0, db.number('SELECT count(*) FROM bi.quarantine'))
    run.expect('steps in which each partition went on', len(steps), len(table))
    if given.judge == 'oracle':
        run.expect_checksums("every table equals the oracle's", stream.oracle(), db)
    else:
        run.expect_verified(db, RULES)
        with open(stream.path, encoding='utf-8') as file:
            events = len({line.split('"event_id"', 1)[1].split('"', 2)[1] + line.split('"source"', 1)[1].split('"', 2)[1] for line in file})
        run.expect('events that were published = events that are stored', events, db.number('SELECT count(*) FROM polku.interaction'))
