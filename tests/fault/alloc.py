# SPDX-License-Identifier: Apache-2.0
"""A consumer without memory: again and again its N-th allocation fails, N random, from the start or in the midst of its work;
it is started again. At the end every table equals the oracle's.

    alloc.py [TIMES]     default: 8 times POLKU_TEST_HITS, or 9

An allocation of its own code: it must end with exit code 70 and say "out of memory". One of any code, its libraries' too:
it may cope, or end in any way but by touching memory that is not there; librdkafka aborts by an assertion of its own.
"""

import collections
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

from harness import ORACLE, Consumer, Run, program, say, wait_for  # noqa: E402
from hostile_stream import HostileStream  # noqa: E402

RULES = os.path.join(ORACLE, 'rules_small.yaml')
TIMES = int(sys.argv[1] if len(sys.argv) > 1 else 8 * int(os.environ.get('POLKU_TEST_HITS') or 0) or 9)


class Starving(Consumer):
    def start(self, whose=None, number=0, armed='-'):
        self.lines_before = len(self.log()) if self.starts else 0
        environment = dict(os.environ)
        if whose:
            environment.update(LD_PRELOAD=program('liballoc_fail.so', 'tests', 'fault'),
                               POLKU_ALLOC_FAIL='%s %d %s' % (whose, number, armed))
        self.words_before = os.path.getsize(self.log_path) if self.starts else 0
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.starts += 1
        return self

    def words(self):
        with open(self.log_path, 'rb') as file:
            file.seek(self.words_before)
            return file.read().decode(errors='replace')


def one_time(run, consumer, stream, whose, ends):
    """Until it has ended, or has gone on with its work after the failure, or never came to it."""
    later = run.random.random() < 0.6
    number = int(2 ** run.random.uniform(0, 11 if later else 13 if whose == 'own' else 15))
    armed = run.file('armed')
    if os.path.exists(armed):
        os.remove(armed)
    consumer.start(whose, number, armed if later else '-')
    what = 'allocation %d of %s %s' % (number, whose, 'at work' if later else 'from the start')
    sets = 0

    def over():
        nonlocal sets
        if not consumer.is_running():
            return True
        if not os.path.exists(armed) and consumer.is_up():
            open(armed, 'wb').close()
        if consumer.is_up() and consumer.db.position(stream.topic) >= stream.topic.records:
            if sets == 3:
                return True
            stream.publish()
            sets += 1
        return False
    wait_for('the end after %s' % what, over, pause=0.02)
    failed = 'allocation fails' in consumer.words()
    if consumer.is_running():
        ends['%s: %s' % (whose, 'it copes' if failed else 'not reached')] += 1
        consumer.kill()
        return
    code = consumer.process.wait()
    last = consumer.words().strip().splitlines()[-1:] or ['']
    ends['%s: %s' % (whose, 'exit code %d' % code if code >= 0 else signal.Signals(-code).name)] += 1
    if whose == 'own':
        told = code == 70 and 'out of memory' in consumer.words() and failed
        run.expect_that('%s: exit code 70 and a sentence' % what, told, 'exit code %d: %s' % (code, last[0][:200]))
    else:
        run.expect_that('%s: no crash' % what, code not in (-signal.SIGSEGV, -signal.SIGBUS) and failed,
                        'exit code %d: %s' % (code, last[0][:200]))


with Run('alloc') as run:
    db, stream = run.database(), HostileStream(run, 3)
    stream.publish()
    consumer = Starving(run, db, stream.topic, RULES, 'starving', '--batch-records', '12', '--linger', '10ms', '--retry-min', '50ms',
                        '--instance-id', 'starving')
    run.consumers.append(consumer)
    ends = collections.Counter()
    for time in range(TIMES):
        one_time(run, consumer, stream, 'all' if time % 3 == 2 else 'own', ends)
    consumer.start()
    stream.drain(db)
    consumer.stop()
    for what, count in sorted(ends.items()):
        say('  %-32s %4d' % (what, count))
    run.expect_that('allocations of its own that failed', sum(ends[what] for what in ends if what == 'own: exit code 70') >= TIMES // 4,
                    dict(ends))
    run.expect_oracle('%d events after %d starts' % (stream.events, consumer.starts), db, RULES, stream.path)
