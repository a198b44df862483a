# SPDX-License-Identifier: Apache-2.0
"""The aggregates of docs/semantics.md 6 and 9 as plain GROUP BY over what was derived.

Each table has a generator of (dimensions, counts): one pair for everything that is counted; buckets are their sums."""

import collections
import fractions

from business_time import AlwaysOpen, calendar_of
from journey_facts import contact_pairs, is_fallback
from moments import DAY, day_of, hour_of

Table = collections.namedtuple('Table', 'dimensions counts')
AGGREGATES = {
    'interaction_hourly': Table(('hour', 'brand', 'unit', 'channel', 'type', 'outcome', 'reason'),
                                ('interactions', 'contacts', 'unanswered', 'refusals', 'deflections', 'transfers', 'misroutes')),
    'need_hourly': Table(('hour', 'brand', 'stage', 'topic', 'cause'), ('interactions', 'contacts')),
    'rating_hourly': Table(('hour', 'brand', 'unit', 'channel', 'scale', 'score', 'min', 'max'), ('ratings',)),
    'money_hourly': Table(('hour', 'brand', 'unit', 'kind', 'currency'), ('events', 'amount_minor', 'out_of_range')),
    'repeat_daily': Table(('day', 'brand', 'unit', 'channel', 'cause', 'topic'),
                          ('contacts', 'repeated_1d', 'repeated_7d', 'repeated_14d', 'repeated_30d')),
    'transition_hourly': Table(('hour', 'brand', 'from_channel', 'to_channel', 'fallback'), ('transitions', 'wait_us')),
    'duration_hourly': Table(('hour', 'measure', 'clock', 'brand', 'unit', 'channel', 'bucket'), ('durations', 'total_us')),
    'journey_daily': Table(('day', 'brand', 'unit', 'channel', 'resolved', 'terminal_outcome'),
                           ('journeys', 'events', 'contacts', 'switches', 'fallbacks', 'repeats', 'unanswered', 'refusals',
                            'deflections', 'handoffs_offered', 'reopened', 'effort', 'single_contact', 'one_owner',
                            'without_owner')),
    'obligation_hourly': Table(('due_hour', 'kind', 'brand', 'unit'),
                               ('opened', 'kept', 'kept_late_in_window', 'late', 'attempted', 'rejected', 'withdrawn', 'looped',
                                'no_owner', 'attempts')),
    'handoff_hourly': Table(('hour', 'kind', 'from_brand', 'from_unit', 'to_brand', 'to_unit'),
                            ('offered', 'accepted', 'rejected', 'withdrawn', 'wait_us')),
    'course_daily': Table(('day', 'definition'), ('courses', 'completed', 'conformant', 'completed_conformant', 'violations',
                                                  'skipped', 'goal_us')),
    'milestone_daily': Table(('day', 'definition', 'milestone'), ('reached', 'fallout', 'skipped', 'failures', 'failed')),
    'step_daily': Table(('day', 'definition', 'from_milestone', 'to_milestone'), ('steps', 'wait_us')),
    'path_daily': Table(('day', 'definition', 'path'), ('courses', 'completed')),
}

RATING_LIMIT = 2000000000
MONEY_LIMIT = 10 ** 12


# ---------------------------------------------------------------- of events

def of_interactions(derived):
    for event in derived.events:
        field, traits = event.field, event.traits
        reason = None if field['sensitivity'] == 'SENSITIVE' else field['reason']
        counted = [not traits.passive and getattr(traits, trait) for trait in
                   ('contact', 'unanswered', 'refusal', 'deflection', 'transfer', 'misroute')]
        yield (hour_of(event.time), field['brand'], field['unit'], field['channel'], field['type'], field['outcome'], reason), \
            (1, *counted)


def of_needs(derived):
    for event in derived.events:
        field = event.field
        named = (field['stage'], field['topic'], field['cause'])
        if field['sensitivity'] != 'SENSITIVE' and named != (None, None, None):
            yield (hour_of(event.time), field['brand'], *named), (1, event.traits.contact and not event.traits.passive)


def thousandths(number):
    """Rounded half away from zero, kept within the limit."""
    exact = abs(fractions.Fraction(number)) * 1000
    found = min(RATING_LIMIT, int(exact + fractions.Fraction(1, 2)))
    return found if number >= 0 else -found


def of_ratings(derived):
    for event in derived.events:
        field, rating = event.field, event.field['rating']
        if rating is not None:
            yield (hour_of(event.time), field['brand'], field['unit'], field['channel'], rating['scale'],
                   thousandths(rating['score']), thousandths(rating['min']), thousandths(rating['max'])), (1,)


def of_money(derived):
    for event in derived.events:
        field, money = event.field, event.field['money']
        if money is not None:
            amount = money['amount_minor']
            within = abs(amount) <= MONEY_LIMIT
            yield (hour_of(event.time), field['brand'], field['unit'], money['kind'], money['currency']), \
                (1, amount if within else 0, not within)


def of_repeats(derived):
    for event in derived.events:
        if event.need is not None and event.customer is not None:
            field = event.field
            yield (day_of(event.time), field['brand'], field['unit'], field['channel'], *event.need), \
                (1, *(event.repeated is not None and event.repeated <= days * DAY for days in (1, 7, 14, 30)))


# ---------------------------------------------------------------- of journeys

def of_transitions(derived):
    for journey in derived.journeys:
        for before, contact in () if journey.crowd else contact_pairs(journey):
            yield (hour_of(contact.time), contact.field['brand'], before.field['channel'], contact.field['channel'],
                   int(is_fallback(before, contact))), (1, contact.time - before.time)


def next_replies(journey):
    """(inbound contact, the reply to it)"""
    awaiting = None
    for event in journey.taken:
        if event.traits.passive:
            continue
        if awaiting is not None and event.traits.human_reply:
            yield awaiting, event
            awaiting = None
        if awaiting is None and event.traits.contact and event.field['direction'] == 'INBOUND':
            awaiting = event


def measured(derived):
    """(measure, from, to, brand, unit, channel) of every duration."""
    for journey in derived.journeys:
        entry = journey.entry_brand, journey.entry_unit, journey.entry_channel
        if journey.first_human_reply_at is not None:
            yield ('first_reply', journey.first_inbound_at, journey.first_human_reply_at, *entry)
        if journey.resolved and journey.last_terminal_at is not None:
            yield ('resolution', journey.first.time, journey.last_terminal_at, *entry)
        for asked, reply in () if journey.crowd else next_replies(journey):
            yield ('next_reply', asked.time, reply.time, asked.field['brand'], asked.field['unit'], asked.field['channel'])
    for o in derived.obligations:
        if o.fulfilled_at is not None:
            yield ('kept.' + o.kind, o.opener.time, o.fulfilled_at, o.brand, o.unit, None)


def bucket_of(length):
    """length in microseconds."""
    v = length // 1000
    if v < 8:
        return v
    e = v.bit_length() - 1
    return 8 * (e - 2) + v // 2 ** (e - 3) - 8


def of_durations(derived):
    for measure, start, end, brand, unit, channel in measured(derived):
        for clock, calendar in enumerate((AlwaysOpen, calendar_of(derived.rules.calendars, brand, unit))):
            length = calendar.between(start, end)
            yield (hour_of(start), measure, clock, brand, unit, channel, bucket_of(length)), (1, length)


def of_journeys(derived):
    for j in derived.journeys:
        yield (day_of(j.first.time), j.entry_brand, j.entry_unit, j.entry_channel, int(j.resolved), j.terminal_outcome), \
            (1, j.events, j.contacts, j.switches, j.fallbacks, j.repeats, j.unanswered, j.refusals, j.deflections,
             j.handoffs_offered, j.reopened, j.effort, j.contacts == 1,
             j.owners == 1 and j.ownerless_us == 0 and j.ownerless_since is None, j.owners == 0)


# ---------------------------------------------------------------- of obligations

def of_obligations(derived):
    for o in derived.obligations:
        state = o.state()['state'] if o.closed else 'attempted' if o.attempts else None
        yield (hour_of(o.due_to), o.kind, o.brand, o.unit), \
            (1, *(state == name for name in ('kept', 'kept_late_in_window', 'late', 'attempted', 'rejected', 'withdrawn')),
             o.cycle > 1, o.unit is None and o.role is None, o.attempts)


def of_handoffs(derived):
    for o in derived.obligations:
        if o.handoff:
            accepted = o.fulfilled_at is not None
            yield (hour_of(o.opener.time), o.kind, o.from_brand, o.from_unit, o.brand, o.unit), \
                (1, accepted, o.rejected_at is not None, o.withdrawn_at is not None,
                 max(0, o.fulfilled_at - o.opener.time) if accepted else 0)


# ---------------------------------------------------------------- of courses

def of_courses(derived):
    for c in derived.courses:
        completed = c.goal_at is not None
        yield (day_of(c.start_at), c.definition), \
            (1, completed, c.conformant, completed and c.conformant, c.violations, c.skipped,
             c.goal_at - c.start_at if completed else 0)


def of_milestones(derived):
    for c in derived.courses:
        for number in range(len(c.reached_at) + 1):
            reached = number > 0 and c.reached_at[number - 1] is not None
            failures = c.failures[number - 1] if number > 0 else 0
            yield (day_of(c.start_at), c.definition, number), \
                (reached, c.goal_at is None and c.furthest == number, number in c.skipped_numbers, failures, failures > 0)


def of_steps(derived):
    for c in derived.courses:
        by = day_of(c.start_at), c.definition
        before, began = 0, None
        for number, time in c.walked:
            yield (*by, before, number), (1, time - began if before else 0)
            before, began = number, time
        yield (*by, before, 0), (1, 0)


def of_paths(derived):
    for c in derived.courses:
        yield (day_of(c.start_at), c.definition, c.path or None), (1, c.goal_at is not None)


SOURCES = {'interaction_hourly': of_interactions, 'need_hourly': of_needs, 'rating_hourly': of_ratings,
           'money_hourly': of_money, 'repeat_daily': of_repeats, 'transition_hourly': of_transitions,
           'duration_hourly': of_durations, 'journey_daily': of_journeys, 'obligation_hourly': of_obligations,
           'handoff_hourly': of_handoffs, 'course_daily': of_courses, 'milestone_daily': of_milestones,
           'step_daily': of_steps, 'path_daily': of_paths}


def aggregate_sums(derived, name):
    """Dimensions -> counts of what is derived, without what was sealed."""
    sums = {}
    for dimensions, counts in SOURCES[name](derived):
        add(sums, dimensions, counts)
    return sums


def add(sums, dimensions, counts):
    found = sums.setdefault(dimensions, [0] * len(counts))
    for i, count in enumerate(counts):
        found[i] += int(count)


def rows_of(sums, name):
    table = AGGREGATES[name]
    for dimensions, counts in sums.items():
        if any(counts):
            yield dict(zip(table.dimensions + table.counts, dimensions + tuple(counts)))


def lost_rows(derived, name):
    """What stands in slot -1 (docs/semantics.md 3.8)."""
    sums = {}
    for dimensions, counts in derived.retentions.lost(name):
        add(sums, dimensions, counts)
    return rows_of(sums, name)


def aggregate_rows(derived, name):
    """Rows of one table as dicts, those whose sums are all zero left out."""
    sums = aggregate_sums(derived, name)
    for dimensions, counts in derived.retentions.lost(name):
        add(sums, dimensions, counts)
    return rows_of(sums, name)
