# SPDX-License-Identifier: Apache-2.0
"""Bad records of every kind in a stream of good ones: each becomes one row of the quarantine with the right reason and
its bytes as they were, no good event is lost, and the process does not grow.

Beside them conflicting duplicates: of different contents under one identity the one with the smallest hash is the
event, whatever the order, and the others are set aside.
"""

import itertools
import json
import struct

from harness import KEY_FILE, Encoder, Run, polku_oracle, rules_of, say

RULES = rules_of('olist')       # horizon 2015-01-01
BASE = polku_oracle.parse_time('2018-03-01T12:00:00Z')
SECOND = 1000000
long_of = polku_oracle.encode_long


def text_of(raw):
    return long_of(len(raw)) + raw


class Bodies(Encoder):
    """Events of which any field may be replaced by any bytes."""

    def __init__(self):
        super().__init__()
        self.part = {}
        for field in self.schema.fields:
            self.part[field['name']] = self.schema._compile(field['type'], field['name'])

    def broken(self, event, **fields):
        """`fields`: the encoded form of each field that is not as it should be."""
        value = self.schema.read(event)
        return b''.join(fields.get(name, self.part[name][1](value[name]) if name not in fields else b'')
                        for name in self.part)


def event(number, **fields):
    """A good event."""
    found = {'event_id': 'e%d' % number, 'source': 'bad-records', 'occurred_at': BASE + number * 60 * SECOND,
             'type': 'contact.inbound', 'channel': 'phone', 'direction': 'INBOUND', 'actor': 'CUSTOMER', 'brand': 'Ahola',
             'unit': 'care', 'identifiers': [{'namespace': 'ahola/customer_id', 'value': 'C-%d' % (number % 20)}],
             'case_id': 'ahola/%d' % (number % 50), 'topic': 'räntä', 'outcome': 'ok', 'attributes': {'a': 'ä', 'b': ''}}
    found.update(fields)
    return found


def bad_kinds(make):
    """(what it is, reason, value): each made of an event that would be good without it."""
    good = event(999999)
    body = make.body(good)
    framed = make.single_object

    def with_field(**fields):
        return framed(make.body(event(999999, **fields)))

    def with_bytes(**fields):
        return framed(make.broken(good, **fields))

    def identifiers(count):
        return [{'namespace': 'ahola/customer_id', 'value': 'C-%d' % n} for n in range(count)]

    huge = long_of((1 << 62) - 1)
    yield from [
        ('no value at all', 'bad_frame', None),
        ('an empty value', 'bad_frame', b''),
        ('a wrong magic byte', 'bad_frame', b'\7' + make.confluent(body)[1:]),
        ('JSON instead of Avro', 'bad_frame', json.dumps(good).encode()),
        ('a cut Confluent header', 'bad_frame', b'\0\0\0'),
        ('a cut single-object header', 'bad_frame', framed(body)[:7]),
        ('an unknown schema id', 'unknown_schema', make.confluent(body, 77)),
        ('the greatest schema id', 'unknown_schema', make.confluent(body, 0xffffffff)),
        ('an unknown fingerprint', 'unknown_schema', b'\xc3\1' + b'\x5a' * 8 + body),
    ]
    for name, length in (('nothing of', 0), ('one byte of', 1), ('a third of', len(body) // 3), ('half of', len(body) // 2),
                         ('all but one byte of', len(body) - 1)):
        yield '%s the body' % name, 'undecodable', framed(body[:length])
        yield '%s the body, Confluent' % name, 'undecodable', make.confluent(body[:length])
    yield from [
        ('a byte behind the body', 'undecodable', framed(body + b'\0')),
        ('the body twice', 'undecodable', framed(body + body)),
        ('a text of negative length', 'undecodable', with_bytes(event_id=long_of(-1))),
        ('a text of the most negative length', 'undecodable', with_bytes(event_id=long_of(-(1 << 63)))),
        ('a text of 2^62 bytes', 'undecodable', with_bytes(event_id=huge)),
        ('a text that is longer than the record', 'undecodable', with_bytes(attributes=long_of(1) + text_of(b'a') + long_of(1 << 20) + b'x')),
        ('a number of eleven bytes', 'undecodable', with_bytes(sequence=b'\xff' * 10 + b'\1')),
        ('a number of more than 64 bits', 'undecodable', with_bytes(sequence=b'\xff' * 9 + b'\x7f')),
        ('a branch that the union does not have', 'undecodable', with_bytes(unit=long_of(2))),
        ('a negative branch', 'undecodable', with_bytes(unit=long_of(-1))),
        ('a symbol that the enum does not have', 'undecodable', with_bytes(direction=long_of(99))),
        ('a negative symbol', 'undecodable', with_bytes(actor=long_of(-3))),
        ('2^60 identifiers', 'undecodable', with_bytes(identifiers=long_of(1 << 60))),
        ('2^62 identifiers in blocks with a size', 'undecodable', with_bytes(identifiers=long_of(-(1 << 62)) + long_of(4) + b'abcd')),
        ('a most negative count of identifiers', 'undecodable', with_bytes(identifiers=long_of(-(1 << 63)) + long_of(0))),
        ('2^60 attributes', 'undecodable', with_bytes(attributes=long_of(1 << 60))),
        ('three identifiers announced, one there', 'undecodable',
         with_bytes(identifiers=long_of(3) + text_of(b'a/customer_id') + text_of(b'1') + b'\0')),
        ('17 identifiers', 'too_large', with_field(identifiers=identifiers(17))),
        ('65 attributes', 'too_large', with_field(attributes={'k%d' % n: 'v' for n in range(65)})),
        ('an attribute of 4097 bytes', 'too_large', with_field(attributes={'a': 'x' * 4097})),
        ('an event_id of 129 bytes', 'too_large', with_field(event_id='x' * 129)),
        ('a brand of 129 bytes', 'too_large', with_field(brand='x' * 129)),
        ('a topic of 513 bytes', 'too_large', with_field(topic='x' * 513)),
        ('an identifier of 513 bytes', 'too_large', with_field(identifiers=[{'namespace': 'phone', 'value': '1' * 513}])),
        ('a record of 64 KiB and one byte', 'too_large', framed(body + b'\0' * ((64 << 10) + 1 - len(framed(body))))),
        ('a record of 900 kB', 'too_large', framed(body) + b'\x55' * 900000),
        ('text that is not UTF-8', 'invalid', with_bytes(brand=text_of(b'\xc3\x28'))),
        ('text with an overlong form', 'invalid', with_bytes(brand=text_of(b'\xc0\xaf'))),
        ('text with half a surrogate pair', 'invalid', with_bytes(topic=long_of(1) + text_of(b'\xed\xa0\x80'))),
        ('NUL in a topic', 'invalid', with_field(topic='a\0b')),
        ('NUL in an identifier', 'invalid', with_field(identifiers=[{'namespace': 'phone', 'value': '0\0'}])),
        ('NUL in the name of an attribute', 'invalid', with_field(attributes={'\0': 'x'})),
        ('no event_id', 'invalid', with_field(event_id='')),
        ('no source', 'invalid', with_field(source='')),
        ('no type', 'invalid', with_field(type='')),
        ('no channel', 'invalid', with_field(channel='')),
        ('no brand', 'invalid', with_field(brand='')),
        ('an empty unit', 'invalid', with_field(unit='')),
        ('a source with a slash', 'invalid', with_field(source='bad/records')),
        ('a type in capitals', 'invalid', with_field(type='Contact.Inbound')),
        ('a type with a space', 'invalid', with_field(type='contact inbound')),
        ('an identifier without a namespace', 'invalid', with_field(identifiers=[{'namespace': '', 'value': 'x'}])),
        ('an identifier in the namespace of cases', 'invalid', with_field(identifiers=[{'namespace': 'case_id', 'value': 'x'}])),
        ('relates_to neither uuid nor source/id', 'invalid', with_field(relates_to='the call before')),
        ('a uuid that lacks a digit', 'invalid', with_field(relates_to='0123456789abcdef0123456789abcde')),
        ('a window that ends before it begins', 'invalid',
         with_field(obligation={'id': 'o', 'kind': 'callback', 'due_from': BASE + SECOND, 'due_to': BASE})),
        ('a promise without an id', 'invalid', with_field(obligation={'id': '', 'kind': 'callback'})),
        ('a promise due in 1970', 'invalid', with_field(obligation={'id': 'o', 'kind': 'callback', 'due_to': 0})),
        ('a hand-off to nobody', 'invalid', with_field(handoff={})),
        ('a score that is no number', 'invalid',
         with_bytes(rating=long_of(1) + text_of(b'nps') + struct.pack('<3d', float('nan'), 0, 10))),
        ('a score beyond its scale', 'invalid', with_field(rating={'scale': 'nps', 'score': 11, 'max': 10})),
        ('a currency that is none', 'invalid', with_field(money={'amount_minor': 1, 'currency': 'euro', 'kind': 'price'})),
        ('an amount beyond any', 'invalid', with_field(money={'amount_minor': 1 << 62, 'currency': 'EUR', 'kind': 'price'})),
        ('a time before 1990', 'invalid', with_field(occurred_at='1989-12-31T23:59:59.999999Z')),
        ('a time after 2199', 'invalid', with_field(occurred_at='2200-01-01T00:00:00Z')),
        ('the least time', 'invalid', with_bytes(occurred_at=long_of(-(1 << 63)))),
        ('the greatest time', 'invalid', with_bytes(occurred_at=long_of((1 << 63) - 1))),
        ('a time before the horizon', 'too_late', with_field(occurred_at='2014-12-31T23:59:59.999999Z')),
        ('a time in the future', 'future', with_field(occurred_at='2199-12-31T23:59:59Z')),
    ]


def headers_json(headers):
    return [{'name': name.decode(), 'value_hex': None if value is None else value.hex()} for name, value in headers]


def bad_among_good(run, make):
    """Every kind at a random place among good events, in three partitions."""
    db, topic = run.database(), run.topic(3)
    consumer = run.consumer(db, topic, RULES, '--batch-records', '37').start()
    records = []        # (partition, time, key, value, headers), with what it is and the reason, None = good
    kinds = list(bad_kinds(make))
    now_ms = None
    for number, (what, reason, value) in enumerate(kinds):
        key = run.random.choice([None, b'', b'customer_id:C-1', bytes(range(256))])
        headers = run.random.choice([[], [(b'trace', b'\0\xff'), (b'trace', None), (b'empty', b'')]])
        records.append(((number % 3, now_ms, key, value, headers), what, reason))
    # Late after the record's own time, not the clock's.
    at_ms = BASE // 1000
    for ahead, reason in ((300 * SECOND, None), (300 * SECOND + 1, 'future')):
        value = make.single_object(make.body(event(2000000 + ahead, occurred_at=BASE + ahead)))
        records.append(((0, at_ms, b'k', value, []), '%d us after its record' % ahead, reason))
    good = [event(n) for n in range(3 * len(kinds))]
    for n, natural in enumerate(good):
        frame = make.confluent if n % 2 else make.single_object
        records.append(((n % 3, None, b'C-%d' % (n % 20), frame(make.body(natural)), []), None, None))
    run.random.shuffle(records)
    places = topic.put(record for record, _, _ in records)
    topic.drain(db)
    consumer.stop()

    rows = {(int(row[0]), int(row[1])): row[2:] for row in db.rows(
        "SELECT q.partition, q.kafka_offset, q.reason, q.detail, encode(q.key, 'hex'), encode(q.value, 'hex'), q.headers"
        ' FROM polku.quarantine q')}
    wanted_bad = [(place, record, what, reason) for place, (record, what, reason) in zip(places, records) if reason]
    run.expect('rows in quarantine, one for each bad record', len(wanted_bad), len(rows))
    for place, (_, _, key, value, headers), what, reason in sorted(wanted_bad, key=lambda bad: (bad[3], bad[2])):
        row = rows.get(place)
        if not row:
            run.expect('%s: is in quarantine' % what, reason, None)
            continue
        problems = [] if row[0] == reason else ['wanted %s' % reason]
        problems += [] if row[2] == (None if key is None else key.hex()) else ['another key: %s' % row[2]]
        problems += [] if row[3] == (None if value is None else value.hex()) else ['another value']
        problems += [] if (json.loads(row[4]) if row[4] else []) == headers_json(headers) else ['other headers: %s' % row[4]]
        run.expect_that('%-14s %s' % (row[0], what), not problems and row[1], '; '.join(problems) or row[1])
    kept = [natural for natural in good] + [event(2000000 + 300 * SECOND, occurred_at=BASE + 300 * SECOND)]
    path = run.file('good.jsonl')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(''.join(json.dumps(natural) + '\n' for natural in kept))
    run.expect('good events: all %d are there' % len(kept), len(kept), db.number('SELECT count(*) FROM bi.interaction'))
    run.expect_oracle('and what is derived from them is the oracle\'s', db, RULES, path)
    reasons = db.rows('SELECT reason, records FROM bi.quarantine_by_reason ORDER BY reason')
    say('          ' + ', '.join('%s %s' % (reason, count) for reason, count in reasons))


def conflicts(run, make):
    """Three contents under each identity, in all six orders, within a batch and in batches of their own."""
    deriver = polku_oracle.Deriver(polku_oracle.Rules.load(RULES), polku_oracle.read_key(KEY_FILE))
    for batch, what in ((1, 'in batches of their own'), (100, 'within one batch')):
        db, topic = run.database(), run.topic(1)
        consumer = run.consumer(db, topic, RULES, '--batch-records', str(batch), '--linger', '300ms',
                                name='conflicts-%d' % batch).start()
        sent, all_events = [], []
        for number, order in enumerate(itertools.permutations(range(3))):
            copies = [event(number), event(number, outcome='failed'), event(number, brand='Bergvik', type='order.placed')]
            copies.sort(key=lambda natural: deriver.derive([natural]).events[0].content)
            sent += [(number, rank, copies[rank]) for rank in order]
            sent.append((number, 0, dict(copies[0])))   # the winner once more: the same event
            all_events += copies
        places = topic.put((0, None, b'k', make.single_object(make.body(natural)), []) for _, _, natural in sent)
        topic.drain(db)
        consumer.stop()
        losers = sorted(place[1] for place, (_, rank, _) in zip(places, sent) if rank)
        rows = db.rows('SELECT q.kafka_offset, q.reason, q.detail, encode(q.value, \'hex\') FROM polku.quarantine q ORDER BY 1')
        run.expect('%s: the offsets that are set aside are those of the losers' % what, losers, [int(row[0]) for row in rows])
        run.expect('   as', {'conflicting_duplicate'}, {row[1] for row in rows})
        values = {place[1]: make.single_object(make.body(natural)).hex() for place, (_, _, natural) in zip(places, sent)}
        run.expect('   with their own bytes, where they are kept', [], [row[0] for row in rows if row[3] not in (
            None, values[int(row[0])])])
        run.expect_that('   copies displaced after their commit point to Kafka instead', True,
                        '%d of %d' % (sum(row[3] is None for row in rows), len(rows)))
        path = run.file('conflicts.jsonl')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(''.join(json.dumps(natural) + '\n' for natural in all_events))
        run.expect_oracle('   the smallest content wins, and everything derived follows it', db, RULES, path)


def flood(run, make):
    """Twice as many bad records are twice as many rows and no more memory."""
    db, topic = run.database(), run.topic(1)
    consumer = run.consumer(db, topic, RULES, '--queue-bytes', '8MiB', '--quarantine-rows', '1000000', name='flood').start()
    values = [value for _, reason, value in bad_kinds(make) if value is None or len(value) < 1000]
    memory, sent = [], 0
    for _ in range(3):
        topic.put((0, None, b'k', values[n % len(values)], []) for n in range(100000))
        sent += 100000
        topic.drain(db)
        memory.append(consumer.peak_kib())
    consumer.stop()
    run.expect('rows of the flood', sent, db.number('SELECT count(*) FROM bi.quarantine'))
    run.expect_that('greatest memory after 100, 200, 300 thousand bad records, KiB: grows by 16384 at most',
                    memory[2] - memory[0] <= 16384, memory)


with Run('bad_records') as run:
    maker = Bodies()
    bad_among_good(run, maker)
    conflicts(run, maker)
    flood(run, maker)
