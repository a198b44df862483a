# SPDX-License-Identifier: Apache-2.0
"""A stream of small hostile sets of events that never ends: for tests that need records as long as something has not happened.

Each set (tests/oracle/generate.py) has people, cases and events of its own. A part of it comes later than the sets after it,
and sets that were published before come again in part.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from harness import generate, run_program  # noqa: E402

BLOCKED = {value.strip().lower() for value in generate.BLOCKED} | \
    {value.strip().lower() for values in generate.BLOCKED_IN.values() for value in values} | {'', '++', '(0)'}


def of_set(number, namespace, value):
    """The same identifier for people of another set."""
    if value.strip().lower() in BLOCKED or namespace == 'loyalty/tier':
        return value
    if namespace == 'email':
        return value.replace('@', '.%d@' % number)
    if namespace == 'phone':
        return value.rstrip() + '%03d' % number
    return '%s-%d' % (value, number)


def rename(event, number):
    """Nothing in this set is met in another one."""
    event = dict(event, event_id='%s-%d' % (event['event_id'], number))
    if event.get('identifiers'):
        event['identifiers'] = [dict(i, value=of_set(number, i['namespace'], i['value'])) for i in event['identifiers']]
    if event.get('case_id') and event['case_id'].strip().lower() not in BLOCKED | {'-'}:
        event['case_id'] = '%s-%d' % (event['case_id'].strip(), number)
    if event.get('obligation'):
        event['obligation'] = dict(event['obligation'], id='%s-%d' % (event['obligation']['id'], number))
    if '/' in (event.get('relates_to') or ''):
        event['relates_to'] += '-%d' % number
    return event


class HostileStream:
    def __init__(self, run, partitions, events=60, people=5):
        self.run, self.size, self.people = run, events, people
        self.topic = run.topic(partitions)
        self.path = run.file('published.jsonl')  # every event, once or as often as its set has it
        self.sets = self.events = 0
        self.late, self.past = [], []

    def make(self):
        number = self.sets
        self.sets += 1
        events = generate.Generator(self.run.random.randrange(1, 1 << 30), self.people, self.size).generate()
        # Words that were never met, one for every set: the dictionary has to grow.
        return [dict(rename(e, number), **({'outcome': 'new-%d' % number} if e.get('outcome') == 'abandoned' else {})) for e in events]

    def publish(self):
        """One set more, without its stragglers, with those of before and some copies."""
        new = self.make()
        straggle = [e for e in new if self.run.random.random() < 0.1]
        now = [e for e in new if e not in straggle] + self.late
        self.late = straggle
        self._send(now + [e for e in self.past[-3 * self.size:] if self.run.random.random() < 0.1], now)

    def _send(self, events, first_time):
        part = self.run.file('part.jsonl')
        with open(part, 'w', encoding='utf-8') as file:
            generate.write(events, file)
        with open(self.path, 'a', encoding='utf-8') as file:
            generate.write(first_time, file)
        seed = str(self.run.random.randrange(1, 1 << 31))
        self.topic.publish('--shuffle', seed, '--partition-by', 'random', '--seed', seed, part)
        self.past = self.past[-3 * self.size:] + first_time
        self.events += len(first_time)

    def publish_again(self):
        """Everything that was published until now."""
        seed = str(self.run.random.randrange(1, 1 << 31))
        self.topic.publish('--shuffle', seed, '--partition-by', 'random', '--seed', seed, self.path)

    def count(self):
        """Somebody else has published too: how many records there are, by Kafka's own word."""
        out = run_program(['kcat', '-Q', '-b', self.run.brokers] + [
            word for n in range(self.topic.partitions) for word in ('-t', '%s:%d:-1' % (self.topic.name, n))]).stdout.decode()
        ends = [int(line.split()[-1]) for line in out.splitlines() if ' offset ' in line]
        assert len(ends) == self.topic.partitions, out
        self.topic.records = sum(ends)

    def drain(self, db):
        """The stragglers too are published, and everything is read."""
        if self.late:
            late, self.late = self.late, []
            self._send(late, late)
        self.topic.drain(db)
