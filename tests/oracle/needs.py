# SPDX-License-Identifier: Apache-2.0
"""Needs (docs/semantics.md 6): which contact repeats which."""

from moments import DAY

REACH = 30 * DAY


def need_of(event):
    """(cause, None) or (None, topic); None if the event is no contact with a need."""
    field = event.field
    if not event.traits.contact or event.traits.passive or field['sensitivity'] == 'SENSITIVE' \
            or field['direction'] != 'INBOUND':
        return None
    if field['cause'] is not None:
        return field['cause'], None
    return None if field['topic'] is None else (None, field['topic'])


def find_repeats(events):
    """Sets need, repeat (time since the previous, None = it repeats none) and repeated (time until the one that repeats it)."""
    last = {}
    for event in events:
        event.need, event.repeat, event.repeated = need_of(event), None, None
        if event.need is None or event.customer is None:
            continue
        previous = last.get((event.customer, event.need))
        if previous is not None and event.time - previous.time <= REACH:
            event.repeat = previous.repeated = event.time - previous.time
        last[event.customer, event.need] = event
