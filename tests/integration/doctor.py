# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer doctor` beside real servers: each thing that can be made wrong here is found, by its check, with what to do; what is
right is OK; nothing secret is printed. Verdicts over facts that no test can make are in tests/unit/doctor_verdicts.c, access rules of
Kafka in tests/security/tls.py."""

import http.server
import json
import os
import subprocess
import threading
import time

from harness import KEY_FILE, ORACLE, ROOT, Run, Session, generate, program, wait_for

RULES = os.path.join(ORACLE, 'rules_small.yaml')
SECRET = 'b10c' * 8


class Doctor:
    """One visit: exit code, findings, everything that it printed."""

    def __init__(self, run, *options, database, topic, rules=RULES, key=KEY_FILE):
        command = [program('polku-consumer', 'consumer'), 'doctor', '--database', database, '--brokers', run.brokers, '--topic', topic,
                   '--rules', rules, '--log-format', 'json', *(['--hash-key-file', key] if key else []), *options]
        done = subprocess.run(command + ['--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.code, self.text = done.returncode, (done.stdout + done.stderr).decode()
        self.findings = json.loads(done.stdout) if done.stdout else []

    def of(self, check, verdict=None):
        return [f for f in self.findings if f['check'] == check and verdict in (None, f['verdict'])]


def expect(run, what, doctor, check, verdict, words):
    found = doctor.of(check, verdict)
    held = any(words in f['text'] for f in found) and (verdict == 'OK' or all(f['todo'] for f in found))
    run.expect_that('%s: %s %s' % (what, verdict, check), held and doctor.code == int(bool([f for f in doctor.findings if f['verdict'] == 'FAIL'])),
                    (found or doctor.of(check) or [{'text': doctor.text[-300:]}])[0]['text'])


def login(db, name, *grants):
    db.rows('CREATE ROLE %s LOGIN' % name)
    for grant in grants:
        db.rows('GRANT %s TO %s' % (grant, name))
    return db.conninfo.replace('user=polku', 'user=' + name)


def all_is_well(run, db, topic, writer):
    doctor = Doctor(run, '--schemas', os.path.join(ROOT, 'schemas'), database=writer, topic=topic.name)
    lines = [f for f in doctor.findings if f['verdict'] != 'OK' and f['check'] not in ('topic.replicas', 'topic.min_insync', 'files.rules', 'postgres.memory',
                                                                                         'postgres.wal', 'postgres.durable')]
    run.expect('a consumer at work: nothing fails, nothing is odd but a test server', (0, []), (doctor.code, lines))
    for check in ('kafka.brokers', 'topic.exists', 'topic.read', 'topic.position', 'group.access', 'postgres.rights', 'postgres.no_more', 'database.rules', 'database.key'):
        run.expect_that('   %s is OK' % check, doctor.of(check, 'OK'), [f['text'] for f in doctor.of(check)])
    table = subprocess.run([program('polku-consumer', 'consumer'), 'doctor', 'checks'], stdout=subprocess.PIPE, check=True).stdout.decode()
    run.expect('   each is of the table', [], sorted(f['check'] for f in doctor.findings if '| `%s` |' % f['check'] not in table))
    run.expect_that('   twice or thrice of one topic nothing is said', len({(f['check'], f['about'], f['text']) for f in doctor.findings}) == len(doctor.findings))
    plain = subprocess.run([program('polku-consumer', 'consumer'), 'doctor', '--database', writer, '--brokers', run.brokers, '--topic', topic.name, '--rules', RULES,
                            '--hash-key-file', KEY_FILE], stdout=subprocess.PIPE, check=False).stdout.decode().splitlines()
    run.expect_that('   as text: a line each, and the sum', all(line.split()[0] in ('OK', 'WARN', 'FAIL') for line in plain[:-1]) and plain[-1].endswith(' 0 FAIL'), plain[-1])


def topics(run, db, topic, writer):
    def visit(*options):
        return Doctor(run, *options, database=writer, topic=topic.name)
    expect(run, 'a topic that is not there', Doctor(run, database=writer, topic='nowhere-' + topic.name), 'topic.exists', 'FAIL', 'no such topic')
    topic.set('cleanup.policy=compact', 'max.message.bytes=1000', 'message.timestamp.type=LogAppendTime')
    doctor = visit()
    expect(run, 'a compacted topic', doctor, 'topic.cleanup', 'WARN', 'cleanup.policy=compact')
    expect(run, 'small messages only', doctor, 'topic.message_bytes', 'WARN', 'max.message.bytes=1000')
    expect(run, 'times of the broker', doctor, 'topic.timestamps', 'OK', "LogAppendTime")
    topic.set('retention.ms=7200000')
    expect(run, 'a short retention', visit(), 'topic.retention', 'WARN', '2.0 h')
    topic.set('retention.bytes=1000000000')
    expect(run, 'a retention by size', visit(), 'topic.retention', 'WARN', 'retention.bytes=1000000000')
    topic.set('retention.ms=-1')
    expect(run, 'an endless one', visit(), 'topic.retention', 'OK', 'for ever')
    expect(run, 'one replica', visit(), 'topic.replicas', 'WARN', 'replication factor 1')
    topic.put([(0, int(time.time() * 1000) + 3600000, b'k', b'garbage', [])])
    expect(run, 'a record of the future', visit(), 'clock.kafka', 'WARN', 'in the future')
    expect(run, '   unless as much is allowed', visit('--max-ahead', '2h'), 'clock.kafka', 'OK', 'less than max-ahead')
    end = sum(1 for _ in topic.put([(0, None, b'k', b'more', [])] * 2))
    last = topic.put([(0, None, b'k', b'last', [])])[0][1]
    subprocess.run([program('kafka_records', 'tests', 'integration'), run.brokers, 'trim', topic.name, '0', str(last)], check=True)
    expect(run, 'records that were deleted before they were read (%d)' % end, visit(), 'topic.position', 'FAIL', 'what lay between is gone')


def group(run, db, topic, writer):
    consumer = run.consumer(db, topic, RULES, '--instance-id', 'one').start()
    wait_for('the consumer has its partitions', consumer.is_up)
    mine = ('--group', db.name)
    expect(run, 'a member with our instance-id', Doctor(run, *mine, '--instance-id', 'one', database=writer, topic=topic.name), 'group.instance', 'WARN', 'client ' + consumer.name)
    expect(run, 'another instance-id', Doctor(run, *mine, '--instance-id', 'two', database=writer, topic=topic.name), 'group.instance', 'OK', 'no member')
    expect(run, 'its group', Doctor(run, *mine, database=writer, topic=topic.name), 'group.access', 'OK', '1 member,')
    consumer.stop()


def servers(run, db, topic, writer):
    def visit(conninfo, *options):
        return Doctor(run, *options, database=conninfo, topic=topic.name)
    run.brokers, brokers = '127.0.0.1:1', run.brokers
    doctor = visit(writer)
    run.brokers = brokers
    expect(run, 'no broker', doctor, 'kafka.brokers', 'FAIL', 'Connection refused')
    run.expect_that('   PostgreSQL is looked at all the same', doctor.of('postgres.schema', 'OK'))
    expect(run, 'no PostgreSQL', visit('host=127.0.0.1 port=1 user=polku'), 'postgres.answers', 'FAIL', 'Connection refused')
    expect(run, 'a user that is none', visit(db.conninfo.replace('user=polku', 'user=nobody_at_all')), 'postgres.answers', 'FAIL', 'nobody_at_all')
    name = db.name + '_bare'
    run.server.rows('CREATE DATABASE %s TEMPLATE template0' % name)
    expect(run, 'no tables', visit(db.conninfo.replace(db.name, name)), 'postgres.schema', 'FAIL', 'no tables of ours')
    run.server.rows('DROP DATABASE ' + name)
    run.server.rows("CREATE DATABASE %s TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'" % name)
    expect(run, 'another encoding', visit(db.conninfo.replace(db.name, name)), 'postgres.encoding', 'FAIL', 'SQL_ASCII')
    run.server.rows('DROP DATABASE ' + name)
    expect(run, 'a superuser', visit(db.conninfo), 'postgres.no_more', 'WARN', 'is a superuser')
    blocker = Session(db.conninfo)
    blocker.rows('BEGIN')
    blocker.rows('LOCK TABLE polku.schema_migration')
    expect(run, 'a table that is locked', visit(writer), 'postgres.schema', 'FAIL', 'statement timeout')
    blocker.close()
    db.rows("INSERT INTO polku.schema_migration (number, name, checksum) VALUES (999, 'of the future', '')")
    expect(run, 'tables of a newer program', visit(writer), 'postgres.schema', 'FAIL', 'need a program that knows 999')
    db.rows('DELETE FROM polku.schema_migration WHERE number = 999')


def rights(run, db, topic, writer):
    stranger = '%s_stranger' % db.name
    conninfo = login(db, stranger)
    doctor = Doctor(run, database=conninfo, topic=topic.name)
    expect(run, 'a user without rights', doctor, 'postgres.rights', 'FAIL', 'USAGE on schema polku')
    db.rows('GRANT USAGE ON SCHEMA polku TO ' + stranger)
    expect(run, 'one who may look only', Doctor(run, database=conninfo, topic=topic.name), 'postgres.rights', 'FAIL', ' on polku.interaction')
    db.rows('GRANT polku_writer TO ' + stranger)
    for setting, value, check, verdict, words in (
            ('statement_timeout', '30s', 'postgres.timeouts', 'WARN', 'statement_timeout is 30000 ms'),
            ('idle_session_timeout', '10min', 'postgres.timeouts', 'WARN', 'idle_session_timeout is 600000 ms'),
            ('synchronous_commit', 'off', 'postgres.durable', 'WARN', 'synchronous_commit is off'),
            ('default_transaction_read_only', 'on', 'postgres.writable', 'FAIL', 'default_transaction_read_only is on'),
            ('work_mem', '64kB', 'postgres.memory', 'WARN', 'work_mem is 64 kB')):
        db.rows("ALTER ROLE %s SET %s = '%s'" % (stranger, setting, value))
        expect(run, '%s = %s for the user' % (setting, value), Doctor(run, database=conninfo, topic=topic.name), check, verdict, words)
        db.rows('ALTER ROLE %s RESET %s' % (stranger, setting))
    db.rows('ALTER ROLE %s CREATEROLE' % stranger)
    expect(run, 'one who may make roles', Doctor(run, database=conninfo, topic=topic.name), 'postgres.no_more', 'WARN', 'may make roles')
    db.rows('DROP OWNED BY %s; DROP ROLE %s' % (stranger, stranger))


def files(run, db, topic, writer):
    def visit(*options, **files):
        return Doctor(run, *options, database=writer, topic=topic.name, **files)
    other, broken = run.file('other.yaml'), run.file('broken.yaml')
    with open(RULES, encoding='utf-8') as file:
        text = file.read()
    for path, more in ((other, '\n# another file\n'), (broken, '\nno such section: 1\n')):
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text + more)
    expect(run, 'other rules', visit(rules=other), 'database.rules', 'FAIL', 'another rules file')
    expect(run, 'rules that cannot be read', visit(rules=broken), 'files.rules', 'FAIL', 'broken.yaml')
    expect(run, 'rules that are not there', visit(rules=run.file('none.yaml')), 'files.rules', 'FAIL', 'none.yaml')
    expect(run, 'no folder of schemas', visit('--schemas', run.file('none')), 'files.schemas', 'FAIL', 'none')
    expect(run, 'no key', visit(key=None), 'files.key', 'FAIL', 'no hash key')
    key = run.file('other.key')
    with open(key, 'w', encoding='ascii') as file:
        file.write(SECRET)
    os.chmod(key, 0o644)
    doctor = visit(key=key)
    expect(run, 'another key', doctor, 'database.key', 'FAIL', 'another key')
    expect(run, '   that everybody may read', doctor, 'files.secrets', 'WARN', 'every user')
    password = run.file('password')
    with open(os.open(password, os.O_WRONLY | os.O_CREAT, 0o600), 'w', encoding='ascii') as file:
        file.write('not-for-anybodys-eyes')
    doctor = visit('--database-password-file', password, key=key)
    run.expect_that('no key and no password is printed', SECRET not in doctor.text and 'anybodys' not in doctor.text and doctor.findings)


class Registry(http.server.BaseHTTPRequestHandler):
    """Answers as one does that has no schema yet."""
    def do_POST(self):  # pylint: disable=invalid-name
        body = b'{"error_code": 40401, "message": "Subject not found"}'
        self.send_response(404)
        self.send_header('Content-Type', 'application/vnd.schemaregistry.v1+json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):  # pylint: disable=arguments-differ
        pass


def registry(run, topic, writer):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    doctor = Doctor(run, '--registry-url', 'http://127.0.0.1:%d' % server.server_port, database=writer, topic=topic.name)
    expect(run, 'a registry', doctor, 'registry.answers', 'OK', 'answers')
    expect(run, '   that has no schema yet', doctor, 'registry.schema', 'WARN', 'not registered')
    server.shutdown()
    server.server_close()
    expect(run, 'no registry', Doctor(run, '--registry-url', 'http://127.0.0.1:1', database=writer, topic=topic.name), 'registry.answers', 'FAIL', '127.0.0.1:1')


with Run('doctor') as run_:
    path = run_.file('events.jsonl')
    with open(path, 'w', encoding='utf-8') as out:
        generate.write(generate.Generator(run_.seed, events=60).generate(), out)
    db_, topic_ = run_.database(), run_.topic(2)
    topic_.publish('--partition-by', 'random', path)
    consumer_ = run_.consumer(db_, topic_, RULES).start()
    topic_.drain(db_)
    consumer_.stop()
    writer_name = db_.name + '_writer'
    writer_ = login(db_, writer_name, 'polku_writer')
    all_is_well(run_, db_, topic_, writer_)
    files(run_, db_, topic_, writer_)
    registry(run_, topic_, writer_)
    rights(run_, db_, topic_, writer_)
    servers(run_, db_, topic_, writer_)
    group(run_, db_, topic_, writer_)
    topics(run_, db_, topic_, writer_)
    db_.rows('DROP OWNED BY %s; DROP ROLE %s' % (writer_name, writer_name))
