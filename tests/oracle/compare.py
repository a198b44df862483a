#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares derived tables row by row: PostgreSQL with the oracle, or two databases by checksum.

    compare.py oracle --database 'host=... dbname=polku' --rules polku.yaml --key-file key events.jsonl ...
    compare.py checksum --database 'host=... dbname=polku'
    compare.py checksum --rules polku.yaml --key-file key events.jsonl ...
    compare.py retain --database 'host=... dbname=polku' --retentions FILE --rules polku.yaml --key-file key events.jsonl ...

`oracle` prints the number of rows of each table, and of each table that differs the first differing row, both sides
field by field; exit code 0 if all are equal, 1 if not. The decisions are those of the database (polku.decision that are
in force), or with --decisions those of the file; forgettings likewise (polku.forgotten, --forgettings). `checksum` prints one line per derived table and one for all
of them: equal lines mean equal content, ids included; with --as-of the views too. The database is read by psql in
one snapshot. Of a link only whether it was refused is compared, not why.

`retain`, after each polku-consumer retain, adds to the file of retentions (tests/oracle/retention.py) what the last one sealed: the
events before it that the oracle knows and the database has no more. Exit code 1 if by docs/semantics.md 3.8 these could not be
sealed: then the page is broken, whatever the tables hold. `oracle --retentions FILE` also compares what is sealed, and slot -1.
"""

import argparse
import gc
import os
import re
import subprocess
import sys

import polku_oracle as oracle
import sealing

TABLES_SQL = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tables.sql')
MARK = '-- compare.py reads table '


def queries(path=TABLES_SQL):
    """Name -> query, in the order of the file."""
    with open(path, encoding='utf-8') as file:
        parts = re.split(r'^-- table: (\w+)\n', file.read(), flags=re.MULTILINE)[1:]
    found = {}
    for name, query in zip(parts[::2], parts[1::2]):
        lines = [line for line in query.splitlines() if not line.startswith('--')]
        found[name] = ' '.join(' '.join(lines).split())
    for name in oracle.AGGREGATES:
        whole = 'FROM polku.%s GROUP BY' % name
        assert found[name].count(whole) == 1, name
        found['sealed_' + name] = found[name].replace(whole, 'FROM polku.%s WHERE slot = -1 GROUP BY' % name)
    return found


def comparable(name, lines):
    """Canonical rows as both sides can tell them: a link has no direction, and is refused or not, whatever for."""
    if name != 'identity_link':
        return lines
    found = []
    for line in lines:
        rest, refused = line.rsplit('\t', 1)
        column = rest.split('\t')
        found.append('\t'.join(sorted(column[:2]) + column[2:] + ['f' if refused in ('made', '\\N', 'f') else 't']))
    return sorted(found)


def database_tables(database, names, as_of=None):
    """Name -> sorted canonical rows of the database, all of one snapshot."""
    known = queries()
    script = ["SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET client_min_messages = warning;",
              'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;']
    if as_of is not None:
        script.append("SET LOCAL polku.as_of = '%s';" % oracle.format_time(as_of))
    for name in names:
        script += ['\\echo %s' % (MARK + name), 'COPY (%s) TO STDOUT;' % known[name]]
    script.append('COMMIT;')
    command = ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-']
    if database:
        command += ['-d', database]
    run = subprocess.run(command, input='\n'.join(script).encode(), stdout=subprocess.PIPE,
                         env=dict(os.environ, PGCLIENTENCODING='UTF8'), check=False)
    if run.returncode != 0:
        raise oracle.InputError('psql failed (exit code %d)' % run.returncode)
    tables, rows = {}, None
    for line in run.stdout.decode().split('\n')[:-1]:
        if line.startswith(MARK):
            rows = tables[line[len(MARK):]] = []
        else:
            rows.append(line)
    return {name: sorted(comparable(name, rows)) for name, rows in tables.items()}


def decisions_of(rows):
    """What the query `decision` printed."""
    found = []
    for row in rows:
        kind, a, b = row.split('\t')
        found.append({'kind': kind, 'a': a, 'b': None if b == '\\N' else b})
    return oracle.Decisions(found)


def forgettings_of(rows):
    """What the query `forgotten` printed."""
    found = {}
    for row in rows:
        number, until, anonymise, name, event, at = row.split('\t')
        node = found.setdefault(int(number), {'until': int(until), 'mode': 'anonymise' if anonymise == 't' else 'delete',
                                              'names': [], 'events': []})
        if event == '\\N':
            node['names'].append(name)
        else:
            node['events'].append({'name': name, 'event': event, 'at': int(at)})
    return oracle.Forgettings([found[number] for number in sorted(found)])


def oracle_tables(args, names, decisions=None, forgettings=None):
    derived = oracle.derive_from(args, decisions, forgettings)
    if derived.invalid:
        print('note: %d events are not valid and left out, the first is %s' %
              (len(derived.invalid), derived.invalid[0]), file=sys.stderr)
    return {name: comparable(name, oracle.table_lines(derived, name, args.as_of)) for name in names}


def print_row(columns, here, there):
    width = max(map(len, columns))
    here, there = (row.split('\t') if row is not None else None for row in (here, there))
    for i, column in enumerate(columns):
        left = here[i] if here else '(no row)'
        right = there[i] if there and i < len(there) else '(no row)' if not there else '(no field)'
        print('    %s %-*s  oracle %s%s' % ('  ' if left == right else '! ', width, column, left,
                                            '' if left == right else '\n       %*s  tables %s' % (width, '', right)))


def compare_table(name, here, there):
    """Prints what differs; here = oracle, there = database. -> equal."""
    if here == there:
        print('%-20s %8d rows, equal' % (name, len(here)))
        return True
    columns, key_length = oracle.COLUMNS[name]

    def by_key(lines):
        found = {}
        for line in lines:
            key = tuple(line.split('\t')[:key_length])
            while key in found:         # a key that is there twice is a difference too
                key += ('again',)
            found[key] = line
        return found
    mine, theirs = by_key(here), by_key(there)
    differing = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
    print('%-20s %8d rows of the oracle, %d of the tables: %d missing, %d too many, %d different' %
          (name, len(here), len(there), len(mine.keys() - theirs.keys()), len(theirs.keys() - mine.keys()),
           sum(k in mine and k in theirs for k in differing)))
    print('  the first differing row:')
    print_row(columns, mine.get(differing[0]), theirs.get(differing[0]))
    return False


def table_names(args, known):
    names = [n for n in oracle.tables_at(args.as_of) + list(oracle.SEALED) if n in known]
    unknown = set(args.table or ()) - set(names)
    if unknown:
        raise oracle.InputError('no such table here (or --as-of is missing): %s' % ', '.join(sorted(unknown)))
    return [n for n in names if n in args.table] if args.table else names


def run_oracle(args):
    names = table_names(args, oracle.COLUMNS if args.retentions else oracle.TABLES)
    theirs = database_tables(args.database, names + ['decision', 'forgotten', 'retention'], args.as_of)
    told = [one.before for one in oracle.Retentions.load(args.retentions).all] if args.retentions else []
    if sorted(map(int, theirs['retention'])) != told:
        raise oracle.InputError('the database has %d retentions, --retentions tells of %d: run compare.py retain after each' %
                                (len(theirs['retention']), len(told)))
    mine = oracle_tables(args, names, None if args.decisions else decisions_of(theirs['decision']),
                         None if args.forgettings else forgettings_of(theirs['forgotten']))
    return 0 if all([compare_table(name, mine[name], theirs[name]) for name in names]) else 1


def run_retain(args):
    theirs = database_tables(args.database, ['decision', 'forgotten', 'retention', 'left_behind'])
    if not theirs['retention']:
        raise oracle.InputError('the database has no retention')
    before = max(map(int, theirs['retention']))
    deriver = oracle.deriver_from(args, None if args.decisions else decisions_of(theirs['decision']),
                                  None if args.forgettings else forgettings_of(theirs['forgotten']))
    # The same one once more: it was stopped, and went on.
    deriver.retentions.all = [one for one in deriver.retentions.all if one.before < before]
    left = {(bytes.fromhex(name.replace('-', '')), int(at)) for name, at in (row.split('\t') for row in theirs['left_behind'])}
    retention, wrong, derived = sealing.seal(deriver, list(oracle.read_lines(args.events)), before, left)
    oracle.Retentions(deriver.retentions.all + [retention]).save(args.retentions)
    print('before %s: %d events sealed of %d, with %d journeys and %d obligations; %d left before it' % (
        oracle.format_time(before)[:10], len(retention.sealed), len(derived.events), len(retention.rows['journey']),
        len(retention.rows['obligation']), len(retention.kept)))
    for line in wrong:
        print('  not allowed: %s' % line)
    return 1 if wrong else 0


def run_checksum(args):
    names = table_names(args, oracle.TABLES if args.table or args.as_of is not None else oracle.DERIVED)
    if args.events:
        tables = oracle_tables(args, names)
    else:
        tables = database_tables(args.database, names, args.as_of)
    sums = ['%s %s %d' % (oracle.checksum(tables[name]), name, len(tables[name])) for name in names]
    for line in sums + ['%s all' % oracle.checksum(sums)]:
        print(line)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    commands = parser.add_subparsers(dest='command', required=True)
    for name, run, text in (('oracle', run_oracle, 'compare a database with the oracle'),
                            ('checksum', run_checksum, 'checksums of a database, or of what the oracle derives'),
                            ('retain', run_retain, 'tell from a database what its last retention sealed')):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        command.add_argument('--database', help='database name or connection string of psql; else PGHOST and so on')
        command.add_argument('--table', action='append', help='this table alone (may be repeated)')
        command.add_argument('--as-of', type=oracle.parse_as_of,
                             help='moment of the views that depend on one; without it they are left out')
        oracle.add_input_arguments(command, name != 'checksum')
    args = parser.parse_args()
    gc.disable()  # everything made here stays; looking for garbage would take a third of the time
    try:
        if args.command == 'checksum' and args.events and not (args.rules and args.key_file):
            raise oracle.InputError('events need --rules and --key-file')
        if args.command == 'retain' and not args.retentions:
            raise oracle.InputError('retain needs --retentions, the file that it adds to')
        return args.run(args)
    except (oracle.InputError, OSError) as error:
        print('compare: %s' % error, file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
