# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: databases, topics, publishing, consumers as processes, evidence.

A test is a program:

    with Run('name') as run:                  # skips, or fails under CI, where a server or the data is missing
        db, topic = run.database(), run.topic(6)
        consumer = run.consumer(db, topic, rules).start()
        topic.publish(file, '--shuffle', '7')
        topic.drain(db)                       # waits until the positions in the database say that all is read
        consumer.stop()
        run.expect('what', wanted, got)       # printed, counted; the exit code says whether all held

Tests wait for facts, by asking PostgreSQL or reading a log, and never sleep for a time that should do. Servers and
programs come from the environment: POLKU_TEST_DATABASE, POLKU_TEST_BROKERS, POLKU_TEST_BUILD, POLKU_TEST_DATA
(tests/support/servers.sh). POLKU_TEST_SEED repeats what was random. POLKU_TEST_KEEP=1 keeps databases and topics.
"""

import csv
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ORACLE = os.path.join(ROOT, 'tests', 'oracle')
KEY_FILE = os.path.join(ORACLE, 'key_test.hex')
if os.access(KEY_FILE, os.W_OK):
    os.chmod(KEY_FILE, 0o600)  # as a key should be, or programs warn; git does not keep that
SKIPPED = 77
PATIENCE = 180  # seconds that a fact may take on a busy machine before the test gives up

csv.field_size_limit(1 << 30)
sys.path.insert(0, ORACLE)
import generate      # noqa: E402
import polku_oracle  # noqa: E402


class Failure(Exception):
    """The test cannot go on."""


def say(text):
    print(text, flush=True)


def wait_for(what, fact, patience=PATIENCE, pause=0.05):
    """Asks until `fact()` is true and returns what it gave."""
    deadline = time.monotonic() + patience
    while True:
        got = fact()
        if got:
            return got
        if time.monotonic() > deadline:
            raise Failure('waited %d s in vain: %s' % (patience, what))
        time.sleep(pause)


def program(name, *folders):
    return os.path.join(os.environ['POLKU_TEST_BUILD'], *folders, name)


def run_program(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
    if done.returncode != 0:
        raise Failure('%s: exit code %d\n%s%s' % (' '.join(command[:3]), done.returncode, done.stdout.decode()[-2000:],
                                                  done.stderr.decode()[-2000:]))
    return done


class Session:
    """One psql at the other end of two pipes, so that a question costs a round trip and not a process."""

    def __init__(self, conninfo):
        environment = dict(os.environ, PGCLIENTENCODING='UTF8', PGTZ='UTC', PGOPTIONS='-c client_min_messages=warning')
        self.process = subprocess.Popen(
            ['psql', '-X', '-q', '--csv', '-P', 'null=\\N', '-v', 'ON_ERROR_STOP=1', '-d', conninfo],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        self.marks = itertools.count(1)

    def rows(self, sql):
        """Rows as lists of text, None for null."""
        mark = b'-- end %d --' % next(self.marks)
        self.process.stdin.write(sql.strip().rstrip(';').encode() + b';\n\\echo ' + mark + b'\n')
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.rstrip() == mark:
                table = list(csv.reader(io.StringIO(b''.join(lines).decode(), newline='')))
                return [[None if value == '\\N' else value for value in row] for row in table[1:]]
            lines.append(line)
        raise Failure('psql: %s\n%s' % (sql, b''.join(lines).decode()))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Database:
    """A database of its own, migrated."""

    def __init__(self, run, name):
        self.run, self.name = run, name
        self.conninfo = '%s dbname=%s' % (os.environ['POLKU_TEST_DATABASE'], name)
        run.server.rows('CREATE DATABASE %s TEMPLATE template0' % name)
        self.session = None
        run_program([program('polku-consumer', 'consumer'), 'migrate', '--database', self.conninfo,
                     '--sql', os.path.join(ROOT, 'sql')])
        self.session = Session(self.conninfo)

    def rows(self, sql):
        return self.session.rows(sql)

    def value(self, sql):
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def number(self, sql):
        value = self.value(sql)
        return int(value) if value is not None else 0

    def position(self, topic):
        """How many records of the topic are in the database."""
        return self.number("SELECT sum(next_offset) FROM bi.freshness WHERE topic = '%s'" % topic.name)

    def positions(self, topic):
        """Partition -> (next offset, claims)."""
        return {int(p): (int(offset), int(claims)) for p, offset, claims in self.rows(
            "SELECT partition, next_offset, claims FROM bi.freshness WHERE topic = '%s'" % topic.name)}

    def deadlocks(self):
        self.rows('SELECT pg_stat_force_next_flush()')
        return self.number('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()')

    def checksums(self, *options):
        """Table -> checksum of its derived content, and `all`."""
        return read_checksums(['--database', self.conninfo, *options])

    def drop(self):
        if self.session:
            self.session.close()
            self.session = None
        self.run.server.rows('DROP DATABASE IF EXISTS %s WITH (FORCE)' % self.name)


def compare(*arguments):
    return [sys.executable, os.path.join(ORACLE, 'compare.py'), *arguments]


def read_checksums(arguments):
    out = run_program(compare('checksum', *arguments)).stdout.decode()
    sums = {}
    for line in out.splitlines():
        parts = line.split()
        sums[parts[1]] = parts[0] if parts[1] == 'all' else '%s (%s rows)' % (parts[0], parts[2])
    return sums


def oracle_checksums(rules, *files):
    return read_checksums(['--rules', rules, '--key-file', KEY_FILE, *files])


class Topic:
    def __init__(self, run, name, partitions):
        self.run, self.name, self.partitions, self.records = run, name, partitions, 0
        run_program([program('kafka_records', 'tests', 'integration'), run.brokers, 'make', name, str(partitions)])

    def publish(self, *arguments):
        """polku-producer send; returns the delivery report."""
        done = run_program([program('polku-producer', 'producer'), 'send', '--brokers', self.run.brokers, '--topic',
                            self.name, '--progress', 'never', '--log-format', 'json', *arguments])
        report = json.loads(done.stderr.decode().strip().splitlines()[-1])
        self.records += report['delivered']
        return report

    def put(self, records):
        """Records of any bytes: (partition, time in ms or None, key, value, headers). Returns (partition, offset) of each."""
        def bytes_of(value):
            return b'\xff\xff\xff\xff' if value is None else len(value).to_bytes(4, 'big') + value
        process = subprocess.Popen(
            [program('kafka_records', 'tests', 'integration'), self.run.brokers, 'put', self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for partition, at_ms, key, value, headers in records:
            process.stdin.write(b''.join([
                partition.to_bytes(4, 'big'), (-1 if at_ms is None else at_ms).to_bytes(8, 'big', signed=True),
                bytes_of(key), bytes_of(value), len(headers).to_bytes(4, 'big'),
                *(bytes_of(name) + bytes_of(content) for name, content in headers)]))
        process.stdin.close()
        places = [tuple(map(int, line.split())) for line in process.stdout]
        if process.wait() != 0:
            raise Failure('kafka_records put failed')
        self.records += len(places)
        return places

    def drain(self, db, patience=PATIENCE):
        """Waits until every record that was published is in the database."""
        started = time.monotonic()
        wait_for('%d records of %s are in %s' % (self.records, self.name, db.name),
                 lambda: self.run.alive() and db.position(self) >= self.records, patience)
        return time.monotonic() - started

    def set(self, *settings):
        """Its settings from now on, 'cleanup.policy=compact'; what is not named is as the broker's."""
        run_program([program('kafka_records', 'tests', 'integration'), self.run.brokers, 'set', self.name, *settings])

    def drop(self):
        subprocess.run([program('kafka_records', 'tests', 'integration'), self.run.brokers, 'drop', self.name],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


class Consumer:
    """One polku-consumer; its log is a file in the run's folder. start() may be called again after its end."""

    def __init__(self, run, db, topic, rules, name, *options):
        self.run, self.db, self.topic, self.name = run, db, topic, name
        self.command = [
            program('polku-consumer', 'consumer'), 'run', '--database', db.conninfo, '--brokers', run.brokers,
            '--topic', topic.name, '--group', db.name, '--client-id', name, '--rules', rules,
            '--hash-key-file', KEY_FILE, '--log-format', 'json', '--log-per-minute', '0', '--retry-min', '200ms', '--kafka.session.timeout.ms',
            '6000', '--kafka.heartbeat.interval.ms', '500', *options]
        self.log_path = os.path.join(run.folder, name + '.log')
        self.process = None
        self.starts = self.lines_before = 0

    def start(self):
        self.lines_before = len(self.log()) if self.starts else 0
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.starts += 1
        return self

    def log(self):
        """Every line as a dict; what is no JSON (a dying process writes no whole line) is left out. Never started: none."""
        if not self.starts:
            return []
        found = []
        with open(self.log_path, 'rb') as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    pass
        return found

    def said(self, message):
        return [line for line in self.log() if line.get('message') == message]

    def totals(self):
        """What the last `stopped` line counts."""
        lines = self.said('stopped')
        return lines[-1] if lines else {}

    def is_up(self):
        """It has claimed partitions since it was started."""
        return any(line.get('message') == 'partitions claimed' for line in self.log()[self.lines_before:])

    def claimed(self):
        """Partitions that it holds, by its log."""
        held = 0
        for line in self.log():
            if line.get('message') == 'partitions claimed':
                held = line['count']
            elif line.get('message') == 'partitions revoked':
                held = 0
        return held

    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def peak_kib(self):
        """The most memory that it ever had."""
        with open('/proc/%d/status' % self.pid(), encoding='ascii') as file:
            return int(re.search(r'^VmHWM:\s+(\d+)', file.read(), re.MULTILINE).group(1))

    def freeze(self):
        """SIGSTOP, and wait until the kernel says that it has stopped."""
        self.signal(signal.SIGSTOP)

        def stopped():
            with open('/proc/%d/stat' % self.pid(), encoding='ascii') as file:
                return file.read().rpartition(')')[2].split()[0] in 'Tt'
        wait_for('%s is stopped' % self.name, stopped, pause=0.001)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, within=5):
        """SIGTERM; it must leave with exit code 0 within the time that is promised."""
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure('%s did not leave within 60 s of SIGTERM' % self.name) from None
        took = time.monotonic() - started
        if code != 0 or took > within:
            self.run.expect('%s leaves with 0 within %d s of SIGTERM' % (self.name, within), 'yes',
                            'exit code %d after %.1f s' % (code, took))
        return self

    def wait(self, patience=PATIENCE):
        """For --until-end: waits for its own end."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failure('%s did not come to an end in %d s' % (self.name, patience)) from None
        if code != 0:
            raise Failure('%s ended with exit code %d, see %s' % (self.name, code, self.log_path))
        return self


class Run:
    """One test program: what it made, what it expected."""

    def __init__(self, name, data=None, kafka=True):
        self.name, self.needs_data, self.needs_kafka = name, data, kafka
        self.failed = self.held = 0
        self.consumers, self.made = [], []
        self.numbers = itertools.count(1)
        self.server = None

    def __enter__(self):
        for variable in ('POLKU_TEST_DATABASE', 'POLKU_TEST_BUILD') + (('POLKU_TEST_BROKERS',) if self.needs_kafka else ()):
            if not os.environ.get(variable):
                self.skip('%s is not set (tests/support/servers.sh up BUILD)' % variable)
        self.brokers = os.environ['POLKU_TEST_BROKERS']
        if self.needs_data:
            self.data = os.path.join(os.environ.get('POLKU_TEST_DATA', os.path.join(ROOT, '..', 'shared', 'data')))
            for part in self.needs_data:
                if not os.path.isdir(os.path.join(self.data, part)):
                    self.skip('there is no data set %s (POLKU_TEST_DATA)' % part)
        self.seed = int(os.environ.get('POLKU_TEST_SEED') or random.SystemRandom().randrange(1, 1 << 30))
        self.random = random.Random(self.seed)
        self.tag = '%s_%d_%d' % (self.name, os.getpid(), int(time.time()))
        self.folder = os.path.join(os.environ['POLKU_TEST_BUILD'], 'integration', self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.started = time.monotonic()
        self.server = Session(os.environ['POLKU_TEST_DATABASE'])
        say('%s: POLKU_TEST_SEED=%d, logs in %s' % (self.name, self.seed, self.folder))
        return self

    def skip(self, why):
        say('SKIPPED: %s: %s' % (self.name, why))
        sys.exit(SKIPPED)

    def __exit__(self, kind, error, trace):
        if kind is SystemExit:
            return False
        if isinstance(error, Failure):
            say('FAILED: %s' % error)
        if error is not None:
            self.failed += 1
        for consumer in self.consumers:
            if consumer.is_running():
                consumer.kill()
        self.expect_clean_logs()
        if not os.environ.get('POLKU_TEST_KEEP'):
            for thing in reversed(self.made):
                thing.drop()
        self.server.close()
        say('%s: %d expectations held, %d failed, %.0f s' %
            (self.name, self.held, self.failed, time.monotonic() - self.started))
        if error is not None and not isinstance(error, Failure):
            return False
        sys.exit(1 if self.failed else 0)

    # ---- things ----

    def database(self):
        db = Database(self, ('polku_it_%s_%d' % (self.tag, next(self.numbers))).lower())
        self.made.append(db)
        return db

    def topic(self, partitions):
        topic = Topic(self, 'it-%s-%d' % (self.tag.replace('_', '-'), next(self.numbers)), partitions)
        self.made.append(topic)
        return topic

    def consumer(self, db, topic, rules, *options, name=None):
        consumer = Consumer(self, db, topic, rules, name or 'consumer-%d' % next(self.numbers), *options)
        self.consumers.append(consumer)
        return consumer

    def file(self, name):
        return os.path.join(self.folder, name)

    def alive(self):
        """True; raises if a consumer ended by itself."""
        for consumer in self.consumers:
            if consumer.process is not None and consumer.process.poll() not in (None, 0, -signal.SIGKILL):
                raise Failure('%s ended with %d: %s' % (consumer.name, consumer.process.poll(), consumer.log()[-1:]))
        return True

    def events(self, data_set, limit=None):
        """A real data set (the first `limit` events of it) as JSON Lines, by its mapping in the repository; the path."""
        path = self.file(data_set + '.jsonl')
        with open(path, 'wb') as out:
            code = subprocess.run(
                [program('polku-producer', 'producer'), 'check', '--print', '--log-level', 'warn', '--mapping',
                 os.path.join(ROOT, 'deploy', 'mappings', data_set), os.path.join(self.data, data_set)],
                stdout=out, check=False).returncode
        if code != 0:
            raise Failure('polku-producer check %s: exit code %d' % (data_set, code))
        if limit:
            with open(path, 'rb') as file:
                lines = list(itertools.islice(file, limit))
            with open(path, 'wb') as file:
                file.writelines(lines)
        return path

    # ---- evidence ----

    def expect(self, what, wanted, got):
        """One line of evidence. -> as wanted"""
        if wanted == got:
            self.held += 1
            say('  ok      %s: %s' % (what, got))
            return True
        self.failed += 1
        say('  NOT SO  %s: wanted %s, got %s' % (what, wanted, got))
        return False

    def expect_that(self, what, holds, got=''):
        """The same for what is no equality."""
        if holds:
            self.held += 1
        else:
            self.failed += 1
        say('  %s  %s%s' % ('ok    ' if holds else 'NOT SO', what, ': %s' % (got,) if got != '' else ''))
        return bool(holds)

    def expect_checksums(self, what, wanted, db):
        got = db.checksums()
        if not self.expect(what, wanted['all'], got['all']):
            for table in wanted:
                if wanted[table] != got.get(table):
                    say('          %s: wanted %s, got %s' % (table, wanted[table], got.get(table)))

    def expect_verified(self, db, rules):
        """polku-consumer verify finds no difference."""
        begun = time.monotonic()
        done = subprocess.run([program('polku-consumer', 'consumer'), 'verify', '--database', db.conninfo, '--rules', rules,
                               '--hash-key-file', KEY_FILE, '--log-format', 'json'],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return self.expect_that('verify finds nothing', done.returncode == 0, 'exit code %d, %.0f s%s' % (
            done.returncode, time.monotonic() - begun,
            done.returncode and '\n' + (done.stdout + done.stderr).decode()[-2000:] or ''))

    def expect_oracle(self, what, db, rules, *arguments):
        """compare.py oracle; what differs is printed."""
        done = subprocess.run(compare('oracle', '--database', db.conninfo, '--rules', rules, '--key-file', KEY_FILE,
                                      *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        lines = done.stdout.decode().rstrip().splitlines()
        equal = sum(line.endswith('rows, equal') for line in lines)
        if not self.expect_that(what, done.returncode == 0 and equal > 0, '%d tables equal' % equal):
            say('          ' + '\n          '.join(lines))

    def expect_clean_logs(self):
        """No consumer ever needed an operator."""
        errors = [(consumer.name, line) for consumer in self.consumers if os.path.exists(consumer.log_path)
                  for line in consumer.log() if line.get('level') == 'error']
        if errors:
            self.failed += 1
            say('  NOT SO  no consumer logs an error: %s' % (errors[:3],))


def rules_of(data_set):
    return os.path.join(ROOT, 'deploy', 'mappings', data_set, 'polku.yaml')


def read_events(path):
    with open(path, encoding='utf-8') as file:
        return [json.loads(line) for line in file if line.strip()]


class Encoder:
    """Events in natural JSON into frames with Avro bodies, by the oracle's encoder: none of Polku's code."""

    def __init__(self):
        self.schema = polku_oracle.Schema()
        with open(os.path.join(ROOT, 'schemas', 'golden', 'v1', 'fingerprint'), encoding='ascii') as file:
            self.fingerprint = int(file.read(), 16)

    def body(self, event):
        return self.schema.encode(self.schema.read(event))

    def single_object(self, body):
        return b'\xc3\x01' + self.fingerprint.to_bytes(8, 'little') + body

    @staticmethod
    def confluent(body, schema_id=1):
        return b'\0' + schema_id.to_bytes(4, 'big') + body
