# SPDX-License-Identifier: Apache-2.0
"""Everything breaks, again and again, while three consumers read a simulated month: at the end every table equals the
oracle's and `verify` finds nothing.

    chaos.py [FAULTS [EVENTS]]     default: 40 faults; POLKU_TEST_SEED repeats their order

Its own three brokers and its own PostgreSQL, so that they may be killed. Every consumer reaches PostgreSQL through a
proxy of its own (fault_proxy.py). One consumer lives by a clock that jumps. Faults begin at random moments and overlap; two do not
touch the same broker, server or process at once. Records are published all the time, some of them twice, to random partitions.
"""

import collections
import heapq
import os
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

from fault_proxy import FaultProxy  # noqa: E402
from harness import KEY_FILE, ORACLE, ROOT, SKIPPED, Failure, Run, Session, compare, program, run_program, say, wait_for  # noqa: E402

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SUPPORT = os.path.join(ROOT, 'tests', 'support')
FAULTS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
EVENTS = int(sys.argv[2]) if len(sys.argv) > 2 else max(20000, 200 * FAULTS)
PACE = 0.7  # seconds from one fault to the next, on average
NODES, PARTITIONS = 3, 6
PATIENCE = 600
BUILD = os.environ.get('POLKU_TEST_BUILD', '')
FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'


def support(*arguments, **options):
    done = subprocess.run([os.path.join(SUPPORT, arguments[0]), *arguments[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, **options)
    if done.returncode != 0:
        raise Failure('%s: exit code %d\n%s' % (' '.join(arguments), done.returncode, done.stderr.decode()[-1000:]))
    return done.stdout.decode().strip()


class Servers:
    """Three brokers, one PostgreSQL whose disk may be full."""

    def __init__(self, folder):
        self.folder = folder
        self.kafka, self.postgres = os.path.join(folder, 'kafka'), os.path.join(folder, 'postgres')
        self.full = '/tmp/polku-disk-full.%d' % os.getpid()  # where the server's user sees it

    def start(self):
        cache = os.path.join(BUILD, '.deps', 'kafka')
        support('kafka.sh', 'fetch', cache)
        os.environ['POLKU_TEST_BROKERS'] = support('kafka.sh', 'start', self.kafka, cache, '--nodes', str(NODES))
        self.preload = dict(os.environ, LD_PRELOAD=os.path.join(BUILD, 'tests', 'fault', 'libdisk_full.so'),
                            POLKU_DISK_FULL=self.full)
        self.conninfo = support('postgres.sh', 'start', self.postgres, env=self.preload).splitlines()[-1]
        os.environ['POLKU_TEST_DATABASE'] = self.conninfo
        self.port = re.search(r'port=(\d+)', self.conninfo).group(1)

    def fill_disk(self, full):
        if full:
            with open(self.full, 'w', encoding='ascii'):
                pass
            os.chmod(self.full, 0o644)
        elif os.path.exists(self.full):
            os.unlink(self.full)

    def remove(self):
        self.fill_disk(False)
        for script, folder in ('kafka.sh', self.kafka), ('postgres.sh', self.postgres):
            if os.path.isdir(folder):
                subprocess.run([os.path.join(SUPPORT, script), 'remove', folder], stdout=subprocess.DEVNULL, check=False)


class Publisher(threading.Thread):
    """Publishes the month in pieces, as far as the faults have come; a piece that failed, and some others, go twice."""

    def __init__(self, run, topic, path):
        super().__init__(daemon=True)
        self.run_, self.topic, self.random = run, topic, __import__('random').Random(run.seed + 1)
        with open(path, 'rb') as file:
            self.lines = file.readlines()
        self.share, self.sent, self.again, self.error = 0.0, 0, 0, None

    def send(self, lines):
        done = subprocess.run([program('polku-producer', 'producer'), 'send', '--brokers', self.run_.brokers, '--topic',
                               self.topic.name, '--progress', 'never', '--log-format', 'json', '--partition-by', 'random', '--seed',
                               str(self.random.randrange(1 << 30))], input=b''.join(lines), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.returncode == 0, done.stdout

    def run(self):
        try:
            failures = 0
            while self.sent < len(self.lines):
                wanted = int(self.share * len(self.lines)) - self.sent
                if wanted <= 0:
                    time.sleep(0.05)
                    continue
                piece = self.lines[self.sent:self.sent + min(wanted, 3000)]
                good, out = self.send(piece)
                if good:
                    self.sent += len(piece)
                    failures = 0
                    if self.random.random() < 0.05:
                        self.again += self.send(piece)[0]
                else:
                    self.again += 1
                    failures += 1
                    if failures > 20:
                        raise Failure('cannot publish: %s' % out.decode()[-500:])
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


class Chaos:
    def __init__(self, run, servers, db, topic):
        self.run, self.servers, self.db, self.topic, self.random = run, servers, db, topic, run.random
        self.counts = collections.Counter()
        self.started = {}     # consumer -> when
        self.busy = set()     # what a fault has hold of
        self.later = []       # (time, number, what it lets go, action)
        self.number = 0
        self.notes = []
        self.clock = run.file('clock')
        self.set_clock(0)
        self.session = None
        self.proxies = [FaultProxy('127.0.0.1:' + servers.port) for _ in range(3)]
        password = os.path.join(servers.postgres, 'password')
        self.crew = []
        for n, proxy in enumerate(self.proxies):
            consumer = run.consumer(
                db, topic, RULES, '--batch-records', '300', '--linger', '30ms', '--retry-max', '2s', '--lock-timeout', '3s',
                '--statement-timeout', '10s', '--idle-timeout', '10s', '--database-password-file', password,
                *(['--instance-id', 'member-%d' % n] if n else []), name='chaos-%d' % n)
            self.by_proxy(consumer, proxy)
            self.crew.append(consumer)
        self.guest = run.consumer(db, topic, RULES, '--batch-records', '300', '--linger', '30ms', '--retry-max', '2s', name='chaos-guest')
        if os.path.exists(FAKETIME):
            self.crew[2].command[:0] = ['env', 'LD_PRELOAD=' + FAKETIME, 'FAKETIME_TIMESTAMP_FILE=' + self.clock,
                                        'FAKETIME_CACHE_DURATION=1', 'FAKETIME_DONT_FAKE_MONOTONIC=1']

    def by_proxy(self, consumer, proxy):
        place = consumer.command.index('--database') + 1
        consumer.command[place] = 'host=127.0.0.1 port=%d user=polku dbname=%s' % (proxy.port, self.db.name)

    def set_clock(self, seconds):
        with open(self.clock + '.new', 'w', encoding='ascii') as file:
            file.write('%+d\n' % seconds)
        os.rename(self.clock + '.new', self.clock)

    def ask(self, sql):
        """A number from PostgreSQL, or None while it is away."""
        try:
            if self.session is None:
                self.session = Session(self.db.conninfo)
            return int(self.session.rows(sql)[0][0])
        except (Failure, OSError, IndexError, TypeError, ValueError):
            try:
                self.session.process.kill()
            except (AttributeError, OSError):
                pass
            self.session = None
            return None

    # ---- faults: true if it was done; what it has hold of is let go later ----

    def hold(self, name, seconds, undo):
        self.busy.add(name)
        self.number += 1
        heapq.heappush(self.later, (time.monotonic() + seconds, self.number, name, undo))
        return True

    def start(self, consumer):
        consumer.start()
        self.started[consumer.name] = time.monotonic()

    def consumer(self, age=0):
        """One that nothing happens to, and that was started `age` seconds ago or earlier."""
        free = [c for c in self.crew if c.name not in self.busy and c.is_running()
                and self.started[c.name] + age <= time.monotonic()]
        return self.random.choice(free) if free else None

    def proxy(self):
        free = [n for n in range(3) if 'proxy-%d' % n not in self.busy]
        return self.random.choice(free) if free else None

    def kill_consumer(self):
        victim = self.consumer()
        if victim:
            victim.kill()
            return self.hold(victim.name, self.random.uniform(0, 2), lambda: self.start(victim))

    def stop_consumer(self):
        victim = self.consumer(2)  # right after its start the signal still kills
        if victim:
            victim.signal(15)

            def again():
                if victim.process.wait(60) != 0:
                    raise Failure('%s left with %d after SIGTERM' % (victim.name, victim.process.returncode))
                self.start(victim)
            return self.hold(victim.name, self.random.uniform(1, 3), again)

    def freeze_consumer(self):
        victim = self.consumer()
        if victim:
            victim.signal(19)
            return self.hold(victim.name, self.random.choice([0.3, 1, 3, 9]), victim.thaw)

    def guest_joins(self):
        if 'guest' not in self.busy:
            self.guest.start()

            def leave():
                if self.guest.is_running():
                    self.guest.stop(within=60)
            return self.hold('guest', self.random.uniform(2, 6), leave)

    def cut_connections(self):
        victim = self.consumer()
        if victim and self.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
                               " AND application_name = '%s'" % victim.name):
            return True

    def cancel_statement(self):
        victim = self.consumer()
        if victim and self.ask("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
                               " AND application_name = '%s' AND state <> 'idle'" % victim.name):
            return True

    def restart_postgres(self, mode):
        if self.busy & {'postgres', 'disk'}:
            return None
        child = subprocess.Popen([os.path.join(SUPPORT, 'postgres.sh'), 'restart', self.servers.postgres, mode],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.servers.preload)

        def back():
            if child.wait(120) != 0:
                raise Failure('PostgreSQL does not come back: %s' % child.stderr.read().decode())
        return self.hold('postgres', 1, back)

    def restart_fast(self):
        return self.restart_postgres('fast')

    def restart_immediate(self):
        return self.restart_postgres('immediate')

    def fill_disk(self):
        if self.busy & {'postgres', 'disk'}:
            return None
        self.servers.fill_disk(True)
        return self.hold('disk', self.random.uniform(0.5, 4), lambda: self.servers.fill_disk(False))

    def node_command(self, *commands):
        """kafka.sh commands one after another, beside everything else. One broker at a time: two of three must run."""
        if 'broker' in self.busy:
            return None
        node = str(self.random.randrange(1, NODES + 1))

        def work():
            for command in commands:
                support('kafka.sh', command, self.servers.kafka, *([node] if command.endswith('-node') else []))
        thread = threading.Thread(target=self.guarded, args=(work,), daemon=True)
        thread.start()

        def over():
            thread.join(180)
            if thread.is_alive():
                raise Failure('a broker does not come back')
        return self.hold('broker', 12, over)

    def guarded(self, work):
        try:
            work()
        except Failure as error:
            self.notes.append(str(error))

    def kill_broker(self):
        return self.node_command('kill-node', 'start-node')

    def stop_broker(self):
        return self.node_command('stop-node', 'start-node')

    def move_leaders(self):
        return self.node_command('elect')

    def jump_clock(self):
        if 'clock' in self.busy or not os.path.exists(FAKETIME):
            return None
        self.set_clock(self.random.choice([-86400, -600, -5, 5, 600, 86400]))
        return self.hold('clock', self.random.uniform(1, 6), lambda: self.set_clock(0))

    def through_proxy(self, command, seconds=None, heal=('pass',)):
        """To one proxy; with `seconds` it is healed after a while of that length."""
        n = self.proxy()
        if n is None or not self.proxies[n].status()['open']:
            return None
        self.proxies[n](command)
        if not seconds:
            return True

        def over():
            for word in heal:
                self.proxies[n](word)
        return self.hold('proxy-%d' % n, self.random.uniform(*seconds), over)

    def proxy_cut(self):
        return self.through_proxy(self.random.choice(['cut', 'cut end']))

    def proxy_cut_later(self):
        return self.through_proxy('cut-after %d %s' % (self.random.randrange(1, 200000), self.random.choice(['up', 'down'])), (1, 3))

    def proxy_half_open(self):
        """The network comes back, or the connection turns out to be dead."""
        return self.through_proxy('half-open', (1, 6), self.random.choice([('thaw', 'pass'), ('cut', 'pass')]))

    def proxy_swallow_commit(self):
        return self.through_proxy('swallow-commit', (1, 3))

    def proxy_delay(self):
        return self.through_proxy('delay %d' % self.random.choice([5, 50, 300]), (1, 4))

    def proxy_slow(self):
        return self.through_proxy('slow %d' % self.random.choice([20000, 200000]), (1, 4))

    def proxy_refuse(self):
        return self.through_proxy('refuse', (0.5, 3))

    KINDS = {kill_consumer: 12, stop_consumer: 6, freeze_consumer: 9, guest_joins: 5, cut_connections: 9, cancel_statement: 8,
             restart_fast: 4, restart_immediate: 4, fill_disk: 5, kill_broker: 4, stop_broker: 3, move_leaders: 3, jump_clock: 6,
             proxy_cut: 6, proxy_cut_later: 6, proxy_half_open: 5, proxy_swallow_commit: 8, proxy_delay: 5, proxy_slow: 3,
             proxy_refuse: 4}

    # ---- the run ----

    def undo_until(self, moment):
        while self.later and self.later[0][0] <= moment:
            _, _, name, undo = heapq.heappop(self.later)
            undo()
            self.busy.discard(name)

    def check(self):
        self.run.alive()
        if self.notes:
            raise Failure(self.notes[0])

    def fault(self):
        kinds = list(self.KINDS)
        for _ in range(50):
            kind = self.random.choices(kinds, [self.KINDS[k] for k in kinds])[0]
            if kind(self):
                self.counts[kind.__name__] += 1
                return
        # everything is under repair: the next one

    def spread(self, publisher):
        begun, told = time.monotonic(), time.monotonic()
        while sum(self.counts.values()) < FAULTS:
            self.undo_until(time.monotonic())
            self.check()
            if publisher.error:
                raise publisher.error
            self.fault()
            done = sum(self.counts.values())
            publisher.share = done / FAULTS
            if time.monotonic() - told > 15:
                told = time.monotonic()
                say('  %4d of %d faults, %d events published, %s records stored, %.0f s' % (
                    done, FAULTS, publisher.sent, self.ask('SELECT sum(next_offset)::bigint FROM polku.stream_position'), told - begun))
            time.sleep(self.random.expovariate(1 / PACE))
        while self.later:
            self.undo_until(self.later[0][0])
        publisher.share = 1
        return time.monotonic() - begun


def end_of_topic(run, topic):
    out = run_program(['kcat', '-Q', '-b', run.brokers, *[a for p in range(PARTITIONS) for a in ('-t', '%s:%d:-1' % (topic.name, p))]])
    return sum(int(number) for number in re.findall(r'offset (\d+)', out.stdout.decode()))


if not os.environ.get('POLKU_TEST_BROKERS') or not BUILD:
    say('SKIPPED: chaos: POLKU_TEST_BROKERS or POLKU_TEST_BUILD is not set (tests/support/servers.sh up BUILD): no Kafka was fetched')
    sys.exit(SKIPPED)
servers = Servers(os.path.join(BUILD, 'chaos'))
try:
    servers.start()
    with Run('chaos') as run:
        path = run.file('events.jsonl')
        made = run_program([sys.executable, os.path.join(ORACLE, 'month.py'), '--people', str(EVENTS // 20), '--events', str(EVENTS),
                            '--seed', str(run.seed), '--out', path])
        say('  %s' % made.stderr.decode().strip())
        oracle = subprocess.Popen(['nice', '-n', '19', *compare('checksum', '--rules', RULES, '--key-file', KEY_FILE, path)],
                                  stdout=subprocess.PIPE)
        topic, db = run.topic(PARTITIONS), run.database()
        run.made.clear()  # they go with their servers
        chaos = Chaos(run, servers, db, topic)
        publisher = Publisher(run, topic, path)
        publisher.start()
        for consumer in chaos.crew:
            chaos.start(consumer)
        took = chaos.spread(publisher)
        wait_for('everything is published', lambda: chaos.run.alive() and (publisher.error or not publisher.is_alive()), PATIENCE, 0.2)
        if publisher.error:
            raise publisher.error
        total = end_of_topic(run, topic)
        say('  %d faults in %.0f s; %d records published, %d pieces of them once more' % (
            sum(chaos.counts.values()), took, total, publisher.again))
        begun = time.monotonic()
        wait_for('%d records are stored' % total, lambda: run.alive() and chaos.ask(
            'SELECT sum(next_offset)::bigint FROM polku.stream_position') == total, PATIENCE, 0.5)
        say('  all of them are stored %.0f s later' % (time.monotonic() - begun))
        for consumer in chaos.crew:
            consumer.stop(within=15)
        swallowed = sum(proxy.status()['swallowed'] for proxy in chaos.proxies)
        db.session = Session(db.conninfo)
        say('  %-24s %s' % ('fault', 'times'))
        for kind in Chaos.KINDS:
            say('  %-24s %5d' % (kind.__name__, chaos.counts[kind.__name__]))
        say('  answers to COMMIT that were swallowed: %d' % swallowed)
        run.expect('faults', FAULTS, sum(chaos.counts.values()))
        if FAULTS >= 300:
            run.expect('kinds that never happened', [], [k.__name__ for k in Chaos.KINDS if not chaos.counts[k.__name__]])
        lines = [line.split() for line in oracle.communicate()[0].decode().splitlines()]
        wanted = {parts[1]: parts[0] if parts[1] == 'all' else '%s (%s rows)' % (parts[0], parts[2]) for parts in lines}
        run.expect_checksums("equal to the oracle's", wanted, db)
        run.expect('in quarantine', 0, db.number('SELECT count(*) FROM polku.quarantine'))
        run.expect_verified(db, RULES)
finally:
    if not os.environ.get('POLKU_TEST_KEEP'):
        servers.remove()
