# SPDX-License-Identifier: Apache-2.0
"""Courses (docs/semantics.md 9): how journeys went against the definitions of the rules."""

from matches import Matches
from moments import InputError, parse_duration

PATH = 16   # steps that a path names


class Milestone:
    def __init__(self, node):
        if node.keys() - {'name', 'on', 'fails', 'optional', 'critical'}:
            raise InputError('rules: milestone %s has an unknown key' % node.get('name'))
        self.name, self.on, self.fails = node['name'], Matches(node.get('on')), Matches(node.get('fails'))
        self.optional = node.get('optional', 'false') == 'true'


class Definition:
    def __init__(self, node):
        if node.keys() - {'name', 'version', 'window', 'goal', 'milestones'}:
            raise InputError('rules: definition %s has an unknown key' % node.get('name'))
        self.id = '%s/%s' % (node['name'], node.get('version', '1'))
        self.milestones = [Milestone(m) for m in node['milestones']]
        names = [m.name for m in self.milestones]
        self.goal = names.index(node['goal']) + 1 if 'goal' in node else len(names)
        self.window = parse_duration(node['window'])
        self._told = {}

    def told(self, signature):
        """(number of the milestone that such an event reaches, 0 = none; numbers of those that it fails)"""
        if signature not in self._told:
            numbered = list(enumerate(self.milestones, 1))
            self._told[signature] = (next((n for n, m in numbered if m.on.hold(signature)), 0),
                                     [n for n, m in numbered if m.fails.hold(signature)])
        return self._told[signature]


class Course:
    """Of events that are not passive, in event order, one at least of which reaches or fails a milestone."""

    def __init__(self, definition, journey, events):
        self.definition, self.journey, self.customer = definition.id, journey.id, journey.customer
        self.reached_at = [None] * len(definition.milestones)
        self.failures = [0] * len(definition.milestones)
        self.walked = []    # (number, time) of each step
        self.start_at = None
        for event in events:
            reached, failed = definition.told(event.signature)
            if (reached or failed) and self.start_at is None:
                self.start_at = event.time
            for number in failed:
                self.failures[number - 1] += 1
            if reached:
                if self.reached_at[reached - 1] is None:
                    self.reached_at[reached - 1] = event.time
                if not self.walked or self.walked[-1][0] != reached:
                    self.walked.append((reached, event.time))
        numbers = [number for number, _ in self.walked]
        self.steps = len(numbers)
        self.path = '>'.join([str(n) for n in numbers[:PATH]] + (['...'] if len(numbers) > PATH else []))
        self.furthest = max(numbers, default=0)
        self.violations = sum(later < earlier for earlier, later in zip(numbers, numbers[1:]))
        self.skipped_numbers = [n for n, m in enumerate(definition.milestones, 1)
                                if n < self.furthest and not m.optional and self.reached_at[n - 1] is None]
        self.skipped = len(self.skipped_numbers)
        goal_at = self.reached_at[definition.goal - 1]
        self.goal_at = goal_at if goal_at is not None and goal_at - self.start_at <= definition.window else None

    @property
    def conformant(self):
        return self.violations == 0 and self.skipped == 0


def courses_of(journey, definitions):
    if journey.crowd:
        return
    events = [e for e in journey.taken if not e.traits.passive]
    for definition in definitions:
        if any(definition.told(e.signature) != (0, []) for e in events):
            yield Course(definition, journey, events)
