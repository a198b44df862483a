# SPDX-License-Identifier: Apache-2.0
"""A journey and its facts (docs/semantics.md 4), each computed from the list of its events as the page words it."""

import struct

PEOPLE = 64     # distinct ones that are counted
OFFERERS = 64   # distinct units that are known again
MOST_EFFORT = 2 ** 31 - 1
OWNERSHIP = ('owner_cleared', 'handoff_offered', 'handoff_accepted', 'handoff_rejected', 'owner_assigned')
# Counts of events with a trait: name of the fact, name of the trait.
COUNTED = (('contacts', 'contact'), ('handoffs_offered', 'handoff_offered'), ('handoffs_accepted', 'handoff_accepted'),
           ('handoffs_rejected', 'handoff_rejected'), ('unanswered', 'unanswered'), ('refusals', 'refusal'),
           ('deflections', 'deflection'), ('transfers', 'transfer'), ('misroutes', 'misroute'),
           ('proactive', 'proactive'), ('thanks', 'thanks'))
EFFORT = ('contacts', 'switches', 'fallbacks', 'repeats', 'unanswered', 'refusals', 'deflections', 'transfers', 'misroutes',
          'handoffs_offered', 'handoffs_returned', 'reopened')


def own_unit(event):
    """The pair (brand, unit), None if the event names no unit."""
    field = event.field
    return None if field['unit'] is None else (field['brand'], field['unit'])


def target_unit(event):
    handoff = event.field['handoff']
    if handoff is None or handoff['to_unit'] is None:
        return None
    return event.field['brand'] if handoff['to_brand'] is None else handoff['to_brand'], handoff['to_unit']


def speaks_of_owner(event):
    return any(getattr(event.traits, trait) for trait in OWNERSHIP)


def owners_after(events):
    """Who owns it after each event, None: nobody."""
    found, owner, offer, told = [], None, None, False
    for event in events:
        traits = event.traits
        if traits.owner_cleared or traits.handoff_offered:
            owner = None
        elif traits.handoff_accepted:
            owner = own_unit(event) or (target_unit(offer) if offer else None)
        elif traits.handoff_rejected:
            owner = (own_unit(offer) if offer else None) or owner
        elif traits.owner_assigned:
            owner = target_unit(event) or own_unit(event)
        elif not told and owner is None:
            owner = own_unit(event)
        told = told or speaks_of_owner(event)
        offer = event if traits.handoff_offered else offer
        found.append(owner)
    return found


def ownerless(events, owners):
    """(closed time, start of the running interval, the part of the closed time after an offer)"""
    closed = orphan = 0         # of intervals that ended
    since, offered_for, is_orphan = None, 0, False
    for i, event in enumerate(events):
        if since is not None and is_orphan:
            offered_for += event.time - events[i - 1].time
        if speaks_of_owner(event):
            is_orphan = event.traits.handoff_offered
        runs = owners[i] is None and not event.traits.terminal
        if runs and since is None:
            since, offered_for = event.time, 0
        elif not runs and since is not None:
            closed, orphan, since = closed + event.time - since, orphan + offered_for, None
    return closed, since, orphan


def spans(events, start, stop):
    """(closed time from each event with trait `start` to the next one with `stop`, start of the running one)"""
    closed, since = 0, None
    for event in events:
        if since is not None and getattr(event.traits, stop):
            closed, since = closed + event.time - since, None
        if since is None and getattr(event.traits, start):
            since = event.time
    return closed, since


def people_of(events):
    return min(PEOPLE, len({e.staff for e in events if e.staff is not None}))


def contact_pairs(journey):
    """Each contact with the one before it in its journey."""
    contacts = [e for e in journey.taken if e.traits.contact and not e.traits.passive]
    return list(zip(contacts, contacts[1:]))


def is_switch(before, contact):
    return before.field['channel'] != contact.field['channel']


def is_fallback(before, contact):
    return is_switch(before, contact) and before.traits.selfservice_failed


class Journey:
    def __init__(self, event, customer):
        self.id = struct.pack('>q', event.time) + event.hash[:8]
        self.customer = customer
        self.first = event
        self.last = self.case = self.continues = self.continued_by = None
        self.crowd = False
        self.taken = []     # all its events

    def add(self, event):
        event.journey = self
        self.taken.append(event)
        if self.crowd or not event.traits.passive:
            self.last = event

    def tell(self, rules):
        """Sets every fact; the journey is complete."""
        events = [e for e in self.taken if not e.traits.passive]
        shown = self.taken if self.crowd else events
        self.events = len(self.taken)
        for name, key in (('channels', 'channel'), ('brands', 'brand'), ('units', 'unit')):
            setattr(self, name, {e.field[key] for e in shown} - {None})
        self.entry_channel, self.entry_brand = self.first.field['channel'], self.first.field['brand']
        self.entry_unit = self.first.field['unit']
        self.resolved = self.last.traits.terminal
        self._count(events, rules)
        self._tell_times(events)
        self._tell_ownership(events)
        self.queue_us, self.queue_since = spans(events, 'queue_enter', 'queue_leave')
        self.touch_us, self.touch_since = spans(events, 'work_start', 'work_stop')
        stages = [e.field['stage'] for e in events if e.field['stage'] is not None]
        self.stage = stages[-1] if stages else None
        self.effort = min(MOST_EFFORT, sum(rules.effort.get(name, 0) * getattr(self, name) for name in EFFORT))

    def _count(self, events, rules):
        for fact, trait in COUNTED:
            setattr(self, fact, sum(getattr(e.traits, trait) for e in events))
        pairs = contact_pairs(self)
        self.switches = sum(is_switch(*pair) for pair in pairs)
        self.fallbacks = sum(is_fallback(*pair) for pair in pairs)
        self.repeats = sum(e.repeat is not None and e.repeat <= rules.repeat_window for e in events)
        self.reopened = sum(before.traits.terminal and not e.traits.terminal for before, e in zip(events, events[1:]))
        self.handoffs_returned, offerers = 0, set()
        for offer in (e for e in events if e.traits.handoff_offered):
            self.handoffs_returned += target_unit(offer) in offerers
            if len(offerers) < OFFERERS and own_unit(offer) is not None:
                offerers.add(own_unit(offer))

    def _tell_times(self, events):
        inbound = [i for i, e in enumerate(events) if e.traits.contact and e.field['direction'] == 'INBOUND']
        self.first_inbound_at = events[inbound[0]].time if inbound else None
        self.first_human_reply_at = next((e.time for e in events[inbound[0] + 1:] if e.traits.human_reply), None) \
            if inbound else None
        terminal = [e for e in events if e.traits.terminal]
        self.first_terminal_at = terminal[0].time if terminal else None
        self.last_terminal_at = terminal[-1].time if terminal else None
        self.terminal_outcome = terminal[-1].field['outcome'] if terminal else None
        self.people = people_of(events)
        decided = next((i for i, e in enumerate(events) if e.traits.decision), None)
        self.decided_at = None if decided is None else events[decided].time
        self.people_until_decision = 0 if decided is None else people_of(events[:decided + 1])

    def _tell_ownership(self, events):
        owners = owners_after(events)
        self.owner_brand, self.owner_unit = owners[-1] if owners and owners[-1] else (None, None)
        had = [owner for owner in owners if owner is not None]
        self.owners = sum(i == 0 or had[i - 1] != owner for i, owner in enumerate(had))
        self.ownerless_us, self.ownerless_since, self.orphan_us = ownerless(events, owners)
