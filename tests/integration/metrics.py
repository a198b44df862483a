#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes real consumers: its figures are those of the database, and alerts fire.

/livez and /readyz through what happens to a consumer: started without PostgreSQL, idle, at work, PostgreSQL stopped in the
middle (SIGSTOP), crashed, a registry that is away, no partition left, a thread that is held (ptrace, as by a debugger) while
everything else of the process goes on. PostgreSQL is a cluster of this test's own.

The alerts are those of deploy/prometheus with a clock that runs a hundred and twenty times as fast: a minute is half a second here. Which of
them fired is printed at the end; all of them are tried by promtool (tests/lint/alerts.py).
"""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import (KEY_FILE, ROOT, Encoder, Failure, Run, Session, program, read_events, say, wait_for)

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
STORIES = [os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % i) for i in range(5)]
POSTGRES_SH = os.path.join(ROOT, 'tests', 'support', 'postgres.sh')
ALERTS = os.path.join(ROOT, 'deploy', 'prometheus', 'alerts.yml')


# ---- servers ----

class Postgres:
    """A cluster that may be stopped and crashed."""

    def __init__(self, folder):
        self.folder = folder
        self.conninfo = self.call('start', '--no-fsync').strip().splitlines()[-1]

    def call(self, command, *arguments):
        done = subprocess.run([POSTGRES_SH, command, self.folder, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Failure('postgres.sh %s: %s' % (command, done.stderr.decode()))
        return done.stdout.decode()

    def signal(self, number):
        """To the server and all its processes."""
        with open(os.path.join(self.folder, 'place'), encoding='utf-8') as file:
            pid_file = os.path.join(file.read().strip(), 'data', 'postmaster.pid')
        with open(pid_file, encoding='ascii') as file:
            server = int(file.readline())
        children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(server)], stdout=subprocess.PIPE, check=False).stdout
        for pid in [server, *map(int, children.split())]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


class Prometheus:
    def __init__(self, run):
        self.folder = run.file('prometheus')
        os.makedirs(self.folder)
        self.targets = {}
        self.process = None
        self.fired = set()
        self.write_targets()
        with open(os.path.join(self.folder, 'alerts.yml'), 'w', encoding='utf-8') as out, open(ALERTS, encoding='utf-8') as file:
            out.write(faster(file.read()))
        self.write('prometheus.yml', 'global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n'
                   'rule_files: [alerts.yml]\nscrape_configs:\n  - job_name: polku-consumer\n'
                   '    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]\n')
        for _ in range(5):
            if self.start():
                return
        raise Failure('prometheus does not start, see %s' % self.folder)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.rename(path + '.new', path)

    def write_targets(self):
        self.write('targets.json', json.dumps([{'targets': [target], 'labels': {'name': name}}
                                               for name, target in self.targets.items()]))

    def start(self):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        with open(os.path.join(self.folder, 'log'), 'ab') as log:
            self.process = subprocess.Popen(
                ['prometheus', '--config.file=prometheus.yml', '--storage.tsdb.path=data', '--log.level=warn',
                 '--web.listen-address=127.0.0.1:%d' % self.port], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            if self.process.poll() is not None:
                return 'ended'
            return get(self.port, '/-/ready')[0] == 200
        return wait_for('Prometheus answers', answers) is True

    def scrape(self, consumer):
        self.targets[consumer.name] = '127.0.0.1:%d' % port_of(consumer)
        self.write_targets()

    def forget(self, consumer):
        del self.targets[consumer.name]
        self.write_targets()

    def query(self, expression):
        """Label sets and values."""
        code, body = get(self.port, '/api/v1/query?' + urllib.parse.urlencode({'query': expression}))
        if code != 200:
            raise Failure('Prometheus: %s: %s' % (expression, body))
        return [(row['metric'], float(row['value'][1])) for row in json.loads(body)['data']['result']]

    def value(self, expression):
        rows = self.query(expression)
        return rows[0][1] if rows else None

    def firing(self):
        now = {labels['alertname'] for labels, _ in self.query('ALERTS{alertstate="firing"}')}
        self.fired |= now
        return now

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def faster(text):
    """A minute is half a second; a rate needs some scrapes all the same."""
    half_seconds = {'m': 1, 'h': 60}

    def shorter(match, least):
        return '%dms' % max(least, 500 * int(match[1]) * half_seconds[match[2]])
    text = re.sub(r'for: (\d+)([mh])', lambda m: 'for: ' + shorter(m, 500), text)
    text = re.sub(r'\[(\d+)([mh]):1m\]', lambda m: '[%s:1s]' % shorter(m, 4000), text)
    return re.sub(r'\[(\d+)([mh])\]', lambda m: '[%s]' % shorter(m, 4000), text)


# ---- asking ----

def get(port, path):
    try:
        with urllib.request.urlopen('http://127.0.0.1:%d%s' % (port, path), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ''


def port_of(consumer):
    return wait_for('%s listens' % consumer.name, lambda: consumer.said('listening'))[-1]['port']


def ask(consumer, path):
    code, body = get(port_of(consumer), path)
    return '%d %s' % (code, body.strip())


def expect_health(run, what, consumer, live, ready):
    """Waits until /readyz says so; then /livez must say so at once."""
    got = []

    def is_so():
        got[:] = [ask(consumer, '/readyz')]
        return re.match(ready, got[0])
    try:
        wait_for('%s: /readyz: %s' % (what, ready), is_so)
    except Failure:
        run.expect('%s: /readyz' % what, ready, got[0])
    else:
        run.expect_that('%s: /readyz' % what, True, got[0])
    got = ask(consumer, '/livez')
    run.expect_that('%s: /livez' % what, re.match(live, got), got)


def expect_alert(run, prometheus, name, what, again=None):
    """`again`: done before each look, for what is seen for a short time only."""
    def fires():
        if again:
            again()
        return name in prometheus.firing()
    try:
        wait_for(name, fires, pause=0.3)
        run.expect_that('%s fires' % name, True, what)
    except Failure:
        run.expect_that('%s fires' % name, False, what)


def expect_figure(run, prometheus, what, expression, wanted):
    """The last scrape may be older than the commit: waits for the figure."""
    try:
        wait_for(what, lambda: prometheus.value(expression) == wanted, pause=0.2)
    except Failure:
        pass
    run.expect('%s: %s' % (what, expression), float(wanted), prometheus.value(expression))


# ---- one thread held, as by a debugger ----

class Held:
    """The thread that does the work is stopped by ptrace; all others of the process go on."""
    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, pid):
        self.pid = pid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def call(self, request):
        if self.libc.ptrace(request, self.pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def __enter__(self):
        self.call(self.SEIZE)
        self.call(self.INTERRUPT)
        os.waitpid(self.pid, 0x40000000)  # __WALL
        return self

    def __exit__(self, *_):
        self.call(self.DETACH)


# ---- the test ----

def bad_records(partition, encoder, event):
    """Two without a frame, one of an unknown schema, one cut short; at_ms None."""
    body = encoder.body(event)
    values = [b'no frame', b'', encoder.confluent(body, 4711), encoder.single_object(body)[:-3]]
    return [(partition, None, b'k', value, []) for value in values]


def check_figures(run, prometheus, db, topic, consumer):
    name = '{name="%s"}' % consumer.name
    stored = db.number('SELECT count(*) FROM polku.interaction')

    def by(label, value):
        return '{name="%s",%s="%s"}' % (consumer.name, label, value)
    expect_figure(run, prometheus, 'new events are those in the database', 'polku_records_total' + by('outcome', 'new'), stored)
    rejected = db.number('SELECT count(*) FROM polku.quarantine') + db.number('SELECT coalesce(sum(records), 0) FROM polku.quarantine_excess')
    expect_figure(run, prometheus, 'rejected ones those of quarantine', 'polku_records_total' + by('outcome', 'rejected'), rejected)
    expect_figure(run, prometheus, 'duplicates are the rest', 'polku_records_total' + by('outcome', 'duplicate'),
                  topic.records - stored - rejected)
    for reason, rows in db.rows('SELECT reason, count(*) FROM polku.quarantine GROUP BY 1 ORDER BY 1'):
        expect_figure(run, prometheus, 'rows of quarantine', 'polku_quarantined_records_total' + by('reason', reason), int(rows))
    for reason, records in db.rows('SELECT reason, sum(records) FROM polku.quarantine_excess GROUP BY 1 ORDER BY 1'):
        expect_figure(run, prometheus, 'records that were only counted', 'polku_quarantine_counted_total' + by('reason', reason),
                      int(records))
    expect_figure(run, prometheus, 'ages were taken of all records', 'polku_record_age_seconds_count' + name, topic.records)
    expect_figure(run, prometheus, 'and of all events', 'polku_event_age_seconds_count' + name, topic.records - rejected)
    expect_figure(run, prometheus, 'batches add up to the records', 'polku_batch_records_sum' + name, topic.records)
    expect_figure(run, prometheus, 'positions', 'sum(polku_partition_position%s)' % name, db.position(topic))
    expect_figure(run, prometheus, "Kafka's ends", 'sum(polku_partition_end%s)' % name, topic.records)
    expect_figure(run, prometheus, 'no lag', 'sum(polku_partition_lag_records%s)' % name, 0)
    expect_figure(run, prometheus, 'partitions', 'sum(polku_partition_claimed%s)' % name, topic.partitions)


def check_build(run, prometheus, db, consumer):
    labels = prometheus.query('polku_build_info{name="%s"}' % consumer.name)[0][0]
    run.expect('the schema of polku_build_info is that of the database', db.value('SELECT max(number) FROM polku.schema_migration'),
               labels['schema'])
    rules = db.rows("SELECT encode(decode(replace(rules_hash::text, '-', ''), 'hex'), 'hex') FROM polku.rules_state")[0][0]
    run.expect('and its rules', rules[:16], labels['rules'])


def check_address(run, db, topic, consumer):
    """A port that is taken, an address that is none."""
    for address, code, words in (('127.0.0.1:%d' % port_of(consumer), 1, 'another program listens there already'),
                                 ('localhost', 2, 'is no HOST:PORT')):
        done = subprocess.run([program('polku-consumer', 'consumer'), 'run', '--database', db.conninfo, '--brokers', run.brokers,
                               '--topic', topic.name, '--rules', RULES, '--hash-key-file', KEY_FILE, '--http', address],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        run.expect_that('--http %s is refused' % address, done.returncode == code and words in done.stderr.decode(),
                        'exit code %d, %s' % (done.returncode, done.stderr.decode().strip()[-160:]))
    run.expect('another path', '404', ask(consumer, '/else').split()[0])
    for what, address, code, words in (('ready', '0.0.0.0:%d' % port_of(consumer), 0, 'ready: '),
                                       ('live', '127.0.0.1:%d' % port_of(consumer), 0, 'alive'),
                                       ('live', '127.0.0.1:1', 1, 'no consumer answers there'),
                                       ('well', '127.0.0.1:1', 2, 'health takes ready or live')):
        done = subprocess.run([program('polku-consumer', 'consumer'), 'health', what, '--http', address],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        run.expect_that('health %s of %s' % (what, address), done.returncode == code and words in done.stdout.decode(),
                        'exit code %d, %s' % (done.returncode, done.stdout.decode().strip()))


def postgres_stops_in_the_middle(run, prometheus, server, topic, consumer):
    server.signal(signal.SIGSTOP)
    try:
        topic.publish(STORIES[3])
        expect_health(run, 'PostgreSQL stopped in the middle of a batch', consumer, '200 ', '503 PostgreSQL has not answered')
        expect_alert(run, prometheus, 'PolkuNotReady', 'PostgreSQL was stopped')
        expect_health(run, 'and still', consumer, '200 ', '503 ')
    finally:
        server.signal(signal.SIGCONT)


def table_is_locked(run, prometheus, db, topic, consumer):
    """Every try of the batch fails, and is made again."""
    blocker = Session(db.conninfo)
    blocker.rows('BEGIN')
    blocker.rows('LOCK TABLE polku.interaction')
    topic.publish(STORIES[4])
    expect_alert(run, prometheus, 'PolkuNoProgress', 'a table was locked')
    got = ask(consumer, '/livez')
    run.expect_that('and it is alive', got.startswith('200 '), got)
    blocker.rows('ROLLBACK')
    blocker.close()
    topic.drain(db)
    expect_health(run, 'the table is free', consumer, '200 ', '200 ready: reading 3 partitions')


def thread_is_held(run, prometheus, consumer):
    try:
        held = Held(consumer.pid())
        held.__enter__()
    except OSError as error:
        say('  SKIPPED: the thread cannot be held here: ptrace: %s' % error)
        return
    try:
        expect_health(run, 'its thread is held', consumer, '503 no sign of life', '503 no sign of life')
        expect_alert(run, prometheus, 'PolkuStuck', 'its thread was held')
    finally:
        held.__exit__()
    run.expect_that('its thread goes on', wait_for('it is ready', lambda: ask(consumer, '/readyz').startswith('200')))


def registry_is_away(run, prometheus, encoder, event):
    db, topic = run.database(), run.topic(1)
    consumer = run.consumer(db, topic, RULES, *HTTP, '--registry-url', 'http://127.0.0.1:9', name='registry').start()
    prometheus.scrape(consumer)
    expect_health(run, 'a registry that nobody needs yet', consumer, '200 ', '200 ready')
    topic.put([(0, None, b'k', encoder.confluent(encoder.body(event), 9), [])])
    expect_health(run, 'a registry that is away', consumer, '200 ', '503 reading waits for a schema')
    expect_alert(run, prometheus, 'PolkuSchemaWait', 'the registry was away')
    consumer.stop()
    prometheus.forget(consumer)


def held_and_spare(run, prometheus):
    """One partition and two consumers."""
    db, topic = run.database(), run.topic(1)
    held = run.consumer(db, topic, RULES, *HTTP, '--live-after', '2s', '--core-files', name='held').start()
    wait_for('held has its partition', held.is_up)
    spare = run.consumer(db, topic, RULES, *HTTP, name='spare').start()
    prometheus.scrape(held)
    prometheus.scrape(spare)

    def settled():
        texts = sorted(ask(consumer, '/readyz') for consumer in (held, spare))
        return texts == ['200 ready: reading 1 partitions', '200 ready: the group has more consumers than partitions, this one has none']
    run.expect_that('of two consumers of one partition both are ready', wait_for('both are ready', settled))
    run.expect_that('and alive', ask(spare, '/livez').startswith('200'), ask(spare, '/livez'))
    spare.stop()
    expect_alert(run, prometheus, 'PolkuDown', 'it was stopped')
    prometheus.forget(spare)
    wait_for('it is ready again', lambda: ask(held, '/readyz').startswith('200'))
    thread_is_held(run, prometheus, held)
    held.stop()
    prometheus.forget(held)


HTTP = ('--http', '127.0.0.1:0', '--kafka.statistics.interval.ms', '300')


def test(run, server, prometheus):
    encoder = Encoder()
    event = read_events(STORIES[0])[0]
    db, topic = run.database(), run.topic(3)
    db.session.close()
    run.server.close()
    server.call('crash')
    consumer = run.consumer(db, topic, RULES, *HTTP, '--quarantine-rows', '300', '--lock-timeout', '1s', '--statement-timeout', '10m',
                            '--look-every', '10m', name='main').start()
    prometheus.scrape(consumer)
    expect_health(run, 'started without PostgreSQL', consumer, '200 ', '503 no connection to PostgreSQL')
    expect_alert(run, prometheus, 'PolkuPostgresAway', 'PostgreSQL was down')
    server.call('restart', 'fast')
    db.session = Session(db.conninfo)
    run.server = Session(server.conninfo)
    expect_health(run, 'PostgreSQL is there', consumer, '200 ', '200 ready: reading 3 partitions')
    check_address(run, db, topic, consumer)

    topic.publish(*STORIES[:3])
    topic.publish(STORIES[1])
    topic.drain(db)
    check_figures(run, prometheus, db, topic, consumer)
    check_build(run, prometheus, db, consumer)
    topic.put(bad_records(0, encoder, event))
    expect_alert(run, prometheus, 'PolkuQuarantine', 'bad records', lambda: topic.put([(0, None, b'k', b'another', [])]))
    expect_alert(run, prometheus, 'PolkuQuarantineFull', 'more than may be stored',
                 lambda: topic.put([(1, None, b'k', b'a flood', [])] * 300))
    frame = encoder.single_object(encoder.body(event))
    expect_alert(run, prometheus, 'PolkuStale', 'records two hours old',
                 lambda: topic.put([(2, int((time.time() - 7200) * 1000), b'k', frame, [])] * 200))
    topic.drain(db)
    check_figures(run, prometheus, db, topic, consumer)

    postgres_stops_in_the_middle(run, prometheus, server, topic, consumer)
    expect_health(run, 'PostgreSQL goes on', consumer, '200 ', '200 ready: reading 3 partitions')
    topic.drain(db)
    table_is_locked(run, prometheus, db, topic, consumer)
    check_figures(run, prometheus, db, topic, consumer)
    registry_is_away(run, prometheus, encoder, event)
    held_and_spare(run, prometheus)
    consumer.stop()


def main():
    for name in ('prometheus', 'promtool'):
        if os.environ.get('POLKU_TEST_BROKERS') and not shutil.which(name):
            say('SKIPPED: metrics: there is no %s (deploy/packages.sh test)' % name)
            sys.exit(1 if os.environ.get('CI') else 77)
    if not (os.environ.get('POLKU_TEST_BROKERS') and os.environ.get('POLKU_TEST_BUILD')):
        with Run('metrics'):
            pass
    server = Postgres(os.path.join(os.environ['POLKU_TEST_BUILD'], 'integration', 'metrics_postgres'))
    os.environ['POLKU_TEST_DATABASE'] = server.conninfo
    try:
        with Run('metrics') as run:
            prometheus = Prometheus(run)
            try:
                test(run, server, prometheus)
            finally:
                prometheus.firing()
                prometheus.stop()
            say('  alerts that fired here: %s' % ', '.join(sorted(prometheus.fired)))
    finally:
        server.call('remove')


if __name__ == '__main__':
    main()
