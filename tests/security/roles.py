# SPDX-License-Identifier: Apache-2.0
"""Who may do what in PostgreSQL: every role, every relation, every privilege, compared with the table below; and the same tried
by users who are members of one role only. A new table needs a line here, or this fails.
"""

import itertools
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'integration'))
from harness import KEY_FILE, ROOT, Encoder, Failure, Run, program, rules_of  # noqa: E402

# What the consumer's role may do with each table of schema polku: r read, a add, c change, d delete. The reader's: nothing.
WRITER = {
    '': 'identity_meeting_led',     # a view that views of bi are made of
    'r': 'schema_migration former_key',
    'ra': '''dictionary rules_state calendar calendar_open kind definition milestone forgetting forgotten''',
    'rac': '''stream_position quarantine_size retention
        interaction_hourly need_hourly rating_hourly money_hourly repeat_daily transition_hourly duration_hourly journey_daily
        obligation_hourly handoff_hourly course_daily milestone_daily step_daily path_daily
        interaction_daily need_daily rating_monthly money_monthly repeat_channel_daily transition_daily duration_daily
        journey_monthly obligation_daily handoff_daily''',
    'racd': '''interaction journey obligation course customer identifier sighting guard_cell identity_meeting decision quarantine
        quarantine_excess''',
}
SEQUENCES = {'guard_cell_id', 'stream_slot'}    # of these the writer takes numbers; of no other
PRIVILEGES = {'SELECT': 'r', 'INSERT': 'a', 'UPDATE': 'c', 'DELETE': 'd', 'TRUNCATE': None, 'REFERENCES': None, 'TRIGGER': None}
RULES = rules_of('olist')
ROLES = ('polku_writer', 'polku_reader', 'public')


def matrix(run, db):
    wanted = {table: rights for rights, tables in WRITER.items() for table in tables.split()}
    relations = db.rows(
        "SELECT n.nspname, c.relname, c.relkind, c.relispartition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('polku', 'bi') AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2")
    wrong, checked, undecided = [], 0, []
    granted = {tuple(row) for row in db.rows(
        'SELECT r.role, n.nspname, c.relname, p.name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace'
        " CROSS JOIN unnest('{%s}'::text[]) AS r (role) CROSS JOIN unnest('{%s}'::text[]) AS p (name)"
        " WHERE n.nspname IN ('polku', 'bi') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND (has_table_privilege(r.role, c.oid, p.name) OR p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')"
        ' AND has_any_column_privilege(r.role, c.oid, p.name))' % (','.join(ROLES), ','.join(PRIVILEGES)))}
    for schema, name, _, partition in relations:
        if schema == 'polku' and partition == 'f' and name not in wanted:
            undecided.append(name)
        for role, (privilege, letter) in itertools.product(ROLES, PRIVILEGES.items()):
            if schema == 'bi':
                may = privilege == 'SELECT' and role != 'public'
            else:   # a month's events are reached through interaction only
                may = role == 'polku_writer' and letter is not None and partition == 'f' and letter in wanted.get(name, '')
            checked += 1
            if ((role, schema, name, privilege) in granted) != may:
                wrong.append('%s: %s on %s.%s is %s' % (role, privilege, schema, name, 'missing' if may else 'granted'))
    run.expect('tables without a decision in this file', [], undecided)
    run.expect('decisions about tables that are not there', set(),
               set(wanted) - {name for schema, name, _, _ in relations if schema == 'polku'})
    run.expect('%d rights of %d roles on %d relations are as decided; wrong' % (checked, len(ROLES), len(relations)), [], wrong)


def other_rights(run, db):
    run.expect('sequences that the writer may use', SEQUENCES, {row[0] for row in db.rows(
        "SELECT c.relname FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"
        " AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('polku_writer', c.oid, 'USAGE') END")})
    run.expect('sequences that reader or everybody may see', [], db.rows(
        "SELECT c.relname FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"
        " AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('polku_reader', c.oid, 'SELECT, USAGE, UPDATE')"
        " OR has_sequence_privilege('public', c.oid, 'SELECT, USAGE, UPDATE') END"))
    run.expect('schemas: role, may look in, may make things', [
        ['polku_reader', 'bi', 't', 'f'], ['polku_reader', 'polku', 'f', 'f'], ['polku_writer', 'bi', 't', 'f'],
        ['polku_writer', 'polku', 't', 'f'], ['public', 'bi', 'f', 'f'], ['public', 'polku', 'f', 'f']], db.rows(
            "SELECT r, s, has_schema_privilege(r, s, 'USAGE'), has_schema_privilege(r, s, 'CREATE')"
            " FROM unnest('{%s}'::text[]) AS r, unnest('{polku,bi}'::text[]) AS s ORDER BY 1, 2" % ','.join(ROLES)))
    run.expect('functions that everybody may call', [], db.rows(
        "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"
        " AND has_function_privilege('public', p.oid, 'EXECUTE')"))
    run.expect('functions of polku that the reader may call', [['polku.as_of()']], db.rows(
        "SET search_path = pg_catalog; SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'polku'::regnamespace"
        " AND has_function_privilege('polku_reader', p.oid, 'EXECUTE')"))
    run.expect('functions with their owner\'s rights: owner, search_path (temporary things last)',
               [['polku_owner', 'search_path=pg_catalog, pg_temp']], db.rows(
                   "SELECT DISTINCT p.proowner::regrole, p.proconfig[1] FROM pg_proc p WHERE p.prosecdef"
                   " AND p.pronamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"))
    run.expect('things of another owner', [], db.rows(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"
        " AND c.relowner <> 'polku_owner'::regrole"))
    run.expect('what the roles themselves may do', [], db.rows(
        "SELECT rolname FROM pg_roles WHERE rolname IN ('polku_owner', 'polku_writer', 'polku_reader')"
        ' AND (rolcanlogin OR rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)'))
    run.expect('members of each other', [], db.rows(
        "SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE member IN"
        " ('polku_owner'::regrole, 'polku_writer'::regrole, 'polku_reader'::regrole)"))


class User:
    """A user of this test, and what PostgreSQL answers to him."""

    def __init__(self, run, db, name, role):
        self.run, self.name = run, '%s_%s' % (run.tag.lower(), name)
        self.conninfo = '%s user=%s' % (db.conninfo, self.name)
        run.server.rows('CREATE ROLE %s LOGIN%s' % (self.name, role and ' IN ROLE ' + role))
        run.made.insert(0, self)    # dropped after the databases

    def answers(self, statements):
        """What each of them gives, one session, autocommit: None, or the error."""
        script = ''.join('%s;\n\\echo -- end %d --\n' % (sql, number) for number, sql in enumerate(statements))
        done = subprocess.run(['psql', '-X', '-q', '-v', 'VERBOSITY=verbose', '-d', self.conninfo], input=script.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        parts = re.split(r'^-- end \d+ --\n', done.stdout.decode(), flags=re.MULTILINE)
        if len(parts) != len(statements) + 1:
            raise Failure('psql of %s ended early: %s' % (self.name, done.stdout.decode()[-500:]))
        return [re.search(r'^ERROR:.*', part, re.MULTILINE) for part in parts[:-1]]

    def may(self, what, statements):
        failed = [(sql, error.group(0)) for sql, error in zip(statements, self.answers(statements)) if error]
        self.run.expect_that('%s (%d statements)' % (what, len(statements)), not failed, failed[:3] or '')

    def may_not(self, what, statements, states=('42501',)):
        done = [(sql, error and error.group(0)) for sql, error in zip(statements, self.answers(statements))
                if not error or not any(state in error.group(0) for state in states)]
        self.run.expect_that('%s (%d statements)' % (what, len(statements)), not done, done[:3] or '')

    def drop(self):
        self.run.server.rows('DROP ROLE IF EXISTS %s' % self.name)


def forbidden_to_all(tables):
    return ['CREATE TABLE polku.mine (a int)', 'CREATE VIEW bi.mine AS SELECT 1', 'CREATE SCHEMA mine', 'DROP VIEW bi.journey CASCADE',
            'DROP SCHEMA polku CASCADE', 'CREATE FUNCTION bi.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
            'ALTER FUNCTION bi.customer_of(uuid) RESET ALL', 'SET ROLE polku_owner', 'CREATE ROLE mine',
            'ALTER SYSTEM SET log_statement = \'all\'', 'COPY (SELECT 1) TO \'/tmp/mine\'', 'COPY (SELECT 1) TO PROGRAM \'id\'',
            'SELECT pg_read_file(\'postgresql.conf\')',
            *['TRUNCATE polku.%s' % table for table in tables], *['DROP TABLE polku.%s' % table for table in tables],
            *['ALTER TABLE polku.%s ADD COLUMN mine int' % table for table in tables],
            *['CREATE TRIGGER mine BEFORE INSERT ON polku.%s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()' % table
              for table in tables]]


def reader_tries(run, db, reader, tables, views):
    reader.may('the reader reads every view of bi', ['SELECT * FROM bi.%s LIMIT 1' % view for view in views])
    reader.may('and calls the functions of bi', [
        "SELECT bi.customer_of(gen_random_uuid()), bi.as_of(), bi.business_time('b', 'u', now(), now()), bi.zone_of('b', NULL),"
        ' bi.bucket_of(interval \'1s\'), bi.journey_from(now())', 'SELECT * FROM bi.latest_events(gen_random_uuid())'])
    reader.may_not('no table of polku', ['SELECT 1 FROM polku.%s LIMIT 1' % table for table in tables])
    reader.may_not('changes nothing by a view', [
        *['DELETE FROM bi.%s' % view for view in views], *['INSERT INTO bi.%s DEFAULT VALUES' % view for view in views]],
        ('42501', '55000'))     # not allowed, or not possible at all
    reader.may_not('nor in another way', [
        "SELECT polku.ensure_months(ARRAY[DATE '2031-01-01'])", "SELECT polku.intern(ARRAY['x'])",
        'SELECT polku.forget_keys(NULL, NULL, NULL, NULL)', *forbidden_to_all(tables[:3])])
    reader.answers(['GRANT SELECT ON bi.journey TO public'])     # a warning only
    run.expect('granting passes on nothing', 'f', db.value("SELECT has_table_privilege('public', 'bi.journey', 'SELECT')"))

    # Things of the same name in the caller's own schema, found before those of the owner if the path were not fixed.
    own = ('CREATE TEMP TABLE identifier (hash uuid, customer_id uuid); INSERT INTO identifier VALUES (%s, gen_random_uuid());'
           'CREATE FUNCTION pg_temp.coalesce_(a uuid) RETURNS uuid LANGUAGE sql AS $$ SELECT 1/0; SELECT a $$;'
           'CREATE FUNCTION pg_temp.percentile(a double precision, b int, c bigint) RETURNS double precision LANGUAGE sql AS $$ SELECT 1/0.0 $$;'
           'CREATE FUNCTION pg_temp.least(a timestamptz, b timestamptz) RETURNS timestamptz LANGUAGE sql AS $$ SELECT 1/0; SELECT a $$;'
           'CREATE OPERATOR pg_temp.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_ne);'
           'SET search_path = pg_temp, pg_catalog;'
           "DO $$ BEGIN IF bi.customer_of(%s) <> %s THEN RAISE 'shadowed'; END IF; PERFORM bi.zone_of('b', 'u');"
           " PERFORM bi.business_time('b', 'u', now() - interval '1h', now()); PERFORM bi.cause_spikes(now() - interval '1d', now()); END $$")
    some = "'00000000-0000-0000-0000-000000000001'::uuid"
    reader.may('things of his own do not stand in for those of the functions', [own % (some, some, some)])
    for text in ("'; DROP TABLE polku.journey; --", "x' OR '1'='1", '$$; SELECT 1; $$', '%I %L %s'):
        quoted = "'%s'" % text.replace("'", "''")
        reader.may('text is text: %s' % text, ['SELECT bi.zone_of({0}, {0}), bi.business_time({0}, {0}, now(), now())'.format(quoted),
                                               'SELECT * FROM bi.incident_customers(%s, now() - interval \'1d\', now())' % quoted])
    run.expect('and the tables are there', 't', db.value("SELECT to_regclass('polku.journey') IS NOT NULL"))


def writer_tries(run, writer, tables):
    writer.may_not('the writer makes, changes, empties and drops no table, and nothing else than rows', forbidden_to_all(tables))
    writer.may_not('nor rows that are not his', [
        'DELETE FROM polku.stream_position', 'DELETE FROM polku.dictionary', 'UPDATE polku.dictionary SET text = NULL',
        'DELETE FROM polku.rules_state', 'INSERT INTO polku.schema_migration DEFAULT VALUES',
        'DELETE FROM polku.schema_migration', 'UPDATE polku.forgotten SET until = now()', 'DELETE FROM polku.forgotten',
        'DELETE FROM polku.forgetting', 'UPDATE polku.forgetting SET note = NULL', 'DELETE FROM polku.interaction_hourly'])
    writer.may_not('the tables of others stay theirs', [
        'SELECT 1 FROM public.of_another', 'SELECT 1 FROM of_another.secret', 'SELECT rolpassword FROM pg_authid'])
    for months in ("'{2031-01-01,1989-01-01}'", "'{2031-13-01}'", "'{}; DROP TABLE polku.journey'"):
        run.expect_that('months that are none: %s' % months, writer.answers(['SELECT polku.ensure_months(%s)' % months])[0])


def stranger_tries(stranger, tables, views):
    stranger.may_not('a user without a role sees nothing', [
        *['SELECT 1 FROM polku.%s LIMIT 1' % table for table in tables], *['SELECT 1 FROM bi.%s LIMIT 1' % view for view in views],
        'SELECT bi.as_of()', 'SELECT bi.customer_of(gen_random_uuid())', 'SELECT polku.as_of()'])


def strangers_stay_out(run, db, users):
    """The lines of docs/security.md: whoever has no role does not even connect."""
    run.server.rows('REVOKE CONNECT, TEMPORARY ON DATABASE %s FROM PUBLIC' % db.name)
    run.server.rows('GRANT CONNECT, TEMPORARY ON DATABASE %s TO polku_writer, polku_reader' % db.name)
    run.expect('who connects after that: writer, reader, stranger', [0, 0, 2], [subprocess.run(
        ['psql', '-X', '-q', '-c', 'SELECT', '-d', user.conninfo], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        for user in users])


def event(number, **fields):
    found = {'event_id': 'e%d' % number, 'source': 'roles', 'occurred_at': '2018-03-01T12:%02d:00Z' % (number % 60), 'type': 'contact.inbound',
             'channel': 'phone', 'direction': 'INBOUND', 'actor': 'CUSTOMER', 'brand': 'Ahola', 'unit': 'care',
             'identifiers': [{'namespace': 'ahola/customer_id', 'value': 'C-%d' % (number % 5)},
                             {'namespace': 'email', 'value': 'c%d@example.com' % (number % 5)}], 'case_id': 'ahola/%d' % (number % 7)}
    found.update(fields)
    return found


def tool(command, *arguments):
    done = subprocess.run([program('polku-consumer', 'consumer'), *command.split(), '--log-format', 'json', *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def writer_works(run, db, writer):
    """The whole of a consumer's work, by a user who is a member of polku_writer and nothing else."""
    make, topic = Encoder(), run.topic(2)
    consumer = run.consumer(db, topic, RULES, '--database', writer.conninfo, '--batch-records', '20').start()
    good = [event(number) for number in range(60)]
    records = [make.single_object(make.body(natural)) for natural in good]
    records += [None, b'no frame', make.single_object(make.body(event(70)))[:-3], make.single_object(make.body(event(71, brand='')))]
    records += [make.single_object(make.body(event(number, outcome='other'))) for number in range(3)]
    topic.put((number % 2, None, b'k', value, []) for number, value in enumerate(records))
    topic.drain(db)
    consumer.stop()
    run.expect('as writer: events, journeys, rows of quarantine', (60, True, 7), (
        db.number('SELECT count(*) FROM polku.interaction'), db.number('SELECT count(*) FROM polku.journey') > 0,
        db.number('SELECT count(*) FROM polku.quarantine')))
    for what, command, arguments in (
            ('status', 'status', ['--brokers', run.brokers, '--topic', topic.name, '--group', db.name]),
            ('identity explain', 'identity explain ahola/customer_id:C-1', ['--rules', RULES, '--hash-key-file', KEY_FILE]),
            ('identity unlink', 'identity unlink ahola/customer_id:C-1', ['--rules', RULES, '--hash-key-file', KEY_FILE]),
            ('identity restore', 'identity restore ahola/customer_id:C-1', ['--rules', RULES, '--hash-key-file', KEY_FILE]),
            ('verify --quick', 'verify --quick', ['--rules', RULES, '--hash-key-file', KEY_FILE])):
        code, said = tool(command, '--database', writer.conninfo, *arguments)
        run.expect_that('as writer: %s' % what, code == 0, 'exit code %d%s' % (code, '' if code == 0 else ': ' + said[-400:]))
    for what, command, arguments in (('rebuild', 'rebuild', ['--rules', RULES, '--hash-key-file', KEY_FILE]),
                                     ('migrate again, with a new file', 'migrate', ['--sql', new_migration(run)])):
        code, said = tool(command, '--database', writer.conninfo, *arguments)
        run.expect_that('as writer: no %s' % what, code == 1, json.loads(said.strip().splitlines()[-1]).get('reason'))


def new_migration(run):
    folder = run.file('sql')
    subprocess.run(['cp', '-r', os.path.join(ROOT, 'sql'), folder], check=True)
    with open(os.path.join(folder, 'migrations', '%04d_more.sql' % (len(os.listdir(os.path.join(folder, 'migrations'))) + 1)), 'w', encoding='ascii') as file:
        file.write('CREATE TABLE polku.more (a integer);\n')
    return folder


with Run('roles') as run_:
    db_ = run_.database()
    db_.rows("SELECT polku.ensure_months(ARRAY[DATE '2018-03-01'])")
    db_.rows('CREATE SCHEMA of_another; CREATE TABLE of_another.secret (a int); CREATE TABLE public.of_another (a int)')
    writer_, reader_, stranger_ = (User(run_, db_, name, role) for name, role in (
        ('writer', 'polku_writer'), ('reader', 'polku_reader'), ('stranger', '')))
    matrix(run_, db_)
    other_rights(run_, db_)
    all_tables = [row[0] for row in db_.rows("SELECT relname FROM pg_class WHERE relnamespace = 'polku'::regnamespace AND relkind IN ('r', 'p')"
                                             ' AND NOT relispartition ORDER BY 1')]
    all_views = [row[0] for row in db_.rows("SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace AND relkind = 'v' ORDER BY 1")]
    writer_works(run_, db_, writer_)
    reader_tries(run_, db_, reader_, all_tables, all_views)
    writer_tries(run_, writer_, all_tables)
    stranger_tries(stranger_, all_tables, all_views)
    strangers_stay_out(run_, db_, (writer_, reader_, stranger_))
