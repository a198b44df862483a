# SPDX-License-Identifier: Apache-2.0
"""Somebody sits on the locks of the commit protocol for long: consumers wait, back off and stay; when the locks are
free again everything is committed, and nobody needed an operator."""

import os

from harness import ORACLE, Run, Session, generate, oracle_checksums, wait_for

RULES = os.path.join(ORACLE, 'rules_small.yaml')

with Run('stuck_writer') as run:
    events = generate.Generator(run.seed, events=300).generate()
    files = []
    for name, part in (('before', events[:200]), ('meanwhile', events[200:])):
        files.append(run.file(name + '.jsonl'))
        with open(files[-1], 'w', encoding='utf-8') as file:
            generate.write(part, file)
    db, topic = run.database(), run.topic(2)
    consumers = [run.consumer(db, topic, RULES, '--lock-timeout', '300ms', '--batch-records', '20').start()
                 for _ in range(2)]
    wait_for('each has a partition', lambda: run.alive() and [c.claimed() for c in consumers] == [1, 1])
    topic.publish('--partition-by', 'random', '--seed', str(run.seed), files[0])
    topic.drain(db)

    stuck = Session(db.conninfo)
    stuck.rows('BEGIN')
    stuck.rows('SELECT pg_advisory_xact_lock_shared(482905713525)')
    stuck.rows('SELECT count(*) FROM (SELECT FROM polku.guard_cell FOR UPDATE) c')
    position = db.position(topic)
    topic.publish('--partition-by', 'random', '--seed', str(run.seed), files[1])
    wait_for('both consumers have given a batch back', lambda: run.alive() and all(
        any(line['status'] == 'retry' for line in c.said('a batch failed and will be read again')) for c in consumers))
    run.expect('nothing was committed meanwhile', position, db.position(topic))
    run.expect('both consumers are there', [True, True], [c.is_running() for c in consumers])
    stuck.rows('ROLLBACK')
    stuck.close()
    topic.drain(db)
    for consumer in consumers:
        consumer.stop()
    run.expect_checksums('afterwards everything is there', oracle_checksums(RULES, *files), db)
