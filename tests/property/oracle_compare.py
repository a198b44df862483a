#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The C derivation against the independent oracle, row by row, over random hostile events.

Each seed: tests/oracle/generate.py makes events and decisions, polku_oracle.py derives them in one batch, polku_derive in
random order, batches and consumers; all tables must be equal. Prints the first differing row and the seed.

What polku_derive gets: events as JSON Lines; `--decisions FILE` if there are any, JSON Lines too, all of them in force
at the end: {"kind": "block"|"unlink"|"apart", "a": hash, "b": hash}, b of `apart` alone, hashes as 32 hex digits or as a
uuid with dashes; a may be a person, of `block` a device too, or nothing that any event carries. When it takes them (before,
between or after batches) is its own choice, and it may take and restore others on the way.
`--forgettings FILE` likewise: {"until": microseconds, "mode": "delete"|"anonymise", "names": [{"name": hash, "kind": "person"|
"device"|"case", "namespace"}], "events": [the same with "event": hash, "at": microseconds]}. They are made in this order, at
moments of its own choice, and unless it has seen no conflicting copies all events may come once more at the end.
What it writes: NAME.tsv for each of TABLES, first line the names of the columns, rows in the text form of COPY, sorted
by bytes. Two tables are about identity:

  identifier      identifier namespace shared oversize customer first_at
                  one row per person that an event carries, not blocked by value or decision; shared and oversize t or f;
                  customer \\N if shared; first_at in microseconds
  identity_link   a b first_at source event_id refused
                  one row per link, a the end with the smaller (priority, hash), then the first event; refused is `made`
                  (or \\N or f), any other word (or t) is refused: why is not compared

    oracle_compare.py --derive build/tests/support/polku_derive --cases 60
    oracle_compare.py --derive build/tests/support/polku_derive --seed 17 --keep /tmp/case
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ORACLE = os.path.join(HERE, '..', 'oracle')
sys.path.insert(0, ORACLE)

import compare  # noqa: E402
import generate  # noqa: E402
import polku_oracle as oracle  # noqa: E402


STATE = ('obligation', 'state', 'overdue', 'early', 'no_deadline', 'no_owner', 'broken', 'slack')
# name -> (columns, how many of them are the key): the stored tables, and the state of obligations as of a moment
TABLES = dict({name: oracle.TABLES[name] for name in oracle.DERIVED}, obligation_state=(STATE, 1))


def expected_lines(derived, name, as_of):
    if name != 'obligation_state':
        return compare.comparable(name, oracle.table_lines(derived, name, as_of))
    rows = [dict(state, obligation=o.id) for o in derived.obligations for state in [o.state(as_of)] if state]
    return sorted('\t'.join(oracle.canonical(row[c]) for c in STATE) for row in rows)


def rules_of(seed, folder):
    """Path of the rules: rules_small.yaml, with a seed other calendars and definitions."""
    if seed is None:
        return generate.RULES
    path = os.path.join(folder, 'rules.yaml')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(generate.random_rules(seed))
    return path


def derive_in_c(program, rules, key, path, decisions, forgettings, seed, as_of, folder):
    """decisions, forgettings: path or None. Name -> sorted rows; the seed also decides how the events reach the consumers."""
    chance = random.Random(seed)
    command = [program, '--rules', rules, '--key-file', key, '--out-dir', folder, '--as-of', str(as_of),
               '--seed', str(seed + 1), '--batch', str(chance.choice([1, 3, 10, 40, 1000])),
               '--workers', str(chance.randrange(1, 5)), '--cache', str(chance.choice([0, 5000, 1 << 20]))]
    command += (['--decisions', decisions] if decisions else []) + \
        (['--forgettings', forgettings] if forgettings else []) + [path]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if run.returncode != 0:
        raise oracle.InputError('%s: %s' % (' '.join(command), run.stderr.decode().strip()))
    tables = {}
    for name in TABLES:
        with open(os.path.join(folder, name + '.tsv'), encoding='utf-8') as file:
            lines = file.read().split('\n')[:-1]
        if lines[0] != '\t'.join(TABLES[name][0]):
            raise oracle.InputError('table %s has other columns than the oracle' % name)
        tables[name] = compare.comparable(name, lines[1:])
    return tables


def first_difference(name, expected, found):
    """Sentences about the first row that only one side has, field by field where both have the key."""
    columns, keys = TABLES[name]
    here, there = set(expected), set(found)
    only = sorted(here ^ there)
    if not only:
        return ['%s: a row is there twice' % name]
    row = only[0].split('\t')
    other = [line.split('\t') for line in (there if only[0] in here else here) if line.split('\t')[:keys] == row[:keys]]
    side = 'oracle' if only[0] in here else 'C'
    if not other:
        return ['%s: only the %s has this row (of %d and %d rows)' % (name, side, len(expected), len(found))] + \
            ['  %s = %s' % pair for pair in zip(columns, row)]
    left, right = (row, other[0]) if side == 'oracle' else (other[0], row)
    return ['%s %s' % (name, ' '.join(row[:keys]))] + \
        ['  %s: oracle %s, C %s' % (c, a, b) for c, a, b in zip(columns, left, right) if a != b] + \
        ['  the row: %s' % ', '.join('%s=%s' % pair for pair in zip(columns, left))]


def compare_seed(args, seed, folder):
    """None if all tables are equal, else sentences."""
    size = random.Random(seed).choice([12, 40, 40, 80, 80, 150])
    path_of_rules = args.rules or rules_of(args.rules_seed, folder)
    rules = oracle.Rules.load(path_of_rules)
    generator = generate.Generator(seed, random.Random(seed).choice([2, 3, 6]), args.events or size,
                                   rules if args.rules_seed is not None else None)
    events = generator.generate()
    decisions, forgettings = generator.decisions_and_forgettings()
    path, decisions_path, forgettings_path = (os.path.join(folder, name) for name in (
        'events.jsonl', 'decisions.jsonl', 'forgettings.jsonl'))
    for target, lines in ((path, events), (decisions_path, decisions), (forgettings_path, forgettings)):
        with open(target, 'w', encoding='utf-8') as file:
            generate.write(lines, file)
    derived = oracle.Deriver(rules, oracle.read_key(generate.KEY),
                             decisions=oracle.Decisions(decisions),
                             forgettings=oracle.Forgettings(forgettings)).derive(events)
    times = [event.time for event in derived.events] or [generate.BASE]
    as_of = times[random.Random(seed).randrange(len(times))] + random.Random(seed).choice([0, 1, 30000000, 1 << 50])
    found = derive_in_c(args.derive, path_of_rules, generate.KEY, path, decisions_path if decisions else None,
                        forgettings_path if forgettings else None, seed, as_of, folder)
    for name in TABLES:
        expected = expected_lines(derived, name, as_of)
        if expected != found[name]:
            return first_difference(name, expected, found[name])
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares the C derivation with the oracle over random events.')
    parser.add_argument('--derive', required=True, help='the program polku_derive')
    parser.add_argument('--seed', type=int, default=int(os.environ.get('POLKU_SEED') or 0), help='one seed, or the first')
    parser.add_argument('--cases', type=int, default=int(os.environ.get('POLKU_CASES') or 0), help='default 60, with a seed 1')
    parser.add_argument('--events', type=int, help='of each case; default: by the seed')
    parser.add_argument('--rules', help='default tests/oracle/rules_small.yaml')
    parser.add_argument('--rules-seed', type=int, help='calendars and definitions by this seed, as oracle_cases.py has them')
    parser.add_argument('--keep', help='leave events and tables of the last case in this folder')
    args = parser.parse_args()
    cases = args.cases or (1 if args.seed else 60)
    first = args.seed or 1
    print('oracle_compare: seeds %d .. %d' % (first, first + cases - 1))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or temporary
        os.makedirs(folder, exist_ok=True)
        for seed in range(first, first + cases):
            try:
                difference = compare_seed(args, seed, folder)
            except oracle.InputError as error:
                difference = [str(error)]
            if difference:
                print('seed %d differs (repeat: --seed %d)' % (seed, seed))
                print('\n'.join(difference))
                return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
