# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer rebuild`: with the same rules nothing changes, ids, comments and rights included; with other rules the
tables become what the oracle says of them, decisions included; consumers wait and go on, or stop if their rules are the
former ones; readers see all of the old tables or all of the new ones and never an error; kill -9, SIGTERM and a second
rebuild at the same time do no harm.

    rebuild.py [EVENTS]     default: 6000 events of a simulated population for the part with readers
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from harness import Failure, KEY_FILE, ORACLE, ROOT, Run, Session, generate, polku_oracle, program, say, wait_for
from rebuild_support import Rebuild, changed_rules, consumer_says, everything, filling, load, rebuild, schema, sums
import population  # of tests/oracle, which harness puts before this folder

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SMALL = os.path.join(ORACLE, 'rules_small.yaml')
STORIES = [os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % n) for n in range(5)]
AS_OF = '--as-of', '2026-01-01T00:00:00Z'  # after the last event of the stories
EVENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 6000


# ---- the parts ----


def same_rules(run):
    db, topic = run.database(), run.topic(6)
    db.rows('CREATE VIEW public.of_mine AS SELECT customer_id, count(*) AS journeys FROM bi.journey GROUP BY 1')
    db.rows('GRANT SELECT ON public.of_mine, polku.journey TO polku_reader')
    db.rows("CREATE VIEW public.deep WITH (security_barrier = true) AS SELECT count(*) FROM polku.interaction_hourly")
    db.rows('CREATE INDEX journey_of_mine ON polku.journey (last_at)')
    code, first = rebuild(db, RULES)
    run.expect_that('an empty database has nothing to rebuild', code == 0 and first.said('there is nothing to rebuild'))
    load(run, db, topic, RULES, *STORIES)
    before, was, others = sums(db, *AS_OF), schema(db), everything(db)
    mine = db.rows('TABLE public.of_mine ORDER BY 1')
    code, done = rebuild(db, RULES)
    run.expect_that('stories: a rebuild with the same rules', code == 0 and done.said('rebuild is done'), done.lines[-1])
    run.expect('stories: every table and view is as before, ids included', before, sums(db, *AS_OF))
    run.expect('stories: events whole, values, positions, quarantine, decisions', others, everything(db))
    run.expect_that('stories: schema, comments, indexes, owners and rights as before, %d lines' % len(was), was == schema(db))
    run.expect_that('stories: a view of somebody else reads the new tables', mine == db.rows('TABLE public.of_mine ORDER BY 1'),
                    '%d rows' % len(mine))

    db.rows('CREATE MATERIALIZED VIEW public.heavy AS SELECT * FROM polku.journey')
    code, done = rebuild(db, RULES)
    run.expect_that('a materialized view on the tables is named before anything is done',
                    code == 1 and done.said('materialized view public.heavy'), done.lines[-1].get('reason'))
    db.rows('DROP MATERIALIZED VIEW public.heavy')
    db.rows('CREATE FUNCTION public.f(polku.journey) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$')
    code, done = rebuild(db, RULES)
    run.expect_that('so is a function of a table', code == 1 and done.said('would be lost'), done.lines[-1].get('reason'))
    db.rows('DROP FUNCTION public.f(polku.journey)')

    admin = '%s_admin' % db.name
    db.rows('CREATE ROLE %s LOGIN' % admin)
    code, done = rebuild(db, RULES, user=admin)
    run.expect_that('so is a right that is missing', code == 1, done.lines[-1].get('reason'))
    db.rows('GRANT polku_owner TO %s; GRANT CREATE ON DATABASE %s TO %s' % (admin, db.name, admin))
    code, done = rebuild(db, RULES, user=admin)
    run.expect_that('so is a view of another owner on the tables themselves', code == 1 and done.said('view public.deep'),
                    done.lines[-1].get('reason'))
    db.rows('DROP VIEW public.deep')
    was = schema(db)
    code, done = rebuild(db, RULES, user=admin)
    run.expect_that('a member of polku_owner can do it, and owns nothing afterwards', code == 0 and was == schema(db),
                    done.lines[-1]['message'])
    db.rows('REVOKE CREATE ON DATABASE %s FROM %s; DROP OWNED BY %s; DROP ROLE %s' % (db.name, admin, admin, admin))

    hashing = changed_rules(run, RULES, 'hashing.yaml', ('phone_country: "358"', 'phone_country: "46"'))
    code, done = rebuild(db, hashing)
    run.expect_that('rules that hash otherwise are refused', code == 1 and
                    done.said('rebuild --from-kafka'))
    run.expect_that('all of that changed nothing', before == sums(db, *AS_OF) and was == schema(db))


def decide(db, *arguments):
    subprocess.run([program('polku-consumer', 'consumer'), 'identity', '--database', db.conninfo, '--rules', SMALL,
                    '--hash-key-file', KEY_FILE, '--log-level', 'error', *arguments], stdout=subprocess.DEVNULL, check=True)


def other_rules(run, seed):
    """A small hostile set with decisions: as it is, then with other rules, then with the former ones again."""
    generator = generate.Generator(seed, events=run.random.choice([60, 150, 300]))
    events = generator.generate()
    path = run.file('events-%d.jsonl' % seed)
    with open(path, 'w', encoding='utf-8') as file:
        generate.write(events, file)
    moment = max(generator.at_of(e) for e in events)
    as_of = '--as-of', polku_oracle.format_time(moment - run.random.randrange(0, generator.span))
    db, topic = run.database(), run.topic(3)
    load(run, db, topic, SMALL, path)
    decisions = []
    for customer, one, other in db.rows("""SELECT customer_id, min(hash::text), max(hash::text) FROM polku.identifier
            WHERE kind = 0 AND customer_id IS NOT NULL GROUP BY 1 HAVING count(*) > 2 ORDER BY 1 LIMIT 1"""):
        decisions.append(('unlink', one, other))
    for kind, what in (('block', 'kind = 1'), ('unlink', 'kind = 0 AND flags & 1 = 0'), ('block', 'kind = 0 AND flags & 1 <> 0')):
        decisions += [(kind, name) for name, in db.rows('SELECT hash FROM polku.identifier WHERE %s ORDER BY hash LIMIT 1' % what)]
    for decision in decisions:
        decide(db, *decision)
    if decisions:
        decide(db, 'restore', *decisions[0][1:])
    sure = sums(db, *as_of)
    others = everything(db)
    batch = '--batch-records', str(run.random.choice([1, 7, 40, 25000]))
    code, done = rebuild(db, SMALL, *batch)
    run.expect('seed %d: %d events, %d decisions, %s, the same rules' % (seed, len(events), len(decisions), ' '.join(batch)),
               (0, sure, others), (code, sums(db, *as_of), everything(db)))
    horizon = polku_oracle.format_time(generate.BASE)
    changed = changed_rules(
        run, SMALL, 'changed-%d.yaml' % seed, ('gap: 60s', 'gap: 45s'), ('max_events: 40', 'max_events: 30'),
        ('max_people: 1,', 'max_people: 2,'), ('priority: 60, normalise: phone', 'priority: 45, normalise: phone'),
        ('lookback: 60s', 'lookback: 90s'), ('max_component: 8', 'max_component: 6'), (', store: clear', ''),
        ('horizon: 1990-01-01', 'horizon: %s' % horizon[:10]))
    code, reason = consumer_says(run, db, topic, changed)
    run.expect_that('seed %d: a consumer with other rules refuses' % seed, code == 1 and 'run polku-consumer rebuild' in reason, reason)
    code, done = rebuild(db, changed, *batch)
    run.expect('seed %d: a rebuild with other rules' % seed, 0, code)
    run.expect_oracle('seed %d: the other rules' % seed, db, changed, *as_of, path)
    run.expect('seed %d: nothing is stored clear any more' % seed, 0, db.number('SELECT count(value) FROM polku.identifier'))
    late = len({(e['source'], e['event_id'], generator.at_of(e)) for e in events if generator.at_of(e) < generate.BASE})
    run.expect('seed %d: events before the new horizon are in quarantine' % seed, late,
               db.number("SELECT count(*) FROM bi.quarantine WHERE reason = 'too_late'"))
    code, reason = consumer_says(run, db, topic, SMALL)
    run.expect_that('seed %d: now a consumer with the former rules refuses' % seed, code == 1 and 'run polku-consumer rebuild' in reason)
    if db.deadlocks():
        run.expect('seed %d: deadlocks' % seed, 0, db.deadlocks())
    db.drop()
    topic.drop()
    run.made.remove(db)
    run.made.remove(topic)


LOOK = """SELECT (SELECT format('%s %s', count(*), sum(events)) FROM bi.journey), (SELECT count(*) FROM bi.interaction),
          (SELECT count(*) FROM bi.customer), (SELECT count(*) FROM bi.customer_redirect)"""


class Reader(threading.Thread):
    """Reads bi.journey all the time; what it saw, and how long the longest look took."""

    def __init__(self, db):
        super().__init__()
        self.session, self.over, self.seen, self.error = Session(db.conninfo), False, [], None
        self.looks, self.longest = 0, 0.0

    def run(self):
        try:
            while not self.over:
                started = time.monotonic()
                row = self.session.rows(LOOK)[0]
                self.longest = max(self.longest, time.monotonic() - started)
                self.looks += 1
                if row not in self.seen:
                    self.seen.append(row)
        except Failure as failure:
            self.error = str(failure)

    def end(self):
        self.over = True
        self.join()
        self.session.close()


def interruptions(run, db, rules):
    """A rebuild is killed, stopped, and doubled; the tables in use stay as they are."""
    before = sums(db)
    slow = '--batch-records', '50'
    first = Rebuild(db, rules, *slow)
    wait_for('the new tables fill', lambda: filling(db))
    second = Rebuild(db, rules)
    run.expect_that('a second rebuild at the same time is refused at once',
                    second.wait() == 1 and second.said('another rebuild or a migration'), second.lines[-1].get('reason'))
    first.process.kill()
    first.wait()
    run.expect('kill -9: the tables in use are as before', before, sums(db))
    run.expect('kill -9: the new tables are left behind', True, bool(db.value("SELECT to_regnamespace('polku_rebuild')")))
    stopped = None
    for _ in range(50):  # until the killed one's server process has noticed
        stopped = Rebuild(db, rules, *slow)
        wait_for('the new tables fill again', lambda: stopped.process.poll() is not None or
                 stopped.said('waiting for the batches under way') and filling(db))
        if stopped.process.poll() is None:
            break
        time.sleep(0.2)
    stopped.process.send_signal(signal.SIGTERM)
    run.expect_that('SIGTERM: exit code 1, and it says that nothing changed',
                    stopped.wait(30) == 1 and stopped.said('the tables are as they were'), stopped.lines[-1].get('reason'))
    broken = Rebuild(db, rules, *slow)
    wait_for('the new tables fill once more', lambda: broken.said('waiting for the batches under way') and filling(db))
    db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'polku-consumer rebuild'")
    run.expect_that('PostgreSQL ends its connections: exit code 1', broken.wait(30) == 1, broken.lines[-1].get('reason'))
    run.expect('SIGTERM, lost connections: no new tables stay', None, db.value("SELECT to_regnamespace('polku_rebuild')"))
    run.expect('SIGTERM, lost connections: the tables in use are as before', before, sums(db))


def while_people_read(run):
    """A population; a rebuild with other rules while one reader never stops, one holds a snapshot and one is slow."""
    made, _ = population.make(run.seed, RULES, max(EVENTS * 3 // 20, 20), EVENTS)
    lines = [json.dumps(natural) + '\n' for natural in made.naturals()]
    path, more = run.file('population.jsonl'), run.file('more.jsonl')
    cut = len(lines) * 9 // 10
    for name, part in ((path, lines[:cut]), (more, lines[cut:])):
        with open(name, 'w', encoding='utf-8') as file:
            file.writelines(part)
    db, topic = run.database(), run.topic(4)
    load(run, db, topic, RULES, path)
    interruptions(run, db, RULES)

    consumer = run.consumer(db, topic, RULES, '--lock-timeout', '1s', name='same-rules').start()
    wait_for('the consumer is up', lambda: run.alive() and consumer.is_up())
    holder = Session(db.conninfo)  # makes the rebuild last
    holder.rows('BEGIN ISOLATION LEVEL REPEATABLE READ')
    holder.rows('SELECT 1')
    begun = Rebuild(db, RULES, '--batch-records', '200')
    wait_for('the new tables fill', lambda: filling(db))
    stood = db.position(topic)
    topic.publish('--partition-by', 'random', '--seed', '5', more)
    wait_for('the consumer waits in vain', lambda: run.alive() and consumer.said('a batch failed and will be read again'))
    run.expect('while a rebuild is at work nothing is committed', (stood, None), (db.position(topic), begun.process.poll()))
    consumer.stop()
    consumer.start()
    wait_for('one that starts meanwhile claims, and waits too', lambda: run.alive() and consumer.is_up())
    holder.rows('COMMIT')
    holder.close()
    run.expect_that('a rebuild beside a running consumer', begun.wait() == 0, begun.lines[-1])
    topic.drain(db)
    run.expect_oracle('the consumer went on by itself, and all is as the oracle says', db, RULES, path, more)

    changed = changed_rules(run, RULES, 'other.yaml', ('max_links: 20', 'max_links: 3'), ('priority: 60', 'priority: 45'))
    old = db.rows(LOOK)[0]
    readers = [Reader(db) for _ in range(2)]
    snapshot, slow = Session(db.conninfo), Session(db.conninfo)
    for reader in readers:
        reader.start()
    snapshot.rows('BEGIN ISOLATION LEVEL REPEATABLE READ')
    snapshot.rows('SELECT count(*) FROM bi.freshness')  # nothing that is swapped, but an old snapshot
    begun = Rebuild(db, changed)
    wait_for('it waits for the old snapshot', lambda: begun.said('waiting for transactions that began before'))
    half = snapshot.rows('SELECT count(*), sum(events) FROM bi.journey')[0]
    slow.rows('BEGIN')
    slow.rows('SELECT count(*) FROM bi.customer')  # a report that is not at its end
    snapshot.rows('COMMIT')
    wait_for('it waits for the report', lambda: begun.said('waiting for a moment without readers'))
    looks = readers[0].looks
    wait_for('readers go on meanwhile', lambda: readers[0].looks > looks + 5)
    slow.rows('COMMIT')
    run.expect_that('a rebuild with other rules while people read', begun.wait() == 0, begun.lines[-1])
    new = db.rows(LOOK)[0]
    looks = [reader.looks for reader in readers]
    wait_for('both have looked again', lambda: all(r.looks > n + 1 or r.error for r, n in zip(readers, looks)))
    for reader in readers:
        reader.end()
    snapshot.close()
    slow.close()
    run.expect_that('the rules make a difference', old != new, '%s, %s' % (old, new))
    for reader in readers:
        run.expect('a reader sees the old tables or the new ones, in %d looks; the longest %.2f s' % (reader.looks, reader.longest),
                   (None, [old, new]), (reader.error, reader.seen))
    run.expect('a transaction with an old snapshot saw the old tables', old[0], ' '.join(half))
    run.expect_oracle('the other rules', db, changed, path, more)
    stood, events = db.position(topic), db.number('SELECT count(*) FROM bi.interaction')
    topic.publish(STORIES[0])  # it was idle
    wait_for('the consumer with the former rules stops', lambda: not consumer.is_running())
    reasons = [line['reason'] for line in consumer.log() if line.get('level') == 'error']
    run.expect_that('the consumer with the former rules stops at the next event', consumer.process.returncode == 1 and
                    len(reasons) == 1 and 'another rules file' in reasons[0], reasons)
    run.expect('and has written nothing', (stood, events), (db.position(topic), db.number('SELECT count(*) FROM bi.interaction')))
    os.rename(consumer.log_path, consumer.log_path + '.expected')  # its error was wanted
    consumer.process = None
    run.expect('deadlocks', 0, db.deadlocks())
    say('  %d events derived again and swapped in %.1f s' % (begun.said('rebuild begins')['events'], begun.said('rebuild is done')['seconds']))


with Run('rebuild') as run:
    same_rules(run)
    for number in range(6):
        other_rules(run, run.seed + number)
    while_people_read(run)
