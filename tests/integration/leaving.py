# SPDX-License-Identifier: Apache-2.0
"""SIGTERM ends a consumer within 5 seconds with 0 even while PostgreSQL does not answer, and its group learns of it.

The server process of its connection is stopped (SIGSTOP) in the middle of its batches; then the whole server is, while
the consumer connects. What was under way is read again by the next one, and the tables are complete.
"""

import json
import os
import signal
import time

from harness import ROOT, Run, oracle_checksums, say, wait_for

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')


def write_events(path, count):
    with open(path, 'w', encoding='utf-8') as out:
        for n in range(count):
            out.write(json.dumps({
                'event_id': 'e%d' % n, 'source': 'crm', 'channel': 'phone', 'brand': 'Ahola', 'sequence': n,
                'type': 'callback.booked' if n % 3 else 'contact.inbound', 'direction': 'INBOUND', 'actor': 'CUSTOMER',
                'occurred_at': '2024-03-%02dT%02d:%02d:%02dZ' % (1 + n // 86400, n // 3600 % 24, n // 60 % 60, n % 60),
                'identifiers': [{'namespace': 'phone', 'value': '040%d' % (n % 5000)}]}) + '\n')


def leave(run, what, consumer):
    started = time.monotonic()
    consumer.signal(signal.SIGTERM)
    code = consumer.process.wait(90)
    took = time.monotonic() - started
    run.expect_that('%s: leaves with 0 within 5 s' % what, code == 0 and took < 5, 'exit code %d after %.1f s' % (code, took))


def backend(db, consumer):
    return db.number("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = '%s'" %
                     consumer.name)


def still(db, topic):
    """True once the positions have not moved for half a second."""
    before = db.position(topic)
    time.sleep(0.5)
    return before == db.position(topic)


with Run('leaving') as run:
    events = run.file('events.jsonl')
    write_events(events, 30000)
    wanted = oracle_checksums(RULES, events)
    topic, db = run.topic(2), run.database()
    topic.publish(events)

    consumer = run.consumer(db, topic, RULES, '--batch-records', '500').start()
    wait_for('some batches are committed', lambda: run.alive() and db.position(topic) > 2000, pause=0.002)
    pid = backend(db, consumer)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for('nothing moves any more', lambda: still(db, topic))
        run.expect_that('records are left', db.position(topic) < topic.records, db.position(topic))
        leave(run, 'its server process hangs', consumer)
    finally:
        os.kill(pid, signal.SIGCONT)

    heir = run.consumer(db, topic, RULES).start()
    topic.drain(db)
    run.expect_checksums('the next one completes the tables', wanted, db)

    with open(os.path.join(db.value('SHOW data_directory'), 'postmaster.pid'), encoding='ascii') as file:
        server = int(file.readline())
    os.kill(server, signal.SIGSTOP)
    try:
        db.rows('SELECT pg_terminate_backend(%d)' % backend(db, heir))
        topic.publish(events)
        wait_for('the lost connection is noticed', lambda: heir.said('a batch failed and will be read again'))
        time.sleep(1)  # it connects by now, and nobody answers
        leave(run, 'the whole server hangs', heir)
    finally:
        os.kill(server, signal.SIGCONT)
    say('          %s' % [line['message'] for line in consumer.log() + heir.log() if line['level'] == 'warn'])
