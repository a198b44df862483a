# SPDX-License-Identifier: Apache-2.0
"""Every fault of the network (proxy.c), between a running consumer and PostgreSQL and between it and Kafka, again and again: the
consumer goes on by itself, and at the end every table equals the oracle's.

    proxy_faults.py [HITS [FAULT...]]     default: POLKU_TEST_HITS or 1 hit of every fault on each side

Small hostile sets of events come as long as they are needed. The victim reaches PostgreSQL and Kafka through proxies; a second
consumer of the group, undisturbed, meets it on the same customers and takes its partitions over where Kafka gives it up.
"""

import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

from fault_proxy import FaultProxy  # noqa: E402
from harness import ORACLE, PATIENCE, Run, say, wait_for  # noqa: E402
from hostile_stream import HostileStream  # noqa: E402

RULES = os.path.join(ORACLE, 'rules_small.yaml')
HITS = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get('POLKU_TEST_HITS') or 1)
WANTED = sys.argv[2:]
OPTIONS = ('--lock-timeout', '1s', '--statement-timeout', '1s', '--idle-timeout', '2s', '--retry-min', '50ms', '--retry-max', '500ms',
           '--linger', '10ms', '--kafka.socket.timeout.ms', '3000', '--kafka.reconnect.backoff.max.ms', '500')


def sides(run):
    """Name -> proxies on the way to it."""
    host, port = (re.search(r'%s=(\S+)' % name, os.environ['POLKU_TEST_DATABASE']).group(1) for name in ('host', 'port'))
    target = '%s/.s.PGSQL.%s' % (host, port) if host.startswith('/') else '%s:%s' % (host, port)
    found = {'PostgreSQL': [FaultProxy(target)], 'Kafka': []}
    for pair in os.environ['POLKU_TEST_PROXIED'].split():
        port, _, target = pair.partition('=')
        found['Kafka'].append(FaultProxy(target, int(port)))
    run.made += [proxy for proxies in found.values() for proxy in proxies]
    return found


class Trial:
    """One consumer behind proxies, another one that is not, a stream."""

    def __init__(self, run):
        self.run, self.db, self.stream = run, run.database(), HostileStream(run, 6)
        self.sides = sides(run)
        self.victim, self.other = (
            run.consumer(self.db, self.stream.topic, RULES, *OPTIONS, '--batch-records', str(run.random.choice([5, 12, 30])),
                         '--instance-id', name, name=name) for name in ('victim', 'other'))
        command = self.victim.command
        command[command.index('--database') + 1] = re.sub(r'host=\S+ port=\S+', 'host=127.0.0.1 port=%d' %
                                                          self.sides['PostgreSQL'][0].port, self.db.conninfo)
        command[command.index('--brokers') + 1] = ','.join('127.0.0.1:%d' % p.port for p in self.sides['Kafka'])
        for consumer in (self.victim, self.other):
            consumer.start()
        wait_for('both consumers have partitions', lambda: run.alive() and self.victim.claimed() == self.other.claimed() == 3)

    def read_all(self):
        return self.run.alive() and self.db.position(self.stream.topic) >= self.stream.topic.records

    def until(self, what, fact, patience=PATIENCE):
        """Sets come until it is so."""
        def look():
            if fact():
                return True
            if self.read_all():
                self.stream.publish()
            return False
        wait_for(what, look, patience, pause=0.01)

    def recover(self):
        """Everything is read, and the victim reads its part again."""
        wait_for('everything is read', self.read_all)
        begun = self.carried()
        self.until('the victim reads again and writes', lambda: all(now > then for now, then in zip(self.carried(), begun)))

    def carried(self):
        """Bytes that came from Kafka, and PostgreSQL's COMMITs of rows, through the proxies."""
        return (sum(p.status()['down'] for p in self.sides['Kafka']), self.sides['PostgreSQL'][0].status()['commits'])


# ---- the faults: each is done, has taken place for sure, and is over ----

def moved(proxy, before):
    return proxy.status()['up'] > before['up'] and proxy.status()['down'] > before['down']


def delay(trial, proxy, side):
    random, before = trial.run.random, proxy.status()
    proxy('delay %d%s' % (random.randint(10, 200), random.choice(['', ' up', ' down'])))
    trial.until('a batch passes late', lambda: moved(proxy, before) and (side == 'Kafka' or proxy.status()['commits'] > before['commits']))
    proxy('pass')


def slow(trial, proxy, side):
    before = proxy.status()
    proxy('slow %d%s' % (trial.run.random.randint(3000, 30000), trial.run.random.choice(['', ' up', ' down'])))
    trial.until('bytes pass slowly', lambda: moved(proxy, before))
    # So slowly that statements run into their timeout: it need not come to an end before the line is faster again.
    time.sleep(trial.run.random.uniform(0, 3))
    proxy('pass')


def cut_at_byte(trial, proxy, side):
    random, before = trial.run.random, proxy.status()['cuts']
    proxy('cut-after %d %s' % (int(10 ** random.uniform(0, 4.5)), random.choice(['up', 'down'])))
    trial.until('it is cut', lambda: proxy.status()['cuts'] > before)


def cut_now(trial, proxy, side):
    before = proxy.status()
    trial.until('bytes pass', lambda: moved(proxy, before))
    proxy(trial.run.random.choice(['cut', 'cut end']))
    trial.until('it is cut', lambda: proxy.status()['cuts'] > before['cuts'])


def half_open(trial, proxy, side):
    """Frozen in the midst of something. When the victim has gone on, what it once sent arrives after all, or never."""
    before = proxy.status()
    trial.until('bytes pass', lambda: moved(proxy, before))
    time.sleep(trial.run.random.uniform(0, 0.05))  # any moment will do
    proxy('half-open')
    if not proxy.status()['frozen']:
        return half_open(trial, proxy, side)
    trial.until('there are new connections', lambda: proxy.status()['connections'] > before['connections'])
    trial.recover()
    proxy(trial.run.random.choice(['thaw', 'cut frozen']))
    return None


def refuse(trial, proxy, side):
    before = proxy.status()
    proxy('refuse')
    proxy('cut')
    trial.until('nobody is connected', lambda: not proxy.status()['open'])
    time.sleep(trial.run.random.uniform(0.1, 1))  # so long, and no fact ends it
    assert proxy.status()['connections'] == before['connections']
    proxy('pass')
    trial.until('it connects again', lambda: proxy.status()['connections'] > before['connections'])


def swallow_commit(trial, proxy, side):
    before = proxy.status()['swallowed']
    proxy('swallow-commit')
    trial.until('the answer to a COMMIT is kept', lambda: proxy.status()['swallowed'] > before)


FAULTS = [(name, side, fault) for name, fault, on in (
    ('delay', delay, 'both'), ('slow', slow, 'both'), ('cut now', cut_now, 'both'), ('cut at byte N', cut_at_byte, 'both'),
    ('half-open', half_open, 'both'), ('refuse', refuse, 'both'), ('swallowed COMMIT', swallow_commit, 'PostgreSQL'))
    for side in ('PostgreSQL', 'Kafka') if on in ('both', side) and (not WANTED or name in WANTED)]


def main():
    with Run('proxy_faults') as run:
        if not os.environ.get('POLKU_TEST_PROXIED'):
            run.skip('POLKU_TEST_PROXIED is not set (tests/support/servers.sh up BUILD)')
        trial = Trial(run)
        hits, took, results = {}, {}, {}
        for side in trial.sides:
            todo = [(name, fault) for name, at, fault in FAULTS if at == side for _ in range(HITS)]
            run.random.shuffle(todo)
            for name, fault in todo:
                begun = time.monotonic()
                fault(trial, run.random.choice(trial.sides[side]), side)
                trial.recover()
                hits[name, side] = hits.get((name, side), 0) + 1
                took[name, side] = took.get((name, side), 0) + time.monotonic() - begun
            before = run.failed
            trial.stream.drain(trial.db)
            run.expect_oracle('%d faults on the way to %s, %d events published %d times over' % (
                len(todo), side, trial.stream.events, trial.stream.topic.records), trial.db, RULES, trial.stream.path)
            results[side] = 'equal' if run.failed == before else 'DIFFERS'
        for consumer in (trial.victim, trial.other):
            consumer.stop()
        say('  %-18s %-11s %5s %8s  %s' % ('fault', 'side', 'hits', 'seconds', 'result'))
        for name, side, _ in FAULTS:
            say('  %-18s %-11s %5d %8.1f  %s' % (name, side, hits.get((name, side), 0), took.get((name, side), 0), results[side]))
        for side, proxies in trial.sides.items():
            for proxy in proxies:
                say('          the proxy of %s: %s' % (side, proxy('status')))
        run.expect('faults that did not take place %d times' % HITS, [],
                   [(name, side) for name, side, _ in FAULTS if hits.get((name, side), 0) != HITS])
        run.expect('the victim was never started anew', 1, trial.victim.starts)
        run.expect('deadlocks', 0, trial.db.deadlocks())


if __name__ == '__main__':
    main()
