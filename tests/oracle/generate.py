#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Small hostile sets of events, random by a printed seed, for tests/oracle/rules_small.yaml.

Few people, few cases, few moments: equal times, limits met exactly, early acts, shared cases, relates_to by all
forms of name, duplicates identical and conflicting, crowds, cuts. Identifiers are hostile too: families with one
phone and one tablet, kiosks, vehicles, late log-ins, switchboards that meet everybody, chains of e-mails beyond
max_component, chains from one customer number to another, contradictions, blocked values, events with a shared phone, a
device or a case alone, or with nothing. Every event is valid.

    generate.py --seed 7 --events 200 --out events.jsonl --decisions-out decisions.jsonl
"""

import argparse
import functools
import json
import os
import random
import sys

import polku_oracle as oracle

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = os.path.join(HERE, 'rules_small.yaml')
KEY = os.path.join(HERE, 'key_test.hex')

SECOND = 1000000
BASE = oracle.parse_time('2024-03-11T00:00:00Z')  # midnight: a crowd has two days, kind `delivery` two rules
STEPS = [n * SECOND for n in (0, 1, 5, 20, 20, 27, 30, 30, 40, 40, 50, 50, 54, 60, 300, 600)]
DAY_STEPS = [n * oracle.DAY for n in (1, 1, 7, 14, 30, 30)]     # repeats are told by days
# Where clocks change: in Helsinki, on Lord Howe Island (by half an hour), in St. John's; and just so.
CHANGES = [oracle.parse_time(t) for t in (
    '2024-03-31T01:00:00Z', '2024-10-27T01:00:00Z', '2024-04-06T15:00:00Z', '2024-10-05T15:30:00Z', '2024-03-10T05:30:00Z',
    '2023-12-31T22:00:00Z')]
ZONES = ['Europe/Helsinki', 'Australia/Lord_Howe', 'America/St_Johns', 'Asia/Kathmandu', 'UTC', 'Africa/Casablanca',
         'Pacific/Apia', 'Europe/Dublin']
SOURCES = ['crm', 'web-shop', 'telephony']
BRANDS = ['Ahola', 'Bergvik', 'Käärmö \\ "söner"']
UNITS = [None, None, 'care', 'sales', 'huolto\tå']
DIRECTIONS = ['INBOUND', 'INBOUND', 'OUTBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN']
CHANNELS = ['phone', 'web', 'app', 'email', 'store']
TYPES = {
    'contact.inbound': 6, 'contact.outbound': 5, 'newsletter.sent': 4, 'ad.shown': 2, 'ad.clicked': 1,
    'case.closed': 3, 'order.placed': 4, 'order.delivered': 3, 'order.collected': 2, 'order.cancelled': 2,
    'callback.requested': 3, 'callback.booked': 3, 'callback.attempted': 4, 'callback.unreached': 2,
    'callback.reached': 3, 'callback.refused': 1, 'callback.withdrawn': 1, 'question.asked': 4, 'reply.sent': 3,
    'answer.given': 4, 'question.withdrawn': 1, 'payment.captured': 4, 'ticket.issued': 3, 'payment.refunded': 1,
    'feedback.submitted': 5, 'feedback.acknowledged': 3, 'handoff.offered': 5, 'handoff.accepted': 4,
    'handoff.rejected': 1, 'notice.due': 3, 'notice.given': 2, 'relay.passed': 4, 'visit.booked': 3,
    'visit.done': 3, 'visit.started': 2, 'request.refused': 2, 'promise.made': 4, 'promise.attempted': 3,
    'promise.kept': 3, 'promise.rejected': 2, 'promise.withdrawn': 2, 'handoff.forwarded': 2, 'owner.assigned': 3,
    'owner.cleared': 2, 'queue.entered': 2, 'queue.left': 2, 'queue.moved': 1, 'work.started': 2, 'work.resumed': 1,
    'work.stopped': 2, 'request.failed': 1, 'request.diagnosed': 1, 'statement.withdrawn': 1,
}
# Of seeds with few long journeys: what facts of journeys are told from.
BUSY = {
    'contact.inbound': 12, 'contact.outbound': 8, 'reply.sent': 4, 'question.asked': 6, 'answer.given': 6, 'case.closed': 3,
    'handoff.offered': 8, 'handoff.accepted': 6, 'handoff.rejected': 4, 'handoff.forwarded': 4, 'owner.assigned': 6,
    'owner.cleared': 4, 'queue.entered': 4, 'queue.left': 4, 'queue.moved': 2, 'work.started': 4, 'work.resumed': 2,
    'work.stopped': 4, 'callback.requested': 4, 'callback.unreached': 4, 'callback.reached': 3, 'order.placed': 3,
    'payment.captured': 4, 'order.delivered': 2, 'feedback.submitted': 3, 'newsletter.sent': 2, 'request.refused': 1,
}
BUSY_STEPS = [n * SECOND for n in (0, 1, 1, 5, 5, 20, 27, 30, 60)]
# What may follow what, soon and on the same matter: it acts on the obligation that the first one opens.
FOLLOWERS = {
    'callback.requested': ['callback.attempted', 'callback.unreached', 'callback.reached', 'callback.withdrawn'],
    'callback.unreached': ['callback.requested', 'callback.booked', 'callback.reached'],
    'callback.booked': ['callback.attempted', 'callback.reached', 'callback.refused'],
    'question.asked': ['reply.sent', 'contact.outbound', 'answer.given', 'answer.given', 'question.withdrawn'],
    'payment.captured': ['ticket.issued', 'ticket.issued', 'payment.refunded'],
    'feedback.submitted': ['feedback.submitted', 'feedback.acknowledged'],
    'handoff.offered': ['handoff.offered', 'handoff.accepted', 'handoff.accepted', 'handoff.rejected'],
    'handoff.forwarded': ['handoff.accepted', 'owner.assigned', 'handoff.rejected', 'owner.cleared'],
    'queue.entered': ['queue.left', 'queue.entered', 'queue.moved', 'work.started'],
    'work.started': ['work.stopped', 'work.resumed', 'work.started', 'owner.assigned'],
    'case.closed': ['contact.inbound', 'case.closed', 'question.asked', 'owner.cleared'],
    'contact.inbound': ['contact.inbound', 'contact.outbound', 'question.asked', 'reply.sent'],
    'notice.due': ['notice.due', 'contact.outbound', 'notice.given'], 'relay.passed': ['relay.passed'],
    'visit.booked': ['visit.started', 'visit.done'],
    'order.placed': ['order.delivered', 'order.collected', 'order.cancelled'],
    'promise.made': ['promise.made', 'promise.kept', 'promise.kept', 'promise.attempted', 'promise.rejected',
                     'promise.withdrawn', 'callback.reached', 'answer.given'],
}
KINDS = ['callback', 'question', 'feedback', 'handoff', 'delivery', 'own_kind', 'own_kind']
BLOCKED = ['', ' ', 'NULL', 'anonymous', '000-00', '0', '\t- ', 'None']
BLOCKED_IN = {'email': [' INFO@example.com', 'info@example.com'], 'phone': ['040 1234599', '+358401234599'],
              'cookie': ['Blank '], 'crm/loyalty_id': ['l-0', 'L-0']}
# What an event tells about who it was, and how often; the second column in seeds with much glue.
SHAPES = {'known': (58, 40), 'family phone': (8, 8), 'device': (16, 14), 'case': (7, 6), 'nothing': (4, 2),
          'contradiction': (2, 4), 'switchboard': (2, 5), 'bridge': (2, 8), 'chain': (1, 13)}


@functools.lru_cache(maxsize=None)
def small_rules():
    return oracle.Rules.load(RULES)


class Generator:
    def __init__(self, seed, people=6, events=150, rules=None):
        self.rules = rules or small_rules()
        self.random = random.Random(seed)
        self.people, self.wanted = people, events
        self.cases = ['shop/%d' % n for n in range(people)] + [' shop/0\t']
        # Some seeds are where clocks change, some reach over weeks.
        self.base = BASE if self.maybe(0.6) else self.random.choice(CHANGES)
        self.steps = STEPS + (DAY_STEPS if self.maybe(0.15) else [])
        # Few words, so that contacts repeat each other; some seeds know more people of staff than are counted.
        self.words = self.random.choice([1, 2, 2, 3])
        self.staff = self.random.choice([2, 2, 3, 1000])
        self.span = self.random.choice([200, 600, 1500, 1500, 4000, 20000]) * SECOND
        # Some seeds have one person with most of the events: a crowd by max_events.
        self.weights = [self.random.choice([1, 1, 1, 2]) for _ in range(people)]
        if self.random.random() < 0.3:
            self.weights[0] = people * self.random.choice([1, 2])
        shapes = self.random.choice([0, 0, 1])
        self.shapes = {shape: weights[shapes] for shape, weights in SHAPES.items()}
        self.busy = shapes == 0 and self.maybe(0.6)
        self.derived = None  # what the oracle says of the events before relates_to and duplicates
        self.past = []  # (person, event) in the order of their making

    def maybe(self, chance):
        return self.random.random() < chance

    def time(self, person):
        """Mostly one of STEPS away from another event of the person or of anybody, give or take a microsecond."""
        own = [event for who, event in self.past if who == person]
        if self.busy and own and self.maybe(0.95):
            return self.at_of(own[-1]) + self.random.choice(self.steps if self.maybe(0.1) else BUSY_STEPS)
        others = own if own and self.maybe(0.8) else [event for _, event in self.past]
        if others and self.maybe(0.7):
            return self.at_of(self.random.choice(others)) + self.random.choice([-1, 1, 1]) * \
                self.random.choice(self.steps) + self.random.choice([0, 0, 0, 0, -1, 1])
        return self.base - self.span // 3 + self.random.randrange(0, self.span, SECOND)

    @staticmethod
    def at_of(event):
        at = event['occurred_at']
        return at if isinstance(at, int) else oracle.parse_time(at)

    def follow(self, event, opener):
        """Makes `event` act on what `opener` opened: soon after it, or up to the skew before."""
        event['type'] = self.random.choice(FOLLOWERS[opener['type']])
        step = self.random.choice([-5, -5, -1, 0, 1, 5, 20, 20, 30, 60, 60, 300]) * SECOND
        if self.busy or self.maybe(0.5):
            event.update((name, opener[name]) for name in ('topic', 'cause') if name in opener)
            step = self.random.choice([step] + self.steps[len(STEPS):])
        at = self.at_of(opener) + step + self.random.choice([0, 0, 0, -1, 1])
        event['occurred_at'] = at if self.maybe(0.5) else oracle.format_time(at)
        if self.maybe(0.8):
            event['brand'] = (opener.get('handoff') or {}).get('to_brand') or opener['brand']
        event.pop('case_id', None)
        if 'case_id' in opener and self.maybe(0.7):
            event['case_id'] = opener['case_id']
        record = opener.get('obligation')
        if record and self.maybe(0.8):
            event['relates_to'] = '%s/%s' % (opener['source'], record['id'])
            due = [oracle.parse_time(v) if isinstance(v, str) else v for v in
                   (record.get('due_from'), record.get('due_to'))]
            if due[1] is not None and self.maybe(0.6):  # at the end of the window, or of its first nine tenths
                tenth = (due[1] - due[0]) // 10 if due[0] is not None and self.maybe(0.6) else 0
                event['occurred_at'] = due[1] - tenth + self.random.choice([0, 0, 1])

    def phone(self, person):
        number = '40123450%d' % person
        return self.random.choice([
            '+358' + number, '0' + number, '00358' + number, '+358 (0)40 123 450%d' % person,
            '(040) 123-450%d' % person, ' +358-' + number + '\t', 'tel:+358' + number, number, '(0)' + number])

    def email(self, person):
        return self.random.choice(['p%d@example.com', 'P%d@Example.COM', ' p%d@EXAMPLE.com ']) % person

    def customer_id(self, person):
        return {'namespace': 'crm/customer_id', 'value': 'C-%d' % person}

    def family_phone(self, person):
        return {'namespace': 'phone', 'value': self.random.choice(['+35840999000%d', '0409990 00%d']) % (person // 2)}

    def devices(self, person):
        """One or two of: the family's tablet and cookie, the own vehicle, one of two kiosks."""
        found = [self.random.choice([
            {'namespace': 'device_id', 'value': 'D%d' % (person // 2)}, {'namespace': 'cookie', 'value': 'D%d' % (person // 2)},
            {'namespace': 'vehicle', 'value': 'ABC-%d' % person}, {'namespace': 'kiosk', 'value': 'K%d' % (person % 2)}])]
        return found + (self.devices(person) if self.maybe(0.3) else [])

    def known(self, person):
        found = []
        if self.busy or self.maybe(0.75):
            found.append(self.customer_id(person))
        if self.maybe(0.2):
            found.append({'namespace': 'shop/customer_id', 'value': 'C-%d' % person})
        if self.maybe(0.15):
            found.append({'namespace': 'crm/loyalty_id', 'value': 'L-%d' % (person + 1)})
        if self.maybe(0.3):
            found.append({'namespace': 'phone', 'value': self.phone(person)})
        if self.maybe(0.3):
            found.append({'namespace': 'email', 'value': self.email(person)})
        if self.maybe(0.15):
            found.append(self.family_phone(person))
        if self.maybe(0.05):
            found.append({'namespace': 'phone', 'value': self.phone((person + 1) % self.people)})
        if self.maybe(0.35):
            found += self.devices(person)
        return found

    def bridge(self, person):
        """From one customer number to the next, by things that meet one number each or may meet two."""
        other = (person + 1) % self.people
        return self.random.choice([
            [{'namespace': 'email', 'value': self.email(person)}, {'namespace': 'phone', 'value': self.phone(other)}],
            [self.customer_id(person), {'namespace': 'crm/loyalty_id', 'value': 'L-%d' % (other + 1)}],
            [{'namespace': 'crm/loyalty_id', 'value': 'L-%d' % (person + 1)}, {'namespace': 'email', 'value': self.email(other)}],
            [{'namespace': 'shop/customer_id', 'value': 'C-%d' % person}, self.customer_id(other)]])

    def chain(self, person):
        """Neighbours of a chain of twelve e-mails; now and then one is a customer's."""
        place = self.random.randrange(12)
        found = [{'namespace': 'email', 'value': 'w%d@example.com' % n} for n in (place, place + 1)]
        return found + ([self.customer_id(person)] if place == person and self.maybe(0.5) else [])

    def identifiers(self, person):
        shape = 'known' if self.busy and self.maybe(0.9) else \
            self.random.choices(list(self.shapes), self.shapes.values())[0]
        if shape == 'known':
            found = self.known(person)
        elif shape == 'family phone':
            found = [self.family_phone(person)] + (self.devices(person) if self.maybe(0.3) else [])
        elif shape == 'device':
            found = self.devices(person)
        elif shape == 'contradiction':
            found = [self.customer_id(person), self.customer_id((person + 1) % self.people),
                     {'namespace': 'email', 'value': self.email(person)}, self.family_phone(person)]
        elif shape == 'switchboard':
            found = [{'namespace': 'phone', 'value': '+358 9 1'}]
            if self.maybe(0.7):
                found.append({'namespace': 'email', 'value': 'guest%d@example.com' % self.random.randrange(6)})
        elif shape == 'bridge':
            found = self.bridge(person)
        elif shape == 'chain':
            found = self.chain(person)
        else:
            return shape, []
        if self.maybe(0.1):
            found.append({'namespace': 'loyalty/tier', 'value': 'gold'})
        if self.maybe(0.12):
            found.append({'namespace': self.random.choice(['crm/customer_id', 'email', 'phone', 'cookie']),
                          'value': self.random.choice(BLOCKED + ['++', '(0)'])})
        if self.maybe(0.06):
            namespace = self.random.choice(list(BLOCKED_IN))
            found.append({'namespace': namespace, 'value': self.random.choice(BLOCKED_IN[namespace])})
        if found and self.maybe(0.05):
            found.append(dict(self.random.choice(found)))
        self.random.shuffle(found)
        return shape, found

    def record(self, at):
        due_from = at + self.random.choice([-5, 0, 0, 20, 60]) * SECOND if self.maybe(0.5) else None
        due_to = None
        if self.maybe(0.8):
            due_to = max(at, due_from or at) + self.random.choice([0, 5, 20, 60, 300]) * SECOND
        record = {'id': 'p/%d' % self.random.randrange(self.people * 2), 'kind': self.random.choice(KINDS)}
        for name, value in (('due_from', due_from), ('due_to', due_to)):
            if value is not None or self.maybe(0.2):
                record[name] = value if value is None or self.maybe(0.5) else oracle.format_time(value)
        for name, values in (('brand', BRANDS), ('unit', UNITS), ('role', [None, 'owner'])):
            if self.maybe(0.2):
                record[name] = self.random.choice(values)
        return record

    def event(self, number):
        person = self.random.choices(range(self.people), self.weights)[0]
        opener = None
        openers = [(who, e) for who, e in self.past[-60:] if e['type'] in FOLLOWERS]
        if openers and self.maybe(0.35):
            who, opener = self.random.choice(openers)
            person = person if self.maybe(0.15) else who
        at, types = self.time(person), BUSY if self.busy and self.maybe(0.9) else TYPES
        source = self.random.choice(SOURCES)
        # Ids hold a slash now and then; one id may come back at another time, or name an obligation too.
        event_id = self.random.choice(['e%d', 'e%d', 'e%d', 'e/%d']) % number
        if self.maybe(0.04):
            event_id = 'e%d' % self.random.randrange(max(1, number))
        if self.maybe(0.03):
            event_id = 'p/%d' % self.random.randrange(self.people * 2)
        event = {
            'event_id': event_id, 'source': source,
            'occurred_at': at if self.maybe(0.5) else oracle.format_time(at),
            'type': self.random.choices(list(types), types.values())[0],
            'channel': self.random.choice(CHANNELS), 'brand': self.random.choices(BRANDS, [6, 2, 1])[0],
        }
        if self.maybe(0.4):
            event['sequence'] = self.random.choice([-1, 0, 1, 2, 3])
        if self.maybe(0.8):
            event['direction'] = self.random.choice(DIRECTIONS)
        if self.maybe(0.8):
            event['actor'] = self.random.choice(['CUSTOMER', 'HUMAN', 'HUMAN', 'BOT', 'SYSTEM', 'UNKNOWN'])
        unit = self.random.choice(UNITS)
        if unit is not None or self.maybe(0.3):
            event['unit'] = unit
        if opener:
            self.follow(event, opener)
            at = self.at_of(event)
        shape, identifiers = self.identifiers(person)
        if identifiers or self.maybe(0.5):
            event['identifiers'] = identifiers
        if not opener and self.maybe(1 if shape == 'case' else 0 if shape == 'nothing' else 0.1 if self.busy else 0.35):
            event['case_id'] = self.cases[person] if self.maybe(0.7) else self.random.choice(self.cases + ['-', ''])
        if self.maybe(0.4):
            event['outcome'] = self.random.choice(['ok', 'resolved', 'refused', 'unreached', 'abandoned', 'failed'])
        if self.maybe(0.4):
            event['reason'] = self.random.choice(['ticket', 'ticket', 'not_mine', 'no_access'])
        if event['type'] == 'promise.made' and self.maybe(0.95) or self.maybe(0.05):
            event['obligation'] = self.record(at)
        if event['type'].startswith('handoff.') and self.maybe(0.7) or self.maybe(0.03):
            event['handoff'] = self.random.choice([
                {'to_brand': self.random.choice(BRANDS)}, {'to_unit': 'care'}, {'to_role': 'owner', 'to_brand': None},
                {'to_unit': 'sales'}, {'to_brand': BRANDS[0], 'to_unit': self.random.choice(UNITS[2:])},
                {'to_brand': BRANDS[1], 'to_unit': 'sales', 'to_role': 'owner'}])
        if event['type'].startswith('owner.') and self.maybe(0.5):
            event['handoff'] = {'to_unit': self.random.choice(UNITS[2:])}
        if self.maybe(0.1):
            event['sensitivity'] = 'SENSITIVE'
        self.content(event)
        if self.maybe(0.2):
            event['attributes'] = {key: 'x' * self.random.randrange(3) for key in
                                   self.random.sample(['b', 'a', 'ä', 'aa', '\U0001f600', '\uffee'], 3)}
        self.past.append((person, event))
        return event

    def content(self, event):
        """What it is about, who served, what it was worth."""
        words = ['fuel', 'laskutus', 'brakes \\ å'][:self.words]      # a cause and a topic may be one text
        for name, chance, values in (('topic', 0.4, words), ('cause', 0.3, words), ('stage', 0.3, ['use', 'buy', 'leave']),
                                     ('product', 0.1, ['95E10']), ('location', 0.1, ['Åbo'])):
            if name not in event and self.maybe(chance):
                event[name] = self.random.choice(values)
        if self.maybe(0.95 if self.staff > 64 else 0.5):
            event['staff'] = self.random.choice(['agent %d', 'agent %d', ' agent %d ', '-']).replace(
                '%d', str(self.random.randrange(self.staff)))
        if self.maybe(0.15):
            event['rating'] = self.random.choice([
                {'scale': 'nps', 'score': self.random.choice([0, 7, 9.5]), 'max': 10}, {'scale': 'csat', 'score': -0.0005},
                {'scale': 'csat', 'score': 3.1245, 'min': 1, 'max': 5},
                {'scale': 'nps', 'score': 2000000.0005, 'min': -4e6, 'max': 4e6},
                {'scale': 'nps', 'score': 0.0004999, 'max': 10}])
        if self.maybe(0.15):
            event['money'] = {
                'amount_minor': self.random.choice([-100, 0, 64, 123456789012, 10 ** 12, -10 ** 12 - 1, 10 ** 15]),
                'currency': self.random.choice(['EUR', 'EUR', 'SEK']), 'kind': self.random.choice(['price', 'loss'])}

    def relate(self, events, obligations):
        """Gives some events a relates_to: to earlier and later events, to promises of anybody, to nothing."""
        for event in events:
            acting = event['type'].startswith('promise.') and event['type'] != 'promise.made'
            if 'relates_to' in event or not self.maybe(0.85 if acting else 0.15):
                continue
            other = self.random.choice(events)
            form = self.random.random()
            if obligations and form < 0.45:
                obligation = self.random.choice(obligations)
                opener = obligation.opener.field
                if form < 0.2:
                    text = oracle.format_uuid(obligation.id)
                    text = self.random.choice([text, text.upper(), text.replace('-', '')])
                elif form < 0.3 and obligation.explicit:
                    text = '%s/%s' % (opener['source'], opener['obligation']['id'])
                else:
                    text = '%s/%s' % (opener['source'], opener['event_id'])
            elif form < 0.92:
                text = '%s/%s' % (other['source'], other['event_id'])
            else:
                text = self.random.choice(['nobody/nothing', 'crm/', '0' * 32, '%s/p/1' % self.random.choice(SOURCES)])
            event['relates_to'] = text

    def duplicates(self, events):
        """Redeliveries: equal ones, written differently, and ones with other content."""
        for event in list(events):
            if self.maybe(0.08):
                again = dict(reversed(list(event.items())))
                if isinstance(again['occurred_at'], int):
                    again['occurred_at'] = oracle.format_time(again['occurred_at'])
                again.setdefault('sequence', 0)
                again.setdefault('unit', None)
                yield again
            if self.maybe(0.06):
                other = dict(event)
                other.update(self.random.choice([
                    {'outcome': 'ok'}, {'sequence': 9}, {'attributes': {'copy': '2'}}, {'type': 'contact.inbound'},
                    {'case_id': self.cases[0]}, {'brand': BRANDS[1]},
                    {'identifiers': [{'namespace': 'crm/customer_id', 'value': 'C-0'}]}]))
                yield other

    def generate(self):
        events = [self.event(n) for n in range(self.wanted)]
        self.derived = oracle.Deriver(self.rules, oracle.read_key(KEY)).derive(events)
        self.relate(events, self.derived.obligations)
        events += list(self.duplicates(events))
        self.random.shuffle(events)
        return events

    def decisions(self):
        """After generate(): none in half of the seeds, else up to four, also of what no event carries."""
        if self.maybe(0.5):
            return []
        identity = self.derived.identity
        persons = sorted(identity.persons) or [b'nobody at all...']
        devices = sorted({d.hash for e in self.derived.events for d in e.devices})
        found = []
        for _ in range(self.random.randrange(1, 5)):
            kind, person = self.random.choice(['block', 'unlink', 'unlink', 'apart', 'apart']), self.random.choice(persons)
            decision = {'kind': kind, 'a': person.hex()}
            if kind == 'block' and devices and self.maybe(0.5):
                decision['a'] = oracle.format_uuid(self.random.choice(devices))
            elif kind == 'apart':
                same = [p for p in persons if p in identity.customer_of and
                        identity.customer_of[p] == identity.customer_of.get(person)]
                other = self.random.choice(same if len(same) > 1 and self.maybe(0.8) else persons)
                if other == person:
                    continue
                decision['b'] = other.hex()
            if decision not in found:
                found.append(decision)
        return found


    def _forgotten_names(self):
        """A customer with devices and cases of its own, sometimes others beside, or whatever: any set will do."""
        events, identity = self.derived.events, self.derived.identity
        known = {p.hash: (p, 'person') for p in identity.persons.values()}
        for event in events:
            known.update({d.hash: (d, 'device') for d in event.devices})
            if event.case is not None:
                known[event.case] = (None, 'case')
        customers = sorted({c for c in identity.customer_of.values() if c is not None})
        chosen = set()
        if customers and self.maybe(0.8):
            customer = self.random.choice(customers)
            chosen = {p for p, c in identity.customer_of.items() if c == customer}
            for event in events:
                if event.customer == customer:
                    chosen.update(n for n in [d.hash for d in event.devices] + [event.case]
                                  if n is not None and self.maybe(0.3))
        for name in self.random.sample(sorted(known), min(len(known), self.random.choice([0, 0, 1, 2]))):
            chosen.add(name)
        return {name: known[name] for name in sorted(chosen) if name in known}

    @staticmethod
    def _told(name, known):
        identifier, kind = known
        return dict({'name': name.hex(), 'kind': kind}, **({'namespace': identifier.namespace} if identifier else {}))

    def forgettings(self):
        """After generate(): in every seventh seed up to three."""
        found = []
        for _ in range(self.random.randrange(1, 4) if self.maybe(0.15) else 0):
            names, events = self._forgotten_names(), self.derived.events
            single = []
            for event in self.random.sample(events, min(len(events), self.random.choice([0, 0, 1, 4]))):
                carried = [(i.hash, (i, 'person')) for i in event.persons] + [(i.hash, (i, 'device')) for i in event.devices] + \
                    ([(event.case, (None, 'case'))] if event.case is not None else [])
                # A name that an earlier forgetting took out of it leads nowhere.
                struck = {n['name'] for f in found if event.time <= f['until'] for n in f['names']}
                carried = [(name, known) for name, known in carried if name.hex() not in struck]
                if carried:
                    name, known = self.random.choice(carried)
                    single.append(dict(self._told(name, known), event=event.hash.hex(), at=event.time))
            until = self.random.choice(events).time if events and self.maybe(0.7) else BASE + 400 * oracle.DAY
            found.append({'until': until, 'mode': self.random.choice(['delete', 'delete', 'anonymise']),
                          'names': [self._told(name, known) for name, known in names.items()], 'events': single})
        return found

    def decisions_and_forgettings(self):
        """What was decided about a forgotten name is forgotten too: decisions here are about others."""
        decisions, forgettings = self.decisions(), self.forgettings()
        names = {n['name'] for f in forgettings for n in f['names']}
        ends = [{oracle.parse_ledger_id(d[end]).hex() for end in 'ab' if end in d} for d in decisions]
        return [d for d, end in zip(decisions, ends) if not end & names], forgettings


def random_rules(seed):
    """The text of rules_small.yaml with other calendars and definitions."""
    chance = random.Random(seed)

    def clock(minutes):
        return '%02d:%02d' % divmod(minutes, 60)

    def ranges():
        ends = sorted(chance.sample(range(0, 1441, chance.choice([5, 10, 30])), 2 * chance.randrange(1, 4)))
        found = ['%s-%s' % (clock(a), clock(b)) for a, b in zip(ends[::2], ends[1::2])]
        return found if len(found) > 1 or chance.random() < 0.5 else found[0]

    def takes(calendar, brand, unit):
        return brand in calendar.get('brands', [brand]) and unit in calendar.get('units', [unit])

    def date():
        at = chance.choice(CHANGES + [BASE] * 4) + chance.randrange(-3, 4) * oracle.DAY
        return oracle.format_time(at)[:10]
    calendars = []
    for name in ('one', 'two', 'three')[:chance.randrange(1, 4)]:
        weekdays = chance.choice([['mon-fri', 'sat', 'sun'], ['mon-sun'], ['mon', 'tue-sat', 'sun'], ['mon-fri', 'sun']])
        pauses = [sorted([date(), date()]) for _ in range(chance.choice([0, 0, 1, 2]))]
        found = {'name': name, 'zone': chance.choice(ZONES), 'hours': {days: ranges() for days in weekdays},
                 'holidays': sorted({date()[chance.choice([0, 5]):] for _ in range(chance.randrange(3))}),
                 'pauses': [{'from': first, 'to': last} for first, last in pauses],
                 'days': {date(): ranges() for _ in range(chance.randrange(3))}}
        if chance.random() < 0.5:
            found['brands'] = chance.sample(BRANDS, chance.randrange(1, 3))
        if chance.random() < 0.5:
            found['units'] = chance.sample(UNITS[2:], chance.randrange(1, 3))
        if any(not any(takes(other, brand, unit) for other in calendars)
               for brand in found.get('brands', [None]) for unit in found.get('units', [None])):
            calendars.append({key: value for key, value in found.items() if value})
    definitions = []
    for name in ('one', 'two')[:chance.randrange(1, 3)]:
        milestones = []
        for number in range(chance.choice([1, 3, 5, 24])):
            found = {'name': 'm%d' % number, 'on': [{'type': chance.sample(list(TYPES), chance.choice([1, 2, 4]))}]}
            if chance.random() < 0.3:
                found['fails'] = [{'type': chance.sample(list(TYPES), 3)}, {'outcome': 'failed', 'channel': 'web'}]
            milestones.append(dict(found, optional=chance.random() < 0.3, critical=chance.random() < 0.3))
        found = {'name': name, 'version': chance.randrange(1, 3), 'window': chance.choice(['30s', '60s', '600s', '1d']),
                 'milestones': milestones}
        if chance.random() < 0.5:
            found['goal'] = chance.choice(milestones)['name']
        definitions.append(found)
    with open(RULES, encoding='utf-8') as file:
        kept = file.read().split('\ncalendars:\n')[0]
    return '%s\ncalendars: %s\ndefinitions: %s\n' % (kept, json.dumps(calendars, ensure_ascii=False),
                                                  json.dumps(definitions, ensure_ascii=False))


def write(events, file):
    """Or decisions."""
    for event in events:
        file.write(json.dumps(event, ensure_ascii=False) + '\n')


def main():
    parser = argparse.ArgumentParser(description='Small hostile sets of events for rules_small.yaml and key_test.hex.')
    parser.add_argument('--seed', type=int, help='default: a random one; it is printed')
    parser.add_argument('--events', type=int, default=150, help='before duplicates (default 150)')
    parser.add_argument('--people', type=int, default=6, help='default 6')
    parser.add_argument('--order', choices=('shuffled', 'time'), default='shuffled', help='order of the lines')
    parser.add_argument('--out', default='-', help='file, - is standard output')
    parser.add_argument('--random-rules', metavar='FILE', help='write other calendars and definitions there, by the seed')
    parser.add_argument('--decisions-out', help='write decisions about these events there; else there are none')
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
    print('generate: seed %d' % seed, file=sys.stderr)
    if args.random_rules:
        with open(args.random_rules, 'w', encoding='utf-8') as file:
            file.write(random_rules(seed))
    rules = oracle.Rules.load(args.random_rules) if args.random_rules else None
    generator = Generator(seed, args.people, args.events, rules)
    events = generator.generate()
    if args.decisions_out:
        with open(args.decisions_out, 'w', encoding='utf-8') as file:
            write(generator.decisions(), file)
    if args.order == 'time':
        read = oracle.Schema().read
        events.sort(key=lambda e: (read(e)['occurred_at'], e.get('sequence', 0), e['source'], e['event_id']))
    if args.out == '-':
        write(events, sys.stdout)
    else:
        with open(args.out, 'w', encoding='utf-8') as file:
            write(events, file)


if __name__ == '__main__':
    main()
