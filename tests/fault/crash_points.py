# SPDX-License-Identifier: Apache-2.0
"""Every crash point (consumer/crash_point.def) is hit again and again: the consumer stops there as if by kill -9, is started
again, goes on. At the end every table equals the oracle's, and no point is left that was not hit.

    crash_points.py [HITS [POINT...]]     default: POLKU_TEST_HITS or 2 hits of every point

Small hostile sets of events (tests/oracle/generate.py) with copies and stragglers come as long as they are needed, in random
order over partitions with no regard to the customer, to two consumers in tiny batches; one of them is stopped. They are
static members of their group, so that a new process need not wait until the old one is missed.
"""

import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

from harness import KEY_FILE, ORACLE, ROOT, Consumer, Database, Failure, Run, Session, generate, program, run_program, say, wait_for  # noqa: E402
from hostile_stream import HostileStream  # noqa: E402

RULES = os.path.join(ORACLE, 'rules_small.yaml')
HITS = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get('POLKU_TEST_HITS') or 2)
WANTED = sys.argv[2:]
WRITERS_LOCK = 482905713525  # K of docs/protocol.md
ONCE = {'months_sent', 'months_made', 'words_sent', 'words_known', 'locked_begun', 'locked_more', 'locked_before_commit',
        'alone_begun', 'alone_before_commit', 'claim_begun', 'claim_sent', 'claim_read', 'claimed', 'revoked_begun', 'revoked_done',
        'rules_sent', 'rules_stored'}  # a process passes them once or seldom; else at one of the first few passages


def crash_program():
    return program('polku-consumer-crash', 'tests', 'fault')


def with_point(point, passage):
    return dict(os.environ, POLKU_CRASH_POINT='%s:%d' % (point, passage)) if point else dict(os.environ)


def all_points():
    with open(os.path.join(ROOT, 'consumer', 'crash_point.def'), encoding='utf-8') as file:
        return re.findall(r'^X\((\w+),', file.read(), re.MULTILINE)


class Crasher(Consumer):
    """A consumer of the test build."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.command[0] = crash_program()

    def start(self, point=None, passage=1):
        self.lines_before = len(self.log()) if self.starts else 0
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=with_point(point, passage))
        self.starts += 1
        return self

    def stopped_at(self, point):
        """It has stopped there; a failure if it has ended in any other way."""
        code = self.process.poll()
        if code is None:
            return False
        with open(self.log_path, 'rb') as file:
            last = file.read().rstrip().rpartition(b'\n')[2].decode()
        if code != -signal.SIGKILL or last != 'crash point ' + point:
            raise Failure('%s ended with %d before %s: %s' % (self.name, code, point, last))
        return True


class Points:
    """What was hit."""

    def __init__(self, run):
        self.run = run
        self.hits = {name: 0 for name in all_points() if not WANTED or name in WANTED}
        self.restarts = dict.fromkeys(self.hits, 0)
        self.results = {}
        self.took = dict.fromkeys(self.hits, 0.0)

    def missing(self, *names):
        return [name for name in names if self.hits.get(name, HITS) < HITS]

    def compared(self, db, stream, names):
        """Closes a group."""
        names = [name for name in names if name in self.hits]
        before = self.run.failed
        stream.drain(db)
        self.run.expect_oracle('%s: %d events published %d times over' % (', '.join(names), stream.events, stream.topic.records), db,
                               RULES, stream.path)
        for name in names:
            self.results[name] = 'equal' if self.run.failed == before else 'DIFFERS'

    def show(self):
        say('  %-22s %5s %9s %8s  %s' % ('point', 'hits', 'restarts', 'seconds', 'result'))
        for name in self.hits:
            say('  %-22s %5d %9d %8.1f  %s' % (name, self.hits[name], self.restarts[name], self.took[name],
                                               self.results.get(name, 'not compared')))


class Group:
    """Two consumers on one stream; the first one is stopped at points."""

    def __init__(self, run, points):
        self.run, self.points = run, points
        self.db = run.database()
        self.stream = HostileStream(run, 6)
        self.seen = None
        self.victim, self.other = (self.member(Crasher, name) for name in ('victim', 'other'))

    def member(self, kind, name, *options):
        member = kind(self.run, self.db, self.stream.topic, RULES, name, '--batch-records', str(self.run.random.choice([5, 12, 30])),
                      '--linger', '10ms', '--lock-timeout', '400ms', '--retry-min', '50ms',
                      *(options or ('--instance-id', name)))
        self.run.consumers.append(member)
        return member

    def feed(self):
        """One set more, when everything that was published is read."""
        if self.db.position(self.stream.topic) >= self.stream.topic.records:
            self.stream.publish()
            return True
        return False

    def hit(self, point, nudge=None):
        """One process that stops at the point; `nudge` is called until it has."""
        begun = time.monotonic()
        passage = 1 if point in ONCE else self.run.random.randint(1, 4)
        self.victim.start(point, passage)
        wait_for('%s is passed %d times' % (point, passage), lambda: self.victim.stopped_at(point) or (nudge or self.feed)() and False,
                 pause=0.01)
        self.points.hits[point] += 1
        self.points.restarts[point] += 1
        self.points.took[point] += time.monotonic() - begun

    def hit_all(self, names, nudge=None, before=None):
        """All of them in random order."""
        todo = [name for name in names if name in self.points.hits for _ in range(HITS)]
        self.run.random.shuffle(todo)
        for name in todo:
            if before:
                before(name)
            self.hit(name, nudge)

    def rest(self):
        """Both at work, nothing armed."""
        for member in (self.victim, self.other):
            if not member.is_running():
                member.start()
        wait_for('both are up', lambda: self.run.alive() and self.victim.is_up() and self.other.is_up())

    def settle(self, names):
        self.rest()
        self.points.compared(self.db, self.stream, names)
        self.victim.kill()


# ---- the groups ----

FIRST_START = ['rules_sent', 'rules_stored']
CLAIMS = ['claim_begun', 'claim_sent', 'claim_read', 'claimed']
BATCH = ['months_sent', 'months_made', 'words_sent', 'words_known', 'before_fence', 'after_fence', 'among_statements',
         'before_commit', 'commit_sent', 'commit_read', 'before_kafka', 'kafka_told']
MET = ['locked_begun', 'locked_more', 'locked_before_commit']
ALONE = ['alone_begun', 'alone_before_commit']
REVOKED = ['revoked_begun', 'revoked_done']
REBUILD = ['rebuild_filling', 'rebuild_before_swap', 'rebuild_in_swap', 'rebuild_swapped']
DECISION = ['decision_before', 'decision_sent', 'decision_done']
FORGET = ['forget_before', 'forget_sent', 'forget_done']
REQUEUE = ['requeue_sent', 'requeue_done']
MIGRATE = ['migrate_within', 'migrate_before_commit', 'migrate_between', 'migrate_roles']


def first_start(group):
    """Nobody has stored rules yet; after they were stored, the database is made as new as before."""
    def as_new(_):
        group.db.rows("""TRUNCATE polku.rules_state, polku.calendar, polku.calendar_open, polku.kind, polku.definition,
                         polku.milestone CASCADE""")
    group.hit_all(FIRST_START, nudge=lambda: False, before=as_new)
    group.other.start()
    wait_for('the other one is up', lambda: group.run.alive() and group.other.is_up())


def command(group, point, *arguments):
    """A command of the test build, stopped at the point."""
    begun = time.monotonic()
    done = subprocess.run([crash_program(), *arguments], env=with_point(point, 1), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    if point:
        last = done.stderr.decode().rstrip().rpartition('\n')[2]
        if done.returncode != -signal.SIGKILL or last != 'crash point ' + point:
            raise Failure('%s ended with %d before %s: %s' % (arguments[0], done.returncode, point, done.stderr.decode()[-2000:]))
        group.points.hits[point] += 1
        group.points.took[point] += time.monotonic() - begun
    return done


def derive_options(group):
    return '--database', group.db.conninfo, '--rules', RULES, '--hash-key-file', KEY_FILE


def each_hit(group, names):
    for point in names:
        for _ in range(HITS if point in group.points.hits else 0):
            group.points.restarts[point] += 1
            yield point


def fetch(group, what, sql):
    """A row, if need be of a set that is still to come; while nothing is read that could change it."""
    def look():
        rows = group.db.rows(sql) if group.db.position(group.stream.topic) >= group.stream.topic.records else []
        if not rows:
            group.feed()
        return rows
    return group.run.random.choice(wait_for(what, look))[0]


SOMEBODY = """SELECT i.hash FROM polku.identifier i WHERE i.kind = 0 AND i.flags & 25 = 0 AND i.customer_id IS NOT NULL
    AND (SELECT count(*) FROM polku.identifier o WHERE o.customer_id = i.customer_id) > 1
    AND NOT EXISTS (SELECT FROM polku.decision d WHERE i.hash IN (d.a, d.b))
    AND NOT EXISTS (SELECT FROM polku.forgotten f WHERE f.name = i.hash) ORDER BY 1"""


def change_of_one(group, names, arguments, done):
    """A command that changes one customer, stopped; then again unless it is done: `done` asks that of the database."""
    for point in each_hit(group, names):
        who = fetch(group, 'there is somebody', SOMEBODY)
        whole = [word.format(who) for word in arguments] + ['--by', 'crash', *derive_options(group)]
        command(group, point, *whole)
        if point != names[0]:
            wait_for('%s of %s is done, stopped at %s' % (arguments[0], who, point), lambda who=who: group.db.number(done.format(who)) > 0)
            continue
        if group.db.number(done.format(who)):
            group.run.expect('%s before its changes are sent' % arguments[0], 'nothing is changed', 'it is done')
        wait_for('its locks are gone', lambda whole=whole: command(group, None, *whole).returncode == 0)


def decisions(group):
    change_of_one(group, DECISION, ('identity', 'unlink', '{}'),
                  "SELECT count(*) FROM polku.decision WHERE a = '{}' AND restored_at IS NULL")


def forgettings(group):
    change_of_one(group, FORGET, ('forget', '{}'), "SELECT count(*) FROM polku.forgotten WHERE name = '{}'")
    group.stream.publish_again()  # of a forgotten event, another copy that was set aside is the event once it is read again


def requeues(group):
    """What lost against another copy of its event, published again, loses again."""
    waiting = "SELECT count(*) FROM polku.quarantine WHERE reason = 'conflicting_duplicate' AND requeued_at IS NULL HAVING count(*) > 0"
    arguments = ('requeue', '--reason', 'conflicting_duplicate', '--database', group.db.conninfo, '--brokers', group.run.brokers)
    for point in each_hit(group, REQUEUE):
        before = int(fetch(group, 'there are records in quarantine', waiting))
        command(group, point, *arguments)
        group.stream.count()
        if point == 'requeue_sent' and group.db.number(waiting) < before:
            group.run.expect('records that are marked before they are', 0, before - group.db.number(waiting))
    command(group, None, *arguments)
    group.stream.count()


def rebuild(group, point):
    arguments = [*derive_options(group), '--log-format', 'json', '--batch-records', '50']

    def attempt():
        done = subprocess.run([crash_program(), 'rebuild', *arguments], env=with_point(point, 1), stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, check=False)
        busy = b'another rebuild or a migration' in done.stderr  # the lock of the one before is not gone yet
        return None if done.returncode > 0 and busy else done
    return wait_for('no other rebuild is at work', attempt)


def rebuilds(group):
    todo = [name for name in REBUILD if name in group.points.hits for _ in range(HITS)]
    group.run.random.shuffle(todo)
    for point in todo:
        begun = time.monotonic()
        done = rebuild(group, point)
        last = done.stderr.decode().rstrip().rpartition('\n')[2]
        if done.returncode != -signal.SIGKILL or last != 'crash point ' + point:
            raise Failure('rebuild ended with %d before %s: %s' % (done.returncode, point, done.stderr.decode()[-2000:]))
        group.points.hits[point] += 1
        group.points.restarts[point] += 1
        group.points.took[point] += time.monotonic() - begun
    if todo:
        done = rebuild(group, None)
        group.run.expect('a rebuild after all of them comes to its end', 0, done.returncode)


def met(group):
    """Batches of the two that meet on the same cells; both read while the sets come in quick succession."""
    group.hit_all(MET)


def alone(group):
    """Somebody holds every cell until the victim has asked to be alone, and a share of the lock of writers for as long: it is
    queued for it, and goes on as soon as it is let."""
    holder = Session(group.db.conninfo)
    held = []

    def hold(_=None):
        if not held:
            holder.rows('BEGIN; SELECT pg_advisory_xact_lock_shared(%d)' % WRITERS_LOCK)
            holder.rows('SELECT count(*) FROM (SELECT FROM polku.guard_cell ORDER BY cell_id FOR UPDATE) c')
            held.append(True)

    def nudge():
        if not held:
            if group.db.position(group.stream.topic) >= group.stream.topic.records:
                hold()
            return
        group.feed()
        if group.db.number("""SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'
                AND l.mode = 'ExclusiveLock' AND NOT l.granted AND a.application_name = 'victim'
                AND a.datname = current_database()"""):
            holder.rows('ROLLBACK')
            held.clear()
    group.hit_all(ALONE, nudge)
    if held:
        holder.rows('ROLLBACK')
    holder.close()


def revoked(group):
    """A third one comes, so that everybody's partitions are revoked, and leaves."""
    guest = group.member(Consumer, 'guest', '--client-id', 'guest')
    for name in [name for name in REVOKED if name in group.points.hits for _ in range(HITS)]:
        def nudge():
            group.feed()
            if group.victim.is_up() and not guest.is_running():
                guest.start()
        group.hit(name, nudge)
        if guest.is_running():
            guest.stop()


def migrations(run, points):
    """Commands that are stopped on their way to the schema of today: it is the schema that one run makes."""
    def schema(conninfo):
        text = run_program(['pg_dump', '--schema-only', '-d', conninfo]).stdout.decode()
        return [line for line in text.splitlines() if not line.startswith(('\\restrict', '\\unrestrict'))]

    def migrate(conninfo, point, passage=1):
        return subprocess.run([crash_program(), 'migrate', '--database', conninfo, '--sql', os.path.join(ROOT, 'sql')],
                              env=with_point(point, passage), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    reference = run.database()
    wanted, count = schema(reference.conninfo), reference.number('SELECT count(*) FROM polku.schema_migration')
    todo = [name for name in MIGRATE if name in points.hits for _ in range(HITS)]
    run.random.shuffle(todo)
    bases = differ = 0
    while todo:
        base = Bare(run, 'polku_it_%s_m%d' % (run.tag.lower(), bases))
        bases += 1
        done = 0
        while todo and done < count:
            point = todo[-1]
            passage = 1 if point == 'migrate_roles' else run.random.randint(1, min(3, count - done))
            begun = time.monotonic()
            process = migrate(base.conninfo, point, passage)
            if process.returncode != -signal.SIGKILL:
                raise Failure('migrate ended with %d before %s:%d: %s' % (process.returncode, point, passage,
                                                                        process.stdout.decode()[-2000:]))
            todo.pop()
            points.hits[point] += 1
            points.restarts[point] += 1
            points.took[point] += time.monotonic() - begun
            done = base.applied()
        process = migrate(base.conninfo, None)
        differ += process.returncode != 0 or schema(base.conninfo) != wanted
        base.drop()
    run.expect('databases that were migrated with stops, %d in all, that differ from one made without' % bases, 0, differ)
    for name in MIGRATE:
        if name in points.hits:
            points.results[name] = 'DIFFERS' if differ else 'equal'


class Bare(Database):
    """A database without anything."""

    def __init__(self, run, name):
        self.run, self.name, self.session = run, name, None
        self.conninfo = '%s dbname=%s' % (os.environ['POLKU_TEST_DATABASE'], name)
        run.server.rows('CREATE DATABASE %s TEMPLATE template0' % name)
        run.made.append(self)

    def applied(self):
        done = subprocess.run(['psql', '-X', '-At', '-d', self.conninfo, '-c', 'SELECT count(*) FROM polku.schema_migration'],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode().strip()
        return int(done or 0)


def main():
    with Run('crash_points') as run:
        points = Points(run)
        group = Group(run, points)
        first_start(group)
        for _ in range(3):
            group.stream.publish()
        group.settle(FIRST_START)
        for work, names in ((decisions, DECISION), (forgettings, FORGET), (requeues, REQUEUE), (rebuilds, REBUILD), (lambda g: g.hit_all(CLAIMS), CLAIMS),
                            (lambda g: g.hit_all(BATCH), BATCH), (met, MET), (alone, ALONE), (revoked, REVOKED)):
            if any(name in points.hits for name in names):
                work(group)
                group.settle(names)
        group.other.stop()
        migrations(run, points)
        points.show()
        run.expect('points that were not hit %d times' % HITS, [], points.missing(*points.hits))
        run.expect('deadlocks', 0, group.db.deadlocks())


if __name__ == '__main__':
    main()
