# SPDX-License-Identifier: Apache-2.0
"""Quarantine whole: publishers are named, records are listed, shown, published again once their cause is repaired,
deleted by age; a flood is bounded in rate and space, and each bad record is a row or counted, whatever is killed."""

import json
import os
import subprocess
import time

from harness import ROOT, Encoder, Run, polku_oracle, program, rules_of, wait_for

RULES = rules_of('olist')       # horizon 2015-01-01
BASE = polku_oracle.parse_time('2018-03-01T12:00:00Z')
SECOND = 1000000
HOUR_MS = 3600 * 1000


def event(number, **fields):
    """A good event."""
    found = {'event_id': 'e%d' % number, 'source': 'shop', 'occurred_at': BASE + number * 60 * SECOND,
             'type': 'contact.inbound', 'channel': 'phone', 'direction': 'INBOUND', 'actor': 'CUSTOMER', 'brand': 'Ahola',
             'unit': 'care', 'identifiers': [{'namespace': 'ahola/customer_id', 'value': 'C-%d' % (number % 20)}],
             'outcome': 'ok'}
    found.update(fields)
    return found


def write_events(path, events):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(''.join(json.dumps(natural) + '\n' for natural in events))
    return path


def command(run, db, *arguments, code=0):
    """polku-consumer ...; its output. The exit code is an expectation where it is not 0."""
    done = subprocess.run([program('polku-consumer', 'consumer'), *arguments, '--database', db.conninfo, '--brokers', run.brokers,
                           '--log-format', 'json'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != code:
        run.expect_that('polku-consumer %s ends with %d' % (' '.join(arguments[:2]), code), False,
                        '%d: %s%s' % (done.returncode, done.stdout.decode()[-500:], done.stderr.decode()[-800:]))
    return done.stdout.decode() + (done.stderr.decode() if code else '')


def counts(run, db, *filters):
    listed = json.loads(command(run, db, 'quarantine', 'list', '--json', *filters))
    return {(group['publisher'], group['reason']): (group['stored'], group['excess'], group['requeued'])
            for group in listed['counts']}, listed['records']


def last_requeue(out):
    return int(out.split()[0])


def story(run, make):
    """From the first record that is set aside to the last that is published again."""
    db, topic = run.database(), run.topic(2)
    consumer = run.consumer(db, topic, RULES, name='story').start()
    framed, body = make.single_object, make.body
    good = [event(n) for n in range(60)]
    later = [event(100 + n, source='crm') for n in range(7)]            # known only once schema id 77 is
    ahead = event(200, source='kiosk', occurred_at=int(time.time()) * SECOND - 7200 * SECOND)
    twins = [event(300), event(300, outcome='failed')]
    deriver = polku_oracle.Deriver(polku_oracle.Rules.load(RULES), polku_oracle.read_key(os.path.join(
        ROOT, 'tests', 'oracle', 'key_test.hex')))
    twins.sort(key=lambda natural: -deriver.derive([natural]).events[0].content)
    secret = 'C-%d-planted' % run.random.randrange(1 << 30)
    invalid = event(400, source='till', unit='', identifiers=[{'namespace': 'ahola/customer_id', 'value': secret}])
    records = [(n % 2, None, b'k%d' % (n % 20), framed(body(natural)), []) for n, natural in enumerate(good)]
    records += [(n % 2, 1600000000000, b'later', make.confluent(body(natural), 77), [(b'source', b'crm'), (b'trace', b'\0\xff')])
                for n, natural in enumerate(later)]
    records += [(0, None, None, framed(body(good[0])[:20]), []),                            # says nobody
                (0, None, b'', b'{"source": "nobody"}', [(b'source', b'front desk')]),
                (1, None, b'k', None, [(b'source', b'../etc')]),                            # can be no source
                (1, None, b'k', framed(body(invalid)), []),
                (1, None, b'k', framed(body(event(401, source='till', occurred_at='2014-01-01T00:00:00Z'))), []),
                (0, int(time.time() - 86400) * 1000, b'ahead', framed(body(ahead)), []),
                (0, None, b'big', framed(body(good[0])) + b'\x55' * 70000, [(b'source', b'front desk')])]
    places = topic.put(records)
    first_twin = topic.put([(1, None, b't', framed(body(twins[0])), [])])[0]
    topic.drain(db)
    topic.put([(1, None, b't', framed(body(twins[1])), [])])          # the smaller one comes after the other was stored
    topic.drain(db)
    wanted = {('crm', 'unknown_schema'): (7, 0, 0), (None, 'undecodable'): (1, 0, 0), ('front desk', 'bad_frame'): (1, 0, 0),
              (None, 'bad_frame'): (1, 0, 0), ('till', 'invalid'): (1, 0, 0), ('till', 'too_late'): (1, 0, 0),
              ('kiosk', 'future'): (1, 0, 0), ('front desk', 'too_large'): (1, 0, 0), ('shop', 'conflicting_duplicate'): (1, 0, 0)}
    got, rows = counts(run, db)
    run.expect('quarantine list: stored, excess, requeued by publisher and reason', wanted, got)
    run.expect('   and the records', 15, len(rows))
    run.expect('   of one reason', {('crm', 'unknown_schema'): (7, 0, 0)}, counts(run, db, '--reason', 'unknown_schema')[0])
    run.expect('   of one publisher', {'till'}, {who for who, _ in counts(run, db, '--publisher', 'till')[0]})
    run.expect('   of nobody', {None}, {who for who, _ in counts(run, db, '--publisher', '')[0]})
    run.expect('   before an hour ago', {}, counts(run, db, '--until', '1h')[0])
    run.expect('   of another topic', {}, counts(run, db, '--of-topic', 'elsewhere')[0])
    run.expect('bi.quarantine_by_publisher says the same', {key: value[0] for key, value in wanted.items()}, {
        (who, reason): int(records) for who, reason, records in db.rows(
            'SELECT publisher, reason, records FROM bi.quarantine_by_publisher')})
    run.expect('   with a sentence each', 0, db.number('SELECT count(*) FROM bi.quarantine_by_publisher WHERE last_detail IS NULL'))

    shown = command(run, db, 'quarantine', 'show', '%s:%d:%d' % (topic.name, *places[-4]))
    run.expect_that('quarantine show: the bytes, and the event as JSON', secret in shown and '"till"' in shown
                    and '00000000  c3 01' in shown, shown.splitlines()[1])
    listed = command(run, db, 'quarantine', 'list') + command(run, db, 'quarantine', 'list', '--json')
    run.expect_that('quarantine list shows no identifier', secret not in listed)
    shown = command(run, db, 'quarantine', 'show', '%s:%d:%d' % (topic.name, *first_twin))
    run.expect_that('   a displaced copy is read again from Kafka', 'read again from Kafka' in shown and '"e300"' in shown)
    command(run, db, 'quarantine', 'show', '%s:0:0' % topic.name, code=2)

    # The cause of one reason is repaired.
    folder = run.file('schemas')
    os.makedirs(folder)
    with open(os.path.join(ROOT, 'schemas', 'interaction.avsc'), 'rb') as source, open(os.path.join(folder, 'more.avsc'), 'wb') as copy:
        copy.write(source.read())
    with open(os.path.join(folder, 'ids.yaml'), 'w', encoding='ascii') as file:
        file.write('1: more.avsc\n77: more.avsc\n')
    consumer.stop()
    consumer.command += ['--schemas', folder]
    consumer.start()
    only = ('--reason', 'unknown_schema')
    run.expect('requeue --dry-run', 7, last_requeue(command(run, db, 'requeue', '--dry-run', *only)))
    run.expect('   publishes nothing', {('crm', 'unknown_schema'): (7, 0, 0)}, counts(run, db, *only)[0])
    run.expect('requeue', 7, last_requeue(command(run, db, 'requeue', '--by', 'the test', *only)))
    topic.records += 7
    topic.drain(db)
    run.expect('   the events are there', 7, db.number("SELECT count(*) FROM bi.interaction WHERE source = 'crm'"))
    run.expect('   with the times of their records', ['2020-09-13 12:26:40+00'],
               [row[0] for row in db.rows("SELECT DISTINCT received_at FROM bi.interaction WHERE source = 'crm'")])
    run.expect('   rows are marked', {('crm', 'unknown_schema'): (7, 0, 7)}, counts(run, db, *only)[0])
    run.expect('   where they went is where they are', 7, db.number(
        "SELECT count(*) FROM bi.quarantine q JOIN polku.interaction i ON i.kafka_partition = q.requeued_partition"
        " AND i.kafka_offset = q.requeued_offset WHERE q.requeued_by = 'the test' AND q.requeued_topic = q.topic"))
    run.expect('requeue again', 0, last_requeue(command(run, db, 'requeue', *only)))
    run.expect('requeue --reason future', 1, last_requeue(command(run, db, 'requeue', '--reason', 'future')))
    run.expect('requeue --reason conflicting_duplicate', 1, last_requeue(command(run, db, 'requeue', '--reason', 'conflicting_duplicate')))
    topic.records += 2
    topic.drain(db)
    run.expect('   the first is an event now', 1, db.number("SELECT count(*) FROM bi.interaction WHERE source = 'kiosk'"))
    run.expect('   the second lost again', 2, db.number("SELECT count(*) FROM bi.quarantine WHERE reason = 'conflicting_duplicate'"))

    # What stays bad goes round five times.
    sent = []
    for _ in range(7):
        sent.append(last_requeue(command(run, db, 'requeue', '--reason', 'invalid')))
        topic.records += sent[-1]
        topic.drain(db)
    run.expect('a record that stays bad is published again five times', [1, 1, 1, 1, 1, 0, 0], sent)
    trail = json.loads(db.value("SELECT headers FROM polku.quarantine WHERE reason = 'invalid' ORDER BY kafka_offset DESC LIMIT 1"))
    run.expect('   its trail', ['polku-requeued-from'] * 5 + ['polku-requeued-by', 'polku-requeued-count'], [h['name'] for h in trail])
    run.expect('   begins where it began', '%s/%d/%d' % (topic.name, *places[-4]), bytes.fromhex(trail[0]['value_hex']).decode())
    other = run.topic(3)
    run.expect('requeue --to-topic', 1, last_requeue(command(run, db, 'requeue', '--reason', 'too_large', '--to-topic', other.name)))
    run.expect('   is marked so', other.name, db.value("SELECT requeued_topic FROM bi.quarantine WHERE reason = 'too_large'"))

    path = write_events(run.file('all.jsonl'), good + later + [ahead] + twins)
    run.expect_oracle('everything derived is the oracle\'s of all good events', db, RULES, path)

    # Deleting.
    before = db.number('SELECT count(*) FROM bi.quarantine')
    command(run, db, 'quarantine', 'delete', '--requeued', code=2)
    run.expect('delete without a terminal and --yes deletes nothing', before, db.number('SELECT count(*) FROM bi.quarantine'))
    marked = db.number('SELECT count(*) FROM bi.quarantine WHERE requeued_at IS NOT NULL')
    run.expect('delete --requeued', marked, last_requeue(command(run, db, 'quarantine', 'delete', '--requeued', '--yes')))
    run.expect('delete --older-than 1h', 0, last_requeue(command(run, db, 'quarantine', 'delete', '--older-than', '1h', '--yes')))
    expect_size(run, db)
    consumer.stop()
    time_out(run, db, topic)


def again_and_again(run, make):
    """A requeue beside a running consumer publishes each record once, whatever a publisher wrote into its headers; its name is
    printed without what a terminal would obey."""
    db, topic = run.database(), run.topic(1)
    consumer = run.consumer(db, topic, RULES, '--quarantine-rows', '100000', '--linger', '1ms', name='again').start()
    count = 600
    headers = [(b'polku-requeued-count', b'-99999'), (b'source', b'\x1b]0;me\x07 \xc2\x9b2J')]
    topic.put((0, None, b'k', b'no event %d' % n, [] if n else headers) for n in range(count))
    topic.drain(db)
    listed = command(run, db, 'quarantine', 'list') + command(run, db, 'quarantine', 'show', '%s:0:0' % topic.name)
    run.expect_that('no control characters are printed', ']0;me' in listed and not set(listed) & set('\x1b\x07\x9b'))
    run.expect('requeue beside a running consumer', count, last_requeue(command(run, db, 'requeue')))
    topic.records += count
    topic.drain(db)
    run.expect('   each is set aside once more', (2 * count, 2 * count), (
        db.position(topic), db.number('SELECT count(*) FROM polku.quarantine')))
    trail = json.loads(db.value("SELECT headers FROM polku.quarantine WHERE value = 'no event 0' AND requeued_at IS NULL"))
    run.expect('   a count below nothing is none', [b'1'], [
        bytes.fromhex(header['value_hex']) for header in trail if header['name'] == 'polku-requeued-count'])
    consumer.stop()


def space_of_duplicates(run, make):
    """Copies that lose are known once they are committed: room for them is seen too."""
    db, topic = run.database(), run.topic(1)
    consumer = run.consumer(db, topic, RULES, '--quarantine-space', '2KiB', name='duplicates').start()
    numbers = iter(range(1000, 100000))

    def lose(count):
        topic.put((0, None, b'k', make.single_object(make.body(event(n, outcome=outcome))), [])
                  for n in (next(numbers) for _ in range(count)) for outcome in ('ok', 'failed'))
        topic.drain(db)
        return db.number('SELECT count(*) FROM polku.quarantine')
    rows = lose(40)
    run.expect_that('space for some copies that lost', 0 < rows < 40, rows)
    run.expect('delete makes room', rows, last_requeue(command(run, db, 'quarantine', 'delete', '--yes')))
    run.expect_that('   which the consumer sees', wait_for('a row', lambda: lose(1), patience=60, pause=1))
    expect_size(run, db)
    consumer.stop()


def time_out(run, db, topic):
    """`run` deletes what it kept long enough."""
    db.rows("UPDATE polku.quarantine SET quarantined_at = quarantined_at - interval '2 days' WHERE partition = 0")
    old = db.number('SELECT count(*) FROM polku.quarantine WHERE partition = 0')
    young = db.number('SELECT count(*) FROM polku.quarantine WHERE partition = 1')
    consumer = run.consumer(db, topic, RULES, '--quarantine-keep', '1d', name='retention').start()
    said = wait_for('retention', lambda: run.alive() and consumer.said('old records of quarantine were deleted'))
    run.expect('retention: rows deleted, told', (old, 0), (said[0]['rows'], db.number('SELECT count(*) FROM polku.quarantine WHERE partition = 0')))
    run.expect('   younger ones stay', young, db.number('SELECT count(*) FROM polku.quarantine'))
    expect_size(run, db)
    consumer.stop()


def expect_size(run, db):
    run.expect('   the size is that of the rows', db.rows('SELECT count(*), coalesce(sum(bytes), 0) FROM polku.quarantine')[0],
               db.rows('SELECT sum(records), sum(bytes) FROM polku.quarantine_size')[0])


def flood(run, make):
    """Two consumers, killed again and again: rows and excess are as many as were published."""
    db, topic = run.database(), run.topic(4)
    body, framed = make.body, make.single_object
    good = [event(n) for n in range(400)]
    kinds = {'bad_frame': b'garbage' * 20, 'undecodable': framed(body(good[0])[:30]), 'unknown_schema': make.confluent(body(good[0]), 78),
             'invalid': framed(body(event(1, unit='')))}
    wanted = dict.fromkeys(kinds, 0)
    records = [(None, framed(body(natural))) for natural in good]
    for reason, share in (('bad_frame', 20000), ('undecodable', 8000), ('unknown_schema', 500), ('invalid', 5)):
        records += [(reason, kinds[reason])] * share
        wanted[reason] = share
    run.random.shuffle(records)
    consumers = [run.consumer(db, topic, RULES, '--batch-records', '300', '--quarantine-rows', '300',
                              name='flood-%d' % n).start() for n in range(2)]
    begun, kills = time.monotonic(), 0
    topic.put((n % 4, None, b'k', value, [(b'source', b'flooder')]) for n, (_, value) in enumerate(records))
    while db.position(topic) < topic.records:
        at = db.position(topic)
        wait_for('some more are read', lambda: db.position(topic) >= min(at + 3000, topic.records) and run.alive())
        if kills < 8:
            victim = run.random.choice(consumers)
            victim.kill()
            victim.start()
            kills += 1
    for consumer in consumers:
        wait_for('%s is up' % consumer.name, consumer.is_up)
        consumer.stop()
    minutes = (time.monotonic() - begun) / 60
    by_reason = {reason: (int(records), int(excess)) for reason, records, excess in db.rows(
        'SELECT reason, records, excess FROM bi.quarantine_by_reason')}
    run.expect('%d kills: rows and excess together, by reason' % kills, wanted, {reason: found[0] for reason, found in by_reason.items()})
    run.expect('   rows are each another record', [], db.rows(
        'SELECT partition, kafka_offset FROM polku.quarantine GROUP BY 1, 2 HAVING count(*) > 1'))
    rows = db.number('SELECT count(*) FROM polku.quarantine')
    run.expect_that('   rows are bounded by the rate', rows <= 300 * (kills + 2 + 2 * minutes), '%d rows, %d counted only' % (
        rows, sum(excess for _, excess in by_reason.values())))
    run.expect_that('   the few among the many have rows', by_reason['invalid'][1] <= 2, by_reason)
    run.expect('   offsets of excess lie within their partitions', 0, db.number(
        'SELECT count(*) FROM polku.quarantine_excess e JOIN polku.stream_position p USING (topic_id, partition)'
        ' WHERE e.first_offset < 0 OR e.last_offset < e.first_offset OR e.last_offset >= p.next_offset'
        ' OR e.records > e.last_offset - e.first_offset + 1'))
    run.expect('   the publisher of all', {('flooder',)}, {tuple(row) for row in db.rows(
        "SELECT DISTINCT publisher FROM bi.quarantine_by_publisher WHERE reason <> 'invalid'")})
    run.expect_that('   it is told', any(c.said('quarantine is full, bad records are only counted') for c in consumers))
    expect_size(run, db)
    got, _ = counts(run, db)
    run.expect('   quarantine list counts them too', {reason: found[0] for reason, found in by_reason.items()}, {
        reason: stored + excess for (_, reason), (stored, excess, _) in got.items()})
    run.expect('   status shows them', True, 'only counted' in command(run, db, 'status', '--topic', topic.name))
    path = write_events(run.file('flood.jsonl'), good)
    run.expect_oracle('   and the good events are derived as the oracle says', db, RULES, path)
    run.expect_verified(db, RULES)


def space(run):
    """Few large records fill the space; deleting makes room."""
    db, topic = run.database(), run.topic(1)
    consumer = run.consumer(db, topic, RULES, '--quarantine-space', '256KiB', name='space').start()
    topic.put((0, None, b'k', b'x' * 50000, []) for _ in range(40))
    topic.drain(db)
    rows, size = map(int, db.rows('SELECT count(*), sum(bytes) FROM polku.quarantine')[0])
    run.expect_that('space: rows and their bytes', (rows, size <= 256 * 1024) == (5, True), (rows, size))
    run.expect('   the rest is counted', [['35', '1750035', '5', '39']], db.rows(
        'SELECT records, bytes, first_offset, last_offset FROM bi.quarantine_excess'))
    run.expect('delete makes room', 5, last_requeue(command(run, db, 'quarantine', 'delete', '--yes')))
    wait_for('the consumer sees the room', lambda: topic.put([(0, None, b'k', b'y', [])]) and topic.drain(db) is not None and
             db.number('SELECT count(*) FROM polku.quarantine') > 0, pause=1)
    expect_size(run, db)
    consumer.stop()


with Run('quarantine') as run:
    maker = Encoder()
    again_and_again(run, maker)
    space_of_duplicates(run, maker)
    story(run, maker)
    flood(run, maker)
    space(run)
