# SPDX-License-Identifier: Apache-2.0
"""position show and position set: back under consumers that run, nothing is doubled; forward, something is missing until it
is set back; where Kafka holds nothing, it is refused, and what stopped because of that goes on afterwards.
"""

import subprocess

from harness import Run, oracle_checksums, program, rules_of, wait_for

RULES = rules_of('olist')
EVENTS, LEFT_OUT, PARTITIONS = 6000, 500, 4


def position(run, db, *arguments, topic=None):
    """Exit code, and both outputs as one text."""
    done = subprocess.run([program('polku-consumer', 'consumer'), 'position', *arguments, '--database', db.conninfo,
                           '--brokers', run.brokers, *(['--topic', topic.name] if topic else [])],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


def told(text):
    """(topic, partition) -> the other words of each line of a table."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return {(row[0], int(row[1])): row[2:] for row in rows if len(row) > 5 and row[1].isdigit()}


def slices(run, events):
    with open(events, 'rb') as file:
        lines = file.readlines()
    cuts = (0, EVENTS // 2, EVENTS - LEFT_OUT, EVENTS)
    paths = []
    for n in range(3):
        paths.append(run.file('part-%d.jsonl' % n))
        with open(paths[n], 'wb') as out:
            out.writelines(lines[cuts[n]:cuts[n + 1]])
    return paths


def publish(run, topic, path):
    seed = str(run.random.randrange(1, 1 << 31))
    return topic.publish('--shuffle', seed, '--partition-by', 'random', '--seed', seed, path)['delivered']


def back_under_way(run, db, topic, parts):
    """Everything is read twice by two consumers that are at work."""
    consumers = [run.consumer(db, topic, RULES, '--batch-records', '200').start() for _ in range(2)]
    publish(run, topic, parts[0])
    topic.drain(db)
    code, text = position(run, db, 'show', topic=topic)
    ends = {p: offset for p, (offset, _) in db.positions(topic).items()}
    run.expect('show: stored, first, end and lag of each partition', (0, {
        (topic.name, p): [str(end), '0', str(end), '0'] for p, end in ends.items()}),
        (code, {place: row[:1] + row[2:5] for place, row in told(text).items()}))
    before = db.positions(topic)
    publish(run, topic, parts[1])
    code, text = position(run, db, 'set', topic.name + ':*=earliest')
    rows = told(text)
    run.expect('set: the first offset, of every partition', (0, {(topic.name, p) for p in range(PARTITIONS)}, {'0'}),
               (code, set(rows), {row[1] for row in rows.values()}))
    again = sum(int(row[0]) for row in rows.values())
    run.expect_that('set: it tells how much is read again', again >= sum(offset for offset, _ in before.values()) and
                    'WARNING' not in text, text.strip().splitlines()[1])
    wait_for('the consumers claim the positions that were set', lambda: run.alive() and all(
        claims > before[p][1] + 1 for p, (_, claims) in db.positions(topic).items()))
    topic.drain(db)
    run.expect('events, each once', topic.records, db.number('SELECT count(*) FROM bi.interaction'))
    for consumer in consumers:
        consumer.stop()
    told_again = sum(line['records'] for c in consumers
                     for line in c.said('the database went back, reading again what it lacks'))
    run.expect_that('the consumers say that the positions went back', told_again > 0, told_again)
    handled = sum(consumer.totals()['records'] for consumer in consumers)
    run.expect('records that they committed: all, and again what was set back', topic.records + again, handled)


def idle_set(run, db, topic):
    """Consumers that read everything and have nothing to do notice it too."""
    consumer = run.consumer(db, topic, RULES).start()
    wait_for('it has claimed', consumer.is_up)
    before = db.positions(topic)[0]
    code, _ = position(run, db, 'set', topic.name + ':0=%d' % (before[0] // 2))
    run.expect('set under an idle consumer', 0, code)
    wait_for('it reads again', lambda: run.alive() and db.positions(topic)[0][0] == before[0])
    consumer.stop()
    run.expect('records that it read again', before[0] - before[0] // 2, consumer.totals()['records'])


def forward_and_back(run, db, topic, part, wanted):
    publish(run, topic, part)
    code, text = position(run, db, 'set', topic.name + ':*=latest')
    run.expect_that('set forward: what is left out is told', code == 0 and 'WARNING' in text and
                    sum(int(row[4]) for row in told(text).values() if len(row) > 4) == LEFT_OUT, text.strip().splitlines()[1])
    run.consumer(db, topic, RULES, '--until-end').start().wait()
    run.expect('set forward: events', EVENTS - LEFT_OUT, db.number('SELECT count(*) FROM bi.interaction'))
    run.expect('set back: exit code', 0, position(run, db, 'set', topic.name + ':*=2020-01-01')[0])
    run.consumer(db, topic, RULES, '--until-end').start().wait()
    run.expect('set back: events', EVENTS, db.number('SELECT count(*) FROM bi.interaction'))
    run.expect_checksums('set back: the tables and those of the oracle', wanted, db)


def times(run, db):
    """The first record that is not earlier."""
    topic = run.topic(2)
    topic.put([(0, 1000000 + 1000 * n, None, b'no event', []) for n in range(10)])
    for when, wanted in (('1970-01-01T00:16:45Z', '5'), ('1970-01-01T00:16:45.0001Z', '6'), ('1970-01-01', '0'),
                         ('2050-01-01T02:00:00+02:00', '10'), ('latest', '10'), ('earliest', '0'), ('7', '7')):
        code, text = position(run, db, 'set', '%s:0=%s' % (topic.name, when))
        run.expect('set to %s' % when, (0, wanted), (code, told(text)[topic.name, 0][1] if code == 0 else text))
    code, text = position(run, db, 'set', topic.name + ':1=2020-01-01')
    run.expect('a partition that holds nothing', (0, ['-', '0', '0', '0']), (code, told(text)[topic.name, 1][:4]))


def wrong(run, db, topic):
    end, place = db.positions(topic)[1][0], topic.name + ':1='
    stood = db.positions(topic)
    for arguments, words in (
            ([], 'show, or to set'), (['move'], 'show, or to set'), (['show', 'x'], 'show, or to set'),
            (['set'], 'at least one place'), (['set', topic.name], 'names no place'), (['set', ':1=0'], 'names no place'),
            (['set', topic.name + ':x=0'], 'no number of a partition'), (['set', topic.name + ':-1=0'], 'no number of a partition'),
            (['set', place], 'no offset and no time'), (['set', place + '-1'], 'no offset and no time'),
            (['set', place + 'newest'], 'no offset and no time'), (['set', place + '2026-13-01T00:00:00Z'], 'no offset and no time'),
            (['set', place + '9' * 30], 'no offset is that large'),
            (['set', place + str(end + 1)], 'Kafka holds the offsets from 0 to before %d' % end),
            (['set', topic.name + ':99=0'], 'Kafka has no partition 99'),
            (['set', place + '0', place + '1'], 'named twice'), (['set', topic.name + ':*=0', place + '1'], 'named twice'),
            (['set', '--force', topic.name + ':99=earliest'], 'Kafka does not say where that is')):
        code, text = position(run, db, *arguments)
        run.expect_that('position %s' % ' '.join(arguments).replace(topic.name, 'TOPIC'), code == 2 and words in text,
                        text.strip().splitlines()[-1].replace(topic.name, 'TOPIC'))
    code, text = position(run, db, 'set', 'no-such-topic:0=0')
    run.expect_that('position set no-such-topic:0=0', code == 1 and 'no-such-topic' in text, text.strip().splitlines()[-1])
    run.expect('none of that moved anything', stood, db.positions(topic))


def not_in_kafka(run, db, topic, wanted):
    """The one way to a stop that a person has to end."""
    end = db.positions(topic)[2][0]
    run.expect('set --force', 0, position(run, db, 'set', '--force', '%s:2=%d' % (topic.name, end + 1000))[0])
    _, text = position(run, db, 'show', topic=topic)
    run.expect_that('show says so', "behind Kafka's end" in text, [line for line in text.splitlines() if 'behind' in line])
    consumer = run.consumer(db, topic, RULES, '--until-end')
    run.consumers.remove(consumer)  # its end is an error, as it should be
    done = subprocess.run(consumer.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False)
    run.expect_that('a consumer stops and says where', done.returncode == 1 and b'is not in Kafka' in done.stderr,
                    done.stderr.decode().strip().splitlines()[-1][-300:])
    run.expect('set back', 0, position(run, db, 'set', '%s:2=%d' % (topic.name, end // 2))[0])
    run.consumer(db, topic, RULES, '--until-end').start().wait()
    run.expect_checksums('and the tables are those of the oracle', wanted, db)
    run.expect_verified(db, RULES)


with Run('position', data=['olist']) as test:
    source = test.events('olist', EVENTS)
    goal = oracle_checksums(RULES, source)
    files = slices(test, source)
    tables, stream = test.database(), test.topic(PARTITIONS)
    back_under_way(test, tables, stream, files)
    idle_set(test, tables, stream)
    forward_and_back(test, tables, stream, files[2], goal)
    times(test, tables)
    wrong(test, tables, stream)
    not_in_kafka(test, tables, stream, goal)
