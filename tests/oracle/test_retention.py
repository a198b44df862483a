#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Retention in the oracle, against examples worked out by hand from docs/semantics.md 3.8, and sealed at random."""

import json
import os
import random
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import generate                # noqa: E402
import months                  # noqa: E402
import polku_oracle as oracle  # noqa: E402
import sealing                 # noqa: E402
from retention import Retention, Retentions  # noqa: E402

KEY = bytes(range(32))
DAY = oracle.DAY
R = oracle.parse_time('2024-02-01T00:00Z')
NEXT = oracle.parse_time('2024-03-01T00:00Z')
SCHEMA = oracle.Schema()
DEFAULT = oracle.Rules.load(os.path.join(HERE, '..', '..', 'deploy', 'polku.yaml'))
SMALL = oracle.Rules.load(generate.RULES)


def event(event_id, day, kind, *who, **fields):
    """An event so many days after R; who: values of crm/customer_id, or namespace:value."""
    found = {'event_id': event_id, 'source': 's', 'occurred_at': R + int(day * DAY), 'type': kind, 'channel': 'phone', 'brand': 'ahola',
             'direction': 'INBOUND', 'actor': 'CUSTOMER',
             'identifiers': [dict(zip(('namespace', 'value'), ('crm/customer_id:' + w if ':' not in w else w).split(':'))) for w in who]}
    return dict(found, **fields)


def forgetting(*names, mode='delete'):
    return {'until': NEXT + 1000 * DAY, 'mode': mode, 'names': [oracle.format_uuid(n) for n in names], 'events': []}


def h(namespace, value):
    return oracle.Hasher(KEY).parts(namespace, value.encode())


class World:
    """Events, decisions, forgettings and retentions, one after the other."""

    def __init__(self, rules=DEFAULT):
        self.rules, self.naturals, self.forgettings, self.retentions, self.decisions = rules, [], [], [], []

    def deriver(self):
        return oracle.Deriver(self.rules, KEY, SCHEMA, oracle.Decisions(self.decisions), oracle.Forgettings(self.forgettings),
                              Retentions(self.retentions))

    def come(self, *events):
        self.naturals += events
        return self

    def derive(self):
        return self.deriver().derive(self.naturals)

    def offences(self, before=R, left=()):
        """left: ids of events that stay."""
        return self.sealed(before, left)[1]

    def sealed(self, before, left):
        stay = {(h('s', name), e['occurred_at']) for name in left for e in self.naturals if e['event_id'] == name}
        return sealing.seal(self.deriver(), self.naturals, before, stay)

    def retain(self, before=R, left=()):
        retention, wrong, _ = self.sealed(before, left)
        assert not wrong, wrong
        self.retentions.append(Retention(json.loads(json.dumps(retention.node()))))
        return self

    def rows(self, table, as_of=None):
        return list(oracle.table_rows(self.derive(), table, as_of))

    def lines(self, names=None, as_of=R + 30 * DAY):
        derived = self.derive()
        return {name: oracle.table_lines(derived, name, as_of) for name in names or oracle.TABLES if name not in ('interaction', 'bi_interaction')}

    def one(self, table, **wanted):
        found = [row for row in self.rows(table) if all(row[name] == value for name, value in wanted.items())]
        assert len(found) == 1, found
        return found[0]


class ByHand(unittest.TestCase):
    def test_what_is_told_stays(self):
        world = World().come(event('a', -20, 'contact.inbound', 'x', 'email:x@example.com'), event('b', -19, 'purchase.completed', 'x'),
                             event('c', 40, 'purchase.completed', 'email:x@example.com'), event('n', -5, 'page.viewed'))
        before = world.lines()
        self.assertEqual(world.retain().lines(), before)
        derived = world.derive()
        self.assertEqual([e.field['event_id'] for e in derived.events], ['c'])
        self.assertEqual([e.field['event_id'] for e in derived.sealed], ['a', 'b', 'n'])
        self.assertEqual(world.one('customer')['purchases'], 2)
        self.assertEqual(world.one('sealed_customer')['events'], 2)

    def test_what_is_older_is_no_event_whatever_it_says(self):
        world = World().come(event('a', -20, 'contact.inbound', 'x'), event('k', -1, 'contact.inbound', 'x')).retain(left=['k'])
        before = world.lines()
        world.come(event('late', -3, 'contact.inbound', 'x', 'y'), event('a', -20, 'contact.inbound', 'z'), event('k', -1, 'page.viewed', 'z'),
                   event('k', -1, 'contact.inbound', 'x'))
        self.assertEqual(world.lines(), before)
        self.assertEqual((world.derive().expired, world.derive().conflicts), (3, 0))

    def test_a_promise_that_newer_events_answer_is_not_sealed(self):
        """The counter-example of the page."""
        world = World().come(event('ask', -10, 'callback.requested', 'x', case_id='L-1'),
                             event('call', 2, 'callback.reached', 'x', case_id='L-1', actor='HUMAN'))
        self.assertTrue(any('sealed events and others' in line for line in world.offences()))
        self.assertEqual(world.offences(left=['ask']), [])
        world.retain(left=['ask'])
        self.assertEqual(world.offences(NEXT), [])

    def test_an_answer_that_would_be_to_another_question_keeps_the_older_one(self):
        world = World().come(event('ask', -200, 'question.asked', 'x'), event('answer', 2, 'answer.given', 'x', outcome='resolved'))
        self.assertEqual(len(world.offences()), 1)
        world.come(event('again', 1, 'question.asked', 'x'))
        self.assertGreater(sum(line.startswith('obligation') for line in world.offences()), 1)

    def test_what_is_still_owed_is_not_sealed(self):
        def owed(due):
            return World().come(event('ask', -20, 'callback.requested', 'x', obligation={'id': 'p', 'kind': 'callback', 'due_to': due})).offences()
        self.assertEqual([len(owed(due)) for due in (R - 1, R, None)], [0, 1, 0])

    def test_a_journey_over_the_boundary_is_not_cut(self):
        world = World().come(event('a', -0.1, 'contact.inbound', 'x'), event('b', 0.1, 'contact.inbound', 'x'))
        self.assertTrue(any('sealed events and others' in line for line in world.offences()))

    def test_what_is_sealed_is_a_prefix(self):
        world = World().come(event('a', -300, 'contact.inbound', 'x'), event('b', -150, 'contact.inbound', 'x'))
        self.assertTrue(any('newer event is sealed' in line for line in world.offences(left=['a'])))
        self.assertEqual(world.offences(left=['b']), [])

    def test_a_visit_that_borrows_from_a_sealed_login_would_move(self):
        world = World().come(event('in', -2, 'login.succeeded', 'x', 'device_id:d'), event('visit', 3, 'page.viewed', 'device_id:d'))
        self.assertTrue(world.offences())

    def test_sealed_events_lend_nothing_and_repeat_nothing(self):
        world = World().come(event('in', -2, 'contact.inbound', 'x', 'device_id:d', topic='bill')).retain()
        world.come(event('visit', 3, 'page.viewed', 'device_id:d'), event('again', 20, 'contact.inbound', 'x', topic='bill'))
        self.assertEqual({row['customer'] for row in world.rows('interaction')}, {h('device_id', 'd'), h('crm/customer_id', 'x')})
        self.assertEqual(sum(row['repeated_30d'] for row in world.rows('repeat_daily')), 0)
        self.assertEqual(sum(row['contacts'] for row in world.rows('repeat_daily')), 2)

    def test_sealed_events_join_customers_and_keep_them_apart(self):
        world = World().come(event('a', -20, 'contact.inbound', 'x', 'email:m@example.com')).retain()
        world.come(event('b', 5, 'contact.inbound', 'email:m@example.com'))
        self.assertEqual(world.one('interaction')['customer'], h('crm/customer_id', 'x'))
        # Now it is shared, and b borrows: not from the sealed sighting of x.
        world.come(event('c', 6, 'contact.inbound', 'y', 'email:m@example.com'))
        self.assertTrue(world.one('identifier', identifier=h('email', 'm@example.com'))['shared'])
        self.assertEqual({row['customer'] for row in world.rows('interaction')}, {h('crm/customer_id', 'y')})

    def test_sealed_rows_keep_the_customer_that_they_had(self):
        world = World().come(event('a', -20, 'purchase.completed', 'email:m@example.com'), event('o', -20, 'callback.requested', 'email:m@example.com')).retain()
        world.come(event('b', 5, 'purchase.completed', 'x', 'email:m@example.com'))
        mail, number = h('email', 'm@example.com'), h('crm/customer_id', 'x')
        self.assertEqual(world.one('identifier', identifier=mail)['customer'], number)
        self.assertEqual({row['customer'] for row in world.rows('journey')}, {mail, number})
        self.assertEqual(world.one('obligation')['customer'], mail)
        self.assertEqual([world.one('customer', customer=c)['purchases'] for c in (mail, number)], [1, 1])

    def test_nothing_continues_names_or_acts_on_sealed_rows(self):
        world = World().come(event('ask', -20, 'callback.requested', 'x', case_id='L-1', obligation={'id': 'p', 'kind': 'callback', 'due_to': R - DAY})).retain()
        before = world.one('obligation')
        world.come(event('call', 1, 'callback.reached', 'x', case_id='L-1'), event('kept', 2, 'promise.kept', 'x', relates_to='s/p'),
                   event('later', 3, 'contact.inbound', 'x', obligation={'id': 'p', 'kind': 'callback', 'due_to': R + 9 * DAY}))
        self.assertEqual(world.one('obligation'), before)
        self.assertEqual(sum(row['opened'] for row in world.rows('obligation_hourly')), 1)
        self.assertEqual(sorted(row['events'] for row in world.rows('journey')), [1, 3])

    def test_sealed_events_count_for_a_crowd(self):
        world = World(SMALL).come(*(event('a%d' % n, -20 + n / 100, 'contact.inbound', 'x') for n in range(30))).retain()
        world.come(*(event('b%d' % n, 20 + n / 1000, 'contact.inbound', 'x') for n in range(10)))
        self.assertFalse(any(row['crowd'] for row in world.rows('journey')))
        world.come(event('one more', 21, 'contact.inbound', 'x'))
        self.assertEqual([row['crowd'] for row in sorted(world.rows('journey'), key=lambda r: r['first_at'])], [False] * 30 + [True] * 2)

    def test_decisions_are_about_sealed_meetings_too(self):
        world = World().come(event('a', -20, 'contact.inbound', 'x', 'email:m@example.com')).retain()
        before = world.lines()
        world.decisions = [{'kind': 'block', 'a': h('email', 'm@example.com').hex()}]
        self.assertEqual([row['identifier'] for row in world.rows('identifier')], [h('crm/customer_id', 'x')])
        world.decisions = [{'kind': 'apart', 'a': h('email', 'm@example.com').hex(), 'b': h('crm/customer_id', 'x').hex()}]
        self.assertEqual(len({row['customer'] for row in world.rows('identifier')}), 2)
        world.decisions = []
        self.assertEqual(world.lines(), before)

    def test_forgetting_after_sealing(self):
        """x is forgotten: its rows go, and the meeting that had y in it; y keeps the time at which it was first seen."""
        world = World().come(event('a', -20, 'purchase.completed', 'x', 'email:m@example.com'), event('b', -19, 'contact.inbound', 'y', 'phone:040123'),
                             event('c', -18, 'callback.requested', 'phone:040123', 'email:m@example.com')).retain()
        self.assertEqual(len(world.rows('journey')), 2)
        counted = world.lines(oracle.AGGREGATES)
        world.forgettings = [forgetting(h('crm/customer_id', 'x'), h('email', 'm@example.com'))]
        self.assertEqual(world.lines(oracle.AGGREGATES), counted)
        self.assertEqual({row['customer'] for row in world.rows('journey') + world.rows('customer')}, {h('crm/customer_id', 'y')})
        self.assertEqual({row['identifier'] for row in world.rows('identifier')}, {h('crm/customer_id', 'y'), h('phone', '35840123')})
        self.assertEqual(len(world.rows('identity_link')), 1)
        self.assertEqual(world.one('identifier', identifier=h('phone', '35840123'))['first_at'], R - 19 * DAY)

    def test_forgetting_before_sealing(self):
        """Then the event was one without the name already, and what is sealed is its meeting without it."""
        world = World().come(event('c', -18, 'contact.inbound', 'phone:040123', 'email:m@example.com', 'vehicle:ABC-1'),
                             event('d', -18, 'contact.inbound', 'phone:040123', 'email:n@example.com', 'email:m@example.com'))
        world.forgettings = [forgetting(h('email', 'm@example.com'))]
        world.retain()
        before = world.lines()
        self.assertEqual(len(world.rows('identity_link')), 1)
        self.assertEqual(world.lines(), before)

    def test_a_second_retention_seals_on(self):
        world = World().come(event('a', -300, 'purchase.completed', 'x'), event('b', -150, 'contact.inbound', 'x'), event('c', 10, 'purchase.completed', 'x'),
                             event('d', 100, 'contact.inbound', 'x'))
        before = world.lines()
        world.retain(left=['b'])
        self.assertEqual(world.retain(NEXT).lines(), before)
        self.assertEqual([e.field['event_id'] for e in world.derive().events], ['d'])
        self.assertEqual(world.one('sealed_customer')['purchases'], 2)

    def test_a_file_of_retentions_is_read_as_it_was_written(self):
        world = World().come(event('a', -20, 'contact.inbound', 'x', money={'amount_minor': 5, 'currency': 'EUR', 'kind': 'price'}),
                             event('n', -20, 'page.viewed'), event('b', -1, 'contact.inbound', 'y')).retain(left=['b'])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'retentions.jsonl')
            Retentions(world.retentions).save(path)
            self.assertEqual([one.node() for one in Retentions.load(path).all], [one.node() for one in world.retentions])


class Random(unittest.TestCase):
    def test_sealing_changes_nothing_and_replays_change_nothing(self):
        """Hostile events around three months' ends; whoever may go is sealed, twice. Then late and new events and decisions: reading all
        again, in another order, changes nothing."""
        sealed = kept = 0
        for seed in range(12):
            generator = months.Generator(seed, events=150, people=8)
            events = generator.generate()
            chance, world = random.Random(seed), World(SMALL)
            cut = len(events) * 3 // 4
            world.come(*events[:cut])
            world.decisions, world.forgettings = generator.decisions_and_forgettings()
            for number, before in enumerate(months.MONTHS[1:3]):
                was = world.lines()
                retention = months.seal_what_may_go(world.deriver(), world.naturals, before)
                sealed, kept = sealed + len(retention.sealed), kept + len(retention.kept)
                world.retentions.append(Retention(json.loads(json.dumps(retention.node()))))
                self.assertEqual(world.lines(), was, 'seed %d' % seed)
                world.come(*events[cut + number * 10:cut + number * 10 + 10])
            world.come(*events[cut:])
            was, all_of_them = world.lines(), world.naturals
            world.naturals = all_of_them + chance.sample(all_of_them, 30)
            chance.shuffle(world.naturals)
            self.assertEqual(world.lines(), was, 'seed %d' % seed)
        self.assertGreater(sealed, 300)
        self.assertGreater(kept, 30)


if __name__ == '__main__':
    unittest.main()
