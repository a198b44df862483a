# SPDX-License-Identifier: Apache-2.0
"""The journeys that `make` makes: templates, and what each of them comes to.

A template is a list of steps (events) with a time after its start, obligations that steps open, attempt and close, and perhaps a
definition whose milestones steps reach. From it come variants: broken off after any step, with a step left out, with two
steps swapped. Everything that does not depend on the clock is worked out here, once per variant, by docs/semantics.md; the
rest (times, customers, channels, causes) is drawn in SQL.
"""

MINUTE, HOUR, DAY = 60, 3600, 86400

# consumer/trait.def
PASSIVE, TERMINAL, CONTACT, UNANSWERED, REFUSAL, OFFERED, ACCEPTED, REPLY, REJECTED = (1 << n for n in range(9))
DEFLECTION, TRANSFER, MISROUTE, FAILED, PROACTIVE, THANKS, DECISION = (1 << n for n in range(11, 18))
PURCHASE = 1 << 22
OWNERSHIP = OFFERED | ACCEPTED | REJECTED

INBOUND, OUTBOUND, INTERNAL = 0, 1, 2
CUSTOMER, HUMAN, BOT, SYSTEM = 0, 1, 2, 3

# what an event is: type, direction, actor, outcome, traits
EVENTS = {
    'ask': ('contact.inbound', INBOUND, CUSTOMER, 'ok', CONTACT),
    'write': ('message.received', INBOUND, CUSTOMER, None, CONTACT),
    'reply': ('reply.sent', OUTBOUND, HUMAN, None, CONTACT | REPLY),
    'answer': ('answer.given', OUTBOUND, HUMAN, 'ok', CONTACT | REPLY | TERMINAL),
    'bot': ('message.sent', OUTBOUND, BOT, None, 0),
    'missed': ('contact.missed', INBOUND, CUSTOMER, 'abandoned', UNANSWERED),
    'self_ok': ('selfservice.completed', INBOUND, CUSTOMER, 'ok', CONTACT),
    'self_failed': ('selfservice.failed', INBOUND, CUSTOMER, 'failed', CONTACT | FAILED),
    'resolved': ('request.resolved', OUTBOUND, SYSTEM, 'ok', TERMINAL | DECISION),
    'thanks': ('thanks.received', INBOUND, CUSTOMER, None, TERMINAL | THANKS),
    'booked': ('callback.booked', INTERNAL, HUMAN, None, 0),
    'reached': ('callback.reached', OUTBOUND, HUMAN, 'ok', CONTACT | REPLY | TERMINAL),
    'unreached': ('callback.unreached', OUTBOUND, HUMAN, 'unreached', UNANSWERED),
    'refused': ('request.refused', OUTBOUND, HUMAN, 'refused', CONTACT | REFUSAL | REPLY),
    'deflected': ('request.deflected', OUTBOUND, HUMAN, 'deflected', CONTACT | REFUSAL | DEFLECTION | REPLY),
    'decided': ('escalation.decided', OUTBOUND, HUMAN, 'ok', DECISION),
    'offered': ('handoff.offered', INTERNAL, HUMAN, None, OFFERED),
    'accepted': ('handoff.accepted', INTERNAL, HUMAN, None, ACCEPTED),
    'rejected': ('handoff.rejected', INTERNAL, HUMAN, 'rejected', REJECTED),
    'transferred': ('contact.transferred', INTERNAL, HUMAN, None, TRANSFER),
    'misrouted': ('contact.misrouted', INTERNAL, HUMAN, None, MISROUTE),
    'browse': ('purchase.started', INBOUND, CUSTOMER, None, CONTACT),
    'order': ('order.placed', INBOUND, CUSTOMER, 'ok', PURCHASE),
    'paid': ('payment.received', INBOUND, SYSTEM, 'ok', 0),
    'pay_failed': ('payment.failed', INBOUND, SYSTEM, 'failed', 0),
    'shipped': ('order.shipped', OUTBOUND, SYSTEM, None, 0),
    'delivered': ('order.delivered', OUTBOUND, SYSTEM, 'ok', TERMINAL),
    'cancelled': ('order.cancelled', INBOUND, CUSTOMER, 'cancelled', TERMINAL),
    'complaint': ('complaint.opened', INBOUND, CUSTOMER, None, CONTACT),
    'complaint_reply': ('complaint.replied', OUTBOUND, HUMAN, None, REPLY),
    'complaint_closed': ('complaint.closed', OUTBOUND, HUMAN, 'ok', TERMINAL | DECISION),
    'recovery': ('recovery.offered', OUTBOUND, HUMAN, None, DECISION),
    'recovery_paid': ('recovery.paid', OUTBOUND, SYSTEM, 'ok', 0),
    'visit': ('visit.started', INBOUND, CUSTOMER, None, CONTACT),
    'visit_end': ('visit.ended', INBOUND, HUMAN, 'ok', TERMINAL),
    'signed': ('contract.signed', INBOUND, CUSTOMER, 'ok', PURCHASE),
    'activated': ('account.activated', OUTBOUND, SYSTEM, 'ok', 0),
    'welcome': ('contact.proactive', OUTBOUND, HUMAN, None, CONTACT | PROACTIVE | REPLY),
    'used': ('service.used', INBOUND, CUSTOMER, None, 0),
    'survey': ('survey.answered', INBOUND, CUSTOMER, None, PASSIVE),
}

BRANDS = ['northwind', 'polaris', 'tundra', 'aurora', 'birch']
BRAND_SHARES = [35, 25, 20, 12, 8]
TEAMS = ['service', 'sales', 'billing', 'delivery', 'claims', 'shop']
CHANNELS = ['web', 'app', 'portal', 'phone', 'chat', 'messenger', 'email', 'store', 'social', 'sms', 'video', 'post']
DIGITAL = ['web'] * 5 + ['app'] * 4 + ['portal']
SERVED = ['phone'] * 5 + ['chat'] * 3 + ['messenger', 'video']
SPOKEN = ['phone'] * 6 + ['chat'] * 2 + ['messenger', 'store', 'social']
WRITTEN = ['email'] * 6 + ['post', 'social', 'messenger', 'sms']
REASONS = ['no_authority', 'no_access', 'policy', 'not_mine', 'system_down', 'law', 'no_stock', 'closed']
STAGES = ['research', 'purchase', 'delivery', 'use', 'end']

# definition: window, goal, milestones (name, optional, critical)
DEFINITIONS = {
    'order/1': (14 * DAY, 5, [('browse', False, False), ('order', False, True), ('pay', False, True), ('ship', False, False),
                              ('receive', False, True)]),
    'claim/1': (30 * DAY, 5, [('complaint', False, False), ('reply', False, True), ('decision', False, True),
                              ('compensation', True, False), ('closed', False, True)]),
    'onboarding/1': (30 * DAY, 4, [('signed', False, False), ('activated', False, True), ('welcome', True, False),
                                   ('first_use', False, True)]),
}
# kind of an obligation: within, hand-off, label
KINDS = {'reply': (DAY, False, 2), 'callback': (DAY, False, 1), 'handoff': (8 * HOUR, True, 0), 'delivery': (5 * DAY, False, 0),
         'complaint': (14 * DAY, False, 0), 'refund': (7 * DAY, False, 0)}
EFFORT = {'contacts': 1, 'switches': 2, 'fallbacks': 3, 'repeats': 3, 'unanswered': 2, 'refusals': 4, 'deflections': 2,
          'transfers': 1, 'misroutes': 3, 'handoffs_offered': 1, 'handoffs_returned': 3, 'reopened': 3}


class Step:
    """One event of a template. team: steps from the journey's own team, None for no unit."""

    def __init__(self, name, channel, start, span, team=0, partner=False, to_team=None, to_partner=False, milestone=0,
                 fails=0, money=None, rating=None):
        self.type, self.direction, self.actor, self.outcome, self.traits = EVENTS[name]
        self.name, self.channel, self.start, self.span, self.team = name, channel, start, span, team
        self.partner, self.to_team, self.to_partner = partner, to_team, to_partner
        self.milestone, self.fails, self.money, self.rating = milestone, fails, money, rating
        self.key = 0


class Debt:
    """An obligation: opened, attempted, closed by steps (numbers from 0 within the template)."""

    def __init__(self, kind, opens, fulfils=None, rejects=None, withdraws=None, attempts=(), window=None, cycle=1):
        self.kind, self.opens, self.fulfils, self.rejects, self.withdraws = kind, opens, fulfils, rejects, withdraws
        self.attempts, self.window, self.cycle = attempts, window, cycle


class Template:
    def __init__(self, name, weight, a, b, teams, steps, debts=(), definition=None, swaps=()):
        self.name, self.weight, self.a, self.b, self.teams, self.steps = name, weight, a, b, teams, steps
        self.debts, self.definition, self.swaps = debts, definition, swaps
        for key, step in enumerate(steps):
            step.key = key


def templates():
    s, m, h, d = Step, MINUTE, HOUR, DAY
    return [
        Template('call', 24, SPOKEN, SPOKEN, [0, 1, 2], [s('ask', 'A', 0, 0), s('answer', 'A', m, 20 * m)]),
        Template('self', 16, DIGITAL, SERVED, [0], [s('self_ok', 'A', 0, 0, None), s('resolved', 'A', m, h, None)]),
        Template('fallback', 11, DIGITAL, SERVED, [0, 2, 3], [
            s('self_failed', 'A', 0, 0, None), s('ask', 'B', 5 * m, 6 * h), s('answer', 'B', 7 * h, h)]),
        Template('bot', 7, ['chat', 'messenger'], ['phone'], [0], [
            s('ask', 'A', 0, 0, None), s('bot', 'A', 5, 60, None), s('ask', 'B', 10 * m, d), s('answer', 'B', 25 * h, h)]),
        Template('mail', 14, WRITTEN, WRITTEN, [0, 2], [
            s('write', 'A', 0, 0), s('reply', 'A', 10 * m, 2 * d), s('answer', 'A', 2 * d + h, d)], [Debt('reply', 0, 1)]),
        Template('rated', 7, SPOKEN, SPOKEN, [0, 1], [
            s('ask', 'A', 0, 0), s('answer', 'A', m, 30 * m), s('survey', 'A', h, d, rating='nps')]),
        Template('callback', 9, ['phone'], ['phone'], [0, 1], [
            s('ask', 'A', 0, 0), s('booked', 'A', m, 5 * m), s('reached', 'A', h, 26 * h)], [Debt('callback', 1, 2, window=h)]),
        Template('loop', 4, ['phone'], ['chat'], [0, 1], [
            s('ask', 'A', 0, 0), s('booked', 'A', m, 5 * m), s('unreached', 'A', h, d), s('ask', 'B', 26 * h, d),
            s('booked', 'A', 51 * h, h), s('reached', 'A', 53 * h, d)],
                 [Debt('callback', 1, 5, attempts=[2], window=h), Debt('callback', 4, 5, window=h, cycle=2)]),
        Template('refused', 6, SERVED, WRITTEN, [2, 4], [
            s('ask', 'A', 0, 0), s('refused', 'A', m, h), s('write', 'B', 2 * h, 3 * d), s('deflected', 'B', 75 * h, d),
            s('ask', 'A', 100 * h, d), s('decided', 'A', 125 * h, h, 1)]),
        Template('missed', 3, ['phone'], ['email'], [0, 2], [
            s('missed', 'A', 0, 0), s('missed', 'A', 5 * m, h), s('write', 'B', 2 * h, d), s('answer', 'B', 27 * h, 2 * d)],
                 [Debt('reply', 2, 3)]),
        Template('handoff', 8, SPOKEN, SPOKEN, [0, 1, 4], [
            s('ask', 'A', 0, 0), s('offered', None, m, h, 0, to_team=1), s('accepted', None, 2 * h, 9 * h, 1),
            s('answer', 'A', 12 * h, d, 1)], [Debt('handoff', 1, 2)]),
        Template('partner', 4, SPOKEN, WRITTEN, [3, 4], [
            s('ask', 'A', 0, 0), s('offered', None, m, h, 0, to_team=0, to_partner=True),
            s('rejected', None, 2 * h, d, 0, partner=True), s('offered', None, 27 * h, h, 0, to_team=1, to_partner=True),
            s('accepted', None, 29 * h, 12 * h, 1, partner=True), s('reply', 'B', 42 * h, d, 1, partner=True)],
                 [Debt('handoff', 1, rejects=2), Debt('handoff', 3, 4)]),
        Template('transfer', 4, ['phone'], ['chat'], [0], [
            s('ask', 'A', 0, 0), s('transferred', 'A', m, 10 * m), s('misrouted', 'A', 12 * m, 10 * m, 1),
            s('answer', 'A', 25 * m, 20 * m, 2)]),
        Template('visit', 7, ['store'], ['store'], [5], [s('visit', 'A', 0, 0), s('visit_end', 'A', 5 * m, h)]),
        Template('order', 19, DIGITAL, SERVED, [1, 5], [
            s('browse', 'A', 0, 0, None, milestone=1), s('order', 'A', 3 * m, 2 * d, None, milestone=2, money='price'),
            s('paid', 'A', 49 * h, 10 * m, None, milestone=3), s('shipped', None, 51 * h, 2 * d, 2, milestone=4),
            s('delivered', None, 100 * h, 4 * d, 2, milestone=5)],
                 [Debt('delivery', 1, 4)], 'order/1', [(1, 2)]),
        Template('order_failing', 4, DIGITAL, SERVED, [1], [
            s('browse', 'A', 0, 0, None, milestone=1), s('order', 'A', 3 * m, d, None, milestone=2, money='price'),
            s('pay_failed', 'A', 25 * h, 5 * m, None, fails=3), s('ask', 'B', 26 * h, d, 1), s('reply', 'B', 51 * h, h, 1),
            s('paid', 'A', 53 * h, d, None, milestone=3), s('shipped', None, 78 * h, d, 2, milestone=4),
            s('delivered', None, 103 * h, 3 * d, 2, milestone=5), s('survey', 'A', 176 * h, d, None, rating='nps')],
                 [Debt('delivery', 1, 7)], 'order/1', [(3, 5)]),
        Template('order_cancelled', 3, DIGITAL, SERVED, [1], [
            s('browse', 'A', 0, 0, None, milestone=1), s('order', 'A', 3 * m, d, None, milestone=2, money='price'),
            s('paid', 'A', 25 * h, 5 * m, None, milestone=3), s('cancelled', 'A', 27 * h, 4 * d, None)],
                 [Debt('delivery', 1, withdraws=3)], 'order/1'),
        Template('claim', 8, SPOKEN + WRITTEN, WRITTEN, [4], [
            s('complaint', 'A', 0, 0, milestone=1), s('complaint_reply', 'B', h, 3 * d, milestone=2),
            s('recovery', 'B', 80 * h, 4 * d, milestone=3, money='offer'),
            s('recovery_paid', None, 180 * h, 8 * d, -2, milestone=4, money='compensation'),
            s('complaint_closed', 'B', 380 * h, d, milestone=5), s('survey', 'B', 410 * h, d, rating='csat')],
                 [Debt('complaint', 0, 4), Debt('refund', 2, 3)], 'claim/1', [(1, 2), (3, 4)]),
        Template('onboarding', 6, DIGITAL, ['phone', 'email', 'video'], [1], [
            s('signed', 'A', 0, 0, milestone=1), s('activated', 'A', h, 2 * d, None, milestone=2),
            s('welcome', 'B', 50 * h, 4 * d, milestone=3), s('used', 'A', 150 * h, 9 * d, None, milestone=4)],
                 [], 'onboarding/1', [(1, 2)]),
    ]


class Variant:
    """A template as it went: `steps` in their order, each at the times of its place."""

    def __init__(self, number, base, template, steps, prefix):
        self.number, self.base, self.template, self.prefix = number, base, template, prefix
        self.steps = steps[:prefix]
        self.keys = {step.key: place for place, step in enumerate(self.steps)}

    def place(self, key):
        return self.keys.get(key) if key is not None else None

    def units(self, brand, team, partner=None):
        """(brand, team) of a unit: numbers from 0."""
        return (len(BRANDS) - 1 if partner else brand), (self.team + team) % len(TEAMS)

    def facts(self, brand, team):
        """What docs/semantics.md 4 says of the journey, but for times, channels' names and repeats. Places count from 0."""
        self.team = team
        active = [(n, s) for n, s in enumerate(self.steps) if not s.traits & PASSIVE]
        contacts = [(n, s) for n, s in active if s.traits & CONTACT]
        own = {n: self.units(brand, s.team, s.partner) if s.team is not None else None for n, s in enumerate(self.steps)}
        count = lambda bit: sum(s.traits & bit != 0 for _, s in active)  # noqa: E731
        pairs = [(p, n, before.channel != step.channel and bool(before.traits & FAILED))
                 for (p, before), (n, step) in zip(contacts, contacts[1:])]
        f = {'events': len(self.steps), 'contacts': len(contacts), 'pairs': pairs,
             'switches': sum(self.steps[p].channel != self.steps[n].channel for p, n, _ in pairs),
             'fallbacks': sum(failed for _, _, failed in pairs), 'last': active[-1][0],
             'unanswered': count(UNANSWERED), 'refusals': count(REFUSAL), 'deflections': count(DEFLECTION),
             'transfers': count(TRANSFER), 'misroutes': count(MISROUTE), 'proactive': count(PROACTIVE), 'thanks': count(THANKS),
             'handoffs_offered': count(OFFERED), 'handoffs_accepted': count(ACCEPTED), 'handoffs_rejected': count(REJECTED),
             'resolved': bool(active[-1][1].traits & TERMINAL),
             'reopened': sum(bool(before.traits & TERMINAL and not step.traits & TERMINAL)
                             for (_, before), (_, step) in zip(active, active[1:]))}
        f['inbound'] = next((n for n, s in contacts if s.direction == INBOUND), None)
        f['reply'] = next((n for n, s in active if f['inbound'] is not None and n > f['inbound'] and s.traits & REPLY), None)
        terminal = [n for n, s in active if s.traits & TERMINAL]
        f['terminal'] = (terminal[0], terminal[-1]) if terminal else (None, None)
        f['decision'] = next((n for n, s in active if s.traits & DECISION), None)
        people = lambda last: len({own[n] for n, s in active if s.actor == HUMAN and own[n] and n <= last})  # noqa: E731
        f['people'] = people(len(self.steps))
        f['people_until_decision'] = people(f['decision']) if f['decision'] is not None else 0
        waits, since = [], None
        for n, s in active:
            if since is not None and s.traits & REPLY:
                waits.append((since, n))
                since = None
            elif since is None and s.traits & CONTACT and s.direction == INBOUND:
                since = n
        f['waits'] = waits
        targets = [self.units(brand, s.to_team, s.to_partner) for _, s in active if s.traits & OFFERED]
        f['handoffs_returned'] = sum(t in [own[n] for n, s in active if s.traits & OFFERED][:i] for i, t in enumerate(targets))
        f.update(self.ownership(active, own, brand))
        f['own'] = own
        f['units'] = list(dict.fromkeys(own[n] for n, _ in active if own[n]))
        f['brands'] = list(dict.fromkeys(len(BRANDS) - 1 if s.partner else brand for _, s in active))
        f['channels'] = list(dict.fromkeys(s.channel for _, s in active if s.channel))
        f['effort'] = sum(weight * f[name] for name, weight in EFFORT.items() if name != 'repeats')
        return f

    def ownership(self, active, own, brand):
        owner = last = from_unit = target = None
        owners, named, gaps, since, acted = 0, False, [], None, 0
        for n, s in active:
            if s.traits & OFFERED:
                owner, from_unit, target = None, own[n], self.units(brand, s.to_team, s.to_partner)
            elif s.traits & ACCEPTED:
                owner = own[n] or target
            elif s.traits & REJECTED:
                owner = from_unit or owner
            elif not acted and not named and own[n]:
                owner = own[n]
            acted = s.traits & OWNERSHIP or acted
            named = named or own[n] is not None
            if owner is not None and owner != last:
                owners, last = owners + 1, owner
            if since is not None and (owner is not None or s.traits & TERMINAL):
                gaps.append((since[0], n, since[1]))
                since = None
            if since is None and owner is None and not s.traits & TERMINAL:
                since = (n, bool(acted & OFFERED))
            elif since is not None and since[1] != bool(acted & OFFERED):
                gaps.append((since[0], n, since[1]))
                since = (n, bool(acted & OFFERED))
        first = since[0] if since else None
        if since and gaps and gaps[-1][1] == first:  # one interval, counted in two halves: it began with the first
            first = gaps[-1][0]
        return {'owner': owner, 'owners': owners, 'gaps': gaps, 'ownerless': first}

    def course(self):
        """docs/semantics.md 9 without times; None if no milestone was reached or failed."""
        if not self.template.definition:
            return None
        told = [(n, s) for n, s in enumerate(self.steps) if s.milestone or s.fails]
        if not told:
            return None
        _, goal, milestones = DEFINITIONS[self.template.definition]
        reached, steps = {}, []
        for n, s in told:
            if s.milestone:
                reached.setdefault(s.milestone, n)
                if not steps or steps[-1][0] != s.milestone:
                    steps.append((s.milestone, n))
        furthest = max(reached, default=0)
        path = [number for number, _ in steps]
        return {'start': told[0][0], 'goal': reached.get(goal), 'reached': [reached.get(n + 1) for n in range(len(milestones))],
                'steps': steps, 'path': '>'.join(map(str, path)), 'furthest': furthest,
                'violations': sum(b < a for a, b in zip(path, path[1:])),
                'skipped': sum(n not in reached and not milestones[n - 1][1] for n in range(1, furthest)),
                'failures': [sum(s.fails == n + 1 for _, s in told) for n in range(len(milestones))]}

    def obligations(self):
        for debt in self.template.debts:
            opens = self.place(debt.opens)
            if opens is None:
                continue
            closes = [self.place(key) for key in (debt.fulfils, debt.rejects, debt.withdraws)]
            closes = [place if place is not None and place > opens else None for place in closes]
            attempts = [self.place(key) for key in debt.attempts if self.place(key) is not None]
            yield debt, opens, closes, attempts


def variants(all_templates):
    """[(weight, variants by prefix from 1)] of every order of steps that occurs."""
    number, found = 0, []
    for template in all_templates:
        full, orders = template.steps, []
        if template.definition:
            orders = [full[:n] + full[n + 1:] for n in range(1, len(full))]
            for a, b in template.swaps:
                swapped = list(full)
                swapped[a], swapped[b] = swapped[b], swapped[a]
                orders.append(swapped)
        for order, share in [(full, 1 - 0.04 * len(orders))] + [(order, 0.04) for order in orders]:
            found.append((template.weight * share, [Variant(number + n, len(found), template, order, n)
                                                    for n in range(1, len(order) + 1)]))
            number += len(order) + 1
    return found
