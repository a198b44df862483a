# SPDX-License-Identifier: Apache-2.0
"""Business time (docs/semantics.md 8): calendars, what lies open between two moments, when something is due.

Local times become UTC by Python's zoneinfo. Its fold=0 is the offset in force just before a change of clocks: the earlier of
two equal local times, and for one that does not exist the offset that was left behind."""

import bisect
import datetime
import re
import zoneinfo

from moments import InputError

FIRST, LAST = datetime.date(1990, 1, 1), datetime.date(2100, 12, 31)
WEEKDAYS = ('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun')
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def parse_ranges(node):
    """"08:00-16:00", or a list of such -> pairs of minutes."""
    found = []
    for text in [node] if isinstance(node, str) else node:
        match = re.fullmatch(r'(\d\d):(\d\d)-(\d\d):(\d\d)', text)
        if not match:
            raise InputError('rules: %r are no hours' % text)
        numbers = [int(n) for n in match.groups()]
        found.append((60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3]))
    return found


def parse_weekdays(text):
    """"mon", "mon-fri" -> numbers of weekdays, Monday is 0."""
    first, _, last = text.partition('-')
    return range(WEEKDAYS.index(first), WEEKDAYS.index(last or first) + 1)


class Calendar:
    KEYS = {'name', 'zone', 'hours', 'holidays', 'pauses', 'days', 'brands', 'units'}

    def __init__(self, node):
        if node.keys() - self.KEYS:
            raise InputError('rules: a calendar has no key %s' % ', '.join(sorted(node.keys() - self.KEYS)))
        self.name, self.zone = node['name'], zoneinfo.ZoneInfo(node['zone'])
        self.hours = {}
        for days, ranges in (node.get('hours') or {}).items():
            self.hours.update(dict.fromkeys(parse_weekdays(days), parse_ranges(ranges)))
        self.holidays = frozenset(node.get('holidays') or ())
        self.pauses = [(p['from'], p['to']) for p in node.get('pauses') or ()]
        self.days = {day: parse_ranges(ranges) for day, ranges in (node.get('days') or {}).items()}
        self.brands, self.units = node.get('brands') or (), node.get('units') or ()
        self._open = None

    def is_of(self, brand, unit):
        return (not self.brands or brand in self.brands) and (not self.units or unit in self.units)

    def ranges_of(self, date):
        """Opening hours of one local date, in minutes."""
        text = date.isoformat()
        if text in self.days:
            return self.days[text]
        if any(start <= text <= end for start, end in self.pauses):
            return []
        if text in self.holidays or text[5:] in self.holidays:
            return []
        return self.hours.get(date.weekday(), [])

    def _utc(self, date, minutes):
        """A local time of a date -> microseconds UTC; 24:00 is the next date's start."""
        local = datetime.datetime(date.year, date.month, date.day) + datetime.timedelta(minutes=minutes)
        return (local.replace(tzinfo=self.zone, fold=0) - EPOCH) // MICROSECOND

    def open_times(self):
        """(starts, ends, open time before each start): the union of all ranges, apart from each other."""
        if self._open is None:
            ranges = []
            for day in range(FIRST.toordinal(), LAST.toordinal() + 1):
                date = datetime.date.fromordinal(day)
                ranges += [(self._utc(date, start), self._utc(date, end)) for start, end in self.ranges_of(date)]
            starts, ends, before, total = [], [], [], 0
            for start, end in sorted(ranges):
                if ends and start <= ends[-1]:
                    total += max(0, end - ends[-1])
                    ends[-1] = max(ends[-1], end)
                elif start < end:
                    starts.append(start)
                    ends.append(end)
                    before.append(total)
                    total += end - start
            self._open = starts, ends, before
        return self._open

    def until(self, moment):
        """Open time before a moment."""
        starts, ends, before = self.open_times()
        place = bisect.bisect_right(starts, moment) - 1
        return 0 if place < 0 else before[place] + min(moment, ends[place]) - starts[place]

    def between(self, start, end):
        return max(0, self.until(end) - self.until(start)) if start < end else 0

    def due(self, start, length):
        """The earliest moment with so much open time since start; None if there is none."""
        if length <= 0:
            return start
        starts, ends, before = self.open_times()
        wanted = self.until(start) + length
        place = bisect.bisect_left(before, wanted) - 1     # the last that begins with less than is wanted
        if place < 0:
            return None
        found = starts[place] + wanted - before[place]
        return found if found <= ends[place] else None


class AlwaysOpen:
    """Where no calendar is."""

    @staticmethod
    def between(start, end):
        return max(0, end - start)

    @staticmethod
    def due(start, length):
        return start + length


def calendar_of(calendars, brand, unit):
    return next((c for c in calendars if c.is_of(brand, unit)), AlwaysOpen)
