# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL becomes so slow that a batch runs into --statement-timeout: batches are halved until they pass, to one record if
need be, and are of full size again some time after it is quick again.

A trigger sleeps for every event that is inserted. In the end the server says nothing at all any more (SIGSTOP of the one
process of it that serves the consumer, which has nothing to read): the consumer leaves it and connects anew. So does one
whose server takes connections and says nothing from the start.
"""

import os
import signal
import socket
import threading
import time

from harness import Failure, Run, oracle_checksums, rules_of, say, wait_for

RULES = rules_of('olist')
EVENTS, BATCH = 3000, 128


def sizes(consumer):
    return [line['records'] for line in consumer.said('batches are smaller from now on')]


def message(kind, content):
    return kind + (len(content) + 4).to_bytes(4, 'big') + content


def serve_nothing(listener):
    """Lets everybody in, as a PostgreSQL that takes writes, and answers no statement."""
    answer = message(b'R', (0).to_bytes(4, 'big')) + b''.join(
        message(b'S', name + b'\0' + value + b'\0') for name, value in (
            (b'server_version', b'15.0'), (b'in_hot_standby', b'off'), (b'default_transaction_read_only', b'off'))
    ) + message(b'Z', b'I')
    held = []
    while True:
        connection = listener.accept()[0]
        held.append(connection)
        while len(connection.recv(10000)) == 8:  # asks for encryption
            connection.sendall(b'N')
        connection.sendall(answer)


with Run('too_slow', data=['olist']) as run:
    events = run.events('olist', EVENTS)
    topic, db = run.topic(1), run.database()
    seed = str(run.random.randrange(1, 1 << 31))
    topic.publish('--shuffle', seed, events)
    db.rows('CREATE TABLE public.slow (seconds float8 NOT NULL)')
    db.rows('INSERT INTO public.slow VALUES (3)')
    db.rows("CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(seconds) FROM public.slow; RETURN NEW; END'")
    db.rows('CREATE TRIGGER slow BEFORE INSERT ON polku.interaction FOR EACH ROW EXECUTE FUNCTION public.slow()')

    listener = socket.create_server(('127.0.0.1', 0))
    threading.Thread(target=serve_nothing, args=(listener,), daemon=True).start()
    conninfo, db.conninfo = db.conninfo, 'host=127.0.0.1 port=%d dbname=x user=x' % listener.getsockname()[1]
    mute = run.consumer(db, topic, RULES, '--group', 'nobody', name='mute').start()
    db.conninfo = conninfo

    consumer = run.consumer(db, topic, RULES, '--batch-records', str(BATCH), '--statement-timeout', '1s', '--lock-timeout',
                            '500ms').start()
    wait_for('one record is too much', lambda: run.alive() and consumer.said('PostgreSQL finds one record too much'))
    run.expect('3 s for an event: each try is half as large', [64, 32, 16, 8, 4, 2, 1], sizes(consumer)[:7])
    run.expect('nothing is committed', 0, db.position(topic))

    db.rows('UPDATE public.slow SET seconds = 0.02')
    before = len(sizes(consumer))
    wait_for('larger batches were tried', lambda: run.alive() and len(sizes(consumer)) > before)
    run.expect_that('20 ms for an event: they grow until 64 take too long, or 32 on a busy machine', sizes(consumer)[-1] in (16, 32),
                    sizes(consumer)[-1])

    db.rows('DROP TRIGGER slow ON polku.interaction')
    wait_for('batches are of full size again', lambda: run.alive() and consumer.said('batches are of full size again'))
    topic.drain(db)

    claims = db.positions(topic)[0][1]
    for attempt in range(3):
        # Stopped in an unlucky moment a backend may hold what others wait for (a buffer, a lock of the server's own).
        server = db.value("SELECT pid FROM pg_stat_activity WHERE application_name = '%s' AND state = 'idle' ORDER BY backend_start DESC"
                          % consumer.name)
        if not server:
            time.sleep(0.05)
            continue
        os.kill(int(server), signal.SIGSTOP)
        try:
            wait_for('it claims again', lambda: run.alive() and db.positions(topic)[0][1] > claims, 45)
            break
        except Failure as error:
            say('          attempt %d: %s; it says %s; connections %s' % (attempt + 1, error, consumer.log()[-3:], db.rows(
                "SELECT pid, state, wait_event, query FROM pg_stat_activity WHERE application_name = '%s'" % consumer.name)))
        finally:
            os.kill(int(server), signal.SIGCONT)
    run.expect_that('it claims again', db.positions(topic)[0][1] > claims)
    run.expect_that('a server that says nothing is left', consumer.said('the positions are not as they were left'),
                    consumer.said('the positions are not as they were left')[-1]['why'])
    consumer.stop()
    run.expect_that('no connection broke, nobody else took the partitions', all(
        line['status'] == 'retry' and '57014' in line['why'] for line in consumer.said('a batch failed and will be read again')),
        '%d batches ran into the limit' % len(consumer.said('a batch failed and will be read again')))
    said = wait_for('the other one leaves its server', lambda: run.alive() and mute.said('PostgreSQL is away'))
    run.expect_that('a server that says nothing from the start', 'set up the session' in said[0]['why'], said[0]['why'])
    mute.stop()
    run.expect('every record was read', EVENTS, db.position(topic))
    run.expect_checksums('the tables and those of the oracle', oracle_checksums(RULES, events), db)
