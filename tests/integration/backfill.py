# SPDX-License-Identifier: Apache-2.0
"""Old history beside live traffic: a second consumer, with a group and a topic of its own and a --rate, reads older events of the same
customers into the same database. Both topics end up equal to the oracle, the rate is kept, and how fresh live events are in the meantime is
printed beside how fresh they were before.

    backfill.py [EVENTS [SECONDS [RATE]]]     default: 2400 old events at 240/s, 8 s of live events without and about as long with the backfill
"""

import bisect
import json
import os
import subprocess
import sys
import threading
import time

from harness import ROOT, Encoder, Failure, Run, Session, program, say
import population  # of tests/oracle, which harness puts before this folder

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 2400
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 8
EACH = 0.025  # between two live events
RATE = int(sys.argv[3]) if len(sys.argv) > 3 else 240


class Live(threading.Thread):
    """Publishes events one by one, at a steady rate; where each went and when."""

    def __init__(self, topic, values):
        super().__init__()
        self.topic, self.values, self.sent, self.over = topic, values, [], False

    def run(self):
        process = subprocess.Popen([program('kafka_records', 'tests', 'integration'), self.topic.run.brokers, 'put', self.topic.name],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        begun = time.time()
        for number, value in enumerate(self.values):
            if self.over:
                break
            time.sleep(max(0.0, begun + number * EACH - time.time()))
            now = time.time()
            process.stdin.write((number % self.topic.partitions).to_bytes(4, 'big') + int(now * 1000).to_bytes(8, 'big') +
                                b'\0\0\0\1k' + len(value).to_bytes(4, 'big') + value + b'\0\0\0\0')
            process.stdin.flush()
            self.sent.append(now)
        process.stdin.close()
        self.places = [tuple(map(int, line.split())) for line in process.stdout]
        if process.wait() != 0 or len(self.places) != len(self.sent):
            raise Failure('kafka_records put failed')
        self.topic.records += len(self.places)


class Positions(threading.Thread):
    """Looks all the time how far the live topic is stored."""

    def __init__(self, db, topic):
        super().__init__()
        self.session, self.topic, self.over = Session(db.conninfo), topic, False
        self.seen = {p: ([], []) for p in range(topic.partitions)}  # offsets, and when they were first seen

    def run(self):
        sql = "SELECT partition, next_offset FROM bi.freshness WHERE topic = '%s'" % self.topic.name
        while not self.over:
            rows = self.session.rows(sql)
            now = time.time()
            for partition, offset in rows:
                offsets, times = self.seen[int(partition)]
                if not offsets or int(offset) > offsets[-1]:
                    offsets.append(int(offset))
                    times.append(now)
            time.sleep(0.005)
        self.session.close()

    def delay(self, partition, offset, sent):
        offsets, times = self.seen[partition]
        return times[bisect.bisect_right(offsets, offset)] - sent


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def told(what, delays):
    say('  %s: %d events, p50 %.0f ms, p99 %.0f ms' % (what, len(delays), 1000 * percentile(delays, 0.5), 1000 * percentile(delays, 0.99)))


def main(run):
    made, _ = population.make(run.seed, RULES, 400, EVENTS + int(60 / EACH))
    naturals = sorted(made.naturals(), key=lambda natural: natural['occurred_at'])
    old, new = naturals[:EVENTS], naturals[EVENTS:]
    encoder = Encoder()
    values = [encoder.single_object(encoder.body(natural)) for natural in new]
    db, topic, history = run.database(), run.topic(2), run.topic(2)
    path, path_new = run.file('old.jsonl'), run.file('new.jsonl')
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(json.dumps(natural) + '\n' for natural in old)
    history.publish(path)

    consumer = run.consumer(db, topic, RULES, '--linger', '20ms', name='live').start()
    live, positions = Live(topic, values), Positions(db, topic)
    while not consumer.is_up():
        run.alive()
        time.sleep(0.05)
    live.start()
    positions.start()
    time.sleep(SECONDS)
    backfill = run.consumer(db, history, RULES, '--rate', str(RATE), '--until-end', name='backfill')
    backfill.command[backfill.command.index('--group') + 1] += '-backfill'
    begun = time.time()
    backfill.start()
    backfill.wait()
    ended = time.time()
    live.over = True
    live.join()
    topic.drain(db)
    while any(positions.seen[p][0][-1:] != [max(o for q, o in live.places if q == p) + 1] for p in positions.seen):
        run.alive()
        time.sleep(0.02)
    positions.over = True
    positions.join()
    delays = [(sent, positions.delay(partition, offset, sent)) for sent, (partition, offset) in zip(live.sent, live.places)]
    alone = [delay for sent, delay in delays if sent < begun]
    beside = [delay for sent, delay in delays if begun <= sent < ended]
    told('live events alone', alone)
    told('beside the backfill', beside)
    say('  p99 beside / p99 alone: %.1f' % (percentile(beside, 0.99) / percentile(alone, 0.99)))
    took = ended - begun
    run.expect_that('the rate is kept', EVENTS / took <= RATE, '%.0f of %d records/s, %.1f s' % (EVENTS / took, RATE, took))
    with open(path_new, 'w', encoding='utf-8') as file:
        file.writelines(json.dumps(natural) + '\n' for natural in new[:len(live.places)])
    run.expect_oracle('both topics together are as the oracle says', db, RULES, path, path_new)
    run.expect_that('nothing waits for more than 10 s', max(beside) < 10, '%.1f s' % max(beside))
    run.expect('deadlocks', 0, db.deadlocks())
    consumer.stop()


with Run('backfill') as run:
    main(run)
