#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the oracle derives into the empty tables of a migrated database, without the consumer.

It lets the views of schema bi and compare.py be tested on their own. Aggregates are spread over two slots, one of
them partly negative, as writers may leave them.

    load.py --database 'host=... dbname=scratch' --rules polku.yaml --key-file key events.jsonl ...
"""

import argparse
import hashlib
import os
import subprocess
import sys

import polku_oracle as oracle


def moment(column):
    return "('epoch'::timestamptz + %s::bigint * interval '1 microsecond')" % column


def word(column):
    return '(SELECT d.id FROM polku.dictionary d WHERE d.text = r.%s)' % column


def words(column):
    return 'ARRAY(SELECT d.id FROM json_array_elements_text(r.%s::json) WITH ORDINALITY t (text, place) ' \
           'JOIN polku.dictionary d USING (text) ORDER BY place)' % column


def code(column, names):
    return "array_position(ARRAY[%s], r.%s) - 1" % (', '.join("'%s'" % n for n in names), column)


def number(column):
    return 'r.%s::bigint' % column


def double(column):
    # PostgreSQL has no float8recv in SQL; main() makes a table of the doubles that there are.
    return '(SELECT d.value::float8 FROM raw_double d WHERE d.hex = r.%s)' % column


KINDS = ('person', 'device', 'case', 'obligation', 'crossing', 'shared')
WORDS = ('source', 'type', 'channel', 'brand', 'unit', 'outcome', 'reason', 'promise_kind',
         'promise_brand', 'promise_unit', 'promise_role', 'to_brand', 'to_unit', 'to_role', 'rating_scale',
         'money_currency', 'money_kind', 'topic', 'cause', 'stage')


JOURNEY_WORDS = ('entry_channel', 'last_channel', 'last_type', 'last_outcome', 'entry_brand', 'entry_unit', 'terminal_outcome',
                 'stage', 'owner_brand', 'owner_unit')
# Dimensions of aggregates that are numbers; all others are words.
NUMBERS = ('score', 'min', 'max', 'fallback', 'clock', 'bucket', 'resolved', 'milestone', 'from_milestone', 'to_milestone')


def insert(table, target, values, source=None):
    return 'INSERT INTO polku.%s (%s) SELECT %s FROM raw_%s r;' % (
        target, ', '.join(values), ', '.join(values.values()), source or table)


def interaction():
    values = {w + '_id': word(w) for w in WORDS}
    values.update({c: 'r.%s::uuid' % c for c in ('event_hash', 'staff')})
    values.update(
        occurred_at=moment('r.occurred_at'), sequence=number('sequence'), event_id='r.event_id',
        content_hash='(CASE WHEN r.content_hash::numeric >= 9223372036854775808 THEN r.content_hash::numeric - '
                     '18446744073709551616 ELSE r.content_hash::numeric END)::bigint',
        kafka_offset='row_number() OVER ()', kafka_topic_id='1', kafka_partition='0',
        customer_kind=code('customer_kind', KINDS),
        direction=code('direction', ('INBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN')),
        actor=code('actor', ('CUSTOMER', 'HUMAN', 'BOT', 'SYSTEM', 'UNKNOWN')),
        sensitivity=code('sensitivity', ('NORMAL', 'SENSITIVE')), handoff='r.handoff::boolean',
        relates_to='r.relates::uuid', customer_id='r.customer::uuid', journey_id='r.journey::uuid',
        case_key='r.case::uuid', promise_id='r.promise::uuid', promise_due_from=moment('r.promise_due_from'),
        promise_due_to=moment('r.promise_due_to'), rating_score=double('rating_score'),
        rating_min=double('rating_min'), rating_max=double('rating_max'),
        money_amount_minor=number('money_amount_minor'),
        identifiers='ARRAY(SELECT json_array_elements_text(r.identifiers::json)::uuid)',
        identifier_namespaces=words('identifier_namespaces'), product='r.product', location='r.location',
        traits=number('traits'),
        attributes='(SELECT jsonb_object_agg(a->>0, a->>1) FROM json_array_elements(r.attributes::json) a)')
    return insert('interaction', 'interaction', values)


def journey():
    values = {w + '_id': word(w) for w in JOURNEY_WORDS}
    for column in oracle.JOURNEY:
        if column.endswith(('_at', '_since')):
            values[column] = moment('r.' + column)
    values.update({c: words(c) for c in ('channels', 'brands', 'units')})
    values.update(resolved='r.resolved::boolean', crowd='r.crowd::boolean', journey_id='r.journey::uuid',
                  customer_id='r.customer::uuid', case_key='r.case::uuid', continues='r.continues::uuid')
    told = set(values) | set(JOURNEY_WORDS) | {'journey', 'customer', 'case'}
    values.update({c: number(c) for c in oracle.JOURNEY if c not in told})
    return insert('journey', 'journey', values)


def obligation():
    values = {w + '_id': word(w) for w in ('kind', 'brand', 'unit', 'role', 'from_brand', 'from_unit', 'currency')}
    values.update({c: moment('r.' + c) for c in oracle.OBLIGATION if c.endswith('_at') or c.startswith('due_') or
                   c == 'first_due_to'})
    values.update({c: number(c) for c in ('attempts', 'cycle', 'amount_minor')})
    values.update(explicit='r.explicit::boolean', handoff='r.handoff::boolean', obligation_id='r.obligation::uuid',
                  label='coalesce(%s, -1) + 1' % code('label', ('attempted_not_reached', 'replied_not_answered')),
                  customer_id='r.customer::uuid', journey_id='r.journey::uuid', case_key='r.case::uuid',
                  opened_by='r.opened_by::uuid', fulfilled_by='r.fulfilled_by::uuid')
    return insert('obligation', 'obligation', values)


def course():
    values = {c: number(c) for c in ('steps', 'furthest', 'violations', 'skipped')}
    values.update(journey_id='r.journey_id::uuid', customer_id='r.customer_id::uuid', definition_id=word('definition'),
                  path_id="CASE WHEN r.path = '' THEN 0 ELSE %s END" % word('path'),
                  start_at=moment('r.start_at'), goal_at=moment('r.goal_at'),
                  reached_at='ARRAY(SELECT %s FROM json_array_elements_text(r.reached_at::json) a)' % moment('a'),
                  failures='ARRAY(SELECT a::integer FROM json_array_elements_text(r.failures::json) a)')
    return insert('course', 'course', values)


def aggregate(name):
    """Two slots: the first has three times the count, the second takes two thirds away."""
    found = []
    (time, *dimensions), counts = oracle.AGGREGATES[name]
    for slot, factor in ((1, 3), (2, -2)):
        values = {time: "coalesce(%s, 'infinity')" % moment('r.' + time)}
        for dimension in dimensions:
            if dimension in NUMBERS:
                values[dimension] = number(dimension)
            else:
                values[dimension + '_id'] = 'coalesce(%s, 0)' % word(dimension)
        values.update({c: '%d * r.%s::bigint' % (factor, c) for c in counts})
        values['slot'] = str(slot)
        found.append(insert(name, name, values))
    return '\n'.join(found)


KEY = ('hash', 'namespace', 'flags', 'first_at', 'customer')
MEETING = ('meeting', 'members', 'namespaces', 'first_at', 'sequence', 'source', 'event_id')
DECISION = ('kind', 'a', 'b')


def raw_identity(derived, decisions):
    """Name -> (columns, canonical rows) of what identity is stored as: persons, meetings, decisions."""
    apart = {x for pair in decisions.apart for x in pair}
    keys, met = [], {}
    for row in oracle.identifier_rows(derived):
        person = row['identifier']
        flags = row['shared'] + 2 * row['oversize'] + 16 * (person in decisions.unlinked) + 32 * (person in apart) + \
            64 * derived.identity.persons[person].rule.unique
        keys.append((person, row['namespace'], flags, row['first_at'], row['customer']))
    for event in derived.events:        # in event order: the first of each meeting stays
        if len(event.persons) > 1:
            met.setdefault(tuple(p.hash for p in event.persons), event)
    meetings = [(hashlib.blake2b(b''.join(members), digest_size=16).digest(),
                 oracle.compact([oracle.format_uuid(m) for m in members]),
                 oracle.compact([p.namespace for p in event.persons]), event.time, event.field['sequence'],
                 event.field['source'], event.field['event_id']) for members, event in met.items()]
    found = [(0, a, None) for a in decisions.blocked] + [(1, a, None) for a in decisions.unlinked] + \
        [(2, *sorted(pair)) for pair in {frozenset(pair) for pair in decisions.apart}]
    return {name: (columns, ['\t'.join(map(oracle.canonical, row)) for row in rows]) for name, columns, rows in (
        ('key', KEY, keys), ('meeting', MEETING, meetings), ('decision', DECISION, found))}


def identity():
    keys = {'cell_id': '1', 'kind': '0', 'hash': 'r.hash::uuid', 'namespace_id': word('namespace'), 'flags': 'r.flags::integer',
            'first_at': moment('r.first_at'), 'customer_id': 'r.customer::uuid'}
    meetings = {'identifier': "json_array_elements_text(r.members::json)::uuid", 'meeting_id': 'r.meeting::uuid',
                'members': 'ARRAY(SELECT json_array_elements_text(r.members::json)::uuid)',
                'member_namespaces': words('namespaces'), 'first_at': moment('r.first_at'),
                'first_sequence': number('sequence'), 'first_source_id': word('source'), 'first_event_id': 'r.event_id'}
    decisions = {'kind': 'r.kind::smallint', 'a_kind': '0', 'b_kind': 'CASE WHEN r.kind = \'2\' THEN 0 END',
                 'a': 'r.a::uuid', 'b': 'r.b::uuid', 'decided_by': "'load.py'"}
    return '\n'.join((insert('key', 'identifier', keys), insert('meeting', 'identity_meeting', meetings),
                      insert('decision', 'decision', decisions)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--database', help='database name or connection string of psql')
    oracle.add_input_arguments(parser)
    args = parser.parse_args()
    decisions = oracle.Decisions.load(args.decisions) if args.decisions else oracle.Decisions()
    derived = oracle.derive_from(args, decisions)
    names = [name for name in oracle.DERIVED if name not in ('identifier', 'identity_link')]
    raw = {name: (oracle.TABLES[name][0], oracle.table_lines(derived, name)) for name in names}
    raw.update(raw_identity(derived, decisions))
    script = ["SET client_min_messages = warning; SET TimeZone = 'UTC'; BEGIN;"]
    for name, (columns, lines) in raw.items():
        script.append('CREATE TEMP TABLE raw_%s (%s);' % (name, ', '.join('"%s" text' % c for c in columns)))
        script.append('COPY raw_%s FROM STDIN;' % name)
        script += lines + ['\\.']
    texts = {value for name in names for row in oracle.table_rows(derived, name) for value in row.values()
             if isinstance(value, str)}
    for event in derived.events:
        texts.update(i['namespace'] for i in event.field['identifiers'])
    for found in derived.journeys:
        texts |= found.channels | found.brands | found.units
    doubles = {event.field['rating'][name] for event in derived.events if event.field['rating'] for name in
               ('score', 'min', 'max')}
    script += ['CREATE TEMP TABLE raw_double (hex text, value text);', 'COPY raw_double FROM STDIN;']
    script += ['%s\t%r' % (oracle.canonical(value), value) for value in sorted(doubles)] + ['\\.']
    script += ['CREATE TEMP TABLE raw_text (text text);', 'COPY raw_text FROM STDIN;']
    script += sorted(map(oracle.canonical, texts)) + ['\\.']
    script += [
        'INSERT INTO polku.dictionary (text) SELECT text FROM raw_text ON CONFLICT DO NOTHING;',
        "SELECT polku.ensure_months(ARRAY(SELECT DISTINCT %s::date FROM raw_interaction r)) \\g /dev/null" %
        moment('r.occurred_at'),
        interaction(), journey(), obligation(), course(), identity(),
        insert('customer', 'customer', {'customer_id': 'r.customer::uuid', 'kind': code('kind', KINDS),
                                        'namespace_id': word('namespace'), 'purchases': number('purchases'),
                                        'first_purchase_at': moment('r.first_purchase_at'),
                                        'last_purchase_at': moment('r.last_purchase_at')}),
        *map(aggregate, oracle.AGGREGATES), 'COMMIT;']
    command = ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-']
    if args.database:
        command += ['-d', args.database]
    return subprocess.run(command, input='\n'.join(script + ['']).encode(), check=False,
                          env=dict(os.environ, PGCLIENTENCODING='UTF8')).returncode


if __name__ == '__main__':
    sys.exit(main())
