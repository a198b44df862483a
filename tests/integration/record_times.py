# SPDX-License-Identifier: Apache-2.0
"""A Kafka timestamp is any number that a producer wrote: one in nanoseconds, or past every calendar, stops nobody. The
event is stored, without a time of receipt."""

import os

from harness import ROOT, Encoder, Run

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
AT_US = 1709251200000000  # 2024-03-01


def event(number):
    return {'event_id': 'e%d' % number, 'source': 'crm', 'occurred_at': AT_US + number, 'type': 'contact.inbound',
            'channel': 'phone', 'brand': 'Ahola', 'identifiers': [{'namespace': 'phone', 'value': '040%d' % number}]}


with Run('record_times') as run:
    encoder, topic, db = Encoder(), run.topic(1), run.database()
    times = [AT_US // 1000, 7258118399999, 7258118400000, AT_US, AT_US * 1000, 9223372036854776, 2**63 - 1]
    values = [encoder.single_object(encoder.body(event(n))) for n in range(len(times))]
    topic.put([(0, at_ms, b'k', value, []) for at_ms, value in zip(times, values)] + [(0, 2**63 - 1, b'k', b'no event', [])])
    consumer = run.consumer(db, topic, RULES).start()
    topic.drain(db, 60)
    consumer.stop()
    run.expect('times of receipt', [['2024-03-01 00:00:00+00'], ['2199-12-31 23:59:59.999+00']] + [[None]] * 5,
               db.rows('SELECT received_at FROM polku.interaction ORDER BY kafka_offset'))
    run.expect('what is no event is set aside', [['7', 'bad_frame', None]],
               db.rows('SELECT kafka_offset, reason, received_at FROM polku.quarantine'))
