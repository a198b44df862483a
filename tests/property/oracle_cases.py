#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""oracle_compare.py for thousands of seeds: one process of polku_derive, which is told case after case.

Same seeds, same cases; a seed that differs is repeated and looked at with oracle_compare.py --seed N. Blocks of seeds have
rules_small.yaml and calendars and definitions of their own in turn; the latter are repeated with --rules-seed too.

    oracle_cases.py --derive build/tests/support/polku_derive --cases 5000 --shard 1/2
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

import oracle_compare
from oracle_compare import compare, generate, oracle

BLOCK = 250    # seeds with the same rules


class Derive:
    """polku_derive --serve."""

    def __init__(self, program, rules):
        self.process = subprocess.Popen(
            [program, '--rules', rules, '--key-file', generate.KEY, '--serve'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding='utf-8')

    def __call__(self, events, decisions, forgettings, seed, as_of):
        """Name -> sorted rows; as oracle_compare.derive_in_c."""
        chance = random.Random(seed)
        batch, workers = chance.choice([1, 3, 10, 40, 1000]), chance.randrange(1, 5)
        send = self.process.stdin
        send.write('case %d %d %d %d %d\n' % (seed + 1, batch, workers, chance.choice([0, 5000, 1 << 20]), as_of))
        generate.write(events, send)
        for decision in decisions:
            send.write('decision ')
            generate.write([decision], send)
        for forgetting in forgettings:
            send.write('forgetting ')
            generate.write([forgetting], send)
        send.write('end\n')
        send.flush()
        tables, rows = {}, None
        for line in self.process.stdout:
            line = line[:-1]
            if line.startswith('== '):
                if line != '== ok':
                    raise oracle.InputError(line[3:])
                return {name: compare.comparable(name, rows[1:]) for name, rows in tables.items()}
            if line.startswith('-- '):
                rows = tables[line[3:]] = []
            else:
                rows.append(line)
        raise oracle.InputError('polku_derive ended')


    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare_seed(derive, rules, seed):
    """None if all tables are equal, else sentences."""
    size = random.Random(seed).choice([12, 40, 40, 80, 80, 150])
    generator = generate.Generator(seed, random.Random(seed).choice([2, 3, 6]), size, rules)
    events = generator.generate()
    decisions, forgettings = generator.decisions_and_forgettings()
    derived = oracle.Deriver(rules, oracle.read_key(generate.KEY),
                             decisions=oracle.Decisions(decisions),
                             forgettings=oracle.Forgettings(forgettings)).derive(events)
    times = [event.time for event in derived.events] or [generate.BASE]
    as_of = times[random.Random(seed).randrange(len(times))] + random.Random(seed).choice([0, 1, 30000000, 1 << 50])
    found = derive(events, decisions, forgettings, seed, as_of)
    for name in oracle_compare.TABLES:
        expected = oracle_compare.expected_lines(derived, name, as_of)
        if expected != found[name]:
            return oracle_compare.first_difference(name, expected, found[name])
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares the C derivation with the oracle over thousands of cases.')
    parser.add_argument('--derive', required=True, help='the program polku_derive')
    parser.add_argument('--seed', type=int, default=int(os.environ.get('POLKU_SEED') or 1), help='the first; default 1')
    parser.add_argument('--cases', type=int, default=int(os.environ.get('POLKU_CASES') or 5000), help='default 5000')
    parser.add_argument('--shard', default='1/1', help='of so many processes this one')
    parser.add_argument('--most', type=int, default=1, help='stop after so many differences (default 1)')
    args = parser.parse_args()
    shard, shards = map(int, args.shard.split('/'))
    first = args.seed + (shard - 1) * args.cases
    print('oracle_cases: seeds %d .. %d (shard %d of %d)' % (first, first + args.cases - 1, shard, shards))
    began, differing = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        for start in range(first, first + args.cases, BLOCK):
            rules_seed = start if (start - first) // BLOCK % 2 else None
            path = oracle_compare.rules_of(rules_seed, folder)
            seeds = range(start, min(start + BLOCK, first + args.cases))
            differing += compare_block(args, path, rules_seed, seeds, args.most - differing)
            if differing >= args.most:
                return 1
    print('oracle_cases: %d cases equal in %.0f s' % (args.cases - differing, time.monotonic() - began))
    return differing > 0


def compare_block(args, path, rules_seed, seeds, most):
    """-> how many of the seeds differ."""
    rules, derive, differing = oracle.Rules.load(path), Derive(args.derive, path), 0
    for seed in seeds:
        try:
            difference = compare_seed(derive, rules, seed)
        except (oracle.InputError, BrokenPipeError) as error:
            difference = [str(error)]
        if difference:
            differing += 1
            print('seed %d differs (look: oracle_compare.py --seed %d%s)' %
                  (seed, seed, '' if rules_seed is None else ' --rules-seed %d' % rules_seed))
            print('\n'.join(difference), flush=True)
            if differing == most:
                break
            if derive.process.poll() is not None:
                derive = Derive(args.derive, path)
    derive.close()
    return differing


if __name__ == '__main__':
    sys.exit(main())
