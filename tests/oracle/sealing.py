# SPDX-License-Identifier: Apache-2.0
"""What a retention seals (docs/semantics.md 3.8), told from what it left: the constants, and what was not allowed.

Which events are sealed is part of the decision: whoever made it says which events before R are still there. Everything
else follows: journeys, obligations and courses of the sealed ones, what their customers carry, what aggregates lose. The
page demands that no row and no figure changes by it; here it is looked at."""

import polku_oracle as oracle
from aggregates import AGGREGATES, aggregate_sums
from retention import Carried, Retention, Retentions


def deriver_with(deriver, retentions):
    found = oracle.Deriver(deriver.rules, b'0' * 16, deriver.schema, deriver.decisions, deriver.forgettings, Retentions(retentions))
    found.hash = deriver.hash
    return found


def constants_of(derived, sealed):
    """Rows of journeys, obligations and courses of these events."""
    rows = {'journey': [], 'obligation': [], 'course': []}
    for table, generator in (('journey', oracle.journey_rows), ('obligation', oracle.obligation_rows), ('course', oracle.course_rows)):
        known = {row_key(table, row) for row in derived.retentions.rows(table, derived.gone)}
        for row in generator(derived):
            if row_key(table, row) not in known:
                rows[table].append(row)
    names = {event.journey.id for event in sealed if event.journey is not None}
    openers = {(event.hash, event.time) for event in sealed}
    return {'journey': [row for row in rows['journey'] if row['journey'] in names],
            'obligation': [row for row in rows['obligation'] if (row['opened_by'], row['opened_at']) in openers],
            'course': [row for row in rows['course'] if row['journey_id'] in names]}


def row_key(table, row):
    return tuple(row[column] for column in oracle.TABLES[table][0][:oracle.TABLES[table][1]])


def lost_between(before, after):
    """Table -> [dimensions, counts] of what aggregates of the events lost."""
    lost = {}
    for name, table in AGGREGATES.items():
        had, has = aggregate_sums(before, name), aggregate_sums(after, name)
        none = [0] * len(table.counts)
        found = [(dimensions, [a - b for a, b in zip(had.get(dimensions, none), has.get(dimensions, none))])
                 for dimensions in had.keys() | has.keys()]
        lost[name] = sorted(([list(dimensions), counts] for dimensions, counts in found if any(counts)), key=repr)
    return lost


def offences(derived, sealed, before):
    """What the page does not allow of a choice of events, in words."""
    chosen = {event.key for event in sealed}
    for customer, events in derived.customers.items():
        left = [event for event in events if event.key not in chosen]
        gone = [event for event in events if event.key in chosen]
        if left and gone and gone[-1].order > left[0].order:
            yield 'of customer %s a newer event is sealed than one that is left' % oracle.format_uuid(customer)
    for journey in derived.journeys:
        if len({event.key in chosen for event in journey.taken}) > 1:
            yield 'journey %s has sealed events and others' % oracle.format_uuid(journey.id)
    for event in sealed:
        if event.time >= before:
            yield 'event %s is not before the retention' % oracle.format_uuid(event.hash)
    for obligation in derived.obligations:
        if obligation.opener.key in chosen:
            yield from unsettled(obligation, derived.customers[obligation.opener.customer], chosen, before)
    meeting = [event for event in derived.events if derived.identity.is_meeting(event)]
    first = {event.met: event for event in reversed(meeting)}
    sealed_before = {event.met for event in derived.sealed}
    for event in meeting:
        if event.key in chosen and event.met not in sealed_before and first[event.met].key not in chosen:
            yield 'event %s is sealed before the first with these persons' % oracle.format_uuid(event.hash)


def unsettled(obligation, events, chosen, before):
    """Why it cannot be sealed: events that are left had to do with it, or it is still owed."""
    seam = min([event.time for event in events if event.key not in chosen] + [before])
    acts = (obligation.last_attempt_at, obligation.fulfilled_at, obligation.rejected_at, obligation.withdrawn_at, obligation.changed_at)
    if any(at is not None and at >= seam for at in acts):
        yield 'obligation %s is sealed, and something acted on it after the seam' % oracle.format_uuid(obligation.id)
    if not obligation.closed and obligation.due_to is not None and obligation.due_to >= before:
        yield 'obligation %s is sealed, and still owed' % oracle.format_uuid(obligation.id)


def seal(deriver, naturals, before, left):
    """left: pairs (event hash, occurred_at) of the events before `before` that are still stored. The retentions of the deriver are
    those that were decided before. -> (Retention, offences against the page, what was derived before it)."""
    derived = deriver.derive(naturals)
    older = [event for event in derived.events if event.time < before]
    sealed = [event for event in older if (event.hash, event.time) not in left]
    wrong = list(offences(derived, sealed, before))
    unknown = left - {(event.hash, event.time) for event in older}
    if unknown:
        wrong.append('%d events are stored that should not be, %s is one' % (len(unknown), oracle.format_uuid(min(unknown)[0])))
    retention = Retention({'before': before, 'forgettings': len(deriver.forgettings.all), 'kept': [], 'sealed': [], 'journey': [],
                           'obligation': [], 'course': [], 'lost': {}})
    retention.kept = {event.key for event in older} - {event.key for event in sealed}
    retention.sealed = {event.key: Carried(event.customer, *event.known_by, bool(event.traits.purchase)) for event in sealed}
    retention.rows = constants_of(derived, sealed)
    after = deriver_with(deriver, deriver.retentions.all + [retention]).derive(naturals)
    retention.lost = {table: [(tuple(d), c) for d, c in rows] for table, rows in lost_between(derived, after).items()}
    wrong += changes(derived, after)
    return retention, wrong, derived


def changes(derived, after):
    """Rows that differ, in words. Aggregates cannot: what they lost was told from the difference."""
    for name in oracle.DERIVED:
        if name == 'interaction' or name in AGGREGATES:
            continue
        had, has = set(oracle.table_lines(derived, name)), set(oracle.table_lines(after, name))
        for line in sorted(had - has)[:3]:
            yield '%s: a row would go or change: %s' % (name, line)
        for line in sorted(has - had)[:3]:
            yield '%s: a row would come or change: %s' % (name, line)
    attributed = {event.key: (event.customer, event.journey and event.journey.id) for event in derived.events}
    for event in after.events:
        if attributed[event.key] != (event.customer, event.journey and event.journey.id):
            yield 'event %s would move' % oracle.format_uuid(event.hash)
