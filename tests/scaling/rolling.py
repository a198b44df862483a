# SPDX-License-Identifier: Apache-2.0
"""A rolling upgrade with a migration in between, under load: the old consumers stay at work while the new program migrates, then
they are replaced one by one. Nobody stops, no record is left out, and the tables are those of the oracle.

The new program is polku-consumer-next (CMakeLists.txt): today's, but it needs one migration more. That migration is made here: a
new column of a busy table, a new table, a view with a column more. Told `-- oldest program: N`, it leaves programs of
schema N at work, also if they are started again or lose their connection. Without that line they end at their next connection
with a sentence, and the new ones go on where they stood.

A database that was upgraded, one migration at a time or under load, is built like one that was made anew (pg_dump).
"""

import glob
import os
import re
import shutil
import signal

from stream import RULES, Stream, Watch, end_of_topic
from harness import ROOT, Database, Run, Session, program, run_program, say, wait_for

PARTITIONS, RATE, CREW = 6, 500, 3
SQL = os.path.join(ROOT, 'sql')
NOW = len(glob.glob(os.path.join(SQL, 'migrations', '[0-9]*.sql')))
NEXT = '%04d_next.sql' % (NOW + 1)

MIGRATION = '''-- SPDX-License-Identifier: Apache-2.0
-- What a release to come may bring.
%s
ALTER TABLE polku.journey ADD mood text;
COMMENT ON COLUMN polku.journey.mood IS 'A column that older programs do not know.';

CREATE TABLE polku.mood (mood text PRIMARY KEY, since timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE polku.mood IS 'A table that older programs do not know.';
COMMENT ON COLUMN polku.mood.mood IS 'What it is called.';
COMMENT ON COLUMN polku.mood.since IS 'Since when.';

DO $$
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW bi.freshness AS SELECT f.*, now() - f.moved_at AS quiet FROM (' ||
        rtrim(pg_get_viewdef('bi.freshness'::regclass), ';') || ') f';
END
$$;
COMMENT ON COLUMN bi.freshness.quiet IS 'Time since it last moved.';
'''


def consumer_of(generation):
    return program('polku-consumer' + generation, *(['tests', 'scaling'] if generation else ['consumer']))


def sql_folder(run, name, mark):
    """The repository's sql with one migration more."""
    folder = run.file(name)
    shutil.copytree(SQL, folder)
    with open(os.path.join(folder, 'migrations', NEXT), 'w', encoding='ascii') as file:
        file.write(MIGRATION % mark)
    return folder


def migrate(generation, db, folder):
    done = run_program([consumer_of(generation), 'migrate', '--database', db.conninfo, '--sql', folder, '--log-format', 'text'])
    return done.stderr.decode()


class Crew:
    """Three consumers with static names; each may be of the old program or of the next one."""

    def __init__(self, run, db, topic, *options):
        self.run, self.db, self.topic, self.options = run, db, topic, options
        self.one = [self.make(n) for n in range(CREW)]

    def make(self, n, generation=''):
        name = 'member-%d' % n
        consumer = self.run.consumer(self.db, self.topic, RULES, '--instance-id', name, *self.options,
                                     name='%s%s-%s' % (name, generation, self.db.name[-1]))
        consumer.command[0] = consumer_of(generation)
        consumer.command[consumer.command.index('--client-id') + 1] = name
        return consumer

    def start(self):
        for consumer in self.one:
            consumer.start()

    def leave(self, n):
        self.one[n].signal(signal.SIGTERM)
        self.run.expect('%s leaves with exit code' % self.one[n].name, 0, self.one[n].process.wait(120))

    def replace(self, n):
        self.leave(n)
        self.one[n] = self.make(n, '-next').start()

    def cut(self, n):
        """Ends its connection; true once the server process is another one."""
        sql = "SELECT %%s FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'member-%d'" % n
        pid = self.db.number(sql % 'pid')
        self.db.rows(sql % 'pg_terminate_backend(pid)')
        return pid, lambda: self.db.number(sql % 'max(pid)') not in (0, pid)

    def wait_until_up(self):
        wait_for('all of them have claimed partitions', lambda: self.run.alive() and all(c.is_up() for c in self.one)
                 and sum(c.claimed() for c in self.one) == PARTITIONS)


def under_load(run, db, topic):
    folder = sql_folder(run, 'sql-next', '-- oldest program: %d' % NOW)
    watch, stream = Watch(db).start(), Stream(run, topic, RATE).start()
    crew = Crew(run, db, topic)

    def goes_on(what):
        crew.wait_until_up()
        watch.wait_until_all_move(run, stream, PARTITIONS)
        run.expect_that('%s: each partition goes on' % what, True, '%d records are stored' % watch.total())

    crew.start()
    goes_on('three old consumers')
    said = migrate('-next', db, folder)
    run.expect_that('the next program migrates meanwhile', NEXT in said, said.strip().splitlines()[-1].split('  ')[-1])
    run.expect('number and oldest program in the database', [[str(NOW + 1), str(NOW)]],
               db.rows('SELECT number, oldest_program FROM polku.schema_migration ORDER BY number DESC LIMIT 1'))
    goes_on('old ones over the new tables')
    crew.leave(0)
    crew.one[0].start()
    goes_on('an old one is started again')
    pid, back = crew.cut(1)
    run.expect_that('an old one lost its connection', pid > 0)
    wait_for('it is connected again', lambda: run.alive() and back())
    goes_on('an old one is connected again')
    for n in range(CREW):
        crew.replace(n)
        goes_on('%d of %d are new' % (n + 1, CREW))
    stream.end()
    topic.drain(db)
    watch.end()
    for n in range(CREW):
        crew.leave(n)
    table = watch.longest(0, float('inf'))
    say('  longest time without a commit, by partition: %s s' % ' '.join('%.1f' % table[p] for p in sorted(table)))
    run.expect('records stored = records in Kafka = records that were published', [topic.records] * 2,
               [db.position(topic), end_of_topic(run, topic)])
    run.expect('in quarantine', 0, db.number('SELECT count(*) FROM bi.quarantine'))
    run.expect_checksums("every table equals the oracle's", stream.oracle(), db)
    run.expect_verified(db, RULES)  # by the old program
    return stream


def unmarked(run, db, topic, stream):
    """The records once more into another database; its migration says nothing of older programs."""
    folder = sql_folder(run, 'sql-unmarked', '')
    crew = Crew(run, db, topic, '--rate', '30')
    for consumer in crew.one:
        run.consumers.remove(consumer)  # they end with an error, and are to
    crew.start()
    wait_for('they are at work', lambda: sum(c.claimed() for c in crew.one) == PARTITIONS and db.position(topic) > 0)
    migrate('-next', db, folder)
    before = db.position(topic)
    wait_for('those who are connected finish what they are at', lambda: db.position(topic) > before or before == topic.records)
    for n, consumer in enumerate(crew.one):
        run.expect('%s was at work until then' % consumer.name, True, consumer.is_running())
        crew.cut(n)
        run.expect('... loses its connection and ends: exit code', 1, consumer.process.wait(120))
        reasons = [str(line) for line in consumer.log() if line.get('level') == 'error']
        wanted = 'needs a program that knows %d, this one knows %d: install the newer program' % (NOW + 1, NOW)
        run.expect_that('... and says why', any(wanted in reason for reason in reasons), wanted)
    say('  %d of %d records are stored' % (db.position(topic), topic.records))
    crew.options = ()
    crew.one = [crew.make(n, '-next') for n in range(CREW)]
    crew.start()
    topic.drain(db)
    for n in range(CREW):
        crew.leave(n)
    run.expect_checksums("the next ones complete it: every table equals the oracle's", stream.oracle(), db)


def dump(db):
    """How it is built. Lines that pg_dump makes up anew each time are left out."""
    text = run_program(['pg_dump', '--schema-only', '--no-owner', '-d', db.conninfo]).stdout.decode()
    return [line for line in text.splitlines() if not re.match(r'\\(un)?restrict', line)]


class Bare(Database):
    """A database without tables."""

    def __init__(self, run, name):  # pylint: disable=super-init-not-called
        self.run, self.name = run, name
        self.conninfo = '%s dbname=%s' % (os.environ['POLKU_TEST_DATABASE'], name)
        run.server.rows('CREATE DATABASE %s TEMPLATE template0' % name)
        self.session = Session(self.conninfo)
        run.made.append(self)


def built_alike(run, upgraded):
    folder = run.file('sql-next')
    months = "SELECT polku.ensure_months(array_agg(m::date)) FROM unnest(ARRAY[%s]::date[]) m" % ', '.join(
        "'%s'" % row[0] for row in upgraded.rows("SELECT DISTINCT date_trunc('month', occurred_at)::date FROM polku.interaction"))
    fresh, stepwise = (Bare(run, ('polku_it_%s_%s' % (run.tag, name)).lower()) for name in ('fresh', 'stepwise'))
    migrate('-next', fresh, folder)
    steps = run.file('sql-steps')
    os.makedirs(os.path.join(steps, 'migrations'))
    with open(os.path.join(steps, 'roles.sql'), 'w', encoding='ascii'):
        pass
    for path in sorted(glob.glob(os.path.join(folder, 'migrations', '*.sql'))):
        shutil.copy(path, os.path.join(steps, 'migrations'))
        migrate('', stepwise, steps)
    migrate('', stepwise, folder)
    wanted = dump(fresh)
    run.expect('differences between %d migrations at once and one at a time' % (NOW + 1), [], sorted(set(wanted) ^ set(dump(stepwise)))[:5])
    fresh.rows(months)
    wanted = dump(fresh)
    got = dump(upgraded)
    run.expect('differences between a fresh database and the one that was upgraded under load', [],
               sorted(set(wanted) ^ set(got))[:5])
    run.expect_that('both are of as many lines', len(wanted) == len(got), len(got))


if __name__ == '__main__':
    with Run('rolling') as run:
        topic, db = run.topic(PARTITIONS), run.database()
        stream = under_load(run, db, topic)
        built_alike(run, db)
        unmarked(run, run.database(), topic, stream)
