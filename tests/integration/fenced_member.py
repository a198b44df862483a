# SPDX-License-Identifier: Apache-2.0
"""Static members whose place in the group was given away: a consumer takes it back and reads on; of two with one instance-id one
gives up and says why.
"""

import subprocess
import time

from harness import Run, oracle_checksums, rules_of, wait_for

RULES = rules_of('olist')
AGAIN = 'Kafka gave our place in the group away, joining anew'

with Run('fenced_member', data=['olist']) as run:
    events = run.events('olist', limit=6000)
    topic, db = run.topic(2), run.database()
    first = run.consumer(db, topic, RULES, '--instance-id', 'place', name='first').start()
    wait_for('it has its partitions', lambda: run.alive() and first.claimed() == 2)

    thief = subprocess.Popen(['kcat', '-b', run.brokers, '-G', db.name, '-X', 'group.instance.id=place', '-X',
                              'session.timeout.ms=6000', '-q', topic.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for('its place is taken', lambda: run.alive() and first.said(AGAIN))
    thief.kill()
    thief.wait()
    topic.publish('--partition-by', 'random', '--seed', str(run.seed), events)
    topic.drain(db)
    run.expect_that('it takes its place back and reads everything', db.position(topic) == topic.records, db.position(topic))

    second = run.consumer(db, topic, RULES, '--instance-id', 'place', name='second').start()
    deadline = time.monotonic() + 120
    while first.is_running() and second.is_running() and time.monotonic() < deadline:
        time.sleep(0.1)
    loser, winner = (second, first) if first.is_running() else (first, second)
    run.consumers.remove(loser)  # it did need an operator
    run.expect_that('of two with one instance-id one ends, with exit code 1', (loser.process.poll(), winner.is_running()) == (1, True),
                    (loser.process.poll(), winner.is_running()))
    last = loser.said('stopped')[-1]
    run.expect_that('... and says why', 'instance-id place: give each its own' in last.get('reason', ''), last.get('reason'))
    topic.publish('--partition-by', 'random', '--seed', str(run.seed + 1), events)
    topic.drain(db)
    winner.stop()
    run.expect_checksums('the content', oracle_checksums(RULES, events), db)
