# SPDX-License-Identifier: Apache-2.0
"""`polku-consumer retain`: months go, and nothing that was told changes.

First a simulated population of half a year under the shipped rules, read by three consumers: while they read everything once more and
newcomers stream in, old months are retained, killed in the middle, retained again. All tables but the events are as they were, so are the
answers of bi; old partitions are gone; verify is green, and red after sealed rows were changed by hand. A customer of whom all is sealed is
forgotten: a dump has no trace but tombstones and sums.

Then hostile events around the ends of months (tests/oracle/months.py), by rounds: whatever comes, is read again, decided, forgotten,
retained or rebuilt afterwards, in an order that the seed makes: after each step the tables are those of the oracle, which knows what
was sealed and nothing else. Between them a few events that show what forgetting leaves of others' sealed rows.

    retention.py [ROUNDS [FIRST-SEED]]     default: one round of hostile events, with some of the steps
"""

import json
import os
import re
import subprocess
import sys

from harness import Failure, KEY_FILE, ORACLE, ROOT, Run, compare, generate, polku_oracle, program, say, wait_for
from rebuild_support import changed_rules
import months      # of tests/oracle, which harness puts before this folder
import population

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
SMALL = os.path.join(ORACLE, 'rules_small.yaml')
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
if len(sys.argv) > 2:
    os.environ['POLKU_TEST_SEED'] = sys.argv[2]

# Views of bi that show single events, directly or through others, and those that speak of reading: what is sealed is in these no more.
OF_EVENTS = """WITH RECURSIVE reading AS (
    SELECT 'polku.interaction'::regclass::oid AS oid
    UNION
    SELECT w.ev_class FROM reading r
    JOIN pg_depend d ON d.refobjid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid)
SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'bi'::regnamespace AND oid NOT IN (SELECT oid FROM reading)
    AND relname NOT IN ('freshness', 'retention', 'forgetting', 'duration_daily') ORDER BY 1"""
# Of bi.customer_now: what it says of single events, and lists without a whole order. bi.duration_daily has a row of each slot.
NOT_COMPARED = '{sealed,last_contacts,last_failures,last_ratings,sensitive,open_promises,open_breaches}'


class World:
    """A database, its topic, and what was published and sealed."""

    def __init__(self, run, rules, partitions, as_of):
        self.run, self.rules, self.as_of = run, rules, polku_oracle.format_time(as_of)
        self.db, self.topic = run.database(), run.topic(partitions)
        self.published, self.retained = [], run.file('%s-retentions.jsonl' % self.db.name)
        self.before = None  # R

    def drop(self):
        for thing in (self.db, self.topic):
            thing.drop()
            self.run.made.remove(thing)

    # ---- programs ----

    def write(self, events):
        path = self.run.file('%s-events-%d.jsonl' % (self.db.name, len(self.published)))
        with open(path, 'w', encoding='utf-8') as file:
            generate.write(events, file)
        self.published.append(path)
        return path

    def publish(self, events):
        if events:
            self.topic.publish('--partition-by', 'random', '--seed', str(self.run.seed), self.write(events))

    def read(self, *options):
        """-> what the consumer counted"""
        return self.run.consumer(self.db, self.topic, self.rules, '--until-end', *options).start().wait().totals()

    def start(self, what, *arguments, rules=True):
        command = [program('polku-consumer', 'consumer'), what, '--database', self.db.conninfo, '--log-format', 'json', *arguments]
        if rules:
            command += ['--rules', self.rules, '--hash-key-file', KEY_FILE]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def command(self, what, *arguments, rules=True):
        """-> (exit code, output, the last line of the log)"""
        process = self.start(what, *arguments, rules=rules)
        out, error = process.communicate()
        return process.returncode, out.decode(), (error.decode().rstrip().splitlines() or [''])[-1]

    def does(self, what, *arguments, rules=True):
        code, out, error = self.command(what, *arguments, rules=rules)
        self.run.expect_that('%s %s' % (what, ' '.join(a for a in arguments if not a.startswith(self.run.brokers))), code == 0,
                             'exit code %d: %s %s' % (code, out[-500:], error) if code else '')
        return out

    # ---- what holds ----

    def equals_oracle(self, what):
        more = ('--retentions', self.retained) if self.before else ()
        self.run.expect_oracle('%s: equal to the oracle' % what, self.db, self.rules, '--as-of', self.as_of, *more, *self.published)

    def is_verified(self):
        code, out, error = self.command('verify')
        return self.run.expect_that('verify finds nothing', code == 0, out.strip()[:1500] or error if code else '')

    def figures(self):
        """Table -> checksum of all that retention must not change."""
        sums = self.db.checksums('--as-of', self.as_of)
        return {name: of for name, of in sums.items() if name not in ('interaction', 'bi_interaction', 'all')}

    def answers(self):
        """View of bi -> checksum, of those that do not show events. What is sealed or not is not looked at."""
        found = {}
        self.db.rows("SET polku.as_of = '%s'" % self.as_of)
        for view, in self.db.rows(OF_EVENTS):
            found[view] = self.db.value("SELECT md5(string_agg(row, '|' ORDER BY row)) FROM (SELECT (to_jsonb(v) - '%s'::text[])::text AS "
                                        "row FROM bi.%s v) r" % (NOT_COMPARED, view))
        self.db.rows('RESET polku.as_of')
        return found

    def events(self, condition='true'):
        return self.db.number('SELECT count(*) FROM polku.interaction WHERE %s' % condition)

    def partitions(self):
        """Months that have one: name of the month -> number of events."""
        return {name[12:].replace('_', '-'): self.db.number('SELECT count(*) FROM polku.%s' % name) for name, in self.db.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'polku'::regnamespace AND relname ~ '^interaction_[0-9]{4}_[0-9]{2}$'")}

    # ---- what is done ----

    def retain(self, before, answers=False):
        """-> (events before it, those of them that are left)"""
        self.before, month = before, polku_oracle.format_time(before)[:7]
        figures, answers = self.figures(), self.answers() if answers else None
        older = self.events("occurred_at < '%s'" % polku_oracle.format_time(before))
        self.does('retain', '--before', month)
        self.told(month)
        left = self.events("occurred_at < '%s'" % polku_oracle.format_time(before))
        self.same('%s: tables' % month, figures, self.figures())
        if answers is not None:
            self.same('%s: answers of bi' % month, answers, self.answers())
        return older, left

    def told(self, month):
        """Tells the oracle what was sealed."""
        done = subprocess.run(compare('retain', '--database', self.db.conninfo, '--rules', self.rules, '--key-file', KEY_FILE,
                                      '--retentions', self.retained, *self.published),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.run.expect_that('%s: what was sealed could be, by the page' % month, done.returncode == 0, done.stdout.decode().rstrip())

    def same(self, what, before, after):
        differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        self.run.expect('%s that changed, of %d' % (what, len(before)), [], differing)

    def replay(self, *options):
        was = self.db.checksums()['all']
        self.does('position', 'set', self.topic.name + ':*=earliest', '--brokers', self.run.brokers, rules=False)
        totals = self.read(*options)
        self.run.expect('all read again: tables as before', was, self.db.checksums()['all'])
        return totals

    def rebuild(self, *options):
        self.does('rebuild', *options)

    def from_kafka(self):
        self.rebuild('--from-kafka', '--brokers', self.run.brokers)

    def forget(self, candidates, *options):
        """One of these customers, as the command sees it; -> its names, none if each was refused."""
        known = self.db.number('SELECT max(forgetting_id) FROM polku.forgetting')
        for customer in candidates:
            code, out, error = self.command('forget', customer, *options)
            if code == 0:
                names = {name for name, in self.db.rows('SELECT DISTINCT name FROM polku.forgotten WHERE event_hash IS NULL AND '
                                                        'forgetting_id > %d' % known)}
                self.run.expect_that('forget %s %s' % (customer[:8], ' '.join(options)), 'Receipt ' in out, '%d names' % len(names))
                self.no_trace(names)
                return names
            if code != 2:
                self.run.expect_that('forget %s' % customer, False, 'exit code %d: %s %s' % (code, out, error))
        return set()

    def no_trace(self, names):
        dump = subprocess.run(['pg_dump', '-d', self.db.conninfo], stdout=subprocess.PIPE, check=True).stdout.decode()
        found, table = {}, '(schema)'
        for line in dump.split('\n'):
            if line.startswith('COPY '):
                table = line.split()[1]
            if not names.isdisjoint(re.findall(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', line)):
                found[table] = found.get(table, 0) + 1
        self.run.expect('forgotten: no trace in a dump but tombstones', {}, {
            t: n for t, n in found.items() if not t.startswith(('polku.forgotten', 'polku.identifier'))})
        kept = self.db.number("SELECT count(*) FROM polku.identifier WHERE hash IN ('%s') AND (sealed_at IS NOT NULL OR first_at IS NOT NULL "
                              "OR customer_id IS NOT NULL OR value IS NOT NULL)" % "', '".join(sorted(names)))
        self.run.expect('tombstones say nothing but the hash', 0, kept)


# ---- a population ----


def newcomers(naturals, after):
    """The same lives from a moment on, of other people with other cases at other devices: they meet nobody who was there."""
    def renamed(namespace, value):
        return '+990' + re.sub('[^0-9]', '', value) if namespace == 'phone' else 'new-' + value
    for natural in naturals:
        if natural['occurred_at'] < after:
            continue
        natural = dict(natural, event_id='new-' + natural['event_id'])
        natural['identifiers'] = [{'namespace': i['namespace'], 'value': renamed(i['namespace'], i['value'])}
                                  for i in natural.get('identifiers', ())]
        if natural.get('case_id'):
            natural['case_id'] = 'new-' + natural['case_id']
        if natural.get('relates_to'):
            source, slash, rest = natural['relates_to'].partition('/')
            natural['relates_to'] = source + '/new-' + rest if slash else None
        if natural.get('obligation'):
            natural['obligation'] = dict(natural['obligation'], id='new-' + natural['obligation']['id'])
        yield natural


def red(world, what, statement, undo):
    """verify notices what was changed by hand."""
    world.db.rows(statement)
    code, out, error = world.command('verify')
    world.run.expect_that('verify is red: %s' % what, code not in (0, 2), (out.splitlines() or [error])[0][:200])
    world.db.rows(undo)


def of_population(run):
    made, _ = population.make(run.seed, RULES, 110, 750, days=150)
    naturals = list(made.naturals())
    first, second = (polku_oracle.parse_time('%s-01T00:00Z' % month) for month in ('2025-12', '2026-01'))
    world = World(run, RULES, 3, second + run.random.randrange(20 * polku_oracle.DAY))
    cut = len(naturals) * 4 // 5
    world.publish(naturals[:cut])
    world.read('--batch-records', '300')
    world.equals_oracle('%d events of half a year' % world.events())
    code, out, _ = world.command('retain', '--before', '2025-12', '--dry-run')
    run.expect_that('a dry run says that nothing was done', code == 0 and world.db.number('SELECT count(*) FROM polku.retention') == 0, out)
    for wrong in ('2025-13', '2999-01', 'december'):
        code, out, error = world.command('retain', '--before', wrong)
        run.expect_that('--before %s is refused' % wrong, code not in (0, 1), json.loads(error).get('message') if error[:1] == '{' else error)

    # Three read everything once more, newcomers come, and what is old is sealed beside them; the first attempt is killed.
    figures = world.figures()
    crew = [run.consumer(world.db, world.topic, RULES, '--batch-records', '50').start() for _ in range(3)]
    wait_for('three consumers hold partitions', lambda: run.alive() and all(c.claimed() for c in crew))
    world.does('position', 'set', world.topic.name + ':*=earliest', '--brokers', run.brokers, rules=False)
    killed = world.start('retain', '--before', '2025-12')
    wait_for('something is sealed', lambda: killed.poll() is not None or
             world.db.number('SELECT count(*) FROM polku.customer WHERE sealed_events > 0') > 0, pause=0.01)
    killed.kill()
    killed.communicate()
    world.topic.drain(world.db)
    run.expect('stopped in the middle: figures that changed', [], [
        name for name, of in world.figures().items() if of != figures[name]])
    world.publish(list(newcomers(naturals, first)))
    process = world.start('retain', '--before', '2025-12')
    world.topic.drain(world.db)
    out, error = process.communicate()
    run.expect_that('the same command goes on, beside newcomers', process.returncode == 0,
                    out.decode() if process.returncode == 0 else error.decode()[-1500:])
    world.before = first
    world.told('2025-12')
    world.equals_oracle('three consumers, newcomers, sealed beside them')
    sealed = world.db.number('SELECT events FROM polku.retention')
    left = world.events("occurred_at < '2025-12-01'")
    run.expect_that('most of the old events are sealed', sealed > left, '%d sealed, %d left' % (sealed, left))
    world.is_verified()

    # Everything again, and the events that the first part lacked: those before the month are none.
    world.publish(naturals[cut:] + naturals[:cut // 3])
    world.topic.drain(world.db)
    world.equals_oracle('late, new and repeated events')
    for consumer in crew:
        consumer.stop()
    older, left = world.retain(second, answers=True)
    run.expect_that('a month later', left < older, '%d of %d events left before it' % (left, older))
    run.expect('months whose events are all sealed have no partition', [], [
        month for month, events in world.partitions().items() if month < '2026-01' and events == 0])
    wrongs(world)
    customers = [c for c, in world.db.rows(
        "SELECT customer_id FROM polku.customer c WHERE kind = 0 AND sealed_events > 2 ORDER BY NOT EXISTS "
        "(SELECT 1 FROM polku.interaction i WHERE i.customer_id = c.customer_id) DESC, sealed_events DESC LIMIT 8")]
    run.expect_that('a sealed customer is forgotten', bool(world.forget(customers)))
    world.equals_oracle('forgotten')
    world.is_verified()
    world.rebuild()
    world.equals_oracle('rebuilt')
    world.replay('--batch-records', '200')
    run.expect('deadlocks', 0, world.db.deadlocks())
    world.drop()


def wrongs(world):
    """What verify can know of sealed rows."""
    one = world.db.value('SELECT journey_id FROM polku.journey WHERE sealed ORDER BY 1 LIMIT 1')
    red(world, 'a sealed journey counts as one that is not', "UPDATE polku.journey SET sealed = false WHERE journey_id = '%s'" % one,
        "UPDATE polku.journey SET sealed = true WHERE journey_id = '%s'" % one)
    row = world.db.rows("SELECT hour, slot, brand_id, unit_id, channel_id, type_id, outcome_id, reason_id FROM polku.interaction_hourly "
                        "WHERE slot = -1 AND interactions <> 0 LIMIT 1")[0]
    where = "(hour, slot, brand_id, unit_id, channel_id, type_id, outcome_id, reason_id) = ('%s')" % "', '".join(row)
    # Moved to a writer's slot: the sum is right, and what is left of the events does not say so.
    red(world, 'a sum of slot -1 stands in another slot', 'UPDATE polku.interaction_hourly SET slot = 99999 WHERE %s' % where,
        'UPDATE polku.interaction_hourly SET slot = -1 WHERE %s' % where.replace("'-1'", "'99999'"))
    customer = world.db.value("SELECT customer_id FROM polku.journey WHERE sealed ORDER BY 1 LIMIT 1")    # passive events alone leave no row
    world.db.rows("CREATE TABLE public.kept AS SELECT * FROM polku.customer WHERE customer_id = '%s'" % customer)
    red(world, "a sealed customer's row is gone", "DELETE FROM polku.customer WHERE customer_id = '%s'" % customer,
        'INSERT INTO polku.customer SELECT * FROM public.kept')
    world.db.rows('DROP TABLE public.kept')
    world.is_verified()


# ---- what a few events show ----


def by_script(run):
    """Somebody of whom sealed events tell is forgotten, and others had part in it."""
    world = World(run, SMALL, 1, months.MONTHS[2])
    january, february = (m + 5 * polku_oracle.DAY for m in (months.MONTHS[0] - 31 * polku_oracle.DAY, months.MONTHS[0]))

    def event(name, at, identifiers, **more):
        return {'event_id': name, 'source': 'crm', 'occurred_at': polku_oracle.format_time(at), 'type': 'contact.inbound', 'channel': 'phone',
                'brand': 'Ahola', 'identifiers': [{'namespace': n, 'value': v} for n, v in identifiers], **more}

    def customer(number):
        return 'crm/customer_id', 'C-%d' % number

    phone, tablet = ('phone', '+358401112223'), ('device_id', 'tablet-1')
    promise = {'id': 'p-1', 'kind': 'callback', 'due_to': polku_oracle.format_time(january + polku_oracle.DAY)}
    world.publish([
        event('a1', january, [customer(1), phone]), event('b1', january + polku_oracle.DAY, [customer(2), phone]),  # shared
        event('t1', january, [tablet]), event('k1', january, [('device_id', 'tablet-9')], case_id='K-9'),
        event('c1', january, [customer(3)], type='promise.made', obligation=promise),
        event('c2', january + 60 * generate.SECOND, [customer(3)], type='promise.kept', relates_to='crm/p-1'),
    ])
    world.read()
    world.equals_oracle('script: January')
    _, left = world.retain(months.MONTHS[0])
    run.expect('script: all of January is sealed', 0, left)
    world.publish([
        event('a2', february, [customer(1), phone, tablet]), event('a3', february + 5 * generate.SECOND, [phone]),  # borrows
        event('a4', february + 6 * generate.SECOND, [tablet]),
        event('d1', february, [customer(4), tablet], type='promise.made', obligation=promise),  # opens nothing
        event('k2', february, [customer(5)], case_id='K-9'),  # whose case stands in a sealed row of a device
    ])
    world.read()
    world.equals_oracle('script: February')
    key = run.file('script.key')
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as file:
        file.write('0f1e2d3c' * 8)
    code, _, error = world.command('rebuild', '--from-kafka', '--brokers', run.brokers, '--rules', SMALL, '--hash-key-file', key, rules=False)
    run.expect_that('script: another key makes two of whoever has a past, so it must be accepted', code == 1 and '--keep-older' in error, error)
    for number in (1, 3, 5):
        name = polku_oracle.format_uuid(polku_oracle.Hasher(polku_oracle.read_key(KEY_FILE)).parts(*customer(number)))
        run.expect_that('script: customer %d is forgotten' % number, bool(world.forget([name])))
        world.equals_oracle('script: customer %d was forgotten' % number)
    world.publish([event('d2', february + 30 * generate.SECOND, [customer(4)], type='promise.kept', relates_to='crm/p-1')])
    world.read()
    world.equals_oracle('script: who made the same promise keeps it')
    world.is_verified()
    world.drop()


# ---- hostile events ----


class Round:
    """One set of hostile events, and what happens to it in an order that the seed makes."""

    def __init__(self, run, seed):
        self.run, self.seed, self.random = run, seed, generate.random.Random(seed)
        self.generator = months.Generator(seed, people=self.random.choice([6, 8, 12]), events=self.random.choice([100, 200, 300]))
        self.events = self.generator.generate()
        latest = months.MONTHS[3] + self.random.randrange(-5, 20) * polku_oracle.DAY
        self.world = World(run, SMALL, self.random.choice([1, 3]), latest)
        self.months = list(months.MONTHS[1:])
        self.decided, self.forgotten = [], False

    def batch(self):
        return '--batch-records', str(self.random.choice([1, 7, 40, 25000]))

    def come(self, count=None):
        count = count or self.random.choice([5, 20, 40])
        part, self.events = self.events[:count], self.events[count:]
        self.world.publish(part)
        old = sum(self.generator.at_of(e) < (self.world.before or 0) for e in part)
        totals = self.world.read(*self.batch())
        return '%d events came, %d of them too old' % (len(part), old), old, totals

    def retain(self):
        if not self.months:
            return 'no month is left'
        older, left = self.world.retain(self.months.pop(0))
        return 'retained: %d of %d events left before it' % (left, older)

    def decide(self):
        rows = self.world.db.rows(self.random.choice([
            "SELECT hash FROM polku.identifier WHERE kind = 0 AND sealed_at IS NOT NULL ORDER BY hash",
            "SELECT hash FROM polku.identifier WHERE kind IN (0, 1) AND flags & 128 = 0 ORDER BY hash"]))
        if not rows:
            return 'nobody to decide about'
        decision = (self.random.choice(['block', 'unlink', 'unlink']), self.random.choice(rows)[0])
        if decision[0] == 'unlink':
            same = self.world.db.rows("SELECT a.hash, b.hash FROM polku.identifier a JOIN polku.identifier b ON b.customer_id = a.customer_id AND "
                                      "a.hash < b.hash WHERE a.kind = 0 AND b.kind = 0 ORDER BY 1, 2")
            if same and self.random.random() < 0.5:
                decision = ('unlink', *self.random.choice(same))
        code, out, error = self.world.command('identity', *decision)
        if code == 0:
            self.decided.append(decision[1:])
        self.run.expect_that('identity %s' % ' '.join(name[:8] for name in decision), code in (0, 2), '' if code in (0, 2) else error)
        return 'decided (exit code %d)' % code

    def restore(self):
        if not self.decided:
            return 'nothing to restore'
        decision = self.decided.pop(self.random.randrange(len(self.decided)))
        code, _, error = self.world.command('identity', 'restore', *decision)
        self.run.expect_that('identity restore', code in (0, 2), '' if code in (0, 2) else error)
        return 'restored (exit code %d)' % code

    def forget(self):
        rows = [c for c, in self.world.db.rows('SELECT customer_id FROM polku.customer WHERE kind < 3 ORDER BY sealed_events > 0 DESC, customer_id')]
        sealed = rows[:max(1, len(rows) // 2)]
        chosen = self.random.sample(sealed, min(3, len(sealed)))
        names = self.world.forget(chosen, *(('--mode', 'anonymise') if self.random.random() < 0.3 else ()))
        self.forgotten = self.forgotten or bool(names)
        self.world.is_verified()
        return '%d names forgotten' % len(names)

    def replay(self):
        self.world.replay(*self.batch())
        return 'read again'

    def rebuild(self):
        self.world.rebuild(*self.batch())
        return 'rebuilt'

    def other_rules(self):
        changes = [('max_component: 8', 'max_component: 6'), ('gap: 60s', 'gap: 45s'), ('lookback: 60s', 'lookback: 90s'),
                   ('max_people: 1,', 'max_people: 2,')]
        if not self.forgotten:  # what was the first person of an event that is anonymised cannot be asked again
            changes.append(('priority: 60, normalise: phone', 'priority: 45, normalise: phone'))
        self.world.rules = changed_rules(self.run, SMALL, 'other-%d.yaml' % self.seed, *changes)
        self.world.rebuild()
        return 'rebuilt with other rules'

    def from_kafka(self):
        self.world.from_kafka()
        return 'rebuilt from Kafka'

    def step(self, name):
        told = getattr(self, name)()
        self.world.equals_oracle('seed %d: %s' % (self.seed, told))

    def go(self):
        said, _, _ = self.come(len(self.events) * 3 // 5)
        self.world.equals_oracle('seed %d: %s' % (self.seed, said))
        self.step('retain')
        said, old, totals = self.come()
        self.run.expect('seed %d: counted as too old' % self.seed, old, totals.get('retained'))
        self.world.equals_oracle('seed %d: %s' % (self.seed, said))
        steps = ['retain', 'retain', 'decide', 'decide', 'restore', 'forget', 'replay', 'rebuild', 'from_kafka', 'other_rules']
        self.random.shuffle(steps)
        if ROUNDS == 1:
            steps = steps[:4]
        for number, name in enumerate(steps):
            self.step(name)
            if number % 3 == 0 and self.events:
                said, _, _ = self.come()
                self.world.equals_oracle('seed %d: %s' % (self.seed, said))
        said, _, _ = self.come(len(self.events) or 1)
        self.world.equals_oracle('seed %d: %s' % (self.seed, said))
        self.step('replay')
        self.world.is_verified()
        if self.world.db.deadlocks():
            self.run.expect('seed %d: deadlocks' % self.seed, 0, self.world.db.deadlocks())
        self.world.drop()


with Run('retention') as run:
    of_population(run)
    by_script(run)
    for n in range(ROUNDS):
        Round(run, run.seed + n).go()
