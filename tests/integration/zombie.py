# SPDX-License-Identifier: Apache-2.0
"""A consumer that is stopped (SIGSTOP) while it holds a claim and has a batch in hand, and goes on (SIGCONT) after
another one took over and finished: it commits nothing.

Several repetitions, each stopped at another moment: while PostgreSQL works on its batch, between two batches, and in
the middle of sending a batch that is too large for the socket's buffer.
"""

import time

from harness import Run, oracle_checksums, rules_of, say, wait_for

RULES = rules_of('olist')
EVENTS = 12000
OPTIONS = ('--idle-timeout', '2s', '--lock-timeout', '1s', '--statement-timeout', '10s',
           '--kafka.session.timeout.ms', '3000')


def backend(db, consumer):
    """What the consumer's connection does, what it waits for, and whether it is within a transaction that writes."""
    rows = db.rows("""SELECT a.state, coalesce(a.wait_event, '-'), CASE WHEN EXISTS (
                          SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory') THEN 'writing' ELSE '' END
                      FROM pg_stat_activity a
                      WHERE a.datname = current_database() AND a.application_name = '%s'""" % consumer.name)
    return tuple(rows[0]) if rows else None


def freeze_when(run, db, topic, zombie, after, wish):
    """Stops the zombie at a random moment behind `after` records at which its connection is as wished; what it was."""
    wait_for('%d records are read' % after, lambda: run.alive() and db.position(topic) >= after, pause=0.002)
    for _ in range(400):
        time.sleep(run.random.uniform(0, 0.01))  # any moment will do
        zombie.freeze()
        state = backend(db, zombie)
        if state and wish(state):
            return state
        zombie.thaw()
    return None


def tables_moved(db):
    """Changes with every commit of anybody; claims alone do not count."""
    return db.rows("""SELECT (SELECT count(*) FROM polku.interaction), (SELECT max(moved_at) FROM polku.stream_position),
        (SELECT max(xmin::text::bigint) FROM polku.journey), (SELECT max(xmin::text::bigint) FROM polku.guard_cell),
        (SELECT max(xmin::text::bigint) FROM polku.interaction_hourly), (SELECT count(*) FROM polku.quarantine)""")[0]


def repetition(run, events, wanted, number, what, batch, wish):
    topic, db = run.topic(2), run.database()
    seed = run.random.randrange(1, 1 << 31)
    total = topic.publish('--shuffle', str(seed), '--partition-by', 'random', '--seed', str(seed), events)['delivered']
    zombie = run.consumer(db, topic, RULES, *OPTIONS, '--batch-records', str(batch), name='zombie-%d' % number).start()
    # A large batch is in hand from the start on; of small ones some are committed before.
    state = freeze_when(run, db, topic, zombie, 0 if batch == EVENTS else run.random.randrange(batch, total // 3), wish)
    if not run.expect_that('%d: stopped %s' % (number, what), state, state):
        zombie.kill()
        return 0
    # What the server had already been sent it carries out by itself.
    wait_for('the server waits for the zombie', lambda: (backend(db, zombie) or ('gone', ''))[1] in ('ClientRead', ''))
    before = db.positions(topic)
    heir = run.consumer(db, topic, RULES, *OPTIONS, '--batch-records', '5000', name='heir-%d' % number).start()
    took = topic.drain(db, 90)
    after = db.positions(topic)
    run.expect_that('   the other one claims every partition and reads the rest, in %.0f s' % took,
                    set(after) == {0, 1} and all(after[p][1] > before.get(p, (0, 0))[1] for p in after),
                    '%s -> %s' % (before, after))
    done = tables_moved(db)

    zombie.thaw()
    wait_for('the zombie notices', lambda: run.alive() and (
        zombie.said('partitions revoked') or zombie.said('a batch failed and will be read again')))
    wait_for('both share the partitions again', lambda: run.alive() and zombie.claimed() == heir.claimed() == 1)
    noticed = [line for line in zombie.log() if line['level'] == 'warn' and 'why' in line]
    zombie.stop()
    heir.stop()
    say('          the zombie: %s' % '; '.join('%s (%s)' % (line['message'], line['why']) for line in noticed))
    run.expect('   the zombie changed nothing', done, tables_moved(db))
    run.expect('   positions never went back', {p: n for p, (n, _) in after.items()},
               {p: n for p, (n, _) in db.positions(topic).items()})
    committed, handled = sum(n for n, _ in before.values()), zombie.totals().get('records', 0)
    run.expect_that('   it takes no record for committed that was not when it was stopped', handled <= committed,
                    '%d, the positions then stood at %d' % (handled, committed))
    run.expect_checksums('   the tables in the end', wanted, db)
    return sum('PK001' in line['why'] for line in noticed)


MOMENTS = [
    ('while PostgreSQL works on its batch', 300, lambda s: s[0] == 'active' and s[1] != 'ClientRead' and s[2]),
    ('between two batches', 300, lambda s: s[0] == 'idle'),
    ('in the middle of sending a batch', EVENTS, lambda s: s[1:] == ('ClientRead', 'writing')),
    ('between two batches', 1000, lambda s: s[0] == 'idle'),
]

with Run('zombie', data=['olist']) as run:
    events = run.events('olist', EVENTS)
    wanted = oracle_checksums(RULES, events)
    fenced = [repetition(run, events, wanted, number, *moment) for number, moment in enumerate(MOMENTS)]
    run.expect_that('the fence refused batches of zombies', sum(fenced), sum(fenced))
