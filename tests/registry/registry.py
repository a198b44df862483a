# SPDX-License-Identifier: Apache-2.0
"""A real schema registry, a real Kafka, and both programs: registered on first use and read; away in the middle of the
stream; ids that are not known, or not known yet; what the cache on the disk is good for; passwords and TLS; refusals.

Whatever the registry does, no good record goes to quarantine, and the tables end equal to the oracle's.
"""

import json
import os
import subprocess

import registry_server as server
from harness import ROOT, Encoder, Run, polku_oracle, program, run_program, say, wait_for

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SCHEMA = os.path.join(ROOT, 'schemas', 'interaction.avsc')
QUICK = ('--registry-timeout', '1s', '--linger', '20ms', '--retry-max', '1s')


def text_of(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


class Variant(Encoder):
    """The event's schema as another publisher might write it: further fields, another order. Each number is another one."""

    def __init__(self, run, number):
        super().__init__()
        tree = json.loads(text_of(SCHEMA))
        tree['fields'].append({'name': 'extra_%d' % number, 'type': ['null', 'long'], 'default': None})
        if number % 2:
            tree['fields'].reverse()
        self.text = json.dumps(tree)
        path = run.file('variant-%d.avsc' % number)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.text)
        self.schema = polku_oracle.Schema(path)
        self.id = None

    def register(self, registry, topic):
        self.id = registry.register(topic.name + '-value', self.text)
        return self

    def record(self, number, event, schema_id=None):
        value = self.confluent(self.body(event), schema_id or self.id)
        return (number % 3, None, event['event_id'].encode(), value, [])


def make_events(run, name, count):
    out = run_program([program('polku-producer', 'producer'), 'simulate', '--people', '40', '--events', str(count), '--seed',
                       str(run.random.randrange(1 << 30)), '--log-level', 'warn']).stdout
    events = [json.loads(line) for line in out.splitlines()]
    return write_events(run, name, events), events


def write_events(run, name, events):
    path = run.file(name + '.jsonl')
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(json.dumps(event) + '\n' for event in events)
    return path


def reasons(consumer):
    return [line['why'] for line in consumer.said('waiting for a schema')]


def waits(run, consumer, before=0):
    wait_for('the consumer waits for a schema', lambda: run.alive() and len(reasons(consumer)) > before)


def quarantined(db):
    return db.rows('SELECT reason, detail FROM polku.quarantine ORDER BY 1, 2')


def producer(command, topic, *arguments):
    """-> (exit code, last lines of the log as text)"""
    brokers = ['--brokers', topic.run.brokers] if command == 'send' else []
    done = subprocess.run([program('polku-producer', 'producer'), command, *brokers, '--topic', topic.name, '--log-format',
                           'json', '--progress', 'never', *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode()


def first_use_and_outage(run, registry):
    """Returns what the next parts go on with."""
    db, topic = run.database(), run.topic(3)
    path, events = make_events(run, 'events', 300)
    subject = topic.name + '-value'
    cut = len(events) // 3
    first = write_events(run, 'first', events[:cut])

    say('registered on first use')
    run.expect('versions of the subject before', [], registry.versions(subject))
    topic.publish('--registry-url', registry.url, '--partition-by', 'random', first)
    run.expect('after', [1], registry.versions(subject))
    topic.publish('--registry-url', 'http://127.0.0.1:9,' + registry.url, '--no-auto-register', first)
    run.expect('after a second time, by another address that does not answer first', [1], registry.versions(subject))
    cache = run.file('cache')
    consumer = run.consumer(db, topic, RULES, '--registry-url', 'http://127.0.0.1:9,' + registry.url,
                            '--registry-cache', cache, *QUICK).start()
    topic.drain(db)
    run.expect('in quarantine', [], quarantined(db))

    say('away in the middle of the stream')
    variant = Variant(run, 1).register(registry, topic)
    registry.stop()
    before = db.positions(topic)
    topic.put(variant.record(n, event) for n, event in enumerate(events[cut:2 * cut]))
    waits(run, consumer, 2)
    run.expect_that('it says why', True, reasons(consumer)[-1])
    run.expect('claims as before: it is still in the group', [c for _, c in before.values()],
               [c for _, c in db.positions(topic).values()])
    run.expect('in quarantine', [], quarantined(db))
    took = registry.start()
    topic.put(variant.record(n, event) for n, event in enumerate(events[2 * cut:]))
    topic.drain(db)
    run.expect_that('the registry is back: it goes on by itself', consumer.said('waiting for a schema is over'),
                    'registry started in %.1f s' % took)
    run.expect('in quarantine', [], quarantined(db))
    run.expect('times that partitions were revoked', 0, len(consumer.said('partitions revoked')))
    run.expect_oracle('everything is there once', db, RULES, path)
    consumer.stop()
    return path, topic, cache


def disk_cache(run, registry, path, topic, cache):
    say('away from the start: what is on the disk')
    registry.stop()
    db = run.database()
    consumer = run.consumer(db, topic, RULES, '--registry-url', 'http://127.0.0.1:9,' + registry.url,
                            '--registry-cache', cache, *QUICK, name='cached').start()
    topic.drain(db)
    consumer.stop()
    run.expect('waits', [], reasons(consumer))
    run.expect('in quarantine', [], quarantined(db))
    run.expect_oracle('read without the registry', db, RULES, path)

    for folder, _, names in os.walk(cache):
        for name in names:
            with open(os.path.join(folder, name), 'r+b') as file:
                file.truncate(100)
    db = run.database()
    consumer = run.consumer(db, topic, RULES, '--registry-url', 'http://127.0.0.1:9,' + registry.url,
                            '--registry-cache', cache, *QUICK, name='damaged').start()
    waits(run, consumer)
    registry.start()
    topic.drain(db)
    consumer.stop()
    run.expect('damaged copies are no schemas: in quarantine', [], quarantined(db))
    run.expect_oracle('read from the registry instead', db, RULES, path)


def unknown_ids(run, registry):
    say('ids that nobody registered, or not yet')
    db, topic = run.database(), run.topic(1)
    path, events = make_events(run, 'unknown', 60)
    variant = Variant(run, 2).register(registry, topic)
    # A first schema of something else: one that no event can be read from.
    other = registry.register(topic.name + '-other', json.dumps({'type': 'record', 'name': 'Invoice', 'fields': [
        {'name': 'number', 'type': 'string'}]}))
    text = registry.register(topic.name + '-text', '"string"')
    records = [(0, *variant.record(0, event)[1:]) for event in events]
    records.insert(20, (0, None, b'bad', variant.confluent(b'\x02a', 987654), []))
    records.insert(22, (0, None, b'bad', variant.confluent(b'\x02a', other), []))
    records.insert(25, (0, None, b'bad', variant.confluent(b'\x02a', 987654), []))
    records.insert(30, (0, None, b'bad', variant.confluent(b'\x02a', text), []))
    topic.put(records)
    consumer = run.consumer(db, topic, RULES, '--registry-url', registry.url, '--registry-grace', '1s', *QUICK,
                            name='unknown').start()
    topic.drain(db)
    got = quarantined(db)
    run.expect('in quarantine', ['unknown_schema'] * 4, [reason for reason, _ in got])
    for _, detail in got:
        say('          ' + detail)
    over = consumer.said('waiting for a schema is over')
    run.expect_that('it waited once for two records of one unknown id', len(over) == 1 and over[0]['seconds'] >= 1, over)
    consumer.stop()
    run.expect_oracle('the records around them are read', db, RULES, path)

    late = Variant(run, 3)
    guess = text + 1
    more, events = make_events(run, 'late', 20)
    db = run.database()
    topic = run.topic(1)
    consumer = run.consumer(db, topic, RULES, '--registry-url', registry.url, '--registry-grace', '60s', *QUICK,
                            name='late').start()
    topic.put((0, *late.record(0, event, guess)[1:]) for event in events)
    waits(run, consumer)
    run.expect('the id that comes next is the one expected', guess, late.register(registry, topic).id)
    topic.drain(db)
    consumer.stop()
    run.expect('registered a moment later: in quarantine', [], quarantined(db))
    run.expect_oracle('all are read', db, RULES, more)

    # Invented ids must not stop the stream for a grace each.
    db, topic = run.database(), run.topic(1)
    topic.put((0, None, b'bad', variant.confluent(b'\x02a', 10000000 + n), []) for n in range(100))
    consumer = run.consumer(db, topic, RULES, '--registry-url', registry.url, '--registry-grace', '300ms', *QUICK,
                            name='invented').start()
    took = topic.drain(db)
    consumer.stop()
    run.expect('a hundred invented ids: in quarantine', 100, len(quarantined(db)))
    run.expect_that('waits are bounded', len(consumer.said('waiting for a schema is over')) <= 12,
                    '%d in %.1f s' % (len(consumer.said('waiting for a schema is over')), took))


def troubles(run, registry):
    say('a password, TLS, and everything that can answer instead of a registry')
    certificates = run.file('certificates')
    server.script('certificates.sh', certificates)
    proxy = server.Proxy(run, registry, certificates, 'polku', 'opensesame', client_certificate=True)
    for name, secret in (('password', 'opensesame'), ('wrong', 'opendoor')):
        with open(run.file(name), 'w', encoding='ascii') as file:
            file.write(secret + '\n')
    tls = ('--registry-ca', os.path.join(certificates, 'ca.pem'),
           '--registry-certificate', os.path.join(certificates, 'client.pem'),
           '--registry-key', os.path.join(certificates, 'client.key'))
    user = ('--registry-user', 'polku', '--registry-password-file', run.file('password'))
    db, topic = run.database(), run.topic(3)
    path, events = make_events(run, 'troubles', 80)
    half = len(events) // 2
    topic.publish('--registry-url', proxy.at(), *tls, *user, write_events(run, 'half', events[:half]))
    run.expect('the producer registers through TLS with a password and a certificate', [1],
               registry.versions(topic.name + '-value'))
    for what, arguments in (
            ('a wrong password', (*tls, '--registry-user', 'polku', '--registry-password-file', run.file('wrong'))),
            ('no password', tls),
            ('no certificate of ours', (*tls[:2], *user)),
            ('a strange authority', ('--registry-ca', os.path.join(certificates, 'stranger.pem'), *tls[2:], *user))):
        code, log = producer('send', topic, '--registry-url', proxy.at(), *arguments, run.file('half.jsonl'))
        run.expect_that('%s: exit code 3, nothing is sent' % what, code == 3, json.loads(log.splitlines()[-1])['error'])
    code, log = producer('send', topic, '--registry-url', proxy.at('127.0.0.1'), *tls, *user, run.file('half.jsonl'))
    run.expect_that('a certificate for another name: exit code 3', code == 3, json.loads(log.splitlines()[-1])['error'])
    run.expect_that('the log has no password', 'opendoor' not in log and 'opensesame' not in log)

    variant = Variant(run, 4).register(registry, topic)
    proxy.mode = 'hang'
    consumer = run.consumer(db, topic, RULES, '--registry-url', proxy.at(), *tls, *user, '--registry-timeout', '500ms',
                            '--linger', '20ms', '--retry-max', '400ms', '--registry-grace', '0s', name='troubles').start()
    topic.put(variant.record(n, event) for n, event in enumerate(events[half:]))
    for mode in ('hang', '500', '401', '403', '404', 'garbage', 'redirect'):
        proxy.mode = mode
        seen = proxy.seen.get(mode, 0)
        wait_for('the consumer meets it', lambda: run.alive() and proxy.seen.get(mode, 0) >= seen + 2)
        count = len(reasons(consumer))
        waits(run, consumer, count)
        run.expect_that('%s: it waits' % mode, True, reasons(consumer)[-1])
    run.expect('in quarantine', [], quarantined(db))
    proxy.mode = 'ok'
    topic.drain(db)
    consumer.stop()
    run.expect('in quarantine afterwards', [], quarantined(db))
    proxy.mode = 'hang'
    fresh = run.database()
    consumer = run.consumer(fresh, topic, RULES, '--registry-url', proxy.at(), *tls, *user, '--registry-timeout', '60s',
                            name='stuck').start()
    seen = proxy.seen['hang']
    wait_for('the consumer waits for an answer', lambda: run.alive() and proxy.seen['hang'] > seen)
    consumer.stop()
    run.expect('stopped while it waited for an answer: nothing stored, exit code', 0, consumer.process.returncode)
    run.expect_oracle('everything is there', db, RULES, path)


def refusals(run, registry):
    say('what a registry refuses')
    registry.config('BACKWARD')
    topic = run.topic(1)
    path, _ = make_events(run, 'refused', 5)
    tree = json.loads(text_of(SCHEMA))
    next(field for field in tree['fields'] if field['name'] == 'event_id')['type'] = 'long'
    registry.register(topic.name + '-value', json.dumps(tree))
    for command in ('send', 'check'):
        code, log = producer(command, topic, '--registry-url', registry.url, path)
        error = json.loads(log.splitlines()[-1])['error']
        run.expect_that('%s: an incompatible schema is refused, exit code 1' % command,
                        code == 1 and topic.name + '-value' in error, error)
    run.expect('versions of the subject', [1], registry.versions(topic.name + '-value'))
    fresh = run.topic(1)
    code, log = producer('send', fresh, '--registry-url', registry.url, '--no-auto-register', path)
    run.expect_that('--no-auto-register: exit code 1', code == 1, json.loads(log.splitlines()[-1])['error'])
    run.expect('and nothing is registered', [], registry.versions(fresh.name + '-value'))
    code, log = producer('check', fresh, '--registry-url', registry.url, path)
    run.expect_that('check: it would be taken', code == 0 and 'schema would be registered' in log)
    run.expect('and nothing is registered', [], registry.versions(fresh.name + '-value'))
    for what, url in (('a password in the URL', 'http://u:p@127.0.0.1:1'), ('no HTTP', 'ftp://127.0.0.1'), ('no URL', ',')):
        code, log = producer('check', fresh, '--registry-url', url, path)
        run.expect_that('%s: exit code 1' % what, code == 1, json.loads(log.splitlines()[-1])['error'])
    code, log = producer('check', fresh, '--registry-url', registry.url, '--frame', 'single-object', path)
    run.expect_that('--frame single-object with a registry: exit code 1', code == 1, json.loads(log.splitlines()[-1])['error'])


with Run('registry') as run:
    real = server.Registry(run)
    events_path, events_topic, cache_folder = first_use_and_outage(run, real)
    disk_cache(run, real, events_path, events_topic, cache_folder)
    unknown_ids(run, real)
    troubles(run, real)
    refusals(run, real)
