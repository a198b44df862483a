# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer identity`: a clerk's mistake makes two people one customer; somebody asks why, takes them apart, and puts
them together again, while a consumer runs that knows them from before. After each decision the tables are those of the
oracle, which reads the decisions from polku.decision; after a restore they are what they were.
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from harness import KEY_FILE, ROOT, Run, polku_oracle, program, say

RULES = ROOT + '/deploy/polku.yaml'

AINO, EERO, LIISA = ('havu/loyalty_id', 'A-1'), ('email', 'Eero@example.com'), ('havu/loyalty_id', 'B-9')
AINO_MAIL, AINO_PHONE = ('email', 'aino@example.com'), ('phone', '040 111 1111')
EERO_PHONE, HOME, TABLET = ('phone', '+358 40 222 2222'), ('phone', '09 333 333'), ('device_id', 'tablet-1')


def event(number, at, kind, channel, *who, **more):
    return dict({'event_id': 'e-%02d' % number, 'source': 'havu-' + channel, 'occurred_at': '2026-03-' + at, 'type': kind,
                 'channel': channel, 'brand': 'Havu', 'direction': 'INBOUND', 'actor': 'CUSTOMER',
                 'identifiers': [{'namespace': namespace, 'value': value} for namespace, value in who]}, **more)


STORY = [
    event(1, '01T10:00:00Z', 'purchase.completed', 'store', AINO, AINO_MAIL, AINO_PHONE),
    event(2, '02T12:00:00Z', 'question.asked', 'phone', EERO, EERO_PHONE),
    event(3, '05T09:30:00Z', 'callback.requested', 'phone', EERO, AINO_PHONE),  # the mistake
    event(4, '06T18:00:00Z', 'page.viewed', 'web', TABLET),
    event(5, '06T18:10:00Z', 'login.succeeded', 'web', AINO_MAIL, TABLET),
    event(6, '06T18:20:00Z', 'page.viewed', 'web', TABLET),
    event(7, '07T19:00:00Z', 'login.succeeded', 'web', EERO, TABLET),
    event(8, '07T19:05:00Z', 'page.viewed', 'web', TABLET),
    event(9, '08T08:00:00Z', 'contact.inbound', 'phone', AINO, HOME),
    event(10, '08T09:00:00Z', 'contact.inbound', 'phone', LIISA, HOME),
    event(11, '09T09:00:00Z', 'purchase.completed', 'store', AINO, AINO_PHONE),
    event(12, '09T10:00:00Z', 'complaint.opened', 'store', AINO, LIISA, AINO_MAIL),  # one event, two people
]
LATER = [[event(20 + n, '%02dT12:00:00Z' % (10 + n), kind, 'phone', *who)] for n, (kind, who) in enumerate((
    ('contact.inbound', (EERO,)), ('contact.inbound', (AINO_PHONE,)), ('callback.reached', (EERO_PHONE, AINO_PHONE)),
    ('contact.inbound', (EERO_PHONE,)), ('contact.inbound', (AINO_PHONE, AINO)), ('contact.inbound', (AINO_MAIL, EERO))))]

MERGED = """\
phone:358401111111 is one of 5 identifiers of one customer.
The customer's id is {aino_id}, after the strongest of them: havu/loyalty_id {aino}.

Its identifiers, the strongest first
  priority  first seen            identifier
        30  2026-03-01 10:00:00Z  havu/loyalty_id {aino}  (two values are two people)
        50  2026-03-01 10:00:00Z  email {aino_mail}
        50  2026-03-02 12:00:00Z  email {eero}
        60  2026-03-01 10:00:00Z  phone:358401111111  <- asked for
        60  2026-03-02 12:00:00Z  phone {eero_phone}

Why they are one: each pair stood in one event, the surest first; with the first such event
  1. havu/loyalty_id {aino}  -  email {aino_mail}
     2026-03-01 10:00:00Z  purchase.completed, store  (havu-store, event e-01)
  2. havu/loyalty_id {aino}  -  phone:358401111111
     2026-03-01 10:00:00Z  purchase.completed, store  (havu-store, event e-01)
  3. email {eero}  -  phone {eero_phone}
     2026-03-02 12:00:00Z  question.asked, phone  (havu-phone, event e-02)
  4. email {eero}  -  phone:358401111111
     2026-03-05 09:30:00Z  callback.requested, phone  (havu-phone, event e-03)

Contradictory: such an event names two people, and links nobody
  havu/loyalty_id {aino}, havu/loyalty_id {liisa}, email {aino_mail}
     2026-03-09 10:00:00Z  (havu-store, event e-12)
     Why: havu/loyalty_id {aino} and havu/loyalty_id {liisa} are two values of havu/loyalty_id.

Shared: these stood in one event with it too, but belong to several people and join nobody
  phone {home}
     stood with 2 different values of havu/loyalty_id (one person's own: at most 1), with 2 identifiers in all

Words: identifiers of persons that stand in one event are one customer; of several the one with the smallest
priority is the strongest. Eight digits are the beginning of an identifier's hash: its value is not stored. They can
be given in place of NAMESPACE:VALUE. All times are UTC.
"""

APART = """\
email:eero@example.com is one of 2 identifiers of one customer.
The customer's id is {eero_id}, after the strongest of them: email:eero@example.com.

Its identifiers, the strongest first
  priority  first seen            identifier
        50  2026-03-02 12:00:00Z  email:eero@example.com  <- asked for
        60  2026-03-02 12:00:00Z  phone {eero_phone}

Why they are one: each pair stood in one event, the surest first; with the first such event
  1. email:eero@example.com  -  phone {eero_phone}
     2026-03-02 12:00:00Z  question.asked, phone  (havu-phone, event e-02)

Refused: these stood in one event too, but would make two customers one
  email:eero@example.com  -  phone {aino_phone}
     2026-03-05 09:30:00Z  callback.requested, phone  (havu-phone, event e-03)
     Why not: email:eero@example.com and phone {aino_phone} are kept apart by a decision of maija, TIME.
     phone {aino_phone} is of customer {aino} (havu/loyalty_id), with 3 identifiers.

Decisions in force (identity restore takes them back)
  {pair} are kept apart, by maija (TIME: a clerk's mistake)

Words: identifiers of persons that stand in one event are one customer; of several the one with the smallest
priority is the strongest. Eight digits are the beginning of an identifier's hash: its value is not stored. They can
be given in place of NAMESPACE:VALUE. All times are UTC.
"""

DEVICE = """\
device_id:tablet-1 is a device: people may use it one after another, it joins nobody.
An event that names no person belongs to the customer who was seen with it last, up to 90d before, else first, up to 30d after.

Whose the events were that carry it, the newest first
  2026-03-07 19:00:00Z .. 2026-03-07 19:05:00Z  customer {eero} (email): 1 event names it, 1 was given to it
  2026-03-06 18:00:00Z .. 2026-03-06 18:20:00Z  customer {aino} (havu/loyalty_id): 1 event names it, 2 were given to it

Words: identifiers of persons that stand in one event are one customer; of several the one with the smallest
priority is the strongest. Eight digits are the beginning of an identifier's hash: its value is not stored. They can
be given in place of NAMESPACE:VALUE. All times are UTC.
"""

SHARED = """\
phone:3589333333 is shared: it belongs to several people, and joins nobody.
It stood with 2 different values of havu/loyalty_id (one person's own: at most 1), with 2 identifiers in all.
An event that names no person belongs to the customer who was seen with it last, up to 7d before, else first, up to 7d after.

Whose the events were that carry it, the newest first
  2026-03-08 09:00:00Z .. 2026-03-08 09:00:00Z  customer {liisa} (havu/loyalty_id): 1 event names it
  2026-03-08 08:00:00Z .. 2026-03-08 08:00:00Z  customer {aino} (havu/loyalty_id): 1 event names it

Identifiers of persons that stood in one event with it (2), with the first time
  2026-03-08 08:00:00Z  havu/loyalty_id {aino}, of customer {aino} (havu/loyalty_id)
  2026-03-08 09:00:00Z  havu/loyalty_id {liisa}, of customer {liisa} (havu/loyalty_id)

Words: identifiers of persons that stand in one event are one customer; of several the one with the smallest
priority is the strongest. Eight digits are the beginning of an identifier's hash: its value is not stored. They can
be given in place of NAMESPACE:VALUE. All times are UTC.
"""

DECIDED = """\
phone:358401111111 and email:eero@example.com are kept apart now, by maija.
Identifiers that are of another customer now: 2
{moved}Customers: 1 new, 0 gone. Events of another customer or journey: 4.
Journeys: 2 written, 0 gone. Obligations: 2 written, 0 gone.
To take it back: polku-consumer identity restore 'phone:040 111 1111' email:Eero@example.com
"""

with Run('identity_commands') as run:
    db, topic = run.database(), run.topic(3)
    hasher = polku_oracle.Hasher(polku_oracle.read_key(KEY_FILE))
    published = []

    def uuid(namespace, value):
        return polku_oracle.format_uuid(hasher.parts(namespace, value.encode()))

    ids = {name: uuid(*who) for name, who in (
        ('aino', AINO), ('aino_mail', AINO_MAIL), ('aino_phone', ('phone', '358401111111')), ('liisa', LIISA),
        ('eero', ('email', 'eero@example.com')), ('eero_phone', ('phone', '358402222222')), ('home', ('phone', '3589333333')))}
    short = dict({name: id[:8] for name, id in ids.items()}, aino_id=ids['aino'], eero_id=ids['eero'])

    def publish(events):
        path = run.file('events-%d.jsonl' % len(published))
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(e) + '\n' for e in events)
        published.append(path)
        topic.publish(path)
        topic.drain(db)

    def identity(*arguments, rules=RULES):
        done = subprocess.run([program('polku-consumer', 'consumer'), 'identity', '--database', db.conninfo, '--rules', rules,
                               '--hash-key-file', KEY_FILE, '--log-format', 'json', *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def name(who):
        return '%s:%s' % who

    def reads(what, wanted, *arguments):
        code, out, error = identity('explain', *arguments)
        out = re.sub(r'20[2-9]\d-(?!03)\d\d-\d\d \d\d:\d\d:\d\dZ', 'TIME', out)
        if not run.expect_that('explain: ' + what, code == 0 and out == wanted, '%d lines' % out.count('\n')):
            say('exit code %d %s\n---- wanted\n%s---- got\n%s----' % (code, error, wanted, out))

    def says(what, wanted, *arguments, code=0):
        got, out, error = identity(*arguments)
        run.expect_that('%s: %s' % (' '.join(arguments), what), got == code and wanted in (out if code == 0 else error),
                        '' if got == code and wanted in (out if code == 0 else error) else 'exit code %d\n%s%s' % (got, out, error))
        return out

    def customers():
        """How many customers the five identifiers of the two are, and whose the phone is."""
        return db.rows("SELECT count(DISTINCT customer_id), count(*), count(*) FILTER (WHERE customer_id IS NULL) "
                       "FROM polku.identifier WHERE hash IN ('%s')" % "', '".join(
                           ids[n] for n in ('aino', 'aino_mail', 'aino_phone', 'eero', 'eero_phone')))[0]

    def shown():
        """What analysts see: customers with their journeys and events, and links that were refused."""
        return [sorted(db.rows("SELECT left(customer_id::text, 8), count(*), sum(events) FROM bi.journey GROUP BY 1")),
                db.rows("SELECT refused, left(customer_a::text, 8), left(customer_b::text, 8) FROM bi.identity_conflict")]

    says('an empty database knows nobody', 'is not known: no event carries it', 'explain', name(AINO_MAIL))
    consumer = run.consumer(db, topic, RULES).start()
    publish(STORY)
    run.expect('the mistake made one customer of two', ['1', '5', '0'], customers())
    run.expect_oracle('equal to the oracle', db, RULES, *published)

    # ---- why ----
    reads('one customer of two people', MERGED.format(**short), name(AINO_PHONE))
    reads('the same by its hash, but for the value', MERGED.format(**short).replace(
        'phone:358401111111', 'phone ' + short['aino_phone']), ids['aino_phone'])
    reads('a shared phone', SHARED.format(**short), name(HOME))

    told = json.loads(identity('explain', name(AINO_PHONE), '--json')[1])
    run.expect('explain --json: customer, identifiers, links, shared', [ids['aino'], 'customer', 5, [None] * 4, ids['home']], [
        told['customer'], told['state'], len(told['identifiers']), [link['refused'] for link in told['links']],
        told['shared'][0]['hash']])
    told = json.loads(identity('explain', name(TABLET), '--json')[1])
    run.expect('the tablet: state, own and borrowed events', ['device', [[2, 3, 0]]], [
        told['state'], [[s['own'], s['borrowed'], s['anonymous']] for s in told['stretches']]])

    # ---- what is refused ----
    for fragment, arguments in (
            ("the rules know no namespace 'emial', did you mean 'email'", ('explain', 'emial:a@example.com')),
            ("the rules know no namespace 'loyalty_id', did you mean 'loyalty_id'", ('block', 'loyalty_id:A-1')),
            ('neither NAMESPACE:VALUE nor a hash', ('explain', 'aino')),
            ('no identifier has the hash 0badcafe', ('explain', '0badcafe')),
            ('the rules block it', ('block', 'phone:000')), ('the rules block it', ('unlink', 'email:n/a', name(EERO))),
            ('both are the same identifier', ('unlink', name(EERO), 'email:  EERO@example.com ')),
            ('device_id is a device: it joins nobody', ('unlink', name(TABLET))),
            ('case_id is a case: it joins nobody', ('unlink', name(EERO), 'case_id:7')),
            ('a case cannot be blocked', ('block', 'case_id:7')),
            ('there is nothing to restore', ('restore', name(EERO))), ('there is nothing to restore', ('restore', 'email:x@y.fi')),
            ('takes one or two identifiers, not 0', ('unlink',)), ('takes one identifier, not 2', ('block', 'email:a', 'email:b')),
            ('one of explain, unlink, block, restore', ('forget', name(EERO)))):
        says(fragment, fragment, *arguments, code=2)
    says('a blocked value is told, not refused', 'This value of phone says nobody', 'explain', 'phone:000')
    before = db.checksums()
    run.expect('bi.journey: customer, journeys, events; bi.identity_conflict', [
        sorted([[short['aino'], '1', '11'], [short['liisa'], '1', '1']]), []], shown())
    run.expect('none of that changed anything', '0', db.value('SELECT count(*) FROM polku.decision'))

    # ---- apart, while the consumer runs; then everything as before ----
    later = iter(LATER)

    def decide(what, wanted, *arguments):
        out = says('decided', wanted, *arguments, '--by', 'maija', '--note', "a clerk's mistake")
        say('          ' + out.rstrip().replace('\n', '\n          '))
        run.expect_oracle('%s: equal to the oracle' % what, db, RULES, *published)

    decide('apart', DECIDED.format(moved=''.join(sorted(
        ('  %s: customer %s before, %s now\n' % (who, short['aino'], short['eero'])
         for who in ('email:eero@example.com', 'phone ' + short['eero_phone'])),
        key=lambda line: short['eero'] if 'email' in line else short['eero_phone']))),
        'unlink', name(AINO_PHONE), name(EERO))
    run.expect('two customers', ['2', '5', '0'], customers())
    run.expect('bi.journey: customer, journeys, events; bi.identity_conflict', [
        sorted([[short['aino'], '1', '7'], [short['eero'], '1', '4'], [short['liisa'], '1', '1']]),
        [['apart', short['eero'], short['aino']]]], shown())
    pair = sorted((('phone', 'aino_phone'), ('email', 'eero')), key=lambda p: ids[p[1]])
    reads('one of the two', APART.format(**short, pair=' and '.join(
        'email:eero@example.com' if n == 'eero' else 'phone ' + short[n] for _, n in pair)), name(EERO))
    reads('the tablet of both', DEVICE.format(**short), name(TABLET))
    says('again', 'this is in force already', 'unlink', name(EERO), short['aino_phone'], code=2)
    says('one of a pair', 'name both of the pair', 'restore', name(EERO), code=2)
    decide('restored', 'are kept apart no more, by maija.', 'restore', name(EERO), short['aino_phone'])
    run.expect('everything as before', before, db.checksums())

    for what, arguments, count in (('pair', ('unlink', name(AINO_PHONE), name(EERO)), ['2', '5', '0']),
                                   ('unlinked', ('unlink', name(AINO_PHONE)), ['3', '5', '0']),
                                   ('blocked', ('block', name(AINO_PHONE)), ['2', '5', '1'])):
        decide(what, ' now, by maija.', *arguments)
        run.expect('%s: customers' % what, count, customers())
        publish(next(later))  # the consumer has the customer as it was
        run.expect_oracle('%s, then an event: equal to the oracle' % what, db, RULES, *published)
        decide('restored', ' no more, by maija.', 'restore', *arguments[1:])
        publish(next(later))
        run.expect_oracle('restored, then an event: equal to the oracle', db, RULES, *published)

    # ---- states that are no customer of many ----
    says('unlinked', 'is unlinked now', 'unlink', name(AINO_PHONE))
    says('an unlinked one', 'is unlinked by a decision of', 'explain', name(AINO_PHONE))
    says('blocked too', 'is blocked now', 'block', name(AINO_PHONE))
    says('a blocked one', 'is blocked by a decision', 'explain', name(AINO_PHONE))
    run.expect_oracle('unlinked and blocked: equal to the oracle', db, RULES, *published)
    says('both are taken back', 'is unlinked no more', 'restore', name(AINO_PHONE))
    says('a tablet is blocked', 'is blocked now', 'block', name(TABLET))
    run.expect_oracle('a device blocked: equal to the oracle', db, RULES, *published)
    says('a tablet again', 'is blocked no more', 'restore', name(TABLET))
    for action, out in (('block', 'is in force already'), ('restore', 'there is nothing to restore')):
        with ThreadPoolExecutor(3) as pool:  # three people at once
            ends = list(pool.map(lambda _, action=action: identity(action, name(AINO_PHONE)), range(3)))
        run.expect('%s by three people at once: one decides, the others are told' % action, ([0, 2, 2], [False, True, True]),
                   (sorted(code for code, _, _ in ends), sorted(out in error for _, _, error in ends)))
    says('nobody has seen it', 'is blocked now', 'block', 'email:new@example.com')
    publish([event(40, '20T12:00:00Z', 'contact.inbound', 'phone', ('email', 'new@example.com'), EERO_PHONE)])
    run.expect_oracle('an event with it: equal to the oracle', db, RULES, *published)
    says('it counts again', 'is blocked no more', 'restore', 'email:new@example.com')
    run.expect_oracle('restored: equal to the oracle', db, RULES, *published)
    publish([event(41, '21T12:00:00Z', 'purchase.completed', 'store', LIISA, EERO)])
    run.expect_oracle('a number of its own keeps Eero apart: equal to the oracle', db, RULES, *published)
    says('two numbers', 'are two values of havu/loyalty_id, so two people', 'explain', name(EERO))

    consumer.stop()
    run.expect_that('the consumer noticed decisions through the guard', consumer.totals().get('retries', 0) > 0,
                    '%s retries' % consumer.totals().get('retries'))
    code, out, error = identity('explain', name(AINO_MAIL), rules=ROOT + '/tests/oracle/rules_small.yaml')
    run.expect_that('other rules are refused', code == 1 and 'rules file' in error, error.strip()[-200:])
    run.expect('decisions in force', '0', db.value('SELECT count(*) FROM polku.decision WHERE restored_at IS NULL'))
    run.expect('deadlocks', 0, db.deadlocks())
