# SPDX-License-Identifier: Apache-2.0
"""The rules file, as far as the oracle needs it."""

import collections

import yaml

from business_time import Calendar
from courses import Definition
from journey_facts import EFFORT
from matches import Matches
from moments import MAX_TIME, MIN_TIME, InputError, parse_duration, parse_last_moment, parse_moment


class KindRule:
    """One entry of obligations.kinds."""

    def __init__(self, node, index):
        self.index = index
        self.kind = node['kind']
        self.opens, self.attempts = Matches(node.get('opens')), Matches(node.get('attempts'))
        self.fulfils, self.rejects = Matches(node.get('fulfils')), Matches(node.get('rejects'))
        self.withdraws = Matches(node.get('withdraws'))
        self.within = parse_duration(node['within']) if 'within' in node else None
        self.label = node.get('label')
        self.consume_all = node.get('consume', 'one') == 'all'
        self.across = node.get('across', 'false') == 'true'
        self.valid_from = parse_moment(node['valid_from']) if 'valid_from' in node else MIN_TIME
        self.valid_to = parse_last_moment(node['valid_to']) if 'valid_to' in node else MAX_TIME
        self.business = node.get('time', 'wall') == 'business'
        self.handoff = node.get('handoff', 'false') == 'true'
        known = {'kind', 'time', 'handoff', 'opens', 'attempts', 'fulfils', 'rejects', 'withdraws', 'within', 'label', 'consume',
                 'across', 'valid_from', 'valid_to'}
        if node.keys() - known:
            raise InputError('rules: kind %s has no key %s' % (self.kind, ', '.join(sorted(node.keys() - known))))

    def valid_at(self, time):
        return self.valid_from <= time <= self.valid_to

    def due(self, opened_at, calendar):
        """Due time of what it opens without a record."""
        if self.within is None:
            return None
        return calendar.due(opened_at, self.within) if self.business else opened_at + self.within

    def closing(self, signature):
        for how, matches in (('fulfil', self.fulfils), ('reject', self.rejects), ('withdraw', self.withdraws)):
            if matches.hold(signature):
                return how
        return None


# In the order of the bits of interaction.traits.
TRAITS = ('passive', 'terminal', 'contact', 'unanswered', 'refusal', 'handoff_offered', 'handoff_accepted', 'human_reply',
          'handoff_rejected', 'owner_assigned', 'owner_cleared', 'deflection', 'transfer', 'misroute', 'selfservice_failed',
          'proactive', 'thanks', 'decision', 'queue_enter', 'queue_leave', 'work_start', 'work_stop', 'purchase', 'sanction',
          'statement', 'statement_withdrawn', 'diagnosis', 'acknowledgement', 'mention', 'improvement')
OF_JOURNEYS = ('passive', 'terminal')   # they stand under `journeys`, the others under `facts`
Traits = collections.namedtuple('Traits', TRAITS + ('bits', 'opens', 'acts'))
NO_LIMIT = float('inf')


class Namespace:
    """One entry of identity.namespaces."""

    KEYS = {'name', 'class', 'priority', 'unique', 'normalise', 'max_people', 'max_links', 'shared_lookback', 'lookback',
            'lookahead', 'blocked', 'store'}

    def __init__(self, node):
        if node.keys() - self.KEYS:
            raise InputError('rules: namespace %s has no key %s' %
                             (node.get('name'), ', '.join(sorted(node.keys() - self.KEYS))))
        kind = node['class']
        if kind not in ('person', 'device', 'kiosk'):
            raise InputError('rules: class %r is not known' % kind)
        self.is_person, self.priority = kind == 'person', int(node['priority'])
        self.unique, self.normalise = node.get('unique', 'false') == 'true', node.get('normalise', 'none')
        self.max_people = int(node['max_people']) if 'max_people' in node else NO_LIMIT if self.unique else 1
        self.max_links = int(node.get('max_links', 50))
        self.shared_lookback = parse_duration(node.get('shared_lookback', '7d'))
        self.lookback = parse_duration(node.get('lookback', '30m' if kind == 'kiosk' else '30d'))
        if 'lookahead' in node:
            self.lookahead = parse_duration(node['lookahead'])
        else:
            self.lookahead = 0 if kind == 'kiosk' else self.lookback
        self.blocked = blocked_set(node.get('blocked'))


def blocked_set(values):
    return frozenset(value.encode().lower() for value in values or ())


class Rules:
    def __init__(self, tree):
        identity, journeys = tree['identity'], tree['journeys']
        self.horizon = parse_moment(tree['horizon']) if 'horizon' in tree else MIN_TIME
        self.phone_country = str(identity.get('phone_country', ''))
        self.blocked = blocked_set(identity.get('blocked_values'))
        self.max_component = int(identity.get('max_component', 1000))
        self.namespaces = {node['name']: Namespace(node) for node in identity.get('namespaces') or []}
        self.gap, self.reopen_gap = parse_duration(journeys['gap']), parse_duration(journeys['reopen_gap'])
        self.case_gap, self.max_span = parse_duration(journeys['case_gap']), parse_duration(journeys['max_span'])
        self.max_events = int(journeys['max_events'])
        facts, obligations = tree.get('facts') or {}, tree.get('obligations') or {}
        if facts.keys() - set(TRAITS) - {'repeat_window', 'effort'}:
            raise InputError('rules: facts has an unknown key')
        self.lists = {name: Matches((journeys if name in OF_JOURNEYS else facts).get(name)) for name in TRAITS}
        self.repeat_window = parse_duration(facts.get('repeat_window', '7d'))
        self.effort = {name: int(weight) for name, weight in (facts.get('effort') or {}).items() if name != 'id'}
        if self.effort.keys() - set(EFFORT):
            raise InputError('rules: effort weighs an unknown count')
        self.calendars = [Calendar(node) for node in tree.get('calendars') or []]
        self.definitions = [Definition(node) for node in tree.get('definitions') or []]
        self.skew = parse_duration(obligations.get('skew', '5s'))
        self.kinds = [KindRule(node, i) for i, node in enumerate(obligations.get('kinds') or [])]
        self._traits = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding='utf-8') as file:
            return cls(yaml.load(file, yaml.BaseLoader))  # every scalar stays the text that was written

    def namespace(self, name):
        found = self.namespaces.get(name)
        if found is None and '/' in name:
            found = self.namespaces.get('*/' + name.split('/', 1)[1])
        return found

    def traits(self, signature):
        """What the rules say about an event: a function of its matchable fields alone."""
        found = self._traits.get(signature)
        if found is None:
            truth = {name: matches.hold(signature) for name, matches in self.lists.items()}
            acts = {}
            for rule in self.kinds:
                act = (rule.attempts.hold(signature), rule.closing(signature))
                if act != (False, None):
                    acts[rule] = act
            opens = [rule for rule in self.kinds if rule.opens.hold(signature)]
            found = self._traits[signature] = Traits(opens=opens, acts=acts, **truth,
                                                      bits=sum(truth[name] << bit for bit, name in enumerate(TRAITS)))
        return found
