# SPDX-License-Identifier: Apache-2.0
"""Times and durations of the oracle: microseconds UTC, as text and as numbers."""

import datetime
import re

MIN_TIME = 631152000000000    # 1990-01-01
MAX_TIME = 7258118400000000   # 2200-01-01, exclusive
HOUR = 3600 * 1000000
DAY = 24 * HOUR


class InputError(ValueError):
    """The events, the rules or the key cannot be used."""


ISO = re.compile(r'(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?'
                 r'(Z|[+-]\d\d(?::?\d\d)?)$')
EPOCH = datetime.date(1970, 1, 1)


def parse_time(text):
    """ISO 8601 with a zone -> microseconds UTC."""
    match = ISO.match(text)
    if not match:
        raise InputError('not an ISO 8601 time with a zone: %r' % text)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    days = (datetime.date(int(year), int(month), int(day)) - EPOCH).days
    seconds = days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if zone != 'Z':
        offset = int(zone[1:3]) * 3600 + int(zone[3:].lstrip(':') or 0) * 60
        seconds -= offset if zone[0] == '+' else -offset
    return seconds * 1000000 + int((fraction or '').ljust(6, '0'))


def format_time(us):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)
    return moment.isoformat(timespec='microseconds') + 'Z'


UNITS = {'us': 1, 'ms': 1000, 's': 1000000, 'm': 60 * 1000000, 'h': HOUR, 'd': DAY}


def parse_duration(text):
    """"90d", "1d12h", "5s", "200ms", "0" -> microseconds."""
    text = str(text)
    if text == '0':
        return 0
    if not re.fullmatch(r'(\d+(us|ms|s|m|h|d))+', text):
        raise InputError('not a duration: %r' % text)
    return sum(int(n) * UNITS[u] for n, u in re.findall(r'(\d+)(us|ms|s|m|h|d)', text))


def parse_moment(text):
    """A moment of the rules: a date alone is its UTC midnight."""
    return parse_time(text + 'T00:00Z' if re.fullmatch(r'\d{4}-\d\d-\d\d', text) else text)


def parse_last_moment(text):
    """The same where a date alone is its last microsecond."""
    return parse_moment(text) + (DAY - 1 if re.fullmatch(r'\d{4}-\d\d-\d\d', text) else 0)


def hour_of(time):
    return None if time is None else time // HOUR * HOUR


def day_of(time):
    return time // DAY * DAY
