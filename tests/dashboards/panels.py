#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every query of the Grafana dashboards, with Grafana's macros and variables filled in as Grafana does it, asked by a reader of the
demonstration and a simulated month: no error, the columns that the panel expects, rows, within a generous time, and by an index of the
time column where the panel asks for a range.

    panels.py                                        publishes, consumes, asks (needs tests/support/servers.sh up)
    panels.py --database CONNINFO --as-of TIME --from TIME --to TIME      asks a database that is filled already
"""
import argparse
import csv
import glob
import io
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, 'tests', 'integration')]
import expressions  # noqa: E402
import yaml  # noqa: E402
from harness import Failure, Run, program, run_program, say  # noqa: E402

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
MONTH = ('2026-03-01T00:00:00Z', '2026-04-01T00:00:00Z')
TIMEOUT = '60s'  # for one panel, on the busiest machine
SIMULATED = ['--seed', '7', '--people', '700', '--days', '30', '--needs', '0.2', '--start', '2026-03-01']
NUMBERS = {'double precision', 'numeric', 'bigint', 'integer', 'real'}


class Reader:
    """Asks as polku_reader, as of a moment, for a range of time."""

    def __init__(self, conninfo, as_of, begin, end):
        self.conninfo, self.begin, self.end = conninfo, begin, end
        self.options = "-c statement_timeout=%s -c jit=off -c client_min_messages=warning -c default_transaction_read_only=on" % TIMEOUT
        self.start = "SET ROLE polku_reader; SET polku.as_of = '%s'" % as_of

    def ask(self, sql, before='', end=''):
        """Rows as lists of text, the head first."""
        done = run_program(['psql', '-X', '-q', '--csv', '-v', 'ON_ERROR_STOP=1', '-d', self.conninfo, '-f', '-'],
                           input=('%s;%s\n%s\n%s\n' % (self.start, before, sql.strip(), end or ';')).encode(),
                           env=dict(os.environ, PGTZ='UTC', PGCLIENTENCODING='UTF8', PGOPTIONS=self.options))
        return list(csv.reader(io.StringIO(done.stdout.decode(), newline='')))

    def columns(self, sql):
        """name -> type."""
        return dict(self.ask(sql, end='\\gdesc')[1:])

    def plan(self, sql):
        return '\n'.join(row[0] for row in self.ask('EXPLAIN (COSTS off) ' + sql, before='SET enable_seqscan = off; SET enable_bitmapscan = off;')[1:])

    def filled(self, sql, values):
        """As Grafana's data source for PostgreSQL fills in macros and variables."""
        def quoted(texts):
            return ','.join("'%s'" % text.replace("'", "''") for text in texts)
        sql = re.sub(r'\$\{(\w+):sqlstring\}', lambda m: quoted(values[m.group(1)]), sql)
        sql = re.sub(r'\$__timeFilter\((\w+)\)', lambda m: "%s BETWEEN '%s' AND '%s'" % (m.group(1), self.begin, self.end), sql)
        sql = re.sub(r'\$__timeGroup\((\w+), *\$__interval\)', lambda m: 'floor(extract(epoch from %s)/86400)*86400' % m.group(1), sql)
        sql = sql.replace('$__timeFrom()', "'%s'" % self.begin).replace('$__timeTo()', "'%s'" % self.end)
        if '$' in sql:
            raise Failure('something is not filled in: ' + sql)
        return sql


def by_title():
    """What panels.yaml says beyond what Grafana's JSON has room for."""
    with open(os.path.join(expressions.GRAFANA, 'panels.yaml'), encoding='utf-8') as file:
        boards = yaml.safe_load(file)['dashboards']
    found = {}
    for board in boards:
        for item in board['panels']:
            for panel in item['panels'] if 'row' in item else [item]:
                found[board['uid'], panel['title']] = panel
    return found


def variables(run, reader, board):
    """All values of those that take several, the first of the others."""
    values = {}
    for variable in board['templating']['list']:
        if variable['type'] == 'query' and isinstance(variable['query'], str):
            got = [row[0] for row in reader.ask(reader.filled(variable['query'], values))[1:]]
            run.expect_that('%s, variable %s' % (board['title'], variable['name']), bool(got), '%d values' % len(got))
            values[variable['name']] = got if variable['multi'] else got[:1]
    return values


def columns_fit(panel, columns):
    """A sentence, or nothing."""
    names, kind = list(columns), panel['kind']
    missing = [name for name in panel.get('units', {}) if name not in columns]
    if missing:
        return 'units of columns that are not there: %s' % missing
    if kind == 'matrix':
        return '' if names == panel['cells'] and columns[names[2]] in NUMBERS else 'cells are %s' % names
    if kind in ('lines', 'stacked'):
        long = names == ['time', 'metric', 'value'] and columns['metric'] == 'text' and columns['value'] in NUMBERS
        wide = names[0] == 'time' and all(columns[name] in NUMBERS for name in names[1:])
        return '' if (long or wide) and columns['time'] in NUMBERS else 'no series: %s' % columns
    return 'an interval, which Grafana cannot show: %s' % columns if 'interval' in columns.values() else ''


def check(run, reader, name, panel, sql, raw):
    try:
        columns = reader.columns(sql)
        begun = time.monotonic()
        rows = reader.ask(sql)[1:]
        took = time.monotonic() - begun
    except Failure as why:
        return run.expect_that(name, False, str(why))
    fault = columns_fit(panel, columns)
    wanted = panel.get('rows', 1)
    run.expect_that(name, not fault and len(rows) >= wanted, fault or '%d rows, %d columns, %.0f ms' % (len(rows), len(columns), 1000 * took))
    asked = re.search(r'\$__timeFilter\((\w+)\)', raw)
    if panel['kind'] in ('lines', 'stacked'):
        times = [float(row[0]) for row in rows]
        run.expect_that(name + ': in order of time', times == sorted(times))
    if asked and panel.get('seeks') != 'none':
        found = re.search(r'Index Cond: .*\(%s >=' % asked.group(1), reader.plan(sql))
        run.expect_that('%s: the range of %s is found by an index' % (name, asked.group(1)), bool(found))
    return None


def ask_all(run, reader):
    known, asked = by_title(), 0
    for _, board in expressions.boards():
        values = variables(run, reader, board)
        for panel in expressions.panels(board):
            for target in panel['targets']:
                if 'rawSql' in target:
                    asked += 1
                    check(run, reader, '%s: %s' % (board['title'], panel['title']), known[board['uid'], panel['title']],
                          reader.filled(target['rawSql'], values), target['rawSql'])
    run.expect_that('queries were asked', asked >= 30, asked)


class Alone:
    """Run's expectations, without its servers."""

    def __init__(self):
        self.failed = 0

    def expect_that(self, what, holds, got=''):
        self.failed += not holds
        say('  %s  %s%s' % ('ok    ' if holds else 'NOT SO', what, ': %s' % (got,) if got != '' else ''))


def fill(run):
    """The five stories and a month, as a consumer stores them."""
    month = run.file('month.jsonl')
    with open(month, 'wb') as out:
        subprocess.run([program('polku-producer', 'producer'), 'simulate', *SIMULATED], stdout=out,
                       stderr=subprocess.DEVNULL, check=True)
    db, topic = run.database(), run.topic(2)
    consumer = run.consumer(db, topic, RULES).start()
    topic.publish(*sorted(glob.glob(os.path.join(ROOT, 'deploy', 'demo', 's?.jsonl'))))
    topic.publish(month)
    topic.drain(db)
    consumer.stop()
    return db


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--database')
    parser.add_argument('--as-of', default=MONTH[1])
    parser.add_argument('--from', dest='begin', default=MONTH[0])
    parser.add_argument('--to', dest='end', default=MONTH[1])
    options = parser.parse_args()
    if options.database:
        alone = Alone()
        ask_all(alone, Reader(options.database, options.as_of, options.begin, options.end))
        return 1 if alone.failed else 0
    with Run('panels') as run:
        ask_all(run, Reader(fill(run).conninfo, options.as_of, options.begin, options.end))
    return 0


if __name__ == '__main__':
    sys.exit(main())
