# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer rebuild --from-kafka`: consumers go on and a producer publishes while it reads; at the end the tables are what
the oracle says under the rules and the key that it was given, quarantine is made anew, decisions are found again under a new key; kill -9
at random moments does no harm; what Kafka has deleted is named and refused, or kept as it is hashed; what it may have compacted is refused.

    rebuild_kafka.py [EVENTS]     default: 3000 events of a simulated population
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from harness import Encoder, KEY_FILE, ORACLE, ROOT, Run, Session, compare, generate, program, run_program, say, wait_for
from rebuild_support import Rebuild, changed_rules, events as events_of, filling, load, rebuild, sums
import population  # of tests/oracle, which harness puts before this folder

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SMALL = os.path.join(ORACLE, 'rules_small.yaml')
EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000


def from_kafka(run, *options):
    return ('--from-kafka', '--brokers', run.brokers, *options)


def new_key(run, name='other.key', digits='5eed' * 16):
    path = run.file(name)
    with open(path, 'w', encoding='ascii') as file:
        file.write(digits)
    os.chmod(path, 0o600)
    return path


def expect_oracle(run, what, db, rules, key, *arguments):
    """run.expect_oracle with a key of our own."""
    done = subprocess.run(compare('oracle', '--database', db.conninfo, '--rules', rules, '--key-file', key, *arguments),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = done.stdout.decode().rstrip().splitlines()
    equal = sum(line.endswith('rows, equal') for line in lines)
    if not run.expect_that(what, done.returncode == 0 and equal > 0, '%d tables equal' % equal):
        say('          ' + '\n          '.join(lines))


def expect_verified(run, db, rules, key):
    done = subprocess.run([program('polku-consumer', 'consumer'), 'verify', '--database', db.conninfo, '--rules', rules,
                           '--hash-key-file', key, '--log-format', 'json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    run.expect_that('verify finds nothing', done.returncode == 0, done.returncode and (done.stdout + done.stderr).decode()[-1500:] or '')


def identity(db, rules, key, *arguments):
    run_program([program('polku-consumer', 'consumer'), 'identity', '--database', db.conninfo, '--rules', rules,
                 '--hash-key-file', key, '--log-level', 'error', *arguments])


def trim(run, topic, partition, offset):
    run_program([program('kafka_records', 'tests', 'integration'), run.brokers, 'trim', topic.name, str(partition), str(offset)])


def write_lines(path, lines):
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(lines)
    return path


class Publisher(threading.Thread):
    """Publishes files one after another."""

    def __init__(self, topic, paths):
        super().__init__()
        self.topic, self.paths, self.done = topic, paths, 0

    def run(self):
        for path in self.paths:
            self.topic.publish('--partition-by', 'random', '--seed', str(self.done), path)
            self.done += 1
            time.sleep(0.2)


def garbage(run, topic, count):
    """Records that are no events, and one event in two versions: the smaller hash is the event."""
    encoder = Encoder()
    event = {'event_id': 'twice', 'source': 'twin', 'occurred_at': '2025-09-03T10:00:00Z', 'type': 'question.asked', 'channel': 'email',
             'brand': 'Havu', 'direction': 'INBOUND', 'actor': 'CUSTOMER'}
    records = [(number % topic.partitions, None, b'k', b'garbage %d' % number, [(b'source', b'broken')]) for number in range(count)]
    for cause in ('one', 'two', 'three'):
        records.append((0, None, b'k', encoder.single_object(encoder.body(dict(event, cause=cause))), []))
    topic.put(records)
    path = run.file('twins.jsonl')
    return write_lines(path, [json.dumps(dict(event, cause=cause)) + '\n' for cause in ('one', 'two', 'three')])


def quarantine(db):
    return db.rows("""SELECT topic_id, partition, kafka_offset, reason, whole, md5(value) FROM polku.quarantine
        ORDER BY topic_id, partition, kafka_offset, reason""")


# ---- the parts ----


def live(run):
    """Consumers and a producer at work; the same rules, then others; kill -9 in between."""
    made, _ = population.make(run.seed, RULES, max(EVENTS * 3 // 20, 20), EVENTS)
    lines = [json.dumps(natural) + '\n' for natural in made.naturals()]
    cut = len(lines) // 2
    first = write_lines(run.file('first.jsonl'), lines[:cut])
    rest = [write_lines(run.file('rest-%d.jsonl' % n), lines[cut + n::12]) for n in range(12)]
    db, topic = run.database(), run.topic(4)
    twins = garbage(run, topic, 20)
    load(run, db, topic, RULES, first)
    before, others, aside = sums(db), events_of(db), quarantine(db)
    code, done = rebuild(db, RULES, *from_kafka(run, '--batch-records', '300'))
    run.expect_that('the same rules', code == 0, done.lines[-1])
    run.expect('all is as before, events whole', (before, others), (sums(db), events_of(db)))
    run.expect_that('quarantine is as before', aside == quarantine(db), '%d rows' % len(aside))

    for number in range(3):
        begun = Rebuild(db, RULES, *from_kafka(run, '--batch-records', '20'))
        rows = run.random.randrange(1, max(cut * 2 // 3, 2))
        wait_for('the new tables fill', lambda: begun.process.poll() is not None or filling(db, rows), pause=0.01)
        begun.process.kill()
        begun.wait()
        run.expect('kill -9 number %d, after about %d events: the tables in use are as before' % (number + 1, rows),
                   (before, True), (sums(db), aside == quarantine(db)))

    consumers = [run.consumer(db, topic, RULES, '--batch-records', '100').start() for _ in range(2)]
    wait_for('both consumers are up', lambda: run.alive() and all(c.claimed() for c in consumers))
    publisher = Publisher(topic, rest[:6])
    publisher.start()
    begun = Rebuild(db, RULES, *from_kafka(run, '--batch-records', '50'))
    wait_for('the new tables fill', lambda: begun.process.poll() is not None or filling(db))
    name = db.value("SELECT min(hash::text) FROM polku.identifier WHERE kind = 0 AND flags & 57 = 0 AND customer_id IS NOT NULL")
    identity(db, RULES, KEY_FILE, 'unlink', name)
    run.expect_that('somebody decides while Kafka is read', begun.process.poll() is None)
    run.expect_that('the same rules beside running consumers', begun.wait() == 0,
                    begun.said('the tables are swapped') or begun.lines[-1])
    publisher.join()
    topic.drain(db)
    run.expect_oracle('they went on by themselves, and all is as the oracle says', db, RULES, first, twins, *rest[:6])

    changed = changed_rules(run, RULES, 'other.yaml', ('max_links: 20', 'max_links: 3'), ('priority: 60', 'priority: 45'),
                            ('phone_country: "358"', 'phone_country: "46"'))
    begun = Rebuild(db, changed, *from_kafka(run, '--batch-records', '10', '--former-rules', RULES))
    wait_for('the new tables fill', lambda: begun.process.poll() is not None or filling(db), pause=0.005)
    begun.process.send_signal(signal.SIGSTOP)  # in the middle of its work, with whatever it has hold of
    stood = db.position(topic)
    publisher = Publisher(topic, rest[6:])
    publisher.start()
    wait_for('consumers commit while Kafka is read', lambda: run.alive() and db.position(topic) > stood, 60)
    begun.process.send_signal(signal.SIGCONT)
    run.expect_that('consumers commit while Kafka is read', begun.process.poll() is None, db.position(topic) - stood)
    run.expect_that('rules that hash otherwise, beside running consumers', begun.wait() == 0,
                    begun.said('the tables are swapped') or begun.lines[-1])
    publisher.join()
    for consumer in consumers:
        wait_for('the consumers with the former rules stop', lambda c=consumer: not c.is_running())
        os.rename(consumer.log_path, consumer.log_path + '.expected')  # their error was wanted
        consumer.process = None
    again = run.consumer(db, topic, changed, '--until-end').start()
    again.wait()
    run.expect_oracle('other rules and hashing: as the oracle says', db, changed, first, twins, *rest)
    expect_verified(run, db, changed, KEY_FILE)
    run.expect('deadlocks', 0, db.deadlocks())


def rotation(run, seed):
    """A small hostile set with decisions; a new key: refused without the former one, then everything is found again."""
    generator = generate.Generator(seed, events=run.random.choice([60, 150, 300]))
    events = generator.generate()
    path = run.file('events-%d.jsonl' % seed)
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(events, file)
    db, topic, key = run.database(), run.topic(3), new_key(run)
    load(run, db, topic, SMALL, path)
    decisions = []
    for _, one, other in db.rows("""SELECT customer_id, min(hash::text), max(hash::text) FROM polku.identifier
            WHERE kind = 0 AND customer_id IS NOT NULL GROUP BY 1 HAVING count(*) > 2 ORDER BY 1 LIMIT 1"""):
        decisions.append(('unlink', one, other))
    for kind, what in (('block', 'kind = 1'), ('unlink', 'kind = 0 AND flags & 1 = 0')):
        decisions += [(kind, name) for name, in db.rows('SELECT hash FROM polku.identifier WHERE %s ORDER BY hash LIMIT 1' % what)]
    for decision in decisions:
        identity(db, SMALL, KEY_FILE, *decision)
    gone = [(mode, name) for mode, (name,) in zip(('delete', 'anonymise'), db.rows(
        """SELECT i.hash FROM polku.identifier i WHERE i.kind = 0 AND i.flags & 57 = 0 AND i.customer_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM polku.decision d WHERE i.hash IN (d.a, d.b)) ORDER BY i.hash DESC LIMIT 2"""))]
    for mode, name in gone:
        done = subprocess.run([program('polku-consumer', 'consumer'), 'forget', '--database', db.conninfo, '--rules', SMALL,
                               '--hash-key-file', KEY_FILE, '--mode', mode, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            say('          %s' % done.stderr.decode()[-300:])
    say('  seed %d: %d events, %d decisions, %d forgettings, %s' % (seed, len(events), len(decisions), db.number(
        'SELECT count(*) FROM polku.forgetting'), db.rows('SELECT count(*), count(event_hash) FROM polku.forgotten')))
    before = sums(db)
    if decisions:
        code, done = rebuild(db, SMALL, *from_kafka(run), key=key)
        run.expect_that('seed %d: a new key is refused without the former one' % seed, code == 1 and done.said('--former-hash-key-file'),
                        done.lines[-1].get('reason'))
        run.expect('seed %d: the tables are as before' % seed, before, sums(db))
    in_force = db.number('SELECT count(*) FROM polku.decision WHERE restored_at IS NULL')
    code, done = rebuild(db, SMALL, *from_kafka(run, '--former-hash-key-file', KEY_FILE, '--batch-records', '50'), key=key)
    run.expect_that('seed %d: a new key' % seed, code == 0, done.lines[-1])
    lost = [line for line in done.lines if 'could not be carried over' in line['message']]
    run.expect('seed %d: decisions in force, but for those whose names nobody publishes' % seed, in_force - len(lost),
               db.number('SELECT count(*) FROM polku.decision WHERE restored_at IS NULL'))
    expect_oracle(run, 'seed %d: as the oracle says under the new key, decisions included' % seed, db, SMALL, key, path)
    code, done = rebuild(db, SMALL, *from_kafka(run, '--former-hash-key-file', key))
    run.expect('seed %d: back under the former key' % seed, (0, before), (code, sums(db)))
    run.expect('seed %d: deadlocks' % seed, 0, db.deadlocks())


def publishers(db):
    return db.rows("SELECT reason, publisher, count(*) FROM bi.quarantine WHERE reason <> 'conflicting_duplicate' GROUP BY 1, 2 ORDER BY 1, 2")


def vehicles(db):
    return db.rows("SELECT DISTINCT i.kind FROM polku.identifier i JOIN polku.dictionary d ON d.id = i.namespace_id WHERE d.text = 'vehicle'")


def beside(run, seed):
    """Publishers of what is set aside anew are named; partitions can be claimed while the swap waits; names that a forgetting or a
    decision brings are what the new rules say they are."""
    generator = generate.Generator(seed, events=60)
    path = run.file('beside-%d.jsonl' % seed)
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(generator.generate(), file)
    cars = write_lines(run.file('cars.jsonl'), [json.dumps({
        'event_id': 'car-%d' % n, 'source': 'twin', 'occurred_at': '2025-09-03T11:00:00Z', 'type': 'question.asked', 'channel': 'email',
        'brand': 'Havu', 'direction': 'INBOUND', 'actor': 'CUSTOMER', 'identifiers': [
            {'namespace': 'havu/customer_id', 'value': 'K-%d' % n}, {'namespace': 'vehicle', 'value': 'CAR-%d' % n}]}) + '\n' for n in (1, 2)])
    db, topic = run.database(), run.topic(2)
    garbage(run, topic, 6)
    load(run, db, topic, SMALL, path, cars)
    identity(db, SMALL, KEY_FILE, 'block', 'vehicle:CAR-2')
    named = publishers(db)
    db.rows('DELETE FROM polku.quarantine')
    code, _ = rebuild(db, SMALL, *from_kafka(run))
    run.expect('records that are set aside anew: their publishers are named', (0, named), (code, publishers(db)))

    held, slow = Session(db.conninfo), Session(db.conninfo)
    run_program([program('polku-consumer', 'consumer'), 'forget', '--database', db.conninfo, '--rules', SMALL,
                 '--hash-key-file', KEY_FILE, '--mode', 'delete', 'havu/customer_id:K-1'])
    before = sums(db)
    slow.rows('BEGIN')
    slow.rows('SELECT count(*) FROM bi.customer')  # a report that is not at its end
    begun = Rebuild(db, SMALL, *from_kafka(run))
    wait_for('it waits for the report', lambda: begun.said('waiting for a moment without readers'))
    free = []
    for _ in range(60):
        free.append(held.rows('SELECT count(*) FROM (SELECT FROM polku.stream_position FOR UPDATE SKIP LOCKED) p, pg_sleep(0.05)')[0][0])
    slow.rows('COMMIT')
    run.expect('while the swap waits for readers, the positions are free for claims', {'2'}, set(free))
    run.expect('   and it comes to its end', 0, begun.wait())
    held.close()
    slow.close()
    persons = changed_rules(run, SMALL, 'persons.yaml', ('class: device, priority: 110, lookback: 40s, lookahead: 20s', 'class: person, priority: 110'))
    for rules, kind, options in ((persons, '0', ()), (SMALL, '1', from_kafka(run))):
        code, done = rebuild(db, rules, *options)
        run.expect('a class that changes: forgotten and blocked names have it too', (0, [[kind]]), (code, vehicles(db)))
    run.expect('   and back: all is as before', before, sums(db))
    expect_verified(run, db, SMALL, KEY_FILE)
    run.expect('deadlocks', 0, db.deadlocks())


def retention(run, seed):
    """Kafka has deleted the beginning: refused with a sentence; kept; kept under a new key."""
    generator = generate.Generator(seed, events=200)
    path = run.file('older-%d.jsonl' % seed)
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(generator.generate(), file)
    db, topic, key = run.database(), run.topic(2), new_key(run, 'third.key', 'c0de' * 16)
    load(run, db, topic, SMALL, path)
    ends = {p: offset for p, (offset, _) in db.positions(topic).items()}
    cut = {0: ends[0] // 2, 1: ends[1] // 3}
    for partition, offset in cut.items():
        trim(run, topic, partition, offset)
    before, others = sums(db), events_of(db)
    code, done = rebuild(db, SMALL, *from_kafka(run))
    run.expect_that('older events are a reason to refuse, with where and how many', code == 1 and done.said('stored events lie there'),
                    done.lines[-1].get('reason'))
    code, done = rebuild(db, SMALL, *from_kafka(run, '--keep-older', '--batch-records', '17'))
    run.expect('--keep-older, same key: all is as before, events whole', (0, before, others), (code, sums(db), events_of(db)))

    older = db.number("SELECT count(*) FROM polku.interaction WHERE kafka_offset < CASE kafka_partition WHEN 0 THEN %d ELSE %d END"
                      % (cut[0], cut[1]))
    events = db.number('SELECT count(*) FROM polku.interaction')
    code, done = rebuild(db, SMALL, *from_kafka(run, '--keep-older', '--former-hash-key-file', KEY_FILE), key=key)
    run.expect('--keep-older under a new key', 0, code)
    run.expect('no event is lost or doubled', events, db.number('SELECT count(*) FROM polku.interaction'))
    listed = db.rows('SELECT topic, partition, before_offset, events, key_id FROM bi.former_key ORDER BY partition')
    run.expect('what stays under the former key is listed', [[topic.name, str(p), str(cut[p])] for p in (0, 1)], [row[:3] for row in listed])
    run.expect_that('with as many events as there are, copies in Kafka left out', 0 < sum(int(row[3]) for row in listed) <= older,
                    '%s of %d' % ([row[3] for row in listed], older))
    expect_verified(run, db, SMALL, key)


def compacted(run):
    """Compaction leaves no trace in the offsets that are there, so such a topic is refused by its settings."""
    db, topic = run.database(), run.topic(1)
    load(run, db, topic, SMALL, write_lines(run.file('one.jsonl'), [json.dumps({
        'event_id': 'one', 'source': 'shop', 'occurred_at': '2025-09-03T10:00:00Z', 'type': 'question.asked', 'channel': 'email',
        'brand': 'Havu', 'direction': 'INBOUND', 'actor': 'CUSTOMER'}) + '\n']))
    before = sums(db)
    for policy in ('compact', 'compact,delete'):
        topic.set('cleanup.policy=' + policy)
        code, done = rebuild(db, SMALL, *from_kafka(run, '--accept-unknown-cleanup', '--keep-older'))
        line = done.said('topic %s is compacted (cleanup.policy=%s)' % (topic.name, policy))
        run.expect_that('a topic with cleanup.policy=%s is refused' % policy, code == 1 and line, done.lines[-1].get('reason'))
    run.expect('   and the tables are as they were', before, sums(db))
    topic.set('cleanup.policy=delete')
    run.expect('one that is not is read', 0, rebuild(db, SMALL, *from_kafka(run))[0])


with Run('rebuild_kafka') as run:
    compacted(run)
    beside(run, run.seed)
    live(run)
    for number in range(2):
        rotation(run, run.seed + number)
    retention(run, run.seed)
