# SPDX-License-Identifier: Apache-2.0
"""Killed with -9 at 30 random moments and started again each time, its connections cut at 15 others: the derived
tables have the content that they have without any of it.

Olist, shuffled over six partitions, two consumers in small batches, so that most moments lie within a transaction.
The consumers are static members of the group, so that a new process need not wait until the old one is missed.
"""

import time

from harness import Run, oracle_checksums, rules_of, say, wait_for

RULES = rules_of('olist')
KILLS, CUTS, BATCH = 30, 15, 400


def state_of(db, consumer):
    """What PostgreSQL does for this consumer just now."""
    return db.value("SELECT state FROM pg_stat_activity WHERE datname = current_database() AND application_name = '%s'"
                    % consumer.name) or 'not connected'


with Run('crashes', data=['olist']) as run:
    events = run.events('olist')
    wanted = oracle_checksums(RULES, events)
    topic, db = run.topic(6), run.database()
    seed = run.random.randrange(1, 1 << 31)
    total = topic.publish('--shuffle', str(seed), '--partition-by', 'random', '--seed', str(seed), events)['delivered']
    moments = sorted((run.random.randrange(0, total - 2 * BATCH), what)
                     for what in ['kill'] * KILLS + ['cut'] * CUTS)
    consumers = [run.consumer(db, topic, RULES, '--batch-records', str(BATCH), '--instance-id', 'member-%d' % n,
                              name='member-%d' % n).start() for n in range(2)]

    counted = {'kill': 0, 'cut': 0}
    in_transaction, seen = 0, []
    for threshold, what in moments:
        wait_for('%d records are in the database' % threshold, lambda: run.alive() and db.position(topic) >= threshold,
                 pause=0.002)
        time.sleep(run.random.uniform(0, 0.3))  # any moment will do: this is not to wait for something
        victim = run.random.choice(consumers)
        state = state_of(db, victim)
        if what == 'kill':
            victim.kill()
            victim.start()
        else:
            cut = db.number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                            " WHERE datname = current_database() AND application_name = '%s'" % victim.name)
            state += '' if cut else ', nothing to cut'
        counted[what] += 1
        in_transaction += state not in ('idle', 'not connected')
        seen.append('%s %s at %d (%s)' % (what, victim.name, threshold, state))
    for n in range(0, len(seen), 3):
        say('          ' + '; '.join(seen[n:n + 3]))
    took = topic.drain(db)
    wait_for('both consumers are up again', lambda: run.alive() and all(c.is_up() for c in consumers))
    for consumer in consumers:
        consumer.stop()

    run.expect('kills and cuts that were done', {'kill': KILLS, 'cut': CUTS}, counted)
    run.expect_that('many of them met a transaction under way', in_transaction >= 10, in_transaction)
    run.expect('every record was read: the sum of the positions', total, db.position(topic))
    run.expect_checksums('the content after %d starts and %.0f s more' % (sum(c.starts for c in consumers), took), wanted, db)
    run.expect('deadlocks', 0, db.deadlocks())
    run.expect('events / in quarantine', [str(total), '0'], db.rows(
        'SELECT (SELECT count(*) FROM bi.interaction), (SELECT count(*) FROM bi.quarantine)')[0])
