#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle against examples worked out by hand from docs/semantics.md."""

import glob
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

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
        found = ledger(two)
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
        events = [event('1', 0, 'callback.requested'), event('2', HOUR, 'callback.requested'),
                  event('3', 2 * HOUR, 'callback.reached')]
        for at, expected in ((0, (1, 1, 0)), (HOUR, (2, 2, 0)), (DAY, (2, 1, 0)), (DAY + HOUR + 1, (2, 1, 1))):
            found = one(rows(events, 'bi_journey', as_of=T0 + at))
            self.assertEqual(tuple(found['obligations_' + c] for c in ('opened', 'open', 'broken')), expected)
        found = one(rows(events, 'bi_journey_obligation', as_of=T0 + DAY))
        self.assertEqual((found['kind'], found['opened'], found['kept'], found['open']), ('callback', 2, 1, 1))


class Generated(unittest.TestCase):
    def derived(self, events):
        return oracle.Deriver(SMALL, KEY, SCHEMA).derive(events)

    def lines(self, events):
        derived = self.derived(events)
        return {name: oracle.table_lines(derived, name, T0) for name in oracle.TABLES}

    def test_the_order_of_input_does_not_matter_and_redelivery_changes_nothing(self):
        for seed in range(6):
            events = generate.Generator(seed, events=120).generate()
            expected = self.lines(events)
            for shuffle in range(3):
                random.Random(shuffle).shuffle(events)
                self.assertEqual(self.lines(events), expected, 'seed %d' % seed)
            self.assertEqual(self.lines(events + events[:40]), expected, 'seed %d' % seed)

    def test_aggregates_add_up(self):
        for seed in range(10):
            derived = self.derived(generate.Generator(seed).generate())
            self.assertEqual(sum(r['interactions'] for r in oracle.interaction_hourly_rows(derived)), len(derived.events))
            self.assertEqual(sum(r['opened'] for r in oracle.obligation_hourly_rows(derived)), len(derived.obligations))
            self.assertEqual(sum(j.events for j in derived.journeys), sum(e.journey is not None for e in derived.events))

    def test_the_generator_reaches_the_corners(self):
        met = dict.fromkeys(('crowd', 'cut', 'passive alone', 'nobody', 'conflict', 'changed', 'early', 'other customer',
                             'named by id', 'without rule', 'no deadline', 'within skew'), 0)
        states = {'withdrawn', 'rejected', 'late', 'kept_late_in_window', 'kept', 'attempted_not_reached',
                  'replied_not_answered', 'overdue', 'open'}
        for seed in range(40):
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
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'events.jsonl')
            script = [sys.executable, '-B', os.path.join(HERE, 'generate.py'), '--seed', '5', '--out', path]
            self.assertIn(b'seed 5', subprocess.run(script, check=True, stderr=subprocess.PIPE).stderr)
            script = [sys.executable, '-B', os.path.join(HERE, 'polku_oracle.py'), 'derive', '--rules', generate.RULES,
                      '--key-file', generate.KEY, '--table', 'journey', path]
            printed = subprocess.run(script, check=True, capture_output=True).stdout.decode()
        expected = oracle.table_lines(self.derived(generate.Generator(5).generate()), 'journey')
        self.assertEqual(printed, '\n'.join(['\t'.join(oracle.JOURNEY)] + expected) + '\n')


if __name__ == '__main__':
    unittest.main()
