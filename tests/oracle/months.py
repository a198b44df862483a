# SPDX-License-Identifier: Apache-2.0
"""Hostile events (generate.py) around the ends of months, and a choice of what may be sealed there: for tests of retention."""

import generate
import polku_oracle as oracle
import sealing

MONTHS = [oracle.parse_time('2024-%02d-01T00:00:00Z' % month) for month in (2, 3, 4, 5)]
DAY = oracle.DAY


class Generator(generate.Generator):
    """Families, each with people of its own, so that not all hangs together; each event is near the start of one of MONTHS, some at it."""

    def __init__(self, seed, people=8, events=150, rules=None):
        super().__init__(seed, people, events, rules)
        self.span = self.random.choice([200, 600, 4000]) * generate.SECOND

    def time(self, person):
        self.base = self.random.choice(MONTHS) + self.random.choice([0, 0, 0, -40 * DAY, -10 * DAY, 10 * DAY])
        if self.maybe(0.02):
            return self.base + self.random.choice([-1, 0, 1])
        past, self.past = self.past, [(who, event) for who, event in self.past if abs(self.at_of(event) - self.base) < 5 * DAY]
        found, self.past = super().time(person), past
        return found

    def generate(self):
        """About in the order of time, weeks late and early."""
        events = super().generate()
        return sorted(events, key=lambda event: self.at_of(event) + self.random.gauss(0, 20) * DAY)


def whose(derived, lines):
    """Customers that stand in sentences of sealing.seal, by themselves or through rows and events of theirs."""
    text = ' '.join(lines)

    def named(name):
        return name is not None and oracle.format_uuid(name) in text
    found = {customer for customer in derived.customers if named(customer)}
    found |= {row['customer'] for row in oracle.obligation_rows(derived) if named(row['obligation'])}
    found |= {row['customer'] for row in oracle.journey_rows(derived) if named(row['journey'])}
    return found | {event.customer for event in derived.events if named(event.hash)}


def seal_what_may_go(deriver, naturals, before):
    """Of each customer everything before the month, or nothing: who does not come through keeps it."""
    left = set()
    while True:
        retention, wrong, derived = sealing.seal(deriver, naturals, before, left)
        if not wrong:
            return retention
        older = [event for event in derived.events if event.time < before]
        kept = whose(derived, wrong)
        more = {(event.hash, event.time) for event in older if event.customer in kept}
        left |= more if not more <= left else {(event.hash, event.time) for event in older}
