# SPDX-License-Identifier: Apache-2.0
"""Retention (docs/semantics.md 3.8): which events were sealed, and the constants that stand for them.

A file of retentions has one JSON object a line, in the order in which they were decided; compare.py retain writes it:

    before       the moment R, in microseconds
    forgettings  how many forgettings were decided before it
    kept         events before R that were stored and stay events: [event hash, occurred_at, content hash]
    sealed       events that were sealed by it: [event hash, occurred_at, content hash, customer, its kind, its namespace, purchase]
    journey, obligation, course     rows of theirs, as the oracle tells them
    lost         table -> what the aggregate lost by it: dimensions and counts

An event is known by its content too: of what is older than R, another copy is as little an event as one that never came."""

import collections
import json


def encoded(value):
    """A value of a row for JSON."""
    if isinstance(value, bytes):
        return {'hash': value.hex()}
    if isinstance(value, (set, frozenset)):
        return {'set': sorted(value)}
    return value


def decoded(value):
    if isinstance(value, dict):
        return bytes.fromhex(value['hash']) if 'hash' in value else set(value['set'])
    return value


def encoded_rows(rows):
    return [{name: encoded(value) for name, value in row.items()} for row in rows]


def decoded_rows(rows):
    return [{name: decoded(value) for name, value in row.items()} for row in rows]


Carried = collections.namedtuple('Carried', 'customer kind namespace purchase')


class Retention:
    def __init__(self, node):
        self.before, self.forgettings = node['before'], node['forgettings']
        self.kept = {(bytes.fromhex(name), at, content) for name, at, content in node['kept']}
        self.sealed = {}    # (event hash, occurred_at, content hash) -> Carried
        for name, at, content, customer, kind, namespace, purchase in node['sealed']:
            customer = None if customer is None else bytes.fromhex(customer)
            self.sealed[bytes.fromhex(name), at, content] = Carried(customer, kind, namespace, purchase)
        self.rows = {table: decoded_rows(node[table]) for table in ('journey', 'obligation', 'course')}
        self.lost = {table: [(tuple(dimensions), counts) for dimensions, counts in rows] for table, rows in node['lost'].items()}

    def node(self):
        return {'before': self.before, 'forgettings': self.forgettings,
                'kept': sorted([name.hex(), at, content] for name, at, content in self.kept),
                'sealed': sorted(([key[0].hex(), *key[1:], c.customer and c.customer.hex(), c.kind, c.namespace, c.purchase]
                                  for key, c in self.sealed.items()), key=lambda row: row[:3]),
                **{table: encoded_rows(rows) for table, rows in self.rows.items()}, 'lost': self.lost}


class Carry:
    """What a customer's row knows of sealed events of that customer id."""

    def __init__(self):
        self.kind = self.namespace = None
        self.events, self.bought = 0, []


class Retentions:
    def __init__(self, all_of_them=()):
        self.all = list(all_of_them)

    @classmethod
    def load(cls, path):
        with open(path, encoding='utf-8') as file:
            return cls(Retention(json.loads(line)) for line in file if line.strip())

    def save(self, path):
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(one.node()) + '\n' for one in self.all)

    @property
    def before(self):
        """Older records are no events; None: all are."""
        return self.all[-1].before if self.all else None

    def is_kept(self, key):
        return key in self.all[-1].kept

    def sealed_by(self, key):
        return next((one for one in self.all if key in one.sealed), None)

    # -- constants. `gone`: those whose customer was forgotten after a retention: number of forgettings -> names

    def rows(self, table, gone):
        """Of tables journey, obligation and course."""
        name = 'customer_id' if table == 'course' else 'customer'
        for one in self.all:
            forgotten = gone(one.forgettings)
            for row in one.rows[table]:
                if row[name] not in forgotten:  # of others the name goes alone
                    yield dict(row, case=None) if row.get('case') in forgotten and row.get('case') is not None else row

    def carry(self, gone):
        """Customer id -> Carry."""
        found = {}
        for one in self.all:
            forgotten = gone(one.forgettings)
            for (_, at, _), (customer, kind, namespace, purchase) in one.sealed.items():
                if customer is not None and customer not in forgotten:
                    carry = found.setdefault(customer, Carry())
                    carry.kind, carry.namespace = kind, namespace   # as it was last
                    carry.events += 1
                    if purchase:
                        carry.bought.append(at)
        return found

    def lost(self, table):
        """(dimensions, counts): what stands in slot -1; the same dimensions may come again."""
        for one in self.all:
            yield from one.lost.get(table, ())
