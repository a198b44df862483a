#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A simulated population of customers with ground truth: who did what, and which identifiers are whose.

    population.py generate --seed 7 --events-out events.jsonl --truth-out truth.jsonl
    population.py judge --rules deploy/polku.yaml --key-file key --seed 7

`generate` writes events as `polku-producer send` reads them, in the order in which they arrive, and the truth: one
line per event (the person, and null or why nobody could tell) and per person identifier (the persons who use it, and
what the events say of it). `judge` lets the oracle derive such events and prints how well it told people apart.

People have a loyalty number (some have two), customer ids of one or two brands, an e-mail address, a phone number and
a log-in, and use browsers whose cookies get lost, an app, the family's tablet, machines in stores, a car. They browse
before they log in, or log in days later; order, and are sent parcels by a carrier who knows the order's number alone;
are promised calls; share the family's or the office's phone; mistype addresses or give somebody else's. One event of
twenty arrives up to days late, some arrive twice.

**What can be told at all** is a property of the events and the rules, not of a program. It is judged here from the
truth, by docs/semantics.md 2 and 3 read as what a shop could know:

- A person identifier is `several` people's if the events show it (3.2: it is shared and joins nobody). It is `glued`
  if in its component (3.3) there is one that several people use without any event that shows it: a phone of two people
  who never gave a number that is theirs alone. It is `clear` else. Then every link in its component joins identifiers
  of one person, by induction over links: customers made of clear identifiers hold one person each.
- An event with an own person is decidable if that is clear. An event without one is decidable if within the lookback
  and lookahead of each of its names nobody else used that name, and whoever was seen there is known by a clear
  identifier; if nobody was seen there, its anonymous customer holds one person only if nobody else ever used its
  strongest name.
- The others are undecidable: `no name`, `glued`, `several at that time`, `several before`.

So among decidable events two of one customer are of one person: precision is 1, or the program is wrong. The
reverse (recall) is not promised: who browses and never logs in is not found again.
"""

import argparse
import bisect
import collections
import itertools
import json
import random
import sys

import yaml

import polku_oracle as oracle
from polku_oracle import DAY, HOUR, format_time, parse_duration, parse_time

MINUTE, SECOND = HOUR // 60, 1000000
START = parse_time('2025-09-01T00:00:00Z')


# ---------------------------------------------------------------- the rules, as far as they decide what can be told

class Namespace:
    def __init__(self, node):
        self.class_, self.priority = node['class'], int(node['priority'])
        self.is_person = self.class_ == 'person'
        self.unique = node.get('unique') == 'true'
        self.normaliser = node.get('normalise', 'none')
        self.max_people = int(node['max_people']) if 'max_people' in node else None if self.unique else 1
        self.max_links = int(node.get('max_links', 50))
        if self.is_person:
            self.lookback = self.lookahead = parse_duration(node.get('shared_lookback', '7d'))
        else:
            kiosk = self.class_ == 'kiosk'
            self.lookback = parse_duration(node.get('lookback', '30m' if kiosk else '30d'))
            self.lookahead = parse_duration(node['lookahead']) if 'lookahead' in node else 0 if kiosk else self.lookback


class Rules:
    def __init__(self, path):
        with open(path, encoding='utf-8') as file:
            tree = yaml.load(file, yaml.BaseLoader)
        self.blocked = {value.lower() for value in tree['identity'].get('blocked_values') or []}
        self.named = {node['name']: Namespace(node) for node in tree['identity']['namespaces']}
        self.case_gap = parse_duration(tree['journeys']['case_gap'])
        self.country = tree['identity']['phone_country']

    def namespace(self, name):
        return self.named.get(name) or self.named.get('*/' + name.partition('/')[2])


# ---------------------------------------------------------------- what happens

class Person:
    __slots__ = ('number', 'loyalty', 'havu', 'kaarna', 'email', 'phone', 'login', 'cookie', 'app', 'tablet',
                 'vehicle', 'office', 'family', 'store')


class Happening:
    """One event: the true person, and its identifiers as (namespace, value that counts or None, as written)."""
    __slots__ = ('person', 'time', 'arrival', 'who', 'case', 'natural', 'verdict', 'own')


CASE = 'case_id'  # the namespace of orders, tickets and dossiers


class Population:
    """Decided by its seed alone. happening: the events in order of time; redelivery: (arrival, natural) of copies."""

    def __init__(self, seed, rules, people=30000, events=200000, days=60):
        self.random, self.rules = random.Random(seed), rules
        self.span, self.wanted = days * DAY, events
        self.numbers = itertools.count(1)
        self.happening, self.redelivery = [], []
        self.people = [self._person(n) for n in range(people)]
        self._families()
        self._offices()
        self._live()
        self._arrive()

    def maybe(self, chance):
        return self.random.random() < chance

    # -- who they are

    def _person(self, number):
        p = Person()
        p.number, p.family = number, (number,)
        cards = 0 if self.maybe(0.2) else 2 if self.maybe(0.02) else 1
        p.loyalty = ['L%07d' % (10 * number + n) for n in range(cards)]
        p.havu = 'H%06d' % number if self.maybe(0.7) else None
        p.kaarna = 'K%06d' % number if self.maybe(0.45) else None
        first, last = self.random.choice(['aino', 'eero', 'helmi', 'siiri']), self.random.choice(['fi', 'com', 'net'])
        p.email = '%s.%d@example.%s' % (first, number, last) if self.maybe(0.9) else None
        p.phone = '4%08d' % number if self.maybe(0.9) or not (p.loyalty or p.email) else None
        p.login = 'user%d' % number if self.maybe(0.55) else None
        p.app = 'app-%d' % number if self.maybe(0.5) else None
        p.vehicle = 'VIN%06d' % number if p.kaarna and self.maybe(0.7) else None
        p.cookie = p.tablet = p.office = None
        p.store = self.random.randrange(1 + len(range(0, number + 1, 500)))
        return p

    def _families(self):
        """About 7 % of the people share a phone with others at home, as many a tablet; some a car."""
        at = 0
        while at < len(self.people):
            if not self.maybe(0.05):
                at += 1
                continue
            family = self.people[at:at + self.random.choice([2, 2, 2, 3, 4])]
            at += len(family)
            phone, tablet = self.maybe(0.6), self.maybe(0.6)
            for member in family:
                member.family = tuple(m.number for m in family)
                if phone:
                    member.phone = '9%08d' % family[0].number
                if tablet:
                    member.tablet = 'tablet-%d' % family[0].number
                if family[0].vehicle and member.kaarna:
                    member.vehicle = family[0].vehicle

    def _offices(self):
        for office in range(max(1, len(self.people) // 5000)):
            for person in self.random.sample(self.people, min(40, len(self.people) // 5)):
                person.office = '10%07d' % office

    # -- how they write it

    def phone(self, p, number=None):
        number = number or p.phone
        if number is None:
            return []
        if number == p.phone and self.maybe(0.002):
            other = self.people[self.random.choice(p.family)] if len(p.family) > 1 else self.random.choice(self.people)
            number = other.phone or number
        if self.maybe(0.005):
            return [('phone', None, self.random.choice(['0000000000', '', '+00 0']))]
        counts = self.rules.country + number
        return [('phone', counts, self.random.choice(['+' + counts, '0' + number, '00' + counts,
                                                      '0%s %s-%s' % (number[:2], number[2:5], number[5:])]))]

    def email(self, p):
        value = p.email
        if value is None:
            return []
        if self.maybe(0.015):  # mistyped: nobody else's
            at = self.random.randrange(2, len(value) - 12)
            value = value[:at] + 'x' + value[at:]
        elif self.maybe(0.001):  # somebody else's
            value = self.random.choice(self.people).email or value
        elif self.maybe(0.01):
            return [('email', None, self.random.choice([''] + [v for v in ('anonymous', 'noreply@example.com', 'none')
                                                               if v in self.rules.blocked]))]
        return [('email', value, self.random.choice([value, value, value.capitalize(), value.upper(), ' %s ' % value]))]

    def contact(self, p):
        """The e-mail address and the phone number, or one of them, as in a form."""
        return self.email(p) + self.phone(p)

    def account(self, p):
        """What the web shop knows after a log-in."""
        who = [('havu/login', p.login, p.login)] * bool(p.login) + self.id_of('havu', p.havu)
        return who or self.email(p)

    def card(self, p):
        number = self.random.choice(p.loyalty)
        return 'alliance/loyalty_id', number, number

    @staticmethod
    def id_of(brand, number):
        return [(brand + '/customer_id', number, number)] * bool(number)

    @staticmethod
    def machine(name):
        return [('kiosk', name, name)]

    def seller(self):
        return 'seller-%d' % self.random.randrange(400)

    def known_by(self, p):
        """By what an agent finds the person: the loyalty number, or a customer id."""
        who = [self.card(p)] if p.loyalty else []
        who += self.id_of('havu', p.havu) + self.id_of('kaarna', p.kaarna)
        return [self.random.choice(who)] if who else self.email(p)

    def browser(self, p):
        if p.tablet and self.maybe(0.35):
            return 'device_id', p.tablet, p.tablet
        if p.cookie is None or self.maybe(0.15):  # cleared, or another browser
            p.cookie = 'ck-%d-%d' % (p.number, next(self.numbers))
        return 'cookie', p.cookie, p.cookie

    # -- one event

    def tell(self, p, at, source, kind, channel, who, case=None, **fields):
        h = Happening()
        h.person, h.time, h.case, h.who = p.number if p else None, int(at), case, who
        brand = fields.pop('brand', None) or source.partition('-')[0].capitalize()
        h.natural = natural = {
            'event_id': 'p%d' % next(self.numbers), 'source': source, 'occurred_at': h.time, 'type': kind,
            'channel': channel, 'brand': brand, 'direction': 'INBOUND', 'actor': 'CUSTOMER'}
        if who:
            natural['identifiers'] = [{'namespace': namespace, 'value': written} for namespace, _, written in who]
        if case:
            natural[CASE] = case
        natural.update(fields)
        self.happening.append(h)
        return '%s/%s' % (source, natural['event_id'])

    def later(self, low, high):
        return self.random.randrange(low, high)

    OUT = {'direction': 'OUTBOUND', 'actor': 'HUMAN'}
    MACHINE = {'direction': 'OUTBOUND', 'actor': 'SYSTEM'}
    INSIDE = {'direction': 'INTERNAL', 'actor': 'HUMAN'}
    SYSTEM = {'direction': 'INTERNAL', 'actor': 'SYSTEM'}

    # -- what people do: each returns when it is over

    def views(self, p, at, who, most):
        for _ in range(self.random.randint(1, most)):
            self.tell(p, at, 'havu-web', 'page.viewed', 'web', who)
            at += self.later(5 * SECOND, 10 * MINUTE)
        return at

    def browse(self, p, at):
        browser = self.browser(p)
        at = self.views(p, at, [browser], 3)
        if self.maybe(0.35) and self.account(p):
            at += self.later(MINUTE, 3 * DAY) if self.maybe(0.3) else self.later(SECOND, 5 * MINUTE)
            self.tell(p, at, 'havu-web', 'login.succeeded', 'web', self.account(p) + [browser])

    def order(self, p, at):
        browser, case = self.browser(p), 'havu/T-%d' % next(self.numbers)
        if self.maybe(0.6):
            at = self.views(p, at, [browser], 2)
        who = self.contact(p)
        if (p.login or p.havu) and self.maybe(0.6):
            who = self.account(p) + who
        self.tell(p, at, 'havu-web', 'purchase.started', 'web', [browser])
        at += self.later(MINUTE, 20 * MINUTE)
        from_ = at // DAY * DAY + self.random.randint(2, 7) * DAY + 9 * HOUR
        promise = {'id': 'delivery-' + case, 'kind': 'delivery', 'due_from': from_, 'due_to': from_ + 8 * HOUR,
                   'unit': 'Logistics'}
        placed = self.tell(p, at, 'havu-shop', 'order.placed', 'web', who + [browser], case, obligation=promise)
        self.tell(p, at + SECOND, 'havu-shop', 'payment.captured', 'web', [], case, **self.SYSTEM,
                  money={'amount_minor': self.random.randrange(500, 50000), 'currency': 'EUR', 'kind': 'payment'})
        self.tell(p, at + self.later(HOUR, 2 * DAY), 'reitti-depot', 'order.shipped', 'post', [], case, **self.SYSTEM)
        if self.maybe(0.1):
            self.tell(p, from_ - self.later(HOUR, 8 * HOUR), 'havu-shop', 'delivery.late', 'email', self.email(p), case,
                      obligation=dict(promise, due_from=from_ + DAY, due_to=from_ + DAY + 8 * HOUR), **self.MACHINE)
        if self.maybe(0.3):
            self.tell(p, from_ - self.later(HOUR, DAY), 'reitti-web', 'page.viewed', 'web', [browser], case)
        if p.phone and self.maybe(0.3):
            self.tell(p, from_ - HOUR, 'reitti-depot', 'notice.sent', 'messaging', self.phone(p), case, **self.MACHINE)
        if self.maybe(0.93):
            self.tell(p, from_ + self.later(-HOUR, 12 * HOUR), 'reitti-depot', 'order.delivered', 'post', [], case,
                      relates_to=placed, outcome='ok', **self.OUT)
        if self.maybe(0.1):
            self.complain(p, from_ + self.later(DAY, 3 * DAY), case)

    def complain(self, p, at, case=None):
        case = case or 'havu/V-%d' % next(self.numbers)
        who = self.contact(p)[:1]
        self.tell(p, at, 'havu-crm', 'complaint.opened', 'email', who, case)
        self.tell(p, at + self.later(HOUR, DAY), 'havu-crm', 'handoff.offered', 'back_office', [], case,
                  handoff={'to_brand': 'Kaarna', 'to_unit': 'Repairs'}, **self.INSIDE)
        if self.maybe(0.7):
            self.tell(p, at + self.later(DAY, 3 * DAY), 'kaarna-desk', 'handoff.accepted', 'back_office', [], case,
                      **self.INSIDE)
        if self.maybe(0.7):
            self.tell(p, at + self.later(3 * DAY, 20 * DAY), 'havu-crm', 'complaint.closed', 'email', who, case,
                      outcome='resolved', **self.OUT)

    def call(self, p, at):
        number = p.office if p.office and self.maybe(0.7) else None
        who = self.phone(p, number)
        identified = self.known_by(p) if not who or self.maybe(0.5) else []
        self.tell(p, at, 'kaarna-calls', 'contact.inbound', 'phone', identified + who,
                  **({'outcome': 'unanswered'} if self.maybe(0.2) else {}))
        if not self.maybe(0.4):
            return
        at += self.later(MINUTE, 5 * MINUTE)
        promise = {'id': 'call-%d' % next(self.numbers), 'kind': 'callback', 'due_from': at + HOUR,
                   'due_to': at + 6 * HOUR, 'unit': 'Service desk'}
        self.tell(p, at, 'kaarna-calls', 'callback.booked', 'ivr', who or identified, obligation=promise)
        while self.maybe(0.8):
            at += self.later(30 * MINUTE, 4 * HOUR)
            reached = self.maybe(0.6)
            self.tell(p, at, 'kaarna-calls', 'callback.reached' if reached else 'callback.unreached', 'phone',
                      who or identified, outcome='ok' if reached else 'unreached',
                      relates_to='kaarna-calls/' + promise['id'], **self.OUT)
            if reached:
                return

    def ask(self, p, at):
        case = 'havu/Q-%d' % next(self.numbers) if self.maybe(0.5) else None
        who = self.contact(p)[:1]
        if self.maybe(0.25):
            who = self.known_by(p) + who
        asked = self.tell(p, at, 'havu-mail', 'question.asked', 'email', who, case,
                          topic=self.random.choice(['bill', 'delivery', 'warranty']))
        for chance, kind in (0.7, 'reply.sent'), (0.7, 'answer.given'), (0.2, 'thanks.received'):
            if self.maybe(chance):
                at += self.later(HOUR, 2 * DAY)
                self.tell(p, at, 'havu-mail', kind, 'email', [] if case and self.maybe(0.5) else who, case,
                          relates_to=asked, **({} if kind == 'thanks.received' else self.OUT))

    def shop(self, p, at):
        """In a store: the price machine is used by anybody, the till sees the card."""
        place = self.random.randrange(p.store + 1)
        if self.maybe(0.3):
            machine = self.machine('info-%d' % place)
            self.tell(p, at, 'havu-kiosk', 'selfservice.started', 'kiosk', machine)
            at += self.later(MINUTE, 20 * MINUTE)
            if p.loyalty and self.maybe(0.4):
                self.tell(p, at, 'havu-kiosk', 'selfservice.completed', 'kiosk', [self.card(p)] + machine, outcome='ok')
        at += self.later(MINUTE, 40 * MINUTE)
        who = [self.card(p)] if p.loyalty else []
        if who and self.maybe(0.004):  # pays with one card, and shows another one for the points
            other = self.random.choice([q for q in self.random.sample(self.people, 5) + [p] if q.loyalty])
            if other is not p:
                who.append(self.card(other))
        if who and p.email and self.maybe(0.25):
            who += self.email(p)  # for the receipt
        self.tell(p, at, 'havu-till', 'purchase.completed', 'store', who, unit='Store %d' % place, staff=self.seller())

    def counter(self, p, at):
        """Staff look customers up on the machine at the desk: one device that sees everybody."""
        machine = self.machine('desk-%d' % self.random.randrange(p.store + 1))
        self.tell(p, at, 'havu-desk', 'visit.started', 'store', machine)
        self.tell(p, at + self.later(MINUTE, 10 * MINUTE), 'havu-desk', 'request.made', 'store',
                  self.known_by(p) + self.phone(p) + machine, staff=self.seller())

    def garage(self, p, at):
        car = [('vehicle', p.vehicle, p.vehicle)] if p.vehicle else []
        case = 'kaarna/S-%d' % next(self.numbers)
        if car:
            for _ in range(self.random.randint(0, 2)):
                self.tell(p, at, 'kaarna-telematics', 'product.fault_signalled', 'vehicle', car, actor='SYSTEM')
                at += self.later(HOUR, 2 * DAY)
        who = self.id_of('kaarna', p.kaarna) + self.phone(p)
        self.tell(p, at, 'kaarna-booking', 'appointment.booked', 'phone', who + car, case,
                  obligation={'id': 'service-' + case, 'kind': 'service', 'due_from': at + 2 * DAY,
                              'due_to': at + 5 * DAY, 'unit': 'Garage'})
        at += self.later(2 * DAY, 6 * DAY)
        self.tell(p, at, 'kaarna-garage', 'work.started', 'field_service', car, case, **self.INSIDE)
        self.tell(p, at + self.later(HOUR, 8 * HOUR), 'kaarna-garage', 'service.done', 'field_service', [], case,
                  outcome='ok', **self.OUT)

    def app(self, p, at):
        if not p.app:
            return self.browse(p, at)
        phone = ('device_id', p.app, p.app)
        at = self.views(p, at, [phone], 3)
        if self.maybe(0.4):
            who = self.account(p) if self.maybe(0.5) or not p.loyalty else [self.card(p)]
            self.tell(p, at, 'havu-app', 'login.succeeded', 'app', who + [phone])
        return None

    def news(self, p, at):
        if p.email:
            self.tell(p, at, 'havu-news', 'newsletter.sent', 'email', self.email(p), **self.MACHINE)

    def profile(self, p, at):
        """The person fills a form: all at once."""
        who = ([self.card(p)] if p.loyalty else []) + self.account(p)
        who += [i for i in self.contact(p) if i[0] not in (w[0] for w in who)]
        if self.maybe(0.7) and p.kaarna:
            who = self.id_of('kaarna', p.kaarna) + who
        self.tell(p, at, 'havu-crm', 'identity.linked', 'web', who)

    def nameless(self, p, at):
        self.tell(p, at, 'havu-shop', 'page.viewed', 'web', [])

    SCRIPTS = [(browse, 13), (order, 12), (call, 11), (ask, 9), (shop, 14), (counter, 4), (garage, 5), (app, 8),
               (news, 8), (profile, 25), (complain, 1), (nameless, 1)]

    def _live(self):
        """Everybody does something; then those who do much do more, until there are enough events."""
        scripts, weights = zip(*self.SCRIPTS)
        for p in self.people:
            before = len(self.happening)
            while len(self.happening) == before:
                self._begin(p, self.random.choices(scripts, weights)[0])
        often = list(itertools.accumulate(self.random.choice([1, 1, 2, 2, 3, 6]) for _ in self.people))
        while len(self.happening) < self.wanted:
            p = self.random.choices(self.people, cum_weights=often)[0]
            self._begin(p, self.random.choices(scripts, weights)[0])
        self.happening.sort(key=lambda h: (h.time, h.natural['source'], h.natural['event_id']))

    def _begin(self, p, script):
        day = self.random.randrange(self.span // DAY)
        script(self, p, START + day * DAY + self.later(6 * HOUR, 20 * HOUR))

    def _arrive(self):
        for h in self.happening:
            h.arrival = h.time + self.later(SECOND // 10, 5 * SECOND)
            if self.maybe(0.05):
                h.arrival += self.later(MINUTE, 4 * DAY)
            if self.maybe(0.02):
                copy = h.natural if self.maybe(0.95) else dict(h.natural, attributes={'sent': 'again'})
                self.redelivery.append((h.arrival + self.later(0, DAY), copy))

    def naturals(self, order='arrival'):
        """Events as natural JSON objects, copies included; order: arrival or time."""
        if order == 'time':
            told = [(h.time, h.natural) for h in self.happening] + [(n['occurred_at'], n) for _, n in self.redelivery]
        else:
            told = [(h.arrival, h.natural) for h in self.happening] + self.redelivery
        return [natural for _, natural in sorted(told, key=lambda t: t[0])]


# ---------------------------------------------------------------- what can be told

class Sets:
    """Union-find."""

    def __init__(self):
        self.parent = {}

    def root(self, x):
        parent = self.parent
        path = []
        while parent.setdefault(x, x) != x:
            path.append(x)
            x = parent[x]
        for y in path:
            parent[y] = x
        return x

    def join(self, a, b):
        self.parent[self.root(a)] = self.root(b)


class Verdicts:
    """Sets `verdict` (None = decidable) of every happening; `identifier`: key -> (persons, 'clear', 'several' or
    'glued'). A key is (namespace, value that counts)."""

    def __init__(self, happening, rules):
        self.rules = rules
        self.names = {}          # namespace -> Namespace, as events write it
        self.persons = [self._persons(h) for h in happening]
        self.shared = self._shared()
        users, sets = collections.defaultdict(set), Sets()
        for h, (persons, contradictory) in zip(happening, self.persons):
            own = [x for x in persons if x not in self.shared]
            h.own = own[0] if own else None
            for x in own[:1] if contradictory else persons:
                users[x].add(h.person)
            if own and not contradictory:
                for x in own[1:]:
                    sets.join(own[0], x)
        glued = {sets.root(x) for x, people in users.items() if x not in self.shared and len(people) > 1}
        self.identifier = {x: (people, 'several' if x in self.shared else 'glued' if sets.root(x) in glued else 'clear')
                           for x, people in users.items()}
        self._judge(happening)

    def _namespace(self, name):
        if name not in self.names:
            self.names[name] = self.rules.namespace(name)
        return self.names[name]

    def _persons(self, h):
        """Its persons by (priority, position), and whether it is contradictory (3.1)."""
        found, seen = [], collections.Counter()
        for position, (name, value, _) in enumerate(h.who):
            namespace = self._namespace(name)
            if value is not None and namespace and namespace.is_person and (name, value) not in [f[2] for f in found]:
                found.append((namespace.priority, position, (name, value)))
                seen[name] += namespace.unique
        return [f[2] for f in sorted(found)], any(n > 1 for n in seen.values())

    def _shared(self):
        """3.2: what the events show to be several people's."""
        met = collections.defaultdict(set)
        for persons, contradictory in self.persons:
            if len(persons) > 1 and not contradictory:
                for x in persons:
                    met[x].update(y for y in persons if y != x)
        shared = set()
        for x, others in met.items():
            namespace = self.names[x[0]]
            numbers = collections.Counter(y[0] for y in others if self.names[y[0]].unique)
            if len(others) > namespace.max_links or \
                    namespace.max_people is not None and any(n > namespace.max_people for n in numbers.values()):
                shared.add(x)
        return shared

    def _lent(self, h, persons):
        """The names of an event: (key, lookback, lookahead), the strongest first."""
        devices = sorted((self._namespace(name).priority, position, (name, value))
                         for position, (name, value, _) in enumerate(h.who)
                         if value is not None and self._namespace(name) and not self._namespace(name).is_person)
        found = [d[2] for d in devices] + [x for x in persons if x in self.shared]
        found = [(x, self.names[x[0]].lookback, self.names[x[0]].lookahead) for x in found]
        return found + [((CASE, h.case), self.rules.case_gap, self.rules.case_gap)] * bool(h.case)

    def _judge(self, happening):
        uses, times = collections.defaultdict(list), collections.defaultdict(list)
        for h, (persons, _) in zip(happening, self.persons):  # in order of time
            for key, _, _ in self._lent(h, persons):
                uses[key].append(h)
                times[key].append(h.time)
        everybody = {key: {h.person for h in found} for key, found in uses.items()}
        for h, (persons, _) in zip(happening, self.persons):
            if h.own is not None:
                h.verdict = None if self.identifier[h.own][1] == 'clear' else 'glued'
            else:
                h.verdict = self._borrowed(h, self._lent(h, persons), uses, times, everybody)

    def _borrowed(self, h, names, uses, times, everybody):
        if not names:
            return 'no name'
        seen = False
        for key, back, ahead in names:
            near = times[key]
            for other in uses[key][bisect.bisect_left(near, h.time - back):bisect.bisect_right(near, h.time + ahead)]:
                if other.person != h.person:
                    return 'several at that time'
                if other.own is not None:
                    seen = True
                    if self.identifier[other.own][1] != 'clear':
                        return 'glued'
        return None if seen or everybody[names[0][0]] == {h.person} else 'several before'


# ---------------------------------------------------------------- how well it was told

def pairs(count):
    return count * (count - 1) // 2


class Score:
    """Pairwise precision and recall of things as (customer, person); customer None = alone."""

    def __init__(self, things):
        both, customers, people = collections.Counter(), collections.Counter(), collections.Counter()
        for customer, person in things:
            people[person] += 1
            if customer is not None:
                both[customer, person] += 1
                customers[customer] += 1
        self.things = sum(people.values())
        self.right, self.told, self.true = (sum(map(pairs, c.values())) for c in (both, customers, people))
        self.mixed = sum(n > 1 for n in collections.Counter(customer for customer, _ in both).values())

    @property
    def precision(self):
        return self.right / self.told if self.told else 1.0

    @property
    def recall(self):
        return self.right / self.true if self.true else 1.0

    def __str__(self):
        return 'precision %.6f (%d of %d pairs, %d customers with two people), recall %.4f (of %d pairs), %d things' % (
            self.precision, self.right, self.told, self.mixed, self.recall, self.true, self.things)


class Truth:
    """event: (source, event_id) -> (person, why undecidable or None); identifier: (namespace, value) ->
    (persons, verdict)."""

    def __init__(self):
        self.event, self.identifier = {}, {}

    @classmethod
    def of(cls, population, verdicts):
        truth = cls()
        truth.event = {(h.natural['source'], h.natural['event_id']): (h.person, h.verdict)
                       for h in population.happening}
        truth.identifier = {key: (sorted(people), verdict) for key, (people, verdict) in verdicts.identifier.items()}
        return truth

    @classmethod
    def load(cls, path):
        truth = cls()
        with open(path, encoding='utf-8') as file:
            for line in map(json.loads, file):
                if 'event_id' in line:
                    truth.event[line['source'], line['event_id']] = line['person'], line['undecidable']
                else:
                    truth.identifier[line['namespace'], line['value']] = line['persons'], line['verdict']
        return truth

    def write(self, file):
        def line(**fields):
            file.write(json.dumps(fields) + '\n')
        for (source, event_id), (person, why) in self.event.items():
            line(source=source, event_id=event_id, person=person, undecidable=why)
        for (namespace, value), (people, verdict) in self.identifier.items():
            line(namespace=namespace, value=value, persons=people, verdict=verdict)

    def score_events(self, of_event, decidable=True):
        """Of all events, only what was given to a person counts as told: the customer of a machine in a store does not
        claim to be somebody."""
        if decidable:
            return Score((of_event[event][0], person) for event, (person, why) in self.event.items() if not why)
        return Score((of_event[event][0] if of_event[event][1] else None, person)
                     for event, (person, _) in self.event.items())

    def score_identifiers(self, of_key, decidable=True):
        """An identifier of several people stands once for each of them."""
        return Score((of_key.get(key), person) for key, (people, verdict) in self.identifier.items()
                     if not decidable or verdict == 'clear' for person in people)

    def report(self, of_event, of_identifier, key, say):
        """Says all four scores; -> whether both are precise where the truth is decidable. of_event: (source, event_id)
        -> (customer or None, whether it is a person); of_identifier: hash -> customer; key: the hash key."""
        hasher = oracle.Hasher(key)
        of_key = {key: of_identifier.get(hasher.parts(*key)) for key in self.identifier}
        clear, events = self.score_identifiers(of_key), self.score_events(of_event)
        say('identifiers, clear ones:       %s' % clear)
        say('identifiers, all:              %s' % self.score_identifiers(of_key, False))
        say('events, decidable ones:        %s' % events)
        say('events, all given to a person: %s' % self.score_events(of_event, False))
        return clear.precision == 1 and events.precision == 1

    def summary(self):
        reasons = collections.Counter(why for _, why in self.event.values())
        verdicts = collections.Counter(verdict for _, verdict in self.identifier.values())
        held = collections.Counter(person for people, _ in self.identifier.values() for person in people)
        people = {person for person, _ in self.event.values()}
        return ('%d events of %d people, %.2f identifiers a person; %.2f %% of the events decidable (%s); identifiers: '
                '%s' % (
            len(self.event), len(people), sum(held.values()) / len(people), 100 * reasons[None] / len(self.event),
            ', '.join('%s %d' % (why, n) for why, n in reasons.most_common() if why),
            ', '.join('%s %d' % pair for pair in verdicts.most_common())))


def make(seed, rules_path, people=30000, events=200000, days=60):
    """-> (Population, Truth)"""
    rules = Rules(rules_path)
    population = Population(seed, rules, people, events, days)
    return population, Truth.of(population, Verdicts(population.happening, rules))


# ---------------------------------------------------------------- command line

def generate(args):
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
    print('population: seed %d' % seed, file=sys.stderr)
    population, truth = make(seed, args.rules, args.people, args.events, args.days)
    with open(args.events_out, 'w', encoding='utf-8') as file:
        for natural in population.naturals(args.order):
            file.write(json.dumps(dict(natural, occurred_at=format_time(natural['occurred_at']))) + '\n')
    with open(args.truth_out, 'w', encoding='utf-8') as file:
        truth.write(file)
    print('population: %s' % truth.summary(), file=sys.stderr)
    return 0


def judge(args):
    if args.truth:
        truth, naturals = Truth.load(args.truth), oracle.read_lines(args.file)
    else:
        seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
        print('population: seed %d' % seed)
        population, truth = make(seed, args.rules, args.people, args.events, args.days)
        naturals = population.naturals()
    key = oracle.read_key(args.key_file)
    derived = oracle.Deriver(oracle.Rules.load(args.rules), key).derive(naturals)
    of_event = {(e.field['source'], e.field['event_id']): (e.customer, e.known_by[0] == 'person')
                for e in derived.events}
    print(truth.summary())
    precise = truth.report(of_event, derived.identity.customer_of, key, print)
    return 0 if precise and set(of_event) == set(truth.event) else 1


def add_population_arguments(command):
    command.add_argument('--seed', type=int, help='default: a random one; it is printed')
    command.add_argument('--people', type=int, default=30000)
    command.add_argument('--events', type=int, default=200000, help='at least so many, copies not counted')
    command.add_argument('--days', type=int, default=60)
    command.add_argument('--rules', required=True, help='the rules file: what can be told depends on it')


def main():
    parser = argparse.ArgumentParser(description='A simulated population of customers, with ground truth.')
    commands = parser.add_subparsers(dest='command', required=True)
    command = commands.add_parser('generate', help='write events and the truth about them')
    add_population_arguments(command)
    command.add_argument('--order', choices=['arrival', 'time'], default='arrival', help='order of the lines')
    command.add_argument('--events-out', required=True, metavar='FILE')
    command.add_argument('--truth-out', required=True, metavar='FILE')
    command.set_defaults(run=generate)
    command = commands.add_parser('judge', help='how well the oracle tells people apart; exit code 1 where that is '
                                  'less than can be told')
    add_population_arguments(command)
    command.add_argument('--key-file', required=True)
    command.add_argument('--truth', help='read it from here, and the events from FILE, instead of making them')
    command.add_argument('file', nargs='*')
    command.set_defaults(run=judge)
    args = parser.parse_args()
    return args.run(args)


if __name__ == '__main__':
    sys.exit(main())
