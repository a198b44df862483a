# SPDX-License-Identifier: Apache-2.0
"""TLS and SASL to a real Kafka, TLS with the certificate checked to PostgreSQL: what is right works from end to end, each thing
that is wrong gives a sentence that says so, and nothing is lost meanwhile.

Kafka 3.9 with SCRAM-SHA-512; Kafka 4 with PLAIN over TLS, because Kafka 4 does not take the SCRAM of a librdkafka before 2.6.1,
and Debian 12 has 2.0.2: the consumer says that too.
"""

import atexit
import json
import os
import subprocess

from secure_servers import ROOT, STRANGER, USER, Servers
from harness import Consumer, KEY_FILE, Run, Topic, program, wait_for

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')


def simulated(run, name, seed, count):
    path = run.file(name)
    with open(path, 'wb') as out:
        subprocess.run([program('polku-producer', 'producer'), 'simulate', '--people', '20', '--seed', str(seed), '--needs', '2',
                        '--events', str(count), '--log-level', 'error'], stdout=out, check=True)
    return path


def producer(run, topic, options, path):
    """Exit code, the report or None, everything that it said."""
    done = subprocess.run([program('polku-producer', 'producer'), 'send', '--topic', topic.name, '--progress', 'never', '--log-format',
                           'json', '--delivery-timeout', '2s', *options, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode()
    last = json.loads(said.strip().splitlines()[-1])
    return done.returncode, last.get('delivered', 0), said


def consumer(run, db, topic, name, *options):
    """Not one of run.consumers: these may end, and log errors."""
    who = Consumer(run, db, topic, RULES, name, *options)
    atexit.register(lambda: who.is_running() and who.kill())
    return who


def said(who):
    return [json.dumps(line) for line in who.log()]


def says_and_goes_on(run, db, topic, what, options, words):
    """The sentence comes, the process stays until it is asked to leave, and no position moved."""
    before = db.position(topic)
    who = consumer(run, db, topic, what.replace(' ', '-'), *options).start()
    line = wait_for('%s: %s' % (what, words), lambda: not who.is_running() or
                    [line for line in said(who) if all(word in line for word in words)], 120)
    run.expect_that(what, line is not True, line is True and said(who)[-1:] or
                    ' '.join(str(json.loads(line[0]).get(key, '')) for key in ('message', 'detail', 'why')).strip())
    if who.is_running():
        who.stop(within=8)
    run.expect('   positions stay', before, db.position(topic))


def says_and_ends(run, db, topic, what, options, words, act=None):
    before = db.position(topic)
    who = consumer(run, db, topic, what.replace(' ', '-'), *options).start()
    if act:
        wait_for('it reads', who.is_up, 120)
        act()
    wait_for('%s: it ends' % what, lambda: not who.is_running(), 120)
    last = said(who)[-1]
    run.expect_that(what, who.process.returncode == 1 and all(word in last for word in words),
                    'exit code %d: %s' % (who.process.returncode, json.loads(last).get('reason')))
    run.expect('   positions stay', before, db.position(topic))


def scram_on_kafka_3(run, servers):
    db, topic = run.database(), run.topic(2)
    right = servers.kafka('3.9') + ['--database', servers.database(db), '--database-password-file', servers.database_password()]
    with_database = right[-4:]
    first, second = simulated(run, 'first.jsonl', 1, 300), simulated(run, 'second.jsonl', 2, 300)

    code, delivered, text = producer(run, topic, servers.kafka('3.9'), first)
    run.expect_that('a producer without the right to write delivers nothing and says why', (code, delivered) == (1, 0) and
                    'Topic authorization failed' in text, 'exit code %d' % code)
    servers.rule('3.9', 'allow', 'topic', topic.name, 'write')
    code, delivered, text = producer(run, topic, servers.kafka('3.9', user=STRANGER, password=servers.password[USER]), first)
    run.expect_that('a producer with a wrong password delivers nothing and says why', (code, delivered) == (3, 0) and
                    'invalid credentials' in text, 'exit code %d' % code)
    code, delivered, text = producer(run, topic, servers.kafka('3.9'), first)
    run.expect('with both it delivers everything over TLS', (0, 300), (code, delivered))
    topic.records += delivered

    says_and_ends(run, db, topic, 'no right to read the group', right, ['Kafka does not allow it', 'Group authorization failed'])
    servers.rule('3.9', 'allow', 'group', db.name, 'read')
    says_and_ends(run, db, topic, 'no right to read the topic', right, ['Kafka does not allow it', 'opic authorization failed'])
    servers.rule('3.9', 'allow', 'topic', topic.name, 'read')

    for what, options, words in (
            ('a wrong password', servers.kafka('3.9', password=servers.password[STRANGER]),
             ['invalid credentials', 'check user and password']),
            ('an authority that signed nothing', servers.kafka('3.9', authority='stranger.pem'),
             ['certificate verify failed', 'must be signed by kafka.ssl.ca.location']),
            ('a host name that the certificate does not have', servers.kafka('3.9', host='127.0.0.1'),
             ['certificate verify failed', 'be for the host name in --brokers']),
            ('no TLS where the broker wants it', servers.kafka('3.9') + ['--kafka.security.protocol', 'sasl_plaintext'],
             ['connecting to a SSL listener?']),
            ('TLS where the broker has none', servers.kafka('3.9') + ['--brokers', servers.plain['3.9']], ['SSL', 'eof while reading'])):
        says_and_goes_on(run, db, topic, what, options + with_database, words)
    for what, conninfo, words in (
            ('PostgreSQL of an authority that signed nothing', servers.database(db, authority='stranger.pem'),
             ['PostgreSQL is away', 'certificate verify failed']),
            ('PostgreSQL of another name', servers.database(db, host='127.0.0.1'), ['does not match host name', '127.0.0.1']),
            ('a wrong password for PostgreSQL', servers.database(db) + ' passfile=/nowhere', ['password authentication failed'])):
        password = servers.password[USER] if 'password' in what else servers.database_password()
        says_and_goes_on(run, db, topic, what, servers.kafka('3.9') + ['--database', conninfo, '--database-password-file', password],
                         words)

    reader = run.consumer(db, topic, RULES, *right, name='right').start()
    topic.drain(db)
    run.expect('the consumer\'s sessions in PostgreSQL are encrypted', [['t', 'TLSv1.3']], db.rows(
        'SELECT DISTINCT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)'
        " WHERE a.datname = current_database() AND a.application_name = 'right'"))
    reader.stop()

    says_and_ends(run, db, topic, 'a right that is taken away meanwhile', right, ['Kafka does not allow it'],
                  lambda: servers.rule('3.9', 'deny', 'topic', topic.name, 'read'))
    topic.records += producer(run, topic, servers.kafka('3.9'), second)[1]
    servers.rule('3.9', 'drop', 'topic', topic.name, 'read')
    servers.rule('3.9', 'allow', 'topic', topic.name, 'read')
    run_program_as_certificate(run, servers, db, topic, right[:-4])
    run.expect_oracle('after all that the tables are those of the oracle', db, RULES, first, second)


def run_program_as_certificate(run, servers, db, topic, kafka):
    """The rest is read by a user of PostgreSQL who has a certificate and no password."""
    run.server.rows('CREATE ROLE polku_certificate LOGIN')
    db.rows('GRANT polku_writer TO polku_certificate')
    files = ' '.join('%s=%s' % (name, os.path.join(servers.certificates, file)) for name, file in
                     (('sslcert', 'client.pem'), ('sslkey', 'client.key')))
    reader = run.consumer(db, topic, RULES, *kafka, '--database', servers.database(db, user='polku_certificate', more=files),
                          name='certificate').start()
    topic.drain(db)
    reader.stop()
    run.expect('a consumer with a certificate instead of a password reads the rest', topic.records, db.position(topic))


def visit(run, servers, db, topic, kafka, *options):
    """What doctor finds: check -> (verdict, text). With a password of PostgreSQL, which it must not print, nor Kafka's."""
    done = subprocess.run([program('polku-consumer', 'consumer'), 'doctor', '--json', '--database', db.conninfo, '--topic', topic, '--group', db.name, *kafka,
                           '--rules', RULES, '--hash-key-file', KEY_FILE, '--database-password-file', servers.database_password(), *options],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    for path in (servers.database_password(), servers.password[USER], KEY_FILE):
        with open(path, encoding='ascii') as file:
            secret = file.read().strip()
        if secret in (done.stdout + done.stderr).decode():
            run.expect('doctor prints no secret', 'nothing of %s' % path, done.stdout.decode()[-500:])
    return {found['check']: (found['verdict'], found['text']) for found in json.loads(done.stdout)}


def doctor_as_user(run, servers, db, topic, kafka):
    """Access rules that deny something are named by the check that needs it."""
    found = visit(run, servers, db, topic.name, kafka)
    run.expect('doctor: a user who may read, no more: topic, records, group are fine', ['OK'] * 3,
               [found[check][0] for check in ('topic.exists', 'topic.read', 'group.access')])
    run.expect('   settings that may not be read are told', 'WARN', found['topic.settings'][0])
    run.expect('   and what they would say is not guessed', [], [check for check in ('topic.cleanup', 'topic.retention') if check in found])
    found = visit(run, servers, db, topic.name, kafka, '--group', 'not-ours')
    run.expect_that("doctor: a group that is not the user's", found['group.access'][0] == 'FAIL' and 'may not use' in found['group.access'][1], found['group.access'])
    found = visit(run, servers, db, 'not-ours', kafka)
    run.expect_that("doctor: a topic that is not the user's", found['topic.exists'][0] == 'FAIL', found['topic.exists'])
    servers.rule('4', 'deny', 'topic', topic.name, 'read')
    found = visit(run, servers, db, topic.name, kafka)
    run.expect_that('doctor: one that may not be read', 'FAIL' in (found['topic.exists'][0], found.get('topic.read', ('',))[0]), found.get('topic.read', found['topic.exists']))
    servers.rule('4', 'drop', 'topic', topic.name, 'read')
    servers.rule('4', 'allow', 'topic', topic.name, 'read')
    found = visit(run, servers, db, topic.name, servers.kafka('4', mechanism='PLAIN', password=servers.secret('wrong')))
    run.expect_that('doctor: a wrong password is told as one', found['kafka.brokers'][0] == 'FAIL' and 'uthentication' in found['kafka.brokers'][1],
                    found['kafka.brokers'][1])
    found = visit(run, servers, db, topic.name, kafka, '--database', servers.database(db) + ' passfile=/nowhere', '--database-password-file',
                  servers.password[USER])
    run.expect_that('doctor: a wrong password of PostgreSQL', found['postgres.answers'][0] == 'FAIL' and 'password authentication failed' in found['postgres.answers'][1],
                    found['postgres.answers'][1])
    found = visit(run, servers, db, topic.name, servers.kafka('4', mechanism='PLAIN', authority='stranger.pem'))
    run.expect_that('doctor: an authority that signed nothing', found['kafka.brokers'][0] == 'FAIL' and 'certificate verify failed' in found['kafka.brokers'][1],
                    found['kafka.brokers'][1])


def hidden_settings(run, servers, db, topic, kafka):
    """Whether a topic is compacted only DescribeConfigs tells: a rebuild from Kafka does not go on without it unasked."""
    def rebuild(*options):
        done = subprocess.run([program('polku-consumer', 'consumer'), 'rebuild', '--from-kafka', '--database', db.conninfo, *kafka, '--rules',
                               RULES, '--hash-key-file', KEY_FILE, '--log-format', 'json', *options], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stderr.decode()
    code, text = rebuild()
    run.expect_that('a rebuild from Kafka that may not read cleanup.policy refuses', code == 1 and 'allow this user DescribeConfigs on the topic' in text,
                    text.splitlines()[-1:])
    code, text = rebuild('--accept-unknown-cleanup')
    run.expect_that('   unless that is accepted, and then says so', code == 0 and 'whether a topic is compacted is not known' in text, code)
    servers.rule('4', 'allow', 'topic', topic.name, 'describe_configs')
    run.expect('   with the right it goes on by itself', 0, rebuild()[0])
    run.expect('   and doctor sees them', 'OK', visit(run, servers, db, topic.name, kafka)['topic.settings'][0])


def plain_on_kafka_4(run, servers):
    run.brokers = servers.plain['4']
    db, topic = run.database(), Topic(run, 'it-' + run.tag.replace('_', '-') + '-4', 2)
    for rule in (('topic', topic.name, 'write'), ('topic', topic.name, 'read'), ('group', db.name, 'read')):
        servers.rule('4', 'allow', *rule)
    kafka = servers.kafka('4', mechanism='PLAIN')
    path = run.file('first.jsonl')
    code, delivered, _ = producer(run, topic, kafka, path)
    run.expect('Kafka 4: PLAIN over TLS delivers everything', (0, 300), (code, delivered))
    topic.records += delivered
    reader = run.consumer(db, topic, RULES, *kafka, name='plain').start()
    topic.drain(db)
    reader.stop()
    run.expect_oracle('Kafka 4: and is read', db, RULES, path)
    doctor_as_user(run, servers, db, topic, kafka)
    hidden_settings(run, servers, db, topic, kafka)
    for rule in (('topic', topic.name, 'write'), ('topic', topic.name, 'read'), ('group', db.name, 'read')):
        servers.rule('4', 'allow', *rule, user='CN=polku_certificate')
    mutual = servers.kafka_by_certificate('4')
    code, delivered, _ = producer(run, topic, mutual, run.file('second.jsonl'))
    topic.records += delivered
    reader = run.consumer(db, topic, RULES, *mutual, name='mutual').start()
    topic.drain(db)
    reader.stop()
    run.expect('Kafka 4: certificates instead of passwords deliver and read the rest', (0, 300, 600), (code, delivered, db.position(topic)))
    says_and_goes_on(run, db, topic, 'Kafka 4 and no certificate', mutual[:6], ['Kafka is not reachable', 'alert bad certificate'])
    says_and_goes_on(run, db, topic, 'Kafka 4 and SCRAM', servers.kafka('4'), ['invalid credentials', 'With Kafka 4 this librdkafka'])


with Servers('tls', {'3.9': '3.9.1', '4': None}) as servers_:
    with Run('tls') as run_:
        scram_on_kafka_3(run_, servers_)
        plain_on_kafka_4(run_, servers_)
