# SPDX-License-Identifier: Apache-2.0
"""Clients of other makers publish the same events as polku-producer, through a real registry and a real Kafka, and read
what polku-producer wrote. And schemas of other ages: what fastavro makes of them is what the tables must hold.

The same event from five writers is one row, and none of its copies conflicts: their contents are equal to the last bit.
"""

import json
import os
import subprocess
import sys

import registry_server as server
from harness import ROOT, Encoder, Failure, Run, program, run_program, say

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SCHEMA = os.path.join(ROOT, 'schemas', 'interaction.avsc')
EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 400


class Client:
    """Runs one of the programs beside this file; `versions` says what it is made of."""

    def __init__(self, run, name, command):
        self.run, self.name, self.command = run, name, command
        self.versions = json.loads(self.ask('versions')[0])

    def ask(self, *arguments):
        done = subprocess.run([*self.command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Failure('%s %s: exit code %d\n%s' % (self.name, arguments[0], done.returncode, done.stderr.decode()[-3000:]))
        return done.stdout.decode().splitlines()


def fetch(run, kind):
    cache = os.path.join(os.environ['POLKU_TEST_BUILD'], '.deps', kind)
    code = subprocess.run([os.path.join(server.HERE, 'peers.sh'), kind, cache], check=False).returncode
    if code == 3:
        server.unavailable(run, 'the clients in ' + kind)
    if code != 0:
        raise Failure('peers.sh %s: exit code %d' % (kind, code))
    return cache


def clients(run):
    python, java = fetch(run, 'python'), fetch(run, 'java')
    home = os.environ.get('JAVA_HOME')
    machine = os.path.join(home, 'bin', 'java') if home else 'java'
    return (Client(run, 'python', [os.path.join(python, 'venv', 'bin', 'python'), os.path.join(server.HERE, 'python_client.py')]),
            Client(run, 'java', [machine, '-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', os.path.join(java, 'libs', '*'),
                                 'groovy.ui.GroovyMain', os.path.join(server.HERE, 'java_client.groovy')]))


def make_events(run):
    """Natural events for polku-producer, and the same with every field there for the others. Half of them with odd texts."""
    out = run_program([program('polku-producer', 'producer'), 'simulate', '--people', '60', '--events', str(EVENTS), '--seed',
                       str(run.random.randrange(1 << 30)), '--log-level', 'warn']).stdout
    events = [json.loads(line) for line in out.splitlines()]
    for folder, _, names in os.walk(os.path.join(ROOT, 'schemas', 'examples')):
        for name in sorted(names):
            with open(os.path.join(folder, name), encoding='utf-8') as file:
                events.append(json.load(file))
    for number, event in enumerate(events):
        if number % 2:
            event['attributes'] = {'ä': '€', 'number': str(number), 'a': '', 'b': '😀'}
        event['sequence'] = run.random.choice([0, 1, -1, 1 << 30, 63, 64, -65])
    schema = Encoder().schema
    return events, [schema.read(event) for event in events]


def write_lines(run, name, values):
    path = run.file(name)
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(json.dumps(value) + '\n' for value in values)
    return path


def comparable(lines):
    return sorted(json.dumps(json.loads(line) if isinstance(line, str) else line, sort_keys=True) for line in lines)


def quarantined(db):
    return db.rows('SELECT reason, detail, count(*) FROM polku.quarantine GROUP BY 1, 2 ORDER BY 1, 2')


def consume(run, registry, topics, name, *options):
    db = run.database()
    consumer = run.consumer(db, topics[0], RULES, '--topic', ','.join(topic.name for topic in topics), '--registry-url',
                            registry.url, *options, name=name).start()
    for topic in topics:
        topic.drain(db)
    consumer.stop()
    return db


def same_events(run, registry, python, java):
    events, full = make_events(run)
    ours, theirs = write_lines(run, 'events.jsonl', events), write_lines(run, 'full.jsonl', full)
    topics = {}
    for name in ('polku', 'python', 'java', 'fastavro', 'avro'):
        topics[name] = run.topic(2)
    for name, send in (
            ('polku', lambda topic: topic.publish('--registry-url', registry.url, ours)),
            ('python', lambda topic: python.ask('send', run.brokers, topic.name, registry.url, SCHEMA, theirs)),
            ('java', lambda topic: java.ask('send', run.brokers, topic.name, registry.url, SCHEMA, theirs)),
            ('fastavro', lambda topic: python.ask('single', run.brokers, topic.name, SCHEMA, theirs)),
            ('avro', lambda topic: java.ask('single', run.brokers, topic.name, SCHEMA, theirs))):
        send(topics[name])
        topics[name].records = len(events)
    say('the same events from polku-producer, confluent-kafka, Java with a registry, fastavro and Java single-object')
    for name in ('java', 'avro', 'python', 'fastavro', 'polku'):
        run.expect('registered by %s' % name, [] if name in ('fastavro', 'avro') else [1],
                   registry.versions(topics[name].name + '-value'))
    for name in ('java', 'fastavro'):       # alone: nobody else's copy hides what is wrong
        db = consume(run, registry, [topics[name]], 'alone-' + name)
        run.expect('%s alone: in quarantine' % name, [], quarantined(db))
        run.expect_oracle('%s alone' % name, db, RULES, ours)
    db = consume(run, registry, list(topics.values()), 'all')
    run.expect('all five: in quarantine, no copy conflicts', [], quarantined(db))
    run.expect('records read', 5 * len(events), sum(db.position(topic) for topic in topics.values()))
    run.expect('events stored', len(events), db.number('SELECT count(*) FROM bi.interaction'))
    run.expect_oracle('all five', db, RULES, ours)

    say('read back by the others')
    wanted = comparable(full)
    for reader in (python, java):
        for name in ('polku', 'java' if reader is python else 'python'):
            got = comparable(reader.ask('receive', run.brokers, topics[name].name, registry.url, str(len(events))))
            run.expect_that('%s reads what %s wrote' % (reader.name, name), got == wanted, '%d events' % len(got))
    return full


def fingerprints(run, python, java, folder):
    say('fingerprints')
    paths = [SCHEMA] + sorted(os.path.join(folder, 'versions', name) for name in os.listdir(os.path.join(folder, 'versions')))
    by_python, by_java = python.ask('fingerprints', *paths), java.ask('fingerprints', *paths)
    run.expect('of our schema: ours, fastavro, Java', 3 * ['%016x' % Encoder().fingerprint],
               ['%016x' % Encoder().fingerprint, by_python[0], by_java[0]])
    run.expect('of the others, by which records were found above: fastavro and Java agree', by_python[1:], by_java[1:])


def evolution(run, registry, python, java, full):
    say('many writers, each with a schema of another age')
    topic, folder = run.topic(3), run.file('schemas')
    sent = write_lines(run, 'sent.jsonl', full)
    resolved = [json.loads(line) for line in python.ask('evolve', str(run.seed), run.brokers, topic.name, registry.url, SCHEMA,
                                                        sent, folder)]
    topic.records = len(resolved)
    changed = sum(a != b for a, b in zip(full, resolved))
    run.expect_that('events that are not what was sent, by fields left out and symbols not known', changed > len(full) // 4,
                    '%d of %d' % (changed, len(full)))
    path = write_lines(run, 'resolved.jsonl', resolved)
    db = consume(run, registry, [topic], 'evolution', '--schemas', folder)
    run.expect('in quarantine', [], quarantined(db))
    run.expect_oracle('read as fastavro resolves them', db, RULES, path)
    fingerprints(run, python, java, folder)


UNREADABLE = (
    # what, a change of our schema, words of the sentence
    ('no brand', lambda tree: tree['fields'].remove(next(f for f in tree['fields'] if f['name'] == 'brand')), ['brand']),
    ('event_id is a number', lambda tree: field(tree, 'event_id').update(type='long'), ['event_id', 'long']),
    ('occurred_at is text', lambda tree: field(tree, 'occurred_at').update(type='string'), ['occurred_at', 'string']),
    ('identifiers are a map', lambda tree: field(tree, 'identifiers').update(type={'type': 'map', 'values': 'string'}, default={}),
     ['identifiers', 'map']),
    ('another record', lambda tree: tree.update(name='Invoice'), ['Invoice', 'polku.Interaction']),
)


def field(tree, name):
    return next(item for item in tree['fields'] if item['name'] == name)


def unreadable(run, registry):
    say('schemas that are none of events: refused with the field and the reason')
    topic = run.topic(1)
    records = []
    for _, change, _ in UNREADABLE:
        with open(SCHEMA, encoding='utf-8') as file:
            tree = json.load(file)
        change(tree)
        records.append((0, None, b'k', Encoder.confluent(b'\x02a', registry.register(topic.name + '-value', json.dumps(tree))), []))
    topic.put(records)
    db = consume(run, registry, [topic], 'unreadable')
    rows = db.rows('SELECT reason, detail FROM polku.quarantine ORDER BY kafka_offset')
    run.expect('in quarantine', len(UNREADABLE), len(rows))
    for (what, _, words), (reason, detail) in zip(UNREADABLE, rows):
        run.expect_that(what, reason == 'unknown_schema' and all(word in detail for word in words), detail)


with Run('clients') as run:
    in_python, in_java = clients(run)
    real = server.Registry(run)
    say('  python: %s' % in_python.versions)
    say('  java: %s' % in_java.versions)
    complete = same_events(run, real, in_python, in_java)
    evolution(run, real, in_python, in_java, complete)
    unreadable(run, real)
