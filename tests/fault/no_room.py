# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's disk is full: nothing is lost, the log says once what is wrong, tries come at growing pauses, and with room it goes on
by itself. The full disk is disk_full.c, preloaded into a server of its own."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))
from harness import ORACLE, ROOT, Run, generate, wait_for  # noqa: E402

RULES = os.path.join(ORACLE, 'rules_small.yaml')
POSTGRES = os.path.join(ROOT, 'tests', 'support', 'postgres.sh')
TRIES = 4


def failures(consumer):
    return [line for line in consumer.said('a batch failed and will be read again') if 'SQLSTATE 53100' in line['why']]


def full_disk(run, flag):
    path = run.file('events.jsonl')
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(generate.Generator(run.seed, events=1500).generate(), file)
    db, topic = run.database(), run.topic(1)
    with open(path, encoding='utf-8') as file:
        lines = file.readlines()
    parts = run.file('first.jsonl'), run.file('rest.jsonl')
    for part, some in zip(parts, (lines[:20], lines[20:])):
        with open(part, 'w', encoding='utf-8') as file:
            file.writelines(some)
    consumer = run.consumer(db, topic, RULES, '--retry-min', '100ms', '--retry-max', '10s').start()
    topic.publish(parts[0])
    topic.drain(db)
    with open(flag, 'w', encoding='ascii'):
        pass
    os.chmod(flag, 0o644)
    topic.publish(parts[1])
    wait_for('%d tries failed' % TRIES, lambda: run.alive() and len(failures(consumer)) >= TRIES)
    pauses = [line['next_try_ms'] for line in failures(consumer)[:TRIES]]
    run.expect('each pause is twice the one before', [100 << n for n in range(TRIES)], pauses)
    run.expect('what is wrong is told once', 1, len(consumer.said("PostgreSQL's disk is full, nothing is committed")))
    os.unlink(flag)
    topic.drain(db)
    consumer.stop()
    run.expect_oracle('with room it goes on, and the tables are those of the oracle', db, RULES, path)
    run.expect('nobody was asked for help', [], [line for line in consumer.log() if line['level'] == 'error'])


def main():
    flag = '/tmp/polku-no-room.%d' % os.getpid()  # where the server's user sees it
    folder = os.path.join(os.environ.get('POLKU_TEST_BUILD', '.'), 'no-room-postgres')
    preload = dict(os.environ, LD_PRELOAD=os.path.join(os.environ.get('POLKU_TEST_BUILD', '.'), 'tests', 'fault', 'libdisk_full.so'),
                   POLKU_DISK_FULL=flag)
    try:
        if os.environ.get('POLKU_TEST_BUILD'):
            os.environ['POLKU_TEST_DATABASE'] = subprocess.run([POSTGRES, 'start', folder, '--no-fsync'], env=preload, check=True,
                                                               stdout=subprocess.PIPE).stdout.decode().splitlines()[-1]
        with Run('no_room') as run:
            full_disk(run, flag)
    finally:
        if os.path.exists(flag):
            os.unlink(flag)
        if os.path.isdir(folder):
            subprocess.run([POSTGRES, 'remove', folder], stdout=subprocess.DEVNULL, check=False)


if __name__ == '__main__':
    main()
