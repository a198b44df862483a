# SPDX-License-Identifier: Apache-2.0
"""Small hostile sets of events (tests/oracle/generate.py) through a real Kafka: in random order over partitions with no
regard to the customer, to two consumers with tiny batches. Every derived row equals the oracle's.

    oracle_random.py [FIRST-SEED [HOW-MANY]]     default: POLKU_TEST_SEED, 20
"""

import os
import sys

from harness import ORACLE, Run, generate, polku_oracle, wait_for

RULES = os.path.join(ORACLE, 'rules_small.yaml')
SETS = int(sys.argv[2]) if len(sys.argv) > 2 else 20

if len(sys.argv) > 1:
    os.environ['POLKU_TEST_SEED'] = sys.argv[1]

with Run('oracle_random') as run:
    retries = 0
    for number in range(SETS):
        seed = run.seed + number
        generator = generate.Generator(seed, events=run.random.choice([60, 150, 300]))
        events = generator.generate()
        path = run.file('events-%d.jsonl' % seed)
        with open(path, 'w', encoding='utf-8') as file:
            generate.write(events, file)
        db, topic = run.database(), run.topic(run.random.choice([2, 3, 6]))
        batch = run.random.choice([1, 3, 10, 25])
        options = '--batch-records', str(batch), '--linger', '%dms' % run.random.choice([0, 20])
        pair = [run.consumer(db, topic, RULES, *options, name='%d-%d' % (seed, n)).start() for n in range(2)]
        wait_for('both consumers have partitions', lambda: run.alive() and all(c.claimed() for c in pair) and
                 sum(c.claimed() for c in pair) == topic.partitions)
        topic.publish('--shuffle', str(seed), '--partition-by', 'random', '--seed', str(seed), path)
        topic.drain(db)
        totals = [consumer.stop().totals() for consumer in pair]
        retries += sum(t.get('retries', 0) for t in totals)
        moment = max(polku_oracle.parse_time(e['occurred_at']) if isinstance(e['occurred_at'], str) else e['occurred_at']
                     for e in events)
        as_of = polku_oracle.format_time(moment - run.random.randrange(0, generator.span))
        run.expect_oracle('seed %d: %d events, %d partitions, batches of %d, %d retries, as of %s' % (
            seed, len(events), topic.partitions, batch, sum(t.get('retries', 0) for t in totals), as_of),
            db, RULES, '--as-of', as_of, path)
        if db.deadlocks():
            run.expect('seed %d: deadlocks' % seed, 0, db.deadlocks())
        db.drop()
        topic.drop()
        run.made.remove(db)
        run.made.remove(topic)
    run.expect_that('the consumers did meet', retries > SETS, '%d retries' % retries)
