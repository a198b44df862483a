# SPDX-License-Identifier: Apache-2.0
"""Whatever order and partitions the events come in, however many consumers read them in batches of whatever size: the
derived tables have one content, ids included, and it is the oracle's.

Olist in time order in one partition; then shuffled by three seeds over six partitions with no regard to the customer,
read by one consumer and by three at once, who meet on the same customers all the time.
"""

from harness import Run, oracle_checksums, rules_of, say, wait_for

RULES = rules_of('olist')


def read_together(run, topic, db, count, *options):
    """`count` consumers that share the partitions before the first record comes. They keep their logs' totals."""
    consumers = [run.consumer(db, topic, RULES, *options, name='%s-%d' % (db.name[-2:].strip('_'), n)).start()
                 for n in range(count)]
    wait_for('each of %d consumers has its share of the partitions' % count,
             lambda: run.alive() and [c.claimed() for c in consumers] == [topic.partitions // count] * count)
    return consumers


with Run('any_order', data=['olist']) as run:
    events = run.events('olist')
    wanted = oracle_checksums(RULES, events)
    say('  oracle  %s' % wanted['all'])

    topic, db = run.topic(1), run.database()
    consumers = read_together(run, topic, db, 1)
    topic.publish('--sort', '--partition', '0', events)
    topic.drain(db)
    consumers[0].stop()
    run.expect_checksums('in time order, one partition, one consumer', wanted, db)

    seeds = [run.random.randrange(1, 1 << 31) for _ in range(3)]
    retries_of_several = 0
    for seed, alone, together in zip(seeds, ([], ['--batch-records', '700'], ['--memory', '1MiB']),
                                     (['--batch-records', '500'], ['--batch-records', '2000'], ['--memory', '1MiB'])):
        for count, options in ((1, alone), (3, together)):
            topic, db = run.topic(6), run.database()
            consumers = read_together(run, topic, db, count, *options)
            topic.publish('--shuffle', str(seed), '--partition-by', 'random', '--seed', str(seed), events)
            topic.drain(db)
            totals = [consumer.stop().totals() for consumer in consumers]
            retries = sum(t['retries'] for t in totals)
            run.expect_checksums('shuffled by %d, six partitions, %d consumer%s %s: %d batches, %d derived again, %d retries' % (
                seed, count, 's'[:count - 1], ' '.join(options), sum(t['batches'] for t in totals),
                sum(t['slow'] for t in totals), retries), wanted, db)
            run.expect('... deadlocks, warnings in logs', (0, []), (
                db.deadlocks(), [line for c in consumers for line in c.log() if line['level'] == 'warn']))
            if count > 1:
                retries_of_several += retries
                run.expect_that('... every consumer read a part, and they did meet', all(t['facts'] for t in totals) and
                                retries > 0, '%s records, %d retries' % ([t['records'] for t in totals], retries))
    run.expect_that('batches that met another consumer were tried again', retries_of_several > 10, retries_of_several)
