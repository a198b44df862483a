# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer forget`: a customer with 500 events on every channel, in a family and a town, is forgotten while two consumers
read on. Afterwards the tables are those of the oracle, which knows what was forgotten and nothing else; a dump of the database
and the logs hold no trace but the tombstones; reading everything again from offset zero brings nothing back; who comes back is a
new customer. The same with anonymise, and what is refused.
"""

import json
import os
import re
import subprocess
import threading
import time

from harness import KEY_FILE, ROOT, Encoder, Run, polku_oracle, program, say, wait_for

RULES = ROOT + '/deploy/polku.yaml'
NUMBER, MAIL, PHONE = 'PLANTED-A-7731', 'planted-aino-7731@example.com', '040 773 1773'
AINO, AINO_MAIL, AINO_PHONE = ('havu/loyalty_id', NUMBER), ('email', MAIL), ('phone', PHONE)
AINO_APP, AINO_WEB = ('device_id', 'planted-app-7731'), ('cookie', 'planted-cookie-7731')
EERO, EERO_PHONE = ('havu/loyalty_id', 'E-100'), ('phone', '040 222 2222')
LIISA, LIISA_MAIL = ('havu/loyalty_id', 'L-100'), ('email', 'liisa@example.com')
HOME, TABLET, KIOSK = ('phone', '09 333 333'), ('device_id', 'family-tablet'), ('kiosk', 'library')
OLAVI, OLAVI_MAIL, OLAVI_APP = ('havu/loyalty_id', 'PLANTED-O-5512'), ('email', 'planted-olavi-5512@example.com'), ('cookie', 'planted-olavi')
PLANTED = [NUMBER, MAIL, '358407731773', '040 773 1773', 'planted-app-7731', 'planted-cookie-7731', 'PLANTED-CASE', 'planted words', 'PLANTED-Z-9']
CHANNELS = ['store', 'phone', 'web', 'app', 'email', 'chat', 'sms', 'letter']
KINDS = ['contact.inbound', 'question.asked', 'page.viewed', 'purchase.completed', 'answer.given', 'callback.requested',
         'callback.reached', 'complaint.opened', 'newsletter.sent', 'login.succeeded']
DAY = 24 * 3600


def moment(seconds):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


class Story:
    """Events of a town, by a seed."""

    def __init__(self, random):
        self.random, self.count = random, 0
        self.start = 1772323200  # 2026-03-01

    def event(self, at, kind, channel, *who, **more):
        self.count += 1
        return dict({'event_id': 'e-%05d' % self.count, 'source': 'havu-' + channel, 'occurred_at': moment(at), 'type': kind,
                     'channel': channel, 'brand': 'Havu', 'unit': self.random.choice(['care', 'sales']), 'direction': 'INBOUND',
                     'actor': 'CUSTOMER',
                     'identifiers': [{'namespace': namespace, 'value': value} for namespace, value in who]}, **more)

    def some(self, count, sets, case):
        """Events of one who is known by one of these sets of identifiers."""
        found = []
        for n in range(count):
            more, who = {}, self.random.choice(sets)
            if self.random.random() < 0.3:
                more['case_id'] = '%s-%d' % (case, self.random.randrange(6))
            if self.random.random() < 0.2:
                more['attributes'] = {'said': 'planted words' if case == 'PLANTED-CASE' and who != (HOME,) else 'words'}
            if self.random.random() < 0.1:
                more['obligation'] = {'id': 'p-%s-%d' % (case.lower().replace('planted-case', 'x'), n % 7), 'kind': 'callback',
                                      'due_to': moment(self.start + self.random.randrange(60 * DAY))}
            found.append(self.event(self.start + self.random.randrange(50 * DAY), self.random.choice(KINDS),
                                    self.random.choice(CHANNELS), *who, **more))
        return found

    def tell(self):
        """The first 60 % hold what the test asks for."""
        day, special = self.start + 20 * DAY, []
        events = self.some(840, [(AINO,), (AINO, AINO_MAIL), (AINO_MAIL,), (AINO_MAIL, AINO_APP), (AINO_PHONE, AINO_MAIL), (AINO_APP,),
                                 (AINO_WEB,), (AINO_MAIL, AINO_WEB), (AINO_PHONE,), (AINO, HOME), (HOME,)], 'PLANTED-CASE')
        events += self.some(60, [(EERO,), (EERO, EERO_PHONE), (EERO_PHONE,), (EERO, HOME), (HOME,), (EERO, TABLET), (TABLET,)], 'eero')
        events += self.some(60, [(LIISA,), (LIISA, LIISA_MAIL), (LIISA_MAIL,), (LIISA_MAIL, KIOSK), (KIOSK,)], 'liisa')
        events += self.some(80, [(OLAVI,), (OLAVI, OLAVI_MAIL), (OLAVI_MAIL, OLAVI_APP), (OLAVI_APP,), (OLAVI_MAIL, TABLET), (TABLET,)],
                            'olavi')
        for n in range(25):
            mail = ('email', 'p%d@example.com' % n)
            events += self.some(8, [(mail,), (mail, ('phone', '04055%05d' % n)), (('phone', '04055%05d' % n), KIOSK), (KIOSK,)],
                                'p%d' % n)
        family = [('login.succeeded', (AINO_MAIL, TABLET)), ('page.viewed', (TABLET,)), ('page.viewed', (TABLET,)),
                  ('login.succeeded', (EERO, TABLET)), ('page.viewed', (TABLET,)), ('login.succeeded', (AINO_MAIL, KIOSK)),
                  ('page.viewed', (KIOSK,))]
        for n, (kind, who) in enumerate(family * 3):
            special.append(self.event(day + 60 * n, kind, 'web', *who))
        # A publisher that gives each visit the same id: two events all the same.
        special.append(self.event(day + 20, 'page.viewed', 'web', TABLET))
        special.append(dict(special[-1], occurred_at=moment(day + 40)))
        # A number that stands in one event of Aino's only, and joins nobody.
        special.append(self.event(day + 50, 'contact.inbound', 'phone', AINO, ('havu/loyalty_id', 'PLANTED-Z-9')))
        # Links that are refused: each has a number of its own. The second event is Liisa's.
        special.append(self.event(day, 'contact.inbound', 'phone', AINO_MAIL, ('phone', '040 444 4444'), LIISA_MAIL))
        special.append(self.event(day + 1, 'contact.inbound', 'phone', LIISA_MAIL, AINO_PHONE))
        # A promise to Eero that Aino's call answers, and one to Aino that Eero's does.
        special.append(self.event(day + 2, 'callback.requested', 'phone', EERO,
                                 obligation={'id': 'to-eero', 'kind': 'callback', 'due_to': moment(day + DAY)}))
        special.append(self.event(day + 3, 'promise.kept', 'phone', AINO, relates_to='havu-phone/to-eero'))
        special.append(self.event(day + 4, 'callback.requested', 'phone', AINO,
                                 obligation={'id': 'to-aino', 'kind': 'callback', 'due_to': moment(day + DAY)}))
        special.append(self.event(day + 5, 'promise.kept', 'phone', EERO, relates_to='havu-phone/to-aino'))
        self.random.shuffle(events)
        front = len(events) * 6 // 10 - len(special)
        first = special + events[:front]
        self.random.shuffle(first)
        return first + events[front:]


with Run('forget') as run:
    # Addresses and numbers are stored as they are: of the forgotten none stays.
    with open(RULES, encoding='utf-8') as file:
        text = file.read()
    for line, clear in (('    - name: email\n', '    - name: email\n      store: clear\n'),
                        ('loyalty_id", class: person, priority: 30, ', 'loyalty_id", class: person, priority: 30, store: clear, ')):
        assert text.count(line) == 1, line
        text = text.replace(line, clear)
    RULES = run.file('rules.yaml')
    with open(RULES, 'w', encoding='utf-8') as file:
        file.write(text)
    db, topic, story = run.database(), run.topic(3), Story(run.random)
    hasher = polku_oracle.Hasher(polku_oracle.read_key(KEY_FILE))
    published, everything = [], []

    def hash_of(namespace, value):
        return polku_oracle.format_uuid(hasher.parts(namespace, value.encode()))

    number = hash_of(*AINO)
    of_aino = [hash_of(*AINO), hash_of(*AINO_MAIL), hash_of('phone', '358407731773'), hash_of(*AINO_APP), hash_of(*AINO_WEB)]

    def write(events):
        path = run.file('events-%d.jsonl' % len(published))
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(e) + '\n' for e in events)
        published.append(path)
        everything.extend(events)
        return path

    def publish(events):
        topic.publish(write(events))
        topic.drain(db)

    def command(*arguments):
        done = subprocess.run([program('polku-consumer', 'consumer'), *arguments[:1], '--database', db.conninfo, '--log-format', 'json',
                               *arguments[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    outputs = []

    def forget(*arguments):
        code, out, error = command('forget', '--rules', RULES, '--hash-key-file', KEY_FILE, *arguments)
        outputs.append(error)
        return code, out, error

    def forgets(what, *arguments):
        code, out, error = forget(*arguments)
        run.expect_that(what, code == 0 and 'Receipt ' in out, 'exit code %d %s' % (code, error))
        say('          ' + out.rstrip().replace('\n', '\n          '))
        return out

    def refuses(what, wanted, *arguments):
        code, out, error = forget(*arguments)
        run.expect_that('%s: %s' % (what, wanted), code == 2 and wanted in error, error.strip() if code == 2 else 'exit code %d\n%s%s' %
                        (code, out, error))

    def hashes_of_events(names):
        """Hashes of events that carry one of these names, and ids that are made of them."""
        found = set()
        for event in everything:
            if names & {(i['namespace'], i['value']) for i in event['identifiers']}:
                found.add(hash_of(event['source'], event['event_id']))
        return found

    def traces(names, ids, words):
        """Where a dump of the database still holds them: table -> number of lines."""
        dump = subprocess.run(['pg_dump', '-d', db.conninfo], stdout=subprocess.PIPE, check=True).stdout.decode()
        found, table = {}, '(schema)'
        events = hashes_of_events(names)
        parts = {e[:18] for e in events}   # journeys are named after 8 bytes of their first event
        inverted = {e[:-2] + '%02x' % (int(e[-2:], 16) ^ 0xff) for e in events}
        for line in dump.split('\n'):
            if line.startswith('COPY '):
                table = line.split()[1]
            uuids = re.findall(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', line)
            hit = any(u in ids or u in events or u in inverted for u in uuids) or any(w in line for w in words)
            if table.startswith(('polku.journey', 'polku.interaction', 'polku.course')):
                hit = hit or any('%s-%s-%s' % (u[19:23] + u[24:28], u[28:32], u[32:]) in parts for u in uuids)
            hit = hit or any(w.encode().hex() in line for w in words)
            if hit:
                found[table] = found.get(table, 0) + 1
        return found

    def is_gone(what, names, ids, words, stays=('polku.forgotten', 'polku.identifier')):
        found = traces(names, ids, words)
        rest = {t: n for t, n in found.items() if not t.startswith(stays)}
        run.expect('%s: no trace in a dump but tombstones' % what, {}, rest)
        say('          tombstones: %s' % found)
        kept = db.rows("SELECT count(*) FILTER (WHERE owner_id IS NOT NULL OR customer_id IS NOT NULL OR value IS NOT NULL "
                       "OR first_at IS NOT NULL), count(*) FILTER (WHERE flags & 128 = 0) FROM polku.identifier WHERE hash IN ('%s')" %
                       "', '".join(sorted(ids)))[0]
        run.expect('%s: tombstones say nothing but the hash' % what, ['0', '0'], kept)
        logs = ''.join(outputs) + command('status', '--brokers', run.brokers, '--topic', topic.name, '--group', db.name)[1]
        for consumer in run.consumers:
            with open(consumer.log_path, encoding='utf-8') as file:
                logs += file.read()
        run.expect('%s: nothing in logs and status' % what, [], [w for w in words + sorted(ids) if w in logs])

    def replay(what):
        """All of Kafka once more, by consumers that know the present state."""
        before = db.checksums()
        code, out, error = command('position', 'set', topic.name + ':*=earliest', '--brokers', run.brokers)
        run.expect_that('position set to the beginning', code == 0, error.strip()[-300:])
        topic.drain(db)
        run.expect_oracle('%s: equal to the oracle' % what, db, RULES, *published)
        run.expect('%s: as before' % what, before['all'], db.checksums()['all'])

    # ---- a town; a customer is forgotten in the middle of its stream ----
    consumers = [run.consumer(db, topic, RULES, '--batch-records', '100').start() for _ in range(2)]
    events = story.tell()
    half = len(events) * 6 // 10
    publish(events[:half])
    run.expect_oracle('%d events: equal to the oracle' % half, db, RULES, *published)
    encoder = Encoder()

    def put(records, listed):
        """Into one partition, so that one batch has them; `listed`: those that are events for the oracle too."""
        now = int(time.time() * 1000)
        topic.put([(0, now, None, encoder.single_object(encoder.body(e)), []) for e in records])
        topic.drain(db)
        published.append(run.file('put-%d.jsonl' % len(published)))
        with open(published[-1], 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(e) + '\n' for e in listed)

    def content(event):
        return hasher(encoder.body(event))[:8]

    def losing(event, against):
        """A copy of the event that loses."""
        return next(c for c in (dict(event, unit='unit %d' % n) for n in range(1000)) if content(c) > content(against))

    def named(*who):
        return [{'namespace': namespace, 'value': value} for namespace, value in who]

    ahead = dict(story.event(time.time() + 30 * DAY, 'contact.inbound', 'phone', AINO_MAIL), sequence=1)
    copy = dict(next(e for e in events[:half] if {'namespace': 'email', 'value': MAIL} in e['identifiers']), unit='another')
    topic.put([(0, int(time.time() * 1000), MAIL.encode(), encoder.single_object(encoder.body(ahead)), []),
               (0, int(time.time() * 1000), None, encoder.single_object(encoder.body(copy)), []),
               (1, int(time.time() * 1000), None, b'garbage of nobody', []),
               (2, int(time.time() * 1000), b'email:' + MAIL.encode(), None, [])])
    topic.drain(db)
    everything.append(ahead)
    published.append(run.file('copy.jsonl'))
    with open(published[-1], 'w', encoding='utf-8') as file:
        file.write(json.dumps(copy) + '\n')
    run.expect('quarantine', [['bad_frame', '2'], ['conflicting_duplicate', '1'], ['future', '1']],
               db.rows('SELECT reason, count(*) FROM polku.quarantine GROUP BY 1 ORDER BY 1'))
    code, out, error = command('identity', 'unlink', '%s:%s' % AINO_PHONE, '%s:%s' % EERO_PHONE, '--rules', RULES, '--hash-key-file',
                               KEY_FILE)
    run.expect_that('a decision about the phone', code == 0, error)
    run.expect('links that are refused', True, db.number('SELECT count(*) FROM bi.identity_conflict') > 0)
    code, out, error = forget('%s:%s' % AINO_MAIL, '--dry-run')
    run.expect_that('forget --dry-run tells whom', code == 0 and 'Nothing was done' in out, out.strip())
    run.expect('and does nothing', '0', db.value('SELECT count(*) FROM polku.forgetting'))

    refuses('a phone of a family', 'several customers share this identifier', '%s:%s' % HOME)
    refuses('a tablet of several', 'customers have events at this device', '%s:%s' % TABLET)
    refuses('a kiosk', "a kiosk is everybody's", '%s:%s' % KIOSK)
    refuses('a blocked value', 'says nobody', 'phone:000')
    refuses('a namespace', "no namespace 'emial', did you mean 'email'", 'emial:a@example.com')
    block = ('--rules', RULES, '--hash-key-file', KEY_FILE)
    code, out, error = command('identity', 'block', '%s:%s' % EERO_PHONE, *block)
    run.expect_that("Eero's phone is blocked", code == 0, error)
    refuses('a phone that is blocked', 'a decision blocks this identifier', '%s:%s' % EERO_PHONE)
    code, out, error = command('identity', 'restore', '%s:%s' % EERO_PHONE, *block)
    run.expect_that('and is so no more', code == 0, error)
    refuses('no mode', 'neither delete nor anonymise', '%s:%s' % EERO, '--mode', 'erase')
    refuses('two', 'takes one identifier, not 2', 'email:a@example.com', 'email:b@example.com')

    rest = write(events[half:])
    thread = threading.Thread(target=topic.publish, args=(rest,))
    thread.start()
    receipt = forgets('forget by the e-mail address, while events stream in', '%s:%s' % AINO_MAIL, '--by', 'maija', '--note', 'asked by letter')
    thread.join()
    topic.drain(db)
    run.expect_that('the receipt is kept', re.search(r'Receipt ([0-9a-f-]{36})', receipt).group(1) ==
                    db.value('SELECT receipt FROM polku.forgetting'), db.rows(
                        'SELECT names, events, journeys, obligations, quarantined, decided_by, note FROM polku.forgetting'))
    run.expect('records of quarantine that are left', [['bad_frame', '1']], db.rows(
        'SELECT reason, count(*) FROM polku.quarantine WHERE value IS NOT NULL GROUP BY 1 ORDER BY 1'))
    run.expect('decisions about the customer', '0', db.value('SELECT count(*) FROM polku.decision WHERE kind = 2'))
    run.expect('journeys and obligations of the customer', ['0', '0'], db.rows(
        "SELECT (SELECT count(*) FROM polku.journey WHERE customer_id = '%s'), (SELECT count(*) FROM polku.obligation "
        "WHERE customer_id = '%s')" % (number, number))[0])
    run.expect('tombstones of all five names', '5', db.value(
        "SELECT count(DISTINCT name) FROM polku.forgotten WHERE event_hash IS NULL AND name IN ('%s')" % "', '".join(of_aino)))
    run.expect_oracle('forgotten: equal to the oracle', db, RULES, *published)
    run.expect_verified(db, RULES)
    own = {AINO, AINO_MAIL, AINO_PHONE, AINO_APP, AINO_WEB}
    # An event of Liisa's that also named the phone stays, without it: so do the ids of hers.
    theirs = {(i['namespace'], i['value']) for e in everything for i in e['identifiers']} - own
    mixed = [e for e in everything if e['identifiers'][:1] == [{'namespace': LIISA_MAIL[0], 'value': LIISA_MAIL[1]}]]
    for e in mixed:
        everything.remove(e)
    is_gone('forgotten', own, set(of_aino), PLANTED)
    # Copies that lose within a batch, and against what is stored: one is forgotten, one would name the phone.
    hers = story.event(story.start + 3600, 'contact.inbound', 'phone', LIISA)
    with_phone = story.event(story.start + 7200, 'contact.inbound', 'phone', LIISA, AINO_PHONE)
    copies = [hers, losing(dict(hers, identifiers=named(AINO)), hers), with_phone, losing(with_phone, with_phone)]
    put(copies, copies)
    is_gone('conflicting copies', own, set(of_aino), PLANTED)
    late = [losing(dict(hers, identifiers=named(AINO_MAIL)), hers), losing(dict(with_phone, channel='store'), with_phone)]
    put(late, late)
    is_gone('late conflicting copies', own, set(of_aino), PLANTED)
    run.expect_oracle('conflicting copies: equal to the oracle', db, RULES, *published)
    replay('read again from offset zero')
    # The record that was ahead of its time is no event: it is set aside again.
    is_gone('read again', own, set(of_aino), PLANTED, ('polku.forgotten', 'polku.identifier', 'polku.quarantine'))
    forgets('once more, for what is set aside', '%s:%s' % AINO_MAIL)
    is_gone('set aside no more', own, set(of_aino), PLANTED)

    code, out, error = command('rebuild', '--rules', RULES, '--hash-key-file', KEY_FILE)
    run.expect_that('rebuild', code == 0, error.strip()[-300:] if code else '')
    is_gone('rebuilt', own, set(of_aino), PLANTED, ('polku.forgotten', 'polku.identifier', 'polku.quarantine'))
    replay('rebuilt, and read again')

    # ---- again; and back ----
    refuses('twice', 'is forgotten already', '%s:%s' % AINO_PHONE)
    refuses('by its hash', 'is forgotten already', number)
    before = db.number('SELECT count(*) FROM polku.customer')
    publish([story.event(time.time() + 20, 'purchase.completed', 'store', AINO, AINO_MAIL)])
    run.expect('who comes back is one customer more, of one event', [before + 1, '1'], [
        db.number('SELECT count(*) FROM polku.customer'),
        db.value("SELECT count(*) FROM polku.interaction WHERE customer_id = '%s'" % number)])
    run.expect('and is stored in the clear again', NUMBER, db.value("SELECT value FROM polku.identifier WHERE hash = '%s'" % number))
    run.expect_oracle('back: equal to the oracle', db, RULES, *published)
    replay('back, and read again')
    forgets('forgotten once more', number)
    run.expect_oracle('once more: equal to the oracle', db, RULES, *published)

    # ---- nobody ----
    forgets('somebody unknown', 'email:unheard@example.com')
    publish([story.event(story.start, 'contact.inbound', 'phone', ('email', 'unheard@example.com'))])
    run.expect_oracle('an event of the unknown from before: equal to the oracle', db, RULES, *published)
    run.expect('it is not stored', '0', db.value(
        "SELECT count(*) FROM polku.customer WHERE customer_id = '%s'" % hash_of('email', 'unheard@example.com')))

    # ---- anonymise ----
    def interactions():
        return db.rows("SELECT brand_id, type_id, channel_id, sum(interactions) FROM polku.interaction_hourly GROUP BY 1, 2, 3 "
                       "HAVING sum(interactions) <> 0 ORDER BY 1, 2, 3")

    before, olavi = interactions(), hash_of(*OLAVI)
    forgets('anonymise by a hash', olavi[:10], '--mode', 'anonymise')
    run.expect_that('interactions are counted as before', before == interactions(), '%d buckets' % len(before))
    run.expect('no journey, no customer', ['0', '0'], db.rows(
        "SELECT (SELECT count(*) FROM polku.journey WHERE customer_id = '%s'), (SELECT count(*) FROM polku.interaction "
        "WHERE customer_id = '%s' OR '%s' = ANY (identifiers))" % (olavi, olavi, olavi))[0])
    run.expect_oracle('anonymised: equal to the oracle', db, RULES, *published)
    run.expect_verified(db, RULES)
    replay('anonymised, and read again')
    stored = next(e for e in everything if named(OLAVI_MAIL)[0] in e['identifiers'])
    copies = [losing(stored, stored)]
    put(copies, copies)
    run.expect('a conflicting copy of an anonymised event is set aside without what it says', ['1', '0'], db.rows(
        "SELECT count(*) FILTER (WHERE NOT q.whole AND q.value IS NULL), count(*) FILTER (WHERE q.value IS NOT NULL OR q.key IS NOT NULL) "
        "FROM polku.quarantine q WHERE q.reason = 'conflicting_duplicate' AND q.quarantined_at = (SELECT max(quarantined_at) "
        "FROM polku.quarantine)")[0])
    refuses('anonymised twice', 'is forgotten already', '%s:%s' % OLAVI, '--mode', 'delete')

    # ---- a rebuild carries it over ----
    code, out, error = command('rebuild', '--rules', RULES, '--hash-key-file', KEY_FILE)
    run.expect_that('rebuild', code == 0, error.strip()[-300:] if code else '')
    run.expect_oracle('rebuilt: equal to the oracle', db, RULES, *published)
    replay('rebuilt, and read again')
    run.expect_verified(db, RULES)
    for consumer in consumers:
        consumer.stop()
    dropped = sum(consumer.totals().get('forgotten', 0) for consumer in consumers)
    run.expect_that('consumers counted what they dropped', dropped > 0, '%d records' % dropped)
    run.expect('deadlocks', 0, db.deadlocks())
