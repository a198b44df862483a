# SPDX-License-Identifier: Apache-2.0
"""Lists of matches (docs/semantics.md 4): what the rules say an event is."""

from moments import InputError

MATCH_FIELDS = ('type', 'outcome', 'reason', 'channel', 'direction', 'actor')


class Match:
    """One match of a list: all fields that are named must hold."""

    def __init__(self, node):
        unknown = node.keys() - set(MATCH_FIELDS)
        if unknown:
            raise InputError('rules: a match has no field %s' % ', '.join(sorted(unknown)))
        self.tests = []
        for name, values in node.items():
            values = values if isinstance(values, list) else [values]
            endings = [v[:-1] for v in values if name == 'type' and v.endswith('.*')]
            self.tests.append((MATCH_FIELDS.index(name), frozenset(values), endings))

    def holds(self, signature):
        for i, values, prefixes in self.tests:
            value = signature[i]
            if value is None or not (value in values or any(value.startswith(p) for p in prefixes)):
                return False
        return True


class Matches:
    def __init__(self, nodes):
        self.matches = [Match(node) for node in nodes or []]

    def hold(self, signature):
        return any(match.holds(signature) for match in self.matches)
