#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A simulated month: what a retailer, its partners and fifty thousand customers do to each other, as JSON Lines in
the order in which channel systems publish it.

    month.py --people 50000 --events 1000000 --days 31 --seed 7 > month.jsonl
    month.py --seed 7 --out month.jsonl --partitions 6      also month.jsonl.0 to .5: the same events by customer

Six brands (Havu sells, Kaarna repairs, Niemi repairs too, Pohja carries people, Terva cures, Reitti delivers) meet their
customers in every channel of the vocabulary, under deploy/polku.yaml: orders with a promised day, tickets paid and
not issued, callbacks in loops, questions replied to and not answered, complaints passed on and back, feedback, services
due, laboratory results (sensitive), leads, purchases with a rhythm, ratings, beliefs, money, queues and work. In the middle of
the month a bad batch hits many at once: diagnoses, a public statement that nothing is wrong, an acknowledgement, recovery.

People are known by other identifiers in each channel; log-ins, forms and cards join them; some share a phone or a tablet. One
event of twenty is published hours or days late, one of a hundred twice. Memory holds the events that are not yet
published, not the month. Everything is decided by the options alone.
"""

import argparse
import contextlib
import json
import random
import sys

import polku_oracle as oracle
from polku_oracle import DAY, HOUR

MINUTE, SECOND = HOUR // 60, 1000000
START = oracle.parse_time('2025-10-06T00:00:00Z')  # a Monday; the clocks change on 26 October
STORES = 24
LATE, TWICE = 0.05, 0.01

WAYS = {'in': ('INBOUND', 'CUSTOMER'), 'out': ('OUTBOUND', 'HUMAN'), 'machine': ('OUTBOUND', 'SYSTEM'),
        'bot': ('OUTBOUND', 'BOT'), 'inside': ('INTERNAL', 'HUMAN'), 'system': ('INTERNAL', 'SYSTEM'),
        'signal': ('INBOUND', 'SYSTEM'), 'public': ('PUBLIC', 'HUMAN')}


def event(source, kind, channel, way, brand, unit=None, **fields):
    """What is the same in all events of one sort, as a piece of JSON."""
    direction, actor = WAYS[way]
    fixed = {'source': source, 'type': kind, 'channel': channel, 'direction': direction, 'actor': actor, 'brand': brand}
    if unit:
        fixed['unit'] = unit
    return json.dumps(dict(fixed, **fields), separators=(',', ':'))[1:-1]


def stores(kind, way, **fields):
    return [event('havu-till', kind, 'store', way, 'Havu', 'Store %d' % n, location='till %d' % n, **fields)
            for n in range(STORES)]


# ---- sorts of events ----

PAGE = [event('havu-web', 'page.viewed', 'web', 'in', 'Havu', 'Web shop', stage=s) for s in ('discover', 'consider')]
LOGIN = event('havu-web', 'login.succeeded', 'web', 'in', 'Havu', 'Web shop')
LOGIN_FAILED = event('havu-web', 'login.failed', 'web', 'in', 'Havu', 'Web shop', outcome='failed')
APP_PAGE = event('havu-app', 'page.viewed', 'app', 'in', 'Havu', 'App')
APP_LOGIN = event('havu-app', 'login.succeeded', 'app', 'in', 'Havu', 'App')
PROFILE = event('havu-crm', 'identity.linked', 'web', 'in', 'Havu', 'Customer care')
NEWS = event('havu-news', 'newsletter.sent', 'email', 'machine', 'Havu', 'Marketing')
AD = event('havu-news', 'ad.shown', 'social', 'machine', 'Havu', 'Marketing')

ORDERED = event('havu-shop', 'order.placed', 'web', 'in', 'Havu', 'Web shop', stage='buy')
APPROVED = event('havu-shop', 'order.approved', 'back_office', 'system', 'Havu', 'Web shop')
CANCELLED = event('havu-shop', 'order.cancelled', 'web', 'in', 'Havu', 'Web shop', outcome='cancelled')
TO_CARRIER = event('havu-shop', 'handoff.offered', 'back_office', 'system', 'Havu', 'Logistics',
                   handoff={'to_brand': 'Reitti', 'to_unit': 'Terminal'})
CARRIER_TAKES = event('reitti-depot', 'handoff.accepted', 'partner', 'inside', 'Reitti', 'Terminal')
CARRIER_DECLINES = event('reitti-depot', 'handoff.rejected', 'partner', 'inside', 'Reitti', 'Terminal', reason='no_capacity')
SHIPPED = event('reitti-depot', 'order.shipped', 'partner', 'system', 'Reitti', 'Terminal')
NOTICE = event('reitti-depot', 'notice.sent', 'messaging', 'machine', 'Reitti', 'Delivery')
DELAYED = event('havu-shop', 'delivery.late', 'email', 'machine', 'Havu', 'Logistics', cause='delay', outcome='late')
DELIVERED = event('reitti-depot', 'order.delivered', 'post', 'out', 'Reitti', 'Delivery', outcome='ok', stage='receive')
MISMATCH = event('havu-shop', 'delivery.mismatch', 'post', 'inside', 'Havu', 'Logistics', cause='wrong item',
                 reason='wrong_item', outcome='failed')
SURVEY = event('havu-survey', 'survey.sent', 'email', 'machine', 'Havu', 'Customer care')
SCORED = [event('havu-survey', 'survey.answered', 'email', 'in', 'Havu', 'Customer care',
                rating={'scale': 'csat', 'score': n, 'min': 1, 'max': 5}) for n in range(1, 6)]
RECOMMENDS = [event('havu-survey', 'survey.answered', 'web', 'in', 'Havu', 'Web shop',
                    rating={'scale': 'nps', 'score': n, 'min': 0, 'max': 10}) for n in range(11)]

BUYS_TICKET = [event('pohja-sales', 'purchase.started', c, 'in', 'Pohja', 'Counter', topic='ticket', stage='buy')
               for c in ('kiosk', 'app', 'store')]
PAYS_TICKET = [event('pohja-sales', 'payment.captured', c, 'in', 'Pohja', 'Counter', topic='ticket', reason='ticket')
               for c in ('kiosk', 'app', 'store')]
TICKET = [event('pohja-sales', 'ticket.issued', c, 'machine', 'Pohja', 'Counter', topic='ticket', outcome='ok')
          for c in ('kiosk', 'app', 'store')]
CRASH = [event('pohja-sales', 'system.failed', c, 'system', 'Pohja', 'Counter', topic='ticket', cause='crash',
               outcome='failed', location='terminal %d' % n) for n, c in enumerate(('kiosk', 'app', 'store'))]
NO_TICKET = event('pohja-counter', 'request.refused', 'store', 'out', 'Pohja', 'Counter', topic='ticket', cause='crash',
                  outcome='refused', reason='no_authority')
ASKS_BOSS = event('pohja-counter', 'escalation.started', 'store', 'inside', 'Pohja', 'Counter', topic='ticket')
BOSS_CANNOT = event('pohja-counter', 'escalation.failed', 'store', 'out', 'Pohja', 'Counter', topic='ticket',
                    outcome='refused', reason='no_authority')
BOSS_DECIDES = event('pohja-counter', 'escalation.decided', 'store', 'out', 'Pohja', 'Counter', topic='ticket', outcome='ok')
RIDES = event('pohja-train', 'service.started', 'vehicle', 'machine', 'Pohja', 'Train crew', stage='use')
PUT_OFF = event('pohja-train', 'service.terminated', 'vehicle', 'out', 'Pohja', 'Train crew', outcome='failed', reason='policy')
REFUND = event('pohja-sales', 'payment.refunded', 'back_office', 'machine', 'Pohja', 'Counter')

MISSED = event('kaarna-calls', 'contact.missed', 'phone', 'in', 'Kaarna', 'Booking', outcome='unanswered', reason='no_capacity',
               topic='booking')
WANTS_CALL = event('kaarna-calls', 'callback.requested', 'ivr', 'in', 'Kaarna', 'Booking', topic='booking')
BOOKS_CALL = event('kaarna-calls', 'callback.booked', 'ivr', 'in', 'Kaarna', 'Booking', topic='booking')
IN_VAIN = [event('kaarna-calls', 'callback.unreached', 'phone', 'out', 'Kaarna', 'Booking', topic='booking',
                 outcome='unreached', reason=r) for r in ('no_answer', 'busy', 'voicemail')]
REACHED = event('kaarna-calls', 'callback.reached', 'phone', 'out', 'Kaarna', 'Booking', topic='booking', outcome='ok')
GIVES_UP = event('kaarna-calls', 'callback.abandoned', 'phone', 'out', 'Kaarna', 'Booking', topic='booking')
CALLS = [event('kaarna-calls', 'contact.inbound', 'phone', 'in', 'Kaarna', 'Booking', topic=t) for t in ('booking', 'bill')]
PASSED_ON = event('kaarna-calls', 'contact.transferred', 'phone', 'inside', 'Kaarna', 'Booking')
WRONG_DESK = event('kaarna-calls', 'contact.misrouted', 'phone', 'out', 'Kaarna', 'Booking', outcome='failed')

TOPICS = ('bill', 'delivery', 'warranty', 'opening hours', 'return')
ASKED = [event('havu-' + c, 'question.asked', c, 'in', 'Havu', u, topic=t)
         for c, u in (('email', 'Shared mailbox'), ('chat', 'Customer care'), ('social', 'Social care'),
                      ('messaging', 'Customer care'), ('video', 'Sales')) for t in TOPICS]
BOT_SAYS = event('havu-chat', 'reply.sent', 'chat', 'bot', 'Havu', 'Customer care')
REPLIED = event('havu-email', 'reply.sent', 'email', 'out', 'Havu', 'Shared mailbox')
ANSWERED = [event('havu-email', 'answer.given', c, 'out', 'Havu', 'Customer care', outcome='ok')
            for c in ('email', 'chat', 'social', 'messaging', 'phone')]
WROTE = event('havu-email', 'message.received', 'email', 'in', 'Havu', 'Shared mailbox')
WROTE_BACK = event('havu-email', 'message.sent', 'email', 'out', 'Havu', 'Shared mailbox')
THANKS = event('havu-email', 'thanks.received', 'email', 'in', 'Havu', 'Customer care')
DEFLECTED = [event('havu-calls', 'request.deflected', 'phone', 'out', 'Havu', 'Customer care', outcome='deflected', reason=r)
             for r in ('not_mine', 'no_knowledge', 'no_capacity')]
SHIFTED = event('havu-calls', 'burden.shifted', 'phone', 'out', 'Havu', 'Customer care', outcome='deflected')
RINGS = event('havu-calls', 'contact.inbound', 'phone', 'in', 'Havu', 'Customer care')

COMPLAINED = [event('havu-crm', 'complaint.opened', c, 'in', 'Havu', 'Customer care', cause=why, stage='service')
              for c in ('email', 'phone', 'post') for why in ('wrong item', 'delay', 'crash', 'bill')]
COMPLAINT_REPLY = event('havu-crm', 'complaint.replied', 'email', 'out', 'Havu', 'Customer care')
COMPLAINT_DONE = [event('havu-crm', 'complaint.closed', 'email', 'out', 'Havu', 'Customer care', outcome=o)
                  for o in ('resolved', 'resolved', 'refused')]
TO_REPAIRS = event('havu-crm', 'handoff.offered', 'back_office', 'inside', 'Havu', 'Customer care',
                   handoff={'to_brand': 'Kaarna', 'to_unit': 'Workshop'})
REPAIRS_TAKE = event('kaarna-desk', 'handoff.accepted', 'back_office', 'inside', 'Kaarna', 'Workshop')
REPAIRS_DECLINE = event('kaarna-desk', 'handoff.rejected', 'back_office', 'inside', 'Kaarna', 'Workshop', reason='not_mine')
SENT_BACK = event('kaarna-desk', 'handoff.offered', 'back_office', 'inside', 'Kaarna', 'Workshop',
                  handoff={'to_brand': 'Havu', 'to_unit': 'Customer care'})
OWNER = event('havu-crm', 'owner.assigned', 'back_office', 'inside', 'Havu', 'Customer care')
NO_OWNER = event('havu-crm', 'owner.cleared', 'back_office', 'inside', 'Havu', 'Customer care')
ELIGIBLE = event('havu-claims', 'recovery.eligible', 'back_office', 'system', 'Havu', 'Claims')
OFFERED = event('havu-claims', 'recovery.offered', 'email', 'out', 'Havu', 'Claims')
ACCEPTED = event('havu-claims', 'recovery.accepted', 'email', 'in', 'Havu', 'Claims')
DECLINED = event('havu-claims', 'recovery.rejected', 'email', 'in', 'Havu', 'Claims')
PAID = event('havu-claims', 'recovery.paid', 'back_office', 'machine', 'Havu', 'Claims')

FEEDBACK = [event('havu-feedback', k, c, 'in', 'Havu', 'Feedback', topic=t) for k, c in
            (('feedback.submitted', 'web'), ('feedback.submitted', 'app'), ('feedback.spoken', 'phone'))
            for t in ('staff', 'web shop', 'delivery')]
ACKNOWLEDGED = event('havu-feedback', 'feedback.acknowledged', 'email', 'machine', 'Havu', 'Feedback')
HANDLED = event('havu-feedback', 'feedback.handled', 'back_office', 'inside', 'Havu', 'Feedback')
TOLD = event('havu-feedback', 'feedback.told', 'email', 'out', 'Havu', 'Feedback')
PROPOSED = event('havu-feedback', 'improvement.proposed', 'back_office', 'inside', 'Havu', 'Feedback', topic='delivery')
ADOPTED = event('havu-feedback', 'improvement.adopted', 'back_office', 'inside', 'Havu', 'Feedback', topic='delivery')
TURNED_DOWN = event('havu-feedback', 'improvement.declined', 'back_office', 'inside', 'Havu', 'Feedback', topic='delivery',
                    reason='own_workload')

DUE = event('kaarna-cars', 'service.due', 'vehicle', 'signal', 'Kaarna', 'Booking', topic='yearly service')
BOOKED = event('kaarna-booking', 'appointment.booked', 'web', 'in', 'Kaarna', 'Booking', topic='yearly service')
MOVED = event('kaarna-booking', 'appointment.moved', 'phone', 'out', 'Kaarna', 'Booking', topic='yearly service')
CAME = event('kaarna-desk', 'visit.started', 'store', 'in', 'Kaarna', 'Service desk', topic='yearly service')
QUEUED = event('kaarna-garage', 'work.queued', 'field_service', 'inside', 'Kaarna', 'Workshop')
STARTED = event('kaarna-garage', 'work.started', 'field_service', 'inside', 'Kaarna', 'Workshop')
PAUSED = event('kaarna-garage', 'work.paused', 'field_service', 'inside', 'Kaarna', 'Workshop', reason='out_of_stock')
FINISHED = event('kaarna-garage', 'work.completed', 'field_service', 'inside', 'Kaarna', 'Workshop')
DONE = event('kaarna-garage', 'service.done', 'field_service', 'out', 'Kaarna', 'Workshop', topic='yearly service', outcome='ok')
BILL = event('kaarna-billing', 'invoice.sent', 'post', 'machine', 'Kaarna', 'Billing')
STARS = [event('kaarna-survey', 'survey.answered', 'web', 'in', 'Kaarna', 'Service desk',
               rating={'scale': 'stars', 'score': n, 'min': 1, 'max': 5}) for n in range(1, 6)]

SECRET = {'sensitivity': 'SENSITIVE', 'topic': 'laboratory result'}
DOCTOR = event('terva-ehr', 'visit.started', 'store', 'in', 'Terva', 'Clinic', **SECRET)
SAMPLE = event('terva-ehr', 'sample.taken', 'store', 'inside', 'Terva', 'Laboratory', **SECRET)
RESULT_DUE = event('terva-ehr', 'result.promised', 'store', 'out', 'Terva', 'Clinic', **SECRET)
NO_RESULT = event('terva-web', 'selfservice.failed', 'web', 'in', 'Terva', 'Web service', outcome='failed', reason='no_result',
                  **SECRET)
ASKS_NURSE = event('terva-calls', 'contact.inbound', 'phone', 'in', 'Terva', 'Phone service', **SECRET)
BLOCKED = event('terva-calls', 'request.blocked', 'phone', 'out', 'Terva', 'Phone service', outcome='blocked',
                reason='no_access', **SECRET)
BOOKS_DOCTOR = event('terva-booking', 'callback.booked', 'phone', 'in', 'Terva', 'Appointments', **SECRET)
DOCTOR_CALLS = event('terva-ehr', 'callback.reached', 'phone', 'out', 'Terva', 'Clinic', outcome='ok', **SECRET)
RESULT = event('terva-ehr', 'result.published', 'web', 'machine', 'Terva', 'Laboratory', **SECRET)
EXPLAINED = event('terva-ehr', 'result.explained', 'video', 'out', 'Terva', 'Clinic', outcome='ok', **SECRET)

BOUGHT = stores('purchase.completed', 'in', stage='use')
ENTERED = stores('visit.started', 'in')
LEFT = stores('visit.ended', 'in', outcome='ok')
WAITS = stores('wait.started', 'in')
SERVED = stores('wait.ended', 'in')
ASKS_FOR = stores('request.made', 'in', topic='return')
GETS_IT = stores('request.resolved', 'out', topic='return', outcome='resolved')
REFUSED = [stores('request.refused', 'out', topic='return', outcome='refused', reason=r) for r in ('policy', 'no_authority')]
GREETS = stores('contact.proactive', 'out')
EXPECTS = [event('havu-till', 'expectation.recorded', 'store', 'in', 'Havu', 'Store 0',
                 rating={'scale': 'expectation', 'score': n, 'min': 1, 'max': 5}) for n in range(1, 6)]
AT_KIOSK = [event('havu-kiosk', 'selfservice.started', 'kiosk', 'in', 'Havu', 'Store %d' % n) for n in range(STORES)]
KIOSK_ENDS = [event('havu-kiosk', k, 'kiosk', 'in', 'Havu', outcome=o) for k, o in
              (('selfservice.completed', 'ok'), ('selfservice.completed', 'ok'), ('selfservice.failed', 'failed'))]

LEAD = event('havu-marketing', 'lead.created', 'back_office', 'system', 'Havu', 'Marketing', stage='discover',
             handoff={'to_brand': 'Havu', 'to_unit': 'Sales'})
LEAD_TAKEN = event('havu-sales', 'handoff.accepted', 'back_office', 'inside', 'Havu', 'Sales')
SELLS = event('havu-sales', 'contact.outbound', 'video', 'out', 'Havu', 'Sales', topic='offer', stage='consider')
MENTION = [event('media-monitor', 'mention.published', c, 'public', 'Media', attributes={'sentiment': s})
           for c, s in (('media', 'negative'), ('social', 'negative'), ('social', 'positive'))]
GADGET = event('havu-things', 'product.fault_signalled', 'device', 'signal', 'Havu', 'Product', product='thermostat')
GADGET_HELP = event('havu-things', 'notice.sent', 'app', 'machine', 'Havu', 'Product', product='thermostat')

BELIEFS = [event('havu-hr', 'belief.recorded', 'back_office', 'inside', 'Havu', unit,
                 rating={'scale': 'belief', 'score': score, 'min': 0, 'max': 100})
           for unit, score in (('Customer care', 82), ('Web shop', 78), ('Shared mailbox', 90))]

BATCH = {'topic': 'battery quality', 'product': 'battery'}
BAD = [event('%s-desk' % b.lower(), 'visit.started', 'store', 'in', b, 'Service desk', cause='bad batch', **BATCH)
       for b in ('Kaarna', 'Niemi')]
KNOWN = [event('%s-desk' % b.lower(), 'diagnosis.made', 'field_service', 'inside', b, 'Workshop', cause='bad batch', **BATCH)
         for b in ('Kaarna', 'Niemi')]
USUAL = [event('%s-desk' % b.lower(), 'diagnosis.made', 'field_service', 'inside', b, 'Workshop', cause=why, **BATCH)
         for b in ('Kaarna', 'Niemi') for why in ('wear', 'bad batch', 'wear', 'cold')]
BEGAN = event('havu-supply', 'incident.began', 'back_office', 'system', 'Havu', 'Product', cause='bad batch', **BATCH)
DENIES = event('havu-press', 'statement.published', 'web', 'public', 'Havu', 'Communications', **BATCH)
TAKES_BACK = event('havu-press', 'statement.withdrawn', 'web', 'public', 'Havu', 'Communications', **BATCH)
ADMITS = event('havu-press', 'incident.acknowledged', 'social', 'public', 'Havu', 'Communications', cause='bad batch', **BATCH)
WARNED = event('havu-care', 'contact.proactive', 'phone', 'out', 'Havu', 'Customer care', cause='bad batch', **BATCH)


# ---- people ----

def identifier(namespace, value):
    return '{"namespace":"%s","value":"%s"}' % (namespace, value)


class Person:
    """Each attribute is a list of identifiers as JSON, without brackets; '' where there is none."""
    __slots__ = ('phone', 'email', 'havu', 'card', 'login', 'kaarna', 'terva', 'cookie', 'device', 'car', 'buys',
                 'store')

    def __init__(self, number, rng, before):
        chance = rng.random
        shared = before is not None and chance() < 0.03  # a couple with one phone, and one tablet
        self.phone = before.phone if shared else identifier('phone', '+3584%08d' % number)
        self.device = before.device if shared else identifier('device_id', 'app-%d' % number)
        self.email = identifier('email', 'person.%d@example.net' % number)
        self.havu = identifier('havu/customer_id', 'H%d' % number)
        self.card = identifier('alliance/loyalty_id', 'L%d' % number) if chance() < 0.8 else self.email
        self.login = identifier('havu/login', 'user%d' % number)
        self.kaarna = identifier('kaarna/customer_id', 'K%d' % number)
        self.terva = identifier('terva/customer_id', 'T%d' % number)
        self.cookie = identifier('cookie', 'ck-%d' % number)
        self.car = identifier('vehicle', 'VIN%d' % number)
        self.buys = chance() < 0.3  # comes to the store every few days
        self.store = before.store if shared else int(chance() * STORES)  # whose machines the person uses


def joined(*parts):
    return ','.join(parts)


# ---- the month ----

class Month:
    def __init__(self, people, events, days, seed):
        self.rng = random.Random(seed)
        self.days, self.wanted = days, events
        self.made = self.twice = self.late = self.day = 0
        self.store = 0  # of the person whose events are made
        self.people = []
        for number in range(people):
            self.people.append(Person(number, self.rng, self.people[-1] if self.people else None))
        self.order = list(range(people))
        self.rng.shuffle(self.order)
        self.turn = 0
        self.waiting = {}  # day of publication -> [(moment, line, store)]

    def lines(self):
        """Yields lists of (moment, line, store of the customer), a day of publication at a time."""
        scripts, weights = zip(*self.SCRIPTS)
        choices = self.rng.choices
        self.stage_incident()
        for day in range(self.days):
            self.day = day
            goal = self.wanted * (day + 1) // self.days
            while self.made < goal:
                for script in choices(scripts, weights, k=64):
                    p = self.somebody()
                    self.store = p.store
                    script(self, p, self.moment(day))
            if day % 7 == 0:
                for belief in BELIEFS:
                    self.tell(belief, START + day * DAY + 9 * HOUR, '')
            yield from self.published(day)
        for day in sorted(self.waiting):
            yield from self.published(day)

    def published(self, day):
        lines = self.waiting.pop(day, [])
        lines.sort()
        yield lines

    def somebody(self):
        """Everybody in turn, and those with low numbers more often."""
        rng = self.rng.random
        if rng() < 0.5:
            self.turn = (self.turn + 1) % len(self.order)
            return self.people[self.order[self.turn]]
        return self.people[int(len(self.people) * rng() * rng())]

    def moment(self, day):
        """Between 4 and 20 UTC, most in the middle of the day."""
        rng = self.rng.random
        return START + day * DAY + 4 * HOUR + int((rng() + rng()) * 8 * HOUR)

    def span(self, low, high):
        return low + int(self.rng.random() * (high - low))

    def maybe(self, chance):
        return self.rng.random() < chance

    def pick(self, options):
        return options[int(self.rng.random() * len(options))]

    def tell(self, sort, at, who, rest=''):
        """One event; `rest` begins with a comma. Returns its name for relates_to."""
        rng = self.rng.random
        self.made = number = self.made + 1
        line = '{"event_id":"m%d","occurred_at":%d,%s,"identifiers":[%s]%s}\n' % (number, at, sort, who, rest)
        luck = rng()
        if luck < LATE:
            moment = at + int(rng() * (6 * HOUR if luck < LATE / 2 else 4 * DAY)) + HOUR
            self.late += 1
        else:
            moment = at + int(rng() * 5 * SECOND)
        self.publish(moment, line)
        if luck > 1 - TWICE:
            self.publish(moment + int(rng() * DAY), line)
            self.twice += 1
        return ',"relates_to":"%s/m%d"' % (sort[10:sort.index('"', 10)], number)

    def publish(self, moment, line):
        """What lies before the day at hand is published first thing on it."""
        self.waiting.setdefault(max(self.day, (moment - START) // DAY), []).append((moment, line, self.store))

    def case(self, issuer):
        return ',"case_id":"%s/%d"' % (issuer, self.made)

    def staff(self, team, size=20):
        return ',"staff":"%s-%d"' % (team, int(self.rng.random() * size))

    def money(self, kind, low=500, high=40000):
        return ',"money":{"amount_minor":%d,"currency":"EUR","kind":"%s"}' % (self.span(low, high), kind)

    # -- what people do --

    def browse(self, p, at):
        who = p.cookie if self.maybe(0.8) else p.device
        for _ in range(self.span(1, 4)):
            self.tell(self.pick(PAGE), at, who)
            at += self.span(5 * SECOND, 5 * MINUTE)
        if self.maybe(0.05):
            self.tell(LOGIN_FAILED, at, who)
        if self.maybe(0.4):
            known = joined(p.login, p.email) if self.maybe(0.5) else p.login
            self.tell(LOGIN, at + self.span(SECOND, MINUTE), joined(known, who))

    def use_app(self, p, at):
        for _ in range(self.span(1, 3)):
            self.tell(APP_PAGE, at, p.device)
            at += self.span(SECOND, MINUTE)
        if self.maybe(0.3):
            self.tell(APP_LOGIN, at, joined(p.login, p.device))
        if self.maybe(0.1):
            fault = self.tell(GADGET, at + HOUR, p.device)
            if self.maybe(0.7):
                self.tell(GADGET_HELP, at + self.span(2 * HOUR, 9 * DAY), p.device, fault)

    def order_goods(self, p, at):
        if self.maybe(0.5):
            self.tell(PAGE[1], at - MINUTE, p.cookie)
        who = joined(p.login, p.email, p.phone) if self.maybe(0.5) else joined(p.email, p.phone)
        case = self.case('havu')
        due = at // DAY * DAY + self.span(2, 6) * DAY + 18 * HOUR
        promise = ',"obligation":{"id":"d%d","kind":"delivery","due_from":%d,"due_to":%%d,"unit":"Logistics"}' % (
            self.made, due - 10 * HOUR)
        self.tell(ORDERED, at, joined(who, p.cookie), case + promise % due + self.money('price'))
        at += self.span(MINUTE, 3 * HOUR)
        self.tell(APPROVED, at, '', case)
        if self.maybe(0.03):
            self.tell(CANCELLED, at + HOUR, who, case)
            return
        at += self.span(HOUR, DAY)
        offered = self.tell(TO_CARRIER, at, '', case)
        taken = at + self.span(10 * MINUTE, 30 * HOUR)
        if self.maybe(0.03):
            self.tell(CARRIER_DECLINES, taken, '', case + offered)
            taken += 2 * HOUR
            offered = self.tell(TO_CARRIER, taken - HOUR, '', case)
        if self.maybe(0.95):
            self.tell(CARRIER_TAKES, taken, '', case + offered + self.staff('driver', 60))
        at = taken + self.span(HOUR, 12 * HOUR)
        self.tell(SHIPPED, at, '', case)
        if self.maybe(0.12):
            due += self.span(1, 5) * DAY
            self.tell(DELAYED, at + HOUR, p.email, case + promise % due)
        if self.maybe(0.5):
            self.tell(NOTICE, due - 4 * HOUR, p.phone, case)
        if self.maybe(0.94):
            at = due - self.span(-6 * HOUR, 10 * HOUR)
            self.tell(DELIVERED, at, '', case)
            if self.maybe(0.04):
                self.tell(MISMATCH, at + HOUR, p.email, case)
                self.complain(p, at + self.span(2 * HOUR, DAY), case, 0)
            elif self.maybe(0.3):
                self.tell(SURVEY, at + DAY, p.email, case)
                if self.maybe(0.4):
                    self.tell(self.pick(SCORED[1:]), at + self.span(25 * HOUR, 4 * DAY), p.email, case)
        else:
            self.ask(p, due + self.span(HOUR, 2 * DAY))

    def ticket(self, p, at):
        n = self.span(0, 3)
        who = p.card if n == 2 else p.phone
        self.tell(BUYS_TICKET[n], at, who)
        paid = self.tell(PAYS_TICKET[n], at + self.span(10 * SECOND, MINUTE), who, self.money('payment', 300, 9000))
        at += MINUTE
        if self.maybe(0.95):
            self.tell(TICKET[n], at + self.span(0, 70 * SECOND), who, paid)
            if self.maybe(0.3):
                self.tell(RIDES, at + self.span(5 * MINUTE, HOUR), who)
            return
        self.tell(CRASH[n], at, who)
        self.tell(NO_TICKET, at + 3 * MINUTE, who, self.staff('agent'))
        if self.maybe(0.6):
            self.tell(ASKS_BOSS, at + 4 * MINUTE, who, self.staff('agent'))
            self.tell(BOSS_DECIDES if self.maybe(0.4) else BOSS_CANNOT, at + self.span(5 * MINUTE, 30 * MINUTE), who,
                      self.staff('boss', 4))
        if self.maybe(0.2):
            self.tell(PUT_OFF, at + self.span(30 * MINUTE, HOUR), who, self.staff('conductor'))
            self.tell(self.pick(MENTION), at + self.span(HOUR, 5 * DAY), p.email, ',"topic":"ticket"')
        if self.maybe(0.5):
            self.tell(REFUND, at + self.span(HOUR, 3 * DAY), who, paid + self.money('refund', 300, 9000))

    def call(self, p, at):
        """Rings in vain, asks to be called back, is called in vain, rings again."""
        who = p.phone if self.maybe(0.7) else joined(p.kaarna, p.phone)
        if self.maybe(0.4):
            self.tell(self.pick(CALLS), at, who, self.staff('booking'))
            if self.maybe(0.15):
                self.tell(PASSED_ON, at + 2 * MINUTE, who, self.staff('booking'))
            elif self.maybe(0.08):
                self.tell(WRONG_DESK, at + 3 * MINUTE, who, self.staff('booking'))
                self.tell(self.pick(CALLS), at + self.span(5 * MINUTE, DAY), who, self.staff('booking'))
            return
        while True:
            self.tell(MISSED, at, who)
            at += 40 * SECOND
            if self.maybe(0.5):
                asked = self.tell(WANTS_CALL, at, who)
            else:
                asked = self.tell(BOOKS_CALL, at, who, ',"obligation":{"id":"c%d","kind":"callback","due_from":%d,"due_to":%d,'
                                  '"unit":"Booking","role":"planner"}' % (self.made, at + HOUR, at + 7 * HOUR))
            for _ in range(self.span(1, 3)):
                at += self.span(20 * MINUTE, 5 * HOUR)
                if self.maybe(0.55):
                    self.tell(REACHED, at, who, asked + self.staff('booking'))
                    return
                self.tell(self.pick(IN_VAIN), at, who, asked + self.staff('booking'))
            if self.maybe(0.3):
                if self.maybe(0.3):
                    self.tell(GIVES_UP, at + HOUR, who, asked)
                return
            at += self.span(HOUR, 4 * DAY)

    def ask(self, p, at):
        sort = self.pick(ASKED)
        who = p.email if '"channel":"email"' in sort else joined(p.email, p.cookie) if '"chat"' in sort else p.phone
        asked = self.tell(sort, at, who)
        if '"chat"' in sort:
            self.tell(BOT_SAYS, at + 3 * SECOND, who, asked)
        at += self.span(5 * MINUTE, 2 * DAY)
        if self.maybe(0.5):
            self.tell(REPLIED, at, who, asked + self.staff('care'))
            at += self.span(HOUR, DAY)
        if self.maybe(0.25):
            self.tell(RINGS, at, joined(p.email, p.phone), ',"topic":"delivery"' + self.staff('care'))
            if self.maybe(0.3):
                self.tell(self.pick(DEFLECTED), at + 5 * MINUTE, p.phone, self.staff('care'))
            at += HOUR
        if self.maybe(0.75):
            self.tell(self.pick(ANSWERED), at, who, asked + self.staff('care'))
            if self.maybe(0.2):
                self.tell(THANKS, at + self.span(MINUTE, DAY), p.email)

    def write(self, p, at):
        self.tell(WROTE, at, p.email, ',"topic":"%s"' % self.pick(TOPICS))
        for _ in range(self.span(0, 3)):
            at += self.span(10 * MINUTE, DAY)
            self.tell(WROTE_BACK, at, p.email, self.staff('mail', 6))
            if self.maybe(0.5):
                at += self.span(HOUR, DAY)
                self.tell(WROTE, at, p.email)

    def complain(self, p, at, case=None, which=None):
        case = case or self.case('havu')
        opened = self.tell(COMPLAINED[which] if which is not None else self.pick(COMPLAINED), at, joined(p.email, p.phone), case)
        if self.maybe(0.3):
            self.tell(OWNER, at + HOUR, '', case + self.staff('care'))
        for _ in range(self.span(0, 3)):
            at += self.span(HOUR, 3 * DAY)
            if self.maybe(0.4):
                self.tell(RINGS, at, p.phone, case + ',"cause":"wrong item"' + self.staff('care'))
                self.tell(SHIFTED if self.maybe(0.3) else self.pick(DEFLECTED), at + 6 * MINUTE, p.phone, case + self.staff('care'))
            else:
                self.tell(COMPLAINT_REPLY, at, p.email, case + opened + self.staff('care'))
        if self.maybe(0.4):
            at += self.span(HOUR, DAY)
            offered = self.tell(TO_REPAIRS, at, '', case)
            at += self.span(HOUR, 2 * DAY)
            if self.maybe(0.6):
                self.tell(REPAIRS_TAKE, at, '', case + offered)
                if self.maybe(0.3):
                    self.tell(SENT_BACK, at + HOUR, '', case)
            elif self.maybe(0.5):
                self.tell(REPAIRS_DECLINE, at, '', case + offered)
        elif self.maybe(0.1):
            self.tell(NO_OWNER, at + HOUR, '', case)
        if self.maybe(0.7):
            at += self.span(DAY, 10 * DAY)
            self.tell(self.pick(COMPLAINT_DONE), at, p.email, case + self.staff('care'))
            if self.maybe(0.3):
                self.tell(self.pick(RECOMMENDS), at + self.span(HOUR, 2 * DAY), p.email, case)
        if self.maybe(0.3):
            self.recover(p, at + HOUR, case)

    def recover(self, p, at, rest):
        eligible = self.tell(ELIGIBLE, at, p.email, rest + self.money('loss', 500, 9000))
        if self.maybe(0.7):
            self.tell(OFFERED, at + self.span(HOUR, 5 * DAY), p.email, rest + eligible + self.money('compensation', 500, 9000))
            at += self.span(5 * DAY, 8 * DAY)
            if self.maybe(0.1):
                self.tell(DECLINED, at, p.email, rest + eligible)
            elif self.maybe(0.8):
                self.tell(ACCEPTED, at, p.email, rest)
                self.tell(PAID, at + self.span(HOUR, 4 * DAY), p.email, rest + eligible + self.money('compensation', 500, 9000))

    def feedback(self, p, at):
        given = self.tell(self.pick(FEEDBACK), at, p.email if self.maybe(0.6) else joined(p.card, p.phone))
        if self.maybe(0.8):
            self.tell(ACKNOWLEDGED, at + self.span(MINUTE, 5 * DAY), p.email, given)
        if self.maybe(0.5):
            self.tell(HANDLED, at + self.span(DAY, 9 * DAY), p.email, given)
            if self.maybe(0.4):
                self.tell(TOLD, at + self.span(9 * DAY, 12 * DAY), p.email, given)
        if self.maybe(0.03):
            idea = self.tell(PROPOSED, at + DAY, '', given)
            self.tell(ADOPTED if self.maybe(0.4) else TURNED_DOWN, at + self.span(2 * DAY, 9 * DAY), '', idea)

    def service(self, p, at):
        case = self.case('kaarna')
        who = joined(p.kaarna, p.phone, p.car)
        self.tell(DUE, at, p.car if self.maybe(0.7) else who, case)
        at += self.span(HOUR, 4 * DAY)
        if self.maybe(0.2):
            self.call(p, at)
        if self.maybe(0.25):
            return
        self.tell(BOOKED, at, who, case)
        if self.maybe(0.1):
            self.tell(MOVED, at + DAY, who, case)
        at += self.span(DAY, 6 * DAY)
        self.tell(CAME, at, joined(p.kaarna, p.car), case + self.staff('desk', 8))
        self.tell(QUEUED, at + 5 * MINUTE, '', case)
        at += self.span(30 * MINUTE, 2 * DAY)
        for _ in range(self.span(1, 3)):
            self.tell(STARTED, at, p.car, case + self.staff('mechanic', 12))
            at += self.span(20 * MINUTE, 2 * HOUR)
            if self.maybe(0.3):
                self.tell(PAUSED, at, p.car, case)
                at += self.span(HOUR, DAY)
        self.tell(FINISHED, at, p.car, case)
        self.tell(DONE, at + 10 * MINUTE, p.car, case + self.staff('mechanic', 12))
        self.tell(BILL, at + DAY, p.kaarna, case + self.money('price', 8000, 60000))
        if self.maybe(0.2):
            self.tell(self.pick(STARS), at + 2 * DAY, p.email, case)

    def laboratory(self, p, at):
        staff = self.staff('doctor', 9)
        self.tell(DOCTOR, at, p.terva, staff)
        self.tell(SAMPLE, at + 20 * MINUTE, p.terva)
        due = at + 30 * HOUR
        promised = self.tell(RESULT_DUE, at + 25 * MINUTE, joined(p.terva, p.phone), staff + (
            ',"obligation":{"id":"r%d","kind":"result","due_to":%d,"unit":"Laboratory"}' % (self.made, due)))
        if self.maybe(0.8):
            self.tell(RESULT, due - self.span(-20 * HOUR, 20 * HOUR), p.terva, promised)
        else:
            at = due + self.span(HOUR, DAY)
            self.tell(NO_RESULT, at, joined(p.terva, p.cookie))
            self.tell(ASKS_NURSE, at + 20 * MINUTE, joined(p.terva, p.phone), self.staff('nurse'))
            self.tell(BLOCKED, at + 24 * MINUTE, p.terva, self.staff('nurse'))
            booked = self.tell(BOOKS_DOCTOR, at + 30 * MINUTE, p.phone, (
                ',"obligation":{"id":"b%d","kind":"callback","due_from":%d,"due_to":%d,"unit":"Clinic","role":"doctor"}' % (
                    self.made, at + HOUR, at + 8 * HOUR)))
            due = at + self.span(HOUR, 9 * HOUR)
            self.tell(DOCTOR_CALLS, due, p.phone, booked + staff)
        if self.maybe(0.6):
            self.tell(EXPLAINED, due + self.span(MINUTE, DAY), p.terva, staff)

    def shop(self, p, at):
        n = self.span(0, STORES)
        self.tell(BOUGHT[n], at, joined(p.card, p.email) if self.maybe(0.1) else p.card,
                  self.staff('till', 90) + self.money('payment', 300, 15000))
        if p.buys:
            for _ in range(self.span(1, 4)):
                at += self.span(2 * DAY, 5 * DAY)
                self.tell(BOUGHT[n], at, p.card, self.staff('till', 90) + self.money('payment', 300, 15000))

    def visit(self, p, at):
        n = self.span(0, STORES)
        case = self.case('store')
        self.tell(ENTERED[n], at, p.card, case)
        if self.maybe(0.2):
            self.tell(GREETS[n], at + MINUTE, p.card, case + self.staff('floor', 50))
        if self.maybe(0.1):
            self.tell(self.pick(EXPECTS), at + 2 * MINUTE, p.card)
        self.tell(WAITS[n], at + 3 * MINUTE, p.card, case)
        at += self.span(5 * MINUTE, 40 * MINUTE)
        self.tell(SERVED[n], at, p.card, case)
        asked = self.tell(ASKS_FOR[n], at + MINUTE, p.card, case + self.staff('floor', 50))
        if self.maybe(0.75):
            self.tell(GETS_IT[n], at + self.span(2 * MINUTE, 20 * MINUTE), p.card, case + asked + self.staff('floor', 50))
        else:
            self.tell(self.pick(REFUSED)[n], at + self.span(2 * MINUTE, 20 * MINUTE), p.card,
                      case + asked + self.staff('floor', 50))
        self.tell(LEFT[n], at + 25 * MINUTE, p.card, case)

    def kiosk(self, p, at):
        machine = identifier('kiosk', 'info-%d' % p.store)
        self.tell(AT_KIOSK[p.store], at, machine)
        if self.maybe(0.5):
            self.tell(self.pick(KIOSK_ENDS), at + self.span(MINUTE, 5 * MINUTE), joined(p.card, machine))

    def lead(self, p, at):
        self.tell(AD, at - DAY, p.email)
        case = self.case('lead')
        offered = self.tell(LEAD, at, p.email, case)
        if self.maybe(0.6):
            at += self.span(HOUR, 4 * DAY)
            self.tell(LEAD_TAKEN, at, '', case + offered + self.staff('sales', 12))
            self.tell(SELLS, at + self.span(MINUTE, DAY), p.phone, case + self.staff('sales', 12))

    def news(self, p, at):
        self.tell(NEWS, at, p.email)

    def profile(self, p, at):
        """A form: all at once, so that what was apart is one."""
        parts = [p.havu, p.login, p.email] + ([p.card] if p.card is not p.email else [])
        self.tell(PROFILE, at, joined(*parts, p.phone) if self.maybe(0.5) else joined(*parts, p.kaarna, p.terva))

    def diagnosed(self, p, at):
        """What a garage finds on any day."""
        self.tell(self.pick(USUAL), at, joined(p.kaarna, p.car), self.staff('mechanic', 12))

    def hit(self, p, at):
        """By the bad batch."""
        n = self.span(0, 2)
        who = joined(p.kaarna, p.phone)
        self.tell(BAD[n], at, who)
        self.tell(KNOWN[n], at + self.span(20 * MINUTE, 2 * HOUR), who, self.staff('mechanic', 12))
        if self.maybe(0.3):
            self.tell(BAD[n], at + self.span(DAY, 5 * DAY), who)
        if self.maybe(0.4):
            self.tell(WARNED, self.admitted + self.span(HOUR, 2 * DAY), p.phone, self.staff('care'))
        self.recover(p, self.admitted + self.span(HOUR, 3 * DAY), ',"cause":"bad batch"')
        if self.maybe(0.1):
            self.tell(self.pick(MENTION), at + self.span(DAY, 6 * DAY), p.email, ',"topic":"battery quality"')

    def stage_incident(self):
        """One spike in the middle of the month: about one person of a hundred."""
        began = START + self.days // 2 * DAY + 5 * HOUR
        self.admitted = began + 3 * DAY
        self.tell(BEGAN, began, '')
        denied = self.tell(DENIES, began + 6 * HOUR, '')
        self.tell(TAKES_BACK, self.admitted - MINUTE, '', denied)
        self.tell(ADMITS, self.admitted, '')
        for _ in range(max(8, len(self.people) // 100)):
            p = self.somebody()
            self.store = p.store
            self.hit(p, began + self.span(HOUR, 36 * HOUR))

    SCRIPTS = [(browse, 16), (use_app, 7), (order_goods, 9), (ticket, 9), (call, 7), (ask, 8), (write, 4), (complain, 2),
               (feedback, 4), (service, 4), (laboratory, 3), (shop, 12), (visit, 4), (kiosk, 4), (lead, 2), (news, 8),
               (profile, 6), (diagnosed, 2)]


def main():
    parser = argparse.ArgumentParser(description='A simulated month as JSON Lines, in the order of publication.')
    parser.add_argument('--people', type=int, default=50000)
    parser.add_argument('--events', type=int, default=1000000, help='at least so many, copies not counted')
    parser.add_argument('--days', type=int, default=31)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--out', help='file; else standard output')
    parser.add_argument('--partitions', type=int, default=0, help='also so many files, OUT.0 and on: each customer is in one, '
                        'with all who use the same store and its machines')
    args = parser.parse_args()
    month = Month(args.people, args.events, args.days, args.seed)
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(open(args.out, 'w', encoding='utf-8')) if args.out else sys.stdout
        parts = [stack.enter_context(open('%s.%d' % (args.out, n), 'w', encoding='utf-8')) for n in range(args.partitions)]
        for lines in month.lines():
            out.writelines(line for _, line, _ in lines)
            for n, part in enumerate(parts):
                part.writelines(line for _, line, store in lines if store % len(parts) == n)
    print('month: %d events of %d people, %.1f %% late, %d copies' % (
        month.made, len(month.people), 100 * month.late / month.made, month.twice), file=sys.stderr)


if __name__ == '__main__':
    main()
