#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle against examples worked out by hand from docs/semantics.md 4 to 9: business time, facts of journeys, courses,
cycles and aggregates."""

import datetime
import os
import sys
import unittest

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import aggregates              # noqa: E402
import business_time           # noqa: E402
import generate                # noqa: E402
import journey_facts           # noqa: E402
import polku_oracle as oracle  # noqa: E402
from test_oracle import DAY, HOUR, MINUTE, SECOND, T0, derive, event, inbound, ledger, one, rows  # noqa: E402

at = oracle.parse_time      # T0 is Monday 2024-05-06 08:00 UTC, 11:00 in Helsinki
RULES = oracle.Rules(yaml.load("""
identity:
  namespaces: [{name: "*/customer_id", class: person, priority: 1, unique: true}]
journeys:
  gap: 100d
  reopen_gap: 100d
  case_gap: 100d
  max_span: 1000d
  max_events: 70
  passive: [{type: news}]
  terminal: [{type: "closed.*"}, {type: answered.closed}]
facts:
  contact: [{type: "contact.*"}, {type: met.failed}]
  refusal: [{type: refused}]
  selfservice_failed: [{type: met.failed}]
  human_reply: [{type: [reply, contact.agent, answered.closed]}]
  handoff_offered: [{type: [offer, offer.clear]}]
  handoff_accepted: [{type: accept}]
  handoff_rejected: [{type: reject}]
  owner_assigned: [{type: assign}]
  owner_cleared: [{type: [clear, offer.clear]}]
  queue_enter: [{type: [enter, requeue]}]
  queue_leave: [{type: [leave, requeue]}]
  work_start: [{type: start}]
  work_stop: [{type: stop}]
  decision: [{type: decide}]
  purchase: [{type: [buy, news]}]
  repeat_window: 7d
  effort: {id: e, contacts: 1, switches: 10, fallbacks: 100, repeats: 1000, reopened: 10000, refusals: 100000}
calendars:
  - name: office
    zone: Europe/Helsinki
    brands: [ahola]
    hours: {mon-fri: "08:00-16:00"}
obligations:
  kinds:
    - {kind: call, opens: [{type: ask}], attempts: [{type: tried}], fulfils: [{type: reached}], within: 8h, time: business}
    - {kind: over, opens: [{type: offer}], fulfils: [{type: accept}], rejects: [{type: reject}], within: 1h, handoff: true}
definitions:
  - name: order
    window: 10d
    goal: paid
    milestones:
      - {name: asked, on: [{type: ask}]}
      - {name: offered, on: [{type: offer}], optional: true}
      - {name: bought, on: [{type: [buy, ask]}], fails: [{type: refused}]}
      - {name: paid, on: [{type: pay}], fails: [{type: refused}]}
      - {name: thanked, on: [{type: thank}]}
""", yaml.BaseLoader))


def office(**more):
    return business_time.Calendar(dict({'name': 'x', 'zone': 'Europe/Helsinki', 'hours': {'mon-fri': '08:00-16:00'}}, **more))


def journey(events):
    return one(rows(events, 'journey', RULES))


def told(events, *names):
    found = journey(events)
    return tuple(found[name] for name in names)


def buckets(events, table, *counts):
    """Dimensions without the time -> counts."""
    names = aggregates.AGGREGATES[table].dimensions[1:]
    return {tuple(row[n] for n in names): tuple(row[c] for c in counts) for row in rows(events, table, RULES)}


class BusinessTime(unittest.TestCase):
    def test_counter_example_eight_hours_from_friday_15_are_monday_15_whatever_clocks_do(self):
        calendar = office()
        for friday, monday in (('2024-03-29T13:00Z', '2024-04-01T12:00Z'), ('2024-10-25T12:00Z', '2024-10-28T13:00Z'),
                               ('2024-05-03T12:00Z', '2024-05-06T12:00Z')):
            self.assertEqual(calendar.due(at(friday), 8 * HOUR), at(monday))
            self.assertEqual(calendar.between(at(friday), at(monday)), 8 * HOUR)

    def test_the_earliest_moment_counts_and_nothing_is_at_once(self):
        calendar = office()
        self.assertEqual(calendar.due(at('2024-05-03T12:00Z'), HOUR), at('2024-05-03T13:00Z'))  # closing time, not Monday
        self.assertEqual(calendar.due(at('2024-05-03T12:00Z'), HOUR + 1), at('2024-05-06T05:00Z') + 1)
        self.assertEqual(calendar.due(at('2024-05-04T12:00Z'), 0), at('2024-05-04T12:00Z'))
        self.assertEqual(calendar.due(at('2024-05-04T12:00Z'), 1), at('2024-05-06T05:00Z') + 1)
        self.assertEqual(calendar.between(at('2024-05-06T12:00Z'), at('2024-05-06T06:00Z')), 0)

    def test_open_time_ends_with_2100(self):
        last = at('2100-12-31T14:00Z')      # a Friday, open until 16:00 local
        self.assertEqual(datetime.date(2100, 12, 31).weekday(), 4)
        self.assertIsNone(office().due(last - HOUR, HOUR + 1))
        self.assertEqual(office().due(last - HOUR, HOUR), last)
        self.assertEqual(office().due(0, HOUR), at('1990-01-01T07:00Z'))    # a Monday
        self.assertEqual(office().between(0, at('1990-01-01T07:00Z')), HOUR)

    def test_a_skipped_time_is_read_with_the_offset_before(self):
        # Helsinki 2024-03-31: 03:00 is 04:00. 03:30 is read as 01:30Z, which is 04:30.
        calendar = office(hours={'sun': ['02:30-03:30', '03:45-24:00']})
        starts, ends, _ = calendar.open_times()
        place = starts.index(at('2024-03-31T00:30Z'))
        self.assertEqual((ends[place], starts[place + 1], ends[place + 1]),
                         (at('2024-03-31T01:30Z'), at('2024-03-31T01:45Z'), at('2024-03-31T21:00Z')))

    def test_a_range_that_ends_before_it_starts_by_that_is_empty(self):
        # 03:30 is 01:30Z, 04:15 is 01:15Z.
        calendar = office(hours={'sun': '03:30-04:15'})
        self.assertEqual(calendar.between(at('2024-03-30T22:00Z'), at('2024-03-31T21:00Z')), 0)
        self.assertEqual(calendar.between(at('2024-04-06T21:00Z'), at('2024-04-07T21:00Z')), 45 * MINUTE)

    def test_a_repeated_time_is_the_earlier_one(self):
        # Helsinki 2024-10-27: 03:30 is 00:30Z and again 01:30Z; 04:30 is 02:30Z.
        self.assertEqual(office(hours={'sun': '03:30-04:30'}).between(at('2024-10-26T21:00Z'), at('2024-10-27T22:00Z')), 2 * HOUR)
        # Lord Howe Island 2024-04-07: at 02:00 clocks go back to 01:30. 01:45 is 14:45Z first, 02:15 is 15:45Z.
        calendar = office(zone='Australia/Lord_Howe', hours={'sun': '01:45-02:15'})
        self.assertEqual(calendar.between(at('2024-04-06T14:45Z'), at('2024-04-06T15:45Z')), HOUR)
        self.assertEqual(calendar.between(at('2024-04-06T00:00Z'), at('2024-04-07T12:00Z')), HOUR)

    def test_days_go_before_pauses_before_holidays_before_weekdays(self):
        calendar = office(days={'2024-05-04': '10:00-12:00', '2024-05-08': ['08:00-09:00', '10:00-11:00']},
                          pauses=[{'from': '2024-05-07', 'to': '2024-05-09'}], holidays=['05-13', '2024-05-14'])
        lengths = [calendar.between(at('2024-05-%02dT21:00Z' % (day - 1)), at('2024-05-%02dT21:00Z' % day)) // HOUR
                   for day in range(4, 16)]
        self.assertEqual(lengths, [2, 0, 8, 0, 2, 0, 8, 0, 0, 0, 0, 8])     # Saturday 4 .. Wednesday 15
        self.assertEqual(office(holidays=['05-13']).between(at('2025-05-11T21:00Z'), at('2025-05-13T21:00Z')), 8 * HOUR)

    def test_overlapping_ranges_count_once(self):
        # On 2024-10-27 both ranges end and begin in the repeated hour: 21:00Z to 00:45Z, 00:30Z to 22:00Z.
        calendar = office(hours={'sun': ['00:00-03:45', '03:30-24:00']})
        self.assertEqual(calendar.between(at('2024-10-26T21:00Z'), at('2024-10-27T22:00Z')), 25 * HOUR)

    def test_the_first_calendar_that_holds_both_counts(self):
        calendars = [office(name='a', brands=['x'], units=['u']), office(name='b', brands=['x']), office(name='c', units=['v'])]
        names = [getattr(business_time.calendar_of(calendars, *who), 'name', None) for who in
                 (('x', 'u'), ('x', 'v'), ('x', None), ('y', 'v'), ('y', None))]
        self.assertEqual(names, ['a', 'b', 'b', 'c', None])
        self.assertEqual(business_time.AlwaysOpen.due(5, 7), 12)
        self.assertEqual(business_time.AlwaysOpen.between(7, 5), 0)


class Ownership(unittest.TestCase):
    def owners(self, *steps):
        """steps: (type, unit, target unit); who owns it after each."""
        events = [event(str(i), i * HOUR, kind, unit=unit, handoff={'to_unit': target} if target else None)
                  for i, (kind, unit, target) in enumerate(steps)]
        found = one(derive(events, RULES).journeys)
        return [owner and owner[1] for owner in journey_facts.owners_after(found.taken)]

    def test_the_first_unit_owns_it_until_somebody_says_otherwise(self):
        self.assertEqual(self.owners(('x', None, None), ('x', 'a', None), ('x', 'b', None)), [None, 'a', 'a'])
        self.assertEqual(self.owners(('clear', None, None), ('x', 'a', None)), [None, None])

    def test_offer_accept_reject(self):
        self.assertEqual(self.owners(('x', 'a', None), ('offer', 'a', 'b'), ('accept', 'c', None)), ['a', None, 'c'])
        self.assertEqual(self.owners(('x', 'a', None), ('offer', 'a', 'b'), ('accept', None, None)), ['a', None, 'b'])
        self.assertEqual(self.owners(('offer', 'a', None), ('accept', None, 'z')), [None, None])
        self.assertEqual(self.owners(('x', 'a', None), ('offer', 'b', 'c'), ('reject', 'c', None)), ['a', None, 'b'])
        self.assertEqual(self.owners(('assign', 'a', None), ('reject', 'c', None)), ['a', 'a'])
        self.assertEqual(self.owners(('x', 'a', None), ('offer', None, 'c'), ('reject', 'c', None)), ['a', None, None])

    def test_assigned_is_the_target_else_the_unit_else_nobody(self):
        self.assertEqual(self.owners(('assign', 'a', 'b'), ('assign', 'c', None), ('assign', None, None)), ['b', 'c', None])

    def test_owners_counts_changes_and_not_the_same_again(self):
        events = [event('0', 0, 'x', unit='a'), event('1', 1, 'clear'), event('2', 2, 'assign', unit='a'),
                  event('3', 3, 'assign', unit='a', brand='bergvik'), event('4', 4, 'assign', unit='a')]
        self.assertEqual(told(events[:3], 'owners', 'owner_brand', 'owner_unit'), (1, 'ahola', 'a'))
        self.assertEqual(told(events, 'owners'), (3,))
        self.assertEqual(told([event('0', 0, 'x')], 'owners', 'owner_unit', 'ownerless_since'), (0, None, T0))

    def test_a_target_without_a_brand_has_that_of_the_event_that_names_it(self):
        events = [event('0', 0, 'offer', brand='bergvik', handoff={'to_unit': 'b'}), event('1', 1, 'accept', brand='crane')]
        self.assertEqual(told(events, 'owner_brand', 'owner_unit'), ('bergvik', 'b'))

    def test_ownerless_and_orphan_time(self):
        # Nobody 0..2 h (an offer at 1 h), a 2..3 h, cleared 3 h, terminal at 4 h, reopened 6 h, a again at 9 h.
        events = [event('0', 0, 'x'), event('1', HOUR, 'offer', handoff={'to_unit': 'a'}), event('2', 2 * HOUR, 'accept'),
                  event('3', 3 * HOUR, 'clear'), event('4', 4 * HOUR, 'closed.done'), event('6', 6 * HOUR, 'x'),
                  event('9', 9 * HOUR, 'assign', unit='a')]
        names = ('ownerless_us', 'ownerless_since', 'orphan_us')
        self.assertEqual(told(events[:2], *names), (0, T0, 0))
        self.assertEqual(told(events[:3], *names), (2 * HOUR, None, HOUR))
        self.assertEqual(told(events[:4], *names), (2 * HOUR, T0 + 3 * HOUR, HOUR))
        self.assertEqual(told(events[:5], *names), (3 * HOUR, None, HOUR))
        self.assertEqual(told(events[:6], *names), (3 * HOUR, T0 + 6 * HOUR, HOUR))
        self.assertEqual(told(events, *names), (6 * HOUR, None, HOUR))

    def test_after_cleared_and_offered_at_once_it_is_an_orphan(self):
        events = [event('0', 0, 'offer.clear'), event('1', HOUR, 'assign', unit='a')]
        self.assertEqual(told(events, 'ownerless_us', 'orphan_us'), (HOUR, HOUR))

    def test_returned_is_to_who_offered_before(self):
        def offer(n, brand, unit, target):
            return event(str(n), n, 'offer', brand=brand, unit=unit, handoff=target)
        events = [offer(0, 'x', 'a', {'to_brand': 'y', 'to_unit': 'b'}),
                  offer(1, 'y', 'b', {'to_brand': 'x', 'to_unit': 'a'}),    # back
                  offer(2, 'x', 'a', {'to_unit': 'b'}),                     # x/b never offered
                  offer(3, 'y', 'c', {'to_unit': 'b'}),                     # y/b did
                  offer(4, 'x', None, {'to_role': 'anybody'})]
        self.assertEqual(told(events, 'handoffs_offered', 'handoffs_returned'), (5, 2))
        self.assertEqual(told([offer(0, 'x', 'a', {'to_unit': 'a'})], 'handoffs_returned'), (0,))


class Facts(unittest.TestCase):
    def test_switches_fallbacks_repeats_reopened_and_effort(self):
        events = [inbound('0', 0, channel='web', cause='c'), event('1', HOUR, 'met.failed', channel='web'),
                  event('2', 2 * HOUR, 'contact.in', channel='phone', cause='c', direction='INBOUND'),  # a fallback, a repeat
                  event('3', 3 * HOUR, 'met.failed', channel='phone'), event('3n', 3 * HOUR + 1, 'news', channel='web'),
                  event('4', 4 * HOUR, 'contact.in', channel='phone', cause='c', direction='OUTBOUND'),  # no switch, fallback or repeat
                  event('5', 5 * HOUR, 'closed.a'), event('6', 6 * HOUR, 'closed.b', outcome='ok'),
                  event('7', 7 * DAY + 2 * HOUR, 'contact.in', channel='store', cause='c', direction='INBOUND'),  # a switch, reopened, a repeat
                  event('8', 14 * DAY + 2 * HOUR + 1, 'contact.in', channel='store', cause='c', direction='INBOUND')]  # a microsecond late
        self.assertEqual(told(events, 'contacts', 'switches', 'fallbacks', 'repeats', 'reopened', 'effort', 'resolved',
                              'first_terminal_at', 'last_terminal_at', 'terminal_outcome'),
                         (7, 2, 1, 2, 1, 7 + 20 + 100 + 2000 + 10000, False, T0 + 5 * HOUR, T0 + 6 * HOUR, 'ok'))

    def test_people_and_decision(self):
        events = [event(str(i), i, 'decide' if i == 3 else 'x', staff=staff) for i, staff in
                  enumerate(('p', ' p ', '-', 'q', 'r', None))]
        self.assertEqual(told(events, 'people', 'decided_at', 'people_until_decision'), (4, T0 + 3, 3))
        self.assertEqual(told(events[:2], 'people', 'decided_at', 'people_until_decision'), (1, None, 0))
        many = [event(str(i), i, 'x', staff='p%d' % i) for i in range(65)]
        self.assertEqual(told(many, 'people'), (64,))
        self.assertEqual(told(many[:64], 'people'), (64,))

    def test_queue_and_touch(self):
        def walk(*kinds):
            return told([event(str(i), i * HOUR, kind) for i, kind in enumerate(kinds)], 'queue_us', 'queue_since')
        self.assertEqual(walk('enter', 'enter', 'leave', 'leave'), (2 * HOUR, None))
        self.assertEqual(walk('leave', 'enter', 'x'), (0, T0 + HOUR))
        self.assertEqual(walk('requeue', 'requeue', 'x', 'leave', 'enter'), (3 * HOUR, T0 + 4 * HOUR))
        found = told([event('0', 0, 'start'), event('1', HOUR, 'stop'), event('2', 3 * HOUR, 'start')], 'touch_us', 'touch_since')
        self.assertEqual(found, (HOUR, T0 + 3 * HOUR))

    def test_stage_entry_and_purchases(self):
        events = [event('0', 0, 'x', unit='a', stage='buy'), event('1', 1, 'buy', unit='b', brand='bergvik'),
                  event('2', 2, 'x', stage='use'), event('3', 3, 'x'), event('4', 4, 'news', stage='leave')]
        self.assertEqual(told(events, 'stage', 'entry_brand', 'entry_unit'), ('use', 'ahola', 'a'))
        customer = one(rows(events, 'customer', RULES))
        self.assertEqual([customer[c] for c in ('purchases', 'first_purchase_at', 'last_purchase_at')], [2, T0 + 1, T0 + 4])

    def test_traits_are_bits_in_their_order(self):
        found = [row['traits'] for row in rows([event('0', 0, 'news'), event('1', 1, 'contact.agent'), event('2', 2, 'offer.clear')],
                                               'interaction', RULES)]
        self.assertEqual(found, [1 | 1 << 22, 1 << 2 | 1 << 7, 1 << 5 | 1 << 10])

    def test_in_a_crowd_passive_events_are_first_and_last_and_no_facts(self):
        events = [event('n', 0, 'news', unit='a', channel='post')] + [event(str(i), 1 + i, 'contact.in') for i in range(70)] + \
            [event('m', HOUR, 'news', staff='p', stage='buy')]
        found = told(events, 'crowd', 'first_at', 'last_at', 'entry_channel', 'entry_unit', 'contacts', 'people', 'stage', 'last_type')
        self.assertEqual(found, (True, T0, T0 + HOUR, 'post', 'a', 70, 0, None, 'news'))
        self.assertEqual(rows(events, 'transition_hourly', RULES), [])


class Owed(unittest.TestCase):
    def test_cycle_counts_what_was_tried_and_is_open(self):
        events = [event('0', 0, 'ask'), event('1', HOUR, 'ask'),                          # the first was not tried yet
                  event('2', 2 * HOUR, 'tried'), event('3', 3 * HOUR, 'ask'), event('4', 4 * HOUR, 'ask', brand='bergvik'),
                  event('5', 5 * HOUR, 'reached'), event('6', 6 * HOUR, 'ask'),           # the one that was tried is settled
                  event('7', 7 * HOUR, 'tried', relates_to='s/3'), event('8', 8 * HOUR, 'ask'),
                  event('9', 9 * HOUR, 'promise.made', obligation={'id': 'p', 'kind': 'call'})]
        found = {key[0]: o.cycle for key, o in ledger(events, RULES).items()}
        self.assertEqual(found, {'0': 1, '1': 1, '3': 2, '4': 1, '6': 1, '8': 3, '9': 3})

    def test_business_due_is_of_the_accountable_calendar(self):
        # 11:00 in Helsinki: five hours are left of the Monday, three more on Tuesday.
        self.assertEqual(ledger([event('0', 0, 'ask')], RULES)['0', 'call'].due_to, at('2024-05-07T08:00Z'))
        there = event('0', 0, 'ask', brand='bergvik', handoff={'to_brand': 'ahola'})
        self.assertEqual(ledger([there], RULES)['0', 'call'].due_to, at('2024-05-07T08:00Z'))
        elsewhere = event('0', 0, 'ask', handoff={'to_brand': 'bergvik'})
        self.assertEqual(ledger([elsewhere], RULES)['0', 'call'].due_to, T0 + 8 * HOUR)

    def test_from_money_and_handoff(self):
        events = [event('0', 0, 'offer', unit='a', handoff={'to_brand': 'bergvik', 'to_unit': 'b'},
                        money={'amount_minor': -5, 'currency': 'EUR', 'kind': 'loss'}),
                  event('1', 30 * MINUTE, 'accept', brand='bergvik')]
        found = one(rows(events, 'obligation', RULES))
        self.assertEqual([found[c] for c in ('from_brand', 'from_unit', 'brand', 'unit', 'handoff', 'amount_minor', 'currency')],
                         ['ahola', 'a', 'bergvik', 'b', True, -5, 'EUR'])
        self.assertEqual(buckets(events, 'handoff_hourly', 'offered', 'accepted', 'rejected', 'withdrawn', 'wait_us'),
                         {('over', 'ahola', 'a', 'bergvik', 'b'): (1, 1, 0, 0, 30 * MINUTE)})

    def test_obligations_by_due_hour_tell_loops_and_missing_owners(self):
        events = [event('0', 0, 'ask', unit='u'), event('1', HOUR, 'tried'), event('2', 2 * HOUR, 'tried'), event('3', 3 * HOUR, 'ask')]
        found = buckets(events, 'obligation_hourly', 'opened', 'attempted', 'looped', 'no_owner', 'attempts')
        self.assertEqual(found, {('call', 'ahola', 'u'): (1, 1, 0, 0, 2), ('call', 'ahola', None): (1, 0, 1, 1, 0)})


class Courses(unittest.TestCase):
    def course(self, *kinds, step=HOUR):
        return one(derive([event('%03d' % i, i * step, kind) for i, kind in enumerate(kinds)], RULES).courses)

    def test_path_furthest_violations_and_skipped(self):
        found = self.course('x', 'ask', 'ask', 'pay', 'buy', 'pay')
        self.assertEqual((found.path, found.steps, found.furthest, found.violations, found.skipped, found.conformant),
                         ('1>4>3>4', 4, 4, 1, 0, False))
        self.assertEqual(found.reached_at, [T0 + HOUR, None, T0 + 4 * HOUR, T0 + 3 * HOUR, None])
        self.assertEqual((found.start_at, found.goal_at), (T0 + HOUR, T0 + 3 * HOUR))
        found = self.course('ask', 'pay')   # 2 is optional, 3 is not
        self.assertEqual((found.skipped, found.skipped_numbers, found.conformant), (1, [3], False))
        self.assertTrue(self.course('ask', 'buy', 'pay', 'pay').conformant)

    def test_an_event_reaches_the_first_and_fails_every_milestone(self):
        self.assertEqual(self.course('ask').path, '1')  # not 3, though that says so too
        found = self.course('refused', 'refused')
        self.assertEqual((found.failures, found.path, found.furthest, found.start_at), ([0, 0, 2, 2, 0], '', 0, T0))

    def test_the_goal_counts_within_the_window_which_is_inclusive(self):
        for late, expected in ((0, T0 + 10 * DAY), (1, None)):
            self.assertEqual(self.course('ask', 'pay', step=10 * DAY + late).goal_at, expected)
        self.assertEqual(derive([event('0', 0, 'x'), event('1', 1, 'news')], RULES).courses, [])

    def test_a_path_names_sixteen_steps(self):
        self.assertEqual(self.course(*['ask', 'buy'] * 8).path, '>'.join(['1', '3'] * 8))
        self.assertEqual(self.course(*['ask', 'buy'] * 8, 'pay').path, '>'.join(['1', '3'] * 8 + ['...']))

    def test_aggregates_of_courses(self):
        events = [event('0', 0, 'ask', who='a'), event('1', HOUR, 'pay', who='a'), event('2', 3 * HOUR, 'thank', who='a'),
                  event('3', 0, 'refused', who='b'), event('4', 0, 'buy', who='c'), event('5', HOUR, 'ask', who='c')]
        self.assertEqual(buckets(events, 'course_daily', *aggregates.AGGREGATES['course_daily'].counts),
                         {('order/1',): (3, 1, 1, 0, 1, 1, HOUR)})
        self.assertEqual(buckets(events, 'milestone_daily', 'reached', 'fallout', 'skipped', 'failures', 'failed'), {
            ('order/1', 0): (0, 1, 0, 0, 0), ('order/1', 1): (2, 0, 0, 0, 0), ('order/1', 3): (1, 1, 1, 1, 1),
            ('order/1', 4): (1, 0, 0, 1, 1), ('order/1', 5): (1, 0, 0, 0, 0)})
        self.assertEqual(buckets(events, 'step_daily', 'steps', 'wait_us'), {
            ('order/1', 0, 1): (1, 0), ('order/1', 1, 4): (1, HOUR), ('order/1', 4, 5): (1, 2 * HOUR), ('order/1', 5, 0): (1, 0),
            ('order/1', 0, 0): (1, 0), ('order/1', 0, 3): (1, 0), ('order/1', 3, 1): (1, HOUR), ('order/1', 1, 0): (1, 0)})
        self.assertEqual(buckets(events, 'path_daily', 'courses', 'completed'),
                         {('order/1', '1>4>5'): (1, 1), ('order/1', None): (1, 0), ('order/1', '3>1'): (1, 0)})


class Aggregates(unittest.TestCase):
    def test_buckets_of_durations(self):
        for ms, bucket in ((0, 0), (7, 7), (8, 8), (9, 9), (15, 15), (16, 16), (17, 16), (18, 17), (31, 23), (32, 24), (1000, 63)):
            self.assertEqual(aggregates.bucket_of(ms * 1000 + 999), bucket, ms)
        for b in range(8, 400):     # b begins at (8 + b mod 8) 2^(b div 8 - 1) ms
            begin = (8 + b % 8) * 2 ** (b // 8 - 1)
            self.assertEqual([aggregates.bucket_of(1000 * begin - 1), aggregates.bucket_of(1000 * begin)], [b - 1, b])

    def test_thousandths_are_rounded_half_away_from_zero(self):
        for number, expected in ((9.5, 9500), (0.0625, 63), (-0.0625, -63), (0.0004999, 0), (3e6, 2 * 10 ** 9), (-1e300, -2 * 10 ** 9)):
            self.assertEqual(aggregates.thousandths(number), expected)

    def test_reasons_of_sensitive_events_are_not_told_and_needs_leave_them_out(self):
        events = [inbound('0', 0, reason='r', topic='t', sensitivity='SENSITIVE'), inbound('1', 1, reason='r', stage='buy'),
                  event('2', 2, 'news', cause='c', topic='t')]
        found = {key[-1]: count for key, (count,) in buckets(events, 'interaction_hourly', 'interactions').items()
                 if key[3] == 'contact.inbound'}
        self.assertEqual(found, {None: 1, 'r': 1})
        self.assertEqual(buckets(events, 'need_hourly', 'interactions', 'contacts'),
                         {('ahola', 'buy', None, None): (1, 1), ('ahola', None, 't', 'c'): (1, 0)})

    def test_money_within_and_out_of_range(self):
        def money(n, amount):
            return event(str(n), n, 'x', money={'amount_minor': amount, 'currency': 'EUR', 'kind': 'loss'})
        events = [money(i, amount) for i, amount in enumerate((10 ** 12, 10 ** 12 + 1, -10 ** 12, -10 ** 12 - 1, 7))]
        self.assertEqual(buckets(events, 'money_hourly', 'events', 'amount_minor', 'out_of_range'),
                         {('ahola', None, 'loss', 'EUR'): (5, 7, 2)})

    def test_repeats_are_told_of_the_contact_that_was_repeated(self):
        events = [inbound('0', 0, cause='c', topic='t', channel='web'),
                  inbound('1', DAY, cause='c', topic='u'),              # repeats it within 1 d
                  inbound('2', 15 * DAY + 1, cause='c'),                # within 30 d of that
                  inbound('3', 45 * DAY + 2, cause='c'),                # later than 30 d: repeats nothing
                  inbound('4', 45 * DAY + 2, topic='c'),                # another need
                  inbound('5', 46 * DAY, cause='c', sensitivity='SENSITIVE'), event('6', 46 * DAY, 'x', cause='c'),
                  inbound('7', 0, cause='c', who='c2')]
        found = {(row['day'] - T0 // DAY * DAY) // DAY: [row['channel'], row['topic']] + [row[c] for c in aggregates.AGGREGATES[
            'repeat_daily'].counts] for row in rows(events, 'repeat_daily', RULES) if row['cause'] and row['channel'] == 'web'
            or row['day'] > T0}
        self.assertEqual(found[0], ['web', None, 1, 1, 1, 1, 1])
        self.assertEqual(found[1], ['phone', None, 1, 0, 0, 0, 1])
        self.assertEqual(found[15], ['phone', None, 1, 0, 0, 0, 0])
        self.assertEqual(sum(row['contacts'] for row in rows(events, 'repeat_daily', RULES)), 6)

    def test_transitions_are_pairs_of_contacts(self):
        events = [event('0', 0, 'met.failed', channel='web'), event('1', 1, 'x'), event('2', HOUR, 'contact.in', brand='bergvik'),
                  event('3', 3 * HOUR, 'contact.in')]
        self.assertEqual(buckets(events, 'transition_hourly', 'transitions', 'wait_us'),
                         {('bergvik', 'web', 'phone', 1): (1, HOUR), ('ahola', 'phone', 'phone', 0): (1, 2 * HOUR)})

    def test_durations_by_both_clocks(self):
        # Monday 11:00 local; replies at 12:00 and on Tuesday 09:00; closed with the second: 5 + 1 open hours.
        events = [inbound('0', 0, unit='a'), event('1', HOUR, 'reply'), event('2', HOUR, 'reply', sequence=1),
                  inbound('3', 2 * HOUR, unit='b', channel='web'), inbound('4', 3 * HOUR),
                  event('5', 22 * HOUR, 'answered.closed')]
        found = {key[:5]: value for key, value in buckets(events, 'duration_hourly', 'durations', 'total_us').items()}
        self.assertEqual(found, {
            ('first_reply', 0, 'ahola', 'a', 'phone'): (1, HOUR), ('first_reply', 1, 'ahola', 'a', 'phone'): (1, HOUR),
            ('next_reply', 0, 'ahola', 'a', 'phone'): (1, HOUR), ('next_reply', 1, 'ahola', 'a', 'phone'): (1, HOUR),
            ('next_reply', 0, 'ahola', 'b', 'web'): (1, 20 * HOUR), ('next_reply', 1, 'ahola', 'b', 'web'): (1, 4 * HOUR),
            ('resolution', 0, 'ahola', 'a', 'phone'): (1, 22 * HOUR), ('resolution', 1, 'ahola', 'a', 'phone'): (1, 6 * HOUR)})

    def test_an_answer_that_is_a_contact_too_first_ends_then_starts(self):
        events = [inbound('0', 0), event('1', HOUR, 'contact.agent', direction='INBOUND'), event('2', 3 * HOUR, 'reply')]
        found = {key[:2]: value for key, value in buckets(events, 'duration_hourly', 'durations', 'total_us').items()}
        self.assertEqual(found['next_reply', 0], (1, 2 * HOUR))
        total = sum(row['total_us'] for row in rows(events, 'duration_hourly', RULES) if row['measure'] == 'next_reply' and
                    row['clock'] == 0)
        self.assertEqual(total, 3 * HOUR)

    def test_kept_counts_from_the_opening_and_never_below_zero(self):
        events = [event('0', 0, 'reached', relates_to='s/1'), event('1', HOUR, 'ask', handoff={'to_brand': 'bergvik', 'to_unit': 'b'})]
        found = buckets(events, 'duration_hourly', 'durations', 'total_us')
        self.assertEqual(found, {('kept.call', clock, 'bergvik', 'b', None, 0): (1, 0) for clock in (0, 1)})

    def test_journeys_by_day(self):
        events = [inbound('0', 0, who='a', unit='u'), event('1', HOUR, 'closed.a', who='a', outcome='ok'),
                  event('2', 0, 'x', who='b', unit='u'), event('3', 1, 'clear', who='b'),
                  event('4', 0, 'x', who='c')]
        found = buckets(events, 'journey_daily', 'journeys', 'events', 'single_contact', 'one_owner', 'without_owner')
        self.assertEqual(found, {('ahola', 'u', 'phone', 1, 'ok'): (1, 2, 1, 1, 0), ('ahola', 'u', 'phone', 0, None): (1, 2, 0, 0, 0),
                                 ('ahola', None, 'phone', 0, None): (1, 1, 0, 0, 1)})


class Generated(unittest.TestCase):
    def cases(self, seeds):
        small, key = generate.small_rules(), oracle.read_key(generate.KEY)
        for seed in range(seeds):
            events = generate.Generator(seed, people=3 if seed % 2 else 6, events=100).generate()
            yield seed, oracle.Deriver(small, key).derive(events)

    def test_aggregates_keep_what_they_promise(self):
        for seed, derived in self.cases(15):
            def total(table, count, **dimensions):
                return sum(row[count] for row in oracle.aggregate_rows(derived, table)
                           if all(row[name] == value for name, value in dimensions.items()))
            self.assertEqual(total('journey_daily', 'journeys'), len(derived.journeys), seed)
            self.assertEqual(total('course_daily', 'courses'), len(derived.courses), seed)
            self.assertEqual(total('milestone_daily', 'fallout') + total('course_daily', 'completed'), len(derived.courses), seed)
            self.assertEqual(total('path_daily', 'completed'), total('course_daily', 'completed'), seed)
            self.assertEqual(total('step_daily', 'steps', from_milestone=0), len(derived.courses), seed)
            self.assertEqual(total('step_daily', 'steps', to_milestone=0), len(derived.courses), seed)
            for number in range(1, 5):
                self.assertEqual(total('step_daily', 'steps', from_milestone=number),
                                 total('step_daily', 'steps', to_milestone=number), seed)
            self.assertEqual(total('duration_hourly', 'durations', clock=0), total('duration_hourly', 'durations', clock=1))
            self.assertLessEqual(total('duration_hourly', 'total_us', clock=1), total('duration_hourly', 'total_us', clock=0))
            self.assertEqual(total('journey_daily', 'repeats'), sum(e.repeat is not None and e.repeat <= derived.rules.repeat_window
                                                                    and e.journey is not None for e in derived.events), seed)
            self.assertEqual(total('obligation_hourly', 'opened'), len(derived.obligations), seed)
            self.assertEqual(total('money_hourly', 'events'), sum(e.field['money'] is not None for e in derived.events))

    def test_the_generator_reaches_the_corners(self):
        met = dict.fromkeys((
            'fallback', 'repeat', 'returned', 'reopened', 'queue', 'touch', 'orphan in part', 'three owners', 'decision',
            'two replies', 'long path', 'violation', 'goal too late', 'failure alone', 'cycle', 'cycle of three', 'never due',
            'due later', 'closed hours', 'accepted', 'clocks change'), 0)
        for _, derived in self.cases(80):
            for j in derived.journeys:
                met['fallback'] += j.fallbacks > 0
                met['repeat'] += j.repeats > 0
                met['returned'] += j.handoffs_returned > 0
                met['reopened'] += j.reopened > 0
                met['queue'] += j.queue_us > 0
                met['touch'] += j.touch_us > 0
                met['orphan in part'] += 0 < j.orphan_us < j.ownerless_us
                met['three owners'] += j.owners > 2
                met['decision'] += j.people_until_decision > 1
                met['two replies'] += not j.crowd and len(list(aggregates.next_replies(j))) > 1
            for c in derived.courses:
                met['long path'] += c.path.endswith('...')
                met['violation'] += c.violations > 0
                met['failure alone'] += c.steps == 0
                met['goal too late'] += c.definition == 'purchase/1' and c.goal_at is None and c.reached_at[3] is not None
            for o in derived.obligations:
                met['cycle'] += o.cycle > 1
                met['cycle of three'] += o.cycle > 2
                if o.rule is not None and o.rule.business and not o.explicit:
                    met['never due'] += o.due_to is None
                    met['due later'] += o.first_due_to is not None and o.first_due_to > o.opener.time + o.rule.within
                met['accepted'] += o.handoff and o.fulfilled_at is not None
            for measure, start, end, brand, unit, _ in aggregates.measured(derived):
                calendar = business_time.calendar_of(derived.rules.calendars, brand, unit)
                met['closed hours'] += 0 < calendar.between(start, end) < end - start
                met['clocks change'] += any(start <= change <= end for change in generate.CHANGES)
        self.assertEqual([name for name, count in met.items() if not count], [], met)

    def test_random_rules_can_be_read(self):
        for seed in range(20):
            oracle.Rules(yaml.load(generate.random_rules(seed), yaml.BaseLoader))


if __name__ == '__main__':
    unittest.main()
