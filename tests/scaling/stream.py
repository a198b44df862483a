# SPDX-License-Identifier: Apache-2.0
"""What the tests of scaling and upgrading share: a stream of simulated events that does not stop, and a look at the positions.

    stream = Stream(run, topic, rate=1000).start()      # polku-producer simulate, told twice: to a file and to `send --rate`
    watch = Watch(db).start()                            # polku.stream_position, some 50 times a second
    ...
    stream.end()                                         # stream.path holds what was published, for the oracle
"""

import json
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from harness import KEY_FILE, ROOT, Failure, Session, compare, program, run_program, wait_for  # noqa: E402

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')


class Stream(threading.Thread):
    """People who have needs all the time: the simulation is endless, so that a slow machine has a longer stream and no gap."""

    def __init__(self, run, topic, rate, people=None):
        super().__init__(daemon=True)
        self.topic, self.path = topic, run.file('published.jsonl')
        self.over, self.error, self.lines = threading.Event(), None, 0
        self.simulate = subprocess.Popen(
            [program('polku-producer', 'producer'), 'simulate', '--seed', str(run.seed), '--days', '36500', '--people',
             str(people or max(300, rate)), '--anonymous', '0.2', '--duplicate-rate', '0.01', '--late-rate', '0.05', '--lateness', '1d',
             '--progress', 'never', '--log-level', 'error'], stdout=subprocess.PIPE)
        self.report = open(run.file('send.log'), 'w+b')  # pylint: disable=consider-using-with
        self.send = subprocess.Popen(
            [program('polku-producer', 'producer'), 'send', '--brokers', run.brokers, '--topic', topic.name, '--rate', str(rate),
             '--progress', 'never', '--log-format', 'json'], stdin=subprocess.PIPE, stderr=self.report)

    def start(self):
        super().start()
        return self

    def run(self):
        try:
            with open(self.path, 'wb') as copy:
                for line in self.simulate.stdout:
                    if self.over.is_set():
                        return
                    copy.write(line)
                    self.send.stdin.write(line)
                    self.lines += 1
            raise Failure('the simulation ended')
        except (OSError, Failure) as error:
            self.error = error

    def check(self):
        if self.error or self.send.poll() is not None:
            self.report.seek(0)
            raise Failure('the stream broke: %s %s' % (self.error, self.report.read()[-500:]))
        return True

    def end(self):
        """What was told is published; the topic knows how many records it holds."""
        self.check()
        self.over.set()
        self.join()
        self.simulate.kill()
        self.simulate.wait()
        self.simulate.stdout.close()
        self.send.stdin.close()
        code = self.send.wait(300)
        self.report.seek(0)
        lines = self.report.read().decode().strip().splitlines()
        self.report.close()
        if code != 0:
            raise Failure('polku-producer send: exit code %d, %s' % (code, lines[-1:]))
        self.topic.records = json.loads(lines[-1])['delivered']

    def oracle(self):
        """The oracle's checksums of what was published."""
        out = run_program(compare('checksum', '--rules', RULES, '--key-file', KEY_FILE, self.path)).stdout.decode()
        parts = [line.split() for line in out.splitlines()]
        return {p[1]: p[0] if p[1] == 'all' else '%s (%s rows)' % (p[0], p[2]) for p in parts}


class Watch(threading.Thread):
    """Where each partition stands, and for how long it stood still."""

    PAUSE = 0.02

    def __init__(self, db):
        super().__init__(daemon=True)
        self.session, self.over, self.error = Session(db.conninfo), threading.Event(), None
        self.offset = {}   # partition -> next offset
        self.moved = {}    # partition -> when that was seen first
        self.stalls = []   # (partition, from, to) of two commits after each other; longer than 100 ms

    def start(self):
        super().start()
        return self

    def look(self):
        rows = self.session.rows('SELECT partition, next_offset FROM polku.stream_position')
        now = time.monotonic()
        for partition, offset in ((int(p), int(o)) for p, o in rows):
            if self.offset.get(partition) == offset:
                continue
            if partition in self.moved and now - self.moved[partition] > 0.1:
                self.stalls.append((partition, self.moved[partition], now))
            self.offset[partition], self.moved[partition] = offset, now

    def run(self):
        try:
            while not self.over.wait(self.PAUSE):
                self.look()
        except (Failure, OSError, ValueError) as error:
            self.error = error

    def total(self):
        return sum(self.offset.copy().values())

    def longest(self, begin, end):
        """Partition -> its longest time without a commit that began in between."""
        found = {partition: 0.0 for partition in self.offset.copy()}
        for partition, since, until in self.stalls.copy():
            if begin <= since < end:
                found[partition] = max(found[partition], until - since)
        return found

    def wait_until_all_move(self, run, stream, partitions):
        """Every partition has had a commit after now."""
        now = time.monotonic()
        wait_for('each of %d partitions goes on' % partitions, lambda: self.check() and run.alive() and stream.check() and sum(
            moved > now for moved in self.moved.copy().values()) == partitions)

    def check(self):
        if self.error:
            raise self.error
        return True

    def end(self):
        self.over.set()
        self.join()
        self.session.close()
        self.check()


def end_of_topic(run, topic):
    """Records that Kafka holds."""
    asked = [word for p in range(topic.partitions) for word in ('-t', '%s:%d:-1' % (topic.name, p))]
    out = run_program(['kcat', '-Q', '-b', run.brokers, *asked]).stdout.decode()
    return sum(int(number) for number in re.findall(r'offset (\d+)', out))
