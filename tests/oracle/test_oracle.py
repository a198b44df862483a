#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle against examples worked out by hand from docs/semantics.md."""

import copy
import glob
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import compare                # noqa: E402
import generate               # noqa: E402
import polku_oracle as oracle  # noqa: E402

KEY = bytes(range(32))
SECOND, MINUTE, HOUR, DAY = 10 ** 6, 60 * 10 ** 6, 3600 * 10 ** 6, 86400 * 10 ** 6
T0 = oracle.parse_time('2024-05-06T08:00:00Z')
SCHEMA = oracle.Schema()
DEFAULT = oracle.Rules.load(os.path.join(HERE, '..', '..', 'deploy', 'polku.yaml'))
SMALL = oracle.Rules.load(generate.RULES)


def h(*parts):
    return hashlib.blake2b(b'\0'.join(p.encode() for p in parts), digest_size=16, key=KEY).digest()


def event(event_id, at, kind, who='c1', **fields):
    """An event `at` microseconds after T0; who None gives no identifier."""
    found = {'event_id': event_id, 'source': 's', 'occurred_at': T0 + at, 'type': kind, 'channel': 'phone',
             'brand': 'ahola',
             'identifiers': [] if who is None else [{'namespace': 'crm/customer_id', 'value': who}]}
    found.update(fields)
    return found


def inbound(event_id, at, **fields):
    return event(event_id, at, 'contact.inbound', **dict({'direction': 'INBOUND', 'actor': 'CUSTOMER'}, **fields))


def derive(events, rules=DEFAULT):
    derived = oracle.Deriver(rules, KEY, SCHEMA).derive(events)
    assert not derived.invalid, derived.invalid
    return derived


def journeys(events, rules=DEFAULT):
    """Journeys as lists of event ids, in order of their first event."""
    derived = derive(events, rules)
    found = {}
    for e in derived.events:
        if e.journey:
            found.setdefault(e.journey.id, []).append(e.field['event_id'])
    return list(found.values())


def rows(events, table, rules=DEFAULT, as_of=None):
    return list(oracle.table_rows(derive(events, rules), table, as_of))


def one(found):
    assert len(found) == 1, found
    return found[0]


def ledger(events, rules=DEFAULT):
    """Obligations by (id of the opening event, kind)."""
    return {(o.opener.field['event_id'], o.kind): o for o in derive(events, rules).obligations}


class Text(unittest.TestCase):
    def test_times(self):
        for text, us in (('1970-01-01T00:00Z', 0), ('2015-09-21T17:55:00.000000Z', 1442858100000000),
                         ('2015-09-21 20:55+03:00', 1442858100000000), ('2015-09-21T20:55:00.5+0300', 1442858100500000),
                         ('2015-09-21T20:55:00.000001+03', 1442858100000001)):
            self.assertEqual(oracle.parse_time(text), us)
        with self.assertRaises(oracle.InputError):
            oracle.parse_time('2015-09-21T17:55:00')

    def test_durations(self):
        for text, us in (('90d', 90 * DAY), ('1d12h', 36 * HOUR), ('200ms', 200000), ('0', 0), ('5s', 5 * SECOND)):
            self.assertEqual(oracle.parse_duration(text), us)

    def test_canonical_fields_are_those_of_copy(self):
        self.assertEqual(oracle.canonical(None), '\\N')
        self.assertEqual(oracle.canonical('a\tb\\'), 'a\\tb\\\\')
        self.assertEqual(oracle.canonical({'b', 'a', 'ä'}), '["a","b","ä"]')
        self.assertEqual(oracle.canonical(bytes(16)), '00000000-0000-0000-0000-000000000000')

    def test_ledger_ids_are_told_from_names(self):
        self.assertEqual(oracle.parse_ledger_id('00112233445566778899AABBCCDDEEFF'),
                         oracle.parse_ledger_id('00112233-4455-6677-8899-aabbccddeeff'))
        self.assertIsNone(oracle.parse_ledger_id('00112233445566778899AABBCCDDEEF'))


class CanonicalForm(unittest.TestCase):
    def test_longs_are_zigzag(self):
        for n, data in ((0, b'\0'), (-1, b'\1'), (1, b'\2'), (63, b'\x7e'), (64, b'\x80\1'), (-65, b'\x81\1'),
                        (2 ** 63 - 1, b'\xfe' + b'\xff' * 8 + b'\1'), (-2 ** 63, b'\xff' * 9 + b'\1')):
            self.assertEqual(oracle.encode_long(n), data)

    def test_a_small_schema_by_hand(self):
        text = {'type': 'record', 'name': 'R', 'fields': [
            {'name': 'n', 'type': {'type': 'long', 'logicalType': 'timestamp-micros'}},
            {'name': 'e', 'type': {'type': 'enum', 'name': 'E', 'symbols': ['A', 'B']}, 'default': 'B'},
            {'name': 's', 'type': ['null', 'string'], 'default': None},
            {'name': 'd', 'type': ['null', 'double'], 'default': None},
            {'name': 'a', 'type': {'type': 'array', 'items': 'string'}, 'default': []},
            {'name': 'm', 'type': {'type': 'map', 'values': 'string'}, 'default': {}}]}
        with tempfile.NamedTemporaryFile('w', suffix='.avsc') as file:
            json.dump(text, file)
            file.flush()
            schema = oracle.Schema(file.name)
        read = schema.read({'n': '1970-01-01T00:00:00.000002Z'})
        self.assertEqual(schema.encode(read), b'\x04' b'\x02' b'\0' b'\0' b'\0' b'\0')
        read = schema.read({'n': 1, 'e': 'A', 's': 'å', 'd': 1, 'a': ['x', ''], 'm': {'ä': '1', 'z': '2', 'b': ''}})
        self.assertEqual(schema.encode(read), b'\x02' b'\0' b'\x02\x04\xc3\xa5' b'\x02' + b'\0' * 6 + b'\xf0\x3f'
                         b'\x04\x02x\0\0' b'\x06\x02b\0\x02z\x022\x04\xc3\xa4\x021\0')

    def test_golden_bytes_of_the_newest_version(self):
        golden = os.path.join(HERE, '..', '..', 'schemas', 'golden')
        newest = os.path.join(golden, max(glob.glob('v[0-9]*', root_dir=golden), key=lambda v: int(v[1:])))
        names = [n[:-5] for n in os.listdir(newest) if n.endswith('.json')]
        self.assertTrue(names)
        for name in names:
            with open(os.path.join(newest, name + '.json'), encoding='utf-8') as file:
                natural = json.load(file)
            with open(os.path.join(newest, name + '.avro'), 'rb') as file:
                self.assertEqual(SCHEMA.encode(SCHEMA.read(natural)), file.read(), name)

    def test_an_unknown_field_is_an_error(self):
        with self.assertRaises(oracle.InputError):
            SCHEMA.read(event('1', 0, 'x', nosuch=1))

    def test_the_order_of_attributes_and_written_defaults_do_not_matter(self):
        a = event('1', 0, 'x', attributes={'k': '1', 'j': '2'})
        b = dict(event('1', 0, 'x', attributes={'j': '2', 'k': '1'}, sequence=0, unit=None, sensitivity='NORMAL'),
                 occurred_at='2024-05-06T11:00:00+03:00')
        self.assertEqual(SCHEMA.encode(SCHEMA.read(a)), SCHEMA.encode(SCHEMA.read(b)))
        self.assertEqual(derive([a, b]).conflicts, 0)

    def test_of_conflicting_contents_the_smallest_hash_is_the_event(self):
        copies = [event('1', 0, 'x', outcome=o) for o in ('a', 'b', 'c', 'd')]

        def rank(copy):
            return hashlib.blake2b(SCHEMA.encode(SCHEMA.read(copy)), digest_size=16, key=KEY).digest()[:8]
        winner = min(copies, key=rank)
        for seed in range(5):
            random.Random(seed).shuffle(copies)
            found = one(rows(copies, 'interaction'))
            self.assertEqual(found['outcome'], winner['outcome'])
            self.assertEqual(found['content_hash'], int.from_bytes(rank(winner), 'big'))

    def test_one_id_at_two_times_is_two_events(self):
        self.assertEqual(len(derive([event('1', 0, 'x'), event('1', 1, 'x')]).events), 2)

    def test_invalid_events_are_set_aside(self):
        wrong = [event('1', 0, 'x', source='a/b'), event('2', 0, 'x', relates_to='nonsense'),
                 event('3', -50 * 365 * DAY, 'x'),
                 event('4', 0, 'x', obligation={'id': 'p', 'kind': 'k', 'due_from': T0 + 1, 'due_to': T0})]
        derived = oracle.Deriver(DEFAULT, KEY, SCHEMA).derive(wrong)
        self.assertEqual((len(derived.events), len(derived.invalid)), (0, 4))


class Identifiers(unittest.TestCase):
    def check(self, how, cases):
        for raw, expected in cases:
            found = oracle.normalise(raw.encode(), how, DEFAULT)
            self.assertEqual(found, None if expected is None else expected.encode(), (how, raw))

    def test_phone(self):
        self.check('phone', [
            ('+358 40 123 4567', '358401234567'), ('040 123 4567', '358401234567'),
            ('00358401234567', '358401234567'), ('+358 (0)40-123 4567', '358401234567'),
            ('(0)40 1234567', '358401234567'), ('tel:+46 8 123', '468123'), ('40-1234567', '358401234567'),
            ('0044 20 7946', '44207946'), ('040+123', '35840123'), ('00 0 12', '012'), ('x', None), ('+(0)', None),
            ('', None), ('000', None), ('1', None), ('+1', None), ('123456789', None)])

    def test_email(self):
        self.check('email', [(' Maija@Example.COM\n', 'maija@example.com'), ('NoReply@example.com', None),
                             ('ÄITI@example.com', 'Äiti@example.com')])

    def test_blocked(self):
        self.check('none', [(v, None) for v in ('', ' \t\r\n\v\f', 'NULL', 'Unknown', '0', '000', '00-00', '0.0', '0:0',
                                                '+0 0', 'n/a', '[Object object]')])
        self.check('none', [(v, v) for v in ('00a', 'nulls', '2', 'é', '\u00a0')])

    def test_strongest_person_then_device_then_case_then_nobody(self):
        phone, other = {'namespace': 'phone', 'value': '040 1'}, {'namespace': 'phone', 'value': '040 2'}
        login = {'namespace': 'garage/login', 'value': 'M'}
        cookie, kiosk = {'namespace': 'cookie', 'value': 'c'}, {'namespace': 'kiosk', 'value': 'k'}
        unknown, blank = {'namespace': 'crm/tier', 'value': 'gold'}, {'namespace': 'garage/login', 'value': ' none '}
        for identifiers, case, customer in (
                ([cookie, phone, login], 'x', h('garage/login', 'M')),
                ([cookie, other, phone], None, min(h('phone', '358401'), h('phone', '358402'))),
                ([blank, phone], None, h('phone', '358401')), ([kiosk, cookie], 'x', h('cookie', 'c')),
                ([unknown], ' shop/7 ', h('case_id', 'shop/7')), ([unknown, blank], 'None', None), ([], None, None)):
            found = one(rows([event('1', 0, 'x', identifiers=identifiers, case_id=case)], 'interaction'))
            self.assertEqual(found['customer'], customer)

    def test_one_value_of_two_issuers_is_two_people(self):
        ids = [[{'namespace': n, 'value': '7'}] for n in ('a/customer_id', 'b/customer_id')]
        self.assertEqual(len(derive([event(str(i), 0, 'x', identifiers=v) for i, v in enumerate(ids)]).customers), 2)

    def test_a_full_name_in_the_rules_goes_before_its_wildcard(self):
        self.assertEqual(SMALL.namespace('shop/customer_id').priority, 25)
        self.assertEqual(SMALL.namespace('crm/customer_id').priority, 20)
        self.assertIsNone(SMALL.namespace('a/b/customer_id'))
        self.assertIsNone(SMALL.namespace('customer_id'))


# ---------------------------------------------------------------- identity

IDENTITY = oracle.Rules(yaml.load("""
identity:
  phone_country: "358"
  blocked_values: [none]
  max_component: 4
  namespaces:
    - {name: "*/customer_id", class: person, priority: 20, unique: true}
    - {name: "*/loyalty_id", class: person, priority: 30, unique: true}
    - {name: email, class: person, priority: 50, normalise: email, max_links: 3}
    - {name: card, class: person, priority: 55, max_people: 2, shared_lookback: 50s}
    - {name: phone, class: person, priority: 60, blocked: ["7"]}
    - {name: vehicle, class: device, priority: 110, lookback: 40s, lookahead: 20s}
    - {name: tablet, class: device, priority: 120, lookback: 60s}
    - {name: cookie, class: device, priority: 130}
    - {name: kiosk, class: kiosk, priority: 140}
    - {name: counter, class: kiosk, priority: 150, lookback: 2h}
journeys: {gap: 60s, reopen_gap: 30s, case_gap: 300s, max_span: 600s, max_events: 40}
obligations:
  kinds:
    - {kind: callback, opens: [{type: callback.requested}], fulfils: [{type: callback.reached}], within: 60s}
""", yaml.BaseLoader))
SHORT = {'c': 'crm/customer_id', 'd': 'shop/customer_id', 'l': 'crm/loyalty_id', 'e': 'email', 'k': 'card', 'p': 'phone',
         'v': 'vehicle', 't': 'tablet', 'w': 'cookie', 'x': 'kiosk', 'y': 'counter', 'u': 'unknown', 'case': 'case_id'}


def hash_of(short):
    """'c1' -> hash of crm/customer_id 1; 'case1' of case 1."""
    letters = short.rstrip('0123456789')
    return h(SHORT[letters], short[len(letters):])


def told(event_id, seconds, names='', case=None, kind='contact.inbound', **fields):
    """An event `seconds` after T0 with identifiers in short: 'c1 e1 t1'."""
    identifiers = [{'namespace': SHORT[n[0]], 'value': n[1:]} for n in names.split()]
    if case:
        fields['case_id'] = case[4:]
    return event(event_id, round(seconds * SECOND), kind, who=None, **dict(fields, identifiers=identifiers))


def decided(*decisions):
    """'block c1', 'unlink c1', 'apart c1 c2'."""
    found = []
    for kind, a, *b in (decision.split() for decision in decisions):
        found.append(dict({'kind': kind, 'a': hash_of(a).hex()}, **{'b': hash_of(x).hex() for x in b}))
    return oracle.Decisions(found)


def resolve(events, *decisions):
    derived = oracle.Deriver(IDENTITY, KEY, SCHEMA, decided(*decisions)).derive(events)
    assert not derived.invalid, derived.invalid
    return derived


NAMES = {hash_of('%s%d' % (letters, n)): '%s%d' % (letters, n) for letters in SHORT for n in range(40)}


def whose(events, *decisions):
    """Event id -> customer in short, None without one."""
    return {e.field['event_id']: NAMES.get(e.customer) for e in resolve(events, *decisions).events}


def sets(events, *decisions):
    """Customers as sets of persons: 'c1 e1', sorted, the customer's id first; shared persons are in none."""
    found = {}
    for person, customer in resolve(events, *decisions).identity.customer_of.items():
        found.setdefault(customer, set()).add(person)
    return sorted(' '.join([NAMES[c]] + sorted(NAMES[p] for p in people - {c})) for c, people in found.items())


def links(events, *decisions):
    """'c1-e1' -> made or why it is refused."""
    return {'%s-%s' % (NAMES[r['a']], NAMES[r['b']]): r['refused']
            for r in oracle.table_rows(resolve(events, *decisions), 'identity_link')}


def shared(events, *decisions):
    return sorted(NAMES[p] for p in resolve(events, *decisions).identity.shared)


def by_hash(*short):
    return sorted(short, key=hash_of)


class Sharing(unittest.TestCase):
    def test_counter_example_a_family_phone_with_two_numbers_joins_nobody_whichever_came_first(self):
        for first, second in (('l1', 'l2'), ('l2', 'l1')):
            events = [told('1', 0, first + ' p1'), told('2', 9, second + ' p1')]
            self.assertEqual(shared(events), ['p1'])
            self.assertEqual(sets(events), ['l1', 'l2'])
            self.assertEqual(links(events), {})
            self.assertEqual(whose(events), {'1': first, '2': second})

    def test_max_people_is_of_one_single_full_namespace(self):
        self.assertEqual(shared([told('1', 0, 'c1 p1'), told('2', 1, 'd1 p1'), told('3', 2, 'l1 p1')]), [])
        self.assertEqual(shared([told('1', 0, 'c1 p1'), told('2', 1, 'd1 p1'), told('3', 2, 'd2 p1')]), ['p1'])

    def test_max_people_counts_distinct_persons_of_unique_namespaces_and_is_inclusive(self):
        two = [told('1', 0, 'c1 k1'), told('2', 1, 'c2 k1'), told('3', 2, 'c1 k1'), told('4', 3, 'p1 k1'),
               told('5', 4, 'p2 k1'), told('6', 5, 'p3 k1')]
        self.assertEqual(shared(two), [])
        self.assertEqual(shared(two + [told('7', 6, 'c3 k1')]), ['k1'])

    def test_max_links_counts_distinct_persons_and_is_inclusive(self):
        three = [told('1', 0, 'e1 p1'), told('2', 1, 'e1 p2'), told('3', 2, 'e1 p3'), told('4', 3, 'e1 p3')]
        self.assertEqual(shared(three), [])
        self.assertEqual(shared(three + [told('5', 4, 'e1 p4')]), ['e1'])
        self.assertEqual(shared([told('1', 0, 'e1 p1 p2'), told('2', 1, 'p3 e1 p4')]), ['e1'])

    def test_devices_and_unknown_namespaces_are_not_met(self):
        self.assertEqual(shared([told(str(n), n, 'e1 t%d w%d u%d' % (n, n, n)) for n in range(1, 9)]), [])

    def test_max_links_defaults_to_50(self):
        events = [event(str(n), n, 'x', who=None, identifiers=[{'namespace': 'phone', 'value': '1'},
                                                               {'namespace': 'card', 'value': str(n)}])
                  for n in range(100, 151)]
        self.assertEqual((shared(events[:50]), shared(events)), ([], ['p1']))

    def test_a_unique_namespace_has_no_max_people(self):
        events = [told('1', 0, 'c1 l1'), told('2', 1, 'c2 l1'), told('3', 2, 'c3 l1')]
        self.assertEqual(shared(events), [])
        self.assertEqual(sets(events), ['c1 l1', 'c2', 'c3'])

    def test_a_contradictory_event_neither_shares_nor_links(self):
        events = [told('1', 0, 'c1 c2 p1')]
        self.assertEqual((shared(events), links(events), sets(events)), ([], {}, ['c1', 'c2', 'p1']))
        # One value twice is one person; two issuers are two namespaces; two of a namespace that is not unique are none.
        for names in ('c1 c1 p1', 'c1 d1 p1', 'c1 p1 p2'):
            self.assertNotEqual(links([told('1', 0, names)]), {}, names)

    def test_shared_and_unlinked_persons_are_met_blocked_ones_are_not(self):
        events = [told('1', 0, 'c1 p1'), told('2', 1, 'c2 p1'),      # p1 is shared
                  told('3', 2, 'e1 p1'), told('4', 3, 'e1 p2'), told('5', 4, 'e1 p3'), told('6', 5, 'e1 p4')]
        self.assertEqual(shared(events), ['e1', 'p1'])
        self.assertEqual(shared(events, 'unlink p2', 'unlink e1'), ['e1', 'p1'])
        self.assertEqual(shared(events, 'block p2'), ['p1'])
        self.assertEqual(shared(events, 'block c1'), ['e1'])


class Customers(unittest.TestCase):
    def test_the_strongest_links_each_other(self):
        self.assertEqual(links([told('1', 0, 'p1 e1 c1')]), {'c1-e1': 'made', 'c1-p1': 'made'})
        # Of equal priority the position decides; in a pair the smaller hash is a.
        pair = ['-'.join(by_hash('e2', other)) for other in ('e1', 'e3')]
        self.assertEqual(links([told('1', 0, 'e2 e1 e3')]), dict.fromkeys(pair, 'made'))

    def test_the_strongest_is_the_first_that_is_not_shared(self):
        events = [told('s%d' % n, n, 'e1 p%d' % n) for n in range(11, 15)] + [told('1', 9, 'e1 k1 p1')]
        self.assertEqual(shared(events), ['e1'])
        self.assertEqual(links(events), {'k1-p1': 'made'})
        self.assertEqual(whose(events)['1'], 'k1')

    def test_the_first_event_of_a_link_is_the_first_in_event_order(self):
        events = [told('9', 5, 'c1 e1'), told('2', 3, 'c1 e1', sequence=1), told('3', 3, 'e1 c1'),
                  told('1', 2, 'c1 c2 e1')]
        row = one(list(oracle.table_rows(resolve(events), 'identity_link')))
        self.assertEqual((row['first_at'], row['source'], row['event_id']), (T0 + 3 * SECOND, 's', '3'))

    def test_counter_example_two_numbers_in_a_chain_stay_two_and_the_weaker_link_is_refused(self):
        events = [told('1', 0, 'e1 p1'), told('2', 1, 'c1 e1'), told('3', 2, 'c2 p1')]
        for turn in (events, [dict(e, occurred_at=T0 - e['occurred_at'] + T0) for e in events]):
            self.assertEqual(links(turn), {'c1-e1': 'made', 'c2-p1': 'made', 'e1-p1': 'unique'})
            self.assertEqual(sets(turn), ['c1 e1', 'c2 p1'])

    def test_a_chain_number_card_number_refuses_the_later_link(self):
        for first, second in (('c1', 'c2'), ('c2', 'c1')):
            events = [told('1', 0, first + ' k1'), told('2', 1, second + ' k1')]
            self.assertEqual(links(events), {first + '-k1': 'made', second + '-k1': 'unique'})
            self.assertEqual(sets(events), sorted([first + ' k1', second]))

    def test_priority_goes_before_time(self):
        # c1-k1 before l1-k1, though it came later: (20, 55) before (30, 55)
        events = [told('1', 0, 'l1 k1'), told('2', 1, 'c1 l2'), told('3', 2, 'c1 k1')]
        self.assertEqual(links(events), {'l1-k1': 'unique', 'c1-l2': 'made', 'c1-k1': 'made'})

    def test_priority_of_b_goes_before_time(self):
        events = [told('1', 0, 'd1 p1'), told('2', 1, 'd1 k1'), told('3', 2, 'c1 p1'), told('4', 3, 'c2 k1')]
        found = oracle.Deriver(without_limit(), KEY, SCHEMA).derive(events).identity
        # c2-k1 and d1-k1 go before c1-p1 and d1-p1: (20, 55) before (20, 60)
        self.assertEqual({(NAMES[l.a.hash], NAMES[l.b.hash]): l.refused for l in found.links},
                         {('d1', 'k1'): None, ('c2', 'k1'): None, ('d1', 'p1'): None, ('c1', 'p1'): 'unique'})

    def test_of_one_event_the_hashes_decide(self):
        first, second = by_hash('p1', 'p2')
        number = {'p1': 'c1', 'p2': 'c2'}
        events = [told('1', 0, 'c1 p1'), told('2', 1, 'c2 p2'), told('3', 2, 'e1 p1 p2')]
        found = oracle.Deriver(without_limit(), KEY, SCHEMA).derive(events).identity
        self.assertEqual(NAMES[found.customer_of[hash_of('e1')]], number[first])
        self.assertEqual({NAMES[l.b.hash]: l.refused for l in found.links if l.a.hash == hash_of('e1')},
                         {first: None, second: 'unique'})
        low, middle, high = by_hash('p1', 'p2', 'p3')
        events = [told('1', 0, 'c1 ' + low), told('2', 1, 'c2 ' + high), told('3', 2, ' '.join((middle, high, low)))]
        found = oracle.Deriver(without_limit(), KEY, SCHEMA).derive(events).identity
        self.assertEqual(NAMES[found.customer_of[hash_of(middle)]], 'c1')

    def test_links_between_one_set_are_not_refused(self):
        events = [told('1', 0, 'c1 e1'), told('2', 1, 'c1 p1'), told('3', 2, 'e1 p1')]
        self.assertEqual(links(events), {'c1-e1': 'made', 'c1-p1': 'made', 'e1-p1': 'made'})
        self.assertEqual(links(events, 'unlink c1'), {'e1-p1': 'made'})

    def test_a_component_counts_refused_links_and_beyond_the_limit_all_are_refused(self):
        four = [told('1', 0, 'e1 p1'), told('2', 1, 'c1 e1'), told('3', 2, 'c2 p1')]
        other = [told('8', 3, 'c8 e8')]
        self.assertEqual(sets(four + other), ['c1 e1', 'c2 p1', 'c8 e8'])
        five = four + [told('4', 3, 'c2 e2')]
        self.assertEqual(links(five + other), {'c1-e1': 'oversize', 'c2-p1': 'oversize', 'c2-e2': 'oversize',
                                               'e1-p1': 'oversize', 'c8-e8': 'made'})
        self.assertEqual(sets(five + other), ['c1', 'c2', 'c8 e8', 'e1', 'e2', 'p1'])
        found = {NAMES[r['identifier']]: r['oversize'] for r in oracle.table_rows(resolve(five + other), 'identifier')}
        self.assertEqual(found, {'c1': True, 'c2': True, 'e1': True, 'e2': True, 'p1': True, 'c8': False, 'e8': False})

    def test_unlinking_one_person_makes_an_oversize_component_small(self):
        five = [told('1', 0, 'c1 e1'), told('2', 1, 'e1 p1'), told('3', 2, 'p1 k1'), told('4', 3, 'k1 l1')]
        self.assertEqual(sets(five), ['c1', 'e1', 'k1', 'l1', 'p1'])
        self.assertEqual(sets(five, 'unlink l1'), ['c1 e1 k1 p1', 'l1'])
        self.assertEqual(sets(five, 'block p1'), ['c1 e1', 'l1 k1'])

    def test_the_id_is_of_the_strongest_then_the_earliest_then_the_smallest_hash(self):
        self.assertEqual(sets([told('1', 0, 'e1'), told('2', 1, 'c1 e1')]), ['c1 e1'])
        self.assertEqual(sets([told('1', 0, 'c1'), told('2', 1, 'c1 d1')]), ['c1 d1'])
        self.assertEqual(sets([told('1', 0, 'd1'), told('2', 1, 'c1 d1')]), ['d1 c1'])
        self.assertEqual(sets([told('1', 0, 'e2 e1')]), [' '.join(by_hash('e1', 'e2'))])

    def test_the_first_time_counts_contradictory_events_too(self):
        events = [told('1', 0, 'e1'), told('2', 1, 'e1 e2'), told('3', -1, 'c1 c2 e2')]
        self.assertEqual(sets(events), ['c1', 'c2', 'e2 e1'])
        found = {NAMES[r['identifier']]: r['first_at'] - T0 for r in oracle.table_rows(resolve(events), 'identifier')}
        self.assertEqual(found, {'e1': 0, 'e2': -SECOND, 'c1': -SECOND, 'c2': -SECOND})

    def test_a_person_without_links_is_a_customer_alone(self):
        self.assertEqual(sets([told('1', 0, 'p1'), told('2', 1, 'c1')]), ['c1', 'p1'])

    def test_blocked_values_of_a_namespace_are_of_it_alone(self):
        self.assertEqual(sets([told('1', 0, 'p7 e7 c7')]), ['c7 e7'])
        events = [event(v, 0, 'x', who=None, identifiers=[{'namespace': 'phone', 'value': v}])
                  for v in ('040 1234599', '+358401234599', ' \t358401234599')]
        self.assertEqual(len(oracle.Deriver(SMALL, KEY, SCHEMA).derive(events).customers), 0)
        mail = {'namespace': 'email', 'value': ' iNFO@example.com'}
        self.assertEqual(one(rows([event('1', 0, 'x', who=None, identifiers=[mail])], 'interaction', SMALL))['customer'], None)


def without_limit():
    rules = copy.copy(IDENTITY)
    rules.max_component = 1000
    return rules


class Borrowing(unittest.TestCase):
    """The event in question is '1'."""

    def owner(self, *events, decisions=()):
        return whose(list(events), *decisions)['1']

    def test_an_own_person_goes_before_everything(self):
        self.assertEqual(self.owner(told('1', 0, 't1 p1', 'case1'), told('2', -1, 'c2 t1', 'case1')), 'p1')

    def test_own_is_the_strongest_also_of_a_contradictory_event(self):
        self.assertEqual(self.owner(told('1', 0, 'e1 c2 c1')), 'c2')
        self.assertEqual(self.owner(told('1', 1, 't1'), told('2', 0, 'c2 c1 t1')), 'c2')

    def test_lookback_is_inclusive(self):
        for at, customer in ((0, 'c1'), (40, 'c1'), (40.000001, 'v1')):
            self.assertEqual(self.owner(told('1', at, 'v1'), told('0', 0, 'c1 v1')), customer, at)

    def test_lookahead_is_inclusive(self):
        for at, customer in ((0.000001, 'c1'), (20, 'c1'), (20.000001, 'v1')):
            self.assertEqual(self.owner(told('1', 0, 'v1'), told('2', at, 'c1 v1')), customer, at)

    def test_at_one_time_a_sighting_is_before_whatever_its_place_in_event_order(self):
        for name in ('x1', 'v1'):       # also of a kiosk, which has no lookahead
            self.assertEqual(self.owner(told('1', 0, name), told('2', 0, 'c1 ' + name, sequence=5)), 'c1')
        self.assertEqual(self.owner(told('1', 0, 'v1'), told('0', 0, 'c1 v1'), told('2', 0, 'c2 v1')), 'c2')
        self.assertEqual(self.owner(told('1', 0, 'v1'), told('2', 0, 'c1 v1'), told('3', 1, 'c2 v1')), 'c1')

    def test_before_goes_before_after_even_if_that_is_nearer(self):
        self.assertEqual(self.owner(told('1', 0, 'v1'), told('0', -40, 'c1 v1'), told('2', 0.000001, 'c2 v1')), 'c1')
        self.assertEqual(self.owner(told('1', 0, 'v1'), told('0', -40.000001, 'c1 v1'), told('2', 20, 'c2 v1')), 'c2')

    def test_of_all_names_the_last_sighting_before_wins_each_within_its_own_lookback(self):
        event_1 = told('1', 0, 'v1 t1')
        self.assertEqual(self.owner(event_1, told('2', -10, 'c1 v1'), told('3', -5, 'c2 t1')), 'c2')
        self.assertEqual(self.owner(event_1, told('2', -5, 'c1 v1'), told('3', -10, 'c2 t1')), 'c1')
        self.assertEqual(self.owner(event_1, told('2', -41, 'c1 v1'), told('3', -60, 'c2 t1')), 'c2')
        self.assertEqual(self.owner(event_1, told('2', -40, 'c1 v1'), told('3', -39.9, 'c2 w1')), 'c1')
        same = [told('2', -5, 'c1 v1', sequence=1), told('3', -5, 'c2 t1')]
        self.assertEqual(self.owner(event_1, *same), 'c1')

    def test_of_all_names_the_first_sighting_after_wins_each_within_its_own_lookahead(self):
        event_1 = told('1', 0, 'v1 t1')
        self.assertEqual(self.owner(event_1, told('2', 10, 'c1 v1'), told('3', 5, 'c2 t1')), 'c2')
        self.assertEqual(self.owner(event_1, told('2', 21, 'c1 v1'), told('3', 60, 'c2 t1')), 'c2')
        self.assertEqual(self.owner(event_1, told('2', 21, 'c1 v1'), told('3', 60.000001, 'c2 t1')), 'v1')

    def test_counter_example_two_people_on_one_tablet(self):
        events = [told('1', 0, 't1'), told('2', 1, 'c1 t1'), told('3', 2, 't1'), told('4', 3, 'c2 t1'), told('5', 4, 't1'),
                  told('6', 64, 't1'), told('7', 124.000002, 't1')]
        self.assertEqual(whose(events), {'1': 'c1', '2': 'c1', '3': 'c1', '4': 'c2', '5': 'c2', '6': 't1', '7': 't1'})

    def test_counter_example_a_login_on_a_kiosk_does_not_take_the_visit_before_it(self):
        self.assertEqual(self.owner(told('1', 0, 'x1'), told('2', 0.000001, 'c1 x1')), 'x1')
        self.assertEqual(self.owner(told('1', 0, 'w1'), told('2', 1, 'c1 w1')), 'c1')

    def test_defaults_of_device_kiosk_and_shared_person(self):
        for name, before, after in (('w1', 30 * 86400, 30 * 86400), ('x1', 1800, 0), ('y1', 7200, 0), ('t1', 60, 60),
                                    ('p1', 7 * 86400, 7 * 86400)):
            share = [told('8', 900 * 86400, 'c8 p1'), told('9', 900 * 86400, 'c9 p1')]
            for at, customer in ((-before, 'c1'), (-before - 0.000001, name), (after, 'c1'), (after + 0.000001, name)):
                found = self.owner(told('1', 0, name), told('2', at, 'c1 ' + name), *share)
                self.assertEqual(found, customer, (name, at))

    def test_a_shared_person_is_a_name_with_shared_lookback_both_ways(self):
        share = [told('7', 900, 'c7 k1'), told('8', 901, 'c8 k1'), told('9', 902, 'c9 k1')]
        for at, customer in ((-50, 'c1'), (-50.000001, 'k1'), (50, 'c1'), (50.000001, 'k1')):
            self.assertEqual(self.owner(told('1', 0, 'k1'), told('2', at, 'c1 k1'), *share), customer, at)
        # Not shared it is the own person, and no sighting of others matters.
        self.assertEqual(self.owner(told('1', 0, 'k1'), told('2', -1, 'c1 k1', kind='x'), told('3', 1, 'c2 k1')), 'c1')

    def test_a_case_is_one_more_device_with_case_gap_both_ways(self):
        for at, customer in ((-300, 'c1'), (-300.000001, 'case1'), (300, 'c1'), (300.000001, 'case1')):
            self.assertEqual(self.owner(told('1', 0, '', 'case1'), told('2', at, 'c1', 'case1')), customer, at)

    def test_the_sightings_own_person_counts_not_its_strongest_name_and_its_customer_follows_the_links(self):
        self.assertEqual(self.owner(told('1', 0, 't1'), told('2', -1, 'p1 t1'), told('3', 500, 'c1 p1')), 'c1')

    def test_an_event_that_borrows_is_no_sighting(self):
        events = [told('2', 0, 'c1 v1'), told('3', 1, 'v1 t1'), told('1', 2, 't1')]
        self.assertEqual(whose(events), {'2': 'c1', '3': 'c1', '1': 't1'})

    def test_anonymous_events_belong_to_their_strongest_name(self):
        share = [told('8', 10 ** 7, 'c8 p1'), told('9', 10 ** 7, 'c9 p1 p2'), told('7', 10 ** 7, 'c7 p2')]
        for names, case, customer, kind, namespace in (
                ('w1 t1 p1', 'case1', 't1', 'device', 'tablet'), ('x1 p1', 'case1', 'x1', 'device', 'kiosk'),
                ('t2 t1', None, 't2', 'device', 'tablet'), ('p2 p1', 'case1', 'p2', 'shared', 'phone'),
                ('u1', 'case1', 'case1', 'case', None), ('u1', None, None, None, None), ('', None, None, None, None)):
            derived = resolve([told('1', 0, names, case)] + share)
            found = derived.events[0]
            self.assertEqual((NAMES.get(found.customer), found.known_by), (customer, (kind, namespace)), names)
            row = [(r['kind'], r['namespace']) for r in oracle.table_rows(derived, 'customer') if r['customer'] == found.customer]
            self.assertEqual(row, [(kind, namespace)] if customer else [])

    def test_kind_and_namespace_of_a_person_are_those_of_the_customer_id(self):
        found = one(list(oracle.table_rows(resolve([told('1', 0, 'p1'), told('2', 9, 'c1 p1'), told('3', 0, 'e1 p1')]), 'customer')))
        self.assertEqual((NAMES[found['customer']], found['kind'], found['namespace']), ('c1', 'person', 'crm/customer_id'))

    def test_a_customer_without_an_event_has_no_row(self):
        derived = resolve([told('1', 0, 'c1 p1'), told('2', 1, 'c2 p1'), told('3', 2, 'c3 c4 e1')])
        self.assertEqual({NAMES[r['customer']] for r in oracle.table_rows(derived, 'customer')}, {'c1', 'c2', 'c3'})
        found = {NAMES[r['identifier']]: r['customer'] and NAMES[r['customer']] for r in oracle.table_rows(derived, 'identifier')}
        self.assertEqual(found, {'c1': 'c1', 'c2': 'c2', 'c3': 'c3', 'c4': 'c4', 'e1': 'e1', 'p1': None})

    def test_history_before_a_login_has_its_journey_and_promise_under_the_person(self):
        events = [told('1', 0, 'w1', kind='callback.requested'), told('2', 50, 'c1', kind='callback.reached')]
        derived = resolve(events)
        self.assertEqual((len(derived.journeys), one(derived.obligations).closed), (2, False))
        derived = resolve(events + [told('3', 86400, 'w1 c1')])
        self.assertEqual([j.events for j in derived.journeys], [2, 1])
        self.assertEqual({NAMES[j.customer] for j in derived.journeys}, {'c1'})
        self.assertTrue(one(derived.obligations).closed)

    def test_an_explicit_promise_is_opened_by_the_first_event_with_a_customer(self):
        record = {'id': 'p', 'kind': 'k'}
        events = [told('1', 0, '', kind='promise.made', obligation=record),
                  told('2', 1, 'w1', kind='promise.made', obligation=record)]
        opened = one(resolve(events + [told('3', 2, 'c1 w1')]).obligations)
        self.assertEqual((opened.opener.field['event_id'], NAMES[opened.opener.customer]), ('2', 'c1'))


class Decided(unittest.TestCase):
    def test_block_counts_as_a_blocked_value_everywhere(self):
        events = [told('1', 0, 'c1 e1 t1', 'case1'), told('2', 1, 'e1'), told('3', 2, 't1'), told('4', 3, '', 'case1')]
        self.assertEqual(whose(events), dict.fromkeys('1234', 'c1'))
        self.assertEqual(whose(events, 'block c1'), dict.fromkeys('1234', 'e1'))
        self.assertEqual(whose(events, 'block e1'), {'1': 'c1', '2': None, '3': 'c1', '4': 'c1'})
        self.assertEqual(whose(events, 'block t1'), {'1': 'c1', '2': 'c1', '3': None, '4': 'c1'})
        self.assertEqual(whose(events, 'block case1'), dict.fromkeys('1234', 'c1'))     # not of a case
        self.assertEqual(len(list(oracle.table_rows(resolve(events, 'block e1'), 'identifier'))), 1)

    def test_block_of_a_person_that_contradicts_or_is_shared(self):
        self.assertEqual(sets([told('1', 0, 'c1 c2 p1')], 'block c2'), ['c1 p1'])
        family = [told('1', 0, 'c1 p1'), told('2', 1, 'c2 p1')]
        self.assertEqual(sets(family, 'block c2'), ['c1 p1'])

    def test_the_stored_event_keeps_the_hash_of_what_a_decision_blocks(self):
        derived = resolve([told('1', 0, 'c1 e1')], 'block c1')
        found = one(list(oracle.table_rows(derived, 'interaction')))
        self.assertIn(oracle.format_uuid(hash_of('c1')), found['identifiers'])

    def test_unlink_one_makes_no_links_and_the_strongest_of_the_others_does(self):
        events = [told('1', 0, 'c1 e1 p1'), told('2', 1, 'e1 t1'), told('3', 2, 't1')]
        self.assertEqual(links(events, 'unlink c1'), {'e1-p1': 'made'})
        self.assertEqual(sets(events, 'unlink c1'), ['c1', 'e1 p1'])
        self.assertEqual(links(events, 'unlink e1'), {'c1-p1': 'made'})
        self.assertEqual(whose(events, 'unlink e1'), {'1': 'c1', '2': 'e1', '3': 'e1'})
        self.assertEqual(whose(events, 'unlink c1'), {'1': 'c1', '2': 'e1', '3': 'e1'})

    def test_unlink_two_refuses_a_set_that_holds_both_either_way_round(self):
        for decision in ('apart c1 p1', 'apart p1 c1'):
            self.assertEqual(links([told('1', 0, 'c1 p1')], decision), {'c1-p1': 'apart'})
            chain = [told('1', 0, 'p1 e1'), told('2', 1, 'c1 e1')]
            self.assertEqual(links(chain, decision), {'c1-e1': 'made', 'e1-p1': 'apart'})
            self.assertEqual(sets(chain, decision), ['c1 e1', 'p1'])

    def test_two_are_kept_apart_across_joined_sets(self):
        events = [told('1', 0, 'c1 e1'), told('2', 1, 'k1 p1'), told('3', 2, 'e1 k1')]
        self.assertEqual(sets(events), ['c1 e1 k1 p1'])
        for decision in ('apart c1 p1', 'apart k1 c1', 'apart p1 e1'):
            self.assertEqual(len(sets(events, decision)), 2, decision)
        self.assertEqual(links(events, 'apart p1 c1'), {'c1-e1': 'made', 'e1-k1': 'made', 'k1-p1': 'apart'})
        self.assertEqual(links(events, 'apart c1 p9'), {'c1-e1': 'made', 'e1-k1': 'made', 'k1-p1': 'made'})

    def test_merge_then_unlink_equals_never_merged(self):
        apart = [told('1', 0, 'c1', kind='callback.requested'), told('2', 10, 'p1 t1'), told('3', 20, 't1'),
                 told('4', 30, 'p1', kind='callback.reached')]
        merged = apart + [told('5', 40, 'c1 p1')]
        self.assertEqual(sets(merged), ['c1 p1'])
        for decision in ('unlink p1', 'unlink c1', 'apart c1 p1'):
            found, expected = whose(merged, decision), whose(apart)
            self.assertEqual({k: found[k] for k in '1234'}, expected)
            self.assertEqual(sets(merged, decision), sets(apart))
            self.assertFalse(one(resolve(merged, decision).obligations).closed)
        self.assertTrue(one(resolve(merged).obligations).closed)

    def test_the_order_of_decisions_and_repeats_do_not_matter(self):
        events = [told('1', 0, 'c1 e1 p1'), told('2', 1, 'e1 k1')]
        decisions = ['unlink p1', 'apart c1 k1', 'block t1', 'apart k1 c1', 'unlink p1']
        self.assertEqual(sets(events, *decisions), sets(events, *reversed(decisions)))

    def test_decisions_that_are_none(self):
        one_hash, other = 'a' * 32, 'b' * 32
        for wrong in ({'kind': 'merge', 'a': one_hash}, {'kind': 'block', 'a': one_hash, 'b': other}, {'kind': 'unlink'},
                      {'kind': 'apart', 'a': one_hash}, {'kind': 'apart', 'a': one_hash, 'b': one_hash},
                      {'kind': 'block', 'a': 'x'}, {'kind': 'block', 'a': one_hash, 'why': ''}, ['block']):
            with self.assertRaises(oracle.InputError):
                oracle.Decisions([wrong])

    def test_decisions_of_a_database_and_links_as_both_sides_tell_them(self):
        found = compare.decisions_of(['block\t%s\t\\N' % oracle.format_uuid(b'a' * 16),
                                      'apart\t%s\t%s' % (oracle.format_uuid(b'b' * 16), oracle.format_uuid(b'c' * 16))])
        self.assertEqual((found.blocked, found.unlinked, found.apart), ({b'a' * 16}, set(), {(b'b' * 16, b'c' * 16)}))
        self.assertEqual(compare.comparable('identity_link', ['x\tunique', 'y\tmade', 'z\t\\N', 'v\toversize']),
                         ['v\tt', 'x\tt', 'y\tf', 'z\tf'])


class Journeys(unittest.TestCase):
    def test_id_and_customer(self):
        found = one(rows([inbound('1', 0)], 'journey'))
        self.assertEqual(found['journey'], T0.to_bytes(8, 'big') + h('s', '1')[:8])
        self.assertEqual(found['customer'], h('crm/customer_id', 'c1'))

    def test_gap_is_inclusive(self):
        self.assertEqual(journeys([inbound('1', 0), inbound('2', 7 * DAY)]), [['1', '2']])
        self.assertEqual(journeys([inbound('1', 0), inbound('2', 7 * DAY + 1)]), [['1'], ['2']])

    def test_reopen_gap_after_a_terminal_event(self):
        end = event('1', 0, 'case.closed')
        self.assertEqual(journeys([end, inbound('2', 3 * DAY)]), [['1', '2']])
        self.assertEqual(journeys([end, inbound('2', 3 * DAY + 1)]), [['1'], ['2']])

    def test_a_case_holds_for_case_gap_even_after_a_terminal_event(self):
        start = event('1', 0, 'case.closed', case_id='k/1')
        self.assertEqual(journeys([start, inbound('2', 90 * DAY, case_id='k/1')]), [['1', '2']])
        self.assertEqual(journeys([start, inbound('2', 90 * DAY + 1, case_id='k/1')]), [['1'], ['2']])

    def test_counter_example_another_case_does_not_join_one_without_a_case_does(self):
        a = inbound('1', 0, case_id='k/A')
        self.assertEqual(journeys([a, inbound('2', HOUR, case_id='k/B')]), [['1'], ['2']])
        self.assertEqual(journeys([a, inbound('2', HOUR)]), [['1', '2']])

    def test_a_journey_adopts_the_first_case_only(self):
        events = [inbound('1', 0), inbound('2', HOUR, case_id='k/A'), inbound('3', 2 * HOUR, case_id='k/B')]
        self.assertEqual(journeys(events), [['1', '2'], ['3']])
        self.assertEqual([r['case'] for r in rows(events, 'journey')], [h('case_id', 'k/A'), h('case_id', 'k/B')])

    def test_latest_is_by_activity_not_by_start(self):
        events = [inbound('1', 0, case_id='k/A'), inbound('2', HOUR, case_id='k/B'), inbound('3', 2 * HOUR, case_id='k/A'),
                  inbound('4', 3 * HOUR)]
        self.assertEqual(journeys(events), [['1', '3', '4'], ['2']])

    def test_relates_to_comes_first(self):
        events = [inbound('1', 0, case_id='k/A'), inbound('2', HOUR, case_id='k/B'),
                  inbound('3', 2 * HOUR, case_id='k/B', relates_to='s/1')]
        self.assertEqual(journeys(events), [['1', '3'], ['2']])

    def test_relates_to_reaches_case_gap_after_activity_not_after_the_named_event(self):
        self.assertEqual(journeys([inbound('1', 0), inbound('2', 90 * DAY, relates_to='s/1')]), [['1', '2']])
        self.assertEqual(journeys([inbound('1', 0), inbound('2', 90 * DAY + 1, relates_to='s/1')]), [['1'], ['2']])
        far = [inbound('1', 0), inbound('2', 7 * DAY), inbound('3', 97 * DAY, relates_to='s/1')]
        self.assertEqual(journeys(far), [['1', '2', '3']])

    def test_relates_to_a_later_event_another_customer_or_an_obligation_gives_no_rule_0(self):
        promise = {'id': 'p', 'kind': 'own', 'due_to': T0 + DAY}
        start = [inbound('1', 0, case_id='k/A', obligation=promise), inbound('x', 0, who='c2'),
                 inbound('2', HOUR, case_id='k/B')]
        for name in ('s/9', 's/x', 's/p', oracle.format_uuid(h('s', 'p'))):
            events = start + [inbound('3', 2 * HOUR, relates_to=name), inbound('9', 3 * HOUR, case_id='k/C')]
            self.assertIn(['2', '3'], journeys(events), name)

    def test_an_event_hash_names_the_event(self):
        events = [inbound('1', 0, case_id='k/A'), inbound('2', HOUR, case_id='k/B'),
                  inbound('3', 2 * HOUR, relates_to=oracle.format_uuid(h('s', '1')))]
        self.assertEqual(journeys(events), [['1', '3'], ['2']])

    def test_of_one_id_at_two_times_the_greatest_before_is_named(self):
        events = [inbound('1', 0, case_id='k/A'), inbound('1', HOUR, case_id='k/B'), inbound('2', 2 * HOUR, case_id='k/C'),
                  inbound('1', 4 * HOUR, case_id='k/D'), inbound('3', 3 * HOUR, relates_to='s/1')]
        self.assertEqual(journeys(events)[1], ['1', '3'])

    def test_passive_events_join_but_start_extend_and_give_nothing(self):
        news = event('n', 6 * DAY, 'newsletter.sent', case_id='k/Z')
        events = [inbound('1', 0), news, inbound('2', 8 * DAY)]
        self.assertEqual(journeys(events), [['1', 'n'], ['2']])
        first = rows(events, 'journey')[0]
        self.assertEqual((first['events'], first['last_at'], first['case'], first['contacts']), (2, T0, None, 1))
        self.assertEqual(journeys([news]), [])
        self.assertEqual(len(derive([news]).customers), 1)

    def test_max_span_cuts_and_continues(self):
        weeks = [inbound('%02d' % i, i * 7 * DAY) for i in range(60)]
        found = rows(weeks, 'journey')
        self.assertEqual([j['events'] for j in found], [53, 7])  # 52 weeks are 364 days
        self.assertEqual([j['continues'] for j in found], [None, found[0]['journey']])
        # relates_to an event of the cut journey goes to its continuation
        late = inbound('z', 60 * 7 * DAY, relates_to='s/00')
        self.assertEqual(rows(weeks + [late], 'journey')[1]['events'], 8)

    def test_the_limit_of_max_span_belongs_to_the_journey_and_passive_events_are_never_cut(self):
        at = [0, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600]
        events = [inbound('%02d' % i, t * SECOND, case_id='k/A' if i == 3 else None) for i, t in enumerate(at)]
        self.assertEqual(len(journeys(events, SMALL)), 1)
        news = event('n', 601 * SECOND, 'newsletter.sent')
        cut = inbound('c', 602 * SECOND, case_id='k/B')
        found = rows(events + [news, cut], 'journey', SMALL)
        self.assertEqual(len(found), 2)  # k/B is another case: rule 3
        self.assertIsNone(found[1]['continues'])
        found = rows(events + [news, inbound('c', 602 * SECOND)], 'journey', SMALL)
        self.assertEqual([j['events'] for j in found], [12, 1])
        self.assertEqual([j['case'] for j in found], [h('case_id', 'k/A')] * 2)
        # a cut journey takes no more events, its continuation does
        more = [inbound('c', 602 * SECOND), inbound('d', 603 * SECOND, case_id='k/A'), event('m', 604 * SECOND, 'ad.shown')]
        self.assertEqual(journeys(events + more, SMALL)[1], ['c', 'd', 'm'])

    def test_a_crowd_has_days(self):
        rule = SMALL.max_events
        base = DAY - T0 % DAY  # midnight
        events = [inbound('%03d' % i, base - 20 * SECOND + i * SECOND, case_id='k/A') for i in range(rule)]
        self.assertEqual(len(journeys(events, SMALL)), 1)
        news = event('000', base - 60 * SECOND, 'newsletter.sent', channel='email')
        found = rows(events + [news], 'journey', SMALL)
        self.assertEqual([(j['events'], j['crowd'], j['case']) for j in found], [(21, True, None), (20, True, None)])
        self.assertEqual(found[0]['first_at'], T0 + base - 60 * SECOND)
        self.assertEqual((found[0]['entry_channel'], found[0]['channels'], found[0]['contacts']),
                         ('email', {'email', 'phone'}, 20))

    def test_event_order_is_time_sequence_source_id(self):
        events = [event('b', 0, 'x', source='a'), event('a', 0, 'x', source='b'), event('9', 0, 'x', sequence=-1, source='z'),
                  event('Z', 0, 'x', source='a')]
        self.assertEqual([e.field['event_id'] for e in derive(events).events], ['9', 'Z', 'b', 'a'])

    def test_facts(self):
        events = [
            event('0', 0, 'contact.outbound', direction='OUTBOUND', actor='HUMAN', unit='sales'),   # before the customer asked
            inbound('1', HOUR, channel='web', unit='care'),
            event('2', 2 * HOUR, 'reply.sent', direction='OUTBOUND', actor='BOT', channel='web'),   # a bot
            event('3', 3 * HOUR, 'payment.captured', channel='store', brand='bergvik'),            # no contact
            event('4', 4 * HOUR, 'callback.attempted', outcome='unreached', direction='OUTBOUND', actor='HUMAN'),
            event('4b', 4 * HOUR + SECOND, 'reply.sent', direction='OUTBOUND', actor='HUMAN', channel='web'), # the first
            event('5', 5 * HOUR, 'contact.inbound', outcome='refused', channel='chat', direction='INBOUND'),
            event('6', 6 * HOUR, 'handoff.offered', handoff={'to_brand': 'crane', 'to_unit': 'yard'}),
            event('7', 7 * HOUR, 'handoff.accepted'),
            event('8', 8 * HOUR, 'case.closed', channel='email', outcome='ok'),
            event('9', 9 * HOUR, 'newsletter.sent', channel='post', unit='marketing'),
        ]
        found = one(rows(events, 'journey'))
        expected = dict(first_at=T0, last_at=T0 + 8 * HOUR, events=11, entry_channel='phone', last_channel='email',
                        channels={'phone', 'web', 'store', 'chat', 'email'}, brands={'ahola', 'bergvik'},
                        units={'sales', 'care'}, contacts=5, switches=2, handoffs_offered=1, handoffs_accepted=1,
                        unanswered=1, refusals=1, first_inbound_at=T0 + HOUR, first_human_reply_at=T0 + 4 * HOUR + SECOND,
                        resolved=True, last_type='case.closed', last_outcome='ok', crowd=False)
        self.assertEqual({k: found[k] for k in expected}, expected)
        found = one(rows(events + [inbound('a', 10 * HOUR)], 'journey'))
        self.assertFalse(found['resolved'])  # reopened


class Obligations(unittest.TestCase):
    def test_story_callback_kept_late_in_window(self):
        day = oracle.parse_time('2015-09-21T00:00Z')
        window = {'id': 'cb', 'kind': 'callback', 'due_from': day + 11 * HOUR, 'due_to': day + 18 * HOUR}
        at = [day - T0 + s for s in (10 * HOUR, 10 * HOUR + 5 * MINUTE, 17 * HOUR + 55 * MINUTE)]
        events = [inbound('1', at[0], case_id='L/17'), event('2', at[1], 'callback.booked', case_id='L/17', obligation=window),
                  event('3', at[2], 'callback.reached', case_id='L/17')]
        obligation = ledger(events)['2', 'callback']
        self.assertEqual(len(ledger(events)), 1)  # the record replaces the rule
        self.assertEqual(obligation.id, h('s', 'cb'))
        self.assertEqual(obligation.state(day + 17 * HOUR)['state'], 'open')
        state = obligation.state(day + 30 * HOUR)
        self.assertEqual((state['state'], state['slack'], state['broken']), ('kept_late_in_window', 5 * MINUTE, False))
        self.assertEqual(one(rows(events, 'obligation_hourly'))['kept_late_in_window'], 1)
        journey = one(rows(events, 'journey'))
        self.assertEqual((len(journey['channels']), journey['contacts']), (1, 2))

    def test_exactly_nine_tenths_of_the_window_is_kept(self):
        window = {'id': 'w', 'kind': 'callback', 'due_from': T0, 'due_to': T0 + 10 * HOUR}
        for at, state in ((9 * HOUR, 'kept'), (9 * HOUR + 1, 'kept_late_in_window'), (10 * HOUR, 'kept_late_in_window'),
                          (10 * HOUR + 1, 'late')):
            events = [event('1', 0, 'promise.made', obligation=window), event('2', at, 'callback.reached')]
            self.assertEqual(ledger(events)['1', 'callback'].state(T0 + DAY)['state'], state)

    def test_rule_opened_id_and_due(self):
        obligation = ledger([event('1', 0, 'callback.requested')])['1', 'callback']
        self.assertEqual(obligation.id, h('s', '1', str(T0), 'callback'))
        self.assertEqual((obligation.due_from, obligation.due_to, obligation.first_due_to),
                         (None, T0 + DAY, T0 + DAY))

    def test_counter_example_attempted_in_the_window_is_not_kept(self):
        events = [event('1', 0, 'callback.requested'), event('2', HOUR, 'callback.attempted', outcome='unreached')]
        obligation = ledger(events)['1', 'callback']
        self.assertEqual(obligation.state(T0 + MINUTE)['state'], 'open')
        state = obligation.state(T0 + DAY + 1)
        self.assertEqual((state['state'], state['overdue'], state['broken']), ('attempted_not_reached', True, True))
        state = obligation.state(T0 + DAY)
        self.assertEqual((state['state'], state['overdue']), ('attempted_not_reached', False))
        self.assertEqual(one(rows(events, 'obligation_hourly'))['attempted'], 1)

    def test_overdue_withdrawn_and_rejected(self):
        opened = event('1', 0, 'handoff.offered')
        self.assertEqual(ledger([opened])['1', 'handoff'].state(T0 + DAY + 1)['state'], 'overdue')
        self.assertIsNone(ledger([opened])['1', 'handoff'].state(T0 - 1))
        rejected = ledger([opened, event('2', HOUR, 'handoff.rejected')])['1', 'handoff']
        self.assertEqual(rejected.state(T0 + HOUR - 1)['state'], 'open')
        self.assertEqual((rejected.state(T0 + DAY + 1)['state'], rejected.state(T0 + DAY + 1)['broken']), ('rejected', False))
        withdrawn = ledger([event('1', 0, 'callback.booked'), event('2', 2 * DAY, 'callback.withdrawn')])['1', 'callback']
        self.assertEqual(withdrawn.state(T0 + DAY + 1)['state'], 'overdue')
        self.assertEqual((withdrawn.state(T0 + 3 * DAY)['state'], withdrawn.state(T0 + 3 * DAY)['overdue']),
                         ('withdrawn', False))

    def test_the_first_fulfilment_counts_and_after_closing_nothing(self):
        events = [event('1', 0, 'callback.requested'), event('2', HOUR, 'callback.reached'),
                  event('3', 2 * HOUR, 'callback.attempted'), event('4', 3 * HOUR, 'callback.reached'),
                  event('5', 4 * HOUR, 'promise.withdrawn', relates_to='s/1')]
        found = one(rows(events, 'obligation'))
        self.assertEqual((found['fulfilled_at'], found['fulfilled_by'], found['attempts'], found['withdrawn_at']),
                         (T0 + HOUR, h('s', '2'), 0, None))

    def test_consume_one_takes_the_oldest_and_all_takes_every_one(self):
        two = [event('1', 0, 'callback.requested'), event('2', MINUTE, 'callback.requested'),
               event('3', HOUR, 'callback.reached')]
        found = ledger(two, SMALL)
        self.assertEqual([found[i, 'callback'].closed for i in '12'], [True, False])
        all_of = [event('1', 0, 'feedback.submitted'), event('2', 17 * DAY, 'feedback.submitted'),
                  event('3', 18 * DAY, 'feedback.acknowledged')]
        found = ledger(all_of)
        self.assertEqual([found[i, 'feedback'].closed for i in '12'], [True, True])
        self.assertEqual(found['1', 'feedback'].state(T0 + 20 * DAY)['state'], 'late')

    def test_scope_is_the_customer_not_the_journey(self):
        events = [event('1', 0, 'feedback.submitted'), event('2', 17 * DAY + 12 * HOUR, 'feedback.acknowledged')]
        self.assertEqual(len(journeys(events)), 2)
        self.assertTrue(ledger(events)['1', 'feedback'].closed)

    def test_without_relates_to_it_acts_on_its_case_first(self):
        events = [event('1', 0, 'callback.requested'), event('2', 1, 'callback.requested', case_id='k/A'),
                  event('3', HOUR, 'callback.reached', case_id='k/A')]
        found = ledger(events)
        self.assertEqual([found[i, 'callback'].closed for i in '12'], [False, True])
        # the second one finds none of its case open: the first without a case
        found = ledger(events + [event('4', 2 * HOUR, 'callback.reached', case_id='k/A')])
        self.assertTrue(found['1', 'callback'].closed)

    def test_first_open_never_reaches_another_case_or_brand_or_customer(self):
        opened = event('1', 0, 'callback.requested', case_id='k/A')
        for other in (dict(case_id='k/B'), dict(brand='bergvik'), dict(who='c2')):
            self.assertFalse(ledger([opened, event('2', HOUR, 'callback.reached', **other)])['1', 'callback'].closed, other)
        self.assertTrue(ledger([opened, event('2', HOUR, 'callback.reached')])['1', 'callback'].closed)
        # the accountable brand counts, not the opener's
        given = dict(opened, handoff={'to_brand': 'bergvik'})
        self.assertTrue(ledger([given, event('2', HOUR, 'callback.reached', brand='bergvik')])['1', 'callback'].closed)

    def test_across_customers_by_case_only_where_the_rule_says_so(self):
        offer = event('1', 0, 'handoff.offered', case_id='k/A')
        accept = event('2', HOUR, 'handoff.accepted', who='c2', brand='bergvik', case_id='k/A')
        self.assertTrue(ledger([offer, accept])['1', 'handoff'].closed)
        asked = event('1', 0, 'callback.requested', case_id='k/A')
        reached = event('2', HOUR, 'callback.reached', who='c2', case_id='k/A')
        self.assertFalse(ledger([asked, reached])['1', 'callback'].closed)

    def test_relates_to_by_all_names_across_customers_and_brands(self):
        record = {'id': 'p/1', 'kind': 'callback', 'due_to': T0 + DAY}
        opened = event('o/1', 0, 'promise.made', obligation=record)
        ledger_id = oracle.format_uuid(h('s', 'p/1'))
        for name in ('s/o/1', 's/p/1', ledger_id, ledger_id.upper(), ledger_id.replace('-', '')):
            for who in ('c2', None):
                events = [opened, event('2', HOUR, 'callback.reached', who=who, brand='b', relates_to=name)]
                self.assertTrue(ledger(events)['o/1', 'callback'].closed, (name, who))
        # it acts on that obligation alone, else on nothing
        other = event('3', 1, 'callback.requested')
        found = ledger([opened, other, event('2', HOUR, 'callback.reached', relates_to='s/3')])
        self.assertEqual((found['o/1', 'callback'].closed, found['3', 'callback'].closed), (False, True))
        found = ledger([opened, other, event('2', HOUR, 'callback.reached', relates_to='s/nothing')])
        self.assertFalse(any(o.closed for o in found.values()))

    def test_an_act_by_relates_to_may_come_before_the_opening(self):
        events = [event('1', 0, 'callback.reached', relates_to='s/2'), event('2', HOUR, 'callback.requested'),
                  event('3', 2 * HOUR, 'callback.attempted')]
        found = one(rows(events, 'obligation'))
        self.assertEqual((found['fulfilled_at'], found['opened_at'], found['attempts']), (T0, T0 + HOUR, 0))
        self.assertEqual(one(rows(events, 'bi_obligation', as_of=T0 + HOUR))['state'], 'kept')

    def test_skew_without_relates_to_is_inclusive(self):
        for early, closed in ((5 * SECOND, True), (5 * SECOND + 1, False)):
            events = [event('1', 0, 'ticket.issued'), event('2', early, 'payment.captured', reason='ticket')]
            self.assertEqual(ledger(events)['2', 'ticket'].closed, closed)

    def test_an_event_first_acts_then_opens_and_never_acts_on_its_own(self):
        events = [event(str(i), i * 6 * SECOND, 'relay.passed') for i in range(3)]
        found = ledger(events, SMALL)
        self.assertEqual([found[str(i), 'relay'].fulfilled_at for i in range(3)],
                         [T0 + 6 * SECOND, T0 + 12 * SECOND, None])
        own = ledger([event('1', 0, 'relay.passed', relates_to='s/1')], SMALL)
        self.assertFalse(own['1', 'relay'].closed)

    def test_attempt_and_at_most_one_closing_fulfils_before_rejects(self):
        for outcome, closing in (('ok', 'fulfilled_at'), ('failed', 'rejected_at')):
            events = [event('1', 0, 'visit.booked', direction='INBOUND'),
                      event('2', MINUTE, 'visit.done', direction='OUTBOUND', outcome=outcome)]
            found = one(rows(events, 'obligation', SMALL))
            self.assertEqual((found['attempts'], found[closing]), (1, T0 + MINUTE))
            self.assertEqual(sum(found[c] is not None for c in ('fulfilled_at', 'rejected_at', 'withdrawn_at')), 1)

    def test_promise_types_work_for_every_kind_with_relates_to_only(self):
        opened = event('1', 0, 'promise.made', obligation={'id': 'p', 'kind': 'own_kind'})
        for kind, column in (('promise.kept', 'fulfilled_at'), ('promise.rejected', 'rejected_at'),
                             ('promise.withdrawn', 'withdrawn_at'), ('promise.attempted', 'last_attempt_at')):
            found = one(rows([opened, event('2', HOUR, kind, relates_to='s/p')], 'obligation'))
            self.assertEqual(found[column], T0 + HOUR)
            found = one(rows([opened, event('2', HOUR, kind)], 'obligation'))
            self.assertIsNone(found[column])

    def test_explicit_without_a_deadline_stays_without_one(self):
        obligation = ledger([event('1', 0, 'promise.made', obligation={'id': 'p', 'kind': 'callback'})])['1', 'callback']
        state = obligation.state(T0 + 1000 * DAY)
        self.assertEqual((state['state'], state['no_deadline'], state['overdue'], state['no_owner']),
                         ('open', True, False, True))

    def test_moved_promises(self):
        def promise(event_id, at, due_to=None, due_from=None, **fields):
            record = {'id': 'p', 'kind': 'own_kind', 'due_to': due_to, 'due_from': due_from}
            return event(event_id, at, 'promise.made', obligation=record, **fields)
        start = promise('1', 0, T0 + DAY)
        moved = promise('2', HOUR, T0 + 3 * DAY, T0 + 2 * DAY, who='c2')
        found = one(rows([moved, start], 'obligation'))
        self.assertEqual([found[c] for c in ('opened_at', 'first_due_to', 'due_from', 'due_to', 'changed_at')],
                         [T0, T0 + DAY, T0 + 2 * DAY, T0 + 3 * DAY, T0 + HOUR])
        obligation = ledger([start, promise('2', 2 * DAY, T0 + 3 * DAY)])['1', 'own_kind']
        self.assertEqual([obligation.state(T0 + t)['state'] for t in (DAY, DAY + 1, 2 * DAY, 3 * DAY + 1)],
                         ['open', 'overdue', 'open', 'overdue'])
        same = [start, promise('2', HOUR, T0 + DAY), promise('3', 2 * HOUR)]
        self.assertIsNone(one(rows(same, 'obligation'))['changed_at'])
        closed = [start, event('2', HOUR, 'promise.kept', relates_to='s/p'), promise('3', 2 * HOUR, T0 + 9 * DAY)]
        self.assertEqual(one(rows(closed, 'obligation'))['due_to'], T0 + DAY)

    def test_accountable_is_the_first_that_names_anything(self):
        handoff = {'to_unit': 'yard'}
        record = {'id': 'p', 'kind': 'k', 'role': 'owner'}
        for fields, expected in (
                (dict(), ('ahola', 'care', None)), (dict(handoff=handoff), ('ahola', 'yard', None)),
                (dict(handoff=dict(handoff, to_brand='crane')), ('crane', 'yard', None)),
                (dict(handoff=handoff, obligation=record), ('ahola', None, 'owner')),
                (dict(handoff=handoff, obligation={'id': 'p', 'kind': 'k'}), ('ahola', 'yard', None))):
            obligation = one(derive([event('1', 0, 'promise.made' if 'obligation' in fields else 'handoff.offered',
                                           unit='care', **fields)]).obligations)
            self.assertEqual((obligation.brand, obligation.unit, obligation.role), expected)

    def test_validity_tests_the_opening_and_stays_in_force(self):
        limit = oracle.parse_time('2024-03-11T00:00:00Z') - T0
        order = dict(channel='web')
        found = ledger([event('1', limit, 'order.placed', **order), event('2', limit + 1, 'order.placed', **order),
                        event('3', limit + 1, 'order.placed', channel='store')], SMALL)
        self.assertEqual([None if found[i, 'delivery'].due_to is None else found[i, 'delivery'].due_to - T0 - limit
                          for i in '123'], [60 * SECOND, 30 * SECOND + 1, None])
        later = ledger([event('1', limit, 'order.placed', **order), event('2', limit + MINUTE, 'order.cancelled')], SMALL)
        self.assertIsNotNone(later['1', 'delivery'].withdrawn_at)
        later = ledger([event('1', limit + 1, 'order.placed', **order), event('2', limit + MINUTE, 'order.cancelled')], SMALL)
        self.assertIsNotNone(later['1', 'delivery'].rejected_at)

    def test_nobody_opens_nothing_and_acts_by_name_only(self):
        opened = event('1', 0, 'callback.requested')
        self.assertEqual(ledger([event('1', 0, 'callback.requested', who=None)]), {})
        self.assertFalse(ledger([opened, event('2', 1, 'callback.reached', who=None)])['1', 'callback'].closed)
        self.assertTrue(ledger([opened, event('2', 1, 'callback.reached', who=None, relates_to='s/1')])['1', 'callback'].closed)

    def test_story_payment_without_a_ticket_and_promise_without_a_deadline(self):
        paid = ledger([event('1', 0, 'payment.captured', reason='ticket')])['1', 'ticket']
        self.assertEqual((paid.state(T0 + MINUTE)['state'], paid.state(T0 + MINUTE + 1)['state']), ('open', 'overdue'))


class Aggregates(unittest.TestCase):
    def test_interactions_by_hour_count_nobody_and_passive_ones(self):
        events = [inbound('1', 0), inbound('2', HOUR - 1, who=None), inbound('3', HOUR), event('4', 0, 'newsletter.sent')]
        found = {(r['hour'], r['type']): (r['interactions'], r['contacts']) for r in rows(events, 'interaction_hourly')}
        self.assertEqual(found, {(T0, 'contact.inbound'): (2, 2), (T0 + HOUR, 'contact.inbound'): (1, 1),
                                 (T0, 'newsletter.sent'): (1, 0)})

    def test_obligations_by_due_hour(self):
        events = [event('1', 0, 'promise.made', obligation={'id': 'p', 'kind': 'k'}),
                  event('2', HOUR, 'promise.made', obligation={'id': 'q', 'kind': 'k', 'due_to': T0 + 5 * HOUR + 1}),
                  event('3', 2 * HOUR, 'promise.kept', relates_to='s/q')]
        found = {r['due_hour']: (r['opened'], r['kept']) for r in rows(events, 'obligation_hourly')}
        self.assertEqual(found, {None: (1, 0), T0 + 5 * HOUR: (1, 1)})

    def test_sensitive_events_are_counted_without_their_content(self):
        events = [inbound('1', 0, sensitivity='SENSITIVE', reason='r', topic='t', cause='c', product='p', outcome='ok',
                          attributes={'a': 'b'})]
        found = one(rows(events, 'bi_interaction'))
        self.assertEqual([found[c] for c in ('reason', 'topic', 'cause', 'product', 'attributes', 'sensitive')],
                         [None] * 5 + [True])
        self.assertEqual(one(rows(events, 'interaction_hourly'))['contacts'], 1)


class Views(unittest.TestCase):
    def test_position_slack_and_open_for(self):
        window = {'id': 'w', 'kind': 'k', 'due_from': T0, 'due_to': T0 + 3 * HOUR}
        events = [event('1', HOUR, 'promise.made', obligation=window),
                  event('2', 2 * HOUR, 'promise.kept', relates_to='s/w')]
        found = one(rows(events, 'bi_obligation', as_of=T0 + DAY))
        self.assertEqual([found[c] for c in ('position', 'slack', 'open_for', 'closed')],
                         [666667, HOUR, HOUR, True])
        found = one(rows(events, 'bi_obligation', as_of=T0 + 90 * MINUTE))
        self.assertEqual([found[c] for c in ('position', 'slack', 'open_for', 'closed', 'fulfilled_by')],
                         [None, None, 30 * MINUTE, False, None])

    def test_obligations_of_a_journey_are_counted_as_of_a_moment(self):
        events = [event('1', 0, 'callback.requested'), event('2', 5 * SECOND, 'callback.requested'),
                  event('3', 10 * SECOND, 'callback.reached')]
        for at, expected in ((0, (1, 1, 0)), (5, (2, 2, 0)), (20, (2, 1, 0)), (26, (2, 1, 1))):
            found = one(rows(events, 'bi_journey', SMALL, T0 + at * SECOND))
            self.assertEqual(tuple(found['obligations_' + c] for c in ('opened', 'open', 'broken')), expected)
        found = one(rows(events, 'bi_journey_obligation', SMALL, T0 + 20 * SECOND))
        self.assertEqual((found['kind'], found['opened'], found['kept'], found['open']), ('callback', 2, 1, 1))


GENERATOR_KEY = oracle.read_key(generate.KEY)   # what the generator's decisions are about


class Generated(unittest.TestCase):
    def derived(self, events, decisions=()):
        return oracle.Deriver(SMALL, GENERATOR_KEY, SCHEMA, oracle.Decisions(decisions)).derive(events)

    def cases(self, seeds):
        """-> (seed, Derived, Decisions): with decisions, with few people in every second one."""
        for seed in range(seeds):
            generator = generate.Generator(seed, people=3 if seed % 2 else 6, events=100)
            events = generator.generate()
            decisions = generator.decisions()
            yield seed, self.derived(events, decisions), oracle.Decisions(decisions)

    def test_borrowing_by_the_letter_of_the_definition(self):
        """The same without indexes: every sighting of every name is looked at."""
        for seed, derived, _ in self.cases(20):
            identity = derived.identity
            sightings = []
            for e in derived.events:
                own = [p.hash for p in e.persons if p.hash not in identity.shared]
                if own:
                    names = {d.hash for d in e.devices} | {p.hash for p in e.persons if p.hash in identity.shared} | {e.case}
                    sightings.append((e, own[0], names - {None}))
            for e in derived.events:
                if any(p.hash not in identity.shared for p in e.persons):
                    continue
                reach = [(d.hash, d.rule.lookback, d.rule.lookahead) for d in e.devices] + \
                    [(p.hash, p.rule.shared_lookback, p.rule.shared_lookback) for p in e.persons] + \
                    [(e.case, SMALL.case_gap, SMALL.case_gap)]
                before = [(s.order, own) for s, own, names in sightings for name, back, _ in reach
                          if name in names and 0 <= e.time - s.time <= back]
                after = [(s.order, own) for s, own, names in sightings for name, _, ahead in reach
                         if name in names and 0 < s.time - e.time <= ahead]
                if before or after:
                    own = max(before)[1] if before else min(after)[1]
                    self.assertEqual(e.customer, identity.customer_of[own], 'seed %d' % seed)
                else:
                    self.assertEqual(e.customer, next((name for name, _, _ in reach if name), None), 'seed %d' % seed)

    def test_customers_keep_what_they_promise(self):
        for seed, derived, decisions in self.cases(40):
            identity = derived.identity
            people = {}
            for person, customer in identity.customer_of.items():
                people.setdefault(customer, []).append(identity.persons[person])
            for found in people.values():
                unique = [p.namespace for p in found if p.rule.unique]
                self.assertEqual(len(unique), len(set(unique)), 'seed %d' % seed)
                self.assertEqual(min(p.rule.priority for p in found),
                                 identity.persons[identity.customer_of[found[0].hash]].rule.priority, 'seed %d' % seed)
            for a, b in decisions.apart:
                self.assertNotEqual(identity.customer_of.get(a, a), identity.customer_of.get(b, b), 'seed %d' % seed)
            for link in identity.links:     # refused exactly if its ends are in different customers
                ends = {identity.customer_of[link.a.hash], identity.customer_of[link.b.hash]}
                self.assertEqual(link.refused is not None, len(ends) == 2, 'seed %d' % seed)
                self.assertFalse({link.a.hash, link.b.hash} & (decisions.unlinked | decisions.blocked | identity.shared))
            for e in derived.events:
                self.assertEqual(e.customer is None, not (e.persons or e.devices or e.case), 'seed %d' % seed)
                if e.customer is not None and not e.traits.passive:
                    self.assertIsNotNone(e.journey)
                    self.assertEqual(e.journey.customer, e.customer)

    def test_the_generator_reaches_the_corners_of_identity(self):
        met = dict.fromkeys((
            'made', 'unique', 'apart', 'oversize', 'contradictory', 'shared by people', 'shared by links alone',
            'anonymous device', 'anonymous case', 'anonymous shared', 'nobody', 'before', 'after', 'at one time',
            'exactly lookback', 'a microsecond past lookback', 'exactly lookahead', 'a microsecond past lookahead', 'kiosk',
            'merged', 'id by time', 'blocked by a decision'), 0)
        for seed, derived, decisions in self.cases(80):
            identity = derived.identity
            for link in identity.links:
                met[link.refused or 'made'] += 1
            for person in identity.shared:
                unique = {p.hash for e in derived.events for p in e.persons if p.rule.unique and
                          person in {q.hash for q in e.persons}}
                met['shared by people' if unique else 'shared by links alone'] += 1
            sightings = [(e, {d.hash for d in e.devices}) for e in derived.events
                         if any(p.hash not in identity.shared for p in e.persons)]
            for person, customer in identity.customer_of.items():
                met['merged'] += person != customer
                met['id by time'] += person < customer and \
                    identity.persons[person].rule.priority == identity.persons[customer].rule.priority
            for e in derived.events:
                met['contradictory'] += identity._contradicts(e)
                met['blocked by a decision'] += bool(decisions.blocked & set(e.identifiers))
                if any(p.hash not in identity.shared for p in e.persons):
                    continue
                kind = e.known_by[0]
                if kind != 'person':
                    met['anonymous ' + kind if kind else 'nobody'] += 1
                for s, names in sightings:
                    for d in e.devices:
                        if d.hash in names:
                            past = e.time - s.time
                            met['before'] += kind == 'person' and past > 0
                            met['after'] += kind == 'person' and past < 0
                            met['at one time'] += past == 0
                            met['exactly lookback'] += past == d.rule.lookback
                            met['a microsecond past lookback'] += past == d.rule.lookback + 1
                            met['exactly lookahead'] += -past == d.rule.lookahead != 0
                            met['a microsecond past lookahead'] += -past == d.rule.lookahead + 1
                            met['kiosk'] += d.namespace == 'kiosk' and kind == 'person'
        self.assertEqual([name for name, count in met.items() if not count], [], met)

    def lines(self, events, decisions=()):
        derived = self.derived(events, decisions)
        return {name: oracle.table_lines(derived, name, T0) for name in oracle.TABLES}

    def test_the_order_of_input_does_not_matter_and_redelivery_changes_nothing(self):
        for seed in range(6):
            generator = generate.Generator(seed, events=120)
            events, decisions = generator.generate(), generator.decisions()
            expected = self.lines(events, decisions)
            for shuffle in range(3):
                random.Random(shuffle).shuffle(events)
                random.Random(shuffle).shuffle(decisions)
                self.assertEqual(self.lines(events, decisions), expected, 'seed %d' % seed)
            self.assertEqual(self.lines(events + events[:40], decisions), expected, 'seed %d' % seed)

    def test_the_first_forgetting_of_a_record_decides(self):
        events = [event('e1', 0, 'contact.inbound', 'a'), event('e2', 60, 'contact.inbound', 'b')]
        a, b = (oracle.Deriver(DEFAULT, KEY).derive([e]).events[0] for e in events)

        def left(*nodes):
            found = oracle.Deriver(DEFAULT, KEY, forgettings=oracle.Forgettings(nodes)).derive(events)
            return [(e.field['event_id'], e.customer is not None, len(e.identifiers)) for e in found.events], found.forgotten
        name, until = oracle.format_uuid(a.persons[0].hash), a.time
        delete = {'until': until, 'mode': 'delete', 'names': [name], 'events': []}
        anonymise = dict(delete, mode='anonymise')
        self.assertEqual(left(delete), ([('e2', True, 1)], 1))
        self.assertEqual(left(anonymise, delete), ([('e1', False, 0), ('e2', True, 1)], 0))
        self.assertEqual(left(delete, anonymise), ([('e2', True, 1)], 1))
        self.assertEqual(left(dict(delete, until=until - 1)), ([('e1', True, 1), ('e2', True, 1)], 0))
        single = {'name': oracle.format_uuid(b.persons[0].hash), 'event': oracle.format_uuid(b.hash), 'at': b.time}
        self.assertEqual(left(dict(delete, names=[], events=[single])), ([('e1', True, 1)], 1))
        self.assertEqual(left(dict(delete, names=[], events=[dict(single, name=name)])), ([('e1', True, 1), ('e2', True, 1)], 0))

    def test_aggregates_add_up(self):
        for seed in range(10):
            derived = self.derived(generate.Generator(seed).generate())
            self.assertEqual(sum(r['interactions'] for r in oracle.aggregate_rows(derived, 'interaction_hourly')), len(derived.events))
            self.assertEqual(sum(r['opened'] for r in oracle.aggregate_rows(derived, 'obligation_hourly')), len(derived.obligations))
            self.assertEqual(sum(j.events for j in derived.journeys), sum(e.journey is not None for e in derived.events))

    def test_the_generator_reaches_the_corners(self):
        met = dict.fromkeys(('crowd', 'cut', 'passive alone', 'nobody', 'conflict', 'changed', 'early', 'other customer',
                             'named by id', 'without rule', 'no deadline', 'within skew'), 0)
        states = {'withdrawn', 'rejected', 'late', 'kept_late_in_window', 'kept', 'attempted_not_reached',
                  'replied_not_answered', 'overdue', 'open'}
        for seed in range(80):
            derived = self.derived(generate.Generator(seed).generate())
            self.assertEqual(derived.invalid, [], 'seed %d' % seed)
            met['conflict'] += derived.conflicts
            customer = {e.hash: e.customer for e in derived.events}
            for e in derived.events:
                met['nobody'] += e.customer is None
                met['passive alone'] += e.customer is not None and e.journey is None
                relates = e.field['relates_to']
                met['named by id'] += relates is not None and '/' not in relates
            for j in derived.journeys:
                met['crowd'] += j.crowd
                met['cut'] += j.continues is not None
            for o in derived.obligations:
                met['changed'] += o.changed_at is not None
                met['without rule'] += o.rule is None
                met['no deadline'] += o.due_to is None
                if o.fulfilled_at is not None:
                    met['early'] += o.fulfilled_at < o.opener.time
                    met['within skew'] += 0 < o.opener.time - o.fulfilled_at <= SMALL.skew
                    met['other customer'] += customer[o.fulfilled_by] not in (None, o.opener.customer)
                states.discard((o.state(generate.BASE + 3600 * SECOND) or {}).get('state'))
        self.assertEqual(states, set())
        self.assertEqual([name for name, count in met.items() if not count], [], met)

    def test_the_command_line(self):
        def generated(seed):
            generator = generate.Generator(seed)
            return generator.generate(), generator.decisions()
        seed, (events, decisions) = next((n, found) for n in range(5, 50) for found in [generated(n)] if found[1])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'events.jsonl')
            decided_path = os.path.join(folder, 'decisions.jsonl')
            script = [sys.executable, '-B', os.path.join(HERE, 'generate.py'), '--seed', str(seed), '--out', path,
                      '--decisions-out', decided_path]
            self.assertIn(b'seed %d' % seed, subprocess.run(script, check=True, stderr=subprocess.PIPE).stderr)
            script = [sys.executable, '-B', os.path.join(HERE, 'polku_oracle.py'), 'derive', '--rules', generate.RULES,
                      '--key-file', generate.KEY, '--decisions', decided_path, '--table', 'identifier', path]
            printed = subprocess.run(script, check=True, capture_output=True).stdout.decode()
        expected = oracle.table_lines(self.derived(events, decisions), 'identifier')
        self.assertEqual(printed, '\n'.join(['\t'.join(oracle.IDENTIFIER)] + expected) + '\n')


if __name__ == '__main__':
    unittest.main()
