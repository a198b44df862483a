#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The independent oracle: derives every table of Polku in one batch from a set of events.

It was written from docs/semantics.md and shares nothing with the C code. It is plain on purpose: read all
events, keep one of each identity, sort, walk. Input is what `polku-producer send` reads (JSON Lines with the
schema's field names), output are *canonical rows*, the text that PostgreSQL's COPY would print: fields between
tabs, \\N for null, times as integer microseconds, ids as lower-case uuids with dashes, truth as t or f, sets as
JSON arrays in byte order, doubles as the hexadecimal of their eight bytes. Rows are sorted by bytes.

Decisions are JSON Lines, one for each that is in force; a and b are identifier hashes in hexadecimal, dashes optional:

    {"kind": "block", "a": "<hash>"}    {"kind": "unlink", "a": "<hash>"}    {"kind": "apart", "a": "<hash>", "b": "<hash>"}

Of events that were sealed (3.8) the oracle takes what they mean for identity from the events, and what they left behind from
a file of retentions (retention.py).

    polku_oracle.py derive --rules deploy/polku.yaml --key-file key --out-dir tables events.jsonl ...
    polku_oracle.py derive --rules ... --key-file ... --decisions decisions.jsonl --table journey events.jsonl
"""

import argparse
import bisect
import collections
import gc
import hashlib
import itertools
import json
import os
import re
import struct
import sys
import types

from aggregates import AGGREGATES, aggregate_rows, lost_rows
from business_time import calendar_of
from courses import courses_of
from journey_facts import Journey
from matches import MATCH_FIELDS
from moments import (DAY, HOUR, MAX_TIME, MIN_TIME, InputError, day_of, format_time, hour_of, parse_duration,  # noqa: F401
                     parse_moment, parse_time)
from needs import find_repeats
from retention import Retentions
from rule_book import Rules

DEFAULT_SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'schemas', 'interaction.avsc')


def format_uuid(raw):
    text = raw.hex()
    return '-'.join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


LEDGER_ID = re.compile(r'[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}')


def parse_ledger_id(text):
    """The 16 bytes of a uuid, dashes optional; None if the text is none."""
    return bytes.fromhex(text.replace('-', '')) if LEDGER_ID.fullmatch(text) else None


class Hasher:
    """H(x) of semantics 1: keyed BLAKE2b with 16 bytes of result."""

    def __init__(self, key):
        if not 16 <= len(key) <= 64:
            raise InputError('the hash key has %d bytes, 16 to 64 are allowed' % len(key))
        self.base = hashlib.blake2b(digest_size=16, key=key)

    def __call__(self, data):
        state = self.base.copy()
        state.update(data)
        return state.digest()

    def parts(self, *parts):
        return self(b'\0'.join(p if isinstance(p, bytes) else p.encode() for p in parts))


def read_key(path):
    with open(path, encoding='ascii') as file:
        return bytes.fromhex(''.join(file.read().split()))


# ---------------------------------------------------------------- the event: natural JSON and its canonical form

def encode_long(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 0x7f:
        out.append((n & 0x7f) | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


SMALL_LONG = {n: encode_long(n) for n in range(-64, 2048)}


class Schema:
    """schemas/interaction.avsc: fills defaults of natural JSON and writes Avro binary, in the file's field order."""

    def __init__(self, path=DEFAULT_SCHEMA):
        with open(path, encoding='utf-8') as file:
            tree = json.load(file)
        self.named = {}
        self.fields = tree['fields']
        self.read, self.encode = self._compile(tree, '')

    def _compile(self, node, where):
        """-> (read: natural JSON -> value, encode: value -> Avro binary)."""
        if isinstance(node, str):
            if node in self.named:
                return self.named[node]
            node = {'type': node}
        if isinstance(node, list):
            return self._compile_union(node, where)
        kind = node['type']
        if isinstance(kind, (dict, list)):
            return self._compile(kind, where)
        if kind in ('int', 'long'):
            pair = self._compile_long('timestamp' in node.get('logicalType', ''), where)
        elif kind == 'string':
            pair = self._compile_string(where)
        elif kind == 'double':
            pair = (lambda v: self._number(v, where)), struct.Struct('<d').pack
        elif kind == 'float':
            pair = (lambda v: self._number(v, where)), struct.Struct('<f').pack
        elif kind == 'boolean':
            pair = (lambda v: self._is(v, bool, where)), lambda v: b'\1' if v else b'\0'
        elif kind == 'enum':
            pair = self._compile_enum(node, where)
        elif kind == 'array':
            pair = self._compile_array(node['items'], where)
        elif kind == 'map':
            pair = self._compile_map(node['values'], where)
        elif kind == 'record':
            pair = self._compile_record(node, where)
        elif kind in self.named:
            return self.named[kind]
        else:
            raise InputError('schema: type %r of %s is not known here' % (kind, where))
        if 'name' in node and kind in ('record', 'enum'):
            self.named[node['name']] = pair
        return pair

    @staticmethod
    def _is(value, kind, where):
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError('%s: %r is not a value of this field' % (where, value))
        return value

    @classmethod
    def _number(cls, value, where):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError('%s: %r is not a number' % (where, value))
        return float(value)

    def _compile_long(self, is_time, where):
        def read(value):
            if is_time and isinstance(value, str):
                return parse_time(value)
            return self._is(value, int, where)

        def encode(value):
            return SMALL_LONG.get(value) or encode_long(value)
        return read, encode

    def _compile_string(self, where):
        def encode(value):
            data = value.encode()
            return encode_long(len(data)) + data
        return (lambda v: self._is(v, str, where)), encode

    def _compile_enum(self, node, where):
        code = {symbol: encode_long(i) for i, symbol in enumerate(node['symbols'])}

        def read(value):
            if value not in code:
                raise InputError('%s: %r is no symbol of this field' % (where, value))
            return value
        return read, code.__getitem__

    def _compile_union(self, node, where):
        if len(node) != 2 or 'null' not in node:
            raise InputError('schema: %s is a union other than null and one type' % where)
        null = node.index('null')
        read_some, encode_some = self._compile(node[1 - null], where)
        absent, present = encode_long(null), encode_long(1 - null)
        return (lambda v: None if v is None else read_some(v),
                lambda v: absent if v is None else present + encode_some(v))

    def _compile_array(self, items, where):
        read_one, encode_one = self._compile(items, where + '[]')

        def encode(values):
            if not values:
                return b'\0'
            return encode_long(len(values)) + b''.join(map(encode_one, values)) + b'\0'
        return (lambda v: [read_one(x) for x in self._is(v, list, where)]), encode

    def _compile_map(self, values, where):
        read_one, encode_one = self._compile(values, where + '{}')
        encode_key = self._compile_string(where)[1]

        def encode(value):
            if not value:
                return b'\0'
            keys = sorted(value, key=str.encode)
            return encode_long(len(keys)) + b''.join(encode_key(k) + encode_one(value[k]) for k in keys) + b'\0'
        return (lambda v: {k: read_one(x) for k, x in self._is(v, dict, where).items()}), encode

    def _compile_record(self, node, where):
        fields = []
        for field in node['fields']:
            name = where + ('.' if where else '') + field['name']
            read, encode = self._compile(field['type'], name)
            fields.append((field['name'], read, encode, 'default' in field, field.get('default')))
        names = {f[0] for f in fields}

        def read_record(value):
            self._is(value, dict, where or 'event')
            unknown = value.keys() - names
            if unknown:
                raise InputError('%s: unknown field %s' % (where or 'event', ', '.join(sorted(unknown))))
            result = {}
            for name, read, _, has_default, default in fields:
                if name in value:
                    result[name] = read(value[name])
                elif has_default:
                    result[name] = read(default)
                else:
                    raise InputError('%s is missing' % (where + ('.' if where else '') + name))
            return result

        def encode_record(value):
            return b''.join([encode(value[name]) for name, _, encode, _, _ in fields])
        return read_record, encode_record


# ---------------------------------------------------------------- identifiers

ASCII_SPACE = b'\t\n\v\f\r '
ZEROS = re.compile(rb'[-+.: ]*0[-+.: 0]*')


def is_blocked(value, rules, also=frozenset()):
    """`also`: the `blocked` values of the namespace."""
    low = value.lower()
    return not value or low in rules.blocked or low in also or ZEROS.fullmatch(value) is not None


def normalise_phone(value, country):
    value = value.replace(b'(0)', b'')
    first = re.search(rb'[0-9]', value)
    if not first:
        return b''
    plus = b'+' in value[:first.start()]
    digits = re.sub(rb'[^0-9]', b'', value)
    if plus:
        return digits
    if digits.startswith(b'00'):
        return digits[2:]
    return country.encode() + (digits[1:] if digits.startswith(b'0') else digits)


def normalise(value, how, rules, also=frozenset()):
    """Value of an identifier as bytes -> the bytes that are hashed, None if it is blocked."""
    value = value.strip(ASCII_SPACE)
    if is_blocked(value, rules, also):
        return None
    if how == 'email':
        value = value.lower()
    elif how == 'phone':
        value = normalise_phone(value, rules.phone_country)
    elif how != 'none':
        raise InputError('rules: normaliser %r is not known' % how)
    return None if is_blocked(value, rules, also) else value


# ---------------------------------------------------------------- identity: semantics 3

class Decisions:
    """Semantics 3.6: those that are in force. apart holds pairs of hashes, either way round."""

    def __init__(self, nodes=()):
        self.blocked, self.unlinked, self.apart = set(), set(), set()
        for node in nodes:
            if not isinstance(node, dict) or node.keys() - {'kind', 'a', 'b'}:
                raise InputError('decisions: %r is none' % (node,))
            a, b = (None if node.get(end) is None else parse_ledger_id(node[end]) for end in 'ab')
            if a is None or (b is None) != (node.get('b') is None) or \
                    (b is not None) != (node['kind'] == 'apart') or a == b:
                raise InputError('decisions: %r names other hashes than its kind needs' % (node,))
            if node['kind'] == 'block':
                self.blocked.add(a)
            elif node['kind'] == 'unlink':
                self.unlinked.add(a)
            elif node['kind'] == 'apart':
                self.apart.add((a, b))
            else:
                raise InputError('decisions: kind %r is not known' % node['kind'])

    @classmethod
    def load(cls, path):
        return cls(read_lines([path]))


class Forgettings:
    """Semantics 3.7: in the order in which they were decided. Nodes have until (microseconds), mode (delete, anonymise),
    names (hashes, or objects with `name`) and events (objects with name, event, at)."""

    def __init__(self, nodes=()):
        self.all = []
        for node in nodes:
            if not isinstance(node, dict) or node.get('mode') not in ('delete', 'anonymise'):
                raise InputError('forgettings: %r is none' % (node,))
            names = {parse_ledger_id(n['name'] if isinstance(n, dict) else n) for n in node['names']}
            events = {(parse_ledger_id(e['name']), parse_ledger_id(e['event']), e['at']) for e in node['events']}
            self.all.append((node['until'], names, events, node['mode']))

    @classmethod
    def load(cls, path):
        return cls(read_lines([path]))

    def names_after(self, number):
        """Those of all but the first `number` forgettings."""
        return set().union(*(names for _, names, _, _ in self.all[number:]))

    def apply(self, event, number=None):
        """-> the event as it is taken; None if it is none. number: by so many first ones alone."""
        names = [i.hash for i in event.persons + event.devices] + ([event.case] if event.case else [])
        weak = [i.hash for i in event.devices] + ([event.case] if event.case else [])
        struck = set()
        for until, forgotten, events, mode in self.all[:number]:
            gone = any((name, event.hash, event.time) in events for name in names)
            if event.time <= until:
                gone = gone or (event.persons[0].hash in forgotten if event.persons else
                                any(name in forgotten for name in weak))
                struck |= forgotten
            if gone:
                return None if mode == 'delete' else self._anonymised(event)
        kept = [i is None or i not in struck for i in event.identifiers]
        if not all(kept):
            event.field = dict(event.field, identifiers=[i for i, stays in zip(event.field['identifiers'], kept) if stays])
            event.identifiers = [i for i, stays in zip(event.identifiers, kept) if stays]
        event.persons = [i for i in event.persons if i.hash not in struck]
        event.devices = [i for i in event.devices if i.hash not in struck]
        if event.case in struck:
            event.case = None
        return event

    @staticmethod
    def _anonymised(event):
        event.field = dict(event.field, identifiers=[], case_id=None, staff=None, relates_to=None, obligation=None,
                           handoff=None, product=None, location=None, attributes={})
        event.case = event.staff = event.relates = event.promise = None
        event.identifiers, event.persons, event.devices = [], [], []
        return event


Identifier = collections.namedtuple('Identifier', 'hash namespace rule')  # its full namespace; rule is a Namespace


def strength(identifier):
    return identifier.rule.priority


class Sets:
    """Disjoint sets of hashable things: find and join."""

    def __init__(self):
        self.parent, self.size = {}, {}

    def find(self, x):
        parent = self.parent
        root = x
        while parent.get(root, root) != root:
            root = parent[root]
        while x != root:
            parent[x], x = root, parent.get(x, x)
        return root

    def join(self, x, y):
        """-> (root of the joined set, root that is none any more, or None if they were one)."""
        x, y = self.find(x), self.find(y)
        if x == y:
            return x, None
        if self.size.get(x, 1) < self.size.get(y, 1):
            x, y = y, x
        self.parent[y] = x
        self.size[x] = self.size.get(x, 1) + self.size.pop(y, 1)
        return x, y


class Link:
    __slots__ = ('a', 'b', 'event', 'refused')

    def __init__(self, a, b, event):
        self.a, self.b, self.event, self.refused = a, b, event, None


class Identity:
    """Customers of all events (given in event order), and whose each event is. Sealed ones count for the customers alone."""

    def __init__(self, events, rules, decisions, sealed=()):
        self.rules, self.decisions = rules, decisions
        self.persons = {}       # hash -> Identifier
        self.first_at = {}      # hash of a person -> time of the first event that carries it
        self.links = []
        self.customer_of = {}   # hash of a not shared person -> customer id
        everything = sorted(itertools.chain(events, sealed), key=lambda e: e.order) if sealed else events
        for event in everything:
            event.met = tuple(person.hash for person in event.persons)  # whatever is blocked
            self._apply_blocks(event)
            for person in event.persons:
                if person.hash not in self.persons:
                    self.persons[person.hash] = person
                    self.first_at[person.hash] = event.time
        self.shared = self._shared_persons(everything)
        self._make_links(everything)
        self._make_customers()
        self._attribute(events)

    def _apply_blocks(self, event):
        blocked = self.decisions.blocked
        if blocked:
            event.persons = [p for p in event.persons if p.hash not in blocked]
            event.devices = [d for d in event.devices if d.hash not in blocked]

    # -- 3.1, 3.2

    @classmethod
    def is_meeting(cls, event):
        return len(event.persons) > 1 and event.meets and not cls._contradicts(event)

    @staticmethod
    def _contradicts(event):
        unique = [person.namespace for person in event.persons if person.rule.unique]
        return len(unique) != len(set(unique))

    def _shared_persons(self, events):
        met = {}        # hash -> hashes that it meets
        for event in events:
            if self.is_meeting(event):
                hashes = [person.hash for person in event.persons]
                for x in hashes:
                    met.setdefault(x, set()).update(hashes)
        shared = set()
        for x, others in met.items():
            others.discard(x)
            rule = self.persons[x].rule
            people = collections.Counter(self.persons[y].namespace for y in others if self.persons[y].rule.unique)
            if len(others) > rule.max_links or any(count > rule.max_people for count in people.values()):
                shared.add(x)
        return shared

    # -- 3.3

    def _make_links(self, events):
        left_out = self.shared | self.decisions.unlinked
        found = {}
        for event in events:
            if self.is_meeting(event):
                linking = [person for person in event.persons if person.hash not in left_out]
                for other in linking[1:]:
                    a, b = sorted((linking[0], other), key=lambda p: (p.rule.priority, p.hash))
                    if (a.hash, b.hash) not in found:
                        found[a.hash, b.hash] = Link(a, b, event)
        self.links = sorted(found.values(), key=lambda l: (l.a.rule.priority, l.b.rule.priority, l.event.order,
                                                          l.a.hash, l.b.hash))
        self.components = Sets()
        for link in self.links:
            self.components.join(link.a.hash, link.b.hash)

    def is_oversize(self, person):
        components = self.components
        return components.size.get(components.find(person), 1) > self.rules.max_component

    def _make_customers(self):
        sets, unique, apart = Sets(), {}, {}   # root -> its unique namespaces; root -> persons kept apart from it
        for x, person in self.persons.items():
            if person.rule.unique:
                unique[x] = {person.namespace}
        for x, y in self.decisions.apart:
            apart.setdefault(x, set()).add(y)
            apart.setdefault(y, set()).add(x)
        for link in self.links:
            a, b = sets.find(link.a.hash), sets.find(link.b.hash)
            if a == b:
                continue
            if unique.get(a) and unique.get(b) and not unique[a].isdisjoint(unique[b]):
                link.refused = 'unique'
            elif any(sets.find(x) == b for x in apart.get(a, ())):
                link.refused = 'apart'
            elif self.is_oversize(a):
                link.refused = 'oversize'
            else:
                root, gone = sets.join(a, b)
                for found in (unique, apart):
                    if gone in found:
                        found.setdefault(root, set()).update(found.pop(gone))
        first = {}      # root -> the smallest (priority, first occurred_at, hash)
        for x, person in self.persons.items():
            if x not in self.shared:
                rank = (person.rule.priority, self.first_at[x], x)
                root = sets.find(x)
                first[root] = min(rank, first.get(root, rank))
        for x in self.persons:
            if x not in self.shared:
                self.customer_of[x] = first[sets.find(x)][2]

    # -- 3.4

    def _own(self, event):
        return next((person for person in event.persons if person.hash not in self.shared), None)

    def _names(self, event):
        """(hash, lookback, lookahead, (kind, namespace)) of its devices, shared persons and case, strongest first."""
        for device in event.devices:
            yield device.hash, device.rule.lookback, device.rule.lookahead, ('device', device.namespace)
        for person in event.persons:
            if person.hash in self.shared:
                reach = person.rule.shared_lookback
                yield person.hash, reach, reach, ('shared', person.namespace)
        if event.case is not None:
            yield event.case, self.rules.case_gap, self.rules.case_gap, ('case', None)

    def _attribute(self, events):
        sightings = {}  # name -> (times, (event, own person)), both in event order
        waiting = []
        for event in events:
            own = self._own(event)
            if own is None:
                waiting.append(event)
                continue
            self._give(event, own)
            for name, _, _, _ in self._names(event):
                times, seen = sightings.setdefault(name, ([], []))
                times.append(event.time)
                seen.append((event, own))
        for event in waiting:
            self._borrow(event, sightings)

    def _give(self, event, own):
        event.customer = self.customer_of[own.hash]
        event.known_by = ('person', self.persons[event.customer].namespace)

    def _borrow(self, event, sightings):
        names = list(self._names(event))
        before, after = [], []
        for name, lookback, lookahead, _ in names:
            if name in sightings:
                times, seen = sightings[name]
                place = bisect.bisect_right(times, event.time)
                if place > 0 and event.time - times[place - 1] <= lookback:
                    before.append(seen[place - 1])
                if place < len(times) and times[place] - event.time <= lookahead:
                    after.append(seen[place])
        if before:
            self._give(event, max(before, key=lambda s: s[0].order)[1])
        elif after:
            self._give(event, min(after, key=lambda s: s[0].order)[1])
        elif names:
            event.customer, event.known_by = names[0][0], names[0][3]
        else:
            event.customer, event.known_by = None, (None, None)


# ---------------------------------------------------------------- derive

class Event:
    __slots__ = ('field', 'time', 'order', 'hash', 'content', 'signature', 'traits', 'persons', 'devices', 'customer',
                 'known_by', 'case', 'staff', 'relates', 'promise', 'identifiers', 'journey', 'need', 'repeat', 'repeated', 'meets',
                 'met')

    @property
    def key(self):
        return self.hash, self.time, self.content


class Obligation:
    __slots__ = ('id', 'kind', 'opener', 'rule', 'explicit', 'brand', 'unit', 'role', 'from_brand', 'from_unit', 'cycle',
                 'handoff', 'amount_minor', 'currency', 'due_from', 'first_due_to',
                 'due_to', 'changed_at', 'attempts', 'first_attempt_at', 'last_attempt_at', 'fulfilled_at',
                 'fulfilled_by', 'rejected_at', 'withdrawn_at')

    def __init__(self, ledger_id, kind, opener, rule, record, calendars):
        self.id, self.kind, self.opener, self.rule = ledger_id, kind, opener, rule
        self.explicit = record is not None
        field = opener.field
        handoff = field['handoff'] or {}
        named = record or {}
        for brand, unit, role in (named.get('brand'), named.get('unit'), named.get('role')), \
                                 (handoff.get('to_brand'), handoff.get('to_unit'), handoff.get('to_role')), \
                                 (field['brand'], field['unit'], None):
            if brand is not None or unit is not None or role is not None:
                break
        self.brand, self.unit, self.role = brand if brand is not None else field['brand'], unit, role
        self.from_brand, self.from_unit = field['brand'], field['unit']
        self.cycle = None   # known just before the opening event acts
        self.handoff = rule is not None and rule.handoff
        money = field['money'] or {}
        self.amount_minor, self.currency = money.get('amount_minor'), money.get('currency')
        if record:
            self.due_from, self.due_to = record['due_from'], record['due_to']
        else:
            self.due_from = None
            self.due_to = rule.due(opener.time, calendar_of(calendars, self.brand, self.unit))
        self.first_due_to = self.due_to
        self.changed_at = self.first_attempt_at = self.last_attempt_at = self.fulfilled_at = None
        self.fulfilled_by = self.rejected_at = self.withdrawn_at = None
        self.attempts = 0

    @property
    def closed(self):
        return not (self.fulfilled_at is None and self.rejected_at is None and self.withdrawn_at is None)

    @property
    def age(self):
        return (self.opener.order, self.id)

    @property
    def opened_at(self):
        return self.opener.time

    @property
    def label(self):
        return self.rule.label if self.rule else None

    def state(self, as_of=None):
        return state_of(self, as_of)


def state_of(one, as_of=None):
    """Semantics 5: state of an obligation (or of its row) as of a moment; None is the end of time without overdue. None if not opened yet."""
    if as_of is not None and one.opened_at > as_of:
        return None

    def happened(moment):
        return moment is not None and (as_of is None or moment <= as_of)
    changed = happened(one.changed_at)
    due = one.due_to if changed or one.changed_at is None else one.first_due_to
    fulfilled = one.fulfilled_at if happened(one.fulfilled_at) else None
    withdrawn, rejected = happened(one.withdrawn_at), happened(one.rejected_at)
    passed = as_of is not None and due is not None and due < as_of
    late = fulfilled is not None and due is not None and fulfilled > due
    if withdrawn:
        state = 'withdrawn'
    elif rejected:
        state = 'rejected'
    elif late:
        state = 'late'
    elif fulfilled is not None:
        window = one.due_from is not None and due is not None
        state = 'kept_late_in_window' if window and \
            10 * (fulfilled - one.due_from) > 9 * (due - one.due_from) else 'kept'
    elif one.label and happened(one.first_attempt_at):
        state = one.label
    elif passed:
        state = 'overdue'
    else:
        state = 'open'
    closed_at = fulfilled if fulfilled is not None else one.rejected_at if rejected else \
        one.withdrawn_at if withdrawn else None
    in_window = fulfilled is not None and None not in (one.due_from, due) and due != one.due_from
    return {
        'state': state, 'closed': closed_at is not None, 'overdue': passed and closed_at is None,
        'broken': passed and not (withdrawn or rejected or (fulfilled is not None and fulfilled <= due)),
        'early': fulfilled is not None and one.due_from is not None and fulfilled < one.due_from,
        'no_deadline': due is None, 'no_owner': one.unit is None and one.role is None,
        'due_to': due, 'changed_at': one.changed_at if changed else None,
        'first_attempt_at': one.first_attempt_at if happened(one.first_attempt_at) else None,
        'last_attempt_at': one.last_attempt_at if happened(one.last_attempt_at) else None,
        'fulfilled_at': fulfilled, 'fulfilled_by': None if fulfilled is None else one.fulfilled_by,
        'rejected_at': one.rejected_at if rejected else None,
        'withdrawn_at': one.withdrawn_at if withdrawn else None,
        'position': millionths(fulfilled - one.due_from, due - one.due_from) if in_window else None,
        'slack': None if fulfilled is None or due is None else due - fulfilled,
        'open_for': None if closed_at is None and as_of is None else
                    max(0, (as_of if closed_at is None else closed_at) - one.opened_at),
    }


def millionths(part, whole):
    """part / whole in millionths, halves away from zero; whole > 0."""
    found = (2 * abs(part) * 1000000 + whole) // (2 * whole)
    return found if part >= 0 else -found


class Derived:
    """Everything that follows from the events: lists of Event, Journey, Obligation, Course."""

    def __init__(self):
        self.events, self.journeys, self.obligations, self.courses = [], [], [], []
        self.rules = None
        self.customers = {}
        self.identity = None
        self.invalid = []           # (reason, event as read)
        self.forgotten = 0          # records of events that are deleted: semantics 3.7
        self.sealed = []            # events that were sealed: semantics 3.8
        self.expired = 0            # records that are too old by it
        self.retentions = Retentions()
        self.gone = lambda number: ()   # names that were forgotten after so many forgettings
        self.carry = {}             # customer id -> Carry
        self.sealed_at = {}         # person -> time of the first sealed event that carries it
        self.conflicts = 0          # records displaced by another content of the same identity


def reason_invalid(field, rules):
    """Semantics 1, validity, as far as it does not depend on the record's Kafka timestamp; None if valid."""
    if not MIN_TIME <= field['occurred_at'] < MAX_TIME:
        return 'invalid'
    if '/' in field['source'] or not field['source'] or not field['event_id']:
        return 'invalid'
    relates, record = field['relates_to'], field['obligation']
    if relates is not None and '/' not in relates and parse_ledger_id(relates) is None:
        return 'invalid'
    if record and None not in (record['due_from'], record['due_to']) and record['due_from'] > record['due_to']:
        return 'invalid'
    if field['occurred_at'] < rules.horizon:
        return 'too_late'
    return None


class Deriver:
    def __init__(self, rules, key, schema=None, decisions=None, forgettings=None, retentions=None):
        self.rules, self.hash = rules, Hasher(key)
        self.schema = schema or Schema()
        self.decisions = decisions or Decisions()
        self.forgettings = forgettings or Forgettings()
        self.retentions = retentions or Retentions()
        self._identifiers = {}

    def derive(self, naturals):
        """naturals: events as natural JSON objects, in any order, with duplicates."""
        result = Derived()
        result.rules, result.retentions, result.gone = self.rules, self.retentions, self.forgettings.names_after
        result.events = self._events(naturals, result)
        result.carry = self.retentions.carry(result.gone)
        for event in reversed(result.sealed):
            result.sealed_at.update((person.hash, event.time) for person in event.persons)
        result.identity = Identity(result.events, self.rules, self.decisions, result.sealed)
        for event in result.events:
            if event.customer is not None:
                result.customers.setdefault(event.customer, []).append(event)
        for customer, events in result.customers.items():
            result.journeys += self._journeys(customer, events, result.carry.get(customer))
        find_repeats(result.events)
        for journey in result.journeys:
            journey.tell(self.rules)
            result.courses += courses_of(journey, self.rules.definitions)
        told = {row['obligation'] for row in self.retentions.rows('obligation', result.gone)}
        result.obligations = self._obligations(result.events, told)
        return result

    # -- one event

    def _reserved_hash(self, namespace, value):
        data = normalise(value.encode(), 'none', self.rules)
        return None if data is None else self.hash.parts(namespace, data)

    def _identifier(self, namespace, value):
        """None if it is blocked or its namespace not known."""
        key = (namespace, value)
        if key not in self._identifiers:
            rule = self.rules.namespace(namespace)
            data = rule and normalise(value.encode(), rule.normalise, self.rules, rule.blocked)
            self._identifiers[key] = data and Identifier(self.hash.parts(namespace, data), namespace, rule)
        return self._identifiers[key]

    def _events(self, naturals, result):
        kept, sealed = {}, {}
        for natural in naturals:
            field = self.schema.read(natural)
            reason = reason_invalid(field, self.rules)
            if reason:
                result.invalid.append((reason, natural))
                continue
            identity = (field['source'], field['event_id'], field['occurred_at'])
            content = int.from_bytes(self.hash(self.schema.encode(field))[:8], 'big')
            event = None
            if self.retentions.all and field['occurred_at'] < self.retentions.before:
                event = self._event(content, field)
                retention = self.retentions.sealed_by(event.key)
                if retention is not None:
                    sealed[event.key] = self._sealed(event, retention)
                    continue
                if not self.retentions.is_kept(event.key):
                    result.expired += 1
                    continue
            if self.forgettings.all:
                event = self.forgettings.apply(self._event(content, field))
                if event is None:
                    result.forgotten += 1
                    continue
            other = kept.get(identity)
            if other is not None and other[0] != content:
                result.conflicts += 1
            if other is None or content < other[0]:
                kept[identity] = (content, field, event)
        result.sealed = sorted(sealed.values(), key=lambda e: e.order)
        return sorted((event or self._event(content, field) for content, field, event in kept.values()),
                      key=lambda e: e.order)

    def _sealed(self, event, retention):
        """What is left of it for identity: a name that was forgotten later takes the meeting with it."""
        event = self.forgettings.apply(event, retention.forgettings)
        later = self.forgettings.names_after(retention.forgettings)
        event.meets = not any(person.hash in later for person in event.persons)
        event.persons = [person for person in event.persons if person.hash not in later]
        return event

    def _event(self, content, field):
        event = Event()
        event.field, event.content, event.time = field, content, field['occurred_at']
        # Python compares text by code point, which for UTF-8 is the order of the bytes.
        event.order = (event.time, field['sequence'], field['source'], field['event_id'])
        event.hash = self.hash.parts(field['source'], field['event_id'])
        event.signature = tuple(field[name] for name in MATCH_FIELDS)
        event.traits = self.rules.traits(event.signature)
        event.journey, event.meets = None, True
        event.case = None if field['case_id'] is None else self._reserved_hash('case_id', field['case_id'])
        event.staff = None if field['staff'] is None else self._reserved_hash('staff', field['staff'])
        event.relates = None
        if field['relates_to'] is not None:
            if '/' in field['relates_to']:
                event.relates = self.hash.parts(*field['relates_to'].split('/', 1))
            else:
                ledger_id = parse_ledger_id(field['relates_to'])
                event.relates = ledger_id if any(ledger_id) else None
        record = field['obligation']
        event.promise = None if record is None else self.hash.parts(field['source'], record['id'])
        found = [self._identifier(i['namespace'], i['value']) for i in field['identifiers']]
        event.identifiers = [i and i.hash for i in found]
        distinct = sorted(dict.fromkeys(filter(None, found)), key=strength)
        event.persons = [i for i in distinct if i.rule.is_person]
        event.devices = [i for i in distinct if not i.rule.is_person]
        return event

    # -- journeys of one customer

    def _journeys(self, customer, events, carry=None):
        if len(events) + (carry.events if carry else 0) > self.rules.max_events:
            return self._crowd_journeys(customer, events)
        journeys, live, journey_of = [], [], {}
        longest = max(self.rules.gap, self.rules.reopen_gap, self.rules.case_gap)
        for event in events:
            live = [j for j in live if event.time - j.last.time <= longest and j.continued_by is None]
            journey = self._joined(event, live, journey_of)
            if not event.traits.passive:
                continued = None
                if journey is not None and event.time - journey.first.time > self.rules.max_span:
                    continued, journey = journey, None
                if journey is None:
                    journey = Journey(event, customer)
                    journeys.append(journey)
                    live.append(journey)
                    if continued is not None:
                        journey.continues, continued.continued_by = continued, journey
                        journey.case = continued.case
                if journey.case is None:
                    journey.case = event.case
            if journey is not None:
                journey.add(event)
            journey_of[event.hash] = journey
        return journeys

    def _joined(self, event, live, journey_of):
        rules = self.rules
        if event.relates is not None:
            journey = journey_of.get(event.relates)
            while journey is not None and journey.continued_by is not None:
                journey = journey.continued_by
            if journey is not None and event.time - journey.last.time <= rules.case_gap:
                return journey
        latest = None
        if event.case is not None:
            for journey in live:
                if journey.case == event.case and event.time - journey.last.time <= rules.case_gap and \
                        (latest is None or journey.last.order > latest.last.order):
                    latest = journey
        if latest is not None:
            return latest
        for journey in live:
            gap = rules.reopen_gap if journey.last.traits.terminal else rules.gap
            if event.time - journey.last.time <= gap and \
                    (journey.case is None or event.case is None or journey.case == event.case) and \
                    (latest is None or journey.last.order > latest.last.order):
                latest = journey
        return latest

    def _crowd_journeys(self, customer, events):
        days = {}
        for event in events:
            day = event.time // DAY
            if day not in days:
                days[day] = Journey(event, customer)
                days[day].crowd = True
            days[day].add(event)
        return list(days.values())

    # -- the ledger of all customers

    def _obligations(self, events, told=frozenset()):
        """told: ledger ids of sealed ones, which nothing opens again."""
        opened, by_id, opened_by = [], {}, {}
        for event in events:
            if event.customer is None:
                continue
            for obligation in self._opened(event, by_id, told):
                by_id[obligation.id] = obligation
                opened_by.setdefault(event.hash, []).append(obligation)
                opened.append(obligation)
        opened.sort(key=lambda o: o.age)
        by_case, by_brand = {}, {}
        for obligation in opened:
            if obligation.opener.case is not None:
                by_case.setdefault((obligation.opener.case, obligation.kind), []).append(obligation)
            by_brand.setdefault((obligation.opener.customer, obligation.brand, obligation.kind), []).append(obligation)
        for event in events:
            self._count_cycles(opened_by.get(event.hash, ()), event, by_brand)
            if event.relates is not None:
                self._act_by_name(event, by_id, opened_by)
            elif event.customer is not None:
                self._act(event, by_case, by_brand)
            record = event.field['obligation']
            if record is not None and event.customer is not None:
                self._change(event, record, by_id)
        return opened

    @staticmethod
    def _count_cycles(opened, event, by_brand):
        """Of the obligations that the event opens, just before it acts."""
        for obligation in opened:
            if obligation.opener is event:
                same = by_brand[event.customer, obligation.brand, obligation.kind]
                obligation.cycle = 1 + max((o.cycle for o in itertools.takewhile(lambda o: o.opener.order < event.order, same)
                                            if not o.closed and o.attempts), default=0)

    def _opened(self, event, by_id, told):
        """What this event opens: of a promise that is known already it opens nothing."""
        record = event.field['obligation']
        if record is not None:
            ledger_id = event.promise
            if ledger_id not in by_id and ledger_id not in told:
                rule = next((r for r in self.rules.kinds if r.kind == record['kind'] and r.valid_at(event.time)), None)
                yield Obligation(ledger_id, record['kind'], event, rule, record, self.rules.calendars)
        kinds = {record['kind']} if record is not None else set()
        for rule in event.traits.opens:
            if rule.kind not in kinds and rule.valid_at(event.time):
                kinds.add(rule.kind)
                ledger_id = self.hash.parts(event.field['source'], event.field['event_id'], str(event.time), rule.kind)
                yield Obligation(ledger_id, rule.kind, event, rule, None, self.rules.calendars)

    def _effect(self, event, obligation):
        """(attempted, closing) of an event on an obligation, None if it has none."""
        attempted, closing = event.traits.acts.get(obligation.rule, (False, None))
        if event.relates is not None:
            name = event.field['type']
            attempted = attempted or name == 'promise.attempted'
            # in this order: fulfils, rejects, withdraws
            named = {'promise.kept': 'fulfil', 'promise.rejected': 'reject', 'promise.withdrawn': 'withdraw'}.get(name)
            closing = min(filter(None, (closing, named)), key=('fulfil', 'reject', 'withdraw').index, default=None)
        return (attempted, closing) if attempted or closing else None

    def _act_by_name(self, event, by_id, opened_by):
        named = {}
        if event.relates in by_id:
            named[event.relates] = by_id[event.relates]
        named.update((o.id, o) for o in opened_by.get(event.relates, ()))
        targets = collections.defaultdict(list)
        for obligation in sorted(named.values(), key=lambda o: o.age):
            if obligation.opener is not event and not obligation.closed and self._effect(event, obligation):
                targets[obligation.kind].append(obligation)
        for found in targets.values():
            self._apply(event, found)

    def _act(self, event, by_case, by_brand):
        for kind in sorted({rule.kind for rule in event.traits.acts}):
            found = []
            if event.case is not None:
                found = self._open_targets(event, by_case.get((event.case, kind)), lambda o:
                                           o.opener.customer == event.customer or (o.rule and o.rule.across))
            if not found:
                found = self._open_targets(event, by_brand.get((event.customer, event.field['brand'], kind)), lambda o:
                                           event.case is None or o.opener.case is None)
            if found:
                self._apply(event, found)

    def _open_targets(self, event, candidates, eligible):
        """Of candidates, oldest first, the open ones on which the event acts; closed ones leave the list."""
        if not candidates:
            return []
        if any(o.closed for o in candidates[:8]):
            candidates[:] = [o for o in candidates if not o.closed]
        found = []
        for obligation in candidates:
            opener = obligation.opener
            if opener.order > event.order and opener.time - event.time > self.rules.skew:
                break
            if opener is not event and not obligation.closed and eligible(obligation) and \
                    self._effect(event, obligation):
                found.append(obligation)
                if not self._consumes_all(found[0]):
                    break
        return found

    @staticmethod
    def _consumes_all(obligation):
        return obligation.rule is not None and obligation.rule.consume_all

    def _apply(self, event, targets):
        """`targets` oldest first; the oldest one's rule says whether the others count."""
        if not self._consumes_all(targets[0]):
            targets = targets[:1]
        for obligation in targets:
            attempted, closing = self._effect(event, obligation)
            if attempted:
                obligation.attempts += 1
                obligation.last_attempt_at = event.time
                if obligation.first_attempt_at is None:
                    obligation.first_attempt_at = event.time
            if closing == 'fulfil':
                obligation.fulfilled_at, obligation.fulfilled_by = event.time, event.hash
            elif closing == 'reject':
                obligation.rejected_at = event.time
            elif closing == 'withdraw':
                obligation.withdrawn_at = event.time

    def _change(self, event, record, by_id):
        obligation = by_id.get(event.promise)
        if obligation is None or obligation.opener is event or obligation.closed or record['due_to'] is None or \
                obligation.opener.order > event.order:
            return
        if (record['due_from'], record['due_to']) != (obligation.due_from, obligation.due_to):
            obligation.due_from, obligation.due_to = record['due_from'], record['due_to']
            obligation.changed_at = event.time


# ---------------------------------------------------------------- canonical rows

ESCAPE = str.maketrans({'\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v'})


def canonical(value):
    """One field as PostgreSQL's COPY prints it in text form."""
    if value is None:
        return '\\N'
    if value is True:
        return 't'
    if value is False:
        return 'f'
    if isinstance(value, bytes):
        return format_uuid(value)
    if isinstance(value, (set, frozenset)):
        value = compact(sorted(value))
    if isinstance(value, float):
        return struct.pack('>d', value).hex()
    return str(value).translate(ESCAPE)


INTERACTION = ('occurred_at', 'event_hash', 'source', 'event_id', 'sequence', 'content_hash', 'customer',
               'customer_kind', 'journey', 'type', 'channel', 'direction', 'actor', 'sensitivity', 'brand', 'unit',
               'outcome', 'reason', 'topic', 'cause', 'product', 'location', 'stage', 'case', 'staff', 'relates',
               'identifiers', 'identifier_namespaces', 'promise', 'promise_kind', 'promise_due_from', 'promise_due_to',
               'promise_brand', 'promise_unit', 'promise_role', 'handoff', 'to_brand', 'to_unit', 'to_role',
               'rating_scale', 'rating_score', 'rating_min', 'rating_max', 'money_amount_minor', 'money_currency',
               'money_kind', 'attributes', 'traits')
CUSTOMER = ('customer', 'kind', 'namespace', 'purchases', 'first_purchase_at', 'last_purchase_at')
IDENTIFIER = ('identifier', 'namespace', 'shared', 'oversize', 'customer', 'first_at')  # persons that an event carries
IDENTITY_LINK = ('a', 'b', 'first_at', 'source', 'event_id', 'refused')  # made, unique, apart or oversize
JOURNEY = ('journey', 'customer', 'case', 'continues', 'crowd', 'first_at', 'last_at', 'events', 'entry_channel',
           'last_channel', 'channels', 'brands', 'units', 'contacts', 'switches', 'handoffs_offered',
           'handoffs_accepted', 'unanswered', 'refusals', 'first_inbound_at', 'first_human_reply_at', 'resolved',
           'last_type', 'last_outcome', 'entry_brand', 'entry_unit', 'terminal_outcome', 'stage', 'fallbacks', 'repeats',
           'handoffs_rejected', 'handoffs_returned', 'deflections', 'transfers', 'misroutes', 'proactive', 'thanks', 'reopened',
           'owners', 'people', 'effort', 'people_until_decision', 'owner_brand', 'owner_unit', 'first_terminal_at',
           'last_terminal_at', 'decided_at', 'ownerless_since', 'queue_since', 'touch_since', 'ownerless_us', 'orphan_us',
           'queue_us', 'touch_us')
OBLIGATION = ('obligation', 'kind', 'customer', 'journey', 'case', 'brand', 'unit', 'role', 'explicit', 'label',
              'opened_at', 'opened_by', 'due_from', 'first_due_to', 'due_to', 'changed_at', 'attempts',
              'first_attempt_at', 'last_attempt_at', 'fulfilled_at', 'fulfilled_by', 'rejected_at', 'withdrawn_at', 'from_brand',
              'from_unit', 'cycle', 'handoff', 'amount_minor', 'currency')
COURSE = ('journey_id', 'definition', 'customer_id', 'start_at', 'goal_at', 'path', 'steps', 'furthest', 'violations',
          'skipped', 'reached_at', 'failures')

# What the views of schema bi add or hide.
BI_INTERACTION = ('occurred_at', 'event_hash', 'source', 'event_id', 'type', 'customer_kind', 'sensitive', 'reason',
                  'topic', 'cause', 'product', 'attributes')
BI_CUSTOMER = ('customer', 'kind', 'namespace', 'journeys', 'first_at', 'last_at')
BI_OBLIGATION = ('obligation', 'kind', 'state', 'closed', 'overdue', 'broken', 'early', 'no_deadline', 'no_owner',
                 'opened_at', 'due_from', 'due_to', 'first_due_to', 'changed_at', 'attempts', 'first_attempt_at',
                 'last_attempt_at', 'fulfilled_at', 'fulfilled_by', 'rejected_at', 'withdrawn_at', 'position',
                 'slack', 'open_for')
BI_JOURNEY = ('journey', 'duration', 'first_human_reply_after', 'channel_count', 'brand_count', 'unit_count',
              'obligations_opened', 'obligations_open', 'obligations_broken')
BI_JOURNEY_OBLIGATION = ('journey', 'kind', 'opened', 'open', 'kept', 'kept_late_in_window', 'late', 'attempted',
                         'rejected', 'withdrawn', 'overdue', 'broken')

# name -> (columns, how many of them are the key)
TABLES = {
    'interaction': (INTERACTION, 2),
    'customer': (CUSTOMER, 1),
    'identifier': (IDENTIFIER, 1),
    'identity_link': (IDENTITY_LINK, 2),
    'journey': (JOURNEY, 1),
    'obligation': (OBLIGATION, 1),
    'course': (COURSE, 2),
    **{name: (table.dimensions + table.counts, len(table.dimensions)) for name, table in AGGREGATES.items()},
    'bi_interaction': (BI_INTERACTION, 2),
    'bi_customer': (BI_CUSTOMER, 1),
    'bi_obligation': (BI_OBLIGATION, 1),
    'bi_journey': (BI_JOURNEY, 1),
    'bi_journey_obligation': (BI_JOURNEY_OBLIGATION, 2),
}
TABLES.update({'bi_' + name: TABLES[name] for name in AGGREGATES})  # bi has a view of the same name of each
# Beside the tables: which of their rows are sealed, and what stands in slot -1 of aggregates.
SEALED = {
    'sealed_journey': (('journey',), 1),
    'sealed_obligation': (('obligation',), 1),
    'sealed_customer': (('customer', 'events', 'purchases', 'first_purchase_at', 'last_purchase_at'), 1),
    'sealed_person': (('identifier', 'sealed_at'), 1),
    **{'sealed_' + name: TABLES[name] for name in AGGREGATES},
}
AS_OF = ('bi_obligation', 'bi_journey', 'bi_journey_obligation')  # those that depend on a moment
DERIVED = tuple(name for name in TABLES if not name.startswith('bi_'))
COLUMNS = {**TABLES, **SEALED}


def tables_at(as_of):
    """Names of the tables that can be told: all if there is a moment."""
    return [name for name in TABLES if as_of is not None or name not in AS_OF]


def compact(value):
    """JSON as PostgreSQL prints to_json of an array of text."""
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))


NO_IDENTIFIER = bytes(16)  # blocked, or of a namespace that the rules do not know


def interaction_rows(derived):
    for event in derived.events:
        field = event.field
        row = {name: field.get(name) for name in INTERACTION}
        row.update(event_hash=event.hash, content_hash=event.content, customer=event.customer,
                   customer_kind=event.known_by[0],
                   journey=event.journey.id if event.journey else None, case=event.case, staff=event.staff,
                   traits=event.traits.bits,
                   relates=event.relates, promise=event.promise, handoff=field['handoff'] is not None,
                   identifiers=compact([format_uuid(i or NO_IDENTIFIER) for i in event.identifiers]),
                   identifier_namespaces=compact([i['namespace'] for i in field['identifiers']]),
                   attributes=compact(sorted(map(list, field['attributes'].items()))))
        for part, prefix in (('obligation', 'promise_'), ('handoff', ''), ('rating', 'rating_'), ('money', 'money_')):
            for name, value in (field[part] or {}).items():
                if prefix + name in row:
                    row[prefix + name] = value
        yield row


def customer_rows(derived):
    for customer in derived.customers.keys() | derived.carry.keys():
        events, carry = derived.customers.get(customer, ()), derived.carry.get(customer)
        kind, namespace = events[0].known_by if events else (carry.kind, carry.namespace)
        bought = sorted([event.time for event in events if event.traits.purchase] + (carry.bought if carry else []))
        yield {'customer': customer, 'kind': kind, 'namespace': namespace, 'purchases': len(bought),
               'first_purchase_at': bought[0] if bought else None, 'last_purchase_at': bought[-1] if bought else None}


def identifier_rows(derived):
    identity = derived.identity
    for person in identity.persons.values():
        yield {'identifier': person.hash, 'namespace': person.namespace, 'shared': person.hash in identity.shared,
               'oversize': identity.is_oversize(person.hash), 'customer': identity.customer_of.get(person.hash),
               'first_at': identity.first_at[person.hash]}


def identity_link_rows(derived):
    for link in derived.identity.links:
        yield {'a': link.a.hash, 'b': link.b.hash, 'first_at': link.event.time, 'source': link.event.field['source'],
               'event_id': link.event.field['event_id'], 'refused': link.refused or 'made'}


def journey_rows(derived):
    for journey in derived.journeys:
        first, last = journey.first, journey.last
        row = {name: getattr(journey, name, None) for name in JOURNEY}
        row.update(journey=journey.id, continues=journey.continues.id if journey.continues else None,
                   first_at=first.time, last_at=last.time, last_channel=last.field['channel'],
                   last_type=last.field['type'], last_outcome=last.field['outcome'])
        yield row
    yield from derived.retentions.rows('journey', derived.gone)


def obligation_rows(derived):
    for obligation in derived.obligations:
        opener = obligation.opener
        row = {name: getattr(obligation, name, None) for name in OBLIGATION}
        row.update(obligation=obligation.id, customer=opener.customer, case=opener.case,
                   journey=opener.journey.id if opener.journey else None, opened_at=opener.time,
                   opened_by=opener.hash)
        yield row
    yield from derived.retentions.rows('obligation', derived.gone)


def course_rows(derived):
    for course in derived.courses:
        row = {name: getattr(course, name, None) for name in COURSE}
        row.update(journey_id=course.journey, customer_id=course.customer, reached_at=compact(course.reached_at),
                   failures=compact(course.failures))
        yield row
    yield from derived.retentions.rows('course', derived.gone)


# What is sealed, told from the retentions alone.

def sealed_rows(table):
    return lambda derived: ({table: row[table]} for row in derived.retentions.rows(table, derived.gone))


def sealed_customer_rows(derived):
    for customer, carry in derived.carry.items():
        yield {'customer': customer, 'events': carry.events, 'purchases': len(carry.bought),
               'first_purchase_at': min(carry.bought, default=None), 'last_purchase_at': max(carry.bought, default=None)}


def sealed_person_rows(derived):
    return ({'identifier': person, 'sealed_at': at} for person, at in derived.sealed_at.items())


def bi_interaction_rows(derived, _):
    for event, row in zip(derived.events, interaction_rows(derived)):
        row['sensitive'] = event.field['sensitivity'] == 'SENSITIVE'
        if row['sensitive']:
            row.update(dict.fromkeys(('reason', 'topic', 'cause', 'product', 'attributes')))
        yield row


def bi_customer_rows(derived, _):
    found = collections.defaultdict(list)
    for journey in journey_rows(derived):
        found[journey['customer']].append(journey)
    for row in customer_rows(derived):
        journeys = found[row['customer']]
        yield dict(row, journeys=len(journeys), first_at=min((j['first_at'] for j in journeys), default=None),
                   last_at=max((j['last_at'] for j in journeys), default=None))


def bi_obligation_rows(derived, as_of):
    for row in obligation_rows(derived):
        state = state_of(types.SimpleNamespace(**row), as_of)
        if state is not None:
            yield dict(row, **state)


def by_journey(derived, as_of):
    found = collections.defaultdict(list)
    for row in bi_obligation_rows(derived, as_of):
        if row['journey'] is not None:
            found[row['journey']].append(row)
    return found


def bi_journey_rows(derived, as_of):
    obligations = by_journey(derived, as_of)
    for row in journey_rows(derived):
        found = obligations.get(row['journey'], ())
        replied = row['first_human_reply_at']
        yield dict(row, duration=row['last_at'] - row['first_at'],
                   first_human_reply_after=None if replied is None else replied - row['first_inbound_at'],
                   channel_count=len(row['channels']), brand_count=len(row['brands']), unit_count=len(row['units']),
                   obligations_opened=len(found), obligations_open=sum(not o['closed'] for o in found),
                   obligations_broken=sum(o['broken'] for o in found))


def bi_journey_obligation_rows(derived, as_of):
    counts = collections.defaultdict(collections.Counter)
    for journey, obligations in by_journey(derived, as_of).items():
        for row in obligations:
            found = counts[journey, row['kind']]
            found['opened'] += 1
            if row['closed']:
                found[row['state']] += 1
            else:
                found['open'] += 1
                found['attempted'] += row['first_attempt_at'] is not None
            found['overdue'] += row['overdue']
            found['broken'] += row['broken']
    for key, found in counts.items():
        yield dict(zip(BI_JOURNEY_OBLIGATION, key), **{c: found[c] for c in BI_JOURNEY_OBLIGATION[2:]})


ROWS = {'interaction': interaction_rows, 'customer': customer_rows, 'identifier': identifier_rows,
        'identity_link': identity_link_rows, 'journey': journey_rows, 'obligation': obligation_rows, 'course': course_rows,
        'sealed_journey': sealed_rows('journey'), 'sealed_obligation': sealed_rows('obligation'),
        'sealed_customer': sealed_customer_rows, 'sealed_person': sealed_person_rows}
VIEW_ROWS = {'bi_interaction': bi_interaction_rows, 'bi_customer': bi_customer_rows, 'bi_obligation': bi_obligation_rows,
             'bi_journey': bi_journey_rows, 'bi_journey_obligation': bi_journey_obligation_rows}


def table_rows(derived, name, as_of=None):
    """The rows of one table as dicts of Python values; those of AS_OF need as_of."""
    if name in VIEW_ROWS:
        return VIEW_ROWS[name](derived, as_of)
    if name in ROWS:
        return ROWS[name](derived)
    if name in SEALED:
        return lost_rows(derived, name[len('sealed_'):])
    return aggregate_rows(derived, name[3:] if name.startswith('bi_') else name)


def checksum(lines):
    """Of sorted canonical rows."""
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line.encode() + b'\n')
    return digest.hexdigest()


def table_lines(derived, name, as_of=None):
    """The canonical rows of one table, sorted by bytes."""
    columns = COLUMNS[name][0]
    return sorted('\t'.join(canonical(row[c]) for c in columns) for row in table_rows(derived, name, as_of))


# ---------------------------------------------------------------- command line

def read_lines(paths):
    """The JSON values of JSON Lines files, - is standard input."""
    for path in paths:
        with (sys.stdin if path == '-' else open(path, encoding='utf-8')) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise InputError('%s line %d: %s' % (path, number, error)) from error


def add_input_arguments(parser, required=True):
    parser.add_argument('--rules', required=required, help='the rules file (YAML)')
    parser.add_argument('--key-file', required=required, help='file with the hash key, 16..64 bytes in hexadecimal')
    parser.add_argument('--decisions', help='JSON Lines of the decisions in force')
    parser.add_argument('--forgettings', help='JSON Lines of what was forgotten, in order')
    parser.add_argument('--retentions', help='what was sealed, as compare.py retain writes it')
    parser.add_argument('--schema', default=DEFAULT_SCHEMA, help='interaction.avsc')
    parser.add_argument('events', nargs='+' if required else '*',
                        help='JSON Lines files of events, - is standard input')


def deriver_from(args, decisions=None, forgettings=None):
    """decisions, forgettings: else those of --decisions and --forgettings, else none."""
    if decisions is None and args.decisions:
        decisions = Decisions.load(args.decisions)
    if forgettings is None and args.forgettings:
        forgettings = Forgettings.load(args.forgettings)
    retentions = Retentions.load(args.retentions) if args.retentions and os.path.exists(args.retentions) else None
    return Deriver(Rules.load(args.rules), read_key(args.key_file), Schema(args.schema), decisions, forgettings, retentions)


def derive_from(args, decisions=None, forgettings=None):
    return deriver_from(args, decisions, forgettings).derive(read_lines(args.events))


def parse_as_of(text):
    return int(text) if re.fullmatch(r'-?\d+', text) else parse_time(text)


def main(arguments=None):
    parser = argparse.ArgumentParser(description='Derives the tables of Polku from events.')
    commands = parser.add_subparsers(dest='command', required=True)
    derive = commands.add_parser('derive', help='print or write the derived tables')
    derive.add_argument('--out-dir', help='write one file per table there (name.tsv, first line the columns)')
    derive.add_argument('--table', choices=sorted(TABLES), help='print this table alone')
    derive.add_argument('--as-of', type=parse_as_of,
                        help='moment of the views that depend on one, ISO 8601 or microseconds')
    add_input_arguments(derive)
    args = parser.parse_args(arguments)
    gc.disable()  # everything made here stays; looking for garbage would take a third of the time
    if args.table in AS_OF and args.as_of is None:
        parser.error('--table %s needs --as-of' % args.table)
    try:
        derived = derive_from(args)
    except (InputError, OSError, KeyError) as error:
        print('polku_oracle: %s' % error, file=sys.stderr)
        return 2
    names = [args.table] if args.table else tables_at(args.as_of)
    for name in names:
        lines = ['\t'.join(TABLES[name][0])] + table_lines(derived, name, args.as_of)
        text = ''.join(line + '\n' for line in lines)
        if args.out_dir:
            os.makedirs(args.out_dir, exist_ok=True)
            with open(os.path.join(args.out_dir, name + '.tsv'), 'w', encoding='utf-8') as file:
                file.write(text)
        else:
            sys.stdout.write(text if args.table else '-- %s\n%s' % (name, text))
    print('polku_oracle: %d events, %d customers, %d journeys, %d obligations; %d conflicting, %d not valid' %
          (len(derived.events), len(derived.customers), len(derived.journeys), len(derived.obligations),
           derived.conflicts, len(derived.invalid)), file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())
