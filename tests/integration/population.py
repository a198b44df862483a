# SPDX-License-Identifier: Apache-2.0
"""A simulated population (tests/oracle/population.py) through a real Kafka: partitions with no regard to the customer,
four consumers, some of them added, stopped and killed with -9 while they read. At the end every table equals the oracle's
by checksum, and where anybody could tell two people apart, they are apart.

    population.py [PEOPLE [EVENTS]]     default: 30000, and 20 events for every 3 people
"""

import collections
import json
import os
import subprocess
import sys
import time

from harness import KEY_FILE, ROOT, Run, compare, polku_oracle, say, wait_for
import population  # of tests/oracle, which harness puts before this folder

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
PEOPLE = int(sys.argv[1]) if len(sys.argv) > 1 else 30000
EVENTS = int(sys.argv[2]) if len(sys.argv) > 2 else PEOPLE * 20 // 3
BATCH = 2000 if EVENTS > 50000 else 200


class Crew:
    """Who reads: two static members of the group that are killed and started again at once, and others that come and go."""

    def __init__(self, run, db, topic):
        self.run, self.done = run, []
        self.static = [self._consumer(db, topic, 'static-%d' % n, '--instance-id', 'static-%d' % n) for n in range(2)]
        self.free = [self._consumer(db, topic, 'free-%d' % n) for n in range(3)]
        self.counted = {}
        for consumer in self.static + self.free[:1]:
            consumer.start()

    def _consumer(self, db, topic, name, *options):
        return self.run.consumer(db, topic, RULES, '--batch-records', str(BATCH), *options, name=name)

    def running(self):
        return [c for c in self.static + self.free if c.is_running()]

    def act(self, what):
        """One of: add, stop, kill (starts again at once), lose (does not); who is up to the seed."""
        free = [c for c in self.free if c.is_running() == (what != 'add')]
        victim = self.run.random.choice(self.static if what == 'kill' else free or self.static)
        if what == 'add':
            victim.start()
        elif what == 'stop':
            victim.stop()
            self.done.append(victim.totals())
        else:
            victim.kill()
            if what == 'kill':
                victim.start()
        self.counted[what] = self.counted.get(what, 0) + 1
        return victim.name

    def leave(self):
        wait_for('all that run hold partitions', lambda: self.run.alive() and all(c.is_up() for c in self.running()))
        for consumer in self.running():
            consumer.stop()
            self.done.append(consumer.totals())

    def total(self, name):
        return sum(totals.get(name, 0) for totals in self.done)


with Run('population') as run:
    started = time.monotonic()
    made, truth = population.make(run.seed, RULES, PEOPLE, EVENTS)
    path = run.file('events.jsonl')
    with open(path, 'w', encoding='utf-8') as file:
        for natural in made.naturals():
            file.write(json.dumps(natural) + '\n')
    del made
    say('  %s' % truth.summary())
    say('  made in %.0f s; again: population.py generate --seed %d --people %d --events %d --rules deploy/polku.yaml' % (
        time.monotonic() - started, run.seed, PEOPLE, EVENTS))
    as_of = polku_oracle.format_time(population.START + run.random.randrange(10, 50) * population.DAY)
    # The oracle is at work beside the consumers.
    oracle = subprocess.Popen(compare('checksum', '--rules', RULES, '--key-file', KEY_FILE, '--as-of', as_of, path),
                              stdout=subprocess.PIPE)

    topic, db = run.topic(6), run.database()
    total = topic.publish('--partition-by', 'random', '--seed', str(run.seed), path)['delivered']
    reading = time.monotonic()
    crew = Crew(run, db, topic)
    acts = ['add', 'kill', 'stop', 'add', 'lose', 'kill', 'add', 'stop', 'kill', 'add']
    for n, what in enumerate(acts):
        threshold = int(total * (n + run.random.uniform(0.3, 0.9)) / (len(acts) + 1))
        wait_for('%d records are in the database' % threshold, lambda: run.alive() and db.position(topic) >= threshold,
                 pause=0.01)
        read = db.position(topic)
        say('          %6.1f s  %6d records  %s %s' % (time.monotonic() - reading, read, what, crew.act(what)))
    topic.drain(db, patience=400)
    took = time.monotonic() - reading
    run.expect('four consumers read to the end', 4, len(crew.running()))
    crew.leave()
    run.expect('what was done to consumers', {'add': 4, 'kill': 3, 'stop': 2, 'lose': 1}, crew.counted)
    run.expect('every record was read: the sum of the positions', total, db.position(topic))

    wanted = oracle.communicate()[0].decode().split()[-2:]  # the last line: checksum, 'all'
    same = run.expect("every table and view equals the oracle's, as of %s" % as_of[:10], wanted,
                      [db.checksums('--as-of', as_of)['all'], 'all'])
    if not same:
        run.expect_oracle('row by row', db, RULES, '--as-of', as_of, path)
    run.expect('deadlocks', 0, db.deadlocks())
    warnings = collections.Counter(line['message'] for c in crew.static + crew.free for line in c.log()
                                   if line['level'] == 'warn')
    say('          warnings in logs: %s' % dict(warnings))

    of_event = {(source, event_id): (customer, kind == 'person') for source, event_id, customer, kind in db.rows(
        'SELECT source, event_id, customer_id, customer_kind FROM bi.interaction')}
    of_identifier = {bytes.fromhex(identifier.replace('-', '')): customer for identifier, customer in db.rows(
        'SELECT hash, customer_id FROM polku.identifier WHERE kind = 0 AND customer_id IS NOT NULL')}
    run.expect('every event of the truth is there, and no other', True, set(of_event) == set(truth.event))
    run.expect_that('precision is 1 where the truth is decidable', truth.report(
        of_event, of_identifier, polku_oracle.read_key(KEY_FILE), lambda text: say('          ' + text)))
    say('  joined identifiers %s, customers %s, links %s (refused %s), shared identifiers %s' % tuple(db.rows("""
        SELECT (SELECT count(*) FROM bi.customer_redirect), (SELECT count(*) FROM bi.customer),
               (SELECT count(*) FROM bi.identity_link), (SELECT count(*) FROM bi.identity_link WHERE refused <> 'made'),
               (SELECT count(*) FROM bi.identity_shared)""")[0]))
    say('  of the consumers that left in order (the killed count nothing): %d batches, %d retries, %d events derived again' % (
        crew.total('batches'), crew.total('retries'), crew.total('slow')))
    if EVENTS >= 50000:
        run.expect_that('they did meet', crew.total('retries') > 10, '%d retries' % crew.total('retries'))
    say('  read in %.0f s, %.0f events/s' % (took, total / took))
